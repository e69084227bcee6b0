//! What a word is, when two texts are compared for near duplicates.
//!
//! Case, marks, punctuation, layout and the values of numbers change between copies of a page and say little about
//! its content, so they are folded away. The rules, in order, for each character:
//!
//! 1. Lowercase (full Unicode mapping; final sigma becomes sigma), then canonical decomposition (NFD).
//! 2. Combining marks and invisible joiners are dropped: `é` is `e`. Vowel signs of Indic and Thai scripts stay, because
//!    without them different words fall together.
//! 3. A run of digits or other numerals becomes one `0`: `12.5` is the two words `0 0`.
//! 4. Letters and digits make words; everything else (white space, punctuation, symbols, emoji) ends one.
//! 5. Scripts that are written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) have no word boundaries to see, so
//!    each of their characters is a word, and an n-gram of words is an n-gram of characters there. Hangul has spaces and
//!    is treated as Latin is.
//!
//! [`words`] is the definition; [`WordHasher`] gives the hashes of the same words without building them. Where datatrove
//! differs: it reads a decimal number as one `0`, keeps symbols as parts of words, and asks a tokenizer of the language.

use std::sync::OnceLock;

use unicode_normalization::char::{canonical_combining_class, decompose_canonical, is_combining_mark};
use xxhash_rust::xxh3::xxh3_64;

/// The normalised words of a text: the plain definition, for tests and for showing people what was compared.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        fold(c, &mut |class, c| match class {
            Class::Separator => words.extend(take(&mut word)),
            Class::Dropped => {}
            Class::Digit if word.ends_with('0') => {}
            Class::Digit => word.push('0'),
            Class::Letter => word.push(c),
            Class::Unit => {
                words.extend(take(&mut word));
                words.push(c.to_string());
            }
        });
    }
    words.extend(take(&mut word));
    words
}

fn take(word: &mut String) -> Option<String> {
    (!word.is_empty()).then(|| std::mem::take(word))
}

/// The hash of one normalised word. Band keys on disk depend on it: changing it is a new version of the stage.
///
/// Up to 16 bytes, nearly all words, it is one multiplication of the zero-padded bytes with all 128 bits folded, as xxh3
/// does inside, but without its branches on the length: a text's word lengths cannot be predicted, and the mispredictions
/// cost more than the hash. Beyond, it is xxh3-64.
pub fn word_hash(word: &[u8]) -> u64 {
    if word.len() > 16 {
        return xxh3_64(word);
    }
    let mut padded = [0; 16];
    padded[..word.len()].copy_from_slice(word);
    short_word_hash(u128::from_le_bytes(padded), word.len())
}

/// [`word_hash`] of up to 16 bytes, given as a little-endian integer with zeros beyond the word.
#[inline]
fn short_word_hash(bytes: u128, len: usize) -> u64 {
    let low = (bytes as u64) ^ 0x9E37_79B9_7F4A_7C15;
    let high =
        ((bytes >> 64) as u64) ^ (len as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0xC2B2_AE3D_27D4_EB4F;
    let product = u128::from(low) * u128::from(high);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hashes the words of texts, with buffers that are reused from text to text.
#[derive(Debug, Default)]
pub struct WordHasher {
    /// The chunk in lowercase ASCII (other bytes as they are), followed by [`PADDING`] bytes.
    lower: Vec<u8>,
    /// One bit a byte of the chunk: part of a run that may hold words / not an ASCII letter.
    word_bits: Vec<u64>,
    special_bits: Vec<u64>,
    /// Where runs start and end, alternating.
    bounds: Vec<u32>,
    /// The word that the slow path builds.
    word: Vec<u8>,
}

/// Text is worked on in chunks of about this many bytes, so that all buffers stay in the first-level cache.
const CHUNK_BYTES: usize = 4096;
/// Lets the hash of the last word read 16 bytes from any start.
const PADDING: usize = 16;

impl WordHasher {
    /// Appends the [`word_hash`] of each of the text's [`words`] to `hashes`, and calls `chunk_done(hashes)` after each
    /// few KiB of text, so that a caller who drains `hashes` there works in constant memory.
    pub fn hash_words(
        &mut self,
        text: &str,
        hashes: &mut Vec<u64>,
        mut chunk_done: impl FnMut(&mut Vec<u64>),
    ) {
        let mut rest = text;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(chunk_length(rest.as_bytes()));
            self.hash_chunk(chunk, hashes);
            chunk_done(hashes);
            rest = after;
        }
    }

    /// Runs of letters, digits and non-ASCII bytes are found for 64 bytes at a time. A run of ASCII letters only is a
    /// word and is hashed where it lies; any other is decoded and folded character by character.
    fn hash_chunk(&mut self, chunk: &str, hashes: &mut Vec<u64>) {
        self.lower.clear();
        self.lower.extend_from_slice(chunk.as_bytes());
        self.lower.make_ascii_lowercase();
        // Zeros are separators, so every run ends inside the buffer.
        self.lower.resize(chunk.len().next_multiple_of(64) + PADDING, 0);

        self.word_bits.clear();
        self.special_bits.clear();
        let mut special_seen = 0;
        for block in self.lower.as_chunks::<64>().0.iter().take(chunk.len().div_ceil(64)) {
            let (letters, specials) = classify(block);
            self.word_bits.push(letters | specials);
            self.special_bits.push(specials);
            special_seen |= specials;
        }
        self.special_bits.push(0);

        self.bounds.clear();
        let mut before = 0;
        for (i, bits) in self.word_bits.iter().enumerate() {
            let mut edges = bits ^ ((bits << 1) | before);
            before = bits >> 63;
            while edges != 0 {
                self.bounds.push(i as u32 * 64 + edges.trailing_zeros());
                edges &= edges - 1;
            }
        }
        if before == 1 {
            self.bounds.push(chunk.len() as u32);
        }

        for &[start, end] in self.bounds.as_chunks::<2>().0 {
            let (start, end) = (start as usize, end as usize);
            if special_seen != 0 && any_special(&self.special_bits, start, end) {
                fold_run(&chunk[start..end], &mut self.word, hashes);
            } else if end - start <= 16 {
                let bytes: [u8; 16] = self.lower[start..start + 16].try_into().expect("sixteen bytes");
                let unused_bits = 128 - 8 * (end - start) as u32;
                hashes.push(short_word_hash(
                    u128::from_le_bytes(bytes) & (u128::MAX >> unused_bits),
                    end - start,
                ));
            } else {
                hashes.push(xxh3_64(&self.lower[start..end]));
            }
        }
    }
}

/// How many bytes to work on next: as many as fit [`CHUNK_BYTES`] and end behind an ASCII separator, or more when a
/// single run is longer than that.
fn chunk_length(bytes: &[u8]) -> usize {
    if bytes.len() <= CHUNK_BYTES {
        return bytes.len();
    }
    let separator = |b: &u8| b.is_ascii() && !b.is_ascii_alphanumeric();
    match bytes[..CHUNK_BYTES].iter().rposition(separator) {
        Some(last) => last + 1,
        None => bytes[CHUNK_BYTES..].iter().position(separator).map_or(bytes.len(), |i| CHUNK_BYTES + i + 1),
    }
}

fn any_special(special_bits: &[u64], start: usize, end: usize) -> bool {
    let (block, shift) = (start / 64, start % 64);
    let length = end - start;
    if length > 64 {
        return true; // rare; folding gives the right words for plain ASCII too
    }
    let bits = (special_bits[block] >> shift) | ((special_bits[block + 1] << 1) << (63 - shift));
    bits & (u64::MAX >> (64 - length)) != 0
}

/// For 64 bytes in ASCII lowercase: which are letters, and which are digits or not ASCII, a bit each.
#[cfg(target_arch = "x86_64")]
#[inline]
fn classify(block: &[u8; 64]) -> (u64, u64) {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { classify_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn classify_sse2(block: &[u8; 64]) -> (u64, u64) {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_sub_epi8,
    };
    let (mut letters, mut specials) = (0, 0);
    for (i, quarter) in block.as_chunks::<16>().0.iter().enumerate() {
        let halves = u128::from_le_bytes(*quarter);
        let bytes = _mm_set_epi64x((halves >> 64) as i64, halves as i64);
        // `x <= max` for unsigned bytes is `min(x, max) == x`.
        let letter = _mm_sub_epi8(bytes, _mm_set1_epi8(b'a' as i8));
        let letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
        let digit = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
        let digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
        letters |= u64::from(_mm_movemask_epi8(letter) as u16) << (16 * i);
        specials |= u64::from(_mm_movemask_epi8(_mm_or_si128(digit, bytes)) as u16) << (16 * i);
    }
    (letters, specials)
}

#[cfg(not(target_arch = "x86_64"))]
fn classify(block: &[u8; 64]) -> (u64, u64) {
    classify_plain(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn classify_plain(block: &[u8; 64]) -> (u64, u64) {
    block.iter().enumerate().fold((0, 0), |(letters, specials), (i, b)| {
        let special = b.is_ascii_digit() || !b.is_ascii();
        (letters | u64::from(b.is_ascii_lowercase()) << i, specials | u64::from(special) << i)
    })
}

/// Hashes the words of a run that is not just ASCII letters.
fn fold_run(run: &str, word: &mut Vec<u8>, hashes: &mut Vec<u64>) {
    let table = fold_table();
    word.clear();
    for c in run.chars() {
        match table.get(c as usize) {
            Some(&[b0, b1, b2, kind]) if kind != SEVERAL => match kind {
                DIGIT if word.last() == Some(&b'0') => {}
                LETTER_1 | DIGIT => word.push(b0),
                LETTER_2 => word.extend_from_slice(&[b0, b1]),
                LETTER_3 => word.extend_from_slice(&[b0, b1, b2]),
                UNIT => {
                    end_word(word, hashes);
                    hashes.push(word_hash(&[b0, b1, b2]));
                }
                DROPPED => {}
                _ => end_word(word, hashes),
            },
            _ => fold(c, &mut |class, c| match class {
                Class::Separator => end_word(word, hashes),
                Class::Dropped => {}
                Class::Digit if word.last() == Some(&b'0') => {}
                Class::Digit => word.push(b'0'),
                Class::Letter => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                Class::Unit => {
                    end_word(word, hashes);
                    hashes.push(word_hash(c.encode_utf8(&mut [0; 4]).as_bytes()));
                }
            }),
        }
    }
    end_word(word, hashes);
}

fn end_word(word: &mut Vec<u8>, hashes: &mut Vec<u64>) {
    if !word.is_empty() {
        hashes.push(word_hash(word));
        word.clear();
    }
}

/// What a character does to the word that it stands in.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Separator,
    Dropped,
    Digit,
    Letter,
    /// A word of its own.
    Unit,
}

/// Lowercases, decomposes and classifies one character: the rules at the top of this file.
fn fold(c: char, emit: &mut impl FnMut(Class, char)) {
    for lower in c.to_lowercase() {
        decompose_canonical(lower, |part| {
            let part = if part == 'ς' { 'σ' } else { part };
            emit(classify_char(part), part);
        });
    }
}

fn classify_char(c: char) -> Class {
    // Soft hyphen, joiners, word joiner, byte order mark: invisible, inside words.
    let invisible = matches!(c, '\u{AD}' | '\u{200C}' | '\u{200D}' | '\u{2060}' | '\u{FEFF}');
    let mark = is_combining_mark(c) && (canonical_combining_class(c) != 0 || !c.is_alphabetic());
    if invisible || mark {
        Class::Dropped
    } else if c.is_numeric() {
        Class::Digit
    } else if !c.is_alphabetic() {
        Class::Separator
    } else if is_unspaced(c) {
        Class::Unit
    } else {
        Class::Letter
    }
}

/// Scripts written without spaces between words, by the code points of their blocks.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}'     // Thai, Lao
        | '\u{1000}'..='\u{109F}'   // Myanmar
        | '\u{1780}'..='\u{17FF}'   // Khmer
        | '\u{3005}'..='\u{30FF}'   // iteration marks, hiragana, katakana
        | '\u{31F0}'..='\u{31FF}'   // katakana extensions
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}' // Han
        | '\u{A9E0}'..='\u{A9FF}' | '\u{AA60}'..='\u{AA7F}' // Myanmar extensions
        | '\u{FF66}'..='\u{FF9F}' // halfwidth katakana
    )
}

/// A folded character: up to three bytes of UTF-8 and what to do with them.
type Entry = [u8; 4];
const SEPARATOR: u8 = 0;
const DROPPED: u8 = 1;
const DIGIT: u8 = 2;
const LETTER_1: u8 = 3;
const LETTER_2: u8 = 4;
const LETTER_3: u8 = 5;
const UNIT: u8 = 6;
/// Folds to more than one character, or to one beyond the table.
const SEVERAL: u8 = 7;

/// [`fold`] of every character of the basic multilingual plane, computed at first use (256 KiB, some milliseconds).
fn fold_table() -> &'static [Entry] {
    static TABLE: OnceLock<Vec<Entry>> = OnceLock::new();
    TABLE.get_or_init(|| (0..0x1_0000).map(|code| char::from_u32(code).map_or([0; 4], fold_entry)).collect())
}

fn fold_entry(c: char) -> Entry {
    let mut kept = None;
    let mut several = false;
    fold(c, &mut |class, part| {
        // Decomposed accents are the common case: a letter, then only what is dropped.
        if class != Class::Dropped {
            several |= kept.is_some();
            kept = Some((class, part));
        }
    });
    let Some((class, part)) = kept else { return [0, 0, 0, DROPPED] };
    let mut bytes = [0; 4];
    let length = part.encode_utf8(&mut bytes).len();
    let kind = match (class, length) {
        _ if several => SEVERAL,
        (Class::Separator, _) => SEPARATOR,
        (Class::Dropped, _) => DROPPED,
        (Class::Digit, _) => {
            bytes[0] = b'0';
            DIGIT
        }
        (Class::Letter, 1) => LETTER_1,
        (Class::Letter, 2) => LETTER_2,
        (Class::Letter, 3) => LETTER_3,
        (Class::Unit, 3) => UNIT,
        (Class::Letter | Class::Unit, _) => SEVERAL,
    };
    [bytes[0], bytes[1], bytes[2], kind]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(text: &str) -> Vec<u64> {
        let mut hashes = Vec::new();
        WordHasher::default().hash_words(text, &mut hashes, |_| {});
        hashes
    }

    fn expected(text: &str) -> Vec<u64> {
        words(text).iter().map(|word| word_hash(word.as_bytes())).collect()
    }

    #[test]
    fn words_are_as_documented() {
        let cases = [
            ("", ""),
            (" \n\t .,;!", ""),
            ("The quick  Brown\nfox.", "the quick brown fox"),
            ("don't e-mail bob@example.com", "don t e mail bob example com"),
            ("12.5% of $1,234 in 2024", "0 0 of 0 0 in 0"),
            ("abc123def v2", "abc0def v0"),
            ("Café déjà-vu — Ångström", "cafe deja vu angstrom"),
            ("cafe\u{301}", "cafe"),
            ("“Quoted” …and©", "quoted and"),
            ("ΟΔΟΣ οδός", "οδοσ οδοσ"),
            ("İstanbul STRASSE straße", "istanbul strasse straße"),
            ("Ёлка и ёж", "елка и еж"),
            ("日本語。テスト9", "日 本 語 テ ス ト 0"),
            ("がabc", "か abc"),
            ("co\u{AD}operate zero\u{200D}width a\u{200B}b", "cooperate zerowidth a b"),
            ("हिन्दी", "हिनदी"),
            ("٣٤ ½ ①②", "0 0 0"),
            ("𐐀 𠀀𠀁", "𐐨 𠀀 𠀁"),
            ("😀 a😀b", "a b"),
        ];
        for (text, joined) in cases {
            assert_eq!(words(text).join(" "), joined, "{text:?}");
            assert_eq!(hashes(text), expected(text), "{text:?}");
        }
        // Hangul has spaces: a word stays one.
        assert_eq!(words("안녕하세요 세계").len(), 2);
    }

    #[test]
    fn every_character_hashes_as_it_folds() {
        for c in '\0'..=char::MAX {
            let text = format!("x{c}1");
            assert_eq!(hashes(&text), expected(&text), "{c:?} U+{:X}", c as u32);
        }
    }

    #[test]
    fn every_length_and_alignment_hashes_as_it_folds() {
        for length in 1..140 {
            for lead in [0, 1, 15, 62, 63, 64] {
                for tail in ["", " ", "é", "7", ".b"] {
                    let text = format!("{}{}{tail}", " ".repeat(lead), "q".repeat(length));
                    assert_eq!(hashes(&text), expected(&text), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn chunks_do_not_show() {
        for unit in ["word ", "aé", "日本", "x", "a1 b.c—d, "] {
            for extra in 0..6 {
                let text = format!("{}{}", "z".repeat(extra), unit.repeat(3 * CHUNK_BYTES / unit.len()));
                assert_eq!(hashes(&text), expected(&text), "{unit:?} {extra}");
            }
        }
    }

    #[test]
    fn classification_is_the_plain_one() {
        for first in 0..=255_u8 {
            let block = std::array::from_fn(|i| first.wrapping_add((i as u8).wrapping_mul(5)))
                .map(|b: u8| b.to_ascii_lowercase());
            assert_eq!(classify(&block), classify_plain(&block));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_hashes_as_it_folds(text in "(\\PC|[a-z ]{3,9}|[0-9.]|[éß—日ก가\u{301}]){0,300}") {
            prop_assert_eq!(hashes(&text), expected(&text));
        }
    }
}
