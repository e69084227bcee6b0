//! Lists as sets: compiled once into a cache that every later process maps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gristmill_corpus::files;
use xxhash_rust::xxh3::xxh3_128;

use super::hashed_set::{self, HashedSet};
use super::lists;
use crate::stage::StageError;

/// How the lines of a list become entries.
pub type Add = fn(&str, &mut dyn FnMut(u64));

/// What one set is compiled from.
pub struct Lists<'a> {
    /// Names the compiled file: a word for `add`, with a version that goes up when `add` makes other entries of a line.
    pub name: &'static str,
    /// The files; their order does not matter.
    pub paths: &'a [PathBuf],
    /// The entries of a line.
    pub add: Add,
}

/// Where compiled lists are kept: the folder `lists` in the one that `GRISTMILL_CACHE` names, or in `gristmill` in the user's
/// folder for caches. `None` where neither is known, or `GRISTMILL_CACHE` is empty.
pub fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(named) = folder("GRISTMILL_CACHE") {
        return (!named.as_os_str().is_empty()).then(|| named.join("lists"));
    }
    let user = folder("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let user = user.or_else(|| folder("HOME").map(|home| home.join(".cache")));
    user.or_else(|| folder("LOCALAPPDATA")).map(|user| user.join("gristmill").join("lists"))
}

/// Lists of fewer bytes are read each time: that takes no longer than to find out which compiled file is theirs.
const WORTH_COMPILING: u64 = 1 << 20;
/// Hashes that are sorted in memory at a time: 32 MiB.
const RUN: usize = 1 << 22;
/// So many compiled files are kept; those that were not used for longest go.
const KEPT: usize = 16;
/// What killed processes left in the cache goes after this time.
const ABANDONED: Duration = Duration::from_hours(24);

impl Lists<'_> {
    /// The set, from the cache where it is there. A cache that cannot be written or is damaged costs time only.
    ///
    /// # Errors
    /// [`StageError::Config`] where a list cannot be read.
    pub fn load(&self, cache: Option<&Path>) -> Result<HashedSet, StageError> {
        let bytes: u64 =
            self.paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum();
        match cache.filter(|_| bytes >= WORTH_COMPILING) {
            Some(cache) => self.load_compiled(cache),
            None => self.read(),
        }
    }

    fn read(&self) -> Result<HashedSet, StageError> {
        let mut hashes = Vec::new();
        for path in self.paths {
            lists::for_each_line(path, |line| (self.add)(line, &mut |hash| hashes.push(hash)))?;
        }
        Ok(HashedSet::new(hashes))
    }

    fn load_compiled(&self, cache: &Path) -> Result<HashedSet, StageError> {
        let digests = self.paths.iter().map(|path| lists::digest(path)).collect::<Result<Vec<_>, _>>()?;
        let (path, key) = self.compiled(cache, digests);
        if let Ok(Some(set)) = HashedSet::open(&path, key) {
            // Marks the file as used; whoever may not is no reason to stop.
            let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(set);
        }
        match self.compile(cache) {
            Ok(set) => Ok(set),
            Err(Failure::List(error)) => Err(error),
            Err(Failure::Cache) => self.read(),
        }
    }

    /// Where lists of these contents are compiled to, and the key inside.
    fn compiled(&self, cache: &Path, mut digests: Vec<u128>) -> (PathBuf, u128) {
        digests.sort_unstable();
        digests.dedup();
        let mut bytes = self.name.as_bytes().to_vec();
        for digest in &digests {
            bytes.extend(digest.to_le_bytes());
        }
        let key = xxh3_128(&bytes);
        (cache.join(format!("{}-{key:032x}.set", self.name)), key)
    }

    /// Reads the lists into a file of the cache, in memory that does not grow with them.
    fn compile(&self, cache: &Path) -> Result<HashedSet, Failure> {
        fs::create_dir_all(cache)?;
        let mut runs = Runs::new(cache.join(self.name));
        let mut digests = Vec::new();
        for path in self.paths {
            let mut spilled = Ok(());
            let digest = lists::for_each_line(path, |line| {
                (self.add)(line, &mut |hash| {
                    if spilled.is_ok() {
                        spilled = runs.push(hash);
                    }
                });
            });
            spilled?;
            // Of the bytes that were read now: the file may have changed since the key was looked up.
            digests.push(digest.map_err(Failure::List)?);
        }
        let (path, key) = self.compiled(cache, digests);
        let (temporary, mut file) = temporary(&path)?;
        let (most, hashes) = runs.sorted()?;
        hashed_set::write(&mut file, key, most, hashes)?;
        file.sync_all()?;
        fs::rename(&temporary.0, &path)?;
        let set = HashedSet::open(&path, key)?.ok_or(Failure::Cache)?;
        tidy(cache);
        Ok(set)
    }
}

/// Why lists were not compiled.
enum Failure {
    List(StageError),
    /// The cache cannot be used.
    Cache,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Cache
    }
}

/// A file that goes with this value, unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn temporary(beside: &Path) -> io::Result<(Temporary, File)> {
    let (path, file) = files::temporary_beside(beside).map_err(io::Error::other)?;
    Ok((Temporary(path), file))
}

/// Hashes in any order, sorted in runs: the one in hand in memory, earlier ones in files.
struct Runs {
    beside: PathBuf,
    run: Vec<u64>,
    spilled: Vec<(Temporary, File)>,
    n_spilled: usize,
}

impl Runs {
    fn new(beside: PathBuf) -> Self {
        Self { beside, run: Vec::new(), spilled: Vec::new(), n_spilled: 0 }
    }

    fn push(&mut self, hash: u64) -> io::Result<()> {
        self.run.push(hash);
        if self.run.len() < RUN { Ok(()) } else { self.spill() }
    }

    fn sort(&mut self) {
        self.run.sort_unstable();
        self.run.dedup();
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let (temporary, file) = temporary(&self.beside)?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        for hash in &self.run {
            out.write_all(&hash.to_le_bytes())?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.spilled.push((temporary, file));
        self.n_spilled += self.run.len();
        self.run.clear();
        Ok(())
    }

    /// At most so many hashes, each once, in order.
    fn sorted(mut self) -> io::Result<(usize, impl Iterator<Item = io::Result<u64>>)> {
        self.sort();
        let most = self.n_spilled + self.run.len();
        let mut sources: Vec<Box<dyn Iterator<Item = io::Result<u64>>>> =
            vec![Box::new(self.run.into_iter().map(Ok))];
        for (temporary, file) in self.spilled {
            let mut file = BufReader::with_capacity(1 << 16, file);
            sources.push(Box::new(std::iter::from_fn(move || {
                let _until_it_is_read = &temporary;
                let mut bytes = [0; 8];
                match file.read_exact(&mut bytes) {
                    Ok(()) => Some(Ok(u64::from_le_bytes(bytes))),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                    Err(error) => Some(Err(error)),
                }
            })));
        }
        let mut next = BinaryHeap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(hash) = source.next().transpose()? {
                next.push(Reverse((hash, index)));
            }
        }
        let mut last = None;
        let merged = std::iter::from_fn(move || {
            loop {
                let Reverse((hash, index)) = next.pop()?;
                match sources[index].next() {
                    Some(Ok(following)) => next.push(Reverse((following, index))),
                    Some(Err(error)) => {
                        next.clear();
                        return Some(Err(error));
                    }
                    None => {}
                }
                if last.replace(hash) != Some(hash) {
                    return Some(Ok(hash));
                }
            }
        });
        Ok((most, merged))
    }
}

/// Removes compiled lists that nobody has used for long. One that another process has mapped stays readable to it.
fn tidy(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else { return };
    let now = SystemTime::now();
    let mut compiled = Vec::new();
    for entry in entries.flatten() {
        let Ok(modified) = entry.metadata().and_then(|file| file.modified()) else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && name.ends_with(".set") {
            compiled.push((modified, entry.path()));
        } else if name.starts_with('.') && now.duration_since(modified).is_ok_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
    compiled.sort();
    let n_old = compiled.len().saturating_sub(KEPT);
    for (_, path) in &compiled[..n_old] {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More lines than a run holds hashes would take seconds; so do the names of a list that is worth compiling.
    fn write_list(folder: &Path, name: &str, range: std::ops::Range<u32>) -> PathBuf {
        let path = folder.join(name);
        let lines =
            range.fold(String::new(), |lines, i| lines + &format!("a-rather-long-name-{i}.example\n"));
        fs::write(&path, lines).unwrap();
        path
    }

    fn lists(paths: &[PathBuf]) -> Lists<'_> {
        Lists { name: "hosts-1", paths, add: lists::add_domains }
    }

    fn names(cache: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(cache)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn holds(set: &HashedSet, range: std::ops::Range<u32>) -> bool {
        set.len() == range.len()
            && range.clone().all(|i| set.contains(format!("a-rather-long-name-{i}.example").as_bytes()))
            && !set.contains(format!("a-rather-long-name-{}.example", range.end).as_bytes())
    }

    #[test]
    fn lists_are_compiled_once_and_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache/below");
        let paths =
            [write_list(folder.path(), "a", 0..30_000), write_list(folder.path(), "b", 20_000..50_000)];
        assert!(holds(&lists(&paths).load(Some(&cache)).unwrap(), 0..50_000));
        let first = names(&cache);
        assert_eq!(first.len(), 1, "one file and nothing temporary: {first:?}");
        let reversed = [paths[1].clone(), paths[0].clone()];
        assert!(holds(&lists(&reversed).load(Some(&cache)).unwrap(), 0..50_000));
        assert_eq!(names(&cache), first);

        write_list(folder.path(), "b", 20_000..50_001);
        assert!(holds(&lists(&paths).load(Some(&cache)).unwrap(), 0..50_001));
        assert_eq!(names(&cache).len(), 2);
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let paths = [write_list(folder.path(), "a", 0..40_000)];
        lists(&paths).load(Some(&cache)).unwrap();
        let path = cache.join(&names(&cache)[0]);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[100_000] ^= 1;
        for damaged in [Vec::new(), whole[..whole.len() / 2].to_vec(), flipped] {
            fs::write(&path, damaged).unwrap();
            assert!(holds(&lists(&paths).load(Some(&cache)).unwrap(), 0..40_000));
            assert_eq!(fs::read(&path).unwrap(), whole, "written anew");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_done_without() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [write_list(folder.path(), "a", 0..40_000)];
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        assert!(holds(&lists(&paths).load(Some(&file)).unwrap(), 0..40_000));
        assert!(holds(&lists(&paths).load(None).unwrap(), 0..40_000));
        let absent = [folder.path().join("none")];
        assert!(lists(&absent).load(Some(&file)).err().unwrap().to_string().contains("none"));
    }

    #[test]
    fn small_lists_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let paths = [write_list(folder.path(), "a", 0..100)];
        assert!(holds(&lists(&paths).load(Some(&cache)).unwrap(), 0..100));
        assert!(!cache.exists());
    }

    #[test]
    fn many_at_once_get_the_same_set() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let paths = [write_list(folder.path(), "a", 0..40_000)];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(holds(&lists(&paths).load(Some(&cache)).unwrap(), 0..40_000)));
            }
        });
        assert_eq!(names(&cache).len(), 1);
    }

    #[test]
    fn runs_in_files_are_merged() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(folder.path().join("runs"));
        for part in [vec![5, 1, 5], vec![9, 1, 7], vec![], vec![2, 9]] {
            for hash in part {
                runs.push(hash).unwrap();
            }
            runs.spill().unwrap();
        }
        runs.push(3).unwrap();
        let (most, merged) = runs.sorted().unwrap();
        assert_eq!(merged.collect::<io::Result<Vec<u64>>>().unwrap(), [1, 2, 3, 5, 7, 9]);
        assert_eq!(most, 8);
        assert!(names(folder.path()).is_empty(), "runs go when they are read");
    }

    #[test]
    fn only_the_lists_used_last_stay() {
        let folder = tempfile::tempdir().unwrap();
        let age = |name: &str, seconds: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        for i in 0..20 {
            age(&format!("{i:02}.set"), 100 + i);
        }
        age(".old", 1_000_000);
        age(".new", 10);
        age("of somebody else", 1_000_000);
        tidy(folder.path());
        let left = names(folder.path());
        assert_eq!(left.len(), KEPT + 2);
        assert!(
            left.contains(&"00.set".into())
                && !left.contains(&"19.set".into())
                && !left.contains(&".old".into())
        );
    }
}
