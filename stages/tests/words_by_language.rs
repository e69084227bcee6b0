//! Words and sentences of each way of writing, kept as data.

use gristmill_stages::words::WordView;

/// Language, text and its words with `|` between them and `‖` between sentences.
fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    let lines = include_str!("data/words_by_language.tsv").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split('\t');
        std::array::from_fn(|_| fields.next().expect("three fields"))
    })
}

/// What we make of a text, written in the same way.
fn marked(text: &str, language: &str) -> String {
    let view = WordView::new(text, Some(language));
    let sentences = view.sentences(text);
    let mut marked = String::new();
    for (word, string) in view.words().iter().zip(view.strings(text)) {
        let starts = sentences.iter().skip(1).any(|sentence| {
            let (start, word) = (sentence.start, word.start as usize);
            start <= word && text[start..word].trim().is_empty()
        });
        if !marked.is_empty() {
            marked.push_str(if starts { "‖" } else { "|" });
        }
        marked.push_str(string);
    }
    marked
}

#[test]
fn words_and_sentences_of_every_way_of_writing() {
    let mut wrong = Vec::new();
    let mut n = 0;
    for [language, text, expected] in rows() {
        n += 1;
        let found = marked(text, language);
        if found != expected {
            wrong.push(format!("{language}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(n >= 20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn labels_of_both_lengths_name_the_same_rules() {
    for (text, labels) in [
        ("磨坊很老。", &["zh", "zho", "cmn_Hani", "zh-TW", "yue"][..]),
        ("古い水車です。", &["ja", "jpn_Jpan"]),
        ("โรงสีเก่า", &["th", "tha_Thai"]),
        ("It isn't", &["en", "eng_Latn", "en-GB", ""]),
        ("l'été", &["fr", "fra_Latn"]),
    ] {
        let words =
            |label| WordView::new(text, Some(label)).strings(text).map(String::from).collect::<Vec<_>>();
        for label in labels {
            assert_eq!(words(label), words(labels[0]), "{label}");
        }
    }
}
