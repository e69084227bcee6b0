#!/usr/bin/env python3
"""Asks the reference (datatrove 0.10.1 with spaCy) for words, sentences and verdicts of the four quality filters.

    fineweb_reference.py                     rewrites stages/tests/data/fineweb_reference.jsonl from the texts below
    fineweb_reference.py IN.jsonl OUT.jsonl  the same for the `text` of every line of a file

Installs the reference into a virtual environment of its own, target/fineweb_reference, on first use. The engine's tests
read what this writes; nothing of the reference is part of the engine.
"""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / "target" / "fineweb_reference"
PACKAGES = ["datatrove==0.10.1", "spacy>=3.8,<3.9", "lxml_html_clean", "nltk", "regex", "orjson"]


def inside():
    """Runs this script again inside its virtual environment."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
        subprocess.check_call([python, "-m", "pip", "install", "--quiet", *PACKAGES])
    if pathlib.Path(sys.prefix).resolve() != HOME.resolve():
        os.execv(python, [str(python), __file__, *sys.argv[1:]])


PROSE = [
    "The miller opened the sluice before dawn, and the wheel began to turn with a low groan.",
    "Nobody in the village could remember a summer that had been so dry for so long.",
    "It's said that Dr. Marlow didn't trust the new stones, which weren't cut by hand.",
    "She weighed 3.5 kg of flour, wrote \"paid\" in the ledger, and left at 6 p.m. sharp.",
    "They'd have gone to Kent (or Sussex) if the road hadn't been under water since Nov. 12th.",
    "What does a sack of rye cost now? More than US$40, I'm told, and that's before tax!",
    "Letters went to mill@example.org or www.example.com/mill; none came back unopened.",
    "The grain-store, half-empty by then, smelt of mice and of last year's barley.",
    "You can't hurry a stone; it grinds at 60-70 turns/min and not one turn more.",
    "Well-kept sieves, clean belts and dry sacks: that is all the art there is to it.",
]

ODD_WORDS = (
    "isn't cannot gonna y'all o'clock ma'am Mr. Mrs. Ph.D. U.S. e.g. i.e. vs. N.Y. a.m. 5p.m. 10km 3.5GB 20% $5 5$ US$7 C$9 +7 7+ "
    "5-6 2*3 x=y and/or w/o either/or up-to-date re-do --- -- a--b end.Start 3.14 1,000 a,b (c) [d] {e} <f> ‘g’ “h” «i» 'tis 'em dogs' "
    "dog's DOG'S it’s don’t rock'n'roll :) :-( ;D <3 ^_^ ¯\\(ツ)/¯ ... .. … …… wait... wait… #tag @name me@example.org "
    "http://example.com/a?b=c www.example.co.uk 8.8.8.8 192.168.0.1 25°C. 25°C 10° № ™ 😀 😀😀 naïve Straße Москва. слово,слово 中文。 日本、 العربية، हिन्दी। "
    "C++ C# .NET Yahoo! A.B. AB. aB. ab.c 'quoted' \"quoted\" ( ) ' \" . , ! ?! ?? ... Im Ill its He's Theyll won't've"
).split(" ")


def texts():
    """Our own texts: for every reason at least one, and seeded shuffles of odd words."""
    rng = random.Random(20)
    prose = lambda n: "\n".join(PROSE[i % len(PROSE)] for i in range(n))
    yield prose(10)
    yield prose(10).replace("\n", "\n\n") + "\n"
    yield "\n\n".join([PROSE[0], PROSE[1], PROSE[0], PROSE[0], PROSE[2]])
    yield "\n\n".join(PROSE[:8] + [PROSE[0] + " " + PROSE[3] + " " + PROSE[4] + " " + PROSE[5]] * 2)
    yield "\n".join(["Home", "Shop", "Home", "Shop", "Home"] + PROSE[:4])
    yield "\n".join(PROSE[:9] + ["A line that is long enough to weigh something here. " * 3] * 2)
    yield "the mill " * 60
    yield "one two three " * 40
    yield "one two three four, five; six. " * 9 + prose(6)
    for n in range(5, 11):
        filler = [f"{chr(97 + i % 26)}{chr(97 + i * 7 % 26)}lor{i}" for i in range(30 * n)]
        repeated = [f"word{n}{chr(97 + i)}" for i in range(n)]
        yield " ".join(" ".join(repeated + filler[i * 25 : i * 25 + 25]) for i in range(n))
    yield "Too short."
    yield ""
    yield " \n "
    yield "a to be of and " * 40
    yield " ".join("incomprehensibilities thatcannotbereadaloud with".split() * 40)
    yield prose(6) + " #" * 40
    yield prose(6) + " ... and" * 40
    yield prose(6) + " …" * 40
    yield "\n".join("- " + line for line in PROSE)
    yield "\n".join("• " + line for line in PROSE)
    yield "\n".join(line[:-1] + "..." for line in PROSE)
    yield prose(4) + " 1 2 3 4 5 6 7 8 9" * 20
    yield " ".join(f"word{i} runs slowly home again" for i in range(40)) + "."
    yield prose(5) + "\nLorem ipsum dolor sit amet, they wrote."
    yield prose(5) + "\nPlease enable JavaScript to read on.\nThis site uses cookies to count you.\nRead our Privacy Policy."
    yield prose(5) + "\nif (x) { return y; } else there is more"
    yield prose(5) + "\nOne two.\nIt was built in 1786.[1][23] Or so they say.[citation needed] \nHistory [edit] of the mill.\n[1] [2] [3]"
    yield prose(5) + "\nA " + "x" * 1001 + " word here."
    yield "\n".join(["Short line here", "Another one there", "And a third one too"] * 5)
    yield "\n".join(f"Item {i} of the list with some words to make it long enough to pass" for i in range(20))
    yield "\n".join(f"It ends well, number {i}." for i in range(20))
    yield "\n".join(PROSE[:6] + [PROSE[0]])
    yield "\n".join(f"Word number {i} stands in a rather long line of {i}." + "\n" * 12 for i in range(12))
    yield "Line one.\r\nLine two.\rLine three.\x0bLine four.\u2028Line five.\x85Line six.\x1cLine seven.\n\n\n"
    yield "Eins. Zwei!  Drei?\n\nVier... Fünf 。六。 Seven . ) Eight.  ) . x"
    for _ in range(60):
        words = [rng.choice(ODD_WORDS) for _ in range(rng.randint(5, 120))]
        yield "".join(word + rng.choice([" ", " ", " ", "", "  ", "\n", "\u00a0"]) for word in words)
    for _ in range(40):
        lines = [" ".join(rng.choice(PROSE[rng.randrange(10)].split(" ") + ODD_WORDS) for _ in range(rng.randint(2, 25)))
                 for _ in range(rng.randint(2, 10))]
        yield "\n".join(rng.choice(lines) for _ in range(rng.randint(3, 25)))


def main():
    inside()
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.text import split_into_sentences, split_into_words

    filters = {
        "rep": GopherRepetitionFilter(),
        "qual": GopherQualityFilter(),
        "fw": FineWebQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
    }
    if len(sys.argv) == 3:
        source = (json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8"))
        target = pathlib.Path(sys.argv[2])
    else:
        source, target = texts(), ROOT / "stages" / "tests" / "data" / "fineweb_reference.jsonl"
    with open(target, "w", encoding="utf-8") as out:
        for text in source:
            row = {"text": text, "words": split_into_words(text), "n_sents": len(split_into_sentences(text))}
            row["n_words"] = len(row["words"])
            for name, judge in filters.items():
                document = Document(text=text, id="")
                verdict = judge.filter(document)
                row[name] = "keep" if verdict is True else verdict[1]
                if name == "c4":
                    row["c4_text_sha1"] = hashlib.sha1(document.text.encode()).hexdigest()
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
