//! Rows of JSON lines, plain or packed: what the sources that read them share.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::stage::{Reason, Split, StageError};

/// Longer lines than this are passed over unless a recipe says otherwise.
pub(crate) fn default_maximum_line_bytes() -> u64 {
    256 << 20
}

/// The field of ids unless a recipe says otherwise.
pub(crate) fn default_id_field() -> String {
    "id".to_owned()
}

/// Hands every line of a file that is not blank to `each`: its number, beginning with 1, and its JSON or the
/// reason why there is none. Files may be packed with gzip or zstd, told apart by their first bytes. Reasons:
/// `bad_json`, `record_too_large`, `truncated_record`.
pub(crate) fn read(
    split: &Split,
    maximum_line_bytes: u64,
    each: &mut dyn FnMut(u64, Result<Value, Reason>) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let input =
        |error: std::io::Error| StageError::Input { path: split.path.clone(), message: error.to_string() };
    let mut file = BufReader::new(File::open(&split.path).map_err(input)?);
    let head = file.fill_buf().map_err(input)?;
    let (is_gzip, is_zstd) = (head.starts_with(&[0x1f, 0x8b]), head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    let mut lines: Box<dyn BufRead> = if is_gzip {
        Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(file)))
    } else if is_zstd {
        let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(input)?;
        Box::new(BufReader::with_capacity(1 << 16, decoder))
    } else {
        Box::new(file)
    };
    let cap = maximum_line_bytes;
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        number += 1;
        match lines.by_ref().take(cap.saturating_add(1)).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(length) if length as u64 > cap && line.last() != Some(&b'\n') => {
                each(number, Err("record_too_large"))?;
                if lines.skip_until(b'\n').is_err() {
                    return each(number, Err("truncated_record"));
                }
                continue;
            }
            Ok(_) => {}
            // A file whose first line cannot be had is unreadable; later, the end of it is lost.
            Err(error) if number == 1 => return Err(input(error)),
            Err(_) => return each(number, Err("truncated_record")),
        }
        if !line.trim_ascii().is_empty() {
            each(number, serde_json::from_slice(&line).map_err(|_| "bad_json"))?;
        }
    }
}

/// An id for a row that has none, from where it stands.
pub(crate) fn place_id(file: &str, offset: u64) -> String {
    format!("urn:xxh3:{:032x}", xxhash_rust::xxh3::xxh3_128(format!("{file}\0{offset}").as_bytes()))
}

/// An id out of a field: a string or a number.
pub(crate) fn id_in(field: Option<&Value>) -> Option<String> {
    match field {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    }
}
