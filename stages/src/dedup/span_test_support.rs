//! What an engine does with spans, in a few lines and in memory, for the tests of the stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray};
use arrow::record_batch::RecordBatch;
use gristmill_corpus::{DocBatch, columns};

use super::order::orders;
use crate::documents::Documents;
use crate::stage::{BuildContext, Mark, Reason, Runtime, Spans, StageConfig, Verdict};

/// What is left of a text, or why its document went.
pub type Left = Result<String, Reason>;

/// Documents with these ids and texts.
pub fn documents(rows: &[(String, String)]) -> Documents {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<LargeStringArray>());
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| Some(&row.1)).collect::<LargeStringArray>());
    let batch = RecordBatch::try_from_iter([(columns::ID, ids), (columns::TEXT, texts)]);
    Documents::new(DocBatch::new(batch.unwrap()).unwrap())
}

/// A stage that is ready to run.
pub fn build(config: &impl StageConfig) -> Box<dyn Spans> {
    match config.build(&BuildContext { base: ".".into(), seed: 1 }) {
        Ok(Runtime::Spans(spans)) => spans,
        Ok(_) => panic!("not a stage of spans"),
        Err(error) => panic!("{error}"),
    }
}

/// What is left of each document, over batches of `size`.
pub fn cut_copies(stage: &dyn Spans, rows: &[(String, String)], size: usize) -> Vec<Left> {
    let batches: Vec<Documents> = rows.chunks(size).map(documents).collect();
    let mut marked: Vec<Vec<Vec<u32>>> = batches.iter().map(|batch| vec![Vec::new(); batch.len()]).collect();
    for (pass, mark) in stage.passes().iter().enumerate() {
        let mut copies: BTreeMap<u128, Vec<(u64, usize, usize, u32)>> = BTreeMap::new();
        for (b, batch) in batches.iter().enumerate() {
            let orders = orders(batch).unwrap();
            stage
                .keys(pass, batch, &marked[b], &mut |row, span, key| {
                    copies.entry(key).or_default().push((orders[row], b, row, span));
                })
                .unwrap();
        }
        marked.iter_mut().flatten().for_each(Vec::clear);
        for mut places in copies.into_values() {
            places.sort_unstable();
            let skip = usize::from(*mark == Mark::Later || places.len() == 1);
            for (_, b, row, span) in places.into_iter().skip(skip) {
                marked[b][row].push(span);
            }
        }
        marked.iter_mut().flatten().for_each(|spans| spans.sort_unstable());
    }
    let mut left = Vec::new();
    for (batch, marked) in batches.into_iter().zip(&marked) {
        let n = batch.len();
        let (batch, verdicts) = stage.rewrite(batch, marked).unwrap();
        assert_eq!((batch.len(), verdicts.len()), (n, n));
        let texts = batch.strings(columns::TEXT).unwrap();
        left.extend(verdicts.into_iter().enumerate().map(|(row, verdict)| match verdict {
            Verdict::Keep => Ok(texts.value(row).to_owned()),
            Verdict::Drop(reason) => Err(reason),
        }));
    }
    left
}

/// What is left of each text; documents in whatever order and batches leave the same.
pub fn each_way(config: &impl StageConfig, texts: &[impl AsRef<str>]) -> Vec<Left> {
    let stage = build(config);
    let rows = texts.iter().enumerate().map(|(i, text)| (format!("doc-{i}"), text.as_ref().to_owned()));
    let mut rows: Vec<(String, String)> = rows.collect();
    let left = cut_copies(&*stage, &rows, rows.len().max(1));
    assert_eq!(cut_copies(&*stage, &rows, 1), left);
    rows.reverse();
    let mut backwards = cut_copies(&*stage, &rows, 2);
    backwards.reverse();
    assert_eq!(backwards, left);
    left
}
