"""Conversations to training batches: rows of a fixed length, filled with whole conversations.

The text of chunk c is drawn with a seed made of the run's seed and c, so that any place in the endless
stream is found again from two numbers: the chunk and the batch within it. Some conversations are joined to
long chats, for a user asks many things in a row. A chunk's conversations are packed longest first into the
fullest row that still has room; then the rows are shuffled. Short conversations fill short rows and the rest
fills long ones, as attention costs the square of a row; a batch has rows of one kind, and as many tokens
whichever kind it is.

A row is shorter than the context, so distances up to the context's length come from gaps: in half of the
long chats the positions jump ahead once, between two turns (Zhu et al. 2023, arXiv 2309.10400).
"""

import bisect
import random
from dataclasses import dataclass, fields
from itertools import islice

import numpy as np
import torch

from text import conversations
from tokenizer import PAD, encode_chat

CHUNK_CONVERSATIONS = 8192
PLACES = 512  # places to learn are filled up to a multiple: a new shape costs the library a compilation
JOIN_SHARE, JOIN_MAX = 0.02, 16  # how often a conversation starts a long chat, and of how many
GAP_SHARE = 0.5  # of the long chats
NOTHING = -100  # the target of a place that only fills up


@dataclass
class Batch:
    tokens: torch.Tensor  # [B, T] ids
    owner: torch.Tensor  # [B, T] number of the conversation within its row, -1 where nothing is
    position: torch.Tensor  # [B, T]
    at: torch.Tensor  # [N] flat places whose next token is to be learnt
    target: torch.Tensor  # [N] that next token, or NOTHING

    def to(self, device):
        return Batch(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass
class Text:
    """One conversation in tokens."""

    ids: list
    learn: list  # of ids: is the model to give this one?
    gap: tuple = (0, 0)  # from this place on positions are ahead by that much

    def __len__(self):
        return len(self.ids)


def chunk_seed(seed, chunk):
    return seed * 1_000_003 + chunk


def encode(tokenizer, messages):
    return Text(*encode_chat(tokenizer, messages))


def join(tokenizer, talks, row_tokens, ctx_tokens, rng):
    """The talks as one chat, as far as a row goes; only the first keeps its system message."""
    chat = encode(tokenizer, talks[0]["messages"])
    joints = []
    for talk in talks[1:]:
        more = encode(tokenizer, [m for m in talk["messages"] if m["role"] != "system"])
        if len(chat) + len(more) - 1 > row_tokens:
            break
        joints.append(len(chat))
        chat.ids += more.ids[1:]  # without the begin mark
        chat.learn += more.learn[1:]
    if joints and rng.random() < GAP_SHARE:
        chat.gap = (rng.choice(joints), rng.randrange(ctx_tokens - len(chat) + 1))
    return chat


def draw(tokenizer, talks, row_tokens, ctx_tokens, rng):
    """Texts of talks, some of them joined."""
    while True:
        first = next(talks, None)
        if first is None:
            return
        if rng.random() < JOIN_SHARE:
            more = list(islice(talks, rng.randrange(1, JOIN_MAX)))
            yield join(tokenizer, [first, *more], row_tokens, ctx_tokens, rng)
        else:
            yield encode(tokenizer, first["messages"])


def pack(texts, row_tokens):
    """Rows of texts, best fit; what is longer than a row is left out."""
    rows, room = [], []  # room: sorted (free tokens, row)
    for text in sorted(texts, key=len, reverse=True):
        n = len(text)
        if n > row_tokens:
            continue
        i = bisect.bisect_left(room, (n, -1))
        if i < len(room):
            free, row = room.pop(i)
            rows[row].append(text)
        else:
            free, row = row_tokens, len(rows)
            rows.append([text])
        if free > n:
            bisect.insort(room, (free - n, row))
    return rows


def to_batch(rows, row_tokens):
    tokens = np.full((len(rows), row_tokens), PAD, dtype=np.int64)
    owner = np.full((len(rows), row_tokens), -1, dtype=np.int64)
    position = np.zeros((len(rows), row_tokens), dtype=np.int64)
    learn = np.zeros((len(rows), row_tokens), dtype=bool)
    for r, row in enumerate(rows):
        at = 0
        for i, text in enumerate(row):
            end = at + len(text)
            tokens[r, at:end] = text.ids
            owner[r, at:end] = i
            position[r, at:end] = np.arange(len(text))
            place, gap = text.gap
            position[r, at + place:end] += gap
            learn[r, at:end - 1] = text.learn[1:]
            at = end
    flat = np.flatnonzero(learn)
    target = tokens.reshape(-1)[flat + 1]
    spare = -len(flat) % PLACES
    arrays = (tokens, owner, position, np.pad(flat, (0, spare)),
              np.pad(target, (0, spare), constant_values=NOTHING))
    return Batch(*map(torch.from_numpy, arrays))


@dataclass(frozen=True)
class Sizes:
    batch_tokens: int
    short_tokens: int  # of a row
    long_tokens: int
    ctx_tokens: int


def chunk_batches(tokenizer, seed, chunk, sizes):
    """The (rows, tokens of a row) of one chunk's batches, always the same for the same arguments."""
    number = chunk_seed(seed, chunk)
    rng = random.Random(number)
    talks = islice(conversations(number, split="train"), CHUNK_CONVERSATIONS)
    texts = list(draw(tokenizer, talks, sizes.long_tokens, sizes.ctx_tokens, rng))
    batches = []
    for row_tokens in (sizes.short_tokens, sizes.long_tokens):
        rows = pack([t for t in texts if (len(t) <= sizes.short_tokens) == (row_tokens == sizes.short_tokens)],
                    row_tokens)
        rng.shuffle(rows)
        n = sizes.batch_tokens // row_tokens
        batches += [(rows[i:i + n], row_tokens) for i in range(0, len(rows) - n + 1, n)]
    rng.shuffle(batches)
    return batches


def stream(tokenizer, seed, sizes, chunk=0, skip=0):
    """Endless (chunk, number within the chunk, rows of a batch, tokens of a row) from a place on."""
    while True:
        groups = chunk_batches(tokenizer, seed, chunk, sizes)
        if not groups:
            raise ValueError(f"a batch of {sizes.batch_tokens} tokens is more than a chunk holds")
        for i in range(skip, len(groups)):
            yield chunk, i, *groups[i]
        chunk, skip = chunk + 1, 0
