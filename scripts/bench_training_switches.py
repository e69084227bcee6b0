#!/usr/bin/env python3
"""What the switches of `[train]` and `[model]` cost: processor time of a step and peak memory, beside the plain run.

Every switch trains the shape of `gristmill-train bench` (GPT-2, 6 layers, width 384, 13.9 M parameters, 8 sequences of 256 tokens)
in a process of its own. The processes take turns, so that whatever else the machine does falls on all. Standard library only.

    scripts/bench_training_switches.py target/release/gristmill-train [--rounds 3] [--steps 4] [--threads 2]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys

SWITCHES = [
    "",
    "train.checkpoint_activations=true",
    "train.precision=bf16",
    "train.optimizer=muon",
    "model.qk_norm=true",
    "model.activation=relu2",
    "model.activation=swiglu",
    "model.softcap=15",
    "train.batch=32",
    "train.batch=32 train.checkpoint_activations=true",
]


def bench(binary, switch, steps, threads):
    """Tokens a second, processor time in seconds and peak memory in MiB of one process."""
    command = [binary, "bench", "--steps", str(steps)]
    for entry in switch.split():
        command += ["--set", entry]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"error: `{' '.join(command)}` failed")
    speed = float(re.search(r"([\d.]+) tokens/s", output).group(1))
    return speed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="gristmill-train, built with --release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="timed steps a run, at least 2")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    rows = {switch: [] for switch in SWITCHES}
    for _ in range(arguments.rounds):
        for switch in SWITCHES:
            run = lambda steps: bench(arguments.binary, switch, steps, arguments.threads)
            # Less a run of one step: starting up is not what a step costs.
            speed, processor, peak = run(arguments.steps)
            rows[switch].append((speed, (processor - run(1)[1]) / (arguments.steps - 1), peak))
    medians = {switch: [statistics.median(column) for column in zip(*row)] for switch, row in rows.items()}
    print("| switch | processor time of a step, s | to the plain run | peak memory, MiB | to the plain run | tokens/s |")
    print("|---|---|---|---|---|---|")
    for switch, (speed, processor, peak) in medians.items():
        plain = medians["train.batch=32" if "batch=32" in switch else ""]
        print(f"| {switch or 'plain'} | {processor:.2f} | {processor / plain[1]:.2f} x | {peak:.0f} | {peak / plain[2]:.2f} x | {speed:.0f} |")


main()
