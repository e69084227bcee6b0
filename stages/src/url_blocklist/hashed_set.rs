//! A set of byte strings in 6.5 to 7 bytes an entry, in memory or in a mapped file.
//!
//! The hashes are grouped into buckets by their first bits; of each its last 48 bits are kept. A look-up compares the 8
//! or so entries of one bucket, which lie in two cache lines at most.
//!
//! ```text
//! header   magic, key, number of entries, bits of a bucket's number, checksum of what follows, checksum of the header
//! entries  6 bytes each, by bucket
//! starts   u32 for each bucket and one more: entries starts[b]..starts[b + 1] are bucket b's
//! ```
//! Everything is little-endian; checksums are xxh3.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Membership by xxh3. Two strings of one hash are one to it: of 5 million entries, a string that is not among them
/// seems to be with a probability of 3e-13 (of fewer, with less), once in hundreds of Common Crawl snapshots. A filter
/// of a byte an entry would need the strings themselves to verify its hits, and with them four times this memory.
pub struct HashedSet {
    bytes: Bytes,
    n_entries: usize,
    bucket_bits: u32,
}

enum Bytes {
    Owned(Vec<u8>),
    Mapped(Mmap),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// Says what the file is, and the version of this format.
const MAGIC: [u8; 8] = *b"gm-set\0\x01";
const HEADER: usize = 64;
const ENTRY: usize = 6;
const START: usize = 4;

impl HashedSet {
    /// A set of strings given by [`HashedSet::hash`], in any order.
    ///
    /// # Panics
    /// With more than 4 billion entries.
    pub fn new(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        let n_entries = hashes.len();
        let mut file = io::Cursor::new(Vec::new());
        write(&mut file, 0, n_entries, hashes.into_iter().map(Ok)).expect("memory takes every byte");
        Self::check(Bytes::Owned(file.into_inner()), 0).expect("it was written just now")
    }

    /// Maps a file that [`write()`] left under this key. `None` where it is not whole, or of another key or format.
    pub fn open(path: &Path, key: u128) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        // SAFETY: nobody writes to such a file once it has its name: it is written under another and renamed, and
        // removing it leaves the mapping as it is. Should somebody overwrite it all the same, look-ups read other
        // bytes, and every index made of them is checked.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self::check(Bytes::Mapped(map), key))
    }

    fn check(bytes: Bytes, key: u128) -> Option<Self> {
        let header = Header::parse(bytes.get(..HEADER)?.try_into().ok()?)?;
        let n_entries = usize::try_from(header.n_entries).ok()?;
        let n_starts = 1_usize.checked_shl(header.bucket_bits)?.checked_add(1)?;
        let length = n_entries.checked_mul(ENTRY)?.checked_add(n_starts.checked_mul(START)?)?;
        let body = &bytes[HEADER..];
        let is_whole = header.key == key && body.len() == length && xxh3_64(body) == header.checksum;
        is_whole.then_some(Self { n_entries, bucket_bits: header.bucket_bits, bytes })
    }

    /// What stands for a string.
    #[inline]
    pub fn hash(bytes: &[u8]) -> u64 {
        xxh3_64(bytes)
    }

    /// Whether a string is in the set.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.n_entries > 0 && self.contains_hash(Self::hash(bytes))
    }

    /// Whether a string of this hash is in the set.
    #[inline]
    pub fn contains_hash(&self, hash: u64) -> bool {
        if self.n_entries == 0 {
            return false;
        }
        let (entries, starts) = self.bytes[HEADER..].split_at(self.n_entries * ENTRY);
        let at = bucket(hash, self.bucket_bits) * START;
        let Some(bounds) = starts.get(at..at + 2 * START) else { return false };
        let bound = |at: usize| {
            let bytes: [u8; START] = bounds[at..at + START].try_into().expect("of this length");
            u32::from_le_bytes(bytes) as usize * ENTRY
        };
        let wanted = entry(hash);
        let bucket = entries.get(bound(0)..bound(START)).unwrap_or(&[]);
        bucket.chunks_exact(ENTRY).any(|entry| entry == wanted)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.n_entries
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_entries == 0
    }
}

impl<'a> FromIterator<&'a str> for HashedSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(items: I) -> Self {
        Self::new(items.into_iter().map(|item| Self::hash(item.as_bytes())).collect())
    }
}

/// Writes the file of a set from the front of `file`: `hashes`, sorted and without duplicates, at most `most` of them.
///
/// # Errors
/// What `hashes` and `file` fail with.
///
/// # Panics
/// With more than 4 billion entries.
pub fn write(
    file: &mut (impl Write + Seek),
    key: u128,
    most: usize,
    hashes: impl Iterator<Item = io::Result<u64>>,
) -> io::Result<()> {
    // About 8 entries a bucket: at most a byte an entry, and two cache lines a look-up.
    let bucket_bits = (most / 8).next_power_of_two().trailing_zeros();
    let mut starts = vec![0_u32; (1 << bucket_bits) + 1];
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut body = Summed { file, hasher: Xxh3Default::new(), buffer: Vec::with_capacity(BUFFER + ENTRY) };
    let mut n_entries = 0_u64;
    for hash in hashes {
        let hash = hash?;
        n_entries += 1;
        starts[bucket(hash, bucket_bits) + 1] += 1;
        body.push(&entry(hash))?;
    }
    assert!(u32::try_from(n_entries).is_ok(), "lists have far fewer lines");
    for bucket in 1..starts.len() {
        starts[bucket] += starts[bucket - 1];
    }
    for start in &starts {
        body.push(&start.to_le_bytes())?;
    }
    let checksum = body.finish()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&Header { key, n_entries, bucket_bits, checksum }.to_bytes())
}

/// The number of a hash's bucket: its first bits.
#[inline]
fn bucket(hash: u64, bucket_bits: u32) -> usize {
    hash.checked_shr(64 - bucket_bits).unwrap_or(0) as usize
}

/// What is kept of a hash: its last 48 bits.
#[inline]
fn entry(hash: u64) -> [u8; ENTRY] {
    let [a, b, c, d, e, f, _, _] = hash.to_le_bytes();
    [a, b, c, d, e, f]
}

struct Header {
    key: u128,
    n_entries: u64,
    bucket_bits: u32,
    checksum: u64,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.key.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.n_entries.to_le_bytes());
        bytes[32..40].copy_from_slice(&u64::from(self.bucket_bits).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.checksum.to_le_bytes());
        let own = xxh3_64(&bytes[..HEADER - 8]);
        bytes[HEADER - 8..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let is_ours = bytes[..8] == MAGIC && xxh3_64(&bytes[..HEADER - 8]) == number(HEADER - 8);
        is_ours.then_some(Self {
            key: u128::from(number(8)) | u128::from(number(16)) << 64,
            n_entries: number(24),
            bucket_bits: number(32) as u32,
            checksum: number(40),
        })
    }
}

const BUFFER: usize = 1 << 16;

/// Writes through a buffer and sums what it writes.
struct Summed<'f, W> {
    file: &'f mut W,
    hasher: Xxh3Default,
    buffer: Vec<u8>,
}

impl<W: Write> Summed<'_, W> {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        Ok(self.hasher.digest())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_it_was_given(
            items in prop::collection::vec("[a-d]{0,4}", 0..200),
            queries in prop::collection::vec("[a-d]{0,4}", 0..50),
        ) {
            let plain: BTreeSet<&str> = items.iter().map(String::as_str).collect();
            let set: HashedSet = items.iter().map(String::as_str).collect();
            prop_assert_eq!(set.len(), plain.len());
            for query in items.iter().chain(&queries) {
                prop_assert_eq!(set.contains(query.as_bytes()), plain.contains(query.as_str()));
            }
        }
    }

    fn file_of(hashes: &[u64], key: u128) -> Vec<u8> {
        let mut file = io::Cursor::new(Vec::new());
        write(&mut file, key, hashes.len(), hashes.iter().copied().map(Ok)).unwrap();
        file.into_inner()
    }

    #[test]
    fn a_mapped_file_is_the_same_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set");
        let mut hashes: Vec<u64> = (0..10_000_u32).map(|i| HashedSet::hash(&i.to_le_bytes())).collect();
        hashes.sort_unstable();
        std::fs::write(&path, file_of(&hashes, 7)).unwrap();
        let set = HashedSet::open(&path, 7).unwrap().unwrap();
        assert_eq!(set.len(), 10_000);
        assert!(hashes.iter().all(|&hash| set.contains_hash(hash)));
        assert!((10_000..20_000_u32).all(|i| !set.contains(&i.to_le_bytes())));
        std::fs::remove_file(&path).unwrap();
        assert!(set.contains_hash(hashes[0]), "a removed file stays mapped");
    }

    /// Whatever byte is changed, cut off or added, the file is not used.
    #[test]
    fn damage_is_seen() {
        let whole = file_of(&(1..100).map(|i| i << 50).collect::<Vec<u64>>(), 7);
        let opens = |bytes: Vec<u8>| HashedSet::check(Bytes::Owned(bytes), 7).is_some();
        assert!(opens(whole.clone()));
        assert!(HashedSet::check(Bytes::Owned(whole.clone()), 8).is_none(), "other lists");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(!opens(damaged), "{at}");
            assert!(!opens(whole[..at].to_vec()), "{at}");
        }
        assert!(!opens([whole, vec![0]].concat()));
    }
}
