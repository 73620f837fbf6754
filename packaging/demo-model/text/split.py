"""What belongs to training and what is held out: decided by hashes, so that it never depends on a seed.

A phrasing, a pair of operands, a topic, a name is held out if its share falls below a threshold.
"""
import hashlib
import re

HELD_SHARE = 0.2


def share(text):
    """A number in [0, 1) that belongs to the text for ever."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def held(what, text, below=HELD_SHARE):
    return share(f"{what}\n{text}") < below


def normalise(text):
    """The text without case, punctuation and spacing; signs that carry a sum's meaning stay."""
    text = text.lower().replace("×", "x").replace("÷", "/")
    text = re.sub(r"(?<=\d)\s*([-+*/x])\s*(?=\d)", r" \1 ", text)
    text = re.sub(r"[^a-z0-9+*/\- ]+", "", text.replace("\n", " "))
    return " ".join(text.split())
