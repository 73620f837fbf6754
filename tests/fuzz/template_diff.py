#!/usr/bin/env python3
"""Random templates, rendered by `polder-bench template` and by jinja2, and compared.

    python3 tests/fuzz/template_diff.py --bench build/dev/bin/polder-bench [--seconds 60] [--seed 1]

Needs python3-jinja2. A difference is printed with its template; exit 1 if there was one. Templates whose
text holds an address, or a limit of ours or of Python's, are passed over.
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors/template"))
from jinja_hf import render  # noqa: E402
from make_vectors import VARIABLES  # noqa: E402

FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "list", "string", "int", "float", "abs",
           "first", "last", "sort", "reverse", "join", "join(', ')", "tojson", "tojson(indent=2)", "default('d')",
           "default('d', true)", "unique|list", "sum", "min", "max", "round", "round(1)", "replace('a', 'bb')",
           "map('string')|list", "select|list", "reject('none')|list", "items|list", "dictsort", "e", "safe",
           "indent", "indent(2, true)", "truncate(7)", "wordcount", "batch(2)|list", "slice(2)|list", "urlencode",
           "striptags", "center(9)", "map(attribute='name')|list", "selectattr('age')|list", "groupby('age')",
           "count", "format(1)", "wordwrap(8)", "sort(reverse=true)", "filesizeformat"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable",
         "boolean", "true", "odd", "even", "upper", "lower", "callable", "eq 1", "in [1, 'a']", "divisibleby 2"]
METHODS = ["upper()", "strip()", "split()", "split(',')", "split('l', 1)", "rsplit(none, 1)", "splitlines()",
           "startswith('H')", "endswith('d')", "replace('l', 'L')", "find('o')", "count('l')", "title()", "items()",
           "keys()", "values()", "get('a')", "get('zz', 1)", "name", "age", "a", "b", "isdigit()", "lstrip('H')",
           "rstrip()", "index(1)", "copy()", "join(['x', 'y'])", "format(1, 2)", "zfill(5)", "partition(' ')"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in"]

PAIRS = ["d.items()", "users|groupby('age')"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def atom(self):
        r = self.r
        return r.choice([
            lambda: r.choice(list(VARIABLES)), lambda: str(r.randint(-3, 12)),
            lambda: repr(round(r.uniform(-5, 5), r.randint(0, 3))),
            lambda: r.choice(["'a'", "''", "'Hello'", "'x,y'", "'%s'", "'{}'", "'ß'", "' b '", "'1'"]),
            lambda: r.choice(["true", "false", "none", "missing", "[]", "{}", "()", "loop", "range(3)"]),
        ])()

    def expr(self, depth):
        r = self.r
        if depth <= 0:
            return self.atom()
        sub = lambda: self.expr(depth - r.randint(1, 2))  # noqa: E731
        return r.choice([
            self.atom, lambda: f"({sub()} {r.choice(BINARY)} {sub()})", lambda: f"{sub()}|{r.choice(FILTERS)}",
            lambda: f"({sub()} is {r.choice(['', 'not '])}{r.choice(TESTS)})", lambda: f"({sub()}).{r.choice(METHODS)}",
            lambda: f"({sub()})[{sub()}]", lambda: f"({sub()})[{self.bound()}:{self.bound()}:{self.step()}]",
            lambda: f"[{sub()}, {sub()}]", lambda: f"({sub()}, {sub()})", lambda: f"{{{sub()}: {sub()}}}",
            lambda: f"({sub()} if {sub()} else {sub()})", lambda: f"(not {sub()})", lambda: f"(-{sub()})",
            lambda: f"{sub()}|{r.choice(FILTERS)}|{r.choice(FILTERS)}",
        ])()

    def bound(self):
        return self.r.choice(["", "", "1", "-1", "2", "-2", "0", "9", "-9"])

    def step(self):
        return self.r.choice(["", "", "1", "-1", "2", "-2"])

    def blank(self):
        return self.r.choice(["", "", " ", "\n", "  ", "\n  ", "x", " y\n"])

    def tag(self, body):
        r = self.r
        return "{%" + r.choice(["", "", "-", "+"]) + f" {body} " + r.choice(["", "", "-", "+"]) + "%}"

    def stmt(self, depth):
        r = self.r
        body = lambda: self.body(depth - 1)  # noqa: E731
        output = lambda: "{{" + r.choice(["", "", "-"]) + f" {self.expr(3)} " + r.choice(["", "", "-"]) + "}}"  # noqa: E731
        if depth <= 0:
            return output()
        return r.choice([
            output, output, lambda: self.tag(f"if {self.expr(2)}") + body() + self.tag("else") + body() + self.tag("endif"),
            lambda: self.tag(f"for v in {self.expr(1)}" + r.choice(["", "", f" if {self.expr(1)}"])) + body() + self.tag("endfor"),
            lambda: self.tag(f"for k, v in {r.choice(PAIRS + [self.expr(1)])}") + body() + self.tag("endfor"),
            lambda: self.tag(f"set {r.choice(['v', 'n', 'q'])} = {self.expr(2)}"),
            lambda: self.tag("set q") + body() + self.tag("endset"), lambda: self.tag("filter upper") + body() + self.tag("endfilter"),
            lambda: self.tag(f"with v = {self.expr(1)}") + body() + self.tag("endwith"),
            lambda: self.tag("macro m(v, q=2)") + body() + self.tag("endmacro") + "{{ m(1) }}{{ m(q=n) }}",
            lambda: "{#" + r.choice(["", "-"]) + " c " + r.choice(["", "-"]) + "#}",
            lambda: self.tag("raw") + "{{ x }}" + self.tag("endraw"), lambda: "{{ loop." + r.choice(["index", "last", "length", "first", "nextitem", "revindex"]) + " }}",
        ])()

    def body(self, depth):
        return "".join(self.blank() + self.stmt(depth) for _ in range(self.r.randint(1, 3))) + self.blank()


def ours(bench, path, source):
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(source)
    case = json.dumps({"messages": [], "kwargs": VARIABLES, "now": "2026-03-14T15:09:26"})
    run = subprocess.run([bench, "template", "--template", path], input=case.encode(), capture_output=True, timeout=60)
    if run.returncode == 0:
        return run.stdout.decode("utf-8", "replace"), None
    if run.returncode != 1:
        return None, f"exit {run.returncode}"
    return None, run.stderr.decode("utf-8", "replace")


def main():
    warnings.simplefilter("ignore")
    args = argparse.ArgumentParser()
    args.add_argument("--bench", required=True)
    args.add_argument("--seconds", type=float, default=60)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    end = time.time() + args.seconds
    names = {"tools": None, "documents": None, "messages": [], "add_generation_prompt": False, "bos_token": "", "eos_token": ""}
    n = differences = texts = 0
    with tempfile.TemporaryDirectory() as folder:
        while time.time() < end:
            n += 1
            source = Maker(args.seed * 1000003 + n).body(2)
            want, error = render(source, {**names, **VARIABLES})
            got, message = ours(args.bench, os.path.join(folder, "t.jinja"), source)
            if want is not None and re.search(r" object at 0x|<built-in|<bound|<function|<class", want):
                continue
            # Jinja's constant folding gives undefined for the slice of a constant that can't be sliced.
            if message is not None and re.search(r"64 bits|too much|too deep|too many|can't be sliced", message):
                continue
            texts += want is not None
            if got != want:
                differences += 1
                print(f"--- {n}: {source!r}\n  want {want if want is not None else error!r}\n  got  {got if got is not None else message!r}")
    print(f"{n} templates, {texts} rendered, {differences} differences", file=sys.stderr)
    return differences > 0


if __name__ == "__main__":
    sys.exit(main())
