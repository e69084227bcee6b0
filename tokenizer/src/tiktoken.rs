//! tiktoken rank files: a line a token, its bytes in base64, then its rank.
//!
//! tiktoken merges whatever adjacent pair makes a token, lowest rank first. Here that is a list of merges like any
//! other, at most one a token, at the rank of the token.

use crate::counts::BytesHasher;
use crate::merge::MAX_IDS;
use crate::tokenizer::{Merge, Parts};
use crate::{Pattern, Tokenizer, TokenizerError};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::io::Read;

const FORMAT: &str = "tiktoken rank file";

/// The rank file of `r50k_base` (GPT-2, GPT-3), gzipped, as the assets have it.
pub const R50K_BASE: &[u8] = include_bytes!("../../assets/r50k_base.tiktoken.gz");
/// The rank file of `cl100k_base` (GPT-4), gzipped.
pub const CL100K_BASE: &[u8] = include_bytes!("../../assets/cl100k_base.tiktoken.gz");
/// The rank file of `o200k_base` (GPT-4o), gzipped.
pub const O200K_BASE: &[u8] = include_bytes!("../../assets/o200k_base.tiktoken.gz");

/// A published vocabulary: its name, size, pattern, specials and rank file.
struct Known {
    name: &'static str,
    size: usize,
    pattern: fn() -> Pattern,
    specials: &'static [(&'static str, u32)],
    file: &'static [u8],
}

static KNOWN: [Known; 3] = [
    Known {
        name: "r50k_base",
        size: 50_256,
        pattern: Pattern::gpt2,
        specials: &[("<|endoftext|>", 50_256)],
        file: R50K_BASE,
    },
    Known {
        name: "cl100k_base",
        size: 100_256,
        pattern: Pattern::cl100k_tiktoken,
        specials: &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
        file: CL100K_BASE,
    },
    Known {
        name: "o200k_base",
        size: 199_998,
        pattern: Pattern::o200k,
        specials: &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
        file: O200K_BASE,
    },
];

/// The vocabularies that [`Tokenizer::named`] knows.
pub const NAMES: [&str; 3] = ["r50k_base", "cl100k_base", "o200k_base"];

impl Tokenizer {
    /// A published vocabulary of [`NAMES`], built in. `None` for any other name.
    pub fn named(name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(known.file).read_to_end(&mut bytes).expect("our own file unzips");
        let tokenizer = Self::from_tiktoken(&bytes, (known.pattern)(), known.specials);
        Some(tokenizer.expect("our own file is a rank file"))
    }

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
        let known = KNOWN.iter().find(|known| known.size == ranks.len()).ok_or_else(|| {
            let sizes: Vec<String> =
                KNOWN.iter().map(|known| format!("{} ({})", known.name, known.size)).collect();
            TokenizerError::format(
                FORMAT,
                format!(
                    "{} tokens are no known vocabulary, so that its split pattern is unknown; known are {}",
                    ranks.len(),
                    sizes.join(", ")
                ),
            )
        })?;
        Self::from_ranks(ranks, (known.pattern)(), known.specials)
    }

    fn from_ranks(
        tokens: Vec<Vec<u8>>,
        pattern: Pattern,
        specials: &[(&str, u32)],
    ) -> Result<Self, TokenizerError> {
        let merges = last_merges(&tokens);
        let specials = specials.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        Self::new(Parts { pattern, tokens, merges, whole_piece_first: true, specials }, FORMAT)
    }
}

/// The last merge of each token when its bytes alone are merged; none where they do not become the token.
///
/// No other cut of it ever merges: whatever stands around a token, the merges inside its bytes are those that its bytes
/// alone go through, in the same order, for a merge across their ends would keep the token from being made.
fn last_merges(tokens: &[Vec<u8>]) -> Vec<Merge> {
    let ids: HashMap<&[u8], u32, BuildHasherDefault<BytesHasher>> = tokens
        .iter()
        .zip(0..)
        .filter(|(token, _)| !token.is_empty())
        .map(|(token, id)| (&token[..], id))
        .collect();
    let mut merges = Vec::with_capacity(tokens.len());
    let (mut ends, mut ranks) = (Vec::new(), Vec::new());
    for (token, id) in tokens.iter().zip(0..).filter(|(token, _)| token.len() > 1) {
        // Part `i` ends at `ends[i]`; `ranks[i]` is that of it and the next together.
        ends.clear();
        ends.extend(1..=token.len());
        let rank = |ends: &[usize], i: usize| {
            let start = if i == 0 { 0 } else { ends[i - 1] };
            ends.get(i + 1).and_then(|end| ids.get(&token[start..*end])).copied().unwrap_or(u32::MAX)
        };
        ranks.clear();
        ranks.extend((0..token.len()).map(|i| rank(&ends, i)));
        while ends.len() > 2 {
            let (at, least) =
                ranks.iter().enumerate().min_by_key(|(_, rank)| **rank).expect("more than two parts");
            if *least == u32::MAX {
                break;
            }
            ends.remove(at);
            ranks.remove(at);
            ranks[at] = rank(&ends, at);
            if at > 0 {
                ranks[at - 1] = rank(&ends, at - 1);
            }
        }
        if let [cut, _] = ends[..]
            && let (Some(&left), Some(&right)) = (ids.get(&token[..cut]), ids.get(&token[cut..]))
        {
            merges.push(Merge { rank: id, left, right, id });
        }
    }
    merges
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
            let rank = rank.parse::<usize>().ok().filter(|rank| *rank < MAX_IDS)?;
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
    use proptest::prelude::*;

    /// tiktoken's rule word for word: the two adjacent parts whose bytes together have the lowest rank, whatever they are.
    fn by_ranks(tokens: &[Vec<u8>], piece: &[u8]) -> Vec<u32> {
        let rank = |bytes: &[u8]| tokens.iter().position(|token| token == bytes).map(|rank| rank as u32);
        if let Some(id) = rank(piece) {
            return vec![id];
        }
        let mut parts: Vec<Vec<u8>> = piece.iter().map(|byte| vec![*byte]).collect();
        while let Some((_, at)) =
            (1..parts.len()).filter_map(|i| Some((rank(&[&parts[i - 1][..], &parts[i]].concat())?, i))).min()
        {
            let right = parts.remove(at);
            parts[at - 1].extend(right);
        }
        parts.iter().map(|part| rank(part).unwrap()).collect()
    }

    proptest! {
        /// Also where a token comes before the tokens that it is made of.
        #[test]
        fn one_merge_a_token_is_enough(
            longer in proptest::collection::hash_set("[abc]{2,6}", 0..24),
            order in any::<proptest::sample::Index>(),
            pieces in proptest::collection::vec("[abc]{1,80}", 1..8),
        ) {
            let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
            let mut longer: Vec<String> = longer.into_iter().collect();
            longer.sort();
            if !longer.is_empty() {
                let middle = order.index(longer.len());
                longer.rotate_left(middle);
            }
            tokens.extend(longer.into_iter().map(String::into_bytes));
            let pattern = Pattern::custom("(?s).+").unwrap();
            let tokenizer = Tokenizer::from_ranks(tokens.clone(), pattern, &[]).unwrap();
            for piece in pieces {
                prop_assert_eq!(tokenizer.encode(&piece), by_ranks(&tokens, piece.as_bytes()), "{}", piece);
            }
        }
    }

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
