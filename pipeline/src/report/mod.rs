//! Shows what a run kept and dropped, and why.

pub mod clusters;
pub mod diff;
pub mod parts;
pub mod preview;
pub mod reference;
pub mod rows;
pub mod sql;
pub mod stats;
pub mod why;
