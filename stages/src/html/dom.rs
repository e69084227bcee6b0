//! A page as a flat tree: nodes in document order, tags interned, text and attributes as ranges.
//!
//! "All descendants of `n`" is the range `n + 1..end`, so that every later pass is a loop without recursion.
//!
//! Hostile pages are bounded by counted work, never by time, so that the same page gives the same tree on any machine.

use html5ever::buffer_queue::BufferQueue;
use html5ever::interface::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Tokenizer, TokenizerOpts};

use super::tokens;
use super::tree::Guard;

pub use super::tags::{AttributeName, Tag};

/// No node: the parent of the root.
pub const NONE: u32 = u32::MAX;

/// What a page may cost before its markup is given up.
///
/// The defaults lie far above every page of the development sets: at most 34,000 nodes, 141 deep, at least 10 bytes of
/// page for every node, and .7 steps for every byte. They keep a page below 200 ms of one core and its memory below
/// twenty times its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest page in bytes that is parsed.
    pub bytes: usize,
    /// Most nodes (elements and texts) of a tree.
    pub nodes: usize,
    /// Fewest bytes of page for each node, beyond the first 10,000 nodes.
    pub bytes_per_node: usize,
    /// Deepest nesting; start tags below are ignored, as browsers do at 512.
    pub depth: u32,
    /// Most attributes of one tag.
    pub attributes: usize,
    /// Most steps of tree construction for each byte of input, beyond a floor of 2 million.
    pub steps_per_byte: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            nodes: 500_000,
            bytes_per_node: 8,
            depth: 256,
            attributes: 500,
            steps_per_byte: 2,
        }
    }
}

/// Why a page was not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// The page is longer than [`Limits::bytes`].
    Bytes,
    /// The tree has more than [`Limits::nodes`], or more than [`Limits::bytes_per_node`] allows.
    Nodes,
    /// A tag has more than [`Limits::attributes`].
    Attributes,
    /// Tree construction took more than [`Limits::steps_per_byte`] allows.
    Steps,
}

impl TooMuch {
    /// Its name in the column `extraction`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "text_only_bytes",
            Self::Nodes => "text_only_nodes",
            Self::Attributes => "text_only_attributes",
            Self::Steps => "text_only_steps",
        }
    }
}

/// Where an attribute's value lies in the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttributeRange {
    pub(super) name: AttributeName,
    pub(super) start: u32,
    pub(super) length: u32,
}

/// One node of a [`Dom`].
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub tag: Tag,
    /// Its parent, [`NONE`] for the root.
    pub parent: u32,
    /// One past its last descendant.
    pub end: u32,
    /// For a text: offset and length in the text buffer. For an element: first and number of its attributes.
    pub(super) start: u32,
    pub(super) length: u32,
}

/// A parsed page in document order; node 0 is the root.
#[derive(Clone, Debug, Default)]
pub struct Dom {
    /// All nodes; every child lies after its parent.
    pub nodes: Vec<Node>,
    pub(super) attributes: Vec<AttributeRange>,
    pub(super) buffer: String,
    /// Whether start tags below [`Limits::depth`] were ignored.
    pub cut_depth: bool,
    /// Steps of tree construction that it took.
    pub steps: u64,
}

impl Dom {
    /// Parses a page, scripting off, so that `<noscript>` is markup.
    ///
    /// # Errors
    /// Says which limit the page exceeds.
    pub fn parse(html: &str, limits: &Limits) -> Result<Self, TooMuch> {
        let guard = Guard::new(html, limits)?;
        tokens::tokenize(html, &guard);
        guard.into_dom()
    }

    /// The same by html5ever's own tokenizer: the oracle of [`Dom::parse`], for pages that mean no harm. It compares
    /// every attribute of a tag with all before it.
    pub fn parse_plain(html: &str, limits: &Limits) -> Result<Self, TooMuch> {
        // With `discard_bom` html5ever 0.40 drops a mark behind every script, too: `feed` never turns it off.
        let options = TokenizerOpts { discard_bom: false, ..TokenizerOpts::default() };
        let tokenizer = Tokenizer::new(Guard::new(html, limits)?, options);
        let queue = BufferQueue::default();
        queue.push_back(StrTendril::from_slice(html.strip_prefix('\u{feff}').unwrap_or(html)));
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
        tokenizer.end();
        tokenizer.sink.into_dom()
    }

    /// The text of a text node; empty for elements.
    pub fn text(&self, node: u32) -> &str {
        let node = &self.nodes[node as usize];
        if node.tag == Tag::Text {
            &self.buffer[node.start as usize..(node.start + node.length) as usize]
        } else {
            ""
        }
    }

    /// An attribute's value, if the element has it.
    pub fn attribute(&self, node: u32, name: AttributeName) -> Option<&str> {
        let node = &self.nodes[node as usize];
        if node.tag == Tag::Text {
            return None;
        }
        self.attributes[node.start as usize..(node.start + node.length) as usize]
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| {
                &self.buffer[attribute.start as usize..(attribute.start + attribute.length) as usize]
            })
    }

    /// All attributes of an element that extraction reads.
    pub fn attributes(&self, node: u32) -> impl Iterator<Item = (AttributeName, &str)> {
        let node = &self.nodes[node as usize];
        let range = if node.tag == Tag::Text { 0..0 } else { node.start..node.start + node.length };
        self.attributes[range.start as usize..range.end as usize].iter().map(|attribute| {
            let (start, end) = (attribute.start as usize, (attribute.start + attribute.length) as usize);
            (attribute.name, &self.buffer[start..end])
        })
    }

    /// All text below a node, as it stands.
    pub fn inner_text(&self, node: u32) -> String {
        (node..self.nodes[node as usize].end).map(|inner| self.text(inner)).collect()
    }

    /// The first descendant with a tag.
    pub fn find(&self, node: u32, tag: Tag) -> Option<u32> {
        (node + 1..self.nodes[node as usize].end).find(|&inner| self.nodes[inner as usize].tag == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(html: &str) -> String {
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let mut out = String::new();
        let mut open: Vec<u32> = Vec::new();
        for id in 0..dom.nodes.len() as u32 {
            while open.last().is_some_and(|&last| dom.nodes[last as usize].end <= id) {
                open.pop();
                out.push(')');
            }
            let node = dom.nodes[id as usize];
            if node.tag == Tag::Text {
                out.push_str(&format!("{:?}", dom.text(id)));
            } else {
                out.push_str(&format!("{:?}(", node.tag));
                open.push(id);
            }
        }
        out + &")".repeat(open.len())
    }

    #[test]
    fn builds_the_tree_that_browsers_build() {
        assert_eq!(outline("<p>a<p>b"), r#"Document(Html(Head()Body(P("a")P("b"))))"#);
        assert_eq!(
            outline("<table><tr><td>x</td>stray</table>"),
            r#"Document(Html(Head()Body("stray"Table(Tbody(Tr(Td("x")))))))"#
        );
        assert_eq!(outline("<b>1<p>2</b>3"), r#"Document(Html(Head()Body(B("1")P(B("2")"3"))))"#);
        assert_eq!(outline("<noscript><p>x"), r#"Document(Html(Head(Noscript())Body(P("x"))))"#);
    }

    #[test]
    fn reads_attributes_and_texts() {
        let dom =
            Dom::parse("<div class='a b' id=c data-x=1>t&amp;u</div>", &Limits::default()).expect("small");
        let div = dom.find(0, Tag::Div).expect("div");
        assert_eq!(dom.attribute(div, AttributeName::Class), Some("a b"));
        assert_eq!(dom.attribute(div, AttributeName::Id), Some("c"));
        assert_eq!(dom.attribute(div, AttributeName::Href), None);
        assert_eq!(dom.inner_text(div), "t&u");
    }

    #[test]
    fn limits_are_named() {
        let limits = Limits { bytes: 100, nodes: 10, attributes: 2, ..Limits::default() };
        let parse = |html: &str| Dom::parse(html, &limits).err();
        assert_eq!(parse(&"x".repeat(101)), Some(TooMuch::Bytes));
        assert_eq!(parse(&"<p>".repeat(20)), Some(TooMuch::Nodes));
        assert_eq!(parse("<p a b c>"), Some(TooMuch::Attributes));
        assert_eq!(parse("<p>fine"), None);
    }

    #[test]
    fn deep_nesting_is_cut_and_loses_no_text() {
        let html = format!("{}deep{}after", "<div>".repeat(2_000), "</div>".repeat(2_000));
        let dom = Dom::parse(&html, &Limits::default()).expect("cut, not refused");
        assert!(dom.cut_depth);
        let text = dom.inner_text(0);
        assert!(text.contains("deep") && text.contains("after"));
    }
}
