//! Reads the items of evaluation sets.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::Decontaminate;
use crate::dedup::tokens::folded_words;
use crate::stage::{BuildContext, StageError};

/// An item: what it is called, and the hashed words of each of its strings.
pub struct Item {
    /// Index of its set.
    pub set: usize,
    /// Its id, or the number of its line from 1.
    pub name: String,
    /// Words in lower case, a list a string.
    pub strings: Vec<Vec<u64>>,
}

/// The sets' names, and all their items in order.
pub struct Items {
    /// File names without their endings.
    pub sets: Vec<String>,
    /// In the order of the files, then of the lines.
    pub items: Vec<Item>,
}

/// Reads all sets that a configuration names.
///
/// # Errors
/// [`StageError::Config`] where a file cannot be read or a line is no JSON object, or where there is no file.
pub fn read(config: &Decontaminate, context: &BuildContext) -> Result<Items, StageError> {
    if config.sets.is_empty() {
        return Err(StageError::Config("no set in `decontaminate`; `sets` names files and folders".into()));
    }
    let mut items = Items { sets: Vec::new(), items: Vec::new() };
    for named in &config.sets {
        for path in files(&context.resolve(named))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let packed = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            let is_json = [".jsonl", ".json"].iter().any(|end| packed.ends_with(end));
            let text = text(&path)?;
            let set = items.sets.len();
            items.sets.push(packed.rsplit_once('.').map_or(packed, |(stem, _)| stem).to_owned());
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let number = index + 1;
                let (id, strings) = if is_json {
                    let object = serde_json::from_str(line).ok().filter(Value::is_object).ok_or_else(|| {
                        StageError::Config(format!(
                            "`{}`, line {number}: not a JSON object; a set is JSON lines, or text with an item a line in a file with another ending",
                            path.display()
                        ))
                    })?;
                    parts(config, &object)
                } else {
                    (None, vec![line.to_owned()])
                };
                items.items.push(Item {
                    set,
                    name: id.unwrap_or_else(|| number.to_string()),
                    strings: strings.iter().map(|string| folded_words(string)).collect(),
                });
            }
        }
    }
    Ok(items)
}

/// A file itself, or the files in a folder, sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, StageError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let fail = |error: std::io::Error| unreadable(path, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(StageError::Config(format!("the folder `{}` holds no file", path.display())));
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> Result<String, StageError> {
    let fail = |error: std::io::Error| unreadable(path, &error);
    let bytes = fs::read(path).map_err(fail)?;
    let bytes = match bytes.get(..4) {
        Some([0x1F, 0x8B, ..]) => {
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).map_err(fail)?;
            unpacked
        }
        Some([0x28, 0xB5, 0x2F, 0xFD]) => zstd::decode_all(&bytes[..]).map_err(fail)?,
        _ => bytes,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(path: &Path, error: &std::io::Error) -> StageError {
    StageError::Config(format!("cannot read the set `{}`: {error}", path.display()))
}

/// The id and the strings of a JSON line.
fn parts(config: &Decontaminate, object: &Value) -> (Option<String>, Vec<String>) {
    let id = match &object[&config.id_field] {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    let mut found = Vec::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        let is_wanted =
            if config.fields.is_empty() { *field != config.id_field } else { config.fields.contains(field) };
        if is_wanted {
            strings(value, &mut found);
        }
    }
    (id, found)
}

/// Every string in a value, in order. serde_json bounds the depth.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(string) => found.push(string.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
