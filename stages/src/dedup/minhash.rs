//! MinHash signatures of texts and the band keys that bring near duplicates together.
//!
//! The set of a text is its word n-grams ([shingles](MinHasher::shingles)). Under a random permutation of all possible
//! shingles, two texts have the same minimum with the probability that is their Jaccard similarity (Broder 1997); the
//! share of equal minima among `bands x rows` permutations estimates it without bias. `rows` minima in a row fold into
//! one key, and texts that share any of the `bands` keys become candidates: with similarity s, that has the probability
//! `1 - (1 - s^rows)^bands`. With FineWeb's 14 x 8 that is 77 % at .75, 92 % at .8 and 98.8 % at .85.
//!
//! A permutation is `a * x + b` modulo 2^32 with odd `a`, a bijection, over shingle hashes that are random already.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::normalise::{WordHasher, word_hash, words};

/// The dials of a signature. All of them change the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinHashParameters {
    /// Words in a shingle, at least 1.
    pub ngram: usize,
    /// Keys of a document.
    pub bands: usize,
    /// Minima in a key.
    pub rows: usize,
    /// Chooses the permutations.
    pub seed: u64,
}

impl Default for MinHashParameters {
    /// FineWeb's: word 5-grams, 14 bands of 8 rows.
    fn default() -> Self {
        Self { ngram: 5, bands: 14, rows: 8, seed: 1 }
    }
}

impl MinHashParameters {
    /// The probability that two documents of this Jaccard similarity share a key.
    pub fn recall(&self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powf(self.rows as f64)).powf(self.bands as f64)
    }
}

/// Computes signatures and keys; immutable and shared by threads, with a [`Scratch`] for each.
#[derive(Debug, Clone)]
pub struct MinHasher {
    parameters: MinHashParameters,
    permutations: Vec<Group>,
    /// The multiplier of the rolling hash and its power `ngram`, which takes the oldest word out again.
    base_power: u64,
    update: UpdateKernel,
}

/// Reused buffers: one a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    words: WordHasher,
    hashes: Vec<u64>,
    shingles: Vec<u32>,
    minima: Vec<[u32; LANES]>,
}

/// Permutations are worked on in groups of this many: one AVX-512 register, two of AVX2, four of NEON and SSE.
const LANES: usize = 16;

/// The constants of [`LANES`] permutations.
#[derive(Debug, Clone, Copy)]
struct Group {
    a: [u32; LANES],
    b: [u32; LANES],
}

type UpdateKernel = fn(&[Group], &[u32], &mut [[u32; LANES]]);

/// An odd constant without structure; powers of it weigh the words of a shingle by their place.
const BASE: u64 = 0xF135_7AEA_2E62_A9C5;

impl MinHasher {
    /// Draws the permutations. `ngram`, `bands` and `rows` of 0 count as 1.
    pub fn new(parameters: MinHashParameters) -> Self {
        let parameters = MinHashParameters {
            ngram: parameters.ngram.max(1),
            bands: parameters.bands.max(1),
            rows: parameters.rows.max(1),
            seed: parameters.seed,
        };
        let n = parameters.bands.saturating_mul(parameters.rows);
        let mut state = parameters.seed;
        let permutations = (0..n.div_ceil(LANES))
            .map(|_| Group {
                a: std::array::from_fn(|_| split_mix(&mut state) as u32 | 1),
                b: std::array::from_fn(|_| split_mix(&mut state) as u32),
            })
            .collect();
        let base_power = (0..parameters.ngram).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self { parameters, permutations, base_power, update: fastest_update() }
    }

    /// The dials that this was made with.
    pub fn parameters(&self) -> MinHashParameters {
        self.parameters
    }

    /// The `bands * rows` minima of a text, or `None` when it has fewer words than a shingle.
    pub fn signature<'s>(&self, text: &str, scratch: &'s mut Scratch) -> Option<&'s [u32]> {
        self.signature_of(text, scratch, |_| {})
    }

    fn signature_of<'s>(
        &self,
        text: &str,
        scratch: &'s mut Scratch,
        mut see: impl FnMut(&[u32]),
    ) -> Option<&'s [u32]> {
        let Scratch { words, hashes, shingles, minima } = scratch;
        let n = self.parameters.ngram;
        minima.clear();
        minima.resize(self.permutations.len(), [u32::MAX; LANES]);
        hashes.clear();
        let mut any = false;
        words.hash_words(text, hashes, |hashes| {
            if hashes.len() >= n {
                any = true;
                shingles.clear();
                self.roll(hashes, |shingle| shingles.push((shingle >> 32) as u32));
                (self.update)(&self.permutations, shingles, minima);
                see(shingles);
                // The next shingle begins with the last n - 1 words.
                hashes.drain(..hashes.len() - (n - 1));
            }
        });
        any.then(|| &minima.as_flattened()[..self.parameters.bands * self.parameters.rows])
    }

    /// Hands over a hash for each n consecutive words, in constant time each: a polynomial in [`BASE`] over the word
    /// hashes, then a mix so that all bits depend on all words.
    #[inline]
    fn roll(&self, hashes: &[u64], mut emit: impl FnMut(u64)) {
        let n = self.parameters.ngram;
        let mut sum = hashes[..n - 1].iter().fold(0_u64, |sum, h| sum.wrapping_mul(BASE).wrapping_add(*h));
        let mut oldest = 0_u64;
        for (newest, next_oldest) in hashes[n - 1..].iter().zip(hashes) {
            let leaving = oldest.wrapping_mul(self.base_power);
            sum = sum.wrapping_mul(BASE).wrapping_add(newest.wrapping_sub(leaving));
            oldest = *next_oldest;
            emit(mix(sum));
        }
    }

    /// The set of a text: the sorted distinct hashes of its word n-grams. The plain definition, for tests and for the
    /// true similarity of two documents; a signature permutes the upper 32 bits of the same hashes.
    pub fn shingles(&self, text: &str) -> Vec<u64> {
        let hashes: Vec<u64> = words(text).iter().map(|word| word_hash(word.as_bytes())).collect();
        let set: BTreeSet<u64> = hashes
            .windows(self.parameters.ngram)
            .map(|window| mix(window.iter().fold(0, |sum: u64, h| sum.wrapping_mul(BASE).wrapping_add(*h))))
            .collect();
        set.into_iter().collect()
    }

    /// Appends the `bands` keys of a signature. A band's number is part of its key, so that keys of different bands are
    /// different and one exchange serves all.
    pub fn push_keys(&self, signature: &[u32], keys: &mut Vec<u64>) {
        let mut bytes = Vec::with_capacity(4 * self.parameters.rows);
        for (band, minima) in signature.chunks_exact(self.parameters.rows).enumerate() {
            bytes.clear();
            for minimum in minima {
                bytes.extend_from_slice(&minimum.to_le_bytes());
            }
            keys.push(xxh3_64_with_seed(&bytes, band as u64));
        }
    }

    /// The keys of a text, none when it is too short: it shares a bucket with nothing and is kept.
    pub fn keys(&self, text: &str, scratch: &mut Scratch, keys: &mut Vec<u64>) {
        keys.clear();
        if let Some(signature) = self.signature(text, scratch) {
            self.push_keys(signature, keys);
        }
    }
}

/// How many hashes a sketch holds at most: those of all different shingles of most pages, so that their similarity is
/// exact. Beyond, the standard error is at most .016.
pub const SKETCH: usize = 1024;

impl MinHasher {
    /// The keys of a text, and its sketch: the [`SKETCH`] smallest hashes of its set, ascending. Both are empty when the
    /// text is too short.
    pub fn keys_and_sketch(
        &self,
        text: &str,
        scratch: &mut Scratch,
        keys: &mut Vec<u64>,
        sketch: &mut Vec<u32>,
    ) {
        keys.clear();
        sketch.clear();
        // Cut down whenever it has grown to many times what stays, and always far from sorting each chunk anew.
        let keep = |sketch: &mut Vec<u32>| {
            sketch.sort_unstable();
            sketch.dedup();
            sketch.truncate(SKETCH);
        };
        let signature = self.signature_of(text, scratch, |shingles| {
            sketch.extend_from_slice(shingles);
            if sketch.len() > 16 * SKETCH {
                keep(sketch);
            }
        });
        if let Some(signature) = signature {
            self.push_keys(signature, keys);
        }
        keep(sketch);
    }
}

/// The Jaccard similarity of two sets by their sketches: the share of common hashes among the [`SKETCH`] smallest of both
/// together. Exact when neither set is larger than a sketch, otherwise unbiased but for repetitions (bottom-k sketches:
/// Broder 1997; Cohen and Kaplan 2007). 0 when both are empty.
pub fn sketched_jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut common, mut all) = (0, 0, 0_usize, 0_usize);
    while all < SKETCH && i < a.len() && j < b.len() {
        common += usize::from(a[i] == b[j]);
        let (x, y) = (a[i], b[j]);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
        all += 1;
    }
    // What is left of one of them, as far as it still belongs to the smallest.
    all += (a.len() - i + b.len() - j).min(SKETCH - all);
    if all == 0 { 0.0 } else { common as f64 / all as f64 }
}

/// The estimated Jaccard similarity of two documents: the share of equal minima of two equally long signatures.
pub fn estimated_jaccard(a: &[u32], b: &[u32]) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
    if a.is_empty() { 0.0 } else { equal as f64 / a.len() as f64 }
}

/// The Jaccard similarity of two sorted sets without repetitions; 0 when both are empty.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0_usize);
    while i < a.len() && j < b.len() {
        common += usize::from(a[i] == b[j]);
        let (a, b) = (a[i], b[j]);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    let union = a.len() + b.len() - common;
    if union == 0 { 0.0 } else { common as f64 / union as f64 }
}

#[inline]
fn mix(sum: u64) -> u64 {
    (sum ^ (sum >> 32)).wrapping_mul(0x9FB2_1C65_1E98_DF25)
}

/// SplitMix64, the usual way to spread a seed (Steele et al. 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The plain update and the oracle of the others: `minima[i] = min(minima[i], a[i] * x + b[i])` for every shingle x.
fn update_plain(permutations: &[Group], shingles: &[u32], minima: &mut [[u32; LANES]]) {
    for (group, minima) in permutations.iter().zip(minima) {
        for &x in shingles {
            for ((minimum, a), b) in minima.iter_mut().zip(group.a).zip(group.b) {
                *minimum = (*minimum).min(a.wrapping_mul(x).wrapping_add(b));
            }
        }
    }
}

/// The fastest update that this processor has. Left to the compiler, the wide loops spill their registers and run five
/// times slower than written out (measured with `bench_minhash`), so these are.
#[cfg(target_arch = "x86_64")]
fn fastest_update() -> UpdateKernel {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F, as was just asked.
        |permutations, shingles, minima| unsafe { x86::update_avx512(permutations, shingles, minima) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked.
        |permutations, shingles, minima| unsafe { x86::update_avx2(permutations, shingles, minima) }
    } else {
        update_plain
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fastest_update() -> UpdateKernel {
    update_plain
}

/// [`update_plain`] with as many groups at a time as the registers hold.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_min_epu32, _mm256_mullo_epi32, _mm256_set1_epi32,
        _mm512_add_epi32, _mm512_min_epu32, _mm512_mullo_epi32, _mm512_set1_epi32,
    };
    use std::mem::transmute;

    use super::{Group, LANES};

    #[target_feature(enable = "avx512f")]
    pub fn update_avx512(permutations: &[Group], shingles: &[u32], minima: &mut [[u32; LANES]]) {
        // 7 groups are the 112 permutations of the default: 21 of 32 registers.
        let (blocks, rest) = permutations.as_chunks::<7>();
        let (block_minima, rest_minima) = minima.as_chunks_mut::<7>();
        for (groups, minima) in blocks.iter().zip(block_minima) {
            groups_avx512(groups, shingles, minima);
        }
        for (group, minima) in rest.iter().zip(rest_minima) {
            groups_avx512(&[*group], shingles, std::array::from_mut(minima));
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn groups_avx512<const N: usize>(groups: &[Group; N], shingles: &[u32], minima: &mut [[u32; LANES]; N]) {
        let load = |lanes: &[u32; LANES]| -> __m512i {
            // SAFETY: both are 64 bytes and any bits are valid in both.
            unsafe { transmute::<[u32; LANES], __m512i>(*lanes) }
        };
        let a: [__m512i; N] = std::array::from_fn(|n| load(&groups[n].a));
        let b: [__m512i; N] = std::array::from_fn(|n| load(&groups[n].b));
        let mut lowest: [__m512i; N] = std::array::from_fn(|n| load(&minima[n]));
        for &x in shingles {
            let x = _mm512_set1_epi32(x as i32);
            for n in 0..N {
                lowest[n] = _mm512_min_epu32(lowest[n], _mm512_add_epi32(_mm512_mullo_epi32(a[n], x), b[n]));
            }
        }
        for (minima, lowest) in minima.iter_mut().zip(lowest) {
            // SAFETY: as above.
            *minima = unsafe { transmute::<__m512i, [u32; LANES]>(lowest) };
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn update_avx2(permutations: &[Group], shingles: &[u32], minima: &mut [[u32; LANES]]) {
        // 2 groups take 12 of 16 registers.
        let (blocks, rest) = permutations.as_chunks::<2>();
        let (block_minima, rest_minima) = minima.as_chunks_mut::<2>();
        for (groups, minima) in blocks.iter().zip(block_minima) {
            groups_avx2(groups, shingles, minima);
        }
        for (group, minima) in rest.iter().zip(rest_minima) {
            groups_avx2(&[*group], shingles, std::array::from_mut(minima));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn groups_avx2<const N: usize>(groups: &[Group; N], shingles: &[u32], minima: &mut [[u32; LANES]; N]) {
        let load = |lanes: &[u32; LANES]| -> [__m256i; 2] {
            // SAFETY: both are 64 bytes and any bits are valid in both.
            unsafe { transmute::<[u32; LANES], [__m256i; 2]>(*lanes) }
        };
        let a: [[__m256i; 2]; N] = std::array::from_fn(|n| load(&groups[n].a));
        let b: [[__m256i; 2]; N] = std::array::from_fn(|n| load(&groups[n].b));
        let mut lowest: [[__m256i; 2]; N] = std::array::from_fn(|n| load(&minima[n]));
        for &x in shingles {
            let x = _mm256_set1_epi32(x as i32);
            for n in 0..N {
                for half in 0..2 {
                    let permuted = _mm256_add_epi32(_mm256_mullo_epi32(a[n][half], x), b[n][half]);
                    lowest[n][half] = _mm256_min_epu32(lowest[n][half], permuted);
                }
            }
        }
        for (minima, lowest) in minima.iter_mut().zip(lowest) {
            // SAFETY: as above.
            *minima = unsafe { transmute::<[__m256i; 2], [u32; LANES]>(lowest) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hasher(ngram: usize, bands: usize, rows: usize, seed: u64) -> MinHasher {
        MinHasher::new(MinHashParameters { ngram, bands, rows, seed })
    }

    fn text_of(words: impl IntoIterator<Item = u32>) -> String {
        // Letters only: digits would all fold to 0.
        let letters =
            |w: u32| -> String { w.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect() };
        words.into_iter().map(|w| letters(w) + " ").collect()
    }

    /// Minima over the plain set of shingles.
    fn plain_signature(hasher: &MinHasher, text: &str) -> Option<Vec<u32>> {
        let shingles: Vec<u32> = hasher.shingles(text).iter().map(|s| (s >> 32) as u32).collect();
        let n = hasher.parameters.bands * hasher.parameters.rows;
        let permuted = |i: usize, x: u32| {
            let group = &hasher.permutations[i / LANES];
            group.a[i % LANES].wrapping_mul(x).wrapping_add(group.b[i % LANES])
        };
        (!shingles.is_empty())
            .then(|| (0..n).map(|i| shingles.iter().map(|&x| permuted(i, x)).min().unwrap()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn signatures_are_the_minima_of_the_set(
            text in "([a-e]{1,2} |[0-9é日. ]){0,200}",
            ngram in 1_usize..7, bands in 1_usize..16, rows in 1_usize..9, seed in any::<u64>(),
        ) {
            let hasher = hasher(ngram, bands, rows, seed);
            let mut scratch = Scratch::default();
            prop_assert_eq!(hasher.signature("reused buffers do not show", &mut scratch).is_some(), ngram <= 5);
            let got = hasher.signature(&text, &mut scratch).map(<[u32]>::to_vec);
            prop_assert_eq!(got, plain_signature(&hasher, &text));
        }

        #[test]
        fn every_kernel_is_the_plain_one(
            shingles in prop::collection::vec(any::<u32>(), 0..50), groups in 1_usize..17,
        ) {
            let permutations = hasher(1, groups, LANES, 3).permutations;
            let fresh = vec![[u32::MAX; LANES]; groups];
            let mut expected = fresh.clone();
            update_plain(&permutations, &shingles, &mut expected);
            #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
            let mut kernels: Vec<UpdateKernel> = vec![fastest_update()];
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, as was just asked.
                kernels.push(|p, s, m| unsafe { x86::update_avx2(p, s, m) });
            }
            for update in kernels {
                let mut got = fresh.clone();
                update(&permutations, &shingles, &mut got);
                prop_assert_eq!(&got, &expected);
            }
        }
    }

    #[test]
    fn long_texts_agree_across_chunks() {
        let hasher = hasher(5, 14, 8, 1);
        let text = text_of((0..9000).map(|i| i * 7919 % 6007));
        assert!(text.len() > 30_000);
        let got = hasher.signature(&text, &mut Scratch::default()).map(<[u32]>::to_vec);
        assert_eq!(got, plain_signature(&hasher, &text));
    }

    #[test]
    fn too_short_texts_have_no_keys() {
        let hasher = MinHasher::new(MinHashParameters::default());
        let (mut scratch, mut keys) = (Scratch::default(), vec![1]);
        for text in ["", "   ", "one two three four", "!!! ... ???"] {
            hasher.keys(text, &mut scratch, &mut keys);
            assert!(keys.is_empty(), "{text:?}: {keys:?}");
        }
        hasher.keys("one two three four five", &mut scratch, &mut keys);
        assert_eq!(keys.len(), 14);
        keys.dedup();
        assert_eq!(keys.len(), 14, "bands have different keys");
    }

    #[test]
    fn copies_that_differ_in_layout_share_every_key() {
        let hasher = MinHasher::new(MinHashParameters::default());
        let (mut scratch, mut a, mut b) = (Scratch::default(), Vec::new(), Vec::new());
        hasher.keys("The café opened in 1987 — a small room, with five tables.", &mut scratch, &mut a);
        hasher.keys("the CAFE opened in 2004: a small\nroom with (five) tables", &mut scratch, &mut b);
        assert_eq!(a, b);
        hasher.keys("the CAFE opened in 2004: a small\nroom with (six) chairs", &mut scratch, &mut b);
        assert_ne!(a, b);
    }

    /// Keys reach disk: this fails when they change, and then the stage's version goes up.
    #[test]
    fn keys_are_fixed() {
        let hasher = MinHasher::new(MinHashParameters::default());
        let mut keys = Vec::new();
        hasher.keys(
            "It is a truth universally acknowledged, that a single man …",
            &mut Scratch::default(),
            &mut keys,
        );
        assert_eq!((keys[0], keys[13]), (10207529299936595183, 879974809277169494));
    }

    /// Mean and spread over 400 pairs x 112 minima: the estimator's standard error is below .0024, so .01 is four of it.
    #[test]
    fn the_estimate_is_unbiased() {
        for (shared, own) in [(180, 10), (160, 20), (120, 40), (60, 70), (20, 90)] {
            let (mut estimate, mut exact) = (0.0, 0.0);
            for trial in 0..400_u32 {
                let hasher = hasher(1, 14, 8, u64::from(trial % 8));
                let base = trial * 10_000;
                let a = text_of((base..base + shared).chain(base + 1000..base + 1000 + own));
                let b = text_of((base..base + shared).chain(base + 2000..base + 2000 + own));
                let mut scratch = Scratch::default();
                let signature = hasher.signature(&a, &mut scratch).unwrap().to_vec();
                estimate +=
                    estimated_jaccard(&signature, hasher.signature(&b, &mut scratch).unwrap()) / 400.0;
                exact += jaccard(&hasher.shingles(&a), &hasher.shingles(&b)) / 400.0;
            }
            let expected = f64::from(shared) / f64::from(shared + 2 * own);
            assert!((exact - expected).abs() < 1e-9, "{exact} {expected}");
            assert!((estimate - exact).abs() < 0.01, "estimated {estimate}, exact {exact}");
        }
    }

    /// The S-curve: how many of 1,500 pairs share a key, against the formula. .04 is more than three standard errors.
    #[test]
    fn recall_follows_the_curve() {
        let hasher = hasher(1, 14, 8, 1);
        let mut scratch = Scratch::default();
        for (shared, own) in [(120, 40), (150, 25), (160, 20), (170, 15)] {
            let mut found = 0;
            for trial in 0..1500_u32 {
                let base = trial * 10_000;
                let a = text_of((base..base + shared).chain(base + 1000..base + 1000 + own));
                let b = text_of((base..base + shared).chain(base + 2000..base + 2000 + own));
                let (mut keys_a, mut keys_b) = (Vec::new(), Vec::new());
                hasher.keys(&a, &mut scratch, &mut keys_a);
                hasher.keys(&b, &mut scratch, &mut keys_b);
                found += usize::from(keys_a.iter().zip(&keys_b).any(|(a, b)| a == b));
            }
            let expected = hasher.parameters().recall(f64::from(shared) / f64::from(shared + 2 * own));
            let measured = found as f64 / 1500.0;
            assert!(
                (measured - expected).abs() < 0.04,
                "similarity {shared}/{}: {measured} {expected}",
                shared + 2 * own
            );
        }
    }

    #[test]
    fn sketches_are_exact_for_pages_and_close_for_books() {
        let hasher = hasher(1, 14, 8, 1);
        let (mut scratch, mut keys) = (Scratch::default(), Vec::new());
        for (shared, own) in [(0, 5), (80, 10), (700, 50), (3000, 500), (20_000, 3000)] {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let first = text_of((0..shared).chain(100_000..100_000 + own));
            let second = text_of((0..shared).chain(200_000..200_000 + own));
            hasher.keys_and_sketch(&first, &mut scratch, &mut keys, &mut a);
            hasher.keys_and_sketch(&second, &mut scratch, &mut keys, &mut b);
            assert!(a.is_sorted() && a.len() == SKETCH.min((shared + own) as usize));
            let (estimate, exact) =
                (sketched_jaccard(&a, &b), jaccard(&hasher.shingles(&first), &hasher.shingles(&second)));
            let bound = if a.len() < SKETCH { 1e-9 } else { 0.05 };
            assert!((estimate - exact).abs() < bound, "{shared} {own}: {estimate} {exact}");
            assert!((sketched_jaccard(&b, &a) - estimate).abs() < 1e-12, "symmetric");
        }
        assert!(sketched_jaccard(&[], &[]).abs() < 1e-12);
        let mut plain = Vec::new();
        hasher.keys(&text_of(0..50), &mut scratch, &mut plain);
        hasher.keys_and_sketch(&text_of(0..50), &mut scratch, &mut keys, &mut Vec::new());
        assert_eq!(plain, keys, "a sketch changes no key");
    }

    #[test]
    fn recall_of_the_defaults_is_the_published_one() {
        for (similarity, recall) in [(0.75, 0.77), (0.8, 0.92), (0.85, 0.988)] {
            assert!((MinHashParameters::default().recall(similarity) - recall).abs() < 0.005);
        }
    }
}
