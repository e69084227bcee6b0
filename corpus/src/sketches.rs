//! Sketches of documents, one a row, looked up at random: what reducers compare pairs of documents by.
//!
//! A file holds the sketches of one task: their numbers as little-endian u32, one after the other, then for every row and
//! the end the number of numbers before it as u64. Files are mapped, so that a lookup costs no call and the memory is the
//! page cache's. 4 bytes a number and 8 a document.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;

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

/// The sketches of all tasks.
#[derive(Default)]
pub struct Sketches {
    /// First row of each file, ascending, with its number of rows.
    files: Vec<(u64, u64, Mmap)>,
}

impl Sketches {
    /// Adds the file of the next task, whose rows begin at `first_row` and are `rows`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the file does not hold as many sketches, and those of the file system.
    pub fn add(&mut self, path: &Path, first_row: u64, rows: u64) -> io::Result<()> {
        let file = File::open(path)?;
        // SAFETY: files of a committed task are never written again.
        let map = unsafe { Mmap::map(&file)? };
        let starts = (rows + 1) * 8;
        let numbers = (map.len() as u64).checked_sub(starts);
        if numbers.is_none_or(|bytes| bytes != 4 * word(&map, map.len() - 8)) {
            let message = format!("`{}` does not hold {rows} sketches", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.files.push((first_row, rows, map));
        Ok(())
    }

    /// Appends the sketch of a row to `numbers` after emptying it. Nothing for a row that no file has.
    pub fn read(&self, row: u64, numbers: &mut Vec<u32>) {
        numbers.clear();
        let after = self.files.partition_point(|(first, ..)| *first <= row);
        // Tasks without rows begin where the next one does.
        let Some((first, rows, map)) = after.checked_sub(1).map(|at| &self.files[at]) else { return };
        if row - first >= *rows {
            return;
        }
        let starts = map.len() - (*rows as usize + 1) * 8;
        let at = starts + (row - first) as usize * 8;
        let (start, end) = (word(map, at) as usize * 4, word(map, at + 8) as usize * 4);
        if let Some(bytes) = map.get(start..end.min(starts)) {
            let (chunks, _) = bytes.as_chunks::<4>();
            numbers.extend(chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)));
        }
    }
}

fn word(bytes: &[u8], start: usize) -> u64 {
    u64::from_le_bytes(bytes[start..start + 8].try_into().expect("a slice of eight bytes"))
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
            sketches.read(row as u64, &mut numbers);
            assert_eq!(numbers, expected, "row {row}");
        }
        sketches.read(4, &mut numbers);
        assert!(numbers.is_empty());
    }
}
