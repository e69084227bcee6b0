//! What class, id and role names say about an element: one mask from one pass.
//!
//! Names are hints, never verdicts: the masks are features of `content`.

use std::sync::LazyLock;

use super::phrases::Phrases;

/// A set of hints.
pub type Mask = u64;

macro_rules! groups {
    ($($name:ident = $bit:literal: $words:literal;)*) => {
        $(#[doc = concat!("Names such as: ", $words)] pub const $name: Mask = 1 << $bit;)*

        /// Every group with its words; a word ending in `$` must be whole, the others are prefixes.
        const GROUPS: &[(Mask, &str)] = &[$(($name, $words)),*];
    };
}

groups! {
    NAV = 0: "nav navbar navigation topnav subnav megamenu menubar navi";
    MENU = 1: "menu dropdown submenu hamburger offcanvas";
    BREADCRUMB = 2: "breadcrumb crumb bread";
    SIDEBAR = 3: "sidebar side$ rail$ aside secondary$ sidenav leftcol rightcol right-col left-col";
    FOOTER = 4: "footer foot$ bottom$ colophon";
    HEADER = 5: "header masthead topbar top$ head$";
    COMMENT = 6: "comment disqus respond$ discussion livefyre";
    SHARE = 7: "share sharing social facebook twitter linkedin whatsapp addthis sns$ follow";
    RELATED = 8: "related recommend similar more-stories readmore read-next also popular trending latest upsell crosssell cross-sell you-may suggested recirc next$ outbrain taboola morelike";
    AD = 9: "ad$ ads$ advert advertisement adsense adslot sponsor dfp gpt$ adunit banner-ad commercial";
    PROMO = 10: "promo cta$ offer campaign callout teaser upsell donate";
    NEWSLETTER = 11: "newsletter subscribe subscription signup sign-up mailing optin opt-in mailchimp email$";
    COOKIE = 12: "cookie consent gdpr privacy onetrust ccpa cmp$ truste";
    MODAL = 13: "modal popup pop-up overlay lightbox dialog toast notification alert$ drawer flyout interstitial tooltip";
    META = 14: "meta$ byline author date$ dateline time$ timestamp published pubdate posted info$ credit";
    TAGS = 15: "tag$ tags$ tagcloud category categories topic keywords label$ cat-links";
    CONTENT = 16: "content$ contents maincontent main-content page-content contentarea text$ copy$ richtext rich-text wysiwyg rte$ prose markdown";
    ARTICLE = 17: "article story$ storybody post-body entry$ hentry blogpost blog-post";
    MAIN = 18: "main$ primary$ center$ middle$";
    POST = 19: "post$ posts$ postbody postcontent post-content entry-content article-body articlebody article-content story-body body$ bodytext body-text field-name-body";
    CAPTION = 20: "caption figcaption credit wp-caption photo-credit";
    SKIP = 21: "skip sr-only screen-reader visually-hidden visuallyhidden hidden$ hide$ d-none invisible noprint no-print print-only accessib offscreen";
    FORUM = 22: "thread message reply replies answer question forum bbs$ quote$ topic-body cooked qa$ viewtopic";
    PRODUCT = 23: "product pdp$ item-details merchandise";
    REVIEW = 24: "review rating stars$ testimonial feedback";
    CARD = 25: "card grid tile item$ list$ row$ col$ column carousel slider slick swiper slide owl$ gallery";
    PAGER = 26: "pagination pager paging page-numbers pagenav prev$ previous next-prev page-nav load-more";
    ACCOUNT = 27: "login logout signin sign-in register account user$ profile cart$ basket checkout wishlist minicart member";
    SEARCH = 28: "search filter facet sort$ refine";
    BUTTON = 29: "btn button buy$ add-to buttons action actions";
    TITLE = 30: "title headline heading h1$ subject";
    SUMMARY = 31: "description desc$ summary lead$ lede intro excerpt abstract deck$ standfirst subtitle subhead dek$ short-description";
    BIO = 32: "bio$ author-bio about-author author-box authorbox about-the-author vcard contributor";
    HERO = 33: "hero banner jumbotron splash cover$";
    WIDGET = 34: "widget module block$ panel box$ sidebar-widget";
    LEGAL = 35: "copyright disclaimer legal terms copy-right";
    TOC = 36: "toc$ table-of-contents tableofcontents on-this-page outline contents-list page-toc";
    MEDIA = 37: "image img$ photo picture video player audio media figure thumb icon logo svg$";
    TABS = 38: "tab$ tabs$ tab-content accordion collapse faq toggle expand";
    SPECS = 39: "spec$ specs specification attribute$ attributes feature features details$ detail$ properties infobox param";
    PRICE = 40: "price pricing amount sku$ stock availability shipping delivery qty quantity";
    SIGNATURE = 41: "signature sig$ postprofile user-info userinfo poster avatar joined rank$ post-author postauthor karma";
    CODE = 42: "code highlight$ syntax source$ snippet hljs prettyprint";
    TOOLS = 43: "toolbar tools print$ edit$ editsection report$ permalink vote votes like$ likes controls download utility";
    LANGUAGE = 44: "lang$ language locale country translat region-select currency";
    FOOTNOTE = 45: "footnote reference references citation bibliography noprint reflist navbox metadata hatnote catlinks";
}

/// Every word with its group, and whether it must be whole.
static WORDS: LazyLock<Phrases<(Mask, bool)>> = LazyLock::new(|| {
    let each = |&(mask, list): &(Mask, &'static str)| {
        list.split(' ').map(move |word| (word.trim_end_matches('$'), (mask, word.ends_with('$'))))
    };
    Phrases::new(GROUPS.iter().flat_map(each))
});

/// The hints in a class or id attribute.
///
/// A word counts where it begins a part of a name: after anything but a letter, or at a capital (`articleBody`).
pub fn mask(names: &str) -> Mask {
    let bytes = names.as_bytes();
    // Generated names can be endless; what they say stands at the front.
    let bytes = &bytes[..bytes.len().min(512)];
    let capital = |before: u8, at: u8| at.is_ascii_uppercase() & before.is_ascii_lowercase();
    let begins = |before: u8, at: u8| !before.is_ascii_alphabetic() | capital(before, at);
    let mut found = 0;
    WORDS.find(bytes, begins, |end, (group, whole)| {
        let ends = |&next: &u8| !next.is_ascii_alphabetic() || capital(bytes[end - 1], next);
        if !whole || bytes.get(end).is_none_or(ends) {
            found |= group;
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_where_a_part_of_a_name_begins() {
        assert_eq!(mask("site-nav"), NAV);
        assert_eq!(mask("articleBody") & (ARTICLE | POST), ARTICLE | POST);
        assert_eq!(mask("loaded"), 0);
        assert_eq!(mask("ad-slot") & AD, AD);
        assert_eq!(mask("adapter") & AD, 0);
        assert_eq!(mask("unnav"), 0);
    }
}
