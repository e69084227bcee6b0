//! Which documents two runs treat differently, and why.

use std::collections::BTreeMap;
use std::path::Path;

use gristmill_corpus::columns;
use gristmill_corpus::printable::one_line;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::parts::Run;
use super::rows::{self, REASON, cell};
use crate::run::funnel::table;

/// What a run did with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// The run never saw it.
    Absent,
    /// It is in the result.
    Kept {
        /// xxh3 of its text, in hexadecimal.
        text: String,
    },
    /// It was dropped.
    Dropped {
        /// The stage that did.
        stage: String,
        /// Why.
        reason: String,
    },
}

/// A document that two runs treat differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its id; where a record has none, its offset.
    pub id: String,
    /// Its address.
    pub url: String,
    /// What the first run did.
    pub a: Fate,
    /// What the second run did.
    pub b: Fate,
}

/// All differences between two runs.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// Documents that both runs treat alike.
    pub same: u64,
    /// The others, by id.
    pub changes: Vec<Change>,
}

/// Documents by (id, how many of the same id stand before it), with address and fate.
type Fates = BTreeMap<(String, usize), (String, Fate)>;

/// Compares what two runs did with every document. Holds about 200 bytes a document in memory.
///
/// # Errors
/// When one is no run, or a file cannot be read.
pub fn of(a: &Path, b: &Path) -> anyhow::Result<Diff> {
    let (a, b) = rayon::join(|| fates(a), || fates(b));
    Ok(compare(a?, b?))
}

fn fates(folder: &Path) -> anyhow::Result<Fates> {
    let run = Run::open(folder)?;
    let mut all: BTreeMap<String, Vec<(Fate, String)>> = BTreeMap::new();
    let needed = [columns::ID, columns::URL, columns::OFFSET, columns::TEXT, REASON];
    for part in run.kept(None)? {
        rows::read_all(&part.path, Some(&needed), |batch| {
            for row in 0..batch.num_rows() {
                let text = cell(&batch, columns::TEXT, row).unwrap_or_default();
                let fate = Fate::Kept { text: format!("{:016x}", xxh3_64(text.as_bytes())) };
                let (id, url) = name(&batch, row);
                all.entry(id).or_default().push((fate, url));
            }
            Ok(())
        })?;
    }
    for part in run.rejects(None)? {
        let stage = part.stage.unwrap_or_default();
        rows::read_all(&part.path, Some(&needed), |batch| {
            for row in 0..batch.num_rows() {
                let reason = cell(&batch, REASON, row).unwrap_or_default();
                let fate = Fate::Dropped { stage: stage.clone(), reason };
                let (id, url) = name(&batch, row);
                all.entry(id).or_default().push((fate, url));
            }
            Ok(())
        })?;
    }
    let mut fates = Fates::new();
    for (id, mut group) in all {
        // Ids can repeat, in crawls of many snapshots or in files without ids: equal fates pair up first.
        group.sort();
        for (number, (fate, url)) in group.into_iter().enumerate() {
            fates.insert((id.clone(), number), (url, fate));
        }
    }
    Ok(fates)
}

fn name(batch: &arrow::record_batch::RecordBatch, row: usize) -> (String, String) {
    let value = |column| cell(batch, column, row).filter(|value| !value.is_empty());
    let id = value(columns::ID)
        .or_else(|| value(columns::OFFSET).map(|offset| format!("@{offset}")))
        .unwrap_or_default();
    (id, value(columns::URL).unwrap_or_default())
}

fn compare(a: Fates, mut b: Fates) -> Diff {
    let mut diff = Diff { same: 0, changes: Vec::new() };
    for ((id, number), (url, a)) in a {
        let key = (id, number);
        let (url_b, b) = b.remove(&key).unwrap_or_else(|| (String::new(), Fate::Absent));
        if a == b {
            diff.same += 1;
        } else {
            diff.changes.push(Change { id: key.0, url: if url.is_empty() { url_b } else { url }, a, b });
        }
    }
    for ((id, _), (url, b)) in b {
        diff.changes.push(Change { id, url, a: Fate::Absent, b });
    }
    diff.changes.sort_by(|a, b| a.id.cmp(&b.id));
    diff
}

impl Fate {
    fn words(&self) -> String {
        match self {
            Self::Absent => "absent".into(),
            Self::Kept { .. } => "kept".into(),
            Self::Dropped { stage, reason } => format!("{reason} ({stage})"),
        }
    }
}

impl Change {
    fn words(&self) -> String {
        match (&self.a, &self.b) {
            (Fate::Kept { .. }, Fate::Kept { .. }) => "text changed".into(),
            (a, b) => format!("{} -> {}", a.words(), b.words()),
        }
    }
}

impl Diff {
    /// How many documents changed, by how.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for change in &self.changes {
            *counts.entry(change.words()).or_default() += 1;
        }
        counts
    }

    /// Counts and the first `n` documents of each change as plain text.
    pub fn to_text(&self, n: usize) -> String {
        if self.changes.is_empty() {
            return format!("no difference: {} documents alike\n", self.same);
        }
        let mut text = format!("{} documents differ, {} are alike\n", self.changes.len(), self.same);
        for (words, count) in self.counts() {
            text.push_str(&format!("\n{}: {count}\n", one_line(&words, 200)));
            let rows: Vec<[String; 2]> = self
                .changes
                .iter()
                .filter(|change| change.words() == words)
                .take(n)
                .map(|change| [format!("  {}", one_line(&change.id, 60)), one_line(&change.url, 100)])
                .collect();
            text.push_str(&table(&rows));
            if count > rows.len() as u64 {
                text.push_str(&format!("  … {} more\n", count - rows.len() as u64));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fates: &[(&str, Fate)]) -> Fates {
        fates.iter().map(|(id, fate)| (((*id).to_owned(), 0), (format!("u/{id}"), fate.clone()))).collect()
    }

    fn kept(text: &str) -> Fate {
        Fate::Kept { text: text.to_owned() }
    }

    fn dropped(reason: &str) -> Fate {
        Fate::Dropped { stage: "s".into(), reason: reason.to_owned() }
    }

    #[test]
    fn every_kind_of_change_is_found_and_named() {
        let a = run(&[
            ("1", kept("x")),
            ("2", kept("x")),
            ("3", dropped("p")),
            ("4", dropped("p")),
            ("6", kept("x")),
        ]);
        let b = run(&[
            ("1", kept("x")),
            ("2", dropped("q")),
            ("3", kept("x")),
            ("5", kept("x")),
            ("6", kept("y")),
        ]);
        let diff = compare(a, b);
        assert_eq!(diff.same, 1);
        let words: Vec<_> = diff.changes.iter().map(|change| (change.id.as_str(), change.words())).collect();
        let expected = [
            ("2", "kept -> q (s)"),
            ("3", "p (s) -> kept"),
            ("4", "p (s) -> absent"),
            ("5", "absent -> kept"),
            ("6", "text changed"),
        ];
        assert_eq!(words, expected.map(|(id, words)| (id, words.to_owned())));
        assert!(diff.to_text(0).contains("kept -> q (s): 1\n  … 1 more\n"), "{}", diff.to_text(0));
    }

    #[test]
    fn equal_runs_say_so() {
        let diff = compare(run(&[("1", kept("x"))]), run(&[("1", kept("x"))]));
        assert_eq!(diff.to_text(5), "no difference: 1 documents alike\n");
    }
}
