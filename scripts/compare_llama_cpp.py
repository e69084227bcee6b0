#!/usr/bin/env python3
"""Runs exported GGUF files in llama.cpp and compares what it predicts with what we predict.

    python3 -m venv VENV && VENV/bin/pip install xllamacpp
    VENV/bin/python scripts/compare_llama_cpp.py target/release/gristmill-train CHECKPOINT [CHECKPOINT…]

xllamacpp is a wheel of llama.cpp; llama-cpp-python has none on PyPI. Of each checkpoint (Llama's or GPT-2's shape), at lengths up
to its context, the log-probabilities of the whole vocabulary after the last token are compared, and a text is encoded by both
tokenizers. Exits 1 where f16 differs by more than .05 in a token that either gives a thousandth, or where the ids differ. q8_0
rounds more: printed only.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

TEXT = "The mill grinds 1,234 sacks of grain; isn't that  much?\n\n\tGrüße aus der Mühle."
PRECISIONS = ["f16", "q8_0"]
BOUND = 0.05


def ours(binary, checkpoint, ids):
    command = [binary, "logits", "--checkpoint", checkpoint, "--ids", ",".join(map(str, ids))]
    logits = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    highest = max(logits)
    normaliser = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
    return [logit - normaliser for logit in logits]


def serve(file, context):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = context
    params.n_parallel = 1
    params.warmup = False
    params.n_gpu_layers = 0
    return xllamacpp.Server(params)


def theirs(server, ids, vocabulary):
    asked = {"prompt": ids, "n_predict": 1, "temperature": -1.0, "n_probs": vocabulary, "cache_prompt": False}
    answer = server.handle_completions(asked)
    first = answer["choices"][0]["logprobs"]["content"][0]
    return {entry["id"]: entry["logprob"] for entry in first["top_logprobs"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    arguments = parser.parse_args()
    failed = False
    for checkpoint in arguments.checkpoints:
        vocabulary = len(ours(arguments.binary, checkpoint, [0]))
        context = context_of(checkpoint)
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder) / "model.gguf"
                export = ["export", "--checkpoint", checkpoint, "--to", "gguf", "--precision", precision, "--out", file]
                subprocess.run([arguments.binary, *export], check=True)
                server = serve(file, context)
                worst = 0.0
                agree = n = 0
                # Position 0 alone, some between, and all but one of the window, which the answer takes.
                for length in sorted({1, 2, context // 4, context // 2, context - 1}):
                    ids = [(7919 * (place + 1) + 13) % vocabulary for place in range(length)]
                    mine, other = ours(arguments.binary, checkpoint, ids), theirs(server, ids, vocabulary)
                    likely = [id for id in other if max(mine[id], other[id]) >= math.log(1e-3)]
                    worst = max([worst, *(abs(mine[id] - other[id]) for id in likely)])
                    agree += max(range(vocabulary), key=mine.__getitem__) == max(other, key=other.get)
                    n += 1
                bad = precision == "f16" and worst > BOUND
                failed |= bad
                print(f"{checkpoint}  {precision:5}  {n} lengths to {context - 1}: log-probabilities within {worst:.4f}, "
                      f"likeliest token equal in {agree}{'  TOO FAR' if bad else ''}")
                if precision == PRECISIONS[0]:
                    failed |= not same_ids(server, checkpoint)
                del server
    sys.exit(failed)


def context_of(checkpoint):
    found = sorted(pathlib.Path(checkpoint).rglob("state.json"))
    if not found:
        sys.exit(f"{checkpoint} holds no checkpoint")
    return json.loads(found[-1].read_text())["config"]["model"]["context"]


def same_ids(server, checkpoint):
    tokenizers = sorted(pathlib.Path(checkpoint).rglob("tokenizer.json"))
    if not tokenizers:
        print(f"{checkpoint}  no tokenizer")
        return True
    gristmill = pathlib.Path(sys.argv[1]).with_name("gristmill")
    command = [gristmill, "tokenizer", "encode", "--tokenizer", tokenizers[0], "--json"]
    line = json.dumps({"id": "0", "text": TEXT}) + "\n"
    mine = json.loads(subprocess.run(command, input=line, check=True, capture_output=True, text=True).stdout)["ids"]
    request = urllib.request.Request(
        f"{server.listening_address}/tokenize",
        json.dumps({"content": TEXT, "add_special": False}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        other = json.load(answer)["tokens"]
    print(f"{checkpoint}  {len(mine)} ids of a text: {'equal' if mine == other else f'DIFFER: {mine} {other}'}")
    return mine == other


if __name__ == "__main__":
    main()
