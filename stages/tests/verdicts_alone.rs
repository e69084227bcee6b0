//! A document's verdict depends on that document alone: for every filter and map of the registry, whatever batches,
//! orders, threads and neighbours the documents come in. New kinds are covered by being in the registry.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, LargeStringArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use fasttext::FastText;
use fasttext::args::{Args, ModelName};
use gristmill_corpus::{DocBatch, jsonl};
use gristmill_stages::registry::{AnyStage, KINDS, StageKind};
use gristmill_stages::stage::{BuildContext, Runtime, Shape, Verdict};
use gristmill_stages::words::WordView;
use gristmill_stages::{Documents, assets};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// What became of a document: its verdict, and its columns as a line of JSON.
type Outcome = (Verdict, String);

#[derive(Debug, Clone)]
struct Page {
    url: String,
    text: String,
    html: String,
    language: &'static str,
    score: f64,
}

fn text() -> impl Strategy<Value = String> {
    let prose = "The miller opened the sluice before dawn, and the wheel began to turn with a low groan. It's said that Dr. Marlow \
                 didn't trust the new stones, which weren't cut by hand. Nobody in the village could remember a summer that had \
                 been so dry for so long. What does a sack of rye cost now? More than US$40, they say, and that is before tax!";
    let piece = prop_oneof![
        4 => Just(format!("{prose}\n")),
        4 => "[a-zA-Z]{1,9} ",
        2 => "\\PC{0,6}",
        1 => any::<String>(),
        4 => prop::sample::select(vec![
            "...", "…", ". ", "! ", "\n", "\n\n", "\r\n", "[1]", "n't ", "http://a.bc/d ", "{", "#", "- ", "javascript ", "lorem ipsum ", "use cookies ",
            "foulword ", "Schimpfwort ", "Read more...\n", "THE WHOLE LINE IS LOUD\n", "jane@corp.io ", "8.8.8.8 ", "+44 20 7946 0958 ", "der die das und nicht ",
            "水车在黎明前开始转动。", "水車は夜明け前に回り始めた。", "จนกระทั่งรุ่งสาง ", "\u{0}", "\u{feff}", "\u{2028}", "\u{301}", "İ", "👩‍👩‍👧",
        ]).prop_map(String::from),
    ];
    prop_oneof![
        8 => prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        1 => Just(String::new()),
        1 => Just(" \n\t ".to_owned()),
        1 => "[a-z]{1,3}".prop_map(|word| (word + " ").repeat(500)),
        1 => Just(format!("{prose}\n\n").repeat(6)),
        1 => Just("é".repeat(20_000)),
    ]
}

fn page() -> impl Strategy<Value = Page> {
    let url = prop_oneof![
        "https?://[a-z]{1,3}\\.(bad\\.example|example\\.(com|co\\.uk))/[a-zA-Z0-9/._-]{0,12}",
        "http://good.example/(foulword|foo/bar|nasty)?",
        any::<String>(),
    ];
    let html = prop_oneof![
        3 => text().prop_map(|text| format!("<html><body><nav>Home</nav><article><p>{}</p></article></body></html>", text.replace('\n', "</p><p>"))),
        1 => text(),
        1 => "(<(p|div|table|a href=x|script|b)>|</(p|div|table|script)>|[a-z&; ]{0,5}){0,40}",
    ];
    let language = prop::sample::select(vec!["en", "de", "zh", "ja", "th", "fr", "zxx", ""]);
    (url, text(), html, language, 0.0..1.0).prop_map(|(url, text, html, language, score)| Page {
        url,
        text,
        html,
        language,
        score,
    })
}

/// The same pages on every run: every column that a stage may ask for is theirs.
fn pages(n: usize) -> Vec<Page> {
    let mut runner = TestRunner::deterministic();
    let page = page();
    (0..n).map(|_| page.new_tree(&mut runner).expect("nothing is turned down").current()).collect()
}

fn documents(pages: &[Page], rows: &[usize]) -> Documents {
    let strings = |value: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|&row| Some(value(row))).collect::<LargeStringArray>())
    };
    let score = Float64Array::from_iter_values(rows.iter().map(|&row| pages[row].score));
    let count = Int64Array::from_iter_values(rows.iter().map(|&row| pages[row].text.len() as i64));
    let batch = RecordBatch::try_from_iter([
        ("id", strings(&|row| format!("<urn:uuid:{row}>"))),
        ("url", strings(&|row| pages[row].url.clone())),
        ("date", strings(&|row| format!("2024-05-{:02}T00:00:00Z", row % 28 + 1))),
        ("dump", strings(&|_| "CC-TEST-2024-22".to_owned())),
        ("file_path", strings(&|row| format!("{}.warc.gz", row % 3))),
        ("offset", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|&row| row as u64 * 1000)))),
        ("title", strings(&|row| pages[row].text.chars().take(20).collect())),
        ("html", strings(&|row| pages[row].html.clone())),
        ("text", strings(&|row| pages[row].text.clone())),
        ("language", strings(&|row| pages[row].language.to_owned())),
        ("language_score", Arc::new(score)),
        ("token_count", Arc::new(count)),
    ]);
    Documents::new(DocBatch::new(batch.expect("columns of one length")).expect("columns of their types"))
}

fn outcomes(runtime: &Runtime, documents: Documents) -> Vec<Outcome> {
    match runtime {
        Runtime::Filter(filter) => {
            let verdicts = filter.verdicts(&documents).expect("the columns are there");
            assert_eq!(verdicts.len(), documents.len());
            verdicts.into_iter().map(|verdict| (verdict, String::new())).collect()
        }
        Runtime::Map(map) => {
            let n = documents.len();
            let (mapped, verdicts) = map.map(documents).expect("the columns are there");
            let mut lines = Vec::new();
            jsonl::write(&mut lines, mapped.batch().record_batch()).expect("memory takes every byte");
            let lines = String::from_utf8(lines).expect("JSON is UTF-8");
            let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
            assert_eq!((lines.len(), verdicts.len()), (n, n));
            verdicts.into_iter().zip(lines).collect()
        }
        _ => panic!("neither filter nor map"),
    }
}

/// A stage as its example configures it, with small files in the places of those that it names.
fn example(kind: &StageKind, folder: &Path) -> Box<dyn AnyStage> {
    let table: toml::Table = kind.example.parse().expect("examples are TOML");
    let mut config = serde_json::to_value(&table["stage"][0]).expect("TOML is JSON");
    let fields = config.as_object_mut().expect("a stage is a table");
    fields.retain(|name, _| !["id", "kind", "input", "materialise"].contains(&name.as_str()));
    let stage = (kind.parse)(config).expect("examples are right");
    assert!(
        stage
            .declares()
            .artefacts
            .iter()
            .all(|artefact| matches!(artefact, gristmill_stages::stage::ArtefactRef::Named(_))),
        "{}: the example names another stage; a file would do",
        kind.kind
    );
    for name in stage.declares().files {
        write_file(kind.kind, &name, &folder.join(&name));
    }
    stage
}

const ITEMS: &str = concat!(
    r#"{"id": "1", "question": "The miller opened the sluice before dawn, and the wheel began to turn with a low groan.", "choices": ["rye", "corn"]}"#,
    "\n"
);

fn write_file(kind: &str, name: &str, path: &Path) {
    fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is ours");
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let lines = match name {
        "blocklists/ut1" => {
            fs::create_dir_all(path).expect("the folder is ours");
            return fs::write(path.join("domains"), "bad.example\n").expect("the folder is ours");
        }
        "blocklists/hosts" => "0.0.0.0 a.example.com\n",
        "blocklists/soft_banned_words.txt" => "foo\nbar\n",
        "blocklists/banned_subwords.txt" => "nasty\n",
        _ if extension == Some("txt") => "foulword\nSchimpfwort\n",
        _ if extension == Some("bin") => return train_classifier(path),
        // Items of an evaluation: what a page holds.
        _ if extension == Some("jsonl") => ITEMS,
        _ if extension.is_none() => {
            fs::create_dir_all(path).expect("the folder is ours");
            return fs::write(path.join("items.jsonl"), ITEMS).expect("the folder is ours");
        }
        _ => panic!("`{kind}` needs the file `{name}`: say here what a small one holds"),
    };
    fs::write(path, lines).expect("the folder is ours");
}

fn train_classifier(path: &Path) {
    let input = path.with_extension("txt");
    let lines = "__label__hq the mill grinds corn\n__label__lq buy cheap now click\n".repeat(50);
    fs::write(&input, lines).expect("the folder is ours");
    let mut args = Args::new();
    args.apply_supervised_defaults();
    args.model = ModelName::Supervised;
    args.input = input;
    args.dim = 4;
    args.thread = 1;
    args.verbose = 0;
    FastText::train(args).expect("two labels are enough").save_model(path).expect("the folder is ours");
}

#[test]
fn a_verdict_depends_on_its_document_alone() {
    assert!(!assets::VENDORED.is_empty(), "the language model is built in");
    let pages = pages(90);
    let all: Vec<usize> = (0..pages.len()).collect();
    let mut n_kinds = 0;
    let mut without_effect = Vec::new();
    for kind in KINDS.iter().filter(|kind| matches!(kind.shape, Shape::Filter | Shape::Map)) {
        n_kinds += 1;
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let stage = example(kind, folder.path());
        let context = BuildContext { base: folder.path().to_owned(), seed: 7 };
        let build = || stage.build(&context).unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
        let runtime = build();

        // Each document in a batch of its own is what everything else must equal.
        let alone: Vec<Outcome> =
            all.iter().flat_map(|&row| outcomes(&runtime, documents(&pages, &[row]))).collect();
        let check = |how: &str, rows: &[usize], found: &[Outcome]| {
            assert_eq!(rows.len(), found.len(), "{}, {how}", kind.kind);
            for (&row, found) in rows.iter().zip(found) {
                assert_eq!(*found, alone[row], "{}, {how}: {:?}", kind.kind, pages[row]);
            }
        };

        check("one batch", &all, &outcomes(&runtime, documents(&pages, &all)));
        let backwards: Vec<usize> = all.iter().rev().copied().collect();
        check("backwards", &backwards, &outcomes(&runtime, documents(&pages, &backwards)));
        let twice: Vec<usize> = all.iter().flat_map(|&row| [row, all.len() - 1 - row]).collect();
        check("among others, twice", &twice, &outcomes(&runtime, documents(&pages, &twice)));
        for size in [2, 7, 31] {
            let found: Vec<Outcome> =
                all.chunks(size).flat_map(|rows| outcomes(&runtime, documents(&pages, rows))).collect();
            check(&format!("batches of {size}"), &all, &found);
        }
        check("another runtime", &all, &outcomes(&build(), documents(&pages, &all)));

        // Word views made for all, kept for those that are left.
        let views = documents(&pages, &all);
        for &row in &all {
            drop(views.words(row).map(WordView::n_chars));
        }
        let odd: Vec<usize> = all.iter().copied().filter(|row| row % 2 == 1).collect();
        let left =
            views.retain(&all.iter().map(|row| row % 2 == 1).collect::<Vec<_>>()).expect("a flag each");
        check("after others were dropped", &odd, &outcomes(&runtime, left));

        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|turn| {
                    let mut rows = all.clone();
                    rows.rotate_left(turn * 20);
                    let (runtime, pages) = (&runtime, &pages);
                    scope.spawn(move || {
                        let found: Vec<Outcome> = rows
                            .chunks(5 + turn)
                            .flat_map(|rows| outcomes(runtime, documents(pages, rows)))
                            .collect();
                        (rows, found)
                    })
                })
                .collect();
            for thread in threads {
                let (rows, found) = thread.join().expect("no panic");
                check("threads", &rows, &found);
            }
        });

        let untouched = outcomes_without(&pages, &all);
        let has_effect = alone.iter().zip(&untouched).any(|((verdict, line), untouched)| {
            *verdict != Verdict::Keep || (!line.is_empty() && line != untouched)
        });
        if !has_effect {
            without_effect.push(kind.kind);
        }
    }
    assert!(n_kinds >= 10, "{n_kinds} kinds of filters and maps");
    assert!(without_effect.is_empty(), "no page here tries {without_effect:?}: add one that does");
}

/// The columns as they are.
fn outcomes_without(pages: &[Page], rows: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    jsonl::write(&mut lines, documents(pages, rows).batch().record_batch()).expect("memory takes every byte");
    String::from_utf8(lines).expect("JSON is UTF-8").lines().map(str::to_owned).collect()
}
