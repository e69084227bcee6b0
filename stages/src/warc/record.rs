//! The headers of a WARC record.

use memchr::{memchr, memmem};

/// The named fields of one record, as written.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// `bytes`: version line, fields and the empty line.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The value of a field, whatever the case of its name; the first one where it stands twice. A value that
    /// begins on the next, indented line is that line (folding across more lines is not joined).
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let mut lines = self.bytes.split(|byte| *byte == b'\n').skip(1);
        while let Some(line) = lines.next() {
            let Some(colon) = memchr(b':', line) else { continue };
            if line[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
                let value = line[colon + 1..].trim_ascii();
                if !value.is_empty() {
                    return Some(value);
                }
                let folded = lines.next().filter(|next| matches!(next.first(), Some(b' ' | b'\t')));
                return Some(folded.unwrap_or_default().trim_ascii());
            }
        }
        None
    }

    /// The same as text: bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self, name: &str) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.get(name).unwrap_or_default())
    }

    /// The length of the block, if it is a number.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.get("Content-Length")?).ok()?.parse().ok()
    }

    /// `WARC-Type` equals `kind`, whatever its case.
    pub fn is(&self, kind: &str) -> bool {
        self.get("WARC-Type").is_some_and(|value| value.eq_ignore_ascii_case(kind.as_bytes()))
    }
}

/// Whether a record may begin here: `WARC/`, in any case, and a digit.
pub fn is_start(bytes: &[u8]) -> bool {
    let magic = bytes.first_chunk::<5>().is_some_and(|magic| magic.eq_ignore_ascii_case(b"WARC/"));
    magic && bytes.get(5).is_some_and(u8::is_ascii_digit)
}

/// The length of the header block at the start of `bytes`, its empty line included.
pub fn header_length(bytes: &[u8]) -> Option<usize> {
    let crlf = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    let before = &bytes[..crlf.unwrap_or(bytes.len())];
    memmem::find(before, b"\n\n").map(|at| at + 2).or(crlf)
}
