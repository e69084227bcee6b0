//! The extractor over whole pages: golden outputs, hostile pages, and properties that hold for any input.
//! `UPDATE=1 cargo test -p gristmill-stages --test extract` rewrites the golden files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gristmill_stages::html::dom::{Limits, TooMuch};
use gristmill_stages::html::{Extracted, Extraction, Format, Options, extract};
use proptest::prelude::*;

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/extract");
    let mut pages: Vec<PathBuf> = fs::read_dir(folder)
        .expect("tests/extract is in the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .collect();
    pages.sort();
    pages
}

fn in_format(html: &str, format: Format) -> Extracted {
    extract(html, None, &Options { format, ..Options::default() })
}

#[test]
fn golden_pages() {
    let update = std::env::var_os("UPDATE").is_some();
    let pages = pages();
    assert!(pages.len() >= 10);
    for page in pages {
        let html = fs::read_to_string(&page).expect("readable");
        for (format, extension) in [(Format::Text, "txt"), (Format::Markdown, "md")] {
            let text = in_format(&html, format).text + "\n";
            let golden = page.with_extension(extension);
            if update {
                fs::write(&golden, &text).expect("writable");
            }
            let expected = fs::read_to_string(&golden).expect("UPDATE=1 writes it");
            assert_eq!(text, expected, "{}", golden.display());
        }
    }
}

#[test]
fn a_page_cut_anywhere_gives_no_panic_and_both_formats() {
    for page in pages() {
        let html = fs::read_to_string(&page).expect("readable");
        for (cut, _) in html.char_indices().step_by(7) {
            in_format(&html[..cut], Format::Text);
            in_format(&html[cut..], Format::Markdown);
        }
    }
}

/// Pages made to hurt, and what becomes of them: parsed, or given up for a named reason.
fn hostile() -> Vec<(&'static str, String, Option<TooMuch>)> {
    let attributes: String = (0..30_000).map(|n| format!(" a{n}=x")).collect::<Vec<_>>().concat();
    let fonts: String =
        (0..8_000).map(|n| format!("<p><font color={n}>word{n} ")).collect::<Vec<_>>().concat();
    vec![
        (
            "20,000 nested div",
            format!("{}deep text{}", "<div>".repeat(20_000), "</div>".repeat(20_000)),
            None,
        ),
        ("5,000 nested tables", format!("{}inner text", "<table><tr><td>".repeat(5_000)), None),
        ("8,000 unclosed font", fonts, None),
        ("8,000 equal unclosed font", format!("{}text", "<font size=2>".repeat(8_000)), None),
        ("30,000 attributes", format!("<p{attributes}>some text"), Some(TooMuch::Attributes)),
        ("100,000 option", format!("<p>some text<select>{}", "<option>x".repeat(100_000)), None),
        ("200,000 p", "<p>x".repeat(200_000), None),
        ("a 5 MB attribute", format!("<p data-x=\"{}\">some text", "x".repeat(5_000_000)), None),
        (
            "a 5 MB class",
            format!("<p class=\"{}\">some text", "x ".repeat(2_500_000)),
            Some(TooMuch::Attributes),
        ),
        (
            "50 MB of script",
            format!("<script>{}</script><p>some text", "var x = 1;\n".repeat(4_600_000)),
            Some(TooMuch::Bytes),
        ),
        ("20,000 nested b", format!("{}text", "<b>".repeat(20_000)), None),
        ("20,000 nested li", format!("{}text", "<ul><li>".repeat(20_000)), None),
        ("20,000 nested blockquote", format!("{}text", "<blockquote>a ".repeat(20_000)), None),
        ("50,000 formatting ends", format!("{}text", "<a href=x><p>a</a>".repeat(50_000)), None),
        ("100,000 open comments", "<!-- a".repeat(100_000), None),
        ("100,000 less-than", "<".repeat(100_000), None),
        ("a million entities", "&lt;".repeat(1_000_000), None),
        ("stray table text", format!("<table>{}", "x<tr>".repeat(50_000)), None),
    ]
}

#[test]
fn hostile_pages_finish_and_say_what_was_given_up() {
    for (name, html, expected) in hostile() {
        let start = Instant::now();
        let extracted = in_format(&html, Format::Markdown);
        eprintln!("{name}: {} ms, {:?}", start.elapsed().as_millis(), extracted.extraction);
        let reason = match extracted.extraction {
            Extraction::Content => None,
            Extraction::TextOnly(reason) => Some(reason),
        };
        assert_eq!(reason, expected, "{name}");
        // Which of the texts is content is the model's affair; that there is one is not.
        assert!(!html.contains("text") || !extracted.text.is_empty(), "{name} lost its text");
    }
}

#[test]
fn a_page_that_is_given_up_keeps_its_text() {
    let options = Options { limits: Limits { nodes: 8, ..Limits::default() }, ..Options::default() };
    let html =
        "<style>p{}</style><script>if (a<b) {}</script><p>one<!-- no --><p>two < three<p>four<p>five<br>six";
    let extracted = extract(html, None, &options);
    assert_eq!(extracted.extraction, Extraction::TextOnly(TooMuch::Nodes));
    assert_eq!(extracted.text, "one\ntwo < three\nfour\nfive\nsix");
}

fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z ,.]{0,40}",
        "\\PC{0,8}",
        prop::sample::select(vec![
            "<p>",
            "</p>",
            "<div class=nav>",
            "</div>",
            "<ul>",
            "<ol start=9>",
            "<li>",
            "</ul>",
            "<table>",
            "<tr>",
            "<td>",
            "</table>",
            "<pre>",
            "</pre>",
            "<code>",
            "<h1>",
            "</h2>",
            "<blockquote>",
            "<a href=x>",
            "</a>",
            "<b>",
            "</b>",
            "<math alttext=x>",
            "<svg>",
            "<title>",
            "<template>",
            "<select>",
            "<option>",
            "<script>",
            "</script>",
            "<noscript>",
            "<!--",
            "-->",
            "&amp;",
            "&#0;",
            "<frameset>",
            "<body class=x>",
            "<br>",
            "<ruby>",
            "<rt>",
            "\0",
            "<dl>",
            "<dd>",
            "<article>",
            "<style>",
            "</style>",
            "<![CDATA[",
            "<form>",
            "<textarea>",
            "<annotation>",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_markup_gives_clean_text_twice_the_same(html in markup()) {
        for format in [Format::Text, Format::Markdown] {
            let extracted = in_format(&html, format);
            prop_assert_eq!(&extracted, &in_format(&html, format));
            prop_assert!(!extracted.text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            // Only code may begin with white space.
            prop_assert_eq!(extracted.text.trim_end(), extracted.text.as_str());
            prop_assert!(!extracted.text.starts_with('\n'));
        }
    }

    #[test]
    fn small_limits_never_break_it(html in markup(), nodes in 1_usize..20, depth in 1_u32..4) {
        let limits = Limits { nodes, depth, attributes: 1, ..Limits::default() };
        extract(&html, Some("https://a.example/b"), &Options { limits, ..Options::default() });
    }
}
