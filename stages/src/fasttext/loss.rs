//! From the hidden vector to probabilities of labels.

use std::cmp::Ordering;

use super::{Prediction, matrix::Matrix};

/// How the output layer was trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    HierarchicalSoftmax,
    Softmax,
    Sigmoids,
}

/// The output layer: a matrix with one row a label, or one a inner node of the Huffman tree.
#[derive(Debug)]
pub(super) struct Output {
    matrix: Matrix,
    n_labels: usize,
    loss: Loss,
    tree: Vec<Node>,
}

/// A node of the Huffman tree. Leaves come first, one a label, then inner nodes; the root is the last.
#[derive(Debug, Clone)]
struct Node {
    count: i64,
    parent: usize,
    is_right: bool,
    /// Left and right; `None` for a leaf.
    children: Option<(usize, usize)>,
}

/// fastText's logarithm: offset, so that it is finite at 0. This makes the best probability slightly larger than 1 at times.
fn offset_log(x: f64) -> f32 {
    (x + 1e-5).ln() as f32
}

fn sigmoid(x: f32) -> f64 {
    1.0 / (1.0 + (-x as f64).exp())
}

/// fastText computes this one by a table of 512 steps over [-8, 8], and its probabilities show the steps.
fn stepped_sigmoid(x: f32) -> f32 {
    const STEPS: f32 = 512.0;
    const LIMIT: f32 = 8.0;
    if x < -LIMIT {
        0.0
    } else if x > LIMIT {
        1.0
    } else {
        let step = ((x + LIMIT) * STEPS / LIMIT / 2.0).floor();
        sigmoid(step * 2.0 * LIMIT / STEPS - LIMIT) as f32
    }
}

impl Output {
    /// `label_counts` of the training set decide the shape of the Huffman tree.
    pub(super) fn new(loss: Loss, matrix: Matrix, label_counts: &[i64]) -> Self {
        let tree = if loss == Loss::HierarchicalSoftmax { huffman_tree(label_counts) } else { Vec::new() };
        Self { matrix, n_labels: label_counts.len(), loss, tree }
    }

    /// Writes the `k` best labels to `best`, best first, equal ones by index.
    pub(super) fn best(&self, hidden: &[f32], k: usize, scores: &mut Vec<f32>, best: &mut Vec<Prediction>) {
        best.clear();
        if self.loss == Loss::HierarchicalSoftmax {
            self.descend(hidden, k, best);
        } else {
            self.scores(hidden, scores);
            for (label, &score) in scores.iter().enumerate() {
                keep_best(best, k, Prediction { label, probability: offset_log(score as f64) });
            }
        }
        for prediction in best {
            prediction.probability = prediction.probability.exp();
        }
    }

    /// Probability of one label.
    pub(super) fn probability(&self, hidden: &[f32], label: usize, scores: &mut Vec<f32>) -> f32 {
        if self.loss != Loss::HierarchicalSoftmax {
            self.scores(hidden, scores);
            return offset_log(scores[label] as f64).exp();
        }
        // From the root down, as the search adds up its logarithms.
        let mut path = Vec::new();
        let mut node = label;
        while node + 1 < self.tree.len() {
            path.push((self.tree[node].parent, self.tree[node].is_right));
            node = self.tree[node].parent;
        }
        let mut score = 0.0;
        for &(parent, is_right) in path.iter().rev() {
            let right = sigmoid(self.matrix.dot(parent - self.n_labels, hidden)) as f32;
            score += offset_log(if is_right { right as f64 } else { 1.0 - right as f64 });
        }
        score.exp()
    }

    /// The probability of each label by softmax or by sigmoids.
    fn scores(&self, hidden: &[f32], scores: &mut Vec<f32>) {
        scores.clear();
        scores.extend((0..self.n_labels).map(|label| self.matrix.dot(label, hidden)));
        if self.loss == Loss::Sigmoids {
            for score in scores {
                *score = stepped_sigmoid(*score);
            }
            return;
        }
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in scores.iter_mut() {
            *score = (*score - largest).exp();
        }
        let total: f32 = scores.iter().sum();
        for score in scores {
            *score /= total;
        }
    }

    /// Depth-first search for the leaves with the best sums of logarithms. A stack of its own: a tree may be as deep as it has
    /// labels.
    fn descend(&self, hidden: &[f32], k: usize, best: &mut Vec<Prediction>) {
        let Some(root) = self.tree.len().checked_sub(1) else { return };
        let mut stack = vec![(root, 0.0_f32)];
        while let Some((node, score)) = stack.pop() {
            if best.len() == k && best.last().is_some_and(|worst| score < worst.probability) {
                continue;
            }
            let Some((left, right)) = self.tree[node].children else {
                keep_best(best, k, Prediction { label: node, probability: score });
                continue;
            };
            let share = sigmoid(self.matrix.dot(node - self.n_labels, hidden)) as f32;
            let left = (left, score + offset_log(1.0 - share as f64));
            let right = (right, score + offset_log(share as f64));
            // The likelier side first: the other is then nearly always cut.
            if left.1 > right.1 {
                stack.extend([right, left]);
            } else {
                stack.extend([left, right]);
            }
        }
    }
}

/// Inserts into a list of at most `k`, best first. Not a number sorts last.
fn keep_best(best: &mut Vec<Prediction>, k: usize, new: Prediction) {
    let before = |a: &Prediction, b: &Prediction| {
        let order = b
            .probability
            .partial_cmp(&a.probability)
            .unwrap_or_else(|| a.probability.is_nan().cmp(&b.probability.is_nan()));
        order.then(a.label.cmp(&b.label)) == Ordering::Less
    };
    let place = best.partition_point(|old| before(old, &new));
    if place < k {
        best.truncate(k - 1);
        best.insert(place, new);
    }
}

/// fastText's Huffman tree over counts in descending order (as its dictionaries store labels): two queues, ties to the inner
/// nodes.
fn huffman_tree(counts: &[i64]) -> Vec<Node> {
    const UNSET: i64 = 1_000_000_000_000_000;
    let n_leaves = counts.len();
    let n_nodes = (2 * n_leaves).saturating_sub(1);
    let mut tree = vec![Node { count: UNSET, parent: 0, is_right: false, children: None }; n_nodes];
    for (node, &count) in tree.iter_mut().zip(counts) {
        node.count = count;
    }
    let mut leaves_left = n_leaves;
    let mut next_inner = n_leaves;
    for new in n_leaves..n_nodes {
        let mut take = || {
            // An inner node that is not built yet must not be taken, whatever the counts claim.
            let inner_ready = next_inner < new;
            let take_leaf =
                leaves_left > 0 && (!inner_ready || tree[leaves_left - 1].count < tree[next_inner].count);
            if take_leaf {
                leaves_left -= 1;
                leaves_left
            } else {
                next_inner += 1;
                next_inner - 1
            }
        };
        let (left, right) = (take(), take());
        tree[new].children = Some((left, right));
        tree[new].count = tree[left].count.saturating_add(tree[right].count);
        tree[left].parent = new;
        tree[right].parent = new;
        tree[right].is_right = true;
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_labels_lie_deeper() {
        let tree = huffman_tree(&[10, 5, 2, 1]);
        assert_eq!(tree.len(), 7);
        assert_eq!(tree[4].children, Some((3, 2)));
        assert_eq!(tree[5].children, Some((4, 1)));
        assert_eq!(tree[6].children, Some((5, 0)));
        assert!(tree[0].is_right);
    }

    #[test]
    fn trees_of_any_counts_are_whole() {
        for counts in [&[][..], &[7], &[0, 0], &[i64::MAX, -4, i64::MAX], &[1; 50]] {
            let tree = huffman_tree(counts);
            let n_children = tree.iter().filter(|node| node.children.is_some()).count();
            assert_eq!(n_children, counts.len().saturating_sub(1));
        }
    }

    #[test]
    fn the_best_list_is_sorted_and_bounded() {
        let mut best = Vec::new();
        for (label, probability) in [0.1, 0.7, f32::NAN, 0.7, 0.2].into_iter().enumerate() {
            keep_best(&mut best, 3, Prediction { label, probability });
        }
        assert_eq!(best.iter().map(|p| p.label).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn stepped_sigmoid_is_exact_on_its_steps() {
        let steps = [0.0, 0.03, 9.0, -9.0].map(|x| stepped_sigmoid(x).to_bits());
        assert_eq!(steps, [0.5, 0.5, 1.0, 0.0].map(f32::to_bits));
        assert!(stepped_sigmoid(f32::NAN).is_nan());
    }
}
