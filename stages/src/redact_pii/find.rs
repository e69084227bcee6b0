//! Finds personal data in text. E-mail addresses and IPv4 addresses are found exactly as datatrove 0.10.1's two regular
//! expressions find them (the tests hold the expressions), by looking for `@` and for a dot between digits first.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memchr_iter;
use regex::Regex;

/// Calls `found` with each e-mail address, in order, none overlapping.
pub fn emails(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut after = 0;
    for at in memchr_iter(b'@', bytes) {
        if at < after {
            continue;
        }
        // The domain first: it is the cheaper of the two to turn down.
        let Some(end) = domain_end(bytes, at + 1) else { continue };
        let Some(start) = local_start(text, after, at) else { continue };
        found(start..end);
        after = end;
    }
}

/// Where the local part that ends at `at` begins: the first word boundary in its run of atoms.
fn local_start(text: &str, after: usize, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if at == after || !is_atom_byte(bytes[at - 1]) {
        return None;
    }
    let mut first = at;
    while first > after {
        let byte = bytes[first - 1];
        // A dot joins two atoms; two dots, or one at the front, end the run.
        let joins = byte == b'.' && bytes[first] != b'.';
        if !joins && !is_atom_byte(byte) {
            break;
        }
        first -= 1;
    }
    let mut before_is_word = match text[..first].chars().next_back() {
        Some(c) => is_python_word(c),
        None => false,
    };
    for (start, &byte) in bytes.iter().enumerate().take(at).skip(first) {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
        if byte != b'.' && is_word != before_is_word {
            return Some(start);
        }
        before_is_word = is_word;
    }
    None
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

/// Whether Python's `\w` takes a character: letters and numbers, but no combining marks, which Rust's classes would add.
fn is_python_word(c: char) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}_]").expect("a fixed pattern"));
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '_'
    } else {
        WORD.is_match(c.encode_utf8(&mut [0; 4]))
    }
}

/// Where the domain that begins at `start` ends: two labels or more, or an address in brackets.
fn domain_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) == Some(&b'[') {
        return bracketed_end(bytes, start + 1);
    }
    let mut end = None;
    let mut label = start;
    loop {
        if !bytes.get(label).is_some_and(u8::is_ascii_alphanumeric) {
            return end;
        }
        let length = run(bytes, label, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let hyphens = bytes[label..label + length].iter().rev().take_while(|&&b| b == b'-').count();
        let label_end = label + length - hyphens;
        if label > start {
            end = Some(label_end);
        }
        if hyphens > 0 || bytes.get(label_end) != Some(&b'.') {
            return end;
        }
        label = label_end + 1;
    }
}

/// `1.2.3.4]`, or three octets and a word with a colon, as the reference's expression has it.
fn bracketed_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut place = start;
    for _ in 0..3 {
        place += whole_octet(bytes, place)?;
        if bytes.get(place) != Some(&b'.') {
            return None;
        }
        place += 1;
    }
    if let Some(length) = whole_octet(bytes, place)
        && bytes.get(place + length) == Some(&b']')
    {
        return Some(place + length + 1);
    }
    let length = run(bytes, place, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ends_well = length > 0 && bytes[place + length - 1].is_ascii_alphanumeric();
    (ends_well && bytes[place + length..].starts_with(b":]")).then_some(place + length + 2)
}

fn run(bytes: &[u8], start: usize, holds: impl Fn(u8) -> bool) -> usize {
    bytes[start.min(bytes.len())..].iter().take_while(|&&byte| holds(byte)).count()
}

/// Length of the digits at `start`, if they are all of one octet.
fn whole_octet(bytes: &[u8], start: usize) -> Option<usize> {
    let length = run(bytes, start, |byte| byte.is_ascii_digit());
    (length > 0 && octet_prefix(&bytes[start..start + length.min(4)]) == length).then_some(length)
}

/// Length of the longest octet, 0 to 255 with leading zeros allowed, at the front of `bytes`.
fn octet_prefix(bytes: &[u8]) -> usize {
    let (mut value, mut length) = (0_u32, 0);
    for byte in bytes.iter().take(3).take_while(|byte| byte.is_ascii_digit()) {
        value = value * 10 + (byte - b'0') as u32;
        if value > 255 {
            break;
        }
        length += 1;
    }
    length
}

/// Calls `found` with each dotted quad that is an address (and public, if only those are wanted), in order, none overlapping.
/// As in the reference, there need be no boundary around it: `1.2.3.4567` holds `1.2.3.45`.
pub fn ipv4(text: &str, only_public: bool, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut after = 0;
    for dot in memchr_iter(b'.', bytes) {
        let is_candidate = dot > after
            && bytes[dot - 1].is_ascii_digit()
            && bytes.get(dot + 1).is_some_and(u8::is_ascii_digit);
        if !is_candidate {
            continue;
        }
        let Some((range, octets)) = quad_around(bytes, after, dot) else { continue };
        after = range.end;
        // Octets with leading zeros match, but are no address to the reference.
        if let Some([a, b, c, d]) = octets
            && (!only_public || is_public(Ipv4Addr::new(a, b, c, d)))
        {
            found(range);
        }
    }
}

/// The quad whose first dot is at `dot`, with its octets if none has leading zeros.
fn quad_around(bytes: &[u8], after: usize, dot: usize) -> Option<(Range<usize>, Option<[u8; 4]>)> {
    let mut second = dot + 1;
    let mut bounds = [(0, dot); 4];
    for bound in &mut bounds[1..3] {
        let length = whole_octet(bytes, second)?;
        *bound = (second, second + length);
        if bytes.get(second + length) != Some(&b'.') {
            return None;
        }
        second += length + 1;
    }
    let length = octet_prefix(&bytes[second..]);
    if length == 0 {
        return None;
    }
    bounds[3] = (second, second + length);
    // The first octet: as many digits before the dot as make one, at most 3.
    let n_digits = bytes[after..dot].iter().rev().take(3).take_while(|b| b.is_ascii_digit()).count();
    let n_digits = (1..=n_digits).rev().find(|&n| octet_prefix(&bytes[dot - n..dot]) == n)?;
    bounds[0].0 = dot - n_digits;
    let mut octets = [0; 4];
    let mut clean = true;
    for (octet, &(start, end)) in octets.iter_mut().zip(&bounds) {
        clean &= bytes[start] != b'0' || end == start + 1;
        *octet = bytes[start..end].iter().fold(0, |value: u8, digit| value * 10 + (digit - b'0'));
    }
    Some((bounds[0].0..bounds[3].1, clean.then_some(octets)))
}

/// Whether an address is globally reachable by the IANA registry for special addresses. Multicast counts as public, as it does
/// in the reference.
pub fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 240.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 2)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    ) && ((a, b, c) != (192, 0, 0) || d == 9 || d == 10)
}

/// Calls `found` with each IPv6 address in full or shortened form, public ones only if so wanted. The reference has no such
/// rule.
pub fn ipv6(text: &str, only_public: bool, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    let mut after = 0;
    for colon in memchr_iter(b':', bytes) {
        if colon < after {
            continue;
        }
        let start = colon - bytes[after..colon].iter().rev().take_while(|&&byte| is_part(byte)).count();
        let end = colon + run(bytes, colon, is_part);
        after = end;
        let touches_word = text[..start].chars().next_back().is_some_and(char::is_alphanumeric)
            || text[end..].chars().next().is_some_and(char::is_alphanumeric);
        // An IPv4 address at its end is none of this form.
        let goes_on = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        // A colon after the address belongs to the sentence.
        let mut candidate = start..end;
        if text[candidate.clone()].ends_with(':') && !text[candidate.clone()].ends_with("::") {
            candidate.end -= 1;
        }
        // Shorter ones than `2001::1` are times, ratios and C++ paths.
        if touches_word || goes_on || candidate.len() < 7 {
            continue;
        }
        if let Ok(address) = text[candidate.clone()].parse::<Ipv6Addr>()
            && (!only_public || is_public_v6(address))
        {
            found(candidate);
        }
    }
}

/// Global unicast (2000::/3) without the documentation and protocol blocks.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xE000 == 0x2000
        && !(first == 0x2001 && (second < 0x200 || second == 0xDB8))
        && !(first == 0x3FFF && second < 0x1000)
}

/// Calls `found` with each telephone number written with its country code: `+`, then 8 to 15 digits (E.164) in groups divided
/// by at most two of space, dot, hyphen and parentheses.
pub fn phones(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut after = 0;
    for plus in memchr_iter(b'+', bytes) {
        let follows_word = plus > 0 && (bytes[plus - 1].is_ascii_alphanumeric() || bytes[plus - 1] == b'+');
        if plus < after || follows_word || !matches!(bytes.get(plus + 1), Some(b'1'..=b'9')) {
            continue;
        }
        let Some(end) = digits_end(bytes, plus + 1, 15, b" .-()") else { continue };
        let n_digits = bytes[plus..end].iter().filter(|byte| byte.is_ascii_digit()).count();
        if n_digits >= 8 {
            found(plus..end);
            after = end;
        }
    }
}

/// End of at most `most` digits with up to two dividers between them; `None` where more digits or a letter follow.
fn digits_end(bytes: &[u8], start: usize, most: usize, dividers: &[u8]) -> Option<usize> {
    let (mut end, mut n_digits, mut n_dividers) = (start, 0, 0);
    for (place, &byte) in bytes.iter().enumerate().skip(start) {
        if byte.is_ascii_digit() {
            n_digits += 1;
            n_dividers = 0;
            end = place + 1;
            if n_digits > most {
                return None;
            }
        } else if dividers.contains(&byte) && n_dividers < 2 {
            n_dividers += 1;
        } else {
            break;
        }
    }
    let follows = bytes.get(end).is_some_and(u8::is_ascii_alphabetic);
    (n_digits > 0 && !follows).then_some(end)
}

/// Calls `found` with each payment card number: 13 to 19 digits, in groups by single spaces or hyphens, of a known network's
/// first digit, whose Luhn sum is right.
pub fn cards(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        if !bytes[place].is_ascii_digit() {
            place += 1;
            continue;
        }
        // One run of digits and single dividers.
        let start = place;
        let (mut digits, mut n_digits) = ([0; 19], 0);
        while place < bytes.len() {
            let divides =
                matches!(bytes[place], b' ' | b'-') && bytes.get(place + 1).is_some_and(u8::is_ascii_digit);
            if bytes[place].is_ascii_digit() {
                if let Some(digit) = digits.get_mut(n_digits) {
                    *digit = bytes[place] - b'0';
                }
                n_digits += 1;
            } else if !divides {
                break;
            }
            place += 1;
        }
        let in_word = (start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'.'))
            || bytes.get(place).is_some_and(u8::is_ascii_alphabetic);
        let Some(digits) = digits.get(..n_digits).filter(|digits| digits.len() >= 13) else { continue };
        if (2..=6).contains(&digits[0]) && !in_word && luhn(digits) {
            found(start..place);
        }
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| match (index % 2, digit as u32 * 2) {
            (0, _) => digit as u32,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Calls `found` with each International Bank Account Number: two capitals, two check digits, 11 to 30 capitals and digits in
/// one piece or in groups of four, whose remainder by 97 is 1 (ISO 13616).
pub fn ibans(text: &str, mut found: impl FnMut(Range<usize>)) {
    static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?-u:\b)")
            .expect("a fixed pattern")
    });
    for shape in SHAPE.find_iter(text) {
        let symbols: Vec<u8> = shape.as_str().bytes().filter(|&byte| byte != b' ').collect();
        let remainder = symbols[4..].iter().chain(&symbols[..4]).fold(0_u32, |sum, &symbol| match symbol {
            b'0'..=b'9' => (sum * 10 + (symbol - b'0') as u32) % 97,
            _ => (sum * 100 + (symbol - b'A') as u32 + 10) % 97,
        });
        if symbols.len() >= 15 && remainder == 1 {
            found(shape.range());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The reference's expression for e-mail addresses (datatrove 0.10.1), as our oracle. `\b` differs on combining marks.
    static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
        let octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)";
        let label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
        let atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
        let literal = format!(r"\[(?:{octet}\.){{3}}(?:{octet}|[A-Za-z0-9-]*[A-Za-z0-9]:)\]");
        Regex::new(&format!(r"\b{atom}(?:\.{atom})*@(?:(?:{label}\.)+{label}|{literal})")).unwrap()
    });

    static QUAD: LazyLock<Regex> = LazyLock::new(|| {
        let octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)";
        Regex::new(&format!(r"(?:{octet}\.){{3}}{octet}")).unwrap()
    });

    fn collect(text: &str, find: impl Fn(&str, &mut dyn FnMut(Range<usize>))) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut |range| found.push(&text[range]));
        found
    }

    fn found_emails(text: &str) -> Vec<&str> {
        collect(text, |text, found| emails(text, found))
    }

    fn found_quads(text: &str) -> Vec<&str> {
        collect(text, |text, found| ipv4(text, true, found))
    }

    fn oracle_quads(text: &str) -> Vec<&str> {
        let addresses = QUAD.find_iter(text).map(|quad| quad.as_str());
        addresses.filter(|quad| quad.parse().is_ok_and(is_public)).collect()
    }

    #[test]
    fn emails_as_the_reference_finds_them() {
        for (text, expected) in [
            ("write to jane.doe+list@mail.example.co.uk.", "jane.doe+list@mail.example.co.uk"),
            ("a..b@c.de", "b@c.de"),
            ("<~x@y.z>", "x@y.z"),
            ("é~x@y.z", "~x@y.z"),
            ("root@[192.168.1.1] x", "root@[192.168.1.1]"),
            ("a@b.c-.d", "a@b.c"),
            ("a@b-.c", ""),
            ("a@localhost", ""),
            ("@a.b", ""),
            ("a@b.c@d.e", "a@b.c"),
        ] {
            assert_eq!(found_emails(text).join(" "), expected, "{text}");
            let oracle: Vec<&str> = EMAIL.find_iter(text).map(|found| found.as_str()).collect();
            assert_eq!(found_emails(text), oracle, "{text}");
        }
    }

    #[test]
    fn public_addresses_only() {
        for (text, expected) in [
            ("ping 8.8.8.8, 10.0.0.1 and 127.0.0.1", "8.8.8.8"),
            ("1.2.3.4567", "1.2.3.45"),
            ("256.1.1.1", "56.1.1.1"),
            ("1.2.3.4.5.6.7.8", "1.2.3.4 5.6.7.8"),
            ("08.8.8.8 192.0.2.1 224.0.0.1", "224.0.0.1"),
            ("version 1.2.3", ""),
        ] {
            assert_eq!(found_quads(text).join(" "), expected, "{text}");
            assert_eq!(found_quads(text), oracle_quads(text), "{text}");
        }
        assert!(!is_public(Ipv4Addr::new(100, 64, 0, 1)) && is_public(Ipv4Addr::new(100, 128, 0, 1)));
        assert!(!is_public(Ipv4Addr::new(192, 0, 0, 1)) && is_public(Ipv4Addr::new(192, 0, 1, 1)));
    }

    #[test]
    fn the_optional_kinds() {
        let v6 = |text| collect(text, |text, found| ipv6(text, true, found)).join(" ");
        assert_eq!(
            v6("at 2a00:1450:4001:830::200e: std::vector 12:30:45 fe80::1 2001:db8::1"),
            "2a00:1450:4001:830::200e"
        );
        let phone = |text| collect(text, |text, found| phones(text, found)).join("|");
        assert_eq!(
            phone("call +44 (0)20 7946-0958, or +1.415.555.0132; 3+4, +5"),
            "+44 (0)20 7946-0958|+1.415.555.0132"
        );
        let card = |text| collect(text, |text, found| cards(text, found)).join("|");
        assert_eq!(
            card("4111 1111 1111 1111, 4111 1111 1111 1112, 5500-0000-0000-0004"),
            "4111 1111 1111 1111|5500-0000-0000-0004"
        );
        let iban = |text| collect(text, |text, found| ibans(text, found)).join("|");
        assert_eq!(
            iban("GB82 WEST 1234 5698 7654 32, DE89370400440532013000; GB83 WEST 1234 5698 7654 32"),
            "GB82 WEST 1234 5698 7654 32|DE89370400440532013000"
        );
    }

    proptest! {
        #[test]
        fn fast_finds_what_the_expressions_find(text in r"[a-c1-3é~_!.@\[\]: -]{0,40}") {
            let oracle: Vec<&str> = EMAIL.find_iter(&text).map(|found| found.as_str()).collect();
            prop_assert_eq!(found_emails(&text), oracle);
        }

        #[test]
        fn fast_quads_are_the_expressions(text in r"[0-9][0-9.]{0,40}") {
            prop_assert_eq!(found_quads(&text), oracle_quads(&text));
        }

        #[test]
        fn any_text_is_fine(text in any::<String>(), numbers in r"[+0-9A-Z:. é-]{0,60}") {
            for text in [text, numbers] {
                for find in [emails_dyn, ipv6_dyn, phones_dyn, cards_dyn, ibans_dyn] {
                    for found in collect(&text, find) {
                        prop_assert!(!found.is_empty());
                    }
                }
            }
        }
    }

    fn emails_dyn(text: &str, found: &mut dyn FnMut(Range<usize>)) {
        emails(text, found);
    }
    fn ipv6_dyn(text: &str, found: &mut dyn FnMut(Range<usize>)) {
        ipv6(text, false, found);
    }
    fn phones_dyn(text: &str, found: &mut dyn FnMut(Range<usize>)) {
        phones(text, found);
    }
    fn cards_dyn(text: &str, found: &mut dyn FnMut(Range<usize>)) {
        cards(text, found);
    }
    fn ibans_dyn(text: &str, found: &mut dyn FnMut(Range<usize>)) {
        ibans(text, found);
    }
}
