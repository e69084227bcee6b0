//! Where does text fall into pre-tokens, inside which merges stay?
//!
//! The published patterns are regular expressions with look-ahead, which a backtracking engine runs slowly and, on a
//! megabyte of spaces, not at all. Each preset has a splitter by hand here that reads every character a small constant
//! number of times; the tests hold it against the expression itself. Other expressions run on fancy-regex.

use crate::TokenizerError;
use crate::ascii;
use crate::unicode::{Classes, LETTER, LOWER, NEWLINE, NUMBER, OTHER, SPACE, UPPER};
use std::borrow::Cow;
use std::sync::Arc;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As tiktoken has had it since the possessive spelling: meant as a faster spelling, it keeps white space that ends the text in one piece.
const CL100K_TIKTOKEN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
const NANOCHAT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SINGLE_DIGITS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Spellings of the presets that other tools publish; each splits every text as the preset does.
const KNOWN: [(&str, Kind); 10] = [
    (GPT2, Kind::Gpt2),
    (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", Kind::Gpt2),
    (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s", Kind::Gpt2),
    (CL100K, Kind::Words { digits: 3, trailing_whole: false }),
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        Kind::Words { digits: 3, trailing_whole: false },
    ),
    (CL100K_TIKTOKEN, Kind::Words { digits: 3, trailing_whole: true }),
    (NANOCHAT, Kind::Words { digits: 2, trailing_whole: false }),
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        Kind::Words { digits: 2, trailing_whole: false },
    ),
    (SINGLE_DIGITS, Kind::Words { digits: 1, trailing_whole: false }),
    (O200K, Kind::O200k),
];

/// A rule that cuts text into pre-tokens. The pieces, in order, always make up the whole text.
#[derive(Debug, Clone)]
pub struct Pattern {
    kind: Kind,
    regex: Cow<'static, str>,
}

#[derive(Debug, Clone)]
enum Kind {
    Gpt2,
    /// cl100k and its kin: they differ in how many digits make a piece.
    Words {
        digits: usize,
        /// `\s++$` before `\s*[\r\n]`: white space that ends the text is one piece, newlines or not.
        trailing_whole: bool,
    },
    O200k,
    Custom(Arc<fancy_regex::Regex>),
}

/// Two patterns are equal when their expressions are.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex == other.regex
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// The pattern of GPT-2 (`r50k_base`, `gpt2`).
    pub fn gpt2() -> Self {
        Self { kind: Kind::Gpt2, regex: GPT2.into() }
    }

    /// The pattern of GPT-4 (`cl100k_base`) in tiktoken's present spelling, which cuts white space that ends a text
    /// otherwise than [`Self::cl100k`] when it holds newlines. tiktoken's rank file is read with it, for equal ids.
    pub fn cl100k_tiktoken() -> Self {
        Self { kind: Kind::Words { digits: 3, trailing_whole: true }, regex: CL100K_TIKTOKEN.into() }
    }

    /// The pattern of GPT-4 as first published and as `tokenizer.json` files have it: words take one leading sign, digits come in threes.
    pub fn cl100k() -> Self {
        Self { kind: Kind::Words { digits: 3, trailing_whole: false }, regex: CL100K.into() }
    }

    /// cl100k with digits in twos, as nanochat has it: small vocabularies waste fewer ids on numbers. The default.
    pub fn nanochat() -> Self {
        Self { kind: Kind::Words { digits: 2, trailing_whole: false }, regex: NANOCHAT.into() }
    }

    /// The pattern of GPT-4o (`o200k_base`): words also end where lower case meets upper case, and keep their marks.
    pub fn o200k() -> Self {
        Self { kind: Kind::O200k, regex: O200K.into() }
    }

    /// Any regular expression (fancy-regex syntax). Text between matches becomes pieces too. An expression known as a
    /// preset runs as that preset.
    ///
    /// # Errors
    /// [`TokenizerError::Pattern`] when it does not compile.
    pub fn custom(regex: &str) -> Result<Self, TokenizerError> {
        if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == regex) {
            return Ok(Self { kind: kind.clone(), regex: regex.to_owned().into() });
        }
        let compiled = fancy_regex::Regex::new(regex)
            .map_err(|e| TokenizerError::Pattern { pattern: regex.to_owned(), reason: e.to_string() })?;
        Ok(Self { kind: Kind::Custom(Arc::new(compiled)), regex: regex.to_owned().into() })
    }

    /// A preset by name (`gpt2`, `cl100k`, `o200k`, `nanochat`), anything else as an expression of one's own.
    ///
    /// # Errors
    /// [`TokenizerError::Pattern`] when it is neither.
    pub fn parse(name_or_regex: &str) -> Result<Self, TokenizerError> {
        match name_or_regex {
            "gpt2" | "r50k" | "r50k_base" => Ok(Self::gpt2()),
            "cl100k" | "cl100k_base" => Ok(Self::cl100k()),
            "o200k" | "o200k_base" => Ok(Self::o200k()),
            "nanochat" => Ok(Self::nanochat()),
            regex => Self::custom(regex),
        }
    }

    /// The regular expression that says the same.
    pub fn regex(&self) -> &str {
        &self.regex
    }

    /// Whether a splitter by hand runs it; the matches of those leave no text out.
    pub(crate) fn is_preset(&self) -> bool {
        !matches!(self.kind, Kind::Custom(_))
    }

    /// The pieces of `text`, in order. [`Self::for_each`] does the same without a vector.
    pub fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut pieces = Vec::new();
        self.for_each(text, |piece| pieces.push(piece));
        pieces
    }

    /// Calls `visit` with every piece of `text`, in order. Pieces are never empty.
    ///
    /// A custom expression that gives up (fancy-regex limits backtracking) leaves the rest of the text as one piece.
    pub fn for_each<'t>(&self, text: &'t str, mut visit: impl FnMut(&'t str)) {
        self.for_each_span(text, |start, end| visit(&text[start..end]));
    }

    /// [`Self::for_each`], with the bytes where pieces start and end.
    #[inline]
    pub(crate) fn for_each_span(&self, text: &str, mut visit: impl FnMut(usize, usize)) {
        let classes = Classes::get();
        match &self.kind {
            Kind::Gpt2 => walk(text, visit, |bytes, at| gpt2(classes, bytes, at)),
            Kind::Words { digits, trailing_whole } => {
                walk(text, visit, |bytes, at| words(classes, bytes, at, *digits, *trailing_whole));
            }
            Kind::O200k => walk(text, visit, |bytes, at| o200k(classes, bytes, at)),
            Kind::Custom(regex) => {
                let mut done = 0;
                // An error ends the iteration: the rest becomes one piece below.
                for found in regex.find_iter(text).map_while(Result::ok) {
                    if found.start() > done {
                        visit(done, found.start());
                    }
                    if found.end() > found.start() {
                        visit(found.start(), found.end());
                    }
                    done = found.end();
                }
                if done < text.len() {
                    visit(done, text.len());
                }
            }
        }
    }
}

/// nanochat's pattern, the default of training.
impl Default for Pattern {
    fn default() -> Self {
        Self::nanochat()
    }
}

#[inline]
fn walk(text: &str, mut visit: impl FnMut(usize, usize), end_of_piece: impl Fn(&[u8], usize) -> usize) {
    let mut at = 0;
    while at < text.len() {
        let end = end_of_piece(text.as_bytes(), at);
        visit(at, end);
        at = end;
    }
}

/// The end of the longest run of characters with one of `flags`.
#[inline]
fn run(classes: &Classes, text: &[u8], mut at: usize, flags: u8) -> usize {
    loop {
        let (class, len) = classes.at(text, at);
        if class & flags == 0 {
            return at;
        }
        at += len;
    }
}

/// The same for letters, which most text is made of.
#[inline]
fn letters(classes: &Classes, text: &[u8], at: usize) -> usize {
    let mut end = ascii::letters(text, at);
    // A word beyond ASCII, or the end of one within.
    while text.get(end).is_some_and(|byte| !byte.is_ascii()) {
        let other = run(classes, text, end, LETTER);
        if other == end {
            break;
        }
        end = if text.get(other).is_some_and(u8::is_ascii_alphabetic) {
            ascii::letters(text, other)
        } else {
            other
        };
    }
    end
}

/// The end of at most `most` numbers.
#[inline]
fn digits(classes: &Classes, text: &[u8], mut at: usize, most: usize) -> usize {
    for _ in 0..most {
        let (class, len) = classes.at(text, at);
        if class & NUMBER == 0 {
            break;
        }
        at += len;
    }
    at
}

/// The end of `'s|'t|'re|'ve|'m|'ll|'d` at `at`.
#[inline]
fn contraction(text: &[u8], at: usize) -> Option<usize> {
    match text[at..] {
        [b'\'', b's' | b't' | b'm' | b'd', ..] => Some(at + 2),
        [b'\'', b'r' | b'v', b'e', ..] | [b'\'', b'l', b'l', ..] => Some(at + 3),
        _ => None,
    }
}

/// The same for `(?i:…)`. Unicode folds U+017F (long s, two bytes) to `s`, and so do the regex engines.
#[inline]
fn contraction_any_case(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at..)? {
        [b'\'', b's' | b't' | b'm' | b'd' | b'S' | b'T' | b'M' | b'D', ..] => Some(at + 2),
        [b'\'', b'r' | b'v' | b'R' | b'V', b'e' | b'E', ..]
        | [b'\'', b'l' | b'L', b'l' | b'L', ..]
        | [b'\'', 0xC5, 0xBF, ..] => Some(at + 3),
        _ => None,
    }
}

/// What a newline means inside a run of white space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newlines {
    /// No more than a space does.
    AreSpace,
    /// The run is cut after its last newline.
    EndAPiece,
    /// The same, unless the run ends the text.
    EndAPieceInside,
}

/// White space at `at`: `\s*[\r\n]+` where `newlines` asks for it, then `\s+(?!\S)`, then `\s+`. That is, up to the last
/// newline of the run; else the run without its last character (which the next word may want); else the run.
#[inline]
fn white_space(classes: &Classes, text: &[u8], at: usize, newlines: Newlines) -> usize {
    let (mut end, mut last, mut newline) = (at, at, None);
    loop {
        let (class, len) = classes.at(text, end);
        if class & SPACE == 0 {
            break;
        }
        last = end;
        end += len;
        if class & NEWLINE != 0 {
            newline = Some(end);
        }
    }
    match newline {
        Some(newline) if newlines == Newlines::EndAPiece => newline,
        Some(newline) if newlines == Newlines::EndAPieceInside && end < text.len() => newline,
        _ if end == text.len() || last == at => end,
        _ => last,
    }
}

#[inline]
fn gpt2(classes: &Classes, text: &[u8], at: usize) -> usize {
    // A space and a word: the most frequent piece.
    let start = at + (text[at] == b' ') as usize;
    let end = letters(classes, text, start);
    if end > start {
        return end;
    }
    if let Some(end) = contraction(text, at) {
        return end;
    }
    let (class, len) = classes.at(text, start);
    match class & (NUMBER | OTHER) {
        0 => white_space(classes, text, at, Newlines::AreSpace),
        flag => run(classes, text, start + len, flag),
    }
}

#[inline]
fn words(classes: &Classes, text: &[u8], at: usize, most_digits: usize, trailing_whole: bool) -> usize {
    if text[at] == b' ' {
        let end = letters(classes, text, at + 1);
        if end > at + 1 {
            return end;
        }
    } else if let Some(end) = contraction_any_case(text, at) {
        return end;
    }
    let (class, len) = classes.at(text, at);
    if class & LETTER != 0 {
        return letters(classes, text, at);
    }
    if class & NUMBER != 0 {
        return digits(classes, text, at, most_digits);
    }
    let (next, _) = classes.at(text, at + len);
    if class & NEWLINE == 0 && next & LETTER != 0 {
        return letters(classes, text, at + len);
    }
    if class & OTHER != 0 || text[at] == b' ' && next & OTHER != 0 {
        let end = run(classes, text, at + len, OTHER);
        return run(classes, text, end, NEWLINE);
    }
    let newlines = if trailing_whole { Newlines::EndAPieceInside } else { Newlines::EndAPiece };
    white_space(classes, text, at, newlines)
}

#[inline]
fn o200k(classes: &Classes, text: &[u8], at: usize) -> usize {
    if let Some(end) = ascii_word(text, at) {
        return contraction_any_case(text, end).unwrap_or(end);
    }
    let (class, len) = classes.at(text, at);
    let (next, _) = classes.at(text, at + len);
    if (class | next) & (UPPER | LOWER) != 0 {
        // `[^\r\n\p{L}\p{N}]?` first tries to take a character, then to do without it.
        let after_sign = (class & (LETTER | NUMBER | NEWLINE) == 0).then_some(at + len);
        let word = after_sign
            .and_then(|start| ends_lower(classes, text, start))
            .or_else(|| ends_lower(classes, text, at))
            .or_else(|| after_sign.and_then(|start| begins_upper(classes, text, start)))
            .or_else(|| begins_upper(classes, text, at));
        if let Some(end) = word {
            return contraction_any_case(text, end).unwrap_or(end);
        }
    }
    if class & NUMBER != 0 {
        return digits(classes, text, at, 3);
    }
    if class & OTHER != 0 || text[at] == b' ' && next & OTHER != 0 {
        let mut end = run(classes, text, at + len, OTHER);
        while let Some(b'\r' | b'\n' | b'/') = text.get(end) {
            end += 1;
        }
        return end;
    }
    white_space(classes, text, at, Newlines::EndAPiece)
}

/// A word of o200k (without its contraction) after at most one space, where all of it and the next character are ASCII.
#[inline]
fn ascii_word(text: &[u8], at: usize) -> Option<usize> {
    let start = at + (text[at] == b' ') as usize;
    let end = ascii::upper_then_lower(text, start);
    let ends_here = text.get(end).is_none_or(u8::is_ascii);
    (end > start && ends_here).then_some(end)
}

/// `UPPER*LOWER+`: the upper run gives back characters until one of them, of both classes, can be the lower part.
#[inline]
fn ends_lower(classes: &Classes, text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut last_lower) = (start, None);
    loop {
        let (class, len) = classes.at(text, at);
        if class & UPPER == 0 {
            return if class & LOWER != 0 { Some(run(classes, text, at, LOWER)) } else { last_lower };
        }
        at += len;
        if class & LOWER != 0 {
            last_lower = Some(at);
        }
    }
}

/// `UPPER+LOWER*`
#[inline]
fn begins_upper(classes: &Classes, text: &[u8], start: usize) -> Option<usize> {
    let end = run(classes, text, start, UPPER);
    (end > start).then(|| run(classes, text, end, LOWER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const TEXTS: [&str; 16] = [
        "",
        " ",
        "  \n\n\t x",
        "I'll don't WE'LL it'ſ 'ſx o'Reilly 'RE're",
        "1234567890 12 3",
        "a\r\nb\r\n\r\n  c\n \n",
        "🙂👩‍👩‍👧 z̸a e\u{301}e \u{301}\u{301}A",
        "日Aa日本語ABC日 ǅabc ʰA",
        "HTMLParser parseHTML aB'SC'll",
        "a/b//\n/c ///\r\n\n x",
        "½Ⅷ٣٣٣٣ x²³",
        "\u{85}\u{a0}\u{3000} \u{2028}x",
        "...!?  --\n\n--  ",
        "'' 's ''s '",
        "\t\tx \tx  \ty   ",
        "日本A\u{301}B日CaD",
    ];

    /// Every preset beside the plain engine on the same expression.
    static PAIRS: LazyLock<Vec<(Pattern, fancy_regex::Regex)>> = LazyLock::new(|| {
        KNOWN
            .map(|(regex, _)| (Pattern::custom(regex).unwrap(), fancy_regex::Regex::new(regex).unwrap()))
            .into()
    });

    fn check(text: &str) {
        for (pattern, regex) in PAIRS.iter() {
            let oracle: Vec<&str> = regex.find_iter(text).map(|found| found.unwrap().as_str()).collect();
            assert_eq!(pattern.split(text), oracle, "{regex} on {text:?}");
        }
    }

    #[test]
    fn presets_split_as_their_regular_expressions() {
        for text in TEXTS {
            check(text);
        }
    }

    #[test]
    fn custom_patterns_keep_what_they_do_not_match() {
        let pattern = Pattern::custom("[0-9]+").unwrap();
        assert_eq!(pattern.split("ab12cd3"), ["ab", "12", "cd", "3"]);
        let message = Pattern::custom("(").unwrap_err().to_string();
        assert!(message.starts_with("split pattern `(` does not compile"), "{message}");
    }

    #[test]
    fn a_megabyte_of_anything_is_split() {
        for unit in ["a", " ", "\n", "🙂", "日", "A", "'", "日A", "\u{301}", "/", "1"] {
            let text = unit.repeat((1 << 20) / unit.len());
            for pattern in [
                Pattern::gpt2(),
                Pattern::cl100k(),
                Pattern::cl100k_tiktoken(),
                Pattern::nanochat(),
                Pattern::o200k(),
            ] {
                assert_eq!(pattern.split(&text).concat().len(), text.len());
            }
        }
    }

    /// Characters where the patterns branch, mixed with arbitrary ones.
    fn tricky() -> impl Strategy<Value = String> {
        let branch = prop::sample::select(
            "  \n\r\t'''stdmrvleSTLEaAbBzZ019½!/.,-ſ日本ʰǅ\u{301}\u{300}\u{a0}\u{85}🙂\u{200d}\u{e000}٣"
                .chars()
                .collect::<Vec<_>>(),
        );
        prop::collection::vec(prop_oneof![8 => branch, 1 => any::<char>()], 0..40)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn presets_split_arbitrary_text_as_their_regular_expressions(text in tricky()) {
            check(&text);
        }
    }
}
