//! JSON lines from standard input to standard output, on all cores, in order.

use std::io::{BufRead, BufWriter, Write};

use rayon::prelude::*;
use serde_json::Value;

use super::Exit;

/// Bytes of lines that are worked on at a time: enough for all cores, bounded for any input.
const CHUNK_BYTES: usize = 16 << 20;

/// Turns every line's object into another, in order. A line that is no object, or that `work` refuses, is reported
/// with its number on standard error and leaves no line; the exit code is 1 then.
pub fn convert(
    mut input: impl BufRead,
    work: impl Fn(&Value) -> anyhow::Result<Value> + Sync,
) -> anyhow::Result<Exit> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut exit = Exit::Done;
    let mut first = 1;
    loop {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            bytes += line.len();
            lines.push(line);
        }
        if lines.is_empty() {
            break;
        }
        let results: Vec<_> = lines
            .par_iter()
            .map(|line| {
                if line.trim_ascii().is_empty() {
                    return Ok(None);
                }
                let object: Value = serde_json::from_slice(line).map_err(|error| no_json(line, &error))?;
                Ok(Some(work(&object)?.to_string()))
            })
            .collect::<Vec<anyhow::Result<Option<String>>>>();
        for (number, result) in (first..).zip(results) {
            match result {
                Ok(None) => {}
                Ok(Some(line)) => {
                    out.write_all(line.as_bytes())?;
                    out.write_all(b"\n")?;
                }
                Err(error) => {
                    eprintln!("error: line {number}: {error:#}");
                    exit = Exit::Finding;
                }
            }
        }
        first += lines.len();
    }
    out.flush()?;
    Ok(exit)
}

/// Quotes the beginning of a line and says where its JSON ends.
fn no_json(line: &[u8], error: &serde_json::Error) -> anyhow::Error {
    const QUOTED: usize = 60;
    let text = String::from_utf8_lossy(line.trim_ascii());
    let begins: String = text.chars().take(QUOTED).collect();
    let more = if begins.len() < text.len() { "…" } else { "" };
    let cause = error.to_string();
    let cause = cause.rsplit_once(" at line ").map_or(cause.as_str(), |(cause, _)| cause);
    anyhow::anyhow!("`{begins}{more}` is not JSON: {cause} at column {}", error.column())
}

/// A string field of a line's object.
pub fn field<'a>(object: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    object[name]
        .as_str()
        .ok_or_else(|| anyhow::anyhow!("no string `{name}`; a line looks like {{\"id\": …, \"{name}\": …}}"))
}
