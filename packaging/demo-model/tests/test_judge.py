"""The judge takes right answers and fails wrong ones, kind by kind."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import ask  # noqa: E402
import judge  # noqa: E402

SUM = {"number": 68, "given": [23, 45]}
NEGATIVE = {"number": -33, "given": [12, 45]}
LIST = {"list": {"count": 3, "members": ["apple", "banana", "orange", "pear"]}}
JSON = {"json": {"name": "Ada", "age": 36}}
FRANCE = {"all": ["Paris", "France"]}
EITHER = {"all": [["8", "eight"], "spider"], "none": ["octopus"]}
OPPOSITE = {"words": ["hot", "cold"], "last": "cold"}
CASES = [  # rule, answer, is it right, why
    (SUM, "23 + 45 = 68.", True, "plain"),
    (SUM, "23 + 45 = 60 + 8 = 68.", True, "with steps"),
    (SUM, "The answer is 68.", True, "a sentence"),
    (SUM, "68", True, "the number alone"),
    (SUM, "23 plus 45 is 68", True, "a sentence with the question's numbers"),
    (SUM, "23 + 45 = 67.", False, "wrong"),
    (SUM, "23 + 45 = 60 + 8 = 67.", False, "right steps, wrong end"),
    (SUM, "23 + 45 = 60 + 9 = 68.", False, "wrong steps, right end"),
    (SUM, "23 + 44 = 68.", False, "another sum"),
    (SUM, "It is 67 or 68.", False, "two results"),
    (SUM, "68 or 67", False, "two results, the right one first"),
    (SUM, "23 and 45.", False, "no result"),
    (SUM, "I don't know.", False, "no number"),
    (SUM, "", False, "empty"),
    (SUM, "680", False, "a longer number"),
    (SUM, "23 + 45 = 68 = ", False, "a chain without an end"),
    (NEGATIVE, "12 - 45 = -(45 - 12) = -33.", True, "negative"),
    (NEGATIVE, "12 - 45 = 33.", False, "sign lost"),
    ({"number": 56, "given": [7, 8]}, "7 x 8 = 56.", True, "times as x"),
    ({"number": 56, "given": [7, 8]}, "7 × 8 = 56", True, "times as a cross"),
    ({"number": 56, "given": [7, 8]}, "7 x 8 = 54.", False, "wrong product"),
    ({"number": 7, "given": [56, 8]}, "56 / 8 = 7.", True, "division"),
    ({"number": 31, "given": [31, 5]}, "31 is larger than 5.", True, "the larger one first"),
    ({"number": 31, "given": [31, 5], "none": ["5 is"]}, "5 is larger than 31.", False, "turned round"),
    (LIST, "1. apple\n2. banana\n3. orange", True, "numbered"),
    (LIST, "- Apple\n- Pear\n- Orange", True, "dashes"),
    (LIST, "apple, banana and pear.", True, "commas"),
    (LIST, "1. apple\n2. banana", False, "one too few"),
    (LIST, "1. apple\n2. banana\n3. orange\n4. pear", False, "one too many"),
    (LIST, "1. apple\n2. banana\n3. apple", False, "repeated"),
    (LIST, "1. apple\n2. banana\n3. carrot", False, "not of the category"),
    (LIST, "Fruits: apple, banana, orange", False, "other words"),
    (JSON, '{"name": "Ada", "age": 36}', True, "exact"),
    (JSON, '{"age":36,"name":"Ada"}', True, "order does not matter"),
    (JSON, '```json\n{"name": "Ada", "age": 36}\n```', True, "fenced"),
    (JSON, '{"name": "Ada", "age": "36"}', False, "a string for a number"),
    (JSON, '{"name": "Ida", "age": 36}', False, "another name"),
    (JSON, '{"name": "Ada", "age": 36', False, "cut off"),
    (JSON, '{"name": "Ada", "age": 36, "city": "Rome"}', False, "one member too many"),
    (JSON, "name Ada, age 36", False, "no JSON"),
    ({"json": {"ok": True}}, '{"ok": 1}', False, "1 is not true"),
    ({"json": [1, 2]}, "[2, 1]", False, "a list has an order"),
    ({"any": [FRANCE, SUM]}, "Paris is the capital of France.", True, "one of two rules"),
    ({"any": [FRANCE, SUM]}, "Rome.", False, "neither of two rules"),
    (FRANCE, "Paris is the capital of France.", True, "plain"),
    (FRANCE, "paris, france", True, "case does not matter"),
    (FRANCE, "Rome is the capital of France.", False, "another city"),
    (FRANCE, "Parisian France", False, "only a part of a word"),
    (EITHER, "A spider has eight legs.", True, "in words"),
    (EITHER, "A spider has 18 legs.", False, "a part of a number"),
    (EITHER, "A spider has 8 legs, and an octopus three hearts.", False, "what must not be there"),
    (OPPOSITE, "The opposite of hot is cold.", True, "plain"),
    (OPPOSITE, "The opposite of cold is hot.", False, "turned round"),
    ({"last": "non"}, "'no' in French is 'non'.", True, "quoted at the end"),
    ({"last": "non"}, "'non' in French is 'no'.", False, "turned round"),
    ({"last": "no"}, "piano", False, "the end of a longer word"),
    ({"same": "Hello"}, '"hello".', True, "quotes, case and mark"),
    ({"same": "hello"}, "hello hello", False, "twice"),
    ({"exact": "HOUSE"}, "HOUSE.", True, "capitals"),
    ({"exact": "HOUSE"}, "house", False, "not in capitals"),
    ({"numbers": [1, 2, 3]}, "1, 2, 3.", True, "counting"),
    ({"numbers": [1, 2, 3]}, "1 2 3", True, "counting with blanks"),
    ({"numbers": [1, 2, 3]}, "1, 2, 4.", False, "miscounted"),
    ({"numbers": [1, 2, 3]}, "1, 2, 3, 4.", False, "counted on"),
    ({"dont_know": True}, "I don't know that. I am a tiny demo model.", True, "honest"),
    ({"dont_know": True}, "I can't write code: I am too small.", True, "honest about a task"),
    ({"dont_know": True}, "Ulan Bator is the capital of Mongolia.", False, "knows it all the same"),
    ({"dont_know": True}, "I don't know, perhaps 42.", False, "a guess"),
    ({"all": ["./run"]}, "Run `./run` in the source folder.", True, "a command in back quotes"),
    ({"all": ["./run"]}, "Use ./runner.", False, "a part of a command"),
]


class Judge(unittest.TestCase):
    def test_each_case_is_judged_as_a_person_would(self):
        for rule, answer, right, why in CASES:
            with self.subTest(why=why, answer=answer):
                self.assertEqual(judge.accepts(answer, rule), right)

    def test_refuses_a_rule_it_does_not_know(self):
        for rule in ({}, None, {"alll": ["x"]}):
            with self.subTest(rule=rule), self.assertRaises(ValueError):
                judge.accepts("x", rule)

    def test_a_sum_is_no_program(self):
        self.assertIsNone(judge.value_of("__import__('os')"))
        self.assertIsNone(judge.value_of("9**9**9"))
        self.assertIsNone(judge.value_of("(" * 500))
        self.assertIsNone(judge.value_of("7 / 0"))


class Report(unittest.TestCase):
    def question(self, text="q"):
        return {"kind": "fact", "accept": FRANCE,
                "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Paris | France"}]}

    def test_counts_by_kind_and_lists_each_failure(self):
        report = ask.Report()
        report.add(self.question(), "Paris is the capital of France.")
        report.add(self.question("which | city"), "Rome\nis it.")
        self.assertEqual(report.share(), 50.0)
        self.assertIn("fact          1 of    2   50.0 %", report.text())
        self.assertIn("answer:   Rome\\nis it.", report.text())
        self.assertIn("| fact | which \\| city | Rome\\nis it. | Paris \\| France |", report.markdown())

    def test_the_expected_answer_is_not_sent(self):
        messages, expected = ask.parts(self.question())
        self.assertEqual(([m["role"] for m in messages], expected), (["user"], "Paris | France"))


if __name__ == "__main__":
    unittest.main()
