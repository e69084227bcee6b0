//! Pages made to hurt, for tests and for `examples/bench_extract.rs --hostile`.

/// Names and pages. Every page says "text" somewhere that a reader would see it, unless there is nothing to see.
pub fn pages() -> Vec<(&'static str, String)> {
    let many = |n: usize, piece: &str| piece.repeat(n);
    let numbered = |n: usize, piece: &dyn Fn(usize) -> String| (0..n).map(piece).collect::<String>();
    vec![
        // Named in the project's goals.
        ("20,000 nested div", format!("{}deep text{}", many(20_000, "<div>"), many(20_000, "</div>"))),
        ("5,000 nested tables", format!("{}inner text", many(5_000, "<table><tr><td>"))),
        ("8,000 unclosed font", numbered(8_000, &|n| format!("<p><font color={n}>text{n} "))),
        ("8,000 equal unclosed font", format!("{}text", many(8_000, "<font size=2>"))),
        ("30,000 attributes", format!("<p{}>some text", numbered(30_000, &|n| format!(" a{n}=x")))),
        ("100,000 option", format!("<p>some text<select>{}", many(100_000, "<option>x"))),
        ("200,000 p", many(200_000, "<p>text")),
        ("200,000 p of one letter", format!("text{}", many(200_000, "<p>x"))),
        ("a 5 MB attribute", format!("<p data-x=\"{}\">some text", many(5_000_000, "x"))),
        ("50 MB of script", format!("<script>{}</script><p>some text", many(4_600_000, "var x = 1;\n"))),
        // What is read where a page shows nothing.
        (
            "20,000 texts for machines",
            format!(
                "<script type=application/ld+json>[{}]</script>",
                numbered(20_000, &|n| format!("{{\"text\":\"<b id={n}><p>text\"}},"))
            ),
        ),
        (
            "5 MB for machines",
            format!(
                "<script type=application/ld+json>{}</script>",
                many(200_000, "\"text\":\"<p>some text\",\n")
            ),
        ),
        // Attributes.
        ("a 5 MB class", format!("<p class=\"{}\">some text", many(2_500_000, "x "))),
        ("a million equal classes", format!("<p class=\"{}\">some text", many(1_000_000, "nav "))),
        ("30,000 equal attributes", format!("<p{}>some text", many(30_000, " class=x"))),
        (
            "400 attributes on 4,000 links",
            many(4_000, &format!("<a{}>text</a>", numbered(400, &|n| format!(" b{n}")))),
        ),
        (
            "a long link never closed",
            format!("<a class=\"{}\">{}", many(100_000, "x "), many(20_000, "<p>text")),
        ),
        (
            "20,000 body tags",
            format!("some text{}", numbered(20_000, &|n| format!("<body class=c{n} id=i{n}>"))),
        ),
        ("a 5 MB style", format!("<p style=\"{}\">some text", many(1_000_000, "a:b; "))),
        // Nesting and misnesting.
        ("20,000 nested b", format!("{}text", many(20_000, "<b>"))),
        ("20,000 nested li", format!("{}text", many(20_000, "<ul><li>"))),
        ("200,000 li in 100 lists", format!("{}{}", many(100, "<ul><li>"), many(200_000, "<li>text"))),
        (
            "200,000 lines in 100 quotes",
            format!("{}{}", many(100, "<blockquote>"), many(200_000, "text<br>")),
        ),
        ("20,000 nested blockquote", format!("{}text", many(20_000, "<blockquote>a "))),
        ("20,000 nested code", format!("{}`text` {}", many(20_000, "<code>"), many(500_000, "x "))),
        (
            "200 nested code with much in them",
            format!("{}{}", many(200, "<code>"), many(100_000, "`text`<i>x</i>")),
        ),
        ("200 nested headings", format!("{}{}<p>text", many(120, "<h1><div>"), many(100_000, "<i>x</i>"))),
        ("20,000 nested math", format!("{}text", many(20_000, "<math><mi>"))),
        (
            "120 nested math with much in them",
            format!("{}{}", many(120, "<math><mtext>"), many(100_000, "<mi>text</mi>")),
        ),
        ("50,000 formatting ends", format!("{}text", many(50_000, "<a href=x><p>a</a>"))),
        ("20,000 misnested b", many(20_000, "<b><p>text</b>")),
        (
            "20,000 different misnested",
            numbered(20_000, &|n| format!("<b id={n}><i id={n}><u><p>text</b></i>")),
        ),
        (
            "200 open formats, 20,000 p",
            format!("{}{}", numbered(200, &|n| format!("<b id={n}>")), many(20_000, "</p><p>text")),
        ),
        (
            "formats in 2,000 cells",
            format!("<table>{}", numbered(2_000, &|n| format!("<tr><td><b id={n}>text<td><i>"))),
        ),
        ("20,000 nobr", numbered(20_000, &|n| format!("<nobr id={n}><p>text"))),
        ("200,000 end tags of p", format!("text{}", many(200_000, "</p>"))),
        (
            "200,000 ends of what is not open",
            format!("{}text{}", many(250, "<div>"), many(200_000, "</span>")),
        ),
        ("20,000 templates", format!("text{}", many(20_000, "<template>"))),
        ("20,000 integration points", format!("text{}", many(20_000, "<svg><foreignObject><math><mi>"))),
        ("100,000 foreign ends", format!("text<svg>{}{}", many(200, "<g>"), many(100_000, "</x>"))),
        ("20,000 nested selects", format!("text{}", many(20_000, "<select><optgroup><option>"))),
        ("20,000 framesets", many(20_000, "<frameset>")),
        ("20,000 buttons", many(20_000, "<button>text<p>")),
        ("20,000 forms and objects", many(20_000, "<form><object>text")),
        ("200,000 names", numbered(200_000, &|n| format!("<x{n}>text"))),
        ("a 5 MB name", format!("<p>some text<{}>", many(5_000_000, "x"))),
        // Tables.
        ("stray table text", format!("<table>{}", many(50_000, "text<tr>"))),
        ("stray formats in a table", format!("<table>{}", many(20_000, "<b>text<tr>"))),
        ("100,000 columns", format!("<p>text<table>{}", many(2, &format!("<tr>{}", many(100_000, "<td>x"))))),
        (
            "wide and narrow rows",
            format!("<table><tr>{}{}", many(64, "<td>x"), many(100_000, "<tr><td>text")),
        ),
        (
            "a colspan of a million",
            format!("<table>{}", many(20_000, "<tr><td colspan=1000000>text<td rowspan=65000>x")),
        ),
        ("rows in 500 tables", many(500, &format!("<table>{}</table>", many(100, "<tr><td>text<td>x")))),
        // Text.
        ("10 MB of words", many(2_000_000, "text ")),
        ("10 MB without a space", format!("text{}", many(10_000_000, "x"))),
        ("a million br", many(1_000_000, "text<br>")),
        ("a million entities", format!("text{}", many(1_000_000, "&lt;"))),
        ("a million ampersands", format!("text{}", many(1_000_000, "&"))),
        ("a million unknown entities", format!("text{}", many(300_000, "&CounterClockwiseContourIntegrals"))),
        ("5 MB of NUL", format!("text{}", many(5_000_000, "\0"))),
        ("a million NUL between letters", many(1_000_000, "text\0")),
        ("5 MB of returns", format!("text{}", many(5_000_000, "\r"))),
        ("a 5 MB title", format!("<title>{}</title><p>text", many(1_000_000, "head "))),
        ("a 5 MB heading", format!("<title>{0}</title><h1>{0}</h1><p>text", many(500_000, "head "))),
        ("5 MB of backquotes", format!("<p>text<pre>{}</pre><code>{0}</code>", many(2_500_000, "`"))),
        ("2 MB of spaces", format!("<p>text{}</p><pre>{0}</pre>", many(1_000_000, " \u{a0}"))),
        // Markup that never ends.
        ("100,000 open comments", format!("text{}", many(100_000, "<!-- a"))),
        ("a million ends in a comment", format!("text<!--{}", many(1_000_000, "- >"))),
        ("100,000 less-than", format!("text{}", many(100_000, "<"))),
        ("a million empty ends", format!("text{}", many(1_000_000, "</>"))),
        ("a million open tags", format!("text{}", many(1_000_000, "<a "))),
        ("100,000 open quotes", format!("text{}", many(100_000, "<a b='"))),
        ("a million script ends", format!("text<script><!--<script>{}", many(1_000_000, "</script "))),
        ("100,000 scripts", many(100_000, "text<script></script>")),
        ("100,000 titles", many(100_000, "text<title></title>")),
        ("100,000 CDATA", format!("text<svg>{}", many(100_000, "<![CDATA[x]]>"))),
        ("100,000 doctypes", format!("text{}", many(100_000, "<!doctype html public '"))),
        ("plain text", format!("text<plaintext>{}", many(500_000, "<p>x"))),
    ]
}
