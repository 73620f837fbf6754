"""Phrasings: a small grammar, and the ways in which people decorate and misspell a question.

Grammar of a template: {a|b|c} is one of the three, [x] is x or nothing; both nest. %s is filled by the caller.
"""
import re

PREFIXES = [
    "Please: ", "Hi, ", "Hi! ", "Hello, ", "Hello! ", "Hey, ", "Hey! ", "Quick question: ", "Question: ", "Tell me, ",
    "Please tell me: ", "Can you tell me: ", "I'd like to know: ", "I would like to know: ", "I want to know: ",
    "I have a question: ", "So, ", "OK, ", "Okay, ", "Well, ", "Now, ", "And ", "Also, ", "Sorry, ", "Um, ",
    "Next question: ", "Another question: ", "Could you help me? ", "Help me please: ", "Hey there, ", "Good morning. ",
    "Can I ask something? ", "Thanks. ", "Great. ", "Cool, ", "Yes. ", "Sir, ", "Dear Polder, ", "Polder, ",
    "Hello Polder, ", "Hi Polder, ", "Good day. ", "Good evening. ", "Good afternoon. ", "Listen, ", "Look, ", "Friend, ",
    "Here is a question: ", "A question: ", "A quick one: ", "Short question: ", "Last question: ", "My question: ",
    "By the way, ", "Oh, ", "Hmm, ", "Ah, ", "Right, ", "Fine, ", "Nice. ", "Perfect. ", "Thank you. ", "Got it. ",
    "I see. ", "Understood. ", "Let me ask: ", "Please answer: ", "I wonder: ", "I was wondering: ", "Do you know: ",
    "Help, ", "For my work: ", "I'm new here. ", "Sorry to bother you, ", "If you can: ", "Be so kind: ", "Then: ",
]
MILD_PREFIXES = ["Hi, ", "Hey, ", "Well, ", "So, ", "OK, ", "Polder, "]
HELD_PREFIXES = ["Excuse me, ", "Just curious: ", "One more question: ", "Hi there! ", "Alright, ", "May I ask: "]
SUFFIXES = [
    " please", ", please", " Please.", " Thanks!", " Thanks.", " Thank you.", " Thank you!", " in short", ", briefly",
    " I am new here.", " I'm new.", " now", " for me", " here", " Be brief.", " Tell me.", " I want to know.", " then",
    " Help!", " exactly", " again", " :)", " Answer shortly.", " Do you know?", " if you can", " if you know", " if possible",
    " if that is all right", " if you like", " if I may ask", " when you have a moment", " as I am new", " for a friend",
    " for my team", " because I need it", " quickly", " right now", " today", " once more", " in one line", " in a few words",
    " in plain words", " really", " anyway", " though", " my friend", " I can't remember.", " I need it for a talk.",
    " It is important.", " My boss asks.", " I am in a hurry.", " Take your time.", " One sentence is enough.",
    " Explain it simply.", " No long answer.", " As short as you can.", " I am a beginner.", " I hope you know.",
    " That would help me.", " It would help a lot.", " Cheers!", " Sorry for asking.", " Just tell me.", " I wonder.",
    " I'm stuck.", " I want to learn.", " A colleague asked me.", " I heard about it.", " Somebody told me to ask.",
    " I looked everywhere.", " I am sure you know.", " Good luck!", " Go on.", " OK?", " Come on.", " You are the expert.",
]
HELD_SUFFIXES = [" I would be grateful.", " if you don't mind", " I forgot.", " Keep it short."]
# What people add that has nothing to do with the question: "since we talked about dinner". To be ignored.
FILLER = (
    ["if", "because", "since", "as", "so that", "while", "before", "when", "and", "but", "until", "unless", "although"],
    ["I", "you", "we", "they", "my friend", "my boss", "my sister", "the team", "the others", "our teacher", "somebody"],
    ["need", "like", "want", "read", "saw", "wrote", "know about", "care about", "looked at", "talked about", "asked for",
     "dream of", "agree with", "lost", "found", "bought", "can wait for", "should see", "do not have", "never liked"],
    ["it", "that", "this", "a break", "some help", "the train", "a coffee", "the meeting", "dinner", "more time",
     "the homework", "a test", "the book", "the garden", "our project", "the others", "a bet", "a quiz", "the answer", "him"],
)
QUESTION = re.compile(
    r"(what|who|where|when|why|how|which|whose|is|are|do|does|did|can|could|will|would|should|may|am|was|were|has|have"
    r"|what's|who's|where's|how's)\b", re.I)


def _parse(text, i, closers):
    """Parses up to one of closers; returns (node, position). Node: list of parts, a part is text or alternatives."""
    options, parts, plain = [], [], ""
    while i < len(text) and text[i] not in closers:
        c = text[i]
        if c in "{[":
            if plain:
                parts.append(plain)
                plain = ""
            inner, i = _parse(text, i + 1, "}" if c == "{" else "]")
            if i >= len(text):
                raise ValueError(f"unclosed {c} in '{text}'")
            parts.append(inner + [[""]] if c == "[" else inner)
        elif c == "|" and closers:
            options.append(parts + [plain] if plain else parts)
            parts, plain = [], ""
        else:
            plain += c
        i += 1
    options.append(parts + [plain] if plain else parts)
    return options, i


def parse(template):
    return _parse(template, 0, "")[0]


def draw(options, rng):
    """One text of a parsed template."""
    parts = options[0] if len(options) == 1 else rng.choice(options)
    return "".join(p if isinstance(p, str) else draw(p, rng) for p in parts)


def tidy(text):
    return " ".join(text.split())


def expansions(options, limit=5000):
    """All texts of a parsed template, at most limit."""
    result = []
    for parts in options:
        texts = [""]
        for part in parts:
            tails = [part] if isinstance(part, str) else expansions(part, limit)
            texts = [t + tail for t in texts for tail in tails][:limit]
        result += texts
    return result[:limit]


def typo(text, rng):
    """One slip of a finger in a word of at least five letters."""
    words = [m for m in re.finditer(r"[A-Za-z]{5,}", text)]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    slip = rng.random()
    if slip < 0.4:
        return text[:at] + text[at + 1] + text[at] + text[at + 2:]
    if slip < 0.8:
        return text[:at] + text[at + 1:]
    return text[:at] + text[at] + text[at:]


def filler(rng, clause):
    """A clause "as we saw the train", or a sentence "We saw the train"."""
    opener, *rest = (rng.choice(words) for words in FILLER)
    text = " ".join(rest)
    return f"{opener} {text}" if clause else text[:1].upper() + text[1:]


def drop_word(text, rng):
    """The text without one of its words, as somebody in a hurry types it."""
    words = text.split(" ")
    if len(words) >= 5:
        del words[rng.randrange(len(words))]
    return " ".join(words)


def decorate(core, rng, held=False, fixed=False, mild=False):
    """A core phrasing as somebody types it. fixed: the core's letters carry data; only put things around it.
    mild: what is put around it must not be talk of its own."""
    text = core
    ask = bool(QUESTION.match(text))
    if ask and rng.random() < 0.15:
        text = re.sub(r"^(what|who|where|how) is\b", r"\1's", text, flags=re.I)
    if not fixed and rng.random() < 0.2:
        text = text.replace("Polder", "polder")
    prefix = suffix = ""
    if mild:
        prefix = rng.choice(MILD_PREFIXES) if rng.random() < 0.05 else ""
    elif rng.random() < 0.2:
        prefix = rng.choice(HELD_PREFIXES if held and rng.random() < 0.6 else PREFIXES)
    if not mild and rng.random() < (0.1 if held else 0.2):
        suffix = rng.choice(HELD_SUFFIXES if held and rng.random() < 0.6 else SUFFIXES)
    if not held and not mild and rng.random() < 0.06:
        if rng.random() < 0.7:
            suffix = rng.choice([" ", ", "]) + filler(rng, True)
        else:
            prefix = filler(rng, False) + rng.choice([". ", ". ", "! "])
    if not held and not fixed and rng.random() < 0.06:
        text = drop_word(text, rng)
    end = "" if text[-1:] in "?.!:\"'" else "?" if ask else rng.choice(["!", ".", ""]) if mild else \
        rng.choice([".", ""])
    if end and rng.random() < 0.35:
        end = ""
    if end == "?" and rng.random() < 0.03:
        end = "??"
    if rng.random() < 0.65 and not prefix.endswith((", ", "And ")):
        text = text[:1].upper() + text[1:]
    if suffix[1:2].isupper() or suffix.endswith(":)"):
        text = prefix + text + (end or rng.choice(["?", "."] if ask else ["."])) + suffix
    else:
        text = prefix + text + suffix + end
    if fixed:
        return text
    if rng.random() < (0.03 if held else 0.04):
        text = typo(text, rng)
    case = rng.random()
    if case < 0.25:
        text = text.lower()
    elif case < 0.255:
        text = text.upper()
    return text
