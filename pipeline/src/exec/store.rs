//! Where results are kept: one folder a fingerprint, so that equal work is found again by any run.
//!
//! ```text
//! STORE/<fingerprint>/attempts/<task>-<attempt>/…   what a task writes; nobody reads it before its commit
//! STORE/<fingerprint>/commits/<task>.json           created exclusively; names the attempt that counts
//! STORE/<fingerprint>/manifest.json                 all commits together: the step is complete
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gristmill_corpus::CorpusError;
use gristmill_corpus::files::{self, FileEntry};
use gristmill_corpus::manifest::{Commit, Manifest};

use crate::plan::Step;

/// The folder of one step's result.
#[derive(Debug, Clone)]
pub struct StepFolder {
    path: PathBuf,
}

impl StepFolder {
    /// In a store. Nothing is created yet.
    pub fn new(store: &Path, step: &Step) -> Self {
        Self { path: store.join(step.fingerprint.as_str()) }
    }

    /// One that is known by its path.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest, if the step is complete.
    ///
    /// # Errors
    /// [`CorpusError`] when it is there but cannot be read.
    pub fn manifest(&self) -> Result<Option<Manifest>, CorpusError> {
        files::read_json(&self.path.join("manifest.json"))
    }

    /// Writes the manifest; if another process was first, its manifest says the same.
    ///
    /// # Errors
    /// [`CorpusError`] when the store cannot be written.
    pub fn close(&self, manifest: &Manifest) -> Result<(), CorpusError> {
        files::create_folder(&self.path)?;
        files::create_json(&self.path.join("manifest.json"), manifest).map(|_| ())
    }

    /// The commit of a task, if it is done.
    ///
    /// # Errors
    /// [`CorpusError`] when it is there but cannot be read.
    pub fn commit(&self, task: usize) -> Result<Option<Commit>, CorpusError> {
        files::read_json(&self.commit_path(task))
    }

    fn commit_path(&self, task: usize) -> PathBuf {
        self.path.join("commits").join(format!("{task:05}.json"))
    }

    /// A new folder that only this attempt writes to: (its name, its path).
    ///
    /// # Errors
    /// [`CorpusError`] when the store cannot be written.
    pub fn new_attempt(&self, task: usize) -> Result<(String, PathBuf), CorpusError> {
        let attempts = self.path.join("attempts");
        files::create_folder(&attempts)?;
        for number in 0u32.. {
            let name = format!("{task:05}-{number}");
            let path = attempts.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok((name, path)),
                // A dead attempt, or another process at work on the same task.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(CorpusError::io(&path, error)),
            }
        }
        unreachable!("four billion attempts at one task do not fit into a folder")
    }

    /// A folder that attempts at a task continue one after the other (training resumes from checkpoints).
    ///
    /// # Errors
    /// [`CorpusError`] when the store cannot be written.
    pub fn lasting_attempt(&self, task: usize) -> Result<(String, PathBuf), CorpusError> {
        let name = format!("{task:05}-resumed");
        let path = self.path.join("attempts").join(&name);
        files::create_folder(&path)?;
        Ok((name, path))
    }

    /// Commits a task. Returns whether this attempt counts; if not, another did the same work first.
    ///
    /// # Errors
    /// [`CorpusError`] when the store cannot be written.
    pub fn create_commit(&self, commit: &Commit) -> Result<bool, CorpusError> {
        let path = self.commit_path(commit.task);
        files::create_folder(&self.path.join("commits"))?;
        files::create_json(&path, commit)
    }

    /// The folder whose files count for a committed task.
    pub fn output(&self, commit: &Commit) -> PathBuf {
        self.path.join("attempts").join(&commit.attempt)
    }

    /// A file of a committed task, if the task left one of that name. Its size is checked.
    ///
    /// # Errors
    /// [`CorpusError::Damaged`] when the file is not what the commit says.
    pub fn file(&self, commit: &Commit, name: &str) -> Result<Option<PathBuf>, CorpusError> {
        let Some(entry) = commit.files.iter().find(|entry| entry.name == name) else { return Ok(None) };
        let path = self.output(commit).join(name);
        check_size(&path, entry)?;
        Ok(Some(path))
    }
}

fn check_size(path: &Path, entry: &FileEntry) -> Result<(), CorpusError> {
    let bytes = fs::metadata(path).map_err(|source| CorpusError::io(path, source))?.len();
    if bytes == entry.bytes {
        return Ok(());
    }
    let message = format!(
        "it has {bytes} bytes, its commit says {}; remove the folder with the 32-digit name above it and run again",
        entry.bytes
    );
    Err(CorpusError::damaged(path, message))
}
