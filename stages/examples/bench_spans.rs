//! How fast the stages that cut copies out of texts, and `decontaminate`, are on one core, and what they put on disk:
//! `cargo run --release -p gristmill-stages --example bench_spans`.
//!
//! Texts are those of `../shared/data`, the evaluation sets those of `../shared/data/eval`. Each figure is the best of five
//! runs after one to warm up, in processor time, since other work on the machine only ever makes a run slower.

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray};
use arrow::record_batch::RecordBatch;
use flate2::read::MultiGzDecoder;
use gristmill_corpus::sorted_runs::{self, Run, RunsWriter, run_name};
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::Documents;
use gristmill_stages::bloom_dedup::BloomDedup;
use gristmill_stages::decontaminate::Decontaminate;
use gristmill_stages::line_dedup::LineDedup;
use gristmill_stages::paragraph_dedup::ParagraphDedup;
use gristmill_stages::sentence_dedup::SentenceDedup;
use gristmill_stages::stage::{BuildContext, Mark, Runtime, Spans, StageConfig};
use gristmill_stages::substring_dedup::SubstringDedup;
use processor_time::Stopwatch;

#[path = "support/processor_time.rs"]
mod processor_time;

fn main() -> std::io::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    for (name, file) in
        [("novels", "text/eltec_eng_novels.jsonl.gz"), ("web pages", "fineweb_parity/decisions.jsonl.gz")]
    {
        let path = data.join(file);
        if !path.exists() {
            eprintln!("SKIPPED: {} is absent", path.display());
            continue;
        }
        let mut texts = Vec::new();
        for line in BufReader::new(MultiGzDecoder::new(File::open(path)?)).lines() {
            let document: serde_json::Value = serde_json::from_str(&line?)?;
            texts.push(document["text"].as_str().unwrap_or_default().to_owned());
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        println!("{name}: {} texts, {:.1} MB", texts.len(), bytes as f64 / 1e6);
        spans(&LineDedup::default(), &texts);
        spans(&ParagraphDedup::default(), &texts);
        spans(&SentenceDedup::default(), &texts);
        spans(&SubstringDedup::default(), &texts);
        spans(&BloomDedup::default(), &texts);
        decontaminate(&data.join("eval"), &texts);
    }
    exchange()
}

fn documents(texts: &[String]) -> Documents {
    let ids: ArrayRef = Arc::new((0..texts.len()).map(|i| Some(i.to_string())).collect::<LargeStringArray>());
    let texts: ArrayRef = Arc::new(texts.iter().map(Some).collect::<LargeStringArray>());
    let batch = RecordBatch::try_from_iter([(columns::ID, ids), (columns::TEXT, texts)]);
    Documents::new(DocBatch::new(batch.expect("two columns of one length")).expect("two columns of strings"))
}

/// Seconds of the best of five runs; a run is as many passes as take a tenth of a second, since Linux counts processor time
/// in ticks.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let start = std::time::Instant::now();
    black_box(work());
    let n_passes = (0.1 / start.elapsed().as_secs_f64()).ceil().min(1e4) as usize;
    let run = |_| {
        let watch = Stopwatch::start();
        (0..n_passes).for_each(|_| drop(black_box(work())));
        watch.seconds() / n_passes as f64
    };
    (0..5).map(run).fold(f64::MAX, f64::min)
}

/// The rows of one pass: (key, row, span).
fn rows(stage: &dyn Spans, pass: usize, batch: &Documents, marked: &[Vec<u32>]) -> Vec<(u128, usize, u32)> {
    let mut rows = Vec::new();
    let mut emit = |row: usize, span: u32, key: u128| rows.push((key, row, span));
    stage.keys(pass, batch, marked, &mut emit).expect("the columns are there");
    rows
}

fn spans<C: StageConfig>(config: &C, texts: &[String]) {
    let Ok(Runtime::Spans(stage)) = config.build(&BuildContext { base: ".".into(), seed: 1 }) else {
        panic!("`{}` cuts spans", C::KIND)
    };
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut marked = vec![Vec::new(); texts.len()];
    let (mut seconds, mut n_rows, mut n_marks) = (0.0, 0, 0);
    for (pass, mark) in stage.passes().iter().enumerate() {
        // A new batch each time: word views are made in the stage that needs them first.
        seconds += best(|| rows(&*stage, pass, &documents(texts), &marked)) - best(|| documents(texts));
        let rows = rows(&*stage, pass, &documents(texts), &marked);
        n_rows += rows.len();
        let mut copies: HashMap<u128, Vec<(usize, u32)>> = HashMap::new();
        for (key, row, span) in rows {
            copies.entry(key).or_default().push((row, span));
        }
        marked = vec![Vec::new(); texts.len()];
        for places in copies.into_values() {
            let skip = usize::from(*mark == Mark::Later || places.len() == 1);
            places.into_iter().skip(skip).for_each(|(row, span)| marked[row].push(span));
        }
        for spans in &mut marked {
            spans.sort_unstable();
        }
        n_marks += marked.iter().map(Vec::len).sum::<usize>();
    }
    let rewrite = || stage.rewrite(documents(texts), &marked).expect("the columns are there").0;
    let rewriting = best(rewrite) - best(|| documents(texts));
    let left = rewrite();
    let left = left.strings(columns::TEXT).expect("there is a text");
    let n_left: usize = (0..texts.len()).map(|row| left.value(row).len()).sum();
    println!(
        "  {:<16} keys {:>6.1} MB/s, rewriting {:>6.1} MB/s; {:.2} bytes on disk a byte of text ({n_rows} keys, {n_marks} marks); {:.1} % cut",
        C::KIND,
        bytes as f64 / seconds / 1e6,
        bytes as f64 / rewriting / 1e6,
        (n_rows * 24 + n_marks * 8) as f64 / bytes as f64,
        100.0 * (1.0 - n_left as f64 / bytes as f64)
    );
}

fn decontaminate(sets: &Path, texts: &[String]) {
    let sets = sets.to_string_lossy();
    let config = serde_json::json!({"sets": [sets], "action": "mark"});
    let config: Decontaminate = serde_json::from_value(config).expect("a configuration");
    // The folder may hold folders beside files.
    let watch = Stopwatch::start();
    let built = config.build(&BuildContext { base: ".".into(), seed: 1 });
    let building = watch.seconds();
    let Ok(Runtime::Map(stage)) = built else { return eprintln!("SKIPPED: no sets in {sets}") };
    let bytes: usize = texts.iter().map(String::len).sum();
    let seconds =
        best(|| stage.map(documents(texts)).expect("the columns are there")) - best(|| documents(texts));
    println!(
        "  decontaminate    {:>6.1} MB/s (sets loaded in {building:.2} s)",
        bytes as f64 / seconds / 1e6
    );
}

/// Rows written, sorted, read and merged.
fn exchange() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("bench_spans-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let n_rows = 20_000_000_u64;
    let watch = Stopwatch::start();
    let mut writer = RunsWriter::<3>::new(&folder, "spans", 16);
    let mut state = 1_u64;
    for row in 0..n_rows {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writer.push((state >> 60) as u32, [state.wrapping_mul(0x9E37_79B9_7F4A_7C15), state, row])?;
    }
    let n_runs = writer.finish()?;
    let writing = watch.seconds();
    let watch = Stopwatch::start();
    let mut n_merged = 0_u64;
    for partition in 0..16 {
        let runs = (0..n_runs).map(|run| Ok((Run::<3>::open(&folder.join(run_name("spans", run)))?, 0)));
        let runs = runs.collect::<std::io::Result<Vec<_>>>()?;
        for row in sorted_runs::merge(runs, partition)? {
            black_box(row?);
            n_merged += 1;
        }
    }
    let merging = watch.seconds();
    assert_eq!(n_merged, n_rows);
    std::fs::remove_dir_all(&folder)?;
    println!(
        "exchange of {n_rows} keys: {:.1} M a second written as {n_runs} runs, {:.1} M a second merged",
        n_rows as f64 / writing / 1e6,
        n_rows as f64 / merging / 1e6
    );
    Ok(())
}
