//! Mistakes in a recipe, and how they are shown.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One mistake: where, what, and what would work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Bytes of the recipe's text; `None` for a mistake that stands elsewhere, such as in `--set`.
    pub span: Option<Range<usize>>,
    /// What is wrong: lowercase, quoting the input.
    pub message: String,
    /// What would work.
    pub hint: Option<String>,
}

/// All mistakes of one recipe, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    path: PathBuf,
    source: String,
    /// At least one.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Sorts by place.
    pub fn new(path: &Path, source: &str, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.span.as_ref().map_or(usize::MAX, |span| span.start));
        list.dedup();
        Self { path: path.to_owned(), source: source.to_owned(), list }
    }
}

/// Line and column of a byte, both from 1; columns count characters.
fn place(source: &str, byte: usize) -> (usize, usize, &str) {
    let mut byte = byte.min(source.len());
    while !source.is_char_boundary(byte) {
        byte -= 1;
    }
    let start = source[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[byte..].find('\n').map_or(source.len(), |newline| byte + newline);
    let line = source[..start].matches('\n').count() + 1;
    (line, source[start..byte].chars().count() + 1, source[start..end].trim_end_matches('\r'))
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.list {
            writeln!(f, "error: {}", mistake.message)?;
            if let Some(span) = &mistake.span {
                let (line, column, text) = place(&self.source, span.start);
                let wide = self
                    .source
                    .get(span.clone())
                    .map_or(1, |spanned| spanned.lines().next().unwrap_or("").chars().count().max(1));
                let margin = " ".repeat(line.to_string().len());
                writeln!(f, "{margin}--> {}:{line}:{column}", self.path.display())?;
                writeln!(f, "{margin} |")?;
                // A tab is one column here too, so that the caret stays under its character.
                writeln!(f, "{line} | {}", text.replace('\t', " "))?;
                writeln!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(wide))?;
            }
            if let Some(hint) = &mistake.hint {
                writeln!(f, "hint: {hint}")?;
            }
            writeln!(f)?;
        }
        match self.list.len() {
            1 => write!(f, "1 mistake in {}", self.path.display()),
            n => write!(f, "{n} mistakes in {}", self.path.display()),
        }
    }
}

impl std::error::Error for Mistakes {}

/// The name among `known` that is most like `typed`, if any is close.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_words_even_after_wide_characters() {
        let source = "a = 1\nb = \"é\" # x\nkind = 3\n";
        let at = source.find("kind").unwrap();
        let mistakes = Mistakes::new(
            Path::new("r.toml"),
            source,
            vec![Mistake {
                span: Some(at..at + 4),
                message: "bad `kind`".into(),
                hint: Some("try 4".into()),
            }],
        );
        assert_eq!(
            mistakes.to_string(),
            "error: bad `kind`\n --> r.toml:3:1\n  |\n3 | kind = 3\n  | ^^^^\nhint: try 4\n\n1 mistake in r.toml"
        );
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("langauge", ["language", "line"]), Some("language"));
        assert_eq!(nearest("min_wrds", ["min_words", "max_words"]), Some("min_words"));
        assert_eq!(nearest("zebra", ["language"]), None);
    }
}
