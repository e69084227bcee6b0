//! From text to the rows of the input matrix: words, character n-grams and word n-grams, hashed as fastText hashes them.

use super::{Arguments, FastTextError, Scratch, reader::Reader};

/// The word that stands for the end of a line; every text ends in it.
const END_OF_LINE: &[u8] = b"</s>";
const LABEL_PREFIX: &str = "__label__";

/// Words and labels of a model, with their numbers.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// Words of the input, row by row.
    words: Vec<Box<[u8]>>,
    labels: Vec<String>,
    label_counts: Vec<i64>,
    /// Open addressing over `words`: row + 1, or 0 for a free slot. Its length is a power of two.
    slots: Vec<u32>,
    buckets: Buckets,
    min_chars: usize,
    max_chars: usize,
    word_ngrams: usize,
}

impl Dictionary {
    pub(super) fn read(reader: &mut Reader, arguments: &Arguments) -> Result<Self, FastTextError> {
        let n_entries = reader.length("the number of dictionary entries")?;
        let n_words = reader.length("the number of words")?;
        let n_labels = reader.length("the number of labels")?;
        let _n_tokens = reader.i64("the number of tokens")?;
        let n_kept = reader.i64("the number of kept n-grams")?;
        if n_words + n_labels != n_entries || n_labels == 0 {
            return Err(reader.error(format!("{n_words} words and {n_labels} labels in {n_entries} entries")));
        }
        // Name's NUL, count and kind are 10 bytes at least.
        reader.expect_items(n_entries, 10, "dictionary entries")?;
        let mut words = Vec::with_capacity(n_words);
        let mut labels = Vec::with_capacity(n_labels);
        let mut label_counts = Vec::with_capacity(n_labels);
        for entry in 0..n_entries {
            let name = reader.string("a dictionary entry")?;
            let count = reader.i64("a count")?;
            let is_label = reader.flag("the kind of an entry")?;
            if is_label != (entry >= n_words) {
                return Err(reader.error(format!(
                    "entry {entry}, `{}`, is {} of {n_words} words and {n_labels} labels",
                    String::from_utf8_lossy(name),
                    if is_label { "a label among the words" } else { "a word among the labels" },
                )));
            }
            if is_label {
                let name = String::from_utf8_lossy(name).into_owned();
                labels.push(name.strip_prefix(LABEL_PREFIX).map_or(name.clone(), str::to_owned));
                label_counts.push(count);
            } else {
                words.push(name.into());
            }
        }
        let buckets = Buckets::read(reader, arguments, n_words, n_kept)?;
        let mut dictionary = Self {
            slots: vec![0; (n_words * 2).next_power_of_two()],
            words,
            labels,
            label_counts,
            buckets,
            min_chars: arguments.min_chars,
            max_chars: arguments.max_chars,
            word_ngrams: arguments.word_ngrams,
        };
        for word in 0..n_words {
            let slot = dictionary.slot(&dictionary.words[word], hash(&dictionary.words[word]));
            dictionary.slots[slot] = word as u32 + 1;
        }
        Ok(dictionary)
    }

    pub(super) fn is_pruned(&self) -> bool {
        !matches!(self.buckets.kept, Kept::All)
    }

    pub(super) fn n_words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn n_labels(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn label(&self, index: usize) -> &str {
        &self.labels[index]
    }

    pub(super) fn label_counts(&self) -> &[i64] {
        &self.label_counts
    }

    /// Rows that the input matrix must have for every row number given out here.
    pub(super) fn rows_needed(&self) -> usize {
        let uses_buckets = self.max_chars > 0 || self.word_ngrams > 1;
        self.words.len() + if uses_buckets { self.buckets.n_rows() } else { 0 }
    }

    /// Where a word is, or would be put. A load of one half at most: a free slot exists.
    fn slot(&self, word: &[u8], hash: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return slot,
                row if *self.words[row as usize - 1] == *word => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Appends the rows of one known word: its own, then its n-grams'.
    pub(super) fn rows_of_word(&self, word: usize, bytes: &mut Vec<u8>, rows: &mut Vec<u32>) {
        rows.push(word as u32);
        if *self.words[word] != *END_OF_LINE {
            self.rows_of_ngrams(&self.words[word], bytes, rows);
        }
    }

    /// Appends the rows of a text to `scratch.rows`. With `known_apart`, known words go to `scratch.words` instead, unexpanded.
    pub(super) fn rows_of_text(&self, text: &[u8], known_apart: bool, scratch: &mut Scratch) {
        scratch.hashes.clear();
        for token in text.split(|&byte| is_separator(byte)).chain([END_OF_LINE]) {
            if token.is_empty() {
                continue;
            }
            let hash = hash(token);
            match self.slots[self.slot(token, hash)] {
                0 if token.starts_with(LABEL_PREFIX.as_bytes()) => continue,
                0 if token == END_OF_LINE => {}
                0 => self.rows_of_ngrams(token, &mut scratch.bytes, &mut scratch.rows),
                row if known_apart => scratch.words.push(row - 1),
                row => self.rows_of_word(row as usize - 1, &mut scratch.bytes, &mut scratch.rows),
            }
            if self.word_ngrams > 1 {
                scratch.hashes.push(hash as i32);
            }
            // A literal end-of-line word ends the text, as it does in fastText.
            if token == END_OF_LINE {
                break;
            }
        }
        self.rows_of_word_ngrams(&scratch.hashes, &mut scratch.rows);
    }

    /// Character n-grams of `<word>`, in `min_chars..=max_chars` characters, without the lone `<` and `>`.
    fn rows_of_ngrams(&self, word: &[u8], bytes: &mut Vec<u8>, rows: &mut Vec<u32>) {
        if self.max_chars == 0 || self.buckets.is_empty() {
            return;
        }
        bytes.clear();
        bytes.push(b'<');
        bytes.extend_from_slice(word);
        bytes.push(b'>');
        for start in 0..bytes.len() {
            if is_continuation(bytes[start]) {
                continue;
            }
            let mut hash = FNV_OFFSET;
            let mut end = start;
            for n_chars in 1..=self.max_chars {
                if end == bytes.len() {
                    break;
                }
                // One character: its first byte and whatever continues it.
                hash = hash_step(hash, bytes[end]);
                end += 1;
                while end < bytes.len() && is_continuation(bytes[end]) {
                    hash = hash_step(hash, bytes[end]);
                    end += 1;
                }
                let is_lone_mark = n_chars == 1 && (start == 0 || end == bytes.len());
                if n_chars >= self.min_chars && !is_lone_mark {
                    rows.extend(self.buckets.row(self.buckets.of_hash(hash)));
                }
            }
        }
    }

    fn rows_of_word_ngrams(&self, hashes: &[i32], rows: &mut Vec<u32>) {
        if self.word_ngrams < 2 || self.buckets.is_empty() {
            return;
        }
        for (first, &hash) in hashes.iter().enumerate() {
            // Signed hashes widen with their sign in fastText.
            let mut hash = hash as i64 as u64;
            for &next in hashes[first + 1..].iter().take(self.word_ngrams - 1) {
                hash = hash.wrapping_mul(116_049_371).wrapping_add(next as i64 as u64);
                rows.extend(self.buckets.row((hash % self.buckets.n as u64) as u32));
            }
        }
    }
}

/// The hash buckets of n-grams and the rows that they have.
#[derive(Debug)]
struct Buckets {
    /// Number of buckets that hashes are taken modulo.
    n: u32,
    /// `2^64 / n`, rounded up: Lemire's remainder by multiplication.
    inverse: u64,
    /// Row of bucket 0 where all are kept; added to the numbers of those kept.
    first_row: u32,
    kept: Kept,
}

/// Which buckets survived pruning.
#[derive(Debug)]
enum Kept {
    All,
    Nothing,
    Some(KeptBuckets),
}

/// Kept buckets and their row numbers.
#[derive(Debug)]
struct KeptBuckets {
    /// One bit by the low bits of the bucket number, at least 16 a kept bucket: fits in cache and turns away nearly all others.
    sieve: Vec<u64>,
    /// Open addressing, (bucket + 1, row); 0 marks a free slot.
    slots: Vec<(u32, u32)>,
    n_rows: usize,
}

impl Buckets {
    fn read(
        reader: &mut Reader,
        arguments: &Arguments,
        n_words: usize,
        n_kept: i64,
    ) -> Result<Self, FastTextError> {
        let kept = match n_kept {
            ..0 => Kept::All,
            0 => Kept::Nothing,
            _ => Kept::Some(KeptBuckets::read(reader, n_kept as u64 as usize)?),
        };
        let needed = arguments.max_chars > 0 || arguments.word_ngrams > 1;
        if needed && arguments.bucket == 0 && n_kept != 0 {
            return Err(reader.error("n-grams without buckets".into()));
        }
        let n = arguments.bucket.max(1);
        Ok(Self { n, inverse: (u64::MAX / n as u64).wrapping_add(1), first_row: n_words as u32, kept })
    }

    fn is_empty(&self) -> bool {
        matches!(self.kept, Kept::Nothing)
    }

    fn n_rows(&self) -> usize {
        match &self.kept {
            Kept::All => self.n as usize,
            Kept::Nothing => 0,
            Kept::Some(kept) => kept.n_rows,
        }
    }

    /// `hash % n`.
    fn of_hash(&self, hash: u32) -> u32 {
        let low = self.inverse.wrapping_mul(hash as u64);
        ((low as u128 * self.n as u128) >> 64) as u32
    }

    fn row(&self, bucket: u32) -> Option<u32> {
        match &self.kept {
            Kept::Some(kept) => kept.row(bucket).map(|row| self.first_row + row),
            Kept::All => Some(self.first_row + bucket),
            Kept::Nothing => None,
        }
    }
}

impl KeptBuckets {
    fn read(reader: &mut Reader, n_kept: usize) -> Result<Self, FastTextError> {
        reader.expect_items(n_kept, 8, "kept n-grams")?;
        let mut kept = Self {
            sieve: vec![0; (n_kept / 4).next_power_of_two()],
            slots: vec![(0, 0); (n_kept * 2).next_power_of_two()],
            n_rows: 0,
        };
        for _ in 0..n_kept {
            let bucket = reader.length("a kept n-gram")? as u32;
            let row = reader.length("the row of a kept n-gram")? as u32;
            let slot = kept.slot(bucket);
            kept.slots[slot] = (bucket + 1, row);
            let (word, bit) = kept.sieve_place(bucket);
            kept.sieve[word] |= 1 << bit;
            kept.n_rows = kept.n_rows.max(row as usize + 1);
        }
        Ok(kept)
    }

    fn sieve_place(&self, bucket: u32) -> (usize, u32) {
        ((bucket >> 6) as usize & (self.sieve.len() - 1), bucket & 63)
    }

    fn slot(&self, bucket: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = bucket.wrapping_mul(0x9E37_79B1) as usize & mask;
        while self.slots[slot].0 != 0 && self.slots[slot].0 != bucket + 1 {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn row(&self, bucket: u32) -> Option<u32> {
        let (word, bit) = self.sieve_place(bucket);
        if self.sieve[word] >> bit & 1 == 0 {
            return None;
        }
        match self.slots[self.slot(bucket)] {
            (0, _) => None,
            (_, row) => Some(row),
        }
    }
}

/// fastText's white space: it ends words. Other Unicode spaces do not.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

const FNV_OFFSET: u32 = 2_166_136_261;

/// One step of 32-bit FNV-1a over signed characters: bytes from 0x80 up set the upper 24 bits too, which no other FNV does.
fn hash_step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as i8 as u32).wrapping_mul(16_777_619)
}

fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(FNV_OFFSET, |hash, &byte| hash_step(hash, byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_take_bytes_as_signed() {
        assert_eq!(hash(b""), FNV_OFFSET);
        assert_eq!(hash(b"a"), 0xE40C_292C); // the published FNV-1a value: ASCII is the same
        assert_ne!(hash("é".as_bytes()), 0x6E8A_E0E6);
        assert_eq!(hash(&[0xFF]), (FNV_OFFSET ^ 0xFFFF_FFFF).wrapping_mul(16_777_619));
    }

    #[test]
    fn remainders_are_exact() {
        for n in [1_u32, 2, 3, 7, 1 << 20, 2_000_000, 2_147_483_647] {
            let buckets =
                Buckets { n, inverse: (u64::MAX / n as u64).wrapping_add(1), first_row: 0, kept: Kept::All };
            for hash in (0..5_000_u32).map(|i| i.wrapping_mul(2_654_435_761)).chain([0, u32::MAX]) {
                assert_eq!(buckets.of_hash(hash), hash % n, "{hash} % {n}");
            }
        }
    }
}
