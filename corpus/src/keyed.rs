//! Keyed rows: what one map task of an exchange leaves behind, and the merge that a reducer reads.
//!
//! A row is a pair (key, row number), 16 bytes, little-endian. A file holds the rows of one task sorted by (partition,
//! key, row), with an index that says where each partition starts, so that a reducer reads its own partition of every
//! file as one range and nothing else. The format, all integers little-endian:
//!
//! ```text
//! 0   magic "GRKEYED\0"
//! 8   version u32 (1)
//! 12  partitions u32
//! 16  rows u64, over all partitions
//! 24  xxh3-64 u64 of bytes 0..24 and the index
//! 32  index: for every partition its rows u64 and the xxh3-64 u64 of its bytes
//! ..  rows: key u64, row u64
//! ```
//!
//! The header and the index are verified when a file is opened, the rows of a partition when its end is reached: a merge
//! over damaged bytes ends in an error and never in a short or wrong answer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::binary::{at, damaged, word};
use crate::sorter::{Temporary, Workspace};

const MAGIC: [u8; 8] = *b"GRKEYED\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const INDEX_ENTRY_BYTES: usize = 16;
const ROW_BYTES: usize = 16;
/// More partitions than this are a damaged header, not a plan: their index alone would be a gigabyte.
const MAX_PARTITIONS: u32 = 1 << 26;

/// What [`merge`] holds in memory for each file: reads of object stores and disks are worth their latency from here on.
pub const READ_BYTES: usize = 1 << 20;

/// Collects the keyed rows of one task and writes them sorted: in memory, or, as far as they exceed a
/// [`Workspace`], in keyed files that are merged at the end. The file is the same.
#[derive(Debug)]
pub struct KeyedWriter {
    partitions: Vec<Vec<(u64, u64)>>,
    /// In memory.
    rows: u64,
    workspace: Option<Workspace>,
    spilled: Vec<Temporary>,
}

/// What [`KeyedWriter::finish`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedSummary {
    /// Rows over all partitions.
    pub rows: u64,
    /// Rows of each partition.
    pub partition_rows: Vec<u64>,
    /// Length of the file.
    pub bytes: u64,
    /// xxh3-64 of header and index, which itself covers the rows' checksums: equal checksums, equal files.
    pub checksum: u64,
}

impl KeyedWriter {
    /// A writer for partitions `0..partitions`.
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions: vec![Vec::new(); partitions as usize],
            rows: 0,
            workspace: None,
            spilled: Vec::new(),
        }
    }

    /// A writer that holds no more than the workspace allows, if [`KeyedWriter::make_room`] is called now and then.
    pub fn bounded(partitions: u32, workspace: Workspace) -> Self {
        Self { workspace: Some(workspace), ..Self::new(partitions) }
    }

    /// Writes what is in memory to the workspace if half of its memory is taken (lists that grow take twice what is in
    /// them).
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make_room(&mut self) -> io::Result<()> {
        match &self.workspace {
            Some(workspace) if self.rows * 2 * ROW_BYTES as u64 > workspace.bytes() as u64 => self.spill(),
            _ => Ok(()),
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let Some(workspace) = &self.workspace else { return Ok(()) };
        let run = workspace.temporary()?;
        let partitions = self.partitions.len() as u32;
        let full = std::mem::replace(self, Self::bounded(partitions, workspace.clone()));
        self.spilled = full.spilled;
        Self { partitions: full.partitions, ..Self::new(0) }.write_sorted(run.path())?;
        self.spilled.push(run);
        Ok(())
    }

    /// Adds one row.
    ///
    /// # Panics
    /// When `partition` is not below the number given to [`KeyedWriter::new`]: a mistake of the caller, never of input.
    pub fn push(&mut self, partition: u32, key: u64, row: u64) {
        self.partitions[partition as usize].push((key, row));
        self.rows += 1;
    }

    /// Sorts and writes everything to `path`, replacing what is there. The order of pushes does not show in the file.
    ///
    /// # Errors
    /// Whatever creating or writing the file gives, with the path in the message.
    pub fn finish(mut self, path: &Path) -> io::Result<KeyedSummary> {
        if self.spilled.is_empty() {
            return self.write_sorted(path);
        }
        self.spill()?;
        let workspace = self.workspace.clone().expect("what was spilled was spilled to a workspace");
        let readers = self.spilled.iter().map(|run| Ok((KeyedReader::open(run.path())?, 0)));
        let readers = readers.collect::<io::Result<Vec<_>>>()?;
        write_merged(path, &readers, self.partitions.len(), workspace.buffer_bytes(readers.len()))
    }

    fn write_sorted(mut self, path: &Path) -> io::Result<KeyedSummary> {
        let mut partition_rows = Vec::with_capacity(self.partitions.len());
        let mut index = Vec::with_capacity(self.partitions.len() * INDEX_ENTRY_BYTES);
        for rows in &mut self.partitions {
            rows.sort_unstable();
            let mut hasher = Xxh3::new();
            for chunk in rows.chunks(READ_BYTES / ROW_BYTES) {
                hasher.update(&encode(chunk));
            }
            partition_rows.push(rows.len() as u64);
            index.extend_from_slice(&(rows.len() as u64).to_le_bytes());
            index.extend_from_slice(&hasher.digest().to_le_bytes());
        }
        let rows = partition_rows.iter().sum();
        let (header, checksum) = header_of(&index, rows);

        let write = || -> io::Result<()> {
            let mut file = BufWriter::with_capacity(READ_BYTES, File::create(path)?);
            file.write_all(&header)?;
            file.write_all(&index)?;
            for chunk in self.partitions.iter().flat_map(|rows| rows.chunks(READ_BYTES / ROW_BYTES)) {
                file.write_all(&encode(chunk))?;
            }
            file.flush()
        };
        write().map_err(|error| at(path, &error))?;
        let bytes = (header.len() + index.len()) as u64 + rows * ROW_BYTES as u64;
        Ok(KeyedSummary { rows, partition_rows, bytes, checksum })
    }
}

fn header_of(index: &[u8], rows: u64) -> (Vec<u8>, u64) {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&((index.len() / INDEX_ENTRY_BYTES) as u32).to_le_bytes());
    header.extend_from_slice(&rows.to_le_bytes());
    let checksum = checksum(&header, index);
    header.extend_from_slice(&checksum.to_le_bytes());
    (header, checksum)
}

/// Writes the rows of many files as one. The index, which comes first, is known last.
fn write_merged(
    path: &Path,
    readers: &[(KeyedReader, u64)],
    partitions: usize,
    buffer_bytes: usize,
) -> io::Result<KeyedSummary> {
    let whole = |error: io::Error| at(path, &error);
    let mut file = BufWriter::with_capacity(READ_BYTES, File::create(path).map_err(whole)?);
    let start = (HEADER_BYTES + partitions * INDEX_ENTRY_BYTES) as u64;
    file.seek(SeekFrom::Start(start)).map_err(whole)?;
    let (mut index, mut partition_rows) = (Vec::new(), Vec::new());
    let mut chunk = Vec::with_capacity(READ_BYTES / ROW_BYTES);
    for partition in 0..partitions as u32 {
        let (mut hasher, mut rows) = (Xxh3::new(), 0_u64);
        let mut merge = merge_buffered(readers, partition, buffer_bytes);
        loop {
            chunk.clear();
            for row in merge.by_ref().take(READ_BYTES / ROW_BYTES) {
                chunk.push(row?);
            }
            if chunk.is_empty() {
                break;
            }
            let bytes = encode(&chunk);
            hasher.update(&bytes);
            rows += chunk.len() as u64;
            file.write_all(&bytes).map_err(whole)?;
        }
        partition_rows.push(rows);
        index.extend_from_slice(&rows.to_le_bytes());
        index.extend_from_slice(&hasher.digest().to_le_bytes());
    }
    let rows = partition_rows.iter().sum();
    let (header, checksum) = header_of(&index, rows);
    file.seek(SeekFrom::Start(0)).map_err(whole)?;
    file.write_all(&header)
        .and_then(|()| file.write_all(&index))
        .and_then(|()| file.flush())
        .map_err(whole)?;
    Ok(KeyedSummary { rows, partition_rows, bytes: start + rows * ROW_BYTES as u64, checksum })
}

/// One keyed file, opened: its index is read and verified, its rows stay on disk.
///
/// No file handle is held between reads, so that a reducer may merge more files than a process may open.
#[derive(Debug, Clone)]
pub struct KeyedReader {
    path: PathBuf,
    index: Vec<Partition>,
    checksum: u64,
}

#[derive(Debug, Clone, Copy)]
struct Partition {
    offset: u64,
    rows: u64,
    checksum: u64,
}

impl KeyedReader {
    /// Reads and verifies the header, the index and the file's length.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a file that is no keyed file, of another version, truncated or damaged;
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
                "{length} bytes cannot hold the {HEADER_BYTES}-byte header of a keyed file"
            )));
        }
        file.read_exact(&mut header)?;
        if header[..8] != MAGIC {
            return Err(damaged("this is not a keyed file: its first bytes are not `GRKEYED`".into()));
        }
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if version != VERSION {
            return Err(damaged(format!(
                "keyed format version {version}; this build reads version {VERSION}"
            )));
        }
        let partitions = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let index_bytes = u64::from(partitions) * INDEX_ENTRY_BYTES as u64;
        let rows_start = HEADER_BYTES as u64 + index_bytes;
        if partitions > MAX_PARTITIONS || length < rows_start {
            return Err(damaged(format!(
                "truncated or damaged: {length} bytes cannot hold the index of {partitions} partitions"
            )));
        }
        let mut index = vec![0; index_bytes as usize];
        file.read_exact(&mut index)?;
        let expected = word(&header, 24);
        if checksum(&header[..24], &index) != expected {
            return Err(damaged("damaged: header and index do not match their checksum".into()));
        }
        let mut offset = rows_start;
        let mut entries = Vec::with_capacity(partitions as usize);
        for entry in index.chunks_exact(INDEX_ENTRY_BYTES) {
            let rows = word(entry, 0);
            entries.push(Partition { offset, rows, checksum: word(entry, 8) });
            offset = rows
                .checked_mul(ROW_BYTES as u64)
                .and_then(|bytes| offset.checked_add(bytes))
                .ok_or_else(|| damaged(format!("damaged: a partition claims {rows} rows")))?;
        }
        if offset != length {
            return Err(damaged(format!(
                "truncated or damaged: the index describes {offset} bytes, the file has {length}"
            )));
        }
        Ok(Self { path: path.to_owned(), index: entries, checksum: expected })
    }

    /// Number of partitions that the file was written with.
    pub fn partitions(&self) -> u32 {
        self.index.len() as u32
    }

    /// Rows of one partition; 0 for a partition that the file does not have.
    pub fn rows(&self, partition: u32) -> u64 {
        self.index.get(partition as usize).map_or(0, |entry| entry.rows)
    }

    /// The checksum that [`KeyedSummary::checksum`] gave.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }
}

/// Merges one partition of many files into one sequence sorted by (key, global row), where the global row is the file's
/// `first_row_id` plus the row: with the prefix sums of a manifest, the dense id of a document in its stage.
///
/// Every row comes out exactly once, in an order that depends on the rows only. Memory is [`READ_BYTES`] a file (less for
/// small partitions). After an error the sequence ends.
///
/// # Errors
/// Each item may be the error of a read, of a checksum that does not match, or of a row id beyond 64 bits.
pub fn merge(readers: &[(KeyedReader, u64)], partition: u32) -> Merge<'_> {
    merge_buffered(readers, partition, READ_BYTES)
}

/// [`merge`] with `buffer_bytes` of memory a file, for a reducer that has less, or more files than memory.
pub fn merge_buffered(readers: &[(KeyedReader, u64)], partition: u32, buffer_bytes: usize) -> Merge<'_> {
    let cursors = readers
        .iter()
        .filter_map(|(reader, first_row_id)| {
            let entry = *reader.index.get(partition as usize)?;
            Some(Cursor {
                path: &reader.path,
                first_row_id: *first_row_id,
                partition,
                offset: entry.offset,
                rows_left: entry.rows,
                expected: entry.checksum,
                hasher: Xxh3::new(),
                buffer: Vec::new(),
                position: 0,
                buffer_bytes: (buffer_bytes / ROW_BYTES).max(1) * ROW_BYTES,
            })
        })
        .collect();
    Merge { cursors, heap: BinaryHeap::new(), state: State::Fresh }
}

/// The iterator that [`merge`] returns: `(key, global row)` in ascending order.
pub struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Fresh,
    Running,
    Ended,
}

impl Merge<'_> {
    fn start(&mut self) -> io::Result<()> {
        for (i, cursor) in self.cursors.iter_mut().enumerate() {
            if let Some((key, row)) = cursor.next_row()? {
                self.heap.push(Reverse((key, row, i)));
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> io::Result<Option<(u64, u64)>> {
        if self.state == State::Fresh {
            self.state = State::Running;
            self.start()?;
        }
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((key, row, i)) = *top;
        // Replacing the top in place sifts once; popping and pushing would sift twice.
        match self.cursors[i].next_row()? {
            Some((next_key, next_row)) => *top = Reverse((next_key, next_row, i)),
            None => drop(PeekMut::pop(top)),
        }
        Ok(Some((key, row)))
    }
}

impl Iterator for Merge<'_> {
    type Item = io::Result<(u64, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }
}

/// Walks one partition of one file, a buffer at a time.
struct Cursor<'a> {
    path: &'a Path,
    first_row_id: u64,
    partition: u32,
    offset: u64,
    rows_left: u64,
    expected: u64,
    hasher: Xxh3,
    buffer: Vec<u8>,
    position: usize,
    buffer_bytes: usize,
}

impl Cursor<'_> {
    fn next_row(&mut self) -> io::Result<Option<(u64, u64)>> {
        if self.position == self.buffer.len() {
            if self.rows_left == 0 {
                return Ok(None);
            }
            self.refill().map_err(|error| at(self.path, &error))?;
        }
        let (key, row) = (word(&self.buffer, self.position), word(&self.buffer, self.position + 8));
        self.position += ROW_BYTES;
        let global = self.first_row_id.checked_add(row).ok_or_else(|| {
            at(self.path, &damaged(format!("row {row} after {} is beyond 64 bits", self.first_row_id)))
        })?;
        Ok(Some((key, global)))
    }

    fn refill(&mut self) -> io::Result<()> {
        let bytes = (self.buffer_bytes as u64).min(self.rows_left.saturating_mul(ROW_BYTES as u64));
        self.buffer.resize(bytes as usize, 0);
        self.position = 0;
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut self.buffer)?;
        self.hasher.update(&self.buffer);
        self.offset += bytes;
        self.rows_left -= bytes / ROW_BYTES as u64;
        // Before the last buffer's rows are handed out, so that they never are when they are damaged.
        if self.rows_left == 0 && self.hasher.digest() != self.expected {
            return Err(damaged(format!(
                "damaged: partition {} does not match its checksum",
                self.partition
            )));
        }
        Ok(())
    }
}

fn encode(rows: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES);
    for (key, row) in rows {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&row.to_le_bytes());
    }
    bytes
}

fn checksum(header: &[u8], index: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(index);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    /// Writes `tasks` as files, merges every partition and returns the rows.
    fn round_trip(
        tasks: &[Vec<(u32, u64, u64)>],
        partitions: u32,
        buffer_bytes: usize,
    ) -> Vec<Vec<(u64, u64)>> {
        let dir = tempfile::tempdir().unwrap();
        let mut readers = Vec::new();
        for (i, rows) in tasks.iter().enumerate() {
            let path = dir.path().join(format!("{i}.keyed"));
            let mut writer = KeyedWriter::new(partitions);
            for &(partition, key, row) in rows {
                writer.push(partition, key, row);
            }
            let summary = writer.finish(&path).unwrap();
            assert_eq!(summary.rows, rows.len() as u64);
            assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());
            let reader = KeyedReader::open(&path).unwrap();
            assert_eq!(reader.checksum(), summary.checksum);
            assert_eq!(reader.partitions(), partitions);
            readers.push((reader, i as u64 * 1000));
        }
        (0..partitions)
            .map(|p| merge_buffered(&readers, p, buffer_bytes).collect::<io::Result<_>>().unwrap())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_merge_is_a_sort(
            tasks in prop::collection::vec(
                prop::collection::vec((0_u32..5, prop_oneof![0_u64..6, any::<u64>()], 0_u64..1000), 0..60), 0..6),
            buffer_bytes in prop_oneof![Just(1_usize), Just(40), Just(READ_BYTES)],
        ) {
            let merged = round_trip(&tasks, 5, buffer_bytes);
            for (p, got) in merged.iter().enumerate() {
                let mut expected: Vec<(u64, u64)> = tasks.iter().enumerate().flat_map(|(i, rows)| {
                    rows.iter().filter(|row| row.0 as usize == p).map(move |row| (row.1, row.2 + i as u64 * 1000))
                }).collect();
                expected.sort_unstable();
                prop_assert_eq!(got, &expected);
            }
        }
    }

    #[test]
    fn the_file_does_not_depend_on_the_order_of_pushes() {
        let dir = tempfile::tempdir().unwrap();
        let rows = [(1, 7, 3), (0, 9, 1), (1, 7, 2), (1, 0, 5)];
        let mut files = Vec::new();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let mut writer = KeyedWriter::new(3);
            for i in order {
                let (partition, key, row): (u32, u64, u64) = rows[i];
                writer.push(partition, key, row);
            }
            let path = dir.path().join("rows.keyed");
            assert_eq!(writer.finish(&path).unwrap().partition_rows, [1, 3, 0]);
            files.push(std::fs::read(path).unwrap());
        }
        assert_eq!(files[0], files[1]);
    }

    #[test]
    fn a_writer_that_spills_writes_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |mut writer: KeyedWriter, name: &str| {
            for row in 0..5000_u64 {
                writer.push((row % 3) as u32, row * 7919 % 1000, row);
                writer.make_room().unwrap();
            }
            let path = folder.path().join(name);
            (writer.finish(&path).unwrap(), std::fs::read(path).unwrap())
        };
        let calm = write(KeyedWriter::new(4), "calm");
        let workspace = Workspace::new(&folder.path().join("spill"), 20_000);
        assert_eq!(calm, write(KeyedWriter::bounded(4, workspace), "spilled"));
        assert_eq!(calm.0.partition_rows, [1667, 1667, 1666, 0]);
        assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
    }

    /// The bytes are a format: this test fails when they change without a new version.
    #[test]
    fn bytes_are_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.keyed");
        let mut writer = KeyedWriter::new(1);
        writer.push(0, 2, 1);
        writer.finish(&path).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..24], b"GRKEYED\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(&bytes[32..40], 1_u64.to_le_bytes());
        assert_eq!(&bytes[40..48], xxh3_64(&bytes[48..]).to_le_bytes());
        assert_eq!(&bytes[48..], [2_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
        assert_eq!(&bytes[24..32], xxh3_64(&[&bytes[..24], &bytes[32..48]].concat()).to_le_bytes());
    }

    #[test]
    fn every_damaged_byte_and_every_truncation_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.keyed");
        let mut writer = KeyedWriter::new(2);
        for i in 0..5 {
            writer.push((i % 2) as u32, i * 3, i);
        }
        writer.finish(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> io::Result<Vec<(u64, u64)>> {
            std::fs::write(&path, bytes).unwrap();
            let readers = [(KeyedReader::open(&path)?, 0)];
            (0..2).flat_map(|p| merge(&readers, p).collect::<Vec<_>>()).collect()
        };
        assert_eq!(read(&whole).unwrap(), [(0, 0), (6, 2), (12, 4), (3, 1), (9, 3)]);
        for i in 0..whole.len() {
            let error = read(&whole[..i]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "cut to {i} bytes: {error}");
            assert!(error.to_string().contains("rows.keyed"), "{error}");
            let mut flipped = whole.clone();
            flipped[i] ^= 0x10;
            assert!(read(&flipped).is_err(), "byte {i} flipped went unseen");
        }
        assert!(read(&[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn a_merge_ends_after_an_error_and_missing_partitions_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.keyed");
        let mut writer = KeyedWriter::new(1);
        writer.push(0, 1, u64::MAX);
        writer.finish(&path).unwrap();
        let readers = [(KeyedReader::open(&path).unwrap(), 1)];
        let mut rows = merge(&readers, 0);
        assert!(rows.next().unwrap().unwrap_err().to_string().contains("beyond 64 bits"));
        assert!(rows.next().is_none());
        assert_eq!(merge(&readers, 9).count(), 0);
        assert_eq!(KeyedReader::open(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
