#!/usr/bin/env python3
"""Training of Gristmill's tokenizer beside its peers, in one run on the same text and pattern, one thread each; prints Markdown.

    cargo build --release -p gristmill-tokenizer --example speed
    python -m venv venv && venv/bin/pip install rustbpe tokenizers
    venv/bin/python scripts/compare_tokenizer_training.py target/release/examples/speed TEXTS.jsonl… [--megabytes 100]

Texts are JSON lines {text}, gzip and xz too; every twentieth document is held out. Distinct text counts: where the files hold
less than --megabytes, all of it is used once, and the size is printed. (Text given twice adds counts, no pre-tokens, and
flatters trainers that count fast.)

The pattern is nanochat's. Vocabularies are compared as sets of byte strings, encoded lengths on the held-out documents, each
vocabulary encoded by Gristmill, as ranks of a tokenizer.json. Ties: Gristmill merges the pair of the lowest ids first; rustbpe
and Hugging Face have rules of their own.
"""

import argparse
import gzip
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SIZE = 32_768


def read(path):
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            if text := json.loads(line).get("text"):
                yield text


def write(path, texts):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def run(*command):
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        sys.exit(f"`{' '.join(map(str, command))}` failed:\n{said.stderr}")
    return json.loads(said.stdout)


def byte_characters():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte if byte in plain else next(others)) for byte in range(256)}


def tokenizer_json(merges, like):
    """The tokenizer.json of Gristmill with other merges, given as pairs of byte strings in order."""
    character = byte_characters()
    name = lambda token: "".join(character[byte] for byte in token)
    file = json.loads(Path(like).read_text(encoding="utf-8"))
    vocabulary = {character[byte]: byte for byte in range(256)}
    for left, right in merges:
        vocabulary[name(left + right)] = len(vocabulary)
    file["model"]["vocab"] = vocabulary
    file["model"]["merges"] = [f"{name(left)} {name(right)}" for left, right in merges]
    return json.dumps(file, ensure_ascii=False)


def merges_of(path):
    byte = {character: byte for byte, character in byte_characters().items()}
    file = json.loads(Path(path).read_text(encoding="utf-8"))
    pairs = (m.split(" ") if isinstance(m, str) else m for m in file["model"]["merges"])
    return [tuple(bytes(byte[c] for c in half) for half in pair) for pair in pairs]


def timed(work):
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun


def rustbpe_merges(texts):
    import rustbpe

    tokenizer = rustbpe.Tokenizer()
    _, seconds = timed(lambda: tokenizer.train_from_iterator(iter(texts), SIZE, pattern=PATTERN))
    tokens = {}
    merges = []
    for token, rank in tokenizer.get_mergeable_ranks():
        tokens[rank] = bytes(token)
    # A token was made of the two parts that its bytes merge to below its own rank.
    ranks = {token: rank for rank, token in tokens.items()}
    for rank in range(256, len(tokens)):
        parts = [bytes([byte]) for byte in tokens[rank]]
        while len(parts) > 2:
            at = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(tokens)))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        merges.append(tuple(parts))
    return merges, seconds


def hugging_face_merges(texts, folder):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=SIZE, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    _, seconds = timed(lambda: tokenizer.train_from_iterator(iter(texts), trainer))
    tokenizer.save(str(folder / "hf.json"))
    return merges_of(folder / "hf.json"), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speed", type=Path, help="target/release/examples/speed")
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--megabytes", type=float, default=100)
    arguments = parser.parse_args()
    # Before the libraries are loaded, which read these once.
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    training, held_out, size = [], [], 0
    for n, text in enumerate(text for path in arguments.texts for text in read(path)):
        if n % 20 == 19:
            held_out.append(text)
        elif size < arguments.megabytes * 1e6:
            training.append(text)
            size += len(text.encode())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(folder / "training.jsonl", training)
        write(folder / "held_out.jsonl", held_out)
        ours = folder / "ours.json"
        runs = [run(arguments.speed, "train", str(SIZE), PATTERN, folder / "training.jsonl", ours) for _ in range(3)]
        mine = min(runs, key=lambda r: r["count_seconds"] + r["learn_seconds"])
        seconds = mine["count_seconds"] + mine["learn_seconds"]
        lengths = lambda file: run(arguments.speed, "encode", file, folder / "held_out.jsonl", "1")["tokens"]
        tokens, own = lengths(ours), {left + right for left, right in merges_of(ours)}
        print(f"{size / 1e6:.1f} MB of distinct text, {mine['pretokens']} pre-tokens, vocabulary {SIZE}\n")
        print("| trainer | CPU s | over gristmill | vocabulary shared | tokens of held-out text |")
        print("|---|---|---|---|---|")
        print(f"| gristmill | {seconds:.2f} (counting {mine['count_seconds']:.2f}) | 1 | | {tokens} |", flush=True)
        for name, work in [("rustbpe", lambda: rustbpe_merges(training)), ("Hugging Face", lambda: hugging_face_merges(training, folder))]:
            merges, theirs = work()
            (folder / "theirs.json").write_text(tokenizer_json(merges, ours), encoding="utf-8")
            count = lengths(folder / "theirs.json")
            shared = len(own & {left + right for left, right in merges}) + 256
            print(
                f"| {name} | {theirs:.2f} | {theirs / seconds:.2f} | {100 * shared / (len(own) + 256):.3f} % "
                f"| {count} ({100 * (count - tokens) / tokens:+.4f} %) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
