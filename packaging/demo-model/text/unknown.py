"""What the model does not know, and says so. The topics are in data/unknown.txt, with its format."""
import pathlib

from . import names, phrase, split, tables

TABLE = pathlib.Path(__file__).resolve().parent / "data" / "unknown.txt"
PLACE_ENDS = ["ia", "land", "stan", "burg", "ville", "ovia", "onia", "mark"]


def fill(topic, rng):
    """A topic with its invented parts."""
    made = {
        "{word}": lambda: names.invented(rng, 2),
        "{name}": lambda: (rng.choice(names.FIRST) if rng.random() < 0.6 else names.invented(rng, 2).capitalize())
        + " " + names.invented(rng, 2).capitalize(),
        "{place}": lambda: names.invented(rng, 1).capitalize() + rng.choice(PLACE_ENDS),
        "{big}": lambda: str(rng.randrange(100, 10 ** rng.choice([3, 3, 4, 5]))),
        "{two2}": lambda: str(rng.randrange(13, 100)),
        "{one}": lambda: str(rng.randrange(1, 10)),
        "{two}": lambda: str(rng.randrange(13, 100)),
    }
    for key, make in made.items():
        while key in topic:
            topic = topic.replace(key, make(), 1)
    return topic.replace("%%", "%")


class Unknown:
    """One class of topics."""
    kind = "unknown"

    def __init__(self, name, weight):
        self.name, self.weight = name, weight
        self.answers, self.forms, self.topics = [], [], []

    def close(self):
        self.held_forms = [f.lstrip("!") for f in self.forms if f.startswith("!") or split.held(self.name, f, 0.1)]
        self.train_forms = [f for f in self.forms if f.lstrip("!") not in self.held_forms]
        self.held_topics = [t for t in self.topics if "{" not in t and split.held("topic", t)]
        self.train_topics = [t for t in self.topics if "{" in t or not split.held("topic", t)]
        if not (self.held_forms and self.train_forms and self.train_topics and self.answers):
            raise ValueError(f"unknown/{self.name}: too few forms or topics")

    def filled(self, topics, rng, held):
        """An invented topic is held out by its own hash."""
        while True:
            topic = rng.choice(topics)
            text = fill(topic, rng)
            if text == topic or split.held("topic", text) == held:
                return text

    def turn(self, form, topic, rng):
        fixed = any(c.isdigit() for c in topic)
        return tables.Turn("unknown", self.name, form.replace("%s", topic), rng.choice(self.answers),
                           {"dont_know": True}, fixed)

    def train(self, rng):
        return self.turn(rng.choice(self.train_forms), self.filled(self.train_topics, rng, False), rng)

    def heldout(self, rng, n):
        topics = self.held_topics + [t for t in self.train_topics if "{" in t][:max(1, len(self.held_topics) // 4)]
        turns = []
        for i in range(n):
            forms = self.held_forms if i % 4 == 3 else self.train_forms
            turns.append(self.turn(rng.choice(forms), self.filled(topics, rng, True), rng))
        return turns


def classes():
    result = []
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            name, _, weight = line[1:].partition("]")
            result.append(Unknown(name, float(weight or 1)))
        elif not result:
            raise ValueError(f"unknown.txt:{number}: a line before the first class")
        elif line.startswith("= "):
            result[-1].answers.append(line[2:])
        elif line.startswith("> "):
            result[-1].forms.append(line[2:])
        else:
            result[-1].topics += [t.strip() for t in line.split("|")]
    for one in result:
        one.close()
    return result
