//! How fast the four quality filters of FineWeb are on one core, over real pages.
//!
//! `cargo run --release -p gristmill-stages --example bench_filters [FILE.jsonl.gz [RUNS]]`; the file's lines are JSON
//! objects with a `text`. The reference (datatrove 0.10.1) does 32.5 documents a second with all four.

use std::convert::Infallible;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use gristmill_stages::c4_quality::C4Quality;
use gristmill_stages::fineweb_quality::FinewebQuality;
use gristmill_stages::gopher_quality::GopherQuality;
use gristmill_stages::gopher_repetition::GopherRepetition;
use gristmill_stages::words::WordView;
use processor_time::Stopwatch;

#[path = "support/processor_time.rs"]
mod processor_time;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_else(|| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/fineweb_parity/decisions.jsonl.gz").to_owned()
    });
    let runs = arguments.next().map_or(Ok(15), |n| n.parse::<usize>());
    let (Ok(runs), Ok(compressed)) = (runs, std::fs::File::open(&file)) else {
        eprintln!("usage: bench_filters [FILE.jsonl.gz [RUNS]]; cannot read `{file}`");
        std::process::exit(2);
    };
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(compressed).read_to_string(&mut lines).expect("gzipped UTF-8");
    let texts: Vec<String> = lines
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
            row["text"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    let n_bytes: usize = texts.iter().map(String::len).sum();
    let views: Vec<WordView> = texts.iter().map(|text| WordView::new(text, None)).collect();
    println!("{} texts, {n_bytes} bytes, median of {runs} runs", texts.len());

    let repetition = GopherRepetition::default();
    let quality = GopherQuality::default();
    let c4 = C4Quality::default();
    let fineweb = FinewebQuality::default();
    let measure = |name: &str, work: &dyn Fn(&str, &WordView) -> usize| {
        // A run is as many passes as take a tenth of a second: Linux counts processor time in ticks.
        let pass = || {
            for (text, view) in texts.iter().zip(&views) {
                black_box(work(text, view));
            }
        };
        let start = Instant::now();
        pass();
        let n_passes = (0.1 / start.elapsed().as_secs_f64()).ceil() as usize;
        let mut seconds: Vec<f64> = (0..runs.max(1))
            .map(|_| {
                let watch = Stopwatch::start();
                (0..n_passes).for_each(|_| pass());
                watch.seconds() / n_passes as f64
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        println!(
            "{name:<30} {:>9.0} docs/s {:>8.1} MB/s",
            texts.len() as f64 / median,
            n_bytes as f64 / median / 1e6
        );
    };
    measure("words", &|text, _| WordView::new(text, None).words().len());
    measure("gopher_repetition", &|text, view| usize::from(repetition.verdict(text, view).is_some()));
    measure("gopher_quality", &|text, view| usize::from(quality.verdict(text, view).is_some()));
    measure("c4_quality", &|text, view| c4.rewrite(text, view).map_or(0, |left| left.len()));
    measure("fineweb_quality", &|text, view| usize::from(fineweb.verdict(text, view).is_some()));
    measure("words and all four, each alone", &|text, _| {
        let view = WordView::new(text, None);
        usize::from(repetition.verdict(text, &view).is_some())
            + usize::from(quality.verdict(text, &view).is_some())
            + c4.rewrite(text, &view).map_or(0, |left| left.len())
            + usize::from(fineweb.verdict(text, &view).is_some())
    });
    measure("words and all four, as a chain", &|text, _| {
        let view = WordView::new(text, None);
        if repetition.verdict(text, &view).or_else(|| quality.verdict(text, &view)).is_some() {
            return 0;
        }
        let Ok(left) = c4.rewrite(text, &view) else { return 0 };
        let n_words = || Ok::<_, Infallible>(WordView::new(&left, None).words().len());
        usize::from(fineweb.verdict_of(&left, n_words) == Ok(None))
    });
}
