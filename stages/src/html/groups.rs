//! Repeated structure: siblings that look alike (cards, posts, rows), and blocks that stand at the same place of a
//! template.
//!
//! One sort over the elements that hold text, and one pass in document order.

use super::blocks::{Blocks, Counts};
use super::dom::{Dom, NONE};
use super::repeats::Subtrees;

/// Fewest siblings of one look that make a group.
const LEAST: usize = 3;

/// Siblings with the same tag and class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    /// How many they are.
    pub members: u32,
    /// What all of them hold.
    pub counts: Counts,
    /// Blocks in all of them.
    pub blocks: u32,
    /// Member with the fewest and with the most characters.
    pub shortest: u32,
    /// As above.
    pub longest: u32,
}

/// A member of a group.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its node.
    pub node: u32,
    /// Its group.
    pub group: u32,
    /// Its place in it, from 0.
    pub index: u32,
}

/// No group.
pub const NO_MEMBER: u32 = u32::MAX;

/// All groups of a page.
#[derive(Debug, Default)]
pub struct Groups {
    /// In no order that means anything.
    pub all: Vec<Group>,
    /// Every member of every group.
    pub members: Vec<Member>,
    /// For every block the innermost member around it, or [`NO_MEMBER`].
    pub inner: Vec<u32>,
    /// For every block the outermost.
    pub outer: Vec<u32>,
    /// For every block its place in the template.
    pub place: Vec<u32>,
    /// For every place: blocks and what they hold.
    pub places: Vec<(u32, Counts)>,
    /// For every block, how many of its place came before.
    pub turn: Vec<u32>,
}

impl Groups {
    /// Finds the groups of a page.
    pub fn of(dom: &Dom, page: &Blocks, subtree: &Subtrees) -> Self {
        let mut groups = Self::default();
        // Elements with text, by parent and look; equal ones stay in document order.
        let mut keyed: Vec<(u32, u32, u32)> = Vec::new();
        for (id, node) in dom.nodes.iter().enumerate() {
            if subtree.blocks[id] > 0 && node.parent != NONE {
                keyed.push((node.parent, page.look[id], id as u32));
            }
        }
        keyed.sort_unstable();
        let mut member_of = vec![NO_MEMBER; dom.nodes.len()];
        let mut start = 0;
        while start < keyed.len() {
            let (parent, look, _) = keyed[start];
            let length = keyed[start..].iter().take_while(|key| (key.0, key.1) == (parent, look)).count();
            if length >= LEAST {
                let mut group = Group { members: length as u32, shortest: u32::MAX, ..Group::default() };
                for (index, key) in keyed[start..start + length].iter().enumerate() {
                    let counts = &subtree.counts[key.2 as usize];
                    group.counts.add(counts);
                    group.blocks += subtree.blocks[key.2 as usize];
                    group.shortest = group.shortest.min(counts.chars);
                    group.longest = group.longest.max(counts.chars);
                    member_of[key.2 as usize] = groups.members.len() as u32;
                    groups.members.push(Member {
                        node: key.2,
                        group: groups.all.len() as u32,
                        index: index as u32,
                    });
                }
                groups.all.push(group);
            }
            start += length;
        }
        groups.assign(dom, page, &member_of, &keyed);
        groups
    }

    /// Hands members and places down to the blocks.
    fn assign(&mut self, dom: &Dom, page: &Blocks, member_of: &[u32], keyed: &[(u32, u32, u32)]) {
        let total = dom.nodes.len();
        let mut inner = vec![NO_MEMBER; total];
        let mut outer = vec![NO_MEMBER; total];
        let mut path = vec![0_u32; total];
        let mut with_text: Vec<u32> = keyed.iter().map(|key| key.2).collect();
        with_text.sort_unstable();
        for id in with_text {
            let (at, parent) = (id as usize, dom.nodes[id as usize].parent as usize);
            let own = member_of[at];
            inner[at] = if own == NO_MEMBER { inner[parent] } else { own };
            outer[at] = if outer[parent] == NO_MEMBER { own } else { outer[parent] };
            path[at] = (path[parent].rotate_left(5) ^ page.look[at]).wrapping_mul(0x9E37_79B1);
        }
        let mut places: Vec<(u32, u32)> = Vec::with_capacity(page.blocks.len());
        for (at, block) in page.blocks.iter().enumerate() {
            self.inner.push(inner[block.node as usize]);
            self.outer.push(outer[block.node as usize]);
            places.push((path[block.node as usize], at as u32));
        }
        places.sort_unstable();
        self.place = vec![0; places.len()];
        self.turn = vec![0; places.len()];
        let mut last = None;
        for (path, at) in places {
            if last != Some(path) {
                self.places.push((0, Counts::default()));
                last = Some(path);
            }
            let index = self.places.len() - 1;
            let (number, counts) = &mut self.places[index];
            self.place[at as usize] = index as u32;
            self.turn[at as usize] = *number;
            *number += 1;
            counts.add(&page.blocks[at as usize].counts);
        }
    }

    /// A block's member and its group: innermost or outermost.
    pub fn member(&self, of: &[u32], block: usize) -> Option<(&Member, &Group)> {
        let member = self.members.get(of[block] as usize)?;
        Some((member, &self.all[member.group as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::dom::Limits;

    #[test]
    fn siblings_of_one_look_are_a_group() {
        let html = "<h1>Shop</h1><ul><li class=card-1><p>a<p>b<li class=card-2><p>c<p>d<li class=card-3><p>e<p>f</ul><p>g";
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let page = Blocks::of(&dom);
        let groups = Groups::of(&dom, &page, &Subtrees::of(&dom, &page));
        assert_eq!(groups.all.len(), 1);
        assert_eq!(groups.all[0].members, 3);
        assert!(groups.member(&groups.inner, 0).is_none());
        let (member, group) = groups.member(&groups.inner, 3).expect("in the second card");
        assert_eq!((member.index, group.blocks), (1, 6));
        // Both paragraphs of a card stand at one place.
        assert_eq!(groups.places[groups.place[1] as usize].0, 6);
        assert_eq!(groups.turn[1..7], [0, 1, 2, 3, 4, 5]);
    }
}
