"""Short JSON answers: names and values of the question as an object or a list.

Held out are phrasings, and combinations of values by hash.
"""
import json

from . import lists, names, phrase, split, tables

FIELDS = {
    "name": lambda rng: names.first_name(rng),
    "age": lambda rng: rng.randrange(1, 100),
    "city": lambda rng: rng.choice(names.CITIES),
    "color": lambda rng: rng.choice(["red", "blue", "green", "yellow", "black", "white", "pink", "brown"]),
    "id": lambda rng: rng.randrange(1, 1000),
    "count": lambda rng: rng.randrange(1, 100),
    "price": lambda rng: rng.randrange(1, 100),
    "year": lambda rng: rng.randrange(1900, 2031),
    "title": lambda rng: names.thing(rng),
    "fruit": lambda rng: rng.choice(["apple", "banana", "orange", "pear", "grape", "cherry", "plum"]),
    "animal": lambda rng: rng.choice(["dog", "cat", "horse", "cow", "sheep", "pig", "lion"]),
    "model": lambda rng: names.invented(rng),
    "tier": lambda rng: rng.choice(["free", "team", "premium", "enterprise"]),
    "team": lambda rng: names.thing(rng),
    "email": lambda rng: names.first_name(rng).lower() + "@example.com",
    "ok": lambda rng: rng.choice([True, False]),
}
SETS = [["name", "age"]] * 6 + [
    ["name", "city"], ["name", "city"], ["city", "year"], ["id", "name"], ["title", "price"], ["name"], ["age"], ["city"], ["color"],
    ["fruit", "count"], ["animal", "color"], ["name", "email"], ["team", "tier"], ["model", "ok"], ["title", "year"], ["count"],
    ["name", "age", "city"], ["name", "age", "city"], ["id", "title", "price"], ["fruit", "color"], ["animal", "name"], ["ok"],
    ["name", "team"], ["name", "tier"], ["id", "ok"], ["name", "color"],
]
OBJECT_FORMS = [
    "give me a JSON object with %p", "write a JSON object with %p", "JSON with %p", "return JSON with %p", "make a JSON object with %p",
    "a JSON object with %p", "give me JSON with %p", "answer in JSON: %p", "as JSON: %p", "%p as JSON", "create a JSON object with %p",
    "output JSON with %p", "I need a JSON object with %p", "can you give me a JSON object with %p", "JSON: %p", "JSON object: %p",
    "write %p as JSON", "put %p into JSON", "return a JSON object with %p", "show me a JSON object with %p", "convert to JSON: %p",
    "return only JSON with %p", "give me %p as JSON", "please write JSON with %p", "turn this into JSON: %p", "reply with JSON: %p",
    "!produce a JSON object with %p", "!format as JSON: %p", "!respond in JSON with %p", "!I want JSON with %p",
]
LIST_FORMS = [
    "give me a JSON list of %l", "write a JSON list with %l", "JSON list of %l", "return a JSON array with %l", "a JSON array of %l",
    "JSON array with %l", "make a JSON list of %l", "give me %l as a JSON list", "%l as a JSON array", "as a JSON list: %l",
    "write %l as a JSON array", "can you give me a JSON array of %l", "put %l into a JSON list", "create a JSON array with %l",
    "!produce a JSON array of %l", "!turn %l into a JSON list",
]


def pair_text(pairs, rng):
    style = rng.randrange(6)
    quote = rng.random() < 0.1
    parts = []
    for key, value in pairs:
        value = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
        value = f'"{value}"' if quote and isinstance(value, str) else value
        parts.append([f"{key} {value}", f"{key} {value}", f"{key}: {value}", f"{key} = {value}", f"the {key} {value}",
                      f"{key} is {value}"][style])
    if style in (2, 3) or rng.random() < 0.1:
        return ", ".join(parts)
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


class Objects:
    """{"name": "Ada", "age": 36}"""
    kind, weight = "json", 6.0

    def pairs(self, rng):
        return [(key, FIELDS[key](rng)) for key in rng.choice(SETS)]

    def held(self, form, pairs):
        return form_held(form) or split.held("json", json.dumps(pairs), 0.1)

    def turn(self, form, pairs, rng):
        text = form.lstrip("!").replace("%p", pair_text(pairs, rng))
        return tables.Turn("json", "object", text, json.dumps(dict(pairs)), {"json": dict(pairs)}, True)

    def train(self, rng):
        while True:
            form, pairs = rng.choice(OBJECT_FORMS), self.pairs(rng)
            if not self.held(form, pairs):
                return self.turn(form, pairs, rng)

    def heldout(self, rng, n):
        turns = []
        while len(turns) < n:
            form, pairs = rng.choice(OBJECT_FORMS), self.pairs(rng)
            if self.held(form, pairs) and (len(turns) % 2 == 0) == (not form_held(form)):
                turns.append(self.turn(form, pairs, rng))
        return turns


def form_held(form):
    return form.startswith("!") or split.held("json form", form, 0.12)


class Arrays:
    """["red", "blue", "green"]: given values, or the first N of a category."""
    kind, weight = "json", 2.5

    def draw(self, rng):
        if rng.random() < 0.3:
            name, n = rng.choice(list(lists.CATEGORIES)), rng.choice([2, 3, 3, 4])
            _, trained, _ = lists.category(name)
            items = [int(i) if i.isdigit() else i for i in trained[:n]]
            return f"{lists.NUMBER_WORDS[n]} {name}", items
        if rng.random() < 0.35:
            items = [rng.randrange(100) for _ in range(rng.choice([2, 3, 3, 4]))]
        else:
            items = [names.thing(rng) for _ in range(rng.choice([2, 3, 3]))]
        words = [str(i) for i in items]
        text = ", ".join(words) if rng.random() < 0.5 else ", ".join(words[:-1]) + " and " + words[-1]
        return text, items

    def held(self, form, items):
        return form_held(form) or split.held("json", json.dumps(items), 0.1)

    def turn(self, form, text, items):
        return tables.Turn("json", "array", form.lstrip("!").replace("%l", text), json.dumps(items), {"json": items}, True)

    def train(self, rng):
        while True:
            form, (text, items) = rng.choice(LIST_FORMS), self.draw(rng)
            if not self.held(form, items):
                return self.turn(form, text, items)

    def heldout(self, rng, n):
        turns = []
        while len(turns) < n:
            form, (text, items) = rng.choice(LIST_FORMS), self.draw(rng)
            if self.held(form, items) and (len(turns) % 2 == 0) == (not form_held(form)):
                turns.append(self.turn(form, text, items))
        return turns
