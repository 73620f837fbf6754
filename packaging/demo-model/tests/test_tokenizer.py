"""The tokenizer: loses nothing, splits as its pre-tokenizer says, trains the same way twice."""
import itertools
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from text import conversations  # noqa: E402
from tokenizer import (ALPHABET, ASSISTANT, BEGIN, END, SPECIALS, SYSTEM, USER, Tokenizer, Trainer,  # noqa: E402
                       encode_chat, printable, split)

SPLITS = [  # text, its pieces
    ("", []),
    ("Hello world", ["Hello", " world"]),
    ("12+345", ["1", "2", "+", "3", "4", "5"]),
    ("is 12?", ["is", " ", "1", "2", "?"]),
    ("don't we'll I'M", ["don", "'t", " we", "'ll", " I", "'", "M"]),
    ("a  b\n\nc ", ["a", " ", " b", "\n", "\n", "c", " "]),
    ("  7", ["  ", "7"]),
    ('{"n": 1}', ['{"', "n", '":', " ", "1", "}"]),
    ("http://x_y", ["http", "://", "x", "_", "y"]),
    ("\u00e9t\u00e9 \u4e2d\u6587 \u0663", ["\u00e9t\u00e9", " \u4e2d\u6587", " ", "\u0663"]),
    ("a\u00a0b", ["a", "\u00a0", "b"]),
    (" '", [" '"]),
]


class TokenizerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.talks = list(itertools.islice(conversations(11), 3000))
        cls.tokenizer = cls.train()

    @classmethod
    def train(cls):
        trainer = Trainer()
        for talk in cls.talks:
            for message in talk["messages"]:
                trainer.add(message["content"])
        return trainer.train(768)

    def test_splits(self):
        for text, pieces in SPLITS:
            with self.subTest(text=text):
                self.assertEqual(split(text), pieces)

    def test_decoding_gives_back_any_text(self):
        rng = random.Random(1)
        pool = [chr(c) for c in itertools.chain(range(1, 0xd800), range(0xe000, 0x11000))]
        texts = ["".join(rng.choice(pool) for _ in range(rng.randrange(40))) for _ in range(500)]
        texts += [m["content"] for t in self.talks[:300] for m in t["messages"]]
        for text in texts:
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text)), text)

    def test_training_twice_gives_the_same_merges(self):
        self.assertEqual(self.tokenizer.merges, self.train().merges)

    def test_no_merge_crosses_a_digit(self):
        for token in self.tokenizer.tokens:
            if any(48 <= b < 58 for b in token):
                self.assertEqual(len(token), 1, token)

    def test_each_merge_joins_tokens_made_before(self):
        made = set(self.tokenizer.tokens[:256])
        for a, b in self.tokenizer.merges:
            self.assertLessEqual({a, b}, made)
            self.assertNotIn(a + b, made)
            made.add(a + b)
        self.assertEqual(len(self.tokenizer), 768)

    def test_common_words_are_one_token(self):
        self.assertEqual(len(self.tokenizer.encode(" Polder")), 1)

    def test_names_of_special_tokens_in_text_are_text(self):
        self.assertNotIn(END, self.tokenizer.encode(SPECIALS[END]))

    def test_saving_and_loading(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/tokenizer.json"
            self.tokenizer.save(path)
            self.assertEqual(Tokenizer.load(path).merges, self.tokenizer.merges)

    def test_printable_alphabet(self):
        self.assertEqual(len(set(ALPHABET.values())), 256)
        self.assertEqual(printable(b" a\n"), "\u0120a\u010a")

    def test_only_answers_and_their_end_are_learnt(self):
        messages = [{"role": r, "content": c} for r, c in (
            ("system", " s "), ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"))]
        ids, learn = encode_chat(self.tokenizer, messages)
        self.assertEqual([i for i in ids if i < len(SPECIALS)],
                         [BEGIN, SYSTEM, END, USER, END, ASSISTANT, END, USER, END, ASSISTANT, END])
        learnt = [i for i, wanted in zip(ids, learn) if wanted]
        self.assertEqual(learnt, [*self.tokenizer.encode("a"), END, *self.tokenizer.encode("b"), END])


if __name__ == "__main__":
    unittest.main()
