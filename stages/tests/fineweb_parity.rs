//! Do the four quality filters decide as the reference (datatrove 0.10.1) does?
//!
//! `scripts/parity/fineweb_reference.py` made the small file of this repository; the large one is real pages. Any other file that the
//! script wrote is compared by naming it: `FINEWEB_REFERENCE=FILE cargo test --release -p gristmill-stages --test fineweb_parity -- --nocapture`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use gristmill_stages::c4_quality::C4Quality;
use gristmill_stages::fineweb_quality::FinewebQuality;
use gristmill_stages::gopher_quality::GopherQuality;
use gristmill_stages::gopher_repetition::GopherRepetition;
use gristmill_stages::words::WordView;
use serde_json::Value;
use sha1::{Digest, Sha1};

/// How often we agree with the reference.
#[derive(Default)]
struct Agreement {
    /// Per filter: (documents, same keep or drop).
    decisions: BTreeMap<String, (usize, usize)>,
    /// Per filter and reason of the reference: (documents, same reason).
    reasons: BTreeMap<(String, String), (usize, usize)>,
    /// (documents, word counts within 0.5 %, words all equal, sentence counts equal).
    words: (usize, usize, usize, usize),
    /// (documents kept by the reference's C4 filter, rewritten text equal).
    rewritten: (usize, usize),
}

impl Agreement {
    fn of(lines: &str) -> Self {
        let mut agreement = Self::default();
        for line in lines.lines() {
            let row: Value = serde_json::from_str(line).expect("a JSON object a line");
            agreement.add(&row);
        }
        agreement
    }

    fn add(&mut self, row: &Value) {
        let text = row["text"].as_str().expect("a text");
        let view = WordView::new(text, None);
        let rewritten = C4Quality::default().rewrite(text, &view);
        for (name, verdict) in [
            ("rep", GopherRepetition::default().verdict(text, &view)),
            ("qual", GopherQuality::default().verdict(text, &view)),
            ("c4", rewritten.as_ref().err().copied()),
            ("fw", FinewebQuality::default().verdict(text, &view)),
        ] {
            let (ours, theirs) = (verdict.unwrap_or("keep"), row[name].as_str().expect("a verdict"));
            let decisions = self.decisions.entry(name.into()).or_default();
            decisions.0 += 1;
            decisions.1 += usize::from((ours == "keep") == (theirs == "keep"));
            let reasons = self.reasons.entry((name.into(), theirs.into())).or_default();
            reasons.0 += 1;
            reasons.1 += usize::from(ours == theirs);
        }
        let (ours, theirs) = (view.words().len() as f64, row["n_words"].as_f64().expect("a count"));
        let same = row["words"].as_array().is_none_or(|words| {
            view.strings(text).eq(words.iter().map(|word| word.as_str().expect("a word")))
        });
        self.words.0 += 1;
        self.words.1 += usize::from((ours - theirs).abs() <= 0.005 * theirs);
        self.words.2 += usize::from(same);
        self.words.3 += usize::from(row["n_sents"] == view.n_sentences(text));
        if row["c4"] == "keep" {
            let sha1 = rewritten.map(|left| {
                Sha1::digest(left).iter().fold(String::new(), |mut hex, byte| {
                    write!(hex, "{byte:02x}").expect("strings take all");
                    hex
                })
            });
            self.rewritten.0 += 1;
            self.rewritten.1 += usize::from(sha1.is_ok_and(|sha1| row["c4_text_sha1"] == sha1));
        }
    }

    fn print(&self) {
        let (n, close, same, sentences) = self.words;
        println!(
            "{n} documents: word counts close {close}, words equal {same}, sentence counts equal {sentences}"
        );
        println!("C4 text equal {} of {}", self.rewritten.1, self.rewritten.0);
        for (filter, (n, same)) in &self.decisions {
            println!("{filter:<5} same decision {same} of {n}");
        }
        for ((filter, reason), (n, same)) in &self.reasons {
            println!("{filter:<5} {reason:<30} same reason {same} of {n}");
        }
    }

    /// Share of documents on which a filter gives the same reason (or keeps, as the reference does).
    fn same_reasons(&self, filter: &str) -> f64 {
        let ours = self.reasons.iter().filter(|((name, _), _)| name == filter);
        let (n, same) = ours.fold((0, 0), |(n, same), (_, counts)| (n + counts.0, same + counts.1));
        same as f64 / n as f64
    }
}

#[test]
fn real_pages_agree() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fineweb_parity/decisions.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: real_pages_agree needs `{}`", path.display());
        return;
    };
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut lines).expect("gzipped UTF-8");
    assert_close(&Agreement::of(&lines));
}

#[test]
fn a_named_file_agrees() {
    let Some(path) = std::env::var_os("FINEWEB_REFERENCE") else {
        eprintln!("SKIPPED: a_named_file_agrees needs FINEWEB_REFERENCE to name a file");
        return;
    };
    assert_close(&Agreement::of(&std::fs::read_to_string(&path).expect("a file of JSON lines")));
}

/// The agreement that is promised on pages which nobody has seen.
fn assert_close(agreement: &Agreement) {
    agreement.print();
    for (filter, (n, same)) in &agreement.decisions {
        assert!(*same as f64 >= 0.995 * *n as f64, "{filter} decides alike on {same} of {n} documents");
        assert!(agreement.same_reasons(filter) >= 0.99, "{filter} gives other reasons");
    }
    let (n, close, _, sentences) = agreement.words;
    assert!(n > 0 && close as f64 >= 0.99 * n as f64 && sentences as f64 >= 0.99 * n as f64);
    let (n, same) = agreement.rewritten;
    assert!(same as f64 >= 0.99 * n as f64, "C4 leaves the same text of {same} of {n} documents");
}

#[test]
fn odd_texts_agree_wholly() {
    let agreement = Agreement::of(include_str!("data/fineweb_reference.jsonl"));
    agreement.print();
    assert!(agreement.decisions.len() == 4 && agreement.decisions.values().all(|(n, same)| n == same));
    assert!(agreement.reasons.values().all(|(n, same)| n == same));
    let (n, close, same, sentences) = agreement.words;
    assert!(n >= 140 && [close, same, sentences] == [n; 3]);
    assert!(agreement.rewritten.0 >= 60 && agreement.rewritten.0 == agreement.rewritten.1);
}
