//! The host of a URL and its registered domain.

use std::borrow::Cow;
use std::net::IpAddr;

/// The host of a URL without user, port and the root's dot, in the form in which hosts are compared: lower case, escapes
/// decoded, other letters than ASCII's in punycode, addresses as short as they can be written. The scheme may be missing.
pub fn host_of(url: &str) -> Cow<'_, str> {
    let rest = without_scheme(url.trim());
    let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit('@').next().unwrap_or("");
    if host.starts_with('[') {
        let host = host.split_inclusive(']').next().unwrap_or("");
        return address(host).map_or(Cow::Borrowed(host), Cow::Owned);
    }
    comparable(host.split(':').next().unwrap_or("").trim())
}

/// An IP address, in brackets or not, as short as it can be written.
pub fn address(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // Parsing a name would fail, but not for nothing.
    let may_be_one = bare.contains(':') || bare.ends_with(|last: char| last.is_ascii_digit());
    may_be_one.then(|| bare.parse::<IpAddr>().ok()).flatten().map(|address| address.to_string())
}

fn comparable(host: &str) -> Cow<'_, str> {
    let host = host.trim_end_matches('.');
    if host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)) {
        return Cow::Borrowed(host);
    }
    let decoded = decoded(host);
    // Turned down: what holds a character that ends a host, or becomes one.
    if let Ok(ascii) = idna::domain_to_ascii_cow(decoded.as_bytes(), idna::AsciiDenyList::URL) {
        return Cow::Owned(ascii.trim_end_matches('.').to_owned());
    }
    Cow::Owned(decoded.trim_end_matches('.').to_lowercase())
}

/// Without escapes, if what comes out can be a host.
fn decoded(host: &str) -> Cow<'_, str> {
    if !host.contains('%') {
        return Cow::Borrowed(host);
    }
    let decoded = percent_encoding::percent_decode_str(host).decode_utf8_lossy();
    let ends_a_host = |c: char| c.is_whitespace() || c.is_control() || "#%/:<>?@[\\]^|".contains(c);
    if decoded.contains(ends_a_host) { Cow::Borrowed(host) } else { decoded }
}

/// What follows `scheme://` or `//`.
pub fn without_scheme(url: &str) -> &str {
    let Some(slashes) = url.find("//") else { return url };
    let scheme = &url[..slashes];
    let is_scheme = scheme.is_empty()
        || scheme.strip_suffix(':').is_some_and(|scheme| {
            scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
    if is_scheme { &url[slashes + 2..] } else { url }
}

/// The domain that was registered: one label below a public suffix of ICANN's part of the list, so that `a.github.io` belongs to
/// `github.io`. `None` for an address and for a public suffix itself. Under a top-level domain that the list does not know, the
/// last two labels.
pub fn registered_domain(host: &str) -> Option<&str> {
    if address(host).is_some() {
        return None;
    }
    let mut suffix = psl::suffix(host.as_bytes())?;
    // Private suffixes (`github.io`) are registered domains themselves, or lie below one.
    while suffix.typ() == Some(psl::Type::Private) {
        let bytes = suffix.as_bytes();
        let dot = memchr::memchr(b'.', bytes)?;
        let parent = &host[host.len() - (bytes.len() - dot - 1)..];
        suffix = psl::suffix(parent.as_bytes())?;
    }
    let before = host.len().checked_sub(suffix.as_bytes().len() + 1)?;
    let start = host[..before].rfind('.').map_or(0, |dot| dot + 1);
    (start < before).then(|| &host[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts() {
        for (url, host) in [
            ("https://User:pw@WWW.Example.COM.:8080/a@b?c#d", "www.example.com"),
            ("example.com/path//x", "example.com"),
            ("//cdn.example.com?x", "cdn.example.com"),
            ("http://[2001:DB8:0::1]:80/", "2001:db8::1"),
            ("http://[no address]:80/", "[no address]"),
            ("http://[::1", "[::1"),
            ("https://ÜBER.example", "xn--ber-goa.example"),
            ("https://xn--ber-goa.example/", "xn--ber-goa.example"),
            ("https://中国。政府/", "xn--fiqs8s.xn--mxtq1m"),
            ("https://example%2Ecom/", "example.com"),
            ("https://%C3%BCber.example/", "xn--ber-goa.example"),
            ("https://%ff.example/", "\u{FFFD}.example"),
            ("https://A%zz.example/", "a%zz.example"),
            ("https://a%2Fb.example/", "a%2fb.example"),
            ("https://a b.example/", "a b.example"),
            ("https://user@evil@good.example/", "good.example"),
            ("https://good.example\\@bad.example/", "good.example"),
            (" \thttps://example.com/ \r\n", "example.com"),
            ("https://example.com..", "example.com"),
            ("https://:80/", ""),
            ("https://a_b.example:x", "a_b.example"),
            ("", ""),
            ("http://", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn registered_domains() {
        for (host, domain) in [
            ("www.example.com", Some("example.com")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("user.github.io", Some("github.io")),
            ("github.io", Some("github.io")),
            ("x.y.blogspot.co.uk", Some("blogspot.co.uk")),
            ("co.uk", None),
            ("com", None),
            ("a.b.unknown-tld", Some("b.unknown-tld")),
            ("10.0.0.1", None),
            ("2001:db8::1", None),
            ("www.xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("www.example.xn--p1ai", Some("example.xn--p1ai")),
            // `公司.cn` is a public suffix, written so and in punycode.
            ("www.example.xn--55qx5d.cn", Some("example.xn--55qx5d.cn")),
            ("", None),
        ] {
            assert_eq!(registered_domain(host), domain, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_fine(text in any::<String>(), host in "[a-z0-9.:/@\\[\\]é-]{0,40}") {
            for url in [text, host] {
                let host = host_of(&url);
                if let Some(domain) = registered_domain(&host) {
                    prop_assert!(host.ends_with(domain));
                }
            }
        }
    }
}
