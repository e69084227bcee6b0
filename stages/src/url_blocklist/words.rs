//! The words of a URL, against lists of words that block it.

use std::collections::HashMap;

use super::hashed_set::HashedSet;
use super::{HARD_WORD, SOFT_WORDS};
use crate::stage::Reason;

/// Which list a word is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Hard,
    Soft,
}

/// Two lists of words: one of the first blocks, so many different ones of the second.
pub struct Words {
    lists: HashMap<u64, List>,
    /// A bit for the last 16 bits of each word's hash: nearly every word of nearly every URL ends here.
    seen: Vec<u64>,
    has_soft: bool,
    soft_threshold: usize,
}

impl Words {
    /// A word on both lists is on the first.
    pub fn new(hard: &[String], soft: &[String], soft_threshold: usize) -> Self {
        let (seen, has_soft) = (vec![0; 1 << 10], !soft.is_empty());
        let mut words = Self { lists: HashMap::new(), seen, has_soft, soft_threshold };
        for (list, of) in [(List::Soft, soft), (List::Hard, hard)] {
            for word in of {
                let hash = HashedSet::hash(word.as_bytes());
                words.lists.insert(hash, list);
                let (at, bit) = place(hash);
                words.seen[at] |= bit;
            }
        }
        words
    }

    /// Why the words of a URL, its runs of ASCII letters and digits, block it.
    pub fn reason(&self, url: &str) -> Option<Reason> {
        if self.lists.is_empty() {
            return None;
        }
        let mut soft = Vec::new();
        for word in url.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()) {
            if word.is_empty() {
                continue;
            }
            let hash = HashedSet::hash(word);
            let (at, bit) = place(hash);
            if self.seen[at] & bit == 0 {
                continue;
            }
            match self.lists.get(&hash) {
                Some(List::Hard) => return Some(HARD_WORD),
                Some(List::Soft) if !soft.contains(&hash) => soft.push(hash),
                _ => {}
            }
        }
        let is_soft = self.has_soft && soft.len() >= self.soft_threshold;
        is_soft.then_some(SOFT_WORDS)
    }
}

fn place(hash: u64) -> (usize, u64) {
    ((hash as usize >> 6) & 0x3ff, 1 << (hash & 63))
}

/// The letters and digits of a URL in lower case, without what stands between them. `letters` is working memory.
pub fn letters_of<'l>(url: &str, letters: &'l mut Vec<u8>) -> &'l [u8] {
    if letters.len() < url.len() {
        letters.resize(url.len(), 0);
    }
    // Every byte is written; only the next place depends on what it is, so nothing is guessed wrong.
    let mut n = 0;
    for byte in url.bytes() {
        letters[n] = byte.to_ascii_lowercase();
        n += usize::from(byte.is_ascii_alphanumeric());
    }
    &letters[..n]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_and_soft_ones_count_once() {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let words = Words::new(&list(&["hard", "both"]), &list(&["soft", "both", "mild"]), 2);
        for (url, reason) in [
            ("https://a.example/hard.html", Some(HARD_WORD)),
            ("https://a.example/harder", None),
            ("https://a.example/HARD", None),
            ("https://a.example/soft/soft", None),
            ("https://a.example/soft?mild", Some(SOFT_WORDS)),
            ("https://a.example/both", Some(HARD_WORD)),
            ("", None),
        ] {
            assert_eq!(words.reason(url), reason, "{url}");
        }
        assert_eq!(Words::new(&[], &[], 0).reason("https://a.example/"), None);
    }

    #[test]
    fn letters_are_all_that_stays() {
        let mut memory = Vec::new();
        assert_eq!(letters_of("Http://A-b.Ü/1", &mut memory), b"httpab1");
        assert_eq!(letters_of("", &mut memory), b"");
    }
}
