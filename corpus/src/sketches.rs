//! Sketches of documents, one a row, looked up at random: what reducers compare pairs of documents by.
//!
//! A file holds the sketches of one task: their numbers as little-endian u32, one after the other, then for every row and
//! the end the number of numbers before it as u64: 4 bytes a number and 8 a document. A lookup is two reads; what stays in
//! memory between them is the system's choice, not the process's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::binary::word;

/// Writes the sketches of one task.
pub struct SketchWriter {
    out: BufWriter<File>,
    starts: Vec<u64>,
}

impl SketchWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// Those of the file system; so for the others.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { out: BufWriter::with_capacity(1 << 20, File::create(path)?), starts: vec![0] })
    }

    /// Appends the sketch of the next row.
    pub fn push(&mut self, sketch: &[u32]) -> io::Result<()> {
        for number in sketch {
            self.out.write_all(&number.to_le_bytes())?;
        }
        self.starts.push(self.starts[self.starts.len() - 1] + sketch.len() as u64);
        Ok(())
    }

    /// Writes where rows start, and syncs.
    pub fn finish(mut self) -> io::Result<()> {
        for start in &self.starts {
            self.out.write_all(&start.to_le_bytes())?;
        }
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// The sketches of all tasks, for one reader.
#[derive(Default)]
pub struct Sketches {
    files: Vec<SketchFile>,
    /// Open files by their place in `files`: a process may not open them all.
    open: HashMap<usize, File>,
    bytes: Vec<u8>,
}

struct SketchFile {
    path: PathBuf,
    first_row: u64,
    rows: u64,
    /// Where the starts of rows stand, in bytes.
    starts: u64,
}

/// So many files are open at a time.
const OPEN_FILES: usize = 128;

impl Sketches {
    /// Adds the file of the next task, whose rows begin at `first_row` and are `rows`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the file does not hold as many sketches, and those of the file system.
    pub fn add(&mut self, path: &Path, first_row: u64, rows: u64) -> io::Result<()> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let starts = length.checked_sub((rows + 1) * 8);
        let mut end = [0; 8];
        if let Some(starts) = starts {
            read_at(&file, &mut end, starts + rows * 8)?;
        }
        let starts = starts.filter(|starts| *starts == u64::from_le_bytes(end).saturating_mul(4));
        let damaged = || damaged(path, &format!("it does not hold {rows} sketches"));
        let starts = starts.ok_or_else(damaged)?;
        self.files.push(SketchFile { path: path.to_owned(), first_row, rows, starts });
        Ok(())
    }

    /// Reads the sketch of a row into `numbers`. It is empty for a row that no file has.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a sketch that goes beyond its file, and those of the file system.
    pub fn read(&mut self, row: u64, numbers: &mut Vec<u32>) -> io::Result<()> {
        numbers.clear();
        let after = self.files.partition_point(|file| file.first_row <= row);
        // Tasks without rows begin where the next one does.
        let Some(place) = after.checked_sub(1) else { return Ok(()) };
        let SketchFile { path, first_row, rows, starts } = &self.files[place];
        if row - first_row >= *rows {
            return Ok(());
        }
        if self.open.len() == OPEN_FILES && !self.open.contains_key(&place) {
            self.open.clear();
        }
        let file = match self.open.entry(place) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(File::open(path)?),
        };
        let mut ends = [0; 16];
        read_at(file, &mut ends, starts + (row - first_row) * 8)?;
        let (start, end) = (word(&ends, 0), word(&ends, 8));
        if start > end || end > starts / 4 {
            return Err(damaged(path, &format!("row {row} goes beyond it")));
        }
        self.bytes.resize((end - start) as usize * 4, 0);
        read_at(file, &mut self.bytes, start * 4)?;
        let (chunks, _) = self.bytes.as_chunks::<4>();
        numbers.extend(chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)));
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, place)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(place))?;
    file.read_exact(bytes)
}

fn damaged(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is damaged: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sketches_are_found_by_row_over_all_tasks() {
        let folder = tempfile::tempdir().unwrap();
        let mut sketches = Sketches::default();
        let tasks: [&[&[u32]]; 3] = [&[&[1, 2], &[]], &[], &[&[7], &[8, 9, 10]]];
        let mut first = 0;
        for (task, rows) in tasks.iter().enumerate() {
            let path = folder.path().join(task.to_string());
            let mut writer = SketchWriter::create(&path).unwrap();
            rows.iter().for_each(|row| writer.push(row).unwrap());
            writer.finish().unwrap();
            sketches.add(&path, first, rows.len() as u64).unwrap();
            assert!(Sketches::default().add(&path, 0, rows.len() as u64 + 1).is_err());
            first += rows.len() as u64;
        }
        let mut numbers = vec![5];
        for (row, expected) in tasks.concat().into_iter().enumerate() {
            sketches.read(row as u64, &mut numbers).unwrap();
            assert_eq!(numbers, expected, "row {row}");
        }
        sketches.read(4, &mut numbers).unwrap();
        assert!(numbers.is_empty());
    }
}
