//! From groups of equal keys to edges, and from clusters to the documents that stay.
//!
//! Documents are dense ids, `0..n_docs`. [`stars`] turns sorted groups into edges, [`components`](super::components) edges
//! into a forest, [`survivors`] a forest into who stays, and how large each cluster is. None of it depends on the order of
//! edges, and all of it is read and written in sequence.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use gristmill_corpus::sorter::{Run, RunWriter, Sorter, Workspace};

/// Turns rows sorted by (key, document) into edges from the smallest document of each key to every other one, in
/// constant memory however large a group is. Errors pass through; a document that repeats within a key counts once.
pub fn stars<E>(
    rows: impl Iterator<Item = Result<(u64, u64), E>>,
) -> impl Iterator<Item = Result<(u64, u64), E>> {
    verified_stars(rows, |_, _| Ok(true))
}

/// A document of a group is compared with this many others at most.
const LEADERS: usize = 16;

/// [`stars`] with a second look: an edge only where `agree` holds. A document that does not agree with the smallest of
/// its group begins a star of its own, and later ones are compared with each of these, in order, until one agrees.
/// After sixteen, a document that agrees with none goes without an edge in this group: constant memory, and time in
/// proportion to the group. What comes out depends on the group alone.
pub fn verified_stars<E>(
    rows: impl Iterator<Item = Result<(u64, u64), E>>,
    mut agree: impl FnMut(u64, u64) -> Result<bool, E>,
) -> impl Iterator<Item = Result<(u64, u64), E>> {
    let mut group = None;
    let mut leaders: Vec<u64> = Vec::with_capacity(LEADERS);
    let mut last = 0;
    rows.filter_map(move |row| {
        let (key, document) = match row {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        if group != Some(key) {
            group = Some(key);
            leaders.clear();
        } else if document == last {
            return None;
        }
        last = document;
        for leader in &leaders {
            match agree(*leader, document) {
                Ok(true) => return Some(Ok((*leader, document))),
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        if leaders.len() < LEADERS {
            leaders.push(document);
        }
        None
    })
}

/// A document that shares its cluster with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The document.
    pub document: u64,
    /// The cluster: the smallest document in it.
    pub cluster: u64,
    /// How many documents are in the cluster.
    pub size: u64,
    /// Whether this one stays.
    pub survives: bool,
}

impl Member {
    /// As it stands in a file of records: document, cluster, twice the size plus 1 for the survivor.
    pub fn to_record(self) -> [u64; 3] {
        [self.document, self.cluster, self.size * 2 + u64::from(self.survives)]
    }

    /// Reads what [`Member::to_record`] wrote.
    pub fn from_record([document, cluster, size]: [u64; 3]) -> Self {
        Self { document, cluster, size: size / 2, survives: size % 2 == 1 }
    }
}

/// Decides for every cluster who survives: the document with the smallest (rank, id). Hands over the members of all
/// clusters of two and more, in ascending order of documents.
///
/// `forest` is what [`forest`](super::components::forest) gives; `ranks` gives one rank a document, in order, each time it
/// is called. Takes three sorts of the members of clusters; memory is the workspace's.
///
/// # Errors
/// What the iterators give, [`io::ErrorKind::UnexpectedEof`] when there are fewer ranks than documents, and what the
/// workspace's disk gives.
pub fn survivors<R: Iterator<Item = io::Result<u64>>>(
    forest: impl Iterator<Item = io::Result<(u64, u64)>>,
    ranks: impl Fn() -> io::Result<R>,
    workspace: &Workspace,
) -> io::Result<impl Iterator<Item = io::Result<Member>>> {
    let third = workspace.share(3);
    // Children by cluster, rank and id.
    let mut by_cluster = Sorter::new(third.clone());
    let mut rank = RankOf::new(ranks()?);
    for pair in forest {
        let (child, cluster) = pair?;
        by_cluster.push([cluster, rank.of(child)?, child])?;
    }
    // What is to be known of a cluster stands at its end: it goes to a file of its own.
    let (children, clusters) = (third.temporary()?, third.temporary()?);
    let mut children_out = RunWriter::<2>::create(children.path())?;
    let mut clusters_out = RunWriter::<3>::create(clusters.path())?;
    let mut rank = RankOf::new(ranks()?);
    // Cluster, size, survivor.
    let mut open: Option<[u64; 3]> = None;
    for record in by_cluster.finish()? {
        let [cluster, child_rank, child] = record?;
        children_out.push(&[cluster, child])?;
        match &mut open {
            Some([known, size, _]) if *known == cluster => *size += 1,
            _ => {
                if let Some(done) = open {
                    clusters_out.push(&done)?;
                }
                // The best of the children comes first; the smallest document of the cluster is no child.
                let own = (rank.of(cluster)?, cluster);
                open = Some([cluster, 2, own.min((child_rank, child)).1]);
            }
        }
    }
    if let Some(done) = open {
        clusters_out.push(&done)?;
    }
    children_out.finish(false)?;
    clusters_out.finish(false)?;
    let mut by_document = Sorter::new(third.clone());
    let mut children_in = Run::<2>::open(children.path(), third.buffer_bytes(2))?.peekable();
    for record in Run::<3>::open(clusters.path(), third.buffer_bytes(2))? {
        let [cluster, size, survivor] = record?;
        let mut member = |document| {
            let survives = document == survivor;
            by_document.push(Member { document, cluster, size, survives }.to_record())
        };
        member(cluster)?;
        while let Some(child) = children_in.next_if(|next| !matches!(next, Ok([of, _]) if *of != cluster)) {
            member(child?[1])?;
        }
    }
    Ok(by_document.finish()?.map(|record| Ok(Member::from_record(record?))))
}

/// Ranks in ascending order of documents, from a sequence of all.
struct RankOf<R> {
    ranks: R,
    next: u64,
}

impl<R: Iterator<Item = io::Result<u64>>> RankOf<R> {
    fn new(ranks: R) -> Self {
        Self { ranks, next: 0 }
    }

    fn of(&mut self, document: u64) -> io::Result<u64> {
        loop {
            let rank = self.ranks.next().unwrap_or_else(|| {
                let message = format!("{} ranks, but there is a document {document}", self.next);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
            })?;
            self.next += 1;
            if self.next > document {
                return Ok(rank);
            }
        }
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

    /// Writes the list of `0..n_docs` to a file, without holding it: `dropped` are the rows that are not kept, ascending.
    /// The file is the number of rows, then the bits from the lowest, as little-endian u64.
    ///
    /// # Errors
    /// What `dropped` gives, and what the file system gives.
    pub fn write(path: &Path, n_docs: u64, dropped: impl Iterator<Item = io::Result<u64>>) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(&n_docs.to_le_bytes())?;
        let mut dropped = dropped.peekable();
        for first in (0..n_docs).step_by(64) {
            let n = (n_docs - first).min(64);
            let mut word = u64::MAX >> (64 - n);
            while let Some(row) = dropped.next_if(|next| !matches!(next, Ok(row) if *row >= first + n)) {
                word &= !(1 << (row? - first));
            }
            out.write_all(&word.to_le_bytes())?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Reads the rows of one split from a file that [`KeepList::write`] wrote, counted from 0 then: one read of a bit a
    /// row.
    ///
    /// # Errors
    /// What the file system gives; [`io::ErrorKind::InvalidData`] when the file has no such rows.
    pub fn read(path: &Path, rows: Range<u64>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut word = [0; 8];
        file.read_exact(&mut word)?;
        let all = u64::from_le_bytes(word);
        if rows.end > all || file.metadata()?.len() != 8 + all.div_ceil(64) * 8 {
            let message = format!("`{}` is no list of survivors with rows {rows:?}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let n = rows.end.saturating_sub(rows.start);
        let mut list = Self::none(n);
        if n > 0 {
            let first_word = rows.start / 64;
            file.seek(SeekFrom::Start(8 + first_word * 8))?;
            let mut bytes = vec![0; ((rows.end.div_ceil(64) - first_word) * 8) as usize];
            file.read_exact(&mut bytes)?;
            let bit = |row: u64| {
                let at = row - first_word * 64;
                bytes[(at / 8) as usize] >> (at % 8) & 1 == 1
            };
            rows.clone().filter(|row| bit(*row)).for_each(|row| list.keep(row - rows.start));
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dedup::components::{Solver, components, forest};

    fn members(n_docs: u64, edges: &[(u64, u64)], ranks: &[u64], bytes: usize) -> Vec<Member> {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path(), bytes);
        let forest = forest(Solver::UnionFind, n_docs, edges.iter().copied().map(Ok), &workspace).unwrap();
        let ranks = || Ok(ranks.iter().copied().map(Ok));
        survivors(forest, ranks, &workspace).unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn survivors_are_the_smallest_by_rank(
            edges in prop::collection::vec((0_u64..60, 0_u64..60), 0..80), ranks in prop::collection::vec(0_u64..4, 60),
        ) {
            let labels = components(60, edges.iter().copied());
            let mut expected = Vec::new();
            for document in 0..60 {
                let cluster = labels[document as usize];
                let all: Vec<u64> = (0..60).filter(|d| labels[*d as usize] == cluster).collect();
                let survivor = *all.iter().min_by_key(|d| (ranks[**d as usize], **d)).unwrap();
                if all.len() > 1 {
                    let size = all.len() as u64;
                    expected.push(Member { document, cluster, size, survives: document == survivor });
                }
            }
            prop_assert_eq!(members(60, &edges, &ranks, 0), expected);
        }

        #[test]
        fn keep_lists_are_read_by_split(kept in prop::collection::vec(any::<bool>(), 0..300), cut in 0_usize..300) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keep");
            let dropped = (0..).zip(&kept).filter(|(_, kept)| !**kept).map(|(row, _)| Ok(row));
            KeepList::write(&path, kept.len() as u64, dropped).unwrap();
            let cut = cut.min(kept.len());
            for (rows, expected) in [(0..cut, &kept[..cut]), (cut..kept.len(), &kept[cut..])] {
                let list = KeepList::read(&path, rows.start as u64..rows.end as u64).unwrap();
                let got: Vec<bool> = (0..list.rows()).map(|row| list.is_kept(row)).collect();
                prop_assert_eq!(&got[..], expected);
                prop_assert_eq!(list.kept() as usize, expected.iter().filter(|kept| **kept).count());
                prop_assert!(!list.is_kept(list.rows()));
            }
            prop_assert!(KeepList::read(&path, 0..kept.len() as u64 + 1).is_err());
        }
    }

    #[test]
    fn members_spill_and_come_back() {
        let n = 5000;
        let edges: Vec<(u64, u64)> = (0..n).map(|d| (d % 10, d)).chain((0..n).map(|d| (d, d))).collect();
        let ranks: Vec<u64> = (0..n).map(|d| (d * 7919) % 5003).collect();
        let spilled = members(n, &edges, &ranks, 0);
        assert_eq!(spilled.len(), 5000);
        assert_eq!(spilled, members(n, &edges, &ranks, 1 << 24));
        assert_eq!(spilled.iter().filter(|member| member.survives).count(), 10);
    }

    #[test]
    fn too_few_ranks_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let forest = [Ok((3, 1))].into_iter();
        let ranks = || Ok([Ok(0), Ok(0)].into_iter());
        let error = survivors(forest, ranks, &Workspace::new(folder.path(), 0)).err().unwrap();
        assert!(error.to_string().contains("2 ranks"), "{error}");
    }

    #[test]
    fn groups_become_stars() {
        let rows = [(1, 4), (1, 4), (1, 7), (1, 9), (2, 4), (3, 2), (3, 5)].map(Ok);
        let edges: Result<Vec<_>, String> = stars(rows.into_iter()).collect();
        assert_eq!(edges.unwrap(), [(4, 7), (4, 9), (2, 5)]);
        let broken = [Ok((1, 4)), Err("read failed"), Ok((1, 5))];
        assert_eq!(stars(broken.into_iter()).collect::<Vec<_>>(), [Err("read failed"), Ok((4, 5))]);
    }

    #[test]
    fn whoever_does_not_agree_begins_a_star_of_its_own() {
        // Documents agree that leave the same remainder.
        let rows = (0..12).map(|document| Ok::<_, String>((1, document)));
        let edges: Vec<_> = verified_stars(rows, |a, b| Ok(a % 3 == b % 3)).map(Result::unwrap).collect();
        assert_eq!(edges, [(0, 3), (1, 4), (2, 5), (0, 6), (1, 7), (2, 8), (0, 9), (1, 10), (2, 11)]);
        let mut compared = 0;
        let rows = (0..1000).map(|document| Ok::<_, String>((1, document)));
        let none = verified_stars(rows, |_, _| {
            compared += 1;
            Ok(false)
        });
        assert_eq!(none.count(), 0);
        assert!(compared <= 1000 * LEADERS, "{compared}");
    }

    /// However skewed: one bucket of ten million documents is one star, and nothing grows with it but the parents.
    #[test]
    fn one_bucket_of_ten_million_documents() {
        let n = 10_000_000;
        let edges = stars((0..n).map(|document| Ok((42, document))));
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path(), 0);
        let forest = forest(Solver::UnionFind, n, edges, &workspace).unwrap();
        let mut next = 1;
        for pair in forest {
            assert_eq!(pair.unwrap(), (next, 0));
            next += 1;
        }
        assert_eq!(next, n);
    }
}
