//! Document types, which decide how a browser mends a page (quirks).

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::Doctype;
use memchr::{memchr, memchr2};

use super::tokens::{is_space, lower};

/// Reads a document type from behind `<!doctype`; gives it and the number of bytes that were read.
pub fn doctype(html: &str) -> (Doctype, usize) {
    let bytes = html.as_bytes();
    let mut doctype = Doctype::default();
    let mut at = 0;
    let skip = |at: &mut usize| {
        while bytes.get(*at).copied().is_some_and(is_space) {
            *at += 1;
        }
    };
    // What a document type ends with once it makes no more sense.
    let bogus = |at: usize| memchr(b'>', &bytes[at..]).map_or(bytes.len(), |end| at + end + 1);
    let clean = |text: &str| {
        StrTendril::from(text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}"))
    };
    skip(&mut at);
    let start = at;
    while bytes.get(at).is_some_and(|&byte| !is_space(byte) && byte != b'>') {
        at += 1;
    }
    if at > start {
        doctype.name = Some(StrTendril::from(lower(&html[start..at])));
    }
    skip(&mut at);
    if at == start || at >= bytes.len() {
        doctype.force_quirks = true;
        return (doctype, (at + 1).min(bytes.len()));
    }
    if bytes[at] == b'>' {
        return (doctype, at + 1);
    }
    let keyword = bytes.get(at..at + 6).unwrap_or_default();
    let public = keyword.eq_ignore_ascii_case(b"public");
    if !public && !keyword.eq_ignore_ascii_case(b"system") {
        doctype.force_quirks = true;
        return (doctype, bogus(at));
    }
    at += 6;
    for second in [false, true] {
        skip(&mut at);
        let quote = match bytes.get(at) {
            Some(&quote @ (b'"' | b'\'')) => quote,
            Some(b'>') if second => return (doctype, at + 1),
            Some(_) if second && !public => return (doctype, bogus(at)),
            Some(_) | None => {
                doctype.force_quirks = true;
                return (doctype, bogus(at));
            }
        };
        if second && !public {
            return (doctype, bogus(at));
        }
        let from = at + 1;
        let stop = memchr2(quote, b'>', &bytes[from.min(bytes.len())..]).map(|end| from + end);
        let id = Some(clean(&html[from..stop.unwrap_or(bytes.len())]));
        if public && !second {
            doctype.public_id = id;
        } else {
            doctype.system_id = id;
        }
        match stop {
            Some(end) if bytes[end] == quote => at = end + 1,
            stop => {
                doctype.force_quirks = true;
                return (doctype, stop.map_or(bytes.len(), |end| end + 1));
            }
        }
    }
    // Both identifiers are read.
    skip(&mut at);
    if at >= bytes.len() {
        doctype.force_quirks = true;
    }
    (doctype, bogus(at))
}
