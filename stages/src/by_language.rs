//! Settings that differ by language: a stage's configuration with some keys replaced.

use std::collections::BTreeMap;

use arrow::array::{Array, LargeStringArray};
use gristmill_corpus::columns;
use serde_json::{Map, Value};

use crate::documents::Documents;
use crate::stage::{Declares, StageConfig, StageError};

/// What a recipe gives: language to the keys that are other for it.
pub type Overrides = BTreeMap<String, Map<String, Value>>;

/// A stage made ready for every language that has settings of its own, and for all others.
#[derive(Debug, Clone, PartialEq)]
pub struct ByLanguage<R> {
    others: R,
    own: BTreeMap<String, R>,
}

impl<R> ByLanguage<R> {
    /// Lays each language's keys over `config`. `ready` makes a configuration fit to judge with, and refuses values that
    /// cannot serve.
    ///
    /// # Errors
    /// [`StageError::Config`] naming the language and the key.
    pub fn new<C: StageConfig>(
        config: &C,
        overrides: &Overrides,
        ready: impl Fn(&C) -> Result<R, StageError>,
    ) -> Result<Self, StageError> {
        let others = ready(config)?;
        let mut whole = serde_json::to_value(config).expect("a configuration is plain data with string keys");
        let base = whole.as_object_mut().expect("a configuration is a table");
        base.remove(KEY);
        let mut own = BTreeMap::new();
        for (language, keys) in overrides {
            let fail = |message: &dyn std::fmt::Display| {
                StageError::Config(format!("`{KEY}.{language}` in `{}`: {message}", C::KIND))
            };
            if keys.contains_key(KEY) {
                return Err(fail(&format_args!("`{KEY}` cannot stand inside each other")));
            }
            let mut table = base.clone();
            table.extend(keys.clone());
            let config: C = serde_json::from_value(Value::Object(table)).map_err(|error| fail(&error))?;
            own.insert(language.clone(), ready(&config).map_err(|error| fail(&error))?);
        }
        Ok(Self { others, own })
    }

    /// What judges documents with this label of the `language` column.
    #[inline]
    pub fn of(&self, language: Option<&str>) -> &R {
        language.and_then(|language| self.own.get(language)).unwrap_or(&self.others)
    }

    /// The `language` column, if it decides anything.
    ///
    /// # Errors
    /// [`StageError::Engine`] when it does and is missing.
    pub fn languages<'a>(
        &self,
        documents: &'a Documents,
    ) -> Result<Option<&'a LargeStringArray>, StageError> {
        if self.own.is_empty() { Ok(None) } else { documents.strings(columns::LANGUAGE).map(Some) }
    }
}

/// The label of a row, if there is one.
#[inline]
pub fn label(languages: Option<&LargeStringArray>, row: usize) -> Option<&str> {
    languages.filter(|labels| labels.is_valid(row)).map(|labels| labels.value(row))
}

/// The key of a configuration that holds them.
const KEY: &str = "overrides";

/// `declares`, and the `language` column where there are overrides.
pub fn declares(overrides: &Overrides, mut declares: Declares) -> Declares {
    if !overrides.is_empty() {
        declares.reads.push(columns::LANGUAGE.to_owned());
    }
    declares
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gopher_quality::GopherQuality;
    use crate::stage::BuildContext;

    fn config(overrides: &Value) -> GopherQuality {
        serde_json::from_value(json!({"min_words": 60, "overrides": overrides})).unwrap()
    }

    #[test]
    fn a_language_replaces_some_keys_and_keeps_the_others() {
        let config =
            config(&json!({"de": {"min_stop_words": 1, "stop_words": ["und"]}, "ja": {"min_words": 10}}));
        let settings = ByLanguage::new(&config, &config.overrides, |config| Ok(config.clone())).unwrap();
        let german = settings.of(Some("de"));
        assert_eq!((german.min_words, german.min_stop_words, german.stop_words.len()), (60, 1, 1));
        assert_eq!(settings.of(Some("ja")).min_words, 10);
        for other in [None, Some("fr"), Some("")] {
            assert_eq!(settings.of(other).min_words, 60);
        }
        assert!(StageConfig::declares(&config).reads.iter().any(|column| column == "language"));
    }

    #[test]
    fn a_filter_judges_each_document_by_its_language() {
        use std::sync::Arc;

        use arrow::array::{ArrayRef, RecordBatch};
        use gristmill_corpus::DocBatch;

        use crate::c4_quality::C4Quality;
        use crate::stage::{Runtime, Verdict};

        let rows: [(&str, ArrayRef); 2] = [
            ("language", Arc::new(LargeStringArray::from(vec![Some("de"), Some("en"), None]))),
            ("text", Arc::new(LargeStringArray::from(vec!["Das Rad dreht sich."; 3]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(rows.map(|(name, array)| (name, array, true)));
        let documents = || Documents::new(DocBatch::new(batch.as_ref().unwrap().clone()).unwrap());
        let context = BuildContext { base: ".".into(), seed: 0 };

        let quality = config(&json!({"de": {"min_words": 1, "min_stop_words": 0}}));
        let Ok(Runtime::Filter(filter)) = quality.build(&context) else { panic!("a filter") };
        let short = Verdict::Drop("gopher_short_doc");
        assert_eq!(filter.verdicts(&documents()).unwrap(), [Verdict::Keep, short, short]);

        let c4: C4Quality =
            serde_json::from_value(json!({"overrides": {"de": {"min_sentences": 1}}})).unwrap();
        assert!(StageConfig::declares(&c4).reads.iter().any(|column| column == "language"));
        let Ok(Runtime::Map(map)) = c4.build(&context) else { panic!("a map") };
        let few = Verdict::Drop("too_few_sentences");
        assert_eq!(map.map(documents()).unwrap().1, [Verdict::Keep, few, few]);
    }

    #[test]
    fn mistakes_name_language_and_key() {
        let context = BuildContext { base: ".".into(), seed: 0 };
        for (overrides, parts) in [
            (json!({"de": {"min_wrds": 3}}), ["`overrides.de`", "min_wrds"]),
            (json!({"de": {"min_words": "many"}}), ["`overrides.de`", "many"]),
            (json!({"fr": {"min_stop_words": 99}}), ["`overrides.fr`", "min_stop_words = 99"]),
            (json!({"fr": {"max_bullet_lines": -1}}), ["`overrides.fr`", "max_bullet_lines"]),
            (json!({"fr": {"overrides": {}}}), ["`overrides.fr`", "inside each other"]),
        ] {
            let error = config(&overrides).build(&context).err().unwrap().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
