//! Reads lists of domains, URLs and words: plain or gzipped, UT1 folders, hosts files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use xxhash_rust::xxh3::Xxh3Default;

use super::hashed_set::HashedSet;
use super::host::{address, host_of};
use crate::stage::StageError;

/// A longer line is no entry, and the file no list.
const LONGEST_LINE: u64 = 1 << 20;

/// Calls `line` with each line of a list, trimmed, without empty lines, lines that begin with `#` and the mark that some
/// editors put in front. Bytes that are not UTF-8 are replaced. Returns xxh3-128 of the file.
///
/// # Errors
/// [`StageError::Config`] where the file cannot be read or unpacked, or is no text in UTF-8.
pub fn for_each_line(path: &Path, mut line: impl FnMut(&str)) -> Result<u128, StageError> {
    let fail = |error: &dyn std::fmt::Display| {
        StageError::Config(format!("cannot read the list `{}`: {error}", path.display()))
    };
    let io = |error: io::Error| fail(&error);
    let mut file = BufReader::with_capacity(1 << 16, Summed::open(path).map_err(io)?);
    let is_packed = file.fill_buf().map_err(io)?.starts_with(&[0x1F, 0x8B]);
    let unpacked: &mut dyn Read = if is_packed { &mut MultiGzDecoder::new(&mut file) } else { &mut file };
    let mut reader = BufReader::with_capacity(1 << 16, unpacked);
    if reader.fill_buf().map_err(io)?.starts_with(&[0xEF, 0xBB, 0xBF]) {
        reader.consume(3);
    }
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let n = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(io)?;
        if n == 0 {
            break;
        }
        if n as u64 == LONGEST_LINE || bytes.contains(&0) {
            return Err(fail(&format!("line {number} is no line of text; one entry a line in UTF-8 works")));
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            line(text);
        }
    }
    drop(reader);
    io::copy(&mut file, &mut io::sink()).map_err(io)?;
    Ok(file.into_inner().hasher.digest128())
}

/// xxh3-128 of a file, as [`for_each_line`] returns it.
///
/// # Errors
/// [`StageError::Config`] where the file cannot be read.
pub fn digest(path: &Path) -> Result<u128, StageError> {
    let digest = Summed::open(path).and_then(|mut file| {
        let mut buffer = vec![0; 1 << 18];
        while file.read(&mut buffer)? > 0 {}
        Ok(file.hasher.digest128())
    });
    digest.map_err(|error| StageError::Config(format!("cannot read the list `{}`: {error}", path.display())))
}

/// A file that is summed as it is read.
struct Summed {
    file: File,
    hasher: Xxh3Default,
}

impl Summed {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, hasher: Xxh3Default::new() })
    }
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// Emits the hosts of one line: a domain, an address, or a hosts file's address and names; in the form in which
/// [`host_of`] gives a URL's host, without `*.` in front.
pub fn add_domains(line: &str, add: &mut dyn FnMut(u64)) {
    let line = line.split('#').next().unwrap_or(line).trim();
    let mut names = line.split_ascii_whitespace().peekable();
    let is_hosts_line =
        names.peek().is_some_and(|name| name.len() < line.len() && name.parse::<IpAddr>().is_ok());
    for name in names.skip(is_hosts_line as usize) {
        // Hosts files name the machine itself too: `localhost`, `broadcasthost`.
        if is_hosts_line && !name.contains('.') {
            continue;
        }
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        let host = address(name).map_or_else(|| host_of(name), Into::into);
        if !host.is_empty() {
            add(HashedSet::hash(host.as_bytes()));
        }
    }
}

/// Emits a line that is a URL.
pub fn add_url(line: &str, add: &mut dyn FnMut(u64)) {
    add(HashedSet::hash(line.as_bytes()));
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
        add_domains(line, &mut |hash| hashes.push(hash));
        hashes
    }

    #[test]
    fn domain_lines_of_every_kind() {
        let bad = HashedSet::hash(b"bad.example");
        for line in [
            "bad.example",
            "BAD.Example.",
            "0.0.0.0 bad.example",
            "127.0.0.1\tBad.Example # ads",
            "::1 bad.example#ads",
            "*.bad.example.",
            ".bad.example",
            "https://bad.example:8080/",
        ] {
            assert_eq!(domains(line), [bad], "{line}");
        }
        for line in
            ["::1 localhost", "255.255.255.255\tbroadcasthost", "#bad.example", "# 0.0.0.0 bad.example"]
        {
            assert!(domains(line).is_empty(), "{line}");
        }
        assert_eq!(domains("0.0.0.0 bad.example worse.example").len(), 2);
        assert_eq!(domains("109.238.9.3 # an address"), [HashedSet::hash(b"109.238.9.3")]);
        for line in ["2001:DB8:0::1", "[2001:db8::0:1]", "http://[2001:db8::1]:80/"] {
            assert_eq!(domains(line), [HashedSet::hash(b"2001:db8::1")], "{line}");
        }
        for line in ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"] {
            assert_eq!(domains(line), [HashedSet::hash(b"xn--bcher-kva.example")], "{line}");
        }
    }

    fn lines_of(bytes: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, bytes).unwrap();
        let mut lines = Vec::new();
        let digest =
            for_each_line(&path, |line| lines.push(line.to_owned())).map_err(|error| error.to_string())?;
        assert_eq!(digest, xxhash_rust::xxh3::xxh3_128(bytes));
        assert_eq!(digest, super::digest(&path).unwrap());
        Ok(lines)
    }

    #[test]
    fn lines_of_every_kind() {
        assert_eq!(
            lines_of(b"\xEF\xBB\xBFa.example\r\n\r\n \t b.example \n#c\n#\nd\xFFe").unwrap(),
            ["a.example", "b.example", "d\u{FFFD}e"]
        );
        assert!(lines_of(b"").unwrap().is_empty());
        let utf_16: Vec<u8> = "\u{FEFF}a.example\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(lines_of(&utf_16).unwrap_err().contains("line 1 is no line of text"));
        let endless = [b"a\n".to_vec(), vec![b'a'; 3 << 20]].concat();
        assert!(lines_of(&endless).unwrap_err().contains("line 2"));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a.example\nb.example\n").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(
            lines_of(&[packed.clone(), packed.clone()].concat()).unwrap().len(),
            4,
            "members follow one another"
        );
        assert!(lines_of(&packed[..packed.len() - 9]).is_err(), "cut off");
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
