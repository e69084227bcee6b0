//! The extractor over whole pages: golden outputs, hostile pages, and properties that hold for any input.
//! `UPDATE=1 cargo test -p gristmill-stages --test extract` rewrites the golden files.

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

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
    extract(html, &Options { format, ..Options::default() })
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
        for (cut, _) in html.char_indices() {
            in_format(&html[..cut], Format::Text);
            in_format(&html[cut..], Format::Markdown);
        }
    }
}

/// The hostile pages that are given up; all others are parsed. `bench_extract --hostile` times them, and `memory.rs`
/// counts what they take.
const GIVEN_UP: &[(&str, TooMuch)] = &[
    ("30,000 attributes", TooMuch::Attributes),
    ("100,000 option", TooMuch::Nodes),
    ("200,000 p", TooMuch::Nodes),
    ("200,000 p of one letter", TooMuch::Nodes),
    ("50 MB of script", TooMuch::Bytes),
    ("30,000 equal attributes", TooMuch::Attributes),
    ("200,000 li in 100 lists", TooMuch::Steps),
    ("200,000 lines in 100 quotes", TooMuch::Nodes),
    ("200 nested code with much in them", TooMuch::Nodes),
    ("200 nested headings", TooMuch::Nodes),
    ("120 nested math with much in them", TooMuch::Nodes),
    ("50,000 formatting ends", TooMuch::Nodes),
    ("20,000 misnested b", TooMuch::Nodes),
    ("20,000 different misnested", TooMuch::Nodes),
    ("200 open formats, 20,000 p", TooMuch::Steps),
    ("20,000 nobr", TooMuch::Nodes),
    ("200,000 end tags of p", TooMuch::Nodes),
    ("100,000 foreign ends", TooMuch::Steps),
    ("20,000 buttons", TooMuch::Nodes),
    ("stray formats in a table", TooMuch::Nodes),
    ("100,000 columns", TooMuch::Nodes),
    ("wide and narrow rows", TooMuch::Nodes),
    ("rows in 500 tables", TooMuch::Nodes),
    ("a million br", TooMuch::Nodes),
    ("a million open tags", TooMuch::Attributes),
    ("100,000 open quotes", TooMuch::Attributes),
    ("a million script ends", TooMuch::Attributes),
];

#[test]
fn hostile_pages_finish_and_say_what_was_given_up() {
    for (name, html) in hostile::pages() {
        let extracted = in_format(&html, Format::Markdown);
        let reason = match extracted.extraction {
            Extraction::Content => None,
            Extraction::TextOnly(reason) => Some(reason),
        };
        let expected = GIVEN_UP.iter().find(|(given_up, _)| *given_up == name).map(|(_, reason)| *reason);
        assert_eq!(reason, expected, "{name}");
        // Which of the texts is content is the model's affair; that there is one is not.
        assert!(!html.contains("text") || !extracted.text.is_empty(), "{name} lost its text");
        assert!(extracted.text.len() <= 20 * html.len(), "{name} grew");
    }
}

#[test]
fn what_ran_before_and_beside_changes_nothing() {
    let pages: Vec<String> = pages()
        .iter()
        .map(|page| fs::read_to_string(page).expect("readable"))
        .chain(hostile::pages().into_iter().map(|(_, html)| html).filter(|html| html.len() < 400_000))
        .collect();
    let alone: Vec<Extracted> = pages.iter().map(|html| in_format(html, Format::Markdown)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pages, alone) = (&pages, &alone);
            scope.spawn(move || {
                // Every thread takes the pages in another order.
                for at in 0..pages.len() {
                    let page = (at * (2 * thread + 1) + 7 * thread) % pages.len();
                    let page = if thread % 2 == 0 { page } else { pages.len() - 1 - page };
                    assert_eq!(in_format(&pages[page], Format::Markdown), alone[page]);
                }
            });
        }
    });
}

#[test]
fn a_page_that_is_given_up_keeps_its_text() {
    let options = Options { limits: Limits { nodes: 8, ..Limits::default() }, ..Options::default() };
    let html = "<style>p{}</style><script>if (a<b) {}</script><p>one<!-- no --><p>two < three<p>four &amp; &eacute;<p>five<br>six";
    let extracted = extract(html, &options);
    assert_eq!(extracted.extraction, Extraction::TextOnly(TooMuch::Nodes));
    assert_eq!(extracted.text, "one\ntwo < three\nfour & é\nfive\nsix");
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
        extract(&html, &Options { limits, ..Options::default() });
    }
}
