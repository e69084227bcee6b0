//! Filters that look at one document's text and words at a time.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::LargeStringBuilder;
use gristmill_corpus::columns;

use crate::by_language::{ByLanguage, label};
use crate::documents::Documents;
use crate::stage::{Declares, Reason, StageError, Verdict};
use crate::words::WordView;

/// One verdict a document, by a function of its language's rules, its text and its words.
pub fn verdicts<R>(
    documents: &Documents,
    rules: &ByLanguage<R>,
    judge: impl Fn(&R, &str, &WordView) -> Option<Reason>,
) -> Result<Vec<Verdict>, StageError> {
    let texts = documents.strings(columns::TEXT)?;
    let languages = rules.languages(documents)?;
    let verdict = |row: usize| {
        let rules = rules.of(label(languages, row));
        Ok(judge(rules, texts.value(row), documents.words(row)?).into())
    };
    (0..documents.len()).map(verdict).collect()
}

/// The same for a function that needs no words.
pub fn verdicts_of_texts<R>(
    documents: &Documents,
    rules: &ByLanguage<R>,
    judge: impl Fn(&R, &str) -> Option<Reason>,
) -> Result<Vec<Verdict>, StageError> {
    let texts = documents.strings(columns::TEXT)?;
    let languages = rules.languages(documents)?;
    let verdict = |row: usize| judge(rules.of(label(languages, row)), texts.value(row)).into();
    Ok((0..documents.len()).map(verdict).collect())
}

/// What is left of each text by a function of its language's rules, its text and its words, or why the document goes. A
/// rejected document keeps its text, so that rejects show what was judged.
pub fn rewrites<R>(
    documents: Documents,
    rules: &ByLanguage<R>,
    rewrite: impl for<'t> Fn(&R, &'t str, &WordView) -> Result<Cow<'t, str>, Reason>,
) -> Result<(Documents, Vec<Verdict>), StageError> {
    let texts = documents.strings(columns::TEXT)?;
    let languages = rules.languages(&documents)?;
    let mut rewritten = LargeStringBuilder::with_capacity(documents.len(), texts.value_data().len());
    let mut verdicts = Vec::with_capacity(documents.len());
    let mut changed = false;
    for row in 0..documents.len() {
        let text = texts.value(row);
        match rewrite(rules.of(label(languages, row)), text, documents.words(row)?) {
            Ok(left) => {
                changed |= left != text;
                rewritten.append_value(left);
                verdicts.push(Verdict::Keep);
            }
            Err(reason) => {
                rewritten.append_value(text);
                verdicts.push(Verdict::Drop(reason));
            }
        }
    }
    // Unchanged documents keep their word views.
    let documents =
        if changed { documents.with_column(columns::TEXT, Arc::new(rewritten.finish()))? } else { documents };
    Ok((documents, verdicts))
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
