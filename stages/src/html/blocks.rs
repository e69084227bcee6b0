//! The page as a list of blocks: runs of text between the boundaries of block elements, with what is known of each.
//!
//! One pass in document order. What an element inherits (its ancestors' hints and tags) is a mask that is handed down,
//! so nothing looks up or down twice.

use std::collections::HashMap;

use super::classes::{self, Mask};
use super::dom::{AttributeName, Dom, NONE, Node, Tag};
use crate::hashing::FastHash;

/// Inside `<article>`.
pub const IN_ARTICLE: Mask = 1 << 48;
/// Inside `<main>` or `role=main`, or an `itemprop` that names a body.
pub const IN_MAIN: Mask = 1 << 49;
/// Inside `<nav>` or a navigation role.
pub const IN_NAV: Mask = 1 << 50;
/// Inside `<aside>` or `role=complementary`.
pub const IN_ASIDE: Mask = 1 << 51;
/// Inside `<footer>` or `role=contentinfo`.
pub const IN_FOOTER: Mask = 1 << 52;
/// Inside `<header>` or `role=banner`.
pub const IN_HEADER: Mask = 1 << 53;
/// Inside `<form>`.
pub const IN_FORM: Mask = 1 << 54;
/// Inside an element that a browser does not show.
pub const HIDDEN: Mask = 1 << 55;
/// Inside a link.
pub const IN_LINK: Mask = 1 << 56;
/// Inside a table.
pub const IN_TABLE: Mask = 1 << 57;
/// Inside a list.
pub const IN_LIST: Mask = 1 << 58;
/// Inside a quotation.
pub const IN_QUOTE: Mask = 1 << 59;
/// Inside preformatted text.
pub const IN_PRE: Mask = 1 << 60;
/// Inside a figure.
pub const IN_FIGURE: Mask = 1 << 61;
/// Inside a button or label.
pub const IN_BUTTON: Mask = 1 << 62;
/// Inside `<noscript>`.
pub const IN_NOSCRIPT: Mask = 1 << 63;

/// Counts over a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Characters, white space not counted.
    pub chars: u32,
    /// The same, inside links.
    pub link_chars: u32,
    /// Runs of non-space characters; every CJK character is one.
    pub words: u32,
    /// Commas of any script.
    pub commas: u32,
    /// Marks that end sentences, of any script.
    pub stops: u32,
    /// Decimal digits.
    pub digits: u32,
    /// Upper-case letters.
    pub capitals: u32,
}

impl Counts {
    /// Adds another text's counts.
    pub fn add(&mut self, other: &Self) {
        self.chars += other.chars;
        self.link_chars += other.link_chars;
        self.words += other.words;
        self.commas += other.commas;
        self.stops += other.stops;
        self.digits += other.digits;
        self.capitals += other.capitals;
    }

    /// Share of characters inside links, 0 for no text.
    pub fn link_share(&self) -> f32 {
        self.link_chars as f32 / self.chars.max(1) as f32
    }

    fn of(text: &str, linked: bool) -> Self {
        let mut counts = Self::default();
        let mut in_word = false;
        for c in text.chars() {
            if c.is_whitespace() {
                in_word = false;
                continue;
            }
            counts.chars += 1;
            let ideograph =
                matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}');
            if ideograph || !in_word {
                counts.words += 1;
            }
            in_word = !ideograph;
            match c {
                ',' | '、' | '，' | '،' => counts.commas += 1,
                '.' | '!' | '?' | '。' | '！' | '？' | '۔' | '।' => counts.stops += 1,
                '0'..='9' => counts.digits += 1,
                _ if c.is_uppercase() => counts.capitals += 1,
                _ => {}
            }
        }
        if linked {
            counts.link_chars = counts.chars;
        }
        counts
    }
}

/// A run of text between the boundaries of block elements.
#[derive(Clone, Debug)]
pub struct Block {
    /// The innermost block element around it.
    pub node: u32,
    /// Its tag.
    pub tag: Tag,
    /// First text node.
    pub first: u32,
    /// Last text node.
    pub last: u32,
    /// Hints and tags of the element and all its ancestors below `<body>`.
    pub around: Mask,
    /// Hints of the element, its parent and its grandparent alone.
    pub near: Mask,
    /// What the text holds.
    pub counts: Counts,
    /// Whether the text ends like a sentence.
    pub ends_sentence: bool,
    /// Nesting below the root.
    pub depth: u32,
}

/// A page's blocks.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    /// In document order.
    pub blocks: Vec<Block>,
    /// For every node, the block of a text, or [`NONE`].
    pub block_of: Vec<u32>,
    /// Hints of `<html>` and `<body>`, which tell what kind of page it is.
    pub page: Mask,
    /// For every element a hash of its tag and class: what it looks like.
    pub look: Vec<u32>,
}

impl Blocks {
    /// Cuts a page into blocks.
    pub fn of(dom: &Dom) -> Self {
        let total = dom.nodes.len();
        let mut page =
            Self { blocks: Vec::new(), block_of: vec![NONE; total], page: 0, look: vec![0; total] };
        let mut around: Vec<Mask> = vec![0; total];
        let mut own: Vec<Mask> = vec![0; total];
        let mut depth: Vec<u32> = vec![0; total];
        let mut known = Known::default();
        // The innermost block element of every node; a new block begins wherever it changes or a boundary was passed.
        let mut block_node: Vec<u32> = vec![0; total];
        let mut boundary = true;
        let mut open_until: Vec<u32> = Vec::new();
        let mut id = 0;
        while id < total {
            while open_until.last().is_some_and(|&end| end as usize <= id) {
                open_until.pop();
                boundary = true;
            }
            let node = dom.nodes[id];
            let parent = node.parent;
            let (inherited, parent_block) = if parent == NONE {
                (0, 0)
            } else {
                depth[id] = depth[parent as usize] + 1;
                (around[parent as usize], block_node[parent as usize])
            };
            if node.tag == Tag::Text {
                let text = dom.text(id as u32);
                let counts = Counts::of(text, inherited & IN_LINK != 0);
                // A hidden part of a visible block (a formula's second form, a label for machines) is no text of it.
                let hidden_part = (inherited & !around[parent_block as usize]) & HIDDEN != 0;
                if counts.chars == 0 && !boundary && !hidden_part {
                    // The space between two words in elements of their own is part of what they are part of.
                    page.block_of[id] = (page.blocks.len() - 1) as u32;
                } else if counts.chars > 0 && !hidden_part {
                    if boundary {
                        page.begin(dom, id as u32, parent_block, inherited, &own, &depth);
                        boundary = false;
                    }
                    let index = page.blocks.len() - 1;
                    page.block_of[id] = index as u32;
                    let block = &mut page.blocks[index];
                    block.last = id as u32;
                    block.counts.add(&counts);
                    if inherited & IN_LINK == 0 {
                        block.around &= !IN_LINK;
                    }
                    block.ends_sentence = ends_sentence(text);
                }
                id += 1;
                continue;
            }
            if is_never_text(dom, id as u32, &node) {
                if node.tag.is_block() {
                    boundary = true;
                }
                id = node.end as usize;
                continue;
            }
            let hints = hints(dom, id as u32, &mut known);
            page.look[id] = look(dom, id as u32, node.tag);
            if matches!(node.tag, Tag::Html | Tag::Body | Tag::Document) {
                page.page |= hints;
            } else {
                own[id] = hints;
                around[id] = inherited | hints | tag_mask(dom, id as u32, &node);
            }
            block_node[id] = parent_block;
            if node.tag.is_block() {
                block_node[id] = id as u32;
                boundary = true;
                open_until.push(node.end);
            }
            id += 1;
        }
        page
    }

    fn begin(&mut self, dom: &Dom, text: u32, node: u32, around: Mask, own: &[Mask], depth: &[u32]) {
        let mut near = own[node as usize] | own[dom.nodes[text as usize].parent as usize];
        let mut above = node;
        for _ in 0..2 {
            above = dom.nodes[above as usize].parent;
            if above == NONE {
                break;
            }
            near |= own[above as usize];
        }
        self.blocks.push(Block {
            node,
            tag: dom.nodes[node as usize].tag,
            first: text,
            last: text,
            around,
            near,
            counts: Counts::default(),
            ends_sentence: false,
            depth: depth[node as usize],
        });
    }
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end().ends_with(['.', '!', '?', '。', '！', '？', '۔', '।', '…', ':', ';', '”', '"', '」'])
}

/// Elements whose text no reader sees as text.
fn is_never_text(dom: &Dom, id: u32, node: &Node) -> bool {
    match node.tag {
        Tag::Script => {
            !dom.attribute(id, AttributeName::Type).is_some_and(|kind| kind.starts_with("math/tex"))
        }
        Tag::Template => dom.attribute(id, AttributeName::Shadowrootmode).is_none(),
        Tag::Head
        | Tag::Style
        | Tag::Svg
        | Tag::Iframe
        | Tag::Noframes
        | Tag::Noembed
        | Tag::Applet
        | Tag::Canvas
        | Tag::Select
        | Tag::Option
        | Tag::Optgroup
        | Tag::Datalist
        | Tag::Input
        | Tag::Textarea
        | Tag::Audio
        | Tag::Video
        | Tag::Progress
        | Tag::Rp
        | Tag::Rt
        | Tag::Rtc
        | Tag::Title
        | Tag::Map
        | Tag::Embed
        | Tag::Link
        | Tag::Meta => true,
        _ => false,
    }
}

/// Hints of the classes seen so far: most of a page's are those of other elements.
type Known<'a> = HashMap<&'a str, Mask, FastHash>;

fn hints<'a>(dom: &'a Dom, id: u32, known: &mut Known<'a>) -> Mask {
    let class = dom.attribute(id, AttributeName::Class);
    let class = class.map_or(0, |class| *known.entry(class).or_insert_with(|| classes::mask(class)));
    let name = dom.attribute(id, AttributeName::Id).map_or(0, classes::mask);
    class | name
}

/// Digits left out, which number what is alike; endless classes say at the front what they are.
fn look(dom: &Dom, id: u32, tag: Tag) -> u32 {
    let mut hash = 0x811C_9DC5 ^ tag as u32;
    for &byte in dom.attribute(id, AttributeName::Class).unwrap_or_default().as_bytes().iter().take(64) {
        if !byte.is_ascii_digit() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

fn tag_mask(dom: &Dom, id: u32, node: &Node) -> Mask {
    let mut mask = match node.tag {
        Tag::Article => IN_ARTICLE,
        Tag::Main => IN_MAIN,
        Tag::Nav => IN_NAV,
        Tag::Aside => IN_ASIDE,
        Tag::Footer => IN_FOOTER,
        Tag::Header => IN_HEADER,
        Tag::Form => IN_FORM,
        Tag::A => IN_LINK,
        Tag::Table => IN_TABLE,
        Tag::Ul | Tag::Ol | Tag::Dl | Tag::Menu => IN_LIST,
        Tag::Blockquote => IN_QUOTE,
        Tag::Pre => IN_PRE,
        Tag::Figure => IN_FIGURE,
        Tag::Button | Tag::Label | Tag::Legend => IN_BUTTON,
        Tag::Noscript => IN_NOSCRIPT,
        _ => 0,
    };
    if node.tag == Tag::A && dom.attribute(id, AttributeName::Href).is_none() {
        mask = 0;
    }
    match dom.attribute(id, AttributeName::Role) {
        Some("main") => mask |= IN_MAIN,
        Some("navigation" | "menu" | "menubar") => mask |= IN_NAV,
        Some("complementary") => mask |= IN_ASIDE,
        Some("contentinfo") => mask |= IN_FOOTER,
        Some("banner") => mask |= IN_HEADER,
        Some("search") => mask |= IN_FORM,
        Some("dialog" | "alertdialog") => mask |= classes::MODAL,
        Some("button") => mask |= IN_BUTTON,
        _ => {}
    }
    if let Some("articleBody" | "reviewBody" | "recipeInstructions" | "mainContentOfPage") =
        dom.attribute(id, AttributeName::Itemprop)
    {
        mask |= IN_MAIN;
    }
    if is_hidden(dom, id) {
        mask |= HIDDEN;
    }
    mask
}

/// Whether a browser hides the element, formulas aside: pages hide the readable form of those behind a picture.
fn is_hidden(dom: &Dom, id: u32) -> bool {
    let hidden = dom.attribute(id, AttributeName::Hidden).is_some_and(|value| value != "until-found")
        || dom.attribute(id, AttributeName::AriaHidden) == Some("true")
        || dom.attribute(id, AttributeName::Style).is_some_and(hides);
    hidden
        && !(id + 1..dom.nodes[id as usize].end.min(id + 4))
            .any(|inner| dom.nodes[inner as usize].tag == Tag::Math)
}

fn hides(style: &str) -> bool {
    style.split(';').any(|declaration| {
        let Some((property, value)) = declaration.split_once(':') else { return false };
        let (property, value) = (property.trim(), value.trim());
        (property.eq_ignore_ascii_case("display") && value.to_ascii_lowercase().starts_with("none"))
            || (property.eq_ignore_ascii_case("visibility")
                && value.to_ascii_lowercase().starts_with("hidden"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::dom::Limits;

    fn blocks(html: &str) -> Vec<(Tag, Mask, Counts)> {
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        Blocks::of(&dom).blocks.iter().map(|block| (block.tag, block.around, block.counts)).collect()
    }

    #[test]
    fn counts_see_every_script() {
        let counts = Counts::of("Ab, c! 12。", true);
        assert_eq!((counts.chars, counts.words, counts.commas, counts.stops), (8, 3, 1, 2));
        assert_eq!((counts.digits, counts.capitals, counts.link_chars), (2, 1, 8));
        assert_eq!(Counts::of("水車の話", false).words, 4);
    }

    #[test]
    fn a_block_ends_where_a_block_element_begins_or_ends() {
        let found = blocks("<div>one <b>two</b><p>three</p>four</div>");
        let tags: Vec<Tag> = found.iter().map(|block| block.0).collect();
        assert_eq!(tags, [Tag::Div, Tag::P, Tag::Div]);
        assert_eq!(found[0].2.words, 2);
    }

    #[test]
    fn what_stands_around_a_block_is_handed_down() {
        let found =
            blocks("<nav><ul><li><a href=/>x</a></ul></nav><div style='display: none'><p>y</p></div><p>z");
        assert_eq!(found[0].1 & (IN_NAV | IN_LIST | IN_LINK), IN_NAV | IN_LIST | IN_LINK);
        assert_eq!(found[1].1, HIDDEN);
        assert_eq!(found[2].1, 0);
    }

    #[test]
    fn scripts_and_hidden_parts_are_no_text() {
        let found = blocks("<p>a<script>b</script><span aria-hidden=true>c</span><select><option>d</select>");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].2.chars, 1);
    }
}
