//! A global order of more documents than memory holds, in two passes.
//!
//! Every document has a key (a seeded hash of its id). The first pass appends it to one of some buckets on disk, by the
//! highest bits of the key; the second takes bucket after bucket, sorts 16 bytes a document and hands the documents out.
//! The order is that of sorting all of them by key in memory, those of equal keys as they came; how many buckets there are
//! does not show in it. Documents are written and read once more, in long runs; memory is a buffer a bucket, then the
//! sorted entries of one bucket.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;

use crate::binary::word;
use crate::error::CorpusError;
use crate::shards::{DocumentTokens, TokenType};
use crate::sorter::{Temporary, Workspace};

/// More would run into the usual limit of open files.
const MAX_BUCKETS: u64 = 512;
const BUFFER_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = 9 * 8;

/// Documents on their way into their order.
pub struct Shuffle {
    buckets: Vec<Bucket>,
    /// Highest bits of a key that say which bucket is its.
    bits: u32,
    dtype: TokenType,
    scratch: Vec<u8>,
}

struct Bucket {
    temporary: Temporary,
    out: BufWriter<File>,
}

impl Shuffle {
    /// For documents of some `n_bytes` together, in as many buckets as make one of them fit into the workspace's memory.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the workspace's folder cannot be written.
    pub fn create(workspace: &Workspace, dtype: TokenType, n_bytes: u64) -> Result<Self, CorpusError> {
        let wanted = n_bytes.div_ceil(workspace.bytes().max(1) as u64);
        let bits = wanted.clamp(1, MAX_BUCKETS).next_power_of_two().trailing_zeros();
        let buckets = (0..1_u32 << bits).map(|_| Bucket::create(workspace)).collect::<Result<_, _>>()?;
        Ok(Self { buckets, bits, dtype, scratch: Vec::new() })
    }

    /// Takes a document. `mask` is what its loss mask holds, nothing if it has none.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the disk is full.
    pub fn push(&mut self, key: u64, document: &DocumentTokens, mask: &[u8]) -> Result<(), CorpusError> {
        let texts = [document.id, document.url, document.file_path];
        let lengths = [texts[0].len(), texts[1].len(), texts[2].len(), mask.len()];
        let record = &mut self.scratch;
        record.clear();
        record.extend(key.to_le_bytes());
        record.extend(document.offset.to_le_bytes());
        record.extend(document.n_bytes.to_le_bytes());
        record.extend((document.ids.len() as u64).to_le_bytes());
        record.extend(lengths.iter().flat_map(|length| (*length as u64).to_le_bytes()));
        let n_bytes =
            HEADER_BYTES + document.ids.len() * self.dtype.bytes() as usize + lengths.iter().sum::<usize>();
        record.extend((n_bytes as u64).to_le_bytes());
        self.dtype.encode(document.ids, record);
        for text in texts {
            record.extend(text.as_bytes());
        }
        record.extend(mask);
        // A shift by all 64 bits is no shift: with one bucket, every key is in it.
        let bucket = &mut self.buckets[key.checked_shr(64 - self.bits).unwrap_or(0) as usize];
        bucket.out.write_all(record).map_err(|source| CorpusError::io(bucket.temporary.path(), source))
    }

    /// Hands out every document with its mask, by key; those of equal keys in the order in which they came.
    ///
    /// # Errors
    /// Those of `visit`, and [`CorpusError::Io`] when the disk fails.
    pub fn finish(
        self,
        mut visit: impl FnMut(&DocumentTokens, &[u8]) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        // All are written before the first is read: buffers need not stay beside the entries.
        let written = self.buckets.into_iter().map(Bucket::close).collect::<Result<Vec<_>, _>>()?;
        let mut ids = Vec::new();
        for (temporary, file) in written {
            let path = temporary.path().to_owned();
            let bytes = map(&path, &file)?;
            let mut entries = Vec::new();
            let mut start = 0;
            while start < bytes.len() {
                entries.push((word(&bytes, start), start));
                start += word(&bytes, start + HEADER_BYTES - 8) as usize;
            }
            entries.sort_unstable();
            for (_, start) in entries {
                visit_record(&path, &bytes[start..], self.dtype, &mut ids, &mut visit)?;
            }
        }
        Ok(())
    }
}

fn visit_record(
    path: &Path,
    record: &[u8],
    dtype: TokenType,
    ids: &mut Vec<u32>,
    visit: &mut impl FnMut(&DocumentTokens, &[u8]) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let mut rest = &record[HEADER_BYTES..];
    let mut take = |n_bytes: usize| {
        let (taken, behind) = rest.split_at(n_bytes);
        rest = behind;
        taken
    };
    ids.clear();
    dtype.decode(take(word(record, 24) as usize * dtype.bytes() as usize), ids);
    let mut text = |place: usize| {
        std::str::from_utf8(take(word(record, place) as usize))
            .map_err(|error| CorpusError::damaged(path, format!("it changed while it was read: {error}")))
    };
    let (id, url, file_path) = (text(32)?, text(40)?, text(48)?);
    let mask = take(word(record, 56) as usize);
    let (offset, n_bytes) = (word(record, 8), word(record, 16));
    visit(&DocumentTokens { ids, id, url, file_path, offset, n_bytes }, mask)
}

impl Bucket {
    fn create(workspace: &Workspace) -> Result<Self, CorpusError> {
        let temporary =
            workspace.temporary().map_err(|source| CorpusError::io(Path::new("spill"), source))?;
        let path = temporary.path();
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| CorpusError::io(path, source))?;
        Ok(Self { temporary, out: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    fn close(self) -> Result<(Temporary, File), CorpusError> {
        let file = self
            .out
            .into_inner()
            .map_err(|error| CorpusError::io(self.temporary.path(), error.into_error()))?;
        Ok((self.temporary, file))
    }
}

fn map(path: &Path, file: &File) -> Result<Mmap, CorpusError> {
    let io = |source: io::Error| CorpusError::io(path, source);
    // SAFETY: the file is this process's own, in a folder of its own, and nobody writes to it any more.
    unsafe { Mmap::map(file) }.map_err(io)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u32>, String, String, String, u64, u64, Vec<u8>);

    fn shuffled(documents: &[(u64, Owned)], memory: usize, dtype: TokenType) -> Vec<Owned> {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        let n_bytes = documents.len() as u64 * 100;
        let mut shuffle = Shuffle::create(&Workspace::new(&spill, memory), dtype, n_bytes).unwrap();
        for (key, (ids, id, url, file_path, offset, n_bytes, mask)) in documents {
            let document = DocumentTokens { ids, id, url, file_path, offset: *offset, n_bytes: *n_bytes };
            shuffle.push(*key, &document, mask).unwrap();
        }
        let mut out = Vec::new();
        let taken = shuffle.finish(|document, mask| {
            let DocumentTokens { ids, id, url, file_path, offset, n_bytes } = *document;
            out.push((ids.to_vec(), id.into(), url.into(), file_path.into(), offset, n_bytes, mask.to_vec()));
            Ok(())
        });
        taken.unwrap();
        assert_eq!(std::fs::read_dir(&spill).unwrap().count(), 0, "no bucket stays");
        out
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_sort_in_memory(
            mut documents in prop::collection::vec(
                (
                    // Few keys in some of the buckets, so that many are equal.
                    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(7 << 60)],
                    (
                        prop::collection::vec(0_u32..60_000, 0..20), "[a-z\u{e9}]{0,9}", "[a-z]{0,9}", "[a-z]{0,3}",
                        any::<u64>(), any::<u64>(), prop::collection::vec(0_u8..2, 0..4),
                    ),
                ),
                0..60,
            ),
            memory in prop_oneof![Just(1_usize), Just(700), Just(1 << 20)],
        ) {
            let small = shuffled(&documents, memory, TokenType::U16);
            let wide = shuffled(&documents, memory, TokenType::U32);
            documents.sort_by_key(|(key, _)| *key);
            let expected: Vec<Owned> = documents.into_iter().map(|(_, document)| document).collect();
            prop_assert_eq!(&small, &expected);
            prop_assert_eq!(&wide, &expected);
        }
    }

    #[test]
    fn as_many_buckets_as_memory_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        for (memory, n_bytes, expected) in
            [(100, 0, 1), (100, 100, 1), (100, 101, 2), (100, 1000, 16), (1, u64::MAX, 512), (0, 3, 4)]
        {
            let workspace = Workspace::new(folder.path(), memory);
            let shuffle = Shuffle::create(&workspace, TokenType::U16, n_bytes).unwrap();
            assert_eq!(shuffle.buckets.len(), expected, "{n_bytes} bytes in {memory}");
        }
    }
}
