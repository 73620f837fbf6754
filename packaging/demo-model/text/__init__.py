"""The training text of Polder's demo model: conversations drawn from tables and small grammars.

conversations(seed) yields {"kind", "intent", "messages"} for ever; conversations(split="heldout") yields the
held-out questions, which carry "accept", a rule of judge.py. No held-out question occurs in training.
Where to start: sample.py (the mix), tables.py (intents), data/polder.txt (the format of the tables).
"""
from .sample import conversations

__all__ = ["conversations"]
