#!/usr/bin/env python3
"""Training by several processes beside one: time, processor time, and whether the bytes are the same.

    cargo build --release && target/release/gristmill run configs/quickstart.toml --out runs/quickstart
    scripts/bench_processes.py --shards runs/quickstart/token_shards --tokenizer runs/quickstart/tokenizer_train/tokenizer.json

Every run has the same number of threads in all: N processes have THREADS / N each. Standard library only.
"""
import argparse
import hashlib
import os
import pathlib
import re
import resource
import subprocess
import tempfile
import time

CONFIG = """
[model]
kind = "gpt2"
layers = 6
heads = 6
width = 384
context = 256
[train]
packing = "stream"
batch = {batch}
accumulate = {accumulate}
steps = {steps}
warmup = 1
val_tokens = 256
eval_every = 0
checkpoint_every = 0
[sample]
prompts = []
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--binary", default="target/release/gristmill-train")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=16, help="rows of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    for accumulate in (2, 1):
        config = CONFIG.format(batch=args.rows // accumulate, accumulate=accumulate, steps=args.steps)
        first = None
        for n in args.processes:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                (folder / "run.toml").write_text(config)
                command = [args.binary, "pretrain", "--config", folder / "run.toml", "--shards", args.shards,
                           "--tokenizer", args.tokenizer, "--out", folder / "out", "--processes", str(n)]
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                begun = time.monotonic()
                threads = str(max(1, args.threads // n))
                done = subprocess.run(command, check=True, capture_output=True, text=True,
                                      env={**os.environ, "RAYON_NUM_THREADS": threads})
                wall = time.monotonic() - begun
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                weights = hashlib.sha256((folder / "out/checkpoint/model.safetensors").read_bytes()).hexdigest()
                loss = re.search(r"validation loss ([\d.]+)", done.stdout).group(1)
                trained = re.search(r"trained on (\d+) tokens in ([\d.]+) s", done.stderr)
            first = first or (wall, weights)
            speed = int(trained[1]) / float(trained[2])
            same = "the same bytes" if weights == first[1] else "other bytes, within rounding"
            print(f"accumulate {accumulate}, {n} process(es) of {threads} thread(s): {wall:.1f} s ({cpu:.1f} s of processor "
                  f"time), {speed:.0f} tokens/s, {first[0] / wall:.2f} x, validation loss {loss}, {same}", flush=True)


if __name__ == "__main__":
    main()
