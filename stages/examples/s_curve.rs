//! Which pairs MinHash finds, measured over made-up texts, beside the formula; writes the plot of docs/dedup.md:
//!
//!     cargo run --release -p gristmill-stages --example s_curve -- docs/minhash-s-curve.svg [pairs a point: 4000]
//!
//! A pair is two texts of words that nobody else has, n-grams of one word: their similarity is known exactly. Every point
//! also says how far the estimate from signatures is off on average.

use std::fmt::Write;

use gristmill_stages::dedup::minhash::{
    MinHashParameters, MinHasher, Scratch, estimated_jaccard, jaccard, sketched_jaccard,
};

const VERIFY: f64 = 0.7;

struct Point {
    similarity: f64,
    candidates: f64,
    verified: f64,
    bias: f64,
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_else(|| "minhash-s-curve.svg".to_owned());
    let pairs: u32 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(4000);
    // Of 200 words each: similarities from .25 to 1.
    let points: Vec<Point> =
        [80, 100, 115, 125, 134, 141, 148, 154, 160, 165, 170, 175, 180, 185, 190, 195, 200]
            .map(|shared| measure(shared, pairs))
            .into();
    let curve = MinHashParameters::default();
    println!("| similarity | promised | shares a band | and is verified | estimate off by |");
    println!("| --- | --- | --- | --- | --- |");
    for Point { similarity, candidates, verified, bias } in &points {
        println!(
            "| {similarity:.3} | {:.4} | {candidates:.4} | {verified:.4} | {bias:+.4} |",
            curve.recall(*similarity)
        );
    }
    std::fs::write(file, plot(&points, pairs))
}

fn measure(shared: u32, pairs: u32) -> Point {
    let own = 200 - shared;
    let (mut candidates, mut verified, mut bias, mut similarity) = (0, 0, 0.0, 0.0);
    let mut scratch = Scratch::default();
    let (mut keys_a, mut keys_b, mut sketch_a, mut sketch_b) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let hasher = MinHasher::new(MinHashParameters {
            ngram: 1,
            seed: u64::from(pair % 50),
            ..MinHashParameters::default()
        });
        let base = pair * 1000;
        let a = text((base..base + shared).chain(base + 400..base + 400 + own));
        let b = text((base..base + shared).chain(base + 700..base + 700 + own));
        hasher.keys_and_sketch(&a, &mut scratch, &mut keys_a, &mut sketch_a);
        hasher.keys_and_sketch(&b, &mut scratch, &mut keys_b, &mut sketch_b);
        let candidate = keys_a.iter().zip(&keys_b).any(|(a, b)| a == b);
        candidates += u32::from(candidate);
        verified += u32::from(candidate && sketched_jaccard(&sketch_a, &sketch_b) >= VERIFY);
        let exact = jaccard(&hasher.shingles(&a), &hasher.shingles(&b));
        let signature = hasher.signature(&a, &mut scratch).map(<[u32]>::to_vec).unwrap_or_default();
        bias += estimated_jaccard(&signature, hasher.signature(&b, &mut scratch).unwrap_or_default()) - exact;
        similarity = exact;
    }
    let share = |n: u32| f64::from(n) / f64::from(pairs);
    Point {
        similarity,
        candidates: share(candidates),
        verified: share(verified),
        bias: bias / f64::from(pairs),
    }
}

fn text(words: impl Iterator<Item = u32>) -> String {
    let letters = |word: u32| -> String {
        word.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).chain([' ']).collect()
    };
    words.map(letters).collect()
}

/// 100 user units are the whole of a scale; y grows downwards.
fn plot(points: &[Point], pairs: u32) -> String {
    let (left, top, width, height) = (60.0, 30.0, 560.0, 340.0);
    let x = |similarity: f64| left + width * (similarity - 0.2) / 0.8;
    let y = |share: f64| top + height * (1.0 - share);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 440\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"660\" height=\"440\" fill=\"white\"/>\n",
    );
    let mut line = |text: String| svg.push_str(&(text + "\n"));
    for tenth in 2..=10 {
        let (value, at) = (f64::from(tenth) / 10.0, x(f64::from(tenth) / 10.0));
        line(format!("<path d=\"M{at:.1} {top}V{:.1}\" stroke=\"#ddd\"/>", top + height));
        line(format!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.1}</text>",
            top + height + 20.0
        ));
    }
    for fifth in 0..=5 {
        let (value, at) = (f64::from(fifth) / 5.0, y(f64::from(fifth) / 5.0));
        line(format!("<path d=\"M{left} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", left + width));
        line(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            left - 8.0,
            at + 4.0
        ));
    }
    let mut path = String::new();
    for step in 0..=160 {
        let similarity = 0.2 + f64::from(step) * 0.005;
        let command = if step == 0 { 'M' } else { 'L' };
        let _ = write!(
            path,
            "{command}{:.1} {:.1}",
            x(similarity),
            y(MinHashParameters::default().recall(similarity))
        );
    }
    line(format!("<path d=\"{path}\" fill=\"none\" stroke=\"#36c\" stroke-width=\"2\"/>"));
    for Point { similarity, candidates, verified, .. } in points {
        line(format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#36c\"/>",
            x(*similarity),
            y(*candidates)
        ));
        line(format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"6.5\" fill=\"none\" stroke=\"#c33\" stroke-width=\"1.5\"/>",
            x(*similarity),
            y(*verified)
        ));
    }
    let label = |y: u32, colour: &str, words: &str| {
        format!("<text x=\"{:.1}\" y=\"{y}\" fill=\"{colour}\">{words}</text>", left + 14.0)
    };
    line(label(60, "#36c", "line: 1 - (1 - s^8)^14; dots: pairs that share a band, measured"));
    line(label(80, "#c33", &format!("rings: and are verified at {VERIFY}; {pairs} pairs a point")));
    line(format!(
        "<text x=\"{:.1}\" y=\"425\" text-anchor=\"middle\">Jaccard similarity s of a pair</text>",
        left + width / 2.0
    ));
    line(format!(
        "<text x=\"18\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {:.1})\">share of pairs found</text>",
        top + height / 2.0,
        top + height / 2.0
    ));
    svg.push_str("</svg>\n");
    svg
}
