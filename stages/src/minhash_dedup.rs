//! Near-duplicate removal by MinHash: the stage. The kernel is in [`dedup::minhash`](crate::dedup::minhash).

use std::num::NonZeroU32;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::minhash::{MinHashParameters, MinHasher, Scratch, sketched_jaccard};
use crate::dedup::partition_of;
use crate::dedup::scope::{Scope, scoped};
use crate::dedup::survivor::Survivor;
use crate::documents::Documents;
use crate::stage::{
    BuildContext, ClusterColumns, Declares, Exchange, Reason, Runtime, Shape, StageConfig, StageError,
    Verifier,
};

/// Keeps one document of every group of near duplicates, over the whole corpus.
///
/// A document is the set of its word n-grams after normalisation: lowercase, numbers as 0, no punctuation, no marks.
/// Two documents become candidates when all `rows` minima of any of the `bands` bands agree, which for documents of
/// similarity s (the share of n-grams that they have in common) happens with probability 1 - (1 - s^rows)^bands. With
/// the defaults that is 77 % at .75, 92 % at .8 and 98.8 % at .85. Groups that share a document grow together.
///
/// Candidates below `verify` are let go: their n-grams are compared, all of them up to 1,024 a document, beyond that a
/// sample of 1,024. Without this second look, chance brings pairs of similarity .5 together in 5 % of cases.
///
/// Text in scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is compared by n-grams of characters.
/// Documents of fewer than `ngram` words are kept and are never anyone's duplicate: use `exact_dedup` for those.
///
/// The defaults are FineWeb's, but for `verify`: FineWeb takes candidates as they come (`verify = 0`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MinHashDedup {
    /// Words (characters, in scripts without spaces) in a row that make one element of a document's set. More words
    /// make chance agreement rarer and every edit costlier.
    pub ngram: NonZeroU32,
    /// Chances that two documents get to meet. More bands find less similar pairs.
    pub bands: NonZeroU32,
    /// Minima that have to agree in a band. More rows make the threshold higher and steeper.
    pub rows: NonZeroU32,
    /// Documents that share a band count as duplicates from this similarity on, 0 to 1; 0 trusts the bands. The second
    /// look keeps up to 4 KiB a document beside the keys (4 bytes a different n-gram), which are not shuffled but looked up.
    pub verify: f64,
    /// Which document of a group stays: `first` in the order of the input, `longest`, `newest`, `oldest`, or the one with
    /// the best value in a column: `{ highest = "score" }`, `{ lowest = "priority" }`.
    pub survivor: Survivor,
    /// Which documents may be duplicates of each other: `all`, or those of the same `dump` (one of each group stays in every
    /// crawl, as FineWeb does).
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: a document that has a duplicate there is dropped. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike (`ngram`, `bands`, `rows`, `seed`, `partitions`, `scope`, with or without `verify`).
    pub against: Vec<String>,
    /// Adds the columns `minhash_cluster_id` (the position of the group's first document in this stage's input) and
    /// `minhash_cluster_size` (documents of the group, 1 without duplicates) to what stays.
    pub cluster_columns: bool,
    /// Chooses the random permutations. Another seed finds other borderline pairs.
    pub seed: u64,
    /// Into how many parts keys are split; each is merged by one task. A part should hold some hundred megabytes: a
    /// document has `bands` keys of 16 bytes.
    pub partitions: NonZeroU32,
}

const fn at_least_one(n: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(n - 1)
}

impl Default for MinHashDedup {
    fn default() -> Self {
        Self {
            ngram: at_least_one(5),
            bands: at_least_one(14),
            rows: at_least_one(8),
            verify: 0.7,
            survivor: Survivor::First,
            scope: Scope::All,
            against: Vec::new(),
            cluster_columns: true,
            seed: 1,
            partitions: at_least_one(16),
        }
    }
}

/// Permutations beyond this are a slip of the keyboard: every one costs time on every word.
const MAX_PERMUTATIONS: u64 = 1 << 16;

impl StageConfig for MinHashDedup {
    const KIND: &'static str = "minhash_dedup";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Exchange;
    const REASONS: &'static [Reason] = &["near_duplicate"];

    fn declares(&self) -> Declares {
        let mut reads = vec![columns::TEXT.to_owned()];
        reads.extend(self.survivor.reads());
        reads.extend(self.scope.reads());
        reads.dedup();
        let writes = self.columns().map(|columns| columns.names()).unwrap_or_default();
        Declares { reads, writes, earlier: self.against.clone(), ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        let permutations = u64::from(self.bands.get()) * u64::from(self.rows.get());
        if permutations > MAX_PERMUTATIONS || self.ngram.get() > 1024 {
            return Err(StageError::Config(format!(
                "`minhash_dedup` with {} bands of {} rows and {}-grams: at most {MAX_PERMUTATIONS} permutations and \
                 1024 words serve; FineWeb uses 14 bands of 8 rows and 5-grams",
                self.bands, self.rows, self.ngram
            )));
        }
        if !(0.0..=1.0).contains(&self.verify) {
            return Err(StageError::Config(format!(
                "`minhash_dedup` with `verify = {}`: a similarity is between 0 and 1; 0.7 serves, 0 turns it off",
                self.verify
            )));
        }
        Ok(Runtime::Exchange(Box::new(NearDuplicates {
            hasher: MinHasher::new(self.parameters()),
            verify: self.verify,
            survivor: self.survivor.clone(),
            scope: self.scope,
            columns: self.columns(),
            partitions: self.partitions.get(),
        })))
    }
}

impl MinHashDedup {
    fn columns(&self) -> Option<ClusterColumns> {
        self.cluster_columns.then(|| ClusterColumns::named("minhash"))
    }

    /// What makes the keys: for those who look at the pairs later.
    pub fn parameters(&self) -> MinHashParameters {
        MinHashParameters {
            ngram: self.ngram.get() as usize,
            bands: self.bands.get() as usize,
            rows: self.rows.get() as usize,
            seed: self.seed,
        }
    }
}

struct NearDuplicates {
    hasher: MinHasher,
    verify: f64,
    survivor: Survivor,
    scope: Scope,
    columns: Option<ClusterColumns>,
    partitions: u32,
}

impl NearDuplicates {
    /// Hands over the keys of a document.
    fn emit(&self, row: usize, salt: u64, keys: &[u64], emit: &mut dyn FnMut(usize, u32, u64)) {
        for key in keys {
            let key = scoped(*key, salt);
            emit(row, partition_of(key, self.partitions), key);
        }
    }
}

impl Exchange for NearDuplicates {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn keys(&self, documents: &Documents, emit: &mut dyn FnMut(usize, u32, u64)) -> Result<(), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let (mut scratch, mut keys) = (Scratch::default(), Vec::new());
        let salts = self.scope.salts(documents)?;
        for (row, &salt) in salts.iter().enumerate() {
            self.hasher.keys(texts.value(row), &mut scratch, &mut keys);
            self.emit(row, salt, &keys, emit);
        }
        Ok(())
    }

    fn ranks(&self, documents: &Documents) -> Result<Vec<u64>, StageError> {
        self.survivor.ranks(documents)
    }

    fn reason(&self) -> Reason {
        "near_duplicate"
    }

    fn key_format(&self) -> String {
        let MinHashParameters { ngram, bands, rows, seed } = self.hasher.parameters();
        format!(
            "minhash_dedup {ngram}-grams, {bands} bands of {rows} rows, seed {seed}, {} partitions, scope {:?}, {} sketches",
            self.partitions,
            self.scope,
            if self.verify > 0.0 { "with" } else { "without" }
        )
    }

    fn verifier(&self) -> Option<&dyn Verifier> {
        (self.verify > 0.0).then_some(self as &dyn Verifier)
    }

    fn cluster_columns(&self) -> Option<ClusterColumns> {
        self.columns.clone()
    }
}

impl Verifier for NearDuplicates {
    fn keys(
        &self,
        documents: &Documents,
        emit: &mut dyn FnMut(usize, u32, u64),
        sketch: &mut dyn FnMut(&[u32]),
    ) -> Result<(), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let (mut scratch, mut keys, mut hashes) = (Scratch::default(), Vec::new(), Vec::new());
        let salts = self.scope.salts(documents)?;
        for (row, &salt) in salts.iter().enumerate() {
            self.hasher.keys_and_sketch(texts.value(row), &mut scratch, &mut keys, &mut hashes);
            self.emit(row, salt, &keys, emit);
            sketch(&hashes);
        }
        Ok(())
    }

    fn agree(&self, a: &[u32], b: &[u32]) -> bool {
        a == b || sketched_jaccard(a, b) >= self.verify
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::test_support::{build, dedup, documents};

    const PAGE: &str =
        "The mill stands where the river bends, and grinds what the valley grows: rye, wheat and oats.";

    #[test]
    fn one_of_each_group_stays() {
        let edited = PAGE.to_uppercase().replace(',', " –");
        let other =
            "Nothing in this sentence has anything to do with mills, rivers, valleys or what grows in them.";
        let batch = documents(&["a", "b", "c", "d"], &["", "", "", ""], &[PAGE, other, &edited, PAGE]);
        assert_eq!(dedup(&*build(&MinHashDedup::default()), &[batch]), [true, true, false, false]);
    }

    #[test]
    fn the_survivor_is_decided_by_data() {
        let dates = ["2024-05-18T10:59:01Z", "2025-01-01T00:00:00Z", "2023-05-18T10:59:01Z"];
        let longer = format!("{PAGE} ...");
        let batch = || documents(&["a", "b", "c"], &dates, &[PAGE, PAGE, &longer]);
        for (survivor, expected) in [
            (Survivor::First, [true, false, false]),
            (Survivor::Newest, [false, true, false]),
            (Survivor::Oldest, [false, false, true]),
            (Survivor::Longest, [false, false, true]),
        ] {
            let stage = build(&MinHashDedup { survivor: survivor.clone(), ..MinHashDedup::default() });
            assert_eq!(dedup(&*stage, &[batch()]), expected, "{survivor:?}");
        }
    }

    #[test]
    fn short_and_empty_documents_are_kept() {
        let texts = ["", "", "not found", "not found", "!", "!"];
        let batch = documents(&texts, &texts, &texts);
        assert_eq!(dedup(&*build(&MinHashDedup::default()), &[batch]), [true; 6]);
    }

    /// With one row a band, sharing a word is enough to become candidates.
    #[test]
    fn candidates_below_the_threshold_are_let_go() {
        let one = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
        let same = "alpha beta gamma delta epsilon zeta eta theta iota lambda";
        let half = "alpha beta gamma delta epsilon zeta one two three four";
        let batch = || documents(&["a", "b", "c"], &["", "", ""], &[one, same, half]);
        let stage = |verify| MinHashDedup {
            ngram: at_least_one(1),
            bands: at_least_one(64),
            rows: at_least_one(1),
            verify,
            ..MinHashDedup::default()
        };
        assert_eq!(dedup(&*build(&stage(0.0)), &[batch()]), [true, false, false]);
        assert_eq!(dedup(&*build(&stage(0.7)), &[batch()]), [true, false, true]);
        let context = BuildContext { base: ".".into(), seed: 1 };
        assert!(stage(1.5).build(&context).is_err() && stage(f64::NAN).build(&context).is_err());
    }

    #[test]
    fn absurd_dials_are_configuration_errors() {
        let config = MinHashDedup { bands: at_least_one(u32::MAX), ..MinHashDedup::default() };
        let context = BuildContext { base: ".".into(), seed: 1 };
        let Err(StageError::Config(message)) = config.build(&context) else { panic!("it builds") };
        assert!(message.contains("4294967295 bands"), "{message}");
        assert!(serde_json::from_str::<MinHashDedup>(r#"{"rows": 0}"#).is_err());
        assert!(serde_json::from_str::<MinHashDedup>(r#"{"row": 1}"#).is_err());
    }
}
