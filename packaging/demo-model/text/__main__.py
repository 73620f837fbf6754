"""python3 -m text --out DIR [--seed N] [--count N]: writes train.jsonl and heldout.jsonl."""
import argparse
import itertools
import json
import pathlib
import sys

from . import sample, split


def main():
    parser = argparse.ArgumentParser(prog="text", description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder, made if absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150000, help="training conversations")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    held = list(sample.conversations(split="heldout"))
    texts = {split.normalise(h["messages"][-2]["content"]) for h in held if h["kind"] != "follow"}
    with open(args.out / "heldout.jsonl", "w", encoding="utf-8") as out:
        for line in held:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    with open(args.out / "train.jsonl", "w", encoding="utf-8") as out:
        for line in itertools.islice(sample.conversations(args.seed), args.count):
            for message in line["messages"]:
                if message["role"] == "user" and split.normalise(message["content"]) in texts:
                    sys.exit(f"text: a held-out question is in training: {message['content']}")
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{args.count} conversations, {len(held)} held-out questions in {args.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
