//! `bloom_dedup`: cuts paragraphs and drops documents most of whose n-grams were seen in documents that come first.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::cut::cut;
use crate::dedup::normalise::WordHasher;
use crate::dedup::scope::Scope;
use crate::dedup::tokens::ngrams;
use crate::dedup::units::{declares, lines, rewrites, scoped};
use crate::documents::Documents;
use crate::hashing::FastHash;
use crate::stage::{
    BuildContext, Declares, Mark, Reason, Runtime, Shape, Spans, StageConfig, StageError, Verdict,
};

/// Cuts out paragraphs, and drops documents, most of whose n-grams stand in documents that come first. Rewrites `text`.
///
/// From BFF, the filter of Dolma (Soldaini et al. 2024, arXiv 2402.00159) and DCLM (Li et al. 2024, arXiv 2406.11794, section 4.2), with the values and the
/// mode of DCLM's baseline (`--remove-type old-both`, 13 words, threshold .8). A paragraph is a line. One of fewer than `ngram` words is one n-gram
/// if it has at least `min_ngram`, and is left alone otherwise. A paragraph of which more than `threshold` was seen goes; a document of whose n-grams, all
/// paragraphs together, more than that was seen is dropped as `ngrams_seen`.
///
/// There is no Bloom filter in it, in spite of the name by which people look for it: n-grams are exchanged and compared exactly, so that the result does not
/// depend on the order of work, on memory and on luck. Further differences from BFF: documents come in the order of the hash of their id and text, not of files
/// and threads; what a document holds counts as seen below even where it was itself cut out, so that of a chain of alike documents only the first is sure to
/// stay; an n-gram counts as seen only from an earlier paragraph, as there; words are compared in lower case, without punctuation and marks and with numbers
/// as `0`, where BFF compares them as they stand.
///
/// Costs: 24 bytes on disk for every word, and 8 for every n-gram seen before, where BFF holds 1.2 bytes for every n-gram in memory at a rate
/// of errors of .01; memory stays within `--memory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BloomDedup {
    /// Words in a row that make an n-gram. DCLM: 13.
    pub ngram: NonZeroUsize,
    /// A paragraph of fewer words than `ngram` but at least this many is compared as a whole. DCLM: 13, which leaves all of them alone.
    pub min_ngram: NonZeroUsize,
    /// What goes has more than this share of its n-grams seen. DCLM: 0.8.
    pub threshold: f64,
    /// What goes: `paragraphs`, `documents`, or `both`. DCLM: both. With `documents`, n-grams reach across lines.
    pub remove: Remove,
    /// Which documents may hold copies of each other's text: `all`, or those of the same `dump`.
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: what the documents of their stage of this kind held counts as seen. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike.
    pub against: Vec<String>,
    /// Into how many parts keys are split; each is merged by one task.
    pub partitions: NonZeroU32,
}

/// What goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remove {
    /// Paragraphs, and documents of which no paragraph is left.
    Paragraphs,
    /// Whole documents.
    Documents,
    /// Whole documents, and paragraphs of those that stay.
    #[default]
    Both,
}

impl Default for BloomDedup {
    fn default() -> Self {
        Self {
            ngram: NonZeroUsize::MIN.saturating_add(12),
            min_ngram: NonZeroUsize::MIN.saturating_add(12),
            threshold: 0.8,
            remove: Remove::Both,
            scope: Scope::All,
            against: Vec::new(),
            partitions: NonZeroU32::MIN.saturating_add(63),
        }
    }
}

const NGRAMS_SEEN: Reason = "ngrams_seen";

impl StageConfig for BloomDedup {
    const KIND: &'static str = "bloom_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Spans;
    const REASONS: &'static [Reason] = &[NGRAMS_SEEN];

    fn declares(&self) -> Declares {
        declares(self.scope, &self.against)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        if !(0.0..=1.0).contains(&self.threshold) {
            let threshold = self.threshold;
            return Err(StageError::Config(format!(
                "`threshold = {threshold}` in `bloom_dedup` is no share; 0.8 would work"
            )));
        }
        Ok(Runtime::Spans(Box::new(SeenNgrams { config: self.clone() })))
    }
}

struct SeenNgrams {
    config: BloomDedup,
}

/// A paragraph: where it stands and its n-grams, each with the number of the first in the paragraph that is equal.
struct Paragraph {
    range: Range<usize>,
    ngrams: Vec<(u128, u32)>,
}

/// A hasher, and the hashes of a paragraph's words.
type Scratch = (WordHasher, Vec<u64>);

impl SeenNgrams {
    /// N-grams are numbered through the document.
    fn paragraphs(&self, text: &str, scratch: &mut Scratch) -> Vec<Paragraph> {
        let (hasher, hashes) = scratch;
        let whole = 0..text.len();
        let ranges = if self.config.remove == Remove::Documents { vec![whole] } else { lines(text) };
        let mut next = 0;
        let paragraph = |range: Range<usize>| {
            hashes.clear();
            hasher.hash_words(&text[range.clone()], hashes, |_| ());
            let n = match hashes.len() {
                n if n >= self.config.ngram.get() => self.config.ngram.get(),
                n if n >= self.config.min_ngram.get() => n,
                _ => return Paragraph { range, ngrams: Vec::new() },
            };
            let mut first: HashMap<u128, u32, FastHash> = HashMap::default();
            let numbered = ngrams(hashes, n).map(|key| {
                let number = next;
                next += 1;
                (key, *first.entry(key).or_insert(number))
            });
            let ngrams = numbered.collect();
            Paragraph { range, ngrams }
        };
        ranges.into_iter().map(paragraph).collect()
    }

    /// What is left of a text, or why its document goes.
    fn without(&self, text: &str, paragraphs: &[Paragraph], marked: &[u32]) -> Result<String, Reason> {
        let is_over = |seen: usize, n: usize| n > 0 && seen as f64 / n as f64 > self.config.threshold;
        let (mut n, mut n_seen) = (0, 0);
        let mut gone = Vec::new();
        for paragraph in paragraphs {
            let seen =
                paragraph.ngrams.iter().filter(|(_, first)| marked.binary_search(first).is_ok()).count();
            n += paragraph.ngrams.len();
            n_seen += seen;
            if is_over(seen, paragraph.ngrams.len()) {
                gone.push(paragraph.range.clone());
            }
        }
        if self.config.remove != Remove::Paragraphs && is_over(n_seen, n) {
            return Err(NGRAMS_SEEN);
        }
        let left = cut(text, &gone);
        if left.trim().is_empty() { Err(NGRAMS_SEEN) } else { Ok(left.into_owned()) }
    }
}

impl Spans for SeenNgrams {
    fn partitions(&self) -> u32 {
        self.config.partitions.get()
    }

    fn passes(&self) -> &[Mark] {
        &[Mark::Later]
    }

    fn key_format(&self) -> String {
        let BloomDedup { ngram, min_ngram, remove, scope, partitions, .. } = &self.config;
        let lines = *remove != Remove::Documents;
        format!("{ngram}-grams from {min_ngram}, of lines {lines}, scope {scope:?}, {partitions} partitions")
    }

    fn keys(
        &self,
        _: usize,
        documents: &Documents,
        _: &[Vec<u32>],
        emit: &mut dyn FnMut(usize, u32, u128),
    ) -> Result<(), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let mut scratch = Scratch::default();
        let salts = self.config.scope.salts(documents)?;
        for (row, &salt) in salts.iter().enumerate() {
            let mut number = 0;
            for paragraph in self.paragraphs(texts.value(row), &mut scratch) {
                for (key, first) in paragraph.ngrams {
                    if first == number {
                        emit(row, number, scoped(key, salt));
                    }
                    number += 1;
                }
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
        rewrites(documents, marked, |_, _, text, marked| {
            Ok(self.without(text, &self.paragraphs(text, &mut scratch), marked))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::dedup::order::orders;
    use crate::dedup::span_test_support::{documents, each_way};

    fn stage(remove: Remove) -> BloomDedup {
        let ngram = NonZeroUsize::new(2).unwrap();
        BloomDedup { ngram, min_ngram: ngram, threshold: 0.5, remove, ..BloomDedup::default() }
    }

    #[test]
    fn a_seen_document_goes_and_the_first_stays() {
        let texts = ["a b c d e\nf g h", "A, b c d e; f\ng h", "q r s"];
        for remove in [Remove::Documents, Remove::Both] {
            let left = each_way(&stage(remove), &texts);
            let n_dropped = left[..2].iter().filter(|left| **left == Err(NGRAMS_SEEN)).count();
            assert_eq!((n_dropped, &left[2]), (1, &Ok("q r s".into())), "{remove:?} {left:?}");
        }
    }

    #[test]
    fn seen_paragraphs_go() {
        let texts = [
            "one two three four\nfive six seven eight nine",
            "one two three four\nten eleven twelve thirteen fourteen",
        ];
        let left = each_way(&stage(Remove::Both), &texts);
        let all = left.iter().map(|left| left.as_ref().unwrap().as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(all.matches("one two three four").count(), 1, "{left:?}");
        assert!(all.contains("nine") && all.contains("fourteen"), "{left:?}");
    }

    #[test]
    fn shares_and_short_paragraphs() {
        // Two of four n-grams are not more than half, and what repeats within a paragraph was not seen before it.
        let texts = ["a b c", "a b c x y\nz", "p q p q p q"];
        let few = each_way(&stage(Remove::Both), &texts);
        assert_eq!(few[1..], [Ok(texts[1].into()), Ok(texts[2].into())]);
        let left = each_way(&BloomDedup { threshold: 0.0, ..stage(Remove::Paragraphs) }, &["z", "Z", "a\nb"]);
        assert_eq!(left, [Ok("z".into()), Ok("Z".into()), Ok("a\nb".into())]);
    }

    #[test]
    fn a_threshold_is_a_share() {
        let wrong = BloomDedup { threshold: 80.0, ..BloomDedup::default() };
        let message = wrong.build(&BuildContext { base: ".".into(), seed: 0 }).err().unwrap().to_string();
        assert!(message.contains("threshold = 80"), "{message}");
    }

    /// The definition: documents in their order, paragraph by paragraph, words being letters.
    fn plain(
        texts: &[String],
        order: &[usize],
        n: usize,
        config: &BloomDedup,
    ) -> Vec<Result<String, Reason>> {
        let mut seen: HashSet<Vec<char>> = HashSet::new();
        let mut left = vec![Ok(String::new()); texts.len()];
        let is_over = |seen: usize, all: usize| all > 0 && seen as f64 / all as f64 > config.threshold;
        for &i in order {
            let (mut all, mut all_seen, mut kept) = (0, 0, String::new());
            for paragraph in texts[i].split('\n') {
                let letters: Vec<char> = paragraph.chars().filter(|c| !c.is_whitespace()).collect();
                let ngrams: Vec<Vec<char>> = letters.windows(n).map(<[char]>::to_vec).collect();
                let n_seen = ngrams.iter().filter(|ngram| seen.contains(*ngram)).count();
                all += ngrams.len();
                all_seen += n_seen;
                if !is_over(n_seen, ngrams.len()) {
                    kept.extend(&letters);
                }
                seen.extend(ngrams);
            }
            let goes = config.remove != Remove::Paragraphs && is_over(all_seen, all);
            // A text that had nothing to begin with stays.
            let is_empty = kept.is_empty() && all > 0;
            left[i] = if goes || is_empty { Err(NGRAMS_SEEN) } else { Ok(kept) };
        }
        left
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn it_is_the_definition(
            texts in prop::collection::vec(prop::collection::vec("[a-c]{0,7}", 0..4), 1..6),
            n in 2_usize..4,
            threshold in prop_oneof![Just(0.0), Just(0.5), Just(0.8)],
            remove in prop_oneof![Just(Remove::Paragraphs), Just(Remove::Both)],
        ) {
            let spaced = |line: &String| line.chars().map(String::from).collect::<Vec<_>>().join(" ");
            let texts: Vec<String> =
                texts.iter().map(|lines| lines.iter().map(spaced).collect::<Vec<_>>().join("\n")).collect();
            let ngram = NonZeroUsize::new(n).unwrap();
            let config = BloomDedup { ngram, min_ngram: ngram, threshold, remove, ..BloomDedup::default() };
            let rows: Vec<(String, String)> =
                texts.iter().enumerate().map(|(i, text)| (format!("doc-{i}"), text.clone())).collect();
            let ranks = orders(&documents(&rows)).unwrap();
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|&i| ranks[i]);
            let letters = |text: String| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let left: Vec<_> = each_way(&config, &texts).into_iter().map(|left| left.map(letters)).collect();
            prop_assert_eq!(left, plain(&texts, &order, n, &config));
        }
    }
}
