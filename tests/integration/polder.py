"""A real polderd for tests: starts it on a free loopback port, talks to it with the standard library only.

Environment: POLDERD (the program), PL_BACKEND_DIR (its plugins), PL_SHARED (reference data). Without the data a
test script exits 77, which CTest counts as skipped.
"""
import contextlib
import http.client
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

POLDERD = os.environ.get("POLDERD", "build/dev/bin/polderd")
SHARED = pathlib.Path(os.environ.get("PL_SHARED", "../shared"))
MODEL = SHARED / "data/models/stories260K.gguf"
START_S = 60  # sanitizer builds are slow
SKIPPED = 77


def need_model():
    if not MODEL.exists():
        print(f"skipped: {MODEL} is not here")
        sys.exit(SKIPPED)


class Server:
    """polderd in a role; use as a context manager."""

    def __init__(self, *options, role="worker", model=MODEL, env=None, wait=True):
        command = [POLDERD, role, "--model", str(model), "--listen", "127.0.0.1:0", *options]
        if os.environ.get("PL_BACKEND_DIR"):
            command += ["--backend-dir", os.environ["PL_BACKEND_DIR"]]
        self.log_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log_file,
                                        stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        self.url = ""
        if wait:
            self.wait_ready()

    def wait_ready(self):
        """Reads the line that says where it is ready."""
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if " is ready at " not in line:
            raise RuntimeError(f"no ready line but {line!r}; log:\n{self.log()}")
        self.url = line.rsplit(" ", 1)[1].strip()
        if self.url.startswith("unix:"):
            return
        self.host, port = self.url.removeprefix("http://").removesuffix("/v1").split(":")
        self.port = int(port)

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends it; what a sanitizer reported, also at the very end, fails the test."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        log = self.log()
        self.process.stdout.close()
        self.log_file.close()
        if any(mark in log for mark in ("Sanitizer", "runtime error:", "check failed:")):
            raise AssertionError(f"polderd complained:\n{log}")

    def stop(self, limit_s=60):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(limit_s)

    def connect(self, timeout_s=60):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body): the body as JSON where it is JSON."""
        connection = self.connect()
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if "json" in answer.headers.get("content-type", ""):
            return answer.status, answer.headers, json.loads(text)
        return answer.status, answer.headers, text.decode()

    def post(self, path, body):
        """The JSON of a request that must succeed."""
        status, _, answer = self.ask("POST", path, body)
        if status != 200:
            raise AssertionError(f"{path} {body}: {status} {answer}")
        return answer

    def complete(self, prompt, **fields):
        return self.post("/v1/completions", {"prompt": prompt, **fields})

    def text(self, prompt, **fields):
        return self.complete(prompt, **fields)["choices"][0]["text"]

    def metric(self, name, label=""):
        """The one value of a series; label tells it from others of the name: 'tier="disk"'."""
        _, _, page = self.ask("GET", "/metrics")
        values = [line.rsplit(" ", 1)[1] for line in page.splitlines()
                  if line.split("{")[0].split(" ")[0] == name and label in line]
        if len(values) != 1:
            raise AssertionError(f"{name}: {len(values)} series")
        return float(values[0])

    def stream(self, path, body):
        """A Stream that has sent its request."""
        return Stream(self, path, {**body, "stream": True})

    def figures(self, pid=None):
        """(descriptors, resident KiB, threads) of the process."""
        root = f"/proc/{pid or self.process.pid}"
        status = pathlib.Path(f"{root}/status").read_text()
        rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return len(os.listdir(f"{root}/fd")), rss, len(os.listdir(f"{root}/task"))


class Stream:
    """An answer as server-sent events, read as they come."""

    def __init__(self, server, path, body):
        self.connection = server.connect()
        self.connection.request("POST", path, json.dumps(body))
        self.answer = None

    def events(self):
        self.answer = self.answer or self.connection.getresponse()
        if self.answer.status != 200:
            raise AssertionError(f"{self.answer.status} {self.answer.read()}")
        for line in self.answer:
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data: "):
                data = line[6:].decode()
                yield data if data == "[DONE]" else json.loads(data)
            elif line:
                raise AssertionError(f"not an event: {line}")

    def text(self, pick=lambda choice: choice["text"]):
        """All the text; the stream must end with [DONE]."""
        events = list(self.events())
        self.connection.close()
        if events[-1] != "[DONE]":
            raise AssertionError(f"the stream ends with {events[-1]}")
        return "".join(pick(choice) or "" for event in events[:-1] for choice in event["choices"])

    def vanish(self):
        """Closes the socket without reading on."""
        if self.answer is not None:
            self.answer.close()
        self.connection.close()


def children(pid):
    """Process ids of a process's children."""
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(what, limit_s=20.0, step_s=0.02):
    """Waits until what() is true; its last value."""
    end = time.monotonic() + limit_s
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(step_s)


SIGKILL = signal.SIGKILL
