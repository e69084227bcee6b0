//! `extract_text`: markup to main text. The work is in [`crate::html`]; this file is the stage around it.

use std::sync::Arc;

use arrow::array::{Array, Float32Builder, LargeStringBuilder};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::html::{self, Extraction};
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};

/// The page has no text at all.
const NO_TEXT: Reason = "no_text";

/// How `extract_text` writes a page's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// One paragraph, heading, list item or table row a line.
    #[default]
    Text,
    /// Light Markdown: headings, nested lists, quotes, pipe tables, fenced code; no links and no emphasis.
    Markdown,
}

/// Finds the main content of HTML pages and writes it as text, without navigation, advertisements, comments and
/// other boilerplate. A page that a script fills gives the texts that it carries as JSON-LD, where they are several times as
/// long as what it shows. Reads `html`; writes `text`, `title` and `extraction`; drops `html`.
///
/// `extraction` is `content`, or says why a page's markup was given up, because it costs more than a page may: such a
/// page keeps all its text, tags cut out. `text_only_bytes`: longer than `max_bytes`. `text_only_nodes`: more than
/// 500,000 elements and texts, or, beyond 10,000, more than one for every 8 bytes. `text_only_attributes`: more than 500
/// attributes on one tag. `text_only_steps`: misnested so badly that tree construction takes over 2 million steps and
/// 2 for every byte. Work is counted, never timed, so that a page fares the same on any machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractText {
    /// `text` or `markdown`.
    #[serde(default)]
    pub format: TextFormat,
    /// A column for the type of the page: `article`, `collection`, `documentation`, `forum`, `listing`, `product` or `service`;
    /// null where the markup was given up. None is written if this is not given.
    #[serde(default)]
    pub page_type_column: Option<String>,
    /// A column for how sure the choice of the content is, 0 to 1: the word F1 that the model expects of the text; 0 where
    /// the markup was given up. None is written if this is not given.
    #[serde(default)]
    pub confidence_column: Option<String>,
    /// Longest page, in bytes of decoded HTML, whose markup is parsed; longer pages become `text_only_bytes`.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: usize,
}

fn default_max_bytes() -> usize {
    html::dom::Limits::default().bytes
}

impl StageConfig for ExtractText {
    const KIND: &'static str = "extract_text";
    const VERSION: u32 = 6;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[NO_TEXT];

    fn declares(&self) -> Declares {
        Declares {
            reads: vec![columns::HTML.into()],
            writes: [columns::TEXT, columns::TITLE, EXTRACTION]
                .into_iter()
                .chain(self.page_type_column.as_deref())
                .chain(self.confidence_column.as_deref())
                .map(Into::into)
                .collect(),
            drops: vec![columns::HTML.into()],
            ..Declares::default()
        }
    }

    fn build(&self, _context: &BuildContext) -> Result<Runtime, StageError> {
        let mut options = html::Options {
            format: match self.format {
                TextFormat::Text => html::Format::Text,
                TextFormat::Markdown => html::Format::Markdown,
            },
            ..html::Options::default()
        };
        options.limits.bytes = self.max_bytes;
        Ok(Runtime::Map(Box::new(Extractor {
            options,
            page_type_column: self.page_type_column.clone(),
            confidence_column: self.confidence_column.clone(),
        })))
    }
}

/// How a document's text was come by.
const EXTRACTION: &str = "extraction";

struct Extractor {
    options: html::Options,
    page_type_column: Option<String>,
    confidence_column: Option<String>,
}

impl Map for Extractor {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let pages = documents.strings(columns::HTML)?;
        let mut texts = LargeStringBuilder::new();
        let mut titles = LargeStringBuilder::new();
        let mut extractions = LargeStringBuilder::new();
        let mut page_types = LargeStringBuilder::new();
        let mut confidences = Float32Builder::new();
        let mut verdicts = Vec::with_capacity(pages.len());
        for row in 0..pages.len() {
            let extracted = html::extract(pages.value(row), &self.options);
            texts.append_value(&extracted.text);
            titles.append_option(extracted.title.as_deref());
            extractions.append_value(match extracted.extraction {
                Extraction::Content => "content",
                Extraction::TextOnly(reason) => reason.name(),
            });
            page_types.append_option(extracted.page_type.map(html::PageType::name));
            confidences.append_value(extracted.confidence);
            verdicts.push(Verdict::from(extracted.text.is_empty().then_some(NO_TEXT)));
        }
        let mut documents = documents
            .with_column(columns::TEXT, Arc::new(texts.finish()))?
            .with_column(columns::TITLE, Arc::new(titles.finish()))?
            .with_column(EXTRACTION, Arc::new(extractions.finish()))?
            .without_column(columns::HTML)?;
        if let Some(column) = &self.page_type_column {
            documents = documents.with_column(column, Arc::new(page_types.finish()))?;
        }
        if let Some(column) = &self.confidence_column {
            documents = documents.with_column(column, Arc::new(confidences.finish()))?;
        }
        Ok((documents, verdicts))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use arrow::array::{ArrayRef, LargeStringArray};
    use arrow::record_batch::RecordBatch;
    use gristmill_corpus::DocBatch;

    use super::*;

    fn run(config: &str, pages: &[&str]) -> (Documents, Vec<Verdict>) {
        let config: ExtractText = toml::from_str(config).expect("config");
        let context = BuildContext { base: PathBuf::new(), seed: 1 };
        let Runtime::Map(map) = config.build(&context).expect("build") else { panic!("not a map") };
        let urls = vec!["https://a.example/"; pages.len()];
        let batch = RecordBatch::try_from_iter([
            (columns::URL, Arc::new(LargeStringArray::from(urls)) as ArrayRef),
            (columns::HTML, Arc::new(LargeStringArray::from(pages.to_vec())) as ArrayRef),
        ])
        .expect("batch");
        map.map(Documents::new(DocBatch::new(batch).expect("types"))).expect("map")
    }

    #[test]
    fn writes_text_and_title_and_drops_html() {
        let (documents, verdicts) =
            run("", &["<title>T</title><h2>Head</h2><p>Some words.", "<script>1</script>"]);
        assert_eq!(documents.strings(columns::TEXT).expect("text").value(0), "Head\nSome words.");
        assert_eq!(documents.strings(columns::TITLE).expect("title").value(0), "T");
        assert_eq!(documents.strings(EXTRACTION).expect("extraction").value(0), "content");
        assert!(documents.strings(columns::HTML).is_err());
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Drop(NO_TEXT)]);
    }

    #[test]
    fn page_type_and_confidence_are_columns_where_they_are_named() {
        let config = "page_type_column = \"page_type\"\nconfidence_column = \"sure\"\nmax_bytes = 60";
        let (documents, _) = run(config, &["<h2>Head</h2><p>Some words.", &"<p>Too long. ".repeat(9)]);
        let types = documents.strings("page_type").expect("page type");
        assert!(types.is_valid(0) && types.is_null(1));
        assert!(documents.strings("sure").is_err(), "numbers are no strings");
        let (documents, _) = run("", &["<p>Some words."]);
        assert!(documents.strings("page_type").is_err());
    }

    #[test]
    fn format_and_limit_are_options() {
        let (documents, _) = run("format = \"markdown\"", &["<h2>Head</h2><p>Some words."]);
        assert_eq!(documents.strings(columns::TEXT).expect("text").value(0), "## Head\n\nSome words.");
        let (documents, _) = run("max_bytes = 4", &["<p>Some <b>words</b>."]);
        assert_eq!(documents.strings(EXTRACTION).expect("extraction").value(0), "text_only_bytes");
        assert_eq!(documents.strings(columns::TEXT).expect("text").value(0), "Some\nwords\n.");
    }
}
