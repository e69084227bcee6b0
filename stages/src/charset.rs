//! From the bytes of a page to text.
//!
//! In order: byte order mark, valid UTF-8 (8 GB/s, most of the web), nearly valid UTF-8, what HTTP says, what the
//! page says, and only then a guess (chardetng, 30-50 MB/s). A declaration that does not decode is not believed;
//! two that disagree are settled by the guess. NUL and other controls stay: dropping them is the extractor's task.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    Encoding, GB18030, GBK, ISO_2022_JP, KOI8_R, KOI8_U, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE,
    X_USER_DEFINED,
};
use memchr::memmem;

/// How far into a page its own declaration is looked for. The HTML standard's prescan ends at 1,024; browsers read on
/// where a long head comes first.
const PRESCAN_BYTES: usize = 8 << 10;
/// How much of a page is guessed from: enough for any script, bounded in time.
const GUESS_BYTES: usize = 64 << 10;

/// Decodes a page. `content_type` is the HTTP field. Gives the text and the encoding that was used.
pub fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> (Cow<'a, str>, &'static Encoding) {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return (encoding.decode_without_bom_handling(&bytes[length..]).0, encoding);
    }
    let encoding = detect(bytes, content_type);
    if encoding == UTF_8 {
        return (String::from_utf8_lossy(bytes), UTF_8);
    }
    (encoding.decode_without_bom_handling(bytes).0, encoding)
}

fn detect(bytes: &[u8], content_type: Option<&str>) -> &'static Encoding {
    if let Some(encoding) = utf_16_without_mark(bytes) {
        return encoding;
    }
    match std::str::from_utf8(bytes) {
        Ok(_) if is_iso_2022_jp(bytes) => return ISO_2022_JP,
        Ok(_) => return UTF_8,
        Err(_) if is_nearly_utf_8(bytes) => return UTF_8,
        Err(_) => {}
    }
    let http = content_type.and_then(charset_parameter).and_then(|label| believable(label.as_bytes(), bytes));
    let meta = prescan(&bytes[..bytes.len().min(PRESCAN_BYTES)]).and_then(|label| believable(label, bytes));
    match (http, meta) {
        (Some(http), Some(meta)) if http != meta => {
            if family(guess(bytes)) == family(meta) {
                meta
            } else {
                http
            }
        }
        (Some(encoding), _) | (None, Some(encoding)) => encoding,
        (None, None) => guess(bytes),
    }
}

/// The encoding of a label, if it can be the page's: it is not UTF-8 (that was tried) and decodes without error.
fn believable(label: &[u8], bytes: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label)?;
    if [UTF_8, UTF_16LE, UTF_16BE, REPLACEMENT, X_USER_DEFINED].contains(&encoding) {
        return None;
    }
    let (text, errors) = encoding.decode_without_bom_handling(bytes);
    // A page cut by the crawler, or one with a handful of typing errors, is still in its encoding.
    let bad = if errors { text.matches('\u{fffd}').count() } else { 0 };
    (bad * 100 <= bytes.iter().filter(|byte| **byte >= 0x80).count().max(200)).then_some(encoding)
}

/// The detector knows only the larger of two encodings where one extends the other.
fn family(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == GBK {
        GB18030
    } else if encoding == KOI8_R {
        KOI8_U
    } else {
        encoding
    }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    // Markup tells nothing: begin where the first byte above ASCII stands.
    let from = bytes.iter().position(|byte| *byte >= 0x80).unwrap_or(0).saturating_sub(64);
    detector.feed(&bytes[from..bytes.len().min(from + GUESS_BYTES)], true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Escape sequences in ASCII that give Japanese; a stray escape among other characters says nothing.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    if memchr::memchr(0x1b, bytes).is_none() || !bytes.is_ascii() {
        return false;
    }
    let (text, errors) = ISO_2022_JP.decode_without_bom_handling(bytes);
    !errors && text.chars().any(|c| c > '\u{3000}')
}

/// At most one broken sequence in ten: UTF-8 that a crawler cut or that an editor hurt.
fn is_nearly_utf_8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        // Continuation bytes are not counted, so this is the number of multi-byte sequences.
        good += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    bad * 9 <= good
}

fn utf_16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(1024) & !1];
    memchr::memchr(0, head)?;
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = head.len() / 5;
    match () {
        () if odd > many && even * 10 < odd => Some(UTF_16LE),
        () if even > many && odd * 10 < even => Some(UTF_16BE),
        () => None,
    }
}

/// The value of `charset=` in a content type.
fn charset_parameter(content_type: &str) -> Option<&str> {
    let at = content_type.to_ascii_lowercase().find("charset")?;
    let value = content_type.get(at + 7..)?.trim_start().strip_prefix('=')?.trim_start();
    let value = value.trim_start_matches(['"', '\'']);
    let end = value.find(|c: char| c == ';' || c == '"' || c == '\'' || c == ',' || c.is_whitespace());
    Some(&value[..end.unwrap_or(value.len())])
}

/// What the page says of itself: `<meta charset=x>`, `<meta ... content="...; charset=x">`, `<?xml encoding="x"?>`.
fn prescan(head: &[u8]) -> Option<&[u8]> {
    let lower = head.to_ascii_lowercase();
    let mut found = memmem::find_iter(&lower, b"<meta").find_map(|at| {
        let end = memchr::memchr(b'>', &lower[at..]).map_or(lower.len(), |length| at + length);
        value_after(&lower[at..end], b"charset").map(|(from, to)| (at + from, at + to))
    });
    if found.is_none() && lower.trim_ascii_start().starts_with(b"<?xml") {
        let end = memchr::memchr(b'>', &lower).unwrap_or(lower.len());
        found = value_after(&lower[..end], b"encoding");
    }
    found.map(|(from, to)| &head[from..to])
}

/// The range of the value in `name = "value"`.
fn value_after(tag: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    memmem::find_iter(tag, name).find_map(|at| {
        let mut from = at + name.len();
        let mut equals = false;
        while let Some(byte) = tag.get(from) {
            match byte {
                b'=' if !equals => equals = true,
                b'"' | b'\'' if equals => {}
                byte if byte.is_ascii_whitespace() => {}
                _ => break,
            }
            from += 1;
        }
        let stops = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b';' | b'/' | b'>' | b'?')
        };
        let to = from + tag[from..].iter().position(stops).unwrap_or(tag.len() - from);
        (equals && to > from).then_some((from, to))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &[u8], http: Option<&str>, text: &str, encoding: &str) {
        let (found, by) = decode(bytes, http);
        assert_eq!((found.as_ref(), by.name()), (text, encoding));
    }

    #[test]
    fn each_way_in_its_turn() {
        check(b"\xef\xbb\xbfcaf\xc3\xa9", Some("text/html; charset=latin1"), "café", "UTF-8");
        check(b"\xff\xfea\0b\0", None, "ab", "UTF-16LE");
        check("naïve".as_bytes(), Some("text/html; charset=windows-1252"), "naïve", "UTF-8");
        check(b"caf\xe9", Some("text/html; charset=\"ISO-8859-1\""), "café", "windows-1252");
        check(
            b"<meta charset='windows-1251'>\xcf\xf0\xe8",
            None,
            "<meta charset='windows-1251'>При",
            "windows-1251",
        );
        check(
            b"<META http-equiv=x content=\"text/html; charset=koi8-r\">\xf0",
            None,
            "<META http-equiv=x content=\"text/html; charset=koi8-r\">П",
            "KOI8-R",
        );
        check(b"\x1b$B$3$s\x1b(B", None, "こん", "ISO-2022-JP");
        check(b"<\0p\0>\0h\0i\0", None, "<p>hi", "UTF-16LE");
    }

    #[test]
    fn a_stray_escape_makes_no_page_japanese() {
        check("日本\u{1b}語".as_bytes(), None, "日本\u{1b}語", "UTF-8");
        check(b"red \x1b[31m", None, "red \u{1b}[31m", "UTF-8");
    }

    /// The small twin of `real_pages_decode_by_their_true_charset`: own sentences in the encodings of old pages,
    /// declared by the server, by the page (late in it, too), by both, wrongly by one, or not at all.
    #[test]
    fn sentences_of_old_pages_decode_by_their_true_charset() {
        const SENTENCES: &[(&str, &str)] = &[
            (
                "windows-1252",
                "Die Mühle mahlt, solange der Bach fließt; über Größe und Güte entscheidet der Müller.",
            ),
            (
                "windows-1252",
                "Le meunier a fermé la vanne, parce que la rivière débordait déjà près de l’église.",
            ),
            (
                "windows-1250",
                "Mlynář čekal, až se řeka uklidní; potom pustil kolo a semlel žito pro celou vesnici.",
            ),
            (
                "ISO-8859-2",
                "Młynarz czekał, aż woda opadnie, i dopiero wtedy puścił koło; mąka była gotowa o świcie.",
            ),
            ("windows-1251", "Мельник ждал, пока спадёт вода, и только потом пустил колесо."),
            ("KOI8-R", "Мельник ждал, пока спадёт вода, и только потом пустил колесо."),
            ("windows-1253", "Ο μυλωνάς περίμενε να πέσει το νερό και ύστερα άνοιξε τη θύρα."),
            (
                "windows-1254",
                "Değirmenci suyun çekilmesini bekledi, sonra çarkı döndürdü; un şafakta hazırdı, işçiler güldü.",
            ),
            ("windows-1255", "הטוחן חיכה עד שהמים ירדו, ורק אז פתח את השער."),
            ("windows-1256", "انتظر الطحان حتى هدأ النهر ثم فتح البوابة ودارت العجلة."),
            ("Shift_JIS", "粉屋は水が引くのを待ってから、水門を開けて水車を回した。"),
            ("EUC-JP", "粉屋は水が引くのを待ってから、水門を開けて水車を回した。"),
            ("ISO-2022-JP", "粉屋は水が引くのを待ってから、水門を開けて水車を回した。"),
            ("EUC-KR", "방앗간 주인은 물이 빠지기를 기다렸다가 수문을 열고 물레방아를 돌렸다."),
            ("gb18030", "磨坊主等到水退了，才打开闸门，让水车转动起来，天亮的时候面粉已经磨好了。"),
            ("Big5", "磨坊主等到水退了，才打開閘門，讓水車轉動起來，天亮的時候麵粉已經磨好了。"),
            ("UTF-8", "Mlynář čekal — 磨坊主等到水退了 — мельник ждал."),
        ];
        let mut wrong = Vec::new();
        let mut n = 0;
        for &(name, sentence) in SENTENCES {
            let encoding = Encoding::for_label(name.as_bytes()).expect("known");
            let lie = if name == "windows-1251" { "koi8-r" } else { "windows-1251" };
            let http = |label: &str| Some(format!("text/html; charset={label}"));
            let meta = |label: &str| format!("<meta charset=\"{label}\">");
            let late = format!("<script>{}</script>{}", "var stone = 1;".repeat(200), meta(name));
            let ways = [
                (http(name), String::new()),
                (None, meta(name)),
                (None, late),
                (http(name), meta(name)),
                (http("utf-8"), meta(name)),
                (http(name), meta("utf-8")),
                (http(lie), meta(name)),
                (http(name), meta(lie)),
                (None, String::new()),
            ];
            for (http, meta) in ways {
                let page = format!("{meta}<title>x</title>{}", format!("<p>{sentence}").repeat(8));
                let (bytes, _, unmapped) = encoding.encode(&page);
                assert!(!unmapped, "{name} cannot write its sentence");
                let (text, by) = decode(&bytes, http.as_deref());
                n += 1;
                if text != page {
                    wrong.push(format!("{name} http={http:?} {} read as {}", &page[..30], by.name()));
                }
            }
        }
        assert!(wrong.len() * 100 <= n, "{} of {n} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn a_hurt_sequence_does_not_spoil_utf_8() {
        let mut bytes = "é".repeat(20).into_bytes();
        bytes.pop();
        check(
            &bytes,
            Some("text/html; charset=windows-1252"),
            &format!("{}\u{fffd}", "é".repeat(19)),
            "UTF-8",
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(any::<u8>(), 0..200), http in ".{0,30}") {
            decode(&bytes, Some(&http));
            decode(&[b"<meta charset=", &bytes[..]].concat(), None);
        }
    }
}
