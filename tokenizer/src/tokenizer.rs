//! The trained thing: text to ids and back.

use crate::cache::{self, Cache, Piece, SHORT_BYTES};
use crate::merge::{MAX_IDS, MAX_RANKS, PairTable, merge_piece};
use crate::special::BOS_NAMES;
use crate::{Pattern, TokenizerError};
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// One merge: `left` and `right`, adjacent, become `id`; lower ranks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Merge {
    pub rank: u32,
    pub left: u32,
    pub right: u32,
    pub id: u32,
}

/// What a tokenizer is made of, as a trainer or a file gives it; [`Tokenizer::new`] checks it.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub pattern: Pattern,
    /// Bytes of each ordinary token by id; empty where an id is a special or a hole.
    pub tokens: Vec<Vec<u8>>,
    pub merges: Vec<Merge>,
    /// A piece that is a token is that token, whatever the merges say (tiktoken; `ignore_merges` in tokenizer.json).
    pub whole_piece_first: bool,
    pub specials: Vec<(String, u32)>,
}

/// So many pieces are cut before they are looked up.
const AHEAD: usize = 16;

static TOKENIZERS: AtomicU64 = AtomicU64::new(0);

/// A byte-level BPE tokenizer. Cheap to share between threads by reference: what encoding remembers is each thread's own
/// (4.5 MB) and changes no id.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    parts: Parts,
    /// Tells this one from all others of the process; clones, which encode alike, share it.
    number: u64,
    pairs: PairTable,
    whole: WholeTable,
    vocab_size: usize,
}

impl Tokenizer {
    /// Checks the parts and builds the tables.
    pub(crate) fn new(mut parts: Parts, format: &'static str) -> Result<Self, TokenizerError> {
        let mut byte_ids = [u32::MAX; 256];
        for (id, token) in parts.tokens.iter().enumerate() {
            if let [byte] = token[..] {
                byte_ids[byte as usize] = id as u32;
            }
        }
        if let Some(byte) = byte_ids.iter().position(|id| *id == u32::MAX) {
            return Err(TokenizerError::format(
                format,
                format!("no token stands for the single byte 0x{byte:02X}"),
            ));
        }
        let n_ranks = parts.merges.iter().map(|merge| merge.rank as usize + 1).max().unwrap_or(0);
        if parts.tokens.len() > MAX_IDS || n_ranks > MAX_RANKS {
            return Err(TokenizerError::format(
                format,
                format!(
                    "{} tokens and {n_ranks} merges are more than the {MAX_IDS} and {MAX_RANKS} that can be encoded with",
                    parts.tokens.len()
                ),
            ));
        }
        parts.merges.sort_unstable();
        parts.specials.sort_by_key(|(_, id)| *id);
        for (i, (name, id)) in parts.specials.iter().enumerate() {
            if name.is_empty()
                || parts.specials[..i].iter().any(|(other, other_id)| other == name || other_id == id)
            {
                return Err(TokenizerError::format(
                    format,
                    format!(
                        "special token `{name}` (id {id}) is empty or occurs twice; names and ids must be unique"
                    ),
                ));
            }
            if parts.tokens.get(*id as usize).is_some_and(|token| !token.is_empty()) {
                return Err(TokenizerError::format(
                    format,
                    format!("special token `{name}` has id {id}, which an ordinary token has too"),
                ));
            }
        }
        let past_specials = parts.specials.last().map_or(0, |(_, id)| *id as usize + 1);
        let pairs = PairTable::new(parts.merges.iter().map(|m| (m.left, m.right, m.rank, m.id)), &byte_ids);
        let mut this = Self {
            number: TOKENIZERS.fetch_add(1, Ordering::Relaxed),
            pairs,
            whole: WholeTable::default(),
            vocab_size: parts.tokens.len().max(past_specials),
            parts,
        };
        this.whole = this.whole_tokens();
        Ok(this)
    }

    /// The tokens that a piece of the same bytes becomes: most pieces of real text are one of these.
    ///
    /// A token's own bytes need not merge to it (other merges may come first), hence the check.
    fn whole_tokens(&self) -> WholeTable {
        let mut ids = Vec::new();
        let keep = |id: &u32| {
            let token = &self.parts.tokens[*id as usize];
            if token.is_empty() || self.parts.whole_piece_first {
                return !token.is_empty();
            }
            ids.clear();
            merge_piece(&self.pairs, token, &mut ids);
            ids == [*id]
        };
        let kept: Vec<u32> = (0..self.parts.tokens.len() as u32).filter(keep).collect();
        WholeTable::new(&kept, &self.parts.tokens)
    }

    /// The ids of `text`. Never a special token's: `<|bos|>` in a page is ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        self.encode_into(text, &mut ids);
        ids
    }

    /// Appends the ids of `text` to `ids`, as [`Self::encode`].
    pub fn encode_into(&self, text: &str, ids: &mut Vec<u32>) {
        Cache::with(self.number, |cache| {
            let bytes = text.as_bytes();
            let mut waiting = [Piece::default(); AHEAD];
            let mut n = 0;
            self.parts.pattern.for_each_span(text, |at, end| {
                waiting[n] = cache.ahead(bytes, at, end);
                n += 1;
                if n == AHEAD {
                    for piece in waiting {
                        cache.encode(self, bytes, piece, ids);
                    }
                    n = 0;
                }
            });
            for piece in &waiting[..n] {
                cache.encode(self, bytes, *piece, ids);
            }
        });
    }

    /// Appends the ids of one piece, whatever was encoded before. `key` is the piece's, or 0 where it is too long for one.
    #[inline]
    pub(crate) fn encode_piece(&self, piece: &[u8], key: u128, ids: &mut Vec<u32>) {
        if let Some(id) = self.whole.get(piece, key, &self.parts.tokens) {
            ids.push(id);
        } else {
            merge_piece(&self.pairs, piece, ids);
        }
    }

    /// The bytes of `ids`, which need not be whole characters. A special token gives its name; an id outside of the
    /// vocabulary gives U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for id in ids {
            bytes.extend_from_slice(self.token_bytes(*id).unwrap_or("\u{FFFD}".as_bytes()));
        }
        bytes
    }

    /// [`Self::decode`] as text, with U+FFFD for what is no UTF-8.
    pub fn decode_lossy(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode(ids)).into_owned()
    }

    /// The bytes of one token; of a special token, those of its name. `None` outside of the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        match self.parts.tokens.get(id as usize) {
            Some(token) if !token.is_empty() => Some(token),
            _ => self
                .parts
                .specials
                .iter()
                .find(|(_, special)| *special == id)
                .map(|(name, _)| name.as_bytes()),
        }
    }

    /// One more than the highest id: the rows that an embedding needs. Specials count.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of the special token `name`.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.parts.specials.iter().find(|(special, _)| special == name).map(|(_, id)| *id)
    }

    /// All special tokens with their ids, by id.
    pub fn specials(&self) -> &[(String, u32)] {
        &self.parts.specials
    }

    /// Whether `id` is a special token's.
    pub fn is_special(&self, id: u32) -> bool {
        self.parts.specials.iter().any(|(_, special)| *special == id)
    }

    /// The token that begins every document: `<|bos|>`, or what other vocabularies have in its place
    /// (`<|begin_of_text|>`, `<s>`, `<|endoftext|>`).
    pub fn bos(&self) -> Option<u32> {
        BOS_NAMES.iter().find_map(|name| self.special(name))
    }

    /// How text is cut before merging.
    pub fn pattern(&self) -> &Pattern {
        &self.parts.pattern
    }

    /// How many merges there are.
    pub fn n_merges(&self) -> usize {
        self.parts.merges.len()
    }

    /// The same tokenizer with `specials` in place of its own, at the ids after the ordinary vocabulary.
    ///
    /// # Errors
    /// [`TokenizerError::Format`] when a name is empty or given twice.
    pub fn with_specials(&self, specials: &[String]) -> Result<Self, TokenizerError> {
        let mut parts = self.parts.clone();
        while parts.tokens.last().is_some_and(Vec::is_empty) {
            parts.tokens.pop();
        }
        let first = parts.tokens.len() as u32;
        parts.specials = specials.iter().cloned().zip(first..).collect();
        Self::new(parts, "list of special tokens")
    }

    /// 128 bits of xxh3, in hex, over everything that decides ids: the pattern, tokens, merges and specials. The same
    /// for a tokenizer and what its saved `tokenizer.json` loads to.
    pub fn hash(&self) -> String {
        let mut hash = Xxh3::new();
        let mut field = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(b"gristmill tokenizer 1");
        field(self.parts.pattern.regex().as_bytes());
        field(&[self.parts.whole_piece_first as u8]);
        for (id, token) in self.parts.tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
            field(&(id as u32).to_le_bytes());
            field(token);
        }
        field(b"merges");
        for merge in &self.parts.merges {
            field(&[merge.left.to_le_bytes(), merge.right.to_le_bytes(), merge.id.to_le_bytes()].concat());
        }
        field(b"specials");
        for (name, id) in &self.parts.specials {
            field(&id.to_le_bytes());
            field(name.as_bytes());
        }
        format!("{:032x}", hash.digest128())
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// Bytes of a piece to its token: open addressing over ids, at most half full.
#[derive(Debug, Clone, Default)]
struct WholeTable {
    /// (upper half of the hash, id + 1); (0, 0) is free
    slots: Vec<(u32, u32)>,
    /// Tokens that fit into a key, by id: one comparison, where the bytes are two cache misses away.
    keys: Vec<u128>,
}

impl WholeTable {
    fn new(ids: &[u32], tokens: &[Vec<u8>]) -> Self {
        let mut slots = vec![(0, 0); (ids.len() * 2).next_power_of_two().max(2)];
        let keys: Vec<u128> = tokens.iter().map(|token| Self::key(token)).collect();
        for id in ids {
            let hash = Self::hash(&tokens[*id as usize], keys[*id as usize]);
            let mut slot = hash as usize & (slots.len() - 1);
            while slots[slot].1 != 0 {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = ((hash >> 32) as u32, id + 1);
        }
        Self { slots, keys }
    }

    /// 0 where a piece is too long for a key.
    fn key(piece: &[u8]) -> u128 {
        if piece.len() <= SHORT_BYTES { cache::key(piece, 0, piece.len()) } else { 0 }
    }

    fn hash(piece: &[u8], key: u128) -> u64 {
        if key == 0 { xxh3_64(piece) } else { cache::fold(key) }
    }

    /// `key` is that of `piece`.
    #[inline]
    fn get(&self, piece: &[u8], key: u128, tokens: &[Vec<u8>]) -> Option<u32> {
        let hash = Self::hash(piece, key);
        let mut slot = hash as usize & (self.slots.len() - 1);
        loop {
            let (check, id) = self.slots[slot];
            if id == 0 {
                return None;
            }
            let at = id as usize - 1;
            if check == (hash >> 32) as u32 && self.keys[at] == key && (key != 0 || tokens[at] == piece) {
                return Some(id - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}
