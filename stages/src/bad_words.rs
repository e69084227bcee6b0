//! `bad_words`: drops documents that hold a word of a list.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use arrow::array::Array;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::normalise::is_unspaced;
use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::url_blocklist::lists::for_each_line;

/// Drops documents whose text holds a word or phrase of a list.
///
/// From C4 (Raffel et al. 2020, JMLR 21:140, section 2.2), which uses the lists "List of Dirty, Naughty, Obscene or Otherwise Bad
/// Words": one occurrence drops the page. Words are compared in lower case and must stand alone: no letter, digit or underscore
/// may touch them. In scripts without spaces (Chinese, Japanese, Thai and others) they are found anywhere. A document has one
/// verdict for all lists that apply to it. Reason `bad_word`.
///
/// Lists are text files, plain or gzipped, one word or phrase a line, with `#` comments; paths are relative to the recipe. None comes with
/// Gristmill. Such lists also drop text about medicine, and text by and about minorities (Dodge et al. 2021, arXiv 2104.08758).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BadWords {
    /// Lists for every document, whatever its language.
    pub lists: Vec<String>,
    /// Lists by language, as `{ en = ["bad_words/en.txt"] }`; a document is judged by the lists of its `language`, and kept where that
    /// has none.
    pub lists_by_language: BTreeMap<String, Vec<String>>,
}

const BAD_WORD: Reason = "bad_word";

impl StageConfig for BadWords {
    const KIND: &'static str = "bad_words";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[BAD_WORD];

    fn declares(&self) -> Declares {
        let mut reads = vec![columns::TEXT.to_owned()];
        if !self.lists_by_language.is_empty() {
            reads.push(columns::LANGUAGE.to_owned());
        }
        let files = self.lists.iter().chain(self.lists_by_language.values().flatten()).cloned().collect();
        Declares { reads, files, ..Declares::default() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if StageConfig::declares(self).files.is_empty() {
            return Err(StageError::Config(
                "no list in `bad_words`; `lists` or `lists_by_language` names files".into(),
            ));
        }
        let load = |paths: &[String]| {
            let mut words = Vec::new();
            for path in paths {
                for_each_line(&context.resolve(path), |line| words.push(line.to_lowercase()))?;
            }
            Words::new(words)
        };
        let by_language = self.lists_by_language.iter();
        Ok(Runtime::Filter(Box::new(Loaded {
            all: load(&self.lists)?,
            by_language: by_language
                .map(|(language, paths)| Ok((language.clone(), load(paths)?)))
                .collect::<Result<_, StageError>>()?,
        })))
    }
}

/// Words in lower case, ready to be searched for.
struct Words {
    finder: AhoCorasick,
}

impl Words {
    fn new(mut words: Vec<String>) -> Result<Self, StageError> {
        words.sort();
        words.dedup();
        let finder = AhoCorasick::new(&words).map_err(|error| {
            StageError::Config(format!("the lists of `bad_words` are too long to search for: {error}"))
        })?;
        Ok(Self { finder })
    }

    /// Whether `text`, which is in lower case, holds one of the words.
    fn occur_in(&self, text: &str) -> bool {
        self.finder.find_overlapping_iter(text).any(|found| {
            let word = &text[found.range()];
            let before = text[..found.start()].chars().next_back();
            let after = text[found.end()..].chars().next();
            // At each end a script with spaces asks for a boundary.
            let stands = |own: Option<char>, other: Option<char>| {
                own.is_some_and(is_unspaced) || !other.is_some_and(is_word_char)
            };
            stands(word.chars().next(), before) && stands(word.chars().next_back(), after)
        })
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Loaded {
    all: Words,
    by_language: BTreeMap<String, Words>,
}

impl Filter for Loaded {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let languages =
            if self.by_language.is_empty() { None } else { Some(documents.strings(columns::LANGUAGE)?) };
        let judge = |row: usize| {
            let language = languages.filter(|labels| labels.is_valid(row)).map(|labels| labels.value(row));
            let own = language.and_then(|language| self.by_language.get(language));
            let text = texts.value(row).to_lowercase();
            let is_bad = self.all.occur_in(&text) || own.is_some_and(|words| words.occur_in(&text));
            Verdict::from(is_bad.then_some(BAD_WORD))
        };
        Ok((0..documents.len()).map(judge).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;

    use super::*;

    /// Whether each (language, text) is dropped.
    fn dropped(config: &BadWords, rows: &[(&str, &str)]) -> Vec<bool> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("any.txt"), "# comment\nDarn\nold nick\n\n").unwrap();
        std::fs::write(folder.path().join("de.txt"), "verflixt\nmist\n").unwrap();
        std::fs::write(folder.path().join("ja.txt"), "悪い\n").unwrap();
        let context = BuildContext { base: folder.path().to_owned(), seed: 0 };
        let Runtime::Filter(filter) = config.build(&context).unwrap() else { panic!("a filter") };
        let column = |values: Vec<&str>| Arc::new(LargeStringArray::from(values)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            (columns::LANGUAGE, column(rows.iter().map(|row| row.0).collect())),
            (columns::TEXT, column(rows.iter().map(|row| row.1).collect())),
        ]);
        let documents = Documents::new(DocBatch::new(batch.unwrap()).unwrap());
        let verdicts = filter.verdicts(&documents).unwrap();
        verdicts.into_iter().map(|verdict| verdict == Verdict::Drop(BAD_WORD)).collect()
    }

    #[test]
    fn words_must_stand_alone() {
        let config = BadWords { lists: vec!["any.txt".into()], ..BadWords::default() };
        let rows = [
            ("en", "Oh DARN!"),
            ("en", "darn"),
            ("en", "He darned socks; undarn, darn_it, darn2"),
            ("en", "the Old Nick's mill"),
            ("en", "old nickel"),
            ("en", ""),
        ];
        assert_eq!(dropped(&config, &rows), [true, true, false, true, false, false]);
    }

    #[test]
    fn each_language_has_its_lists() {
        let lists = [("de", "de.txt"), ("ja", "ja.txt")];
        let lists_by_language = lists.map(|(language, file)| (language.into(), vec![file.into()])).into();
        let config = BadWords { lists_by_language, ..BadWords::default() };
        let rows = [
            ("de", "So ein Mist."),
            ("en", "a mist over the weir"),
            ("de", "Mistel"),
            ("ja", "それは悪いこと"),
        ];
        assert_eq!(dropped(&config, &rows), [true, false, false, true]);
        assert_eq!(config.declares().reads, ["text", "language"]);
    }

    #[test]
    fn mistakes_are_named() {
        let context = BuildContext { base: "/nowhere".into(), seed: 0 };
        let message = |config: BadWords| config.build(&context).err().unwrap().to_string();
        assert!(message(BadWords::default()).contains("no list"));
        let absent = BadWords { lists: vec!["gone.txt".into()], ..BadWords::default() };
        assert!(message(absent).contains("gone.txt"));
    }
}
