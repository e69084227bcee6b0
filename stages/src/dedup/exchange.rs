//! The three reductions of an exchange, from files to files: keys of one partition to a forest, forests to one, a forest to
//! survivors. Memory is the workspace's, whatever the number of documents; the files do not depend on it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gristmill_corpus::keyed::{self, KeyedReader};
use gristmill_corpus::sorter::{Merged, Run, RunWriter, Workspace};

use super::clusters::{KeepList, Member, survivors, verified_stars};
use super::components::{Forest, Solver, forest};

/// Equal keys of one partition, over all map tasks (each with the dense id of its first document), become a forest: a file
/// of pairs (document, smallest of its component).
///
/// # Errors
/// Of files that cannot be read or written or do not match their checksums.
pub fn reduce(
    readers: &[(KeyedReader, u64)],
    partition: u32,
    n_docs: u64,
    agree: impl FnMut(u64, u64) -> io::Result<bool>,
    workspace: &Workspace,
    out: &Path,
) -> io::Result<()> {
    let half = workspace.share(2);
    let most_edges = readers.iter().map(|(reader, _)| reader.rows(partition)).sum();
    let solver = Solver::choose(n_docs, most_edges, half.bytes());
    let rows: Box<dyn Iterator<Item = io::Result<(u64, u64)>>> = if readers.len() <= half.fan_in() {
        Box::new(keyed::merge_buffered(readers, partition, half.buffer_bytes(readers.len())))
    } else {
        // More files than buffers: some at a time first.
        let mut files = Vec::new();
        for some in readers.chunks(half.fan_in()) {
            let file = half.temporary()?;
            let mut run = RunWriter::<2>::create(file.path())?;
            for row in keyed::merge_buffered(some, partition, half.buffer_bytes(some.len())) {
                let (key, document) = row?;
                run.push(&[key, document])?;
            }
            run.finish(false)?;
            files.push(file);
        }
        Box::new(Merged::<2>::new(files, &half)?.map(|row| row.map(|[key, document]| (key, document))))
    };
    let forest = forest(solver, n_docs, verified_stars(rows, agree), &half)?;
    write(forest, out)
}

/// Forests of parts become the forest of the whole.
///
/// # Errors
/// As [`reduce`].
pub fn merge_forests(files: &[PathBuf], n_docs: u64, workspace: &Workspace, out: &Path) -> io::Result<()> {
    write(merged(files, n_docs, workspace)?, out)
}

fn merged(files: &[PathBuf], n_docs: u64, workspace: &Workspace) -> io::Result<Forest> {
    let mut most_edges = 0;
    for file in files {
        most_edges += file.metadata()?.len() / 16;
    }
    // One after the other: the order of edges does not matter.
    let buffer = workspace.buffer_bytes(files.len());
    let runs = files.iter().map(|file| Run::<2>::open(file, buffer)).collect::<io::Result<Vec<_>>>()?;
    let edges = runs.into_iter().flatten().map(|edge| edge.map(|[a, b]| (a, b)));
    forest(Solver::choose(n_docs, most_edges, workspace.bytes()), n_docs, edges, workspace)
}

fn write(forest: Forest, out: &Path) -> io::Result<()> {
    let mut file = RunWriter::<2>::create(out)?;
    for pair in forest {
        let (document, root) = pair?;
        file.push(&[document, root])?;
    }
    file.finish(true)
}

/// Forests of all parts become the list of survivors ([`KeepList`]) and the members of all clusters of two and more, a
/// file of [`Member`] records in the order of documents.
///
/// # Errors
/// As [`reduce`].
pub fn decide<R: Iterator<Item = io::Result<u64>>>(
    forests: &[PathBuf],
    n_docs: u64,
    ranks: impl Fn() -> io::Result<R>,
    workspace: &Workspace,
    keep: &Path,
    members: &Path,
) -> io::Result<()> {
    // Half for parents, which live until the last pair is out, half for the sorts that take the pairs.
    let half = workspace.share(2);
    let mut out = RunWriter::<3>::create(members)?;
    let dropped = survivors(merged(forests, n_docs, &half)?, ranks, &half)?.filter_map(|member| {
        let written = member.and_then(|member| out.push(&member.to_record()).map(|()| member));
        match written {
            Ok(member) => (!member.survives).then_some(Ok(member.document)),
            Err(error) => Some(Err(error)),
        }
    });
    KeepList::write(keep, n_docs, dropped)?;
    out.finish(true)
}

/// The members of clusters among the documents `rows`, found by halving in a file that [`decide`] wrote.
///
/// # Errors
/// Those of the file system.
pub fn members_of(path: &Path, rows: Range<u64>) -> io::Result<Vec<Member>> {
    const BYTES: u64 = 24;
    let mut file = File::open(path)?;
    let all = file.metadata()?.len() / BYTES;
    let (mut low, mut high) = (0, all);
    while low < high {
        let middle = low.midpoint(high);
        let mut document = [0; 8];
        file.seek(SeekFrom::Start(middle * BYTES))?;
        file.read_exact(&mut document)?;
        if u64::from_le_bytes(document) < rows.start { low = middle + 1 } else { high = middle }
    }
    let mut members = Vec::new();
    let mut run = Run::<3>::open(path, 1 << 16)?;
    run.seek(low)?;
    for record in run {
        let member = Member::from_record(record?);
        if member.document >= rows.end {
            break;
        }
        members.push(member);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use gristmill_corpus::keyed::KeyedWriter;
    use proptest::prelude::*;

    use super::*;

    /// Rows as two reducers and three map tasks see them, through files; keep-list and members.
    fn through_files(
        keys: &[(u64, u64)],
        n_docs: u64,
        ranks: &[u64],
        tasks: u64,
        partitions: u32,
        bytes: usize,
    ) -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(&folder.path().join("spill"), bytes);
        let per_task = n_docs.div_ceil(tasks);
        let readers: Vec<_> = (0..tasks)
            .map(|task| {
                let mut writer = KeyedWriter::new(partitions);
                for (key, document) in keys.iter().filter(|(_, document)| document / per_task == task) {
                    writer.push((key % u64::from(partitions)) as u32, *key, document % per_task);
                }
                let path = folder.path().join(format!("keys{task}"));
                writer.finish(&path).unwrap();
                (KeyedReader::open(&path).unwrap(), task * per_task)
            })
            .collect();
        let forests: Vec<PathBuf> = (0..partitions)
            .map(|partition| {
                let out = folder.path().join(format!("forest{partition}"));
                reduce(&readers, partition, n_docs, |a, b| Ok((a + b) % 7 != 0), &workspace, &out).unwrap();
                out
            })
            .collect();
        let merged = folder.path().join("merged");
        merge_forests(&forests, n_docs, &workspace, &merged).unwrap();
        let (keep, members) = (folder.path().join("keep"), folder.path().join("members"));
        decide(&[merged], n_docs, || Ok(ranks.iter().copied().map(Ok)), &workspace, &keep, &members).unwrap();
        let all = members_of(&members, 0..n_docs).unwrap();
        for middle in [0, n_docs / 3, n_docs] {
            let mut parts = members_of(&members, 0..middle).unwrap();
            parts.extend(members_of(&members, middle..n_docs).unwrap());
            assert_eq!(parts, all);
        }
        (std::fs::read(keep).unwrap(), std::fs::read(members).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn files_do_not_depend_on_tasks_partitions_or_memory(
            keys in prop::collection::vec((0_u64..40, 0_u64..100), 0..200), ranks in prop::collection::vec(0_u64..3, 100),
            tasks in 1_u64..9, partitions in 1_u32..5,
        ) {
            let plain = through_files(&keys, 100, &ranks, 1, 1, 1 << 24);
            prop_assert_eq!(&plain, &through_files(&keys, 100, &ranks, tasks, partitions, 0));
            prop_assert_eq!(&plain, &through_files(&keys, 100, &ranks, tasks, partitions, 1 << 20));
        }
    }
}
