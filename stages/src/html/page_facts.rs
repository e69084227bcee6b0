//! What kind of page it is: what it says of itself, and what it is made of. The same for every block.

use super::blocks::{self, Blocks};
use super::classes::{self, Mask};
use super::content::Candidate;
use super::dom::{AttributeName, Dom, Tag};
use super::features::is_long;
use super::groups::Groups;
use super::repeats::Subtrees;
use super::words::{Said, Words};

/// Types of JSON-LD, as they end.
const KINDS: [&str; 24] = [
    "Article\"",
    "BlogPosting\"",
    "Product\"",
    "DiscussionForumPosting\"",
    "QAPage\"",
    "ItemList\"",
    "FAQPage\"",
    "CollectionPage\"",
    "Recipe\"",
    "Offer\"",
    "\"BreadcrumbList\"",
    "\"LocalBusiness\"",
    "\"Service\"",
    "\"Comment\"",
    "\"Question\"",
    "\"Event\"",
    "\"SoftwareApplication\"",
    "\"Person\"",
    "\"articleBody\"",
    "\"AggregateRating\"",
    "\"WebPage\"",
    "\"ProductGroup\"",
    "\"OfferCatalog\"",
    "\"Course\"",
];

/// Words in `<meta name=generator>`: what forums, shops, manuals and blogs are made with.
const GENERATORS: [&[&str]; 4] = [
    &["discourse", "phpbb", "vbulletin", "xenforo", "mybb", "invision", "smf", "flarum", "vanilla", "nodebb"],
    &["shopify", "woocommerce", "magento", "prestashop", "bigcommerce", "opencart"],
    &[
        "sphinx",
        "docusaurus",
        "mkdocs",
        "gitbook",
        "doxygen",
        "mediawiki",
        "hugo",
        "jekyll",
        "vuepress",
        "docutils",
    ],
    &["wordpress", "ghost", "blogger", "drupal", "wix", "squarespace", "webflow"],
];

/// Shares of the page's characters that stand in such places.
const PLACES: [Mask; 22] = [
    blocks::IN_ARTICLE,
    blocks::IN_MAIN,
    blocks::IN_NAV | classes::NAV | classes::MENU,
    blocks::IN_FOOTER | classes::FOOTER,
    blocks::IN_ASIDE | classes::SIDEBAR,
    blocks::IN_LIST,
    blocks::IN_TABLE,
    blocks::IN_PRE | classes::CODE,
    blocks::IN_LINK,
    blocks::HIDDEN,
    blocks::IN_FORM,
    classes::CARD,
    classes::COMMENT,
    classes::FORUM,
    classes::PRODUCT,
    classes::REVIEW,
    classes::POST,
    classes::SEARCH,
    classes::TABS,
    classes::SIGNATURE,
    classes::RELATED,
    classes::HERO,
];

const TOTALS: usize = 44;

/// Length of [`page_facts`].
pub const LENGTH: usize = KINDS.len() + GENERATORS.len() + PLACES.len() + TOTALS;

/// A writer into a row.
pub struct Numbers<'a> {
    rest: std::slice::IterMut<'a, f32>,
}

impl<'a> Numbers<'a> {
    /// Writes from the row's beginning.
    pub fn new(row: &'a mut [f32]) -> Self {
        Self { rest: row.iter_mut() }
    }

    /// The next number.
    pub fn push(&mut self, number: f32) {
        *self.rest.next().expect("the row has room for every number") = number;
    }

    /// The next number, 1 for yes.
    pub fn flag(&mut self, is: bool) {
        self.push(f32::from(u8::from(is)));
    }

    /// Whether the row is full.
    pub fn is_full(&self) -> bool {
        self.rest.as_slice().is_empty()
    }
}

/// What was seen of a page before.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The element that most likely holds the content.
    pub candidate: &'a Candidate,
    /// What every element holds.
    pub subtree: &'a Subtrees,
    /// What repeats.
    pub groups: &'a Groups,
    /// The words of every block.
    pub words: &'a [Words],
    /// What the page says of itself.
    pub said: &'a Said,
}

/// Facts of a page, in a fixed order.
pub fn page_facts(dom: &Dom, page: &Blocks, seen: Seen) -> [f32; LENGTH] {
    let Seen { candidate, subtree, groups, words, said } = seen;
    let mut facts = [0.0; LENGTH];
    let mut out = Numbers::new(&mut facts);
    kinds(dom, &mut out);
    let all = subtree.counts[0].chars.max(1) as f32;
    let blocks = &page.blocks;
    let mut places = [0_u32; PLACES.len()];
    for block in blocks {
        for (sum, mask) in places.iter_mut().zip(PLACES) {
            *sum += if block.around & mask == 0 { 0 } else { block.counts.chars };
        }
    }
    for sum in places {
        out.push(sum as f32 / all);
    }
    // What it is made of.
    let mut tags = [0_u32; 16];
    for (id, node) in dom.nodes.iter().enumerate() {
        let at = match node.tag {
            Tag::Img | Tag::Picture => 0,
            Tag::Input | Tag::Textarea | Tag::Select => 1,
            Tag::Button => 2,
            Tag::A => 3,
            Tag::Table => 4,
            Tag::Li => 5,
            Tag::Pre => 6,
            Tag::Article => 7,
            Tag::Time => 8,
            Tag::H1 => 9,
            Tag::H2 => 10,
            Tag::H3 => 11,
            Tag::P if subtree.counts[id].chars >= 80 => 12,
            Tag::Blockquote => 13,
            Tag::Code => 14,
            Tag::Dt => 15,
            _ => continue,
        };
        tags[at] += 1;
    }
    for number in tags {
        out.push(number as f32);
    }
    let mut cue_blocks = [0_u32; 32];
    let (mut long, mut long_chars, mut longest, mut stops, mut p, mut title) = (0, 0, 0, 0, 0, 0);
    for (block, words) in blocks.iter().zip(words) {
        for (bit, number) in cue_blocks.iter_mut().enumerate() {
            *number += words.cues >> bit & 1;
        }
        if is_long(block) {
            long += 1;
            long_chars += block.counts.chars;
            longest = longest.max(block.counts.chars);
        }
        if block.tag == Tag::P {
            p += block.counts.chars;
        }
        stops += block.counts.stops;
        title += u32::from(words.in_title);
    }
    out.push(all);
    out.push(blocks.len() as f32);
    out.push(subtree.counts[0].link_share());
    out.push(p as f32 / all);
    out.push(long as f32);
    out.push(long_chars as f32 / all);
    out.push(longest as f32);
    out.push(stops as f32);
    out.push(title as f32);
    // Cart, price, comments, forum talk, reviews, filters, dates, more.
    for bit in [1, 3, 6, 9, 11, 12, 16, 17, 24] {
        out.push(cue_blocks[bit] as f32 / blocks.len().max(1) as f32);
    }
    out.push(said.body_bytes as f32);
    out.push(said.description_bytes as f32);
    out.push(candidate.share);
    out.push(subtree.counts[candidate.node as usize].chars as f32 / all);
    out.push(subtree.counts[candidate.node as usize].link_share());
    // The largest group by free text.
    let free =
        |group: &super::groups::Group| group.counts.chars - group.counts.link_chars.min(group.counts.chars);
    let largest = groups.all.iter().max_by_key(|group| (free(group), group.counts.chars, group.members));
    let largest = largest.copied().unwrap_or_default();
    out.push(largest.members as f32);
    out.push(largest.counts.chars as f32 / all);
    out.push(largest.counts.link_share());
    out.push(largest.counts.chars as f32 / largest.members.max(1) as f32);
    out.push(largest.blocks as f32 / largest.members.max(1) as f32);
    debug_assert!(out.is_full());
    facts
}

/// What the page says it is, in JSON-LD, `og:type` and `generator`.
fn kinds(dom: &Dom, out: &mut Numbers) {
    let mut kinds = [false; KINDS.len()];
    let mut generators = [false; GENERATORS.len()];
    for id in 0..dom.nodes.len() as u32 {
        match dom.nodes[id as usize].tag {
            Tag::Script if dom.attribute(id, AttributeName::Type) == Some("application/ld+json") => {
                for inner in id + 1..dom.nodes[id as usize].end {
                    let text = dom.text(inner).as_bytes();
                    for (kind, name) in kinds.iter_mut().zip(KINDS) {
                        *kind = *kind || memchr::memmem::find(text, name.as_bytes()).is_some();
                    }
                }
            }
            Tag::Meta => {
                let content = dom.attribute(id, AttributeName::Content).unwrap_or_default();
                if dom.attribute(id, AttributeName::Property) == Some("og:type") {
                    match content {
                        "article" => kinds[0] = true,
                        "product" | "og:product" => kinds[2] = true,
                        _ => {}
                    }
                } else if dom.attribute(id, AttributeName::Name) == Some("generator") {
                    let content = content.to_ascii_lowercase();
                    for (found, names) in generators.iter_mut().zip(GENERATORS) {
                        *found = *found || names.iter().any(|name| content.contains(name));
                    }
                }
            }
            _ => {}
        }
    }
    kinds.into_iter().chain(generators).for_each(|is| out.flag(is));
}
