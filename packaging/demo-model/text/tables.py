"""Reads the tables of intents in data/*.txt. The format is stated at the top of data/polder.txt."""
import collections
import pathlib

from . import phrase, split

DATA = pathlib.Path(__file__).resolve().parent / "data"

LINE_SHARE = 0.1
WORDS_MIN = 3  # of a phrasing that is held out

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
    "error": [
        "I get %s", "why do I get %s", "what does %s mean", "how do I fix %s", "it says %s", "the server says %s",
        "the server answers %s", "curl says %s", "my client says %s", "what should I do about %s", "what can I do about %s",
        "%s", "%s error", "I see %s", "got %s", "help, %s", "what causes %s", "when do I get %s", "explain %s", "what is %s",
        "my request fails with %s", "what is the reason for %s", "I keep getting %s", "there is %s", "the API returns %s",
        "why does the server say %s", "the answer is %s", "why %s", "how can I avoid %s", "what to do about %s",
        "!all my requests end with %s", "!how do I get rid of %s",
    ],
    "list": [
        "list %s", "list the %s", "list all %s", "show %s", "show me the %s", "show all %s", "which %s are there",
        "what %s are there", "which %s exist", "name the %s", "give me a list of %s", "tell me the %s", "overview of %s",
        "all %s", "what are the %s", "which %s does Polder have", "which %s can I use", "which %s do you know", "the %s",
        "I need a list of the %s", "how many %s are there", "what kinds of %s are there", "can you list the %s",
        "give me an overview of the %s", "print the %s", "what are all the %s", "!enumerate the %s", "!I want to see the %s",
    ],
    "where": [
        "where is %s", "where can I find %s", "where do I find %s", "how do I find %s", "tell me where %s is", "location of %s",
        "in which folder is %s", "show me %s", "where should I look for %s", "where does Polder keep %s", "path of %s",
        "I am looking for %s", "I can't find %s", "where would I find %s", "do you know where %s is", "where do you keep %s",
        "I want to see %s", "which directory has %s", "open %s", "can you show me %s",
        "!where did you put %s", "!whereabouts is %s",
    ],
    "fact": [  # %s is an indirect question: "how many legs a spider has"
        "tell me %s", "do you know %s", "can you tell me %s", "I want to know %s", "please tell me %s", "say %s",
        "could you tell me %s", "let me know %s", "I forgot %s", "I'd like to know %s", "can you say %s", "please say %s",
        "you must know %s", "I need to know %s", "maybe you know %s",
        "!would you know %s", "!remind me %s",
    ],
    "give": [  # %s is a thing to be told
        "tell me %s", "give me %s", "I want %s", "%s please", "can you tell me %s", "I would like %s", "do you have %s",
        "let me hear %s", "please tell me %s", "do you know %s", "could you tell me %s", "I want to hear %s", "I need %s",
        "please give me %s", "can I have %s", "I'd like to hear %s", "would you tell me %s", "how about %s",
        "!may I hear %s", "!I could do with %s",
    ],
    "color": [
        "what color is %s", "what colour is %s", "which color has %s", "what is the color of %s", "what is the colour of %s",
        "the color of %s", "tell me the color of %s", "tell me the colour of %s", "what colour does %s have", "color of %s",
        "%s is what color", "%s has which colour", "name the color of %s", "which colour is %s", "do you know the colour of %s",
        "say the color of %s", "is %s {red|blue|green|yellow|white|black}", "what kind of colour is %s",
        "which color does %s have", "how does %s look", "!in what color is %s", "!give me the colour of %s",
    ],
    "many": [  # %s is "legs|a spider|spiders"
        "how many %1 does %2 have", "how many %1 do %3 have", "how many %1 has %2", "number of %1 of %2", "%2 has how many %1",
        "what is the number of %1 of %2", "how many %1 on %2", "how many %1 are there in %2", "count the %1 of %2",
        "tell me how many %1 %2 has", "do you know how many %1 %2 has", "how many %1 are in %2", "I forgot how many %1 %2 has",
        "can you tell me how many %1 %2 has", "the number of %1 of %2", "say how many %1 %2 has", "how many %1 in %2",
        "%3 have how many %1", "%1 of %2", "how many %1 do you count on %2", "!give the number of %1 of %2",
        "!what number of %1 does %2 have",
    ],
    "most": [  # %s is "largest|planet|in the solar system"
        "what is the %1 %2 %3", "what is the %1 %2", "which %2 is the %1", "which is the %1 %2", "name the %1 %2", "tell me the %1 %2",
        "the %1 %2", "the %1 %2 is", "what %2 is the %1", "%1 %2", "%1 %2 %3", "which is the %1 %2 %3", "do you know the %1 %2",
        "which %2 is %1", "the %1 %2 %3 is", "can you name the %1 %2", "what's the %1 %2 called", "tell me which %2 is the %1",
        "give me the %1 %2", "how is the %1 %2 called", "!which %2 {beats all others as|counts as} the %1",
        "!I'd like to know the %1 %2",
    ],
}


class Intent:
    """One thing to be asked for, with one or a few answers; its phrasings are split into two sides."""

    def __init__(self, kind, name, weight):
        self.kind, self.name, self.weight = kind, name, weight
        self.answers, self.rules = [], []
        self.hand, self.made = [], []  # templates: written by hand, by a shared form
        self.train, self.held_hand, self.held_made = [], [], []  # parsed templates

    def add(self, line):
        if line.startswith("@"):
            form, _, terms = line[1:].partition(" ")
            if form not in FORMS:
                raise ValueError(f"{self.name}: unknown form @{form}")
            if form in ("many", "most"):  # three parts
                parts = [t.strip() for t in terms.split("|")]
                made = [(text, text) for text in FORMS[form]]
                for n, part in enumerate(parts, 1):
                    made = [(text.replace(f"%{n}", part), form_text) for text, form_text in made]
                self.made += made
            else:
                self.made += [(text.replace("%s", term.strip()), text) for term in terms.split("|")
                              for text in FORMS[form]]
        else:
            self.hand.append(line)

    def close(self):
        """Splits the phrasings. Held out are a tenth of the hand-written lines as a whole (those with the smallest
        shares), and a fifth, by share, of the texts that the other lines and the shared forms can become."""
        if not self.answers or not self.rules or not (self.hand or self.made):
            raise ValueError(f"{self.kind}/{self.name}: needs an answer, a rule and phrasings")
        self.accept = self.rules[0] if len(self.rules) == 1 else {"any": self.rules}
        order = sorted(self.hand, key=lambda t: (is_word(t), split.share(f"{self.name}\n{t}")))
        n_held = max(1, round(len(order) * LINE_SHARE)) if len(order) >= 6 and not is_word(order[0]) else 0
        self.held_hand = [phrase.parse(t) for t in order[:n_held]]
        self.held_texts = {split.normalise(t) for p in self.held_hand for t in phrase.expansions(p)}
        kept = [(phrase.parse(t), False) for t in order[n_held:]]
        kept += [(phrase.parse(t.lstrip("!")), form.startswith("!")) for t, form in self.made]
        for parsed, whole in kept:
            texts = [phrase.tidy(t) for t in phrase.expansions(parsed)]
            chosen = [t for t in texts if whole or split.held(self.name, split.normalise(t))]
            chosen = [t for t in chosen if len(t.split()) >= WORDS_MIN]
            self.held_made += [[[t]] for t in chosen]
            self.held_texts |= {split.normalise(t) for t in chosen}
            if len(chosen) < len(texts):
                self.train.append(parsed)
        if not self.train:
            raise ValueError(f"{self.kind}/{self.name}: nothing left to train on")
        self.n_hand_train = sum(1 for p, _ in kept[:len(order) - n_held] if p in self.train)

    def draw(self, rng):
        """A core phrasing and its answer for training; hand-written ones get half of the draws."""
        if self.n_hand_train and len(self.train) > self.n_hand_train and rng.random() < 0.5:
            template = self.train[rng.randrange(min(self.n_hand_train, len(self.train)))]
        else:
            template = rng.choice(self.train)
        return self.turn(phrase.tidy(phrase.draw(template, rng)), rng)

    def turn(self, user, rng):
        return Turn(self.kind, self.name, user, rng.choice(self.answers), self.accept)


def is_word(template):
    """A phrasing of one or two words is a word to be known, no way of putting things."""
    return min(len(t.split()) for t in phrase.expansions(phrase.parse(template))) < WORDS_MIN


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


def read(names, kind):
    """The intents of data/<name>.txt for each name, in the files' order."""
    intents = []
    for name in names:
        for number, line in enumerate((DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines(), 1):
            try:
                take(line.strip(), intents, kind)
            except (ValueError, IndexError) as error:
                raise ValueError(f"{name}.txt:{number}: {error}") from error
    for intent in intents:
        intent.close()
    return intents


def take(line, intents, kind):
    """One line of a table."""
    if not line or line.startswith("#"):
        return
    if line.startswith("["):
        name, _, weight = line[1:].partition("]")
        if any(i.name == name for i in intents):
            raise ValueError(f"intent {name} appears twice")
        intents.append(Intent(kind, name, float(weight or 1)))
    elif line.startswith("= "):
        intents[-1].answers.append(line[2:].replace("\\n", "\n"))
    elif line.startswith(("? ", "?? ")):
        intents[-1].rules.append(rule(line.partition(" ")[2]))
    else:
        intents[-1].add(line)
