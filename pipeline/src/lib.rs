//! The engine: reads a recipe, plans it, works it off and shows what came out.
//!
//! - [`config`]: a recipe file, with every mistake reported at once.
//! - [`plan`]: what a recipe comes to: steps of tasks, each with the fingerprint of its result.
//! - [`exec`]: does one task, closes one step, or all of them on this machine.
//! - [`run`]: what `gristmill run` does from recipe to published results.
//! - [`report`]: shows what a run kept and dropped. The only part that uses polars.
//! - [`cli`]: one file a command.

pub mod cli;
pub mod config;
pub mod exec;
pub mod plan;
pub mod report;
pub mod run;
