//! Tokens become the tree that browsers build, by html5ever's tree builder.
//!
//! Nodes are linked while it works, because misnested markup moves them about, and are then copied once into document
//! order.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{CharacterTokens, StartTag, TagToken, Token, TokenSink, TokenSinkResult};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{Attribute, LocalName, Namespace, QualName, local_name, ns};

use super::dom::{AttributeRange, Dom, Limits, NONE, Node, TooMuch};
use super::tags::{AttributeName, Tag, attribute_name, foreign_tag, html_tag};
use super::tokens::{Attributes, Receiver};

/// Nodes that a page of any length may have.
const NODES_FLOOR: usize = 10_000;
/// Steps that a page of any length may take.
const STEPS_FLOOR: u64 = 2_000_000;
/// Offsets are 32 bits wide, and a decoded page can be a little longer than the page.
const MOST_BYTES: usize = 1 << 30;

/// Passes tokens on to the tree builder until a limit is hit, and ignores start tags that lie too deep.
pub(super) struct Guard {
    builder: TreeBuilder<u32, Sink>,
    /// Names of ignored start tags that wait for their end tags.
    ignored: RefCell<Vec<LocalName>>,
}

impl Guard {
    /// Ready for the tokens of a page.
    pub(super) fn new(html: &str, limits: &Limits) -> Result<Self, TooMuch> {
        if html.len() > limits.bytes.min(MOST_BYTES) {
            return Err(TooMuch::Bytes);
        }
        let options = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
        let builder = TreeBuilder::new(Sink::new(*limits, html.len()), options);
        Ok(Self { builder, ignored: RefCell::default() })
    }

    /// The tree, or why the page was given up.
    pub(super) fn into_dom(self) -> Result<Dom, TooMuch> {
        let sink = self.builder.sink;
        match sink.exceeded.get() {
            Some(reason) => Err(reason),
            None => Ok(sink.into_dom()),
        }
    }
}

impl Receiver for Guard {
    fn is_full(&self) -> bool {
        self.builder.sink.exceeded.get().is_some()
    }

    fn take_attributes(&self, attributes: &Attributes<'_>) -> Vec<Attribute> {
        self.builder.sink.take_attributes(attributes)
    }

    fn too_many_attributes(&self) {
        self.builder.sink.exceed(TooMuch::Attributes);
    }

    fn most_attributes(&self) -> usize {
        self.builder.sink.limits.attributes
    }
}

impl TokenSink for Guard {
    type Handle = u32;

    fn process_token(&self, token: Token, line_number: u64) -> TokenSinkResult<u32> {
        let sink = &self.builder.sink;
        if sink.exceeded.get().is_some() {
            return TokenSinkResult::Continue;
        }
        if let TagToken(tag) = &token {
            if tag.attrs.len() > sink.limits.attributes {
                sink.exceed(TooMuch::Attributes);
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

/// Stands, in a tag's attributes, for all that were kept.
const SET: LocalName = local_name!("");

/// The number of a set as a value that needs no memory of its own.
fn encode(set: u32) -> StrTendril {
    let digits: [u8; 5] = std::array::from_fn(|at| (set >> (7 * at)) as u8 & 0x7f);
    StrTendril::from_slice(std::str::from_utf8(&digits).expect("seven bits"))
}

fn decode(value: &str) -> u32 {
    value.bytes().rev().fold(0, |set, digit| set << 7 | u32::from(digit))
}

/// The names of a page, each once.
struct Names {
    all: Vec<QualName>,
    /// Where a name is likely to stand, by its hash.
    likely: [u32; 256],
    index: HashMap<(Namespace, LocalName), u32>,
}

impl Default for Names {
    fn default() -> Self {
        Self { all: Vec::new(), likely: [0; 256], index: HashMap::new() }
    }
}

impl Names {
    fn index(&mut self, name: QualName) -> u32 {
        let likely = &mut self.likely[name.local.get_hash() as usize % 256];
        if self
            .all
            .get(*likely as usize)
            .is_some_and(|known| known.local == name.local && known.ns == name.ns)
        {
            return *likely;
        }
        let next = self.all.len() as u32;
        let index = *self.index.entry((name.ns.clone(), name.local.clone())).or_insert(next);
        if index == next {
            self.all.push(name);
        }
        *likely = index;
        index
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

impl Linked {
    /// A node that hangs nowhere yet.
    fn alone(tag: Tag, name: u32, start: u32, length: u32) -> Self {
        let (parent, first, last, previous, next) = (NONE, NONE, NONE, NONE, NONE);
        Self { tag, parent, first, last, previous, next, start, length, depth: 0, name }
    }
}

struct Sink {
    limits: Limits,
    nodes: RefCell<Vec<Linked>>,
    /// Every name once.
    names: RefCell<Names>,
    attributes: RefCell<Vec<AttributeRange>>,
    /// First and number of the attributes of a tag: what the tree builder hands round in their stead.
    sets: RefCell<Vec<(u32, u32)>>,
    /// Sets of formatting elements by what is in them.
    formatting: RefCell<HashMap<u64, u32>>,
    /// `<annotation-xml>` elements that hold HTML.
    integration_points: RefCell<Vec<u32>>,
    buffer: RefCell<String>,
    /// Depth at which the next element will be appended, as far as the sink can tell.
    depth: Cell<u32>,
    steps: Cell<u64>,
    most_steps: u64,
    most_nodes: usize,
    exceeded: Cell<Option<TooMuch>>,
    cut_depth: Cell<bool>,
}

impl Sink {
    fn new(limits: Limits, bytes: usize) -> Self {
        let sink = Self {
            limits,
            nodes: RefCell::new(Vec::with_capacity(bytes / 32 + 16)),
            names: RefCell::default(),
            attributes: RefCell::default(),
            sets: RefCell::default(),
            formatting: RefCell::default(),
            integration_points: RefCell::default(),
            buffer: RefCell::new(String::with_capacity(bytes / 2)),
            depth: Cell::new(0),
            steps: Cell::new(0),
            most_steps: STEPS_FLOOR.saturating_add(limits.steps_per_byte.saturating_mul(bytes as u64)),
            most_nodes: limits.nodes.min(NODES_FLOOR + bytes / limits.bytes_per_node.max(1)),
            exceeded: Cell::new(None),
            cut_depth: Cell::new(false),
        };
        sink.new_element(QualName::new(None, ns!(), local_name!("")), Tag::Document, 0, 0);
        sink
    }

    /// Gives the page up; the first reason stays.
    fn exceed(&self, reason: TooMuch) {
        self.exceeded.set(self.exceeded.get().or(Some(reason)));
    }

    fn step(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > self.most_steps {
            self.exceed(TooMuch::Steps);
        }
    }

    fn push(&self, node: Linked) -> u32 {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() >= self.most_nodes {
            self.exceed(TooMuch::Nodes);
        }
        nodes.push(node);
        (nodes.len() - 1) as u32
    }

    fn new_element(&self, name: QualName, tag: Tag, start: u32, length: u32) -> u32 {
        let name = self.names.borrow_mut().index(name);
        self.push(Linked::alone(tag, name, start, length))
    }

    fn keep_attribute(&self, name: AttributeName, value: &str) {
        let mut buffer = self.buffer.borrow_mut();
        let (start, length) = (buffer.len() as u32, value.len() as u32);
        self.attributes.borrow_mut().push(AttributeRange { name, start, length });
        buffer.push_str(value);
    }

    /// Keeps a tag's attributes; the tag carries the number of their set.
    fn take_attributes(&self, attributes: &Attributes<'_>) -> Vec<Attribute> {
        let mut sets = self.sets.borrow_mut();
        let mut formatting = self.formatting.borrow_mut();
        let known = attributes.digest.and_then(|digest| formatting.get(&digest).copied());
        let set = known.unwrap_or_else(|| {
            let first = self.attributes.borrow().len() as u32;
            for (name, value) in attributes.kept() {
                self.keep_attribute(name, value);
            }
            sets.push((first, self.attributes.borrow().len() as u32 - first));
            let set = sets.len() as u32 - 1;
            if let Some(digest) = attributes.digest {
                formatting.insert(digest, set);
            }
            set
        });
        let of = |name: LocalName, value| Attribute { name: QualName::new(None, ns!(), name), value };
        let mut carried = Vec::with_capacity(1 + attributes.special.len());
        carried.push(of(SET, encode(set)));
        carried.extend(attributes.special.iter().map(|(name, value)| of(name.clone(), value.clone())));
        carried
    }

    /// First and number of an element's attributes.
    fn attributes_of(&self, attributes: &[Attribute]) -> (u32, u32) {
        if let Some(carried) = attributes.first().filter(|first| first.name.local == SET) {
            return self.sets.borrow()[decode(&carried.value) as usize];
        }
        // From html5ever's own tokenizer.
        let first = self.attributes.borrow().len() as u32;
        for attribute in attributes.iter().filter(|attribute| attribute.name.ns == ns!()) {
            if let Some(name) = attribute_name(&attribute.name.local) {
                self.keep_attribute(name, &attribute.value);
            }
        }
        (first, self.attributes.borrow().len() as u32 - first)
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
        Some(self.push(Linked::alone(Tag::Text, NONE, start, text.len() as u32)))
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
                        steps: self.steps.get(),
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
        Ref::map(self.names.borrow(), |names| &names.all[name as usize])
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, flags: ElementFlags) -> u32 {
        let tag = if name.ns == ns!(html) { html_tag(&name.local) } else { foreign_tag(&name.local) };
        let (start, length) = self.attributes_of(&attributes);
        let element = self.new_element(name, tag, start, length);
        if flags.mathml_annotation_xml_integration_point {
            self.integration_points.borrow_mut().push(element);
        }
        element
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

    fn is_mathml_annotation_xml_integration_point(&self, handle: &u32) -> bool {
        self.integration_points.borrow().contains(handle)
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
        // A second <html> or <body> adds what the first lacks.
        let (old_start, old_length) = {
            let nodes = self.nodes.borrow();
            (nodes[*target as usize].start as usize, nodes[*target as usize].length as usize)
        };
        let (new_start, new_length) = self.attributes_of(&attributes);
        let mut all = self.attributes.borrow_mut();
        let start = all.len();
        all.extend_from_within(old_start..old_start + old_length);
        for at in new_start..new_start + new_length {
            let new = all[at as usize];
            if all[start..].iter().all(|old| old.name != new.name) {
                all.push(new);
            }
        }
        let mut nodes = self.nodes.borrow_mut();
        let node = &mut nodes[*target as usize];
        (node.start, node.length) = (start as u32, (all.len() - start) as u32);
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
