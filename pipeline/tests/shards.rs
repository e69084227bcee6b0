//! Token shards at work: the same for any number of threads, exported and read back, traced to their documents.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::AsArray;
use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use gristmill::report::trace::{self, Question};
use gristmill_corpus::files;
use gristmill_corpus::pack_plan::{MixtureSource, PackPlan, Packing, PlanOptions};
use gristmill_corpus::shards::{DocumentRecord, DocumentTokens, ShardOptions, ShardSet, ShardWriter};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

fn gristmill(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says what a command printed, which must have succeeded.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = gristmill(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A folder with a run of 90 pages on 15 hosts, in shards of 400 tokens.
fn ran() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..3 {
        let lines: String = (file * 30..(file + 1) * 30)
            .map(|page| {
                let text = format!("Page {page}: {}", "the mill grinds the é corn 🌾 ".repeat(page % 7));
                let url = format!("http://h{}.example/{page}", page % 15);
                json!({"id": format!("<urn:{page}>"), "url": url, "text": text}).to_string() + "\n"
            })
            .collect();
        std::fs::write(folder.path().join(format!("pages-{file}.jsonl")), lines).unwrap();
    }
    let recipe = r#"
seed = 5

[[stage]]
kind = "jsonl"
paths = ["pages-*.jsonl"]

[[stage]]
kind = "tokenizer_train"
vocab_size = 290

[[stage]]
kind = "token_shards"
tokenizer = { stage = "tokenizer_train" }
validation_share = 0.3
shard_tokens = 400
"#;
    std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    said(folder.path(), &["run", "recipe.toml", "--jobs", "2", "--out", "run"]);
    folder
}

/// A split's documents with their ids.
fn documents(folder: &Path, split: &str) -> Vec<(DocumentRecord, Vec<u32>)> {
    let set = ShardSet::open(folder, split).unwrap();
    let mut all = Vec::new();
    for shard in set.shards() {
        for (index, record) in shard.documents().unwrap().into_iter().enumerate() {
            all.push((record, shard.document(index).unwrap()));
        }
    }
    all
}

fn batches(path: &Path) -> (usize, Vec<RecordBatch>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    (builder.metadata().num_row_groups(), builder.build().unwrap().map(Result::unwrap).collect())
}

#[test]
fn ids_shards_and_plan_are_the_same_for_one_thread_and_two() {
    let folder = ran();
    said(folder.path(), &["run", "recipe.toml", "--jobs", "1", "--out", "alone"]);
    let listed = |run: &str| {
        let shards = folder.path().join(run).join("token_shards");
        let set = ShardSet::open(&shards, "train").unwrap();
        assert!(set.shards().len() > 2);
        let options =
            PlanOptions { packing: Packing::BestFit, row_length: 24, seed: 1, rows_per_step: 4, steps: 30 };
        let plan = folder.path().join(run).join("plan");
        PackPlan::prepare(&plan, &[(MixtureSource::only("shards"), &set)], &options).unwrap();
        let mut all = files::list(&shards).unwrap();
        all.retain(|file| file.name != ".fingerprint");
        all.extend(files::list(&plan).unwrap());
        all
    };
    assert_eq!(listed("run"), listed("alone"));
}

#[test]
fn exports_hold_the_same_documents() {
    let folder = ran();
    let shards = folder.path().join("run/token_shards");
    let (train, val) = (documents(&shards, "train"), documents(&shards, "val"));
    assert!(train.len() > 40 && val.len() > 10, "{} {}", train.len(), val.len());
    let ids = |documents: &[(DocumentRecord, Vec<u32>)]| -> Vec<u32> {
        documents.iter().flat_map(|(_, ids)| ids.clone()).collect()
    };
    let export = |format: &str| -> PathBuf {
        let text = said(folder.path(), &["export", "run", "--to", format, "--out", format, "--json"]);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["n_documents"], 90);
        let out = folder.path().join(format);
        assert_eq!(told["n_files"], std::fs::read_dir(&out).unwrap().count());
        out
    };

    let out = export("llmc");
    for (split, documents) in [("train", &train), ("val", &val)] {
        let bytes = std::fs::read(out.join(format!("{split}_000000.bin"))).unwrap();
        let header: Vec<i32> =
            bytes[..1024].as_chunks().0.iter().map(|number| i32::from_le_bytes(*number)).collect();
        let tokens: Vec<u32> =
            bytes[1024..].as_chunks().0.iter().map(|token| u32::from(u16::from_le_bytes(*token))).collect();
        assert_eq!(header[..4], [20_240_520, 1, tokens.len() as i32, 0]);
        assert_eq!(tokens, ids(documents));
    }

    let out = export("nanochat");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = |paths: &[PathBuf]| -> Vec<String> {
        let all = paths.iter().flat_map(|path| batches(path).1);
        let column = |batch: RecordBatch| {
            let column = batch.column_by_name("text").unwrap().as_string::<i64>().clone();
            column.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
        };
        all.flat_map(column).collect()
    };
    let pages = |documents: &[(DocumentRecord, Vec<u32>)]| -> Vec<String> {
        let page =
            |id: &str| id.trim_matches(['<', '>']).trim_start_matches("urn:").parse::<usize>().unwrap();
        documents
            .iter()
            .map(|(record, _)| page(&record.id))
            .map(|page| format!("Page {page}: {}", "the mill grinds the é corn 🌾 ".repeat(page % 7)))
            .collect()
    };
    let (last, rest) = files.split_last().unwrap();
    assert_eq!(texts(rest), pages(&train));
    assert_eq!(texts(std::slice::from_ref(last)), pages(&val));

    let out = export("npy");
    let npy = |name: &str| -> (String, Vec<u8>) {
        let bytes = std::fs::read(out.join(name)).unwrap();
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\0");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        assert_eq!(bytes[9 + length], b'\n');
        (text(&bytes[10..10 + length]).trim_end().to_owned(), bytes[10 + length..].to_vec())
    };
    let mut all: Vec<u32> = Vec::new();
    for shard in ShardSet::open(&shards, "train").unwrap().shards() {
        let (header, bytes) = npy(&format!("{}.npy", shard.meta().name));
        let n = shard.n_tokens();
        assert_eq!(header, format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({n},), }}"));
        all.extend(bytes.as_chunks().0.iter().map(|token| u32::from(u16::from_le_bytes(*token))));
        let (_, bytes) = npy(&format!("{}.ends.npy", shard.meta().name));
        let ends: Vec<u64> = bytes.as_chunks().0.iter().map(|end| u64::from_le_bytes(*end)).collect();
        let expected: Vec<u64> =
            (0..shard.n_documents()).map(|index| shard.document_range(index).unwrap().end).collect();
        assert_eq!(ends, expected);
    }
    assert_eq!(all, ids(&train));

    let out = export("parquet");
    let mut rows = train.iter();
    for shard in ShardSet::open(&shards, "train").unwrap().shards() {
        for batch in batches(&out.join(format!("{}.parquet", shard.meta().name))).1 {
            let column = |name: &str| batch.column_by_name(name).unwrap().clone();
            for row in 0..batch.num_rows() {
                let (record, ids) = rows.next().unwrap();
                assert_eq!(column("id").as_string::<i64>().value(row), record.id);
                assert_eq!(column("url").as_string::<i64>().value(row), record.url);
                assert_eq!(column("file_path").as_string::<i64>().value(row), record.file_path);
                assert_eq!(column("offset").as_primitive::<UInt64Type>().value(row), record.offset);
                assert_eq!(column("n_bytes").as_primitive::<UInt64Type>().value(row), record.n_bytes);
                let list = column("ids").as_list::<i64>().value(row);
                assert_eq!(list.as_primitive::<UInt32Type>().values(), &ids[..]);
            }
        }
    }
    assert!(rows.next().is_none());

    // A second time: refused, and nothing half written is left.
    let again = gristmill(folder.path(), &["export", "run", "--to", "npy", "--out", "npy"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("`npy` exists already"), "{}", text(&again.stderr));
    let none = gristmill(folder.path(), &["export", "npy", "--to", "npy", "--out", "other"]);
    assert!(text(&none.stderr).contains("no token shards are in `npy`"), "{}", text(&none.stderr));
}

#[test]
fn large_vocabularies_are_exported_in_four_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    let mut writer = ShardWriter::create(&shards, "train", ShardOptions::new("t", 100_000, 9)).unwrap();
    let ids = [9, 70_000, 99_999];
    writer.push(&DocumentTokens { ids: &ids, ..DocumentTokens::default() }).unwrap();
    writer.finish().unwrap();
    said(folder.path(), &["export", "shards", "--to", "llmc", "--out", "llmc"]);
    let bytes = std::fs::read(folder.path().join("llmc/train_000000.bin")).unwrap();
    let numbers: Vec<u32> = bytes.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
    assert_eq!(numbers[..4], [20_240_801, 7, 3, 0]);
    assert_eq!(numbers[256..], ids);
    let none = gristmill(folder.path(), &["export", "shards", "--to", "nanochat", "--out", "n"]);
    assert!(text(&none.stderr).contains("does not hold both `train` and `val`"), "{}", text(&none.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half written stays");
}

#[test]
fn every_token_leads_to_its_document() {
    let folder = ran();
    let run = folder.path().join("run");
    let shards = run.join("token_shards");
    for split in ["train", "val"] {
        for shard in ShardSet::open(&shards, split).unwrap().shards() {
            let mut token = 0;
            for (record, ids) in shard.documents().unwrap().into_iter().zip(0..).map(|(record, index)| {
                let ids = shard.document(index).unwrap();
                (record, ids)
            }) {
                for (place, id) in ids.iter().enumerate() {
                    // All of the first documents, then the ends of each.
                    if record.document < 2 || place == 0 || place + 1 == ids.len() {
                        let question = Question::Token { shard: shard.meta().name.clone().into(), token };
                        let origin = trace::find(&run, None, &[], &question).unwrap();
                        assert_eq!((origin.id.as_str(), origin.place), (record.id.as_str(), place as u64));
                        assert_eq!((&origin.url, &origin.file_path), (&record.url, &record.file_path));
                        assert_eq!((origin.offset, origin.token_id), (record.offset, *id));
                        assert_eq!(origin.n_tokens, ids.len() as u64);
                    }
                    token += 1;
                }
            }
        }
    }
}

#[test]
fn every_place_of_a_step_leads_to_its_document() {
    let folder = ran();
    let shards = folder.path().join("run/token_shards");
    let set = ShardSet::open(&shards, "train").unwrap();
    let sources = [(MixtureSource::only("web"), &set)];
    for packing in [Packing::BestFit, Packing::Stream] {
        let training = folder.path().join("training");
        let options = PlanOptions { packing, row_length: 24, seed: 1, rows_per_step: 3, steps: 50 };
        let plan = PackPlan::prepare(&training, &sources, &options).unwrap();
        let mut n_padding = 0;
        for (step, row) in [(0, 0), (7, 2), (49, 1), (31, 0)] {
            let planned = plan.row(step * 3 + row).unwrap();
            let stretches = planned.stretches.iter();
            let positions: Vec<u64> = stretches
                .flat_map(|stretch| stretch.start..stretch.start + u64::from(stretch.length))
                .collect();
            for column in 0..24 {
                let question = Question::Step { step, row, column };
                let origin = trace::find(&training, None, std::slice::from_ref(&shards), &question);
                let Some(&position) = positions.get(column as usize) else {
                    n_padding += 1;
                    assert!(origin.unwrap_err().to_string().contains("is padding"));
                    continue;
                };
                let origin = origin.unwrap();
                assert_eq!(set.tokens(position..position + 1).unwrap(), [origin.token_id]);
                let question = Question::Token { shard: origin.shard.clone().into(), token: origin.token };
                let same = trace::find(&shards, None, &[], &question).unwrap();
                assert_eq!((&origin.id, origin.place), (&same.id, same.place));
                assert_eq!(origin.read.unwrap().source, "web");
            }
        }
        assert!(n_padding < 24 * 2);
    }
    let training = folder.path().join("training");
    for (question, expected) in [
        (Question::Step { step: 50, row: 0, column: 0 }, "there is no step 50: the run has 50"),
        (Question::Step { step: 0, row: 3, column: 0 }, "there is no row 3: a step has 3"),
        (Question::Step { step: 0, row: 0, column: 24 }, "there is no column 24: a row has 24"),
        (Question::Step { step: 0, row: 0, column: 0 }, "`--shards DIR` says where they are"),
    ] {
        let message = trace::find(&training, None, &[], &question).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn trace_says_where_a_token_is_from() {
    let folder = ran();
    let shards = folder.path().join("run/token_shards");
    let first = &documents(&shards, "val")[0];
    let (record, ids) = first;
    let said_ = said(folder.path(), &["trace", "run", "--shard", "val-00000", "--token", "3"]);
    assert_eq!(
        said_,
        format!(
            "token     {} at 3 of val-00000\ndocument  0, token 3 of {}\nid        {}\nurl       {}\nfrom      {}@{}\n",
            ids[3],
            ids.len(),
            record.id,
            record.url,
            record.file_path,
            record.offset
        )
    );
    let by_path = ["trace", "run", "--shard", "run/token_shards/val-00000.bin", "--token", "3", "--json"];
    let told: Value = serde_json::from_str(&said(folder.path(), &by_path)).unwrap();
    assert_eq!(told["id"], record.id);
    assert_eq!(told["token_id"], ids[3]);
    for (arguments, expected) in [
        (&["trace", "run", "--shard", "val-00000", "--token", "99999"][..], "has no token 99999: it holds"),
        (&["trace", "run", "--shard", "vol-00000", "--token", "3"], "there is no shard `vol-00000`"),
        (&["trace", "run", "--step", "3"], "no training has left a pack plan"),
        (&["trace", "nowhere", "--step", "3"], "is no folder"),
        (&["trace", "run"], "--shard <FILE>"),
    ] {
        let output = gristmill(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

/// What other trainers' own readers read. GRISTMILL_PYTHON names a Python that has all of their packages; without it
/// those that `python3` lacks are skipped.
#[test]
fn the_readers_of_other_trainers_read_the_same_ids() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/read_shards_with_peers.py");
    let named = std::env::var("GRISTMILL_PYTHON");
    let python = named.as_deref().unwrap_or("python3");
    let imports = Command::new(python).args(["-c", "import numpy"]).output();
    if named.is_err() && !imports.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: the readers of other trainers: `{python}` cannot import numpy (GRISTMILL_PYTHON names another)"
        );
        return;
    }
    let folder = ran();
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path().join("run/token_shards"))
        .args(["--gristmill", env!("CARGO_BIN_EXE_gristmill")])
        .args(named.is_ok().then_some("--require"))
        .output()
        .unwrap();
    let told = text(&output.stdout);
    eprint!("{told}");
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    assert!(told.contains("numpy memmap of .bin: equal"), "{told}");
}
