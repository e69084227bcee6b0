//! How fast pages are parsed and extracted: megabytes and pages a second of one core's time, part by part.
//!
//! `cargo run --release -p gristmill-stages --example bench_extract [FILE.jsonl…]`: lines `{html}`; without files, the
//! sets of `../shared/data/html_gold`, of each at most 64 MB. The best of five rounds of 300 ms at least counts, in
//! processor time, so that other work on the machine hurts least. `scripts/compare_extraction.py` runs the peers beside. `--hostile` times pages made to hurt instead, in Markdown, and exits with 1 if
//! one takes 200 ms or more.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use gristmill_stages::html::dom::Dom;
use gristmill_stages::html::{Format, Options, content, extract, render};

#[path = "../tests/gold/mod.rs"]
mod gold;
#[path = "../tests/hostile/mod.rs"]
mod hostile;

const MOST_BYTES: usize = 64 << 20;

struct Page {
    html: String,
}

fn page(row: &serde_json::Value) -> Option<Page> {
    Some(Page { html: row["html"].as_str()?.to_owned() })
}

/// Processor time of this thread, where the system tells it, else the clock.
fn now() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.as_deref().and_then(|line| line.split(' ').next()).and_then(|n| n.parse().ok());
    thread_local! { static START: Instant = Instant::now(); }
    nanoseconds.map_or_else(|| START.with(Instant::elapsed), Duration::from_nanos)
}

/// The time of the quickest of five rounds; a round goes over the pages until the clock's steps no longer matter.
fn measure(pages: &[Page], mut work: impl FnMut(&Page)) -> Duration {
    const LEAST: Duration = Duration::from_millis(300);
    let mut round = || {
        let start = now();
        let mut times = 0;
        loop {
            pages.iter().for_each(&mut work);
            times += 1;
            let took = now().saturating_sub(start);
            if took >= LEAST {
                return took / times;
            }
        }
    };
    (0..5).map(|_| round()).min().expect("five rounds")
}

fn report(name: &str, pages: &[Page]) {
    let bytes: usize = pages.iter().map(|page| page.html.len()).sum();
    let options = Options::default();
    let line = |part: &str, time: Duration| {
        let seconds = time.as_secs_f64();
        println!(
            "{name:>14} {part:>8} {:8.1} MB/s {:8.0} pages/s",
            bytes as f64 / 1e6 / seconds,
            pages.len() as f64 / seconds
        );
    };
    println!("{name:>14} {} pages, {:.1} MB", pages.len(), bytes as f64 / 1e6);
    line("parse", measure(pages, |page| drop(std::hint::black_box(Dom::parse(&page.html, &options.limits)))));
    let parsed: Vec<Option<Dom>> =
        pages.iter().map(|page| Dom::parse(&page.html, &options.limits).ok()).collect();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % parsed.len();
        &parsed[at]
    };
    line(
        "choose",
        measure(pages, |_| {
            if let Some(dom) = next() {
                std::hint::black_box(content::choose(dom));
            }
        }),
    );
    let kept: Vec<_> = parsed.iter().flatten().map(|dom| (dom, content::choose(dom).kept)).collect();
    let mut turn = kept.iter().cycle();
    line(
        "render",
        measure(pages, |_| {
            if let Some((dom, kept)) = turn.next() {
                std::hint::black_box(render::render(dom, kept, options.format));
            }
        }),
    );
    line("extract", measure(pages, |page| drop(std::hint::black_box(extract(&page.html, &options)))));
}

/// Milliseconds of the quickest of three for every hostile page; whether all stay below the bound.
fn time_hostile() -> bool {
    let options = Options { format: Format::Markdown, ..Options::default() };
    let mut good = true;
    for (name, html) in hostile::pages() {
        let page = [Page { html }];
        let mut outcome = None;
        let time = (0..3)
            .map(|_| {
                let start = now();
                outcome = Some(extract(&page[0].html, &options).extraction);
                now().saturating_sub(start)
            })
            .min()
            .expect("three rounds");
        let slow = time >= Duration::from_millis(200);
        good &= !slow;
        println!(
            "{:7.1} ms {:>9} bytes {} {name}: {outcome:?}",
            time.as_secs_f64() * 1e3,
            page[0].html.len(),
            if slow { "SLOW" } else { "" }
        );
    }
    good
}

fn main() -> std::io::Result<()> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files == ["--hostile"] {
        std::process::exit(i32::from(!time_hostile()));
    }
    for file in &files {
        let rows = BufReader::new(File::open(file)?).lines();
        let rows = rows.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<std::io::Result<Vec<_>>>()?;
        report(file, &rows.iter().filter_map(page).collect::<Vec<_>>());
    }
    if files.is_empty() {
        for set in gold::SETS {
            let (mut pages, mut bytes) = (Vec::new(), 0);
            let found = gold::for_each_page(set, |row| {
                if let Some(page) = page(&row).filter(|page| bytes + page.html.len() <= MOST_BYTES) {
                    bytes += page.html.len();
                    pages.push(page);
                }
            });
            if found {
                report(set, &pages);
            }
        }
    }
    Ok(())
}
