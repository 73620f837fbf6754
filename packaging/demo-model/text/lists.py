"""Lists: the first N members of a known category, counting, the alphabet, days and months.

The model always lists a category in one order, so that a number and a category fix the answer. Held out are
phrasings and, in known phrasings, pairs of category and number.
"""
from . import phrase, split, tables

# plural: singular, members in the order of the answers; the judge also takes the further ones after "+"
CATEGORIES = {
    "fruits": "fruit: apple banana orange pear grape cherry plum + peach mango lemon lime kiwi strawberry pineapple melon",
    "vegetables": "vegetable: carrot potato onion cabbage pea bean spinach + tomato broccoli lettuce cucumber leek garlic",
    "colours": "colour: red blue green yellow black white orange + pink purple brown grey violet",
    "colors": "color: red blue green yellow black white orange + pink purple brown gray violet",
    "animals": "animal: dog cat horse cow sheep pig lion + tiger bear elephant mouse rabbit fox wolf bird fish",
    "birds": "bird: sparrow eagle owl robin duck swan crow + hawk pigeon parrot penguin goose hen",
    "planets": "planet: Mercury Venus Earth Mars Jupiter Saturn Uranus + Neptune",
    "countries": "country: France Germany Italy Spain Japan China Brazil + India Canada Mexico Egypt Greece Norway Sweden",
    "cities": "city: Paris London Rome Berlin Madrid Tokyo Vienna + Lisbon Oslo Amsterdam Moscow Athens",
    "drinks": "drink: water tea coffee milk juice beer wine + lemonade cocoa cola",
    "languages": "language: English French German Spanish Italian Dutch Chinese + Japanese Russian Polish Greek Arabic",
    "trees": "tree: oak pine birch maple elm willow beech + fir ash cedar",
    "flowers": "flower: rose tulip daisy lily violet sunflower iris + poppy orchid daffodil",
    "sports": "sport: football tennis swimming running basketball hockey golf + rugby cycling boxing",
    "numbers": "number: 1 2 3 4 5 6 7 + 8 9 10",
    "backends": "backend: CPU CUDA Vulkan HIP",
    "programming languages": "programming language: C Python JavaScript Java Rust Go Ruby + C++ Perl PHP TypeScript Lua",
    "continents": "continent: Africa Asia Europe Australia Antarctica + America",
    "metals": "metal: iron gold silver copper tin lead zinc + aluminium nickel",
    "musical instruments": "musical instrument: piano violin guitar flute drum trumpet harp + cello organ",
    "months": "month: January February March April May June July + August September October November December",
    "days": "day: Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "seasons": "season: spring summer autumn winter",
    "vowels": "vowel: a e i o u",
    "vehicles": "vehicle: car bus train bicycle truck plane ship + boat tram van",
    "fish": "fish: salmon trout tuna cod herring carp shark + eel perch pike",
}
FORMS = [
    "list %n %c", "name %n %c", "give me %n %c", "tell me %n %c", "list %n {different|common|known} %c", "write down %n %c",
    "can you list %n %c", "can you name %n %c", "give me a list of %n %c", "make a list of %n %c", "I need %n %c", "%n %c",
    "what are %n %c", "write a list of %n %c", "list of %n %c", "show me %n %c", "please list %n %c", "could you name %n %c",
    "give %n examples of %c", "I want a list of %n %c", "please name %n %c", "name me %n %c", "which %n %c do you know", "say %n %c",
    "name any %n %c", "list me %n %c", "write %n %c", "a list with %n %c", "think of %n %c",
    "!enumerate %n %c", "!mention %n %c", "!can you give me the names of %n %c", "!I would like a list of %n %c",
]
ONE_FORMS = [
    "name {a|one} %s", "tell me {a|one} %s", "give me {a|one} %s", "name me a %s", "what is a %s you know", "an example of a %s",
    "give me an example of a %s", "say a %s", "which %s do you know", "!mention one %s",
]
NUMBER_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}


def category(name):
    single, _, members = CATEGORIES[name].partition(": ")
    trained, _, more = members.partition(" + ")
    return single, trained.split(), more.split()


def numbered(items):
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))


def form_held(form):
    return form.startswith("!") or split.held("list", form, 0.12)


class Lists:
    """N of a category."""
    kind, weight = "list", 10.0

    def turn(self, form, name, n, rng):
        single, trained, more = category(name)
        if n == 1:
            text = phrase.draw(phrase.parse(form.lstrip("!")), rng).replace("%s", single)
            if single[0] in "aeiou":
                text = text.replace(f" a {single}", f" an {single}")
            answer = trained[0][:1].upper() + trained[0][1:] + "."
        else:
            text = phrase.draw(phrase.parse(form.lstrip("!")), rng)
            some = {3: ["some", "a few"], 5: ["many"]}.get(n, []) if "%n %c" in form and rng.random() < 0.15 else []
            number = rng.choice(some or [NUMBER_WORDS[n], NUMBER_WORDS[n], str(n)])
            text = text.replace("%n", number).replace("%c", name)
            answer = numbered(trained[:n])
        return tables.Turn("list", f"{name} {n}", text, answer, {"list": {"count": n, "members": trained + more}})

    def held(self, form, name, n):
        return form_held(form) or split.held("list pair", f"{name} {n}", 0.12)

    def any(self, rng):
        name = rng.choice(list(CATEGORIES))
        n = rng.choice([1, 2, 3, 3, 3, 4, 5, 5, 6, 7])
        n = min(n, len(category(name)[1]))
        return rng.choice(ONE_FORMS if n == 1 else FORMS), name, n

    def train(self, rng):
        while True:
            form, name, n = self.any(rng)
            if not self.held(form, name, n):
                return self.turn(form, name, n, rng)

    def heldout(self, rng, n):
        turns = []
        while len(turns) < n:
            form, name, count = self.any(rng)
            if self.held(form, name, count) and (len(turns) % 2 == 0) == (not form_held(form)):
                turns.append(self.turn(form, name, count, rng))
        return turns


class Counting:
    """Count to ten, from a to b."""
    kind, weight = "list", 1.5
    TO = ["count to %b", "count from 1 to %b", "can you count to %b", "count up to %b", "list the numbers from 1 to %b",
          "the numbers from 1 to %b", "numbers 1 to %b", "please count to %b", "write the numbers from 1 to %b",
          "count from one to %b", "!say the numbers up to %b"]
    FROM = ["count from %a to %b", "list the numbers from %a to %b", "the numbers from %a to %b", "numbers %a to %b",
            "can you count from %a to %b", "write the numbers from %a to %b", "!say the numbers from %a to %b"]

    def turn(self, form, a, b, rng):
        say = (lambda n: NUMBER_WORDS.get(n, {8: "eight", 9: "nine", 10: "ten"}.get(n, str(n)))) \
            if rng.random() < 0.3 else str
        text = form.lstrip("!").replace("%a", say(a)).replace("%b", say(b))
        answer = ", ".join(str(i) for i in range(a, b + 1)) + "."
        return tables.Turn("list", f"count {a} {b}", text, answer, {"numbers": list(range(a, b + 1))})

    def any(self, rng):
        if rng.random() < 0.6:
            return rng.choice(self.TO), 1, rng.choice([3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 10, 12, 15, 20])
        a = rng.randrange(1, 16)
        return rng.choice(self.FROM), a, a + rng.randrange(2, 7)

    def held(self, form, a, b):
        return form.startswith("!") or split.held(f"count {form}", f"{a} {b}", 0.12)

    def train(self, rng):
        while True:
            form, a, b = self.any(rng)
            if not self.held(form, a, b):
                return self.turn(form, a, b, rng)

    def heldout(self, rng, n):
        turns = []
        while len(turns) < n:
            form, a, b = self.any(rng)
            if self.held(form, a, b):
                turns.append(self.turn(form, a, b, rng))
        return turns
