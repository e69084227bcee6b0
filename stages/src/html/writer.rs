//! What text is written into: white space folds, blocks stand apart, lines begin with the marks of what they stand in.

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
pub enum Gap {
    /// Nothing.
    None,
    /// A space.
    Space,
    /// A new line.
    Line,
    /// A blank line.
    Blank,
}

/// What every line inside begins with.
pub enum Container {
    /// A quote.
    Quote {
        /// Whether anything of it is written.
        written: bool,
    },
    /// An item of a list.
    Item {
        /// What its first line begins with; others are indented by as much.
        marker: String,
        /// Whether that first line is written.
        written: bool,
    },
}

/// Containers that mark a line; what lies deeper is marked as this level is.
const MOST_NESTING: usize = 12;

/// A text that is being written.
pub struct Writer {
    /// What is written.
    pub out: String,
    /// What is asked for before the next piece.
    pub gap: Gap,
    /// How it is written.
    pub format: Format,
    /// What the next line stands in, with the nodes that opened it.
    pub containers: Vec<(u32, Container)>,
}

impl Writer {
    /// An empty text.
    pub fn new(format: Format) -> Self {
        Self { out: String::new(), gap: Gap::None, format, containers: Vec::new() }
    }

    /// Asks for a gap; the strongest that is asked for counts.
    pub fn request(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    /// Asks for the gap around paragraphs.
    pub fn request_block(&mut self) {
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
        // Markup can nest without end; lines that begin with more marks than text would outgrow the page.
        for (_, container) in self.containers.iter_mut().take(MOST_NESTING) {
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
    pub fn text(&mut self, text: &str) {
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

    /// Writes a piece as it is.
    pub fn piece(&mut self, piece: &str) {
        if !piece.is_empty() {
            self.open();
            self.out.push_str(piece);
        }
    }

    /// Writes lines as they are, indented by their containers.
    pub fn lines(&mut self, text: &str) {
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
