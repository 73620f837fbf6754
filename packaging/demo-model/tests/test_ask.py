"""ask.py as a program, against a small server on loopback that answers from the questions' own file."""
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

ASK = pathlib.Path(__file__).resolve().parents[1] / "ask.py"


def question(n):
    return {"kind": "sum" if n % 2 else "fact", "intent": "x", "accept": {"exact": f"right {n}"},
            "messages": [{"role": "user", "content": str(n)}, {"role": "assistant", "content": f"right {n}"}]}


class Handler(http.server.BaseHTTPRequestHandler):
    """Right for all numbers below server.right_below; records what it is asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))
        n = int(body["messages"][-1]["content"])
        if self.server.status != 200:
            return self.reply(self.server.status, {"error": {"message": "no"}})
        text = f"right {n}" if n < self.server.right_below else "wrong"
        return self.reply(200, {"choices": [{"message": {"role": "assistant", "content": text}}]})

    def reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Ask(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.seen, self.server.status, self.server.right_below = [], 200, 10
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "heldout.jsonl"
        self.file.write_text("".join(json.dumps(question(n)) + "\n" for n in range(10)), encoding="utf-8")

    def ask(self, *args, url=None):
        url = url or f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        environment = dict(os.environ, OPENAI_API_KEY="plk_test")
        return subprocess.run([sys.executable, str(ASK), "--url", url, "--file", str(self.file), *args],
                              capture_output=True, text=True, env=environment, timeout=60)

    def test_all_right_ends_with_0(self):
        done = self.ask()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("all          10 of   10  100.0 %", done.stdout)

    def test_nine_of_ten_is_enough_and_eight_are_not(self):
        for right, code in ((9, 0), (8, 1)):
            self.server.right_below = right
            done = self.ask()
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertEqual(done.stdout.count("expected: right"), 10 - right)

    def test_min_sets_the_bar(self):
        self.server.right_below = 5
        self.assertEqual(self.ask("--min", "50").returncode, 0)
        self.assertEqual(self.ask("--min", "51").returncode, 1)

    def test_asks_at_temperature_0_with_the_key_and_without_the_answer(self):
        self.ask()
        self.assertEqual(len(self.server.seen), 10)
        for path, authorization, body in self.server.seen:
            self.assertEqual((path, authorization), ("/v1/chat/completions", "Bearer plk_test"))
            self.assertEqual(body["temperature"], 0)
            self.assertEqual([m["role"] for m in body["messages"]], ["user"])

    def test_writes_the_failures_as_markdown(self):
        self.server.right_below = 9
        self.ask("--markdown", str(self.folder / "out.md"))
        self.assertIn("| sum | 9 | wrong | right 9 |", (self.folder / "out.md").read_text(encoding="utf-8"))

    def test_a_server_that_fails_or_is_not_there_ends_with_2(self):
        self.server.status = 503
        done = self.ask()
        self.assertEqual((done.returncode, "503" in done.stderr), (2, True))
        self.assertEqual(self.ask(url="http://127.0.0.1:1/v1").returncode, 2)


if __name__ == "__main__":
    unittest.main()
