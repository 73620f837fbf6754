"""Draws conversations: which source, decoration, system message, earlier turns; and the held-out questions."""
import functools
import random

from . import facts, lists, phrase, records, split, sums, tables, unknown, words

SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a helpful assistant.",
           "You are Polder's demo model.", "Answer briefly.", "You are a friendly assistant. Be short.",
           "You are a helpful, honest assistant.", "Be concise."]
POLDER, TALK = ["polder", "terms", "service", "operate", "api", "admin", "errors"], ["talk", "self"]
# kind: share of the training turns, number of held-out questions
MIX = {
    "polder": (0.30, 125), "talk": (0.10, 45), "fact": (0.11, 50), "sum": (0.18, 55), "list": (0.08, 22),
    "json": (0.06, 18), "copy": (0.07, 15), "unknown": (0.10, 45),
}
FOLLOW_HELD = 16
LINES_ASKED = 1 / 3  # of the held-out questions on intents: whole hand-written lines that training never varied
SYSTEM_SHARE, HISTORY_SHARE, FOLLOW_SHARE = 0.1, 0.12, 0.03
FOLLOW = {  # intent: how it is asked for after an answer about the product
    "prefill": "prefill", "decode": "decode", "kv_cache": "the KV cache", "prefix_cache": "the prefix cache",
    "gateway": "the gateway", "worker": "a worker", "tier": "tiers", "quota": "quotas", "backend": "backends",
    "plugin": "plugins", "team": "teams", "gguf": "GGUF", "token": "tokens", "cuda": "CUDA", "vulkan": "Vulkan",
    "capital France": "France", "capital Germany": "Germany", "capital Italy": "Italy", "capital Spain": "Spain",
    "capital Japan": "Japan", "capital China": "China", "capital Austria": "Austria", "capital Poland": "Poland",
}
FOLLOW_FORMS = ["and %s", "what about %s", "and what about %s", "how about %s", "and what is %s", "now %s", "and for %s", "OK, and %s",
                "!what of %s"]


def pick(things, rng):
    """One of the things by their weight."""
    return rng.choices(things, cumulative(tuple(t.weight for t in things)))[0]


@functools.lru_cache(maxsize=None)
def cumulative(weights):
    return list(weights)


class Sources:
    """All intents and generators, by kind; the texts that training must never show."""

    def __init__(self):
        self.intents = {"polder": tables.read(POLDER, "polder"), "talk": tables.read(TALK, "talk"), "fact": facts.intents()}
        self.makers = {"sum": sums.OPS, "list": [lists.Lists(), lists.Counting()],
                       "json": [records.Objects(), records.Arrays()], "copy": words.TASKS, "unknown": unknown.classes()}
        self.forbidden = set()
        for intents in self.intents.values():
            for intent in intents:
                self.forbidden |= intent.held_texts
        for intents in self.intents.values():
            for intent in intents:
                own = {split.normalise(t) for p in intent.train for t in phrase.expansions(p)}
                if own <= self.forbidden:
                    raise ValueError(f"{intent.name}: all its phrasings are held out elsewhere")
        self.by_name = {i.name: i for group in self.intents.values() for i in group}
        self.held = self.questions(random.Random("held-out"))
        self.forbidden |= {split.normalise(h["messages"][-2]["content"]) for h in self.held}

    def core(self, kind, rng):
        """A turn for training, undecorated."""
        if kind in self.intents:
            return pick(self.intents[kind], rng).draw(rng)
        return pick(self.makers[kind], rng).train(rng)

    def train_turn(self, rng, kind=None):
        """A decorated turn whose text, with and without decoration, is not held out."""
        while True:
            turn = self.core(kind or rng.choices(list(MIX), [share for share, _ in MIX.values()])[0], rng)
            turn = self.allowed(turn, rng)
            if turn:
                return turn

    def decorated(self, intent, rng):
        """A decorated training turn of the intent."""
        while True:
            turn = self.allowed(intent.draw(rng), rng)
            if turn:
                return turn

    def allowed(self, turn, rng):
        """The turn decorated, or None if its text is held out."""
        if split.normalise(turn.user) in self.forbidden:
            return None
        text = phrase.decorate(turn.user, rng, fixed=turn.fixed, mild=turn.kind == "talk")
        return None if split.normalise(text) in self.forbidden else turn._replace(user=text)

    def follow(self, rng, held=False):
        """A question, and after its answer 'and what about decode?'."""
        names = list(FOLLOW)
        first = self.by_name[rng.choice(names)]
        same = [n for n in names if n.startswith("capital") == first.name.startswith("capital") and n != first.name]
        second = self.by_name[rng.choice(same)]
        forms = [f for f in FOLLOW_FORMS if f.startswith("!") or split.held("follow", f, 0.15)] if held else \
            [f for f in FOLLOW_FORMS if not f.startswith("!") and not split.held("follow", f, 0.15)]
        before = self.decorated(first, rng)
        text = rng.choice(forms).lstrip("!").replace("%s", FOLLOW[second.name])
        after = tables.Turn("follow", second.name, text, rng.choice(second.answers), second.accept, False)
        text = phrase.decorate(text, rng) if not held else text + rng.choice(["?", ""])
        return [before, after._replace(user=text)]

    def turns(self, rng):
        r = rng.random()
        if r < FOLLOW_SHARE:
            turns = self.follow(rng)
            return turns if split.normalise(turns[1].user) not in self.forbidden else self.turns(rng)
        turns = [self.train_turn(rng)]
        while rng.random() < HISTORY_SHARE and len(turns) < 4:
            turns.insert(0, self.train_turn(rng))
        return turns

    def questions(self, rng):
        """The held-out questions, as many of each kind as MIX says."""
        result, seen = [], set()

        def add(turns):
            text = split.normalise(turns[-1].user)
            if text in seen:
                return False
            seen.add(text)
            result.append(conversation(turns, rng) | {"accept": turns[-1].accept})
            return True

        for kind, (_, n) in MIX.items():
            count = 0
            if kind in self.intents:
                for intent in spread(self.intents[kind], n, rng):
                    for _ in range(20):
                        pool = intent.held_hand if intent.held_hand and (rng.random() < LINES_ASKED or not intent.held_made) \
                            else intent.held_made
                        if not pool:
                            break
                        turn = intent.turn(phrase.tidy(phrase.draw(rng.choice(pool), rng)), rng)
                        text = phrase.decorate(turn.user, rng, held=True, fixed=turn.fixed,
                                               mild=kind == "talk")
                        if add([turn._replace(user=text)]):
                            count += 1
                            break
                continue
            makers = self.makers[kind]
            whole = sum(m.weight for m in makers)
            for maker in makers:
                for turn in maker.heldout(rng, max(1, round(n * maker.weight / whole))):
                    add([turn._replace(user=phrase.decorate(turn.user, rng, held=True, fixed=turn.fixed))])
        while sum(1 for r in result if r["kind"] == "follow") < FOLLOW_HELD // 2:
            add(self.follow(rng, held=True))
        single = [r for r in result if len(r["messages"]) == 2]
        for last in rng.sample(single, FOLLOW_HELD // 2):  # a held-out question after another topic
            last = dict(last)
            first = self.train_turn(rng, rng.choice(["talk", "polder"]))
            last["messages"] = [{"role": "user", "content": first.user},
                                {"role": "assistant", "content": first.answer}] + last["messages"]
            result.append(last | {"kind": "follow"})
        return result


def spread(intents, n, rng):
    """n intents, each at most once while there are enough; the heavier the likelier."""
    order = sorted(intents, key=lambda i: rng.random() ** (1 / i.weight), reverse=True)
    return [order[k % len(order)] for k in range(n)]


def conversation(turns, rng):
    messages = []
    if rng.random() < SYSTEM_SHARE:
        messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
    for turn in turns:
        messages.append({"role": "user", "content": turn.user})
        messages.append({"role": "assistant", "content": turn.answer})
    return {"kind": turns[-1].kind, "intent": turns[-1].intent, "messages": messages}


@functools.lru_cache(maxsize=1)
def sources():
    return Sources()


def conversations(seed=0, split="train"):
    """Conversations for ever, the same for the same seed; split="heldout" gives the held-out questions once."""
    if split == "heldout":
        yield from sources().held
        return
    rng = random.Random(f"{split} {seed}")
    while True:
        yield conversation(sources().turns(rng), rng)
