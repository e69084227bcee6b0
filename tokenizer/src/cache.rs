//! Which tokens did this piece become the last time?
//!
//! Text repeats itself: of the pieces of web pages more than nine in ten are among the last few ten thousand. A cache of
//! fixed size remembers them, one place a hash, the newer in the place of the older; so that hostile text costs misses
//! and never memory. Ids are the same with and without it.

use crate::tokenizer::Tokenizer;
use std::cell::Cell;

/// Pieces of up to this many bytes are looked up as one integer.
pub const SHORT_BYTES: usize = 15;

/// Pieces of up to this many bytes are remembered: words in scripts of two and three bytes a letter.
pub const LONG_BYTES: usize = 31;

/// 2^17 places of 32 bytes: 4 MB. With half of that novels take a third longer once the cache is full; pages do not.
const SHORT_BITS: u32 = 16;

/// 2^13 places of 64 bytes: half a megabyte.
const LONG_BITS: u32 = 13;

const SHORT_IDS: usize = 4;
const LONG_IDS: usize = 8;

/// The high four bits of a place's key say how many ids it holds; those of a piece's key are 0.
const COUNT_SHIFT: u32 = 124;
const PIECE_BITS: u128 = (1 << COUNT_SHIFT) - 1;

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Short {
    key: u128,
    ids: [u32; SHORT_IDS],
}

/// The two last pieces of one hash, in one line of a core's cache, the more recent first.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Pair([Short; 2]);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Long {
    head: u128,
    key: u128,
    ids: [u32; LONG_IDS],
}

/// A piece that will be encoded.
#[derive(Clone, Copy, Default)]
pub struct Piece {
    at: usize,
    end: usize,
    /// 0 where the piece is longer than [`SHORT_BYTES`]; no other key is.
    key: u128,
    place: usize,
}

/// Pieces and their ids, of one tokenizer at a time.
pub struct Cache {
    owner: u64,
    short: Vec<Pair>,
    long: Vec<Long>,
}

thread_local! {
    /// One a thread, so that tokenizers can be shared.
    static CACHE: Cell<Option<Box<Cache>>> = const { Cell::new(None) };
}

impl Cache {
    /// Calls `work` with this thread's cache, emptied when the last to use it was another tokenizer.
    pub fn with<T>(owner: u64, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut cache =
            CACHE.take().filter(|cache| cache.owner == owner).unwrap_or_else(|| Box::new(Self::new(owner)));
        let result = work(&mut cache);
        CACHE.set(Some(cache));
        result
    }

    fn new(owner: u64) -> Self {
        let short = Short { key: 0, ids: [0; SHORT_IDS] };
        let long = Long { head: 0, key: 0, ids: [0; LONG_IDS] };
        Self { owner, short: vec![Pair([short; 2]); 1 << SHORT_BITS], long: vec![long; 1 << LONG_BITS] }
    }

    /// The piece `text[at..end]`, whose place the memory begins to send: to be encoded a few pieces later.
    #[inline]
    pub fn ahead(&self, text: &[u8], at: usize, end: usize) -> Piece {
        if end - at > SHORT_BYTES {
            return Piece { at, end, key: 0, place: 0 };
        }
        let key = key(text, at, end);
        let place = (fold(key) >> (64 - SHORT_BITS)) as usize;
        prefetch(&self.short[place]);
        Piece { at, end, key, place }
    }

    /// Appends the ids of `piece`.
    #[inline]
    pub fn encode(&mut self, tokenizer: &Tokenizer, text: &[u8], piece: Piece, ids: &mut Vec<u32>) {
        let Piece { at, end, key, place } = piece;
        if key == 0 {
            return self.encode_long(tokenizer, text, at, end, ids);
        }
        let [recent, older] = &mut self.short[place].0;
        if recent.key & PIECE_BITS != key {
            std::mem::swap(recent, older);
            if recent.key & PIECE_BITS != key {
                let first = ids.len();
                tokenizer.encode_piece(&text[at..end], key, ids);
                if let Some(new) = padded(&ids[first..]) {
                    *recent = Short { key: key | ((ids.len() - first) as u128) << COUNT_SHIFT, ids: new };
                }
                return;
            }
        }
        // All four are written, whatever their number: no branch, no call.
        let n = ids.len() + (recent.key >> COUNT_SHIFT) as usize;
        ids.extend_from_slice(&recent.ids);
        ids.truncate(n);
    }

    fn encode_long(&mut self, tokenizer: &Tokenizer, text: &[u8], at: usize, end: usize, ids: &mut Vec<u32>) {
        if end - at > LONG_BYTES {
            return tokenizer.encode_piece(&text[at..end], 0, ids);
        }
        let (head, key) = (key(text, at, at + SHORT_BYTES), key(text, at + SHORT_BYTES, end - 1));
        // 15 bytes are in the head, 15 in the tail, and one is left: it takes the bits of the head's length.
        let head = head & ((1 << 120) - 1) | (text[end - 1] as u128) << 120;
        let place = &mut self.long[(fold(head ^ fold(key) as u128) >> (64 - LONG_BITS)) as usize];
        if place.head == head && place.key & PIECE_BITS == key {
            let n = ids.len() + (place.key >> COUNT_SHIFT) as usize;
            ids.extend_from_slice(&place.ids);
            ids.truncate(n);
            return;
        }
        let first = ids.len();
        tokenizer.encode_piece(&text[at..end], 0, ids);
        if let Some(new) = padded(&ids[first..]) {
            *place = Long { head, key: key | ((ids.len() - first) as u128) << COUNT_SHIFT, ids: new };
        }
    }
}

/// Asks for the line of memory that `place` begins, without waiting for it.
#[inline]
fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read through the pointer, which comes from a reference besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

fn padded<const N: usize>(ids: &[u32]) -> Option<[u32; N]> {
    let mut all = [0; N];
    all.get_mut(..ids.len())?.copy_from_slice(ids);
    Some(all)
}

/// `text[at..end]`, at most [`SHORT_BYTES`], and its length in the byte above them. Two pieces have one key only if they
/// are equal.
#[inline]
pub fn key(text: &[u8], at: usize, end: usize) -> u128 {
    let len = end - at;
    let bytes = if let Some(bytes) = text[at..].first_chunk::<16>() {
        u128::from_le_bytes(*bytes)
    } else {
        let mut bytes = [0; 16];
        bytes[..len].copy_from_slice(&text[at..end]);
        u128::from_le_bytes(bytes)
    };
    bytes & MASKS[len] | (len as u128) << 120
}

const MASKS: [u128; SHORT_BYTES + 1] = {
    let mut masks = [0; SHORT_BYTES + 1];
    let mut len = 1;
    while len <= SHORT_BYTES {
        masks[len] = u128::MAX >> (128 - 8 * len);
        len += 1;
    }
    masks
};

/// The product of both halves, folded. A hash that hostile text can beat costs misses here, and no more.
#[inline]
pub fn fold(key: u128) -> u64 {
    let (low, high) = (key as u64 ^ 0xA076_1D64_78BD_642F, (key >> 64) as u64 ^ 0xE703_7ED1_A0B4_28DB);
    let product = low as u128 * high as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_pieces_apart_wherever_they_stand() {
        let text = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0\0\0b";
        let mut keys = std::collections::HashSet::new();
        for len in 0..=SHORT_BYTES {
            keys.insert(key(text, 0, len));
            for at in 0..20 {
                assert_eq!(key(text, at, at + len), key(text, 0, len));
            }
            // The end of the text, where 16 bytes cannot be read.
            let end = &text[20 - len..20];
            assert_eq!(key(end, 0, len), key(text, 0, len));
        }
        assert_eq!(keys.len(), SHORT_BYTES + 1);
        let zeros = [0; 16];
        assert_ne!(key(&zeros, 0, 1), key(&zeros, 0, 2));
        assert!((0..=SHORT_BYTES).all(|len| key(&[255; 16], 0, len) <= PIECE_BITS));
    }
}
