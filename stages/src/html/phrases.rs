//! Which of a few hundred short phrases begin where words of a text begin.
//!
//! A look at three bytes turns down nearly every word, so that a text costs about a step a word; an automaton takes one a byte.

/// Bytes that a phrase is found by.
const HEAD: usize = 3;
/// Buckets of heads: few enough for the nearest cache, many enough that most hold nothing.
const BUCKETS: usize = 1 << 12;
/// Bytes whose beginnings of words are found together.
const CHUNK: usize = 64;

/// Phrases and what they stand for, found whatever the case of their ASCII letters.
#[derive(Debug)]
pub struct Phrases<T> {
    /// By bucket; those shorter than a head last.
    all: Vec<(&'static [u8], T)>,
    /// Where every bucket begins, then those shorter than a head, then where these end.
    starts: Vec<u16>,
    /// Whether a phrase shorter than a head begins with a byte.
    short: [bool; 256],
}

fn bucket(head: [u8; HEAD]) -> usize {
    // As good as lower case here: what differs in this bit alone is told apart later.
    let [a, b, c] = head.map(|byte| u32::from(byte | 0x20));
    ((a | b << 8 | c << 16).wrapping_mul(0x9E37_79B1) >> (32 - BUCKETS.ilog2())) as usize
}

impl<T: Copy> Phrases<T> {
    /// Sorts phrases into buckets.
    ///
    /// # Panics
    /// If there are more than 65,535.
    pub fn new(list: impl IntoIterator<Item = (&'static str, T)>) -> Self {
        let mut short = [false; 256];
        let mut keyed = Vec::new();
        for (phrase, stands_for) in list {
            let bytes = phrase.as_bytes();
            let key = bytes.first_chunk().map_or(BUCKETS, |&head| bucket(head));
            if key == BUCKETS
                && let Some(&first) = bytes.first()
            {
                short[usize::from(first.to_ascii_lowercase())] = true;
                short[usize::from(first.to_ascii_uppercase())] = true;
            }
            keyed.push((key, bytes, stands_for));
        }
        keyed.sort_by_key(|(key, ..)| *key);
        let start = |bucket| keyed.partition_point(|(key, ..)| *key < bucket);
        let starts =
            (0..BUCKETS + 2).map(|bucket| u16::try_from(start(bucket)).expect("few phrases")).collect();
        Self {
            all: keyed.into_iter().map(|(_, phrase, stands_for)| (phrase, stands_for)).collect(),
            starts,
            short,
        }
    }

    /// Calls `each` with where a phrase ends and what it stands for, for each that a text has where a word begins: where `begins`
    /// says so of the byte before (0 at the start) and the first byte.
    #[inline]
    pub fn find(&self, text: &[u8], begins: impl Fn(u8, u8) -> bool, mut each: impl FnMut(usize, T)) {
        let mut before = 0;
        for (number, chunk) in text.chunks(CHUNK).enumerate() {
            let mut flags = [0_u8; CHUNK];
            flags[0] = begins(before, chunk[0]).into();
            for ((flag, &before), &byte) in flags[1..].iter_mut().zip(chunk).zip(&chunk[1..]) {
                *flag = begins(before, byte).into();
            }
            before = chunk[chunk.len() - 1];
            let mut places = packed(&flags);
            while places != 0 {
                let start = number * CHUNK + places.trailing_zeros() as usize;
                places &= places - 1;
                self.at(text, start, &mut each);
            }
        }
    }

    #[inline]
    fn at(&self, text: &[u8], start: usize, each: &mut impl FnMut(usize, T)) {
        let rest = &text[start..];
        let mut those = |bucket: usize| {
            let [first, end] = [self.starts[bucket], self.starts[bucket + 1]].map(usize::from);
            for (phrase, stands_for) in &self.all[first..end] {
                if rest.get(..phrase.len()).is_some_and(|found| found.eq_ignore_ascii_case(phrase)) {
                    each(start + phrase.len(), *stands_for);
                }
            }
        };
        if let Some(&head) = rest.first_chunk() {
            those(bucket(head));
        }
        if self.short[usize::from(rest[0])] {
            those(BUCKETS);
        }
    }
}

/// Bytes of 0 and 1 as the bits of a number.
fn packed(flags: &[u8; CHUNK]) -> u64 {
    let mut bits = 0;
    for (at, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Every byte's bit moves to a place of its own among the highest eight.
        let moved = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= moved << (8 * at);
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: [&str; 12] =
        ["ab", "abc", "abcd", "a", "b c", "Bc", "é", "éa", "ca-b", "cccc", "aaaaaaaaab", "abcabcabca"];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_phrase_is_found_where_words_begin_and_nowhere_else(text in "[aAbBcC é-]{0,200}|(abc?){0,60}") {
            let begins = |before: u8, byte: u8| !before.is_ascii_alphanumeric() && byte != b'-';
            let bytes = text.as_bytes();
            let mut plain = Vec::new();
            for start in 0..bytes.len() {
                let before = if start == 0 { 0 } else { bytes[start - 1] };
                for (number, phrase) in LIST.iter().enumerate() {
                    let end = start + phrase.len();
                    let same = bytes.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(phrase.as_bytes()));
                    if same && begins(before, bytes[start]) {
                        plain.push((start, end, number));
                    }
                }
            }
            let phrases = Phrases::new(LIST.into_iter().zip(0..));
            let mut found = Vec::new();
            phrases.find(bytes, begins, |end, number: usize| found.push((end - LIST[number].len(), end, number)));
            found.sort_unstable();
            plain.sort_unstable();
            prop_assert_eq!(found, plain);
        }
    }
}
