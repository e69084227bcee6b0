//! The learned judges: gradient-boosted trees over the features of a block, and of a page.
//!
//! `model.txt` and `page_type.txt` are written by `scripts/train_extractor.py`: a header, then one tree a line in
//! pre-order, `feature:threshold` for a split (left where the number is at most the threshold) and `=value` for a leaf.

use std::ops::Range;
use std::sync::LazyLock;

use super::features;
use super::page_type::PageType;

/// A split: one branch where a number is at most the threshold, the other above it.
#[derive(Clone, Copy, Debug)]
struct Split {
    feature: u16,
    threshold: f32,
}

/// A complete binary tree: the splits below a split at `n` are at `2n` and `2n + 1`, the root is at 1, and after the last row of
/// splits come the leaves. Where the tree that was learned ends sooner, the rest leads to copies of its leaf. So every row of
/// numbers takes the same number of steps, and none looks up where the next one is.
#[derive(Debug)]
struct Tree<const LEAVES: usize> {
    splits: [Split; LEAVES],
    leaves: [f32; LEAVES],
}

/// Sums of trees of at most so many leaves, a power of two, all as deep as its logarithm: one sum for every output, to which the
/// trees belong in turn.
#[derive(Debug)]
pub struct Model<const LEAVES: usize> {
    trees: Vec<Tree<LEAVES>>,
    /// Splits above every leaf. Told to the compiler, it would unroll all steps and put what they chose together again and again.
    depth: u32,
    features: usize,
    outputs: usize,
}

/// How much speaks for a block.
pub static BLOCKS: LazyLock<Model<64>> = LazyLock::new(|| {
    let model = Model::parse(include_str!("model.txt")).expect("the committed model is well formed");
    assert!((model.features, model.outputs) == (features::LENGTH, 1), "it fits the features of a block");
    model
});

/// How much speaks for each type of a page, in the order of [`PageType::ALL`].
pub static PAGES: LazyLock<Model<32>> = LazyLock::new(|| {
    let model = Model::parse(include_str!("page_type.txt")).expect("the committed model is well formed");
    let fits = (features::PAGE_LENGTH, PageType::ALL.len());
    assert!((model.features, model.outputs) == fits, "it fits the features of a page");
    model
});

impl<const LEAVES: usize> Tree<LEAVES> {
    /// Reads a line; `None` where it is malformed, too deep, or knows a feature that a row lacks.
    fn parse(line: &str, features: usize) -> Option<Self> {
        let nowhere = Split { feature: 0, threshold: f32::INFINITY };
        let mut tree = Self { splits: [nowhere; LEAVES], leaves: [0.0; LEAVES] };
        // Places that are still to come, the next one last.
        let mut waiting = vec![1_usize];
        for word in line.split(' ') {
            let at = waiting.pop()?;
            if let Some(value) = word.strip_prefix('=') {
                let below = LEAVES.ilog2() - at.ilog2();
                let first = (at << below) - LEAVES;
                tree.leaves[first..first + (1 << below)].fill(value.parse().ok()?);
            } else {
                let (feature, threshold) = word.split_once(':')?;
                let feature = feature.parse().ok().filter(|&feature| usize::from(feature) < features)?;
                *tree.splits.get_mut(at)? = Split { feature, threshold: threshold.parse().ok()? };
                waiting.extend([2 * at + 1, 2 * at]);
            }
        }
        waiting.is_empty().then_some(tree)
    }
}

impl<const LEAVES: usize> Model<LEAVES> {
    /// Reads a model; `None` where it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next()?.split(' ').collect();
        let ["features", length, "outputs", outputs] = header[..] else { return None };
        let features = length.parse().ok()?;
        let outputs = outputs.parse().ok().filter(|&outputs| outputs > 0)?;
        let trees = lines.map(|line| Tree::parse(line, features)).collect::<Option<Vec<_>>>()?;
        (!trees.is_empty() && trees.len().is_multiple_of(outputs)).then_some(Self {
            trees,
            depth: LEAVES.ilog2(),
            features,
            outputs,
        })
    }

    /// Adds every tree's value to the sum that it belongs to.
    ///
    /// # Panics
    /// If there are fewer features or outputs than the model was made for.
    pub fn add(&self, row: &[f32], sums: &mut [f32]) {
        assert!(row.len() >= self.features && sums.len() >= self.outputs, "it was made for other rows");
        for trees in self.trees.chunks(self.outputs) {
            for (tree, sum) in trees.iter().zip(&mut *sums) {
                let mut at = 1;
                while at < LEAVES {
                    let split = tree.splits[at];
                    at = 2 * at + usize::from(row[usize::from(split.feature)] > split.threshold);
                }
                *sum += tree.leaves[at - LEAVES];
            }
        }
    }

    /// How many trees there are.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Adds the values of some trees of a model of one output to the sums of several rows at once: while one waits for memory, the
    /// others go on. The room of a row is a power of two, so that what is masked needs no check.
    ///
    /// # Panics
    /// If there is less room than the model has features, or there are no such trees.
    pub fn add_to_all<const ROWS: usize, const ROOM: usize>(
        &self,
        trees: Range<usize>,
        rows: &[[f32; ROOM]; ROWS],
        sums: &mut [f32; ROWS],
    ) {
        const { assert!(ROOM.is_power_of_two() && LEAVES.is_power_of_two()) };
        assert!(ROOM >= self.features, "it was made for other rows");
        for tree in &self.trees[trees] {
            let mut at = [1_usize; ROWS];
            for _ in 0..self.depth {
                for (at, row) in at.iter_mut().zip(rows) {
                    let split = tree.splits[*at & (LEAVES - 1)];
                    let above = row[usize::from(split.feature) & (ROOM - 1)] > split.threshold;
                    *at = *at << 1 | usize::from(above);
                }
            }
            for (sum, at) in sums.iter_mut().zip(at) {
                *sum += tree.leaves[at & (LEAVES - 1)];
            }
        }
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
        let model = Model::<4>::parse("features 3 outputs 1\n0:1 1:2 =-1 =2 =4\n=0.5").expect("well formed");
        let rows = [[0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [1.5, 3.0, 0.0, 0.0]];
        let mut sums = [0.0; 3];
        model.add_to_all(0..1, &rows, &mut sums);
        model.add_to_all(1..model.trees(), &rows, &mut sums);
        for ((row, together), expected) in rows.iter().zip(sums).zip([-0.5_f32, 2.5, 4.5]) {
            assert_eq!(model.sum(row).to_bits(), expected.to_bits());
            assert_eq!(together.to_bits(), expected.to_bits());
        }
        for broken in ["0:1 =2", "=1 =2", "3:1 =2 =3", "0:1 0:1 0:1 =2 =3 =4 =5", "", "0:x =1 =2", "0"] {
            assert!(Model::<4>::parse(&format!("features 3 outputs 1\n{broken}")).is_none(), "{broken}");
        }
        assert!(Model::<4>::parse("features 3 outputs 2\n=1").is_none());
        assert!(Model::<4>::parse("features 3\n=1").is_none());
    }

    #[test]
    fn trees_belong_to_outputs_in_turn() {
        let model = Model::<4>::parse("features 1 outputs 2\n=1\n=2\n=3\n=4").expect("well formed");
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
        assert!(BLOCKS.trees.len() > 10 && PAGES.trees.len() > 10);
    }
}
