//! `gzip_ratio`: drops text that repeats itself or is random, by how well it packs.

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};

/// Drops documents by how well they pack: the bytes of the text divided by the bytes that gzip (level 6) makes of them. Text that says the
/// same again and again packs very well; random characters, base64 and columns of numbers pack badly.
///
/// No paper settles the bounds. The defaults were measured: of 2,700 pages, articles, chats and novels of 1,000 bytes and more, 99 in 100
/// lie between 1.6 and 5; base64 has 1.3, a page of one sentence over and over 20 and more. Text outside the bounds is worth a look
/// (`gristmill preview --rejected`) before they are made tighter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GzipRatio {
    /// Drop a document that packs worse than this. Default 1.5; 0 turns it off. Reason `packs_badly`.
    pub min_ratio: f64,
    /// Drop a document that packs better than this. Default 5. Reason `packs_too_well`.
    pub max_ratio: f64,
    /// Texts with fewer bytes than this stay whatever their ratio: what is short packs badly. Default 1,000.
    pub min_bytes: usize,
    /// Only this many bytes are packed, from the beginning: what is longer packs better. Default 32,768, as far as gzip looks back.
    pub max_bytes: usize,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.th]`. Keys that it
    /// leaves out, and languages without a table, have the values above. Letters that take three bytes make text pack better.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for GzipRatio {
    fn default() -> Self {
        Self {
            min_ratio: 1.5,
            max_ratio: 5.0,
            min_bytes: 1000,
            max_bytes: 32_768,
            overrides: Overrides::new(),
        }
    }
}

const PACKS_BADLY: Reason = "packs_badly";
const PACKS_TOO_WELL: Reason = "packs_too_well";

impl StageConfig for GzipRatio {
    const KIND: &'static str = "gzip_ratio";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[PACKS_BADLY, PACKS_TOO_WELL];

    fn declares(&self) -> Declares {
        by_language::declares(&self.overrides, judge::declares())
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(ByLanguage::new(self, &self.overrides, Self::checked)?)))
    }
}

impl Filter for ByLanguage<GzipRatio> {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        judge::verdicts_of_texts(documents, self, GzipRatio::verdict)
    }
}

thread_local! {
    /// The packer and what it writes to: a megabyte of tables, made once a thread.
    static PACKER: RefCell<(Compressor, Vec<u8>)> =
        RefCell::new((Compressor::new(CompressionLvl::default()), Vec::new()));
}

impl GzipRatio {
    /// These settings, unless a value cannot serve.
    fn checked(&self) -> Result<Self, StageError> {
        judge::check_limits(Self::KIND, &[("min_ratio", self.min_ratio), ("max_ratio", self.max_ratio)])?;
        if self.min_ratio > self.max_ratio || self.max_bytes == 0 {
            return Err(StageError::Config(format!(
                "`{}` drops every document: `min_ratio = {}`, `max_ratio = {}`, `max_bytes = {}`",
                Self::KIND,
                self.min_ratio,
                self.max_ratio,
                self.max_bytes
            )));
        }
        Ok(self.clone())
    }

    /// Why a document is dropped, or none.
    pub fn verdict(&self, text: &str) -> Option<Reason> {
        if text.len() < self.min_bytes.max(1) {
            return None;
        }
        let ratio = ratio(&text.as_bytes()[..text.len().min(self.max_bytes)]);
        if ratio < self.min_ratio {
            return Some(PACKS_BADLY);
        }
        (ratio > self.max_ratio).then_some(PACKS_TOO_WELL)
    }
}

/// Bytes before by bytes after.
fn ratio(bytes: &[u8]) -> f64 {
    let packed = PACKER.with_borrow_mut(|(packer, out)| {
        out.resize(packer.gzip_compress_bound(bytes.len()), 0);
        packer.gzip_compress(bytes, out).expect("the bound is large enough for any input")
    });
    bytes.len() as f64 / packed as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Reason>) {
        assert_eq!(GzipRatio::default().verdict(text), expected, "{text:.60}");
    }

    /// Letters without pattern.
    fn noise(n: usize) -> String {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            letters[(state >> 26) as usize] as char
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn every_reason() {
        let prose = include_str!("../../README.md");
        check(prose, None);
        check(&noise(2000), Some(PACKS_BADLY));
        check(&"The mill by the river is very old. ".repeat(40), Some(PACKS_TOO_WELL));
        check(&"中".repeat(500), Some(PACKS_TOO_WELL));
        check(&noise(999), None);
        check("", None);
    }

    #[test]
    fn only_the_beginning_is_packed() {
        let text = noise(40_000);
        let end = GzipRatio { max_bytes: 1000, ..GzipRatio::default() };
        assert_eq!(end.verdict(&format!("{}{text}", "The mill. ".repeat(100))), Some(PACKS_TOO_WELL));
        // A cut inside a character is no panic.
        assert_eq!(end.verdict(&format!("a{}", "é".repeat(5000))), Some(PACKS_TOO_WELL));
    }

    #[test]
    fn bounds_that_drop_everything_are_mistakes() {
        let context = BuildContext { base: ".".into(), seed: 0 };
        for config in [
            GzipRatio { min_ratio: 6.0, ..GzipRatio::default() },
            GzipRatio { max_bytes: 0, ..GzipRatio::default() },
        ] {
            assert!(config.build(&context).err().unwrap().to_string().contains("drops every document"));
        }
    }
}
