//! `gristmill extract`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use gristmill_stages::{charset, html};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::Exit;
use super::lines;

/// Extract the main text of pages: HTML files, or JSON lines {id, url, html} on standard input, to JSON lines
/// {id, text, title, page_type, confidence}, in order. The extractor alone, as the stage `extract_text` runs it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill extract page.html\n  gristmill extract --format markdown < pages.jsonl > texts.jsonl\n\nExit codes: 0 done; 1 some lines or files could not be read and are missing."
)]
pub struct Arguments {
    /// HTML files; their paths are the ids. Standard input if none is given.
    files: Vec<PathBuf>,
    /// How the text is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A block a line.
    Text,
    /// Light Markdown.
    Markdown,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let format = match arguments.format {
        Format::Text => html::Format::Text,
        Format::Markdown => html::Format::Markdown,
    };
    let options = html::Options { format, ..html::Options::default() };
    if arguments.files.is_empty() {
        return lines::convert(std::io::stdin().lock(), |page| {
            let extracted = html::extract(lines::field(page, "html")?, &options);
            Ok(line(&page["id"], &extracted))
        });
    }
    let mut exit = Exit::Done;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for some in arguments.files.chunks(256) {
        let results: Vec<_> = some.par_iter().map(|path| extract(path, &options)).collect();
        for result in results {
            match result {
                Ok(line) => writeln!(out, "{line}")?,
                Err(error) => {
                    eprintln!("error: {error:#}");
                    exit = Exit::Finding;
                }
            }
        }
    }
    out.flush()?;
    Ok(exit)
}

fn extract(path: &PathBuf, options: &html::Options) -> anyhow::Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let (page, _) = charset::decode(&bytes, None);
    Ok(line(&path.to_string_lossy().into(), &html::extract(&page, options)))
}

fn line(id: &Value, extracted: &html::Extracted) -> Value {
    json!({
        "id": id,
        "text": extracted.text,
        "title": extracted.title,
        "page_type": extracted.page_type.map(html::PageType::name),
        "confidence": (f64::from(extracted.confidence) * 1000.0).round() / 1000.0,
    })
}
