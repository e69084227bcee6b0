//! Which tokens a step reads: `batch` is a pure function of (tokens, seed, step), so a resume is exact.

use anyhow::{Result, ensure};

use crate::loss::IGNORED;
use crate::random::{mix, permute};

/// A long run of token ids that can be read anywhere.
pub trait TokenSource {
    /// Number of tokens.
    fn n_tokens(&self) -> u64;

    /// Fills `out` with the tokens from `start` on; the range lies within [`Self::n_tokens`].
    fn read(&self, start: u64, out: &mut [u32]) -> Result<()>;
}

impl TokenSource for Vec<u32> {
    fn n_tokens(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, start: u64, out: &mut [u32]) -> Result<()> {
        let start = start as usize;
        out.copy_from_slice(&self[start..start + out.len()]);
        Ok(())
    }
}

/// Inputs and targets of some rows, row-major (rows, context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of sequences.
    pub rows: usize,
    /// Tokens in each.
    pub context: usize,
    /// What the model reads.
    pub inputs: Vec<u32>,
    /// The token after each input, or [`IGNORED`].
    pub targets: Vec<u32>,
    /// The place in its row where each input's document begins: nothing before it is read, and positions count from
    /// it. Empty: every row is one text.
    pub starts: Vec<u32>,
}

impl Batch {
    /// Targets that count.
    pub fn n_targets(&self) -> u64 {
        self.targets.iter().filter(|&&target| target != IGNORED).count() as u64
    }
}

/// Deals windows of `context + 1` tokens, each epoch in another seeded order and from another offset.
pub struct Loader<'a> {
    source: &'a dyn TokenSource,
    context: usize,
    seed: u64,
    windows: u64,
    slack: u64,
}

impl<'a> Loader<'a> {
    /// Errors where the source is too short for one window.
    pub fn new(source: &'a dyn TokenSource, context: usize, seed: u64) -> Result<Self> {
        let (n, context_) = (source.n_tokens(), context as u64);
        ensure!(
            n > context_,
            "the train split holds {n} tokens, and one sequence needs {} (model.context + 1): use more data or a \
             smaller model.context",
            context_ + 1
        );
        // Windows share their last token with the next one's first: each token but the first is a target once.
        Ok(Self { source, context, seed, windows: (n - 1) / context_, slack: (n - 1) % context_ })
    }

    /// Sequences in one epoch.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// `rows` sequences beginning with the run's `first_row`-th, counted over all steps.
    pub fn rows(&self, first_row: u64, rows: usize) -> Result<Batch> {
        let mut batch = Batch {
            rows,
            context: self.context,
            inputs: Vec::with_capacity(rows * self.context),
            targets: Vec::with_capacity(rows * self.context),
            starts: Vec::new(),
        };
        let mut window = vec![0; self.context + 1];
        for row in first_row..first_row + rows as u64 {
            let (epoch, index) = (row / self.windows, row % self.windows);
            let epoch_seed = mix(self.seed ^ mix(epoch));
            let offset = mix(epoch_seed) % (self.slack + 1);
            let start = offset + permute(index, self.windows, epoch_seed) * self.context as u64;
            self.source.read(start, &mut window)?;
            batch.inputs.extend_from_slice(&window[..self.context]);
            batch.targets.extend_from_slice(&window[1..]);
        }
        Ok(batch)
    }
}

/// The first `limit` targets (0: all) of a source in order, as batches of up to `rows` windows.
///
/// Every token but the very first is a target exactly once. The last window is padded with ignored targets.
pub fn in_order(
    source: &dyn TokenSource,
    context: usize,
    rows: usize,
    limit: u64,
) -> impl Iterator<Item = Result<Batch>> {
    let all = source.n_tokens().saturating_sub(1);
    let n_targets = if limit == 0 { all } else { all.min(limit) };
    let context_ = context as u64;
    let windows = n_targets.div_ceil(context_);
    (0..windows.div_ceil(rows as u64)).map(move |batch| {
        let first = batch * rows as u64;
        let last = (first + rows as u64).min(windows);
        let rows = (last - first) as usize;
        let mut batch = Batch {
            rows,
            context,
            inputs: vec![0; rows * context],
            targets: vec![IGNORED; rows * context],
            starts: Vec::new(),
        };
        for window in first..last {
            let start = window * context_;
            let len = (n_targets - start).min(context_) as usize;
            let mut tokens = vec![0; len + 1];
            source.read(start, &mut tokens)?;
            let at = (window - first) as usize * context;
            batch.inputs[at..at + len].copy_from_slice(&tokens[..len]);
            batch.targets[at..at + len].copy_from_slice(&tokens[1..]);
        }
        Ok(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_pure_and_an_epoch_covers_every_window() {
        let source: Vec<u32> = (0..1003).collect();
        let loader = Loader::new(&source, 10, 7).unwrap();
        assert_eq!(loader.windows(), 100);
        // However the rows are grouped, the same rows come.
        let one_by_one: Vec<Batch> = (0..250).map(|row| loader.rows(row, 1).unwrap()).collect();
        let together = Loader::new(&source, 10, 7).unwrap().rows(0, 250).unwrap();
        let joined: Vec<u32> = one_by_one.iter().flat_map(|batch| batch.inputs.clone()).collect();
        assert_eq!(joined, together.inputs);
        assert!(together.inputs.iter().zip(&together.targets).all(|(input, target)| input + 1 == *target));
        for epoch in 0..2 {
            let mut starts: Vec<u32> = (0..100).map(|i| together.inputs[(epoch * 100 + i) * 10]).collect();
            starts.sort_unstable();
            let offset = starts[0];
            assert!(offset <= 2);
            assert_eq!(starts, (0..100).map(|i| offset + i * 10).collect::<Vec<_>>());
        }
        assert_ne!(together.inputs[..100], Loader::new(&source, 10, 8).unwrap().rows(0, 10).unwrap().inputs);
        assert_ne!(together.inputs[..100], together.inputs[1000..1100]);
    }

    #[test]
    fn too_little_data_is_an_error() {
        let error = Loader::new(&vec![1, 2, 3], 3, 0).err().unwrap().to_string();
        assert!(error.contains("holds 3 tokens, and one sequence needs 4"), "{error}");
        assert_eq!(Loader::new(&vec![1, 2, 3, 4], 3, 0).unwrap().rows(5, 1).unwrap().targets, [2, 3, 4]);
    }

    #[test]
    fn in_order_makes_every_token_a_target_once() {
        for n in [0_u32, 1, 2, 9, 10, 11, 57] {
            for limit in [0, 1, 20, 1000] {
                let source: Vec<u32> = (100..100 + n).collect();
                let batches: Vec<Batch> = in_order(&source, 4, 3, limit).collect::<Result<_>>().unwrap();
                let mut targets: Vec<u32> = batches.iter().flat_map(|b| b.targets.clone()).collect();
                targets.retain(|&target| target != IGNORED);
                let expected = u64::from(n.saturating_sub(1)).min(if limit == 0 { u64::MAX } else { limit });
                assert_eq!(targets, (101..101 + expected as u32).collect::<Vec<_>>());
            }
        }
    }
}
