//! When two addresses mean the same page: the canonical form that `url_dedup` compares.

/// Query parameters that say where a visitor came from or who they are, never what they see.
const TRACKING: &[&str] = &[
    "_ga",
    "_gl",
    "dclid",
    "fbclid",
    "gad_source",
    "gbraid",
    "gclid",
    "igshid",
    "jsessionid",
    "mc_cid",
    "mc_eid",
    "msclkid",
    "phpsessid",
    "srsltid",
    "twclid",
    "wbraid",
    "yclid",
];

/// The canonical form of an address. It is a key and not an address: nobody should fetch it.
///
/// - The scheme and `www.` go, the host is lowercased, `:80` of http and `:443` of https go.
/// - The fragment goes, except behind `#!`, where single-page applications kept their address.
/// - Escapes of unreserved characters are decoded, others have upper-case digits.
/// - `;jsessionid=…` and trailing slashes of the path go.
/// - Parameters are sorted; tracking and session parameters (`utm_…`, `gclid`, …) and empty ones go.
///
/// An address without `://` is only trimmed.
pub fn canonical_url(url: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = match rest.split_once('#') {
        Some((page, fragment)) if !fragment.starts_with('!') => page,
        _ => rest,
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path_and_query) = rest.split_at(host_end);
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));

    let host = host.to_lowercase();
    let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let host = host.strip_suffix(default_port).unwrap_or(&host).trim_end_matches('.');
    let mut canonical = host.strip_prefix("www.").unwrap_or(host).to_owned();

    let path = path.to_ascii_lowercase().find(";jsessionid=").map_or(path, |session| &path[..session]);
    push_normalised(path.trim_end_matches('/'), &mut canonical);

    let mut parameters: Vec<&str> = query.split('&').filter(|parameter| says_something(parameter)).collect();
    parameters.sort_unstable();
    for (i, parameter) in parameters.iter().enumerate() {
        canonical.push(if i == 0 { '?' } else { '&' });
        push_normalised(parameter, &mut canonical);
    }
    canonical
}

fn says_something(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    !parameter.is_empty() && !name.starts_with("utm_") && !TRACKING.contains(&name.as_str())
}

fn push_normalised(escaped: &str, out: &mut String) {
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        rest = match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
                &after[2..]
            }
            Some(byte) => {
                out.push_str(&format!("%{byte:02X}"));
                &after[2..]
            }
            None => {
                out.push('%');
                after
            }
        };
    }
    out.push_str(rest);
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
            ("http://example.com:80", "example.com"),
            ("http://example.com:443/", "example.com:443"),
            ("http://example.com/?", "example.com"),
            ("http://example.com./x", "example.com/x"),
            ("http://example.com/a?b=2&a=1&utm_source=x&UTM_medium=y&gclid=1&&", "example.com/a?a=1&b=2"),
            ("http://example.com/?id=42647", "example.com?id=42647"),
            ("http://example.com?id=42647", "example.com?id=42647"),
            ("http://example.com/A%7eb%2fc%c3%a9%zz%4", "example.com/A~b%2Fc%C3%A9%zz%4"),
            ("http://example.com/a;jsessionid=1A2B?x=1", "example.com/a?x=1"),
            ("http://example.com/a?PHPSESSID=123", "example.com/a"),
            ("http://example.com/app#!/page/2", "example.com/app#!/page/2"),
            ("http://example.com/a%", "example.com/a%"),
            ("http://müller.example/Straße?q=ü", "müller.example/Straße?q=ü"),
            (" not an address ", "not an address"),
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
            ("http://a.example.com/", "http://b.example.com/"),
            ("http://example.com:8080/", "http://example.com/"),
            ("http://example.com/a%2Fb", "http://example.com/a/b"),
        ] {
            assert_ne!(canonical_url(a), canonical_url(b), "{a} {b}");
        }
    }

    #[test]
    fn tracking_parameters_are_sorted_lowercase() {
        assert!(TRACKING.is_sorted() && TRACKING.iter().all(|name| *name == name.to_lowercase()));
    }

    proptest! {
        #[test]
        fn any_input_is_fine_and_scheme_and_fragment_never_matter(rest in "[a-z0-9./?&=%;:é]{0,40}") {
            let canonical = canonical_url(&format!("http://x.example/{rest}"));
            prop_assert_eq!(&canonical, &canonical_url(&format!("https://www.x.example/{rest}#part")));
        }

        #[test]
        fn nothing_panics(url in "\\PC{0,60}") {
            canonical_url(&url);
            canonical_url(&format!("http://{url}"));
        }
    }
}
