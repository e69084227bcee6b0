//! What type a page is of, by its address and what it is made of.

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

    /// The likeliest type of a page, and the probability that it is an article.
    pub fn of(row: &[f32; PAGE_LENGTH]) -> (Self, f32) {
        let mut sums = [0.0; Self::ALL.len()];
        PAGES.add(row, &mut sums);
        let best = (1..sums.len()).fold(0, |best, at| if sums[at] > sums[best] { at } else { best });
        let all: f32 = sums.iter().map(|sum| exp(sum - sums[best])).sum();
        (Self::ALL[best], exp(sums[0] - sums[best]) / all)
    }
}
