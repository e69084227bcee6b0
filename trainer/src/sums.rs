//! Gradients added up in an order that does not depend on who computed them.
//!
//! Floating-point sums depend on their order. Here the order is a tree over the places 0, 1, 2, … of what is added:
//! places 0 and 1, 2 and 3, … form pairs, pairs form fours, and so on; what is left over at the end is added from the
//! back. A process that computes some consecutive places adds up what lies whole within them, and whoever receives the
//! partial sums in order goes on: the additions are the same, and so are the bits.

use rayon::prelude::*;

use crate::kernels::rows::add;

/// Elements that one task adds.
const CHUNK: usize = 16_384;

/// Gradients of all parameters, one vector each.
pub type Gradients = Vec<Vec<f32>>;

/// The sum over 2^`level` places, of which `first` is the first.
pub struct Node {
    /// A multiple of 2^`level`.
    pub first: usize,
    /// How many pairings it has behind it.
    pub level: u32,
    /// What was added up.
    pub values: Gradients,
}

/// Sums of consecutive places that await their other half, and buffers for more.
#[derive(Default)]
pub struct TreeSum {
    nodes: Vec<Node>,
    spare: Vec<Gradients>,
}

impl TreeSum {
    /// Buffers for gradients of these lengths. What they hold does not matter.
    pub fn buffers(&mut self, lengths: impl Iterator<Item = usize>) -> Gradients {
        let mut buffers = self.spare.pop().unwrap_or_default();
        let mut n = 0;
        for (i, length) in lengths.enumerate() {
            if i == buffers.len() {
                buffers.push(Vec::new());
            }
            buffers[i].resize(length, 0.0);
            n += 1;
        }
        buffers.truncate(n);
        buffers
    }

    /// Adds the sum of the places that come next.
    pub fn push(&mut self, node: Node) {
        self.nodes.push(node);
        while let [.., left, right] = &mut self.nodes[..] {
            let halves = left.level == right.level
                && left.first.is_multiple_of(2 << left.level)
                && right.first == left.first + (1 << left.level);
            if !halves {
                break;
            }
            add_all(&mut left.values, &right.values);
            left.level += 1;
            self.drop_last();
        }
    }

    /// The sum over everything that was pushed; zero places have none.
    pub fn total(&mut self) -> Option<&mut Gradients> {
        while let [.., left, right] = &mut self.nodes[..] {
            add_all(&mut left.values, &right.values);
            self.drop_last();
        }
        self.nodes.last_mut().map(|node| &mut node.values)
    }

    /// Sums that await their other half, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Forgets the sums and keeps their buffers.
    pub fn clear(&mut self) {
        while !self.nodes.is_empty() {
            self.drop_last();
        }
    }

    fn drop_last(&mut self) {
        self.spare.extend(self.nodes.pop().map(|node| node.values));
    }
}

fn add_all(sums: &mut Gradients, more: &Gradients) {
    for (sum, more) in sums.iter_mut().zip(more) {
        sum.par_chunks_mut(CHUNK).zip(more.par_chunks(CHUNK)).for_each(|(sum, more)| add(sum, more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn leaf(first: usize) -> Node {
        let mut random = Random::named(1, &format!("{first}"));
        let mut values = |n: usize| (0..n).map(|_| random.normal() as f32).collect();
        Node { first, level: 0, values: vec![values(5), values(40_000)] }
    }

    fn bits(gradients: &Gradients) -> Vec<u32> {
        gradients.iter().flatten().map(|value| value.to_bits()).collect()
    }

    /// The tree by its definition.
    fn plain(places: std::ops::Range<usize>) -> Vec<f32> {
        let n = places.len();
        if n == 1 {
            return leaf(places.start).values.concat();
        }
        // The largest power of two below n.
        let middle = places.start + n.next_power_of_two() / 2;
        let (left, right) = (plain(places.start..middle), plain(middle..places.end));
        left.iter().zip(right).map(|(a, b)| a + b).collect()
    }

    #[test]
    fn however_places_are_shared_out_the_bits_are_the_same() {
        for n in 1..14 {
            let expected = plain(0..n);
            for processes in 1..=n {
                let mut root = TreeSum::default();
                for rank in 0..processes {
                    let mut own = TreeSum::default();
                    for place in rank * n / processes..(rank + 1) * n / processes {
                        own.push(leaf(place));
                    }
                    for node in own.nodes.drain(..) {
                        root.push(node);
                    }
                }
                let total = bits(root.total().unwrap());
                assert_eq!(total, bits(&vec![expected.clone()]), "{n} places, {processes} processes");
            }
        }
    }

    #[test]
    fn buffers_are_reused_and_few() {
        let mut sum = TreeSum::default();
        for round in 0..3 {
            for place in 0..16 {
                let mut values = sum.buffers([5, 40_000].into_iter());
                values.clone_from(&leaf(place).values);
                sum.push(Node { first: place, level: 0, values });
            }
            assert_eq!(sum.total().unwrap().len(), 2);
            sum.clear();
            assert_eq!(sum.spare.len(), 5, "round {round}");
        }
        assert!(sum.total().is_none());
        let lengths: Vec<usize> = sum.buffers([3].into_iter()).iter().map(Vec::len).collect();
        assert_eq!(lengths, [3]);
    }
}
