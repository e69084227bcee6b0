//! `warc` and `wet`: pages and texts out of web archives.

use std::borrow::Cow;
use std::fs::File;

use gristmill_corpus::batch::Document;
use gristmill_corpus::{DocBatchBuilder, columns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::charset;
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Skipped, Source, SourceOutput, Split, StageConfig,
    StageError,
};
use crate::warc::http::{BodyError, Response};
use crate::warc::reader::{Event, Kind, Reader, Record};

/// Reads the HTML pages of WARC archives: `response` and `resource` records, decoded to UTF-8.
///
/// Plain, gzip (a member a record, or one for all) and zstd archives (with or without a dictionary) are told
/// apart by their first bytes. Damage costs the damaged record and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warc {
    /// Archives: paths or globs, relative to the recipe.
    pub paths: Vec<String>,
    /// The `dump` column. Empty: found in the file's path as `CC-MAIN-YYYY-WW`.
    #[serde(default)]
    pub dump: String,
    /// Records with a longer block are passed over (`record_too_large`).
    #[serde(default = "default_maximum_record_bytes")]
    pub maximum_record_bytes: u64,
    /// Pages that are longer without transfer codings are passed over (`body_too_large`).
    #[serde(default = "default_maximum_body_bytes")]
    pub maximum_body_bytes: u64,
}

/// Reads the texts of WET archives: `conversion` records of plain text, which must be UTF-8 (bytes that are not
/// become U+FFFD).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wet {
    /// Archives: paths or globs, relative to the recipe.
    pub paths: Vec<String>,
    /// The `dump` column. Empty: found in the file's path as `CC-MAIN-YYYY-WW`.
    #[serde(default)]
    pub dump: String,
    /// Records with a longer block are passed over (`record_too_large`).
    #[serde(default = "default_maximum_record_bytes")]
    pub maximum_record_bytes: u64,
}

fn default_maximum_record_bytes() -> u64 {
    256 << 20
}

fn default_maximum_body_bytes() -> u64 {
    64 << 20
}

const DAMAGE_REASONS: [Reason; 3] = ["damaged_record", "record_too_large", "truncated_record"];

impl StageConfig for Warc {
    const KIND: &'static str = "warc";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = &[
        "http_status",
        "not_html",
        "empty_body",
        "unsupported_content_encoding",
        "body_too_large",
        DAMAGE_REASONS[0],
        DAMAGE_REASONS[1],
        DAMAGE_REASONS[2],
    ];

    fn declares(&self) -> Declares {
        Declares::source(&self.paths, columns::HTML)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Archives {
            dump: self.dump.clone(),
            maximum_record_bytes: self.maximum_record_bytes,
            content: Content::Pages {
                maximum_body_bytes: usize::try_from(self.maximum_body_bytes).unwrap_or(usize::MAX >> 1),
            },
        })))
    }
}

impl StageConfig for Wet {
    const KIND: &'static str = "wet";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] =
        &["empty_body", DAMAGE_REASONS[0], DAMAGE_REASONS[1], DAMAGE_REASONS[2]];

    fn declares(&self) -> Declares {
        Declares::source(&self.paths, columns::TEXT)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Archives {
            dump: self.dump.clone(),
            maximum_record_bytes: self.maximum_record_bytes,
            content: Content::Texts,
        })))
    }
}

#[derive(Clone, Copy)]
enum Content {
    Pages { maximum_body_bytes: usize },
    Texts,
}

struct Archives {
    dump: String,
    maximum_record_bytes: u64,
    content: Content,
}

impl Source for Archives {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        let input = |message: String| StageError::Input { path: split.path.clone(), message };
        let file = File::open(&split.path).map_err(|error| input(error.to_string()))?;
        let mut reader =
            Reader::new(file, self.maximum_record_bytes).map_err(|error| input(error.to_string()))?;
        let dump = if self.dump.is_empty() { dump_of(&split.name) } else { &self.dump };
        let content_column = match self.content {
            Content::Pages { .. } => columns::HTML,
            Content::Texts => columns::TEXT,
        };
        let mut builder = DocBatchBuilder::new(content_column);
        let mut records = 0u64;
        while let Some(event) = reader.next_event().map_err(|error| input(error.to_string()))? {
            match event {
                Event::Damage(damage) => {
                    let reason = match damage.kind {
                        Kind::Damaged => DAMAGE_REASONS[0],
                        Kind::TooLarge => DAMAGE_REASONS[1],
                        Kind::Truncated => DAMAGE_REASONS[2],
                    };
                    output.skip(Skipped { id: "", url: "", offset: damage.offset, reason })?;
                }
                Event::Record(record) => {
                    records += 1;
                    let Some(content) = self.content_of(&record) else { continue };
                    let id = id_of(&record, &split.name);
                    let uri = record.headers.text("WARC-Target-URI");
                    // wget writes the address in angle brackets.
                    let url = uri.trim_start_matches('<').trim_end_matches('>');
                    match content {
                        Err(reason) => {
                            output.skip(Skipped { id: &id, url, offset: record.offset, reason })?;
                        }
                        Ok(content) => {
                            builder.push(&Document {
                                id: &id,
                                url,
                                date: &record.headers.text("WARC-Date"),
                                dump,
                                file_path: &split.name,
                                offset: record.offset,
                                content: &content,
                            });
                            if builder.is_full() {
                                output.documents(builder.finish())?;
                            }
                        }
                    }
                }
            }
        }
        if records == 0 {
            return Err(input(
                "no WARC record in it; a `.warc`, `.warc.gz` or `.warc.zst` archive would work".into(),
            ));
        }
        if !builder.is_empty() {
            output.documents(builder.finish())?;
        }
        Ok(())
    }
}

impl Archives {
    /// `None` for a record that is no document at all, else its content or why it is passed over.
    fn content_of<'a>(&self, record: &Record<'a>) -> Option<Result<Cow<'a, str>, Reason>> {
        match self.content {
            Content::Texts => record.headers.is("conversion").then(|| {
                let text = String::from_utf8_lossy(record.block);
                if text.trim_ascii().is_empty() { Err("empty_body") } else { Ok(text) }
            }),
            Content::Pages { maximum_body_bytes } if record.headers.is("response") => {
                // DNS look-ups and the like are responses as well.
                if !record.block.starts_with(b"HTTP/") && !record.block.is_empty() {
                    return None;
                }
                Some(page(&Response::parse(record.block), record, maximum_body_bytes))
            }
            Content::Pages { maximum_body_bytes } if record.headers.is("resource") => {
                Some(if record.block.len() > maximum_body_bytes {
                    Err("body_too_large")
                } else {
                    let content_type = record.headers.text("Content-Type");
                    decode_page(Cow::Borrowed(record.block), Some(&content_type), None)
                })
            }
            Content::Pages { .. } => None,
        }
    }
}

fn page<'a>(
    response: &Response<'a>,
    record: &Record<'a>,
    maximum_bytes: usize,
) -> Result<Cow<'a, str>, Reason> {
    if response.raw_body.is_empty() && response.status == 200 {
        return Err("empty_body");
    }
    if response.status != 200 {
        return Err("http_status");
    }
    let content_type = response.field("Content-Type");
    // An empty text sniffs as HTML: here only the declared type can say no, before anything is unpacked.
    let identified = record.headers.get("WARC-Identified-Payload-Type");
    if !is_html(content_type.as_deref(), identified, b"<html") {
        return Err("not_html");
    }
    let body = response.body(maximum_bytes).map_err(|error| match error {
        BodyError::UnsupportedEncoding => "unsupported_content_encoding",
        BodyError::TooLarge => "body_too_large",
    })?;
    decode_page(body, content_type.as_deref(), identified)
}

fn decode_page<'a>(
    body: Cow<'a, [u8]>,
    content_type: Option<&str>,
    identified: Option<&[u8]>,
) -> Result<Cow<'a, str>, Reason> {
    if body.trim_ascii().is_empty() {
        return Err("empty_body");
    }
    if !is_html(content_type, identified, &body) {
        return Err("not_html");
    }
    Ok(match body {
        Cow::Borrowed(bytes) => charset::decode(bytes, content_type).0,
        Cow::Owned(bytes) => Cow::Owned(charset::decode(&bytes, content_type).0.into_owned()),
    })
}

/// The declared type (or the one that the crawler identified) decides, unless the body is plainly binary; where
/// none is declared, the body does.
fn is_html(content_type: Option<&str>, identified: Option<&[u8]>, body: &[u8]) -> bool {
    const BINARY: [&[u8]; 8] =
        [b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"RIFF", b"\x1f\x8b", b"\x7fELF"];
    if BINARY.iter().any(|magic| body.starts_with(magic)) {
        return false;
    }
    let is_html_type = |value: &str| {
        let kind = value.split([';', ',']).next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    };
    let identified = identified.and_then(|value| std::str::from_utf8(value).ok());
    if identified.is_some_and(is_html_type) || content_type.is_some_and(is_html_type) {
        return true;
    }
    let unknown = content_type.is_none_or(|value| {
        let value = value.trim();
        !value.contains('/')
            || value.to_ascii_lowercase().starts_with("application/octet-stream")
            || value.starts_with("unk")
    });
    if !unknown {
        return false;
    }
    let head = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let head = head[..head.len().min(16)].to_ascii_lowercase();
    let starts: [&[u8]; 6] = [b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<meta"];
    starts.iter().any(|start| head.starts_with(start))
}

/// The record's id without its brackets, or one from the place where it stands.
fn id_of<'a>(record: &Record<'a>, file: &str) -> Cow<'a, str> {
    let id = record.headers.text("WARC-Record-ID");
    let bare = id.trim().trim_start_matches('<').trim_end_matches('>');
    if !bare.is_empty() {
        return if bare.len() == id.len() { id } else { Cow::Owned(bare.to_owned()) };
    }
    let place = format!("{file}\0{}\0{}", record.offset, record.within);
    Cow::Owned(format!("urn:xxh3:{:032x}", xxhash_rust::xxh3::xxh3_128(place.as_bytes())))
}

/// `CC-MAIN-YYYY-WW` in a path, or nothing.
fn dump_of(name: &str) -> &str {
    let shape = b"CC-MAIN-dddd-dd";
    let fits = |window: &[u8]| {
        window
            .iter()
            .zip(shape)
            .all(|(byte, want)| if *want == b'd' { byte.is_ascii_digit() } else { byte == want })
    };
    let bytes = name.as_bytes();
    let found = bytes
        .windows(shape.len())
        .enumerate()
        .find(|(at, window)| fits(window) && !bytes.get(at + shape.len()).is_some_and(u8::is_ascii_digit));
    found.map_or("", |(at, _)| &name[at..at + shape.len()])
}

#[cfg(test)]
#[path = "warc_source_tests.rs"]
pub(crate) mod tests;
