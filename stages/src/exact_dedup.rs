//! Removal of documents whose text is the same, byte for byte: the stage.

use std::borrow::Cow;
use std::num::NonZeroU32;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::equal::Equal;
use crate::dedup::scope::Scope;
use crate::dedup::survivor::Survivor;
use crate::stage::{BuildContext, ClusterColumns, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// Keeps one document of all that have exactly the same text, over the whole corpus.
///
/// Texts are compared by a 128-bit hash, of which 64 bits and the part (the upper bits of the rest) are kept: among ten
/// billion documents in 16 parts, the chance that any two different texts are confused is one in six. Documents
/// without text are kept. Before `minhash_dedup`, it takes the cheap duplicates away, short documents among them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExactDedup {
    /// Which document of a group stays: `first` in the order of the input, `newest`, `oldest` (`longest` is `first`
    /// here), or the one with the best value in a column: `{ highest = "score" }`, `{ lowest = "priority" }`.
    pub survivor: Survivor,
    /// Which documents may be duplicates of each other: `all`, or those of the same `dump` (one of each group stays in every
    /// crawl, as FineWeb does).
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: a document that has a duplicate there is dropped. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike (`partitions`, `scope`).
    pub against: Vec<String>,
    /// Adds the columns `exact_cluster_id` (the position of the group's first document in this stage's input) and
    /// `exact_cluster_size` (documents of the group, 1 without duplicates) to what stays.
    pub cluster_columns: bool,
    /// Into how many parts keys are split; each is merged by one task. A document has one key of 16 bytes.
    pub partitions: NonZeroU32,
}

impl Default for ExactDedup {
    fn default() -> Self {
        Self {
            survivor: Survivor::First,
            scope: Scope::All,
            against: Vec::new(),
            cluster_columns: false,
            partitions: NonZeroU32::MIN.saturating_add(15),
        }
    }
}

impl StageConfig for ExactDedup {
    const KIND: &'static str = "exact_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Exchange;
    const REASONS: &'static [Reason] = &["exact_duplicate"];

    fn declares(&self) -> Declares {
        let mut reads = vec![columns::TEXT.to_owned()];
        reads.extend(self.survivor.reads());
        reads.extend(self.scope.reads());
        reads.dedup();
        let writes = self.columns().map(|columns| columns.names()).unwrap_or_default();
        Declares { reads, writes, earlier: self.against.clone(), ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Exchange(Box::new(Equal {
            kind: Self::KIND,
            reason: Self::REASONS[0],
            column: columns::TEXT,
            form: |text| Cow::Borrowed(text),
            survivor: self.survivor.clone(),
            scope: self.scope,
            columns: self.columns(),
            partitions: self.partitions.get(),
        })))
    }
}

impl ExactDedup {
    fn columns(&self) -> Option<ClusterColumns> {
        self.cluster_columns.then(|| ClusterColumns::named("exact"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::test_support::{build, dedup, documents};

    #[test]
    fn equal_texts_are_one_document() {
        let texts = ["not found", "", "Not found", "not found", "", "not found "];
        let batch = || documents(&texts, &texts, &texts);
        assert_eq!(dedup(&*build(&ExactDedup::default()), &[batch()]), [true, true, true, false, true, true]);
        let across = dedup(&*build(&ExactDedup::default()), &[batch(), batch()]);
        assert_eq!(across[6..], [false, true, false, false, true, false]);
    }

    #[test]
    fn every_dump_may_keep_one() {
        let texts = ["a", "a", "a", "b"];
        let dumps = std::sync::Arc::new(arrow::array::LargeStringArray::from(vec!["1", "2", "1", "2"]));
        let batch = documents(&texts, &texts, &texts).with_column(columns::DUMP, dumps).unwrap();
        let stage = build(&ExactDedup { scope: Scope::Dump, ..ExactDedup::default() });
        assert_eq!(dedup(&*stage, &[batch]), [true, true, false, true]);
    }

    #[test]
    fn the_newest_may_stay() {
        let batch = documents(&["a", "b"], &["2023-01-01", "2024-01-01"], &["x", "x"]);
        let stage = build(&ExactDedup { survivor: Survivor::Newest, ..ExactDedup::default() });
        assert_eq!(dedup(&*stage, &[batch]), [false, true]);
    }
}
