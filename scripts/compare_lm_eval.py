#!/usr/bin/env python3
"""Scores of lm-evaluation-harness on the fixtures in trainer/tests/evals, from logits that both sides know.

    python3 -m venv VENV && VENV/bin/pip install lm_eval
    VENV/bin/python scripts/compare_lm_eval.py            # compares with expected.json
    VENV/bin/python scripts/compare_lm_eval.py --update   # writes expected.json

The model reads bytes, has a window of 200 tokens, and finds likely what continues the last eight bytes in known.txt;
trainer/tests/evals.rs has the same one and compares Gristmill's scores with expected.json.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "trainer/tests/evals"
TASKS = ["choices", "contexts", "cloze", "texts", "answers"]
PREFIX, CONTEXT = 256, 200


KNOWN = (FOLDER / "known.txt").read_bytes()
FOLLOWING = {}
for i in range(8, len(KNOWN)):
    FOLLOWING.setdefault(KNOWN[i - 8:i], set()).add(KNOWN[i])


def row(tokens):
    """Logarithms of the probabilities of all bytes after `tokens`, and the likeliest byte."""
    a = tokens[-1]
    last = bytes(tokens[-8:]) if len(tokens) >= 8 and PREFIX not in tokens[-8:] else b""
    favoured = FOLLOWING.get(last, ())
    logits = [((a * 31 + b * 17 + a * b) % 101) / 10.0 + (12.0 if b in favoured else 0.0) for b in range(256)]
    highest = max(logits)
    normaliser = highest + math.log(sum(math.exp(x - highest) for x in logits))
    return [x - normaliser for x in logits], logits.index(highest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    update = parser.parse_args().update
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.chdir(FOLDER)
    import lm_eval
    from lm_eval.api.model import TemplateLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    class Bytes(TemplateLM):
        backend = "causal"
        tokenizer_name = "bytes"

        @property
        def eot_token_id(self):
            return PREFIX

        @property
        def max_gen_toks(self):
            return 256

        def tok_encode(self, string, **kwargs):
            return list(string.encode())

        def _score(self, context, continuation):
            tokens = (context + continuation)[-(CONTEXT + 1):]
            total, greedy = 0.0, True
            for i in range(max(len(tokens) - len(continuation), 1), len(tokens)):
                logs, likeliest = row(tokens[:i])
                total, greedy = total + logs[tokens[i]], greedy and likeliest == tokens[i]
            return total, greedy

        def _loglikelihood_tokens(self, requests, disable_tqdm=False, **kwargs):
            return [self._score(context, continuation) for _, context, continuation in requests]

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            results = []
            for (text,) in [request.args for request in requests]:
                windows = get_rolling_token_windows(
                    token_list=self.tok_encode(text), prefix_token=PREFIX, max_seq_len=CONTEXT, context_len=1)
                results.append(sum(self._score(*make_disjoint_window(window))[0] for window in windows))
            return results

        def generate_until(self, requests, disable_tqdm=False):
            results = []
            for context, options in [request.args for request in requests]:
                until, limit = options["until"], options["max_gen_toks"]
                read, written = [PREFIX] + self.tok_encode(context), []
                read = read[-(CONTEXT - limit):]
                while len(written) < limit:
                    written.append(row(read + written)[1])
                    if any(end in bytes(written).decode(errors="replace") for end in until):
                        break
                text = bytes(written).decode(errors="replace")
                for end in until:
                    text = text.split(end)[0]
                results.append(text)
            return results

    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)
    output = lm_eval.simple_evaluate(
        model=Bytes(), tasks=[f"fixture_{name}" for name in TASKS], task_manager=manager, bootstrap_iters=0)
    found = {}
    for task, metrics in sorted(output["results"].items()):
        for key, value in sorted(metrics.items()):
            if "," in key and "_stderr" not in key:
                metric, filter_name = key.split(",")
                found[f"{task}/{filter_name}/{metric}"] = value
    # The errors of means; those of perplexities are drawn at random there.
    output = lm_eval.simple_evaluate(
        model=Bytes(), tasks=[f"fixture_{name}" for name in TASKS], task_manager=manager, bootstrap_iters=2)
    for task, metrics in sorted(output["results"].items()):
        for key, value in sorted(metrics.items()):
            if key.split(",")[0] in ("acc_stderr", "acc_norm_stderr", "acc_bytes_stderr", "exact_match_stderr"):
                metric, filter_name = key.split(",")
                found[f"{task}/{filter_name}/{metric}"] = value
    expected = FOLDER / "expected.json"
    if update:
        expected.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    for key, value in sorted(found.items()):
        print(f"{key:48} {value}")
    if json.loads(expected.read_text()) != json.loads(json.dumps(found)):
        sys.exit("expected.json holds other scores; --update writes these")


main()
