//! The page as a list of blocks: runs of text between the boundaries of block elements, with what is known of each.
//!
//! One pass in document order. What an element inherits (its ancestors' hints and tags) is a mask that is handed down,
//! so nothing looks up or down twice.

use std::collections::HashMap;

use super::classes::{self, Mask};
use super::dom::{AttributeName, Dom, NONE, Node, Tag};
use super::lexicon::{LEXICON, Lexicon, NameWeights, add_names};
use super::words;
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
        let mut rest = text.as_bytes();
        let [mut spans, mut marks, mut others] = [0_u64; 3];
        while let Some((&byte, behind)) = rest.split_first() {
            if byte.is_ascii() {
                let [is_char, mark, other] = ASCII[usize::from(byte)];
                spans = spans.wrapping_add(is_char | (is_char & u64::from(!in_word)) << 32);
                marks = marks.wrapping_add(mark);
                others = others.wrapping_add(other);
                in_word = is_char == 1;
                rest = behind;
                continue;
            }
            let at = text.len() - rest.len();
            let c = text[at..].chars().next().expect("a letter begins here");
            rest = &rest[c.len_utf8()..];
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
                '、' | '，' | '،' => counts.commas += 1,
                '。' | '！' | '？' | '۔' | '।' => counts.stops += 1,
                _ if c.is_uppercase() => counts.capitals += 1,
                _ => {}
            }
        }
        let (low, high) = (|two: u64| two as u32, |two: u64| (two >> 32) as u32);
        counts.chars += low(spans);
        counts.words += high(spans);
        counts.commas += low(marks);
        counts.stops += high(marks);
        counts.digits += low(others);
        counts.capitals += high(others);
        if linked {
            counts.link_chars = counts.chars;
        }
        counts
    }
}

/// What every ASCII character adds to two counts each, one in either half of a number: to characters (and words), to commas and
/// stops, to digits and capitals.
static ASCII: [[u64; 3]; 128] = {
    let mut all = [[0; 3]; 128];
    let mut code = 0;
    while code < 128 {
        let c = code as u8 as char;
        all[code] = [
            !matches!(c, ' ' | '\t'..='\r') as u64,
            matches!(c, ',') as u64 | (matches!(c, '.' | '!' | '?') as u64) << 32,
            c.is_ascii_digit() as u64 | (c.is_ascii_uppercase() as u64) << 32,
        ];
        code += 1;
    }
    all
};

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
    /// What the names around it weigh, by [`Field::Own`], [`Field::Near`] and [`Field::Far`].
    ///
    /// [`Field::Own`]: super::lexicon::Field::Own
    /// [`Field::Near`]: super::lexicon::Field::Near
    /// [`Field::Far`]: super::lexicon::Field::Far
    pub names: NameWeights,
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

/// An element around the text that the pass has come to.
struct Open {
    end: u32,
    node: u32,
    tag: Tag,
    /// Its hints.
    own: Mask,
    /// Hints and tags of it and all its ancestors below `<body>`.
    around: Mask,
    /// What its names weigh as its own, as those of one or two elements above, and with all above it as further up.
    names: NameWeights,
    /// The innermost block element, by its place among those that are open.
    block: usize,
}

impl Blocks {
    /// Cuts a page into blocks.
    pub fn of(dom: &Dom) -> Self {
        Self::with(dom, &LEXICON)
    }

    /// The same with other weights.
    pub fn with(dom: &Dom, lexicon: &Lexicon) -> Self {
        let total = dom.nodes.len();
        let mut page =
            Self { blocks: Vec::new(), block_of: vec![NONE; total], page: 0, look: vec![0; total] };
        let mut classes = Classes { known: HashMap::default(), lexicon };
        let mut open: Vec<Open> = Vec::new();
        // A new block begins wherever the innermost block element changes or a boundary was passed.
        let mut boundary = true;
        let mut id = 0;
        while id < total {
            while let Some(closed) = open.pop_if(|element| element.end as usize <= id) {
                boundary |= closed.tag.is_block();
            }
            let node = dom.nodes[id];
            let above = open.last();
            let (inherited, block) = above.map_or((0, 0), |above| (above.around, above.block));
            if node.tag == Tag::Text {
                let text = dom.text(id as u32);
                let counts = Counts::of(text, inherited & IN_LINK != 0);
                // A hidden part of a visible block (a formula's second form, a label for machines) is no text of it.
                let outside = open.get(block).map_or(0, |element| element.around);
                let hidden_part = (inherited & !outside) & HIDDEN != 0;
                if counts.chars == 0 && !boundary && !hidden_part {
                    // The space between two words in elements of their own is part of what they are part of.
                    page.block_of[id] = (page.blocks.len() - 1) as u32;
                } else if counts.chars > 0 && !hidden_part {
                    if boundary {
                        page.begin(id as u32, &open);
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
                boundary |= node.tag.is_block();
                id = node.end as usize;
                continue;
            }
            let Element { hints, marks, mut names, look } = classes.element(dom, id as u32);
            page.look[id] = look;
            let (mut own, mut around) = (hints, inherited | hints | marks);
            if is_page(node.tag) {
                page.page |= hints;
                (own, around, names) = (0, 0, [0; 3]);
            }
            names[2] = names[2].saturating_add(above.map_or(0, |above| above.names[2]));
            let block = if node.tag.is_block() { open.len() } else { block };
            boundary |= node.tag.is_block();
            open.push(Open { end: node.end, node: id as u32, tag: node.tag, own, around, names, block });
            id += 1;
        }
        // Much is made of every block from here on: no room for more of them is held meanwhile.
        page.blocks.shrink_to_fit();
        page
    }

    /// Begins a block with a text inside the elements that are open.
    fn begin(&mut self, text: u32, open: &[Open]) {
        let inner = open.last().expect("every text lies below the root");
        let at = inner.block;
        let above = |steps: usize| at.checked_sub(steps).map(|at| &open[at]);
        let hints = |steps: usize| above(steps).map_or(0, |element| element.own);
        let names = |steps: usize, field: usize| above(steps).map_or(0, |element| element.names[field]);
        let inside = if inner.node == open[at].node { 0 } else { inner.names[0] };
        self.blocks.push(Block {
            node: open[at].node,
            tag: open[at].tag,
            first: text,
            last: text,
            around: inner.around,
            near: inner.own | hints(0) | hints(1) | hints(2),
            names: [names(0, 0).saturating_add(inside), names(1, 1).saturating_add(names(2, 1)), names(3, 2)],
            counts: Counts::default(),
            ends_sentence: false,
            depth: at as u32,
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

/// What an element's attributes say.
struct Element {
    hints: Mask,
    /// What its tag and other attributes than names say.
    marks: Mask,
    names: NameWeights,
    look: u32,
}

/// What a class attribute says.
#[derive(Clone, Copy)]
struct Class {
    hints: Mask,
    names: NameWeights,
    look: u32,
}

impl Class {
    const NONE: Self = Self { hints: 0, names: [0; 3], look: words::BASIS };

    fn of(names: &str, lexicon: &Lexicon) -> Self {
        // Digits left out, which number what is alike; endless classes say at the front what they are.
        let letters = names.bytes().take(64).filter(|byte| !byte.is_ascii_digit()).map(u32::from);
        let look = letters.fold(words::BASIS, words::step);
        Self { hints: classes::mask(names), names: lexicon.names(names), look }
    }
}

/// The classes seen so far: most of a page's are those of other elements.
struct Classes<'a> {
    known: HashMap<&'a str, Class, FastHash>,
    lexicon: &'a Lexicon,
}

impl<'a> Classes<'a> {
    /// Reads the attributes of an element.
    fn element(&mut self, dom: &'a Dom, id: u32) -> Element {
        let tag = dom.nodes[id as usize].tag;
        let (mut class, mut hints, mut marks, mut names) = (Class::NONE, 0, 0, [0; 3]);
        let (mut links, mut hidden) = (false, false);
        for (name, value) in dom.attributes(id) {
            match name {
                AttributeName::Class => {
                    class = *self.known.entry(value).or_insert_with(|| Class::of(value, self.lexicon));
                    hints |= class.hints;
                    add_names(&mut names, class.names);
                }
                AttributeName::Id => {
                    hints |= classes::mask(value);
                    add_names(&mut names, self.lexicon.names(value));
                }
                AttributeName::Itemprop => {
                    add_names(&mut names, self.lexicon.names(value));
                    if matches!(
                        value,
                        "articleBody" | "reviewBody" | "recipeInstructions" | "mainContentOfPage"
                    ) {
                        marks |= IN_MAIN;
                    }
                }
                AttributeName::Role => marks |= role_mask(value),
                AttributeName::Href => links = true,
                AttributeName::Hidden => hidden |= value != "until-found",
                AttributeName::AriaHidden => hidden |= value == "true",
                AttributeName::Style => hidden |= hides(value),
                _ => {}
            }
        }
        if tag != Tag::A || links {
            marks |= tag_mask(tag);
        }
        if hidden && !is_formula(dom, id) {
            marks |= HIDDEN;
        }
        Element { hints, marks, names, look: words::step(class.look, tag as u32) }
    }
}

/// What is called something for the whole page.
pub(super) fn is_page(tag: Tag) -> bool {
    matches!(tag, Tag::Html | Tag::Body | Tag::Document)
}

fn tag_mask(tag: Tag) -> Mask {
    match tag {
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
    }
}

fn role_mask(role: &str) -> Mask {
    match role {
        "main" => IN_MAIN,
        "navigation" | "menu" | "menubar" => IN_NAV,
        "complementary" => IN_ASIDE,
        "contentinfo" => IN_FOOTER,
        "banner" => IN_HEADER,
        "search" => IN_FORM,
        "dialog" | "alertdialog" => classes::MODAL,
        "button" => IN_BUTTON,
        _ => 0,
    }
}

/// Whether a formula stands right inside: pages hide the readable form of those behind a picture.
fn is_formula(dom: &Dom, id: u32) -> bool {
    (id + 1..dom.nodes[id as usize].end.min(id + 4)).any(|inner| dom.nodes[inner as usize].tag == Tag::Math)
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
    use proptest::prelude::*;

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

    /// Letter by letter, as it is defined.
    fn plain_counts(text: &str) -> Counts {
        let is = |set: &str, c: &char| set.contains(*c);
        let number = |matches: &dyn Fn(&char) -> bool| text.chars().filter(matches).count() as u32;
        let spaced: String =
            text.chars().flat_map(|c| if is("水ア", &c) { vec![' ', c, ' '] } else { vec![c] }).collect();
        Counts {
            chars: number(&|c| !c.is_whitespace()),
            link_chars: 0,
            words: spaced.split_whitespace().count() as u32,
            commas: number(&|c| is(",、，،", c)),
            stops: number(&|c| is(".!?。！？۔।", c)),
            digits: number(&char::is_ascii_digit),
            capitals: number(&|c| c.is_uppercase()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counts_are_those_of_the_letters(text in "([ -~\t\n\u{1f}]|[éÉ水ア、，،。！？۔।\u{a0}\u{2003}\u{85}]){0,60}") {
            prop_assert_eq!(Counts::of(&text, false), plain_counts(&text));
        }
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
