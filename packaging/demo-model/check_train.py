#!/usr/bin/env python3
"""Proofs about trainings: check_train.py equal DIR DIR | learned DIR

equal    two runs of the same seed have the same losses and the same weights, bit by bit, though one of them
         was interrupted and went on
learned  the held-out loss of a short run fell below a bound

Exit 0 if it holds; prints what it saw.
"""

import argparse
import csv
import os

import torch

HELD_LOSS_MAX = 0.5  # after 300 steps; measured 0.24; untrained 7.6


def log(folder):
    with open(os.path.join(folder, "log.csv"), newline="", encoding="ascii") as source:
        return list(csv.DictReader(source))


def flatten(state, path=""):
    """(path, tensor) of everything that a checkpoint holds in tensors."""
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, (dict, list, tuple)):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        for key, item in items:
            yield from flatten(item, f"{path}/{key}")


def equal(first, second):
    a, b = log(first), log(second)
    if [(r["step"], r["tokens"], r["loss"]) for r in a] != [(r["step"], r["tokens"], r["loss"]) for r in b]:
        pairs = [(x["step"], x["loss"], y["loss"]) for x, y in zip(a, b) if x["loss"] != y["loss"]]
        return f"losses differ ({len(a)} and {len(b)} steps): {pairs[:3]}"
    states = [dict(flatten(torch.load(os.path.join(f, "checkpoint.pt"), map_location="cpu")))
              for f in (first, second)]
    different = [k for k in states[0] if not torch.equal(states[0][k], states[1].get(k, torch.empty(0)))]
    if different or states[0].keys() != states[1].keys():
        return f"{len(different)} of {len(states[0])} tensors differ, among them {different[:3]}"
    print(f"equal: {len(a)} losses and {len(states[0])} tensors, bit by bit")
    return None


def learned(folder):
    rows = log(folder)
    held = [r for r in rows if r["held_loss"]]
    if not held:
        return f"no held-out loss in the log of {folder}"
    loss, exact = float(held[-1]["held_loss"]), float(held[-1]["exact"])
    if not loss <= HELD_LOSS_MAX:
        return f"held-out loss {loss} after {held[-1]['step']} steps, at most {HELD_LOSS_MAX} expected"
    print(f"learned: loss from {float(rows[0]['loss']):.2f} to {float(rows[-1]['loss']):.2f}, "
          f"held-out {loss:.2f}; {100 * exact:.0f} % of the held-out answers right word by word")
    return None


def main():
    p = argparse.ArgumentParser(description="proofs about trainings")
    p.add_argument("what", choices=["equal", "learned"])
    p.add_argument("folder", nargs="+")
    args = p.parse_args()
    if len(args.folder) != (2 if args.what == "equal" else 1):
        p.error("equal takes two folders, learned takes one")
    problem = (equal if args.what == "equal" else learned)(*args.folder)
    if problem:
        raise SystemExit(f"check_train: {problem}")


if __name__ == "__main__":
    main()
