//! `decontaminate`: finds documents that hold items of evaluation sets.

mod index;
mod items;

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{Float64Array, LargeStringArray};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::index::{Found, Index};
use crate::dedup::tokens::folded_words;
use crate::documents::Documents;
use crate::judge;
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};

/// Drops documents that hold words in a row of an item of an evaluation set, and says of which set and which item.
///
/// Writes `contamination_set` (the file's name without its endings), `contamination_item` (the item's id, or the number of its line) and `contamination`, the share of
/// the item's words that lie in an n-gram which the document holds; of several items the one with the largest share, then the first. All three are empty where none
/// is found. Reason `contaminated`.
///
/// From GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C): 13 words in a row, in lower case and without punctuation, that an item and a document share; numbers count as they
/// stand. Differences: GPT-3 cuts 200 characters around a match and drops a document that falls into more than ten pieces; here the document goes. It also
/// passes over n-grams that occur more than ten times in the training text, which no single document shows: `max_items` passes over what many items share.
/// Llama 3 (Dubey et al. 2024, arXiv 2407.21783, section 5.1.4) measures items the other way round, by the share of their words in n-grams of 8 that the
/// training text holds: `ngram = 8` and a `min_share`.
///
/// Sets are files of JSON lines, or text files with an item a line, plain, gzipped or packed by zstd, or folders of such; paths are relative to the recipe. None
/// comes with Gristmill. They are held in memory: about 60 bytes for each word of all items. 64 bits of hash decide: a document of 1,000 words that shares nothing with
/// sets of 10 million words is taken for contaminated once in 10^9 times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decontaminate {
    /// Files and folders. A file is JSON lines if its name has the ending `.jsonl` or `.json` before `.gz` or `.zst`.
    pub sets: Vec<String>,
    /// The fields of a JSON line that are its item. Empty: every string in it but the id, at any depth. N-grams do not reach from one string to the next.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The field that holds the id (a string or a number).
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// Words in a row that make an n-gram. GPT-3: 13, or fewer for sets of short items; Llama 3: 8.
    #[serde(default = "default_ngram")]
    pub ngram: NonZeroUsize,
    /// A string of fewer words than `ngram` but at least this many is looked for as a whole; shorter ones are not looked for. GPT-3: 8.
    #[serde(default = "default_min_words")]
    pub min_words: NonZeroUsize,
    /// A document is contaminated if it holds more than this share of an item's words, in n-grams. 0: one n-gram is enough.
    #[serde(default)]
    pub min_share: f64,
    /// Pass over n-grams that more items than this hold: words of a prompt that a set repeats. 0 passes over none, as passages with many
    /// questions repeat too.
    #[serde(default)]
    pub max_items: usize,
    /// `drop` contaminated documents, or `mark` them by the columns only.
    #[serde(default)]
    pub action: Action,
}

/// What becomes of contaminated documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are dropped.
    #[default]
    Drop,
    /// They go on, with the columns.
    Mark,
}

fn default_id_field() -> String {
    "id".to_owned()
}

fn default_ngram() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(12)
}

fn default_min_words() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(7)
}

const CONTAMINATED: Reason = "contaminated";
const SET: &str = "contamination_set";
const ITEM: &str = "contamination_item";
const SHARE: &str = "contamination";

impl StageConfig for Decontaminate {
    const KIND: &'static str = "decontaminate";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[CONTAMINATED];

    fn declares(&self) -> Declares {
        let writes = [SET, ITEM, SHARE].map(str::to_owned).to_vec();
        Declares { writes, files: self.sets.clone(), ..judge::declares() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if !(0.0..1.0).contains(&self.min_share) {
            let share = self.min_share;
            return Err(StageError::Config(format!(
                "`min_share = {share}` in `decontaminate`; a share from 0 up to, but not, 1 works"
            )));
        }
        let items = items::read(self, context)?;
        let index = Index::new(items, self.ngram.get(), self.min_words.get(), self.max_items);
        if index.is_empty() {
            return Err(StageError::Config(format!(
                "no item of `sets` in `decontaminate` has {} words in a row; a smaller `min_words`, or other `fields`, may help",
                self.min_words.min(self.ngram)
            )));
        }
        Ok(Runtime::Map(Box::new(Finder { index, min_share: self.min_share, action: self.action })))
    }
}

struct Finder {
    index: Index,
    min_share: f64,
    action: Action,
}

impl Map for Finder {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let find = |row| self.index.find(&folded_words(texts.value(row)));
        let found: Vec<Option<Found>> = (0..documents.len()).map(find).collect();
        let verdict = |found: &Option<Found>| {
            let is_over = found.as_ref().is_some_and(|found| found.share > self.min_share);
            if is_over && self.action == Action::Drop { Verdict::Drop(CONTAMINATED) } else { Verdict::Keep }
        };
        let verdicts = found.iter().map(verdict).collect();
        let sets: LargeStringArray =
            found.iter().map(|found| found.as_ref().map(|found| found.set)).collect();
        let items: LargeStringArray =
            found.iter().map(|found| found.as_ref().map(|found| found.item)).collect();
        let shares: Float64Array =
            found.iter().map(|found| found.as_ref().map(|found| found.share)).collect();
        let documents = documents.with_column(SET, Arc::new(sets))?;
        let documents = documents.with_column(ITEM, Arc::new(items))?;
        Ok((documents.with_column(SHARE, Arc::new(shares))?, verdicts))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow::array::{Array, ArrayRef};
    use arrow::record_batch::RecordBatch;
    use gristmill_corpus::DocBatch;

    use super::*;

    const ITEMS: &str = concat!(
        r#"{"id": "q1", "question": "Which of these mills was built before the dam at the upper weir broke in 1870?", "choices": ["the old one", "the new one"]}"#,
        "\n\n",
        r#"{"id": 2, "question": "Short, but eight words are enough for it.", "note": {"deep": "one two three four five six seven eight nine ten eleven twelve thirteen"}}"#,
        "\n",
        r#"{"question": "Which of these wheels was built before the dam at the upper weir broke in 1870?"}"#,
    );

    fn config(more: &str) -> Decontaminate {
        serde_json::from_str(&format!(r#"{{"sets": ["sets"]{more}}}"#)).unwrap()
    }

    fn build(folder: &Path, config: &Decontaminate) -> Result<Box<dyn Map>, StageError> {
        match config.build(&BuildContext { base: folder.to_owned(), seed: 0 })? {
            Runtime::Map(map) => Ok(map),
            _ => panic!("a map"),
        }
    }

    /// The set, item, share (in percent) and verdict of every text.
    fn found(config: &Decontaminate, texts: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let sets = folder.path().join("sets");
        std::fs::create_dir(&sets).unwrap();
        std::fs::write(sets.join("mills.test.jsonl"), ITEMS).unwrap();
        let lines = "# The miller opened the sluice before dawn and the wheel began to turn slowly\n\nx\n";
        std::fs::write(sets.join("lines.txt.zst"), zstd::encode_all(lines.as_bytes(), 3).unwrap()).unwrap();
        let stage = build(folder.path(), config).unwrap();
        let column: ArrayRef = Arc::new(LargeStringArray::from(texts.to_vec()));
        let batch = DocBatch::new(RecordBatch::try_from_iter([(columns::TEXT, column)]).unwrap()).unwrap();
        let (documents, verdicts) = stage.map(Documents::new(batch)).unwrap();
        let strings = |name: &str| documents.strings(name).unwrap().clone();
        let (sets, items) = (strings(SET), strings(ITEM));
        let shares = documents.batch().record_batch().column_by_name(SHARE).unwrap().clone();
        let shares = shares.as_any().downcast_ref::<Float64Array>().unwrap().clone();
        let row = |row: usize| {
            let verdict = if verdicts[row] == Verdict::Keep { "" } else { " dropped" };
            let found = format!("{}/{} {:.0}", sets.value(row), items.value(row), shares.value(row) * 100.0);
            if shares.is_null(row) { verdict.to_owned() } else { found + verdict }
        };
        (0..texts.len()).map(row).collect()
    }

    #[test]
    fn items_are_found_and_named() {
        let texts = [
            "Q: which of these mills was built before the dam -- at the upper weir -- broke, in 1870?",
            "Which of these wheels was built before the dam at the upper weir broke in 1870? Nobody knows.",
            "She wrote: \"Short but eight words are enough for it\".",
            "Nine, ten, eleven, twelve, thirteen; one two three four five six seven eight nine ten eleven twelve thirteen",
            "And the miller opened the sluice before dawn, and the wheel began to turn.",
            "Which of these mills was built before the dam? The old one, the new one.",
            "",
        ];
        let expected = [
            "mills.test/q1 73 dropped",
            "mills.test/4 100 dropped",
            "mills.test/2 38 dropped",
            "mills.test/2 62 dropped",
            "lines/1 93 dropped",
            "",
            "",
        ];
        assert_eq!(found(&config(""), &texts), expected);
    }

    #[test]
    fn every_option() {
        let question = "Which of these mills was built before the dam at the upper weir broke in 1870?";
        let nine = "One two three four five six seven eight nine";
        assert_eq!(found(&config(r#", "action": "mark""#), &[question]), ["mills.test/q1 73"]);
        assert_eq!(found(&config(r#", "fields": ["question"]"#), &[question]), ["mills.test/q1 100 dropped"]);
        assert_eq!(found(&config(r#", "min_share": 0.8"#), &[question]), ["mills.test/q1 73"]);
        assert_eq!(
            found(&config(r#", "ngram": 8"#), &[nine, "Short but eight words"]),
            ["mills.test/2 43 dropped", ""]
        );
        assert_eq!(
            found(&config(r#", "min_words": 9"#), &["Short, but eight words are enough for it."]),
            [""]
        );
        // These words are those of two items.
        let shared = "Was built before the dam at the upper weir";
        assert_eq!(found(&config(r#", "ngram": 8"#), &[shared]), ["mills.test/4 56 dropped"]);
        assert_eq!(found(&config(r#", "ngram": 8, "max_items": 1"#), &[shared]), [""]);
        assert_eq!(
            found(&config(r#", "id_field": "question", "fields": ["question"]"#), &[question]).len(),
            1
        );
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |config: &Decontaminate| build(folder.path(), config).err().unwrap().to_string();
        assert!(message(&config("")).contains("cannot read"), "{}", message(&config("")));
        std::fs::create_dir(folder.path().join("sets")).unwrap();
        assert!(message(&config("")).contains("holds no file"), "{}", message(&config("")));
        std::fs::write(folder.path().join("sets/a.jsonl"), "{\"text\": \"too short\"}\n{oops\n").unwrap();
        assert!(message(&config("")).contains("a.jsonl`, line 2"), "{}", message(&config("")));
        std::fs::write(folder.path().join("sets/a.jsonl"), "{\"text\": \"too short\"}\n").unwrap();
        assert!(message(&config("")).contains("has 8 words in a row"), "{}", message(&config("")));
        assert!(message(&config(r#", "min_share": 1"#)).contains("min_share"), "a share of 1 finds nothing");
        let none = Decontaminate { sets: Vec::new(), ..config("") };
        assert!(message(&none).contains("no set"), "{}", message(&none));
    }
}
