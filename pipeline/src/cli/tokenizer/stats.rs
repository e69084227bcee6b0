//! `tokenizer stats`: how well does a vocabulary suit these texts?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gristmill_corpus::printable::printable;
use gristmill_tokenizer::{NAMES, Tokenizer};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::super::{Exit, print, print_json};
use super::show::visible;
use super::{Text, texts};
use crate::run::funnel::table;

/// How many of the longest tokens are shown.
const LONGEST: usize = 10;

/// Ours first, then the published ones.
const CONTESTANTS: usize = 1 + NAMES.len();

#[derive(Clone, Copy, Default)]
struct Tally {
    documents: u64,
    bytes: u64,
    tokens: [u64; CONTESTANTS],
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.bytes += other.bytes;
        for (sum, tokens) in self.tokens.iter_mut().zip(other.tokens) {
            *sum += tokens;
        }
    }

    fn rates(&self) -> [f64; CONTESTANTS] {
        self.tokens.map(|tokens| self.bytes as f64 / tokens.max(1) as f64)
    }

    fn json(&self, what: &str, name: &str) -> Value {
        let rates = self.rates();
        let published: serde_json::Map<String, Value> =
            NAMES.iter().zip(&rates[1..]).map(|(name, rate)| ((*name).to_owned(), json!(rate))).collect();
        json!({
            what: name, "documents": self.documents, "bytes": self.bytes, "tokens": self.tokens[0],
            "bytes_per_token": rates[0], "published": published,
        })
    }

    fn row(&self, name: &str) -> [String; 5 + CONTESTANTS] {
        let mut cells = vec![printable(name)];
        cells.extend([self.documents, self.bytes, self.tokens[0]].map(|n| n.to_string()));
        cells.extend(self.rates().map(|rate| format!("{rate:.3}")));
        cells.push(String::new());
        cells.try_into().expect("a name, three counts, the rates and the empty last column")
    }
}

/// What one file counts, or all of them.
struct Counts {
    languages: BTreeMap<String, Tally>,
    /// How often each id of ours came out.
    used: Vec<u64>,
}

impl Counts {
    fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.languages.values().for_each(|tally| all.add(tally));
        all
    }
}

pub fn stats(tokenizer: &Tokenizer, files: &[PathBuf], json: bool) -> anyhow::Result<Exit> {
    let published = NAMES.map(|name| Tokenizer::named(name).expect("the name is one of NAMES"));
    let counted: Vec<Counts> =
        files.par_iter().map(|path| count(tokenizer, &published, path)).collect::<anyhow::Result<_>>()?;
    let mut rows: Vec<(String, Tally)> =
        files.iter().zip(&counted).map(|(path, counts)| (path.display().to_string(), counts.all())).collect();
    let mut languages: BTreeMap<String, Tally> = BTreeMap::new();
    let mut used = vec![0; tokenizer.vocab_size()];
    for counts in &counted {
        for (language, tally) in &counts.languages {
            languages.entry(language.clone()).or_default().add(tally);
        }
        for (sum, n) in used.iter_mut().zip(&counts.used) {
            *sum += n;
        }
    }
    if rows.len() > 1 {
        let mut all = Tally::default();
        for (_, tally) in &rows {
            all.add(tally);
        }
        rows.push(("all".into(), all));
    }
    // Text never becomes a special token, so that those do not count as unused.
    let ordinary = (0..used.len() as u32)
        .filter(|id| !tokenizer.is_special(*id) && tokenizer.token_bytes(*id).is_some())
        .count();
    let n_used = used.iter().filter(|n| **n > 0).count();
    let length = |id: u32| tokenizer.token_bytes(id).map_or(0, <[u8]>::len);
    let mut longest: Vec<u32> = (0..used.len() as u32).filter(|id| used[*id as usize] > 0).collect();
    longest.sort_by_key(|id| (std::cmp::Reverse(length(*id)), *id));
    longest.truncate(LONGEST);
    if json {
        let longest: Vec<Value> = longest
            .iter()
            .map(|id| {
                let token = String::from_utf8_lossy(tokenizer.token_bytes(*id).unwrap_or_default());
                json!({"id": id, "token": token, "bytes": length(*id), "count": used[*id as usize]})
            })
            .collect();
        print_json(&json!({
            "files": rows.iter().map(|(file, tally)| tally.json("file", file)).collect::<Vec<_>>(),
            "languages": languages.iter().map(|(name, tally)| tally.json("language", name)).collect::<Vec<_>>(),
            "vocabulary": {"ordinary": ordinary, "used": n_used},
            "longest": longest,
        }))?;
        return Ok(Exit::Done);
    }
    let head = |what: &str| {
        let names = [what, "documents", "bytes", "tokens", "bytes/token", NAMES[0], NAMES[1], NAMES[2], ""];
        names.map(String::from)
    };
    let mut text = vec![head("file")];
    text.extend(rows.iter().map(|(file, tally)| tally.row(file)));
    print(&table(&text))?;
    if languages.keys().any(|language| !language.is_empty()) {
        let mut text = vec![head("language")];
        text.extend(
            languages.iter().map(|(name, tally)| tally.row(if name.is_empty() { "?" } else { name })),
        );
        print(&format!("\n{}", table(&text)))?;
    }
    let share = 100.0 * n_used as f64 / ordinary.max(1) as f64;
    print(&format!("\n{n_used} of {ordinary} tokens used ({share:.1} %); the longest used:\n"))?;
    let mut text = vec![["id", "bytes", "times", "token"].map(String::from)];
    for id in longest {
        let token = visible(tokenizer.token_bytes(id).unwrap_or_default());
        let shown: String = token.chars().take(100).collect();
        text.push([id.to_string(), length(id).to_string(), used[id as usize].to_string(), shown]);
    }
    print(&table(&text))?;
    Ok(Exit::Done)
}

fn count(tokenizer: &Tokenizer, published: &[Tokenizer], path: &Path) -> anyhow::Result<Counts> {
    let mut counts = Counts { languages: BTreeMap::new(), used: vec![0; tokenizer.vocab_size()] };
    let mut ids = Vec::new();
    texts(path, &["text", "language"], &mut |batch: &[Text]| {
        // One tokenizer after the other: what a thread remembers of one is forgotten for the next.
        for (n, each) in std::iter::once(tokenizer).chain(published).enumerate() {
            for Text { text, language } in batch {
                ids.clear();
                each.encode_into(text, &mut ids);
                let tally = counts.languages.entry(language.clone()).or_default();
                tally.tokens[n] += ids.len() as u64;
                if n == 0 {
                    tally.documents += 1;
                    tally.bytes += text.len() as u64;
                    for id in &ids {
                        counts.used[*id as usize] += 1;
                    }
                }
            }
        }
    })?;
    Ok(counts)
}
