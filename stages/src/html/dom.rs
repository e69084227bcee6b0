//! Bytes of markup become a flat tree: nodes in document order, tags interned, text and attributes as ranges.
//!
//! html5ever builds the tree that browsers build. Nodes are linked while it works, because misnested markup moves
//! them about, and are then copied once into document order, where "all descendants of `n`" is the range
//! `n + 1..end` and every later pass is a loop without recursion.
//!
//! Hostile pages are bounded by counted work, never by time, so that the same page gives the same tree on any machine.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};

use html5ever::buffer_queue::BufferQueue;
use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TokenizerResult, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    CharacterTokens, StartTag, TagToken, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{Attribute, LocalName, QualName, local_name, ns};

/// No node: the parent of the root.
pub const NONE: u32 = u32::MAX;

/// What a page may cost before its markup is given up.
///
/// The defaults lie far above every page of the development sets (deepest 141, most nodes 90,000).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest page in bytes that is parsed.
    pub bytes: usize,
    /// Most nodes (elements and texts) of a tree.
    pub nodes: usize,
    /// Deepest nesting; start tags below are ignored, as browsers do at 512.
    pub depth: u32,
    /// Most attributes of one tag.
    pub attributes: usize,
    /// Most steps of tree construction for each byte of input, beyond a floor of 4 million.
    pub steps_per_byte: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, nodes: 1_000_000, depth: 256, attributes: 500, steps_per_byte: 40 }
    }
}

/// Most bytes that could separate attributes in a stretch of markup that gives no token.
///
/// Comments and attribute values hold such bytes too; one that holds more costs the page its tree.
const MOST_SEPARATORS: usize = 40_000;

/// Why a page was not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// The page is longer than [`Limits::bytes`].
    Bytes,
    /// The tree has more than [`Limits::nodes`].
    Nodes,
    /// A tag has more than [`Limits::attributes`].
    Attributes,
    /// Tree construction took more than [`Limits::steps_per_byte`] allows.
    Steps,
}

macro_rules! tags {
    ($($variant:ident = $name:tt),* $(,)?) => {
        /// An element's name, or what else a node is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Tag {
            /// The root above `<html>`.
            Document,
            /// A run of text.
            Text,
            /// An element without a name of its own here.
            Other,
            $(#[doc = concat!("`<", $name, ">`")] $variant,)*
        }

        fn html_tag(name: &LocalName) -> Tag {
            match *name {
                $(local_name!($name) => Tag::$variant,)*
                _ => Tag::Other,
            }
        }
    };
}

tags! {
    A = "a", Abbr = "abbr", Address = "address", Annotation = "annotation", Applet = "applet", Article = "article",
    Aside = "aside", Audio = "audio", B = "b", Big = "big", Blockquote = "blockquote", Body = "body", Br = "br",
    Button = "button", Canvas = "canvas", Caption = "caption", Center = "center", Cite = "cite", Code = "code",
    Col = "col", Datalist = "datalist", Dd = "dd", Del = "del", Details = "details", Dialog = "dialog", Dir = "dir",
    Div = "div", Dl = "dl", Dt = "dt", Em = "em", Embed = "embed", Fieldset = "fieldset", Figcaption = "figcaption",
    Figure = "figure", Font = "font", Footer = "footer", Form = "form", Frame = "frame", Frameset = "frameset",
    H1 = "h1", H2 = "h2", H3 = "h3", H4 = "h4", H5 = "h5", H6 = "h6", Head = "head", Header = "header",
    Hgroup = "hgroup", Hr = "hr", Html = "html", I = "i", Iframe = "iframe", Img = "img", Input = "input",
    Ins = "ins", Kbd = "kbd", Label = "label", Legend = "legend", Li = "li", Link = "link", Listing = "listing",
    Main = "main", Map = "map", Mark = "mark", Math = "math", Menu = "menu", Meta = "meta", Nav = "nav",
    Noembed = "noembed", Noframes = "noframes", Noscript = "noscript", Object = "object", Ol = "ol",
    Optgroup = "optgroup", Option = "option", Output = "output", P = "p", Picture = "picture",
    Plaintext = "plaintext", Pre = "pre", Progress = "progress", Q = "q", Rp = "rp", Rt = "rt", Rtc = "rtc",
    Ruby = "ruby", S = "s", Samp = "samp", Script = "script", Search = "search", Section = "section",
    Select = "select", Small = "small", Span = "span", Strong = "strong", Style = "style", Sub = "sub",
    Summary = "summary", Sup = "sup", Svg = "svg", Table = "table", Tbody = "tbody", Td = "td",
    Template = "template", Textarea = "textarea", Tfoot = "tfoot", Th = "th", Thead = "thead", Time = "time",
    Title = "title", Tr = "tr", Tt = "tt", U = "u", Ul = "ul", Var = "var", Video = "video", Wbr = "wbr",
    Xmp = "xmp",
}

impl Tag {
    /// Whether the element begins and ends a block of text.
    pub fn is_block(self) -> bool {
        use Tag::{
            Address, Article, Aside, Blockquote, Body, Caption, Center, Dd, Details, Dialog, Dir, Div, Dl,
            Document, Dt, Fieldset, Figcaption, Figure, Footer, Form, Frameset, H1, H2, H3, H4, H5, H6, Head,
            Header, Hgroup, Hr, Html, Legend, Li, Listing, Main, Menu, Nav, Noscript, Ol, Optgroup, Option,
            P, Plaintext, Pre, Search, Section, Summary, Table, Tbody, Td, Template, Tfoot, Th, Thead, Title,
            Tr, Ul, Xmp,
        };
        matches!(
            self,
            Address
                | Article
                | Aside
                | Blockquote
                | Body
                | Caption
                | Center
                | Dd
                | Details
                | Dialog
                | Dir
                | Div
                | Dl
                | Document
                | Dt
                | Fieldset
                | Figcaption
                | Figure
                | Footer
                | Form
                | Frameset
                | H1
                | H2
                | H3
                | H4
                | H5
                | H6
                | Head
                | Header
                | Hgroup
                | Hr
                | Html
                | Legend
                | Li
                | Listing
                | Main
                | Menu
                | Nav
                | Noscript
                | Ol
                | Optgroup
                | Option
                | P
                | Plaintext
                | Pre
                | Search
                | Section
                | Summary
                | Table
                | Tbody
                | Td
                | Template
                | Tfoot
                | Th
                | Thead
                | Title
                | Tr
                | Ul
                | Xmp
        )
    }

    /// 1 to 6 for a heading, else 0.
    pub fn heading_level(self) -> usize {
        match self {
            Tag::H1 => 1,
            Tag::H2 => 2,
            Tag::H3 => 3,
            Tag::H4 => 4,
            Tag::H5 => 5,
            Tag::H6 => 6,
            _ => 0,
        }
    }
}

macro_rules! attributes {
    ($($variant:ident = $name:tt),* $(,)?) => {
        /// The attributes that extraction reads; all others are dropped while parsing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum AttributeName { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        fn attribute_name(name: &str) -> Option<AttributeName> {
            match name {
                $($name => Some(AttributeName::$variant),)*
                _ => None,
            }
        }
    };
}

attributes! {
    Alttext = "alttext", AriaHidden = "aria-hidden", AriaModal = "aria-modal", Class = "class", Content = "content",
    Display = "display", Encoding = "encoding", Hidden = "hidden", Href = "href", Id = "id", Itemprop = "itemprop",
    Itemtype = "itemtype", Name = "name", Property = "property", Role = "role", Shadowrootmode = "shadowrootmode",
    Start = "start", Style = "style", Type = "type",
}

#[derive(Clone, Copy, Debug)]
struct AttributeRange {
    name: AttributeName,
    start: u32,
    length: u32,
}

/// One node of a [`Dom`].
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub tag: Tag,
    /// Its parent, [`NONE`] for the root.
    pub parent: u32,
    /// One past its last descendant.
    pub end: u32,
    /// For a text: offset and length in the text buffer. For an element: first and number of its attributes.
    start: u32,
    length: u32,
}

/// A parsed page in document order; node 0 is the root.
#[derive(Clone, Debug, Default)]
pub struct Dom {
    /// All nodes; every child lies after its parent.
    pub nodes: Vec<Node>,
    attributes: Vec<AttributeRange>,
    buffer: String,
    /// Whether start tags below [`Limits::depth`] were ignored.
    pub cut_depth: bool,
}

impl Dom {
    /// Parses a page, scripting off, so that `<noscript>` is markup.
    ///
    /// # Errors
    /// Says which limit the page exceeds.
    pub fn parse(html: &str, limits: &Limits) -> Result<Self, TooMuch> {
        if html.len() > limits.bytes {
            return Err(TooMuch::Bytes);
        }
        let sink = Sink::new(*limits, html.len());
        let builder_options = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
        let builder = TreeBuilder::new(sink, builder_options);
        let guard = Guard { builder, tokens: Cell::new(0), ignored: RefCell::default() };
        let tokenizer = Tokenizer::new(guard, TokenizerOpts::default());
        let queue = BufferQueue::default();
        let mut rest = html;
        let mut tokens = 0;
        let mut separators = 0;
        while !rest.is_empty() {
            let mut cut = rest.len().min(1 << 14);
            while !rest.is_char_boundary(cut) {
                cut += 1;
            }
            let (chunk, after) = rest.split_at(cut);
            rest = after;
            queue.push_back(StrTendril::from_slice(chunk));
            while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
            if let Some(reason) = tokenizer.sink.builder.sink.exceeded.get() {
                return Err(reason);
            }
            // The tokenizer compares every attribute with all before it, and hands the tag over only at its end. What
            // could separate attributes bounds their number while no token comes out.
            if tokens != tokenizer.sink.tokens.get() {
                (tokens, separators) = (tokenizer.sink.tokens.get(), 0);
            }
            separators += chunk.bytes().filter(|byte| b" \t\n\r\x0c/\"'".contains(byte)).count();
            if separators > MOST_SEPARATORS {
                return Err(TooMuch::Attributes);
            }
        }
        tokenizer.end();
        let sink = tokenizer.sink.builder.sink;
        match sink.exceeded.get() {
            Some(reason) => Err(reason),
            None => Ok(sink.into_dom()),
        }
    }

    /// The text of a text node; empty for elements.
    pub fn text(&self, node: u32) -> &str {
        let node = &self.nodes[node as usize];
        if node.tag == Tag::Text {
            &self.buffer[node.start as usize..(node.start + node.length) as usize]
        } else {
            ""
        }
    }

    /// An attribute's value, if the element has it.
    pub fn attribute(&self, node: u32, name: AttributeName) -> Option<&str> {
        let node = &self.nodes[node as usize];
        if node.tag == Tag::Text {
            return None;
        }
        self.attributes[node.start as usize..(node.start + node.length) as usize]
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| {
                &self.buffer[attribute.start as usize..(attribute.start + attribute.length) as usize]
            })
    }

    /// All text below a node, as it stands.
    pub fn inner_text(&self, node: u32) -> String {
        (node..self.nodes[node as usize].end).map(|inner| self.text(inner)).collect()
    }

    /// The first descendant with a tag.
    pub fn find(&self, node: u32, tag: Tag) -> Option<u32> {
        (node + 1..self.nodes[node as usize].end).find(|&inner| self.nodes[inner as usize].tag == tag)
    }
}

/// Passes tokens on to the tree builder until a limit is hit, and ignores start tags that lie too deep.
struct Guard {
    builder: TreeBuilder<u32, Sink>,
    /// How many tokens have come.
    tokens: Cell<u64>,
    /// Names of ignored start tags that wait for their end tags.
    ignored: RefCell<Vec<LocalName>>,
}

impl TokenSink for Guard {
    type Handle = u32;

    fn process_token(&self, token: Token, line_number: u64) -> TokenSinkResult<u32> {
        self.tokens.set(self.tokens.get() + 1);
        let sink = &self.builder.sink;
        if sink.exceeded.get().is_some() {
            return TokenSinkResult::Continue;
        }
        if let TagToken(tag) = &token {
            if tag.attrs.len() > sink.limits.attributes {
                sink.exceeded.set(Some(TooMuch::Attributes));
                return TokenSinkResult::Continue;
            }
            let mut ignored = self.ignored.borrow_mut();
            if tag.kind == StartTag {
                let raw = matches!(
                    tag.name,
                    local_name!("script")
                        | local_name!("style")
                        | local_name!("textarea")
                        | local_name!("title")
                );
                if sink.depth.get() >= sink.limits.depth && !raw {
                    sink.cut_depth.set(true);
                    ignored.push(tag.name.clone());
                    drop(ignored);
                    return self
                        .builder
                        .process_token(CharacterTokens(StrTendril::from_char('\n')), line_number);
                }
            } else if let Some(at) = ignored.iter().rev().take(8).position(|name| *name == tag.name) {
                let keep = ignored.len() - 1 - at;
                ignored.truncate(keep);
                return TokenSinkResult::Continue;
            }
        }
        self.builder.process_token(token, line_number)
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// A node while the tree is being built.
struct Linked {
    tag: Tag,
    parent: u32,
    first: u32,
    last: u32,
    previous: u32,
    next: u32,
    start: u32,
    length: u32,
    depth: u32,
    /// Index into `Sink::names`; [`NONE`] for texts.
    name: u32,
}

struct Sink {
    limits: Limits,
    nodes: RefCell<Vec<Linked>>,
    names: RefCell<Vec<QualName>>,
    attributes: RefCell<Vec<AttributeRange>>,
    buffer: RefCell<String>,
    /// Depth at which the next element will be appended, as far as the sink can tell.
    depth: Cell<u32>,
    steps_left: Cell<u64>,
    exceeded: Cell<Option<TooMuch>>,
    cut_depth: Cell<bool>,
}

impl Sink {
    fn new(limits: Limits, bytes: usize) -> Self {
        let sink = Self {
            limits,
            nodes: RefCell::new(Vec::with_capacity(bytes / 32 + 16)),
            names: RefCell::new(Vec::with_capacity(bytes / 64 + 16)),
            attributes: RefCell::default(),
            buffer: RefCell::new(String::with_capacity(bytes / 2)),
            depth: Cell::new(0),
            steps_left: Cell::new(
                4_000_000_u64.saturating_add(limits.steps_per_byte.saturating_mul(bytes as u64)),
            ),
            exceeded: Cell::new(None),
            cut_depth: Cell::new(false),
        };
        sink.new_element(QualName::new(None, ns!(), local_name!("")), Tag::Document, 0, 0);
        sink
    }

    fn step(&self) {
        let left = self.steps_left.get();
        if left == 0 {
            self.exceeded.set(self.exceeded.get().or(Some(TooMuch::Steps)));
        } else {
            self.steps_left.set(left - 1);
        }
    }

    fn push(&self, node: Linked) -> u32 {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() >= self.limits.nodes {
            self.exceeded.set(self.exceeded.get().or(Some(TooMuch::Nodes)));
        }
        nodes.push(node);
        (nodes.len() - 1) as u32
    }

    fn new_element(&self, name: QualName, tag: Tag, start: u32, length: u32) -> u32 {
        let mut names = self.names.borrow_mut();
        names.push(name);
        let name = (names.len() - 1) as u32;
        let none = NONE;
        self.push(Linked {
            tag,
            parent: none,
            first: none,
            last: none,
            previous: none,
            next: none,
            start,
            length,
            depth: 0,
            name,
        })
    }

    /// Keeps the attributes that extraction reads; returns the first one's index and their number.
    fn keep_attributes(&self, attributes: &[Attribute]) -> (u32, u32) {
        let mut kept = self.attributes.borrow_mut();
        let mut buffer = self.buffer.borrow_mut();
        let first = kept.len();
        for attribute in attributes {
            if let Some(name) = attribute_name(&attribute.name.local) {
                kept.push(AttributeRange {
                    name,
                    start: buffer.len() as u32,
                    length: attribute.value.len() as u32,
                });
                buffer.push_str(&attribute.value);
            }
        }
        (first as u32, (kept.len() - first) as u32)
    }

    /// A new text node, or none where the text continues the one before.
    fn text_node(&self, previous: u32, text: &str) -> Option<u32> {
        let mut buffer = self.buffer.borrow_mut();
        let start = buffer.len() as u32;
        buffer.push_str(text);
        if previous != NONE {
            let mut nodes = self.nodes.borrow_mut();
            let last = &mut nodes[previous as usize];
            if last.tag == Tag::Text && last.start + last.length == start {
                last.length += text.len() as u32;
                return None;
            }
        }
        drop(buffer);
        let none = NONE;
        Some(self.push(Linked {
            tag: Tag::Text,
            parent: none,
            first: none,
            last: none,
            previous: none,
            next: none,
            start,
            length: text.len() as u32,
            depth: 0,
            name: none,
        }))
    }

    fn detach(&self, node: u32) {
        let mut nodes = self.nodes.borrow_mut();
        let (parent, previous, next) = {
            let this = &mut nodes[node as usize];
            let links = (this.parent, this.previous, this.next);
            (this.parent, this.previous, this.next) = (NONE, NONE, NONE);
            links
        };
        if parent == NONE {
            return;
        }
        if previous == NONE {
            nodes[parent as usize].first = next;
        } else {
            nodes[previous as usize].next = next;
        }
        if next == NONE {
            nodes[parent as usize].last = previous;
        } else {
            nodes[next as usize].previous = previous;
        }
    }

    fn append_node(&self, parent: u32, child: u32) {
        self.detach(child);
        let mut nodes = self.nodes.borrow_mut();
        let last = nodes[parent as usize].last;
        let depth = nodes[parent as usize].depth + 1;
        let this = &mut nodes[child as usize];
        (this.parent, this.previous, this.depth) = (parent, last, depth);
        if this.tag != Tag::Text {
            self.depth.set(depth);
        }
        if last == NONE {
            nodes[parent as usize].first = child;
        } else {
            nodes[last as usize].next = child;
        }
        nodes[parent as usize].last = child;
    }

    fn insert_before(&self, sibling: u32, child: u32) {
        self.detach(child);
        let mut nodes = self.nodes.borrow_mut();
        let (parent, previous) = (nodes[sibling as usize].parent, nodes[sibling as usize].previous);
        let depth = nodes[sibling as usize].depth;
        let this = &mut nodes[child as usize];
        (this.parent, this.previous, this.next, this.depth) = (parent, previous, sibling, depth);
        nodes[sibling as usize].previous = child;
        if previous != NONE {
            nodes[previous as usize].next = child;
        } else if parent != NONE {
            nodes[parent as usize].first = child;
        }
    }

    /// Copies the linked tree into document order.
    fn into_dom(self) -> Dom {
        let linked = self.nodes.into_inner();
        let mut nodes: Vec<Node> = Vec::with_capacity(linked.len());
        let mut new_parent = NONE;
        let mut at = 0;
        loop {
            let this = &linked[at as usize];
            let id = nodes.len() as u32;
            nodes.push(Node {
                tag: this.tag,
                parent: new_parent,
                end: id + 1,
                start: this.start,
                length: this.length,
            });
            if this.first != NONE {
                new_parent = id;
                at = this.first;
                continue;
            }
            // Climb to the next node that has a sibling, closing subtrees on the way.
            loop {
                if linked[at as usize].next != NONE {
                    at = linked[at as usize].next;
                    break;
                }
                at = linked[at as usize].parent;
                if at == NONE || new_parent == NONE {
                    let total = nodes.len() as u32;
                    nodes[0].end = total;
                    return Dom {
                        nodes,
                        attributes: self.attributes.into_inner(),
                        buffer: self.buffer.into_inner(),
                        cut_depth: self.cut_depth.get(),
                    };
                }
                let total = nodes.len() as u32;
                let closed = &mut nodes[new_parent as usize];
                closed.end = total;
                new_parent = closed.parent;
            }
        }
    }
}

impl TreeSink for Sink {
    type Handle = u32;
    type Output = Self;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Self {
        self
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> u32 {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a u32) -> Ref<'a, QualName> {
        self.step();
        let name = self.nodes.borrow()[*target as usize].name;
        Ref::map(self.names.borrow(), |names| &names[name as usize])
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _flags: ElementFlags) -> u32 {
        let tag = if name.ns == ns!(html) {
            html_tag(&name.local)
        } else {
            match &*name.local {
                "svg" => Tag::Svg,
                "math" => Tag::Math,
                "annotation" => Tag::Annotation,
                _ => Tag::Other,
            }
        };
        let (start, length) = self.keep_attributes(&attributes);
        self.new_element(name, tag, start, length)
    }

    fn create_comment(&self, _text: StrTendril) -> u32 {
        // Comments are never attached, so all can share one detached node.
        NONE
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> u32 {
        NONE
    }

    fn append(&self, parent: &u32, child: NodeOrText<u32>) {
        self.step();
        match child {
            NodeOrText::AppendNode(NONE) => {}
            NodeOrText::AppendNode(node) => self.append_node(*parent, node),
            NodeOrText::AppendText(text) => {
                let (last, depth) = {
                    let nodes = self.nodes.borrow();
                    let parent = &nodes[*parent as usize];
                    (parent.last, parent.depth)
                };
                self.depth.set(depth);
                if let Some(node) = self.text_node(last, &text) {
                    self.append_node(*parent, node);
                }
            }
        }
    }

    fn append_based_on_parent_node(&self, element: &u32, previous: &u32, child: NodeOrText<u32>) {
        if self.nodes.borrow()[*element as usize].parent == NONE {
            self.append(previous, child);
        } else {
            self.append_before_sibling(element, child);
        }
    }

    fn append_doctype_to_document(&self, _name: StrTendril, _public: StrTendril, _system: StrTendril) {}

    fn pop(&self, node: &u32) {
        let depth = self.nodes.borrow()[*node as usize].depth;
        self.depth.set(depth.saturating_sub(1));
    }

    fn get_template_contents(&self, target: &u32) -> u32 {
        // A template's contents hang below it like any other children; whoever reads the tree decides.
        *target
    }

    fn same_node(&self, x: &u32, y: &u32) -> bool {
        self.step();
        x == y
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &u32, child: NodeOrText<u32>) {
        self.step();
        match child {
            NodeOrText::AppendNode(NONE) => {}
            NodeOrText::AppendNode(node) => self.insert_before(*sibling, node),
            NodeOrText::AppendText(text) => {
                let previous = self.nodes.borrow()[*sibling as usize].previous;
                if let Some(node) = self.text_node(previous, &text) {
                    self.insert_before(*sibling, node);
                }
            }
        }
    }

    fn add_attrs_if_missing(&self, target: &u32, attributes: Vec<Attribute>) {
        // A second <html> or <body>. Only one that has no attribute yet can take them: the ranges are contiguous.
        if self.nodes.borrow()[*target as usize].length == 0 {
            let (start, length) = self.keep_attributes(&attributes);
            let mut nodes = self.nodes.borrow_mut();
            let node = &mut nodes[*target as usize];
            (node.start, node.length) = (start, length);
        }
    }

    fn remove_from_parent(&self, target: &u32) {
        self.step();
        self.detach(*target);
    }

    fn reparent_children(&self, node: &u32, new_parent: &u32) {
        loop {
            self.step();
            let child = self.nodes.borrow()[*node as usize].first;
            if child == NONE {
                return;
            }
            self.append_node(*new_parent, child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(html: &str) -> String {
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let mut out = String::new();
        let mut open: Vec<u32> = Vec::new();
        for id in 0..dom.nodes.len() as u32 {
            while open.last().is_some_and(|&last| dom.nodes[last as usize].end <= id) {
                open.pop();
                out.push(')');
            }
            let node = dom.nodes[id as usize];
            if node.tag == Tag::Text {
                out.push_str(&format!("{:?}", dom.text(id)));
            } else {
                out.push_str(&format!("{:?}(", node.tag));
                open.push(id);
            }
        }
        out + &")".repeat(open.len())
    }

    #[test]
    fn builds_the_tree_that_browsers_build() {
        assert_eq!(outline("<p>a<p>b"), r#"Document(Html(Head()Body(P("a")P("b"))))"#);
        assert_eq!(
            outline("<table><tr><td>x</td>stray</table>"),
            r#"Document(Html(Head()Body("stray"Table(Tbody(Tr(Td("x")))))))"#
        );
        assert_eq!(outline("<b>1<p>2</b>3"), r#"Document(Html(Head()Body(B("1")P(B("2")"3"))))"#);
        assert_eq!(outline("<noscript><p>x"), r#"Document(Html(Head(Noscript())Body(P("x"))))"#);
    }

    #[test]
    fn reads_attributes_and_texts() {
        let dom =
            Dom::parse("<div class='a b' id=c data-x=1>t&amp;u</div>", &Limits::default()).expect("small");
        let div = dom.find(0, Tag::Div).expect("div");
        assert_eq!(dom.attribute(div, AttributeName::Class), Some("a b"));
        assert_eq!(dom.attribute(div, AttributeName::Id), Some("c"));
        assert_eq!(dom.attribute(div, AttributeName::Href), None);
        assert_eq!(dom.inner_text(div), "t&u");
    }

    #[test]
    fn limits_are_named() {
        let limits = Limits { bytes: 100, nodes: 10, attributes: 2, ..Limits::default() };
        let parse = |html: &str| Dom::parse(html, &limits).err();
        assert_eq!(parse(&"x".repeat(101)), Some(TooMuch::Bytes));
        assert_eq!(parse(&"<p>".repeat(20)), Some(TooMuch::Nodes));
        assert_eq!(parse("<p a b c>"), Some(TooMuch::Attributes));
        assert_eq!(parse("<p>fine"), None);
    }

    #[test]
    fn deep_nesting_is_cut_and_loses_no_text() {
        let html = format!("{}deep{}after", "<div>".repeat(2_000), "</div>".repeat(2_000));
        let dom = Dom::parse(&html, &Limits::default()).expect("cut, not refused");
        assert!(dom.cut_depth);
        let text = dom.inner_text(0);
        assert!(text.contains("deep") && text.contains("after"));
    }
}
