//! From a page's markup to the text that a reader came for: parse, cut into blocks, choose, render.

pub mod blocks;
pub mod classes;
pub mod content;
mod doctype;
pub mod dom;
pub mod extract;
pub mod features;
pub mod model;
mod programs;
mod references;
pub mod render;
mod strip;
mod tables;
mod tags;
mod tex;
mod tokens;
mod tree;
mod writer;

pub use extract::{Extracted, Extraction, Options, extract};
pub use render::Format;
