//! Sorting more records than memory holds: sorted runs on disk, merged.
//!
//! A record is `N` numbers, compared from the first. A sorted sequence holds every record once: what is sorted here are
//! sets (edges, members of clusters). A run is a file of records as little-endian u64 and nothing else; results of tasks
//! that are read from beginning to end have the same format.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory and disk that a piece of work may use.
#[derive(Debug, Clone)]
pub struct Workspace {
    folder: PathBuf,
    bytes: usize,
}

/// Reads and writes of a run are at most this long, and at least [`MIN_BUFFER_BYTES`] where runs are many.
const BUFFER_BYTES: usize = 1 << 20;
const MIN_BUFFER_BYTES: usize = 64 << 10;

impl Workspace {
    /// `bytes` of memory, and `folder` for what does not fit; the folder need not exist, and is empty again at the end.
    pub fn new(folder: &Path, bytes: usize) -> Self {
        Self { folder: folder.to_owned(), bytes }
    }

    /// Memory that may be used, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same folder with one of `n` equal shares of the memory.
    #[must_use]
    pub fn share(&self, n: usize) -> Self {
        Self { folder: self.folder.clone(), bytes: self.bytes / n.max(1) }
    }

    /// How long reads should be when `n` files are merged: as long as memory allows, up to 1 MiB.
    pub fn buffer_bytes(&self, n: usize) -> usize {
        (self.bytes / (n + 1)).clamp(MIN_BUFFER_BYTES, BUFFER_BYTES)
    }

    /// How many files can be merged at a time.
    pub fn fan_in(&self) -> usize {
        (self.bytes / MIN_BUFFER_BYTES).max(2)
    }

    /// A new file of its own, gone when it is dropped.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary(&self) -> io::Result<Temporary> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.folder).map_err(|error| at(&self.folder, &error))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Temporary { path: self.folder.join(format!("{}-{number}", std::process::id())) })
    }
}

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed stays in the attempt's folder: a matter of disk space, not of results.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes records to a file.
pub struct RunWriter<const N: usize> {
    path: PathBuf,
    out: BufWriter<File>,
}

impl<const N: usize> RunWriter<N> {
    /// Creates the file.
    ///
    /// # Errors
    /// Those of the file system, with the path; so for the others.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path).map_err(|error| at(path, &error))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// Appends a record.
    pub fn push(&mut self, record: &[u64; N]) -> io::Result<()> {
        for number in record {
            self.out.write_all(&number.to_le_bytes()).map_err(|error| at(&self.path, &error))?;
        }
        Ok(())
    }

    /// Closes the file; `sync` makes it last.
    pub fn finish(self, sync: bool) -> io::Result<()> {
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| at(&path, error.error()))?;
        if sync { file.sync_all().map_err(|error| at(&path, &error)) } else { Ok(()) }
    }
}

/// Reads records from a file, in its order.
pub struct Run<const N: usize> {
    path: PathBuf,
    file: BufReader<File>,
}

impl<const N: usize> Run<N> {
    /// Opens a file of records.
    ///
    /// # Errors
    /// Those of the file system, with the path; [`io::ErrorKind::InvalidData`] when the last record is not whole.
    pub fn open(path: &Path, buffer_bytes: usize) -> io::Result<Self> {
        let whole = |error: io::Error| at(path, &error);
        let file = File::open(path).map_err(whole)?;
        if file.metadata().map_err(whole)?.len() % (8 * N as u64) != 0 {
            let message = format!("its length is no multiple of {}", 8 * N);
            return Err(whole(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(buffer_bytes, file) })
    }

    /// Goes on with record number `record`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn seek(&mut self, record: u64) -> io::Result<()> {
        let place = SeekFrom::Start(record * 8 * N as u64);
        self.file.seek(place).map(|_| ()).map_err(|error| at(&self.path, &error))
    }

    fn read(&mut self) -> io::Result<Option<[u64; N]>> {
        let mut record = [0; N];
        let mut bytes = [0; 8];
        for (place, number) in record.iter_mut().enumerate() {
            match self.file.read_exact(&mut bytes) {
                Ok(()) => *number = u64::from_le_bytes(bytes),
                Err(error) if place == 0 && error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(at(&self.path, &error)),
            }
        }
        Ok(Some(record))
    }
}

impl<const N: usize> Iterator for Run<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Collects records, in memory as long as there is some.
pub struct Sorter<const N: usize> {
    workspace: Workspace,
    records: Vec<[u64; N]>,
    limit: usize,
    runs: Vec<Temporary>,
}

impl<const N: usize> Sorter<N> {
    /// An empty one.
    pub fn new(workspace: Workspace) -> Self {
        let limit = (workspace.bytes / (8 * N)).max(1024);
        Self { workspace, records: Vec::new(), limit, runs: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When a run cannot be written.
    pub fn push(&mut self, record: [u64; N]) -> io::Result<()> {
        if self.records.len() == self.limit {
            self.spill()?;
        }
        if self.records.len() == self.records.capacity() {
            let more = self.records.len().clamp(1024, self.limit).min(self.limit - self.records.len());
            self.records.reserve_exact(more);
        }
        self.records.push(record);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let run = self.workspace.temporary()?;
        let mut out = RunWriter::<N>::create(run.path())?;
        for record in self.records.drain(..) {
            out.push(&record)?;
        }
        out.finish(false)?;
        self.runs.push(run);
        Ok(())
    }

    fn sort(&mut self) {
        self.records.sort_unstable();
        self.records.dedup();
    }

    /// Every record once, in ascending order.
    ///
    /// # Errors
    /// When a run cannot be written or read; so for each item.
    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(Sorted::Memory(std::mem::take(&mut self.records).into_iter()));
        }
        if !self.records.is_empty() {
            self.spill()?;
        }
        drop(std::mem::take(&mut self.records));
        let mut runs = std::mem::take(&mut self.runs);
        while runs.len() > self.workspace.fan_in() {
            let rest = runs.split_off(self.workspace.fan_in());
            let merged = self.workspace.temporary()?;
            let mut out = RunWriter::<N>::create(merged.path())?;
            for record in Merged::<N>::new(runs, &self.workspace)? {
                out.push(&record?)?;
            }
            out.finish(false)?;
            runs = rest;
            runs.push(merged);
        }
        Ok(Sorted::Disk(Merged::new(runs, &self.workspace)?))
    }
}

/// What [`Sorter::finish`] gives.
pub enum Sorted<const N: usize> {
    /// All of it fitted.
    Memory(std::vec::IntoIter<[u64; N]>),
    /// Merged from runs.
    Disk(Merged<N>),
    /// Read again from a file that goes away afterwards.
    File(Run<N>, Temporary),
}

impl<const N: usize> Sorted<N> {
    /// A sorted file, read from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened; so for each item that cannot be read.
    pub fn reread(file: Temporary, buffer_bytes: usize) -> io::Result<Self> {
        Ok(Self::File(Run::open(file.path(), buffer_bytes)?, file))
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(records) => records.next().map(Ok),
            Self::Disk(merged) => merged.next(),
            Self::File(run, _) => run.next(),
        }
    }
}

/// Sorted runs, merged; repetitions are left out.
pub struct Merged<const N: usize> {
    runs: Vec<Run<N>>,
    heap: BinaryHeap<Reverse<([u64; N], usize)>>,
    last: Option<[u64; N]>,
    _files: Vec<Temporary>,
}

impl<const N: usize> Merged<N> {
    /// Merges at most [`Workspace::fan_in`] files of sorted records.
    ///
    /// # Errors
    /// When one cannot be read; so for each item.
    pub fn new(files: Vec<Temporary>, workspace: &Workspace) -> io::Result<Self> {
        let buffer = workspace.buffer_bytes(files.len());
        let mut runs =
            files.iter().map(|file| Run::open(file.path(), buffer)).collect::<io::Result<Vec<_>>>()?;
        let mut heap = BinaryHeap::new();
        for (i, run) in runs.iter_mut().enumerate() {
            heap.extend(run.read()?.map(|record| Reverse((record, i))));
        }
        Ok(Self { runs, heap, last: None, _files: files })
    }

    fn advance(&mut self) -> io::Result<Option<[u64; N]>> {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((record, i)) = *top;
            match self.runs[i].read()? {
                Some(next) => *top = Reverse((next, i)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
            if self.last != Some(record) {
                self.last = Some(record);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

impl<const N: usize> Iterator for Merged<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn sorted_is_a_set_in_order_with_any_memory(
            records in prop::collection::vec((0_u64..50, any::<u64>()), 0..6000), bytes in 0_usize..80_000, copies in 1_usize..3,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(Workspace::new(&folder.path().join("spill"), bytes));
            for (a, b) in records.iter().cycle().take(records.len() * copies) {
                sorter.push([*a, *b]).unwrap();
            }
            let sorted = sorter.finish().unwrap().collect::<io::Result<Vec<_>>>().unwrap();
            let expected: Vec<[u64; 2]> =
                records.iter().map(|(a, b)| [*a, *b]).collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(sorted, expected);
            let left = fs::read_dir(folder.path().join("spill")).map_or(0, Iterator::count);
            prop_assert_eq!(left, 0, "no run stays");
        }
    }

    #[test]
    fn many_runs_are_merged_in_passes() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(Workspace::new(folder.path(), 0));
        for number in (0..10_000).rev() {
            sorter.push([number]).unwrap();
        }
        assert!(sorter.runs.len() > sorter.workspace.fan_in());
        let sorted: Vec<u64> = sorter.finish().unwrap().map(|record| record.unwrap()[0]).collect();
        assert_eq!(sorted, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_run_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::write(&path, [0; 20]).unwrap();
        let error = Run::<2>::open(&path, 64).err().unwrap();
        assert!(error.to_string().contains("run`: its length"), "{error}");
    }
}
