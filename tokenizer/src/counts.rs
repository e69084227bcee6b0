//! How often does each pre-token occur? The only thing that training needs to know of a corpus.
//!
//! Counts add up: each task counts its own documents, and the sum is the same in any order, as long as the number of
//! distinct pre-tokens stays below its limit. The file form is sorted, so that equal counts are equal bytes.

use crate::{Pattern, TokenizerError};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{Read, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Longer pre-tokens are counted in parts of at most this many bytes, cut between characters.
///
/// A line of base64 or of unspaced Chinese is one pre-token, and training reads a whole pre-token for every merge in
/// it. No useful token is this long, so that only the few pairs across a cut go uncounted. Encoding has no such limit.
pub const MAX_PRETOKEN_BYTES: usize = 256;

/// Distinct pre-tokens that are kept unless a caller says otherwise: about a gigabyte.
pub const MAX_PRETOKENS: usize = 10_000_000;

const MAGIC: &[u8; 8] = b"GMPTOK02";
const FORMAT: &str = "pre-token counts file";

/// Counts of distinct pre-tokens, with the pattern that cut them.
#[derive(Debug, Clone)]
pub struct PretokenCounts {
    pattern: Pattern,
    counts: HashMap<Box<[u8]>, u64, BuildHasherDefault<BytesHasher>>,
    limit: usize,
    dropped: u64,
}

impl PretokenCounts {
    /// No counts yet; at most [`MAX_PRETOKENS`] will be kept.
    pub fn new(pattern: Pattern) -> Self {
        Self::with_limit(pattern, MAX_PRETOKENS)
    }

    /// No counts yet. Whenever more than `limit` distinct pre-tokens are there after a document or a merge, the less
    /// frequent half of them is dropped, so that memory stays bounded on a corpus of any size.
    ///
    /// What is dropped depends on the documents and the order in which counts are added, never on time or threads. A
    /// pre-token that is frequent everywhere is never among them; one whose occurrences lie far apart may lose some.
    pub fn with_limit(pattern: Pattern, limit: usize) -> Self {
        Self { pattern, counts: HashMap::default(), limit, dropped: 0 }
    }

    /// The pattern that cuts documents into pre-tokens.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Adds the pre-tokens of one document. Text never runs on from one document to the next.
    pub fn add(&mut self, text: &str) {
        let counts = &mut self.counts;
        self.pattern.for_each(text, |mut piece| {
            while piece.len() > MAX_PRETOKEN_BYTES {
                let (head, tail) = piece.split_at(piece.floor_char_boundary(MAX_PRETOKEN_BYTES));
                bump(counts, head.as_bytes(), 1);
                piece = tail;
            }
            bump(counts, piece.as_bytes(), 1);
        });
        self.keep_to_limit();
    }

    /// Drops the less frequent half; of equally frequent ones those of higher hash, which favours no letter.
    fn keep_to_limit(&mut self) {
        if self.counts.len() <= self.limit {
            return;
        }
        let order = |piece: &[u8], count: u64| (Reverse(count), xxh3_64(piece));
        let mut orders: Vec<_> = self.counts.iter().map(|(piece, count)| order(piece, *count)).collect();
        let (_, first_dropped, _) = orders.select_nth_unstable(self.limit / 2);
        let first_dropped = *first_dropped;
        self.counts.retain(|piece, count| {
            let kept = order(piece, *count) < first_dropped;
            if !kept {
                self.dropped = self.dropped.saturating_add(*count);
            }
            kept
        });
    }

    /// Adds all counts of `other`.
    ///
    /// # Errors
    /// [`TokenizerError::Options`] when the two were cut by different patterns.
    pub fn merge(&mut self, other: Self) -> Result<(), TokenizerError> {
        if self.pattern != other.pattern {
            return Err(TokenizerError::Options(format!(
                "cannot add pre-token counts of split pattern `{}` to those of `{}`; count again with one pattern",
                other.pattern.regex(),
                self.pattern.regex()
            )));
        }
        // The smaller map walks into the larger one.
        let mut small = other.counts;
        if small.len() > self.counts.len() {
            std::mem::swap(&mut small, &mut self.counts);
        }
        for (piece, count) in small {
            let total = self.counts.entry(piece).or_insert(0);
            *total = total.saturating_add(count);
        }
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.keep_to_limit();
        Ok(())
    }

    /// How many distinct pre-tokens there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no pre-token was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How often `piece` was counted.
    pub fn count(&self, piece: &[u8]) -> u64 {
        self.counts.get(piece).copied().unwrap_or(0)
    }

    /// Occurrences of the pre-tokens that are still counted.
    pub fn occurrences(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Occurrences that were dropped because of the limit.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All pre-tokens with their counts, sorted by their bytes.
    pub fn sorted(&self) -> Vec<(&[u8], u64)> {
        let mut sorted: Vec<_> = self.counts.iter().map(|(piece, count)| (&**piece, *count)).collect();
        sorted.sort_unstable();
        sorted
    }

    /// Writes the counts, sorted: magic, pattern, dropped occurrences, number of entries, then (length u32, bytes, count u64)
    /// each, then the xxh3 of all that; integers are little-endian. Equal counts give equal bytes.
    pub fn write_to(&self, writer: impl Write) -> std::io::Result<()> {
        let mut out = HashingWriter { inner: writer, hash: Xxh3::new() };
        out.write_all(MAGIC)?;
        out.write_bytes(self.pattern.regex().as_bytes())?;
        out.write_all(&self.dropped.to_le_bytes())?;
        out.write_all(&(self.counts.len() as u64).to_le_bytes())?;
        for (piece, count) in self.sorted() {
            out.write_bytes(piece)?;
            out.write_all(&count.to_le_bytes())?;
        }
        let digest = out.hash.digest();
        out.inner.write_all(&digest.to_le_bytes())?;
        out.inner.flush()
    }

    /// Reads what [`Self::write_to`] wrote.
    ///
    /// # Errors
    /// [`TokenizerError::Format`] when the bytes are truncated, damaged or another format.
    pub fn read_from(mut reader: impl Read) -> Result<Self, TokenizerError> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|e| TokenizerError::format(FORMAT, e.to_string()))?;
        let truncated = || TokenizerError::format(FORMAT, format!("it ends early, at byte {}", bytes.len()));
        let (body, digest) = bytes.split_last_chunk::<8>().ok_or_else(truncated)?;
        if !body.starts_with(MAGIC) {
            return Err(TokenizerError::format(FORMAT, "it does not begin with `GMPTOK02`"));
        }
        if xxh3_64(body) != u64::from_le_bytes(*digest) {
            return Err(TokenizerError::format(
                FORMAT,
                "its checksum differs: the file is truncated or damaged",
            ));
        }
        let mut rest = &body[MAGIC.len()..];
        let regex = take_bytes(&mut rest).ok_or_else(truncated)?;
        let regex = std::str::from_utf8(regex).map_err(|e| TokenizerError::format(FORMAT, e.to_string()))?;
        let mut this = Self::with_limit(Pattern::custom(regex)?, usize::MAX);
        this.dropped = take_u64(&mut rest).ok_or_else(truncated)?;
        for _ in 0..take_u64(&mut rest).ok_or_else(truncated)? {
            let piece = take_bytes(&mut rest).ok_or_else(truncated)?;
            bump(&mut this.counts, piece, take_u64(&mut rest).ok_or_else(truncated)?);
        }
        Ok(this)
    }
}

fn bump(counts: &mut HashMap<Box<[u8]>, u64, BuildHasherDefault<BytesHasher>>, piece: &[u8], by: u64) {
    // Looking up before inserting saves the allocation of a key for all but the first occurrence.
    if let Some(count) = counts.get_mut(piece) {
        *count = count.saturating_add(by);
    } else {
        counts.insert(piece.into(), by);
    }
}

fn take_bytes<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = tail;
    Some(bytes)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (value, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    Some(u64::from_le_bytes(*value))
}

struct HashingWriter<W> {
    inner: W,
    hash: Xxh3,
}

impl<W: Write> HashingWriter<W> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.write_all(bytes)
    }
}

/// xxh3 of a byte string in one call: keys here are short, and the default hasher's start and finish would dominate.
#[derive(Default)]
pub(crate) struct BytesHasher(u64);

impl Hasher for BytesHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ xxh3_64(bytes);
    }

    fn write_usize(&mut self, _length_prefix: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(texts: &[&str]) -> PretokenCounts {
        let mut counts = PretokenCounts::new(Pattern::gpt2());
        for text in texts {
            counts.add(text);
        }
        counts
    }

    fn bytes(counts: &PretokenCounts) -> Vec<u8> {
        let mut bytes = Vec::new();
        counts.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn counts_add_up_in_any_order() {
        let whole = counts(&["the cat the", "dog the", "cat"]);
        let mut left = counts(&["cat"]);
        left.merge(counts(&["dog the", "the cat the"])).unwrap();
        assert_eq!(whole.sorted(), left.sorted());
        assert_eq!(bytes(&whole), bytes(&left));
        assert_eq!(whole.count(b" the"), 2);
        assert_eq!(whole.count(b"the"), 1);
    }

    #[test]
    fn the_file_reads_back_and_damage_is_found() {
        let whole = counts(&["a bb a", "é 日本"]);
        let file = bytes(&whole);
        let back = PretokenCounts::read_from(&file[..]).unwrap();
        assert_eq!(back.sorted(), whole.sorted());
        assert_eq!(back.pattern(), whole.pattern());
        for damaged in 0..file.len() {
            assert!(PretokenCounts::read_from(&file[..damaged]).is_err(), "cut at {damaged}");
            let mut flipped = file.clone();
            flipped[damaged] ^= 1;
            assert!(PretokenCounts::read_from(&flipped[..]).is_err(), "flipped at {damaged}");
        }
    }

    #[test]
    fn the_file_layout_is_fixed() {
        let mut one = PretokenCounts::new(Pattern::custom("x").unwrap());
        one.add("x");
        let mut expected =
            b"GMPTOK02\x01\0\0\0x\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0x\x01\0\0\0\0\0\0\0".to_vec();
        expected.extend(xxh3_64(&expected).to_le_bytes());
        assert_eq!(bytes(&one), expected);
    }

    #[test]
    fn past_the_limit_the_rarer_half_is_dropped_and_its_occurrences_are_counted() {
        let mut counts = PretokenCounts::with_limit(Pattern::gpt2(), 4);
        counts.add("a a a b b b c c d");
        // `a` without its space is one more; five are too many.
        assert_eq!((counts.len(), counts.count(b" a"), counts.count(b" b")), (2, 2, 3));
        assert_eq!((counts.occurrences(), counts.dropped()), (5, 4));
        let mut sum = PretokenCounts::with_limit(Pattern::gpt2(), 3);
        sum.merge(counts.clone()).unwrap();
        assert_eq!(sum.sorted(), counts.sorted());
        sum.merge(super::tests::counts(&[" x x", " y"])).unwrap();
        assert_eq!((sum.count(b" b"), sum.len(), sum.occurrences() + sum.dropped()), (3, 1, 12));
        let back = PretokenCounts::read_from(&bytes(&sum)[..]).unwrap();
        assert_eq!((back.sorted(), back.dropped()), (sum.sorted(), sum.dropped()));
    }

    #[test]
    fn patterns_do_not_mix() {
        let message = counts(&["a"]).merge(PretokenCounts::new(Pattern::o200k())).unwrap_err().to_string();
        assert!(message.contains("count again with one pattern"), "{message}");
    }

    #[test]
    fn long_pieces_are_counted_in_parts() {
        let text = "é".repeat(300);
        let counts = counts(&[&text]);
        assert_eq!(counts.count("é".repeat(128).as_bytes()), 2);
        assert_eq!(counts.count("é".repeat(44).as_bytes()), 1);
        assert_eq!(counts.len(), 2);
    }
}
