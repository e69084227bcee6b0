//! Every stage of a recipe, one file each: configuration, runtime and tests together.
//!
//! Start at [`registry`], the table of all stages, and [`stage`], what a stage is. This crate knows no executor:
//! the engine applies verdicts, counts reasons, keeps rejects, times work and bounds memory.

pub mod assets;
pub mod bad_words;
pub mod bloom_dedup;
pub mod by_language;
pub mod c4_quality;
pub mod charset;
pub mod classifier;
pub mod classifier_train;
pub mod classify;
pub mod conversation_shards;
pub mod conversations;
pub mod decontaminate;
pub mod dedup;
pub mod documents;
pub mod eval;
pub mod exact_dedup;
pub mod expression;
pub mod extract_text;
pub mod fasttext;
pub mod fineweb_quality;
pub mod gopher_quality;
pub mod gopher_repetition;
pub mod gzip_ratio;
pub mod html;
pub mod jsonl_source;
pub mod language;
pub mod line_dedup;
pub mod line_quality;
pub mod madlad_quality;
pub mod minhash_dedup;
pub mod models;
pub mod paragraph_dedup;
pub mod parquet_source;
pub mod pretrain;
pub mod redact_pii;
pub mod registry;
pub mod sample;
pub mod sentence_dedup;
pub mod sft;
pub mod shard_order;
pub mod stage;
pub mod stop_words;
pub mod substring_dedup;
pub mod token_shards;
pub mod tokenizer_train;
pub mod tokenizers;
pub mod url_blocklist;
pub mod url_dedup;
pub mod warc;
pub mod warc_source;
pub mod where_filter;
pub mod words;
pub mod write_jsonl;
pub mod write_parquet;

mod hashing;
mod json_lines;
mod judge;
mod lines;
mod repeats;

pub use documents::Documents;
pub use stage::{StageError, Verdict};
