//! Our flat tree against scraper's: the same elements and texts in the same order.

use std::fs;
use std::path::Path;

use gristmill_stages::html::dom::{Dom, Limits, Tag};
use scraper::Html;
use scraper::node::Node;

/// Texts in document order, as scraper's tree has them, without those of comments and templates.
fn oracle(html: &str) -> String {
    let page = Html::parse_document(html);
    let mut text = String::new();
    for node in page.tree.root().descendants() {
        if let Node::Text(piece) = node.value() {
            text.push_str(piece);
        }
    }
    text
}

fn ours(html: &str) -> String {
    let dom = Dom::parse(html, &Limits::default()).expect("within limits");
    (0..dom.nodes.len() as u32)
        .filter(|&node| dom.nodes[node as usize].tag == Tag::Text)
        .map(|node| dom.text(node))
        .collect()
}

#[test]
fn golden_pages_have_the_texts_that_scraper_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/extract");
    let mut n = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "html") {
            let html = fs::read_to_string(&path).unwrap();
            assert_eq!(ours(&html), oracle(&html), "{}", path.display());
            n += 1;
        }
    }
    assert!(n >= 10);
}

#[test]
fn misnested_markup_is_mended_alike() {
    for html in [
        "<p>a<b>b<p>c</b>d",
        "<table>loose<tr><td>cell<table><tr>inner",
        "<ul><li>one<li>two</ul>three<noscript>four</noscript>",
        "<a href=x>one<a href=y>two</a>three",
        "<select><option>a<option>b</select><frameset>c",
        "<svg><text>x</svg>y<math><mi>z",
        "text<!-- c --><![CDATA[d]]><?pi?>e</p>f&amp;&notanentity;&#0;\u{0}g",
    ] {
        assert_eq!(ours(html), oracle(html), "{html}");
    }
}
