#!/usr/bin/env python3
"""MinHash of Gristmill beside its peers, in one run over the same texts on one core; prints Markdown.

    cargo build --release -p gristmill-stages --example bench_minhash
    python -m venv venv && venv/bin/pip install rensa datatrove lxml_html_clean 'spacy>=3.8' regex xxhash tokenizers
    venv/bin/python scripts/compare_minhash.py target/release/examples/bench_minhash [TEXTS.jsonl[.gz]]

Every contestant turns a text into 14 keys of 8 minima over word 5-grams and answers for all of it: finding words, hashing
them, the minima, the keys.

- gristmill: `bench_minhash --jsonl`, which also makes the sketches that `verify` compares.
- rensa (Rust, from Python): `str.split`, the n-grams as strings, RMinHash with 112 permutations, digest cut into bands.
  "shingles given" times rensa alone, words and n-grams made before the clock starts.
- datatrove (FineWeb's): MinhashDedupSignature with its own words (spaCy), and with `str.split` in their place.

Processor time, the best of the passes. Slow peers see a part of the texts that is named; figures are bytes of text a
second.
"""

import argparse
import gzip
import json
import os
import struct
import subprocess
import tempfile
import time
from pathlib import Path

BANDS, ROWS, NGRAM = 14, 8, 5


def read(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as file:
        return [json.loads(line)["text"] for line in file]


def best(work, passes):
    times = []
    for _ in range(passes):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def ngrams(text):
    words = text.split()
    return [" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]


def rensa(texts, passes):
    from rensa import RMinHash

    def keys(shingles):
        minhash = RMinHash(num_perm=BANDS * ROWS, seed=1)
        minhash.update(shingles)
        digest = minhash.digest()
        return [struct.pack(f"<{ROWS}I", *digest[i : i + ROWS]) for i in range(0, BANDS * ROWS, ROWS)]

    whole = best(lambda: [keys(ngrams(text)) for text in texts], passes)
    given = [ngrams(text) for text in texts]
    return whole, best(lambda: [keys(shingles) for shingles in given], passes)


def datatrove(texts, passes, plain):
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    with tempfile.TemporaryDirectory() as folder:
        config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS)
        step = MinhashDedupSignature(output_folder=folder, config=config, language="eng")
        try:
            step._hash_func("text")
        except TypeError:  # xxhash no longer encodes strings itself
            hash_bytes = step._hash_func
            step._hash_func = lambda text: hash_bytes(text.encode())
        if plain:
            step.word_tokenizer = type("Plain", (), {"word_tokenize": staticmethod(str.split)})()

        def work():
            for text in texts:
                step.get_signature(step.get_shingles(text))

        work() if len(texts) < 200 else None
        return best(work, passes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench", type=Path, help="the built example bench_minhash")
    default = Path(__file__).parent.parent.parent / "shared/data/fineweb_parity/decisions.jsonl.gz"
    parser.add_argument("texts", type=Path, nargs="?", default=default)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--copies", type=int, default=100, help="repeat the texts, for a longer clock")
    arguments = parser.parse_args()
    texts = read(arguments.texts)
    few = texts[: max(1, len(texts) // 10)]
    size = lambda some: sum(len(text.encode()) for text in some)
    rows = []
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for text in texts * arguments.copies:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        command = [str(arguments.bench), "--jsonl", file.name, "--passes", str(arguments.passes)]
        ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    bytes_ours = size(texts) * arguments.copies
    rows.append(["gristmill, keys", bytes_ours, ours["keys_s"]])
    rows.append(["gristmill, keys and sketches", bytes_ours, ours["keys_and_sketches_s"]])
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    whole, given = rensa(texts, arguments.passes)
    rows.append(["rensa, end to end", size(texts), whole])
    rows.append(["rensa, shingles given", size(texts), given])
    rows.append(["datatrove, plain split", size(texts), datatrove(texts, min(2, arguments.passes), True)])
    try:
        rows.append(["datatrove, its own words (a tenth of the texts)", size(few), datatrove(few, 1, False)])
    except Exception as error:  # spaCy and its kin are heavy and may be missing
        print(f"datatrove with its own words did not run: {error}\n")
    speed = lambda row: row[1] / row[2] / 1e6
    print(f"{len(texts)} texts, {size(texts) / 1e6:.1f} MB\n")
    print("| contestant | MB/s of processor time | keys of ours are so many times as fast |")
    print("| --- | --- | --- |")
    for row in rows:
        print(f"| {row[0]} | {speed(row):.2f} | {speed(rows[0]) / speed(row):.1f} |")


if __name__ == "__main__":
    main()
