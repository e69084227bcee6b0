//! From a page's markup to the text that a reader came for: parse, cut into blocks, choose, render.

pub mod blocks;
pub mod choice;
pub mod classes;
pub mod content;
mod cues;
mod doctype;
pub mod dom;
pub mod extract;
pub mod features;
mod groups;
pub mod lexicon;
pub mod model;
mod page_facts;
mod page_type;
mod phrases;
mod programs;
mod references;
pub mod render;
mod repeats;
pub mod sections;
mod strip;
mod tables;
mod tags;
mod tex;
mod tokens;
mod tree;
pub mod words;
mod writer;

pub use extract::{Extracted, Extraction, Options, extract};
pub use page_type::{Judged, PageType};
pub use render::Format;
