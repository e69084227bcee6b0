//! From groups of equal keys to clusters of duplicates, and from clusters to the documents that stay.
//!
//! Documents are dense ids, `0..n_docs`. [`stars`] turns sorted groups into edges, [`components`] edges into labels,
//! [`Clusters`] labels into survivors, sizes and keep-lists. None of it depends on the order of edges.

use std::ops::Range;

/// Turns rows sorted by (key, document) into edges from the smallest document of each key to every other one, in
/// constant memory however large a group is. Errors pass through; a document that repeats within a key counts once.
pub fn stars<E>(
    rows: impl Iterator<Item = Result<(u64, u64), E>>,
) -> impl Iterator<Item = Result<(u64, u64), E>> {
    let mut group: Option<(u64, u64)> = None;
    let mut last = 0;
    rows.filter_map(move |row| {
        let (key, document) = match row {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        match group {
            Some((group_key, smallest)) if group_key == key => {
                let new = document != last;
                last = document;
                new.then_some(Ok((smallest, document)))
            }
            _ => {
                group = Some((key, document));
                last = document;
                None
            }
        }
    })
}

/// The connected components of the documents `0..n_docs`: for each document, the smallest document of its component.
///
/// Takes 4 bytes a document below 2^32 documents, else 8, while it works, and 8 for the labels.
///
/// # Panics
/// When an edge names a document that is not below `n_docs`: edges are the engine's own, never input.
pub fn components(n_docs: u64, edges: impl IntoIterator<Item = (u64, u64)>) -> Vec<u64> {
    if u32::try_from(n_docs).is_ok() {
        let mut forest = Forest::<u32>::new(n_docs);
        edges.into_iter().for_each(|(a, b)| forest.join(a, b));
        forest.into_labels()
    } else {
        let mut forest = Forest::<u64>::new(n_docs);
        edges.into_iter().for_each(|(a, b)| forest.join(a, b));
        forest.into_labels()
    }
}

/// A document id in as few bytes as the number of documents allows.
trait Id: Copy + Ord {
    fn narrow(id: u64) -> Self;
    fn wide(self) -> u64;
}

impl Id for u32 {
    fn narrow(id: u64) -> Self {
        id as u32
    }
    fn wide(self) -> u64 {
        u64::from(self)
    }
}

impl Id for u64 {
    fn narrow(id: u64) -> Self {
        id
    }
    fn wide(self) -> u64 {
        self
    }
}

/// Union-find. A parent is never larger than its child, so roots are the smallest documents whatever the order of
/// unions; path halving keeps paths short without a second array for ranks.
struct Forest<I> {
    parent: Vec<I>,
}

impl<I: Id> Forest<I> {
    fn new(n_docs: u64) -> Self {
        Self { parent: (0..n_docs).map(I::narrow).collect() }
    }

    fn root(&mut self, document: u64) -> I {
        let mut at = document as usize;
        loop {
            let parent = self.parent[at];
            if parent.wide() as usize == at {
                return parent;
            }
            let grandparent = self.parent[parent.wide() as usize];
            self.parent[at] = grandparent;
            at = grandparent.wide() as usize;
        }
    }

    fn join(&mut self, a: u64, b: u64) {
        let (a, b) = (self.root(a), self.root(b));
        let (small, large) = if a < b { (a, b) } else { (b, a) };
        self.parent[large.wide() as usize] = small;
    }

    fn into_labels(self) -> Vec<u64> {
        let mut labels: Vec<u64> = Vec::with_capacity(self.parent.len());
        for (document, parent) in self.parent.iter().enumerate() {
            let parent = parent.wide();
            // Parents are smaller and so labelled already.
            labels.push(if parent == document as u64 { parent } else { labels[parent as usize] });
        }
        labels
    }
}

/// Which documents belong together and which of them stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    labels: Vec<u64>,
    /// By label; documents that are no label have 0.
    sizes: Vec<u32>,
    keep: KeepList,
}

impl Clusters {
    /// Decides each component's survivor by the smallest (priority, id). `labels` is what [`components`] gives;
    /// `priority` is asked once a document that has duplicates (a constant keeps the smallest id).
    pub fn new<P: Ord>(labels: Vec<u64>, priority: impl Fn(u64) -> P) -> Self {
        let n_docs = labels.len() as u64;
        let mut sizes = vec![0_u32; labels.len()];
        for label in &labels {
            sizes[*label as usize] = sizes[*label as usize].saturating_add(1);
        }
        // Labels are their components' smallest documents, so a survivor so far is always known when it is asked.
        let mut best: std::collections::HashMap<u64, (P, u64)> = std::collections::HashMap::new();
        let mut keep = KeepList::none(n_docs);
        for (document, label) in (0..n_docs).zip(&labels) {
            if sizes[*label as usize] == 1 {
                keep.keep(document);
                continue;
            }
            let candidate = (priority(document), document);
            match best.get_mut(label) {
                Some(so_far) if candidate >= *so_far => {}
                Some(so_far) => *so_far = candidate,
                None => drop(best.insert(*label, candidate)),
            }
        }
        for (_, survivor) in best.values() {
            keep.keep(*survivor);
        }
        Self { labels, sizes, keep }
    }

    /// The cluster of a document: the smallest document in it, the document itself when it has no duplicates.
    pub fn id(&self, document: u64) -> u64 {
        self.labels[document as usize]
    }

    /// How many documents are in the document's cluster, itself included.
    pub fn size(&self, document: u64) -> u32 {
        self.sizes[self.id(document) as usize]
    }

    /// The survivors among all documents.
    pub fn keep(&self) -> &KeepList {
        &self.keep
    }

    /// How many clusters there are of each size, by ascending size: the histogram that reports show.
    pub fn size_histogram(&self) -> Vec<(u32, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        self.sizes.iter().filter(|size| **size > 0).for_each(|size| *counts.entry(*size).or_insert(0) += 1);
        counts.into_iter().collect()
    }

    /// The `n` largest clusters of two or more documents as (id, size), largest first, ties by id.
    pub fn largest(&self, n: usize) -> Vec<(u64, u32)> {
        let mut clusters: Vec<(u64, u32)> =
            (0..).zip(&self.sizes).filter(|(_, size)| **size > 1).map(|(id, size)| (id, *size)).collect();
        clusters.sort_unstable_by_key(|(id, size)| (std::cmp::Reverse(*size), *id));
        clusters.truncate(n);
        clusters
    }
}

/// One bit a document: kept or not. Cut into splits, it makes removal a narrow filter without any join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepList {
    rows: u64,
    words: Vec<u64>,
}

impl KeepList {
    /// Keeps none of `rows` rows.
    pub fn none(rows: u64) -> Self {
        Self { rows, words: vec![0; rows.div_ceil(64) as usize] }
    }

    /// Keeps one row.
    ///
    /// # Panics
    /// When `row` is not below [`KeepList::rows`].
    pub fn keep(&mut self, row: u64) {
        assert!(row < self.rows, "row {row} of a keep-list of {}", self.rows);
        self.words[(row / 64) as usize] |= 1 << (row % 64);
    }

    /// Whether a row is kept; rows beyond the list are not.
    pub fn is_kept(&self, row: u64) -> bool {
        self.words.get((row / 64) as usize).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Rows in the list.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that are kept.
    pub fn kept(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The list of one split, its rows counted from 0: `rows` is what the manifest's prefix sums give.
    #[must_use]
    pub fn slice(&self, rows: Range<u64>) -> Self {
        let mut slice = Self::none(rows.end.saturating_sub(rows.start));
        rows.clone().filter(|row| self.is_kept(*row)).for_each(|row| slice.keep(row - rows.start));
        slice
    }

    /// The list as bytes: the number of rows, then the bits from the lowest, as little-endian u64.
    pub fn to_bytes(&self) -> Vec<u8> {
        std::iter::once(&self.rows).chain(&self.words).flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads what [`KeepList::to_bytes`] wrote; `None` when the length does not fit the number of rows, or bits are
    /// set beyond it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let (rows, words) = words.split_first()?;
        let rows = u64::from_le_bytes(*rows);
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let spare = words.len() as u64 * 64
            - if rows.div_ceil(64) == words.len() as u64 { rows } else { return None };
        let clean = spare == 0 || words.last().is_none_or(|last| last >> (64 - spare) == 0);
        clean.then_some(Self { rows, words })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// The oracle: breadth-first search from each document in ascending order.
    fn components_by_search(n_docs: u64, edges: &[(u64, u64)]) -> Vec<u64> {
        let mut neighbours = vec![Vec::new(); n_docs as usize];
        for &(a, b) in edges {
            neighbours[a as usize].push(b);
            neighbours[b as usize].push(a);
        }
        let mut labels = vec![u64::MAX; n_docs as usize];
        for start in 0..n_docs {
            let mut queue = VecDeque::from([start]);
            while let Some(document) = queue.pop_front() {
                if labels[document as usize] == u64::MAX {
                    labels[document as usize] = start;
                    queue.extend(&neighbours[document as usize]);
                }
            }
        }
        labels
    }

    fn wide_components(n_docs: u64, edges: &[(u64, u64)]) -> Vec<u64> {
        let mut forest = Forest::<u64>::new(n_docs);
        for (a, b) in edges {
            forest.join(*a, *b);
        }
        forest.into_labels()
    }

    type Edges = Vec<(u64, u64)>;

    /// A number of documents, edges, and the same edges in another order.
    fn graph() -> impl Strategy<Value = (u64, Edges, Edges)> {
        (1_u64..80, 0_usize..120)
            .prop_flat_map(|(n, m)| (Just(n), prop::collection::vec((0..n, 0..n), 0..=m)))
            .prop_flat_map(|(n, edges)| (Just(n), Just(edges.clone()), Just(edges).prop_shuffle()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn two_solvers_agree_in_any_order_of_edges((n, edges, shuffled) in graph()) {
            let labels = components(n, edges.iter().copied());
            prop_assert_eq!(&labels, &components_by_search(n, &edges));
            prop_assert_eq!(&labels, &components(n, shuffled.iter().map(|(a, b)| (*b, *a))));
            prop_assert_eq!(&labels, &wide_components(n, &shuffled));
        }

        #[test]
        fn survivors_are_the_smallest_by_priority((n, edges, _) in graph(), priorities in prop::collection::vec(0_u8..4, 80)) {
            let labels = components(n, edges);
            let clusters = Clusters::new(labels.clone(), |document| priorities[document as usize]);
            for document in 0..n {
                let members: Vec<u64> = (0..n).filter(|d| labels[*d as usize] == labels[document as usize]).collect();
                let survivor = *members.iter().min_by_key(|d| (priorities[**d as usize], **d)).unwrap();
                prop_assert_eq!(clusters.keep().is_kept(document), document == survivor);
                prop_assert_eq!(clusters.size(document) as usize, members.len());
                prop_assert_eq!(clusters.id(document), members[0]);
            }
        }

        #[test]
        fn keep_lists_survive_slicing_and_bytes(kept in prop::collection::vec(any::<bool>(), 0..300), cut in 0_usize..300) {
            let mut list = KeepList::none(kept.len() as u64);
            (0..).zip(&kept).filter(|(_, kept)| **kept).for_each(|(row, _)| list.keep(row));
            prop_assert_eq!(list.kept() as usize, kept.iter().filter(|k| **k).count());
            prop_assert_eq!(KeepList::from_bytes(&list.to_bytes()), Some(list.clone()));
            let cut = cut.min(kept.len());
            for (rows, expected) in [(0..cut, &kept[..cut]), (cut..kept.len(), &kept[cut..])] {
                let slice = list.slice(rows.start as u64..rows.end as u64);
                let got: Vec<bool> = (0..slice.rows()).map(|row| slice.is_kept(row)).collect();
                prop_assert_eq!(&got[..], expected);
            }
        }
    }

    #[test]
    fn keep_lists_refuse_damaged_bytes() {
        let mut list = KeepList::none(70);
        list.keep(69);
        let bytes = list.to_bytes();
        assert!((0..bytes.len()).all(|n| KeepList::from_bytes(&bytes[..n]).is_none()));
        let mut beyond = bytes.clone();
        *beyond.last_mut().unwrap() = 1;
        assert_eq!(KeepList::from_bytes(&beyond), None);
        assert_eq!(KeepList::from_bytes(&u64::MAX.to_le_bytes()), None);
    }

    #[test]
    fn groups_become_stars() {
        let rows = [(1, 4), (1, 4), (1, 7), (1, 9), (2, 4), (3, 2), (3, 5)].map(Ok);
        let edges: Result<Vec<_>, String> = stars(rows.into_iter()).collect();
        assert_eq!(edges.unwrap(), [(4, 7), (4, 9), (2, 5)]);
        let broken = [Ok((1, 4)), Err("read failed"), Ok((1, 5))];
        assert_eq!(stars(broken.into_iter()).collect::<Vec<_>>(), [Err("read failed"), Ok((4, 5))]);
    }

    /// However skewed: one bucket of ten million documents is one star, and nothing grows with it but the labels.
    #[test]
    fn one_bucket_of_ten_million_documents() {
        let n = 10_000_000;
        let edges = stars((0..n).map(|document| Ok::<_, String>((42, document)))).map(Result::unwrap);
        let clusters = Clusters::new(components(n, edges), |_| ());
        assert_eq!(clusters.keep().kept(), 1);
        assert!(clusters.keep().is_kept(0));
        assert_eq!(clusters.size(n - 1), 10_000_000);
        assert_eq!(clusters.largest(5), [(0, 10_000_000)]);
        assert_eq!(clusters.size_histogram(), [(10_000_000, 1)]);
    }
}
