//! Commit markers and manifests: what a task left behind, and what a whole step came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::files::FileEntry;
use crate::fingerprint::Fingerprint;

/// What one stage did to the documents of one task, or of many when summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// The stage's id.
    pub stage: String,
    /// Documents that came in. For a source: records that are candidates for a document.
    pub documents_in: u64,
    /// Documents that went on.
    pub documents_out: u64,
    /// Documents dropped, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Bytes of `text` (of `html` before extraction) that came in; 0 for a source.
    pub bytes_in: u64,
    /// Bytes of the same that went on.
    pub bytes_out: u64,
    /// Time spent in the stage, in microseconds, summed over tasks. Never part of a result.
    pub elapsed_us: u64,
}

impl StageCounts {
    /// Nothing counted yet.
    pub fn new(stage: &str) -> Self {
        Self { stage: stage.to_owned(), ..Self::default() }
    }

    /// Documents dropped, for whatever reason.
    pub fn documents_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Whether in = out + rejected.
    pub fn is_balanced(&self) -> bool {
        self.documents_in == self.documents_out + self.documents_rejected()
    }

    /// Adds the counts of another task.
    pub fn add(&mut self, other: &Self) {
        self.documents_in += other.documents_in;
        self.documents_out += other.documents_out;
        for (reason, n) in &other.rejected {
            *self.rejected.entry(reason.clone()).or_default() += n;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.elapsed_us += other.elapsed_us;
    }
}

/// Sums counts by stage, stages in the order in which they first appear.
pub fn sum_counts<'a>(tasks: impl IntoIterator<Item = &'a StageCounts>) -> Vec<StageCounts> {
    let mut sums: Vec<StageCounts> = Vec::new();
    for counts in tasks {
        if let Some(sum) = sums.iter_mut().find(|sum| sum.stage == counts.stage) {
            sum.add(counts);
        } else {
            sums.push(counts.clone());
        }
    }
    sums
}

/// The commit marker of one task. It is created exclusively: whoever creates it first has done the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The task's index within its step.
    pub task: usize,
    /// The attempt's folder, whose files count.
    pub attempt: String,
    /// The files of the attempt.
    pub files: Vec<FileEntry>,
    /// Documents in the output.
    pub rows: u64,
    /// What every stage of the task did.
    pub counts: Vec<StageCounts>,
    /// Why the input could not be read, if it could not: its documents are missing from the output.
    pub quarantined: Option<String>,
}

/// All commits of a step: its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The step's id in the plan that first made it.
    pub step: String,
    /// What the result depends on.
    pub fingerprint: Fingerprint,
    /// One commit a task, in order.
    pub commits: Vec<Commit>,
    /// Dense id of the first document of each task, and at the end the number of all documents.
    pub first_row: Vec<u64>,
    /// Counts of all tasks, by stage.
    pub counts: Vec<StageCounts>,
}

impl Manifest {
    /// Puts commits (ordered by task) together.
    pub fn new(step: &str, fingerprint: Fingerprint, commits: Vec<Commit>) -> Self {
        let mut first_row = vec![0];
        for commit in &commits {
            first_row.push(first_row[first_row.len() - 1] + commit.rows);
        }
        let counts = sum_counts(commits.iter().flat_map(|commit| &commit.counts));
        Self { step: step.to_owned(), fingerprint, commits, first_row, counts }
    }

    /// Documents in the output.
    pub fn rows(&self) -> u64 {
        self.first_row.last().copied().unwrap_or(0)
    }

    /// Inputs that could not be read: (task, why).
    pub fn quarantined(&self) -> impl Iterator<Item = (usize, &str)> {
        self.commits.iter().filter_map(|commit| Some((commit.task, commit.quarantined.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(task: usize, rows: u64, dropped: u64) -> Commit {
        let counts = StageCounts {
            stage: "gopher_quality".into(),
            documents_in: rows + dropped,
            documents_out: rows,
            rejected: BTreeMap::from([("too_few_words".into(), dropped)]),
            ..StageCounts::default()
        };
        Commit { task, attempt: String::new(), files: vec![], rows, counts: vec![counts], quarantined: None }
    }

    #[test]
    fn a_manifest_numbers_documents_densely_and_sums_counts() {
        let fingerprint = Fingerprint::of(&serde_json::json!(1));
        let manifest =
            Manifest::new("s", fingerprint, vec![commit(0, 5, 1), commit(1, 0, 2), commit(2, 3, 0)]);
        assert_eq!(manifest.first_row, [0, 5, 5, 8]);
        assert_eq!(manifest.rows(), 8);
        assert_eq!(manifest.counts.len(), 1);
        assert_eq!(manifest.counts[0].documents_in, 11);
        assert_eq!(manifest.counts[0].rejected["too_few_words"], 3);
        assert!(manifest.counts[0].is_balanced());
    }
}
