#!/usr/bin/env python3
"""Asks a running server the held-out questions and judges the answers by rules.

  python3 ask.py --url http://127.0.0.1:8080/v1 [--file heldout.jsonl] [--markdown OUT] [--min 90]

Without --file the questions come from the generator itself. Prints the share by kind and each failure; exit 0 if at
least --min per cent are as intended, 1 if not, 2 if the server can't be asked. OPENAI_API_KEY is sent if it is set.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import judge  # noqa: E402  (found beside this file)

ANSWER_TOKENS_MAX = 200  # the longest answer of the tables is about half of that


def questions(path):
    if path is None:
        import text
        return list(text.conversations(split="heldout"))
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def parts(question):
    """The messages to send, and the answer that the tables have."""
    messages = question["messages"]
    if messages[-1]["role"] == "assistant":
        return messages[:-1], messages[-1]["content"]
    return messages, ""


def ask(url, model, messages):
    """The answer's text. Raises OSError or ValueError with what went wrong."""
    body = {"messages": messages, "temperature": 0, "max_tokens": ANSWER_TOKENS_MAX}
    if model:
        body["model"] = model
    headers = {"Content-Type": "application/json"}
    if os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["OPENAI_API_KEY"]
    request = urllib.request.Request(url.rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["choices"][0]["message"]["content"] or ""
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code}: {error.read(300).decode(errors='replace')}") from error
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("the reply is no chat completion") from error


class Report:
    """Counts and failures."""

    def __init__(self):
        self.asked, self.good = collections.Counter(), collections.Counter()
        self.failures = []

    def add(self, question, answer):
        kind = question["kind"]
        self.asked[kind] += 1
        if judge.accepts(answer, question["accept"]):
            self.good[kind] += 1
        else:
            messages, expected = parts(question)
            self.failures.append((kind, messages, answer, expected))

    def share(self):
        return 100.0 * sum(self.good.values()) / max(1, sum(self.asked.values()))

    def rows(self):
        for kind, n in self.asked.items():
            yield kind, self.good[kind], n
        yield "all", sum(self.good.values()), sum(self.asked.values())

    def text(self):
        lines = [f"{kind:<10} {good:4d} of {n:4d}  {100.0 * good / n:5.1f} %" for kind, good, n in self.rows() if n]
        for kind, messages, answer, expected in self.failures:
            lines += ["", f"[{kind}] {said(messages)}", f"  answer:   {flat(answer)}", f"  expected: {flat(expected)}"]
        return "\n".join(lines) + "\n"

    def markdown(self):
        lines = ["| kind | as intended | of | share |", "| --- | ---: | ---: | ---: |"]
        lines += [f"| {kind} | {good} | {n} | {100.0 * good / n:.1f} % |" for kind, good, n in self.rows() if n]
        if self.failures:
            lines += ["", "| kind | question | answer | expected |", "| --- | --- | --- | --- |"]
            lines += [f"| {kind} | {cell(said(messages))} | {cell(answer)} | {cell(expected)} |"
                      for kind, messages, answer, expected in self.failures]
        return "\n".join(lines) + "\n"


def flat(text):
    return text.replace("\n", "\\n")


def cell(text):
    return flat(text).replace("|", "\\|").replace("<", "&lt;")


def said(messages):
    """The question; what was said before it in brackets."""
    before = [m["content"] for m in messages[:-1] if m["role"] == "user"]
    return "".join(f"({b}) " for b in before) + messages[-1]["content"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1", help="base URL")
    parser.add_argument("--file", help="questions, one JSON object a line; default: the generator's")
    parser.add_argument("--model", default="", help="model name to send")
    parser.add_argument("--markdown", help="write the figures and failures as Markdown to this file")
    parser.add_argument("--min", type=float, default=90.0, help="per cent that must be as intended (90)")
    parser.add_argument("--concurrency", type=int, default=4)
    args = parser.parse_args()
    asked = questions(args.file)
    report = Report()
    with concurrent.futures.ThreadPoolExecutor(args.concurrency) as pool:
        answers = [pool.submit(ask, args.url, args.model, parts(q)[0]) for q in asked]
        try:
            for question, answer in zip(asked, answers):
                report.add(question, answer.result())
        except (OSError, ValueError) as error:
            pool.shutdown(cancel_futures=True)
            print(f"ask: {args.url}: {error}", file=sys.stderr)
            return 2
    sys.stdout.write(report.text())
    if args.markdown:
        pathlib.Path(args.markdown).write_text(report.markdown(), encoding="utf-8")
    if not asked or report.share() < args.min:
        print(f"ask: {report.share():.1f} % as intended, at least {args.min:g} % wanted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
