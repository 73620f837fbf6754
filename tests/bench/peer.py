#!/usr/bin/env python3
"""polder-bench model beside llama.cpp's llama-bench: alternating runs on one machine, medians and ratios.

    tests/bench/peer.py --bench build/run/bin/polder-bench --backend-dir build/run/backends \\
        --peer path/to/llama-bench --model F.gguf [-p 512] [-n 64] [-t 2] [--pairs 7]

Each pair is one run of each program, with one repetition inside, so that a slow minute of a shared machine hits
both. A Markdown row per test goes to stdout: medians of tok/s, the median of the pairwise ratios, their range.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def run(command, env=None):
    return json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def ours(args):
    env = dict(os.environ, POLDER_BACKEND_DIR=args.backend_dir)
    rows = run([args.bench, "model", "--model", args.model, "-p", str(args.prompt), "-n", str(args.generate),
                "-t", str(args.threads), "-r", "1", "-o", "json"], env)
    return {row["test"]: row["tok_s"] for row in rows["results"]}


def peers(args):
    rows = run([args.peer, "-m", args.model, "-p", str(args.prompt), "-n", str(args.generate),
                "-t", str(args.threads), "-r", "1", "-o", "json"])
    return {("pp%d" % r["n_prompt"]) if r["n_prompt"] else ("tg%d" % r["n_gen"]): r["avg_ts"] for r in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("--bench", "--backend-dir", "--peer", "--model"):
        parser.add_argument(name, required=True)
    parser.add_argument("-p", dest="prompt", type=int, default=512)
    parser.add_argument("-n", dest="generate", type=int, default=64)
    parser.add_argument("-t", dest="threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    pairs = []
    for i in range(args.pairs):
        pairs.append((ours(args), peers(args)))
        print(f"pair {i + 1} of {args.pairs}: {pairs[-1]}", file=sys.stderr)
    name = os.path.basename(args.model)
    for test in pairs[0][0]:
        a = [p[0][test] for p in pairs]
        b = [p[1][test] for p in pairs]
        ratios = [x / y for x, y in zip(a, b)]
        print(f"| {name} | {args.threads} | {test} | {statistics.median(a):.1f} | {statistics.median(b):.1f} "
              f"| {statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f} |")


if __name__ == "__main__":
    main()
