"""./run as a new user meets it: every line that it prints is pasted into a shell, and must answer.

RUN_BUILT: the build folder whose programs are taken, so that nothing is built here.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import polder

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = os.environ.get("RUN_BUILT", str(pathlib.Path(polder.POLDERD).resolve().parents[1]))
DEMO = ROOT / "packaging/demo-model/polder-demo.gguf"  # the very file that ./run takes
LABELS = ("API", "model", "curl", "Python", "JavaScript", "Python SDK", "Node SDK")


class Run:
    """./run, with what it has printed as {label: line}."""

    def __init__(self, *arguments, n_lines=len(LABELS)):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([ROOT / "run", "--built", BUILT, "--listen", "127.0.0.1:0", *arguments],
                                        stdout=subprocess.PIPE, stderr=self.log, cwd="/")
        self.lines, rest, end = {}, b"", time.monotonic() + polder.START_S
        while len(self.lines) < n_lines and time.monotonic() < end:
            if not select.select([self.process.stdout], [], [], 1)[0]:
                continue
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            rest += data
            *whole, rest = rest.split(b"\n")
            for line in whole:
                match = re.match(r"(\S+(?: SDK)?) {2,}(.+)", line.decode())
                if match:
                    self.lines[match.group(1)] = match.group(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        self.process.stdout.close()
        self.log.close()


def paste(line, cwd="/"):
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


class Lines(unittest.TestCase):
    def arguments(self):
        """None for the demo model; where it is not here, another one by path."""
        return () if DEMO.exists() else ("--model", str(polder.any_model().resolve()))

    def answers(self, run, label, cwd="/"):
        done = paste(run.lines[label], cwd)
        self.assertEqual((done.returncode, done.stderr if label != "curl" else ""), (0, ""), f"{label}: {done}")
        text = done.stdout
        if label == "curl":
            text = json.loads(text)["choices"][0]["message"]["content"]
        self.assertGreater(len(text.strip()), 3, label)
        if DEMO.exists():
            self.assertIn("Polder", text, label)
        return text.strip()

    def test_every_line_works_when_pasted(self):
        with Run(*self.arguments()) as run:
            self.assertEqual(tuple(sorted(run.lines)), tuple(sorted(LABELS)))
            self.assertRegex(run.lines["API"], r"^http://127\.0\.0\.1:\d+/v1 .*no key needed: only this machine")
            texts = [self.answers(run, "curl"), self.answers(run, "Python")]
            if shutil.which("node"):
                texts.append(self.answers(run, "JavaScript"))
            sdk = pathlib.Path(os.environ.get("SDK_DIR", "build/sdk"))
            if shutil.which("node") and (sdk / "node_modules/openai").exists():
                texts.append(self.answers(run, "Node SDK", sdk))
            if paste("python3 -c 'import openai'").returncode == 0:
                texts.append(self.answers(run, "Python SDK"))
            self.assertEqual(len(set(texts)), 1, texts)  # greedy: every client gets the same
            print(f"# {len(texts)} of 5 lines pasted: {texts[0]!r}")

    def test_ctrl_c_ends_it_all(self):
        with Run(*self.arguments()) as run:
            server = run.lines["API"].split()[0]
            children = polder.children(run.process.pid)
            run.process.send_signal(signal.SIGINT)
            self.assertEqual(run.process.wait(60), 0)
            self.assertTrue(polder.eventually(lambda: not any(map(polder.alive, children))))
            self.assertNotEqual(paste(f"curl -s {server}/models").returncode, 0)

    def test_a_unix_socket_has_a_curl_line(self):
        with tempfile.TemporaryDirectory() as folder:
            with Run(*self.arguments(), f"--listen=unix:{folder}/s", n_lines=3) as run:
                self.assertEqual(sorted(run.lines), ["API", "curl", "model"])
                self.answers(run, "curl")

    def test_check_asks_once(self):
        done = subprocess.run([ROOT / "run", "--built", BUILT, "--check", *self.arguments()], capture_output=True,
                              text=True, timeout=120, cwd="/", check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["object"], "chat.completion")

    def test_what_cannot_be_served_is_said_at_once(self):
        for model, code in (("./nothing.gguf", 2), ("no-such-name", 1), ("/etc/passwd", 1)):
            started = time.monotonic()
            done = subprocess.run([ROOT / "run", "--built", BUILT, "--check", "--model", model],
                                  capture_output=True, text=True, timeout=60, cwd="/", check=False)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
            self.assertLess(time.monotonic() - started, 30)


class Demo(unittest.TestCase):
    """polderd serve by itself."""

    def serve(self, env, *arguments):
        command = [polder.POLDERD, "serve", "--listen", "127.0.0.1:0", "--backend-dir",
                   os.environ.get("PL_BACKEND_DIR", ""), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **env})

    def test_serve_without_a_model_serves_the_demo_and_says_so(self):
        model = polder.any_model().resolve()
        process = self.serve({"POLDER_DEMO_MODEL": str(model)})
        ready = process.stdout.readline()
        self.assertIn(f"polderd: {model.stem} is ready at", ready)
        process.terminate()
        _, log = process.communicate(timeout=60)
        self.assertEqual(log.count(f"no --model: serving the demo model {model}"), 1, log)

    def test_the_build_tree_s_demo_model_is_found(self):
        link = pathlib.Path(BUILT) / "share/polder/polder-demo.gguf"
        if not link.exists():
            self.skipTest(f"{link} leads to no file")
        process = self.serve({"POLDER_DEMO_MODEL": ""})
        self.assertIn("polderd: polder-demo is ready at", process.stdout.readline())
        process.terminate()
        process.communicate(timeout=60)

    def test_a_demo_model_that_is_not_there_is_said(self):
        process = self.serve({"POLDER_DEMO_MODEL": "/nowhere.gguf"})
        out, log = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (2, ""))
        self.assertIn("POLDER_DEMO_MODEL: cannot read /nowhere.gguf", log)


if __name__ == "__main__":
    unittest.main()
