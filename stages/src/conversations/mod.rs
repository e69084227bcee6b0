//! Sources of conversations, one a published form: each turns rows into documents with a column `messages`, which
//! `conversation_shards` renders, and a `text` that people and other stages read.
//!
//! `found` is what they share: when messages are a conversation, and how one becomes a document.

pub mod alpaca;
mod found;
pub mod oasst;
pub mod openai;
pub mod sharegpt;
pub mod smoltalk;
