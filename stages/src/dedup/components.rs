//! From edges between documents to the components that they make: union-find where it fits into memory, repeated sorts
//! where it does not.
//!
//! Both give the one canonical spanning forest of a graph: for every document that is not the smallest of its component,
//! the pair (document, smallest of its component), ascending. A forest is a graph again, of the same components: forests
//! of parts merge into the forest of the whole by the same function, in any tree.

use std::io;

use gristmill_corpus::sorter::{RunWriter, Sorted, Sorter, Workspace};

/// How components are found. The answer is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Union-find: one parent for each of the documents `0..n_docs`, 4 bytes below 2^32 documents, else 8.
    UnionFind,
    /// Union-find among the documents that have edges: at most 64 bytes an edge.
    SparseUnionFind,
    /// Alternating large-star and small-star (Kiveris et al. 2014, "Connected components in MapReduce and beyond"): each
    /// is a sort of all edges, of which only as many as fit are in memory. Rounds grow with the logarithm of the longest
    /// chain.
    Stars,
}

impl Solver {
    /// The fastest that `bytes` of memory allow for this many documents and at most this many edges.
    pub fn choose(n_docs: u64, most_edges: u64, bytes: usize) -> Self {
        let dense = n_docs.saturating_mul(if u32::try_from(n_docs).is_ok() { 4 } else { 8 });
        let sparse = most_edges.saturating_mul(SPARSE_BYTES);
        let bytes = bytes as u64;
        match (dense <= bytes, sparse <= bytes) {
            // With few edges among many documents, a parent for every document costs more than looking ids up.
            (true, true) if sparse < dense / 8 => Self::SparseUnionFind,
            (true, _) => Self::UnionFind,
            (false, true) => Self::SparseUnionFind,
            (false, false) => Self::Stars,
        }
    }
}

/// An edge in a growing list, and its two ends with their parents: 32 + 2 x (8 + 8) bytes.
const SPARSE_BYTES: u64 = 64;

/// The canonical forest of the graph that `edges` make among the documents `0..n_docs`.
///
/// # Errors
/// What `edges` gives, [`io::ErrorKind::InvalidData`] for an edge that names a document beyond `n_docs`, and what reading
/// and writing runs in the workspace gives.
pub fn forest(
    solver: Solver,
    n_docs: u64,
    edges: impl Iterator<Item = io::Result<(u64, u64)>>,
    workspace: &Workspace,
) -> io::Result<Forest> {
    let edges = edges.map(|edge| {
        let (a, b) = edge?;
        if a.max(b) < n_docs {
            return Ok((a, b));
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("edge {a}-{b} names no document among {n_docs}"),
        ))
    });
    match solver {
        Solver::UnionFind if u32::try_from(n_docs).is_ok() => {
            Ok(Forest(Inner::Narrow(Parents::new(n_docs).joined(edges)?)))
        }
        Solver::UnionFind => Ok(Forest(Inner::Wide(Parents::new(n_docs).joined(edges)?))),
        Solver::SparseUnionFind => sparse(edges),
        Solver::Stars => stars(edges, workspace).map(|sorted| Forest(Inner::Sorted(sorted))),
    }
}

/// Pairs (document, smallest of its component) in ascending order, without the smallest themselves.
pub struct Forest(Inner);

enum Inner {
    Narrow(Parents<u32>),
    Wide(Parents<u64>),
    Sparse { documents: Vec<u64>, parents: Parents<u64> },
    Sorted(Sorted<2>),
}

impl Iterator for Forest {
    type Item = io::Result<(u64, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Narrow(parents) => parents.next_child().map(Ok),
            Inner::Wide(parents) => parents.next_child().map(Ok),
            Inner::Sparse { documents, parents } => parents
                .next_child()
                .map(|(child, root)| Ok((documents[child as usize], documents[root as usize]))),
            Inner::Sorted(edges) => edges.next().map(|edge| edge.map(|[child, root]| (child, root))),
        }
    }
}

/// The labels of the documents `0..n_docs`: for each, the smallest document of its component. All in memory.
///
/// # Panics
/// When an edge names a document that is not below `n_docs`.
pub fn components(n_docs: u64, edges: impl IntoIterator<Item = (u64, u64)>) -> Vec<u64> {
    let mut labels: Vec<u64> = (0..n_docs).collect();
    let workspace = Workspace::new(std::path::Path::new("unused"), usize::MAX);
    let forest = forest(Solver::UnionFind, n_docs, edges.into_iter().map(Ok), &workspace);
    for pair in forest.expect("edges are among the documents") {
        let (child, root) = pair.expect("nothing is read from disk");
        labels[child as usize] = root;
    }
    labels
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
struct Parents<I> {
    parent: Vec<I>,
    /// The next document that [`Parents::next_child`] looks at; all before it point at their roots.
    next: usize,
}

impl<I: Id> Parents<I> {
    fn new(n_docs: u64) -> Self {
        Self { parent: (0..n_docs).map(I::narrow).collect(), next: 0 }
    }

    fn joined(mut self, edges: impl Iterator<Item = io::Result<(u64, u64)>>) -> io::Result<Self> {
        for edge in edges {
            let (a, b) = edge?;
            self.join(a, b);
        }
        Ok(self)
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

    /// The next document that is no root, with its root.
    fn next_child(&mut self) -> Option<(u64, u64)> {
        while self.next < self.parent.len() {
            let child = self.next;
            self.next += 1;
            let parent = self.parent[child];
            if parent.wide() != child as u64 {
                // Parents are smaller and so point at their roots already.
                let root = self.parent[parent.wide() as usize];
                self.parent[child] = root;
                return Some((child as u64, root.wide()));
            }
        }
        None
    }
}

fn sparse(edges: impl Iterator<Item = io::Result<(u64, u64)>>) -> io::Result<Forest> {
    let edges = edges.collect::<io::Result<Vec<_>>>()?;
    let mut documents = Vec::with_capacity(2 * edges.len());
    documents.extend(edges.iter().flat_map(|(a, b)| [*a, *b]));
    documents.sort_unstable();
    documents.dedup();
    let mut parents = Parents::new(documents.len() as u64);
    let place = |document: u64| documents.partition_point(|known| *known < document) as u64;
    for (a, b) in edges {
        parents.join(place(a), place(b));
    }
    Ok(Forest(Inner::Sparse { documents, parents }))
}

/// A set of edges by which a round is known to have changed nothing: the sum of hashes does not depend on order.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
struct Mark {
    edges: u64,
    sum: u64,
}

impl Mark {
    fn add(&mut self, [a, b]: [u64; 2]) {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&a.to_le_bytes(), b);
        *self = Self { edges: self.edges + 1, sum: self.sum.wrapping_add(hash) };
    }
}

/// Edges as (larger, smaller) go through large-star and small-star until they are stars. Both read groups of neighbours
/// sorted, the smallest first, in constant memory however large a group is.
fn stars(
    edges: impl Iterator<Item = io::Result<(u64, u64)>>,
    workspace: &Workspace,
) -> io::Result<Sorted<2>> {
    // One set of edges is read while the next is collected.
    let half = workspace.share(2);
    let mut sorter = Sorter::new(half.clone());
    for edge in edges {
        let (a, b) = edge?;
        if a != b {
            sorter.push([a.max(b), a.min(b)])?;
        }
    }
    let mut edges = sorter.finish()?;
    let mut before = Mark::default();
    loop {
        // Large-star: every larger neighbour of a document joins the smallest of its neighbours and itself.
        let mut both = Sorter::new(half.clone());
        for edge in edges {
            let [large, small] = edge?;
            both.push([large, small])?;
            both.push([small, large])?;
        }
        let mut sorter = Sorter::new(half.clone());
        let (mut group, mut smallest) = (u64::MAX, 0);
        for record in both.finish()? {
            let [document, neighbour] = record?;
            if document != group {
                (group, smallest) = (document, document.min(neighbour));
            }
            if neighbour > document {
                sorter.push([neighbour, smallest])?;
            }
        }
        // Small-star: every smaller neighbour of a document, and the document, join the smallest of them.
        let joined = sorter.finish()?;
        let mut sorter = Sorter::new(half.clone());
        let (mut group, mut smallest) = (u64::MAX, 0);
        for record in joined {
            let [document, neighbour] = record?;
            if document == group {
                sorter.push([neighbour, smallest])?;
            } else {
                (group, smallest) = (document, neighbour);
                sorter.push([document, smallest])?;
            }
        }
        // Stars are a fixed point, and the only one: a round that changes nothing was the last.
        let mut mark = Mark::default();
        edges = match sorter.finish()? {
            Sorted::Memory(records) => {
                records.as_slice().iter().for_each(|record| mark.add(*record));
                Sorted::Memory(records)
            }
            sorted => {
                let file = workspace.temporary()?;
                let mut out = RunWriter::<2>::create(file.path())?;
                for record in sorted {
                    let record = record?;
                    mark.add(record);
                    out.push(&record)?;
                }
                out.finish(false)?;
                Sorted::reread(file, workspace.buffer_bytes(2))?
            }
        };
        if mark == before {
            return Ok(edges);
        }
        before = mark;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    type Edges = Vec<(u64, u64)>;

    /// The oracle: breadth-first search from each document in ascending order.
    fn forest_by_search(n_docs: u64, edges: &[(u64, u64)]) -> Edges {
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
        (0..n_docs).zip(labels).filter(|(document, label)| document != label).collect()
    }

    fn solve(solver: Solver, n_docs: u64, edges: &[(u64, u64)], bytes: usize) -> io::Result<Edges> {
        let folder = tempfile::tempdir().unwrap();
        forest(solver, n_docs, edges.iter().copied().map(Ok), &Workspace::new(folder.path(), bytes))?
            .collect()
    }

    /// A number of documents, edges, and the same edges in another order.
    fn graph() -> impl Strategy<Value = (u64, Edges, Edges)> {
        (1_u64..80, 0_usize..120)
            .prop_flat_map(|(n, m)| (Just(n), prop::collection::vec((0..n, 0..n), 0..=m)))
            .prop_flat_map(|(n, edges)| (Just(n), Just(edges.clone()), Just(edges).prop_shuffle()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn all_solvers_agree_in_any_order_of_edges((n, edges, shuffled) in graph(), cut in 0_usize..120) {
            let expected = forest_by_search(n, &edges);
            for solver in [Solver::UnionFind, Solver::SparseUnionFind, Solver::Stars] {
                prop_assert_eq!(&solve(solver, n, &edges, 1 << 20).unwrap(), &expected, "{:?}", solver);
                prop_assert_eq!(&solve(solver, n, &shuffled, 0).unwrap(), &expected, "{:?}", solver);
            }
            let wide = Parents::<u64>::new(n).joined(shuffled.iter().copied().map(Ok)).unwrap();
            let wide = Forest(Inner::Wide(wide)).collect::<io::Result<Edges>>().unwrap();
            prop_assert_eq!(&wide, &expected);
            // Forests of parts merge into the forest of the whole.
            let (one, other) = edges.split_at(cut.min(edges.len()));
            let mut parts = solve(Solver::UnionFind, n, one, 0).unwrap();
            parts.extend(solve(Solver::Stars, n, other, 0).unwrap());
            prop_assert_eq!(&solve(Solver::SparseUnionFind, n, &parts, 0).unwrap(), &expected);
        }
    }

    /// Large enough to spill, and long chains: the worst case of the star rounds.
    #[test]
    fn solvers_agree_where_runs_spill() {
        let n = 20_000;
        let mut edges: Edges = (1..n / 2).map(|document| (document - 1, document)).collect();
        edges.extend((n / 2..n).map(|document| (document, document * 7919 % n)));
        let expected = solve(Solver::UnionFind, n, &edges, 0).unwrap();
        assert_eq!(expected, forest_by_search(n, &edges));
        assert_eq!(solve(Solver::Stars, n, &edges, 100_000).unwrap(), expected);
        assert_eq!(solve(Solver::SparseUnionFind, n, &edges, 0).unwrap(), expected);
    }

    #[test]
    fn the_solver_follows_from_documents_edges_and_memory() {
        assert_eq!(Solver::choose(1000, 1000, 4000), Solver::UnionFind);
        assert_eq!(Solver::choose(1000, 1000, 3999), Solver::Stars);
        assert_eq!(Solver::choose(1000, 1, 3999), Solver::SparseUnionFind);
        assert_eq!(Solver::choose(1 << 32, 1 << 40, (8 << 32) - 1), Solver::Stars);
    }

    #[test]
    fn an_edge_to_nowhere_is_an_error() {
        for solver in [Solver::UnionFind, Solver::SparseUnionFind, Solver::Stars] {
            let error = solve(solver, 3, &[(0, 1), (1, 3)], 0).unwrap_err();
            assert!(error.to_string().contains("edge 1-3 names no document among 3"), "{error}");
        }
    }
}
