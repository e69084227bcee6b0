//! The ranks of all documents that an exchange read, in their order, as one sequence over the files of all tasks.

use std::io;
use std::path::PathBuf;

use gristmill_corpus::manifest::Manifest;
use gristmill_corpus::sorter::Run;
use gristmill_stages::StageError;

use super::keys::RANKS;
use super::store::StepFolder;

/// Where they are.
pub struct Ranks {
    /// Path and number of ranks of each task that has any.
    files: Vec<(PathBuf, u64)>,
}

impl Ranks {
    /// Of the step that wrote keys.
    pub fn of(folder: &StepFolder, manifest: &Manifest) -> Result<Self, StageError> {
        let mut files = Vec::new();
        for commit in manifest.commits.iter().filter(|commit| commit.rows > 0) {
            let missing = || StageError::Engine(format!("task {} left no `{RANKS}`", commit.task));
            files.push((folder.file(commit, RANKS)?.ok_or_else(missing)?, commit.rows));
        }
        Ok(Self { files })
    }

    /// All of them. A file that has more or fewer than its task has documents is an error at its end.
    pub fn read(&self) -> impl Iterator<Item = io::Result<u64>> {
        self.files.iter().flat_map(|(path, rows)| {
            let (mut run, mut left) = (Run::<1>::open(path, 1 << 18), *rows);
            std::iter::from_fn(move || match &mut run {
                Ok(run) => match run.next() {
                    Some(rank) if left > 0 => {
                        left -= 1;
                        Some(rank.map(|[rank]| rank))
                    }
                    None if left == 0 => None,
                    _ => {
                        left = 0;
                        Some(Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("`{}` does not hold {rows} ranks", path.display()),
                        )))
                    }
                },
                Err(error) => Some(Err(io::Error::new(error.kind(), error.to_string()))),
            })
        })
    }
}
