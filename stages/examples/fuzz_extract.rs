//! The fuzz target of extraction: pages that nobody wrote, for as long as you like.
//!
//! `cargo run --release -p gristmill-stages --example fuzz_extract -- SECONDS [SEED [NUMBER]]` mutates the golden pages,
//! and asks of every page that comes out: no panic; the same text whatever ran before; no text that outgrows its page;
//! the tree that html5ever's own tokenizer gives. Exits with 101 at the first page that fails, and says its seed and
//! number; with a number, it runs that page alone and prints it. It needs no nightly compiler, and no coverage: the
//! mutations know what markup looks like.

use std::time::{Duration, Instant};

use gristmill_stages::charset;
use gristmill_stages::html::dom::{Dom, Limits, NONE, Tag};
use gristmill_stages::html::{Format, Options, extract};

#[path = "../tests/hostile/mod.rs"]
mod hostile;

/// What is put in: markup that changes how the rest is read, and bytes that decide its charset.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"<", b">", b"</", b"/>", b"<!--", b"-->", b"--!>", b"<![CDATA[", b"]]>", b"<?", b"<!doctype html>",
    b"<!DOCTYPE a PUBLIC 'b", b"&", b"&#", b"&#x110000;", b"&notin;", b"&amp", b"=", b"\"", b"'", b"`",
    b"```", b"|", b"$", b"\\", b"\r\n", b"\r", b"\0", b"\x0c", b"\t", b"\xc2\xa0", b"\xe2\x80\x8b",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xe3\x81", b"\x1b$B", b"\x1b(B", b"<meta charset=gbk>",
    b"<meta charset=utf-16>", b"<a href=x>", b"</a>", b"<b>", b"</b>", b"<i class=nav>", b"</i>", b"<p>",
    b"</p>", b"<div>", b"</div>", b"<table>", b"</table>", b"<tr>", b"<td colspan=9>", b"<td rowspan=9>",
    b"</td>", b"<caption>", b"<colgroup>", b"<ul>", b"<ol start=-3>", b"<li>", b"</ul>", b"<dl>", b"<dt>",
    b"<dd>", b"<pre>", b"</pre>", b"<code>", b"</code>", b"<h1>", b"</h1>", b"<blockquote>", b"<br>", b"<q>",
    b"<sup>1</sup>", b"<ruby>", b"<rt>", b"<svg>", b"</svg>", b"<math>", b"</math>", b"<mi>", b"<mfrac>",
    b"<msubsup>", b"<munderover>", b"<mtable>", b"<annotation encoding=tex>",
    b"<annotation-xml encoding=text/html>", b"<foreignObject>", b"<script>", b"</script>",
    b"<script type=math/tex>", b"<script type=application/ld+json>", b"<style>", b"</style>", b"<title>",
    b"</title>", b"<textarea>", b"</textarea>", b"<plaintext>", b"<xmp>", b"<noscript>", b"</noscript>",
    b"<template>", b"</template>", b"<template shadowrootmode=open>", b"<select>", b"<option>", b"</select>",
    b"<form>", b"</form>", b"<button>", b"<iframe>", b"</iframe>", b"<frameset>", b"<body class=c>",
    b"</body>", b"<html id=h>", b"</html>", b"<head>", b"<nobr>", b"<font size=1>", b"<input type=hidden>",
    b"<details>", b"<article>", b"<main>", b"<nav>", b"<footer>", b" hidden", b" class=",
    b" style=display:none", b" aria-hidden=true", b" itemprop=articleBody", b" role=navigation",
];

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Below a power of two that is itself drawn: mostly small, at times large.
    fn below_power(&mut self, bound: usize) -> usize {
        let power = self.below(bound);
        self.below(1 << power)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Page number `number` of a seed.
fn page(seed: u64, number: u64, pages: &[Vec<u8>]) -> Vec<u8> {
    let mut random = Random(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    let mut page = random.of(pages).clone();
    for _ in 0..=random.below(24) {
        let at = random.below(page.len() + 1);
        let end = (at + random.below_power(12)).min(page.len());
        match random.below(8) {
            0 => drop(page.drain(at..end)),
            1 => page.truncate(at),
            2 => page.insert(at, random.next() as u8),
            3 => {
                let times = 1 + random.below_power(9);
                let copies = page[at..end.min(at + 200)].repeat(times);
                page.splice(at..at, copies);
            }
            4 => {
                let other = random.of(pages);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(2_000)).min(other.len());
                page.splice(at..end, other[from..to].iter().copied());
            }
            5 => {
                let times = 1 + random.below_power(11);
                let copies = random.of(PIECES).repeat(times);
                page.splice(at..at, copies);
            }
            _ => {
                let piece = *random.of(PIECES);
                page.splice(at..at, piece.iter().copied());
            }
        }
        page.truncate(200_000);
    }
    page
}

/// Panics where a page is not served as it should be.
fn check(bytes: &[u8]) {
    let (html, _) = charset::decode(bytes, None);
    for format in [Format::Text, Format::Markdown] {
        let options = Options { format, ..Options::default() };
        let extracted = extract(&html, &options);
        assert_eq!(extracted, extract(&html, &options), "not twice the same");
        assert!(extracted.text.len() <= 20 * html.len() + 64, "{} bytes of text", extracted.text.len());
        assert!(
            !extracted.text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'),
            "a control character"
        );
    }
    let limits = Limits {
        bytes: usize::MAX,
        nodes: usize::MAX,
        bytes_per_node: 1,
        depth: u32::MAX,
        attributes: usize::MAX,
        steps_per_byte: 10,
    };
    if let (Ok(ours), Ok(theirs)) = (Dom::parse(&html, &limits), Dom::parse_plain(&html, &limits)) {
        let (ours, theirs) = (outline(&ours), outline(&theirs));
        assert_eq!(ours.len(), theirs.len(), "another number of nodes");
        for (our, their) in ours.iter().zip(&theirs) {
            assert_eq!(our, their, "another tree");
        }
    }
}

/// Depth, tag, and text or attributes of every node; neighbouring texts are one.
fn outline(dom: &Dom) -> Vec<(u32, Tag, String)> {
    let mut depths: Vec<u32> = Vec::with_capacity(dom.nodes.len());
    let mut out: Vec<(u32, Tag, String)> = Vec::new();
    for (id, node) in (0..).zip(&dom.nodes) {
        depths.push(if node.parent == NONE { 0 } else { depths[node.parent as usize] + 1 });
        let depth = depths[id as usize];
        match out.last_mut() {
            Some((before, Tag::Text, text)) if node.tag == Tag::Text && *before == depth => {
                text.push_str(dom.text(id));
            }
            _ if node.tag == Tag::Text => out.push((depth, Tag::Text, dom.text(id).to_owned())),
            _ => {
                // Misnested elements that are opened again share what the first of their kind held, in its order.
                let mut attributes: Vec<String> =
                    dom.attributes(id).map(|(name, value)| format!(" {name:?}={value:?}")).collect();
                attributes.sort();
                out.push((depth, node.tag, attributes.concat()));
            }
        }
    }
    out
}

fn main() {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|word| word.parse().expect("SECONDS [SEED [NUMBER]]")).collect();
    let (seconds, seed) = (numbers.first().copied().unwrap_or(60), numbers.get(1).copied().unwrap_or(1));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/extract");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden pages")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .collect();
    files.sort();
    let mut pages: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    // Of pages made to hurt, the beginnings, so that the others get their turn.
    pages.extend(
        hostile::pages()
            .into_iter()
            .map(|(_, html)| html.into_bytes()[..].iter().copied().take(3_000).collect()),
    );
    if let Some(&number) = numbers.get(2) {
        let bytes = page(seed, number, &pages);
        println!("{}", String::from_utf8_lossy(&bytes));
        check(&bytes);
        return;
    }
    let start = Instant::now();
    let (mut number, mut n_bytes) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let bytes = page(seed, number, &pages);
        if let Err(cause) = std::panic::catch_unwind(|| check(&bytes)) {
            eprintln!("page {number} of seed {seed} fails; again: fuzz_extract 0 {seed} {number}");
            std::panic::resume_unwind(cause);
        }
        number += 1;
        n_bytes += bytes.len();
    }
    println!("{number} pages of seed {seed}, {n_bytes} bytes, all well");
}
