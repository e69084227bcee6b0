//! An exchange at scale: keys of made-up documents through files, forests and clusters, as tasks of a run do it.
//!
//!     cargo run --release -p gristmill-stages --example dedup_scale -- --documents 10000000 [--tasks 100]
//!         [--partitions 16] [--jobs 2] [--memory-mib 1024] [--sketch 0] [--folder DIR]
//!
//! A third of the documents are near duplicates: they share each of the 14 keys of their cluster with probability .7.
//! Clusters are small, but for one that holds a hundredth of all documents. With `--sketch N`, every document has a sketch
//! of N numbers, of which those of a cluster share nine in ten, and pairs are compared before they count.
//! Prints what each step took and left: wall and processor seconds, bytes, and the most memory the process ever held.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gristmill_corpus::keyed::{KeyedReader, KeyedWriter};
use gristmill_corpus::sketches::{SketchWriter, Sketches};
use gristmill_corpus::sorter::Workspace;
use gristmill_stages::dedup::clusters::KeepList;
use gristmill_stages::dedup::exchange::{decide, merge_forests, reduce};
use gristmill_stages::dedup::minhash::sketched_jaccard;
use gristmill_stages::dedup::partition_of;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const BANDS: u64 = 14;

struct Scale {
    documents: u64,
    tasks: u64,
    partitions: u32,
    jobs: usize,
    memory: usize,
    sketch: u32,
    folder: PathBuf,
}

fn hash(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_le_bytes(), b)
}

impl Scale {
    fn parse() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let text = |name: &str| {
            arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
        };
        let number = |name: &str, default: u64| {
            text(name)
                .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} {text}: no number")))
        };
        let documents = number("--documents", 1_000_000).max(1);
        Self {
            documents,
            tasks: number("--tasks", documents.div_ceil(100_000)).max(1),
            partitions: number("--partitions", 16).max(1) as u32,
            jobs: number("--jobs", 2).max(1) as usize,
            memory: (number("--memory-mib", 1024) << 20) as usize,
            sketch: number("--sketch", 0) as u32,
            folder: text("--folder").map_or_else(|| std::env::temp_dir().join("dedup-scale"), PathBuf::from),
        }
    }

    /// The cluster that a document is drawn from, if any.
    fn cluster(&self, document: u64) -> Option<u64> {
        let draw = hash(document, 1) % 300;
        match draw {
            0..3 => Some(u64::MAX),
            3..100 => Some(hash(document, 2) % (self.documents / 10).max(1)),
            _ => None,
        }
    }

    fn workspace(&self, n_at_a_time: usize) -> Workspace {
        Workspace::new(&self.folder.join("spill"), self.memory / n_at_a_time)
    }

    fn file(&self, kind: &str, index: u64) -> PathBuf {
        self.folder.join(format!("{kind}-{index}"))
    }

    fn first_row(&self, task: u64) -> u64 {
        (task * self.documents.div_ceil(self.tasks)).min(self.documents)
    }

    fn keys(&self, task: u64) -> io::Result<()> {
        let mut writer = KeyedWriter::bounded(self.partitions, self.workspace(self.jobs));
        let first = self.first_row(task);
        let mut sketches =
            (self.sketch > 0).then(|| SketchWriter::create(&self.file("sketches", task))).transpose()?;
        let mut sketch = Vec::new();
        for document in first..self.first_row(task + 1) {
            let cluster = self.cluster(document);
            for band in 0..BANDS {
                let shared = cluster.filter(|_| hash(document, 100 + band) % 10 < 7);
                let key = hash(shared.unwrap_or(document), band + if shared.is_some() { 1000 } else { 2000 });
                writer.push(partition_of(key, self.partitions), key, document - first);
            }
            if let Some(sketches) = &mut sketches {
                sketch.clear();
                sketch.extend((0..self.sketch).map(|n| {
                    let own = n % 20 == 0 || cluster.is_none();
                    hash(if own { document } else { cluster.unwrap_or(0) }, u64::from(n) + 5000) as u32
                }));
                sketch.sort_unstable();
                sketches.push(&sketch)?;
            }
            if document % 1024 == 0 {
                writer.make_room()?;
            }
        }
        writer.finish(&self.file("keys", task))?;
        sketches.map_or(Ok(()), SketchWriter::finish)
    }

    fn forest(&self, partition: u64) -> io::Result<()> {
        let mut sketches = Sketches::default();
        let mut readers = Vec::new();
        for task in 0..self.tasks {
            let first = self.first_row(task);
            readers.push((KeyedReader::open(&self.file("keys", task))?, first));
            if self.sketch > 0 {
                sketches.add(&self.file("sketches", task), first, self.first_row(task + 1) - first)?;
            }
        }
        let (mut a, mut b, mut known) = (Vec::new(), Vec::new(), None);
        let agree = |one, other| {
            if self.sketch == 0 {
                return Ok(true);
            }
            if known != Some(one) {
                sketches.read(one, &mut a)?;
                known = Some(one);
            }
            sketches.read(other, &mut b)?;
            Ok(sketched_jaccard(&a, &b) >= 0.7)
        };
        let (workspace, out) = (self.workspace(self.jobs), self.file("forest", partition));
        reduce(&readers, partition as u32, self.documents, agree, &workspace, &out)
    }

    /// Works off `n` tasks, `jobs` at a time.
    fn each(&self, n: u64, task: impl Fn(u64) -> io::Result<()> + Sync) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || -> io::Result<()> {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if index >= n {
                        return Ok(());
                    }
                    task(index)?;
                }
            };
            let threads: Vec<_> = (0..self.jobs).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no task panics"))
        })
    }
}

fn main() -> io::Result<()> {
    let scale = Scale::parse();
    let _ = fs::remove_dir_all(&scale.folder);
    fs::create_dir_all(&scale.folder)?;
    println!(
        "{} documents, {} tasks, {} partitions, {} jobs, {} MiB, sketches of {}",
        scale.documents,
        scale.tasks,
        scale.partitions,
        scale.jobs,
        scale.memory >> 20,
        scale.sketch
    );
    let begun = (Instant::now(), processor_seconds());
    let report = |what: &str, before: (Instant, f64), bytes: u64| {
        println!(
            "{what:<10} {:8.1} s wall {:8.1} s processor {:14} bytes left  {:6} MiB at most so far",
            before.0.elapsed().as_secs_f64(),
            processor_seconds() - before.1,
            bytes,
            peak_bytes() >> 20
        );
    };
    let now = || (Instant::now(), processor_seconds());
    let before = now();
    scale.each(scale.tasks, |task| scale.keys(task))?;
    report("keys", before, left(&scale.folder, "keys")? + left(&scale.folder, "sketches")?);
    let shuffled = now();
    scale.each(u64::from(scale.partitions), |partition| scale.forest(partition))?;
    report("forests", shuffled, left(&scale.folder, "forest")?);
    let merging = now();
    let mut forests: Vec<PathBuf> =
        (0..u64::from(scale.partitions)).map(|partition| scale.file("forest", partition)).collect();
    while forests.len() > 16 {
        let level = forests.len();
        let groups: Vec<&[PathBuf]> = forests.chunks(16).collect();
        let out = |index: u64| scale.file(&format!("merged-{level}"), index);
        scale.each(groups.len() as u64, |index| {
            merge_forests(groups[index as usize], scale.documents, &scale.workspace(scale.jobs), &out(index))
        })?;
        forests = (0..groups.len() as u64).map(out).collect();
    }
    let (keep, members) = (scale.folder.join("keep"), scale.folder.join("members"));
    let ranks = || Ok((0..scale.documents).map(|_| Ok(0)));
    decide(&forests, scale.documents, ranks, &scale.workspace(1), &keep, &members)?;
    report("survivors", merging, keep.metadata()?.len() + members.metadata()?.len());
    let kept = KeepList::read(&keep, 0..scale.documents)?.kept();
    report("all", begun, left(&scale.folder, "")?);
    println!("{kept} documents stay, {} are duplicates", scale.documents - kept);
    fs::remove_dir_all(&scale.folder)
}

fn left(folder: &Path, kind: &str) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(kind) && entry.path().is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Of all threads; 0 where the system does not say.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // A hundred ticks a second on every Linux.
    (ticks(11) + ticks(12)) / 100.0
}

/// The most memory that the process ever held.
fn peak_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap_or(0) * 1024
}
