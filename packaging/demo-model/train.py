#!/usr/bin/env python3
"""Trains the demo model: text -> batches -> weights, a checkpoint, a log (CSV).

    train.py --tokenizer FILE --out DIR --steps N [--seed N] ...

Started again with the same arguments it goes on from DIR/checkpoint.pt; with the same machine, torch and
number of threads the weights come out equal bit by bit, interrupted or not. SIGTERM and SIGINT save first.
The loss counts the answers' tokens only. `exact` in the log: share of held-out conversations whose last
answer the model would give word by word at temperature 0 (each token is the likeliest after those before).
"""

import fast_cpu  # first: may start the program again

import argparse
import csv
import math
import os
import signal
import time
from contextlib import nullcontext
from itertools import islice

import torch
from torch.nn import functional as F

from batches import NOTHING, Sizes, Text, encode, pack, stream, to_batch
from model import Model, Shape
from optim import make_optimizer
from text import conversations
from tokenizer import Tokenizer
from workers import Workers

HELD_SEED = 1
SAME = ["steps", "seed", "rate", "warmup", "batch_tokens", "short_tokens", "long_tokens", "layers",
        "workers"]  # or a run can't go on
FIELDS = ["step", "tokens", "seconds", "rate", "loss", "held_loss", "exact"]


def arguments():
    p = argparse.ArgumentParser(description="train the demo model")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--steps", type=int, required=True)
    p.add_argument("--stop-after", type=int, default=None, help="save and end at this step (tests)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rate", type=float, default=6e-3)
    p.add_argument("--warmup", type=int, default=100)
    p.add_argument("--batch-tokens", type=int, default=4096)
    p.add_argument("--short-tokens", type=int, default=128, help="length of the rows for short conversations")
    p.add_argument("--long-tokens", type=int, default=512, help="length of the rows for the others")
    p.add_argument("--layers", type=int, default=Shape.layers)
    p.add_argument("--held", type=int, default=512, help="held-out conversations for the checks")
    p.add_argument("--check-every", type=int, default=250)
    p.add_argument("--save-every", type=int, default=100)
    p.add_argument("--workers", type=int, default=0, help="processes; default: up to 4, by cores")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--dtype", choices=["auto", "bf16", "f32"], default="auto")
    return p.parse_args()


def rate_at(step, args):
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < args.warmup:
        return args.rate * (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class HeldOut:
    """Conversations of the held-out side, packed once."""

    def __init__(self, tokenizer, n, row_tokens):
        drawn = islice(conversations(HELD_SEED, split="heldout"), n)
        texts = [encode(tokenizer, c["messages"]) for c in drawn]
        texts = [Text(t.ids, self.last_answer(t.learn)) for t in texts]
        self.rows = pack(texts, row_tokens)
        self.row_tokens = row_tokens

    @staticmethod
    def last_answer(learn):
        end = len(learn)
        start = end
        while start > 0 and learn[start - 1]:
            start -= 1
        return [False] * start + [True] * (end - start)

    def check(self, model, autocast, device):
        """Mean loss per token and share of answers that are right in each token."""
        loss = tokens = right = texts = 0
        for i in range(0, len(self.rows), 16):
            b = to_batch(self.rows[i:i + 16], self.row_tokens).to(device)
            with torch.no_grad(), autocast():
                logits = model(b.tokens, b.owner, b.position, b.at).float()
            real = b.target != NOTHING
            loss += F.cross_entropy(logits, b.target, reduction="sum").item()
            tokens += int(real.sum())
            row = b.at // self.row_tokens
            key = (row * self.row_tokens + b.owner.flatten()[b.at])[real]
            wrong = key[(logits.argmax(-1) != b.target)[real]]
            n, n_wrong = len(key.unique()), len(wrong.unique())
            texts, right = texts + n, right + n - n_wrong
        return loss / max(1, tokens), right / max(1, texts)


class Log:
    """The CSV; on resuming, rows behind the checkpoint are dropped."""

    def __init__(self, path, step):
        rows = []
        if step > 0 and os.path.exists(path):
            with open(path, newline="", encoding="ascii") as old:
                rows = [r for r in csv.DictReader(old) if int(r["step"]) <= step]
        self.out = open(path, "w", newline="", encoding="ascii")
        self.writer = csv.DictWriter(self.out, FIELDS)
        self.writer.writeheader()
        self.writer.writerows(rows)
        self.out.flush()

    def add(self, **row):
        self.writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self.out.flush()


class Run:
    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        torch.set_num_threads(1)  # until the helpers have been forked
        cores = len(os.sched_getaffinity(0))
        if not args.workers:
            args.workers = min(cores, 4) if args.device == "cpu" else 1
        self.device = torch.device(args.device)
        half = args.dtype == "bf16" or (
            args.dtype == "auto" and (args.device != "cpu" or fast_cpu.half_is_fast()))
        self.autocast = (lambda: torch.autocast(self.device.type, dtype=torch.bfloat16)) if half \
            else nullcontext
        self.tokenizer = Tokenizer.load(args.tokenizer)
        vocab = (len(self.tokenizer) + 31) // 32 * 32
        self.model = Model(Shape(vocab=vocab, layers=args.layers)).to(self.device)
        self.optimizer = make_optimizer(self.model, torch.bfloat16 if half else torch.float32)
        self.workers = Workers(self.model, self.optimizer, self.autocast, args.workers,
                               max(1, cores // args.workers))
        self.step, self.tokens, self.seconds, self.place = 0, 0, 0.0, (0, 0)
        self.path = os.path.join(args.out, "checkpoint.pt")
        self.ended = False

    def save(self):
        state = {"shape": self.model.shape.as_dict(), "model": self.model.state_dict(),
                 "optimizer": self.optimizer.state(), "step": self.step, "tokens": self.tokens,
                 "seconds": self.seconds, "place": self.place, "rng": torch.get_rng_state(),
                 "args": vars(self.args)}
        torch.save(state, self.path + ".new")
        os.replace(self.path + ".new", self.path)

    def resume(self):
        if not os.path.exists(self.path):
            return
        state = torch.load(self.path, map_location="cpu")
        for name in SAME:
            if state["args"][name] != getattr(self.args, name):
                raise SystemExit(f"train: {self.path} was made with --{name.replace('_', '-')} "
                                 f"{state['args'][name]}, not {getattr(self.args, name)}")
        self.model.load_state_dict(state["model"])
        self.optimizer.restore(state["optimizer"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.place = tuple(state["place"])
        torch.set_rng_state(state["rng"])
        print(f"goes on from step {self.step}", flush=True)

    def learn(self, rows, row_tokens, rate):
        """One step on rows of texts: the loss, and how many tokens they had."""
        n = self.args.workers
        shares = [to_batch(rows[i::n], row_tokens).to(self.device) for i in range(n)]
        n_places = sum(int((b.target != NOTHING).sum()) for b in shares)
        loss = self.workers.step(shares, n_places, rate)
        return loss, sum(int((b.owner >= 0).sum()) for b in shares)

    def train(self):
        args = self.args
        log = Log(os.path.join(args.out, "log.csv"), self.step)
        held = HeldOut(self.tokenizer, args.held, args.long_tokens)
        last = min(args.steps, args.stop_after or args.steps)
        if self.step >= last:
            return
        sizes = Sizes(args.batch_tokens, args.short_tokens, args.long_tokens,
                      self.model.shape.ctx_tokens)
        batches = stream(self.tokenizer, args.seed, sizes, *self.place)
        for chunk, i, rows, row_tokens in batches:
            start = time.monotonic()
            rate = rate_at(self.step, args)
            loss, n_tokens = self.learn(rows, row_tokens, rate)
            self.step += 1
            self.tokens += n_tokens
            self.place = (chunk, i + 1)
            self.seconds += time.monotonic() - start
            row = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1),
                   "rate": rate, "loss": loss}
            if self.step % args.check_every == 0 or self.step == args.steps:
                row["held_loss"], row["exact"] = held.check(self.model, self.autocast, self.device)
                print({k: round(v, 4) for k, v in row.items()}, flush=True)
            log.add(**row)
            end = self.ended or self.step >= last
            if end or self.step % args.save_every == 0:
                self.save()
            if end:
                return


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    run = Run(args)
    run.resume()

    def on_signal(_number, _frame):
        run.ended = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    run.train()
    run.workers.close()
    if run.ended:
        raise SystemExit(f"stopped at step {run.step}; the same command goes on from there")


if __name__ == "__main__":
    main()
