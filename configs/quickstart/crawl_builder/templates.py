"""What surrounds a page's words? Ten kinds of site, with the clutter that real pages carry."""

import html
import json

from .seeded import Chooser

# home, about, contact, archive, search, cookie notice, accept, related, newsletter, rights, share, comments
LABELS = {
    "en": ["Home", "About us", "Contact", "Archive", "Search", "We use cookies to make this site work better. Read our privacy policy.", "Accept all", "You may also like", "Sign up for our newsletter", "All rights reserved", "Share this", "Leave a reply"],
    "de": ["Startseite", "Über uns", "Kontakt", "Archiv", "Suche", "Wir verwenden Cookies. Mehr in der Datenschutzerklärung.", "Alle annehmen", "Das könnte Sie auch interessieren", "Newsletter abonnieren", "Alle Rechte vorbehalten", "Teilen", "Kommentar schreiben"],
    "fr": ["Accueil", "À propos", "Contact", "Archives", "Rechercher", "Ce site utilise des cookies. En savoir plus.", "Tout accepter", "À lire aussi", "Abonnez-vous à la lettre", "Tous droits réservés", "Partager", "Laisser un commentaire"],
    "es": ["Inicio", "Quiénes somos", "Contacto", "Archivo", "Buscar", "Usamos cookies propias y de terceros.", "Aceptar todo", "También te puede interesar", "Suscríbete al boletín", "Todos los derechos reservados", "Compartir", "Deja un comentario"],
    "it": ["Home", "Chi siamo", "Contatti", "Archivio", "Cerca", "Questo sito usa i cookie.", "Accetta tutto", "Leggi anche", "Iscriviti alla newsletter", "Tutti i diritti riservati", "Condividi", "Lascia un commento"],
    "pt": ["Início", "Sobre nós", "Contacto", "Arquivo", "Procurar", "Este sítio usa cookies.", "Aceitar tudo", "Leia também", "Assine o boletim", "Todos os direitos reservados", "Partilhar", "Deixe um comentário"],
    "nl": ["Begin", "Over ons", "Contact", "Archief", "Zoeken", "Deze site gebruikt cookies.", "Alles accepteren", "Lees ook", "Meld je aan voor de nieuwsbrief", "Alle rechten voorbehouden", "Delen", "Reageer"],
    "pl": ["Strona główna", "O nas", "Kontakt", "Archiwum", "Szukaj", "Ta strona używa plików cookie.", "Zgadzam się", "Zobacz też", "Zapisz się do newslettera", "Wszelkie prawa zastrzeżone", "Udostępnij", "Dodaj komentarz"],
    "ru": ["Главная", "О нас", "Контакты", "Архив", "Поиск", "Мы используем файлы cookie.", "Принять", "Читайте также", "Подписаться на рассылку", "Все права защищены", "Поделиться", "Оставить комментарий"],
    "ja": ["ホーム", "私たちについて", "お問い合わせ", "過去の記事", "検索", "このサイトはクッキーを使います。", "同意する", "関連記事", "メールマガジン登録", "無断転載を禁じます", "共有", "コメントを書く"],
    "zh": ["首页", "关于我们", "联系", "归档", "搜索", "本站使用必要的缓存文件。", "接受", "相关文章", "订阅邮件", "版权所有", "分享", "发表评论"],
}

SIDE_LINKS = ["Spring notes", "The long bridge", "Tools we use", "Letters", "Map of the valley", "Opening hours", "Photo album", "Old posters", "For schools", "Events", "How to get here", "Volunteers", "Price list", "Maker's corner", "Questions", "Glossary", "Winter walks", "Members"]
NAMES = ["Ada Moss", "Bram Holt", "Clara Penn", "Dov Ash", "Edith Lowe", "Finn Marsh", "Greta Hale", "Hugo Stone", "Ines Vale", "Jonas Reed"]
REPLIES = ["Thank you, I had no idea about this.", "My grandmother did it the same way.", "Lovely pictures, as always!", "Where can I buy one of these?", "First!", "I tried it last week and it worked.", "Great post, keep them coming."]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


def escape(text):
    """`text` for an HTML body or attribute."""
    return html.escape(text, quote=True)


def block_html(kind, text, list_class=""):
    """The markup of one block."""
    if kind == "html":
        return text
    if kind in ("list", "numbers"):
        tag = "ul" if kind == "list" else "ol"
        items = "".join(f"<li>{escape(item)}</li>\n" for item in text.split("\n"))
        return f"<{tag}{list_class}>\n{items}</{tag}>"
    if kind == "quote":
        return f"<blockquote><p>{escape(text)}</p></blockquote>"
    if kind in ("heading", "post"):
        return f"<h2>{escape(text)}</h2>"
    return f"<p>{escape(text)}</p>"


def body_html(page):
    """The markup of all blocks."""
    return "\n".join(block_html(kind, text) for kind, text in page.blocks)


class Site:
    """What a template needs to know about a page: labels, a made-up author and date, links."""

    def __init__(self, page):
        self.page = page
        self.choose = Chooser("site", page.url)
        self.labels = LABELS.get(page.language, LABELS["en"])
        first = page.host.removeprefix("www.").split(".")[0]
        self.name = " ".join(word.capitalize() for word in first.replace("-", " ").split())
        self.author = self.choose.pick(NAMES)
        self.year = self.choose.between(2012, 2023)
        self.month = self.choose.between(1, 12)
        self.day = self.choose.between(1, 28)
        self.iso_date = f"{self.year}-{self.month:02}-{self.day:02}"
        self.long_date = f"{self.day} {MONTHS[self.month - 1]} {self.year}"
        self.title = escape(page.title)

    def links(self, count, css=""):
        """A list of `count` links that lead nowhere."""
        items = "".join(
            f'<li><a href="/{name.lower().replace(" ", "-").replace(chr(39), "")}">{escape(name)}</a></li>\n'
            for name in self.choose.sample(SIDE_LINKS, count)
        )
        return f'<ul class="{css}">\n{items}</ul>'

    def menu(self, css="menu"):
        """The navigation bar."""
        home, about, contact, archive = (escape(label) for label in self.labels[:4])
        return (
            f'<nav class="{css}" role="navigation"><ul><li><a href="/">{home}</a></li><li><a href="/about">{about}</a></li>'
            f'<li><a href="/archive">{archive}</a></li><li><a href="/contact">{contact}</a></li></ul></nav>'
        )

    def cookie_banner(self):
        """The bar that asks for consent."""
        return (
            f'<div id="cookie-banner" class="cookie-consent" role="dialog"><p>{escape(self.labels[5])}</p>'
            f'<button type="button">{escape(self.labels[6])}</button></div>'
        )

    def footer(self):
        """The last lines."""
        return (
            f'<footer class="site-footer"><p>&copy; {self.year} {escape(self.name)}. {escape(self.labels[9])}.</p>'
            f"{self.links(3, 'footer-links')}</footer>"
        )

    def comments(self, count):
        """Readers' short replies."""
        items = "".join(
            f'<li class="comment"><cite class="fn">{escape(self.choose.pick(NAMES))}</cite> <a href="#c{index}">#{index + 1}</a>'
            f'<div class="comment-body"><p>{escape(self.choose.pick(REPLIES))}</p></div></li>\n'
            for index in range(count)
        )
        return f'<div id="comments" class="comments-area"><h3>{escape(self.labels[11])}</h3><ol class="comment-list">{items}</ol></div>'

    def linked_data(self, kind):
        """The JSON-LD block that search engines read."""
        data = {
            "@context": "https://schema.org",
            "@type": kind,
            "headline": self.page.title,
            "datePublished": self.iso_date,
            "author": {"@type": "Person", "name": self.author},
        }
        return f'<script type="application/ld+json">{json.dumps(data, ensure_ascii=True)}</script>'

    def tracker(self):
        """An inline script as counters leave them."""
        return (
            "<script>window.dataLayer = window.dataLayer || []; function count(a, b) { dataLayer.push([a, b]); } "
            f"if (1 < 2 && document.body) {{ count('page', '{self.choose.below(10**6)}'); }}</script>"
        )

    def head(self, extra=""):
        """The head element up to and with its end tag; `{META}` is where a charset declaration goes."""
        return (
            f"<head>\n{{META}}<title>{self.title} - {escape(self.name)}</title>\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<link rel="canonical" href="{escape(self.page.url)}">\n{extra}</head>'
        )


def blog(site):
    """A WordPress-like blog post."""
    return f"""<!DOCTYPE html>
<html lang="{site.page.language}">
{site.head('<link rel="stylesheet" href="/wp-content/themes/quiet/style.css">' + site.linked_data("BlogPosting") + "<style>.entry-content p { margin: 0 0 1em; } @media print { .sidebar { display: none; } }</style>")}
<body class="post-template-default single single-post">
<a class="skip-link screen-reader-text" href="#content">Skip to content</a>
<header id="masthead" class="site-header"><p class="site-title"><a href="/" rel="home">{escape(site.name)}</a></p>{site.menu("main-navigation")}</header>
<div id="content" class="site-content"><main id="main" class="site-main">
<article id="post-{site.choose.below(9000)}" class="post type-post hentry">
<header class="entry-header"><h1 class="entry-title">{site.title}</h1>
<div class="entry-meta">Posted on <time class="entry-date published" datetime="{site.iso_date}">{site.long_date}</time> by <span class="author">{site.author}</span></div></header>
<div class="entry-content">
{body_html(site.page)}
<div class="sharedaddy"><h3>{escape(site.labels[10])}</h3><ul><li><a href="#">Post</a></li><li><a href="#">Mail</a></li></ul></div>
</div>
<footer class="entry-footer"><span class="cat-links">Posted in <a href="/category/notes">Notes</a></span> <span class="tags-links">Tagged <a href="/tag/valley">valley</a>, <a href="/tag/slow">slow</a></span></footer>
</article>
<nav class="post-navigation"><div class="nav-previous"><a href="/older">Previous post</a></div><div class="nav-next"><a href="/newer">Next post</a></div></nav>
{site.comments(site.choose.between(0, 4))}
</main>
<aside id="secondary" class="sidebar widget-area"><section class="widget widget_search"><form role="search"><input type="search" placeholder="{escape(site.labels[4])}"></form></section>
<section class="widget"><h2 class="widget-title">Recent posts</h2>{site.links(5)}</section></aside></div>
{site.footer()}
{site.cookie_banner()}
{site.tracker()}
</body></html>
"""


def news(site):
    """A local newspaper with advertisements and teasers between the paragraphs."""
    blocks = [block_html(kind, text) for kind, text in site.page.blocks]
    middle = len(blocks) // 2
    advert = '<div class="ad ad-slot" id="ad-mid" aria-hidden="true"><span>Advertisement</span><iframe src="about:blank"></iframe></div>'
    blocks.insert(middle, advert)
    story = "\n".join(blocks)
    teasers = "".join(
        f'<div class="teaser"><a href="/story/{site.choose.below(99999)}"><h4>{escape(name)}</h4></a></div>'
        for name in site.choose.sample(SIDE_LINKS, 4)
    )
    return f"""<!doctype html>
<html lang="{site.page.language}">
{site.head(f'<meta property="og:type" content="article"><meta property="og:title" content="{site.title}"><meta name="author" content="{site.author}"><script async src="/ads.js"></script>' + site.linked_data("NewsArticle"))}
<body>
<div class="topbar"><span class="date">{site.long_date}</span><a href="/login">Log in</a><a href="/subscribe">Subscribe</a></div>
<header><div class="logo"><a href="/">{escape(site.name)}</a></div>{site.menu("sections")}</header>
<div class="ad leaderboard"><script>var slot = {{ "id": "top", "sizes": [[728, 90], [970, 250]] }};</script></div>
<div class="layout"><article class="story" itemscope itemtype="https://schema.org/NewsArticle">
<h1 itemprop="headline">{site.title}</h1>
<p class="byline">By {site.author} | {site.long_date} | 3 min read</p>
<figure><img src="/img/{site.choose.below(999)}.jpg" alt=""><figcaption>Picture: {site.author}</figcaption></figure>
<div class="story-body" itemprop="articleBody">
{story}
</div>
<ul class="share-buttons"><li><a href="#">{escape(site.labels[10])}</a></li><li><a href="#">Print</a></li></ul>
</article>
<aside class="rail"><h3>Most read</h3>{site.links(6, "most-read")}<div class="ad sky"></div></aside></div>
<section class="related"><h3>{escape(site.labels[7])}</h3>{teasers}</section>
<div class="newsletter"><form><label>{escape(site.labels[8])}</label><input type="email"><button>OK</button></form></div>
{site.footer()}{site.cookie_banner()}{site.tracker()}
</body></html>
"""


def docs(site):
    """A documentation site with a tree of links on the left."""
    return f"""<!DOCTYPE html>
<html class="no-js" lang="{site.page.language}">
{site.head('<meta name="generator" content="docmaker-2.1"><style>.wy-nav-side{position:fixed}.rst-content code{color:#e74c3c}</style>')}
<body class="wy-body-for-nav">
<div class="wy-grid-for-nav"><nav data-toggle="wy-nav-shift" class="wy-nav-side"><div class="wy-side-scroll">
<a href="/index.html" class="icon icon-home">{escape(site.name)}</a><p class="caption"><span>User guide</span></p>{site.links(8, "toctree")}<p class="caption"><span>Reference</span></p>{site.links(5, "toctree")}</div></nav>
<section class="wy-nav-content-wrap"><div class="wy-nav-content"><div class="rst-content">
<div role="navigation" aria-label="breadcrumbs"><ul class="wy-breadcrumbs"><li><a href="/index.html">Docs</a> &raquo;</li><li>{site.title}</li><li><a href="/_sources/page.txt">View page source</a></li></ul><hr></div>
<div role="main" class="document" itemscope="itemscope"><div itemprop="articleBody">
<h1>{site.title}<a class="headerlink" href="#top" title="Link to this heading">&para;</a></h1>
{body_html(site.page)}
</div></div>
<footer><div class="rst-footer-buttons"><a href="/next.html" class="btn float-right">Next</a><a href="/prev.html" class="btn">Previous</a></div><hr><p>Last updated on {site.long_date}.</p></footer>
</div></div></section></div>
<script>jQuery(function () {{ Theme.Navigation.enable(true); }});</script>
</body></html>
"""


def forum(site):
    """A bulletin board thread; `post` blocks begin a new post."""
    posts, current = [], None
    for kind, text in site.page.blocks:
        if kind == "post" or current is None:
            current = (text if kind == "post" else site.author, [])
            posts.append(current)
        if kind != "post":
            current[1].append(block_html(kind, text))
    rows = "\n".join(
        f'<div class="post" id="p{index + 1}"><dl class="postprofile"><dt><a href="/user/{escape(name)}">{escape(name)}</a></dt>'
        f"<dd>Posts: {site.choose.between(3, 4000)}</dd><dd>Joined: {site.year - 1}</dd></dl>"
        f'<div class="postbody"><p class="author"><a href="#p{index + 1}">#{index + 1}</a> {site.long_date}</p>'
        f'<div class="content">{"".join(body)}</div><ul class="post-buttons"><li><a href="#">Quote</a></li><li><a href="#">Report</a></li></ul></div></div>'
        for index, (name, body) in enumerate(posts)
    )
    return f"""<!DOCTYPE html>
<html dir="ltr" lang="{site.page.language}">
{site.head('<link rel="stylesheet" href="/styles/subblue.css">')}
<body id="phpbb" class="section-viewtopic">
<div id="wrap"><div id="page-header"><h1 class="sitename">{escape(site.name)}</h1>{site.menu("linklist")}<ul class="linklist rightside"><li><a href="/faq">FAQ</a></li><li><a href="/register">Register</a></li><li><a href="/login">Login</a></li></ul></div>
<div id="page-body"><h2 class="topic-title"><a href="{escape(site.page.url)}">{site.title}</a></h2>
<div class="pagination">{len(posts)} posts &bull; Page <strong>1</strong> of <strong>1</strong></div>
{rows}
<div class="jumpbox"><form><select><option>Jump to</option><option>General</option><option>Workshop</option><option>For sale</option></select></form></div>
<h3>Who is online</h3><p>Users browsing this forum: No registered users and {site.choose.between(1, 9)} guests</p></div>
<div id="page-footer"><div class="copyright">Powered by boardware</div></div></div>
</body></html>
"""


def shop(site):
    """A product page."""
    price = f"{site.choose.between(4, 90)}.{site.choose.pick(['00', '50', '95'])}"
    return f"""<!DOCTYPE html>
<html lang="{site.page.language}">
{site.head('<script type="application/ld+json">' + json.dumps({"@type": "Product", "name": site.page.title, "offers": {"price": price}}) + "</script>")}
<body class="product-template">
<div class="announcement-bar">Free delivery on orders over 40</div>
<header>{site.menu("shop-nav")}<a class="cart" href="/cart">Cart (0)</a></header>
<main><div class="breadcrumb"><a href="/">Shop</a> / <a href="/all">All goods</a> / {site.title}</div>
<div class="product"><div class="gallery"><img src="/p/1.jpg" alt="{site.title}"><img src="/p/2.jpg" alt=""></div>
<div class="info"><h1 class="product-title">{site.title}</h1><div class="price"><span class="money">{price}</span></div>
<form action="/cart/add"><select name="size"><option>Small</option><option>Medium</option><option>Large</option></select><button type="submit">Add to cart</button></form>
<div class="product-description">
{body_html(site.page)}
</div></div></div>
<section class="recommend"><h2>{escape(site.labels[7])}</h2>{site.links(4, "grid")}</section></main>
{site.footer()}{site.cookie_banner()}
</body></html>
"""


def recipe(site):
    """A recipe card under a story."""
    return f"""<!DOCTYPE html>
<html lang="{site.page.language}">
{site.head(site.linked_data("Recipe"))}
<body class="recipe-page">
<header class="site"><a class="brand" href="/">{escape(site.name)}</a>{site.menu()}<form><input name="s" placeholder="{escape(site.labels[4])}"></form></header>
<main><article class="recipe"><h1>{site.title}</h1>
<div class="jump"><a href="#card">Jump to recipe</a> <a href="#">Print recipe</a></div>
<div class="rating"><span>&#9733;&#9733;&#9733;&#9733;&#9734;</span> {site.choose.between(2, 60)} votes</div>
<div class="recipe-text" id="card">
{body_html(site.page)}
</div></article>
{site.comments(site.choose.between(1, 3))}</main>
<aside><div class="about-me"><img src="/me.jpg" alt=""><p>Hello! I am {site.author}.</p></div>{site.links(6)}</aside>
{site.footer()}{site.tracker()}
</body></html>
"""


def wiki(site):
    """An encyclopedia page with edit links and categories."""
    parts = []
    for kind, text in site.page.blocks:
        if kind == "heading":
            parts.append(
                f'<h2><span class="mw-headline">{escape(text)}</span><span class="mw-editsection">[<a href="?action=edit">edit</a>]</span></h2>'
            )
        else:
            parts.append(block_html(kind, text))
    content = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html class="client-nojs" lang="{site.page.language}" dir="ltr">
{site.head('<meta name="generator" content="PageWiki 1.4">')}
<body class="mediawiki ltr ns-0">
<div id="mw-page-base" class="noprint"></div>
<div id="content" class="mw-body" role="main"><h1 id="firstHeading" class="firstHeading">{site.title}</h1>
<div id="bodyContent"><div id="siteSub">From {escape(site.name)}</div><div id="mw-content-text" class="mw-content-ltr"><div class="mw-parser-output">
<table class="infobox"><tbody><tr><th>Updated</th><td>{site.year}</td></tr><tr><th>Pages</th><td>{site.choose.between(20, 900)}</td></tr></tbody></table>
{content}
</div></div>
<div id="catlinks" class="catlinks"><a href="/wiki/Categories">Categories</a>: <ul><li><a href="/c/1">Crafts</a></li><li><a href="/c/2">Country life</a></li></ul></div></div></div>
<div id="mw-navigation"><div id="p-personal"><ul><li><a href="/login">Log in</a></li></ul></div><div class="portal"><h3>Navigation</h3>{site.links(6)}</div></div>
<div id="footer"><ul><li>This page was last edited on {site.long_date}.</li></ul></div>
</body></html>
"""


def personal99(site):
    """A home page of 1999: tables, font tags, upper case, a counter."""
    return f"""<HTML>
<HEAD>
{{META}}<TITLE>{site.title}</TITLE>
</HEAD>
<BODY BGCOLOR="#FFFFCC" TEXT="#330000" LINK="#0000FF">
<CENTER><FONT FACE="Comic Sans MS" SIZE="+3" COLOR="#006600">{site.title}</FONT><BR><IMG SRC="line.gif" WIDTH=500 HEIGHT=4></CENTER>
<TABLE BORDER=0 WIDTH="90%" CELLPADDING=8><TR>
<TD VALIGN=TOP WIDTH=120 BGCOLOR="#CCFFCC"><FONT SIZE=2><A HREF="index.htm">Home</A><BR><A HREF="pics.htm">Pictures</A><BR><A HREF="links.htm">Cool links</A><BR><A HREF="guest.htm">Guestbook</A></FONT></TD>
<TD VALIGN=TOP>
{body_html(site.page)}
</TD></TR></TABLE>
<HR><CENTER><FONT SIZE=1>You are visitor number <B>00{site.choose.between(1000, 9999)}</B>. Best viewed in 800x600.</FONT></CENTER>
</BODY></HTML>
"""


def magazine(site):
    """A slow-reading magazine built from nested sections and class names that tell nothing."""
    return f"""<!DOCTYPE html><html lang="{site.page.language}">
{site.head(f'<meta name="description" content="{site.title}">')}
<body><div class="css-1a2b"><div class="css-9x"><svg width="10" height="10" viewBox="0 0 10 10"><path d="M0 0h10v10H0z"/></svg>{site.menu("css-nav")}</div>
<div class="css-7f"><div class="css-hero"><h1 class="css-h">{site.title}</h1><span class="css-by">{site.author}</span><time datetime="{site.iso_date}">{site.long_date}</time></div>
<section class="css-body"><div class="css-col">
{body_html(site.page)}
</div></section>
<section class="css-sub"><h2>{escape(site.labels[8])}</h2><form><input type="email" placeholder="you"><button>Send</button></form></section>
</div><div class="css-more"><h2>{escape(site.labels[7])}</h2>{site.links(5, "css-cards")}</div></div>
{site.footer()}<noscript><img height="1" width="1" src="/pixel.gif" alt=""></noscript>{site.tracker()}{site.cookie_banner()}</body></html>
"""


def plain(site):
    """A small hand-made HTML5 page."""
    return f"""<!DOCTYPE html>
<html lang="{site.page.language}">
{site.head("<style>body{max-width:40em;margin:auto}</style>")}
<body>
<header><h1>{site.title}</h1></header>
<nav><a href="/">{escape(site.labels[0])}</a> <a href="/archive">{escape(site.labels[3])}</a></nav>
<main>
{body_html(site.page)}
</main>
<footer><small>{escape(site.name)}, {site.year}</small></footer>
</body>
</html>
"""


TEMPLATES = {
    template.__name__: template
    for template in (blog, news, docs, forum, shop, recipe, wiki, personal99, magazine, plain)
}


def render(page):
    """The page's HTML, with `{META}` where a charset declaration may go."""
    return TEMPLATES[page.template](Site(page))
