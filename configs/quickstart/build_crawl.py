#!/usr/bin/env python3
"""Builds the quickstart crawl: crawl/*.warc.gz and truth.tsv, from pages/ and the code in crawl_builder/.

    python3 build_crawl.py            writes them
    python3 build_crawl.py --check    exits 1 unless the committed files are what the sources give

Python 3.9 or later, standard library only; the same bytes on each run. Another version of zlib may pack the same
records into other bytes: `--check` then compares the records.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from crawl_builder import encode, families, pages, planted, warc  # noqa: E402
from crawl_builder.seeded import number  # noqa: E402

N_FILES = 3
MAXIMUM_BYTES = 2_000_000
COLUMNS = ["warc", "record_index", "record_id", "url", "language", "kind", "charset", "declared", "expected"]


def captures():
    """All captures, in the order of a hash of their URLs, split over the files."""
    sources = pages.read_all(HERE / "pages")
    generated = families.all_pages()
    copied = planted.originals()
    found = [encode.to_capture(page, **({"expected": copied[page.url]} if page.url in copied else {})) for page in sources + generated]
    found += planted.captures({page.url: page for page in sources + generated})
    urls = [capture.url for capture in found]
    twice = sorted({url for url in urls if urls.count(url) > 1})
    if twice:
        raise SystemExit(f"captured twice: {', '.join(twice)}")
    found.sort(key=lambda capture: (number("order", capture.url), capture.url))
    files = [[] for _ in range(N_FILES)]
    for index, capture in enumerate(found):
        files[capture.file if capture.file >= 0 else index % N_FILES].append(capture)
    for file in files:
        broken = [capture for capture in file if capture.damaged]
        for capture in broken:  # in the middle, so that good records stand on both sides
            file.remove(capture)
            file.insert(len(file) // 2, capture)
    return files


def built():
    """File names, relative to this folder, and what belongs in them."""
    contents, rows, tick = {}, [COLUMNS], 0
    for index, file in enumerate(captures()):
        name = f"GRIST-QUICKSTART-{index:05}.warc.gz"
        data, placed, tick = warc.write(name, file, tick)
        contents[f"crawl/{name}"] = data
        for place in placed:
            capture = place.capture
            rows.append([
                place.warc, str(place.record_index), place.record_id, capture.url, capture.language,
                capture.kind, capture.charset, capture.declared, capture.expected,
            ])
    contents["truth.tsv"] = "".join("\t".join(row) + "\n" for row in rows).encode()
    total = sum(map(len, contents.values()))
    if total > MAXIMUM_BYTES:
        raise SystemExit(f"the crawl has {total} bytes; at most {MAXIMUM_BYTES} may be committed")
    return contents


def same(committed, data):
    """Whether two files hold the same. Another zlib may pack the same records into other bytes."""
    return committed == data or (data.startswith(warc.MEMBER_HEADER) and warc.inflated(committed) == warc.inflated(data))


def main():
    contents = built()
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, data in contents.items() if not (HERE / name).exists() or not same((HERE / name).read_bytes(), data)]
        if stale:
            raise SystemExit(f"stale: {', '.join(stale)}\nhint: run python3 configs/quickstart/build_crawl.py")
        return
    if sys.argv[1:]:
        raise SystemExit(__doc__)
    (HERE / "crawl").mkdir(exist_ok=True)
    for name, data in contents.items():
        (HERE / name).write_bytes(data)
        print(f"{len(data):9} {name}")


if __name__ == "__main__":
    main()
