//! Texts as rows of hashed tokens, and hashes of every n in a row.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::normalise::{is_unspaced, word_hash};

/// A token: where it stands and the hash of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// First byte in the text.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// [`word_hash`] of the bytes.
    pub hash: u64,
}

/// The tokens of a text as they stand there: runs of letters, digits and marks, and every other character that is not
/// whitespace alone. In scripts that are written without spaces each character is a token. What lies beyond the first 4 GiB
/// is left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let text = &text[..text.floor_char_boundary(u32::MAX as usize)];
    let mut tokens = Vec::with_capacity(text.len() / 5);
    each(text, |range, _| {
        let hash = word_hash(&text.as_bytes()[range.clone()]);
        tokens.push(Token { start: range.start as u32, end: range.end as u32, hash });
    });
    tokens
}

/// The hashes of the words of a text in lower case: its [`tokens`] without punctuation and symbols.
pub fn folded_words(text: &str) -> Vec<u64> {
    let mut hashes = Vec::with_capacity(text.len() / 6);
    let mut lower = Vec::new();
    each(text, |range, is_word| {
        if !is_word {
            return;
        }
        let word = &text[range];
        lower.clear();
        if word.is_ascii() {
            lower.extend(word.bytes().map(|byte| byte.to_ascii_lowercase()));
        } else {
            lower.extend_from_slice(word.to_lowercase().as_bytes());
        }
        hashes.push(word_hash(&lower));
    });
    hashes
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Space,
    /// Part of a word.
    Part,
    /// A word of its own.
    Unit,
    Symbol,
}

fn class(c: char) -> Class {
    if c.is_whitespace() {
        Class::Space
    } else if is_unspaced(c) && c.is_alphanumeric() {
        Class::Unit
    } else if c.is_alphanumeric() || is_combining_mark(c) {
        Class::Part
    } else {
        Class::Symbol
    }
}

/// Calls `visit` with every token and whether it is a word.
fn each(text: &str, mut visit: impl FnMut(Range<usize>, bool)) {
    let bytes = text.as_bytes();
    let mut start = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (class, length) = if byte.is_ascii() {
            let class = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => Class::Part,
                b' ' | b'\t'..=b'\r' => Class::Space,
                _ => Class::Symbol,
            };
            (class, 1)
        } else {
            let c = text[at..].chars().next().expect("characters begin where characters end");
            (class(c), c.len_utf8())
        };
        if class == Class::Part {
            start.get_or_insert(at);
        } else {
            if let Some(start) = start.take() {
                visit(start..at, true);
            }
            if class != Class::Space {
                visit(at..at + length, class == Class::Unit);
            }
        }
        at += length;
    }
    if let Some(start) = start {
        visit(start..at, true);
    }
}

/// The base of the polynomial: odd, without structure.
const BASE: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// A key for every `n` hashes in a row: a polynomial of them modulo 2^128, rolled along and then mixed. Equal rows have equal
/// keys; others differ but by a chance of about 2^-120.
pub fn ngrams(hashes: &[u64], n: usize) -> impl Iterator<Item = u128> {
    let power = (0..n).fold(1_u128, |power, _| power.wrapping_mul(BASE));
    let mut state = 0_u128;
    hashes.iter().enumerate().filter_map(move |(i, &hash)| {
        state = state.wrapping_mul(BASE).wrapping_add(u128::from(hash));
        if i >= n {
            state = state.wrapping_sub(power.wrapping_mul(u128::from(hashes[i - n])));
        }
        (i + 1 >= n).then(|| mix(state))
    })
}

fn mix(mut state: u128) -> u128 {
    state ^= state >> 67;
    state = state.wrapping_mul(0xD6E8_FEB8_6659_FD93_C2B2_AE3D_27D4_EB4F);
    state ^= state >> 61;
    state = state.wrapping_mul(BASE);
    state ^ (state >> 65)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn strings(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| &text[token.start as usize..token.end as usize]).collect()
    }

    #[test]
    fn tokens_are_words_and_symbols() {
        assert_eq!(
            strings("It isn't 12.5%,\n\tnaïve e\u{301}t"),
            ["It", "isn", "'", "t", "12", ".", "5", "%", ",", "naïve", "e\u{301}t"]
        );
        assert_eq!(strings("磨坊 mill。"), ["磨", "坊", "mill", "。"]);
        assert!(strings(" \u{3000}\n").is_empty());
    }

    #[test]
    fn folded_words_know_no_case_and_no_punctuation() {
        assert_eq!(folded_words("Wie GROẞ, 12.5"), folded_words("wie (groß)\n12 5"));
        assert_ne!(folded_words("12"), folded_words("13"));
        assert_eq!(folded_words("磨坊。").len(), 2);
    }

    proptest! {
        #[test]
        fn keys_are_equal_where_rows_are(hashes in prop::collection::vec(0_u64..3, 0..60), n in 1_usize..8) {
            let keys: Vec<u128> = ngrams(&hashes, n).collect();
            prop_assert_eq!(keys.len(), (hashes.len() + 1).saturating_sub(n));
            let mut by_key = HashMap::new();
            for (key, row) in keys.iter().zip(hashes.windows(n)) {
                prop_assert_eq!(*by_key.entry(*key).or_insert(row), row);
            }
            let rows: std::collections::HashSet<&[u64]> = hashes.windows(n).collect();
            prop_assert_eq!(rows.len(), by_key.len());
        }
    }
}
