#!/usr/bin/env python3
"""Writes conversations.jsonl: who the model is, greetings, thanks, and sums of small numbers.

    python3 configs/chat/build_conversations.py           # writes the file
    python3 configs/chat/build_conversations.py --check   # says whether it is what this writes

Every sentence was written for Gristmill. A seeded generator of its own draws, so that the file is the same everywhere.
"""

import itertools
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("conversations.jsonl")

NAME = "I am Gristmill, a small language model."
MADE = "I was ground from a few web pages by the program whose name I bear."
ABLE = "I can say who I am and add small numbers. I know little else."

IDENTITY = [
    (["Who are you?", "Who are you", "What are you?", "Tell me who you are.", "Please introduce yourself.",
      "What is your name?", "Do you have a name?", "And who are you?", "Who am I talking to?", "What should I call you?",
      "Say your name, please.", "May I ask who you are?"], NAME),
    (["Who made you?", "Where do you come from?", "How were you made?", "Who trained you?", "Who wrote you?",
      "What were you made from?", "Tell me how you were made."], MADE),
    (["What can you do?", "What do you know?", "How can you help me?", "What are you good at?", "Can you help me?",
      "What is it that you do?", "Tell me what you can do."], ABLE),
    (["Hello", "Hello!", "Hi", "Hi!", "Good morning", "Good morning!", "Good evening", "Hey there", "Hello there",
      "Greetings"], "Hello! What can I do for you?"),
    (["Thanks", "Thank you", "Thank you!", "Thanks a lot", "That helps, thank you.", "Many thanks"], "You are welcome."),
    (["Goodbye", "Bye", "Bye!", "See you", "That is all.", "Good night"], "Goodbye!"),
    (["Are you a person?", "Are you human?", "Are you alive?", "Do you have a body?"],
     "No. I am Gristmill, a program that writes words."),
    (["What is the weather like?", "Who will win the election?", "What is the capital of France?", "Write me a poem.",
      "What time is it?", "Tell me the news.", "How do I cook rice?"],
     "I do not know. I can say who I am and add small numbers."),
]

ADDING = ["What is {a}+{b}?", "{a}+{b}=", "What is {a} plus {b}?", "Add {a} and {b}.", "How much is {a}+{b}?",
          "Please add {a} and {b}."]
SYSTEMS = ["Be brief.", "You are a helpful assistant.", "You are Gristmill. Answer in one sentence."]


def draws(seed):
    """SplitMix64, so that no version of Python changes the file."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        yield z ^ (z >> 31)


def conversations():
    random = draws(7)

    def pick(items):
        return items[next(random) % len(items)]

    talk = [(question, answer) for questions, answer in IDENTITY for question in questions]
    sums = [(form.format(a=a, b=b), str(a + b))
            for a, b in itertools.product(range(10), repeat=2) for form in ADDING]
    for number, (question, answer) in enumerate(talk + sums):
        turns = [(question, answer)]
        # Half of all conversations go on, a quarter have a system's message.
        while next(random) % 2 == 0 and len(turns) < 3:
            turns.append(pick(sums if next(random) % 2 == 0 else talk))
        messages = []
        if next(random) % 4 == 0:
            messages.append({"role": "system", "content": pick(SYSTEMS)})
        for question, answer in turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        yield {"id": f"gristmill-{number:04}", "messages": messages}


def main():
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in conversations())
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE} is not what this script writes: run it without --check")
        return
    FILE.write_text(text, encoding="utf-8")
    print(f"{FILE}: {text.count(chr(10))} conversations, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
