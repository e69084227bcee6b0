//! `extract_text`: markup to main text. The work is in [`crate::html`]; this file is the stage around it.

use std::sync::Arc;

use arrow::array::{Array, LargeStringBuilder};
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
/// other boilerplate. Reads `html`; writes `text`, `title` and `extraction`; drops `html`.
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
    /// Longest page, in bytes of decoded HTML, whose markup is parsed; longer pages become `text_only_bytes`.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: usize,
}

fn default_max_bytes() -> usize {
    html::dom::Limits::default().bytes
}

impl StageConfig for ExtractText {
    const KIND: &'static str = "extract_text";
    const VERSION: u32 = 3;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[NO_TEXT];

    fn declares(&self) -> Declares {
        Declares {
            reads: vec![columns::HTML.into(), columns::URL.into()],
            writes: vec![columns::TEXT.into(), columns::TITLE.into(), EXTRACTION.into()],
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
        Ok(Runtime::Map(Box::new(Extractor { options })))
    }
}

/// How a document's text was come by.
const EXTRACTION: &str = "extraction";

struct Extractor {
    options: html::Options,
}

impl Map for Extractor {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let pages = documents.strings(columns::HTML)?;
        let urls = documents.strings(columns::URL)?;
        let mut texts = LargeStringBuilder::new();
        let mut titles = LargeStringBuilder::new();
        let mut extractions = LargeStringBuilder::new();
        let mut verdicts = Vec::with_capacity(pages.len());
        for row in 0..pages.len() {
            let url = urls.is_valid(row).then(|| urls.value(row));
            let extracted = html::extract(pages.value(row), url, &self.options);
            texts.append_value(&extracted.text);
            titles.append_option(extracted.title.as_deref());
            extractions.append_value(match extracted.extraction {
                Extraction::Content => "content",
                Extraction::TextOnly(reason) => reason.name(),
            });
            verdicts.push(Verdict::from(extracted.text.is_empty().then_some(NO_TEXT)));
        }
        let documents = documents
            .with_column(columns::TEXT, Arc::new(texts.finish()))?
            .with_column(columns::TITLE, Arc::new(titles.finish()))?
            .with_column(EXTRACTION, Arc::new(extractions.finish()))?
            .without_column(columns::HTML)?;
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
    fn format_and_limit_are_options() {
        let (documents, _) = run("format = \"markdown\"", &["<h2>Head</h2><p>Some words."]);
        assert_eq!(documents.strings(columns::TEXT).expect("text").value(0), "## Head\n\nSome words.");
        let (documents, _) = run("max_bytes = 4", &["<p>Some <b>words</b>."]);
        assert_eq!(documents.strings(EXTRACTION).expect("extraction").value(0), "text_only_bytes");
        assert_eq!(documents.strings(columns::TEXT).expect("text").value(0), "Some\nwords\n.");
    }
}
