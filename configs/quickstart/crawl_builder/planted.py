"""Which captures are planted to be dropped, cleaned or survived? Duplicates, spam, blocked URLs, PII, damage."""

import json
import struct
import zlib
from dataclasses import replace

from . import spam
from .encode import to_capture
from .families import sentences
from .pages import Page
from .seeded import Chooser
from .warc import Capture

MILL = "http://www.oldmill.example/history/how-a-water-mill-works"
LOAF = "http://www.breadbook.example/first-loaf"
RIVER = "http://riverwatch.example.org/articles/where-a-river-begins"
PENDULUM = "http://clockroom.example.com/notes/the-pendulum"
HEDGEHOG = "http://www.smallanimals.example/hedgehog"
SIGNALS = "http://www.slowtrains.example/guide/how-signals-work"
CLOUDS = "http://weather.valley.test/learn/clouds"
DUCKS = "http://canalboats.example/stories/the-night-the-ducks-came-aboard"
LOCK = "http://canalboats.example/handbook/working-a-lock"

# (cluster, original, copy's URL)
EXACT = [
    ("mill", MILL, "http://mirror.collected.example/mill.html"),
    ("mill", MILL, "http://www.oldmill.example/history/how-a-water-mill-works?print=1"),
    ("hedgehog", HEDGEHOG, "http://mirror.collected.example/hedgehog.html"),
    ("signals", SIGNALS, "http://mirror.collected.example/signals.html"),
    ("ducks", DUCKS, "http://boatclub.harbour.test/read/ducks"),
    ("birds-4", "http://www.birdcount.example/reports/004", "http://mirror.collected.example/birds-4.html"),
]

# (cluster, original, copy's URL, template, first words of a paragraph to leave out, sentence to add)
NEAR = [
    ("loaf", LOAF, "http://kitchenclub.example/recipes/plain-bread", "blog", None, "Our readers loved this loaf last winter."),
    ("loaf", LOAF, "http://tasty.collected.example/r/1182", "magazine", "Wait until", "Enjoy the bread with butter."),
    ("loaf", LOAF, "http://www.breadbook.example/amp/first-loaf", "plain", None, None),
    ("river", RIVER, "http://walkers.example.org/read/river", "news", "I drank", "First printed in our spring number."),
    ("pendulum", PENDULUM, "http://forum.clocks.test/t/771", "forum", "Welcome", "Found this on an old page and thought it might help."),
    ("lock", LOCK, "http://boatclub.harbour.test/rules/locks", "wiki", None, "These rules were agreed at the meeting in May."),
    ("clouds", CLOUDS, "http://school.valley.test/lessons/clouds", "magazine", None, "Homework: draw three clouds."),
    ("ferry-7", "http://ferry.harbour.test/timetable/007", "http://ferry.harbour.test/timetable/007-old", "plain", None, "This timetable is no longer valid."),
    ("tale-5", "http://tales.hearth.example/tale/005", "http://mirror.collected.example/tale5", "blog", None, "A story for the evening."),
    ("soup-9", "http://www.soupkitchen.example/soups/009", "http://tasty.collected.example/r/2210", "recipe", None, "Cooking time may vary."),
]


def ordinary(seed, url, title, count=12, template="blog", **changes):
    """A readable page of `count` filler sentences."""
    lines = sentences(seed, count)
    blocks = [("paragraph", " ".join(lines[start : start + 4])) for start in range(0, count, 4)]
    return Page(url=url, title=title, blocks=blocks, template=template, **changes)


def of_lines(url, title, lines, **changes):
    """A page whose paragraphs are `lines`."""
    return Page(url=url, title=title, blocks=[("paragraph", line) for line in lines], template="plain", **changes)


def fate(cluster):
    """What becomes of the members of `cluster`."""
    return f"one of cluster {cluster} kept, rest dropped minhash_dedup:near_duplicate"


def originals():
    """The expectation of each page that has copies, by URL."""
    return {row[1]: fate(row[0]) for row in EXACT + NEAR}


def duplicates(by_url):
    """Copies of good pages, byte for byte on other URLs or slightly changed."""
    for cluster, original, url in EXACT:
        yield replace(to_capture(by_url[original]), url=url, kind=f"exact_dup:{cluster}", expected=fate(cluster))
    for cluster, original, url, template, left_out, added in NEAR:
        page = by_url[original]
        blocks = [(kind, text) for kind, text in page.blocks if not (left_out and text.startswith(left_out))]
        if added:
            blocks.append(("paragraph", added))
        copy = replace(page, url=url, template=template, blocks=blocks, charset="utf-8 both")
        yield to_capture(copy, kind=f"near_dup:{cluster}", expected=fate(cluster))


def spam_pages():
    """Pages that break one rule of a filter each."""
    for group, stage, rules in (
        ("bargain.deals.test", "gopher_repetition", spam.REPETITION),
        ("oddities.collected.example", "gopher_quality", spam.QUALITY),
        ("notices.valley.test", "c4_quality", spam.C4),
        ("lists.collected.example", "fineweb_quality", spam.FINEWEB),
    ):
        for reason, lines in rules.items():
            name = reason.replace(" ", "-")
            page = of_lines(f"http://{group}/{stage}/{name}", "A page of the valley", lines)
            expected = f"dropped {stage}:{reason.split()[0]}"
            if reason == "dup_para_frac":  # text without blank lines has one paragraph
                expected += " or gopher_repetition:dup_line_frac"
            yield to_capture(page, kind=f"spam:{reason}", expected=expected)
    page = Page(
        url="http://oddities.collected.example/gopher_quality/gopher_too_many_bullets", title="List of everything",
        blocks=[("list", "\n".join(spam.BULLETS))], template="plain",
    )
    yield to_capture(page, kind="spam:gopher_too_many_bullets", expected="dropped gopher_quality:gopher_too_many_bullets")
    lines = spam.C4["too_few_sentences after javascript lines"][:1] + sentences("kept-lines", 14) + spam.C4["too_few_sentences after policy lines"][:3]
    page = of_lines("http://notices.valley.test/c4_quality/some-lines-removed", "Notices of the month", lines)
    yield to_capture(page, kind="c4_lines", expected="kept; c4_quality removes 4 lines")


BLOCKED = [
    ("domain", "http://example.net/"),
    ("domain", "http://deals.example.net/spring/offers.html"),
    ("subdomain", "http://ads.example.org/banner/page"),
    ("subdomain", "https://ads.example.org/another/page?id=3"),
    ("url", "http://www.oldmill.example/private/guestbook-dump"),
    ("url", "http://tales.hearth.example/copied/all.html"),
    ("hard_blacklisted", "http://www.valleynews.example/casino/night-at-the-hall"),
    ("hard_blacklisted", "http://games.hearth.example/blackjack_rules.php?p=1"),
    ("soft_blacklisted", "http://games.hearth.example/poker-evening/bonus"),
    ("blacklisted_subword", "http://www.valleynews.example/x/myfreebets24.html"),
    ("blacklisted_subword", "http://promo.deals.test/get-rich/in-a-week"),
]
NOT_BLOCKED = [
    ("one soft word", "http://games.hearth.example/cards/poker-for-matchsticks"),
    ("part of a hard word", "http://www.valleynews.example/story/the-roulettes-of-the-cake-shop"),
    ("a sister of a blocked host", "http://notes.example.org/a-walk-with-the-dog"),
]


def blocked():
    """Good pages at URLs that `blocklist/` names, and three near misses."""
    for reason, url in BLOCKED:
        page = ordinary(url, url, "An evening at the hall")
        yield to_capture(page, kind=f"blocked:{reason}", expected=f"dropped url_blocklist:{reason}")
    for why, url in NOT_BLOCKED:
        yield to_capture(ordinary(url, url, "A quiet week", count=16), kind=f"not_blocked:{why}", expected="kept")


PII = [
    ("contact-us", "Whoever wants to hire the hall should write to hall.booking@dunford-village.example.com or to the treasurer at m.stone+hall@mail.dunford.example, and should not forget the date."),
    ("router-notes", "The little computer in the library asks 8.8.8.8 and then 9.9.9.9 for names. Inside the house it has the address 192.168.1.20, and the printer is 10.0.0.7."),
    ("address-six", "With the new protocol the same server is called 2606:4700:4700::1111, while the examples in our book use 2001:db8::17 and 192.0.2.44."),
    ("phone-list", "You can reach the ferry on +44 1632 960123, the mill on (01632) 960 456, and the night bell on 555-0142, but only in an emergency."),
    ("lost-cat", "If you see Minka, please write to ana.reed@example.com or call 01632 960789. Her chip was registered from the machine at 1.1.1.1, which helps nobody."),
    ("committee", "Present were A. Moss (a.moss@valley-council.example.org), B. Holt (bram_holt@valley-council.example.org) and, by letter, C. Penn (penn@example.com)."),
    ("version-numbers", "The clock program went from version 1.2.3.4 to version 4.15.1.1 in one night, and nobody could tell the difference. Mail about it goes to clock@example.com."),
]


def private():
    """Pages with addresses and numbers that look like somebody's. All of them are reserved or belong to resolvers."""
    for name, line in PII:
        page = ordinary(name, f"http://office.dunford.example/{name}", name.replace("-", " ").capitalize())
        page.blocks.insert(1, ("paragraph", line))
        yield to_capture(page, kind="pii", expected="kept; redact_pii " + ("changes nothing" if name == "phone-list" else "rewrites it"))


def stored(data):
    """`data` as deflate blocks that are not compressed, so that every zlib version gives the same record ids."""
    parts = [data[start : start + 4096] for start in range(0, len(data), 4096)] or [b""]
    return b"".join(
        struct.pack("<BHH", part is parts[-1], len(part), len(part) ^ 0xFFFF) + part for part in parts
    )


def stored_zlib(data):
    """`data` in a zlib envelope."""
    return b"\x78\x01" + stored(data) + struct.pack(">I", zlib.adler32(data))


def stored_gzip(data):
    """`data` in a gzip envelope."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stored(data) + struct.pack("<II", zlib.crc32(data), len(data))


def png():
    """A real picture of 24 x 16 grey points."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes((9 * x + 13 * y) % 256 for x in range(24)) for y in range(16))
    head = struct.pack(">IIBBBBB", 24, 16, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", stored_zlib(rows)) + chunk(b"IEND", b"")


def other_types():
    """Responses that hold no page."""
    def other(path, kind, body, content_type, found, **changes):
        values = dict(kind=f"nonhtml:{kind}", expected="dropped crawl:not_html", headers=[("Content-Type", content_type)], payload_type=found)
        values.update(changes)
        return Capture(url=f"http://files.valley.test/{path}", body=body, **values)

    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    text = "\n".join(sentences("robots", 8)).encode()
    yield other("img/mill.png", "png", png(), "image/png", "image/png")
    yield other("img/served-as-html", "png_as_html", png(), "text/html", "image/png")
    yield other("doc/rules.pdf", "pdf", pdf, "application/pdf", "application/pdf")
    yield other("notes.txt", "text", text, "text/plain; charset=utf-8", "text/plain")
    yield other("api/tides.json", "json", json.dumps({"tides": [{"high": hour} for hour in range(12)]}).encode(), "application/json", "application/json")
    yield other("style.css", "css", b"body { margin: 0 } p { line-height: 1.4 }\n", "text/css", "text/css")
    unnamed = to_capture(ordinary("unnamed", "http://files.valley.test/no-content-type", "No type", count=16))
    yield replace(unnamed, kind="page_without_content_type", headers=[("Server", "old")], payload_type="", expected="kept ?")


def statuses():
    """Answers other than 200, and an empty one."""
    lost = to_capture(ordinary("404", "http://www.oldmill.example/lost/page", "Page not found"))
    yield replace(lost, status="404 Not Found", kind="notfound", expected="dropped crawl:http_status")
    busy = to_capture(ordinary("503", "http://www.valleynews.example/busy", "Too many readers"))
    yield replace(busy, status="503 Service Unavailable", kind="error", expected="dropped crawl:http_status")
    for status, url, target in (
        ("301 Moved Permanently", "http://oldmill.example/history", MILL),
        ("302 Found", "http://www.breadbook.example/today", LOAF),
    ):
        body = f'<html><head><title>Moved</title></head><body><a href="{target}">here</a></body></html>'.encode()
        headers = [("Location", target), ("Content-Type", "text/html")]
        yield Capture(url=url, body=body, kind="redirect", status=status, headers=headers, expected="dropped crawl:http_status")
    yield Capture(url="http://www.oldmill.example/unchanged", body=b"", kind="notmodified", status="304 Not Modified", headers=[("ETag", '"17"')], payload_type="", expected="dropped crawl:http_status")
    yield Capture(url="http://www.oldmill.example/empty", body=b"", kind="empty", headers=[("Content-Type", "text/html"), ("Content-Length", "0")], expected="dropped crawl:empty_body or extract_text:no_text")


def chunked(body, size):
    """`body` in chunks of `size` bytes, with a trailer."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\nX-Trailer: done\r\n\r\n"


def transfers():
    """Bodies that are packed as servers pack them, and as Common Crawl leaves them."""
    def packed(name, change, *headers):
        capture = to_capture(ordinary(name, f"http://transfer.valley.test/{name}", f"Sent as {name}", count=16))
        kept = [(key, value) for key, value in capture.headers if key != "Content-Length"]
        return replace(capture, body=change(capture.body), kind=f"transfer:{name}", headers=kept + list(headers))

    yield packed("chunked", lambda body: chunked(body, 700), ("Transfer-Encoding", "chunked"))
    yield packed("gzip", stored_gzip, ("Content-Encoding", "gzip"))
    yield packed("gzip-in-chunks", lambda body: chunked(stored_gzip(body), 333), ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked"))
    yield packed("deflate", stored_zlib, ("Content-Encoding", "deflate"))
    yield packed("already-unpacked", lambda body: body, ("X-Crawl-Content-Encoding", "gzip"), ("X-Crawl-Transfer-Encoding", "chunked"))
    yield replace(packed("says-gzip-but-is-not", lambda body: body, ("Content-Encoding", "gzip")), expected="kept ?")


def paragraphs(seed, count, size=4):
    """`count` HTML paragraphs of `size` filler sentences."""
    lines = sentences(seed, count * size)
    return ["<p>" + " ".join(lines[start : start + size]) for start in range(0, count * size, size)]


def broken():
    """Markup and bytes that break a naive parser; their words are good."""
    def raw(name, markup, expected="kept", kind="broken", data=None):
        body = markup.encode() if data is None else data
        return Capture(
            url=f"http://attic.collected.example/{name}", body=body, language="en", kind=f"{kind}:{name}", expected=expected,
            charset="utf-8", declared="header:utf-8", headers=[("Content-Type", "text/html; charset=utf-8")],
        )

    def page(inside):
        return f"<!doctype html><html><head><title>From the attic</title></head><body>{inside}</body></html>"

    yield raw("unclosed-tags", "<html><head><title>Unclosed</title><body><div><h1>Unclosed tags</h1>" + "<b><i>".join(paragraphs("unclosed", 4)))
    yield raw("title-without-end", "<html><head><title>No end<body>" + "".join(paragraphs("rcdata", 2)), expected="dropped extract_text:no_text ?")
    tables = "".join(f"<table><tr><td>{text}</td></table></tr></td>" for text in paragraphs("tables", 4))
    yield raw("misnested-tables", page(f"<table><div>{tables}</div><tr><p></table>"), expected="kept ?")
    yield raw("stray-end-tags", page("</div></p></div>" + "</div></span></td></article>".join(paragraphs("stray", 4)) + "</div></body></html></div>"))
    nulls = page("".join(paragraphs("nulls", 4))).encode().replace(b" the ", b" the\0 ", 5).replace(b"<p>", b"<p>\0", 2)
    yield raw("null-bytes", "", data=nulls, expected="kept ?")
    yield raw("invalid-utf-8", "", data=page("".join(paragraphs("invalid", 4))).encode().replace(b"and", b"\xff\xfe and", 3))
    yield raw("nested-divs", page("<div>" * 300 + "".join(paragraphs("nested", 4)) + "</div>" * 300), expected="kept ?")
    yield raw("deep-inline", page("<p>" + "<b><i><font>" * 200 + "</p>".join(paragraphs("inline", 4)) + "</b></i></font>" * 200), expected="kept ?")
    article = "</p>".join(paragraphs("noscript", 4))
    yield raw("noscript", page(f'<div id="app"></div><script>document.getElementById("app").innerHTML = "loading";</script><noscript><article>{article}</article></noscript>'), expected="kept ?")
    yield raw("no-end", page("".join(paragraphs("noend", 4)) + "<!-- a comment that never ends <p>" + "".join(paragraphs("lost", 1))), expected="kept")
    yield raw("attribute-without-end", page("".join(paragraphs("attr", 4)) + '<p class="open>' + "".join(paragraphs("attr2", 1))), expected="kept")
    yield raw("frameset", "<html><head><title>Frames</title></head><frameset cols='20%,80%'><frame src='a.htm'><frame src='b.htm'></frameset></html>", expected="dropped extract_text:no_text or language or gopher_quality:gopher_short_doc")

    special = paragraphs("special", 4)
    quoted = "<p>The word &lt;|endoftext|&gt; marks the end of a text in some programs, and &lt;|bos|&gt; marks its beginning. A text that only talks about &lt;|endoftext|&gt; must not end there.</p>"
    yield raw("special-tokens", page(special[0] + quoted + "".join(special[1:])), kind="tokens")
    escapes = "<p>This line hides \x1b[31mred words\x1b[0m and a title \x1b]0;stolen\x07 and a bell \x07 and a clear screen \x1b[2J from your terminal.</p>"
    yield raw("terminal-escapes", page(special[1] + escapes + "".join(paragraphs("escapes", 4))), kind="escapes")
    rtl = '<p>The sign on the door said <span dir="rtl">שלום, ברוכים הבאים</span> and below it <span dir="rtl">مرحبا بكم في القرية</span>, and the guests were glad to read it. \u202eThis part is turned round\u202c by a hidden mark.</p>'
    yield raw("right-to-left", page(rtl + "".join(paragraphs("rtl", 4))), kind="bidi")
    entities = "<p>Fish &amp; chips, caf&eacute; &#8212; na&#239;ve &#x201C;words&#x201D; &copy 1999 &bogus; &#0; &#xD800; &lt;b&gt;.</p>"
    yield raw("entities", page(entities + "".join(paragraphs("entities", 4))), kind="entities")
    cut = raw("cut-by-the-crawler", page("".join(paragraphs("cut", 12))), expected="kept ?")
    yield replace(cut, headers=cut.headers + [("Content-Length", str(len(cut.body)))], body=cut.body[: 2 * len(cut.body) // 3], truncated=True, kind="truncated")
    damaged = to_capture(ordinary("damaged", "http://attic.collected.example/damaged-record", "Nobody will read this", count=40))
    yield replace(damaged, damaged=True, file=1, kind="damaged", expected="dropped crawl:damaged_record; the records after it are read")


MULTIBYTE_CUT = "http://attic.collected.example/cut-in-a-character"


def cut_character():
    """A truncated UTF-8 page whose last byte is the first half of a character."""
    body = ("<html><body>" + "".join(paragraphs("half", 4)) + "<p>At the end of the long street stands the café").encode()[:-1]
    return Capture(url=MULTIBYTE_CUT, body=body, language="en", kind="truncated:character", charset="utf-8", declared="none", truncated=True, expected="kept ?")


def boilerplate_only():
    """A start page that is nothing but links."""
    choose = Chooser("links")
    links = "".join(f'<li><a href="/story/{index}">{line}</a></li>' for index, line in enumerate(choose.shuffled(sentences("links", 60))))
    return Capture(
        url="http://www.valleynews.example/", language="en", kind="links_only", charset="utf-8", declared="meta:utf-8",
        body=f'<!doctype html><html><head><meta charset="utf-8"><title>Valley News</title></head><body><nav><ul>{links}</ul></nav></body></html>'.encode(),
        expected="dropped extract_text:no_text or gopher_quality:gopher_too_many_bullets ?",
    )


def captures(by_url):
    """Every planted capture. `by_url` holds the good pages that are copied."""
    found = [*duplicates(by_url), *spam_pages(), *blocked(), *private(), *other_types(), *statuses(), *transfers(), *broken()]
    return found + [cut_character(), boilerplate_only()]
