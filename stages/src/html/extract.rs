//! The extractor: a page in, its text and title out. Pure, deterministic, and bounded for any input.

use super::content;
use super::dom::{Dom, Limits, TooMuch};
use super::render::{self, Format};

/// How to extract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How the text is written.
    pub format: Format,
    /// What a page may cost before its markup is given up.
    pub limits: Limits,
}

/// How the text was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extraction {
    /// The page was parsed and its content chosen.
    Content,
    /// The page exceeded a limit: all its text, tags cut out.
    TextOnly(TooMuch),
}

/// What a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// The main text; empty if the page has none.
    pub text: String,
    /// The page's title, if it has one.
    pub title: Option<String>,
    /// How the text was come by.
    pub extraction: Extraction,
}

/// Extracts a page's main text. `url` is where it was found; it may steer the choice, never the limits.
pub fn extract(html: &str, url: Option<&str>, options: &Options) -> Extracted {
    match Dom::parse(html, &options.limits) {
        Ok(dom) => {
            let kept = content::choose(&dom, url);
            Extracted {
                text: render::render(&dom, &kept, options.format),
                title: render::title(&dom),
                extraction: Extraction::Content,
            }
        }
        Err(reason) => {
            Extracted { text: render::strip(html), title: None, extraction: Extraction::TextOnly(reason) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        extract(html, None, &Options::default()).text
    }

    #[test]
    fn keeps_the_article_and_drops_what_surrounds_it() {
        let long = "This sentence is long enough, as sentences of articles are, to count as text. ".repeat(4);
        let html = format!(
            "<nav><a href=/>Home</a></nav><article><h1>Head</h1><p>{long}</p><p>{long}</p></article><footer>© Us</footer>"
        );
        let paragraph = long.trim();
        assert_eq!(text(&html), format!("Head\n{paragraph}\n{paragraph}"));
    }

    #[test]
    fn a_page_with_little_text_still_gives_it() {
        assert_eq!(text("<p>Hello"), "Hello");
        assert_eq!(text("plain words"), "plain words");
        assert_eq!(text(""), "");
        assert_eq!(text("<script>var x;</script>"), "");
    }

    #[test]
    fn junk_characters_go_and_spaces_fold() {
        assert_eq!(text("<p>a\u{0}b \u{a0} c\u{200b}d\u{7}\u{ad}e"), "ab cde");
    }
}
