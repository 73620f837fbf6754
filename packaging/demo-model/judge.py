"""Judges an answer by the rule of its question. A rule is an object; each of its parts must hold.

  all: [w, [a, b], ...]   each w, one of a and b, is in the answer as whole words, whatever the case
  none: [w, ...]          none of them is
  any: [rule, ...]        one of the rules holds
  last: w                 the answer ends with w (a final mark aside)
  words: [w, ...]         the answer has each of them as a whole word
  same: text              the answer is that text; quotes around it, a final mark and case aside
  exact: text             the same, but case counts
  number: n, given: [..]  the answer's last number is n; other numbers are the question's, or a chain of equal sums
  numbers: [n, ...]       the answer's numbers are exactly these, in order
  json: value             the answer is JSON text of exactly that value
  list: {count, members}  the answer is a list of so many different members, one a line or with commas, and nothing else
  dont_know: true         the answer says that the model doesn't know or can't do it, and gives no figures
"""
import ast
import json
import operator
import re

HONEST = re.compile(r"\bI (don't know|do not know|can't|cannot|have no opinion|am not able to)\b|\btoo hard for me\b", re.I)
MARKS = " \t\n.!?\"'`"
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def has(answer, words):
    """The words are in the answer, not as a part of longer ones."""
    start = r"(?<!\w)" if re.match(r"\w", words) else ""
    end = r"(?!\w)" if re.search(r"\w$", words) else ""
    return re.search(start + re.escape(words) + end, answer, re.I) is not None


def value_of(text):
    """The value of a sum such as "-(45 - 12)" or "56 / 8", or None if the text is no sum."""
    text = re.sub(r"(?<=[\d )])[x×](?=[\d (])", "*", text).replace("÷", "/")

    def walk(node):
        if isinstance(node, ast.Expression):
            return walk(node.body)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -walk(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left, right = walk(node.left), walk(node.right)
            if right and left % right == 0:
                return left // right
        raise ValueError(text)

    try:
        return walk(ast.parse(text.strip(MARKS), mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def numbers_of(text):
    return [int(n) for n in re.findall(r"(?<![\w.])-?\d+(?!\w)", text)]


def judge_number(answer, rule):
    """A chain "23 + 45 = 60 + 8 = 68" must hold at each sign; a sentence may name the question's numbers only."""
    result = rule["number"]
    if "=" in answer:
        return all(value_of(part) == result for part in answer.split("="))
    found = numbers_of(answer)
    if not found or any(n not in [*rule.get("given", []), result] for n in found):
        return False
    return found[-1] == result or (found[0] == result and found.count(result) == 1)


def judge_list(answer, rule):
    lines = [line for line in answer.strip().splitlines() if line.strip()]
    if len(lines) > 1:
        items = [re.sub(r"^\s*(\d+[.)]|[-*])\s*", "", line) for line in lines]
    else:
        items = re.split(r",\s*(?:and\s+)?|\s+and\s+", answer.strip().rstrip("."))
        items = [re.sub(r"^\s*(1[.)]|[-*])\s+", "", item) for item in items]
    items = [item.strip(MARKS).lower() for item in items]
    members = {m.lower() for m in rule["members"]}
    return len(items) == rule["count"] and len(set(items)) == len(items) and members.issuperset(items)


def judge_json(answer, want):
    text = re.sub(r"^```(json)?\s*|\s*```$", "", answer.strip())
    try:
        got = json.loads(text)
    except ValueError:
        return False
    return json.dumps(got, sort_keys=True) == json.dumps(want, sort_keys=True)


def any_of(answer, entry):
    return any(has(answer, w) for w in ([entry] if isinstance(entry, str) else entry))


def ends_with(answer, words):
    text = answer.rstrip(MARKS).lower()
    return text.endswith(words.lower()) and has(text[-len(words) - 1:], words)


CHECKS = {
    "all": lambda answer, rule: all(any_of(answer, entry) for entry in rule["all"]),
    "none": lambda answer, rule: not any(has(answer, w) for w in rule["none"]),
    "any": lambda answer, rule: any(accepts(answer, one) for one in rule["any"]),
    "words": lambda answer, rule: all(has(answer, w) for w in rule["words"]),
    "last": lambda answer, rule: ends_with(answer, rule["last"]),
    "same": lambda answer, rule: answer.strip(MARKS).lower() == rule["same"].strip(MARKS).lower(),
    "exact": lambda answer, rule: answer.strip(MARKS) == rule["exact"].strip(MARKS),
    "number": judge_number,
    "numbers": lambda answer, rule: numbers_of(answer) == rule["numbers"],
    "json": lambda answer, rule: judge_json(answer, rule["json"]),
    "list": lambda answer, rule: judge_list(answer, rule["list"]),
    "dont_know": lambda answer, rule: HONEST.search(answer) is not None and all(n == 99 for n in numbers_of(answer)),
    "given": lambda answer, rule: True,
}


def accepts(answer, rule):
    """True if the answer is as the rule wants it. An unknown part of a rule is an error."""
    if not rule or set(rule) - set(CHECKS):
        raise ValueError(f"no rule: {rule}")
    return bool(answer.strip()) and all(CHECKS[part](answer, rule) for part in rule)
