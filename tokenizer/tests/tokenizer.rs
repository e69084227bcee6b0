//! What users rely on: text comes back, text never makes specials, files load as what was saved.

use gristmill_tokenizer::{
    BOS, DEFAULT_SPECIALS, NAMES, Pattern, PretokenCounts, Tokenizer, TrainOptions, train,
};
use proptest::prelude::*;
use std::sync::LazyLock;

const TEXT: &str = "the cat sat on the mat; the dogs' toys don't! 2024 and 1999 <|bos|> <|iam_start|>user<|iam_end|> \
    naïve café naïve café 日本語の日本語 the theme there then 🙂🙂 the end\n\n  of   it\r\n";

fn trained(pattern: Pattern) -> Tokenizer {
    let mut counts = PretokenCounts::new(pattern);
    for _ in 0..3 {
        counts.add(TEXT);
    }
    train(&counts, &TrainOptions { vocab_size: 380, ..TrainOptions::default() }).unwrap()
}

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let custom = Pattern::custom(r"\w+|\W").unwrap();
    [Pattern::gpt2(), Pattern::cl100k(), Pattern::nanochat(), Pattern::o200k(), custom].map(trained).into()
});

/// Merges one piece at a time, lowest rank first, straight from the definition.
fn naive(tokenizer: &Tokenizer, merges: &[(u32, u32)], text: &str) -> Vec<u32> {
    let mut out = Vec::new();
    for piece in tokenizer.pattern().split(text) {
        let mut ids: Vec<u32> = piece.bytes().map(u32::from).collect();
        for (rank, pair) in (256..).zip(merges) {
            let mut at = 0;
            while at + 1 < ids.len() {
                if (ids[at], ids[at + 1]) == *pair {
                    ids.splice(at..at + 2, [rank]);
                }
                at += 1;
            }
        }
        out.extend(ids);
    }
    out
}

fn merges(tokenizer: &Tokenizer) -> Vec<(u32, u32)> {
    let json: serde_json::Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    let id = |name: &str| json["model"]["vocab"][name].as_u64().unwrap() as u32;
    let merges = json["model"]["merges"].as_array().unwrap();
    merges.iter().map(|m| m.as_str().unwrap().split_once(' ').unwrap()).map(|(l, r)| (id(l), id(r))).collect()
}

#[test]
fn a_trained_vocabulary_is_bytes_then_merges_then_specials() {
    let tokenizer = &TOKENIZERS[2];
    assert_eq!(tokenizer.vocab_size(), 256 + tokenizer.n_merges() + DEFAULT_SPECIALS.len());
    assert_eq!(tokenizer.token_bytes(b'a' as u32), Some(&b"a"[..]));
    assert_eq!(tokenizer.token_bytes(256), Some(&b" t"[..]), "the most frequent pair, lowest of its equals");
    let first = 256 + tokenizer.n_merges() as u32;
    assert_eq!(tokenizer.bos(), Some(first));
    for (id, name) in (first..).zip(DEFAULT_SPECIALS) {
        assert_eq!(tokenizer.special(name), Some(id));
        assert_eq!(tokenizer.token_bytes(id), Some(name.as_bytes()));
        assert!(tokenizer.is_special(id));
    }
    assert_eq!(tokenizer.token_bytes(tokenizer.vocab_size() as u32), None);
    assert_eq!(tokenizer.decode_lossy(&[b'a' as u32, u32::MAX]), "a\u{FFFD}");
}

#[test]
fn special_names_in_text_stay_text() {
    for tokenizer in TOKENIZERS.iter() {
        for name in DEFAULT_SPECIALS {
            let ids = tokenizer.encode(&format!("{name}x {name}"));
            assert!(!ids.iter().any(|id| tokenizer.is_special(*id)), "{name}");
        }
    }
}

#[test]
fn saved_and_loaded_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for tokenizer in TOKENIZERS.iter() {
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(loaded.to_json(), tokenizer.to_json());
        assert_eq!(loaded.hash(), tokenizer.hash());
        assert_eq!(loaded.encode(TEXT), tokenizer.encode(TEXT));
    }
    let message = Tokenizer::load(folder.path().join("absent")).unwrap_err().to_string();
    assert!(message.contains("absent"), "{message}");
}

#[test]
fn the_hash_tells_tokenizers_apart() {
    let mut hashes: Vec<String> = TOKENIZERS.iter().map(Tokenizer::hash).collect();
    hashes.push(TOKENIZERS[0].with_specials(&[BOS.to_owned()]).unwrap().hash());
    let n = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), n);
    assert_eq!(trained(Pattern::gpt2()).hash(), TOKENIZERS[0].hash());
}

#[test]
fn specials_can_be_replaced() {
    let tokenizer = TOKENIZERS[0].with_specials(&["<a>".into(), "<b>".into()]).unwrap();
    assert_eq!(tokenizer.special("<b>"), Some(256 + tokenizer.n_merges() as u32 + 1));
    assert_eq!((tokenizer.bos(), tokenizer.special(BOS)), (None, None));
    assert!(TOKENIZERS[0].with_specials(&["<a>".into(), "<a>".into()]).is_err());
}

#[test]
fn a_megabyte_of_anything_encodes() {
    for tokenizer in &TOKENIZERS[..4] {
        for unit in ["a", " ", "🙂", "日本", "the", "\n"] {
            let text = unit.repeat((1 << 20) / unit.len());
            assert!(tokenizer.decode(&tokenizer.encode(&text)) == text.as_bytes());
        }
    }
}

#[test]
fn files_that_would_give_other_ids_are_refused() {
    let json: serde_json::Value = serde_json::from_str(&TOKENIZERS[0].to_json()).unwrap();
    let load =
        |json: &serde_json::Value| Tokenizer::from_bytes(json.to_string().as_bytes()).map(|t| t.vocab_size());
    assert!(load(&json).is_ok());
    for (pointer, value, expected) in [
        ("/normalizer", serde_json::json!({"type": "NFC"}), "`normalizer`: {\"type\":\"NFC\"}"),
        ("/model/type", serde_json::json!("Unigram"), "the model `Unigram`"),
        ("/model/dropout", serde_json::json!(0.1), "`dropout`: 0.1"),
        ("/model/byte_fallback", serde_json::json!(true), "`byte_fallback`: true"),
        (
            "/pre_tokenizer",
            serde_json::json!({"type": "Metaspace"}),
            "`pre_tokenizer`: {\"type\":\"Metaspace\"}",
        ),
        ("/model/merges/0", serde_json::json!("a zzz"), "merge 0 (`\"a zzz\"`)"),
        ("/model/merges/0", serde_json::json!(["a"]), "merge 0 (`[\"a\"]`)"),
        ("/model/vocab/a", serde_json::json!(98), "id 98 is given twice"),
        ("/model/vocab/a", serde_json::json!(-1), "token `a` has id -1"),
        ("/added_tokens/0/id", serde_json::json!(97), "special token `<|bos|>` has id 97"),
        (
            "/pre_tokenizer/pretokenizers/0/pattern/Regex",
            serde_json::json!("("),
            "split pattern `(` does not compile",
        ),
    ] {
        let mut changed = json.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let message = load(&changed).unwrap_err().to_string();
        assert!(message.contains(expected), "{pointer}: {message}");
    }
    for bytes in [&b""[..], b"{", b"{}", b"[1]", b"\xFF\xFE"] {
        assert!(Tokenizer::from_bytes(bytes).is_err());
    }
}

fn texts() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "the",
        " the",
        "cat",
        "don't",
        "naïve",
        "日本語",
        "🙂",
        " ",
        "\n",
        "2024",
        "<|bos|>",
        "theme",
        "'s",
        "\r\n",
        "t",
        "h",
    ]);
    prop::collection::vec(prop_oneof![4 => words.prop_map(str::to_owned), 1 => any::<String>()], 0..12)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn text_comes_back_and_ids_follow_the_definition(text in texts()) {
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(tokenizer.decode(&ids), text.as_bytes());
            prop_assert!(!ids.iter().any(|id| tokenizer.is_special(*id)));
            prop_assert_eq!(&ids, &naive(tokenizer, &merges(tokenizer), &text));
        }
    }
}

/// Published vocabularies, ours, and a `tokenizer.json` whose special tokens stand among ordinary ids, hold spaces and
/// letters of any script, and occur in one another.
static WITH_SPECIALS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let mut all: Vec<Tokenizer> = NAMES.iter().map(|name| Tokenizer::named(name).unwrap()).collect();
    let odd =
        ["<|a", "a|>", "<|a|>", " the", "é\u{301}", "\n", "a", "日本語", "<|bos|><|bos|>"].map(str::to_owned);
    for tokenizer in [&TOKENIZERS[0], &TOKENIZERS[3]] {
        all.push(tokenizer.clone());
        let json = tokenizer.with_specials(&odd).unwrap().to_json();
        all.push(Tokenizer::from_json(json.as_bytes()).unwrap());
    }
    all
});

/// Texts spliced with whole and broken special tokens.
fn quotes() -> impl Strategy<Value = Vec<String>> {
    let names = prop::sample::select(vec![
        "<|endoftext|>",
        "<|endofprompt|>",
        "<|fim_prefix|>",
        "<|bos|>",
        "<|iam_start|>",
        "<|iam_sep|>",
        "<|iam_end|>",
        "<|python_start|>",
        "<|output_end|>",
        "<|a",
        "a|>",
        "<|a|>",
        " the",
        "é\u{301}",
        "日本語",
        "\n",
        "a",
    ]);
    let part = (names, any::<prop::sample::Index>(), 0..3_u8).prop_map(|(name, cut, kind)| {
        let cut = name.floor_char_boundary(cut.index(name.len() + 1));
        match kind {
            0 => name.to_owned(),
            1 => name[..cut].to_owned(),
            _ => name[cut..].to_owned(),
        }
    });
    let text = prop::collection::vec(prop_oneof![3 => part, 1 => any::<String>(), 1 => texts()], 0..8);
    prop::collection::vec(text.prop_map(|parts| parts.concat()), 1..4)
}

proptest! {
    /// Documents that end in the middle of a special token's name and go on with the rest of it, alone and one after
    /// the other into one list of ids.
    #[test]
    fn text_never_makes_a_special_token(documents in quotes()) {
        for tokenizer in WITH_SPECIALS.iter() {
            let mut ids = Vec::new();
            for text in &documents {
                tokenizer.encode_into(text, &mut ids);
            }
            prop_assert!(!ids.iter().any(|id| tokenizer.is_special(*id)));
            prop_assert_eq!(tokenizer.decode(&ids), documents.concat().into_bytes());
            prop_assert!(!tokenizer.encode(&documents.concat()).iter().any(|id| tokenizer.is_special(*id)));
        }
    }
}

#[test]
fn published_vocabularies_are_known_by_name() {
    for (name, ids) in NAMES.iter().zip([[31373, 995], [15339, 1917], [24912, 2375]]) {
        let tokenizer = Tokenizer::named(name).unwrap();
        assert_eq!(tokenizer.encode("hello world"), ids, "{name}");
    }
    assert!(Tokenizer::named("p50k_base").is_none());
}

/// What a thread remembers changes nothing: in any order, whoever encoded before, and where places are fought over.
#[test]
fn ids_do_not_depend_on_what_was_encoded_before() {
    let words: Vec<String> =
        (0..400_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20)).collect();
    let text = words.join(" ");
    let [first, second] = [&TOKENIZERS[0], &TOKENIZERS[2]];
    let fresh = |tokenizer: &Tokenizer| {
        std::thread::scope(|scope| scope.spawn(|| tokenizer.encode(&text)).join().unwrap())
    };
    let expected = [fresh(first), fresh(second)];
    for _ in 0..2 {
        assert!(first.encode(&text) == expected[0]);
        assert!(first.encode(&text) == expected[0]);
        assert!(second.encode(&text) == expected[1]);
    }
    let alone: Vec<u32> = words.iter().skip(1).flat_map(|word| first.encode(&format!(" {word}"))).collect();
    assert!(first.encode(&words[0]).iter().chain(&alone).eq(&expected[0]));
}
