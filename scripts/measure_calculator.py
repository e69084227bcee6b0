#!/usr/bin/env python3
"""Asks a chat model of configs/tools.toml questions that it has not seen, with its calculator and without.

    gristmill run configs/tools.toml
    python3 scripts/measure_calculator.py target/release/gristmill-train runs/tools/sft

200 seeded sums, differences and products of numbers from 10 to 99 in the phrasings of configs/chat/calculator.jsonl, none of which
stands there. Right is an answer whose last number is the value.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
N_QUESTIONS = 200


def questions():
    sys.path.insert(0, str(ROOT / "configs" / "chat"))
    sys.dont_write_bytecode = True
    from build_calculator import FILE, SIGNS

    seen = {json.loads(line)["messages"][0]["content"] for line in FILE.read_text().splitlines()}
    draw = random.Random(3)
    asked = {}
    while len(asked) < N_QUESTIONS:
        sign, a, b = draw.choice(list(SIGNS)), draw.randint(10, 99), draw.randint(10, 99)
        question = draw.choice(SIGNS[sign]).format(a=a, b=b)
        if question not in seen:
            asked[question] = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return asked


def ask(binary, checkpoint, asked, tools):
    command = [binary, "chat", "--checkpoint", checkpoint, "--temperature", "0", "--tokens", "48", "--json", *tools]
    said = "".join(f"{question}\n/reset\n" for question in asked)
    answers = subprocess.run(command, input=said, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [json.loads(line) for line in answers]
    assert len(rows) == len(asked), f"{len(rows)} answers to {len(asked)} questions"
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("checkpoint")
    arguments = parser.parse_args()
    asked = questions()
    for tools in [["--tools"], []]:
        rows = ask(arguments.binary, arguments.checkpoint, asked, tools)
        right = calls = 0
        for row, value in zip(rows, asked.values()):
            numbers = re.findall(r"-?\d+", row["text"])
            right += bool(numbers) and int(numbers[-1]) == value
            calls += bool(row.get("calls")) and row["calls"][0]["result"] == str(value)
        with_tools = f"; {calls} calls give the value" if tools else ""
        print(f"{'with the calculator' if tools else 'without':20} {right} of {len(rows)} answers right{with_tools}")


if __name__ == "__main__":
    main()
