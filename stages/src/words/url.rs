//! Does a word look like a web address? Such words stay whole, whatever marks are in them.
//!
//! The shape is spaCy's: an optional scheme, optional credentials, a public IPv4 address or a host name whose last
//! label is lower-case letters, an optional port, an optional path.

use super::chars::{ALPHANUMERIC, ANY_DIGIT, CHARS, LOWER};

/// Whether the whole of `word`, which holds no whitespace, is an address. Linear in its length.
pub fn is_address(word: &str) -> bool {
    if memchr::memchr(b'.', word.as_bytes()).is_none() {
        return false;
    }
    let scheme = word
        .find("://")
        .filter(|&end| {
            let scheme = &word[..end];
            scheme.chars().nth(1).is_some()
                && scheme
                    .chars()
                    .all(|c| matches!(c, '_' | '+' | '-' | '.') || CHARS.flags(c) & ALPHANUMERIC != 0)
        })
        .map(|end| end + 3);
    is_host(word)
        || scheme.is_some_and(|start| is_host(&word[start..]))
        || memchr::memchr_iter(b'@', word.as_bytes()).any(|at| at > 0 && is_host(&word[at + 1..]))
}

/// Whether `rest` is a host, then an optional port and path, up to its end. Reads no further than the host and port.
fn is_host(rest: &str) -> bool {
    is_ipv4(rest) || is_name(rest)
}

fn is_name(rest: &str) -> bool {
    let mut start = 0;
    let mut n_labels = 0;
    loop {
        let label = &rest[start..];
        let (mut n_chars, mut end) = (0, 0);
        let (mut first, mut last, mut all_lower) = (false, false, true);
        for c in label.chars() {
            let alphanumeric = c.is_ascii_alphanumeric() || ('\u{a1}'..='\u{ffff}').contains(&c);
            let lower = CHARS.flags(c) & LOWER != 0;
            if !alphanumeric && !lower && c != '_' && c != '-' {
                break;
            }
            // Astral letters may only be in the last label: as a label they end the search below.
            if n_chars == 0 {
                first = alphanumeric;
            }
            last = alphanumeric;
            all_lower &= lower;
            n_chars += 1;
            end += c.len_utf8();
            if !alphanumeric && !matches!(c, '_' | '-') && !all_lower || n_chars > 64 {
                return false;
            }
        }
        if label[end..].starts_with('.') {
            let fits = n_chars >= 1 && first && last && label[..end].chars().all(|c| c <= '\u{ffff}');
            if !fits {
                return false;
            }
            n_labels += 1;
            start += end + 1;
            continue;
        }
        return n_labels >= 1 && all_lower && (2..=63).contains(&n_chars) && is_port_and_path(&label[end..]);
    }
}

fn is_ipv4(rest: &str) -> bool {
    let mut octets = [0u32; 4];
    let mut at = 0;
    for (i, octet) in octets.iter_mut().enumerate() {
        let digits = rest.as_bytes()[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let number = &rest[at..at + digits];
        let Ok(value) = number.parse::<u32>() else { return false };
        let leading_zero = number.starts_with('0');
        let fits = match i {
            0 => !leading_zero && value <= 223,
            3 => !leading_zero && value <= 254,
            _ => value <= 255 && !(digits == 3 && leading_zero),
        };
        if !fits || digits > 3 {
            return false;
        }
        *octet = value;
        at += digits;
        if i < 3 {
            if rest.as_bytes().get(at) != Some(&b'.') {
                return false;
            }
            at += 1;
        }
    }
    let private = matches!(octets, [10 | 127, ..] | [169, 254, ..] | [192, 168, ..] | [172, 16..=31, ..]);
    !private && is_port_and_path(&rest[at..])
}

fn is_port_and_path(rest: &str) -> bool {
    if let Some(port) = rest.strip_prefix(':') {
        let digits = port.chars().take(6).take_while(|&c| CHARS.flags(c) & ANY_DIGIT != 0);
        let (n, bytes) = digits.fold((0, 0), |(n, bytes), c| (n + 1, bytes + c.len_utf8()));
        (2..=5).contains(&n) && is_path(&port[bytes..])
    } else {
        is_path(rest)
    }
}

fn is_path(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn addresses() {
        for word in [
            "example.com",
            "www.example.co.uk/a,b",
            "http://example.com:8080/",
            "mailto:someone@example.com",
            "git+ssh://me:secret@host.example.org?x=1",
            "8.8.8.8",
            "8.8.8.8:53",
            "a_b.example.com#top",
            "пример.рф",
        ] {
            assert!(is_address(word), "{word}");
        }
    }

    #[test]
    fn no_addresses() {
        for word in [
            "",
            "word",
            "end.Start",
            "3.14",
            "a.b",
            "192.168.1.1",
            "10.0.0.1",
            "0.1.2.3",
            "example.com:1",
            ".com",
            "a..com",
            "-a.com",
            "a-.com",
            "@example",
            "example.c",
            "http://",
            "x.com,y",
        ] {
            assert!(!is_address(word), "{word}");
        }
    }
}
