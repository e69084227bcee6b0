//! Training data for the content model. Reads JSONL `{id,url,html}` on stdin; writes for every page a JSON line
//! `{id, n, texts}` to stdout and its feature rows (f32, little endian) to the file named by the first argument.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};

use gristmill_stages::html::blocks::Blocks;
use gristmill_stages::html::dom::{Dom, Limits, Tag};
use gristmill_stages::html::{content, features};

fn main() -> io::Result<()> {
    let path = std::env::args()
        .nth(1)
        .ok_or_else(|| io::Error::other("usage: block_features ROWS.f32 < PAGES.jsonl"))?;
    let mut file = BufWriter::new(File::create(path)?);
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let Ok(dom) = Dom::parse(row["html"].as_str().unwrap_or_default(), &Limits::default()) else {
            continue;
        };
        let page = Blocks::of(&dom);
        let candidate = content::candidate(&dom, &page);
        let mut rows = Vec::new();
        features::rows(&dom, &page, &candidate, row["url"].as_str(), |_, numbers| {
            rows.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        });
        file.write_all(&rows)?;
        let mut texts = vec![String::new(); page.blocks.len()];
        let mut kept_blocks = vec![false; page.blocks.len()];
        let kept = content::choose(&dom, row["url"].as_str());
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
        let line =
            serde_json::json!({ "id": row["id"], "n": texts.len(), "texts": texts, "kept": kept_blocks });
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    file.flush()?;
    out.flush()
}
