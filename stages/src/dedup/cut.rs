//! Takes parts out of a text and closes the gaps.

use std::borrow::Cow;
use std::ops::Range;

/// `text` without the bytes of `gone`, ranges in ascending order (they may touch and overlap).
///
/// What is left on the two sides of a gap stays apart as far as it was: of the runs of whitespace in and around the gap one
/// stays, the last of those with the most line feeds. Where a gap reaches the beginning or the end of the text, none stays. A
/// text of which nothing goes stays as it is, byte for byte.
pub fn cut<'a>(text: &'a str, gone: &[Range<usize>]) -> Cow<'a, str> {
    if gone.iter().all(Range::is_empty) {
        return Cow::Borrowed(text);
    }
    let mut left = String::with_capacity(text.len());
    let mut gap = Gap { separator: "", is_first: true };
    let mut at = 0;
    for range in gone.iter().filter(|range| !range.is_empty()) {
        if at < range.start {
            gap.push(&text[at..range.start], at == 0, false, &mut left);
        }
        at = at.max(range.end);
    }
    if at < text.len() {
        gap.push(&text[at..], false, true, &mut left);
    }
    Cow::Owned(left)
}

/// What stands between what was kept last and what will be kept next.
struct Gap<'a> {
    separator: &'a str,
    is_first: bool,
}

impl<'a> Gap<'a> {
    /// Adds a piece that stays: whitespace at its ends belongs to the gaps beside it, unless it is an end of the text.
    fn push(&mut self, piece: &'a str, begins: bool, ends: bool, left: &mut String) {
        let trimmed = piece.trim();
        if trimmed.is_empty() {
            return self.offer(piece);
        }
        let start = trimmed.as_ptr() as usize - piece.as_ptr() as usize;
        if begins {
            left.push_str(&piece[..start]);
        } else {
            self.offer(&piece[..start]);
            if !self.is_first {
                left.push_str(self.separator);
            }
        }
        left.push_str(trimmed);
        self.is_first = false;
        self.separator = &piece[start + trimmed.len()..];
        if ends {
            left.push_str(self.separator);
        }
    }

    fn offer(&mut self, separator: &'a str) {
        let n_lines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        if !separator.is_empty() && n_lines(separator) >= n_lines(self.separator) {
            self.separator = separator;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cuts what stands in brackets, brackets included.
    fn without(marked: &str) -> String {
        let mut gone = Vec::new();
        let mut text = String::new();
        let mut start = 0;
        for c in marked.chars() {
            match c {
                '[' => start = text.len(),
                ']' => gone.push(start..text.len()),
                c => text.push(c),
            }
        }
        cut(&text, &gone).into_owned()
    }

    #[test]
    fn gaps_close_at_the_widest_separator() {
        for (marked, left) in [
            ("a\n[b]\nc", "a\nc"),
            ("a\n\n[b]\n\nc", "a\n\nc"),
            ("a [b c]\n\nd", "a\n\nd"),
            ("a\n\n[b] c", "a\n\nc"),
            ("a [b]\n\n[c] d", "a\n\nd"),
            ("a\n  [b]\n    c", "a\n    c"),
            ("[a]\nb\n", "b\n"),
            ("  a\n[b]\n", "  a"),
            (" [a] b", "b"),
            ("[a]\n[b]", ""),
            ("a[b]c", "ac"),
        ] {
            assert_eq!(without(marked), left, "{marked:?}");
        }
        assert_eq!(cut("a b", &[0..1, 0..1]), "b");
        assert!(matches!(cut(" a ", &[]), Cow::Borrowed(" a ")));
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_was_there(
            pieces in prop::collection::vec((any::<bool>(), "[a-zé]{0,3}", "[ \n]{0,3}"), 0..12),
        ) {
            let (mut text, mut gone, mut kept) = (String::new(), Vec::new(), String::new());
            for (goes, word, space) in &pieces {
                let start = text.len();
                text.push_str(word);
                if *goes {
                    gone.push(start..text.len());
                } else {
                    kept.push_str(word);
                }
                text.push_str(space);
            }
            let left = cut(&text, &gone);
            let letters: String = left.chars().filter(|c| !c.is_whitespace()).collect();
            prop_assert_eq!(letters, kept);
            prop_assert!(left.len() <= text.len());
        }
    }
}
