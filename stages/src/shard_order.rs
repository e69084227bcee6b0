//! What the stages that write token shards share: parts, one a task, into one seeded global order, and which documents are
//! held out.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill_corpus::CorpusError;
use gristmill_corpus::shards::{self, DocumentTokens, ShardSet, TokenType};
use gristmill_corpus::shuffle::Shuffle;
use gristmill_corpus::sorter::Workspace;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::stage::StageError;

/// Documents that are put in order at a time. Their bytes stay in the system's cache, not in the process.
pub const BUCKET_BYTES: usize = 256 << 20;

/// What a bucket holds of a document beside its tokens: a guess, which decides how many buckets there are.
const BYTES_BESIDE_TOKENS: u64 = 250;

/// How documents are put in order.
pub struct ShardOrder<'a> {
    /// Where buckets lie while the order is made; they are gone afterwards.
    pub folder: &'a Path,
    /// Another seed is another order.
    pub seed: u64,
    /// Most bytes of a bucket; how many there are does not show in the order.
    pub bucket_bytes: usize,
    /// How the parts hold tokens.
    pub dtype: TokenType,
}

impl ShardOrder<'_> {
    /// Hands out every document of the parts' split `split` with its loss mask (empty where there is none), by the hash of its
    /// id; those of equal hashes in the order of the parts.
    pub fn each(
        &self,
        parts: &[PathBuf],
        split: &str,
        visit: impl FnMut(&DocumentTokens, &[u8]) -> Result<(), CorpusError>,
    ) -> Result<(), StageError> {
        // A split of the input without documents left no part.
        let parts: Vec<&PathBuf> =
            parts.iter().filter(|part| part.join(format!("{split}-00000.meta.json")).exists()).collect();
        let spill = self.folder.join("spill");
        let mut n_bytes = 0;
        for part in &parts {
            for meta in shards::split_metas(part, split)? {
                n_bytes += meta.n_tokens * self.dtype.bytes() + meta.n_documents * BYTES_BESIDE_TOKENS;
            }
        }
        let workspace = Workspace::new(&spill, self.bucket_bytes);
        let mut shuffle = Shuffle::create(&workspace, self.dtype, n_bytes)?;
        let mut ids = Vec::new();
        for part in parts {
            // One at a time: a corpus has more parts than a process may map files.
            let set = ShardSet::open(part, split)?;
            for reader in set.shards() {
                let mut index = 0;
                reader.each_document(|record| {
                    ids.clear();
                    reader.tokens_into(record.start_token..record.start_token + record.n_tokens, &mut ids)?;
                    let document = DocumentTokens {
                        ids: &ids,
                        id: &record.id,
                        url: &record.url,
                        file_path: &record.file_path,
                        offset: record.offset,
                        n_bytes: record.n_bytes,
                    };
                    let mask = reader.document_mask(index)?.unwrap_or_default();
                    index += 1;
                    shuffle.push(xxh3_64_with_seed(record.id.as_bytes(), self.seed), &document, mask)
                })?;
            }
        }
        shuffle.finish(visit)?;
        fs::remove_dir_all(&spill)
            .map_err(|error| StageError::Engine(format!("cannot write `{}`: {error}", spill.display())))
    }
}

/// Whether what has this name falls into a share of all names: by its hash alone, so that no rerun and no take-down ever moves
/// it across.
pub fn is_in_share(name: &str, share: f64) -> bool {
    (xxh3_64(name.as_bytes()) as f64 / 2f64.powi(64)) < share
}
