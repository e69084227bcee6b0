//! Lines and paragraphs as the reference filters cut them, and what repeats among them.

use std::collections::HashSet;

use crate::hashing::FastHash;
use crate::words::CHARS;
use crate::words::character::SPACE;

/// The lines of a text as Python's `str.splitlines` gives them: any of its eleven line ends, and no line after the
/// last of them.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((end, length)) = line_end(rest) else { return Some(std::mem::take(&mut rest)) };
        let line = &rest[..end];
        rest = &rest[end + length..];
        Some(line)
    })
}

/// Where the first line end of `text` is, and how many bytes it has.
fn line_end(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let length = match byte {
            b'\n' | 0x0B | 0x0C | 0x1C..=0x1E => 1,
            b'\r' => 1 + usize::from(bytes.get(at + 1) == Some(&b'\n')),
            0xC2 if bytes.get(at + 1) == Some(&0x85) => 2,
            0xE2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => 3,
            _ => continue,
        };
        return Some((at, length));
    }
    None
}

/// `text` without whitespace at its ends (Python's `str.strip`).
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Whether Python takes `c` for whitespace: Unicode's White_Space and four separators.
#[inline]
pub fn is_space(c: char) -> bool {
    CHARS.flags(c) & SPACE != 0
}

/// The parts of `text` between runs of at least `shortest` newlines; empty parts at the ends count.
pub fn split_at_newlines(text: &str, shortest: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let present = rest?;
        let bytes = present.as_bytes();
        let mut from = 0;
        while let Some(found) = memchr::memchr(b'\n', &bytes[from..]) {
            let start = from + found;
            let end = bytes[start..].iter().position(|&b| b != b'\n').map_or(bytes.len(), |n| start + n);
            if end - start >= shortest {
                rest = Some(&present[end..]);
                return Some(&present[..start]);
            }
            from = end;
        }
        rest = None;
        Some(present)
    })
}

/// How many parts there were, how many of them repeat an earlier one, and how many code points those hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// All parts.
    pub n: usize,
    /// Parts seen before.
    pub n_repeated: usize,
    /// Code points in them.
    pub n_chars: usize,
}

/// Counts what repeats.
pub fn duplicates<'a>(parts: impl Iterator<Item = &'a str>) -> Duplicates {
    let mut seen = HashSet::with_hasher(FastHash::default());
    let mut counts = Duplicates::default();
    for part in parts {
        counts.n += 1;
        if !seen.insert(part) {
            counts.n_repeated += 1;
            counts.n_chars += part.chars().count();
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_python() {
        let cut = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(cut(""), [""; 0]);
        assert_eq!(cut("a\n"), ["a"]);
        assert_eq!(
            cut("a\r\nb\rc\u{b}d\u{c}e\u{1c}f\u{85}g\u{2028}h\u{2029}i"),
            ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
        );
        assert_eq!(cut("\n\nä\u{2027}é"), ["", "", "ä\u{2027}é"]);
    }

    #[test]
    fn parts_between_newlines() {
        let cut = |text, n| split_at_newlines(text, n).collect::<Vec<_>>();
        assert_eq!(cut("", 1), [""]);
        assert_eq!(cut("\n\na\nb\n", 1), ["", "a", "b", ""]);
        assert_eq!(cut("a\nb\n\n\nc\n", 2), ["a\nb", "c\n"]);
    }

    #[test]
    fn duplicates_are_counted_in_code_points() {
        assert_eq!(
            duplicates(["é", "a", "é", "é"].into_iter()),
            Duplicates { n: 4, n_repeated: 2, n_chars: 2 }
        );
    }
}
