//! Character references (`&amp;`, `&#38;`) to the characters that they stand for.

use std::borrow::Cow;

use html5ever::data::{C1_REPLACEMENTS, NAMED_ENTITIES};
use memchr::memchr;

/// Longest name of a reference that needs no semicolon.
const LONGEST_BARE_NAME: usize = 6;
/// Longer than any name of a reference.
const LONGEST_NAME: usize = 40;

/// Decodes what stands at an ampersand; gives the number of bytes that were read, one for an ampersand that is one.
pub fn reference(bytes: &[u8], in_attribute: bool, mut push: impl FnMut(char)) -> usize {
    if bytes.get(1) == Some(&b'#') {
        return numeric_reference(bytes, push);
    }
    let run = bytes[1..].iter().take(LONGEST_NAME).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = std::str::from_utf8(&bytes[1..=run]).expect("letters and digits");
    let mut found = None;
    if bytes.get(1 + run) == Some(&b';') {
        found = match name {
            "amp" => Some(('\u{26}', '\0', 4)),
            "nbsp" => Some(('\u{a0}', '\0', 5)),
            _ => std::str::from_utf8(&bytes[1..run + 2]).ok().and_then(named),
        };
    }
    let found = found.or_else(|| {
        let bare = (2..=run.min(LONGEST_BARE_NAME)).rev().find_map(|length| named(&name[..length]))?;
        let next = bytes.get(1 + bare.2);
        let means_itself =
            in_attribute && next.is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'=');
        (!means_itself).then_some(bare)
    });
    let Some((first, second, length)) = found else {
        push('&');
        return 1;
    };
    push(first);
    if second != '\0' {
        push(second);
    }
    1 + length
}

/// Text with its references decoded.
pub fn decode(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let Some(mut at) = memchr(b'&', bytes) else { return Cow::Borrowed(text) };
    let mut out = text[..at].to_owned();
    while at < bytes.len() {
        if bytes[at] == b'&' {
            at += reference(&bytes[at..], false, |c| out.push(c));
        } else {
            let next = memchr(b'&', &bytes[at..]).map_or(bytes.len(), |next| at + next);
            out.push_str(&text[at..next]);
            at = next;
        }
    }
    Cow::Owned(out)
}

/// The characters of a named reference and the length of its name.
fn named(name: &str) -> Option<(char, char, usize)> {
    let &(first, second) = NAMED_ENTITIES.get(name)?;
    // The table holds beginnings of names too, with nothing behind them.
    (first != 0).then(|| {
        let as_char = |code| char::from_u32(code).unwrap_or('\u{fffd}');
        (as_char(first), as_char(second), name.len())
    })
}

fn numeric_reference(bytes: &[u8], mut push: impl FnMut(char)) -> usize {
    let (radix, digits) = match bytes.get(2) {
        Some(b'x' | b'X') => (16, 3),
        _ => (10, 2),
    };
    let mut number = 0_u32;
    let mut at = digits;
    while let Some(digit) = bytes.get(at).and_then(|byte| char::from(*byte).to_digit(radix)) {
        number = number.saturating_mul(radix).saturating_add(digit);
        at += 1;
    }
    if at == digits {
        push('&');
        return 1;
    }
    if bytes.get(at) == Some(&b';') {
        at += 1;
    }
    let replaced = match number {
        0x80..=0x9f => C1_REPLACEMENTS[number as usize - 0x80],
        0 => None,
        _ => char::from_u32(number),
    };
    push(match (number, replaced) {
        (0x80..=0x9f, None) => char::from_u32(number).expect("a control character"),
        (_, replaced) => replaced.unwrap_or('\u{fffd}'),
    });
    at
}
