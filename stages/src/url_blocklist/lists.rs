//! Reads lists of domains, URLs and words: plain or gzipped, UT1 folders, hosts files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::hashed_set::HashedSet;
use crate::stage::StageError;

/// Calls `line` with each line of a list, trimmed, without empty lines and lines that begin with `#`. Bytes that are not UTF-8
/// are replaced.
///
/// # Errors
/// [`StageError::Config`] where the file cannot be read or unpacked.
pub fn for_each_line(path: &Path, mut line: impl FnMut(&str)) -> Result<(), StageError> {
    let fail = |error: std::io::Error| {
        StageError::Config(format!("cannot read the list `{}`: {error}", path.display()))
    };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(fail)?);
    let is_packed = file.fill_buf().map_err(fail)?.starts_with(&[0x1F, 0x8B]);
    let unpacked: Box<dyn Read> =
        if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::with_capacity(1 << 16, unpacked);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(fail)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            line(text);
        }
    }
}

/// Adds the hosts of one line: a domain, or a hosts file's address and names. Lower case, without `*.` and the root's dot.
pub fn add_domains(line: &str, hashes: &mut Vec<u64>) {
    let line = line.split(" #").next().unwrap_or(line);
    let mut names = line.split_ascii_whitespace().peekable();
    let is_hosts_line =
        line.contains([' ', '\t']) && names.peek().is_some_and(|name| name.parse::<IpAddr>().is_ok());
    for name in names.skip(is_hosts_line as usize) {
        let name = name.trim_start_matches("*.").trim_matches('.');
        let is_own_name = is_hosts_line && name == "localhost";
        if !name.is_empty() && !is_own_name {
            hashes.push(HashedSet::hash(name.to_lowercase().as_bytes()));
        }
    }
}

/// The domain lists and the URL lists of UT1's layout: files `domains` and `urls`, plain or `.gz`, in the folder itself or one
/// below it. Sorted by path. Its `expressions` are not read.
///
/// # Errors
/// [`StageError::Config`] where the folder cannot be read or holds none.
pub fn find_lists(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StageError> {
    let (mut domains, mut urls) = (Vec::new(), Vec::new());
    let mut pick = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("domains" | "domains.gz") => domains.push(path.to_owned()),
        Some("urls" | "urls.gz") => urls.push(path.to_owned()),
        _ => {}
    };
    for path in entries(folder)? {
        if path.is_dir() {
            entries(&path)?.iter().for_each(|path| pick(path));
        } else {
            pick(&path);
        }
    }
    if domains.is_empty() && urls.is_empty() {
        return Err(StageError::Config(format!(
            "no lists in `{}`; files `domains` or `urls` (or `.gz`), there or one folder below, work",
            folder.display()
        )));
    }
    domains.sort();
    urls.sort();
    Ok((domains, urls))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StageError> {
    let fail = |error: std::io::Error| {
        StageError::Config(format!("cannot read the folder `{}`: {error}", folder.display()))
    };
    let entries = std::fs::read_dir(folder).map_err(fail)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect()
}

/// A word as the lists mean it: its ASCII letters and digits in lower case.
pub fn normalise_word(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn domains(line: &str) -> Vec<u64> {
        let mut hashes = Vec::new();
        add_domains(line, &mut hashes);
        hashes
    }

    #[test]
    fn domain_lines_of_every_kind() {
        let bad = HashedSet::hash(b"bad.example");
        for line in ["bad.example", "0.0.0.0 bad.example", "127.0.0.1\tBad.Example # ads", "*.bad.example."] {
            assert_eq!(domains(line), [bad], "{line}");
        }
        assert!(domains("::1 localhost").is_empty());
        assert_eq!(domains("109.238.9.3"), [HashedSet::hash(b"109.238.9.3")]);
    }

    #[test]
    fn plain_and_packed_folders() {
        let folder = tempfile::tempdir().unwrap();
        let adult = folder.path().join("adult");
        std::fs::create_dir(&adult).unwrap();
        let mut packed = flate2::write::GzEncoder::new(
            File::create(adult.join("domains.gz")).unwrap(),
            flate2::Compression::fast(),
        );
        packed.write_all(b"# comment\r\na.example\r\n\r\nb.example").unwrap();
        packed.finish().unwrap();
        std::fs::write(folder.path().join("urls"), "c.example/x\n").unwrap();
        let (domains, urls) = find_lists(folder.path()).unwrap();
        assert_eq!((domains.len(), urls.len()), (1, 1));
        let mut lines = Vec::new();
        for_each_line(&domains[0], |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["a.example", "b.example"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(find_lists(empty.path()).unwrap_err().to_string().contains("no lists"));
        assert!(for_each_line(&empty.path().join("none"), |_| ()).unwrap_err().to_string().contains("none"));
    }
}
