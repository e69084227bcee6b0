//! The names that extraction knows: elements as numbers, and the attributes that it reads.

use html5ever::{LocalName, local_name};

macro_rules! tags {
    ($($variant:ident = $name:tt),*; foreign $($foreign:ident = $foreign_name:tt),* $(,)?) => {
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
            $(#[doc = concat!("`<", $foreign_name, ">` of MathML")] $foreign,)*
        }

        /// The tag of an HTML element.
        pub(super) fn html_tag(name: &LocalName) -> Tag {
            match *name {
                $(local_name!($name) => Tag::$variant,)*
                _ => Tag::Other,
            }
        }

        /// The tag of an element of SVG or MathML.
        pub(super) fn foreign_tag(name: &LocalName) -> Tag {
            match *name {
                local_name!("svg") => Tag::Svg,
                local_name!("math") => Tag::Math,
                local_name!("annotation") => Tag::Annotation,
                $(local_name!($foreign_name) => Tag::$foreign,)*
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
    Xmp = "xmp";
    // After all others: the numbers of those are known to the model.
    foreign AnnotationXml = "annotation-xml", Mfenced = "mfenced", Mfrac = "mfrac", Mi = "mi", Mn = "mn", Mo = "mo",
    Mover = "mover", Mphantom = "mphantom", Mroot = "mroot", Ms = "ms", Mspace = "mspace", Msqrt = "msqrt",
    Msub = "msub", Msubsup = "msubsup", Msup = "msup", Mtable = "mtable", Mtext = "mtext", Munder = "munder",
    Munderover = "munderover", Semantics = "semantics",
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

        /// The attribute with a name, if extraction reads it.
        pub fn attribute_name(name: &str) -> Option<AttributeName> {
            match name {
                $($name => Some(AttributeName::$variant),)*
                _ => None,
            }
        }
    };
}

attributes! {
    Alttext = "alttext", AriaHidden = "aria-hidden", AriaModal = "aria-modal", Class = "class", Colspan = "colspan",
    Content = "content", DataLang = "data-lang", DataLanguage = "data-language", Display = "display", Encoding = "encoding", Hidden = "hidden", Href = "href", Id = "id", Itemprop = "itemprop",
    Itemtype = "itemtype", Name = "name", Property = "property", Role = "role", Rowspan = "rowspan", Shadowrootmode = "shadowrootmode",
    Start = "start", Style = "style", Type = "type",
}
