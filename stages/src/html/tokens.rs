//! Markup to tokens, by the HTML standard's tokenizer (section 13.2.5), in long strides.
//!
//! The same tokens as html5ever's own tokenizer gives (`Dom::parse_plain` keeps that one as the oracle), three times as
//! fast: runs of text, comments and scripts are found with `memchr`, names are looked up once, and of attributes only
//! those that extraction reads are decoded. Every byte is passed over a bounded number of times, whatever the page.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    CharacterTokens, CommentToken, DoctypeToken, EOFToken, EndTag, NullCharacterToken, ParseError, StartTag,
    Tag, TagKind, TagToken, Token, TokenSink, TokenSinkResult,
};
use html5ever::{Attribute, LocalName, local_name};
use memchr::{memchr, memchr_iter, memchr2, memchr3, memmem};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::doctype::doctype;
use super::references::reference;
use super::tags::{AttributeName, attribute_name};

/// What takes the tokens.
pub trait Receiver: TokenSink {
    /// Whether no more tokens are wanted.
    fn is_full(&self) -> bool;

    /// Takes the attributes of the tag that comes next; gives what the tag carries in their stead.
    fn take_attributes(&self, attributes: &Attributes<'_>) -> Vec<Attribute>;

    /// A tag has more attributes than it may.
    fn too_many_attributes(&self);

    /// Most attributes of a tag.
    fn most_attributes(&self) -> usize;
}

/// The attributes of one tag.
#[derive(Debug)]
pub struct Attributes<'a> {
    html: &'a str,
    /// Values that are not in the page as they stand.
    decoded: String,
    kept: Vec<Kept>,
    /// Names of attributes that are not kept but that the tree depends on.
    pub special: Vec<(LocalName, StrTendril)>,
    /// For formatting elements, a digest of all attributes, whatever their order; two tags with equal digests are the
    /// same to the tree ("Noah's Ark").
    pub digest: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    name: AttributeName,
    start: usize,
    end: usize,
    decoded: bool,
}

impl Attributes<'_> {
    /// The attributes that extraction reads, the first of each name.
    pub fn kept(&self) -> impl Iterator<Item = (AttributeName, &str)> {
        self.kept.iter().map(|kept| {
            let text = if kept.decoded { &self.decoded[..] } else { self.html };
            (kept.name, &text[kept.start..kept.end])
        })
    }

    /// Whether the tag has none that matters.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.special.is_empty() && self.digest.is_none()
    }

    fn clear(&mut self) {
        self.decoded.clear();
        self.kept.clear();
        self.special.clear();
        self.digest = None;
    }
}

/// What the text that follows is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Raw(RawKind),
    Plaintext,
}

/// How a run of text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// References are decoded, NUL is a token of its own.
    Data,
    /// References are decoded, NUL becomes U+FFFD.
    Rcdata,
    /// NUL becomes U+FFFD.
    Raw,
    /// NUL is a token of its own.
    Cdata,
}

/// Reads a page from front to back.
struct Tokenizer<'a, R> {
    html: &'a str,
    bytes: &'a [u8],
    /// The page once more, for texts that share its memory.
    shared: StrTendril,
    at: usize,
    state: State,
    receiver: &'a R,
    attributes: Attributes<'a>,
    /// Names that were seen, by a small hash.
    names: Vec<LocalName>,
    last_start: LocalName,
}

/// Hands over a page's tokens, until the end or until the receiver is full.
pub fn tokenize<R: Receiver>(html: &str, receiver: &R) {
    let html = html.strip_prefix('\u{feff}').unwrap_or(html);
    let attributes =
        Attributes { html, decoded: String::new(), kept: Vec::new(), special: Vec::new(), digest: None };
    let mut tokenizer = Tokenizer {
        html,
        bytes: html.as_bytes(),
        shared: StrTendril::from_slice(html),
        at: 0,
        state: State::Data,
        receiver,
        attributes,
        names: vec![local_name!(""); 256],
        last_start: local_name!(""),
    };
    while tokenizer.at < html.len() && !receiver.is_full() {
        match tokenizer.state {
            State::Data => tokenizer.data(),
            State::Raw(RawKind::Rcdata) => tokenizer.raw(Run::Rcdata),
            State::Raw(RawKind::ScriptData) => tokenizer.script(),
            State::Raw(_) => tokenizer.raw(Run::Raw),
            State::Plaintext => {
                tokenizer.text(tokenizer.at, html.len(), Run::Raw);
                tokenizer.at = html.len();
            }
        }
    }
    if !receiver.is_full() {
        let _ = tokenizer.send(EOFToken);
    }
    receiver.end();
}

/// What separates words of markup.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// What ends the name of a tag.
fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}

impl<R: Receiver> Tokenizer<'_, R> {
    fn send(&self, token: Token) -> TokenSinkResult<R::Handle> {
        self.receiver.process_token(token, 1)
    }

    fn send_text(&self, text: StrTendril) {
        if !text.is_empty() {
            let _ = self.send(CharacterTokens(text));
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Sends a stretch of the page as text.
    fn text(&self, start: usize, end: usize, run: Run) {
        if start >= end {
            return;
        }
        let bytes = &self.bytes[start..end];
        let special = match run {
            Run::Data | Run::Rcdata => memchr3(b'&', b'\0', b'\r', bytes),
            Run::Raw | Run::Cdata => memchr2(b'\0', b'\r', bytes),
        };
        if special.is_none() {
            self.send_text(self.shared.subtendril(start as u32, (end - start) as u32));
            return;
        }
        let mut text = StrTendril::new();
        let mut at = 0;
        let decodes = matches!(run, Run::Data | Run::Rcdata);
        while at < bytes.len() {
            let rest = &bytes[at..];
            // Such characters come in rows.
            let is_special = matches!(rest[0], b'\0' | b'\r') || (decodes && rest[0] == b'&');
            if !is_special {
                let next =
                    if decodes { memchr3(b'&', b'\0', b'\r', rest) } else { memchr2(b'\0', b'\r', rest) };
                let next = next.unwrap_or(rest.len());
                text.push_slice(&self.html[start + at..start + at + next]);
                at += next;
            }
            match bytes.get(at) {
                None => break,
                Some(b'\r') => {
                    text.push_char('\n');
                    at += if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
                }
                Some(b'\0') => {
                    if matches!(run, Run::Data | Run::Cdata) {
                        self.send_text(std::mem::take(&mut text));
                        let _ = self.send(NullCharacterToken);
                        // In HTML a NUL is nothing, and so are those after it.
                        if !self.receiver.adjusted_current_node_present_but_not_in_html_namespace() {
                            while bytes.get(at + 1) == Some(&b'\0') {
                                at += 1;
                            }
                        }
                    } else {
                        text.push_char('\u{fffd}');
                    }
                    at += 1;
                }
                Some(_) => at += reference(&bytes[at..], false, |c| text.push_char(c)),
            }
        }
        self.send_text(text);
    }

    fn data(&mut self) {
        let Some(open) = memchr(b'<', &self.bytes[self.at..]) else {
            self.text(self.at, self.bytes.len(), Run::Data);
            self.at = self.bytes.len();
            return;
        };
        let open = self.at + open;
        self.text(self.at, open, Run::Data);
        match self.byte(open + 1) {
            Some(next) if next.is_ascii_alphabetic() => self.tag(open + 1, StartTag),
            Some(b'/') => match self.byte(open + 2) {
                Some(next) if next.is_ascii_alphabetic() => self.tag(open + 2, EndTag),
                Some(b'>') => {
                    // No token; html5ever's error makes a line feed after `<pre>` stay.
                    let _ = self.send(ParseError("missing end tag name".into()));
                    self.at = open + 3;
                }
                Some(_) => self.bogus_comment(open + 2),
                None => {
                    self.text(open, open + 2, Run::Raw);
                    self.at = open + 2;
                }
            },
            Some(b'!') => self.declaration(open + 2),
            Some(b'?') => self.bogus_comment(open + 1),
            _ => {
                self.text(open, open + 1, Run::Raw);
                self.at = open + 1;
            }
        }
    }

    fn bogus_comment(&mut self, from: usize) {
        let end = memchr(b'>', &self.bytes[from..]).map_or(self.bytes.len(), |end| from + end + 1);
        let _ = self.send(CommentToken(StrTendril::new()));
        self.at = end;
    }

    /// What follows `<!`.
    fn declaration(&mut self, from: usize) {
        let rest = &self.bytes[from..];
        if rest.starts_with(b"--") {
            self.comment(from + 2);
        } else if rest.len() >= 7 && rest[..7].eq_ignore_ascii_case(b"doctype") {
            self.doctype(from + 7);
        } else if rest.starts_with(b"[CDATA[")
            && self.receiver.adjusted_current_node_present_but_not_in_html_namespace()
        {
            let start = from + 7;
            let end = memmem::find(&self.bytes[start..], b"]]>").map(|end| start + end);
            self.text(start, end.unwrap_or(self.bytes.len()), Run::Cdata);
            self.at = end.map_or(self.bytes.len(), |end| end + 3);
        } else {
            self.bogus_comment(from);
        }
    }

    /// A comment whose text begins at `from`. Its text is of no use, but that it is there is: it ends a run of text.
    fn comment(&mut self, from: usize) {
        let rest = &self.bytes[from..];
        let length = if rest.starts_with(b">") {
            1
        } else if rest.starts_with(b"->") {
            2
        } else {
            memchr_iter(b'>', rest)
                .find(|&end| rest[..end].ends_with(b"--") || rest[..end].ends_with(b"--!"))
                .map_or(rest.len(), |end| end + 1)
        };
        let _ = self.send(CommentToken(StrTendril::new()));
        self.at = from + length;
    }

    fn doctype(&mut self, from: usize) {
        let (doctype, length) = doctype(&self.html[from..]);
        let _ = self.send(DoctypeToken(doctype));
        self.at = from + length;
    }

    /// A tag whose name begins at `start`.
    fn tag(&mut self, start: usize, kind: TagKind) {
        let mut at = start;
        while self.byte(at).is_some_and(|byte| !ends_name(byte)) {
            at += 1;
        }
        let name = self.name(start, at);
        // Tags that are cut off by the end of the page are no tags.
        let Some((end, self_closing)) = self.attributes(at, kind, &name) else {
            self.at = self.bytes.len();
            return;
        };
        self.at = end;
        if self.receiver.is_full() {
            return;
        }
        let attrs = if self.attributes.is_empty() {
            Vec::new()
        } else {
            self.receiver.take_attributes(&self.attributes)
        };
        if kind == StartTag {
            self.last_start = name.clone();
        }
        let tag = Tag { kind, name, self_closing, attrs, had_duplicate_attributes: false };
        self.state = match self.send(TagToken(tag)) {
            TokenSinkResult::Plaintext => State::Plaintext,
            TokenSinkResult::RawData(kind) => State::Raw(kind),
            _ => State::Data,
        };
    }

    /// A tag's name in lower case.
    fn name(&mut self, start: usize, end: usize) -> LocalName {
        let name = &self.html[start..end];
        let bytes = name.as_bytes();
        if bytes.iter().any(|byte| byte.is_ascii_uppercase() || *byte == 0) {
            return LocalName::from(lower(name));
        }
        let slot = bytes.len() ^ (usize::from(bytes[0]) << 3) ^ (usize::from(bytes[bytes.len() - 1]) << 1);
        let slot = &mut self.names[slot % 256];
        if **slot != *name {
            *slot = LocalName::from(name);
        }
        slot.clone()
    }

    /// Reads attributes up to the end of a tag: where it ends and whether it closes itself.
    fn attributes(&mut self, mut at: usize, kind: TagKind, tag: &LocalName) -> Option<(usize, bool)> {
        self.attributes.clear();
        let formatting = kind == StartTag && is_formatting(tag);
        let mut number = 0;
        let mut seen = 0_u32;
        let mut digests: Vec<(u64, u64)> = Vec::new();
        loop {
            match self.byte(at)? {
                byte if is_space(byte) => {
                    at += 1;
                    continue;
                }
                b'/' => {
                    if self.byte(at + 1)? == b'>' {
                        self.digest(digests);
                        return Some((at + 2, true));
                    }
                    at += 1;
                    continue;
                }
                b'>' => {
                    self.digest(digests);
                    return Some((at + 1, false));
                }
                _ => {}
            }
            // An equals sign here begins a name.
            let name_start = at;
            at += 1;
            while self.byte(at).is_some_and(|byte| !ends_name(byte) && byte != b'=') {
                at += 1;
            }
            let name_end = at;
            while is_space(self.byte(at)?) {
                at += 1;
            }
            let (mut value_start, mut value_end) = (at, at);
            if self.byte(at)? == b'=' {
                at += 1;
                while is_space(self.byte(at)?) {
                    at += 1;
                }
                match self.byte(at)? {
                    quote @ (b'"' | b'\'') => {
                        value_start = at + 1;
                        value_end = value_start + memchr(quote, &self.bytes[value_start..])?;
                        at = value_end + 1;
                    }
                    b'>' => (value_start, value_end) = (at, at),
                    _ => {
                        value_start = at;
                        while !is_space(self.byte(at)?) && self.byte(at)? != b'>' {
                            at += 1;
                        }
                        value_end = at;
                    }
                }
            }
            number += 1;
            if number > self.receiver.most_attributes() {
                self.receiver.too_many_attributes();
                return None;
            }
            if kind == EndTag {
                continue;
            }
            let html = self.html;
            let mut name = &html[name_start..name_end];
            let lowered;
            if name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == 0) {
                lowered = lower(name);
                name = &lowered;
            }
            let known = attribute_name(name);
            if known.is_none() && !formatting {
                continue;
            }
            if let Some(known) = known {
                let bit = 1 << known as u32;
                if seen & bit != 0 {
                    continue;
                }
                seen |= bit;
            }
            let value = self.value(value_start, value_end);
            if formatting {
                let name_hash = xxh3_64(name.as_bytes());
                let hash = xxh3_64_with_seed(value.of(html, &self.attributes.decoded).as_bytes(), name_hash);
                digests.push((name_hash, hash));
            }
            let value = match known {
                Some(name) => {
                    self.attributes.kept.push(Kept { name, ..value });
                    value
                }
                None => value,
            };
            self.special(tag, name, value);
        }
    }

    /// Digests all attributes of a formatting element.
    fn digest(&mut self, mut digests: Vec<(u64, u64)>) {
        if !digests.is_empty() {
            // Of two attributes with one name, the first counts; sorting is stable.
            digests.sort_by_key(|digest| digest.0);
            digests.dedup_by_key(|digest| digest.0);
            self.attributes.digest =
                Some(digests.iter().fold(digests.len() as u64, |sum, digest| sum.wrapping_add(digest.1)));
        }
    }

    /// The few attributes that decide how the tree grows.
    fn special(&mut self, tag: &LocalName, name: &str, value: Kept) {
        let text = || StrTendril::from_slice(value.of(self.html, &self.attributes.decoded));
        let special = match (&**tag, name) {
            ("input", "type") => (local_name!("type"), text()),
            ("annotation-xml", "encoding") => (local_name!("encoding"), text()),
            ("font", "color") => (local_name!("color"), StrTendril::new()),
            ("font", "face") => (local_name!("face"), StrTendril::new()),
            ("font", "size") => (local_name!("size"), StrTendril::new()),
            _ => return,
        };
        if !self.attributes.special.iter().any(|(name, _)| *name == special.0) {
            self.attributes.special.push(special);
        }
    }

    /// A value, decoded where it must be.
    fn value(&mut self, start: usize, end: usize) -> Kept {
        // The name is set by the caller.
        let name = AttributeName::Class;
        let bytes = &self.bytes[start..end];
        if memchr3(b'&', b'\0', b'\r', bytes).is_none() {
            return Kept { name, start, end, decoded: false };
        }
        let decoded = &mut self.attributes.decoded;
        let from = decoded.len();
        let mut at = 0;
        while at < bytes.len() {
            let next = memchr3(b'&', b'\0', b'\r', &bytes[at..]).unwrap_or(bytes.len() - at);
            decoded.push_str(&self.html[start + at..start + at + next]);
            at += next;
            match bytes.get(at) {
                None => break,
                Some(b'\r') => {
                    decoded.push('\n');
                    at += if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
                }
                Some(b'\0') => {
                    decoded.push('\u{fffd}');
                    at += 1;
                }
                Some(_) => at += reference(&bytes[at..], true, |c| decoded.push(c)),
            }
        }
        Kept { name, start: from, end: decoded.len(), decoded: true }
    }

    /// Where the end tag that closes the raw text begins, from `from` on.
    fn is_end_tag(&self, open: usize) -> bool {
        let name = open + 2;
        let end = name + self.last_start.len();
        self.byte(open + 1) == Some(b'/')
            && self.byte(end).is_some_and(ends_name)
            && self.bytes[name..end].eq_ignore_ascii_case(self.last_start.as_bytes())
    }

    /// Text up to the end tag of the element that is open.
    fn raw(&mut self, run: Run) {
        let end = memchr_iter(b'<', &self.bytes[self.at..])
            .map(|open| self.at + open)
            .find(|&open| self.is_end_tag(open));
        self.text(self.at, end.unwrap_or(self.bytes.len()), run);
        match end {
            Some(open) => self.tag(open + 2, EndTag),
            None => self.at = self.bytes.len(),
        }
    }

    /// A script: in a comment (`<!-- … -->`) an inner `<script>` hides the end tag that follows it.
    fn script(&mut self) {
        let mut escaped = false;
        let mut doubly = false;
        let mut end = None;
        let mut at = self.at;
        while let Some(next) = memchr2(b'<', b'>', &self.bytes[at..]) {
            let found = at + next;
            at = found + 1;
            if self.bytes[found] == b'>' {
                if escaped && self.bytes[self.at..found].ends_with(b"--") {
                    (escaped, doubly) = (false, false);
                }
                continue;
            }
            if doubly {
                // Any run of letters after the solidus counts, and only `script` ends it.
                doubly = !self.is_end_tag(found);
            } else if self.is_end_tag(found) {
                end = Some(found);
                break;
            } else if !escaped {
                if self.bytes[found..].starts_with(b"<!--") {
                    escaped = true;
                    // The two dashes may be those of the end: `<!-->`.
                    at = found + 4;
                }
            } else if self.bytes.len() > found + 7
                && self.bytes[found + 1..found + 7].eq_ignore_ascii_case(b"script")
                && ends_name(self.bytes[found + 7])
            {
                doubly = true;
            }
        }
        self.text(self.at, end.unwrap_or(self.bytes.len()), Run::Raw);
        match end {
            Some(open) => self.tag(open + 2, EndTag),
            None => self.at = self.bytes.len(),
        }
    }
}

impl Kept {
    fn of<'a>(&self, html: &'a str, decoded: &'a str) -> &'a str {
        if self.decoded { &decoded[self.start..self.end] } else { &html[self.start..self.end] }
    }
}

/// Lower case, ASCII alone, NUL replaced.
pub fn lower(name: &str) -> String {
    name.to_ascii_lowercase().replace('\0', "\u{fffd}")
}

/// The elements that misnested markup opens again.
fn is_formatting(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("a")
            | local_name!("b")
            | local_name!("big")
            | local_name!("code")
            | local_name!("em")
            | local_name!("font")
            | local_name!("i")
            | local_name!("nobr")
            | local_name!("s")
            | local_name!("small")
            | local_name!("strike")
            | local_name!("strong")
            | local_name!("tt")
            | local_name!("u")
    )
}
