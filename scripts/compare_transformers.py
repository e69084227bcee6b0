#!/usr/bin/env python3
"""Logits beside Hugging Face's transformers: random small models of both families and, if named, published ones.

    python3 -m venv VENV && VENV/bin/pip install torch transformers safetensors numpy gguf
    VENV/bin/python scripts/compare_transformers.py target/release/gristmill-train [--model DIR]... [--golden DIR]

Each model is imported, scored by `gristmill-train logits` at every position up to its window, exported again and compared with
transformers both ways; GGUF files are read back by the `gguf` package, and run where llama-cpp-python is installed. Exits 1
where an f32 logit differs by more than 1e-4. `--golden` writes the small models that the tests keep, with their logits.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

TOLERANCE = 1e-4


def random_models():
    """Small models: every switch that decides how weights are read is on in one of them."""
    torch.manual_seed(1)
    llama = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=128, rms_norm_eps=1e-5, initializer_range=0.2)
    scaled = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 32}
    gpt2 = dict(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.2,
                resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    yield "llama", transformers.LlamaConfig(**llama, num_key_value_heads=4, tie_word_embeddings=False)
    yield "llama-grouped-tied-scaled", transformers.LlamaConfig(
        **llama, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=scaled)
    yield "gpt2-tanh", transformers.GPT2Config(**gpt2)
    yield "gpt2-erf", transformers.GPT2Config(**gpt2, activation_function="gelu")


def make(config):
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    for name, parameter in model.named_parameters():
        # Norms and biases begin at 1 and 0, where mistakes with them would not show.
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=1.0 if "bias" not in name else 0.0, std=0.2)
    return model


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def ours(binary, checkpoint, ids):
    command = [binary, "logits", "--checkpoint", str(checkpoint), "--ids", ",".join(map(str, ids))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return numpy.array([json.loads(line) for line in output.splitlines()], dtype=numpy.float32)


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)


def compare(binary, name, source, model, ids, folder):
    """Both ways; returns whether all logits agree."""
    checkpoint, back = folder / "checkpoint", folder / "back"
    run(binary, "import", "--hf", source, "--out", checkpoint)
    expected = their_logits(model, ids)
    found = ours(binary, checkpoint, ids)
    there = float(numpy.abs(found - expected).max())
    run(binary, "export", "--checkpoint", checkpoint, "--to", "hf", "--out", back)
    again = transformers.AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32).eval()
    home = float(numpy.abs(their_logits(again, ids) - expected).max())
    late = float(numpy.abs(found[64:] - expected[64:]).max()) if len(ids) > 64 else float("nan")
    good = there <= TOLERANCE and home <= TOLERANCE
    print(f"{name:28} {len(ids):5} positions: {there:.1e} apart (from position 64 on {late:.1e}, logits to {numpy.abs(expected).max():.1f}); "
          f"exported and read by transformers {home:.1e}{'' if good else '   TOO FAR'}")
    for precision in ("f16", "q8_0"):
        file = folder / f"{precision}.gguf"
        run(binary, "export", "--checkpoint", checkpoint, "--to", "gguf", "--precision", precision, "--out", file)
        read_gguf(name, precision, file, model)
        run_gguf(name, precision, file, ids, expected)
    return good


def read_gguf(name, precision, file, model):
    import gguf

    reader = gguf.GGUFReader(file)
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    embedding = model.get_input_embeddings().weight.detach().numpy()
    apart = numpy.abs(tensors["token_embd.weight"].reshape(embedding.shape) - embedding).max()
    print(f"{name:28} {precision:5} gguf reads {len(tensors)} tensors; embedding {apart:.1e} apart")


def run_gguf(name, precision, file, ids, expected):
    try:
        import llama_cpp
    except ImportError:
        return
    llama = llama_cpp.Llama(str(file), n_ctx=len(ids), logits_all=True, verbose=False)
    llama.eval(ids)
    found = numpy.array(llama.scores[: len(ids)])
    agree = (found.argmax(1) == expected.argmax(1)).mean()
    print(f"{name:28} {precision:5} llama.cpp: logits {numpy.abs(found - expected).max():.1e} apart, {agree:.1%} of likeliest tokens equal")


def golden(folder, name, model, ids):
    folder = folder / name
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    logits = their_logits(model.float(), ids)
    rows = [round(float(x), 5) for row in (0, len(ids) // 2, len(ids) - 1) for x in logits[row]]
    (folder / "expected.json").write_text(json.dumps({"ids": ids, "rows": [0, len(ids) // 2, len(ids) - 1], "logits": rows}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="gristmill-train, built with --release")
    parser.add_argument("--model", action="append", default=[], type=pathlib.Path, help="a folder with a published model")
    parser.add_argument("--golden", type=pathlib.Path, help="writes the tests' models here, and compares nothing")
    arguments = parser.parse_args()
    generator = numpy.random.default_rng(1)
    good = True
    for name, config in random_models():
        ids = generator.integers(config.vocab_size, size=config.max_position_embeddings).tolist()
        if arguments.golden:
            if name in ("llama-grouped-tied-scaled", "gpt2-tanh"):
                small = {"vocab_size": 19, "bos_token_id": None, "eos_token_id": None}
                small |= {"hidden_size": 16, "intermediate_size": 24, "head_dim": 4} if "llama" in name else {"n_embd": 16}
                config.update(small)
                golden(arguments.golden, name.split("-")[0], make(config), [i % 19 for i in ids[:96]])
            continue
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = make(config)
            model.save_pretrained(folder / "source")
            good &= compare(arguments.binary, name, folder / "source", model, ids, folder)
    for source in arguments.model:
        with tempfile.TemporaryDirectory() as folder:
            model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
            ids = generator.integers(model.config.vocab_size, size=min(model.config.max_position_embeddings, 2048)).tolist()
            good &= compare(arguments.binary, source.name, source, model, ids, pathlib.Path(folder))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
