//! Which tokens a step reads: `batch` is a pure function of (tokens, seed, step), so a resume is exact.

use anyhow::{Result, ensure};

use gristmill_corpus::pack_plan::{self, PackPlan, Packing};

use crate::loss::IGNORED;

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

/// Deals the rows of a run: those of a pack plan, or windows of one stream.
pub struct Loader<'a> {
    tokens: &'a dyn TokenSource,
    context: usize,
    order: Order<'a>,
}

enum Order<'a> {
    /// Windows, each epoch in another seeded order and from another offset.
    Windows { seed: u64 },
    /// What a plan says, over sources that begin at these tokens.
    Plan { plan: &'a PackPlan, first_tokens: Vec<u64> },
}

impl<'a> Loader<'a> {
    /// Windows of `context + 1` tokens of one stream. Errors where the source is too short for one window.
    pub fn new(tokens: &'a dyn TokenSource, context: usize, seed: u64) -> Result<Self> {
        let n = tokens.n_tokens();
        ensure!(
            n > context as u64,
            "the train split holds {n} tokens, and one sequence needs {} (model.context + 1): use more data or a \
             smaller model.context",
            context + 1
        );
        Ok(Self { tokens, context, order: Order::Windows { seed } })
    }

    /// The rows of a plan. `tokens` are those of its sources, one behind the other. Errors where they are not.
    pub fn planned(tokens: &'a dyn TokenSource, plan: &'a PackPlan) -> Result<Self> {
        let mut first_tokens = Vec::new();
        let mut n_tokens = 0;
        for source in &plan.meta().sources {
            first_tokens.push(n_tokens);
            n_tokens += source.n_tokens;
        }
        ensure!(
            n_tokens == tokens.n_tokens(),
            "the pack plan is of {n_tokens} tokens, and the train split holds {}",
            tokens.n_tokens()
        );
        Ok(Self {
            tokens,
            context: plan.meta().row_length as usize,
            order: Order::Plan { plan, first_tokens },
        })
    }

    /// Sequences in one epoch, of all sources together.
    pub fn windows(&self) -> u64 {
        match &self.order {
            Order::Windows { .. } => pack_plan::stream_windows(self.tokens.n_tokens(), self.context as u32),
            Order::Plan { plan, .. } => plan.meta().sources.iter().map(|source| source.n_rows).sum(),
        }
    }

    /// `rows` sequences beginning with the run's `first_row`-th, counted over all steps.
    pub fn rows(&self, first_row: u64, rows: usize) -> Result<Batch> {
        let (size, context) = (rows * self.context, self.context);
        let mut batch = Batch {
            rows,
            context,
            inputs: Vec::with_capacity(size),
            targets: Vec::with_capacity(size),
            starts: Vec::new(),
        };
        for (index, row) in (first_row..first_row + rows as u64).enumerate() {
            match &self.order {
                Order::Windows { seed } => {
                    let n_tokens = self.tokens.n_tokens();
                    let window = pack_plan::stream_window(row, n_tokens, context as u32, *seed);
                    self.append(&mut batch, window.start, context, 0)?;
                }
                Order::Plan { plan, first_tokens } => {
                    let bos = plan.meta().bos;
                    let row = plan.row(row)?;
                    for stretch in &row.stretches {
                        let start = first_tokens[row.source] + stretch.start;
                        let place = (batch.inputs.len() - index * context) as u32;
                        self.append(&mut batch, start, stretch.length as usize, bos)?;
                        if plan.meta().packing == Packing::BestFit {
                            batch.starts.resize(batch.inputs.len(), place);
                        }
                    }
                    // Padding is a text of its own of which nothing is learnt.
                    let place = (batch.inputs.len() - index * context) as u32;
                    batch.inputs.resize((index + 1) * context, bos);
                    batch.targets.resize((index + 1) * context, IGNORED);
                    if plan.meta().packing == Packing::BestFit {
                        batch.starts.resize(batch.inputs.len(), place);
                    }
                }
            }
        }
        Ok(batch)
    }

    /// Appends tokens from `start` on as inputs, and those behind each as targets; behind the very last stands `bos`.
    fn append(&self, batch: &mut Batch, start: u64, length: usize, bos: u32) -> Result<()> {
        let mut tokens = vec![bos; length + 1];
        let readable = (self.tokens.n_tokens() - start).min(length as u64 + 1) as usize;
        self.tokens.read(start, &mut tokens[..readable])?;
        batch.inputs.extend_from_slice(&tokens[..length]);
        batch.targets.extend_from_slice(&tokens[1..]);
        Ok(())
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
    use gristmill_corpus::pack_plan::{MixtureSource, PlanOptions};
    use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardSet, ShardWriter};

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

    /// Two sources of short documents under one plan, mixed two to one; and their tokens.
    fn planned(folder: &std::path::Path, packing: Packing, context: u32) -> (PackPlan, Vec<u32>) {
        let write = |name: &str, lengths: &[u32]| {
            let folder = folder.join(name);
            let mut writer = ShardWriter::create(&folder, "train", ShardOptions::new("t", 1000, 0)).unwrap();
            for &length in lengths {
                let ids: Vec<u32> = std::iter::once(0).chain(length * 10..length * 11 - 1).collect();
                writer.push(&DocumentTokens { ids: &ids, ..DocumentTokens::default() }).unwrap();
            }
            writer.finish().unwrap();
            ShardSet::open(&folder, "train").unwrap()
        };
        let sets = [write("a", &[3, 5, 23, 8, 1]), write("b", &[12, 7, 30, 2])];
        let source = |name: &str, weight| MixtureSource { name: name.into(), weight, max_epochs: None };
        let sources = [(source("a", 2.0), &sets[0]), (source("b", 1.0), &sets[1])];
        let options = PlanOptions { packing, row_length: context, seed: 3, rows_per_step: 4, steps: 9 };
        let plan = PackPlan::prepare(&folder.join("plan"), &sources, &options).unwrap();
        let tokens = sets.iter().flat_map(|set| set.tokens(0..set.n_tokens()).unwrap()).collect();
        (plan, tokens)
    }

    #[test]
    fn rows_of_a_plan_hold_whole_documents_and_predict_what_follows_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, tokens) = planned(folder.path(), Packing::BestFit, 10);
        let loader = Loader::planned(&tokens, &plan).unwrap();
        let batch = loader.rows(0, 36).unwrap();
        let mut seen = 0;
        for (row, starts) in batch.starts.chunks(10).enumerate() {
            let inputs = &batch.inputs[row * 10..(row + 1) * 10];
            let targets = &batch.targets[row * 10..(row + 1) * 10];
            for place in 0..10 {
                let is_first = place == 0 || starts[place] != starts[place - 1];
                assert_eq!(starts[place] as usize == place, is_first, "{starts:?}");
                if targets[place] == IGNORED {
                    assert!(
                        starts[place..].iter().all(|start| *start == starts[place]),
                        "padding is one text"
                    );
                    assert!(inputs[place..].iter().all(|id| *id == 0));
                    continue;
                }
                seen += 1;
                if place + 1 < 10 && starts[place + 1] == starts[place] {
                    assert_eq!(targets[place], inputs[place + 1]);
                } else {
                    // The document goes on in another row, or another one begins.
                    assert!(targets[place] == 0 || targets[place] == inputs[place] + 1);
                }
                assert!(inputs[place] != 0 || is_first, "BOS only begins documents");
            }
        }
        let n_read: u64 =
            (0..36).flat_map(|row| plan.row(row).unwrap().stretches).map(|s| u64::from(s.length)).sum();
        assert_eq!(seen, n_read);
        assert_eq!(batch.n_targets(), n_read);
        // However the rows are grouped, the same rows come.
        let joined: Vec<Batch> = (0..36).map(|row| loader.rows(row, 1).unwrap()).collect();
        let field =
            |field: fn(&Batch) -> &Vec<u32>| joined.iter().flat_map(field).copied().collect::<Vec<_>>();
        assert_eq!(field(|batch| &batch.inputs), batch.inputs);
        assert_eq!(field(|batch| &batch.targets), batch.targets);
        assert_eq!(field(|batch| &batch.starts), batch.starts);
        assert!(loader.rows(36, 1).is_err());
        assert!(Loader::planned(&vec![1, 2, 3], &plan).is_err());
    }

    #[test]
    fn a_planned_stream_is_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        let write = ShardWriter::create(folder.path(), "train", ShardOptions::new("t", 1000, 0));
        let mut writer = write.unwrap();
        let ids: Vec<u32> = (0..503).collect();
        writer.push(&DocumentTokens { ids: &ids, ..DocumentTokens::default() }).unwrap();
        writer.finish().unwrap();
        let set = ShardSet::open(folder.path(), "train").unwrap();
        let options =
            PlanOptions { packing: Packing::Stream, row_length: 10, seed: 7, rows_per_step: 5, steps: 30 };
        let sources = [(MixtureSource::only("a"), &set)];
        let plan = PackPlan::prepare(&folder.path().join("plan"), &sources, &options).unwrap();
        let planned = Loader::planned(&ids, &plan).unwrap();
        let stream = Loader::new(&ids, 10, 7).unwrap();
        assert_eq!(planned.windows(), stream.windows());
        assert_eq!(planned.rows(0, 150).unwrap(), stream.rows(0, 150).unwrap());
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
