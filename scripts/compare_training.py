#!/usr/bin/env python3
"""Training speed and peak memory beside PyTorch, in one run.

Both train the same shape (GPT-2, 6 layers, width 384, 6 heads, vocabulary 8,192 tied, 8 sequences of 256 tokens, AdamW,
f32) on as many threads, in processes that take turns, so that whatever else the machine does falls on both. PyTorch runs
eagerly with `scaled_dot_product_attention` and its fused AdamW. Prints the medians over the rounds and their ratio.

    python3 -m venv VENV && VENV/bin/pip install torch numpy
    VENV/bin/python scripts/compare_training.py target/release/gristmill-train [--rounds 5] [--threads 2] [--bf16]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

LAYERS, WIDTH, HEADS, VOCABULARY, CONTEXT, BATCH = 6, 384, 6, 8192, 256, 8


def train_with_torch(steps, threads, bf16):
    """Times `steps` steps after two untimed ones; prints tokens a second of the median step."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.merged, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.merged(self.norm_1(x)).split(WIDTH, dim=2)
            q, k, v = (y.view(b, t, HEADS, c // HEADS).transpose(1, 2) for y in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.output(mixed.transpose(1, 2).reshape(b, t, c))
            return x + self.down(F.gelu(self.up(self.norm_2(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, ids, targets):
            x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = F.linear(self.norm(x), self.tokens.weight)
            return F.cross_entropy(logits.float().view(-1, VOCABULARY), targets.view(-1))

    model = Decoder()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.02)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and name not in ("tokens.weight", "positions.weight")]
    rest = [p for p in model.parameters() if not any(p is m for m in matrices)]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)
    seconds = []
    for step in range(steps + 2):
        ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1))
        begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= 2:
            seconds.append(time.perf_counter() - begun)
    print(json.dumps({
        "tokens_per_second": BATCH * CONTEXT / statistics.median(seconds),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": loss.item(),
    }))


def run(command, threads):
    """Runs a process and returns its standard output, its peak memory in MiB and its processor time in seconds."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"error: `{' '.join(command)}` failed")
    return output, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="gristmill-train, built with --release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="timed steps a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="PyTorch under bf16 autocast as well, for scale")
    parser.add_argument("--torch-process", choices=["f32", "bf16"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch_process:
        return train_with_torch(arguments.steps, arguments.threads, arguments.torch_process == "bf16")

    steps, threads = str(arguments.steps), arguments.threads
    ours = [arguments.binary, "bench", "--steps", steps]
    theirs = lambda kind: [sys.executable, __file__, arguments.binary, "--steps", steps, "--threads", str(threads), "--torch-process", kind]
    speeds, peaks = {}, {}
    for round_ in range(arguments.rounds):
        contenders = [("gristmill", ours), ("torch f32", theirs("f32"))]
        if arguments.bf16:
            contenders.append(("torch bf16", theirs("bf16")))
        if round_ % 2:
            contenders.reverse()
        for name, command in contenders:
            output, peak, processor = run(command, threads)
            if name == "gristmill":
                speed = float(re.search(r"([\d.]+) tokens/s", output).group(1))
            else:
                speed = json.loads(output)["tokens_per_second"]
            speeds.setdefault(name, []).append(speed)
            peaks.setdefault(name, []).append(peak)
            print(f"round {round_ + 1}: {name:10} {speed:7.0f} tokens/s, peak {peak:5.0f} MiB, {processor:5.1f} s of processor time", flush=True)
    for name in speeds:
        print(f"{name:10} median {statistics.median(speeds[name]):7.0f} tokens/s, best {max(speeds[name]):7.0f}, peak {statistics.median(peaks[name]):5.0f} MiB")
    pairs = [a / b for a, b in zip(speeds["gristmill"], speeds["torch f32"])]
    ratio = statistics.median(speeds["gristmill"]) / statistics.median(speeds["torch f32"])
    print(f"gristmill / torch f32: {ratio:.2f} x the tokens a second (rounds: {min(pairs):.2f} to {max(pairs):.2f}), {statistics.median(peaks['gristmill']) / statistics.median(peaks['torch f32']):.2f} x the memory")


if __name__ == "__main__":
    main()
