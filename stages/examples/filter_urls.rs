//! Prints the verdict of `url_blocklist` on each line: `filter_urls RECIPE.toml < urls > verdicts`. The recipe is the stage's own table
//! without `kind`. What loading and judging took goes to stderr as JSON: seconds on the processor and by the clock, and the memory that
//! the process holds once the lists are loaded, in KiB, as Linux counts it (mapped files included).

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use gristmill_stages::stage::BuildContext;
use gristmill_stages::url_blocklist::{Blocklist, UrlBlocklist};
use processor_time::Stopwatch;
use serde_json::json;

#[path = "support/processor_time.rs"]
mod processor_time;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args().nth(1).ok_or("usage: filter_urls RECIPE.toml < urls")?);
    let config: UrlBlocklist = toml::from_str(&std::fs::read_to_string(&path)?)?;
    let base = path.parent().map(PathBuf::from).unwrap_or_default();
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let list = Blocklist::load(&config, &BuildContext { base, seed: 0 })?;
    let (load_wall_s, load_s) = (start.elapsed().as_secs_f64(), watch.seconds());
    let memory = ["VmRSS", "RssAnon", "RssFile", "VmHWM"].map(|name| (name, status(name)));

    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let mut letters = Vec::new();
    // The first round brings the lists into the caches; the second is measured.
    let judge = |letters: &mut Vec<u8>| -> Vec<&str> {
        lines.split_terminator('\n').map(|url| list.reason(url, letters).unwrap_or("keep")).collect()
    };
    judge(&mut letters);
    let watch = Stopwatch::start();
    let verdicts = judge(&mut letters);
    let judge_s = watch.seconds();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for verdict in &verdicts {
        writeln!(output, "{verdict}")?;
    }
    let mut report =
        json!({ "load_s": load_s, "load_wall_s": load_wall_s, "urls": verdicts.len(), "judge_s": judge_s });
    for (name, kib) in memory {
        report[name] = json!(kib);
    }
    eprintln!("{report}");
    Ok(())
}

/// A number of KiB out of Linux's description of this process.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
