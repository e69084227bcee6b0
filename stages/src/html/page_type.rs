//! What type a page is of, by what it is made of.

use super::features::PAGE_LENGTH;
use super::model::{PAGES, exp};

/// The types that pages are sorted into, as the Web Content Extraction Benchmark names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageType {
    /// A story, post or essay.
    Article,
    /// Many products, pictures or works.
    Collection,
    /// A manual or reference.
    Documentation,
    /// A discussion, or questions and answers.
    Forum,
    /// An index of articles, jobs, places.
    Listing,
    /// One thing for sale.
    Product,
    /// What a company or institution offers.
    Service,
}

impl PageType {
    /// All of them, in the order of the model's outputs.
    pub const ALL: [Self; 7] = [
        Self::Article,
        Self::Collection,
        Self::Documentation,
        Self::Forum,
        Self::Listing,
        Self::Product,
        Self::Service,
    ];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Collection => "collection",
            Self::Documentation => "documentation",
            Self::Forum => "forum",
            Self::Listing => "listing",
            Self::Product => "product",
            Self::Service => "service",
        }
    }

    /// How much less a block of such a page is worth than the model of blocks says, in units of its sums: an article or a
    /// product has one clear text, and what is doubtful beside it is no part of it; a list of things is the text itself.
    /// Cross-validated.
    fn stricter(self) -> f32 {
        match self {
            Self::Article => 0.4,
            Self::Product => 1.0,
            Self::Collection | Self::Listing => -0.3,
            Self::Documentation | Self::Forum | Self::Service => 0.0,
        }
    }

    /// The likeliest type of a page, and how much stricter its blocks are judged: the mean over all types by how likely
    /// each is.
    pub fn of(row: &[f32; PAGE_LENGTH]) -> (Self, f32) {
        let mut sums = [0.0; Self::ALL.len()];
        PAGES.add(row, &mut sums);
        let best = (1..sums.len()).fold(0, |best, at| if sums[at] > sums[best] { at } else { best });
        let all: f32 = sums.iter().map(|sum| exp(sum - sums[best])).sum();
        let parts = Self::ALL.iter().zip(sums).map(|(kind, sum)| kind.stricter() * exp(sum - sums[best]));
        (Self::ALL[best], parts.sum::<f32>() / all)
    }
}
