//! Which texts of a page are its content: blocks with features, one verdict each.

use std::ops::Range;

use super::blocks::{
    Block, Blocks, HIDDEN, IN_ARTICLE, IN_ASIDE, IN_BUTTON, IN_FOOTER, IN_FORM, IN_HEADER, IN_MAIN, IN_NAV,
    IN_NOSCRIPT,
};
use super::choice::{self, Choice};
use super::classes::{self, Mask};
use super::dom::{Dom, NONE, Tag};
use super::features::Features;
use super::model::BLOCKS;
use super::page_type::PageType;

/// The texts that stay.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// For every node, how many kept texts lie before it; one longer than the nodes.
    before: Vec<u32>,
}

impl Kept {
    fn new(blocks: &Blocks, keep: &[bool]) -> Self {
        let mut before = Vec::with_capacity(blocks.block_of.len() + 1);
        let mut count = 0;
        before.push(0);
        for &block in &blocks.block_of {
            if block != NONE && keep[block as usize] {
                count += 1;
            }
            before.push(count);
        }
        Self { before }
    }

    /// Everything that a page shows or hides.
    pub fn all(dom: &Dom) -> Self {
        let page = Blocks::of(dom);
        Self::new(&page, &vec![true; page.blocks.len()])
    }

    /// Whether a text node is kept.
    pub fn text(&self, node: u32) -> bool {
        self.before[node as usize + 1] > self.before[node as usize]
    }

    /// Whether any text in a node's subtree is kept.
    pub fn below(&self, dom: &Dom, node: u32) -> bool {
        self.before[dom.nodes[node as usize].end as usize] > self.before[node as usize]
    }
}

/// What was decided about a page.
#[derive(Clone, Debug)]
pub struct Content {
    /// The texts that stay.
    pub kept: Kept,
    /// What type the page is of; `None` where it was too large to tell.
    pub page_type: Option<PageType>,
    /// The word F1 that the model expects of the texts that stay, 0 to 1; 0 where it was not asked.
    pub confidence: f32,
    /// Characters of all blocks.
    pub chars: u32,
}

/// Decides for every block of a page.
pub fn choose(dom: &Dom) -> Content {
    let page = Blocks::of(dom);
    let judged = (page.blocks.len() <= MOST_BLOCKS).then(|| judge(dom, &page));
    let (page_type, choice) = match judged {
        Some((page_type, choice)) => (Some(page_type), choice),
        None => (None, Choice { keep: rule(&page), expected: 0.0 }),
    };
    let keep = widen(&page, choice.keep);
    let chars = page.blocks.iter().map(|block| block.counts.chars).sum();
    Content { kept: Kept::new(&page, &keep), page_type, confidence: choice.expected, chars }
}

/// Blocks that go through the trees together.
const AT_ONCE: usize = 8;
/// Trees that every block goes through.
const FIRST: usize = 100;
/// A sum of theirs beyond this is not asked further: of 77,471 blocks of unseen hosts none would have ended on the other side.
const SURE: f32 = 2.0;
/// How much larger the sum of all trees is on average, where the first are sure.
const GROWTH: f32 = 1.4;

/// What the trees make of blocks.
fn sums(features: &Features, blocks: usize) -> Vec<f32> {
    let mut sums = vec![0.0; blocks];
    let mut rows = [features.blank(); AT_ONCE];
    let mut add = |trees: Range<usize>, places: &[usize], sums: &mut [f32]| {
        let mut added = [0.0; AT_ONCE];
        for ((row, sum), &at) in rows.iter_mut().zip(&mut added).zip(places) {
            features.fill(at, row);
            *sum = sums[at];
        }
        BLOCKS.add_to_all(trees, &rows, &mut added);
        for (sum, &at) in added.iter().zip(places) {
            sums[at] = *sum;
        }
    };
    for first in (0..blocks).step_by(AT_ONCE) {
        let places: [usize; AT_ONCE] = std::array::from_fn(|offset| first + offset);
        add(0..FIRST, &places[..AT_ONCE.min(blocks - first)], &mut sums);
    }
    let (mut doubtful, mut number) = ([0; AT_ONCE], 0);
    for at in 0..blocks {
        if sums[at].abs() > SURE {
            sums[at] *= GROWTH;
            continue;
        }
        doubtful[number] = at;
        number += 1;
        if number == AT_ONCE {
            add(FIRST..BLOCKS.trees(), &doubtful, &mut sums);
            number = 0;
        }
    }
    if number > 0 {
        add(FIRST..BLOCKS.trees(), &doubtful[..number], &mut sums);
    }
    sums
}

/// What the models say.
fn judge(dom: &Dom, page: &Blocks) -> (PageType, Choice) {
    let root = candidate(dom, page);
    let features = Features::of(dom, page, &root);
    let sums = sums(&features, page.blocks.len());
    let words: Vec<u32> = page.blocks.iter().map(|block| block.counts.words).collect();
    let mut choice = choice::choose(&sums, &words, features.judged.stricter);
    keep_together(dom, page, &mut choice.keep);
    (features.judged.page_type, choice)
}

/// What names a text stays with it, and so does a formula with the text around it: alone they look like furniture, and a
/// reader misses them.
fn keep_together(dom: &Dom, page: &Blocks, keep: &mut [bool]) {
    let parent = |block: &Block| dom.nodes[block.node as usize].parent;
    for at in (0..page.blocks.len()).rev() {
        let block = &page.blocks[at];
        if keep[at] || block.around & HIDDEN != 0 {
            continue;
        }
        let names_next = page.blocks.get(at + 1).is_some_and(|next| {
            keep[at + 1]
                && match block.tag {
                    Tag::Caption => true,
                    Tag::Dt => matches!(next.tag, Tag::Dt | Tag::Dd),
                    tag => tag.heading_level() > 0 && parent(block) == parent(next),
                }
        });
        let is_beside_text = (at > 0 && keep[at - 1]) || keep.get(at + 1) == Some(&true);
        keep[at] = names_next || is_beside_text && is_formula(dom, block);
    }
}

/// Whether a block is a formula and nothing else.
fn is_formula(dom: &Dom, block: &Block) -> bool {
    let in_formula = |text: u32| {
        let mut node = text;
        while node != block.node && node != NONE {
            if matches!(dom.nodes[node as usize].tag, Tag::Math | Tag::Script) {
                return true;
            }
            node = dom.nodes[node as usize].parent;
        }
        false
    };
    in_formula(block.first) && in_formula(block.last)
}

/// What is kept of a page that is too large for the models.
fn rule(page: &Blocks) -> Vec<bool> {
    let unwanted = AGAINST & !IN_ASIDE;
    let wanted = |block: &Block| block.around & unwanted == 0 && block.counts.link_share() < 0.5;
    page.blocks.iter().map(wanted).collect()
}

/// The element that most likely holds the content.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its node.
    pub node: u32,
    /// Its share of the page's points, 0 where the page has none.
    pub share: f32,
}

impl Candidate {
    /// Whether a block lies inside.
    pub fn contains(&self, dom: &Dom, block: &Block) -> bool {
        block.first >= self.node && block.last < dom.nodes[self.node as usize].end
    }
}

/// Hints that speak against a block wherever they stand above it.
const AGAINST: Mask = classes::NAV
    | classes::BREADCRUMB
    | classes::SIDEBAR
    | classes::FOOTER
    | classes::SHARE
    | classes::RELATED
    | classes::AD
    | classes::NEWSLETTER
    | classes::COOKIE
    | classes::MODAL
    | classes::SKIP
    | classes::PAGER
    | classes::COMMENT
    | IN_NAV
    | IN_ASIDE
    | IN_FOOTER
    | HIDDEN
    | IN_BUTTON;

/// Where next to nothing is kept, the page has no content that the model knows as such, and everything that a reader sees
/// stays, navigation aside.
fn widen(page: &Blocks, mut keep: Vec<bool>) -> Vec<bool> {
    let chars = |keep: &[bool]| -> u32 {
        page.blocks.iter().zip(keep).filter(|(_, keep)| **keep).map(|(block, _)| block.counts.chars).sum()
    };
    if chars(&keep) >= LEAST_CONTENT {
        return keep;
    }
    let shown: Mask = HIDDEN | IN_NAV | IN_NOSCRIPT | classes::COOKIE;
    for unwanted in [shown | IN_FOOTER | IN_HEADER | IN_FORM | IN_ASIDE, shown, 0] {
        let wider: Vec<bool> = page
            .blocks
            .iter()
            .zip(&keep)
            .map(|(block, keep)| *keep || block.around & unwanted == 0)
            .collect();
        // A short page is short; only a page that gives nothing is asked again.
        if chars(&keep) == 0 || chars(&wider) >= 4 * chars(&keep) {
            keep = wider;
        }
        if chars(&keep) > 0 {
            break;
        }
    }
    keep
}

/// Pages of more blocks are judged by a plain rule, which costs next to nothing; real pages have a few hundred.
const MOST_BLOCKS: usize = 20_000;

/// Fewer kept characters than this are not believed at once.
const LEAST_CONTENT: u32 = 60;

/// The element that holds the content: texts score their ancestors, nearer ones more, as Readability does.
pub fn candidate(dom: &Dom, page: &Blocks) -> Candidate {
    let mut score = vec![0.0_f32; dom.nodes.len()];
    let mut total = 0.0;
    for block in &page.blocks {
        let counts = &block.counts;
        if counts.chars < 20 || block.around & AGAINST != 0 {
            continue;
        }
        let free = 1.0 - counts.link_share();
        let mut points =
            (counts.chars as f32).min(600.0) * free * free * (1.0 + 0.1 * (counts.commas.min(10) as f32));
        if block.around & (IN_ARTICLE | IN_MAIN | classes::POST | classes::ARTICLE | classes::CONTENT) != 0 {
            points *= 1.5;
        }
        total += points;
        score[block.node as usize] += points;
    }
    // Sums over subtrees: children lie after their parents.
    for id in (1..dom.nodes.len()).rev() {
        let parent = dom.nodes[id].parent as usize;
        let points = score[id];
        score[parent] += points;
    }
    // The deepest element that still holds most of the points.
    let mut best = 0;
    for (id, &points) in score.iter().enumerate() {
        if points > 0.0
            && points >= 0.75 * total
            && id as u32 >= best
            && dom.nodes[id].end <= dom.nodes[best as usize].end
        {
            best = id as u32;
        }
    }
    Candidate { node: best, share: if total > 0.0 { score[best as usize] / total } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::dom::Limits;

    #[test]
    fn few_trees_judge_what_they_are_sure_of_and_all_the_rest() {
        let dom =
            Dom::parse(include_str!("../../tests/extract/forum.html"), &Limits::default()).expect("small");
        let page = Blocks::of(&dom);
        let root = candidate(&dom, &page);
        let features = Features::of(&dom, &page, &root);
        let sums = sums(&features, page.blocks.len());
        let mut row = features.blank();
        let mut doubtful = 0;
        for (at, &sum) in sums.iter().enumerate() {
            features.fill(at, &mut row);
            let mut first = [0.0];
            BLOCKS.add_to_all(0..FIRST, &[row], &mut first);
            let is_sure = first[0].abs() > SURE;
            doubtful += usize::from(!is_sure);
            let expected = if is_sure { GROWTH * first[0] } else { BLOCKS.sum(&row) };
            assert_eq!(sum.to_bits(), expected.to_bits(), "block {at}");
        }
        assert!(0 < doubtful && doubtful < sums.len(), "{doubtful}");
    }
}
