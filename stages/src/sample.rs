//! `sample`: keeps a share of the documents.

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};

/// Keeps a share of the documents, chosen by a hash of their `id` and the recipe's seed.
///
/// The same documents are chosen whatever their order, their files and the number of machines, and a larger rate keeps all
/// that a smaller one keeps. Another `seed` in the recipe makes another choice. Reason `not_sampled`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The share to keep, from 0 to 1: each document stays with this probability.
    pub rate: f64,
    /// Tells several samples of one recipe apart. Two stages of the same salt choose by the same hash, so that the second keeps all that
    /// the first kept if its rate is not smaller.
    #[serde(default)]
    pub salt: u64,
}

const NOT_SAMPLED: Reason = "not_sampled";

impl StageConfig for Sample {
    const KIND: &'static str = "sample";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[NOT_SAMPLED];

    fn declares(&self) -> Declares {
        Declares { reads: vec![columns::ID.to_owned()], ..Declares::default() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(StageError::Config(format!(
                "`rate = {}` in `sample` is no share; a number from 0 to 1 works",
                self.rate
            )));
        }
        let seeds = [context.seed.to_le_bytes(), self.salt.to_le_bytes()].concat();
        Ok(Runtime::Filter(Box::new(Sampler { rate: self.rate, seed: xxh3_64_with_seed(&seeds, 0) })))
    }
}

struct Sampler {
    rate: f64,
    seed: u64,
}

impl Sampler {
    fn keeps(&self, id: &str) -> bool {
        // The upper 53 bits are a number from 0 to below 1 without rounding.
        let place = (xxh3_64_with_seed(id.as_bytes(), self.seed) >> 11) as f64 / (1u64 << 53) as f64;
        place < self.rate
    }
}

impl Filter for Sampler {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let ids = documents.strings(columns::ID)?;
        Ok(ids.iter().map(|id| (!self.keeps(id.unwrap_or(""))).then_some(NOT_SAMPLED).into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;

    use super::*;

    /// Which of the documents `document-0`, `document-1`, ... stay.
    fn kept(config: &Sample, seed: u64, numbers: impl Iterator<Item = usize>) -> Vec<usize> {
        let numbers: Vec<usize> = numbers.collect();
        let ids: ArrayRef = Arc::new(LargeStringArray::from_iter_values(
            numbers.iter().map(|number| format!("document-{number}")),
        ));
        let batch = DocBatch::new(RecordBatch::try_from_iter([(columns::ID, ids)]).unwrap()).unwrap();
        let Runtime::Filter(filter) = config.build(&BuildContext { base: ".".into(), seed }).unwrap() else {
            panic!("a filter")
        };
        let verdicts = filter.verdicts(&Documents::new(batch)).unwrap();
        let kept = numbers.into_iter().zip(verdicts).filter(|(_, verdict)| *verdict == Verdict::Keep);
        kept.map(|(number, _)| number).collect()
    }

    #[test]
    fn the_share_is_right_and_larger_rates_hold_smaller_ones() {
        let tenth = kept(&Sample { rate: 0.1, salt: 0 }, 1, 0..20_000);
        assert!((1_800..2_200).contains(&tenth.len()), "{}", tenth.len());
        let half = kept(&Sample { rate: 0.5, salt: 0 }, 1, 0..20_000);
        assert!((9_700..10_300).contains(&half.len()), "{}", half.len());
        assert!(tenth.iter().all(|number| half.binary_search(number).is_ok()));
        assert_eq!(kept(&Sample { rate: 1.0, salt: 0 }, 1, 0..100).len(), 100);
        assert_eq!(kept(&Sample { rate: 0.0, salt: 0 }, 1, 0..100).len(), 0);
    }

    #[test]
    fn order_and_batches_change_nothing_but_seed_and_salt_do() {
        let config = Sample { rate: 0.3, salt: 0 };
        let whole = kept(&config, 7, 0..1000);
        let mut parts = kept(&config, 7, (500..1000).rev());
        parts.extend(kept(&config, 7, 0..500));
        parts.sort_unstable();
        assert_eq!(whole, parts);
        let other_seed = kept(&config, 8, 0..1000);
        let other_salt = kept(&Sample { rate: 0.3, salt: 1 }, 7, 0..1000);
        assert!(whole != other_seed && whole != other_salt && other_seed != other_salt);
        // Independent choices: about 0.3 of what one keeps, the other keeps too.
        let both = whole.iter().filter(|number| other_salt.contains(number)).count();
        assert!((50..130).contains(&both), "{both}");
        // Fixed for good: results on disk rest on it.
        assert_eq!(whole[..5], [0, 8, 10, 19, 20]);
    }

    #[test]
    fn a_rate_that_is_no_share_is_a_mistake() {
        for rate in [-0.1, 1.5, 50.0, f64::NAN] {
            let built = Sample { rate, salt: 0 }.build(&BuildContext { base: ".".into(), seed: 0 });
            assert!(matches!(built, Err(StageError::Config(message)) if message.contains("`rate =")));
        }
    }
}
