//! The conversations that fine-tuning reads: shards with loss masks, packed into rows.
//!
//! A row holds whole conversations side by side, by best fit. They do not see each other: attention stays inside a
//! conversation, and positions begin with 0 in each, as they do when the finished model answers one alone. So a
//! conversation's loss is the same wherever it is packed. One that is longer than the context is cut off there.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gristmill_corpus::packing::{Rows, best_fit};
use gristmill_corpus::shards::{ShardReader, ShardSet, one_sided};
use gristmill_tokenizer::Tokenizer;
use gristmill_tokenizer::conversation::{TEMPLATE_FILE, Template};
use xxhash_rust::xxh3::Xxh3;

use crate::loader::Batch;
use crate::loss::IGNORED;
use crate::shards::open_set;
use gristmill_corpus::permutation::{mix, permute};

/// Both splits of the conversations in a folder.
#[derive(Debug)]
pub struct Splits {
    /// To learn from.
    pub train: Conversations,
    /// Held out.
    pub val: Conversations,
    /// How they are written.
    pub template: Template,
    /// Hash over the names and checksums of all shards.
    pub fingerprint: String,
}

/// Opens the conversations in `folder` for rows of `context` tokens, and errors where another tokenizer wrote them, where
/// there are no masks, or where a mask is all zeros or all ones.
///
/// `name` is what to call the tokenizer in the error.
pub fn open(folder: &Path, tokenizer: &Tokenizer, name: &str, context: usize) -> Result<Splits> {
    let mut hash = Xxh3::new();
    let train = open_set(folder, "train", tokenizer, name, &mut hash)?;
    let val = open_set(folder, "val", tokenizer, name, &mut hash).context(
        "fine-tuning wants conversations held out: `validation_share` of `conversation_shards` says how many",
    )?;
    let (train, val) = (Conversations::new(train, context)?, Conversations::new(val, context)?);
    let path = folder.join(TEMPLATE_FILE);
    let template = std::fs::read(&path)
        .with_context(|| {
            format!(
                "cannot read `{}`: the stage `conversation_shards` leaves it beside its shards",
                path.display()
            )
        })
        .and_then(|json| {
            serde_json::from_slice(&json).with_context(|| format!("`{}` is damaged", path.display()))
        })?;
    Ok(Splits { train, val, template, fingerprint: format!("{:032x}", hash.digest128()) })
}

/// The conversations of one split, packed.
#[derive(Debug)]
pub struct Conversations {
    shards: ShardSet,
    /// Shard and document of each that is learnt from.
    places: Vec<(usize, usize)>,
    rows: Rows,
    context: usize,
    /// Longer than the context: read up to there.
    pub n_cut: u64,
    /// So long that nothing to learn lies inside the context: left out.
    pub n_left_out: u64,
}

impl Conversations {
    /// Checks every mask and packs the conversations into rows of `context` inputs.
    pub fn new(shards: ShardSet, context: usize) -> Result<Self> {
        let folder_of = |shard: &ShardReader| shard.meta().name.clone();
        let (mut places, mut lengths) = (Vec::new(), Vec::new());
        let (mut n_cut, mut n_left_out) = (0, 0);
        for (s, shard) in shards.shards().iter().enumerate() {
            for d in 0..shard.n_documents() {
                let mask = shard.document_mask(d)?.with_context(|| {
                    format!(
                        "shard `{}` has no loss masks: it holds documents, not conversations\nhint: `conversation_shards` \
                         writes shards for fine-tuning",
                        folder_of(shard)
                    )
                })?;
                if let Some(why) = one_sided(mask) {
                    let records = shard.documents()?;
                    let id = records.get(d).map_or("?", |record| record.id.as_str());
                    anyhow::bail!(
                        "the loss mask of conversation `{id}` in shard `{}` {why}",
                        folder_of(shard)
                    );
                }
                let read = mask.len().min(context + 1);
                n_cut += u64::from(read < mask.len());
                // The first token is nobody's target.
                if mask[1..read].contains(&1) {
                    places.push((s, d));
                    lengths.push(read as u64 - 1);
                } else {
                    n_left_out += 1;
                }
            }
        }
        ensure!(
            !places.is_empty(),
            "no conversation has anything to learn within {context} tokens, the base model's context, of {} conversations",
            shards.n_documents()
        );
        let context_ = u32::try_from(context).context("the context is too long")?;
        let rows = best_fit(0, &lengths, context_);
        Ok(Self { shards, places, rows, context, n_cut, n_left_out })
    }

    /// Conversations that are read.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Never true: opening refuses an empty split.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Rows of one epoch.
    pub fn n_rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Share of the rows' places that are padding.
    pub fn padding_share(&self) -> f64 {
        self.rows.padding() as f64 / (self.rows.padding() + self.rows.n_tokens()) as f64
    }

    /// Ids and mask of a conversation, whole, in the order of the shards.
    pub fn conversation(&self, index: usize) -> Result<(Vec<u32>, &[u8])> {
        let (shard, document) = self.places[index];
        let shard = &self.shards.shards()[shard];
        let ids = shard.document(document)?;
        let vocabulary = shard.meta().vocab_size;
        // A damaged payload must not become an index beyond the embedding.
        if let Some(wrong) = ids.iter().find(|id| **id as usize >= vocabulary) {
            anyhow::bail!(
                "a token of shard `{}` is {wrong}, and the vocabulary has {vocabulary}",
                shard.meta().name
            );
        }
        Ok((ids, shard.document_mask(document)?.expect("opening checks that masks are there")))
    }

    /// `rows` rows beginning with the run's `first_row`-th, each epoch in another seeded order: a pure function.
    pub fn batch(&self, first_row: u64, rows: usize, seed: u64) -> Result<Batch> {
        let n = self.n_rows();
        let shuffled = (first_row..first_row + rows as u64).map(|row| {
            let (epoch, index) = (row / n, row % n);
            permute(index, n, mix(seed ^ mix(epoch))) as usize
        });
        self.batch_of(shuffled)
    }

    /// Every row once, `rows` at a time.
    pub fn in_order(&self, rows: usize) -> impl Iterator<Item = Result<Batch>> {
        let n = self.rows.len();
        (0..n).step_by(rows).map(move |first| self.batch_of(first..(first + rows).min(n)))
    }

    fn batch_of(&self, rows: impl Iterator<Item = usize>) -> Result<Batch> {
        let mut batch = Batch {
            rows: 0,
            context: self.context,
            inputs: Vec::new(),
            targets: Vec::new(),
            starts: Vec::new(),
        };
        for row in rows {
            let begin = batch.inputs.len();
            let place = |batch: &Batch| (batch.inputs.len() - begin) as u32;
            for piece in self.rows.row(row) {
                let (ids, mask) = self.conversation(piece.document as usize)?;
                let start = place(&batch);
                let length = piece.length as usize;
                batch.inputs.extend_from_slice(&ids[..length]);
                let learnt = |at| if mask[at] == 1 { ids[at] } else { IGNORED };
                batch.targets.extend((1..=length).map(learnt));
                batch.starts.resize(batch.inputs.len(), start);
            }
            // Padding reads itself alone and is nobody's target.
            let start = place(&batch);
            batch.rows += 1;
            batch.inputs.resize(batch.rows * self.context, 0);
            batch.targets.resize(batch.rows * self.context, IGNORED);
            batch.starts.resize(batch.rows * self.context, start);
        }
        Ok(batch)
    }
}
