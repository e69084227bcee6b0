//! Ids of published vocabularies, against those that their own libraries gave. The files are not in the repository; the
//! twin in `tests/tokenizer.rs` needs none.

use flate2::read::GzDecoder;
use gristmill_tokenizer::Tokenizer;
use std::io::Read;
use std::path::PathBuf;

fn file(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tok").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent, published ids are not checked", path.display());
        return None;
    }
    Some(path)
}

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    r50k_base: Vec<u32>,
    cl100k_base: Vec<u32>,
}

fn check(vocabulary: &str, expected: fn(&Golden) -> &Vec<u32>) {
    let (Some(vocabulary), Some(golden)) = (file(vocabulary), file("golden_ids.jsonl.gz")) else { return };
    let tokenizer = Tokenizer::load(vocabulary).unwrap();
    let mut lines = String::new();
    GzDecoder::new(std::fs::File::open(golden).unwrap()).read_to_string(&mut lines).unwrap();
    let (again, mut n) = (Tokenizer::from_bytes(tokenizer.to_json().as_bytes()).unwrap(), 0);
    assert_eq!(again.hash(), tokenizer.hash());
    for line in lines.lines() {
        let golden: Golden = serde_json::from_str(line).unwrap();
        let ids = tokenizer.encode(&golden.text);
        assert_eq!(&ids, expected(&golden), "{:?}", golden.text);
        assert_eq!(tokenizer.decode(&ids), golden.text.as_bytes());
        assert_eq!(ids, again.encode(&golden.text), "saved and loaded: {:?}", golden.text);
        n += 1;
    }
    assert_eq!(n, 323);
}

#[test]
fn gpt2_tokenizer_json_gives_the_published_ids() {
    check("gpt2_tokenizer.json.gz", |golden| &golden.r50k_base);
}

#[test]
fn r50k_ranks_give_the_published_ids() {
    check("r50k_base.tiktoken.gz", |golden| &golden.r50k_base);
}

#[test]
fn cl100k_ranks_give_the_published_ids() {
    check("cl100k_base.tiktoken.gz", |golden| &golden.cl100k_base);
}

#[test]
fn cl100k_has_its_special_tokens_and_holes() {
    let Some(path) = file("cl100k_base.tiktoken.gz") else { return };
    let tokenizer = Tokenizer::load(path).unwrap();
    assert_eq!(tokenizer.vocab_size(), 100_277);
    assert_eq!(tokenizer.special("<|endoftext|>"), Some(100_257));
    assert_eq!(tokenizer.bos(), Some(100_257));
    assert_eq!(tokenizer.token_bytes(100_256), None);
    // tiktoken 0.14 cuts so: the white space at the end stays whole.
    assert_eq!(tokenizer.pattern().split("a\n "), ["a", "\n "]);
    assert!(tokenizer.encode("<|endoftext|>").iter().all(|id| *id < 100_256));
}

#[test]
fn a_wordpiece_file_is_refused_by_name() {
    let Some(path) = file("minilm_wordpiece_tokenizer.json") else { return };
    let message = Tokenizer::load(path).unwrap_err().to_string();
    assert!(message.contains("not supported"), "{message}");
}
