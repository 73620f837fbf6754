"""The generator: deterministic, split without overlap, answers that its own rules take and others' rules refuse."""
import collections
import itertools
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import judge  # noqa: E402
from text import conversations, phrase, sample, split, sums, tables  # noqa: E402

DRAWN = 40000
ANSWER_WORDS_MAX = 60


def users(conversation):
    return [m["content"] for m in conversation["messages"] if m["role"] == "user"]


class Text(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sources = sample.sources()
        cls.train = list(itertools.islice(conversations(7), DRAWN))
        cls.held = list(conversations(split="heldout"))
        cls.intents = [i for group in cls.sources.intents.values() for i in group]

    def test_the_same_seed_gives_the_same_text(self):
        self.assertEqual(self.train[:500], list(itertools.islice(conversations(7), 500)))
        self.assertNotEqual(self.train[:500], list(itertools.islice(conversations(8), 500)))
        again = sample.Sources()
        self.assertEqual(self.held, again.held)

    def test_no_held_out_question_is_in_training(self):
        held = {split.normalise(users(h)[-1]) for h in self.held}
        for conversation in self.train:
            for text in users(conversation):
                self.assertNotIn(split.normalise(text), held)

    def test_no_held_out_phrasing_is_in_training(self):
        shown = {split.normalise(text) for c in self.train for text in users(c)}
        for intent in self.intents:
            self.assertFalse(shown & intent.held_texts, intent.name)

    def test_held_out_operands_are_never_added_or_subtracted_in_training(self):
        for conversation in self.train:
            if conversation["intent"] in ("add", "subtract") and conversation["kind"] == "sum":
                pair = judge.numbers_of(conversation["messages"][-1]["content"].split("=")[0].replace("- ", ""))
                self.assertFalse(sums.pair_held(*pair[:2]), conversation)

    def test_held_out_prefixes_and_suffixes_are_not_in_training(self):
        for conversation in self.train:
            for text in users(conversation):
                for part in phrase.HELD_PREFIXES:
                    self.assertFalse(text.lower().startswith(part.lower()), text)
                for part in phrase.HELD_SUFFIXES:
                    self.assertFalse(text.lower().endswith(part.lower()), text)

    def test_all_kinds_are_held_out_and_drawn(self):
        want = set(sample.MIX) | {"follow"}
        self.assertEqual(set(h["kind"] for h in self.held), want)
        self.assertEqual(set(c["kind"] for c in self.train), want)
        self.assertGreaterEqual(len(self.held), 300)
        self.assertLessEqual(len(self.held), 420)

    def test_each_intent_is_drawn(self):
        drawn = collections.Counter(c["intent"] for c in self.train)
        self.assertEqual([i.name for i in self.intents if not drawn[i.name]], [])

    def test_each_held_out_answer_passes_its_own_rule(self):
        for question in self.held:
            self.assertTrue(judge.accepts(question["messages"][-1]["content"], question["accept"]), question)

    def test_no_intents_rule_takes_another_intents_answer(self):
        answers = [(i.name, a) for i in self.intents for a in i.answers]
        answers += [(m.name, a) for m in self.sources.makers["unknown"] for a in m.answers]
        for intent in self.intents:
            for answer in intent.answers:
                self.assertTrue(judge.accepts(answer, intent.rules[0]), f"{intent.name}: {answer}")
            for name, answer in answers:
                if name != intent.name and answer not in intent.answers:
                    self.assertFalse(judge.accepts(answer, intent.rules[0]), f"{intent.name} takes {name}: {answer}")

    def test_no_answer_that_knows_something_counts_as_not_knowing(self):
        for intent in self.intents:
            for answer in intent.answers:
                self.assertFalse(judge.accepts(answer, {"dont_know": True}), f"{intent.name}: {answer}")

    def test_sums_are_right(self):
        rng = random.Random(3)
        for op in sums.OPS:
            for _ in range(2000):
                turn = op.train(rng)
                self.assertTrue(judge.accepts(turn.answer, turn.accept), turn)

    def test_answers_are_short(self):
        for conversation in self.train[:5000]:
            self.assertLessEqual(len(conversation["messages"][-1]["content"].split()), ANSWER_WORDS_MAX)

    def test_training_answers_of_tasks_pass_their_rules(self):
        rng = random.Random(4)
        for kind in ("list", "json", "copy", "unknown"):
            for maker in self.sources.makers[kind]:
                for _ in range(300):
                    turn = maker.train(rng)
                    self.assertTrue(judge.accepts(turn.answer, turn.accept), turn)


class Grammar(unittest.TestCase):
    def test_expands_alternatives_and_options(self):
        texts = sorted(phrase.tidy(t) for t in phrase.expansions(phrase.parse("{a|b {c|d}} [x]")))
        self.assertEqual(texts, ["a", "a x", "b c", "b c x", "b d", "b d x"])

    def test_refuses_an_open_bracket(self):
        for text in ("{a|b", "[a", "a {b [c}"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                phrase.parse(text)

    def test_refuses_an_intent_without_answer_or_rule(self):
        intent = tables.Intent("polder", "x", 1.0)
        intent.add("what is x")
        with self.assertRaises(ValueError):
            intent.close()

    def test_normalising_forgets_case_marks_and_blanks_but_no_signs(self):
        self.assertEqual(split.normalise("  What IS 2+3 ?!"), split.normalise("what is 2 + 3"))
        self.assertNotEqual(split.normalise("2 + 3"), split.normalise("2 - 3"))


if __name__ == "__main__":
    unittest.main()
