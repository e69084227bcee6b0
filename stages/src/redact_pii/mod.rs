//! `redact_pii`: replaces personal data in the text.

pub mod find;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, LargeStringArray, LargeStringBuilder};
use gristmill_corpus::columns;
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::documents::Documents;
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};

/// Replaces e-mail addresses and public IP addresses in `text`, as FineWeb does; telephone, bank account and card numbers if asked.
///
/// What counts as an e-mail address or an IPv4 address is what datatrove's PIIFormatter takes for one. Which replacement stands in
/// is fixed by a hash of what it replaces: the same address becomes the same replacement in every document, whatever the order of
/// documents (datatrove counts through the list instead).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactPii {
    /// Replace e-mail addresses.
    pub emails: bool,
    /// Replace IPv4 addresses.
    pub ipv4: bool,
    /// Replace IPv6 addresses. datatrove does not.
    pub ipv6: bool,
    /// Leave alone the IP addresses that are not globally reachable (private, loopback, documentation and the like).
    pub only_public_ips: bool,
    /// Replace telephone numbers with a country code, as `+44 20 7946 0958`. datatrove does not.
    pub phones: bool,
    /// Replace bank account numbers (IBAN with right check digits). datatrove does not.
    pub ibans: bool,
    /// Replace payment card numbers (13 to 19 digits with a right Luhn sum). datatrove does not.
    pub cards: bool,
    /// What may stand in for an e-mail address. The defaults are FineWeb's, at domains that nobody can own (RFC 2606).
    pub email_replacements: Vec<String>,
    /// What may stand in for an IPv4 address. The defaults are of the blocks reserved for documentation (RFC 5737), where
    /// datatrove's are ordinary addresses that happened not to answer.
    pub ipv4_replacements: Vec<String>,
    /// What may stand in for an IPv6 address. The default is of the block reserved for documentation (RFC 3849).
    pub ipv6_replacements: Vec<String>,
    /// What may stand in for a telephone number. The default is of the range reserved for fiction.
    pub phone_replacements: Vec<String>,
    /// What may stand in for a bank account number.
    pub iban_replacements: Vec<String>,
    /// What may stand in for a card number.
    pub card_replacements: Vec<String>,
    /// A column for what was replaced, as `pii`; none by default. A JSON list of objects: `kind` (`email`, `ipv4`, `ipv6`, `iban`, `card`,
    /// `phone`), `start` and `end` in the text as it came in, `redacted_start` and `redacted_end` in the text as it goes out, in bytes of
    /// UTF-8. Null where nothing was. It never holds what was replaced.
    pub spans_column: Option<String>,
}

impl Default for RedactPii {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            emails: true,
            ipv4: true,
            ipv6: false,
            only_public_ips: true,
            phones: false,
            ibans: false,
            cards: false,
            email_replacements: list(&["email@example.com", "firstname.lastname@example.org"]),
            ipv4_replacements: list(&["192.0.2.1", "198.51.100.1", "203.0.113.1"]),
            ipv6_replacements: list(&["2001:db8::1"]),
            phone_replacements: list(&["+1 555 0100"]),
            iban_replacements: list(&["IBAN"]),
            card_replacements: list(&["0000 0000 0000 0000"]),
            spans_column: None,
        }
    }
}

/// One place that was replaced. Offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// What was found there.
    pub kind: &'static str,
    /// Where it began in the text as it came in.
    pub start: usize,
    /// Where it ended there.
    pub end: usize,
    /// Where its replacement begins in the text as it goes out.
    pub redacted_start: usize,
    /// Where it ends there.
    pub redacted_end: usize,
}

/// Hands each place that a rule finds to the second argument, in order, none overlapping.
type Find<'f> = &'f dyn Fn(&str, &mut dyn FnMut(Range<usize>));

impl RedactPii {
    /// The text with everything replaced, borrowed where nothing was found.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redact_with_spans(text).0
    }

    /// The text with everything replaced, and what was replaced in it, in order.
    pub fn redact_with_spans<'s, 't>(&'s self, text: &'t str) -> (Cow<'t, str>, Vec<Span>) {
        let mut text = Cow::Borrowed(text);
        let mut spans = Vec::new();
        let public = self.only_public_ips;
        // One rule after the other, each on what the last one left, as the reference does.
        let mut earlier = Vec::new();
        let mut apply = |on: bool, kind: &'static str, replacements: &'s [String], find: Find| {
            if !on {
                return;
            }
            let rule = Rule { kind, replacements, earlier: &earlier, find };
            if let Some(rewritten) = rule.replace(&text, &mut spans) {
                text = Cow::Owned(rewritten);
            }
            earlier.push(replacements);
        };
        apply(self.emails, "email", &self.email_replacements, &|text, found| find::emails(text, found));
        apply(self.ipv4, "ipv4", &self.ipv4_replacements, &|text, found| find::ipv4(text, public, found));
        apply(self.ipv6, "ipv6", &self.ipv6_replacements, &|text, found| find::ipv6(text, public, found));
        apply(self.ibans, "iban", &self.iban_replacements, &|text, found| find::ibans(text, found));
        apply(self.cards, "card", &self.card_replacements, &|text, found| find::cards(text, found));
        apply(self.phones, "phone", &self.phone_replacements, &|text, found| find::phones(text, found));
        (text, spans)
    }
}

/// Replaces what one rule finds.
struct Rule<'s> {
    kind: &'static str,
    replacements: &'s [String],
    /// The replacements of the rules that ran before.
    earlier: &'s [&'s [String]],
    find: Find<'s>,
}

impl Rule<'_> {
    /// The text with what is found replaced; `None` where nothing is. Replacements stay as they are, those of earlier rules
    /// (`spans`, moved here to where they come to lie) and those that were there before.
    fn replace(&self, text: &str, spans: &mut Vec<Span>) -> Option<String> {
        let mut rewritten = String::new();
        let mut moved = Vec::new();
        let mut earlier = spans.iter().peekable();
        let mut copied = 0;
        let mut shift = 0;
        let moved_to = |span: &Span, rewritten: &String, copied: usize| Span {
            redacted_start: rewritten.len() + span.redacted_start - copied,
            redacted_end: rewritten.len() + span.redacted_end - copied,
            ..*span
        };
        (self.find)(text, &mut |range| {
            while let Some(span) = earlier.next_if(|span| span.redacted_end <= range.start) {
                moved.push(moved_to(span, &rewritten, copied));
                shift = span.end as isize - span.redacted_end as isize;
            }
            let found = &text[range.clone()];
            let overlaps = earlier.peek().is_some_and(|span| span.redacted_start < range.end);
            if overlaps || self.is_replacement(text, &range) {
                return;
            }
            rewritten.push_str(&text[copied..range.start]);
            let redacted_start = rewritten.len();
            if let Some(index) = xxh3_64(found.as_bytes()).checked_rem(self.replacements.len() as u64) {
                rewritten.push_str(&self.replacements[index as usize]);
            }
            moved.push(Span {
                kind: self.kind,
                start: range.start.wrapping_add_signed(shift),
                end: range.end.wrapping_add_signed(shift),
                redacted_start,
                redacted_end: rewritten.len(),
            });
            copied = range.end;
        });
        if copied == 0 {
            return None;
        }
        moved.extend(earlier.map(|span| moved_to(span, &rewritten, copied)));
        *spans = moved;
        rewritten.push_str(&text[copied..]);
        Some(rewritten)
    }

    /// Whether `range` overlaps a replacement that stands in the text. One that holds a replacement of the same rule and more
    /// was not made by it (`email@example.com.au`).
    fn is_replacement(&self, text: &str, range: &Range<usize>) -> bool {
        let holds = |place: Range<usize>| range.start <= place.start && place.end <= range.end;
        self.earlier.iter().copied().flatten().any(|word| standing(word, text, range).next().is_some())
            || self
                .replacements
                .iter()
                .any(|word| standing(word, text, range).any(|place| place == *range || !holds(place)))
    }
}

/// Where `word` stands in the text so that it overlaps `range`.
fn standing(word: &str, text: &str, range: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let reach = word.len().saturating_sub(1);
    let start = range.start.saturating_sub(reach);
    let window = &text.as_bytes()[start..text.len().min(range.end + reach)];
    let places = (!word.is_empty()).then(|| memmem::find_iter(window, word.as_bytes()));
    places.into_iter().flatten().map(move |place| start + place..start + place + word.len())
}

impl StageConfig for RedactPii {
    const KIND: &'static str = "redact_pii";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        let text = vec![columns::TEXT.to_owned()];
        let mut writes = text.clone();
        writes.extend(self.spans_column.clone());
        Declares { reads: text, writes, ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        let lists = [
            (self.emails, "email_replacements", &self.email_replacements),
            (self.ipv4, "ipv4_replacements", &self.ipv4_replacements),
            (self.ipv6, "ipv6_replacements", &self.ipv6_replacements),
            (self.phones, "phone_replacements", &self.phone_replacements),
            (self.ibans, "iban_replacements", &self.iban_replacements),
            (self.cards, "card_replacements", &self.card_replacements),
        ];
        for (on, name, list) in lists {
            if on && list.is_empty() {
                return Err(StageError::Config(format!(
                    "`{name}` is empty; give one replacement or more (\"\" to cut)"
                )));
            }
        }
        if let Some(column) = &self.spans_column
            && (column.is_empty() || columns::data_type(column).is_some())
        {
            return Err(StageError::Config(format!(
                "`spans_column` is `{column}`; a name that no other column has works, as `pii`"
            )));
        }
        Ok(Runtime::Map(Box::new(self.clone())))
    }
}

impl Map for RedactPii {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let verdicts = vec![Verdict::Keep; documents.len()];
        let texts = documents.strings(columns::TEXT)?;
        let redacted: Vec<(Cow<str>, Vec<Span>)> =
            texts.iter().map(|text| self.redact_with_spans(text.unwrap_or(""))).collect();
        let spans = self.spans_column.as_ref().map(|column| (column, spans_as_json(&redacted)));
        let rewritten = redacted.iter().any(|(text, _)| matches!(text, Cow::Owned(_))).then(|| {
            let n_bytes = redacted.iter().map(|(text, _)| text.len()).sum();
            let mut rewritten = LargeStringBuilder::with_capacity(redacted.len(), n_bytes);
            for (row, (text, _)) in redacted.iter().enumerate() {
                rewritten.append_option(texts.is_valid(row).then_some(text));
            }
            rewritten.finish()
        });
        drop(redacted);
        let mut documents = documents;
        if let Some(rewritten) = rewritten {
            documents = documents.with_column(columns::TEXT, Arc::new(rewritten))?;
        }
        if let Some((column, spans)) = spans {
            documents = documents.with_column(column, Arc::new(spans))?;
        }
        Ok((documents, verdicts))
    }
}

fn spans_as_json(redacted: &[(Cow<str>, Vec<Span>)]) -> LargeStringArray {
    let json = |spans: &Vec<Span>| serde_json::to_string(spans).expect("spans are plain data");
    redacted.iter().map(|(_, spans)| (!spans.is_empty()).then(|| json(spans))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replacements_are_fixed_by_what_they_replace() {
        let pii = RedactPii::default();
        let once = pii.redact("ask jane@corp.io or 8.8.8.8.").into_owned();
        let twice = pii.redact("bob@corp.io; ask jane@corp.io or 8.8.8.8.").into_owned();
        assert!(twice.ends_with(&once) && !once.contains("corp") && !once.contains("8.8"), "{once}");
        assert!(matches!(pii.redact("nothing @ all 10.0.0.1"), Cow::Borrowed(_)));
        assert_eq!(pii.redact(&once), once, "replacements stay");
        let once = pii.redact("1@a@50.0a").into_owned();
        assert_eq!(once, "1@firstname.lastname@example.org");
        assert_eq!(pii.redact(&once), once, "what reaches into a replacement stays, too");
        let holds_one = pii.redact("email@example.com.au");
        assert!(!holds_one.contains("example.com.au"), "{holds_one}");
    }

    /// What datatrove 0.10.1 makes of each page, with `EMAIL` and `IP` as its replacements.
    #[test]
    fn pages_are_rewritten_as_the_reference_rewrites_them() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/fineweb_parity/decisions.jsonl.gz");
        let Ok(packed) = std::fs::File::open(path) else {
            eprintln!("SKIPPED: {path} is absent; the tests of `find` stand in for it");
            return;
        };
        let mut pages = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut pages).unwrap();
        let pii = RedactPii {
            email_replacements: vec!["EMAIL".into()],
            ipv4_replacements: vec!["IP".into()],
            ..RedactPii::default()
        };
        let (mut n_pages, mut n_equal, mut n_changed) = (0, 0, 0);
        for page in pages.lines() {
            let page: serde_json::Value = serde_json::from_str(page).unwrap();
            let redacted = pii.redact(page["text"].as_str().unwrap());
            n_pages += 1;
            n_equal += (sha1(redacted.as_bytes()) == page["pii_sha1"].as_str().unwrap()) as u32;
            n_changed += matches!(redacted, Cow::Owned(_)) as u32;
        }
        assert!(n_equal * 100 >= n_pages * 99 && n_changed > 10, "{n_equal} of {n_pages}, {n_changed}");
    }

    fn sha1(bytes: &[u8]) -> String {
        use sha1::{Digest, Sha1};
        Sha1::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn everything() -> RedactPii {
        RedactPii { ipv6: true, phones: true, ibans: true, cards: true, ..RedactPii::default() }
    }

    #[test]
    fn spans_say_what_was_where() {
        let text = "é jane@corp.io, 8.8.8.8 or 1.1.1.1; +44 20 7946 0958; DE89370400440532013000";
        let (redacted, spans) = everything().redact_with_spans(text);
        let found: Vec<_> = spans.iter().map(|span| (span.kind, &text[span.start..span.end])).collect();
        assert_eq!(
            found,
            [
                ("email", "jane@corp.io"),
                ("ipv4", "8.8.8.8"),
                ("ipv4", "1.1.1.1"),
                ("phone", "+44 20 7946 0958"),
                ("iban", "DE89370400440532013000")
            ]
        );
        let lists = everything();
        for span in &spans {
            let list = match span.kind {
                "email" => &lists.email_replacements,
                "ipv4" => &lists.ipv4_replacements,
                "phone" => &lists.phone_replacements,
                _ => &lists.iban_replacements,
            };
            assert!(
                list.iter().any(|word| word == &redacted[span.redacted_start..span.redacted_end]),
                "{span:?}"
            );
        }
    }

    #[test]
    fn spans_go_into_the_column_that_is_named() {
        use crate::dedup::test_support::documents;
        let pii = RedactPii { spans_column: Some("pii".into()), ..RedactPii::default() };
        assert_eq!(pii.declares().writes, ["text", "pii"]);
        let (after, _) = pii.map(documents(&["", ""], &["", ""], &["no", "at 8.8.8.8"])).unwrap();
        let column = after.strings("pii").unwrap();
        assert!(column.is_null(0));
        let [span]: [serde_json::Value; 1] = serde_json::from_str(column.value(1)).unwrap();
        assert_eq!(
            (span["kind"].as_str(), span["start"].as_u64(), span["end"].as_u64()),
            (Some("ipv4"), Some(3), Some(10))
        );
        let context = BuildContext { base: ".".into(), seed: 0 };
        for taken in ["", "text", "url"] {
            let pii = RedactPii { spans_column: Some(taken.into()), ..RedactPii::default() };
            assert!(pii.build(&context).is_err(), "{taken}");
        }
    }

    /// Of megabytes, nothing may be looked at more than a few times.
    #[test]
    fn hostile_texts_take_linear_time() {
        let fill = |unit: &str| unit.repeat((2 << 20) / unit.len());
        for unit in [
            "@",
            "a@",
            "@a",
            "a.",
            ".",
            "a.a@",
            "a@a.",
            "@a.a",
            "!@a.b",
            "!!!!",
            "a",
            "1",
            "1.",
            "1.1.1.",
            "256.",
            ":",
            "::",
            "a:",
            "a::",
            "1:",
            "2001:db8::",
            "+",
            "+1",
            "+1 ",
            "+1--",
            "1 ",
            "1-",
            "4111 ",
            "4111-1111 1111",
            "A",
            "AB12",
            "AB12 ",
            "GB82 WEST ",
            "é",
            "é@é.",
            "@[1.1.1.",
            "@[1.1.1.a",
            "a@b-",
            "a@b.c-",
            "-",
            "_",
            "é.1.1.1.1",
        ] {
            everything().redact(&fill(unit));
            everything().redact(&(fill(unit) + "a@b.c"));
            everything().redact(&("a@b.c".to_owned() + &fill(unit)));
        }
    }

    /// Texts out of what the rules look for.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-c1-9@.:+!é -]{0,6}",
            "[0-9]{1,3}([.: -][0-9a-f]{1,4}){0,7}",
            prop::sample::select(vec![
                "jane@corp.io",
                "email@example.com",
                "8.8.8.8",
                "192.0.2.1",
                "2a00:1450:4001:830::200e",
                "2001:db8::1",
                "+44 20 7946 0958",
                "+1 555 0100",
                "4111 1111 1111 1111",
                "0000 0000 0000 0000",
                "GB82 WEST 1234 5698 7654 32",
                "IBAN",
                " ",
                "@",
                ".",
                ":",
                "+",
            ])
            .prop_map(String::from),
            "\\PC{0,4}",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// An address at a literal (`x@[1.2.3.4]`) with a letter right behind it is the one exception, as the replacement grows
        /// into that letter.
        #[test]
        fn redacting_twice_changes_nothing(text in any_text()) {
            for pii in [RedactPii::default(), everything()] {
                let (once, spans) = pii.redact_with_spans(&text);
                prop_assert_eq!(pii.redact(&once), &*once, "{}", text);
                // The spans are all that changed.
                let (mut rebuilt, mut place) = (String::new(), 0);
                for span in &spans {
                    rebuilt.push_str(&text[place..span.start]);
                    prop_assert_eq!(rebuilt.len(), span.redacted_start);
                    rebuilt.push_str(&once[span.redacted_start..span.redacted_end]);
                    prop_assert!(span.start < span.end);
                    place = span.end;
                }
                rebuilt.push_str(&text[place..]);
                prop_assert_eq!(&rebuilt, &*once);
            }
        }

        #[test]
        fn any_text_is_fine(text in any::<String>(), mail in "[a-z@. +0-9:é]{0,60}") {
            everything().redact(&text);
            everything().redact(&mail);
        }

        #[test]
        fn a_text_is_redacted_by_itself(texts in prop::collection::vec(any_text(), 1..5)) {
            use crate::dedup::test_support::documents;
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let empty = vec![""; texts.len()];
            let (after, _) = everything().map(documents(&empty, &empty, &texts)).unwrap();
            for (row, text) in texts.iter().enumerate() {
                prop_assert_eq!(after.strings("text").unwrap().value(row), &*everything().redact(text));
            }
        }
    }
}
