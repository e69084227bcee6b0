//! Headings: which one a block stands under, and which one names the page.

use super::blocks::Block;
use super::classes;
use super::cues::Cues;
use super::words::Words;

/// Where a block stands to headings.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Cues of the nearest heading before.
    pub cues: Cues,
    /// What its words weigh for what stands under it.
    pub weight: i16,
    /// Its level, 7 for what looks like one.
    pub level: u8,
    /// Blocks and characters since.
    pub blocks: u32,
    /// As above.
    pub chars: u32,
    /// Headings before.
    pub number: u32,
    /// Characters up to the next one.
    pub length: u32,
}

impl Section {
    /// Before the first heading.
    const NONE: Self = Self { cues: 0, weight: 0, level: 0, blocks: 0, chars: 0, number: 0, length: 0 };
}

/// The first top heading, else the first heading, with the largest part of the title; the first block where there is none.
pub fn head(blocks: &[Block], words: &[Words]) -> u32 {
    let points = |at: usize| {
        let (level, words) = (blocks[at].tag.heading_level(), &words[at]);
        let share = f32::from(words.in_title) / words.number.max(1) as f32;
        share * f32::from(words.in_title.min(12))
            + match level {
                1 => 3.0,
                2 => 1.0,
                _ => 0.0,
            }
    };
    let mut best = (0.0, 0);
    for (at, block) in blocks.iter().enumerate() {
        if block.tag.heading_level() > 0 && points(at) > best.0 {
            best = (points(at), at);
        }
    }
    best.1 as u32
}

/// Where every block stands to headings.
pub fn sections(blocks: &[Block], words: &[Words]) -> Vec<Section> {
    let mut sections = vec![Section::NONE; blocks.len()];
    let mut now = Section::NONE;
    let mut start = 0;
    for (at, block) in blocks.iter().enumerate() {
        let level = block.tag.heading_level() as u8;
        let like = block.near & classes::TITLE != 0 && block.counts.chars < 80 && !block.ends_sentence;
        sections[at] = now;
        if level > 0 || like {
            for section in &mut sections[start..=at] {
                section.length = now.chars;
            }
            start = at + 1;
            let level = if level > 0 { level } else { 7 };
            now = Section {
                cues: words[at].cues,
                weight: words[at].weight.heading,
                level,
                number: now.number + 1,
                ..Section::NONE
            };
        } else {
            now.blocks += 1;
            now.chars += block.counts.chars;
        }
    }
    for section in &mut sections[start..] {
        section.length = now.chars;
    }
    sections
}

/// The heading that a block stands under, found in the blocks before it; for those who teach the model.
pub fn heading(sections: &[Section], at: usize) -> Option<usize> {
    (0..at).rev().find(|&before| sections[before].number < sections[at].number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::blocks::Blocks;
    use crate::html::dom::{Dom, Limits};
    use crate::html::lexicon::Lexicon;
    use crate::html::words::{Said, look};

    #[test]
    fn blocks_stand_under_the_heading_before_them() {
        let html = "<title>Mills of old</title><h2>Menu</h2><p>a</p><h1>Mills of old</h1><p>bc</p><p>d";
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let page = Blocks::of(&dom);
        let (words, _) = look(&dom, &page, &Said::of(&dom), &Lexicon::default());
        assert_eq!(head(&page.blocks, &words), 2);
        let found = sections(&page.blocks, &words);
        assert_eq!(found.iter().map(|section| section.number).collect::<Vec<_>>(), [0, 1, 1, 2, 2]);
        assert_eq!((found[4].level, found[4].blocks, found[4].chars, found[4].length), (1, 1, 2, 3));
    }
}
