#!/usr/bin/env python3
"""Gathers texts of many kinds for a comparison of the quality filters with the reference, from the shared data.

    scripts/parity/texts.py ../shared/data IN.jsonl
    scripts/parity/fineweb_reference.py IN.jsonl OUT.jsonl
    FINEWEB_REFERENCE=OUT.jsonl cargo test --release -p gristmill-stages --test fineweb_parity -- --nocapture

None of them is in the tests: pages, articles and forums in their annotators' words, chats, novels, plays, encyclopaedia, pages
judged by people, and lines of 400 languages, a text each (read as English, as the reference does).
"""
import collections
import gzip
import json
import lzma
import pathlib
import random
import sys

MOST_OF_A_KIND = {"wcxb": 1300, "oasst": 300, "lid": 400}
LONGEST = 60_000


def rows(path):
    opener = lzma.open if path.suffix == ".xz" else gzip.open
    with opener(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def pieces(path, step, length):
    """Pieces of a long text, one every `step` characters."""
    text = gzip.open(path, "rt", encoding="utf-8").read() if isinstance(path, pathlib.Path) else path
    return [text[start : start + length] for start in range(0, len(text), step)]


def messages(message):
    yield message.get("text")
    for reply in message.get("replies", []):
        yield from messages(reply)


def gather(data):
    """Pairs of kind and text."""
    for row in rows(data / "html_gold/wcxb_dev.jsonl.xz"):
        yield "wcxb", row.get("text")
    for kind in ["magic_article", "magic_forum", "mozilla", "scrapinghub", "wmb_sample"]:
        for row in rows(data / f"html_gold/{kind}.jsonl.gz"):
            yield kind, row.get("text")
    for row in rows(data / "chat/oasst_en_trees.jsonl.gz"):
        for text in messages(row["prompt"]):
            yield "oasst", text
    for row in rows(data / "quality/dclm_human_quality.jsonl.gz"):
        yield "dclm", row["text"]
    for text in pieces(data / "text/tinyshakespeare.txt.gz", 8000, 8000):
        yield "shakespeare", text
    for text in pieces(data / "text/wikitext2_valid.txt.gz", 6000, 6000):
        yield "wikitext", text
    for row in rows(data / "text/eltec_eng_novels.jsonl.gz"):
        for text in pieces(row["text"], 60_000, 5000):
            yield "novel", text
    lines = collections.defaultdict(list)
    with gzip.open(data / "lid/lid_dev.tsv.gz", "rt", encoding="utf-8") as file:
        for row in list(file)[1:]:
            language, _, _, text = row.rstrip("\n").split("\t")
            lines[language].append(text)
    for texts in lines.values():
        yield "lid", "\n".join(texts)


def main():
    data, out = map(pathlib.Path, sys.argv[1:])
    found = [(kind, text) for kind, text in gather(data) if text and len(text) < LONGEST]
    random.Random(5).shuffle(found)
    counts = collections.Counter()
    with open(out, "w", encoding="utf-8") as file:
        for kind, text in found:
            if counts[kind] < MOST_OF_A_KIND.get(kind, 200):
                counts[kind] += 1
                file.write(json.dumps({"source": kind, "text": text}, ensure_ascii=False) + "\n")
    print(f"{counts.total()} texts: {dict(counts)}")


if __name__ == "__main__":
    main()
