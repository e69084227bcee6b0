//! Sorted runs: rows of any number in bounded memory, one partition at a time in order.
//!
//! A row is `N` integers of 64 bits and belongs to a partition. A writer collects rows up to a bound, sorts them and
//! writes them as a run, a file `<name>-<number>.run`; a reader merges one partition of any number of runs. Beside
//! [`keyed`](crate::keyed), which holds a task's rows in memory and suits a few rows a document, this suits rows for
//! every line or n-gram. The format, all integers little-endian:
//!
//! ```text
//! 0   magic "GRRUNS\0\0"
//! 8   version u32 (1)
//! 12  integers a row u32
//! 16  partitions u32
//! 20  0 u32
//! 24  rows u64, over all partitions
//! 32  xxh3-64 u64 of bytes 0..32
//! 40  index: for every partition and for the end, the number of its first row u64 and
//!     the xxh3-64 u64 of its rows' bytes, seeded with its number (0 for the end)
//! ..  rows, sorted by (partition, row)
//! ```
//!
//! Opening a run reads its header, a partition costs 32 bytes of the index more: a run may have as many partitions as there
//! are tasks. Rows are verified when a partition's end is reached, before the last of them are handed out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::binary::{at, damaged, word};

const MAGIC: [u8; 8] = *b"GRRUNS\0\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 16;
const CHUNK_ROWS: usize = 1 << 14;

/// What a writer holds in memory before it writes a run, at most: larger runs are fewer, and are read in larger pieces.
pub const RUN_BYTES: usize = 256 << 20;
/// What a merge holds in memory for all its runs together, at most.
pub const MERGE_BYTES: usize = 1 << 30;
/// What a merge reads of a run at a time, at most.
const READ_BYTES: usize = 1 << 20;

/// The name of run number `run`.
pub fn run_name(name: &str, run: usize) -> String {
    format!("{name}-{run:05}.run")
}

/// Collects rows and writes them as sorted runs. The order in which rows come decides which run they are in, and nothing
/// that a merge of all runs gives.
#[derive(Debug)]
pub struct RunsWriter<const N: usize> {
    folder: PathBuf,
    name: String,
    partitions: u32,
    rows: Vec<(u32, [u64; N])>,
    most_rows: usize,
    n_runs: usize,
}

impl<const N: usize> RunsWriter<N> {
    /// A writer of runs `name-00000.run` and so on inside `folder`, for partitions `0..partitions`, that holds
    /// [`RUN_BYTES`] in memory.
    pub fn new(folder: &Path, name: &str, partitions: u32) -> Self {
        Self::with_memory(folder, name, partitions, RUN_BYTES)
    }

    /// [`RunsWriter::new`] with another bound.
    pub fn with_memory(folder: &Path, name: &str, partitions: u32, run_bytes: usize) -> Self {
        let most_rows = (run_bytes / size_of::<(u32, [u64; N])>()).max(1);
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            partitions,
            rows: Vec::new(),
            most_rows,
            n_runs: 0,
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When a run cannot be written; the path is in the message.
    ///
    /// # Panics
    /// When there is no such partition: a mistake of the caller, never of input.
    pub fn push(&mut self, partition: u32, row: [u64; N]) -> io::Result<()> {
        assert!(partition < self.partitions, "partition {partition} of {}", self.partitions);
        if self.rows.len() == self.most_rows {
            self.write_run()?;
        }
        self.rows.push((partition, row));
        Ok(())
    }

    /// Writes what is left. Returns the number of runs; there is none without rows.
    ///
    /// # Errors
    /// As [`RunsWriter::push`].
    pub fn finish(mut self) -> io::Result<usize> {
        if !self.rows.is_empty() {
            self.write_run()?;
        }
        Ok(self.n_runs)
    }

    fn write_run(&mut self) -> io::Result<()> {
        let path = self.folder.join(run_name(&self.name, self.n_runs));
        self.rows.sort_unstable();
        write(&path, self.partitions, &self.rows).map_err(|error| at(&path, &error))?;
        self.rows.clear();
        self.n_runs += 1;
        Ok(())
    }
}

fn write<const N: usize>(path: &Path, partitions: u32, rows: &[(u32, [u64; N])]) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    for number in [VERSION, N as u32, partitions, 0] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    header.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    let mut file = BufWriter::with_capacity(READ_BYTES, File::create(path)?);
    file.write_all(&header)?;
    let mut first = 0;
    for partition in 0..partitions {
        let n = rows[first..].partition_point(|(of, _)| *of == partition);
        let mut hasher = Xxh3::with_seed(u64::from(partition));
        for chunk in rows[first..first + n].chunks(CHUNK_ROWS) {
            hasher.update(&encode(chunk));
        }
        file.write_all(&(first as u64).to_le_bytes())?;
        file.write_all(&hasher.digest().to_le_bytes())?;
        first += n;
    }
    file.write_all(&(first as u64).to_le_bytes())?;
    file.write_all(&0_u64.to_le_bytes())?;
    for chunk in rows.chunks(CHUNK_ROWS) {
        file.write_all(&encode(chunk))?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// One run, opened: its header is verified. No file handle is held between reads, so that a merge may have more runs than a
/// process may open files.
#[derive(Debug, Clone)]
pub struct Run<const N: usize> {
    path: PathBuf,
    partitions: u32,
}

impl<const N: usize> Run<N> {
    /// Reads and verifies the header and the file's length.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a file that is no run of such rows, of another version, truncated or damaged;
    /// otherwise what the file system gives. The path is in every message.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::parse(path).map_err(|error| at(path, &error))
    }

    fn parse(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        if length < HEADER_BYTES as u64 {
            return Err(damaged(format!(
                "{length} bytes cannot hold the {HEADER_BYTES}-byte header of a run"
            )));
        }
        file.read_exact(&mut header)?;
        if header[..8] != MAGIC {
            return Err(damaged("this is not a run: its first bytes are not `GRRUNS`".into()));
        }
        if word(&header, 32) != xxh3_64(&header[..32]) {
            return Err(damaged("damaged: the header does not match its checksum".into()));
        }
        let (version, integers, partitions) = (small(&header, 8), small(&header, 12), small(&header, 16));
        if version != VERSION {
            return Err(damaged(format!("run format version {version}; this build reads version {VERSION}")));
        }
        if integers as usize != N {
            return Err(damaged(format!("rows of {integers} integers where {N} are expected")));
        }
        let expected = (u128::from(partitions) + 1) * ENTRY_BYTES as u128
            + u128::from(word(&header, 24)) * (N as u128 * 8)
            + HEADER_BYTES as u128;
        if u128::from(length) != expected {
            return Err(damaged(format!(
                "truncated or damaged: the header describes {expected} bytes, the file has {length}"
            )));
        }
        Ok(Self { path: path.to_owned(), partitions })
    }

    /// Where a partition's rows begin and how many there are, with their checksum.
    fn entry(&self, partition: u32) -> io::Result<(u64, u64, u64)> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start((HEADER_BYTES + partition as usize * ENTRY_BYTES) as u64))?;
        let mut entries = [0; 2 * ENTRY_BYTES];
        file.read_exact(&mut entries)?;
        let (first, next) = (word(&entries, 0), word(&entries, ENTRY_BYTES));
        let start = HEADER_BYTES as u64 + (u64::from(self.partitions) + 1) * ENTRY_BYTES as u64;
        let n_rows = next.checked_sub(first);
        let offset = first.checked_mul(N as u64 * 8).and_then(|bytes| start.checked_add(bytes));
        let (Some(n_rows), Some(offset)) = (n_rows, offset) else {
            return Err(damaged(format!("damaged: the index of partition {partition} is no range of rows")));
        };
        Ok((offset, n_rows, word(&entries, 8)))
    }
}

/// Merges one partition of many runs into one sequence in ascending order. `runs` come with a number that is added to the
/// last integer of each of their rows: what places a task's rows among all.
///
/// Every row comes out exactly once, in an order that depends on the rows only. Memory is [`MERGE_BYTES`] and 100 bytes a run;
/// a run without the partition is empty there.
///
/// # Errors
/// When an index cannot be read; each item may be the error of a read, of a checksum that does not match, or of a sum beyond
/// 64 bits. After an error the sequence ends.
pub fn merge<const N: usize>(
    runs: impl IntoIterator<Item = (Run<N>, u64)>,
    partition: u32,
) -> io::Result<Merge<N>> {
    merge_within(runs, partition, MERGE_BYTES)
}

/// [`merge`] with another bound on memory.
pub fn merge_within<const N: usize>(
    runs: impl IntoIterator<Item = (Run<N>, u64)>,
    partition: u32,
    merge_bytes: usize,
) -> io::Result<Merge<N>> {
    let mut cursors = Vec::new();
    for (run, add) in runs {
        if partition >= run.partitions {
            continue;
        }
        let (offset, rows_left, expected) = run.entry(partition).map_err(|error| at(&run.path, &error))?;
        cursors.push(Cursor {
            path: run.path,
            add,
            offset,
            rows_left,
            expected,
            hasher: Xxh3::with_seed(u64::from(partition)),
            buffer: Vec::new(),
            position: 0,
            buffer_rows: 0,
        });
    }
    let bytes = (merge_bytes / cursors.len().max(1)).min(READ_BYTES);
    let mut heap = BinaryHeap::with_capacity(cursors.len());
    for (i, cursor) in cursors.iter_mut().enumerate() {
        cursor.buffer_rows = (bytes / (N * 8)).max(1) as u64;
        if let Some(row) = cursor.next_row()? {
            heap.push(Reverse((row, i)));
        }
    }
    Ok(Merge { cursors, heap, ended: false })
}

/// The iterator that [`merge`] returns.
pub struct Merge<const N: usize> {
    cursors: Vec<Cursor<N>>,
    heap: BinaryHeap<Reverse<([u64; N], usize)>>,
    ended: bool,
}

impl<const N: usize> Merge<N> {
    fn advance(&mut self) -> io::Result<Option<[u64; N]>> {
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((row, i)) = *top;
        match self.cursors[i].next_row()? {
            Some(next) => *top = Reverse((next, i)),
            None => drop(PeekMut::pop(top)),
        }
        Ok(Some(row))
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.advance().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Walks one partition of one run, a buffer at a time.
struct Cursor<const N: usize> {
    path: PathBuf,
    add: u64,
    offset: u64,
    rows_left: u64,
    expected: u64,
    hasher: Xxh3,
    buffer: Vec<u8>,
    position: usize,
    buffer_rows: u64,
}

impl<const N: usize> Cursor<N> {
    fn next_row(&mut self) -> io::Result<Option<[u64; N]>> {
        if self.position == self.buffer.len() {
            if self.rows_left == 0 && self.buffer.is_empty() {
                self.verify().map_err(|error| at(&self.path, &error))?;
            }
            if self.rows_left == 0 {
                return Ok(None);
            }
            self.refill().map_err(|error| at(&self.path, &error))?;
        }
        let mut row = [0; N];
        for (i, integer) in row.iter_mut().enumerate() {
            *integer = word(&self.buffer, self.position + i * 8);
        }
        self.position += N * 8;
        row[N - 1] = row[N - 1]
            .checked_add(self.add)
            .ok_or_else(|| at(&self.path, &damaged(format!("a row after {} is beyond 64 bits", self.add))))?;
        Ok(Some(row))
    }

    fn refill(&mut self) -> io::Result<()> {
        let n_rows = self.buffer_rows.min(self.rows_left);
        self.buffer.resize(n_rows as usize * N * 8, 0);
        self.position = 0;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut self.buffer)?;
        self.hasher.update(&self.buffer);
        self.offset += self.buffer.len() as u64;
        self.rows_left -= n_rows;
        if self.rows_left == 0 { self.verify() } else { Ok(()) }
    }

    fn verify(&self) -> io::Result<()> {
        if self.hasher.digest() == self.expected {
            return Ok(());
        }
        Err(damaged("damaged: a partition does not match its checksum".into()))
    }
}

fn encode<const N: usize>(rows: &[(u32, [u64; N])]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * N * 8);
    for (_, row) in rows {
        for integer in row {
            bytes.extend_from_slice(&integer.to_le_bytes());
        }
    }
    bytes
}

fn small(bytes: &[u8], start: usize) -> u32 {
    u32::from_le_bytes(bytes[start..start + 4].try_into().expect("a slice of four bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs<const N: usize>(folder: &Path, name: &str, n: usize, add: u64) -> Vec<(Run<N>, u64)> {
        (0..n).map(|run| (Run::open(&folder.join(run_name(name, run))).unwrap(), add)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_merge_is_a_sort(
            tasks in prop::collection::vec(
                prop::collection::vec((0_u32..5, prop_oneof![0_u64..6, any::<u64>()], 0_u64..1000), 0..30), 0..4),
            run_bytes in prop_oneof![Just(1_usize), Just(100), Just(RUN_BYTES)],
            merge_bytes in prop_oneof![Just(1_usize), Just(200), Just(MERGE_BYTES)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut all = Vec::new();
            for (i, rows) in tasks.iter().enumerate() {
                let name = format!("task{i}");
                let mut writer = RunsWriter::with_memory(folder.path(), &name, 5, run_bytes);
                for &(partition, key, row) in rows {
                    writer.push(partition, [key, row]).unwrap();
                }
                let n = writer.finish().unwrap();
                let expected = if run_bytes == 1 { rows.len() } else { n };
                prop_assert_eq!(n, expected);
                prop_assert_eq!(n == 0, rows.is_empty());
                all.extend(runs::<2>(folder.path(), &name, n, i as u64 * 1000));
            }
            for partition in 0..7 {
                let merged = merge_within(all.clone(), partition, merge_bytes).unwrap();
                let merged: Vec<[u64; 2]> = merged.collect::<io::Result<_>>().unwrap();
                let mut expected: Vec<[u64; 2]> = tasks.iter().enumerate().flat_map(|(i, rows)| {
                    let of = rows.iter().filter(move |row| row.0 == partition);
                    of.map(move |row| [row.1, row.2 + i as u64 * 1000])
                }).collect();
                expected.sort_unstable();
                prop_assert_eq!(merged, expected);
            }
        }
    }

    #[test]
    fn every_damaged_byte_and_every_truncation_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = RunsWriter::new(folder.path(), "rows", 3);
        for i in 0..5 {
            writer.push(i as u32 % 2, [i * 3, i]).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 1);
        let path = folder.path().join("rows-00000.run");
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> io::Result<Vec<[u64; 2]>> {
            std::fs::write(&path, bytes).unwrap();
            let run = Run::open(&path)?;
            let mut rows = Vec::new();
            for partition in 0..3 {
                for row in merge([(run.clone(), 0)], partition)? {
                    rows.push(row?);
                }
            }
            Ok(rows)
        };
        assert_eq!(read(&whole).unwrap(), [[0, 0], [6, 2], [12, 4], [3, 1], [9, 3]]);
        for i in 0..whole.len() {
            let error = read(&whole[..i]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "cut to {i} bytes: {error}");
            assert!(error.to_string().contains("rows-00000.run"), "{error}");
            let mut flipped = whole.clone();
            flipped[i] ^= 0x10;
            // The checksum of the end, which has no rows, says nothing.
            let idle = (40 + 3 * 16 + 8..40 + 4 * 16).contains(&i);
            assert!(read(&flipped).is_err() != idle, "byte {i} flipped went unseen");
        }
        assert!(read(&[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn rows_of_another_width_and_sums_beyond_64_bits_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = RunsWriter::new(folder.path(), "rows", 1);
        writer.push(0, [u64::MAX]).unwrap();
        writer.finish().unwrap();
        let path = folder.path().join("rows-00000.run");
        let message = Run::<3>::open(&path).unwrap_err().to_string();
        assert!(message.contains("rows of 1 integers where 3 are expected"), "{message}");
        let error = merge(runs::<1>(folder.path(), "rows", 1, 1), 0).err().unwrap();
        assert!(error.to_string().contains("beyond 64 bits"), "{error}");
    }
}
