//! `where`: keeps documents of which a condition holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::expression::Condition;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};

/// Keeps the documents of which a condition over their columns holds.
///
/// A condition compares columns with numbers and texts: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in [...]`, `not in [...]`, joined by `and`, `or`,
/// `not` and parentheses (`not` binds tightest, then `and`). `len(column)` is the length of a text in characters. A column of truth
/// values stands alone. Numbers are compared as 64-bit floating point, texts (dates are texts) by their code points. Where a value
/// is missing, every comparison with it is false, `!=` too. Reason `condition_false`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// The condition, as `language_score > 0.8 and len(text) < 100_000`, or `language in ["en", "de"]`.
    pub keep: String,
}

const CONDITION_FALSE: Reason = "condition_false";

impl StageConfig for Where {
    const KIND: &'static str = "where";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[CONDITION_FALSE];

    /// A condition that cannot be read needs no column: `build` says what is wrong with it.
    fn declares(&self) -> Declares {
        let reads = Condition::parse(&self.keep).map(|condition| condition.columns());
        Declares { reads: reads.unwrap_or_default(), ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        match Condition::parse(&self.keep) {
            Ok(condition) => Ok(Runtime::Filter(Box::new(condition))),
            Err(error) => Err(StageError::Config(format!("`keep = {:?}`, {error}", self.keep))),
        }
    }
}

impl Filter for Condition {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let holds = self.evaluate(documents.batch())?;
        Ok(holds.into_iter().map(|holds| (!holds).then_some(CONDITION_FALSE).into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;

    use super::*;

    #[test]
    fn documents_stay_where_the_condition_holds() {
        let config = Where { keep: "len(text) >= 3 and text != 'bran'".into() };
        assert_eq!(config.declares().reads, ["text"]);
        let Runtime::Filter(filter) = config.build(&BuildContext { base: ".".into(), seed: 0 }).unwrap()
        else {
            panic!("a filter")
        };
        let texts: ArrayRef = Arc::new(LargeStringArray::from(vec!["rye", "é", "bran"]));
        let batch = DocBatch::new(RecordBatch::try_from_iter([("text", texts)]).unwrap()).unwrap();
        let dropped = Verdict::Drop(CONDITION_FALSE);
        assert_eq!(filter.verdicts(&Documents::new(batch)).unwrap(), [Verdict::Keep, dropped, dropped]);
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_quoted_and_placed() {
        let config = Where { keep: "len(text) => 3".into() };
        assert!(config.declares().reads.is_empty());
        let error = config.build(&BuildContext { base: ".".into(), seed: 0 }).err().unwrap().to_string();
        assert!(error.contains("`keep = \"len(text) => 3\"`, column 11"), "{error}");
    }
}
