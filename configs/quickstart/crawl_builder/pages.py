"""How is a page source read? A small front matter, a blank line, then text blocks parted by blank lines.

    url: http://mill.example/history
    title: The old mill
    template: blog
    language: en
    charset: windows-1252 header

Blocks: `# ` or `## ` heading, `- ` list, `1. ` numbered list, `> ` quotation, `@name` a forum post by that name,
`! ` raw HTML, anything else a paragraph. `charset` is the encoding of the bytes, then where it is declared:
`header`, `meta`, `both`, `none`, `bom`, or `header=X` / `meta=X` for a declaration that is wrong.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Page:
    """A page before its template: `blocks` are (kind, text) pairs."""

    url: str
    title: str
    blocks: list
    template: str = "blog"
    language: str = "en"
    charset: str = "utf-8 both"
    kind: str = "page"
    expected: str = ""
    tags: list = field(default_factory=list)

    @property
    def host(self):
        return self.url.split("/")[2]

    def text(self):
        """The words a reader should see, without markup."""
        return "\n".join(text for kind, text in self.blocks if kind != "html")


def parse_blocks(text):
    """(kind, text) pairs of a page's blank-line separated blocks. Lists keep their items' line breaks."""
    blocks = []
    for chunk in text.strip().split("\n\n"):
        lines = chunk.strip("\n").split("\n")
        first = lines[0]
        if first.startswith("#"):
            blocks.append(("heading", first.lstrip("# ")))
        elif first.startswith("- "):
            blocks.append(("list", "\n".join(line[2:] for line in lines)))
        elif first.startswith("1. "):
            blocks.append(("numbers", "\n".join(line.split(". ", 1)[1] for line in lines)))
        elif first.startswith("> "):
            blocks.append(("quote", " ".join(line.lstrip("> ") for line in lines)))
        elif first.startswith("! "):
            blocks.append(("html", "\n".join(lines)[2:]))
        elif first.startswith("@"):
            blocks.append(("post", first[1:].strip()))
            blocks.append(("paragraph", " ".join(lines[1:])))
        else:
            joint = "" if first[:1] > "\u3000" else " "
            blocks.append(("paragraph", joint.join(lines)))
    return [(kind, text) for kind, text in blocks if text]


def read(path):
    """The page in the file `path`. A front matter line that is no `key: value` ends the build."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    values = {}
    for line in head.splitlines():
        key, colon, value = line.partition(": ")
        if not colon:
            raise SystemExit(f"{path}: front matter line `{line}` is not `key: value`")
        values[key] = value.strip()
    if "tags" in values:
        values["tags"] = values["tags"].split(", ")
    return Page(blocks=parse_blocks(body), **values)


def read_all(folder):
    """All pages under `folder`, by path."""
    return [read(path) for path in sorted(Path(folder).rglob("*.txt"), key=lambda path: path.as_posix())]
