//! English words: the rules of spaCy's blank English tokenizer, written as loops over characters.
//!
//! The text is cut at whitespace. From each piece, marks are taken off both ends until an exception (a contraction,
//! an abbreviation, an emoticon) or nothing more is found; what is left is an exception, a web address, or is cut at
//! marks inside it. At last, exceptions that these cuts took apart are put together again.

use super::chars::{
    ALPHA, BEFORE_STOP, CHARS, CURRENCY, CharTable, DIGIT, ICON, INFIX, LOWER, PREFIX, QUOTE, SPACE, SUFFIX,
    UPPER,
};
use super::exceptions::{EXCEPTIONS, Exceptions, LONGEST, LONGEST_OF_LETTERS};
use super::rejoin::REJOINS;
use super::{HAS_LETTER, HAS_NON_SYMBOL, IS_SPACE, Word, url, word};

/// Units that are split off a number, facts of the tokenizer.
const UNITS: &str = "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh \
    mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг \
    м/с км/ч кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ كم غرام جرام جم \
    كغ ملغ كوب اكواب";

/// No unit is longer, in bytes.
const LONGEST_UNIT: usize = 10;

/// The words of `text`.
pub fn words(text: &str) -> Vec<Word> {
    let mut splitter = Splitter::new(text, true);
    splitter.split_text();
    let mut words = splitter.words;
    REJOINS.apply(text, &mut words);
    words.retain(|word| word.flags & IS_SPACE == 0);
    words
}

/// The words of one piece without whitespace by the affix rules alone, and whether any rule applies to it at all.
pub(super) fn cut_without_exceptions(piece: &str) -> (Vec<Word>, bool) {
    let mut splitter = Splitter::new(piece, false);
    splitter.split_piece(0, piece.len());
    let applies =
        splitter.prefix(piece) > 0 || splitter.suffix(piece) > 0 || splitter.infix(piece, 0).is_some();
    (splitter.words, applies)
}

struct Splitter<'a> {
    text: &'a str,
    table: &'static CharTable,
    ascii: &'static [u32; 256],
    /// None where the exceptions are being built themselves.
    exceptions: Option<&'static Exceptions>,
    words: Vec<Word>,
    /// Ends of the suffixes taken off the present piece, outermost first.
    suffixes: Vec<(usize, usize)>,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str, with_exceptions: bool) -> Self {
        let table = &*CHARS;
        Self {
            text,
            table,
            ascii: table.ascii(),
            exceptions: with_exceptions.then(|| &*EXCEPTIONS),
            words: Vec::with_capacity(text.len() / 5 + 1),
            suffixes: Vec::new(),
        }
    }

    fn split_text(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            // A run of whitespace is a word, less the one space that separates words; it is dropped at the end.
            let start = at;
            at = self.space_end(at);
            if at > start {
                let separator = usize::from(start > 0 && bytes[start] == b' ');
                if start + separator < at {
                    self.push_space(start + separator, at);
                }
            }
            let start = at;
            let mut plain = true;
            while at < bytes.len() {
                let byte = bytes[at];
                if byte < 0x80 {
                    let flags = self.ascii[byte as usize];
                    if flags & SPACE != 0 {
                        break;
                    }
                    plain &= flags & ALPHA != 0;
                    at += 1;
                } else {
                    let c = self.char_at(at);
                    if self.table.flags(c) & SPACE != 0 {
                        break;
                    }
                    plain = false;
                    at += c.len_utf8();
                }
            }
            if at > start {
                if plain { self.split_letters(start, at) } else { self.split_piece(start, at) }
            }
        }
    }

    fn space_end(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while at < bytes.len() {
            if bytes[at] < 0x80 {
                if self.ascii[bytes[at] as usize] & SPACE == 0 {
                    break;
                }
                at += 1;
            } else {
                let c = self.char_at(at);
                if self.table.flags(c) & SPACE == 0 {
                    break;
                }
                at += c.len_utf8();
            }
        }
        at
    }

    fn char_at(&self, at: usize) -> char {
        self.text[at..].chars().next().expect("callers stay inside the text and on character boundaries")
    }

    /// ASCII letters only: no rule but the exceptions applies.
    fn split_letters(&mut self, start: usize, end: usize) {
        if end - start > LONGEST_OF_LETTERS || !self.push_exception(start, end) {
            self.words.push(Word {
                start: start as u32,
                end: end as u32,
                n_chars: (end - start) as u32,
                flags: HAS_LETTER | HAS_NON_SYMBOL,
            });
        }
    }

    /// Any piece without whitespace.
    fn split_piece(&mut self, start: usize, end: usize) {
        let (mut low, mut high) = (start, end);
        self.suffixes.clear();
        while low < high {
            if self.is_exception(low, high) {
                break;
            }
            let prefix = self.prefix(&self.text[low..high]);
            if prefix > 0 && self.is_exception(low + prefix, high) {
                self.push(low, low + prefix);
                low += prefix;
                break;
            }
            let suffix = self.suffix(&self.text[low + prefix..high]);
            if suffix > 0 && self.is_exception(low, high - suffix) {
                self.suffixes.push((high - suffix, high));
                high -= suffix;
                break;
            }
            if prefix + suffix == 0 {
                break;
            }
            if prefix > 0 {
                self.push(low, low + prefix);
                low += prefix;
            }
            if suffix > 0 {
                self.suffixes.push((high - suffix, high));
                high -= suffix;
            }
        }
        if low < high && !self.push_exception(low, high) {
            if url::is_address(&self.text[low..high]) {
                self.push(low, high);
            } else {
                self.split_infixes(low, high);
            }
        }
        while let Some((start, end)) = self.suffixes.pop() {
            self.push(start, end);
        }
    }

    fn split_infixes(&mut self, low: usize, high: usize) {
        let core = &self.text[low..high];
        let (mut start, mut at) = (0, 0);
        while let Some((from, to)) = self.infix(core, at) {
            at = to;
            // A mark at the very start separates nothing.
            if from == 0 {
                continue;
            }
            if from > start {
                self.push(low + start, low + from);
            }
            self.push(low + from, low + to);
            start = to;
        }
        if start < core.len() {
            self.push(low + start, high);
        }
    }

    /// Byte length of what is split off the front, 0 for nothing.
    fn prefix(&self, s: &str) -> usize {
        let bytes = s.as_bytes();
        let Some(&first) = bytes.first() else { return 0 };
        match first {
            b'+' => usize::from(!bytes.get(1).is_some_and(u8::is_ascii_digit)),
            b'.' => {
                let n = bytes.iter().take_while(|&&b| b == b'.').count();
                if n >= 2 { n } else { 0 }
            }
            b'U' if s.starts_with("US$") => 3,
            b'C' | b'A' if bytes.get(1) == Some(&b'$') => 2,
            0..0x80 => usize::from(self.ascii[first as usize] & PREFIX != 0),
            _ => s.chars().next().filter(|&c| self.table.flags(c) & PREFIX != 0).map_or(0, char::len_utf8),
        }
    }

    /// Byte length of what is split off the end, 0 for nothing: the longest that fits any rule.
    fn suffix(&self, s: &str) -> usize {
        let bytes = s.as_bytes();
        let Some(last) = s.chars().next_back() else { return 0 };
        let length = last.len_utf8();
        let flags = self.table.flags(last);
        let before = s[..s.len() - length].chars().next_back();
        match last {
            '.' => {
                let n = bytes.iter().rev().take_while(|&&b| b == b'.').count();
                if n >= 2 {
                    return n;
                }
                let Some(before) = before else { return 0 };
                let kind = self.table.flags(before);
                let initials = || {
                    let first = s[..s.len() - 1 - before.len_utf8()].chars().next_back();
                    kind & UPPER != 0 && first.is_some_and(|c| self.table.flags(c) & UPPER != 0)
                };
                let degrees =
                    || matches!(before, 'F' | 'f' | 'C' | 'c' | 'K' | 'k') && s[..s.len() - 2].ends_with('°');
                return usize::from(kind & BEFORE_STOP != 0 || initials() || degrees());
            }
            's' | 'S' => match before {
                Some('\'') => return 2,
                Some('’') => return '’'.len_utf8() + 1,
                _ => {}
            },
            '…' if before == Some('…') => return 2 * length,
            _ => {}
        }
        if flags & SUFFIX != 0 {
            return length;
        }
        let after_digit = before.is_some_and(|c| c.is_ascii_digit());
        if after_digit && (last == '+' || flags & CURRENCY != 0) {
            return length;
        }
        if last == '$' {
            let dollar = ["US$", "C$", "A$"].into_iter().find(|dollar| s.ends_with(dollar));
            return match dollar {
                Some(d) if s[..s.len() - d.len()].ends_with(|c: char| c.is_ascii_digit()) => d.len(),
                _ => 0,
            };
        }
        // A unit is whatever follows the last digit, if it is in the list.
        let tail = bytes.iter().rev().take(LONGEST_UNIT + 1).position(u8::is_ascii_digit).unwrap_or(0);
        if tail > 0 && UNITS.split(' ').any(|unit| unit.as_bytes() == &bytes[bytes.len() - tail..]) {
            tail
        } else {
            0
        }
    }

    /// The first mark inside `core` at or after `from` at which it is cut.
    fn infix(&self, core: &str, from: usize) -> Option<(usize, usize)> {
        let bytes = core.as_bytes();
        let mut at = from;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte < 0x80 && self.ascii[byte as usize] & INFIX == 0 {
                at += 1;
                continue;
            }
            let c = core[at..].chars().next().expect("at stays on character boundaries");
            let flags = self.table.flags(c);
            let next_at = at + c.len_utf8();
            if flags & INFIX != 0
                && let Some(end) = self.infix_at(core, at, c, flags, next_at)
            {
                return Some((at, end));
            }
            at = next_at;
        }
        None
    }

    fn infix_at(&self, core: &str, at: usize, c: char, flags: u32, next_at: usize) -> Option<usize> {
        let before = core[..at].chars().next_back();
        let after = core[next_at..].chars().next();
        let is = |c: Option<char>, kinds: u32| c.is_some_and(|c| self.table.flags(c) & kinds != 0);
        if flags & ICON != 0 || c == '…' {
            return Some(next_at);
        }
        match c {
            '.' if after == Some('.') => {
                let dots = core.as_bytes()[at..].iter().take_while(|&&b| b == b'.').count();
                return Some(at + dots);
            }
            '.' if is(before, LOWER | QUOTE) && is(after, UPPER | QUOTE) => return Some(next_at),
            '+' | '-' | '*' | '^' if is(before, DIGIT) && (is(after, DIGIT) || after == Some('-')) => {
                return Some(next_at);
            }
            ',' if is(before, ALPHA) && is(after, ALPHA) => return Some(next_at),
            ':' | '<' | '>' | '=' | '/' if is(before, ALPHA | DIGIT) && is(after, ALPHA) => {
                return Some(next_at);
            }
            _ => {}
        }
        if matches!(c, '-' | '–' | '—' | '~') && is(before, ALPHA | DIGIT) {
            let dashes = ["-", "–", "—", "--", "---", "——", "~"];
            return dashes
                .into_iter()
                .filter(|dash| core[at..].starts_with(dash))
                .map(|dash| at + dash.len())
                .find(|&end| is(core[end..].chars().next(), ALPHA));
        }
        None
    }

    fn is_exception(&self, start: usize, end: usize) -> bool {
        end - start <= LONGEST
            && self.exceptions.is_some_and(|known| known.get(&self.text[start..end]).is_some())
    }

    /// Pushes the parts of an exception, if this is one.
    fn push_exception(&mut self, start: usize, end: usize) -> bool {
        let Some(known) = self.exceptions else { return false };
        let Some(parts) = known.get(&self.text[start..end]) else { return false };
        let mut at = start;
        for &length in parts {
            self.push(at, at + length as usize);
            at += length as usize;
        }
        true
    }

    fn push(&mut self, start: usize, end: usize) {
        self.words.push(word(self.table, self.text, start, end));
    }

    fn push_space(&mut self, start: usize, end: usize) {
        self.words.push(Word { start: start as u32, end: end as u32, n_chars: 0, flags: IS_SPACE });
    }
}
