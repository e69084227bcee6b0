//! The order of the checks, and pages whose addresses are known to be blocked.

use std::io::Read;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn write(folder: &Path, name: &str, lines: &str) -> Vec<String> {
    std::fs::write(folder.join(name), lines).unwrap();
    vec![name.to_owned()]
}

fn context(base: &Path) -> BuildContext {
    BuildContext { base: base.to_owned(), seed: 0 }
}

fn example(folder: &Path) -> UrlBlocklist {
    UrlBlocklist {
        domains: write(folder, "domains", "bad.example.com\nworse.com\n10.1.2.3\nuser.github.io\n"),
        urls: write(folder, "urls", "https://fine.org/one-page\nfine.org/dir/\n"),
        banned_words: write(folder, "hard", "#comment\nx-rated\nfoulword\n"),
        soft_banned_words: write(folder, "soft", "foo\nbar\nbaz\n"),
        banned_subwords: write(folder, "sub", "two words\n\nnasty\n"),
        allow: write(folder, "allow", "good.worse.com\n"),
        ..UrlBlocklist::default()
    }
}

#[test]
fn each_check_and_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let list = Blocklist::load(&example(folder.path()), &context(folder.path())).unwrap();
    for (url, expected) in [
        ("https://worse.com/", Some(DOMAIN)),
        ("https://www.WORSE.com/foulword", Some(DOMAIN)),
        ("https://good.worse.com/nasty", None),
        ("https://a.good.worse.com/", None),
        ("https://bad.example.com/foulword", Some(SUBDOMAIN)),
        ("https://a.bad.example.com/", None),
        ("http://10.1.2.3:80/", Some(SUBDOMAIN)),
        ("https://user.github.io/", Some(SUBDOMAIN)),
        ("https://other.github.io/", None),
        ("https://fine.org/one-page", Some(URL)),
        ("http://fine.org/one-page", None),
        ("https://fine.org/dir/", None),
        ("https://fine.org/foulword/foo/bar", Some(HARD_WORD)),
        ("https://fine.org/Foulword/", None),
        ("https://fine.org/foulwords/", None),
        ("https://fine.org/xrated/", Some(HARD_WORD)),
        ("https://fine.org/foo/foo", None),
        ("https://fine.org/foo?bar=nasty", Some(SOFT_WORDS)),
        ("https://fine.org/TWO-words", Some(SUBWORD)),
        ("https://fine.org/dyNAsty", Some(SUBWORD)),
        ("https://fine.org/comment", None),
        ("", None),
    ] {
        assert_eq!(list.reason(url, &mut Vec::new()), expected, "{url}");
    }
}

#[test]
fn the_optional_matches() {
    let folder = tempfile::tempdir().unwrap();
    let config = UrlBlocklist { match_parents: true, ignore_scheme: true, ..example(folder.path()) };
    let list = Blocklist::load(&config, &context(folder.path())).unwrap();
    let reason = |url| list.reason(url, &mut Vec::new());
    assert_eq!(reason("https://a.bad.example.com/"), Some(SUBDOMAIN));
    assert_eq!(reason("http://www.fine.org/dir"), Some(URL));
    assert_eq!(reason("http://fine.org/dir/"), Some(URL));
    assert_eq!(reason("http://fine.org/dir/deeper"), None);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message =
        |config: UrlBlocklist| Blocklist::load(&config, &context(folder.path())).err().unwrap().to_string();
    assert!(message(UrlBlocklist::default()).contains("no list"));
    let absent = UrlBlocklist { domains: vec!["none.txt".into()], ..UrlBlocklist::default() };
    assert!(message(absent).contains("none.txt"));
}

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

/// Rows of a tab-separated file, by column names.
fn unpack(path: &str) -> Option<String> {
    let packed = std::fs::File::open(format!("{SHARED}/{path}")).ok()?;
    let mut rows = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut rows).ok()?;
    Some(rows)
}

#[test]
fn the_marked_pages_of_the_crawl_are_blocked_and_no_others() {
    let Some(rows) = unpack("warc_debian/truth.tsv.gz") else {
        eprintln!("SKIPPED: {SHARED}/warc_debian is absent; the other tests stand in for it");
        return;
    };
    let config = UrlBlocklist {
        domains: vec!["warc_debian/blocked_hosts.txt".into()],
        urls: vec!["warc_debian/blocked_urls.txt".into()],
        ..UrlBlocklist::default()
    };
    let list = Blocklist::load(&config, &context(Path::new(SHARED))).unwrap();
    let mut lines = rows.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name| names.iter().position(|&found| found == name).unwrap();
    let (uri, blocked) = (column("uri"), column("blocked"));
    let mut n_blocked = 0;
    for row in lines {
        let fields: Vec<&str> = row.split('\t').collect();
        let reason = list.reason(fields[uri], &mut Vec::new());
        assert_eq!(reason.is_some(), !fields[blocked].is_empty(), "{} {reason:?}", fields[uri]);
        n_blocked += reason.is_some() as u32;
    }
    assert!(n_blocked > 100, "{n_blocked}");
}

#[test]
fn ut1_folders_load_whole() {
    if !Path::new(SHARED).exists() {
        eprintln!("SKIPPED: {SHARED} is absent; the test of a small folder stands in for it");
        return;
    }
    let config =
        UrlBlocklist { lists: vec!["blocklists/ut1".into()], ignore_scheme: true, ..UrlBlocklist::default() };
    let list = Blocklist::load(&config, &context(Path::new(SHARED))).unwrap();
    assert!(list.domains.len() > 40_000 && list.urls.len() > 19_000, "{}", list.domains.len());
    assert_eq!(list.reason("http://abclan.com/hack/", &mut Vec::new()), Some(URL));
}

proptest! {
    #[test]
    fn any_url_is_fine(url in any::<String>(), common in "(https?:)?//[a-z0-9.@:\\[\\]-]{0,20}/[a-zA-Z/é%]{0,20}") {
        let folder = tempfile::tempdir().unwrap();
        let config = UrlBlocklist { match_parents: true, ignore_scheme: true, ..example(folder.path()) };
        let list = Blocklist::load(&config, &context(folder.path())).unwrap();
        list.reason(&url, &mut Vec::new());
        list.reason(&common, &mut Vec::new());
    }
}
