//! From a page's markup to the text that a reader came for: parse, cut into blocks, choose, render.

pub mod blocks;
pub mod classes;
pub mod content;
pub mod dom;
pub mod extract;
pub mod features;
pub mod model;
pub mod render;

pub use extract::{Extracted, Extraction, Options, extract};
pub use render::Format;
