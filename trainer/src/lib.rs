//! Pretrain, sample and measure small language models on Gristmill's token shards.
//!
//! | module | answers |
//! |---|---|
//! | [`config`], [`depth`] | what is a run asked to do? |
//! | [`model`] | which parameters has a decoder, and what does it compute? |
//! | [`loss`] | how wrong is it, and in which direction? |
//! | [`host`], [`kernels`] | how does a CPU compute loss and gradient fast? |
//! | [`schedule`], [`optimizer`], [`muon`], [`step`] | how does one step change it? |
//! | [`plan`] | what will a run cost? |
//! | [`loader`], [`shards`], [`packing`] | what does a step read? |
//! | [`pretrain`] | the loop |
//! | [`ranks`], [`share`], [`sums`] | how do several processes train one model? |
//! | [`conversations`], [`sft`], [`lora`] | how does a chat model come of a base model? |
//! | [`checkpoint`] | how does a run survive being killed? |
//! | [`evaluate`], [`evals`], [`compressors`] | what did it learn? |
//! | [`memorize`] | what does it know by heart? |
//! | [`mod@reader`], [`generate`], [`few_shot`] | what does it read, and what does it write? |
//! | [`chat`], [`tools`] | what does it answer? |
//! | [`probe`] | what does it not know? |
//! | [`huggingface`], [`gguf`] | in which files do other programs read and write models? |
//! | [`device`], [`selftest`], [`mod@bench`] | where does it run, is that right, and how fast? |
//! | [`metrics`], [`tensorboard`] | what does a run leave to be looked at? |
//! | [`progress`], [`random`] | helpers of the above |
//!
//! Everything on the CPU is a pure function of config, shards and tokenizer: the same bytes for any number of
//! threads and of kills.

pub mod bench;
pub mod chat;
pub mod checkpoint;
pub mod compressors;
pub mod config;
pub mod conversations;
pub mod depth;
pub mod device;
pub mod evals;
pub mod evaluate;
pub mod few_shot;
pub mod generate;
pub mod gguf;
pub mod host;
pub mod huggingface;
pub mod kernels;
pub mod loader;
pub mod lora;
pub mod loss;
pub mod memorize;
pub mod metrics;
pub mod model;
pub mod muon;
pub mod optimizer;
pub mod packing;
pub mod plan;
pub mod pretrain;
pub mod probe;
pub mod progress;
pub mod random;
pub mod ranks;
pub mod reader;
pub mod schedule;
pub mod selftest;
pub mod sft;
pub mod shards;
pub mod share;
pub mod step;
pub mod sums;
pub mod tensorboard;
pub mod tools;
