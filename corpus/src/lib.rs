//! Gristmill's vocabulary: what the other crates mean when they say document, batch, shard or manifest.
//!
//! - **document**: one row, one web page. **batch** ([`DocBatch`]): a checked Arrow record batch of documents.
//! - **split**: one input file, or a range of it. **stage**: one node of a recipe's DAG.
//! - **verdict**: keep, or drop with a **reason** (a stable snake_case word).
//! - **exchange**: a stage that regroups rows over all splits. **segment**: a fused chain of narrow stages.
//! - **plan**: what a recipe comes to. **task**: one step of the plan on one split. **run**: a plan being worked off.
//! - **shard**: one token file ([`shards`]).
//!
//! This crate knows no HTML, no threads and no GPU.

pub mod batch;
mod binary;
pub mod columns;
pub mod error;
pub mod files;
pub mod fingerprint;
pub mod jsonl;
pub mod keyed;
pub mod manifest;
pub mod pack_plan;
pub mod packing;
pub mod parquet_files;
pub mod permutation;
pub mod printable;
pub mod shards;
pub mod shuffle;
pub mod sketches;
pub mod sorted_runs;
pub mod sorter;

pub use batch::{DocBatch, DocBatchBuilder};
pub use error::CorpusError;
