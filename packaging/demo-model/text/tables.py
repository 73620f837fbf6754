"""Reads the tables of intents in data/*.txt. The format is stated at the top of data/polder.txt."""
import collections
import pathlib

from . import phrase, split

DATA = pathlib.Path(__file__).resolve().parent / "data"

# kind, intent: names; user, answer: text; accept: rule of judge.py; fixed: no lower-casing, no typos
Turn = collections.namedtuple("Turn", "kind intent user answer accept fixed", defaults=(None, False))

# Shared phrasings. "!" in front: the whole form is held out.
FORMS = {
    "what": [
        "what is %s", "what is %s exactly", "what does %s mean", "explain %s", "can you explain %s", "define %s",
        "describe %s", "tell me about %s", "tell me what %s is", "what do you mean by %s", "what do you know about %s",
        "what is meant by %s", "%s", "%s?", "explain %s to me", "do you know what %s is", "I don't understand %s",
        "in simple words, what is %s", "please explain %s", "can you tell me what %s is", "what about %s",
        "how would you explain %s", "what is the meaning of %s", "tell me more about %s", "say something about %s",
        "what exactly is %s", "help me understand %s", "I want to learn about %s", "could you describe %s",
        "explain what %s is", "what is %s in Polder", "what does Polder mean by %s", "%s meaning",
        "!give me a definition of %s", "!what would %s be", "!I have never heard of %s",
    ],
    "how": [
        "how do I %s", "how can I %s", "how to %s", "how do you %s", "show me how to %s", "tell me how to %s",
        "I want to %s", "I need to %s", "I would like to %s", "what do I do to %s", "explain how to %s", "how does one %s",
        "can you tell me how to %s", "help me %s", "how could I %s", "how should I %s", "is there a way to %s",
        "what is the command to %s", "which command do I use to %s", "what must I type to %s", "can I %s", "how can we %s",
        "I'd like to %s, how", "please show me how to %s", "what is the best way to %s", "where do I %s", "%s",
        "!what are the steps to %s", "!how would I go about it if I want to %s", "!teach me to %s",
    ],
    "does": [
        "does Polder %s", "can Polder %s", "can it %s", "does it %s", "is Polder able to %s", "will Polder %s",
        "is it true that Polder can %s", "I wonder if Polder can %s", "could Polder %s", "do you %s", "can you %s",
        "tell me if Polder can %s", "is it possible for Polder to %s", "can the server %s", "does the server %s",
        "!am I right that Polder can %s", "!would Polder %s",
    ],
}


class Intent:
    """One thing to be asked for, with one or a few answers; its phrasings are split into two sides."""

    def __init__(self, kind, name, weight):
        self.kind, self.name, self.weight = kind, name, weight
        self.answers, self.accept = [], None
        self.hand, self.made = [], []  # templates: written by hand, by a shared form
        self.train, self.held_hand, self.held_made = [], [], []  # parsed templates

    def add(self, line):
        if line.startswith("@"):
            form, _, terms = line[1:].partition(" ")
            if form not in FORMS:
                raise ValueError(f"{self.name}: unknown form @{form}")
            self.made += [(text.replace("%s", term.strip()), text) for term in terms.split("|")
                          for text in FORMS[form]]
        else:
            self.hand.append(line)

    def close(self):
        """Splits the phrasings: of the hand-written the fifth with the smallest shares, of the others by share."""
        if not self.answers or self.accept is None or not (self.hand or self.made):
            raise ValueError(f"{self.kind}/{self.name}: needs an answer, a rule and phrasings")
        order = sorted(self.hand, key=lambda t: split.share(f"{self.name}\n{t}"))
        n_held = round(len(order) * split.HELD_SHARE) if len(order) >= 3 else 0
        held_texts = set()
        for template in order[:n_held]:
            self.held_hand.append(phrase.parse(template))
            held_texts |= texts_of(template)
        for template, form in self.made:
            if form.startswith("!") or split.held(self.name, template):
                self.held_made.append(phrase.parse(template.lstrip("!")))
                held_texts |= texts_of(template.lstrip("!"))
        self.held_texts = held_texts
        for template in order[n_held:] + [t for t, form in self.made if not form.startswith("!")]:
            if not texts_of(template) <= held_texts and not (
                    split.held(self.name, template) and any(template == t for t, _ in self.made)):
                self.train.append(phrase.parse(template))
        if not self.train:
            raise ValueError(f"{self.kind}/{self.name}: nothing left to train on")
        self.n_hand_train = len(order) - n_held

    def draw(self, rng):
        """A core phrasing and its answer for training; hand-written ones get half of the draws."""
        if self.n_hand_train and len(self.train) > self.n_hand_train and rng.random() < 0.5:
            template = self.train[rng.randrange(min(self.n_hand_train, len(self.train)))]
        else:
            template = rng.choice(self.train)
        return self.turn(phrase.tidy(phrase.draw(template, rng)), rng)

    def turn(self, user, rng):
        return Turn(self.kind, self.name, user, rng.choice(self.answers), self.accept)


def texts_of(template):
    return {split.normalise(t) for t in phrase.expansions(phrase.parse(template))}


def rule(text):
    """'a / b ; c ; !d' -> {"all": [["a", "b"], "c"], "none": ["d"]}"""
    every, none = [], []
    for group in (g.strip() for g in text.split(";")):
        if group.startswith("!"):
            none += [w.strip() for w in group[1:].split(" / ")]
        else:
            words = [w.strip() for w in group.split(" / ")]
            every.append(words[0] if len(words) == 1 else words)
    accept = {"all": every}
    if none:
        accept["none"] = none
    return accept


def read(name, kind):
    """The intents of data/<name>.txt, in the file's order."""
    intents, seen = [], set()
    for number, line in enumerate((DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        try:
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                head, _, weight = line[1:].partition("]")
                if head in seen:
                    raise ValueError(f"intent {head} appears twice")
                seen.add(head)
                intents.append(Intent(kind, head, float(weight or 1)))
            elif line.startswith("= "):
                intents[-1].answers.append(line[2:].replace("\\n", "\n"))
            elif line.startswith("? "):
                intents[-1].accept = rule(line[2:])
            else:
                intents[-1].add(line)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{name}.txt:{number}: {error}") from error
    for intent in intents:
        intent.close()
    return intents
