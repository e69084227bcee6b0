//! Files that other processes read while we write: exclusive creation, atomic replacement, checksums.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::CorpusError;

/// A file as a commit marker lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path inside the attempt's folder, with `/` between its parts.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// xxh3-128 of the content, in hexadecimal.
    pub xxh3: String,
}

/// xxh3-128 of a file in hexadecimal, read in pieces of 1 MiB, and its size in bytes.
///
/// # Errors
/// [`CorpusError::Io`] when it cannot be read.
pub fn checksum(path: &Path) -> Result<(String, u64), CorpusError> {
    let mut file = File::open(path).map_err(|source| CorpusError::io(path, source))?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(source) if source.kind() == ErrorKind::Interrupted => continue,
            Err(source) => return Err(CorpusError::io(path, source)),
        };
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
    Ok((format!("{:032x}", hasher.digest128()), bytes))
}

/// Every file below `folder`, sorted by name, with size and checksum.
///
/// # Errors
/// [`CorpusError::Io`] when a file or folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<FileEntry>, CorpusError> {
    let mut entries = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        let here = folder.join(&prefix);
        for entry in fs::read_dir(&here).map_err(|source| CorpusError::io(&here, source))? {
            let entry = entry.map_err(|source| CorpusError::io(&here, source))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                open.push(name + "/");
            } else {
                let (xxh3, bytes) = checksum(&entry.path())?;
                entries.push(FileEntry { name, bytes, xxh3 });
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`CorpusError::Io`] when that is not allowed.
pub fn create_folder(path: &Path) -> Result<(), CorpusError> {
    fs::create_dir_all(path).map_err(|source| CorpusError::io(path, source))
}

/// Writes `value` as indented JSON to a file that no reader ever sees half-written: a temporary file beside it
/// is synced and renamed.
///
/// # Errors
/// [`CorpusError::Io`] when the folder cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CorpusError> {
    let temporary = json_beside(path, value)?;
    fs::rename(&temporary, path).map_err(|source| CorpusError::io(path, source))
}

/// Like [`write_json`], but only if `path` does not exist yet. Returns whether this call created it: of any
/// number of processes that try, exactly one does.
///
/// # Errors
/// [`CorpusError::Io`] when the folder cannot be written.
pub fn create_json(path: &Path, value: &impl Serialize) -> Result<bool, CorpusError> {
    let temporary = json_beside(path, value)?;
    // A hard link fails if the name is taken, on local disks and on NFS alike.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|source| CorpusError::io(&temporary, source))?;
    match linked {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(CorpusError::io(path, source)),
    }
}

fn json_beside(path: &Path, value: &impl Serialize) -> Result<PathBuf, CorpusError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| CorpusError::Arrow(error.to_string()))?;
    text.push('\n');
    let (temporary, mut file) = temporary_beside(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| CorpusError::io(&temporary, source))?;
    Ok(temporary)
}

/// Creates a file of a name that nobody else has, hidden in the folder of `path`: to be written, then renamed to `path`.
///
/// # Errors
/// [`CorpusError::Io`] when the folder cannot be written.
pub fn temporary_beside(path: &Path) -> Result<(PathBuf, File), CorpusError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for attempt in 0u32.. {
        let temporary = folder.join(format!(".{name}.{}-{attempt}", std::process::id()));
        match File::create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(CorpusError::io(&temporary, source)),
        }
    }
    unreachable!("four billion temporary files of one process do not fit into a folder")
}

/// Reads a JSON file; `None` when there is none.
///
/// # Errors
/// [`CorpusError::Io`] when it cannot be read, [`CorpusError::Damaged`] when it is not what it should be.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, CorpusError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CorpusError::io(path, source)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| CorpusError::damaged(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_creation_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commit.json");
        assert!(create_json(&path, &1).unwrap());
        assert!(!create_json(&path, &2).unwrap());
        assert_eq!(read_json::<u32>(&path).unwrap(), Some(1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_list_is_sorted_and_covers_subfolders() {
        let folder = tempfile::tempdir().unwrap();
        create_folder(&folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/x"), "1").unwrap();
        fs::write(folder.path().join("c"), "22").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let entries = list(folder.path()).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect();
        assert_eq!(names, [("a", 0), ("b/x", 1), ("c", 2)]);
        // The published xxh3-128 of no bytes.
        assert_eq!(entries[0].xxh3, "99aa06d3014798d86001c324468d497f");
    }

    #[test]
    fn damage_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        fs::write(&path, "{\"a\":").unwrap();
        let message = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(message.contains("manifest.json") && message.contains("damaged"), "{message}");
    }
}
