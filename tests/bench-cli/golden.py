#!/usr/bin/env python3
"""Bars C1, C2, C3 and greedy texts: polder-bench against stored logits of reference models.

usage: golden.py POLDER_BENCH SHARED_FOLDER [CASE ...]

For each case whose architecture and tensor type are served, runs `polder-bench logits` on the fast and on
the reference path (f32 KV) and `polder-bench generate`, and compares as data/README.md, "How to compare",
says. Exit 77 where the data or numpy is absent.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: python3-numpy is absent")
    sys.exit(77)

ARCHITECTURES = {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "granite"}
TYPES = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4",
         "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"}
FLOAT_TYPES = {"F32", "F16", "BF16"}
# NMSE limits over the array against `logits`; F32 is judged per position as well.
LIMIT_LOGITS = {"F32": 1e-5, "F16": 1e-5, "BF16": 2e-4}
LIMIT_QUANTISED = 1e-3
LIMIT_REFERENCE_DEQUANT = 1e-5

failures = []


def check(ok, text):
    print(("ok   " if ok else "FAIL ") + text, flush=True)
    if not ok:
        failures.append(text)


def bench(program, *args):
    run = subprocess.run([program, *args], capture_output=True, text=True, timeout=300)
    if run.returncode != 0:
        raise RuntimeError(f"polder-bench {' '.join(args[:3])}: exit {run.returncode}: {run.stderr.strip()}")
    return run.stdout


def nmse(a, b, axis=None):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.sum((a - b) ** 2, axis=axis) / np.maximum(np.sum(b**2, axis=axis), 1e-300)


def judge_logits(name, kind, got, want, dequant, reference):
    quantised = kind not in FLOAT_TYPES
    limit = LIMIT_QUANTISED if quantised else LIMIT_LOGITS[kind]
    whole = nmse(got, want)
    check(whole <= limit, f"{name}: nmse {whole:.1e} against logits (limit {limit:.0e})")
    if kind == "F32":
        worst = float(np.max(nmse(got, want, axis=1)))
        check(worst <= 1e-5, f"{name}: worst position {worst:.1e} (C1, limit 1e-5)")
    if dequant is not None:
        limit = LIMIT_REFERENCE_DEQUANT if reference else LIMIT_QUANTISED
        distance = nmse(got, dequant)
        check(distance <= limit, f"{name}: nmse {distance:.1e} against dequantised (limit {limit:.0e})")
    top = np.sort(want, axis=1)
    lead = (top[:, -1] - top[:, -2]) / np.std(want, axis=1)
    clear = lead > (0.1 if quantised else 0.05)
    equal = np.argmax(got, axis=1) == np.argmax(want, axis=1)
    share = float(np.mean(equal[clear])) if clear.any() else 1.0
    check(share >= 0.99, f"{name}: top-1 equal at {100 * share:.1f} % of {int(clear.sum())} clear positions (C3)")


def judge_q8_cache(program, name, model, tokens, want, scratch):
    """Q8_0 in the cache: rounding of quantised weights' size, or a refusal that says why."""
    out = os.path.join(scratch, "q8.npy")
    try:
        bench(program, "logits", "--model", model, "--tokens", ",".join(map(str, tokens)),
              "--kv-type", "q8_0", "--output", out)
    except RuntimeError as error:
        check("multiple of 32" in str(error), f"{name} q8_0 cache: refused, head size named")
        return
    got = np.load(out)
    distance = nmse(got, want)
    check(distance <= LIMIT_QUANTISED, f"{name} q8_0 cache: nmse {distance:.1e} (limit {LIMIT_QUANTISED:.0e})")


def judge_greedy(name, case, got, greedy, sigma):
    """sigma: None if the margins are in standard deviations already."""
    least = 0.1 if case["type"] != "F32" else 0.005 if case["arch"].startswith("gemma") else 0.001
    margins = greedy.get("margin_sigma")
    if margins is None:
        margins = [m / sigma for m in greedy["margin"]]
    for i, (a, b) in enumerate(zip(got, greedy["ids"])):
        if margins[i] < least:
            check(True, f"{name}: greedy equal up to step {i}, where the choice is open")
            return
        if a != b:
            check(False, f"{name}: greedy step {i} is {a}, stored {b}, lead {margins[i]}")
            return
    check(len(got) == len(greedy["ids"]), f"{name}: greedy equal for all {len(got)} steps")


def run_sequence(program, folder, case, sequence, scratch):
    model = os.path.join(folder, case["model"])
    tokens = sequence["tokens"]
    if "logits" in sequence:
        want = np.load(os.path.join(folder, sequence["logits"]))
        dequant = sequence.get("logits_dequant")
        dequant = np.load(os.path.join(folder, dequant)) if dequant else None
        # Where only the first positions are stored, only those are judged; the model is causal.
        tokens_fed = tokens[: sequence.get("logits_positions", len(tokens))]
        for path in ([], ["--reference"]):
            name = f"{case['model']} {sequence['name']}{' reference' if path else ''}"
            out = os.path.join(scratch, "logits.npy")
            bench(program, "logits", "--model", model, "--tokens", ",".join(map(str, tokens_fed)),
                  "--kv-type", "f32", "--output", out, *path)
            got = np.load(out)
            if got.shape != want.shape or got.dtype != np.float32:
                check(False, f"{name}: {got.dtype} {got.shape}, stored {want.shape}")
                continue
            judge_logits(name, case["type"], got, want, dequant, bool(path))
        if case["type"] == "F32":
            judge_q8_cache(program, f"{case['model']} {sequence['name']}", model, tokens_fed, want, scratch)
    if "greedy" in sequence:
        run_greedy(program, model, case, sequence["name"], tokens, sequence["greedy"], scratch)


def run_greedy(program, model, case, name, tokens, greedy, scratch):
    ids = ",".join(map(str, tokens))
    got = json.loads(bench(program, "generate", "--model", model, "--tokens", ids, "--kv-type", "f32",
                           "-n", str(len(greedy["ids"]))))
    sigma = 1.0
    if "margin" in greedy:
        out = os.path.join(scratch, "sigma.npy")
        bench(program, "logits", "--model", model, "--tokens", ids, "--output", out)
        sigma = float(np.std(np.load(out)[-1]))
    judge_greedy(f"{case['model']} {name}", case, got, greedy, sigma)


def run_case(program, folder, path, scratch):
    with open(path, encoding="utf-8") as file:
        case = json.load(file)
    if case.get("arch") not in ARCHITECTURES or case.get("type") not in TYPES:
        print(f"skip {os.path.basename(path)}: {case.get('arch')} {case.get('type')} is not served")
        return 0
    for sequence in case["sequences"]:
        run_sequence(program, folder, case, sequence, scratch)
    if "greedy" in case:
        greedy = case["greedy"]
        run_greedy(program, os.path.join(folder, case["model"]), case, "greedy",
                   greedy["prompt_tokens"], greedy, scratch)
    return 1


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    program, shared, only = sys.argv[1], sys.argv[2], set(sys.argv[3:])
    n_cases = 0
    with tempfile.TemporaryDirectory() as scratch:
        for part in ("golden", "models"):
            folder = os.path.join(shared, "data", part)
            if not os.path.isdir(folder):
                print(f"skipped: {folder} is absent")
                return 77
            for name in sorted(os.listdir(folder)):
                if not name.endswith(".json") or (only and name[:-5] not in only):
                    continue
                try:
                    n_cases += run_case(program, folder, os.path.join(folder, name), scratch)
                except RuntimeError as error:
                    check(False, f"{name}: {error}")
    print(f"{n_cases} cases, {len(failures)} failures")
    return 1 if failures or n_cases == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
