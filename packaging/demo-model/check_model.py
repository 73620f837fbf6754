#!/usr/bin/env python3
"""Proves an exported model against torch, the tokenizer and the template against the served ones.

    check_model.py --checkpoint FILE --tokenizer FILE --bench PROGRAM [--backend-dir DIR] [--texts N]

logits   F32 export within NMSE 1e-5 of torch, Q8_0 within 1e-3, token by token over held-out conversations
ids      the server's tokenizer gives the trainer's ids: held-out text, random Unicode, random bytes of UTF-8
template the server's template engine, Jinja and `encode_chat` agree on conversations of many forms

Exit 0 if all hold; prints one line for each.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from itertools import islice

import numpy as np
import torch

from export import load_model
from text import conversations
from tokenizer import SPECIALS, TEMPLATE, Tokenizer, encode_chat

LIMITS = {"f32": 1e-5, "q8_0": 1e-3}
N_LOGIT_TEXTS = 6


def run(args, command, **kwargs):
    environment = dict(os.environ)
    if args.backend_dir:
        environment["POLDER_BACKEND_DIR"] = args.backend_dir
    done = subprocess.run([args.bench, *command], env=environment, capture_output=True, check=False,
                          **kwargs)
    if done.returncode:
        raise SystemExit(f"polder-bench {command[0]} failed: {done.stderr!r}")
    return done.stdout


def export(args, kind, path):
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([sys.executable, os.path.join(here, "export.py"), "--checkpoint", args.checkpoint,
                    "--tokenizer", args.tokenizer, "--type", kind, "--out", path],
                   check=True, stdout=subprocess.DEVNULL)


def nmse(got, want):
    return float(((got - want) ** 2).sum() / ((want - want.mean(-1, keepdims=True)) ** 2).sum())


def check_logits(args, tokenizer, folder):
    model = load_model(args.checkpoint)
    talks = islice(conversations(args.seed, split="heldout"), 200)
    ids = sorted((encode_chat(tokenizer, t["messages"])[0] for t in talks), key=len)
    ids = ids[::len(ids) // (N_LOGIT_TEXTS - 1)] + ids[-1:]  # from the shortest to the longest
    right = True
    for kind, limit in LIMITS.items():
        worst = 0.0
        for row in ids:
            with torch.no_grad():
                want = model(torch.tensor([row])).numpy()
            out = os.path.join(folder, "logits.npy")
            run(args, ["logits", "--model", os.path.join(folder, f"{kind}.gguf"), "--kv-type", "f32",
                       "--tokens", ",".join(map(str, row)), "--output", out])
            worst = max(worst, nmse(np.load(out).astype(np.float64), want.astype(np.float64)))
        print(f"logits {kind}: NMSE at most {worst:.2e} over {len(ids)} texts (limit {limit:.0e})")
        right = right and worst <= limit
    return right


def known(c):
    """Characters that all Unicode tables of the last years agree on."""
    kind = unicodedata.ucd_3_2_0.category(c)
    return kind not in ("Cn", "Cs") and kind == unicodedata.category(c)


def random_texts(rng, n):
    pool = [chr(c) for c in range(1, 0x30000) if known(chr(c))]
    ascii_pool = [chr(c) for c in range(9, 127)] + list("  \n\n''0123456789") + ["'s", "'ll", "  ", "\r\n"]
    for i in range(n):
        source = ascii_pool if i % 2 else pool + ascii_pool * 200
        yield "".join(rng.choice(source) for _ in range(rng.randrange(60)))


def check_ids(args, tokenizer, folder):
    texts = [m["content"] for t in islice(conversations(args.seed, split="heldout"), args.texts)
             for m in t["messages"]]
    texts += list(random_texts(random.Random(args.seed), args.texts))
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    got = run(args, ["tokenize", "--jsonl", "--model", os.path.join(folder, "f32.gguf")],
              input=lines.encode()).splitlines()
    bad = 0
    for text, line in zip(texts, got, strict=True):
        mine = tokenizer.encode(text)
        if json.loads(line) != mine or tokenizer.decode(mine) != text:
            bad += 1
            if bad <= 5:
                print(f"ids differ for {text!r}: {line!r}, want {mine}")
    print(f"ids: {len(texts) - bad} of {len(texts)} texts equal")
    return bad == 0


def template_cases(rng, talks):
    """Conversations as they come, cut to every length, with and without a system message."""
    for talk in talks:
        messages = talk["messages"]
        n = rng.randrange(1, len(messages) + 1)
        shorter = messages[:n]
        yield shorter, shorter[-1]["role"] != "assistant"
        yield [{"role": "system", "content": " Be kind.\n\n"}, *messages], False
    odd = "a 'quote', \"two\", {{ braces }}, {% if %}, é, \u4e2d, \n, <b>"
    yield [{"role": "user", "content": odd}], True
    yield [{"role": "user", "content": ""}], True
    yield [{"role": "user", "content": "\n  x \t"}, {"role": "assistant", "content": " y "}], False
    yield [{"role": "tool", "content": "42"}], True


def check_template(args, tokenizer, folder):
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    path = os.path.join(folder, "template.jinja")
    with open(path, "w", encoding="ascii") as out:
        out.write(TEMPLATE)
    talks = islice(conversations(args.seed, split="heldout"), 20)
    bad = n = 0
    rendered, wanted = [], []
    for messages, prompt in template_cases(random.Random(args.seed), talks):
        case = {"messages": messages, "add_generation_prompt": prompt, "bos_token": SPECIALS[0],
                "eos_token": SPECIALS[1]}
        want = jinja.render(**case)
        got = run(args, ["template", "--template", path], input=json.dumps(case).encode())
        n += 1
        if got.decode() not in (want, want + "\n"):
            bad += 1
            print(f"template differs for {messages}: {got!r}, want {want!r}")
        if not prompt and all(m["role"] in ("system", "user", "assistant") for m in messages):
            rendered.append(want)
            wanted.append(encode_chat(tokenizer, messages)[0])
    lines = "".join(json.dumps({"text": t}) + "\n" for t in rendered)
    got = run(args, ["tokenize", "--jsonl", "--parse-special", "--model",
                     os.path.join(folder, "f32.gguf")], input=lines.encode()).splitlines()
    bad += sum(json.loads(line) != ids for line, ids in zip(got, wanted, strict=True))
    print(f"template: {n} conversations rendered, {len(wanted)} of them as in training; {bad} differ")
    return bad == 0


def main():
    p = argparse.ArgumentParser(description="prove an exported model against torch")
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--bench", required=True, help="polder-bench")
    p.add_argument("--backend-dir")
    p.add_argument("--texts", type=int, default=3000)
    p.add_argument("--seed", type=int, default=3)
    args = p.parse_args()
    tokenizer = Tokenizer.load(args.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        for kind in LIMITS:
            export(args, kind, os.path.join(folder, f"{kind}.gguf"))
        results = [check(args, tokenizer, folder)
                   for check in (check_logits, check_ids, check_template)]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
