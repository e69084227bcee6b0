//! tiktoken rank files: a line a token, its bytes in base64, then its rank.
//!
//! tiktoken merges whatever adjacent pair makes a token, lowest rank first. Here that is a list of merges like any
//! other: every cut of every token into two tokens is one, at the rank of the whole.

use crate::tokenizer::{Merge, Parts};
use crate::{Pattern, Tokenizer, TokenizerError};
use std::collections::HashMap;

const FORMAT: &str = "tiktoken rank file";

/// A published vocabulary: its name, size, pattern and specials.
type Known = (&'static str, usize, fn() -> Pattern, &'static [(&'static str, u32)]);

const KNOWN: [Known; 3] = [
    ("r50k_base", 50_256, Pattern::gpt2, &[("<|endoftext|>", 50_256)]),
    (
        "cl100k_base",
        100_256,
        Pattern::cl100k_tiktoken,
        &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
    ),
    ("o200k_base", 199_998, Pattern::o200k, &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)]),
];

impl Tokenizer {
    /// Reads a tiktoken rank file with the pattern and special tokens that belong to it (the file names neither).
    ///
    /// # Errors
    /// [`TokenizerError::Format`] with the line that cannot be read.
    pub fn from_tiktoken(
        bytes: &[u8],
        pattern: Pattern,
        specials: &[(&str, u32)],
    ) -> Result<Self, TokenizerError> {
        let ranks = ranks(bytes)?;
        Self::from_ranks(ranks, pattern, specials)
    }

    pub(crate) fn from_known_tiktoken(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let ranks = ranks(bytes)?;
        let known = KNOWN.iter().find(|(_, size, ..)| *size == ranks.len()).ok_or_else(|| {
            let sizes: Vec<String> =
                KNOWN.iter().map(|(name, size, ..)| format!("{name} ({size})")).collect();
            TokenizerError::format(
                FORMAT,
                format!(
                    "{} tokens are no known vocabulary, so that its split pattern is unknown; known are {}",
                    ranks.len(),
                    sizes.join(", ")
                ),
            )
        })?;
        Self::from_ranks(ranks, known.2(), known.3)
    }

    fn from_ranks(
        tokens: Vec<Vec<u8>>,
        pattern: Pattern,
        specials: &[(&str, u32)],
    ) -> Result<Self, TokenizerError> {
        let ids: HashMap<&[u8], u32> = tokens
            .iter()
            .zip(0..)
            .filter(|(token, _)| !token.is_empty())
            .map(|(token, id)| (&token[..], id))
            .collect();
        let mut merges = Vec::new();
        for (token, rank) in tokens.iter().zip(0..) {
            for cut in 1..token.len() {
                if let (Some(&left), Some(&right)) = (ids.get(&token[..cut]), ids.get(&token[cut..])) {
                    merges.push(Merge { rank, left, right, id: rank });
                }
            }
        }
        let specials = specials.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        Self::new(Parts { pattern, tokens, merges, whole_piece_first: true, specials }, FORMAT)
    }
}

/// The tokens of a file, by rank.
fn ranks(bytes: &[u8]) -> Result<Vec<Vec<u8>>, TokenizerError> {
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let parsed = std::str::from_utf8(line).ok().and_then(|line| {
            let (token, rank) = line.split_once(' ')?;
            let rank = rank.parse::<usize>().ok().filter(|rank| *rank < 1 << 24)?;
            Some((base64(token.as_bytes())?, rank))
        });
        let Some((token, rank)) = parsed.filter(|(token, _)| !token.is_empty()) else {
            let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
            return Err(TokenizerError::format(
                FORMAT,
                format!(
                    "line {} (`{shown}`) is not `<base64> <rank>`; nor is this a tokenizer.json",
                    number + 1
                ),
            ));
        };
        if tokens.len() <= rank {
            tokens.resize(rank + 1, Vec::new());
        }
        if !tokens[rank].is_empty() {
            return Err(TokenizerError::format(
                FORMAT,
                format!("line {}: rank {rank} is given twice", number + 1),
            ));
        }
        tokens[rank] = token;
    }
    Ok(tokens)
}

/// Standard base64 with padding; `None` for anything else.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let (groups, []) = text.as_chunks::<4>() else { return None };
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (i, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|c| **c == b'=').count();
        if padding > 2 || padding > 0 && i + 1 < groups.len() {
            return None;
        }
        let mut bits = 0_u32;
        for c in &group[..4 - padding] {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | value as u32;
        }
        bits <<= 6 * padding;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("+/8=", "\u{0}"),
        ] {
            let expected = if text == "+/8=" { vec![0xFB, 0xFF] } else { bytes.as_bytes().to_vec() };
            assert_eq!(base64(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["Z", "Zg=", "Z===", "Zg==Zg==", "Zm9%", "===="] {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_rank_file_is_named_by_line() {
        let message = Tokenizer::from_bytes(b"IQ== 0\nhello\n").unwrap_err().to_string();
        assert!(message.contains("line 2 (`hello`)"), "{message}");
        let message = Tokenizer::from_bytes(b"IQ== 0\n").unwrap_err().to_string();
        assert!(message.contains("1 tokens are no known vocabulary"), "{message}");
        let message = Tokenizer::from_tiktoken(b"IQ== 0\n", Pattern::gpt2(), &[]).unwrap_err().to_string();
        assert!(message.contains("no token stands for the single byte 0x00"), "{message}");
    }
}
