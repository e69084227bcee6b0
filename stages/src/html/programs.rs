//! Code in a line and programs of many lines.

use super::content::Kept;
use super::dom::{AttributeName, Dom, NONE, Tag};
use super::writer::{Format, Writer, is_junk};

/// Code between as many backquotes as it takes.
pub fn inline_code(code: &str) -> Option<String> {
    let most = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if code.is_empty() || most > 3 {
        return None;
    }
    let quotes = "`".repeat(most + 1);
    let space = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
    Some(format!("{quotes}{space}{code}{space}{quotes}"))
}

/// Writes a program: fenced in Markdown, as it stands in plain text.
pub fn preformatted(dom: &Dom, kept: &Kept, pre: u32, writer: &mut Writer) {
    let end = dom.nodes[pre as usize].end;
    let mut raw = String::new();
    for id in pre..end {
        let node = dom.nodes[id as usize];
        match node.tag {
            Tag::Text if kept.text(id) => {
                raw.extend(dom.text(id).chars().filter(|&c| !is_junk(c) && c != '\r' && c != '\x0c'));
            }
            Tag::Br => raw.push('\n'),
            tag if tag.is_block() && !raw.is_empty() && !raw.ends_with('\n') => raw.push('\n'),
            _ => {}
        }
    }
    let code: Vec<&str> = raw.lines().map(str::trim_end).collect();
    let first = code.iter().position(|line| !line.is_empty());
    let last = code.iter().rposition(|line| !line.is_empty());
    let (Some(first), Some(last)) = (first, last) else { return };
    if are_line_numbers(&code[first..=last]) {
        return;
    }
    let code = code[first..=last].join("\n");
    if writer.format == Format::Markdown {
        let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        // No reader wrote more than a handful.
        let fence = "`".repeat(longest.clamp(2, 11) + 1);
        let language = language(dom, pre).unwrap_or_default();
        writer.lines(&format!("{fence}{language}\n{code}\n{fence}"));
    } else {
        writer.lines(&code);
    }
}

/// The numbers that a highlighter puts beside the lines of a program.
fn are_line_numbers(lines: &[&str]) -> bool {
    let number = |line: &str| line.trim().parse::<u32>().ok();
    lines.len() >= 3
        && lines.windows(2).all(|pair| match (number(pair[0]), number(pair[1])) {
            (Some(first), Some(second)) => first.checked_add(1) == Some(second),
            _ => false,
        })
}

/// The language of a program: named by the element, the code inside it, or the boxes that highlighters put around it.
fn language(dom: &Dom, pre: u32) -> Option<&str> {
    let named = |node: u32| {
        let stated = dom
            .attribute(node, AttributeName::DataLang)
            .or_else(|| dom.attribute(node, AttributeName::DataLanguage))
            .filter(|name| is_language(name));
        stated.or_else(|| language_of(dom.attribute(node, AttributeName::Class)?))
    };
    let inner = (pre..dom.nodes[pre as usize].end.min(pre + 3))
        .filter(|&node| matches!(dom.nodes[node as usize].tag, Tag::Pre | Tag::Code))
        .find_map(named);
    let around = || {
        let mut above = dom.nodes[pre as usize].parent;
        for _ in 0..2 {
            if above == NONE {
                return None;
            }
            let class = dom.attribute(above, AttributeName::Class).unwrap_or_default();
            if let Some(language) = named(above).or_else(|| boxed_language(class)) {
                return Some(language);
            }
            above = dom.nodes[above as usize].parent;
        }
        None
    };
    inner.or_else(around)
}

/// `highlight-source-rust` and `highlight-rust`, which stand on boxes alone.
fn boxed_language(class: &str) -> Option<&str> {
    class
        .split_ascii_whitespace()
        .find_map(|name| {
            name.strip_prefix("highlight-source-").or_else(|| name.strip_prefix("highlight-text-")).or_else(
                || {
                    name.strip_prefix("highlight-")
                        .filter(|name| !matches!(*name, "default" | "none" | "wrapper" | "box"))
                },
            )
        })
        .filter(|name| is_language(name))
}

fn is_language(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+#-".contains(&byte))
}

/// `language-rust` and the like in a class, and SyntaxHighlighter's `brush: rust`.
fn language_of(class: &str) -> Option<&str> {
    let mut names = class.split(|c: char| c.is_ascii_whitespace() || c == ';');
    while let Some(name) = names.next() {
        let language = match name {
            "brush:" => names.next(),
            _ => ["language-", "lang-", "brush:"].iter().find_map(|prefix| name.strip_prefix(prefix)),
        };
        if let Some(language) = language.filter(|name| is_language(name)) {
            return Some(language);
        }
    }
    None
}
