#!/usr/bin/env python3
"""Fills the figures into the model card: card.py --run DIR --gguf FILE --p5 FILE --card README.md

Replaces what stands between <!-- NAME --> and <!-- /NAME --> for NAME in: model, training, p5.
"""

import argparse
import csv
import datetime
import os
import re

import torch

from model import Model, Shape


def cpu_name():
    name, flags = "unknown CPU", ""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as source:
            for line in source:
                if line.startswith("model name"):
                    name = line.split(":", 1)[1].strip()
                elif line.startswith("flags"):
                    flags = " with bfloat16" if "avx512_bf16" in line or "amx_bf16" in line else ""
    except OSError:
        pass
    return f"{len(os.sched_getaffinity(0))} cores of {name}{flags}"


def table(rows):
    lines = ["| | |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {text} |" for name, text in rows])


def model_figures(state, gguf_path):
    s = Shape(**state["shape"])
    return table([
        ("architecture", "`llama`: RMSNorm, rotary embedding in adjacent pairs, grouped-query attention, SwiGLU, "
         "one table for embedding and output"),
        ("parameters", f"{Model(s).n_params():,}"),
        ("layers, embedding, feed-forward", f"{s.layers}, {s.dim}, {s.ffn}"),
        ("heads (of which for keys and values), size", f"{s.heads} ({s.kv_heads}), {s.head_dim}"),
        ("vocabulary", f"{s.vocab} tokens, byte-level BPE, each digit by itself"),
        ("context", f"{s.ctx_tokens} tokens"),
        ("file", f"Q8_0, norms F32; {os.path.getsize(gguf_path):,} bytes"),
    ])


def training_figures(state, log):
    args, last = state["args"], log[-1]
    held = [r for r in log if r["held_loss"]][-1]
    device = cpu_name() if args["device"] == "cpu" else torch.cuda.get_device_name()
    seconds = float(last["seconds"])
    return table([
        ("machine", f"{device}; torch {torch.__version__}"),
        ("date", datetime.date.today().isoformat()),
        ("steps", f"{int(last['step']):,} of {args['batch_tokens']:,} places; "
         f"seed {args['seed']}"),
        ("tokens", f"{int(last['tokens']):,}"),
        ("time", f"{seconds / 60:.0f} min; {int(last['tokens']) / seconds:,.0f} tokens/s"),
        ("loss, training (mean of the last 100 steps)",
         f"{sum(float(r['loss']) for r in log[-100:]) / len(log[-100:]):.4f}"),
        ("loss, held out", f"{float(held['held_loss']):.4f}"),
        ("held-out answers equal word by word", f"{100 * float(held['exact']):.1f} %"),
    ])


def fill(card, name, text):
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(card):
        raise SystemExit(f"card: no place for {name}")
    return pattern.sub(lambda m: m.group(1) + text.strip() + "\n" + m.group(2), card)


def main():
    p = argparse.ArgumentParser(description="fill the model card")
    p.add_argument("--run", required=True)
    p.add_argument("--gguf", required=True)
    p.add_argument("--p5", required=True)
    p.add_argument("--card", required=True)
    args = p.parse_args()
    state = torch.load(os.path.join(args.run, "checkpoint.pt"), map_location="cpu")
    with open(os.path.join(args.run, "log.csv"), newline="", encoding="ascii") as source:
        log = list(csv.DictReader(source))
    with open(args.p5, encoding="utf-8") as source:
        p5 = source.read()
    with open(args.card, encoding="utf-8") as source:
        card = source.read()
    card = fill(card, "model", model_figures(state, args.gguf))
    card = fill(card, "training", training_figures(state, log))
    card = fill(card, "p5", p5)
    with open(args.card, "w", encoding="utf-8") as out:
        out.write(card)


if __name__ == "__main__":
    main()
