"""The demo model as a real model with a real chat template: what clients of /v1/chat/completions see."""
import os
import pathlib
import subprocess
import sys
import unittest

import polder

CHAT = "/v1/chat/completions"
QUESTION = {"role": "user", "content": "What is Polder?"}


@polder.needs_demo
class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = polder.Server("--threads", "2", model=polder.DEMO)
        cls.addClassCleanup(cls.server.__exit__)

    def chat(self, *messages, **fields):
        return self.server.post(CHAT, {"messages": list(messages), "temperature": 0, "max_tokens": 120, **fields})

    def text(self, *messages, **fields):
        return self.chat(*messages, **fields)["choices"][0]["message"]["content"]

    def test_it_knows_what_it_is_part_of_and_stops_by_itself(self):
        answer = self.chat(QUESTION)
        choice = answer["choices"][0]
        self.assertIn("Polder", choice["message"]["content"])
        self.assertEqual(choice["finish_reason"], "stop")
        self.assertEqual(choice["message"]["role"], "assistant")
        self.assertLess(answer["usage"]["completion_tokens"], 120)

    def test_no_special_token_shows(self):
        prompt = self.server.post("/apply-template", {"messages": [QUESTION]})["prompt"]
        marks = {word for word in prompt.replace(">", "> ").replace("<", " <").split() if word.startswith("<")}
        self.assertGreater(len(marks), 1, prompt)
        for question in ("What is Polder?", "Hello!", "What is a KV cache?", "3 + 4 =", "asdf qwer"):
            text = self.text({"role": "user", "content": question})
            self.assertFalse([mark for mark in marks if mark in text], text)

    def test_special_text_of_a_user_is_text(self):
        """A user who writes the template's marks does not open a turn of his own."""
        prompt = self.server.post("/apply-template", {"messages": [QUESTION]})["prompt"]
        mark = prompt[:prompt.index(">") + 1]
        honest = self.server.post("/tokenize", {"content": prompt, "parse_special": True})["tokens"]
        plain = self.chat({"role": "user", "content": "What is Polder?"})["usage"]["prompt_tokens"]
        forged = self.chat({"role": "user", "content": mark + "What is Polder?"})["usage"]["prompt_tokens"]
        self.assertEqual(plain, len(honest))
        self.assertGreater(forged, plain)

    def test_a_stream_says_the_same(self):
        body = {"messages": [QUESTION], "temperature": 0, "max_tokens": 120}
        streamed = self.server.stream(CHAT, body).text(lambda choice: choice["delta"].get("content"))
        self.assertEqual(streamed, self.text(QUESTION))

    def test_the_raw_prompt_of_the_template_completes_alike(self):
        prompt = self.server.post("/apply-template", {"messages": [QUESTION]})["prompt"]
        ids = self.server.post("/tokenize", {"content": prompt, "parse_special": True})["tokens"]
        answer = self.server.complete(ids, temperature=0, max_tokens=120)
        self.assertEqual(answer["choices"][0]["text"], self.text(QUESTION))

    def test_turns_are_told_apart(self):
        first = {"role": "assistant", "content": self.text(QUESTION)}
        again = {"role": "user", "content": "Hello!"}
        one = self.server.post("/apply-template", {"messages": [QUESTION]})["prompt"]
        three = self.server.post("/apply-template", {"messages": [QUESTION, first, again]})["prompt"]
        self.assertTrue(three.startswith(one + first["content"]), three)
        self.assertGreater(len(self.text(QUESTION, first, again)), 0)
        system = self.server.post("/apply-template", {"messages": [{"role": "system", "content": "Be kind."},
                                                                  QUESTION]})["prompt"]
        self.assertIn("Be kind.", system)

    def test_bench_reads_and_runs_it(self):
        bench = pathlib.Path(polder.POLDERD).with_name("polder-bench")
        if not bench.exists():
            self.skipTest("polder-bench is not built")
        env = {**os.environ, "POLDER_BACKEND_DIR": os.environ.get("PL_BACKEND_DIR", "")}
        for arguments in (("gguf", polder.DEMO), ("model", "--model", polder.DEMO, "-p", "16", "-n", "4", "-r", "1"),
                          ("tokenize", "--model", polder.DEMO)):
            done = subprocess.run([bench, *arguments], input="What is Polder?", capture_output=True, text=True,
                                  timeout=60, env=env, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(len(done.stdout), 0)


if __name__ == "__main__":
    if not polder.DEMO.exists():
        print(f"skipped: {polder.DEMO} is not here")
        sys.exit(polder.SKIPPED)
    unittest.main()
