"""Byte-level BPE: trains a vocabulary, encodes and decodes with it.

Text is split as GGUF's pre-tokenizer "smollm" does: each number character by itself, then GPT-2's rule
on what lies between (contractions; an optional space and letters; an optional space and signs; white
space, leaving the last blank of a run to the word behind it). Within a piece, bytes are merged in the
order in which the trainer found the pairs. Tokens are kept as bytes; GGUF wants them in GPT-2's printable
alphabet, which `printable` gives.

The split needs Unicode's letters and numbers: Python's tables serve for that, so that a text with
characters younger than these tables may be split differently by the server.

Source: Sennrich et al. 2016 (arXiv 1508.07909); Radford et al. 2019 for the byte alphabet.
"""

import json
import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache

BEGIN, END, SYSTEM, USER, ASSISTANT, PAD = range(6)
SPECIALS = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>"]
PRE = "smollm"

WHITE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(c) for c in range(0x2000, 0x200b)}
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


@lru_cache(maxsize=65536)
def char_class(c):
    """L letter, N number, W white space, O anything else."""
    if c in WHITE:
        return "W"
    kind = unicodedata.category(c)[0]
    return kind if kind in "LN" else "O"


def end_of_run(classes, at, kind):
    while at < len(classes) and classes[at] == kind:
        at += 1
    return at


def split_between_numbers(text, classes):
    """GPT-2's rule on a text without numbers."""
    pieces, at = [], 0
    while at < len(text):
        end = 0
        for form in CONTRACTIONS:
            if text.startswith(form, at):
                end = at + len(form)
                break
        if not end:
            start = at + (text[at] == " ")
            if start < len(text) and classes[start] in "LO":
                end = end_of_run(classes, start, classes[start])
            else:
                end = end_of_run(classes, at, "W")
                if end < len(text) and end - at > 1:
                    end -= 1  # the last blank goes with the word behind it
        pieces.append(text[at:end])
        at = end
    return pieces


def split(text):
    """The pieces of a text; none is merged with its neighbour."""
    classes = "".join(map(char_class, text))
    pieces, at = [], 0
    while at < len(text):
        if classes[at] == "N":
            pieces.append(text[at])
            at += 1
            continue
        end = classes.find("N", at)
        end = len(text) if end < 0 else end
        pieces += split_between_numbers(text[at:end], classes[at:end])
        at = end
    return pieces


def byte_alphabet():
    """GPT-2's printable character for each byte."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    table, spare = {b: chr(b) for b in plain}, 256
    for b in range(256):
        if b not in table:
            table[b] = chr(spare)
            spare += 1
    return table


ALPHABET = byte_alphabet()


def printable(token):
    return "".join(ALPHABET[b] for b in token)


class Trainer:
    """Counts pieces, then merges the most frequent pair again and again.

    words: piece -> count; parts[i]: the tokens that word i consists of by now;
    pairs: (a, b) -> count over all words; where: (a, b) -> words that may hold it.
    """

    def __init__(self):
        self.words = Counter()

    def add(self, text):
        self.words.update(split(text))

    def prepare(self):
        ordered = sorted(self.words.items())
        self.counts = [n for _, n in ordered]
        self.parts = [[bytes([b]) for b in w.encode()] for w, _ in ordered]
        self.pairs, self.where = Counter(), defaultdict(set)
        for i in range(len(self.parts)):
            self.tally(i, 1)

    def tally(self, i, sign):
        parts = self.parts[i]
        for pair in zip(parts, parts[1:]):
            self.pairs[pair] += sign * self.counts[i]
            if sign > 0:
                self.where[pair].add(i)

    def merge(self, pair):
        joined = pair[0] + pair[1]
        for i in self.where.pop(pair):
            old, new, at = self.parts[i], [], 0
            self.tally(i, -1)
            while at < len(old):
                if tuple(old[at:at + 2]) == pair:
                    new.append(joined)
                    at += 2
                else:
                    new.append(old[at])
                    at += 1
            self.parts[i] = new
            self.tally(i, 1)
        self.pairs.pop(pair, None)

    def train(self, vocab, count_min=2):
        """At most `vocab` tokens in all; fewer where no pair is left that occurs `count_min` times."""
        self.prepare()
        merges = []
        while len(merges) < vocab - 256 - len(SPECIALS) and self.pairs:
            best = max(self.pairs.items(), key=lambda item: (item[1], item[0]))
            if best[1] < count_min:
                break
            merges.append(best[0])
            self.merge(best[0])
        return Tokenizer(merges)


class Tokenizer:
    """Ids: the special tokens, the 256 bytes, the merged pairs in order; then unused places."""

    def __init__(self, merges):
        self.merges = merges
        self.tokens = [bytes([b]) for b in range(256)] + [a + b for a, b in merges]
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.ids = {t: i + len(SPECIALS) for i, t in enumerate(self.tokens)}
        self.piece = lru_cache(maxsize=1 << 17)(self.encode_piece)

    def __len__(self):
        return len(SPECIALS) + len(self.tokens)

    def encode_piece(self, piece):
        parts = [bytes([b]) for b in piece.encode()]
        while len(parts) > 1:
            ranked = [(self.ranks.get(pair, len(self.ranks)), i)
                      for i, pair in enumerate(zip(parts, parts[1:]))]
            rank, i = min(ranked)
            if rank == len(self.ranks):
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        return [self.ids[p] for p in parts]

    def encode(self, text):
        """Ids of a text; names of special tokens in it are text like any other."""
        ids = []
        for piece in split(text):
            ids += self.piece(piece)
        return ids

    def decode(self, ids):
        """The text of ids; special tokens are left out, broken UTF-8 is replaced."""
        n = len(SPECIALS)
        return b"".join(self.tokens[i - n] for i in ids if i >= n).decode(errors="replace")

    def save(self, path):
        with open(path, "w", encoding="ascii") as out:
            rows = [[printable(a), printable(b)] for a, b in self.merges]
            json.dump({"pre": PRE, "specials": SPECIALS, "merges": rows}, out, indent=0)

    @staticmethod
    def load(path):
        with open(path, encoding="ascii") as source:
            rows = json.load(source)["merges"]
        back = {c: b for b, c in ALPHABET.items()}
        return Tokenizer([tuple(bytes(back[c] for c in part) for part in row) for row in rows])


def encode_chat(tokenizer, messages):
    """Ids of a conversation as the chat template renders it, and which of them the model must learn:
    each answer and the end mark behind it."""
    roles = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
    ids, learn = [BEGIN], [False]
    for message in messages:
        body = [roles[message["role"]], *tokenizer.encode(message["content"].strip()), END]
        mine = message["role"] == "assistant"
        ids += body
        learn += [False] + [mine] * (len(body) - 1)
    return ids, learn


TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{{ '<|assistant|>' }}"
    "{% elif m['role'] == 'user' %}{{ '<|user|>' }}"
    "{% else %}{{ '<|system|>' }}{% endif %}"
    "{{ m['content'] | trim }}{{ '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
