//! Kept nodes to text: plain lines, or light Markdown.
//!
//! Both come from one walk. Plain text puts every block (paragraph, heading, list item, table row) on a line of its own;
//! Markdown adds headings, list nesting, quotes, pipe tables, fenced code and blank lines between blocks. TeX that the
//! page carries for its formulas is written between dollar signs in both; Markdown reads it off MathML where there is
//! none. Ruby keeps its base text alone, so that sentences stay sentences.

use super::content::Kept;
use super::dom::{AttributeName, Dom, Tag};
use super::programs::{inline_code, preformatted};
use super::tables::{is_data_table, table};
use super::tex;
use super::writer::{Container, Gap, Writer};

pub use super::strip::strip;
pub use super::writer::{Format, fold, is_junk, is_space};

/// A list that is open: the next number of an ordered one.
struct List {
    node: u32,
    number: Option<u64>,
}

/// Writes the kept texts of a page.
pub fn render(dom: &Dom, kept: &Kept, format: Format) -> String {
    let mut writer = Writer::new(format);
    let markdown = format == Format::Markdown;
    let mut lists: Vec<List> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let total = dom.nodes.len() as u32;
    // Inside code that does not go between backquotes, and inside formulas without TeX, nothing is tried again.
    let (mut code_until, mut formula_until) = (0, 0);
    let mut id = 0;
    while id < total {
        while let Some(&last) = open.last() {
            if dom.nodes[last as usize].end > id {
                break;
            }
            open.pop();
            leave(dom, last, &mut writer, &mut lists);
        }
        let node = dom.nodes[id as usize];
        if node.tag == Tag::Text {
            if kept.text(id) {
                writer.text(dom.text(id));
            }
            id += 1;
            continue;
        }
        if !kept.below(dom, id) {
            if node.tag.is_block() || node.tag == Tag::Br {
                writer.request(if node.tag == Tag::Br { Gap::Line } else { block_gap(node.tag, format) });
            }
            id = node.end;
            continue;
        }
        match node.tag {
            Tag::Math | Tag::Script if id >= formula_until => {
                if let Some((tex, displayed)) = formula(dom, id, format) {
                    if displayed && markdown {
                        writer.request_block();
                    }
                    let dollars = if displayed { "$$" } else { "$" };
                    writer.piece(&format!("{dollars}{}{dollars}", fold(&tex)));
                    if displayed && markdown {
                        writer.request_block();
                    }
                    id = node.end;
                    continue;
                }
                formula_until = node.end;
            }
            Tag::Table if is_data_table(dom, kept, id) => {
                writer.request_block();
                table(dom, kept, id, &mut writer);
                writer.request_block();
                id = node.end;
                continue;
            }
            Tag::Pre | Tag::Listing | Tag::Xmp | Tag::Plaintext => {
                writer.request_block();
                preformatted(dom, kept, id, &mut writer);
                writer.request_block();
                id = node.end;
                continue;
            }
            Tag::Code | Tag::Kbd | Tag::Samp | Tag::Tt if markdown && id >= code_until => {
                if let Some(code) = inline_code(&fold(&kept_text(dom, kept, id, format))) {
                    writer.piece(&code);
                    id = node.end;
                    continue;
                }
                code_until = node.end;
            }
            Tag::Sup if markdown => {
                if let Some(mark) = superscript(dom, kept, id) {
                    writer.piece(&mark);
                    id = node.end;
                    continue;
                }
            }
            // A browser writes these marks.
            Tag::Q => writer.piece("“"),
            Tag::Br => writer.request(Gap::Line),
            Tag::Ul | Tag::Menu | Tag::Dir | Tag::Ol => {
                writer.request(if lists.is_empty() { block_gap(node.tag, format) } else { Gap::Line });
                let number = (node.tag == Tag::Ol).then(|| {
                    dom.attribute(id, AttributeName::Start)
                        .and_then(|start| start.trim().parse().ok())
                        .unwrap_or(1)
                });
                lists.push(List { node: id, number });
            }
            Tag::Li => {
                writer.request(Gap::Line);
                let marker = match lists.last_mut() {
                    Some(List { number: Some(number), .. }) => {
                        let marker = format!("{number}. ");
                        *number = number.saturating_add(1);
                        marker
                    }
                    _ => "- ".to_owned(),
                };
                writer.containers.push((id, Container::Item { marker, written: false }));
            }
            Tag::Blockquote => {
                writer.request_block();
                writer.containers.push((id, Container::Quote { written: false }));
            }
            Tag::Dd => {
                writer.request(Gap::Line);
                if markdown {
                    writer.containers.push((id, Container::Item { marker: ": ".to_owned(), written: false }));
                }
            }
            tag if tag.heading_level() > 0 => {
                writer.request_block();
                if markdown && !holds_blocks(dom, id) {
                    let heading = fold(&kept_text(dom, kept, id, format));
                    writer.piece(&format!("{} {heading}", "#".repeat(tag.heading_level())));
                    writer.request_block();
                    id = node.end;
                    continue;
                }
            }
            tag if tag.is_block() => writer.request(block_gap(tag, format)),
            _ => {}
        }
        open.push(id);
        id += 1;
    }
    writer.out
}

/// Whether block elements stand below an element: a heading that was never closed swallows the page.
fn holds_blocks(dom: &Dom, node: u32) -> bool {
    (node + 1..dom.nodes[node as usize].end).any(|inner| {
        matches!(
            dom.nodes[inner as usize].tag,
            Tag::P
                | Tag::Table
                | Tag::Ul
                | Tag::Ol
                | Tag::Pre
                | Tag::Blockquote
                | Tag::H1
                | Tag::H2
                | Tag::H3
                | Tag::H4
                | Tag::H5
                | Tag::H6
        )
    })
}

/// A formula's TeX and whether it is displayed: what the page carries, and in Markdown what its MathML says.
fn formula(dom: &Dom, node: u32, format: Format) -> Option<(String, bool)> {
    let read = || if format == Format::Markdown { tex::read(dom, node) } else { None };
    tex::carried(dom, node).or_else(read)
}

/// A number set high: the mark of a footnote, or an exponent.
fn superscript(dom: &Dom, kept: &Kept, node: u32) -> Option<String> {
    const LONGEST: u32 = 16;
    let end = dom.nodes[node as usize].end;
    if end - node > LONGEST {
        return None;
    }
    let text: String = (node..end).filter(|&inner| kept.text(inner)).map(|inner| dom.text(inner)).collect();
    let text = fold(&text);
    let number = text.trim_start_matches(['-', '+', '−']);
    if number.is_empty() || number.len() > 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let link = (node..end).any(|inner| dom.nodes[inner as usize].tag == Tag::A)
        || dom.nodes[dom.nodes[node as usize].parent as usize].tag == Tag::A;
    Some(if link { format!("[{text}]") } else { format!("^{text}") })
}

/// The gap around a block: only paragraphs and what holds them stand apart in Markdown.
fn block_gap(tag: Tag, format: Format) -> Gap {
    match tag {
        Tag::Li | Tag::Dt | Tag::Dd | Tag::Tr | Tag::Td | Tag::Th | Tag::Option => Gap::Line,
        _ if format == Format::Markdown => Gap::Blank,
        _ => Gap::Line,
    }
}

fn leave(dom: &Dom, node: u32, writer: &mut Writer, lists: &mut Vec<List>) {
    let tag = dom.nodes[node as usize].tag;
    if tag == Tag::Q {
        if writer.gap == Gap::Space {
            writer.gap = Gap::None;
        }
        writer.piece("”");
    }
    if writer.containers.last().is_some_and(|&(owner, _)| owner == node) {
        writer.containers.pop();
    }
    if lists.last().is_some_and(|list| list.node == node) {
        lists.pop();
        writer.request(if lists.is_empty() { block_gap(tag, writer.format) } else { Gap::Line });
    } else if tag.is_block() {
        writer.request(block_gap(tag, writer.format));
    }
}

/// The kept text below a node; blocks and breaks become spaces.
pub(super) fn kept_text(dom: &Dom, kept: &Kept, node: u32, format: Format) -> String {
    let mut out = String::new();
    let end = dom.nodes[node as usize].end;
    let mut formula_until = 0;
    let mut id = node;
    while id < end {
        let tag = dom.nodes[id as usize].tag;
        if tag == Tag::Text {
            if kept.text(id) {
                out.push_str(dom.text(id));
            }
        } else if matches!(tag, Tag::Math | Tag::Script) && id >= formula_until && kept.below(dom, id) {
            if let Some((tex, _)) = formula(dom, id, format) {
                out.push_str(&format!("${}$", fold(&tex)));
                id = dom.nodes[id as usize].end;
                continue;
            }
            formula_until = dom.nodes[id as usize].end;
        } else if tag.is_block() || tag == Tag::Br {
            out.push(' ');
        }
        id += 1;
    }
    out
}

/// The page's title: the heading where `<title>` contains it, else `og:title`, else `<title>`.
pub fn title(dom: &Dom) -> Option<String> {
    let (mut head, mut heading, mut shared) = (None, None, None);
    for id in 0..dom.nodes.len() as u32 {
        match dom.nodes[id as usize].tag {
            Tag::Title if head.is_none() => head = Some(fold(&dom.inner_text(id))),
            Tag::H1 if heading.is_none() => {
                heading = Some(fold(&dom.inner_text(id))).filter(|text| !text.is_empty());
            }
            Tag::Meta if shared.is_none() => {
                let key = dom
                    .attribute(id, AttributeName::Property)
                    .or_else(|| dom.attribute(id, AttributeName::Name));
                if key == Some("og:title") {
                    shared = dom.attribute(id, AttributeName::Content).map(fold);
                }
            }
            _ => {}
        }
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (head, shared) = (given(head), given(shared));
    match (&head, &heading) {
        (Some(head), Some(heading)) if head.contains(heading.as_str()) => Some(heading.clone()),
        _ => shared.or(head).or(heading),
    }
}
