//! What an element holds with all below it, and blocks that look alike by tags and hints.

use super::blocks::{Blocks, Counts};
use super::classes::Mask;
use super::dom::{Dom, NONE, Tag};

/// Counts of every element's subtree, by one scan from the end: children lie after their parents.
pub struct Subtrees {
    /// What each holds.
    pub counts: Vec<Counts>,
    /// Blocks in each.
    pub blocks: Vec<u32>,
}

impl Subtrees {
    /// Sums up.
    pub fn of(dom: &Dom, page: &Blocks) -> Self {
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
pub struct Shapes {
    of: Vec<u32>,
    sums: Vec<(u32, Counts)>,
}

impl Shapes {
    /// Sorts the blocks by shape.
    pub fn of(dom: &Dom, page: &Blocks) -> Self {
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

    /// Of a block's shape: how many there are, their mean length and link share.
    pub fn around(&self, at: usize) -> (f32, f32, f32) {
        let (number, counts) = &self.sums[self.of[at] as usize];
        (*number as f32, counts.chars as f32 / *number as f32, counts.link_share())
    }
}
