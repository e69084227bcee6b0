#!/usr/bin/env python3
"""Writes calculator.jsonl: sums, differences and products of numbers below a hundred that the assistant leaves to a calculator.

    python3 configs/chat/build_calculator.py           # writes the file
    python3 configs/chat/build_calculator.py --check   # says whether it is what this writes

A call is an assistant's message of its own (`tool_calls`), its result one of the role `tool`; `gristmill chat --tools` answers the
calls that a model writes. The same seeded generator as in build_conversations.py draws.
"""

import json
import pathlib
import sys

from build_conversations import draws

FILE = pathlib.Path(__file__).with_name("calculator.jsonl")
N_CONVERSATIONS = 800

SIGNS = {
    "+": ["What is {a} + {b}?", "{a} plus {b}", "Add {a} and {b}."],
    "-": ["What is {a} - {b}?", "{a} minus {b}", "Take {b} from {a}."],
    "*": ["What is {a} x {b}?", "{a} times {b}", "Multiply {a} by {b}."],
}


def conversations():
    random = draws(11)
    for number in range(N_CONVERSATIONS):
        sign = list(SIGNS)[next(random) % len(SIGNS)]
        a, b = next(random) % 90 + 10, next(random) % 90 + 10
        question = SIGNS[sign][next(random) % 3].format(a=a, b=b)
        value = str({"+": a + b, "-": a - b, "*": a * b}[sign])
        call = {"function": {"name": "calculator", "arguments": {"expression": f"{a}{sign}{b}"}}}
        yield {"id": f"calculator-{number:04}", "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": value},
            {"role": "assistant", "content": f"It is {value}."},
        ]}


def main():
    text = "".join(json.dumps(row) + "\n" for row in conversations())
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE} is not what this script writes: run it without --check")
        return
    FILE.write_text(text, encoding="utf-8")
    print(f"{FILE}: {text.count(chr(10))} conversations, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
