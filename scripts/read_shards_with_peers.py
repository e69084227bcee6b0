#!/usr/bin/env python3
"""Reads token shards with the readers of other trainers and compares ids.

    python3 scripts/read_shards_with_peers.py SHARDS [--gristmill PROGRAM] [--require]

SHARDS is a folder that `token_shards` wrote. With --gristmill, its exports are made in a temporary folder and read too.
The reference are the ids of every document as `.bin` and `meta.json` define them, cut at the places that docs.parquet or, where
pyarrow is not installed, `.ds.index` says. Each reader says `equal`, `DIFFERENT` or `SKIPPED` (its package is not
installed). Exit code: 0 when nothing differs, 1 when something does; with --require also when one was skipped.

    pip install numpy pyarrow datatrove tokenizers && pip install --no-deps megatron-core

torch is used where it is installed. Where it is not (its packages are five gigabytes), numpy stands in for the few functions
that these readers call; what they read and how stays their own code.
"""

import argparse
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import types
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")

found = {"equal": 0, "DIFFERENT": 0, "SKIPPED": 0}


def numpy_for_torch():
    """A module `torch` of numpy's functions, and of megatron-core the packages without what they import."""
    torch = types.ModuleType("torch")
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    torch.int, torch.long, torch.int64, torch.Tensor = np.int32, np.int64, np.int64, np.ndarray
    torch.tensor, torch.as_tensor, torch.ones, torch.cat = np.array, np.asarray, np.ones, np.concatenate
    torch.cumsum = lambda values, dim: np.cumsum(values, axis=dim)
    torch.utils = types.ModuleType("torch.utils")
    torch.utils.data = types.ModuleType("torch.utils.data")
    torch.utils.data.Dataset = object
    sys.modules |= {"torch": torch, "torch.utils": torch.utils, "torch.utils.data": torch.utils.data}

    found = importlib.util.find_spec("megatron")
    if found:
        for name in ("megatron", "megatron.core", "megatron.core.datasets"):
            package = types.ModuleType(name)
            package.__path__ = [os.path.join(place, *name.split(".")[1:]) for place in found.submodule_search_locations]
            sys.modules[name] = package
        utils = types.ModuleType("megatron.core.utils")
        utils.log_single_rank = lambda *_, **__: None
        sys.modules["megatron.core.utils"] = utils


if importlib.util.find_spec("torch") is None:
    numpy_for_torch()


def say(name, verdict, more=""):
    found[verdict] += 1
    print(f"{name}: {verdict}{' ' if more else ''}{more}", flush=True)


def compare(name, pairs):
    """`pairs` gives (where, expected, read); all of them must be equal."""
    count = 0
    for where, expected, read in pairs:
        expected, read = np.asarray(expected, np.int64), np.asarray(read, np.int64)
        if expected.shape != read.shape or not (expected == read).all():
            say(name, "DIFFERENT", f"at {where}: {expected[:8]}… ({expected.size}) and {read[:8]}… ({read.size})")
            return
        count += expected.size
    say(name, "equal", f"({count:,} ids)")


class Shard:
    def __init__(self, meta):
        self.stem = str(meta)[: -len(".meta.json")]
        self.meta = json.loads(meta.read_text())
        self.dtype = {"u16": "<u2", "u32": "<u4"}[self.meta["dtype"]]
        self.tokens = np.fromfile(self.stem + ".bin", self.dtype)
        assert self.tokens.size == self.meta["n_tokens"], self.stem
        try:
            import pyarrow.parquet as pq

            table = pq.read_table(self.stem + ".docs.parquet", columns=["start_token", "n_tokens"]).to_pydict()
            self.starts = np.array(table["start_token"], np.int64)
            self.ends = self.starts + np.array(table["n_tokens"], np.int64)
        except ImportError:
            self.ends = np.fromfile(self.stem + ".ds.index", "<u8").astype(np.int64)
            self.starts = np.concatenate([[0], self.ends[:-1]])
        assert (self.tokens[self.starts] == self.meta["bos"]).all(), f"{self.stem}: a document without BOS"

    def documents(self):
        for start, end in zip(self.starts, self.ends):
            yield self.tokens[start:end]

    @property
    def name(self):
        return self.meta["name"]


def numpy_memmap(shards):
    for shard in shards:
        mapped = np.memmap(shard.stem + ".bin", shard.dtype, "r")
        for start, end, document in zip(shard.starts, shard.ends, shard.documents()):
            yield f"{shard.name}[{start}]", document, mapped[start:end]


def megatron(shards):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    for shard in shards:
        dataset = IndexedDataset(shard.stem)
        yield f"{shard.name}: documents", np.arange(len(shard.ends) + 1), dataset.document_indices
        for index, document in enumerate(shard.documents()):
            yield f"{shard.name}: sequence {index}", document, dataset[index]


def datatrove(shards, folder):
    """datatrove looks for its index behind the payload's name, `X.ds` and `X.ds.index`."""
    from datatrove.utils.dataset import DatatroveFileDataset, DatatroveFolderDataset

    length = 31
    windows = []
    for shard in shards:
        stem = Path(folder) / shard.name
        os.symlink(os.path.abspath(shard.stem + ".bin"), f"{stem}.ds")
        os.symlink(os.path.abspath(shard.stem + ".ds.index"), f"{stem}.ds.index")
        size = np.dtype(shard.dtype).itemsize
        dataset = DatatroveFileDataset(f"{stem}.ds", length, token_size=size, return_positions=True)
        for index in range(len(dataset)):
            start = index * (length + 1)
            window = shard.tokens[start : start + length + 1]
            windows.append(window)
            item = dataset[index]
            yield f"{shard.name}: window {index}", window, item["input_ids"]
            # A token's place in its document, or in the window where the document began before it.
            at = np.arange(start, start + length + 1)
            document = np.searchsorted(shard.ends, at, "right")
            places = at - np.maximum(shard.starts[np.minimum(document, len(shard.starts) - 1)], start)
            yield f"{shard.name}: places in window {index}", places, item["positions"]
    size = np.dtype(shards[0].dtype).itemsize
    dataset = DatatroveFolderDataset(str(folder), length, filename_pattern="*.ds", token_size=size, seed=None, shuffle=False)
    yield "folder: windows", [len(windows)], [len(dataset)]
    for index, window in enumerate(windows):
        yield f"folder: window {index}", window, dataset[index]["input_ids"]


def llmc(shards, folder):
    """As llm.c's data scripts write a file and its loader reads it: 256 int32, then the tokens."""
    for split in sorted({shard.name.rsplit("-", 1)[0] for shard in shards}):
        expected = np.concatenate([shard.tokens for shard in shards if shard.name.rsplit("-", 1)[0] == split])
        read = []
        for path in sorted(Path(folder).glob(f"{split}_*.bin")):
            header = np.fromfile(path, "<i4", 256)
            kind = {(20240520, 1): "<u2", (20240801, 7): "<u4"}[(int(header[0]), int(header[1]))]
            tokens = np.fromfile(path, kind, offset=1024)
            assert tokens.size == header[2] <= 100_000_000, path
            read.append(tokens)
        yield split, expected, np.concatenate(read)


def npy(shards, folder):
    for shard in shards:
        yield shard.name, shard.tokens, np.load(f"{folder}/{shard.name}.npy", mmap_mode="r")
        yield f"{shard.name}: ends", shard.ends, np.load(f"{folder}/{shard.name}.ends.npy", mmap_mode="r")


def parquet(shards, folder):
    import pyarrow.parquet as pq

    for shard in shards:
        lists = pq.read_table(f"{folder}/{shard.name}.parquet").column("ids")
        yield f"{shard.name}: documents", [len(shard.ends)], [len(lists)]
        for index, document in enumerate(shard.documents()):
            yield f"{shard.name}: row {index}", document, lists[index].values.to_numpy()


def nanochat(shards, folder, source):
    """As nanochat reads: files sorted, the last for validation, row group by row group. Texts are encoded again."""
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{source}/tokenizer.json")
    # Text never becomes a special token in our shards; let it not become one here.
    tokenizer.encode_special_tokens = True
    files = sorted(Path(folder).glob("*.parquet"))
    for split, files in (("train", files[:-1]), ("val", files[-1:])):
        documents = (document for shard in shards if shard.name.startswith(split) for document in shard.documents())
        for path in files:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                for text in file.read_row_group(group).column("text").to_pylist():
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    yield f"{path.name}: {text[:40]!r}", next(documents)[1:], ids
        yield f"{split}: documents left", [], [len(document) for document in documents]


def attempt(name, read):
    try:
        compare(name, read())
    except ImportError as error:
        say(name, "SKIPPED", f"({error})")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shards", type=Path)
    arguments.add_argument("--gristmill", help="the program: its exports are read too")
    arguments.add_argument("--require", action="store_true", help="a reader that is not installed is a failure")
    arguments = arguments.parse_args()

    metas = sorted(path for path in arguments.shards.iterdir() if re.fullmatch(r".+-\d{5,}\.meta\.json", path.name))
    if not metas:
        sys.exit(f"no shards are in {arguments.shards}")
    shards = [Shard(meta) for meta in metas]
    print(f"{len(shards)} shards, {sum(len(s.ends) for s in shards):,} documents", flush=True)
    attempt("numpy memmap of .bin", lambda: numpy_memmap(shards))
    attempt("Megatron-LM's IndexedDataset", lambda: megatron(shards))
    with tempfile.TemporaryDirectory() as folder:
        attempt("datatrove's datasets", lambda: datatrove(shards, folder))
    if arguments.gristmill:
        readers = [("llmc", llmc), ("npy", npy), ("parquet", parquet)]
        readers.append(("nanochat", lambda shards, folder: nanochat(shards, folder, arguments.shards)))
        with tempfile.TemporaryDirectory() as folder:
            for name, read in readers:
                out = f"{folder}/{name}"
                command = [arguments.gristmill, "export", str(arguments.shards), "--to", name, "--out", out]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    say(f"export --to {name}", "DIFFERENT", done.stderr)
                    continue
                attempt(f"export --to {name}", lambda: read(shards, out))
    print(", ".join(f"{count} {verdict}" for verdict, count in found.items()))
    sys.exit(1 if found["DIFFERENT"] or (arguments.require and found["SKIPPED"]) else 0)


if __name__ == "__main__":
    main()
