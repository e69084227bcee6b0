//! The HTTP response inside a response record: status, fields, and the body without its transfer codings.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// A response as it stands in an archive.
#[derive(Debug)]
pub struct Response<'a> {
    /// The status code, 0 when the line has none.
    pub status: u16,
    fields: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    /// What follows the header, codings included.
    pub raw_body: &'a [u8],
}

/// Why a body cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is packed in a way that we do not read (`br`, `zstd`).
    UnsupportedEncoding,
    /// It is longer than the cap.
    TooLarge,
}

impl<'a> Response<'a> {
    /// Reads the header. A block without a status line is all body, with status 0.
    pub fn parse(block: &'a [u8]) -> Self {
        if !block.starts_with(b"HTTP/") {
            return Self { status: 0, fields: Vec::new(), raw_body: block };
        }
        let mut fields: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::new();
        let mut rest = block;
        let mut status = 0;
        let mut first = true;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = end.map_or((rest, &rest[rest.len()..]), |at| (&rest[..at], &rest[at + 1..]));
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            rest = after;
            if line.is_empty() {
                break;
            }
            if first {
                first = false;
                status = line
                    .split(u8::is_ascii_whitespace)
                    .filter(|part| !part.is_empty())
                    .nth(1)
                    .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
                    .unwrap_or(0);
            } else if line[0] == b' ' || line[0] == b'\t' {
                // obs-fold (RFC 9112, 5.2): the value goes on.
                if let Some((_, value)) = fields.last_mut() {
                    let value = value.to_mut();
                    value.push(b' ');
                    value.extend_from_slice(line.trim_ascii());
                }
            } else if let Some(colon) = memchr::memchr(b':', line) {
                fields.push((line[..colon].trim_ascii(), Cow::Borrowed(line[colon + 1..].trim_ascii())));
            }
        }
        Self { status, fields, raw_body: rest }
    }

    /// The value of a field as text; HTTP field bytes are Latin-1.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(value.iter().map(|byte| char::from(*byte)).collect())
    }

    /// The body without chunks and compression. Crawlers often undo these and leave the fields: a body that does
    /// not look as its fields say is taken as it is.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn body(&self, maximum_bytes: usize) -> Result<Cow<'a, [u8]>, BodyError> {
        let mut body = Cow::Borrowed(self.raw_body);
        let chunked = self
            .field("Transfer-Encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        if chunked && let Some(joined) = join_chunks(&body) {
            body = Cow::Owned(joined);
        }
        let codings = self.field("Content-Encoding").unwrap_or_default().to_ascii_lowercase();
        for coding in codings.split(',').map(str::trim).rev() {
            let unpacked = match coding {
                "gzip" | "x-gzip" if body.starts_with(&[0x1f, 0x8b]) => {
                    read_capped(MultiGzDecoder::new(&body[..]), maximum_bytes)?
                }
                "deflate" => match read_capped(ZlibDecoder::new(&body[..]), maximum_bytes)? {
                    None => read_capped(DeflateDecoder::new(&body[..]), maximum_bytes)?,
                    some => some,
                },
                "br" | "zstd" | "compress" | "x-compress" if !looks_like_text(&body) => {
                    return Err(BodyError::UnsupportedEncoding);
                }
                _ => None,
            };
            if let Some(unpacked) = unpacked {
                body = Cow::Owned(unpacked);
            }
        }
        if body.len() > maximum_bytes { Err(BodyError::TooLarge) } else { Ok(body) }
    }
}

/// Markup begins with a sign that no compressed stream of the web begins with by chance for long.
fn looks_like_text(body: &[u8]) -> bool {
    let head = &body[..body.len().min(256)];
    !head.iter().any(|byte| *byte < 9 || (14..32).contains(byte) && *byte != 27)
}

/// Everything, or what came before the stream broke; `None` when nothing came.
fn read_capped(reader: impl Read, maximum_bytes: usize) -> Result<Option<Vec<u8>>, BodyError> {
    let mut out = Vec::new();
    let result = reader.take(maximum_bytes as u64 + 1).read_to_end(&mut out);
    if out.len() > maximum_bytes {
        return Err(BodyError::TooLarge);
    }
    Ok((result.is_ok() || !out.is_empty()).then_some(out))
}

/// Joins chunks (RFC 9112, 7.1); `None` when the first size is none, so that the body was joined before. A body
/// that breaks off later gives what was whole, and the rest as it stands.
fn join_chunks(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut first = true;
    while let Some(line_end) = memchr::memchr(b'\n', &rest[..rest.len().min(1024)]) {
        let line = rest[..line_end].trim_ascii();
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size else {
            break;
        };
        rest = &rest[line_end + 1..];
        if size == 0 {
            return Some(out);
        }
        first = false;
        let here = size.min(rest.len());
        out.extend_from_slice(&rest[..here]);
        rest = &rest[here..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
        if rest.is_empty() {
            return Some(out);
        }
    }
    if first {
        return None;
    }
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(block: &[u8]) -> Result<Vec<u8>, BodyError> {
        Response::parse(block).body(1000).map(Cow::into_owned)
    }

    #[test]
    fn status_fields_and_folds() {
        let response = Response::parse(b"HTTP/1.1 404 Not Found\r\nA: b\r\n  c\r\nX:\xe9\r\n\r\nbody");
        assert_eq!(response.status, 404);
        assert_eq!(response.field("a").as_deref(), Some("b c"));
        assert_eq!(response.field("x").as_deref(), Some("\u{e9}"));
        assert_eq!(response.raw_body, b"body");
    }

    #[test]
    fn chunks_are_joined_or_left_where_there_are_none() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(body(format!("{head}3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").as_bytes()).unwrap(), b"abcde");
        assert_eq!(body(format!("{head}<p>plain").as_bytes()).unwrap(), b"<p>plain");
    }

    #[test]
    fn compression_is_undone_below_the_cap() {
        use std::io::Write;
        let mut block = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b'a'; 900]).unwrap();
        block.extend(encoder.finish().unwrap());
        assert_eq!(body(&block).unwrap(), vec![b'a'; 900]);
        assert_eq!(Response::parse(&block).body(899).unwrap_err(), BodyError::TooLarge);
        let brotli = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n\x0b\x02\x80";
        assert_eq!(body(brotli).unwrap_err(), BodyError::UnsupportedEncoding);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_response(tail in proptest::collection::vec(any::<u8>(), 0..300), coding in 0..4usize) {
            let coding = ["gzip", "deflate", "br", "gzip, deflate"][coding];
            let mut block = format!("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\n").into_bytes();
            block.extend(tail);
            let _ = body(&block);
        }
    }
}
