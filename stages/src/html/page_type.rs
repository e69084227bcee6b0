//! What type a page is of.

use super::features::PAGE_LENGTH;
use super::lexicon::Types;
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

    /// What type a page is of, by what it is made of and by its words, which two models judge that know nothing of each other.
    pub fn of(row: &[f32; PAGE_LENGTH], words: &Types) -> Judged {
        let mut sums = Types::default();
        PAGES.add(row, &mut sums);
        for (sum, words) in sums.iter_mut().zip(words) {
            *sum = 0.5 * (*sum + words);
        }
        let best = (1..sums.len()).fold(0, |best, at| if sums[at] > sums[best] { at } else { best });
        let shares = sums.map(|sum| exp(sum - sums[best]));
        let all: f32 = shares.iter().sum();
        let shares = shares.map(|share| share / all);
        let stricter = Self::ALL.iter().zip(shares).map(|(kind, share)| kind.stricter() * share).sum();
        Judged { page_type: Self::ALL[best], shares, stricter }
    }
}

/// What was judged about a page's type.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The likeliest.
    pub page_type: PageType,
    /// How likely each is, in the order of [`PageType::ALL`].
    pub shares: Types,
    /// How much stricter its blocks are judged: the mean over all types by how likely each is.
    pub stricter: f32,
}
