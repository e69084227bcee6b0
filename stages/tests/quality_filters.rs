//! What the four quality filters promise for any text: no panic, no blow-up, and verdicts of a document's own.

use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
use gristmill_corpus::DocBatch;
use gristmill_stages::Documents;
use gristmill_stages::c4_quality::C4Quality;
use gristmill_stages::fineweb_quality::FinewebQuality;
use gristmill_stages::gopher_quality::GopherQuality;
use gristmill_stages::gopher_repetition::GopherRepetition;
use gristmill_stages::stage::{BuildContext, Runtime, StageConfig, Verdict};
use gristmill_stages::words::WordView;
use proptest::prelude::*;

fn all_verdicts(text: &str, language: Option<&str>) -> [Option<&'static str>; 4] {
    let view = WordView::new(text, language);
    [
        GopherRepetition::default().verdict(text, &view),
        GopherQuality::default().verdict(text, &view),
        C4Quality::default().rewrite(text, &view).err(),
        FinewebQuality::default().verdict(text, &view),
    ]
}

#[test]
fn hostile_texts_take_linear_time() {
    let million = 1 << 20;
    let numbered = |mark: &str| (0..500_000).fold(String::new(), |text, i| text + &i.to_string() + mark);
    for text in [
        "a".repeat(million),
        "a ".repeat(million / 2),
        "(".repeat(million),
        ".".repeat(million),
        "a.".repeat(million / 2),
        "a-".repeat(million / 2),
        "1+".repeat(million / 2),
        ":)".repeat(million / 2),
        "@a.b".repeat(million / 4),
        "[1".repeat(million / 2),
        "[]".repeat(million / 2),
        "…".repeat(million / 3),
        "\u{301}".repeat(million / 2),
        "中".repeat(million / 3),
        "ิ".repeat(million / 3),
        "ក្".repeat(million / 6),
        "ສະ".repeat(million / 6),
        "သည်".repeat(million / 9),
        "\n".repeat(million),
        " \n".repeat(million / 2),
        "a. ".repeat(million / 3),
        "a\n".repeat(500_000),
        numbered("\n"),
        numbered(" "),
        numbered(","),
    ] {
        for language in [None, Some("de"), Some("th")] {
            let verdicts = all_verdicts(&text, language);
            assert!(verdicts.iter().any(Option::is_some), "{:?}… was kept", text.get(..3));
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z]{1,9} ",
        2 => "\\PC{0,6}",
        1 => ".{0,3}",
        2 => prop::sample::select(vec![
            "...", "…", ". ", "! ", "\n", "\n\n", "\r\n", "[1]", "[edit]", "n't ", "'s ", "Mr. ", "http://a.bc/d ", "10km ",
            ":)", "{", "#", "老磨坊在河边。", "回っています", "โรงสีเก่า", "ม", "ម៉ាស៊ីន", "ໂຮງສີ", "စက်ဟောင်း", "- ", "javascript ", "lorem ipsum ", "use cookies ", "\u{2028}", "\u{a0}", "İ", "\u{212a}",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_are_the_text_without_whitespace(text in any_text()) {
        for language in [None, Some("fr"), Some("zh")] {
            let view = WordView::new(&text, language);
            let words: String = view.strings(&text).collect();
            let filled = |c: &char| !c.is_whitespace() && !('\u{1c}'..='\u{1f}').contains(c);
            prop_assert_eq!(words.chars().filter(filled).collect::<String>(), text.chars().filter(filled).collect::<String>());
            for (word, string) in view.words().iter().zip(view.strings(&text)) {
                prop_assert_eq!(word.n_chars as usize, string.chars().count());
                prop_assert!(!string.is_empty());
            }
            prop_assert!(view.words().windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert_eq!(view.n_chars(), text.chars().count());
            let sentences = view.sentences(&text);
            prop_assert_eq!(sentences.iter().map(|range| &text[range.clone()]).collect::<String>(), &text[..]);
            if language.is_none() {
                prop_assert_eq!(view.n_sentences(&text), sentences.len().max(1));
            }
        }
    }

    #[test]
    fn rewriting_only_removes(text in any_text()) {
        let view = WordView::new(&text, None);
        let lenient = C4Quality { min_sentences: 0, ..C4Quality::default() };
        if let Ok(left) = lenient.rewrite(&text, &view) {
            prop_assert!(left.len() <= text.len());
            let mut rest = text.chars();
            prop_assert!(left.chars().all(|c| c == '\n' || rest.any(|other| other == c)));
        }
    }

    #[test]
    fn a_verdict_depends_on_that_document_alone(texts in prop::collection::vec(any_text(), 1..6), at in 0usize..6) {
        let whole = batch_verdicts(&texts);
        let at = at.min(texts.len());
        let mut parts = batch_verdicts(&texts[at..]);
        parts.extend(batch_verdicts(&texts[..at]));
        parts.rotate_left(texts.len() - at);
        prop_assert_eq!(&whole, &parts);
        let on_threads: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = texts.iter().map(|text| scope.spawn(|| batch_verdicts(std::slice::from_ref(text)))).collect();
            started.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        prop_assert_eq!(&whole, &on_threads);
        for (row, text) in texts.iter().enumerate() {
            let verdicts = all_verdicts(text, None).map(Verdict::from);
            prop_assert_eq!(whole[row].0, verdicts);
        }
    }
}

/// Each document's verdicts by the four stages as the engine runs them, and the text that C4 leaves.
fn batch_verdicts(texts: &[String]) -> Vec<([Verdict; 4], String)> {
    let context = BuildContext { base: ".".into(), seed: 0 };
    let documents = || {
        let column: ArrayRef = Arc::new(LargeStringArray::from_iter_values(texts));
        let batch = RecordBatch::try_from_iter([("text", column)]).expect("one column");
        Documents::new(DocBatch::new(batch).expect("a text column is enough"))
    };
    let filter = |runtime| match runtime {
        Ok(Runtime::Filter(filter)) => filter.verdicts(&documents()).expect("there is a text"),
        _ => panic!("a filter"),
    };
    let repetition = filter(GopherRepetition::default().build(&context));
    let quality = filter(GopherQuality::default().build(&context));
    let fineweb = filter(FinewebQuality::default().build(&context));
    let Ok(Runtime::Map(c4)) = C4Quality::default().build(&context) else { panic!("a map") };
    let (left, c4) = c4.map(documents()).expect("there is a text");
    let left = left.strings("text").expect("still there");
    (0..texts.len())
        .map(|row| ([repetition[row], quality[row], c4[row], fineweb[row]], left.value(row).to_owned()))
        .collect()
}
