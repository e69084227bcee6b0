"""How does a template become a sentence? `{a|b|c}` is one of three, `{name}` is one of the pool of that name.

Alternatives may hold pools. A `{=name}` keeps the first choice of its pool for the whole page.
"""

import re

INNERMOST = re.compile(r"\{([^{}]*)\}")


class Grammar:
    """Expands templates with one page's choices."""

    def __init__(self, choose, pools):
        self.choose = choose
        self.pools = pools
        self.kept = {}

    def expand(self, template):
        """`template` with all braces replaced, its first letter large."""
        while True:
            text = INNERMOST.sub(self.replacement, template)
            if text == template:
                break
            template = text
        text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
        return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), text)

    def replacement(self, match):
        """The choice for one pair of braces."""
        name = match[1]
        if "|" in name:
            return self.choose.pick(name.split("|"))
        if name.startswith("="):
            if name not in self.kept:
                taken = set(self.kept.values())
                key = name[1:].rstrip("0123456789")
                self.kept[name] = self.choose.pick([item for item in self.pools[key] if item not in taken])
            return self.kept[name]
        if name not in self.pools:
            raise SystemExit(f"no pool of words is called `{name}`")
        return self.choose.pick(self.pools[name])

    def paragraphs(self, groups):
        """One paragraph for each group: (how many sentences, templates)."""
        return [
            " ".join(self.expand(template) for template in self.choose.sample(templates, count))
            for count, templates in groups
        ]
