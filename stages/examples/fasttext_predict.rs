//! Predicts labels of lines with a fastText model: `fasttext_predict MODEL K < lines > label, probability, label, ...`.
//! `scripts/compare_language.py` holds it beside the C++. The seconds that predicting took go to stderr.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use gristmill_stages::assets;
use gristmill_stages::fasttext::{Model, Scratch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, k] = &arguments[..] else {
        return Err("usage: fasttext_predict MODEL K < lines".into());
    };
    let k = k.parse()?;
    let model = match assets::find(model) {
        Some(asset) => Model::from_bytes(asset.bytes)?,
        None => Model::open(Path::new(model))?,
    };
    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let mut scratch = Scratch::default();
    let mut found = Vec::new();
    let start = Instant::now();
    for line in lines.split_terminator('\n') {
        found.push(model.predict(line, k, &mut scratch).to_vec());
    }
    let elapsed = start.elapsed();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for predictions in &found {
        let fields: Vec<String> = predictions
            .iter()
            .map(|found| format!("{}\t{:.8}", model.label(found.label), found.probability))
            .collect();
        writeln!(output, "{}", fields.join("\t"))?;
    }
    eprintln!("{}", elapsed.as_secs_f64());
    Ok(())
}
