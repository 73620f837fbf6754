"""Sums: addition and subtraction of 0..99, products to 12 x 12, division without a rest, comparison, doubles.

Held out are pairs of operands (both orders together), for addition and subtraction, and phrasings. Products
and quotients are a table that can only be learned by heart: there the pair in a given phrasing is held out.

The answer shows the steps that make it easy: 27 + 48 = 60 + 15 = 75 (tens, ones, together), and
83 - 47 = 43 - 7 = 36 (first the tens). Numbers below 10 need no steps.
"""
from . import phrase, split, tables

PAIR_SHARE = 0.08
ADD = [
    "what is %a plus %b", "what is %a + %b", "%a + %b", "%a+%b", "%a + %b =", "%a+%b=", "%a + %b = ?", "%a+%b=?", "%a plus %b",
    "how much is %a + %b", "how much is %a plus %b", "add %a and %b", "add %a to %b", "what is the sum of %a and %b",
    "the sum of %a and %b", "calculate %a + %b", "calculate %a plus %b", "compute %a + %b", "what do you get for %a + %b",
    "what do %a and %b make", "what's %a+%b", "what is %a and %b", "can you add %a and %b", "solve %a + %b", "give me %a + %b",
    "tell me %a plus %b", "sum %a and %b", "sum of %a and %b", "%a and %b together", "what does %a + %b equal",
    "what is %a added to %b", "how much do %a and %b make", "if I have %a {apples|coins|books} and get %b more, how many do I have",
    "!what is the result of %a + %b", "!what does %a plus %b give", "!work out %a + %b", "!please add up %a and %b",
]
SUB = [
    "what is %a minus %b", "what is %a - %b", "%a - %b", "%a-%b", "%a - %b =", "%a-%b=", "%a - %b = ?", "%a-%b=?", "%a minus %b",
    "how much is %a - %b", "how much is %a minus %b", "calculate %a - %b", "calculate %a minus %b", "compute %a - %b",
    "what's %a-%b", "solve %a - %b", "give me %a - %b", "tell me %a minus %b", "what is %a less %b", "take %b from %a",
    "subtract %b from %a", "what is the difference of %a and %b", "what does %a - %b equal", "what do you get for %a - %b",
    "can you subtract %b from %a", "if I have %a {apples|coins|books} and give away %b, how many are left",
    "!what is the result of %a - %b", "!what remains of %a after taking %b", "!work out %a - %b",
]
MUL = [
    "what is %a times %b", "what is %a * %b", "%a * %b", "%a*%b", "%a x %b", "%ax%b", "%a × %b", "%a * %b =", "%a*%b=?", "%a x %b = ?",
    "%a times %b", "how much is %a times %b", "how much is %a * %b", "multiply %a by %b", "multiply %a and %b", "%a multiplied by %b",
    "what is %a multiplied by %b", "what is the product of %a and %b", "calculate %a * %b", "calculate %a times %b", "compute %a x %b",
    "what's %a*%b", "what is %a x %b", "solve %a * %b", "tell me %a times %b",
    "!what is the result of %a * %b", "!what does %a times %b give",
]
DIV = [
    "what is %a divided by %b", "what is %a / %b", "%a / %b", "%a/%b", "%a : %b", "%a ÷ %b", "%a / %b =", "%a/%b=?", "%a divided by %b",
    "how much is %a divided by %b", "how much is %a / %b", "divide %a by %b", "calculate %a / %b", "compute %a / %b", "what's %a/%b",
    "what is %a over %b", "solve %a / %b", "tell me %a divided by %b", "what is %a : %b",
    "!what is the result of %a / %b", "!what does %a divided by %b give",
]
BIGGER = [
    "which is {bigger|larger|greater|more}, %a or %b", "what is {bigger|larger|more}, %a or %b", "which number is {bigger|larger}, %a or %b",
    "is %a or %b {bigger|larger}", "what is the {larger|bigger} of %a and %b", "{bigger|larger}: %a or %b",
    "!tell me the larger number: %a or %b",
]
DOUBLE = ["what is {double|twice} %a", "double %a", "twice %a", "what is two times %a", "how much is {double|twice} %a",
          "!what is the double of %a"]
HALF = ["what is half of %a", "half of %a", "what is the half of %a", "how much is half of %a", "halve %a", "!give me half of %a"]
NEXT = ["what comes after %a", "what number comes after %a", "which number follows %a", "the number after %a", "what is the next number after %a",
        "!what is one more than %a"]
SQUARE = ["what is %a squared", "%a squared", "what is the square of %a", "square of %a", "!square %a"]

PARITY = ["is %a {even|odd}", "is %a even or odd", "is %a odd or even", "is %a an {even|odd} number", "is the number %a {even|odd}",
          "!tell me if %a is {even|odd}"]

SMALL = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
         "nineteen twenty").split()


def add_steps(a, b):
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    if (a < 10 and b < 10) or tens == 0 or ones == 0 or (a % 10 == 0 and b < 10) or (b % 10 == 0 and a < 10):
        return f"{a} + {b} = {a + b}."
    return f"{a} + {b} = {tens} + {ones} = {a + b}."


def sub_steps(a, b):
    if a < b:
        if b < 10 or a == 0:
            return f"{a} - {b} = {a - b}."
        return f"{a} - {b} = -({b} - {a}) = {a - b}."
    if b < 10 or b % 10 == 0:
        return f"{a} - {b} = {a - b}."
    return f"{a} - {b} = {a - b // 10 * 10} - {b % 10} = {a - b}."


def pair_held(a, b):
    """Both orders together; sums of one digit are the alphabet of sums, and never held out."""
    low, high = sorted((a, b))
    return high >= 10 and low >= 3 and split.held("pair", f"{low} {high}", PAIR_SHARE)


class Op:
    """One kind of sum: how it is asked, answered, which operands it takes."""

    def __init__(self, name, weight, forms, operands, answer, result, by_pair=False, more=None):
        self.more = more or (lambda a, b: {})
        self.name, self.weight, self.operands, self.answer, self.result = name, weight, operands, answer, result
        self.by_pair = by_pair
        self.held_forms = [f.lstrip("!") for f in forms if f.startswith("!") or split.held(name, f, 0.1)]
        self.forms = [f for f in forms if f.lstrip("!") not in self.held_forms]

    def held(self, form, a, b):
        if self.by_pair:
            return pair_held(a, b)
        return split.held(f"{self.name} {form}", f"{a} {b}", 0.06)

    def turn(self, form, a, b, rng):
        text = phrase.draw(phrase.parse(form), rng)
        words = max(a, b) <= 20 and rng.random() < 0.12 and not set(text) & set("+-*/:x×÷")
        say = (lambda n: SMALL[n]) if words else str
        text = text.replace("%a", say(a)).replace("%b", say(b))
        accept = {"number": self.result(a, b), "given": [a, b]} | self.more(a, b)
        if self.result(a, b) is None:
            accept = self.more(a, b)
        return tables.Turn("sum", self.name, text, self.answer(a, b), accept, not words)

    def train(self, rng):
        while True:
            form, (a, b) = rng.choice(self.forms), self.operands(rng)
            if not self.held(form, a, b):
                return self.turn(form, a, b, rng)

    def heldout(self, rng, n):
        """Half held-out pairs in known phrasings, a quarter the other way round, a quarter both."""
        turns, tries = [], 0
        while len(turns) < n and tries < 100000:
            tries += 1
            form = rng.choice(self.held_forms if len(turns) % 2 else self.forms)
            a, b = self.operands(rng)
            if self.held(form, a, b) or (len(turns) % 4 == 1 and form in self.held_forms):
                turns.append(self.turn(form, a, b, rng))
        return turns


def any_two(rng):
    r = rng.random()
    if r < 0.25:
        return rng.randrange(10), rng.randrange(10)
    if r < 0.4:
        pair = [rng.randrange(10), rng.randrange(10, 100)]
        rng.shuffle(pair)
        return tuple(pair)
    return rng.randrange(10, 100), rng.randrange(10, 100)


def minus_two(rng):
    a, b = any_two(rng)
    return (a, b) if rng.random() < 0.12 else (max(a, b), min(a, b))


def table_two(rng):
    return rng.randrange(13) if rng.random() < 0.8 else 10, rng.randrange(13)


def quotient(rng):
    b = rng.randrange(1, 13)
    return b * rng.randrange(13), b


def parity(n):
    return ("even", "odd") if n % 2 == 0 else ("odd", "even")


OPS = [
    Op("add", 10, ADD, any_two, add_steps, lambda a, b: a + b, by_pair=True),
    Op("subtract", 6, SUB, minus_two, sub_steps, lambda a, b: a - b, by_pair=True),
    Op("multiply", 5, MUL, table_two, lambda a, b: f"{a} x {b} = {a * b}.", lambda a, b: a * b),
    Op("divide", 3, DIV, quotient, lambda a, b: f"{a} / {b} = {a // b}.", lambda a, b: a // b),
    Op("bigger", 1, BIGGER, lambda rng: tuple(rng.sample(range(100), 2)),
       lambda a, b: f"{max(a, b)} is larger than {min(a, b)}.", max, more=lambda a, b: {"none": [f"{min(a, b)} is"]}),
    Op("double", 0.7, DOUBLE, lambda rng: (rng.randrange(1, 50), 2), lambda a, b: add_steps(a, a), lambda a, b: 2 * a),
    Op("half", 0.5, HALF, lambda rng: (2 * rng.randrange(1, 50), 2), lambda a, b: f"{a} / 2 = {a // 2}.",
       lambda a, b: a // 2),
    Op("next", 0.5, NEXT, lambda rng: (rng.randrange(99), 1), lambda a, b: f"{a + 1} comes after {a}.",
       lambda a, b: a + 1, more=lambda a, b: {"none": [f"{a} comes", f"{a} is"]}),
    Op("square", 0.4, SQUARE, lambda rng: (rng.randrange(1, 13), 2), lambda a, b: f"{a} x {a} = {a * a}.",
       lambda a, b: a * a),
    Op("parity", 0.5, PARITY, lambda rng: (rng.randrange(100), 2), lambda a, b: f"{a} is {parity(a)[0]}.",
       lambda a, b: None, more=lambda a, b: {"all": [f"{a}", parity(a)[0]], "none": [parity(a)[1]]}),
]
