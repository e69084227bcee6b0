//! Pages of `../shared/data/html_gold`, for tests and examples; says loudly where a set is absent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::read::MultiGzDecoder;
use gristmill_stages::charset;
use serde_json::Value;

/// Every set of pages.
pub const SETS: [&str; 7] =
    ["scrapinghub", "magic_article", "magic_forum", "mozilla", "trafeval", "wmb_sample", "wcxb_dev"];

/// Calls `each` with the rows of a set, in order, their bytes decoded to `html`. False where it is absent.
pub fn for_each_page(set: &str, mut each: impl FnMut(Value)) -> bool {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/html_gold");
    let (gz, xz) = (folder.join(format!("{set}.jsonl.gz")), folder.join(format!("{set}.jsonl.xz")));
    let rows: Box<dyn Read> = if let Ok(file) = File::open(&gz) {
        Box::new(MultiGzDecoder::new(file))
    } else if xz.exists()
        && let Ok(process) = Command::new("xz").arg("-dc").arg(&xz).stdout(Stdio::piped()).spawn()
    {
        Box::new(process.stdout.expect("piped"))
    } else {
        eprintln!("SKIPPED: {set} is not at {} (or there is no `xz`)", folder.display());
        return false;
    };
    for line in BufReader::new(rows).lines() {
        let mut row: Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
        if let Some(bytes) = row["html_b64"].as_str().map(from_base64) {
            row["html"] = charset::decode(&bytes, None).0.into();
        }
        each(row);
    }
    true
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=' && !c.is_ascii_whitespace()) {
        held = held << 6 | u32::from(digit(c));
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    out
}
