//! Kept nodes to text: plain lines, or light Markdown.
//!
//! Both come from one walk. Plain text puts every block (paragraph, heading, list item, table row) on a line of its own;
//! Markdown adds headings, list nesting, quotes, pipe tables, fenced code and blank lines between blocks. TeX that the
//! page carries for its formulas is written between dollar signs in both. Ruby keeps its base text alone, so that
//! sentences stay sentences.

use super::content::Kept;
use super::dom::{AttributeName, Dom, Tag};

/// How the text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One block a line.
    #[default]
    Text,
    /// Light Markdown.
    Markdown,
}

/// What separates the next text from what is already written; ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
    Blank,
}

/// What every line inside begins with.
enum Container {
    Quote { written: bool },
    Item { marker: String, written: bool },
}

/// A list that is open: the next number of an ordered one.
struct List {
    node: u32,
    number: Option<u64>,
}

struct Writer {
    out: String,
    gap: Gap,
    format: Format,
    containers: Vec<(u32, Container)>,
}

impl Writer {
    fn request(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn request_block(&mut self) {
        self.request(if self.format == Format::Markdown { Gap::Blank } else { Gap::Line });
    }

    /// Writes the gap that was asked for and, on a new line, what its containers begin it with.
    fn open(&mut self) {
        let first = self.out.is_empty();
        match self.gap {
            Gap::None if !first => return,
            Gap::Space if !first => {
                self.out.push(' ');
                self.gap = Gap::None;
                return;
            }
            _ => {}
        }
        if !first {
            self.out.push('\n');
            if self.gap == Gap::Blank {
                self.prefix(true);
                self.out.push('\n');
            }
        }
        self.prefix(false);
        self.gap = Gap::None;
    }

    fn prefix(&mut self, blank: bool) {
        let markdown = self.format == Format::Markdown;
        let start = self.out.len();
        for (_, container) in &mut self.containers {
            match container {
                // A blank line before a quote is not part of it.
                Container::Quote { written: false } if blank => break,
                Container::Quote { written } => {
                    *written = true;
                    if markdown {
                        self.out.push_str("> ");
                    }
                }
                Container::Item { .. } if blank => {}
                Container::Item { marker, written: written @ false } => {
                    *written = true;
                    self.out.push_str(marker);
                }
                Container::Item { marker, .. } if markdown => {
                    self.out.extend(std::iter::repeat_n(' ', marker.len()));
                }
                Container::Item { .. } => {}
            }
        }
        if blank {
            let end = self.out[start..].trim_end().len() + start;
            self.out.truncate(end);
        }
    }

    /// Writes running text: white space folds, junk goes.
    fn text(&mut self, text: &str) {
        let mut run = 0;
        for (at, c) in text.char_indices() {
            let space = is_space(c);
            if !space && !is_junk(c) {
                continue;
            }
            self.piece(&text[run..at]);
            run = at + c.len_utf8();
            if space {
                self.request(Gap::Space);
            }
        }
        self.piece(&text[run..]);
    }

    fn piece(&mut self, piece: &str) {
        if !piece.is_empty() {
            self.open();
            self.out.push_str(piece);
        }
    }

    /// Writes lines as they are, indented by their containers.
    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.request(Gap::Line);
            self.open();
            self.out.push_str(line);
        }
    }
}

/// White space that folds, the no-break kinds included.
pub fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// Characters that no reader sees: controls, zero-width spaces, soft hyphens, byte-order marks.
/// Joiners and direction marks stay: scripts need them.
pub fn is_junk(c: char) -> bool {
    match c {
        ' '..='~' | '\t' | '\n' | '\r' | '\x0c' => false,
        _ => {
            c.is_control()
                || matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        }
    }
}

/// Folds white space and drops junk, for titles and cells.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if is_space(c) {
            space = true;
        } else if !is_junk(c) {
            if space && !out.is_empty() {
                out.push(' ');
            }
            space = false;
            out.push(c);
        }
    }
    out
}

/// Writes the kept texts of a page.
pub fn render(dom: &Dom, kept: &Kept, format: Format) -> String {
    let mut writer = Writer { out: String::new(), gap: Gap::None, format, containers: Vec::new() };
    let markdown = format == Format::Markdown;
    let mut lists: Vec<List> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let total = dom.nodes.len() as u32;
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
            Tag::Math | Tag::Script => {
                if let Some(tex) = tex_of(dom, id) {
                    let dollars = if tex.1 { "$$" } else { "$" };
                    writer.piece(&format!("{dollars}{}{dollars}", fold(&tex.0)));
                    id = node.end;
                    continue;
                }
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
            Tag::Code | Tag::Kbd | Tag::Samp | Tag::Tt if markdown => {
                let code = fold(&kept_text(dom, kept, id));
                if !code.is_empty() && !code.contains('`') {
                    writer.piece(&format!("`{code}`"));
                    id = node.end;
                    continue;
                }
            }
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
                    let heading = fold(&kept_text(dom, kept, id));
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
            Tag::P | Tag::Table | Tag::Ul | Tag::Ol | Tag::Pre | Tag::Blockquote
        )
    })
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
fn kept_text(dom: &Dom, kept: &Kept, node: u32) -> String {
    let mut out = String::new();
    let end = dom.nodes[node as usize].end;
    let mut id = node;
    while id < end {
        let tag = dom.nodes[id as usize].tag;
        if tag == Tag::Text {
            if kept.text(id) {
                out.push_str(dom.text(id));
            }
        } else if matches!(tag, Tag::Math | Tag::Script) && kept.below(dom, id) {
            if let Some((tex, _)) = tex_of(dom, id) {
                out.push_str(&format!("${}$", fold(&tex)));
                id = dom.nodes[id as usize].end;
                continue;
            }
        } else if tag.is_block() || tag == Tag::Br {
            out.push(' ');
        }
        id += 1;
    }
    out
}

/// The TeX of a formula and whether it is displayed: an annotation, the alternative text, or MathJax's script.
pub fn tex_of(dom: &Dom, node: u32) -> Option<(String, bool)> {
    let end = dom.nodes[node as usize].end;
    if dom.nodes[node as usize].tag == Tag::Script {
        let kind = dom.attribute(node, AttributeName::Type)?;
        let tex = dom.inner_text(node);
        return (kind.starts_with("math/tex") && !tex.trim().is_empty())
            .then(|| (tex, kind.contains("display")));
    }
    let display = dom.attribute(node, AttributeName::Display) == Some("block");
    let annotation = (node + 1..end).find(|&inner| {
        dom.nodes[inner as usize].tag == Tag::Annotation
            && dom
                .attribute(inner, AttributeName::Encoding)
                .is_some_and(|encoding| encoding.to_ascii_lowercase().contains("tex"))
    });
    let tex = match annotation {
        Some(annotation) => dom.inner_text(annotation),
        None => dom.attribute(node, AttributeName::Alttext)?.to_owned(),
    };
    let tex = tex.trim();
    // MediaWiki wraps what it wrote itself.
    let tex =
        tex.strip_prefix("{\\displaystyle").and_then(|inner| inner.strip_suffix('}')).map_or(tex, str::trim);
    (!tex.is_empty()).then(|| (tex.to_owned(), display))
}

/// Whether a table holds data rather than layout: two columns at least, no tables inside, and no long cells.
fn is_data_table(dom: &Dom, kept: &Kept, table: u32) -> bool {
    let end = dom.nodes[table as usize].end;
    let (mut rows, mut cells, mut chars, mut headings) = (0_usize, 0_usize, 0_usize, 0_usize);
    for id in table + 1..end {
        match dom.nodes[id as usize].tag {
            Tag::Table | Tag::Pre | Tag::Blockquote | Tag::Form => return false,
            Tag::H1 | Tag::H2 | Tag::H3 => headings += 1,
            Tag::Tr => rows += 1,
            Tag::Td | Tag::Th => cells += 1,
            Tag::Text if kept.text(id) => chars += dom.text(id).len(),
            _ => {}
        }
    }
    rows >= 2 && cells >= 2 * rows - rows / 4 && headings <= 1 && chars <= 200 * cells
}

fn table(dom: &Dom, kept: &Kept, table: u32, writer: &mut Writer) {
    let end = dom.nodes[table as usize].end;
    let markdown = writer.format == Format::Markdown;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut id = table + 1;
    while id < end {
        let node = dom.nodes[id as usize];
        match node.tag {
            Tag::Caption => {
                writer.text(&kept_text(dom, kept, id));
                writer.request_block();
                id = node.end;
                continue;
            }
            Tag::Tr => rows.push(Vec::new()),
            Tag::Td | Tag::Th => {
                let cell = fold(&kept_text(dom, kept, id));
                let cell = if markdown { cell.replace('|', "\\|") } else { cell };
                match rows.last_mut() {
                    Some(row) => row.push(cell),
                    None => rows.push(vec![cell]),
                }
                id = node.end;
                continue;
            }
            _ => {}
        }
        id += 1;
    }
    rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    for (at, row) in rows.iter_mut().enumerate() {
        writer.request(Gap::Line);
        writer.open();
        if markdown {
            // A ragged table pads its short rows, but never by more than it holds.
            if row.len() < columns && columns <= 64 {
                row.resize(columns, String::new());
            }
            writer.out.push_str(&format!("| {} |", row.join(" | ")));
            if at == 0 {
                writer.request(Gap::Line);
                writer.open();
                writer.out.push_str(&format!("|{}", " --- |".repeat(row.len())));
            }
        } else {
            while row.last().is_some_and(String::is_empty) {
                row.pop();
            }
            writer.out.push_str(&row.join(" | "));
        }
    }
}

fn preformatted(dom: &Dom, kept: &Kept, pre: u32, writer: &mut Writer) {
    let end = dom.nodes[pre as usize].end;
    let mut raw = String::new();
    let mut language = None;
    for id in pre..end {
        let node = dom.nodes[id as usize];
        match node.tag {
            Tag::Text if kept.text(id) => {
                raw.extend(dom.text(id).chars().filter(|&c| !is_junk(c) && c != '\r' && c != '\x0c'));
            }
            Tag::Br => raw.push('\n'),
            Tag::Pre | Tag::Code => {
                language = language.or_else(|| language_of(dom.attribute(id, AttributeName::Class)?));
            }
            tag if tag.is_block() && !raw.is_empty() && !raw.ends_with('\n') => raw.push('\n'),
            _ => {}
        }
    }
    let code: Vec<&str> = raw.lines().map(str::trim_end).collect();
    let first = code.iter().position(|line| !line.is_empty());
    let last = code.iter().rposition(|line| !line.is_empty());
    let (Some(first), Some(last)) = (first, last) else { return };
    let code = code[first..=last].join("\n");
    if writer.format == Format::Markdown {
        let mut fence = "```".to_owned();
        while code.contains(&fence) && fence.len() < 12 {
            fence.push('`');
        }
        writer.lines(&format!("{fence}{}\n{code}\n{fence}", language.unwrap_or_default()));
    } else {
        writer.lines(&code);
    }
}

/// `language-rust` and the like in a class.
fn language_of(class: &str) -> Option<&str> {
    class
        .split_ascii_whitespace()
        .find_map(|name| name.strip_prefix("language-").or_else(|| name.strip_prefix("lang-")))
        .filter(|name| {
            name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+#-".contains(&b))
        })
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

/// The text of markup that was not parsed: tags, scripts and styles cut out, a line where a tag stood.
pub fn strip(html: &str) -> String {
    let bytes = html.as_bytes();
    let mut writer =
        Writer { out: String::new(), gap: Gap::None, format: Format::Text, containers: Vec::new() };
    let mut at = 0;
    while at < bytes.len() {
        let Some(open) = memchr::memchr(b'<', &bytes[at..]).map(|found| at + found) else {
            writer.text(&html[at..]);
            break;
        };
        if open > at {
            writer.text(&html[at..open]);
        }
        let rest = &bytes[open..];
        let raw = |name: &[u8]| rest.len() > name.len() && rest[1..=name.len()].eq_ignore_ascii_case(name);
        let close = if rest.starts_with(b"<!--") {
            memchr::memmem::find(rest, b"-->").map(|found| found + 3)
        } else if raw(b"script") || raw(b"style") {
            let end: &[u8] = if raw(b"script") { b"</script" } else { b"</style" };
            find_ignoring_case(rest, end).map(|found| found + end.len())
        } else if rest.get(1).is_some_and(|&next| next.is_ascii_alphabetic() || b"/!?".contains(&next)) {
            memchr::memchr(b'>', rest).map(|found| found + 1)
        } else {
            writer.piece("<");
            at = open + 1;
            continue;
        };
        writer.request(Gap::Line);
        at = close.map_or(bytes.len(), |close| open + close);
        if at < bytes.len() && bytes[at - 1] != b'>' {
            at = memchr::memchr(b'>', &bytes[at..]).map_or(bytes.len(), |found| at + found + 1);
        }
    }
    writer.out
}

fn find_ignoring_case(bytes: &[u8], end: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', bytes)
        .find(|&at| bytes.len() - at >= end.len() && bytes[at..at + end.len()].eq_ignore_ascii_case(end))
}
