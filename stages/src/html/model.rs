//! The learned judges: gradient-boosted trees over the features of a block, and of a page.
//!
//! `model.txt` and `page_type.txt` are written by `scripts/train_extractor.py`: a header, then one tree a line in
//! pre-order, `feature:threshold` for a split (left where the number is at most the threshold) and `=value` for a leaf.

use std::sync::LazyLock;

use super::features;
use super::page_type::PageType;

/// A node: a split whose left branch is the next node, or a leaf.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Feature of a split.
    feature: u16,
    /// How many nodes further the right branch begins; 0 for a leaf.
    right: u16,
    /// Threshold of a split, value of a leaf.
    number: f32,
}

/// Sums of trees: one sum for every output, to which the trees belong in turn.
#[derive(Debug)]
pub struct Model {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    features: usize,
    outputs: usize,
}

/// How much speaks for a block.
pub static BLOCKS: LazyLock<Model> = LazyLock::new(|| {
    let model = Model::parse(include_str!("model.txt")).expect("the committed model is well formed");
    assert!((model.features, model.outputs) == (features::LENGTH, 1), "it fits the features of a block");
    model
});

/// How much speaks for each type of a page, in the order of [`PageType::ALL`].
pub static PAGES: LazyLock<Model> = LazyLock::new(|| {
    let model = Model::parse(include_str!("page_type.txt")).expect("the committed model is well formed");
    let fits = (features::PAGE_LENGTH, PageType::ALL.len());
    assert!((model.features, model.outputs) == fits, "it fits the features of a page");
    model
});

impl Model {
    /// Reads a model; `None` where it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next()?.split(' ').collect();
        let ["features", length, "outputs", outputs] = header[..] else { return None };
        let mut model = Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            features: length.parse().ok()?,
            outputs: outputs.parse().ok().filter(|&outputs| outputs > 0)?,
        };
        for line in lines {
            model.roots.push(model.nodes.len() as u32);
            // Splits whose right branch is still to come; a tree is complete at the leaf that leaves none.
            let mut waiting: Vec<usize> = Vec::new();
            let mut complete = false;
            for word in line.split(' ') {
                if complete {
                    return None;
                }
                let at = model.nodes.len();
                if let Some(value) = word.strip_prefix('=') {
                    model.nodes.push(Node { feature: 0, right: 0, number: value.parse().ok()? });
                    match waiting.pop() {
                        Some(split) => model.nodes[split].right = u16::try_from(at + 1 - split).ok()?,
                        None => complete = true,
                    }
                } else {
                    let (feature, number) = word.split_once(':')?;
                    let feature: u16 = feature.parse().ok()?;
                    if usize::from(feature) >= model.features {
                        return None;
                    }
                    model.nodes.push(Node { feature, right: 0, number: number.parse().ok()? });
                    waiting.push(at);
                }
            }
            if !complete {
                return None;
            }
        }
        (!model.roots.is_empty() && model.roots.len().is_multiple_of(model.outputs)).then_some(model)
    }

    /// Adds every tree's value to the sum that it belongs to.
    ///
    /// # Panics
    /// If there are fewer features or outputs than the model was made for.
    pub fn add(&self, row: &[f32], sums: &mut [f32]) {
        assert!(row.len() >= self.features && sums.len() >= self.outputs, "it was made for other rows");
        for trees in self.roots.chunks(self.outputs) {
            for (&root, sum) in trees.iter().zip(&mut *sums) {
                let mut at = root as usize;
                while self.nodes[at].right > 0 {
                    at += self.step(at, row);
                }
                *sum += self.nodes[at].number;
            }
        }
    }

    /// How far it is from a node to the one below that a row goes on to; 0 from a leaf.
    #[inline]
    fn step(&self, at: usize, row: &[f32]) -> usize {
        let node = self.nodes[at];
        let step = if row[usize::from(node.feature)] <= node.number { 1 } else { node.right };
        usize::from(step.min(node.right))
    }

    /// The sums of a model of one output over several rows at once: while one waits for memory, the others go on.
    pub fn sums<const ROWS: usize, const LENGTH: usize>(&self, rows: &[[f32; LENGTH]; ROWS]) -> [f32; ROWS] {
        assert!(LENGTH >= self.features, "it was made for other rows");
        let mut sums = [0.0; ROWS];
        for &root in &self.roots {
            let mut at = [root as usize; ROWS];
            loop {
                let mut moved = 0;
                for (at, row) in at.iter_mut().zip(rows) {
                    let step = self.step(*at, row);
                    *at += step;
                    moved |= step;
                }
                if moved == 0 {
                    break;
                }
            }
            for (sum, at) in sums.iter_mut().zip(at) {
                *sum += self.nodes[at].number;
            }
        }
        sums
    }

    /// The sum of a model of one output.
    pub fn sum(&self, row: &[f32]) -> f32 {
        let mut sum = [0.0];
        self.add(row, &mut sum);
        sum[0]
    }
}

/// The probability that a sum of trees stands for.
pub fn logistic(sum: f32) -> f32 {
    1.0 / (1.0 + exp(-sum))
}

/// The exponential function, the same bits on every machine; the system's own may differ in the last one.
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0);
    let whole = (x * std::f32::consts::LOG2_E).round();
    let rest = x - whole * std::f32::consts::LN_2;
    // Taylor's series: the rest is at most 0.35, so that seven terms are exact to single precision.
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..8 {
        term *= rest / n as f32;
        sum += term;
    }
    sum * f32::from_bits(((whole as i32 + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_trees_in_pre_order() {
        let model = Model::parse("features 3 outputs 1\n0:1 1:2 =-1 =2 =4\n=0.5").expect("well formed");
        let rows = [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.5, 3.0, 0.0]];
        for ((row, together), expected) in rows.iter().zip(model.sums(&rows)).zip([-0.5_f32, 2.5, 4.5]) {
            assert_eq!(model.sum(row).to_bits(), expected.to_bits());
            assert_eq!(together.to_bits(), expected.to_bits());
        }
        for broken in ["0:1 =2", "=1 =2", "3:1 =2 =3", "", "0:x =1 =2", "0"] {
            assert!(Model::parse(&format!("features 3 outputs 1\n{broken}")).is_none(), "{broken}");
        }
        assert!(Model::parse("features 3 outputs 2\n=1").is_none());
        assert!(Model::parse("features 3\n=1").is_none());
    }

    #[test]
    fn trees_belong_to_outputs_in_turn() {
        let model = Model::parse("features 1 outputs 2\n=1\n=2\n=3\n=4").expect("well formed");
        let mut sums = [0.0; 2];
        model.add(&[0.0], &mut sums);
        assert_eq!(sums.map(f32::to_bits), [4.0_f32, 6.0].map(f32::to_bits));
    }

    #[test]
    fn the_exponential_function_is_right() {
        for step in -800..=800 {
            let x = step as f32 * 0.05;
            let (ours, theirs) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - theirs).abs() <= 3e-6 * theirs, "exp({x}) is {theirs}, not {ours}");
        }
    }

    #[test]
    fn the_committed_models_are_read() {
        assert!(BLOCKS.roots.len() > 10 && PAGES.roots.len() > 10);
    }
}
