"""How does a page's HTML become a response? Its charset line says how it is encoded and what it claims."""

from .templates import render
from .warc import Capture

PYTHON_NAMES = {"utf-16": "utf-16-le", "gbk": "gbk", "gb18030": "gb18030", "shift_jis": "cp932", "windows-1252": "cp1252", "iso-8859-1": "latin-1"}


def to_capture(page, **changes):
    """The capture of `page`. `changes` set fields of it."""
    charset, _, where = page.charset.partition(" ")
    header, meta, declared = "", "", []
    for word in where.split():
        claim = word.partition("=")[2] or charset
        if word.startswith(("header", "both")):
            header = f"; charset={claim}"
            declared.append(f"header:{claim}")
        if word.startswith(("meta", "both")):
            meta = f'<meta charset="{claim}">\n' if len(claim) % 2 else f'<meta http-equiv="Content-Type" content="text/html; charset={claim}">\n'
            declared.append(f"meta:{claim}")
    text = render(page).replace("{META}", meta)
    body = text.encode(PYTHON_NAMES.get(charset, charset), errors="xmlcharrefreplace")
    if charset == "utf-16":
        body = b"\xff\xfe" + body
    if "bom" in where.split():
        body = b"\xef\xbb\xbf" + body
        declared.append("bom")
    headers = [
        ("Server", "nginx"),
        ("Date", "Fri, 01 Mar 2024 10:00:00 GMT"),
        ("Content-Type", "text/html" + header),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    expected = page.expected or ("kept" if page.language == "en" else "dropped language:language_not_wanted")
    values = dict(
        url=page.url, body=body, language=page.language, kind=page.kind, expected=expected,
        charset=charset, declared="+".join(declared) or "none", headers=headers,
    )
    values.update(changes)
    return Capture(**values)
