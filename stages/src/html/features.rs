//! What the model knows of a block: one row of numbers, the same for training and for extraction.
//!
//! Every number is relative to the page or bounded, and none names a host or a language. Order is format: a change here
//! needs a newly trained model.

use super::blocks::{Block, Blocks, Counts};
use super::classes::Mask;
use super::content::Candidate;
use super::cues;
use super::dom::{Dom, NONE};
use super::groups::{Group, Groups, Member};
use super::lexicon::{LEXICON, Weight};
use super::page_facts::{self, Numbers, Seen, page_facts};
use super::page_type::{Judged, PageType};
use super::repeats::{Shapes, Subtrees};
use super::sections::{Section, head, sections};
use super::words::{self, Said, Words};

/// Groups of hints in `classes`.
const GROUPS: usize = 46;
/// Bits of a mask: groups, then tags.
const BITS: usize = 64;
const NUMBERS: usize = 127;

/// Where the page's own numbers begin.
const PAGE: usize = BITS + GROUPS + 2 * cues::COUNT;
/// Where the block's own numbers begin.
const OWN: usize = PAGE + GROUPS + page_facts::LENGTH;

/// Where the types that the page may be of begin.
const TYPES: usize = OWN + NUMBERS;

/// Length of a row.
pub const LENGTH: usize = TYPES + PageType::ALL.len();

/// Length of a page's row.
pub const PAGE_LENGTH: usize = OWN - PAGE;

/// Room of a row: a power of two, as the trees ask.
const ROOM: usize = LENGTH.next_power_of_two();

/// A row; what is beyond [`LENGTH`] is 0.
pub type Row = [f32; ROOM];

/// Everything that rows are made of.
pub struct Features<'a> {
    dom: &'a Dom,
    page: &'a Blocks,
    candidate: &'a Candidate,
    subtree: Subtrees,
    shapes: Shapes,
    groups: Groups,
    words: Vec<Words>,
    /// For every block, characters before it.
    before: Vec<u32>,
    sections: Vec<Section>,
    since_long: Vec<u32>,
    to_long: Vec<u32>,
    /// The block that is most like the page's title.
    head: u32,
    page_mask: Mask,
    facts: [f32; page_facts::LENGTH],
    /// What type the page is of.
    pub judged: Judged,
}

impl<'a> Features<'a> {
    /// Looks at a page; linear in its nodes and text, sorting aside.
    pub fn of(dom: &'a Dom, page: &'a Blocks, candidate: &'a Candidate) -> Self {
        let subtree = Subtrees::of(dom, page);
        let groups = Groups::of(dom, page, &subtree);
        let said = Said::of(dom);
        let (words, types) = words::look(dom, page, &said, &LEXICON);
        let seen = Seen { candidate, subtree: &subtree, groups: &groups, words: &words, said: &said };
        let facts = page_facts(dom, page, seen);
        let blocks = &page.blocks;
        let mut before = Vec::with_capacity(blocks.len());
        let mut sum = 0;
        for block in blocks {
            before.push(sum);
            sum += block.counts.chars;
        }
        let distances = |order: &mut dyn Iterator<Item = usize>| {
            let mut found = vec![0; blocks.len()];
            let mut distance = 1000_u32;
            for at in order {
                found[at] = distance;
                distance = if is_long(&blocks[at]) { 0 } else { distance.saturating_add(1).min(1000) };
            }
            found
        };
        Self {
            since_long: distances(&mut (0..blocks.len())),
            to_long: distances(&mut (0..blocks.len()).rev()),
            head: head(blocks, &words),
            sections: sections(blocks, &words),
            shapes: Shapes::of(dom, page),
            page_mask: page.page,
            dom,
            page,
            candidate,
            subtree,
            groups,
            words,
            before,
            judged: PageType::of(&page_row(page.page, &facts), &types),
            facts,
        }
    }

    /// What the page is made of: the features of its type.
    pub fn page_row(&self) -> [f32; PAGE_LENGTH] {
        page_row(self.page_mask, &self.facts)
    }

    /// A row with what is the same for every block.
    pub fn blank(&self) -> Row {
        let mut row = [0.0; ROOM];
        row[PAGE..OWN].copy_from_slice(&self.page_row());
        row[TYPES..LENGTH].copy_from_slice(&self.judged.shares);
        row
    }

    /// Fills in what is a block's own.
    pub fn fill(&self, at: usize, row: &mut Row) {
        let block = &self.page.blocks[at];
        let section = &self.sections[at];
        bits(&mut row[..BITS], block.around);
        bits(&mut row[BITS..BITS + GROUPS], block.near);
        bits(&mut row[BITS + GROUPS..BITS + GROUPS + cues::COUNT], self.words[at].cues.into());
        bits(&mut row[BITS + GROUPS + cues::COUNT..PAGE], section.cues.into());
        let mut numbers = Numbers::new(&mut row[OWN..TYPES]);
        self.text(at, &mut numbers);
        self.neighbours(at, &mut numbers);
        self.above(at, &mut numbers);
        self.repeats(at, &mut numbers);
        self.said(at, &mut numbers);
        // Where it stands to headings and long texts.
        numbers.push(block.tag.heading_level() as f32);
        numbers.push(section.blocks as f32);
        numbers.push(section.level.into());
        numbers.push(section.chars as f32);
        numbers.push(section.number as f32);
        numbers.push(section.length as f32);
        numbers.push(self.since_long[at] as f32);
        numbers.push(self.to_long[at] as f32);
        self.weights(at, &mut numbers);
        debug_assert!(numbers.is_full());
    }

    fn text(&self, at: usize, numbers: &mut Numbers) {
        let block = &self.page.blocks[at];
        let counts = &block.counts;
        let all = self.subtree.counts[0].chars;
        let before = self.before[at];
        let chars = counts.chars.max(1) as f32;
        numbers.push(counts.chars as f32);
        numbers.push(counts.words as f32);
        numbers.push(counts.link_share());
        numbers.push(counts.commas as f32);
        numbers.push(counts.stops as f32);
        numbers.push(counts.digits as f32 / chars);
        numbers.push(counts.capitals as f32 / chars);
        numbers.flag(block.ends_sentence);
        numbers.push(f32::from(block.tag as u8));
        numbers.push(block.depth as f32);
        numbers.push(before as f32 / all.max(1) as f32);
        numbers.push(before as f32);
        numbers.push((all - before) as f32);
        numbers.push(at as f32 / self.page.blocks.len() as f32);
        numbers.push(chars / counts.words.max(1) as f32);
        numbers.push(counts.capitals as f32 / counts.words.max(1) as f32);
        // To the heading that names the page.
        numbers.push(at as f32 - self.head as f32);
        numbers.push(before as f32 - self.before.get(self.head as usize).copied().unwrap_or(0) as f32);
    }

    fn neighbours(&self, at: usize, numbers: &mut Numbers) {
        let blocks = &self.page.blocks;
        for offset in [-1_isize, 1, -2, 2] {
            let neighbour = at.checked_add_signed(offset).and_then(|index| blocks.get(index));
            numbers.push(neighbour.map_or(-1.0, |block| block.counts.chars as f32));
            numbers.push(neighbour.map_or(-1.0, |block| block.counts.link_share()));
            numbers.push(neighbour.map_or(-1.0, |block| f32::from(block.tag as u8)));
        }
        for reach in [2, 5, 15] {
            let mut window = Counts::default();
            for block in &blocks[at.saturating_sub(reach)..(at + reach + 1).min(blocks.len())] {
                window.add(&block.counts);
            }
            numbers.push(window.chars as f32);
            numbers.push(window.link_share());
            numbers.push(window.stops as f32);
        }
    }

    /// What is around it, one, two, three and five elements up.
    fn above(&self, at: usize, numbers: &mut Numbers) {
        let block = &self.page.blocks[at];
        let all = self.subtree.counts[0].chars.max(1) as f32;
        let mut above = block.node;
        for step in 0..5 {
            let parent = self.dom.nodes[above as usize].parent;
            if parent != NONE {
                above = parent;
            }
            if step == 3 {
                continue;
            }
            let around = &self.subtree.counts[above as usize];
            numbers.push(around.chars as f32);
            numbers.push(around.link_share());
            numbers.push(around.stops as f32);
            numbers.push(self.subtree.blocks[above as usize] as f32);
            numbers.push(f32::from(self.dom.nodes[above as usize].tag as u8));
        }
        // The largest element around it that is not most of the page.
        let mut section = block.node;
        loop {
            let parent = self.dom.nodes[section as usize].parent;
            if parent == NONE || self.subtree.counts[parent as usize].chars as f32 > 0.4 * all {
                break;
            }
            section = parent;
        }
        let around = &self.subtree.counts[section as usize];
        numbers.push(around.chars as f32 / all);
        numbers.push(around.link_share());
        numbers.push(around.stops as f32);
        numbers.push(around.digits as f32 / around.chars.max(1) as f32);
        numbers.push(self.subtree.blocks[section as usize] as f32);
        // The likely content.
        let inside = self.candidate.contains(self.dom, block);
        numbers.flag(inside);
        let distance = block.first as f32 - self.candidate.node as f32;
        numbers.push(if inside { 0.0 } else { distance / self.dom.nodes.len() as f32 });
    }

    fn repeats(&self, at: usize, numbers: &mut Numbers) {
        let all = self.subtree.counts[0].chars.max(1) as f32;
        let (same, same_chars, same_links) = self.shapes.around(at);
        numbers.push(same);
        numbers.push(same_chars);
        numbers.push(same_links);
        let (number, counts) = &self.groups.places[self.groups.place[at] as usize];
        numbers.push(*number as f32);
        numbers.push(counts.chars as f32 / *number as f32);
        numbers.push(counts.link_share());
        numbers.push(counts.chars as f32 / all);
        numbers.push(counts.stops as f32 / *number as f32);
        numbers.push(self.groups.turn[at] as f32);
        for of in [&self.groups.inner, &self.groups.outer] {
            match self.groups.member(of, at) {
                Some((member, group)) => self.member(at, member, group, all, numbers),
                None => (0..12).for_each(|_| numbers.push(-1.0)),
            }
        }
    }

    fn member(&self, at: usize, member: &Member, group: &Group, all: f32, numbers: &mut Numbers) {
        let counts = &self.subtree.counts[member.node as usize];
        let number = group.members as f32;
        numbers.push(number);
        numbers.push(member.index as f32);
        numbers.push(counts.chars as f32);
        numbers.push(counts.link_share());
        numbers.push(self.subtree.blocks[member.node as usize] as f32);
        numbers.push(group.counts.chars as f32 / number);
        numbers.push(group.counts.chars as f32 / all);
        numbers.push(group.counts.link_share());
        numbers.push(group.counts.stops as f32 / number);
        numbers.push(group.blocks as f32 / number);
        numbers.push(group.shortest as f32 / group.longest.max(1) as f32);
        numbers.push(self.page.blocks[at].counts.chars as f32 / counts.chars.max(1) as f32);
    }

    /// What it shares with the page's words about itself, and with other blocks.
    fn said(&self, at: usize, numbers: &mut Numbers) {
        let words = &self.words[at];
        let number = words.number.max(1) as f32;
        numbers.push(f32::from(words.in_title) / number);
        numbers.push(f32::from(words.in_title));
        numbers.push(f32::from(words.in_description) / number);
        numbers.push(f32::from(words.in_body) / number);
        numbers.push(words.same as f32);
        numbers.push(words.before as f32);
        numbers.push(words.cues.count_ones() as f32);
        for offset in [-1_isize, 1] {
            let neighbour = at.checked_add_signed(offset).and_then(|index| self.words.get(index));
            numbers
                .push(neighbour.map_or(-1.0, |words| f32::from(words.in_body) / words.number.max(1) as f32));
            numbers.push(neighbour.map_or(-1.0, |words| words.cues.count_ones() as f32));
        }
    }

    /// What its words weigh, and those around it.
    fn weights(&self, at: usize, numbers: &mut Numbers) {
        let [own, near, far] = self.page.blocks[at].names;
        let Weight { text, pairs, whole, .. } = self.words[at].weight;
        for weight in [own, near, far, text, pairs, whole, self.sections[at].weight] {
            numbers.push(weight.into());
        }
        for offset in [-1_isize, 1] {
            let neighbour = at.checked_add_signed(offset).and_then(|index| self.words.get(index));
            let Weight { text, pairs, whole, .. } = neighbour.map_or(Weight::default(), |words| words.weight);
            numbers.push(f32::from(text) + f32::from(pairs) + f32::from(whole));
        }
    }
}

/// Whether a block is a paragraph's worth of free text.
pub(super) fn is_long(block: &Block) -> bool {
    block.counts.chars >= 120 && block.counts.link_share() < 0.3
}

fn page_row(mask: Mask, facts: &[f32; page_facts::LENGTH]) -> [f32; PAGE_LENGTH] {
    let mut row = [0.0; PAGE_LENGTH];
    bits(&mut row[..GROUPS], mask);
    row[GROUPS..].copy_from_slice(facts);
    row
}

/// The bits of a mask as numbers, four at once.
fn bits(row: &mut [f32], mask: Mask) {
    let (fours, rest) = row.as_chunks_mut();
    for (at, four) in fours.iter_mut().enumerate() {
        *four = FOUR_BITS[(mask >> (4 * at)) as usize & 15];
    }
    for (at, value) in rest.iter_mut().enumerate() {
        *value = ((mask >> (4 * fours.len() + at)) & 1) as f32;
    }
}

static FOUR_BITS: [[f32; 4]; 16] = {
    let mut all = [[0.0; 4]; 16];
    let mut at = 0;
    while at < 64 {
        all[at / 4][at % 4] = (((at / 4) >> (at % 4)) & 1) as f32;
        at += 1;
    }
    all
};

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
        let features = Features::of(&dom, &page, &candidate);
        let mut row = features.blank();
        assert_eq!(page.blocks.len(), 3);
        for at in 0..3 {
            features.fill(at, &mut row);
            assert!(row.iter().all(|number| number.is_finite()));
        }
    }
}
