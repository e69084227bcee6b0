//! Reads JSONL `{id,url,html}` on stdin, writes JSONL `{id,text}` in order; figures go to stderr.
//! `--markdown` writes Markdown.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use gristmill_stages::html::{Extraction, Format, Options, extract};

fn main() -> io::Result<()> {
    let mut options = Options::default();
    if std::env::args().any(|argument| argument == "--markdown") {
        options.format = Format::Markdown;
    }
    let (mut pages, mut bytes, mut text_only, mut seconds) = (0_u64, 0_u64, 0_u64, 0.0);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let html = row["html"].as_str().unwrap_or_default();
        let start = Instant::now();
        let extracted = extract(html, &options);
        seconds += start.elapsed().as_secs_f64();
        pages += 1;
        bytes += html.len() as u64;
        text_only += u64::from(extracted.extraction != Extraction::Content);
        serde_json::to_writer(&mut out, &serde_json::json!({ "id": row["id"], "text": extracted.text }))?;
        out.write_all(b"\n")?;
    }
    eprintln!(
        "{pages} pages, {text_only} text only, {:.1} MB/s, {:.0} pages/s",
        bytes as f64 / 1e6 / seconds,
        pages as f64 / seconds
    );
    out.flush()
}
