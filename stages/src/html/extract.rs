//! The extractor: a page in, its text and title out. Pure, deterministic, and bounded for any input.

use super::content::{self, Kept};
use super::dom::{Dom, Limits, TooMuch};
use super::page_type::PageType;
use super::render::{self, Format};
use super::words;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Extracted {
    /// The main text; empty if the page has none.
    pub text: String,
    /// The page's title, if it has one.
    pub title: Option<String>,
    /// What type the page is of, where it was judged.
    pub page_type: Option<PageType>,
    /// The word F1 that is expected of the text, 0 to 1: how sure the choice of the content is. 0 where the markup was
    /// given up.
    pub confidence: f32,
    /// How the text was come by.
    pub extraction: Extraction,
}

/// Extracts a page's main text. Where the page was found has no say: copies of a page under other addresses must give the
/// same text, or no deduplication finds them all.
pub fn extract(html: &str, options: &Options) -> Extracted {
    match Dom::parse(html, &options.limits) {
        Ok(dom) => {
            let content = content::choose(&dom);
            let bare = content.chars < LITTLE || content.confidence < HOPELESS;
            let hidden = bare.then(|| hidden_text(&dom, content.chars, options)).flatten();
            Extracted {
                text: hidden.unwrap_or_else(|| render::render(&dom, &content.kept, options.format)),
                title: render::title(&dom),
                page_type: content.page_type,
                confidence: content.confidence,
                extraction: Extraction::Content,
            }
        }
        Err(reason) => Extracted {
            text: render::strip(html),
            title: None,
            page_type: None,
            confidence: 0.0,
            extraction: Extraction::TextOnly(reason),
        },
    }
}

/// Fewer visible characters than this are a frame that a script fills.
const LITTLE: u32 = 600;
/// A choice that promises less word F1 than this has found no content.
const HOPELESS: f32 = 0.2;

/// The text that a page without visible content carries for machines, if it is several times as long as what it shows: its article,
/// or else what else describes it (a guide's steps, a product, a question and its answers).
fn hidden_text(dom: &Dom, shown: u32, options: &Options) -> Option<String> {
    let all: [&[&str]; 2] = [&["\"articleBody\""], &["\"description\"", "\"text\"", "\"reviewBody\""]];
    all.into_iter().find_map(|keys| {
        let html = words::linked_texts(dom, keys);
        let text = match Dom::parse(&html, &options.limits) {
            Ok(hidden) => render::render(&hidden, &Kept::all(&hidden), options.format),
            Err(_) => render::strip(&html),
        };
        (text.len() > 4 * shown as usize && text.len() > LITTLE as usize / 2).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        extract(html, &Options::default()).text
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
    fn an_article_that_is_there_for_machines_alone_is_read() {
        let long = "This sentence is long enough to count as text, &amp; more. ".repeat(10);
        let html = format!(
            "<script type=application/ld+json>{{\"@type\":\"Article\",\"articleBody\":\"Head\\n{long}\"}}</script><p>Loading"
        );
        assert_eq!(text(&html), format!("Head\n{}", long.trim().replace("&amp;", "&")));
        let shown =
            format!("{html}<article><p>{}</p></article>", "Shown words win, as they should. ".repeat(40));
        assert!(!text(&shown).contains("long enough"));
    }

    #[test]
    fn an_endless_article_for_machines_keeps_its_beginning() {
        let html = format!(
            "<script type=application/ld+json>{{\"articleBody\":\"Beginning. {}\"}}</script>",
            "Wörter. ".repeat(200_000)
        );
        let text = text(&html);
        assert!(text.starts_with("Beginning. Wörter.") && text.len() > 1_000_000, "{}", text.len());
    }

    #[test]
    fn a_guide_that_is_there_for_machines_alone_is_read() {
        let step =
            "Measure the table, add what shall hang down, and <a href=/cut>cut</a> the cloth. ".repeat(5);
        let html = format!(
            "<script type=application/ld+json>{{\"description\":\"A house\"}}</script><p>Loading<script type=application/ld+json>\
             {{\"@type\":\"HowTo\",\"description\":\"<p>A round\\ncloth</p>\",\"step\":[{{\"text\":\"{step}\"}},{{\"text\":\"Sew it.\\nIron it.\"}}]}}\
             </script>"
        );
        let step = step.trim().replace("<a href=/cut>", "").replace("</a>", "");
        assert_eq!(text(&html), format!("A round cloth\n{step}\nSew it.\nIron it."));
    }

    #[test]
    fn says_how_sure_it_is_and_what_the_page_is() {
        let long = "This sentence is long enough, as sentences of articles are, to count as text. ".repeat(9);
        let html = format!(
            "<nav><a href=/>Home</a></nav><article><h1>Head</h1><p>{long}</p><p>{long}</p></article>"
        );
        let extracted = extract(&html, &Options::default());
        assert_eq!(extracted.page_type, Some(PageType::Article));
        assert!(extracted.confidence > 0.5 && extracted.confidence <= 1.0);
    }

    #[test]
    fn junk_characters_go_and_spaces_fold() {
        assert_eq!(text("<p>a\u{0}b \u{a0} c\u{200b}d\u{7}\u{ad}e"), "ab cde");
    }
}
