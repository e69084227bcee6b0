//! The host of a URL and its registered domain.

use std::borrow::Cow;
use std::net::IpAddr;

/// The host of a URL in lower case, without user, port and the root's dot. The scheme may be missing.
pub fn host_of(url: &str) -> Cow<'_, str> {
    let rest = without_scheme(url.trim());
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let host = host.trim().trim_end_matches('.');
    if host.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(host.to_lowercase())
    } else {
        Cow::Borrowed(host)
    }
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
    let looks_like_address = host.ends_with(|last: char| last.is_ascii_digit()) || host.contains(':');
    if looks_like_address && host.parse::<IpAddr>().is_ok() {
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
            ("http://[2001:db8::1]:80/", "2001:db8::1"),
            ("https://ÜBER.example", "über.example"),
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
