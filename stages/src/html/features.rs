//! What the model knows of a block: one row of numbers, the same for training and for extraction.
//!
//! Every number is relative to the page or bounded, and none names a host or a language. Order is format: a change here
//! needs a newly trained model.

use super::blocks::{Block, Blocks, Counts};
use super::classes::{self, Mask};
use super::content::Candidate;
use super::dom::{AttributeName, Dom, NONE, Tag};

/// Groups of hints in `classes`.
const GROUPS: usize = 46;
/// Bits of a mask: groups, then tags.
const BITS: usize = 64;
const PAGE_KINDS: [&str; 10] = [
    "Article\"",
    "BlogPosting\"",
    "Product\"",
    "DiscussionForumPosting\"",
    "QAPage\"",
    "ItemList\"",
    "FAQPage\"",
    "CollectionPage\"",
    "Recipe\"",
    "Offer\"",
];
const NUMBERS: usize = 56;

/// Length of a row.
pub const LENGTH: usize = BITS + GROUPS + GROUPS + PAGE_KINDS.len() + NUMBERS;

/// Hands over one row for every block, in order.
pub fn rows(
    dom: &Dom,
    page: &Blocks,
    candidate: &Candidate,
    url: Option<&str>,
    mut each: impl FnMut(usize, &[f32; LENGTH]),
) {
    let blocks = &page.blocks;
    let subtree = Subtrees::of(dom, page);
    let shapes = Shapes::of(dom, page);
    let all = &subtree.counts[0];
    let path = url.and_then(|url| url.split_once("://")).and_then(|(_, rest)| rest.split_once('/'));
    let path = path.map_or("", |(_, path)| path);
    let page_mask = page.page | classes::mask(path);
    let kinds = page_kinds(dom);
    let paragraphs: u32 =
        blocks.iter().filter(|block| block.tag == Tag::P).map(|block| block.counts.chars).sum();
    let mut before = 0;
    let mut since_heading = 0_u32;
    let mut last_heading = 0;
    let mut since_long = 1000_u32;
    let mut to_long = vec![1000_u32; blocks.len()];
    let mut distance = 1000_u32;
    for (at, block) in blocks.iter().enumerate().rev() {
        to_long[at] = distance;
        distance = if is_long(block) { 0 } else { distance.saturating_add(1).min(1000) };
    }
    let mut row = [0.0; LENGTH];
    row[BITS + 2 * GROUPS..LENGTH - NUMBERS].copy_from_slice(&kinds);
    bits(&mut row[BITS + GROUPS..BITS + 2 * GROUPS], page_mask);
    for (at, block) in blocks.iter().enumerate() {
        bits(&mut row[..BITS], block.around);
        bits(&mut row[BITS..BITS + GROUPS], block.near);
        let counts = &block.counts;
        let chars = counts.chars.max(1) as f32;
        let mut numbers = Numbers { row: &mut row[LENGTH - NUMBERS..], at: 0 };
        numbers.push(counts.chars as f32);
        numbers.push(counts.words as f32);
        numbers.push(counts.link_share());
        numbers.push(counts.commas as f32);
        numbers.push(counts.stops as f32);
        numbers.push(counts.digits as f32 / chars);
        numbers.push(counts.capitals as f32 / chars);
        numbers.push(f32::from(u8::from(block.ends_sentence)));
        numbers.push(f32::from(block.tag as u8));
        numbers.push(block.depth as f32);
        numbers.push(before as f32 / all.chars.max(1) as f32);
        numbers.push(before as f32);
        numbers.push((all.chars - before) as f32);
        numbers.push(at as f32 / blocks.len() as f32);
        before += counts.chars;
        for offset in [-1_isize, 1, -2, 2] {
            let neighbour = at.checked_add_signed(offset).and_then(|index| blocks.get(index));
            numbers.push(neighbour.map_or(-1.0, |block| block.counts.chars as f32));
            numbers.push(neighbour.map_or(-1.0, |block| block.counts.link_share()));
        }
        let mut window = Counts::default();
        for block in &blocks[at.saturating_sub(5)..(at + 6).min(blocks.len())] {
            window.add(&block.counts);
        }
        numbers.push(window.chars as f32);
        numbers.push(window.link_share());
        numbers.push(window.stops as f32);
        // Whole page.
        numbers.push(all.chars as f32);
        numbers.push(blocks.len() as f32);
        numbers.push(all.link_share());
        numbers.push(paragraphs as f32 / all.chars.max(1) as f32);
        // What is around it, one, two and three elements up.
        let mut above = block.node;
        for _ in 0..3 {
            let parent = dom.nodes[above as usize].parent;
            if parent != NONE {
                above = parent;
            }
            let around = &subtree.counts[above as usize];
            numbers.push(around.chars as f32);
            numbers.push(around.link_share());
            numbers.push(around.stops as f32);
            numbers.push(subtree.blocks[above as usize] as f32);
        }
        // The likely content.
        let inside = candidate.contains(dom, block);
        numbers.push(f32::from(u8::from(inside)));
        numbers.push(candidate.share);
        let root = &subtree.counts[candidate.node as usize];
        numbers.push(root.chars as f32 / all.chars.max(1) as f32);
        numbers.push(
            if inside { 0.0 } else { block.first as f32 - candidate.node as f32 } / dom.nodes.len() as f32,
        );
        // What it repeats.
        let (same, same_chars, same_links) = shapes.around(at);
        numbers.push(same);
        numbers.push(same_chars);
        numbers.push(same_links);
        // Where it stands to headings and long texts.
        let level = block.tag.heading_level();
        numbers.push(level as f32);
        numbers.push(since_heading as f32);
        numbers.push(last_heading as f32);
        if level > 0 {
            since_heading = 0;
            last_heading = level;
        } else {
            since_heading += 1;
        }
        numbers.push(since_long as f32);
        numbers.push(to_long[at] as f32);
        since_long = if is_long(block) { 0 } else { since_long.saturating_add(1).min(1000) };
        each(at, &row);
    }
}

fn is_long(block: &Block) -> bool {
    block.counts.chars >= 120 && block.counts.link_share() < 0.3
}

struct Numbers<'a> {
    row: &'a mut [f32],
    at: usize,
}

impl Numbers<'_> {
    fn push(&mut self, number: f32) {
        self.row[self.at] = number;
        self.at += 1;
    }
}

fn bits(row: &mut [f32], mask: Mask) {
    for (bit, value) in row.iter_mut().enumerate() {
        *value = ((mask >> bit) & 1) as f32;
    }
}

/// Counts of every element's subtree, by one scan from the end: children lie after their parents.
struct Subtrees {
    counts: Vec<Counts>,
    blocks: Vec<u32>,
}

impl Subtrees {
    fn of(dom: &Dom, page: &Blocks) -> Self {
        let mut counts = vec![Counts::default(); dom.nodes.len()];
        let mut blocks = vec![0; dom.nodes.len()];
        for block in &page.blocks {
            counts[block.node as usize].add(&block.counts);
            blocks[block.node as usize] += 1;
        }
        for id in (1..dom.nodes.len()).rev() {
            let parent = dom.nodes[id].parent as usize;
            let (below, inner) = (counts[id], blocks[id]);
            if inner > 0 {
                counts[parent].add(&below);
                blocks[parent] += inner;
            }
        }
        Self { counts, blocks }
    }
}

/// Blocks of the same shape (tag, parent's tag, hints): how many, and how long they are.
struct Shapes {
    of: Vec<u32>,
    sums: Vec<(u32, Counts)>,
}

impl Shapes {
    fn of(dom: &Dom, page: &Blocks) -> Self {
        let keys: Vec<(Tag, Tag, Mask, Mask)> = page
            .blocks
            .iter()
            .map(|block| {
                let parent = dom.nodes[block.node as usize].parent;
                let parent = if parent == NONE { Tag::Document } else { dom.nodes[parent as usize].tag };
                (block.tag, parent, block.near, block.around)
            })
            .collect();
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by_key(|&at| keys[at as usize]);
        let mut shapes = Self { of: vec![0; keys.len()], sums: Vec::new() };
        let mut last = None;
        for at in order {
            let key = &keys[at as usize];
            if last != Some(key) {
                shapes.sums.push((0, Counts::default()));
                last = Some(key);
            }
            let index = shapes.sums.len() - 1;
            shapes.of[at as usize] = index as u32;
            shapes.sums[index].0 += 1;
            shapes.sums[index].1.add(&page.blocks[at as usize].counts);
        }
        shapes
    }

    fn around(&self, at: usize) -> (f32, f32, f32) {
        let (number, counts) = &self.sums[self.of[at] as usize];
        (*number as f32, counts.chars as f32 / *number as f32, counts.link_share())
    }
}

/// What the page says it is, in JSON-LD and in `og:type`.
fn page_kinds(dom: &Dom) -> [f32; PAGE_KINDS.len()] {
    let mut kinds = [0.0; PAGE_KINDS.len()];
    for id in 0..dom.nodes.len() as u32 {
        match dom.nodes[id as usize].tag {
            Tag::Script if dom.attribute(id, AttributeName::Type) == Some("application/ld+json") => {
                for inner in id + 1..dom.nodes[id as usize].end {
                    let text = dom.text(inner);
                    for (kind, name) in kinds.iter_mut().zip(PAGE_KINDS) {
                        if *kind == 0.0 && memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some() {
                            *kind = 1.0;
                        }
                    }
                }
            }
            Tag::Meta if dom.attribute(id, AttributeName::Property) == Some("og:type") => {
                match dom.attribute(id, AttributeName::Content) {
                    Some("article") => kinds[0] = 1.0,
                    Some("product" | "og:product") => kinds[2] = 1.0,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::content;
    use crate::html::dom::Limits;

    #[test]
    fn one_finite_row_a_block() {
        let html = "<body class=single-post><nav><a href=/>Home</a></nav><article><h1>Head</h1><p>Text, long or not.";
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let page = Blocks::of(&dom);
        let candidate = content::candidate(&dom, &page);
        let mut seen = 0;
        rows(&dom, &page, &candidate, Some("https://a.example/blog/x"), |at, row| {
            assert_eq!(at, seen);
            assert!(row.iter().all(|number| number.is_finite()));
            seen += 1;
        });
        assert_eq!(seen, 3);
    }
}
