//! The learned judge: gradient-boosted trees over the features of a block.
//!
//! `model.txt` is written by `scripts/train_extractor.py`: a header, then one tree a line in pre-order,
//! `feature:threshold` for a split (left where the number is at most the threshold) and `=value` for a leaf.

use std::sync::LazyLock;

use super::features;

/// A node: a split whose left branch is the next node, or a leaf.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Feature of a split; [`LEAF`] for a leaf.
    feature: u16,
    /// Where the right branch begins.
    right: u32,
    /// Threshold of a split, value of a leaf.
    number: f32,
}

const LEAF: u16 = u16::MAX;

/// A sum of trees, and the sum from which on a block stays.
#[derive(Debug)]
pub struct Model {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    least: f32,
}

/// The model that belongs to this version of the features.
pub static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::parse(include_str!("model.txt")).expect("the committed model fits the features"));

impl Model {
    /// Reads a model; `None` where it is malformed or made for other features.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut header = lines.next()?.split(' ');
        let (Some("features"), Some(length), Some("threshold"), Some(threshold)) =
            (header.next(), header.next(), header.next(), header.next())
        else {
            return None;
        };
        if length.parse::<usize>().ok()? != features::LENGTH {
            return None;
        }
        let probability: f64 = threshold.parse().ok()?;
        let mut model = Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            least: (probability / (1.0 - probability)).ln() as f32,
        };
        for line in lines {
            model.roots.push(model.nodes.len() as u32);
            // Splits whose right branch is still to come.
            let mut waiting: Vec<(usize, bool)> = Vec::new();
            for word in line.split(' ') {
                let at = model.nodes.len();
                if let Some(value) = word.strip_prefix('=') {
                    model.nodes.push(Node { feature: LEAF, right: 0, number: value.parse().ok()? });
                    while let Some((split, right)) = waiting.pop() {
                        if !right {
                            model.nodes[split].right = at as u32 + 1;
                            waiting.push((split, true));
                            break;
                        }
                    }
                } else {
                    let (feature, number) = word.split_once(':')?;
                    let feature: u16 = feature.parse().ok()?;
                    if usize::from(feature) >= features::LENGTH {
                        return None;
                    }
                    model.nodes.push(Node { feature, right: 0, number: number.parse().ok()? });
                    waiting.push((at, false));
                }
            }
            if !waiting.is_empty() {
                return None;
            }
        }
        (!model.roots.is_empty()).then_some(model)
    }

    /// How much speaks for a block: at least 0 where it stays.
    pub fn score(&self, row: &[f32; features::LENGTH]) -> f32 {
        let mut sum = -self.least;
        for &root in &self.roots {
            let mut at = root as usize;
            loop {
                let node = self.nodes[at];
                if node.feature == LEAF {
                    sum += node.number;
                    break;
                }
                at = if row[usize::from(node.feature)] <= node.number { at + 1 } else { node.right as usize };
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_trees_in_pre_order() {
        let length = features::LENGTH;
        let text = format!("features {length} threshold 0.5\n0:1 1:2 =-1 =2 =4\n=0.5");
        let model = Model::parse(&text).expect("well formed");
        let mut row = [0.0; features::LENGTH];
        assert!((model.score(&row) - -0.5).abs() < 1e-6);
        row[1] = 3.0;
        assert!((model.score(&row) - 2.5).abs() < 1e-6);
        row[0] = 1.5;
        assert!((model.score(&row) - 4.5).abs() < 1e-6);
        assert!(Model::parse(&format!("features {length} threshold 0.5\n0:1 =2")).is_none());
        assert!(Model::parse("features 3 threshold 0.5\n=1").is_none());
    }

    #[test]
    fn the_committed_model_is_read() {
        assert!(MODEL.roots.len() > 10);
    }
}
