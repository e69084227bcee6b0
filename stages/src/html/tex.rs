//! Formulas to TeX: what the page carries itself, else a reading of its presentation MathML.

use super::dom::{AttributeName, Dom, Tag};

/// The TeX that a page carries for a formula and whether it is displayed: an annotation, the alternative text, or
/// MathJax's script.
pub fn carried(dom: &Dom, node: u32) -> Option<(String, bool)> {
    let end = dom.nodes[node as usize].end;
    if dom.nodes[node as usize].tag == Tag::Script {
        let kind = dom.attribute(node, AttributeName::Type)?;
        let tex = dom.inner_text(node);
        return (kind.starts_with("math/tex") && !tex.trim().is_empty())
            .then(|| (tex, kind.contains("display")));
    }
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
    (!tex.is_empty()).then(|| (tex.to_owned(), is_displayed(dom, node)))
}

fn is_displayed(dom: &Dom, node: u32) -> bool {
    dom.attribute(node, AttributeName::Display) == Some("block")
}

/// Larger formulas stay as their text: no reader wrote them.
const MOST_NODES: u32 = 4_096;
/// Deeper formulas too.
const MOST_DEPTH: u32 = 40;

/// A reading of presentation MathML, for formulas that carry no TeX.
pub fn read(dom: &Dom, node: u32) -> Option<(String, bool)> {
    if dom.nodes[node as usize].tag != Tag::Math || dom.nodes[node as usize].end - node > MOST_NODES {
        return None;
    }
    let mut reader = Reader { dom, out: String::new(), too_deep: false };
    reader.row(node, 0);
    let tex = reader.out.trim();
    (!reader.too_deep && !tex.is_empty()).then(|| (tex.to_owned(), is_displayed(dom, node)))
}

struct Reader<'a> {
    dom: &'a Dom,
    out: String,
    too_deep: bool,
}

impl Reader<'_> {
    fn children(&self, node: u32) -> Vec<u32> {
        let end = self.dom.nodes[node as usize].end;
        let mut children = Vec::new();
        let mut id = node + 1;
        while id < end {
            if self.dom.nodes[id as usize].tag != Tag::Text {
                children.push(id);
            }
            id = self.dom.nodes[id as usize].end;
        }
        children
    }

    fn row(&mut self, node: u32, depth: u32) {
        for child in self.children(node) {
            self.element(child, depth + 1);
        }
    }

    /// Writes a piece; a command and a letter after it stay apart.
    fn push(&mut self, piece: &str) {
        let command = self.out.rfind('\\').is_some_and(|at| {
            let name = &self.out[at + 1..];
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        if command && piece.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.out.push(' ');
        }
        self.out.push_str(piece);
    }

    /// Writes a child as one group, in braces unless it is a single character.
    fn group(&mut self, node: Option<u32>, depth: u32) {
        let start = self.out.len();
        self.push("{");
        if let Some(node) = node {
            self.element(node, depth + 1);
        }
        let inner = &self.out[start + 1..];
        let is_single = inner.chars().count() == 1 && inner.is_ascii();
        if is_single {
            self.out.remove(start);
        } else {
            self.out.push('}');
        }
    }

    /// The same, always in braces.
    fn braced(&mut self, node: Option<u32>, depth: u32) {
        self.push("{");
        if let Some(node) = node {
            self.element(node, depth + 1);
        }
        self.push("}");
    }

    fn element(&mut self, node: u32, depth: u32) {
        if depth > MOST_DEPTH || self.too_deep {
            self.too_deep = true;
            return;
        }
        let tag = self.dom.nodes[node as usize].tag;
        let parts = self.children(node);
        let part = |at: usize| parts.get(at).copied();
        match tag {
            Tag::Mi | Tag::Mn | Tag::Mo | Tag::Ms => self.token(node, tag),
            Tag::Mtext => {
                let text = self.text(node);
                if !text.is_empty() {
                    self.push(&format!("\\text{{{text}}}"));
                }
            }
            Tag::Mspace => self.push(" "),
            Tag::Mphantom | Tag::Annotation | Tag::AnnotationXml => {}
            Tag::Semantics => {
                if let Some(first) = part(0) {
                    self.element(first, depth + 1);
                }
            }
            Tag::Msup | Tag::Msub | Tag::Msubsup => {
                self.group(part(0), depth);
                let marks: &[&str] = match tag {
                    Tag::Msup => &["^"],
                    Tag::Msub => &["_"],
                    _ => &["_", "^"],
                };
                for (at, mark) in marks.iter().enumerate() {
                    self.push(mark);
                    self.group(part(at + 1), depth);
                }
            }
            Tag::Mover | Tag::Munder | Tag::Munderover => self.stacked(tag, &parts, depth),
            Tag::Mfrac => {
                self.push("\\frac");
                self.braced(part(0), depth);
                self.braced(part(1), depth);
            }
            Tag::Msqrt => {
                self.push("\\sqrt{");
                self.row(node, depth);
                self.push("}");
            }
            Tag::Mroot => {
                self.push("\\sqrt[");
                if let Some(index) = part(1) {
                    self.element(index, depth + 1);
                }
                self.push("]");
                self.braced(part(0), depth);
            }
            Tag::Mfenced => {
                self.push("(");
                for (at, &child) in parts.iter().enumerate() {
                    self.push(if at > 0 { "," } else { "" });
                    self.element(child, depth + 1);
                }
                self.push(")");
            }
            Tag::Mtable => {
                self.push("\\begin{matrix}");
                for (at, &row) in parts.iter().enumerate() {
                    self.push(if at > 0 { " \\\\ " } else { " " });
                    for (at, cell) in self.children(row).into_iter().enumerate() {
                        self.push(if at > 0 { " & " } else { "" });
                        self.element(cell, depth + 2);
                    }
                }
                self.push(" \\end{matrix}");
            }
            _ => self.row(node, depth),
        }
    }

    /// What stands above and below: limits of a big operator, accents, or what is merely stacked.
    fn stacked(&mut self, tag: Tag, parts: &[u32], depth: u32) {
        let part = |at: usize| parts.get(at).copied();
        let base = part(0).map(|base| self.text(base)).unwrap_or_default();
        let takes_limits = matches!(
            base.as_str(),
            "∑" | "∏"
                | "∐"
                | "∫"
                | "∮"
                | "⋃"
                | "⋂"
                | "⨁"
                | "lim"
                | "max"
                | "min"
                | "sup"
                | "inf"
                | "argmax"
                | "argmin"
        );
        if takes_limits {
            self.group(part(0), depth);
            let marks: &[&str] = match tag {
                Tag::Mover => &["^"],
                Tag::Munder => &["_"],
                _ => &["_", "^"],
            };
            for (at, mark) in marks.iter().enumerate() {
                self.push(mark);
                self.group(part(at + 1), depth);
            }
            return;
        }
        let mark = part(1).map(|mark| self.text(mark)).unwrap_or_default();
        let accent = match (tag, mark.as_str()) {
            (Tag::Mover, "¯" | "‾" | "―" | "_") => Some("\\overline"),
            (Tag::Mover, "^" | "ˆ") => Some("\\hat"),
            (Tag::Mover, "~" | "˜") => Some("\\tilde"),
            (Tag::Mover, "→" | "⃗") => Some("\\vec"),
            (Tag::Mover, "˙" | ".") => Some("\\dot"),
            (Tag::Mover, "¨") => Some("\\ddot"),
            (Tag::Mover, "⏞") => Some("\\overbrace"),
            (Tag::Munder, "⏟") => Some("\\underbrace"),
            (Tag::Munder, "_" | "‾" | "―" | "̲") => Some("\\underline"),
            _ => None,
        };
        if let Some(accent) = accent {
            self.push(accent);
            self.braced(part(0), depth);
            return;
        }
        let (under, over) = match tag {
            Tag::Mover => (None, part(1)),
            Tag::Munder => (part(1), None),
            _ => (part(1), part(2)),
        };
        if over.is_some() {
            self.push("\\overset");
            self.braced(over, depth);
            self.push("{");
        }
        if under.is_some() {
            self.push("\\underset");
            self.braced(under, depth);
        }
        self.braced(part(0), depth);
        if over.is_some() {
            self.push("}");
        }
    }

    fn text(&self, node: u32) -> String {
        super::render::fold(&self.dom.inner_text(node))
    }

    fn token(&mut self, node: u32, tag: Tag) {
        let text = self.text(node);
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (None, _) => {}
            (Some(c), None) => match symbol(c) {
                Some("") => {}
                Some(command) => self.push(command),
                None => self.push(&text),
            },
            _ if tag == Tag::Mn => self.push(&text),
            _ if FUNCTIONS.contains(&text.as_str()) => self.push(&format!("\\{text}")),
            _ if tag == Tag::Mi && text.chars().all(char::is_alphanumeric) => {
                self.push(&format!("\\mathrm{{{text}}}"));
            }
            _ => {
                for c in text.chars() {
                    match symbol(c) {
                        Some(command) => self.push(command),
                        None => self.push(c.encode_utf8(&mut [0; 4])),
                    }
                }
            }
        }
    }
}

const FUNCTIONS: [&str; 22] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "log",
    "ln", "exp", "lim", "max", "min", "sup", "inf", "det", "gcd",
];

/// The command for a character; empty for those that are not shown, none for those that TeX takes as they are.
fn symbol(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2061}'..='\u{2064}' => "",
        'α' => "\\alpha",
        'β' => "\\beta",
        'γ' => "\\gamma",
        'δ' => "\\delta",
        'ε' => "\\varepsilon",
        'ϵ' => "\\epsilon",
        'ζ' => "\\zeta",
        'η' => "\\eta",
        'θ' => "\\theta",
        'ϑ' => "\\vartheta",
        'ι' => "\\iota",
        'κ' => "\\kappa",
        'λ' => "\\lambda",
        'μ' | 'µ' => "\\mu",
        'ν' => "\\nu",
        'ξ' => "\\xi",
        'π' => "\\pi",
        'ρ' => "\\rho",
        'σ' => "\\sigma",
        'τ' => "\\tau",
        'υ' => "\\upsilon",
        'φ' => "\\varphi",
        'ϕ' => "\\phi",
        'χ' => "\\chi",
        'ψ' => "\\psi",
        'ω' => "\\omega",
        'Γ' => "\\Gamma",
        'Δ' | '∆' => "\\Delta",
        'Θ' => "\\Theta",
        'Λ' => "\\Lambda",
        'Ξ' => "\\Xi",
        'Π' => "\\Pi",
        'Σ' => "\\Sigma",
        'Φ' => "\\Phi",
        'Ψ' => "\\Psi",
        'Ω' => "\\Omega",
        '×' => "\\times",
        '÷' => "\\div",
        '±' => "\\pm",
        '∓' => "\\mp",
        '·' | '⋅' => "\\cdot",
        '−' => "-",
        '∗' => "*",
        '≤' | '⩽' => "\\leq",
        '≥' | '⩾' => "\\geq",
        '≠' => "\\neq",
        '≈' => "\\approx",
        '≡' => "\\equiv",
        '∼' => "\\sim",
        '≅' => "\\cong",
        '∝' => "\\propto",
        '≪' => "\\ll",
        '≫' => "\\gg",
        '→' => "\\to",
        '←' => "\\leftarrow",
        '↔' => "\\leftrightarrow",
        '⇒' => "\\Rightarrow",
        '⇐' => "\\Leftarrow",
        '⇔' => "\\Leftrightarrow",
        '↦' => "\\mapsto",
        '∞' => "\\infty",
        '∂' => "\\partial",
        '∇' => "\\nabla",
        '∑' => "\\sum",
        '∏' => "\\prod",
        '∫' => "\\int",
        '∮' => "\\oint",
        '√' => "\\surd",
        '∈' => "\\in",
        '∉' => "\\notin",
        '∋' => "\\ni",
        '⊂' => "\\subset",
        '⊆' => "\\subseteq",
        '⊃' => "\\supset",
        '⊇' => "\\supseteq",
        '∪' => "\\cup",
        '∩' => "\\cap",
        '⋃' => "\\bigcup",
        '⋂' => "\\bigcap",
        '∅' => "\\emptyset",
        '∖' => "\\setminus",
        '∀' => "\\forall",
        '∃' => "\\exists",
        '¬' => "\\neg",
        '∧' => "\\wedge",
        '∨' => "\\vee",
        '⊕' => "\\oplus",
        '⊗' => "\\otimes",
        '∘' => "\\circ",
        '⊥' => "\\perp",
        '∥' | '‖' => "\\|",
        '…' => "\\ldots",
        '⋯' => "\\cdots",
        '⋮' => "\\vdots",
        '⋱' => "\\ddots",
        '′' => "'",
        '″' => "''",
        'ℓ' => "\\ell",
        'ℏ' => "\\hbar",
        'ℝ' => "\\mathbb{R}",
        'ℤ' => "\\mathbb{Z}",
        'ℕ' => "\\mathbb{N}",
        'ℚ' => "\\mathbb{Q}",
        'ℂ' => "\\mathbb{C}",
        '⟨' | '〈' => "\\langle",
        '⟩' | '〉' => "\\rangle",
        '⌊' => "\\lfloor",
        '⌋' => "\\rfloor",
        '⌈' => "\\lceil",
        '⌉' => "\\rceil",
        '{' => "\\{",
        '}' => "\\}",
        '%' => "\\%",
        '#' => "\\#",
        '&' => "\\&",
        '$' => "\\$",
        '\\' => "\\backslash",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::dom::Limits;

    #[track_caller]
    fn check(mathml: &str, tex: &str) {
        let dom = Dom::parse(&format!("<math>{mathml}</math>"), &Limits::default()).expect("small");
        let math = dom.find(0, Tag::Math).expect("a formula");
        assert_eq!(read(&dom, math).map(|(tex, _)| tex).unwrap_or_default(), tex);
    }

    #[test]
    fn presentation_becomes_tex() {
        check("<mi>v</mi><mo>=</mo><mi>ω</mi><mi>r</mi>", "v=\\omega r");
        check(
            "<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><msub><mi>a</mi><mrow><mi>i</mi><mn>1</mn></mrow></msub>",
            "x^2+a_{i1}",
        );
        check("<mfrac><mn>1</mn><msqrt><mi>π</mi></msqrt></mfrac>", "\\frac{1}{\\sqrt{\\pi}}");
        check(
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>",
            "{\\sum}_{i=1}^nx_i^2",
        );
        check(
            "<mover><mi>x</mi><mo>¯</mo></mover><mi>sin</mi><mi>y</mi><mtext>if so</mtext>",
            "\\overline{x}\\sin y\\text{if so}",
        );
        check(
            "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr><mtr><mtd><mi>a</mi></mtd></mtr></mtable>",
            "\\begin{matrix} 1 & 0 \\\\ a \\end{matrix}",
        );
        check(
            "<mroot><mi>x</mi><mn>3</mn></mroot><mfenced><mi>a</mi><mi>b</mi></mfenced>",
            "\\sqrt[3]{x}(a,b)",
        );
        check("", "");
    }

    #[test]
    fn what_no_reader_wrote_is_left_alone() {
        check(&"<mrow>".repeat(100), "");
        check(&"<mi>x</mi>".repeat(5_000), "");
    }
}
