"""Tasks on a word of the question: repeat it, write it in capitals, spell it, say hello to a name.

Held out are phrasings, and words in a known phrasing by hash; capitals and spelling use words that training
shows in another phrasing, since a small model can't know the letters of a word it never saw spelled.
"""
from . import names, split, tables

COPY = [
    "repeat after me: %w", "repeat: %w", "say %w", "please say %w", "say: %w", "write %w", "echo %w", "just say %w", "repeat the word %w",
    "repeat %w", "answer with %w", "say the word %w", "write the word %w", "copy: %w", "copy this: %w", "can you say %w", "print %w",
    "answer only with %w", "reply with %w", "reply with the word %w", "say only %w", "respond with %w", "repeat this: %w", "type %w",
    "output %w", "can you repeat %w", 'say "%w"', 'repeat "%w"', "return the word %w", "tell me the word %w",
    "!parrot this: %w", "!your answer must be %w", "!please echo the word %w",
]
UPPER = [
    "write %w in capitals", "%w in upper case", "write %w in upper case", "upper case of %w", "make %w upper case", "capitalise %w",
    "uppercase %w", "write %w in capital letters", "%w in capital letters", "turn %w into upper case", "convert %w to uppercase",
    "what is %w in upper case", "put %w in capitals", "!shout the word %w", "!change %w to capitals",
]
SPELL = ["spell %w", "spell the word %w", "how do you spell %w", "can you spell %w", "how is %w spelled", "what are the letters of %w",
         "please spell %w", "letters of %w", "!how does one spell %w"]
GREET = ["say hello to %w", "greet %w", "say hi to %w", "welcome %w", "say hello to my friend %w", "please greet %w",
         "greet my friend %w", "can you say hello to %w", "write a greeting for %w", "!give %w a greeting"]
NAME = ["my name is %w", "I am %w", "I'm %w", "hi, I am %w", "hello, my name is %w", "call me %w", "they call me %w",
        "hi, my name is %w", "hello, I'm %w", "!you can call me %w"]
KNOWN = names.THINGS[:100]


class Words:
    """One task; `of` draws the word, `answer` makes the answer."""
    kind = "copy"

    def __init__(self, name, weight, forms, of, answer):
        self.name, self.weight, self.forms, self.of, self.answer = name, weight, forms, of, answer

    def accept(self, answer):
        return {"exact" if self.name in ("upper", "spell") else "same": answer}

    def form_held(self, form):
        return form.startswith("!") or split.held(self.name, form, 0.12)

    def held(self, form, word):
        return self.form_held(form) or split.held(f"word {self.name}", word.lower(), 0.08)

    def turn(self, form, word):
        answer = self.answer(word)
        return tables.Turn(self.kind, self.name, form.lstrip("!").replace("%w", word), answer, self.accept(answer), True)

    def train(self, rng):
        while True:
            form, word = rng.choice(self.forms), self.of(rng)
            if not self.held(form, word):
                return self.turn(form, word)

    def heldout(self, rng, n):
        turns = []
        while len(turns) < n:
            form, word = rng.choice(self.forms), self.of(rng)
            if self.held(form, word) and (len(turns) % 2 == 0) == (not self.form_held(form)):
                turns.append(self.turn(form, word))
        return turns


class KnownWords(Words):
    """The word is known; the pair of word and phrasing is held out."""

    def held(self, form, word):
        return self.form_held(form) or split.held(f"{self.name} {form}", word, 0.12)


def copied(rng):
    return names.thing(rng) if rng.random() < 0.75 else names.thing(rng) + " " + names.thing(rng)


TASKS = [
    Words("copy", 4, COPY, copied, lambda w: w),
    KnownWords("upper", 2, UPPER, lambda rng: rng.choice(KNOWN), lambda w: w.upper()),
    KnownWords("spell", 1.2, SPELL, lambda rng: rng.choice(KNOWN), lambda w: "-".join(w.upper())),
    Words("greet", 1, GREET, names.first_name, lambda w: f"Hello, {w}!"),
    Words("name", 1.5, NAME, names.first_name, lambda w: f"Nice to meet you, {w}!"),
]
