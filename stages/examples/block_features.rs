//! Training data for the models of extraction. Reads JSONL `{id,html}` on stdin.
//!
//! `block_features OUT` writes `OUT.f32` (a row for every block, little endian), `OUT.pages.f32` (a row for every page) and
//! `OUT.jsonl` (a line `{id, texts, words, sums, kept, tokens}` for every page: what the committed model says of every block,
//! and the words that a lexicon weighs, each after its field).

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};

use gristmill_stages::html::blocks::Blocks;
use gristmill_stages::html::content;
use gristmill_stages::html::dom::{Dom, Limits, Tag};
use gristmill_stages::html::features::{Features, LENGTH};
use gristmill_stages::html::lexicon::{LEXICON, tokens};
use gristmill_stages::html::model::BLOCKS;
use gristmill_stages::html::sections::{heading, sections};
use gristmill_stages::html::words::{Said, look};

fn put(file: &mut impl Write, row: &[f32]) -> io::Result<()> {
    row.iter().try_for_each(|number| file.write_all(&number.to_le_bytes()))
}

fn main() -> io::Result<()> {
    let out =
        std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: block_features OUT < PAGES.jsonl"))?;
    let create = |extension: &str| File::create(format!("{out}.{extension}")).map(BufWriter::new);
    let mut files = [create("f32")?, create("pages.f32")?, create("jsonl")?];
    for line in io::stdin().lock().lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let Ok(dom) = Dom::parse(row["html"].as_str().unwrap_or_default(), &Limits::default()) else {
            continue;
        };
        let page = Blocks::of(&dom);
        let candidate = content::candidate(&dom, &page);
        let features = Features::of(&dom, &page, &candidate);
        let mut numbers = features.blank();
        let mut sums = Vec::with_capacity(page.blocks.len());
        for at in 0..page.blocks.len() {
            features.fill(at, &mut numbers);
            sums.push(BLOCKS.sum(&numbers));
            put(&mut files[0], &numbers[..LENGTH])?;
        }
        put(&mut files[1], &features.page_row())?;
        let mut texts = vec![String::new(); page.blocks.len()];
        let mut kept_blocks = vec![false; page.blocks.len()];
        let kept = content::choose(&dom).kept;
        for (id, &block) in page.block_of.iter().enumerate() {
            if let Some(text) = texts.get_mut(block as usize) {
                text.push_str(dom.text(id as u32));
                kept_blocks[block as usize] |= kept.text(id as u32);
            } else if dom.nodes[id].tag == Tag::Br {
                // Words on both sides of a break are two words; the break belongs to whatever block is near.
                if let Some(text) = page.block_of[..id]
                    .iter()
                    .rev()
                    .take(4)
                    .find_map(|&block| texts.get(block as usize).map(|_| block))
                {
                    texts[text as usize].push(' ');
                }
            }
        }
        let words: Vec<u32> = page.blocks.iter().map(|block| block.counts.words).collect();
        let (looked, _) = look(&dom, &page, &Said::of(&dom), &LEXICON);
        let sections = sections(&page.blocks, &looked);
        let tokens: Vec<Vec<String>> = (0..sections.len())
            .map(|at| {
                let all = tokens(&dom, &page, at, heading(&sections, at));
                all.iter().map(|(field, word)| format!("{} {word}", field.name())).collect()
            })
            .collect();
        let line = serde_json::json!({
            "id": row["id"], "texts": texts, "words": words, "sums": sums, "kept": kept_blocks, "tokens": tokens,
        });
        serde_json::to_writer(&mut files[2], &line)?;
        files[2].write_all(b"\n")?;
    }
    files.iter_mut().try_for_each(Write::flush)
}
