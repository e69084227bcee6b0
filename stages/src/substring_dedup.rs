//! `substring_dedup`: cuts out passages of 50 tokens and more that stand elsewhere in the corpus too.

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::cut::cut;
use crate::dedup::scope::Scope;
use crate::dedup::tokens::{Token, ngrams, tokens};
use crate::dedup::units::{Keep, declares, rewrites, scoped};
use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, Mark, Reason, Runtime, Shape, Spans, StageConfig, StageError, Verdict,
};

/// Cuts out passages of 50 tokens or more that occur more than once, across documents and within one, wherever they begin and end.
/// Rewrites `text`.
///
/// From Lee et al. 2022 (arXiv 2107.06499, section 4.1, "exact substring duplication"), which sorts all suffixes of the corpus. Here a token is a
/// run of letters and digits, any other character that is not whitespace, or a character of a script without spaces, as it stands in the
/// text; whitespace does not count. Lee et al. count tokens of a model, about 1.2 times as many in English prose. A token goes if it lies in any 50 in a row that
/// stand elsewhere too, except for the first copy: the one in the document whose hash of id and text is smallest, further up in the same one. Of what
/// goes, an equal passage therefore always stays. Whitespace around a gap folds into the widest of its parts.
///
/// Exact but for hashes: 128 bits of every row of 50 tokens, of which 64 and the part are kept. Two passes keep the cost down. Of the 26 rows of 25 tokens within
/// any 50, the one with the smallest hash is an anchor, the same wherever those 50 stand; the first pass compares anchors alone, one for about 13 tokens. The
/// second compares the rows of 50 whose anchor occurs more than once. Nothing that is repeated can slip through.
///
/// It cannot be compared with earlier runs without their text: their second pass left out what was not repeated then.
///
/// Costs: on disk 24 bytes for each anchor (1.8 a token) and 24 for each token in a row of 50 whose anchor is repeated, and 8 for each copy of
/// either; memory stays within `--memory`, beside 44 bytes for each token of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubstringDedup {
    /// The shortest passage that goes, in tokens. Lee et al.: 50, by a tokenizer's count.
    pub min_tokens: NonZeroUsize,
    /// Which copies stay: `first`, or `none` of them.
    pub keep: Keep,
    /// Drop a document that lost passages and has fewer tokens left than this. Reason `too_few_tokens_left`; one of which no token is left
    /// is dropped as `all_text_repeated`.
    pub min_tokens_left: usize,
    /// Which documents may hold copies of each other's text: `all`, or those of the same `dump`.
    pub scope: Scope,
    /// Into how many parts keys are split; each is merged by one task.
    pub partitions: NonZeroU32,
}

impl Default for SubstringDedup {
    fn default() -> Self {
        Self {
            min_tokens: NonZeroUsize::MIN.saturating_add(49),
            keep: Keep::First,
            min_tokens_left: 0,
            scope: Scope::All,
            partitions: NonZeroU32::MIN.saturating_add(31),
        }
    }
}

const ALL_TEXT_REPEATED: Reason = "all_text_repeated";
const TOO_FEW_TOKENS_LEFT: Reason = "too_few_tokens_left";

impl StageConfig for SubstringDedup {
    const KIND: &'static str = "substring_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Spans;
    const REASONS: &'static [Reason] = &[ALL_TEXT_REPEATED, TOO_FEW_TOKENS_LEFT];

    fn declares(&self) -> Declares {
        declares(self.scope, &[])
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Spans(Box::new(Substrings {
            length: self.min_tokens.get(),
            min_tokens_left: self.min_tokens_left,
            scope: self.scope,
            partitions: self.partitions.get(),
            marks: [Mark::All, self.keep.mark()],
        })))
    }
}

struct Substrings {
    length: usize,
    min_tokens_left: usize,
    scope: Scope,
    partitions: u32,
    marks: [Mark; 2],
}

impl Substrings {
    /// What is left of a text without the rows that begin at the tokens `marked`, or why its document goes.
    fn without(&self, text: &str, marked: &[u32]) -> Result<String, Reason> {
        let tokens = tokens(text);
        let mut gone: Vec<Range<usize>> = Vec::new();
        for &start in marked {
            let row = start as usize..(start as usize + self.length).min(tokens.len());
            match gone.last_mut() {
                Some(last) if row.start <= last.end => last.end = row.end,
                _ => gone.push(row),
            }
        }
        let n_left = tokens.len() - gone.iter().map(Range::len).sum::<usize>();
        if n_left == 0 {
            return Err(ALL_TEXT_REPEATED);
        }
        if n_left < self.min_tokens_left {
            return Err(TOO_FEW_TOKENS_LEFT);
        }
        let bytes = |row: Range<usize>| tokens[row.start].start as usize..tokens[row.end - 1].end as usize;
        Ok(cut(text, &gone.into_iter().map(bytes).collect::<Vec<_>>()).into_owned())
    }
}

/// Keys of the rows of half the length, and for every row of `length` the first of the smallest among those within it: its
/// anchor. As the anchor's key depends on the row alone, a row that is repeated has an anchor that is, at another place.
fn anchors(hashes: &[u64], length: usize) -> (Vec<u128>, Vec<u32>) {
    let half = length.div_ceil(2);
    let within = length - half + 1;
    let keys: Vec<u128> = ngrams(hashes, half).collect();
    let mut anchors = Vec::with_capacity((hashes.len() + 1).saturating_sub(length));
    // Ascending keys, each smaller than all that came after it within the row.
    let mut smallest: VecDeque<usize> = VecDeque::new();
    for (i, key) in keys.iter().enumerate() {
        while smallest.back().is_some_and(|&last| keys[last] > *key) {
            smallest.pop_back();
        }
        smallest.push_back(i);
        if i + 1 >= within {
            while smallest.front().is_some_and(|&first| first + within <= i) {
                smallest.pop_front();
            }
            anchors.push(smallest[0] as u32);
        }
    }
    (keys, anchors)
}

impl Spans for Substrings {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn passes(&self) -> &[Mark] {
        &self.marks
    }

    fn key_format(&self) -> String {
        format!("anchors of {} tokens, scope {:?}, {} partitions", self.length, self.scope, self.partitions)
    }

    /// Spans are anchors in the first pass, rows of the full length in the second, each numbered by its first token.
    fn keys(
        &self,
        pass: usize,
        documents: &Documents,
        marked: &[Vec<u32>],
        emit: &mut dyn FnMut(usize, u32, u128),
    ) -> Result<(), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let salts = self.scope.salts(documents)?;
        for (row, repeated) in marked.iter().enumerate() {
            if pass > 0 && repeated.is_empty() {
                continue;
            }
            let hashes: Vec<u64> =
                tokens(texts.value(row)).into_iter().map(|Token { hash, .. }| hash).collect();
            let (keys, mut anchors) = anchors(&hashes, self.length);
            if pass == 0 {
                anchors.dedup();
                for anchor in anchors {
                    emit(row, anchor, scoped(keys[anchor as usize], salts[row]));
                }
                continue;
            }
            for (start, key) in ngrams(&hashes, self.length).enumerate() {
                if repeated.binary_search(&anchors[start]).is_ok() {
                    emit(row, start as u32, scoped(key, salts[row]));
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
        rewrites(documents, marked, |_, _, text, marked| Ok(self.without(text, marked)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::dedup::span_test_support::{Left, each_way};

    fn stage(min_tokens: usize, keep: Keep) -> SubstringDedup {
        SubstringDedup {
            min_tokens: NonZeroUsize::new(min_tokens).unwrap(),
            keep,
            ..SubstringDedup::default()
        }
    }

    #[test]
    fn passages_go_wherever_they_begin_and_end() {
        let passage = (0..50).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
        let texts = [
            format!("Alpha said: {passage}"),
            format!("Beta\n\n{passage}, and more"),
            passage.replacen("w49", "x", 1),
        ];
        let left = each_way(&stage(50, Keep::None), &texts);
        assert_eq!(left, [Ok("Alpha said:".into()), Ok("Beta\n\n, and more".into()), Ok(texts[2].clone())]);
        let left = each_way(&stage(50, Keep::First), &texts);
        assert_eq!(
            left.iter().filter(|left| left.as_ref().is_ok_and(|left| left.contains(&passage))).count(),
            1
        );
        assert_eq!(each_way(&stage(51, Keep::None), &texts), texts.map(Ok));
    }

    #[test]
    fn documents_of_which_too_little_is_left_go() {
        let short = SubstringDedup { min_tokens_left: 3, ..stage(3, Keep::None) };
        let texts = ["a b c", "x a b c y", "a b c d e f"];
        let left = each_way(&short, &texts);
        assert_eq!(left, [Err(ALL_TEXT_REPEATED), Err(TOO_FEW_TOKENS_LEFT), Ok("d e f".into())]);
    }

    /// The definition: of every `length` tokens in a row that occur more than once, all but the first go.
    fn plain(texts: &[String], order: &[usize], length: usize, keep: Keep) -> Vec<String> {
        let mut places: HashMap<&[u8], Vec<(usize, usize)>> = HashMap::new();
        for &i in order {
            for (start, row) in texts[i].as_bytes().windows(length).enumerate() {
                places.entry(row).or_default().push((i, start));
            }
        }
        let mut goes: Vec<Vec<bool>> = texts.iter().map(|text| vec![false; text.len()]).collect();
        for places in places.into_values() {
            let skip = usize::from(keep == Keep::First || places.len() == 1);
            for (i, start) in places.into_iter().skip(skip) {
                goes[i][start..start + length].fill(true);
            }
        }
        let left = texts.iter().zip(goes);
        left.map(|(text, goes)| text.chars().zip(goes).filter(|(_, goes)| !goes).map(|(c, _)| c).collect())
            .collect()
    }

    fn letters(left: &Left) -> String {
        left.as_ref().map(|text| text.replace(' ', "")).unwrap_or_default()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn it_is_the_definition(
            // Few letters repeat by themselves, periods among them; copied passages of many letters repeat at length.
            texts in prop::collection::vec(prop_oneof!["[ab]{0,40}", "(ab|abc){0,20}", "[a-z]{0,10}(themillbytheriver){0,2}[a-z]{0,10}"], 1..6),
            length in prop_oneof![1_usize..4, 5_usize..20],
            keep in prop_oneof![Just(Keep::First), Just(Keep::None)],
        ) {
            let spaced: Vec<String> =
                texts.iter().map(|text| text.chars().map(String::from).collect::<Vec<_>>().join(" ")).collect();
            let rows: Vec<(String, String)> =
                spaced.iter().enumerate().map(|(i, text)| (format!("doc-{i}"), text.clone())).collect();
            let orders = crate::dedup::order::orders(&crate::dedup::span_test_support::documents(&rows)).unwrap();
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|&i| orders[i]);
            let left: Vec<String> = each_way(&stage(length, keep), &spaced).iter().map(letters).collect();
            prop_assert_eq!(left, plain(&texts, &order, length, keep));
        }
    }
}
