#!/usr/bin/env python3
"""Encoding of Gristmill beside its peers, in one run over the same texts, one thread each; prints Markdown.

    cargo build --release -p gristmill-tokenizer --example speed
    python -m venv venv && venv/bin/pip install tiktoken tokenizers
    venv/bin/python scripts/compare_tokenizer.py target/release/examples/speed [--fuzz 1000000] [--texts FILE.jsonl]…

Builds scripts/bench/tiktoken-rs with cargo. Texts are JSON lines {text}, gzip and xz too; without any, the novels and the
pages' main texts of ../shared/data. Published ranks come from assets/, and tiktoken checks their digests.

- "cold" is the first pass, where Gristmill's cache of pieces is empty; "warm" the best of the others. Processor time.
  Nobody but Gristmill remembers anything between passes.
- tiktoken in Python (`encode_ordinary`) and Hugging Face's `tokenizers` (`encode_batch` on one thread, given the
  tokenizer.json that Gristmill writes) see the first part of the texts.
- Digests of all ids are compared on the texts, ids one by one on fuzzed strings.
"""

import argparse
import gzip
import hashlib
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
NAMES = ["r50k_base", "cl100k_base", "o200k_base"]
PART = 1_000_000

# Where the splitters branch, and what tokens are made of.
PIECES = (
    [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "'", "'s", "'LL", "'ſ", "'re", "/", "-", "_", "..."]
    + ["0", "12", "345", "6789", "½", "٣", "a", "b", "the", " the", "The", "HTML", "Parser", "don't", "naïve", "e\u0301", "Straße"]
    + ["日本", "語", "中文字符", "ʰ", "ǅ", "привет", "Мир", "γειά", "سلام", "नमस्ते", "한국어", "ไทย", "🙂", "👩‍👩‍👧", "\U00013000", "\ue000"]
    + ["<|endoftext|>", "<|fim_prefix|>", "<|end", "oftext|>", "aaaaaaaa", "========", "http://", ".com", "{", "}", "();", "\x00", "\x1b"]
)


def read(path):
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opened(path, "rt", encoding="utf-8") as file:
        return [text for line in file if (text := json.loads(line).get("text"))]


def write(path, texts):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def fuzzed(count, seed, real):
    """Strings of pieces, of slices of real text, and of any characters."""
    source = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(source.randrange(1, 9)):
            kind = source.random()
            if kind < 0.6:
                parts.append(source.choice(PIECES) * source.choice([1, 1, 1, 1, 2, 3]))
            elif kind < 0.85:
                text = source.choice(real)
                at = source.randrange(len(text))
                parts.append(text[at : at + source.randrange(1, 24)])
            else:
                parts.append("".join(map(any_character, [source] * source.randrange(1, 6))))
        yield "".join(parts)


def any_character(source):
    code = source.choice([0x80, 0x800, 0x3000, 0x10000, 0x110000])
    code = source.randrange(code)
    return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"


def digest(lists):
    value = 0
    for ids in lists:
        for i in ids:
            value = ((value ^ i) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def run(*command):
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        sys.exit(f"`{' '.join(map(str, command))}` failed:\n{said.stderr}")
    return json.loads(said.stdout)


def tiktoken_ranks(folder):
    """tiktoken looks for a file of this name before it asks the network."""
    for name in NAMES:
        address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        ranks = gzip.decompress((ROOT / "assets" / f"{name}.tiktoken.gz").read_bytes())
        (folder / hashlib.sha1(address.encode()).hexdigest()).write_bytes(ranks)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)


def timed(work):
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun


def speed(ours, peer, texts, folder):
    import tiktoken

    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    print("| texts | vocabulary | gristmill cold, warm | tiktoken-rs | tiktoken | cold / tiktoken-rs | warm / tiktoken-rs | same ids |")
    print("|---|---|---|---|---|---|---|---|")
    for label, documents in texts.items():
        path = folder / "texts.jsonl"
        write(path, documents)
        part, size = [], 0
        for text in documents:
            if size < PART:
                part.append(text)
                size += len(text.encode())
        write(folder / "part.jsonl", part)
        for name in NAMES:
            # One after the other, three times: a neighbour on the machine slows all of them.
            runs = [(run(ours, "encode", name, path, "4"), run(peer, name, path, "1")) for _ in range(3)]
            mine, theirs = runs[0]
            megabytes = mine["bytes"] / 1e6
            cold = megabytes / min(m["seconds"][0] for m, _ in runs)
            warm = megabytes / min(min(m["seconds"][1:]) for m, _ in runs)
            rust = megabytes / min(t["seconds"][0] for _, t in runs)
            encoding = tiktoken.get_encoding(name)
            ids, seconds = timed(lambda: [encoding.encode_ordinary(text) for text in part])
            same = mine["digest"] == theirs["digest"] and run(ours, "encode", name, folder / "part.jsonl", "1")["digest"] == digest(ids)
            print(
                f"| {label}, {megabytes:.1f} MB | {name} | {cold:.0f}, {warm:.0f} MB/s | {rust:.1f} | {size / 1e6 / seconds:.1f} "
                f"| {cold / rust:.1f} | {warm / rust:.1f} | {'yes' if same else 'NO'} |",
                flush=True,
            )


def hugging_face(ours, json_file, texts, folder):
    from tokenizers import Tokenizer

    part = [text[:20_000] for text in texts[:50]]
    write(folder / "part.jsonl", part)
    mine = run(ours, "encode", json_file, folder / "part.jsonl", "2")
    tokenizer = Tokenizer.from_file(str(json_file))
    encoded, seconds = timed(lambda: tokenizer.encode_batch(part, add_special_tokens=False))
    same = digest(e.ids for e in encoded) == mine["digest"]
    megabytes = mine["bytes"] / 1e6
    print(f"\nHugging Face tokenizers on {megabytes:.1f} MB with GPT-2's tokenizer.json: {megabytes / seconds:.1f} MB/s, ", end="")
    print(f"gristmill cold {megabytes / mine['seconds'][0]:.0f}; same ids: {'yes' if same else 'NO'}", flush=True)


def fuzz(ours, count, real, folder):
    import tiktoken

    encodings = {name: tiktoken.get_encoding(name) for name in NAMES}
    differing = dict.fromkeys(NAMES, 0)
    done = 0
    while done < count:
        texts = list(fuzzed(min(100_000, count - done), done, real))
        write(folder / "fuzz.jsonl", texts)
        for name, encoding in encodings.items():
            command = [ours, "ids", name, folder / "fuzz.jsonl"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for text, line in zip(texts, process.stdout, strict=True):
                    if encoding.encode_ordinary(text) != json.loads(line):
                        differing[name] += 1
                        if differing[name] < 5:
                            print(f"{name} differs on {text!r}", file=sys.stderr)
        done += len(texts)
    print(f"\nFuzzed strings whose ids differ from tiktoken's, of {done}: ", end="")
    print(", ".join(f"{name} {n}" for name, n in differing.items()), flush=True)
    return not any(differing.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speed", type=Path, help="target/release/examples/speed")
    parser.add_argument("--fuzz", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--texts", type=Path, action="append", default=[])
    parser.add_argument("--peer", type=Path, help="a built bench-tiktoken-rs, in place of building it")
    arguments = parser.parse_args()
    peer = arguments.peer
    if peer is None:
        crate = ROOT / "scripts" / "bench" / "tiktoken-rs"
        environment = {k: v for k, v in os.environ.items() if k != "CARGO_TARGET_DIR"}
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=crate, env=environment, check=True)
        peer = crate / "target" / "release" / "bench-tiktoken-rs"
    files = arguments.texts or [DATA / "text" / "eltec_eng_novels.jsonl.gz", DATA / "html_gold" / "wcxb_dev.jsonl.xz"]
    texts = {file.name.split(".")[0]: read(file) for file in files}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        tiktoken_ranks(folder)
        speed(arguments.speed, peer, texts, folder)
        gpt2 = DATA / "tok" / "gpt2_tokenizer.json.gz"
        if gpt2.exists():
            (folder / "gpt2.json").write_bytes(gzip.decompress(gpt2.read_bytes()))
            hugging_face(arguments.speed, folder / "gpt2.json", next(iter(texts.values())), folder)
        else:
            print(f"SKIPPED: {gpt2} is absent, Hugging Face is not measured", file=sys.stderr)
        if not fuzz(arguments.speed, arguments.fuzz, [t for ts in texts.values() for t in ts], folder):
            sys.exit("ids differ")


if __name__ == "__main__":
    main()
