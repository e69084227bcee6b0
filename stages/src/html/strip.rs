//! The text of markup that was given up.

use super::references::decode;
use super::writer::{Format, Gap, Writer};

/// The text of markup that was not parsed: tags, scripts and styles cut out, a line where a tag stood.
pub fn strip(html: &str) -> String {
    let bytes = html.as_bytes();
    let mut writer = Writer::new(Format::Text);
    let mut at = 0;
    while at < bytes.len() {
        let Some(open) = memchr::memchr(b'<', &bytes[at..]).map(|found| at + found) else {
            writer.text(&decode(&html[at..]));
            break;
        };
        if open > at {
            writer.text(&decode(&html[at..open]));
        }
        let rest = &bytes[open..];
        let raw = |name: &[u8]| {
            rest.len() > name.len() + 1
                && rest[1..=name.len()].eq_ignore_ascii_case(name)
                && !rest[name.len() + 1].is_ascii_alphanumeric()
        };
        let close = if rest.starts_with(b"<!--") {
            memchr::memmem::find(rest, b"-->").map(|found| found + 3)
        } else if raw(b"script") || raw(b"style") {
            let end: &[u8] = if raw(b"script") { b"</script" } else { b"</style" };
            find_ignoring_case(rest, end).map(|found| found + end.len())
        } else if rest.get(1).is_some_and(|&next| next.is_ascii_alphabetic() || b"/!?".contains(&next)) {
            memchr::memchr(b'>', rest).map(|found| found + 1)
        } else {
            writer.piece("<");
            at = open + 1;
            continue;
        };
        writer.request(Gap::Line);
        at = close.map_or(bytes.len(), |close| open + close);
        if at < bytes.len() && bytes[at - 1] != b'>' {
            at = memchr::memchr(b'>', &bytes[at..]).map_or(bytes.len(), |found| at + found + 1);
        }
    }
    writer.out
}

fn find_ignoring_case(bytes: &[u8], end: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', bytes)
        .find(|&at| bytes.len() - at >= end.len() && bytes[at..at + end.len()].eq_ignore_ascii_case(end))
}
