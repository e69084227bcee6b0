//! What an engine does with an exchange, in a few lines, for the tests of the stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray};
use arrow::record_batch::RecordBatch;
use gristmill_corpus::{DocBatch, columns};

use super::clusters::verified_stars;
use super::components::components;
use crate::documents::Documents;
use crate::stage::{BuildContext, Exchange, Runtime, StageConfig};

/// Documents with the columns that the family reads.
pub fn documents(urls: &[&str], dates: &[&str], texts: &[&str]) -> Documents {
    let column = |values: &[&str]| -> ArrayRef { Arc::new(LargeStringArray::from(values.to_vec())) };
    let batch = RecordBatch::try_from_iter([
        (columns::URL, column(urls)),
        (columns::DATE, column(dates)),
        (columns::TEXT, column(texts)),
    ]);
    Documents::new(DocBatch::new(batch.unwrap()).unwrap())
}

/// A stage that is ready to run.
pub fn build(config: &impl StageConfig) -> Box<dyn Exchange> {
    match config.build(&BuildContext { base: ".".into(), seed: 1 }) {
        Ok(Runtime::Exchange(exchange)) => exchange,
        _ => panic!("not an exchange"),
    }
}

/// Which documents stay, over all batches.
pub fn dedup(exchange: &dyn Exchange, batches: &[Documents]) -> Vec<bool> {
    let mut rows: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    let (mut ranks, mut sketches) = (Vec::new(), Vec::new());
    for batch in batches {
        let first = ranks.len();
        let mut emit = |row, partition, key| {
            assert!(partition < exchange.partitions() && row < batch.len());
            rows.entry(partition).or_default().push((key, (first + row) as u64));
        };
        match exchange.verifier() {
            None => exchange.keys(batch, &mut emit).unwrap(),
            Some(verifier) => {
                verifier.keys(batch, &mut emit, &mut |sketch| sketches.push(sketch.to_vec())).unwrap();
            }
        }
        ranks.extend(exchange.ranks(batch).unwrap());
        assert_eq!(ranks.len(), first + batch.len());
    }
    let agree = |a: u64, b: u64| {
        Ok::<_, String>(match exchange.verifier() {
            None => true,
            Some(verifier) => verifier.agree(&sketches[a as usize], &sketches[b as usize]),
        })
    };
    let edges = rows.into_values().flat_map(|mut rows| {
        rows.sort_unstable();
        verified_stars(rows.into_iter().map(Ok), agree).map(Result::unwrap).collect::<Vec<_>>()
    });
    let labels = components(ranks.len() as u64, edges);
    let best = |cluster: u64| {
        (0..labels.len()).filter(|row| labels[*row] == cluster).min_by_key(|row| (ranks[*row], *row))
    };
    (0..labels.len()).map(|row| best(labels[row]) == Some(row)).collect()
}
