//! What a block's words share with what the page says of itself (its title, description and JSON-LD), and with the
//! blocks before it.
//!
//! Words are compared as hashes in small bit sets: a false hit moves a number a little, never a verdict alone.

use super::blocks::Blocks;
use super::cues::{self, Cues};
use super::dom::{AttributeName, Dom, NONE, Tag};
use super::lexicon::{Lexicon, Types, Weight};

/// A set of hashes, one bit each.
#[derive(Debug, Default)]
struct Set {
    bits: Vec<u64>,
}

impl Set {
    fn of(expected: usize) -> Self {
        // 16 bits for every word: one in 16 others is taken for one at worst.
        let bits = (expected * 16).next_power_of_two().clamp(64, 1 << 20);
        Self { bits: vec![0; bits / 64] }
    }

    fn insert(&mut self, hash: u32) {
        let words = self.bits.len();
        self.bits[(hash as usize / 64) & (words - 1)] |= 1 << (hash % 64);
    }

    #[inline]
    fn has(&self, hash: u32) -> bool {
        // Their number is a power of two.
        let at = (hash as usize / 64) & self.bits.len().wrapping_sub(1);
        self.bits.get(at).is_some_and(|bits| bits >> (hash % 64) & 1 == 1)
    }
}

/// Where the hash of a word begins.
pub const BASIS: u32 = 0x811C_9DC5;

/// The hash of a word, one letter further (FNV-1a over code points); [`mix`] ends it.
#[inline]
pub fn step(hash: u32, letter: u32) -> u32 {
    (hash ^ letter).wrapping_mul(0x0100_0193)
}

/// Calls `each` with every word and its hash: runs of letters and digits, lower case; every ideograph is one.
#[inline]
pub fn each(text: &str, mut each: impl FnMut(u32, &str)) {
    let bytes = text.as_bytes();
    let (mut hash, mut start, mut at) = (BASIS, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        let (letter, next, ideograph) = if byte.is_ascii() {
            (ASCII[usize::from(byte)].into(), at + 1, false)
        } else {
            let c = text[at..].chars().next().expect("a letter begins here");
            let ideograph = ('\u{3040}'..='\u{9fff}').contains(&c);
            (if c.is_alphanumeric() { c.into() } else { 0 }, at + c.len_utf8(), ideograph)
        };
        let known = letter != 0;
        if known {
            if hash == BASIS {
                start = at;
            }
            hash = step(hash, letter);
        }
        if (!known || ideograph) && hash != BASIS {
            each(mix(hash), &text[start..if known { next } else { at }]);
            hash = BASIS;
        }
        at = next;
    }
    if hash != BASIS {
        each(mix(hash), &text[start..]);
    }
}

/// Letters in lower case and digits; 0 for what parts words.
static ASCII: [u8; 128] = {
    let mut all = [0; 128];
    let mut code = 0;
    while code < 128 {
        if (code as u8).is_ascii_alphanumeric() {
            all[code] = (code as u8).to_ascii_lowercase();
        }
        code += 1;
    }
    all
};

/// The hashes of a text's words.
pub fn hashes(text: &str) -> impl Iterator<Item = u32> {
    let mut found = Vec::new();
    each(text, |hash, _| found.push(hash));
    found.into_iter()
}

/// The hash of a text, word by word.
pub fn fold(hash: u32, word: u32) -> u32 {
    hash.rotate_left(5).wrapping_add(word).wrapping_mul(0x9E37_79B1)
}

/// Spreads a hash over all its bits.
pub fn mix(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x7FEB_352D);
    hash ^ hash >> 15
}

/// The hash of two words in a row.
pub fn pair(first: u32, second: u32) -> u32 {
    mix(first.rotate_left(7) ^ second)
}

/// What the page says of itself outside its text.
#[derive(Debug, Default)]
pub struct Said {
    title: Set,
    description: Set,
    /// Pairs of words of the texts in JSON-LD.
    body: Set,
    /// Their length in bytes.
    pub body_bytes: usize,
    /// Bytes of the description.
    pub description_bytes: usize,
}

impl Said {
    /// Reads title, meta elements and JSON-LD.
    pub fn of(dom: &Dom) -> Self {
        let (mut title, mut description, mut body) = (String::new(), String::new(), String::new());
        for id in 0..dom.nodes.len() as u32 {
            match dom.nodes[id as usize].tag {
                Tag::Title if title.is_empty() => title.push_str(&dom.inner_text(id)),
                Tag::Meta => {
                    let key = dom
                        .attribute(id, AttributeName::Property)
                        .or_else(|| dom.attribute(id, AttributeName::Name));
                    let Some(content) = dom.attribute(id, AttributeName::Content) else { continue };
                    match key {
                        Some("description" | "og:description" | "twitter:description") => {
                            description.push(' ');
                            description.push_str(content);
                        }
                        Some("og:title") => {
                            title.push(' ');
                            title.push_str(content);
                        }
                        _ => {}
                    }
                }
                Tag::Script if dom.attribute(id, AttributeName::Type) == Some("application/ld+json") => {
                    for inner in id + 1..dom.nodes[id as usize].end {
                        let json = dom.text(inner);
                        for key in ["\"articleBody\"", "\"text\"", "\"description\"", "\"reviewBody\""] {
                            strings(json, key, |text| body.extend([" ", text]));
                        }
                        strings(json, "\"headline\"", |text| title.extend([" ", text]));
                    }
                }
                _ => {}
            }
        }
        let mut said = Self {
            title: Set::of(title.len() / 5),
            description: Set::of(description.len() / 5),
            body: Set::of(body.len() / 5),
            body_bytes: body.len(),
            description_bytes: description.len(),
        };
        each(&title, |word, _| said.title.insert(word));
        each(&description, |word, _| said.description.insert(word));
        let mut last = 0;
        each(&body, |word, _| {
            said.body.insert(pair(last, word));
            last = word;
        });
        said
    }
}

/// Bytes of texts of JSON-LD that are read as a page's content: a page is no library.
const MOST_LINKED: usize = 1 << 20;

/// The texts that one script of JSON-LD has under some keys, as markup, key by key: those of the script with the most; empty if
/// there are none.
pub fn linked_texts(dom: &Dom, keys: &[&str]) -> String {
    let mut longest = String::new();
    for id in 0..dom.nodes.len() as u32 {
        if dom.nodes[id as usize].tag == Tag::Script
            && dom.attribute(id, AttributeName::Type) == Some("application/ld+json")
        {
            let json = dom.inner_text(id);
            let mut found = String::new();
            for key in keys {
                strings(&json, key, |text| {
                    let room = MOST_LINKED.saturating_sub(found.len());
                    if room == 0 {
                        return;
                    }
                    let text = &text[..text.floor_char_boundary(room)];
                    // Lines of plain text are its paragraphs; markup has its own.
                    let line = if text.contains("</") { "\n" } else { "<p>" };
                    found.push_str("<p>");
                    found.push_str(&text.replace('\n', line));
                });
            }
            if found.len() > longest.len() {
                longest = found;
            }
        }
    }
    longest
}

/// Calls `each` with the string values of a key of JSON, escapes undone. The key comes with its quotes. JSON that is not well
/// formed gives what can be told.
pub fn strings(json: &str, key: &str, mut each: impl FnMut(&str)) {
    let (mut rest, mut text) = (json, String::new());
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), key.as_bytes()) {
        rest = rest[at + key.len()..].trim_start();
        let Some(value) = rest.strip_prefix(':').map(str::trim_start).and_then(|rest| rest.strip_prefix('"'))
        else {
            continue;
        };
        text.clear();
        rest = unescape(value, &mut text);
        each(&text);
    }
}

/// Reads a JSON string up to its end; gives what follows it.
fn unescape<'a>(mut rest: &'a str, out: &mut String) -> &'a str {
    loop {
        let Some(at) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
            out.push_str(rest);
            return "";
        };
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at] == b'\\';
        rest = &rest[at + 1..];
        if !escape {
            return rest;
        }
        let Some(c) = rest.chars().next() else { return "" };
        rest = &rest[c.len_utf8()..];
        match c {
            'n' | 'r' | 't' | 'b' | 'f' => out.push(if c == 'n' { '\n' } else { ' ' }),
            'u' => {
                let unit = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let Some(mut code) = unit(rest) else { continue };
                rest = &rest[4..];
                if (0xD800..0xDC00).contains(&code)
                    && let Some(low) = rest.strip_prefix("\\u").and_then(unit)
                    && (0xDC00..0xE000).contains(&low)
                {
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    rest = &rest[6..];
                }
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            other => out.push(other),
        }
    }
}

/// What the words of one block say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words {
    /// Of its beginning.
    pub cues: Cues,
    /// Its words, as hashed.
    pub number: u32,
    /// Words that the title has.
    pub in_title: u16,
    /// Words that the description has.
    pub in_description: u16,
    /// Pairs of words that a text in JSON-LD has.
    pub in_body: u16,
    /// How many blocks have the same text, itself among them.
    pub same: u32,
    /// How often the same text came before.
    pub before: u32,
    /// What its words weigh.
    pub weight: Weight,
    hash: u32,
}

fn count(number: &mut u16, is: bool) {
    *number = number.saturating_add(u16::from(is));
}

/// Looks at the words of every block, and tells which types of page they speak for.
pub fn look(dom: &Dom, page: &Blocks, said: &Said, lexicon: &Lexicon) -> (Vec<Words>, Types) {
    let mut found: Vec<Words> = vec![Words::default(); page.blocks.len()];
    let (mut beginning, mut seen) = (String::new(), Vec::new());
    for (at, block) in page.blocks.iter().enumerate() {
        let words_of = &mut found[at];
        beginning.clear();
        let mut last = 0;
        for id in block.first..=block.last {
            if page.block_of[id as usize] == NONE || dom.nodes[id as usize].tag != Tag::Text {
                continue;
            }
            let text = dom.text(id);
            if beginning.len() < cues::LOOKED_AT {
                let start = if beginning.is_empty() { text.trim_start() } else { text };
                let mut end = start.len().min(cues::LOOKED_AT);
                while !start.is_char_boundary(end) {
                    end -= 1;
                }
                beginning.push_str(&start[..end]);
            }
            each(text, |word, _| {
                lexicon.add(&mut words_of.weight, &mut seen, words_of.number, word, last);
                words_of.number += 1;
                count(&mut words_of.in_title, said.title.has(word));
                count(&mut words_of.in_description, said.description.has(word));
                count(&mut words_of.in_body, said.body.has(pair(last, word)));
                words_of.hash = fold(words_of.hash, word);
                last = word;
            });
        }
        lexicon.add_whole(&mut words_of.weight, words_of.number, words_of.hash);
        words_of.cues = cues::cues(&beginning);
    }
    let mut order: Vec<(u32, u32)> =
        found.iter().enumerate().map(|(at, words)| (words.hash, at as u32)).collect();
    order.sort_unstable();
    let mut start = 0;
    while start < order.len() {
        let length = order[start..].iter().take_while(|(hash, _)| *hash == order[start].0).count();
        for (turn, (_, at)) in order[start..start + length].iter().enumerate() {
            found[*at as usize].before = turn as u32;
            found[*at as usize].same = length as u32;
        }
        start += length;
    }
    (found, lexicon.types(seen))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::html::dom::Limits;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_are_runs_of_letters_and_digits(text in "([ -~]|[éÉ水ア、\u{a0}-]){0,60}") {
            let mut plain: Vec<String> = vec![String::new()];
            for c in text.chars() {
                let last = plain.last_mut().expect("there is one");
                if !c.is_alphanumeric() {
                    plain.push(String::new());
                    continue;
                }
                last.push(c);
                if "水ア".contains(c) {
                    plain.push(String::new());
                }
            }
            plain.retain(|word| !word.is_empty());
            let mut found = Vec::new();
            each(&text, |hash, word| {
                let letters = word.chars().map(|c| c.to_ascii_lowercase().into());
                assert_eq!(hash, mix(letters.fold(BASIS, step)));
                found.push(word.to_owned());
            });
            prop_assert_eq!(found, plain);
        }
    }

    #[test]
    fn strings_of_json_are_read_without_a_parser() {
        let mut out = Vec::new();
        let json = r#"{"text": "a \"b\"\n\u00e9\ud83d\ude00", "text" : 3, "text":"c"#;
        strings(json, "\"text\"", |text| out.push(text.to_owned()));
        assert_eq!(out, ["a \"b\"\né😀", "c"]);
        for broken in [r#""text":"\u12"#, r#""text":"\"#, r#""text":"\ud800\u0041""#, r#""text""#] {
            strings(broken, "\"text\"", |_| ());
        }
    }

    #[test]
    fn words_are_sought_in_what_the_page_says_of_itself() {
        let html = "<title>Old mills</title><p>Mills<p>old mills<p>Something else<p>old mills";
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let page = Blocks::of(&dom);
        let (found, _) = look(&dom, &page, &Said::of(&dom), &Lexicon::default());
        assert_eq!(found.iter().map(|words| words.in_title).collect::<Vec<_>>(), [1, 2, 0, 2]);
        assert_eq!(found.iter().map(|words| words.before).collect::<Vec<_>>(), [0, 0, 0, 1]);
        assert_eq!(found.iter().map(|words| words.same).collect::<Vec<_>>(), [1, 2, 1, 2]);
    }
}
