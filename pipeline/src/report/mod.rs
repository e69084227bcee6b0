//! Shows what a run kept and dropped, and why.

pub mod clusters;
pub mod diff;
pub mod export;
pub mod parts;
pub mod preview;
pub mod reference;
pub mod rows;
pub mod shard_folders;
pub mod sql;
pub mod stats;
pub mod trace;
pub mod why;
