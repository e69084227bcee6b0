//! `url_blocklist`: drops documents by their address.

pub mod compiled;
pub mod hashed_set;
pub mod host;
pub mod lists;
mod words;

use std::path::PathBuf;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use compiled::{Add, Lists};
use hashed_set::HashedSet;
use host::{host_of, registered_domain, without_scheme};
use words::{Words, letters_of};

/// Drops documents whose URL is on a list of domains or URLs, or holds banned words.
///
/// The checks and their order are those of datatrove's URLFilter, as FineWeb ran it; the first that hits names the reason: the
/// registered domain is listed (`domain`); the whole host is listed (`subdomain`); the URL is listed as it stands (`url`); a word of
/// the URL is banned (`hard_blacklisted`); enough of its words are suspicious (`soft_blacklisted`); its letters and digits hold a banned
/// word anywhere (`blacklisted_subword`). Words are what stands between characters other than ASCII letters and digits.
///
/// Differences from datatrove: hosts are compared in lower case and in punycode, whichever way a list or a URL writes them; addresses
/// and hosts under unknown top-level domains can be listed; a document without URL is kept. Lists are text files, plain or gzipped,
/// one entry a line, with `#` comments; paths are relative to the recipe.
///
/// Lists of a mebibyte and more are compiled once, 7 bytes an entry, and mapped by every later process: into the folder that
/// the environment variable `GRISTMILL_CACHE` names, or `gristmill` in the user's folder for caches (`~/.cache`). Compiled lists go by the content
/// of their files, so that nothing has to be removed when a list changes; where they cannot be written, lists are read each time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlBlocklist {
    /// Files of domains and hosts, plain lists or hosts files (`0.0.0.0 bad.example`). A registered domain bans all hosts below it.
    pub domains: Vec<String>,
    /// Files of URLs.
    pub urls: Vec<String>,
    /// Folders in the layout of the UT1 lists: files `domains` and `urls`, there or one folder below. `expressions` are not read.
    pub lists: Vec<String>,
    /// Files of words that ban a URL when one of its words is one. They are stripped to letters and digits and put in lower case; the
    /// URL is not, as in datatrove.
    pub banned_words: Vec<String>,
    /// Files of words of which a URL may hold fewer than `soft_word_threshold` different ones.
    pub soft_banned_words: Vec<String>,
    /// Files of words that ban a URL wherever its letters and digits, in lower case, hold one.
    pub banned_subwords: Vec<String>,
    /// Files of domains and hosts that are kept whatever the other lists say.
    pub allow: Vec<String>,
    /// A URL with at least this many different suspicious words is dropped. 2 is FineWeb's.
    pub soft_word_threshold: u32,
    /// A listed host also bans every host below it, not only a listed registered domain. datatrove does not.
    pub match_parents: bool,
    /// Also look URLs up without scheme, `www.` and final slash, as lists such as UT1's write them. datatrove does not.
    pub ignore_scheme: bool,
}

impl Default for UrlBlocklist {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            urls: Vec::new(),
            lists: Vec::new(),
            banned_words: Vec::new(),
            soft_banned_words: Vec::new(),
            banned_subwords: Vec::new(),
            allow: Vec::new(),
            soft_word_threshold: 2,
            match_parents: false,
            ignore_scheme: false,
        }
    }
}

/// The registered domain is listed.
pub const DOMAIN: Reason = "domain";
/// The host is listed.
pub const SUBDOMAIN: Reason = "subdomain";
/// The URL is listed.
pub const URL: Reason = "url";
/// A word of the URL is banned.
pub const HARD_WORD: Reason = "hard_blacklisted";
/// Enough words of the URL are suspicious.
pub const SOFT_WORDS: Reason = "soft_blacklisted";
/// The URL holds a banned word anywhere.
pub const SUBWORD: Reason = "blacklisted_subword";

impl StageConfig for UrlBlocklist {
    const KIND: &'static str = "url_blocklist";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[DOMAIN, SUBDOMAIN, URL, HARD_WORD, SOFT_WORDS, SUBWORD];

    fn declares(&self) -> Declares {
        let files = [
            &self.domains,
            &self.urls,
            &self.lists,
            &self.banned_words,
            &self.soft_banned_words,
            &self.banned_subwords,
            &self.allow,
        ];
        Declares {
            reads: vec![columns::URL.to_owned()],
            files: files.into_iter().flatten().cloned().collect(),
            ..Declares::default()
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(Blocklist::load(self, context)?)))
    }
}

/// The loaded lists.
pub struct Blocklist {
    domains: HashedSet,
    urls: HashedSet,
    words: Words,
    banned_subwords: Option<AhoCorasick>,
    allow: HashedSet,
    match_parents: bool,
    ignore_scheme: bool,
}

impl Blocklist {
    /// Reads all lists of a configuration.
    ///
    /// # Errors
    /// [`StageError::Config`] where a list cannot be read, or none is given.
    pub fn load(config: &UrlBlocklist, context: &BuildContext) -> Result<Self, StageError> {
        if StageConfig::declares(config).files.len() == config.allow.len() {
            return Err(StageError::Config(
                "no list to block by; `domains`, `urls`, `lists`, `banned_words`, `soft_banned_words` or `banned_subwords` works"
                    .into(),
            ));
        }
        let resolve =
            |paths: &[String]| -> Vec<PathBuf> { paths.iter().map(|path| context.resolve(path)).collect() };
        let (mut domains, mut urls) = (resolve(&config.domains), resolve(&config.urls));
        for folder in &config.lists {
            let found = lists::find_lists(&context.resolve(folder))?;
            domains.extend(found.0);
            urls.extend(found.1);
        }
        let subwords = read_words(&resolve(&config.banned_subwords))?;
        let banned_subwords = if subwords.is_empty() {
            None
        } else {
            // A table of all transitions is twice as fast; it takes a kilobyte a letter, which long lists must not.
            let is_small = subwords.iter().map(String::len).sum::<usize>() < 16_384;
            let automaton = AhoCorasick::builder()
                .kind(is_small.then_some(AhoCorasickKind::DFA))
                .build(&subwords)
                .map_err(|error| StageError::Config(format!("`banned_subwords`: {error}")))?;
            Some(automaton)
        };
        let cache = compiled::cache_folder();
        let set_of = |name, paths: &[PathBuf], add: Add| Lists { name, paths, add }.load(cache.as_deref());
        Ok(Self {
            domains: set_of("hosts-1", &domains, lists::add_domains)?,
            urls: set_of("urls-1", &urls, lists::add_url)?,
            words: Words::new(
                &read_words(&resolve(&config.banned_words))?,
                &read_words(&resolve(&config.soft_banned_words))?,
                config.soft_word_threshold as usize,
            ),
            banned_subwords,
            allow: set_of("hosts-1", &resolve(&config.allow), lists::add_domains)?,
            match_parents: config.match_parents,
            ignore_scheme: config.ignore_scheme,
        })
    }

    /// Why a URL is blocked, if it is. `letters` is working memory.
    pub fn reason(&self, url: &str, letters: &mut Vec<u8>) -> Option<Reason> {
        if url.is_empty() {
            return None;
        }
        let host = host_of(url);
        let domain = registered_domain(&host);
        if !self.allow.is_empty()
            && std::iter::once(&*host).chain(parents(&host)).any(|host| self.allow.contains(host.as_bytes()))
        {
            return None;
        }
        if domain.is_some_and(|domain| self.domains.contains(domain.as_bytes())) {
            return Some(DOMAIN);
        }
        // The same string needs no second look, which would be one more line of memory that is in no cache.
        if !host.is_empty() && domain != Some(&*host) && self.domains.contains(host.as_bytes()) {
            return Some(SUBDOMAIN);
        }
        if self.match_parents && parents(&host).any(|parent| self.domains.contains(parent.as_bytes())) {
            return Some(SUBDOMAIN);
        }
        if self.has_url(url) {
            return Some(URL);
        }
        if let Some(reason) = self.words.reason(url) {
            return Some(reason);
        }
        let subwords = self.banned_subwords.as_ref()?;
        subwords.is_match(letters_of(url, letters)).then_some(SUBWORD)
    }

    fn has_url(&self, url: &str) -> bool {
        if self.urls.contains(url.as_bytes()) {
            return true;
        }
        if !self.ignore_scheme || self.urls.is_empty() {
            return false;
        }
        let bare = without_scheme(url);
        let bare = bare.strip_prefix("www.").unwrap_or(bare);
        let trimmed = bare.trim_end_matches('/');
        [bare, trimmed].iter().any(|form| self.urls.contains(form.as_bytes()))
            // Lists write directories with their slash.
            || self.urls.contains([trimmed, "/"].concat().as_bytes())
    }
}

/// The hosts above a host: `b.c` and `c` of `a.b.c`.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').map(|(dot, _)| &host[dot + 1..])
}

fn read_words(paths: &[PathBuf]) -> Result<Vec<String>, StageError> {
    let mut words = Vec::new();
    for path in paths {
        lists::for_each_line(path, |line| words.push(lists::normalise_word(line)))?;
    }
    words.retain(|word| !word.is_empty());
    words.sort();
    words.dedup();
    Ok(words)
}

impl Filter for Blocklist {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let urls = documents.strings(columns::URL)?;
        let mut letters = Vec::new();
        Ok(urls.iter().map(|url| self.reason(url.unwrap_or(""), &mut letters).into()).collect())
    }
}

#[cfg(test)]
mod tests;
