//! One file a command: what it accepts (`Arguments`) and what it does (`run`). What computes is the library; these parse,
//! call it and print.

pub mod bench;
pub mod chat;
pub mod eval;
pub mod eval_chat;
pub mod export;
pub mod import;
pub mod logits;
pub mod memorize;
pub mod options;
pub mod pack;
pub mod plan;
pub mod pretrain;
pub mod probe;
pub mod processes;
pub mod sample;
pub mod selftest;
pub mod sft;
