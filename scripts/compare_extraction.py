#!/usr/bin/env python3
"""Times extraction beside trafilatura and resiliparse: the same pages, one core, one run, processor time.

    pip install trafilatura lxml_html_clean resiliparse        # in a virtual environment of its own
    cargo build --release -p gristmill-stages --example bench_extract
    scripts/compare_extraction.py EXECUTABLE PAGES.jsonl[.gz|.xz] [...]

PAGES are lines {"url", "html"}; lines without text of their own are left out. Every contestant goes over every page,
turn by turn, three times; its quickest turn counts. Prints megabytes and pages a second, and how often ours goes into
each. What the extractors find is another matter: see scripts/train_extractor.py.
"""

import gzip
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

ROUNDS = 3
# Of larger sets the first pages are enough.
MOST_BYTES = 64_000_000


def read(path):
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(os.path.splitext(path)[1], open)
    pages, n_bytes = [], 0
    with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row = json.loads(line)
            if not isinstance(row.get("html"), str):
                continue
            n_bytes += len(row["html"].encode())
            if n_bytes > MOST_BYTES:
                break
            pages.append((row.get("url"), row["html"]))
    return pages


def timed(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def seconds_of_ours(executable, pages_path, n_pages):
    out = subprocess.run([executable, pages_path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines()]
    return {row[-5]: n_pages / float(row[-2]) for row in rows if row[-1] == "pages/s"}


def compare(executable, name, pages, scratch):
    plain = os.path.join(scratch, "pages.jsonl")
    with open(plain, "w", encoding="utf-8") as out:
        for url, html in pages:
            out.write(json.dumps({"url": url, "html": html}) + "\n")
    peers = {
        "resiliparse parse": lambda: [HTMLTree.parse(html) for _, html in pages],
        "resiliparse extract": lambda: [extract_plain_text(html, main_content=True) for _, html in pages],
        "trafilatura extract": lambda: [trafilatura.extract(html, url=url) for url, html in pages],
    }
    best = {}
    for _ in range(ROUNDS):
        turns = {f"ours {part}": took for part, took in seconds_of_ours(executable, plain, len(pages)).items()}
        turns |= {peer: timed(work) for peer, work in peers.items()}
        best = {key: min(took, best.get(key, took)) for key, took in turns.items()}
    megabytes = sum(len(html.encode()) for _, html in pages) / 1e6
    print(f"{name}: {len(pages)} pages, {megabytes:.1f} MB")
    for key, took in best.items():
        ours = best["ours parse" if key.endswith("parse") else "ours extract"]
        ratio = "" if key.startswith("ours") else f"  ours is {took / ours:.2f} x as fast"
        print(f"  {key:20} {megabytes / took:8.1f} MB/s {len(pages) / took:8.0f} pages/s{ratio}", flush=True)


def main():
    executable, *paths = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            compare(executable, os.path.basename(path).split(".")[0], read(path), scratch)


if __name__ == "__main__":
    main()
