#!/usr/bin/env python3
"""Random templates, rendered by jinja2 and by ours (template_batch), and compared.

    /usr/bin/python3 tests/fuzz/template_diff.py --batch build/dev/tests/template_batch [--seconds 60] [--seed 1]

Needs python3-jinja2. A difference is printed with its template; exit 1 if there was one. Templates whose
text holds an address, or a limit of ours or of Python's, are passed over.
"""
import argparse
import datetime
import json
import os
import random
import re
import subprocess
import sys
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors/template"))
from jinja_hf import environment  # noqa: E402
from make_vectors import VARIABLES  # noqa: E402

# What makes a value of a type: s string, i small integer, n number, b bool, k list of integers, w of strings,
# u of users (dicts), l any list, d dict, a anything. <x> stands for a value of type x.
RULES = {
    "s": """'a' | '' | 'Hello' | 'x,y, z' | ' b  ' | '1' | '3.7' | 'ß' | 'a\\nb' | '<&>' | "it's" | s | u | e | multi | html | users[0].name | w[0] | <s>[<i>] | <s>[<i>:] | <s>[:<i>] | <s>[::-1]
        <s>[<i>:<i>:2] | <s> ~ <a> | <a> ~ <a> | <s> + <s> | <s> * 2 | <s>|upper | <s>|lower | <s>|title | <s>|capitalize | <s>|trim | <s>|trim('ab ') | <s>|replace('l', 'LL') | <s>|replace(<s>, <s>)
        <s>|replace('a', 'b', <i>) | <s>|center(<i>) | <s>|center(12) | <s>|indent | <s>|indent(2, true) | <s>|indent('> ', blank=true) | <s>|truncate(7) | <s>|truncate(9, true, '..') | <s>|truncate(5, leeway=0)
        <s>|wordwrap(6) | <s>|wordwrap(4, false) | <s>|wordwrap(5, wrapstring='|') | <s>|e | <s>|escape | <s>|safe | <s>|forceescape | <s>|striptags | <s>|urlencode | <d>|urlencode | <a>|string
        <a>|tojson | <a>|tojson(indent=2) | <d>|tojson(sort_keys=true) | <a>|tojson(ensure_ascii=true) | <a>|tojson(separators=(',', ':')) | <a>|pprint | <w>|join | <w>|join(', ') | <l>|join('-') | <u>|join('/', attribute='name')
        <d>|xmlattr | <n>|filesizeformat | <n>|filesizeformat(true) | <s>|format(<a>) | '%s|%r'|format(<a>, <a>) | '%s' % <n> | '%d' % <n> | '%5.1f' % <n> | '%-7s|' % <s> | '%x' % <i> | '%06.2f' % <n> | '%e' % <n> | '%g' % <n> | '%(name)s' % users[0]
        '{} {}'.format(<a>, <a>) | '{:>7}|'.format(<s>) | '{:.2f}'.format(<n>) | '{:,}'.format(<n>) | '{0!r:>9}'.format(<a>) | '{a[b]}'.format(a=d) | '{:^9}'.format(<n>) | '{:+}'.format(<n>) | '{:08.3f}'.format(<n>) | '{:g}'.format(<n>) | '{:e}'.format(<n>) | '{:%}'.format(<n>)
        <s>.upper() | <s>.lower() | <s>.strip() | <s>.strip(<s>) | <s>.lstrip() | <s>.rstrip() | <s>.lstrip(<s>) | <s>.rstrip('ld \\n') | <s>.title() | <s>.capitalize() | <s>.swapcase() | <s>.casefold() | <s>.replace(<s>, <s>) | <s>.replace('l', <s>, 1) | <s>.center(9, '*') | <s>.ljust(8) | <s>.rjust(8, '.')
        <s>.zfill(<i>) | <s>.zfill(6) | <s>.join(<w>) | ', '.join(<w>) | <s>.removeprefix('H') | <s>.removesuffix(<s>) | <s>.expandtabs(4) | <s>.split(' ')[0] | <s>.split('</think>')[-1] | <s>|first | <s>|last | <s>|reverse | <w>|first | <w>|last | <w>|min | <w>|max | <w> if true else 'r'
        <d>.get('name', 'x') | <b> and <s> | <s> or <s> | <s> if <b> else <s> | <a>|default('dflt') | missing|default(<s>) | <s>|default('d', true) | (<a> is defined)|string | strftime_now('%Y %b %d %H:%M') | loop.cycle('a', 'b') | cycler('p', 'q').next() | joiner(', ')() | namespace(x=<s>).x | <d>['name'] | <s>|map('upper')|join | <w>|map('trim')|join('+') | <n>|string | [<s>, <s>]|join(<s>) | <s>.__class__ | <s>.partition('l')[2] | <s>|lower|title""",
    "i": """0 | 1 | 2 | -1 | 3 | 7 | n | neg | z | -<i> | <i> + <i> | <i> - <i> | <i> * <i> | <i> // 2 | <i> % 3 | <i> // <i> | <i> % <i> | <i> ** 2 | <s>|length | <l>|length | <l>|count | <d>|length | <s>|wordcount | <n>|int | <s>|int | <s>|int(5) | '0x1f'|int(base=16) | <k>|sum | <k>|first | <k>|last | <k>|min | <k>|max | <i>|abs
        <s>.find(<s>) | <s>.rfind('l') | <s>.count(<s>) | <s>.index('l') | <l>.count(1) | <k>.index(1) | <s>.find('l', <i>) | <s>.count('l', <i>, <i>) | <k>[<i>] | <u>|length | <u>|sum(attribute='age') | users[0].age | <b> + <i> | <i>|round | <i> if <b> else <i> | loop.index | loop.index0 | loop.length | loop.revindex | loop.depth | range(<i>)|length | <d>.get('age', 3) | <a>|int | 9223372036854775807 | 12345678901234567890""",
    "n": """<i> | <i> | f | 1.5 | 0.1 | -2.25 | 1e3 | 1e-7 | <n> / 2 | <n> * <n> | <n> + <n> | <n> - <n> | <n> / <n> | <n> // <n> | <n> % <n> | <i> ** -1 | <n>|round | <n>|round(1) | <n>|round(2, 'floor') | <n>|round(0, 'ceil') | <n>|abs | <n>|float | <s>|float | <s>|float(1.5) | -<n> | +<n> | <k>|sum(start=0.5) | <n>|round(-1) | <n> ** 2""",
    "b": """true | false | t | fa | <a> == <a> | <a> != <a> | <n> < <n> | <n> <= <n> | <s> > <s> | <s> >= <s> | <s> in <s> | <a> in <l> | <s> not in <d> | <s> in <w> | not <a> | <b> and <b> | <b> or <b> | <n> < <n> < <n> | <i> == <i> != <i> | <a> is defined | <a> is undefined | missing is defined | <a> is none | <a> is not none | <a> is string | <a> is number | <a> is integer | <a> is float | <a> is boolean | <a> is mapping | <a> is sequence
        <a> is iterable | <a> is callable | <a> is true | <a> is false | <i> is odd | <i> is even | <i> is divisibleby 3 | <i> is divisibleby(<i>) | <s> is upper | <s> is lower | <a> is eq(<a>) | <n> is lt 3 | <n> is ge(<n>) | <a> is ne <i> | <a> is in <l> | <a> is in([1, 'a']) | <s> is escaped | <a> is sameas none | <a> is sameas true | 'upper' is filter | 'odd' is test | <s> is filter | <n> is gt 1 | <a> is equalto 1 | <s>.startswith('H') | <s>.endswith(<s>) | <s>.startswith(('a', 'H')) | <s>.startswith(<s>, <i>) | <s>.isdigit() | <s>.isalpha() | <s>.isalnum() | <s>.isspace() | <s>.isupper() | <s>.islower() | <s>.istitle() | <s>.isnumeric() | <s>.isdecimal() | <s>.isascii() | <s>.isidentifier() | <s>.isprintable() | loop.first | loop.last | <l> == <l> | <k> < <k> | loop.changed(<a>) | <a> is not string and <a> is not mapping""",
    "k": """l | [3, 1, 2] | el | [<i>, <i>] | [<i>] | range(4)|list | range(<i>)|list | range(1, 9, 3)|list | range(5, 0, -2)|list | <k> + <k> | <k> * 2 | <k>|sort | <k>|sort(reverse=true) | <k>|unique|list | <k>|reverse|list | <k>[<i>:] | <k>[:<i>] | <k>[::-1] | <k>[::2] | <k>|select('odd')|list | <k>|reject('divisibleby', 2)|list | <k>|select('gt', <i>)|list | <w>|map('length')|list | <w>|map('int')|list | <u>|map(attribute='age')|list | <k>|map('abs')|list | <k>|select|list | <k>|list | <k>|batch(2)|first | <k>|map('round', 1)|list | (1, 2, <i>) | range(3) | range(3)[1:] | <k>|select('in', <k>)|list | <k>|slice(2)|first""",
    "w": """w | ['b', 'A', 'c'] | [<s>, <s>] | [<s>] | [] | <s>.split() | <s>.split(',') | <s>.split(<s>) | <s>.split('l', 1) | <s>.rsplit(' ', 1) | <s>.rsplit() | <s>.split(none, 1) | <s>.splitlines() | <s>.splitlines(true) | <s>.partition('l') | <s>.rpartition(' ') | <s>|list | <w>|sort | <w>|sort(case_sensitive=true) | <w>|sort(reverse=true) | <w>|unique|list | <w>|unique(true)|list | <w>|map('upper')|list | <w>|map('replace', 'l', 'q')|list | <w>|map('trim')|list | <u>|map(attribute='name')|list | <u>|map(attribute='zz', default='q')|list | <d>|list | <d>.keys()|list | <w> + <w> | <w>[<i>:] | <w>[::-1] | <w>|reverse|list | <w>|select('ne', 'a')|list | <w>|reject('in', ['b', ''])|list | <k>|map('string')|list | <l>|map('string')|list | <w>|select('upper')|list | ('a', <s>) | <w>|map('default', 'x')|list | <w>|map('first')|list | <w>|map('title')|list | <w>|select('string')|list | <d>|map('upper')|list""",
    "u": """users | users[:2] | users|list | <u>|sort(attribute='age') | <u>|sort(attribute='age,name') | <u>|sort(attribute='name', reverse=true) | <u>|selectattr('tags')|list | <u>|selectattr('age', 'gt', 26)|list | <u>|rejectattr('age', 'equalto', 30)|list | <u>|rejectattr('zz', 'defined')|list | <u>|unique(attribute='age')|list | <u>|reverse|list | <u> + [{'name': <s>, 'age': <i>}] | [{'name': <s>, 'age': <i>, 'tags': <w>}] | <u>|selectattr('name', 'in', <w>)|list | (<u>|groupby('age'))[0].list | (<u>|groupby('age')|first)[1] | <u>|selectattr('name', 'string')|list | [users|min(attribute='age')] | [users|max(attribute='name')]""",
    "l": """<k> | <w> | <u> | [<a>, <a>] | [<a>] | (<a>,) | () | (<a>, <a>) | <d>.items()|list | <d>.values()|list | <d>|items|list | <d>|dictsort | <d>|dictsort(true, 'key', true) | {'b': 2, 'A': <i>}|dictsort(by='value') | <u>|groupby('age') | <u>|groupby('age')|map(attribute='grouper')|list | <u>|groupby('name', case_sensitive=true) | <u>|groupby('zz', default=0) | <l>|batch(2)|list | <l>|batch(3, 'x')|list | <l>|slice(2)|list | <l>|slice(3, 0)|list | <l> + <l> | <l>[<i>:<i>] | <l>|reverse|list | <l>|map('tojson')|list | <l>|map('default', 'q', true)|list | <u>|map(attribute='tags')|list | <u>|map(attribute='tags.0')|list | <l>|select('string')|list | <l>|reject('none')|list | <l>|select('mapping')|list | [<w>, <w>]|map('join', '+')|list | [<k>, <k>]|map('sum')|list | [<k>, <k>]|sum(start=[]) | [<k>, <k>]|sort | <l>|unique|list | deep.a.b.c | d.a | <d>.items() | <d>.keys() | <l>|first | <l>|last | <l>|map('upper')|list | <l>|map('attr', 'x')|list | <l>|list | <l>|select('defined')|list | [<l>, <l>]|map('length')|list | [<d>, <d>]|map(attribute='a')|list | <l>.copy() | <l>|select('eq', <a>)|list""",
    "d": """d | ed | deep | deep.a | users[0] | users[1] | {} | {'a': <a>} | {'b': <a>, 'a': <a>} | {<s>: <i>} | {<i>: <a>, 'name': <s>} | dict(a=<a>, name=<s>) | dict(<d>, z=<i>) | dict(<u>|groupby('age')) | <u>|first | <d>.copy() | <d>|dictsort|first | {'a': <d>} | <d>.a | dict([('x', <a>)]) | <u>|last | {'name': <s>, 'age': <i>} | <u>[<i>] | <u>[0] | <d> if <b> else <d>""",
    "a": """<s> | <s> | <i> | <n> | <b> | <k> | <w> | <l> | <d> | <u> | no | none | missing | <d>.<name> | <d>[<s>] | <l>[<i>] | <d>|attr('a') | <l>|first | <l>|last | <s>|first | <a> if <b> else <a> | <a> if <b> | <a> or <a> | <a> and <a> | <d>.get(<s>) | <d>.get(<s>, <a>) | loop.nextitem | loop.previtem | <a>|default(<a>) | <a>|default(<a>, true) | namespace(v=<a>).v | <u>[0].<name> | v | q | k | <d>|items|first | cycler(<a>, <a>).next() | <a>.<name> | <a>|d(<a>) | <l> if true else <a> | m.name | varargs | kwargs | caller""",
    "name": "a | b | name | age | tags | items | keys | x | zz | values | get | append | update | pop | real | upper",
}
RULES = {kind: [rule.strip() for rule in re.split(r" \| |\n", text) if rule.strip()] for kind, text in RULES.items()}
LEAVES = {kind: [rule for rule in rules if "<" not in rule.replace("'<&>'", "")] for kind, rules in RULES.items()}
KINDS = ["s", "i", "n", "b", "k", "w", "u", "l", "d", "a"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def expr(self, kind, depth):
        r = self.r
        if kind != "name" and r.random() < 0.015:
            kind = r.choice(KINDS)  # of a wrong type: errors must be errors
        rule = r.choice(RULES[kind] if depth > 0 and r.random() < 0.85 or not LEAVES[kind] else LEAVES[kind])

        def part(match):
            text = self.expr(match.group(1), depth - 1)
            return text if match.group(1) == "name" or re.fullmatch(r"\w+|'[^']*'", text) else f"({text})"

        return re.sub(r"<(s|i|n|b|k|w|u|l|d|a|name)>", part, rule)

    def any(self, depth):
        return self.expr(self.r.choice(KINDS), depth)

    def blank(self):
        return self.r.choice(["", "", " ", "\n", "  ", "\n  ", "x", " y\n", "\t", "\r\n", "é"])

    def tag(self, body):
        r = self.r
        return "{%" + r.choice(["", "", "-", "+"]) + f" {body} " + r.choice(["", "", "-", "+"]) + "%}"

    def output(self):
        r = self.r
        return "{{" + r.choice(["", "", "-"]) + f" {self.any(r.randint(1, 4))} " + r.choice(["", "", "-"]) + "}}"

    def loop(self, body):
        r = self.r
        head = r.choice([f"for v in {self.expr(r.choice('kwuls'), 2)}", f"for v in {self.expr(r.choice('kwl'), 2)}", f"for k, v in ({self.expr('d', 2)}).items()",
                         f"for k, v in ({self.expr('d', 1)})|dictsort", f"for k, v in users|groupby('age')", f"for q in range({self.r.randint(0, 4)})"])
        test = r.choice(["", "", "", f" if {self.expr('b', 2)}", " if v", " if loop is undefined"])
        inner = r.choice(["", "", "", self.tag("if loop.index > 2") + self.tag(r.choice(["break", "continue"])) + self.tag("endif"), "{{ loop.index }}{{ loop.last }}",
                          "{{ loop.previtem }}{{ loop.nextitem }}", "{{ loop.length }}{{ loop.revindex0 }}"])
        other = self.tag("else") + body() if r.random() < 0.2 else ""
        return self.tag(head + test) + inner + body() + other + self.tag("endfor")

    def macro(self, body):
        r = self.r
        head = r.choice(["m(v, q=2)", "m(v='x', q=v)", "m()", f"m(v, q={self.any(1)})"])
        call = r.choice(["{{ m(1) }}{{ m(q=n) }}", f"{{{{ m({self.any(1)}) }}}}", "{{ m(1, 2) }}", "{{ m(1, z=3) }}", self.tag("call m(1)") + body() + self.tag("endcall"),
                         self.tag("call(v) m(1)") + "{{ v }}" + self.tag("endcall"), "{{ m() }}", "{{ m(*[1, 2]) }}{{ m(**{'v': 4}) }}"])
        return self.tag("macro " + head) + body() + r.choice(["", "", "{{ caller() }}", "{{ caller(5) if caller is defined }}", "{{ varargs }}{{ kwargs }}"]) + self.tag("endmacro") + call

    def stmt(self, depth):
        r = self.r
        body = lambda: self.body(depth - 1)  # noqa: E731
        if depth <= 0:
            return self.output()
        return r.choice([
            self.output, self.output, lambda: self.loop(body), lambda: self.loop(body), lambda: self.macro(body),
            lambda: self.tag(f"if {self.any(2)}") + body() + r.choice(["", self.tag(f"elif {self.expr('b', 2)}") + body()]) + r.choice(["", self.tag("else") + body()]) + self.tag("endif"),
            lambda: self.tag(f"set {r.choice(['v', 'n', 'q', 's'])} = {self.any(3)}"), lambda: self.tag(f"set v, q = {self.any(1)}, {self.any(1)}"),
            lambda: self.tag("set ns = namespace(v=0)") + self.tag("for k in l") + self.tag(f"set ns.v = {r.choice(['ns.v + k', 'k', self.any(2)])}") + self.tag("endfor") + "{{ ns.v }}",
            lambda: self.tag("set q" + r.choice(["", " | upper", " | trim | length"])) + body() + self.tag("endset") + "{{ q }}",
            lambda: self.tag("filter " + r.choice(["upper", "trim", "replace('a', 'b')|title", "indent(2)"])) + body() + self.tag("endfilter"),
            lambda: self.tag(f"with v = {self.any(2)}, q = {self.any(1)}") + body() + self.tag("endwith"),
            lambda: "{#" + r.choice(["", "-"]) + " c {{ " + r.choice(["", "-"]) + "#}", lambda: self.tag("raw") + "{{ x }}{% y" + self.tag("endraw"),
            lambda: self.tag("generation") + body() + self.tag("endgeneration"), lambda: self.tag("block b" + str(r.randint(0, 10 ** 9))) + body() + self.tag("endblock"),
            lambda: self.tag("for v in [[1, [2, [3]]], 4] recursive") + "{{ loop.depth }}" + self.tag("if v is iterable") + "{{ loop(v) }}" + self.tag("else") + "{{ v }}" + self.tag("endif") + self.tag("endfor"),
        ])()

    def body(self, depth):
        return "".join(self.blank() + self.stmt(depth) for _ in range(self.r.randint(1, 2))) + self.blank()


class Batch:
    """The program that renders for us, kept running."""
    def __init__(self, path):
        self.path = path
        self.start()
        self.EINVAL = self.render("{{ raise_exception('') }}", {}, datetime.datetime(2026, 1, 1))[0]

    def start(self):
        self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, source, variables, now):
        """(status, text or message); a status of None: it died"""
        seconds = int(now.replace(tzinfo=datetime.timezone.utc).timestamp())
        case = json.dumps({"source": source, "variables": variables, "now": seconds})
        try:
            self.process.stdin.write(case.encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            return answer["status"], answer["text"]
        except (OSError, ValueError):
            self.process.kill()
            code = self.process.wait()
            self.start()
            return None, f"exit {code}"


NOW = datetime.datetime(2026, 3, 14, 15, 9, 26)
ENVIRONMENT = environment(NOW)


def oracle(source, variables):
    """(text, None) or (None, kind of the error)"""
    try:
        return ENVIRONMENT.from_string(source).render(**variables), None
    except Exception as e:  # any failure is a result
        return None, f"{type(e).__name__}: {e}"


def passed_over(want, status, got):
    """What is not comparable: addresses, and bounds of ours (documented in docs/internals/template.md)."""
    if want is not None and re.search(r" object at 0x|<built-in|<bound|<function|<class|of dict object|&lt;(built|bound|function|class)|at 0x[0-9a-f]{6}", want, re.I):
        return True
    return status != 0 and re.search(r"64 bits|too much|too deep|too many|complex|can't be sliced|a slice bound is not", got) is not None


def main():
    warnings.simplefilter("ignore")
    args = argparse.ArgumentParser()
    args.add_argument("--batch", required=True)
    args.add_argument("--seconds", type=float, default=60)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--show", type=int, default=40, help="differences to print")
    args = args.parse_args()
    end = time.time() + args.seconds
    variables = {"tools": None, "documents": None, "messages": [], "add_generation_prompt": False, "bos_token": "", "eos_token": "", **VARIABLES}
    batch = Batch(args.batch)
    n = differences = texts = passed = 0
    while time.time() < end:
        n += 1
        maker = Maker(args.seed * 1000003 + n)
        source = maker.body(2) if n % 4 == 0 else "{{ " + maker.any(4) + " }}"
        want, error = oracle(source, variables)
        status, got = batch.render(source, variables, NOW)
        texts += want is not None
        if want is not None and status == 0 and got == want or want is None and status not in (0, None):
            continue
        if status is not None and passed_over(want, status, got):
            passed += 1
            continue
        differences += 1
        if differences <= args.show:
            print(f"--- {n}: {source!r}\n  want {want if want is not None else error!r}\n  got  {status} {got!r}", flush=True)
    print(f"{n} templates, {texts} rendered, {passed} passed over, {differences} differences", file=sys.stderr)
    return differences > 0


if __name__ == "__main__":
    sys.exit(main())
