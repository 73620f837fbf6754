"""polderd as a process: start, drain, supervision, what it says and how it ends."""
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import polder

COMPLETIONS = "/v1/completions"
LONG = {"prompt": "Once upon a time", "max_tokens": 480, "ignore_eos": True, "temperature": 0}


def run(*arguments, env=None):
    return subprocess.run([polder.POLDERD, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})}, check=False)


class Life(unittest.TestCase):
    def test_usage_errors_are_one_line_and_code_2(self):
        rows = [
            ((), "a role is needed"),
            (("fly",), "unknown role 'fly'"),
            (("worker",), "--model FILE is required"),
            (("worker", "--model"), "--model needs a value"),
            (("worker", "--model", "m", "--kv-disk-mb", "5"), "--kv-disk-mb: needs --kv-disk-dir"),
            (("worker", "--model", "m", "--draft", "17"), "--draft: expected a whole number up to 16"),
            (("worker", "--model", "m", "--trust-socket"), "--trust-socket: needs --listen unix:"),
            (("worker", "--model", "m", "--no-prefix-cache=1"), "--no-prefix-cache takes no value"),
            (("worker", "--model", "m", "--bogus"), "unknown option '--bogus'"),
            (("worker", "--model", "m", "--threads", "x"), "--threads: expected a whole number"),
            (("worker", "--model", "m", "--threads=0"), "--threads: expected a whole number"),
            (("worker", "--model", "m", "--kv-type", "q4"), "--kv-type: unknown value 'q4'"),
            (("worker", "--model", "m", "--listen", "nowhere"), "nowhere"),
            (("serve", "--model", "m", "--listen", "0.0.0.0:1"), "--insecure"),
            (("serve", "--model", "m", "--listen", "[::]:1"), "--insecure"),
            (("worker", "--model", "m", "stray"), "unexpected argument 'stray'"),
        ]
        for arguments, message in rows:
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(message, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help_and_version_are_data(self):
        for arguments in (("--help",), ("serve", "--help"), ("worker", "--help"), ("--version",)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("polderd", done.stdout)
        self.assertIn("--shutdown-timeout", run("serve", "--help").stdout)

    def test_a_model_that_cannot_load_ends_with_its_message(self):
        bad = polder.SHARED / "data/bad-gguf"
        files = ["/nonexistent.gguf", "/etc/passwd"]
        files += [str(path) for path in sorted(bad.glob("*.gguf"))[:4] if path.name != "valid.gguf"]
        for role in ("worker", "serve"):
            for path in files:
                started = time.monotonic()
                done = run(role, "--model", path, "--listen", "127.0.0.1:0",
                           "--backend-dir", os.environ.get("PL_BACKEND_DIR", ""))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("error:", done.stderr)
                self.assertLess(time.monotonic() - started, 20)

    def test_a_busy_port_is_said(self):
        with polder.Server() as first:
            for role in ("worker", "serve"):
                done = run(role, "--model", str(polder.MODEL), "--listen", f"127.0.0.1:{first.port}")
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"127.0.0.1:{first.port}", done.stderr)

    def test_sigterm_finishes_what_runs(self):
        for role in ("worker", "serve"):
            with polder.Server(role=role) as server:
                solo = server.text(**LONG)
                streams = [server.stream(COMPLETIONS, LONG) for _ in range(8)]
                events = [stream.events() for stream in streams]
                for event in events:
                    next(event)
                server.process.terminate()
                for event in events:
                    rest = list(event)
                    self.assertEqual(rest[-1], "[DONE]")
                    text = "".join(c["text"] for e in rest[:-1] for c in e["choices"])
                    self.assertTrue(solo.endswith(text))
                self.assertEqual(server.process.wait(30), 0)
                with self.assertRaises(OSError):
                    server.ask("GET", "/health")

    def test_the_drain_has_a_deadline(self):
        with polder.Server("--shutdown-timeout", "0") as server:
            stream = server.stream(COMPLETIONS, LONG)
            next(stream.events())
            started = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertLess(time.monotonic() - started, 10)
            stream.vanish()

    def test_sighup_changes_nothing(self):
        with polder.Server(role="serve") as server:
            server.process.send_signal(signal.SIGHUP)
            os.kill(polder.children(server.process.pid)[0], signal.SIGHUP)
            self.assertEqual(server.ask("GET", "/health")[0], 200)
            self.assertTrue(polder.eventually(lambda: server.log().count("nothing to reload") == 2))

    def test_sigint_ends_it(self):
        with polder.Server(role="serve") as server:
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(server.process.wait(30), 0)


class Supervisor(unittest.TestCase):
    def test_a_killed_worker_is_restarted_on_the_same_port(self):
        with polder.Server(role="serve") as server:
            text = server.text("Once", max_tokens=20, temperature=0)
            for _ in range(2):
                worker = polder.children(server.process.pid)[0]
                os.kill(worker, polder.SIGKILL)
                server.wait_ready()
                self.assertNotEqual(polder.children(server.process.pid), [worker])
                self.assertTrue(polder.eventually(lambda: server.ask("GET", "/health")[0] == 200))
                self.assertEqual(server.text("Once", max_tokens=20, temperature=0), text)
            self.assertIn("ended by signal 9", server.log())
            self.assertEqual(server.stop(), 0)

    def test_connections_made_during_a_restart_are_served(self):
        with polder.Server(role="serve") as server:
            os.kill(polder.children(server.process.pid)[0], polder.SIGKILL)
            # Nobody listens in accept now, but the port is there: the connection waits for the next worker.
            polder.eventually(lambda: not polder.children(server.process.pid), 5, 0.001)
            status, _, _ = server.ask("GET", "/health")
            self.assertIn(status, (200, 503))

    def test_the_worker_dies_with_its_supervisor(self):
        with polder.Server(role="serve") as server:
            worker = polder.children(server.process.pid)[0]
            server.process.kill()
            server.process.wait()
            self.assertTrue(polder.eventually(lambda: not polder.alive(worker)))

    def test_a_stuck_drain_is_ended_by_a_second_signal(self):
        with polder.Server(role="serve") as server:
            streams = [server.stream(COMPLETIONS, LONG) for _ in range(16)]
            for stream in streams:
                next(stream.events())
            server.process.terminate()
            time.sleep(0.02)
            server.process.terminate()
            self.assertEqual(server.process.wait(15), 0)
            for stream in streams:
                stream.vanish()

    def test_readiness_is_passed_on_by_sd_notify(self):
        with tempfile.TemporaryDirectory() as folder:
            for role, name in (("serve", f"{folder}/a"), ("worker", f"{folder}/b"), ("serve", "@polder-test")):
                path = name if name[0] == "/" else f"\0{name[1:]}-{os.getpid()}"
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                listener.bind(path)
                listener.settimeout(30)
                with polder.Server(role=role, env={"NOTIFY_SOCKET": path.replace("\0", "@")}) as server:
                    self.assertIn(b"READY=1", listener.recv(4096))
                    self.assertEqual(server.stop(), 0)
                    self.assertIn(b"STOPPING=1", listener.recv(4096))
                listener.close()

    def test_a_unix_socket_serves(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/api.sock"
            for role in ("worker", "serve"):
                process = subprocess.Popen(
                    [polder.POLDERD, role, "--model", str(polder.MODEL), "--listen", f"unix:{path}",
                     "--backend-dir", os.environ.get("PL_BACKEND_DIR", "")],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                self.assertIn(b"is ready at unix:", process.stdout.readline())
                self.assertEqual(pathlib.Path(path).stat().st_mode & 0o777, 0o600)
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertIn(b"200 OK", client.recv(4096))
                client.close()
                process.terminate()
                self.assertEqual(process.wait(30), 0)
                process.stdout.close()

    def test_requests_in_flight_when_the_worker_dies_fail_clearly(self):
        with polder.Server(role="serve") as server:
            errors = []

            def client():
                try:
                    server.stream(COMPLETIONS, LONG).text()
                    errors.append(None)
                except Exception as error:  # noqa: BLE001
                    errors.append(error)

            threads = [threading.Thread(target=client) for _ in range(4)]
            for thread in threads:
                thread.start()
            polder.eventually(lambda: server.metric("vllm:num_requests_running") > 0, 5, 0.001)
            os.kill(polder.children(server.process.pid)[0], polder.SIGKILL)
            for thread in threads:
                thread.join(30)
                self.assertFalse(thread.is_alive())
            self.assertEqual(len(errors), 4)


if __name__ == "__main__":
    polder.need_model()
    unittest.main()
