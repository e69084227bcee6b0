//! Texts as rows of units (lines, paragraphs, sentences) of which copies are cut out: what `line_dedup`,
//! `paragraph_dedup` and `sentence_dedup` share.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::LargeStringBuilder;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::cut::cut;
use super::normalise::WordHasher;
use super::scope::Scope;
use crate::documents::Documents;
use crate::stage::{Declares, Mark, Reason, Spans, StageError, Verdict};

/// Which of several copies stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first one, in an order of documents that depends on their ids and texts alone.
    #[default]
    First,
    /// None of them.
    None,
}

impl Keep {
    /// What the engine has to mark.
    pub fn mark(self) -> Mark {
        match self {
            Self::First => Mark::Later,
            Self::None => Mark::All,
        }
    }
}

/// What stages that cut copies out of texts need and make.
pub fn declares(scope: Scope, against: &[String]) -> Declares {
    let mut reads = vec![columns::ID.to_owned(), columns::TEXT.to_owned()];
    reads.extend(scope.reads());
    let writes = vec![columns::TEXT.to_owned()];
    Declares { reads, writes, earlier: against.to_vec(), ..Declares::default() }
}

/// A key as documents of one scope share it; see [`Scope::salts`].
pub fn scoped(key: u128, salt: u64) -> u128 {
    if salt == 0 { key } else { xxh3_128_with_seed(&key.to_le_bytes(), salt) }
}

/// The byte ranges of the units of a text, ascending; given are documents, a row and its text.
pub type Split = fn(&Documents, usize, &str) -> Result<Vec<Range<usize>>, StageError>;

/// A stage that cuts copies of `window` units in a row out of texts.
pub struct Units {
    /// Where a text's units are.
    pub split: Split,
    /// How many units in a row make a span.
    pub window: usize,
    /// Whether units are compared by their normalised words, or byte for byte.
    pub normalise: bool,
    /// Units with fewer words are not compared; those without words never are.
    pub min_words: usize,
    /// Fewer words than this are no text, where something was cut.
    pub min_words_left: usize,
    /// Which documents may hold copies of each other's units.
    pub scope: Scope,
    /// See [`Spans::partitions`].
    pub partitions: u32,
    /// See [`Spans::passes`].
    pub marks: [Mark; 1],
    /// Why a document goes of which no word is left.
    pub nothing_left: Reason,
}

/// Why a document goes of which too little is left.
pub const TOO_FEW_WORDS_LEFT: Reason = "too_few_words_left";

struct Unit {
    range: Range<usize>,
    n_words: usize,
    /// `None` where it is not compared.
    key: Option<u128>,
}

#[derive(Default)]
struct Scratch {
    hasher: WordHasher,
    hashes: Vec<u64>,
    bytes: Vec<u8>,
}

impl Units {
    fn units(
        &self,
        documents: &Documents,
        row: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Unit>, StageError> {
        let text = documents.strings(columns::TEXT)?.value(row);
        let ranges = (self.split)(documents, row, text)?;
        let unit = |range: Range<usize>| {
            let part = &text[range.clone()];
            scratch.hashes.clear();
            scratch.hasher.hash_words(part, &mut scratch.hashes, |_| ());
            let n_words = scratch.hashes.len();
            let key = (n_words >= self.min_words.max(1)).then(|| {
                if !self.normalise {
                    return xxh3_128(part.as_bytes());
                }
                scratch.bytes.clear();
                scratch.bytes.extend(scratch.hashes.iter().flat_map(|hash| hash.to_le_bytes()));
                xxh3_128(&scratch.bytes)
            });
            Unit { range, n_words, key }
        };
        Ok(ranges.into_iter().map(unit).collect())
    }

    /// What is left of a text, or why its document goes.
    fn without(&self, text: &str, units: &[Unit], marked: &[u32]) -> Result<String, Reason> {
        let compared: Vec<usize> = (0..units.len()).filter(|&i| units[i].key.is_some()).collect();
        let mut goes = vec![false; units.len()];
        for &span in marked {
            for &i in compared.iter().skip(span as usize).take(self.window) {
                goes[i] = true;
            }
        }
        let n_left: usize =
            units.iter().zip(&goes).filter(|(_, goes)| !**goes).map(|(unit, _)| unit.n_words).sum();
        if n_left == 0 {
            return Err(self.nothing_left);
        }
        if n_left < self.min_words_left {
            return Err(TOO_FEW_WORDS_LEFT);
        }
        let gone = units.iter().zip(&goes).filter(|(_, goes)| **goes).map(|(unit, _)| unit.range.clone());
        Ok(cut(text, &gone.collect::<Vec<_>>()).into_owned())
    }
}

impl Spans for Units {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn passes(&self) -> &[Mark] {
        &self.marks
    }

    fn key_format(&self) -> String {
        format!(
            "{} units in a row, normalise {}, min_words {}, scope {:?}, {} partitions",
            self.window, self.normalise, self.min_words, self.scope, self.partitions
        )
    }

    fn keys(
        &self,
        _: usize,
        documents: &Documents,
        _: &[Vec<u32>],
        emit: &mut dyn FnMut(usize, u32, u128),
    ) -> Result<(), StageError> {
        let mut scratch = Scratch::default();
        let salts = self.scope.salts(documents)?;
        for (row, &salt) in salts.iter().enumerate() {
            let units = self.units(documents, row, &mut scratch)?;
            let keys: Vec<u128> = units.iter().filter_map(|unit| unit.key).collect();
            for (span, window) in keys.windows(self.window).enumerate() {
                let key = if let [key] = window {
                    *key
                } else {
                    let bytes: Vec<u8> = window.iter().flat_map(|key| key.to_le_bytes()).collect();
                    xxh3_128(&bytes)
                };
                emit(row, span as u32, scoped(key, salt));
            }
        }
        Ok(())
    }

    fn rewrite(
        &self,
        documents: Documents,
        marked: &[Vec<u32>],
    ) -> Result<(Documents, Vec<Verdict>), StageError> {
        let mut scratch = Scratch::default();
        rewrites(documents, marked, |documents, row, text, marked| {
            let units = self.units(documents, row, &mut scratch)?;
            Ok(self.without(text, &units, marked))
        })
    }
}

/// What is left of each text by a function of its document, its row, itself and what is marked in it, or why the document
/// goes; a document in which nothing is marked stays as it is. A rejected document keeps its text, so that rejects show what
/// was judged.
pub fn rewrites(
    documents: Documents,
    marked: &[Vec<u32>],
    mut rewrite: impl FnMut(&Documents, usize, &str, &[u32]) -> Result<Result<String, Reason>, StageError>,
) -> Result<(Documents, Vec<Verdict>), StageError> {
    let texts = documents.strings(columns::TEXT)?;
    let mut verdicts = vec![Verdict::Keep; documents.len()];
    let mut rewritten = LargeStringBuilder::with_capacity(documents.len(), texts.value_data().len());
    let mut changed = false;
    for (row, marked) in marked.iter().enumerate() {
        let text = texts.value(row);
        let left = if marked.is_empty() { None } else { Some(rewrite(&documents, row, text, marked)?) };
        match left {
            Some(Ok(left)) => {
                changed |= left != text;
                rewritten.append_value(left);
            }
            Some(Err(reason)) => {
                verdicts[row] = Verdict::Drop(reason);
                rewritten.append_value(text);
            }
            None => rewritten.append_value(text),
        }
    }
    // Unchanged documents keep their word views.
    let documents =
        if changed { documents.with_column(columns::TEXT, Arc::new(rewritten.finish()))? } else { documents };
    Ok((documents, verdicts))
}

/// The lines of a text: what stands between line feeds, without whitespace at its ends, and only where something stands.
pub fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let trimmed = text.split('\n').filter_map(|line| {
        let begin = start + line.len() - line.trim_start().len();
        let end = start + line.trim_end().len();
        start += line.len() + 1;
        (begin < end).then_some(begin..end)
    });
    trimmed.collect()
}

/// The paragraphs of a text: lines in a row that are not blank.
pub fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut paragraphs: Vec<Range<usize>> = Vec::new();
    for line in lines(text) {
        match paragraphs.last_mut() {
            Some(last) if text[last.end..line.start].bytes().filter(|byte| *byte == b'\n').count() < 2 => {
                last.end = line.end;
            }
            _ => paragraphs.push(line),
        }
    }
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_paragraphs() {
        let text = " a\n\n b b \nc\n \n\nd";
        let of = |ranges: Vec<Range<usize>>| ranges.into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(of(lines(text)), ["a", "b b", "c", "d"]);
        assert_eq!(of(paragraphs(text)), ["a", "b b \nc", "d"]);
        assert!(lines("").is_empty() && paragraphs(" \n\n ").is_empty());
    }
}
