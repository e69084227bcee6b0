#!/usr/bin/env python3
"""Ids and loss masks of `conversation_shards` beside those of transformers' chat templates, over published conversations.

    python3 -m venv VENV && VENV/bin/pip install transformers jinja2 numpy
    VENV/bin/python scripts/compare_chat_masks.py --gristmill target/release/gristmill --data ../shared/data/chat

For each file: Gristmill reads it (oasst, alpaca, sharegpt, openai_messages), trains a tokenizer on it and writes shards; the
same messages go through `apply_chat_template(return_assistant_tokens_mask=True)` with the same template in Jinja and the
same tokenizer.json. Every conversation's ids and mask must be equal. Conversations that quote a special token are
counted apart: there transformers makes special ids of text, which Gristmill never does.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from transformers import PreTrainedTokenizerFast

TEMPLATES = {
    "turns": (
        "<|iam_start|>{role}<|iam_sep|>{content}<|iam_end|>",
        "{{ '<|bos|>' }}{% for m in messages %}{{ '<|iam_start|>' + m.role + '<|iam_sep|>' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|iam_end|>' }}{% endgeneration %}"
        "{% else %}{{ m.content + '<|iam_end|>' }}{% endif %}{% endfor %}",
    ),
    "chatml": (
        "<|iam_start|>{role}\\n{content}<|iam_end|>\\n",
        "{{ '<|bos|>' }}{% for m in messages %}{{ '<|iam_start|>' + m.role + '\\n' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|iam_end|>' }}{% endgeneration %}"
        "{% else %}{{ m.content + '<|iam_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}",
    ),
}

SOURCES = [
    ("oasst_en_trees.jsonl.gz", 'kind = "oasst"\nreplies = "all"'),
    ("alpaca_en_demo.jsonl.gz", 'kind = "alpaca"'),
    ("dolly_hhrlhf_small.jsonl.gz", 'kind = "alpaca"\ninstruction_field = "prompt"\noutput_field = "response"'),
    ("self_instruct_seed_tasks.jsonl.gz", 'kind = "alpaca"'),
    ("glaive_toolcall.jsonl.gz", 'kind = "sharegpt"'),
    ("vicuna_identity_sharegpt.jsonl.gz", 'kind = "sharegpt"'),
    ("llamafactory_multi_turn.jsonl.gz", 'kind = "openai_messages"'),
]

RECIPE = """
name = "masks"
[[stage]]
id = "source"
{source}
paths = ["{path}"]
materialise = true
[[stage]]
id = "rows"
kind = "write_jsonl"
compression = "none"
[[stage]]
kind = "tokenizer_train"
vocab_size = 4096
[[stage]]
kind = "conversation_shards"
tokenizer = {{ stage = "tokenizer_train" }}
validation_share = 0.0
template = "{template}"
"""


def shards(folder):
    """(id, ids, mask) of every conversation, by numpy alone; ids come from `preview`'s table of documents."""
    for meta_file in sorted(folder.glob("train-*.meta.json")):
        meta = json.loads(meta_file.read_text())
        stem = str(meta_file)[: -len(".meta.json")]
        ids = numpy.fromfile(stem + ".bin", dtype="<u2" if meta["dtype"] == "u16" else "<u4")
        mask = numpy.fromfile(stem + ".mask", dtype="u1")
        ends = numpy.fromfile(stem + ".ds.index", dtype="<u8")
        assert len(ids) == len(mask) == ends[-1], (len(ids), len(mask), ends[-1])
        for begin, end in zip([0, *ends[:-1]], ends):
            yield ids[int(begin):int(end)].tolist(), mask[int(begin):int(end)].tolist()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gristmill", default="target/release/gristmill")
    parser.add_argument("--data", default="../shared/data/chat", type=pathlib.Path)
    arguments = parser.parse_args()
    wrong = 0
    print(f"{'file':36} {'template':8} {'conversations':>13} {'tokens':>8} {'learnt':>8} {'quoting':>8} {'unequal':>8}")
    for (name, source), (word, (template, jinja)) in ((s, t) for s in SOURCES for t in TEMPLATES.items()):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            path = (arguments.data / name).resolve()
            (folder / "masks.toml").write_text(RECIPE.format(source=source, path=path, template=template))
            subprocess.run([arguments.gristmill, "run", folder / "masks.toml", "--out", folder / "out"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shard_folder = folder / "out" / "conversation_shards"
            peer = PreTrainedTokenizerFast(tokenizer_file=str(shard_folder / "tokenizer.json"))
            rows = []
            for file in sorted((folder / "out" / "rows").glob("*.jsonl*")):
                rows += [json.loads(line) for line in file.read_text().splitlines()]
            expected, quoting = {}, set()
            specials = ["<|bos|>", "<|iam_start|>", "<|iam_sep|>", "<|iam_end|>"]
            for row in rows:
                messages = json.loads(row["messages"])
                rendered = peer.apply_chat_template(messages, chat_template=jinja, return_dict=True,
                                                    return_assistant_tokens_mask=True)
                key = tuple(rendered["input_ids"])
                expected[key] = rendered["assistant_masks"]
                if any(special in message["content"] for message in messages for special in specials):
                    quoting.add(key)
            unequal = n = n_tokens = n_learnt = 0
            for ids, mask in shards(shard_folder):
                n, n_tokens, n_learnt = n + 1, n_tokens + len(ids), n_learnt + sum(mask)
                unequal += expected.get(tuple(ids)) != mask
            unequal -= len(quoting)
            wrong += unequal + (n != len(rows))
            print(f"{name:36} {word:8} {n:13} {n_tokens:8} {n_learnt:8} {len(quoting):8} {unequal:8}")
    sys.exit(f"{wrong} conversations differ" if wrong else 0)


if __name__ == "__main__":
    main()
