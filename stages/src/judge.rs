//! Filters that look at one document's text and words at a time.

use gristmill_corpus::columns;

use crate::by_language::{ByLanguage, label};
use crate::documents::Documents;
use crate::stage::{Declares, Reason, StageConfig, StageError, Verdict};
use crate::words::WordView;

/// One verdict a document, by a function of its language's configuration, its text and its words.
pub fn verdicts<C: StageConfig + Clone>(
    documents: &Documents,
    configs: &ByLanguage<C>,
    judge: impl Fn(&C, &str, &WordView) -> Option<Reason>,
) -> Result<Vec<Verdict>, StageError> {
    let texts = documents.strings(columns::TEXT)?;
    let languages = configs.languages(documents)?;
    let verdict = |row: usize| {
        let config = configs.of(label(languages, row));
        Ok(judge(config, texts.value(row), documents.words(row)?).into())
    };
    (0..documents.len()).map(verdict).collect()
}

/// What such a filter needs.
pub fn declares() -> Declares {
    Declares { reads: vec![columns::TEXT.into()], ..Declares::default() }
}

/// Refuses limits that are no numbers or below zero; `limits` are field names with their values.
pub fn check_limits(kind: &str, limits: &[(&str, f64)]) -> Result<(), StageError> {
    match limits.iter().find(|(_, limit)| limit.is_nan() || *limit < 0.0) {
        Some((field, limit)) => Err(StageError::Config(format!(
            "`{field} = {limit}` in `{kind}` can decide nothing: give a number from 0 upwards"
        ))),
        None => Ok(()),
    }
}
