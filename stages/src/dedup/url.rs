//! When two addresses mean the same page: the canonical form that `url_dedup` compares.

use std::borrow::Cow;
use std::fmt::Write;

use crate::url_blocklist::host::{host_of, without_scheme};

/// Query parameters that say where a visitor came from or who they are, never what they see. Lower case; `*` stands for any end.
const VISITOR_PARAMETERS: &[&str] = &[
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "_openstat",
    "aspsessionid*",
    "cfid",
    "cftoken",
    "dclid",
    "fbclid",
    "gad_campaignid",
    "gad_source",
    "gbraid",
    "gclid",
    "gclsrc",
    "hsa_*",
    "igsh",
    "igshid",
    "jsessionid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "mtm_*",
    "oly_anon_id",
    "oly_enc_id",
    "oscsid",
    "phpsessid",
    "piwik_*",
    "pk_*",
    "session_id",
    "sessionid",
    "srsltid",
    "ttclid",
    "twclid",
    "utm_*",
    "vero_id",
    "wbraid",
    "wickedid",
    "yclid",
    "ysclid",
    "zenid",
];

/// The canonical form of an address. It is a key and not an address: nobody should fetch it.
///
/// - The scheme goes if it is `http` or `https`; so do `www.`, the user, `:80` of http and `:443` of https.
/// - The host is in lower case and in punycode.
/// - The fragment goes, except behind `#!`, where single-page applications kept their address.
/// - Escapes of unreserved characters are decoded, what must be escaped is, and escapes have upper-case digits.
/// - `.` and `..` are resolved; session ids of the path (`;jsessionid=…`, `/(S(…))/`) and slashes at its end go.
/// - Parameters that say nothing about the page go, the others are sorted.
///
/// A text without `//` in front of its host is only trimmed. A canonical form with `http://` in front has itself for its
/// canonical form.
pub fn canonical_url(url: &str) -> String {
    let url = url.trim();
    let rest = without_scheme(url);
    let scheme = url[..url.len() - rest.len()].to_ascii_lowercase();
    if scheme.is_empty() {
        return url.to_owned();
    }
    let (page, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let host_end = page.find(['/', '\\', '?']).unwrap_or(page.len());
    let (authority, path_and_query) = page.split_at(host_end);
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));

    let is_web = ["http://", "https://", "//"].contains(&&*scheme);
    let mut canonical = if is_web { String::new() } else { scheme.clone() };
    push_host(&host_of(authority), &mut canonical);
    push_port(authority, &scheme, &mut canonical);
    push_path(path, &mut canonical);
    push_query(query, &mut canonical);
    if fragment.starts_with('!') {
        canonical.push('#');
        canonical.push_str(&normalised(fragment));
    }
    canonical
}

/// Without each `www.` that has a host with a dot behind it.
fn push_host(host: &str, out: &mut String) {
    // Escapes may hide capitals; in lower case, the digits of those that stay are small.
    let host = normalised(host).to_ascii_lowercase();
    let host = normalised(&host);
    let mut host = host.trim_end_matches('.');
    while let Some(rest) = host.strip_prefix("www.").filter(|rest| rest.contains('.')) {
        host = rest;
    }
    // The only hosts with a colon are addresses, which stand in brackets.
    if host.contains(':') && !host.starts_with('[') {
        out.extend(["[", host, "]"]);
    } else {
        out.push_str(host);
    }
}

fn push_port(authority: &str, scheme: &str, out: &mut String) {
    let host_and_port = authority.trim().rsplit('@').next().unwrap_or_default();
    let behind = match host_and_port.rfind(']') {
        Some(end) => &host_and_port[end + 1..],
        None if host_and_port.starts_with('[') => return, // a bracket that is never closed: all of it is the host
        None => host_and_port,
    };
    let Some((_, port)) = behind.split_once(':') else { return };
    let port = port.trim();
    let is_usual = match port.parse::<u16>() {
        Ok(443) => scheme == "https://",
        Ok(80) => scheme != "https://",
        _ => port.is_empty(),
    };
    if !is_usual {
        out.push(':');
        out.push_str(port);
    }
}

fn push_path(path: &str, out: &mut String) {
    let path = normalised(path).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match without_session(segment) {
            "." => {}
            ".." => {
                segments.pop();
            }
            // A session of its own segment, as ASP.NET writes it.
            session if session.starts_with("(S(") && session.ends_with("))") => {}
            segment => segments.push(segment),
        }
    }
    while segments.last().is_some_and(|segment| segment.is_empty()) {
        segments.pop();
    }
    for segment in segments {
        out.push('/');
        out.push_str(segment);
    }
}

/// Parameters in order, so that `?a=1&b=2` is `?b=2&a=1`.
fn push_query(query: &str, out: &mut String) {
    let mut parameters: Vec<Cow<str>> = query.split('&').map(normalised).collect();
    parameters.retain(|parameter| says_something(parameter));
    parameters.sort_unstable();
    for (i, parameter) in parameters.iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(parameter);
    }
}

fn says_something(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let is_visitors = |known: &&str| match known.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *known,
    };
    !parameter.is_empty() && !VISITOR_PARAMETERS.iter().any(is_visitors)
}

/// What stands before `;jsessionid=…`, which ends a segment.
fn without_session(segment: &str) -> &str {
    if !segment.contains(';') {
        return segment;
    }
    segment.to_ascii_lowercase().find(";jsessionid=").map_or(segment, |session| &segment[..session])
}

/// Escapes decoded where they need not be, written in one way where they must be, and made where they are missing.
fn normalised(text: &str) -> Cow<'_, str> {
    let must_be_escaped = |byte: u8| !byte.is_ascii_graphic();
    if !text.bytes().any(|byte| byte == b'%' || must_be_escaped(byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let escape = |byte: u8, out: &mut String| {
        write!(out, "%{byte:02X}").expect("strings take everything");
    };
    let mut bytes = text.as_bytes();
    while let Some((&byte, mut rest)) = bytes.split_first() {
        let code = rest.first_chunk().and_then(|digits: &[u8; 2]| {
            let value = |digit: u8| char::from(digit).to_digit(16);
            Some((value(digits[0])? * 16 + value(digits[1])?) as u8)
        });
        match code {
            Some(code) if byte == b'%' => {
                rest = &rest[2..];
                if code.is_ascii_alphanumeric() || b"-._~".contains(&code) {
                    out.push(char::from(code));
                } else {
                    escape(code, &mut out);
                }
            }
            // An escape that is none.
            _ if byte == b'%' || must_be_escaped(byte) => escape(byte, &mut out),
            _ => out.push(char::from(byte)),
        }
        bytes = rest;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_one_page_are_equal() {
        let cases = [
            ("http://example.com/a/b", "example.com/a/b"),
            ("HTTPS://WWW.Example.COM:443/a/b/#top", "example.com/a/b"),
            ("//example.com/a", "example.com/a"),
            ("http://example.com:80", "example.com"),
            ("http://example.com:", "example.com"),
            ("http://example.com:443/", "example.com:443"),
            ("https://example.com:80/", "example.com:80"),
            ("http://user:pw@example.com:8080/a", "example.com:8080/a"),
            ("http://www.www.example.com/", "example.com"),
            ("http://www.com/", "www.com"),
            ("http://[:!", "[:!"),
            ("http:// [:A", "[:a"),
            ("http://[2001:DB8:0::1]:8080/a", "[2001:db8::1]:8080/a"),
            ("http://[2001:db8::1]:80/a", "[2001:db8::1]/a"),
            ("http://example.com/?", "example.com"),
            ("http://example.com./x", "example.com/x"),
            ("http://example.com/a?b=2&a=1&utm_source=x&UTM_medium=y&gclid=1&&", "example.com/a?a=1&b=2"),
            ("http://example.com/a?utm%5Fid=1&fbclid&b", "example.com/a?b"),
            ("http://example.com/?id=42647", "example.com?id=42647"),
            ("http://example.com?id=42647", "example.com?id=42647"),
            ("http://example.com/A%7eb%2fc%c3%a9%zz%4", "example.com/A~b%2Fc%C3%A9%25zz%254"),
            ("http://example.com/a;jsessionid=1A2B?x=1", "example.com/a?x=1"),
            ("http://example.com/a;JSESSIONID=1A2B/b;v=2", "example.com/a/b;v=2"),
            ("http://example.com/(S(lit3py55t21z5v55vlm25s55))/a.aspx", "example.com/a.aspx"),
            ("http://example.com/a?PHPSESSID=123&ASPSESSIONIDQQ=4", "example.com/a"),
            ("http://example.com/app#!/page/2", "example.com/app#!/page/2"),
            ("http://example.com/a%", "example.com/a%25"),
            ("http://example.com/a/./b/../c/", "example.com/a/c"),
            ("http://example.com/../../a/%2e%2E/b/.", "example.com/b"),
            ("http://example.com\\a\\b", "example.com/a/b"),
            ("http://example.com/a//b//", "example.com/a//b"),
            ("http://example.com/a b?c d", "example.com/a%20b?c%20d"),
            ("http://müller.example/Straße?q=ü", "xn--mller-kva.example/Stra%C3%9Fe?q=%C3%BC"),
            (
                "http://xn--mller-kva.example/Stra%c3%9fe?q=%C3%BC",
                "xn--mller-kva.example/Stra%C3%9Fe?q=%C3%BC",
            ),
            ("http://example.com/http://other.example/", "example.com/http://other.example"),
            ("FTP://example.com/a", "ftp://example.com/a"),
            ("example.com/?u=http://other.example", "example.com/?u=http://other.example"),
            (" not an address ", "not an address"),
            ("urn:isbn:0", "urn:isbn:0"),
            ("http://www. x%2E:", "www.%20x"),
            ("http://%%4aX%c3%bc/", "%25jx%C3%BC"),
            ("http://", ""),
            ("", ""),
        ];
        for (url, expected) in cases {
            assert_eq!(canonical_url(url), expected, "{url:?}");
        }
    }

    #[test]
    fn addresses_of_different_pages_differ() {
        for (a, b) in [
            ("http://example.com/a", "http://example.com/A"),
            ("http://example.com/a?page=1", "http://example.com/a?page=2"),
            ("http://example.com/a?sid=1", "http://example.com/a?sid=2"),
            ("http://a.example.com/", "http://b.example.com/"),
            ("http://example.com:8080/", "http://example.com/"),
            ("http://example.com/a%2Fb", "http://example.com/a/b"),
            ("http://example.com/a;jsessionid=1/b", "http://example.com/a;jsessionid=1/c"),
            ("http://example.com/a?b=%26c", "http://example.com/a?b=&c"),
            ("http://example.com/a?b%3Dc", "http://example.com/a?b=c"),
        ] {
            assert_ne!(canonical_url(a), canonical_url(b), "{a} {b}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn scheme_and_fragment_never_matter(rest in "[a-z0-9./?&=%;:é]{0,40}") {
            let canonical = canonical_url(&format!("http://x.example/{rest}"));
            prop_assert_eq!(&canonical, &canonical_url(&format!("https://www.x.example/{rest}#part")));
        }

        #[test]
        fn nothing_panics(url in "\\PC{0,60}") {
            canonical_url(&url);
            canonical_url(&format!("http://{url}"));
        }

        #[test]
        fn a_canonical_form_is_its_own(url in any::<String>(), common in "[a-zA-Z0-9./?&=%;:@#!()\\\\é_ -]{0,40}") {
            for url in [url, common] {
                let canonical = canonical_url(&format!("http://{url}"));
                prop_assert_eq!(&canonical_url(&format!("http://{canonical}")), &canonical, "{}", url);
            }
        }

        #[test]
        fn the_order_of_parameters_does_not_matter(parameters in prop::collection::vec("[a-c%2F=]{0,6}", 0..6), turn in 0_usize..6) {
            let mut turned = parameters.clone();
            turned.rotate_left(turn.min(parameters.len()));
            let url = |parameters: &[String]| canonical_url(&format!("http://x.example/?{}", parameters.join("&")));
            prop_assert_eq!(url(&parameters), url(&turned));
        }
    }
}
