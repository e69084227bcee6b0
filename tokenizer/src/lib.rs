//! Byte-level BPE: count pre-tokens, train, encode, decode; `tokenizer.json` and tiktoken files in and out.
//!
//! ```
//! use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
//!
//! let mut counts = PretokenCounts::new(Pattern::nanochat());
//! counts.add("to be or not to be, that is the question");
//! let options = TrainOptions { vocab_size: 280, ..TrainOptions::default() };
//! let tokenizer = train(&counts, &options)?;
//! let ids = tokenizer.encode("to be");
//! assert_eq!(tokenizer.decode(&ids), b"to be");
//! assert!(tokenizer.bos().is_some());
//! # Ok::<(), gristmill_tokenizer::TokenizerError>(())
//! ```
//!
//! | file | answers |
//! |---|---|
//! | [`split`](Pattern) | where does text fall into pre-tokens, inside which merges stay? |
//! | `ascii` | how far does a run of ASCII letters reach? |
//! | `unicode` | which classes does a character belong to? |
//! | [`counts`](PretokenCounts) | how often does each pre-token occur? |
//! | [`train`](train()) | which merges does a corpus teach? |
//! | `cache` | which tokens did a piece become the last time? |
//! | `merge` | which tokens does one pre-token become? |
//! | [`tokenizer`](Tokenizer) | the trained thing: encode, decode, ids, hash |
//! | [`special`](DEFAULT_SPECIALS) | which ids never come from text? |
//! | [`conversation`] | which ids stand for a conversation, and which of them does the assistant write? |
//! | `hf`, `tiktoken` | the two file formats |

mod ascii;
mod cache;
pub mod conversation;
mod counts;
mod error;
mod hf;
mod merge;
mod special;
mod split;
mod tiktoken;
mod tokenizer;
mod train;
mod unicode;

pub use counts::{MAX_PRETOKEN_BYTES, MAX_PRETOKENS, PretokenCounts};
pub use error::TokenizerError;
pub use special::{BOS, DEFAULT_SPECIALS, default_specials};
pub use split::Pattern;
pub use tiktoken::{CL100K_BASE, NAMES, O200K_BASE, R50K_BASE};
pub use tokenizer::Tokenizer;
pub use train::{TrainOptions, train};
