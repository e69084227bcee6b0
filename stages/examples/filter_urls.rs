//! Prints the verdict of `url_blocklist` on each line: `filter_urls RECIPE.toml < urls > verdicts`. The recipe is the stage's own table
//! without `kind`. The seconds that loading and judging took go to stderr.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use gristmill_stages::stage::BuildContext;
use gristmill_stages::url_blocklist::{Blocklist, UrlBlocklist};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args().nth(1).ok_or("usage: filter_urls RECIPE.toml < urls")?);
    let config: UrlBlocklist = toml::from_str(&std::fs::read_to_string(&path)?)?;
    let base = path.parent().map(PathBuf::from).unwrap_or_default();
    let start = Instant::now();
    let list = Blocklist::load(&config, &BuildContext { base, seed: 0 })?;
    let loading = start.elapsed();
    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let mut letters = Vec::new();
    let start = Instant::now();
    let verdicts: Vec<_> =
        lines.split_terminator('\n').map(|url| list.reason(url, &mut letters).unwrap_or("keep")).collect();
    let judging = start.elapsed();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for verdict in verdicts {
        writeln!(output, "{verdict}")?;
    }
    eprintln!("{} {}", loading.as_secs_f64(), judging.as_secs_f64());
    Ok(())
}
