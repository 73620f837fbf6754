#!/usr/bin/env python3
"""Trains the tokenizer on drawn conversations: make_tokenizer.py --out FILE [--vocab N] [--texts N]"""

import argparse
from itertools import islice

from text import conversations
from tokenizer import Trainer

SEED = 2


def main():
    p = argparse.ArgumentParser(description="train the demo model's tokenizer")
    p.add_argument("--out", required=True)
    p.add_argument("--vocab", type=int, default=2048)
    p.add_argument("--texts", type=int, default=60000)
    args = p.parse_args()
    trainer = Trainer()
    for talk in islice(conversations(SEED, split="train"), args.texts):
        for message in talk["messages"]:
            trainer.add(message["content"].strip())
    tokenizer = trainer.train(args.vocab)
    tokenizer.save(args.out)
    print(f"{args.out}: {len(tokenizer)} tokens from {len(trainer.words)} different pieces")


if __name__ == "__main__":
    main()
