"""polderd model against a server that misbehaves: what is installed is whole and right, or nothing is."""
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import polder
from pull_server import File, ProxyHandler, Server, gguf

DATA = gguf(1 << 20)
OTHER = gguf(1 << 20, seed=2)
SHA = hashlib.sha256(DATA).hexdigest()
TOKEN = "hf_secretSECRETsecret"
FAST = ("--retry-delay", "10")
CLEAN = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
         "HF_TOKEN", "HF_ENDPOINT", "POLDER_MODEL_DIR", "STATE_DIRECTORY", "NO_COLOR", "COLUMNS")


class Pull(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name) / "models"

    # ---- tools ----

    def environment(self, env=None):
        clean = {k: v for k, v in os.environ.items() if k not in CLEAN}
        return {**clean, "POLDER_MODEL_DIR": str(self.dir), **(env or {})}

    def model(self, *arguments, env=None, **options):
        done = subprocess.run([polder.POLDERD, "model", *arguments], capture_output=True, text=True,
                              timeout=60, env=self.environment(env), check=False, **options)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertNotIn("runtime error:", done.stderr)
        self.assertNotIn(TOKEN, done.stderr + done.stdout)
        return done

    def start(self, *arguments, **options):
        return subprocess.Popen([polder.POLDERD, "model", *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment(), **options)

    def serve(self, files=None, **options):
        server = Server(files, **options)
        self.addCleanup(server.__exit__)
        return server

    def entries(self):
        return sorted(p.name for p in self.dir.iterdir()) if self.dir.exists() else []

    def assert_installed(self, done, data=DATA, name="m.gguf"):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"{self.dir}/{name}\n")
        self.assertEqual((self.dir / name).read_bytes(), data)
        record = (self.dir / (name + ".info")).read_text()
        self.assertIn("sha256 " + hashlib.sha256(data).hexdigest(), record)
        self.assertEqual([e for e in self.entries() if "part" in e or "lock" in e or "check" in e], [])

    def assert_failed(self, done, *texts, code=1, left=()):
        """The last line is the error, and the folder holds just what is said."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        last = done.stderr.splitlines()[-1]
        self.assertIn("error: ", last)
        for text in texts:
            self.assertIn(text, last)
        self.assertEqual(self.entries(), sorted(left))

    PARTS = ("m.gguf.part", "m.gguf.part.info")

    def pull(self, server, *arguments, path="/m.gguf", **options):
        return self.model("pull", server.url(path), *FAST, *arguments, **options)

    # ---- connections that break ----

    def test_a_broken_connection_is_resumed_where_it_broke(self):
        n = len(DATA)
        for reset in (False, True):
            for k in (0, 1, 3, 4, 1000, 65536, n // 2, n - 1):
                server = self.serve({"/m.gguf": File(DATA, [{"cut": k, "reset": reset}, {}])})
                self.assert_installed(self.pull(server))
                self.assertEqual(len(server.requests), 2, k)
                headers = server.requests[1][1]
                if k > 0 and not reset: # what was on its way when RST came may be lost
                    self.assertEqual(headers["Range"], f"bytes={k}-")
                    self.assertEqual(headers["If-Range"], '"v1"')
                elif k == 0:
                    self.assertNotIn("Range", headers)
                shutil.rmtree(self.dir)

    def test_many_breaks_in_a_row_gain_a_bit_each(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 70000}])})
        self.assert_installed(self.pull(server, "--retries", "1"))
        self.assertEqual(len(server.requests), -(-len(DATA) // 70000))

    def test_tries_that_gain_nothing_come_to_an_end(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000, "no_range": True}])})
        done = self.pull(server, "--retries", "3")
        self.assert_failed(done, "5.0 kB of 1.0 MB are kept", "again later", left=self.PARTS)
        self.assertEqual(len(server.requests), 4)  # one that gained, three that did not

    def test_a_stalled_connection_is_given_up_and_resumed(self):
        server = self.serve({"/m.gguf": File(DATA, [{"stall": (300000, 20)}, {}])})
        done = self.pull(server, "--stall-timeout", "1")
        self.assert_installed(done)
        self.assertIn("no data for 1 s", done.stderr)
        self.assertIn("bytes=", server.requests[1][1]["Range"])

    def test_last_modified_serves_where_there_is_no_etag(self):
        date = "Tue, 01 Sep 2026 10:00:00 GMT"
        for etag in (None, 'W/"weak"'):
            server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {}], etag=etag, modified=date)})
            self.assert_installed(self.pull(server))
            self.assertEqual(server.requests[1][1]["If-Range"], date)
            shutil.rmtree(self.dir)

    def test_without_any_version_a_part_is_used_only_under_a_digest(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {}], etag=None)})
        self.assert_installed(self.pull(server))
        self.assertNotIn("Range", server.requests[1][1])
        shutil.rmtree(self.dir)
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {}], etag=None)})
        self.assert_installed(self.pull(server, "--sha256", SHA))
        self.assertEqual(server.requests[1][1]["Range"], "bytes=5000-")

    def test_a_killed_pull_goes_on_where_it_was(self):
        server = self.serve({"/m.gguf": File(DATA, [{"slow": 1 << 20}, {}])})
        process = self.start("pull", server.url("/m.gguf"))
        part = self.dir / "m.gguf.part"
        self.assertTrue(polder.eventually(lambda: part.exists() and part.stat().st_size > 200000))
        process.kill()
        process.communicate()
        have = part.stat().st_size
        self.assertLess(have, len(DATA))
        self.assert_installed(self.pull(server))
        self.assertEqual(server.requests[1][1]["Range"], f"bytes={have}-")

    def test_ctrl_c_keeps_the_part_and_says_so(self):
        server = self.serve({"/m.gguf": File(DATA, [{"slow": 1 << 20}, {}])})
        process = self.start("pull", server.url("/m.gguf"))
        part = self.dir / "m.gguf.part"
        self.assertTrue(polder.eventually(lambda: part.exists() and part.stat().st_size > 200000))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertIn("the same command goes on from there", log)
        self.assertEqual(self.entries(), sorted(self.PARTS))
        self.assert_installed(self.pull(server))

    def test_a_part_from_before_a_restart_counts_as_far_as_it_was_synced(self):
        self.dir.mkdir()
        server = self.serve({"/m.gguf": File(DATA)})
        (self.dir / "m.gguf.part").write_bytes(DATA[:4096] + b"\0" * 5000)  # the tail never got there
        (self.dir / "m.gguf.part.info").write_text(
            f'polder-file 1\nurl {server.url("/m.gguf")}\netag "v1"\nsize {len(DATA)}\nbytes 4096\n'
            "boot 00000000-0000-0000-0000-000000000000\n")
        self.assert_installed(self.pull(server))
        self.assertEqual(server.requests[0][1]["Range"], "bytes=4096-")

    def test_a_damaged_part_is_found_by_the_digest(self):
        for damage in (b"x", b"GGUFx"):
            self.dir.mkdir()
            server = self.serve({"/m.gguf": File(DATA)})
            boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            (self.dir / "m.gguf.part").write_bytes(damage * 1000)
            (self.dir / "m.gguf.part.info").write_text(
                f'polder-file 1\nurl {server.url("/m.gguf")}\netag "v1"\nsize {len(DATA)}\nbytes 10\n'
                f"boot {boot}\n")
            done = self.pull(server, "--sha256", SHA)
            self.assert_installed(done)
            self.assertIn("its pieces do not make the expected file", done.stderr)
            shutil.rmtree(self.dir)

    def test_a_record_that_is_garbage_costs_the_part_only(self):
        for record in (b"", b"\xff\xfe\0", b"polder-file 1\n" + b"bytes 99999999999999999999\n" * 3,
                       b"polder-file 2\n", b"polder-file 1\nurl other\nbytes 5\n"):
            self.dir.mkdir()
            server = self.serve({"/m.gguf": File(DATA)})
            (self.dir / "m.gguf.part").write_bytes(b"rubbish" * 1000)
            (self.dir / "m.gguf.part.info").write_bytes(record)
            self.assert_installed(self.pull(server))
            self.assertNotIn("Range", server.requests[0][1])
            shutil.rmtree(self.dir)

    # ---- servers that change their mind ----

    def test_a_server_without_ranges_starts_again(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {"no_range": True}])})
        done = self.pull(server)
        self.assert_installed(done)
        self.assertIn("the server cannot resume: starting again", done.stderr)

    def test_a_changed_file_starts_again(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {"data": OTHER, "etag": '"v2"'}])})
        done = self.pull(server)
        self.assert_installed(done, OTHER)
        self.assertIn("has changed on the server", done.stderr)

    def test_a_range_of_another_file_is_not_appended(self):
        """A server that ignores If-Range: told by the entity tag, or by the size."""
        longer = OTHER + b"\0" * 400
        for step in ({"part_of": OTHER, "part_etag": '"v2"'}, {"part_of": longer}):
            server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, step, {}])})
            self.assert_installed(self.pull(server))
            self.assertEqual(["Range" in h for _, h in server.requests], [False, True, False])
            shutil.rmtree(self.dir)

    def test_pieces_of_two_files_are_found_by_the_digest(self):
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {"part_of": OTHER}, {}])})
        done = self.pull(server, "--sha256", SHA.upper())
        self.assert_installed(done)
        self.assertIn("its pieces do not make the expected file", done.stderr)
        self.assertEqual(len(server.requests), 3)

    def test_a_part_that_is_whole_needs_no_bytes(self):
        self.dir.mkdir()
        server = self.serve({"/m.gguf": File(DATA)})
        (self.dir / "m.gguf.part").write_bytes(DATA)
        (self.dir / "m.gguf.part.info").write_text(
            f'polder-file 1\nurl {server.url("/m.gguf")}\netag "v1"\nsize {len(DATA)}\nbytes {len(DATA)}\n')
        self.assert_installed(self.pull(server))  # 416 with the very size
        self.assertEqual(len(server.requests), 1)

    def test_a_416_of_a_shorter_file_starts_again(self):
        self.dir.mkdir()
        server = self.serve({"/m.gguf": File(DATA, [{"part_of": b"x"}, {}])})
        (self.dir / "m.gguf.part").write_bytes(DATA[:5000])
        (self.dir / "m.gguf.part.info").write_text(
            f'polder-file 1\nurl {server.url("/m.gguf")}\netag "v1"\nbytes 5000\n')
        self.assert_installed(self.pull(server))
        self.assertEqual(len(server.requests), 2)

    # ---- lengths that lie ----

    def test_a_length_that_is_too_long_ends_in_an_error(self):
        file = File(DATA, [{"length": len(DATA) + 100, "no_range": True}])
        self.assert_failed(self.pull(self.serve({"/m.gguf": file}), "--retries", "2"), "again later",
                           left=self.PARTS)

    def test_a_length_that_is_too_short_does_not_install(self):
        file = File(DATA, [{"length": len(DATA) - 100}])
        self.assert_failed(self.pull(self.serve({"/m.gguf": file})), "not installed, removed: gguf:")

    def test_chunks_and_open_ends_install_when_they_are_whole(self):
        for how in ("chunked", "close"):
            self.assert_installed(self.pull(self.serve({"/m.gguf": File(DATA, [{how: True}])})))
            shutil.rmtree(self.dir)
        cut = File(DATA, [{"close": True, "cut": 500000}])
        self.assert_failed(self.pull(self.serve({"/m.gguf": cut})), "not installed, removed: gguf:")

    def test_a_page_is_no_model_and_is_not_read_to_its_end(self):
        page = File(b"<!doctype html>" + b" " * 10000000)
        self.assert_failed(self.pull(self.serve({"/m.gguf": page})), "begins with '<!do'")

    def test_a_broken_model_is_not_installed(self):
        broken = DATA[:24] + b"\xff" * 100 + DATA[124:]
        self.assert_failed(self.pull(self.serve({"/m.gguf": File(broken)})), "not installed, removed: gguf:")

    # ---- answers that say no, or later ----

    def test_later_is_later(self):
        for status in (429, 503):
            steps = [{"status": status, "headers": {"Retry-After": "1"}}, {}]
            server = self.serve({"/m.gguf": File(DATA, steps)})
            started = time.monotonic()
            done = self.pull(server)
            self.assert_installed(done)
            self.assertGreaterEqual(time.monotonic() - started, 1.0)
            self.assertIn(f"answers {status}; try 1 of 8 in 1.0 s", done.stderr)
            shutil.rmtree(self.dir)

    def test_a_server_that_always_fails_is_given_up(self):
        for status in (500, 502, 503, 504, 429, 408):
            server = self.serve({"/m.gguf": File(DATA, [{"status": status}])})
            self.assert_failed(self.pull(server, "--retries", "2"), f"answers {status}")
            self.assertEqual(len(server.requests), 3)
        server = self.serve({"/m.gguf": File(DATA, [{"status": 503, "headers": {"Retry-After": "9999"}}])})
        self.assert_failed(self.pull(server), "answers 503")
        self.assertEqual(len(server.requests), 1)

    def test_no_is_no_at_once(self):
        rows = [(401, "asks for a token (401): pass --token-file"), (403, "asks for a token (403)"),
                (404, "no such file (404): /m.gguf"), (410, "no such file"), (400, "answers 400"),
                (204, "answers 204"), (304, "answers 304"), (300, "answers 300")]
        for status, text in rows:
            server = self.serve({"/m.gguf": File(DATA, [{"status": status}])})
            self.assert_failed(self.pull(server), text)
            self.assertEqual(len(server.requests), 1)

    def test_a_token_that_is_refused_is_said_so(self):
        token = pathlib.Path(self.folder.name) / "token"
        token.write_text(TOKEN + "\n")
        server = self.serve({"/m.gguf": File(DATA, [{"status": 403}])})
        done = self.pull(server, "--token-file", str(token))
        self.assert_failed(done, "refuses the token (403)")
        self.assertIn("can be read by others", done.stderr)

    # ---- digests ----

    def test_wrong_bytes_are_not_installed(self):
        server = self.serve({"/m.gguf": File(OTHER)})
        self.assert_failed(self.pull(server, "--sha256", SHA), "wrong sha256, removed", SHA,
                           hashlib.sha256(OTHER).hexdigest())
        self.assertEqual(len(server.requests), 1)

    def test_bad_digests_are_usage_errors(self):
        for text in ("abc", SHA[:-1] + "g", SHA + "0"):
            done = self.model("pull", "http://127.0.0.1:9/m.gguf", "--sha256", text)
            self.assert_failed(done, "64 hexadecimal digits", code=2)

    # ---- the Hub ----

    def hub(self, file, store=None, sha=SHA, size=len(DATA), path="/org/repo/resolve/main/m.gguf", **extra):
        """A hub that redirects to a store on another host, as the real one does."""
        store = store or self.serve({"/blob": file})
        linked = {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(size), "X-Repo-Commit": "c0ffee", **extra}
        step = {"redirect": store.url("/blob?signature=abc", host="localhost"), "extra": linked}
        return self.serve({path: File(plan=[step])}), store

    def pull_hub(self, hub, *arguments, source="hf:org/repo/m.gguf", env=None):
        return self.model("pull", source, *FAST, *arguments,
                          env={"HF_ENDPOINT": hub.url(""), "HF_TOKEN": TOKEN, **(env or {})})

    def test_the_token_goes_to_the_first_host_only(self):
        hub, store = self.hub(File(DATA, [{"cut": 5000}, {}]))
        done = self.pull_hub(hub)
        self.assert_installed(done)
        self.assertIn("(as expected)", done.stderr)
        self.assertEqual({h["Authorization"] for _, h in hub.requests}, {f"Bearer {TOKEN}"})
        self.assertTrue(all("Authorization" not in h for _, h in store.requests))
        self.assertEqual((len(hub.requests), len(store.requests)), (2, 2))
        self.assertEqual(store.requests[1][1]["Range"], "bytes=5000-")
        for entry in self.dir.iterdir():
            self.assertNotIn(TOKEN.encode(), entry.read_bytes())
        record = (self.dir / "m.gguf.info").read_text()
        self.assertIn(f"url {hub.url('/org/repo/resolve/main/m.gguf')}\n", record)
        self.assertIn("commit c0ffee\n", record)

    def test_the_token_stays_on_a_redirect_within_the_host(self):
        server = self.serve({"/org/repo/resolve/main/m.gguf": File(plan=[{"redirect": "/moved"}]),
                             "/moved": File(DATA)})
        self.assert_installed(self.pull_hub(server))
        self.assertEqual([h.get("Authorization") for _, h in server.requests], [f"Bearer {TOKEN}"] * 2)

    def test_the_environment_s_token_is_for_the_hub_alone(self):
        server = self.serve({"/m.gguf": File(DATA)})
        self.assert_installed(self.pull(server, env={"HF_TOKEN": TOKEN}))
        self.assertNotIn("Authorization", server.requests[0][1])
        shutil.rmtree(self.dir)
        self.assert_installed(self.pull(server, env={"HF_TOKEN": TOKEN, "HF_ENDPOINT": server.url("/")}))
        self.assertIn("Authorization", server.requests[1][1])

    def test_what_the_hub_announces_must_come(self):
        wrong = hashlib.sha256(b"").hexdigest()
        hub, _ = self.hub(File(DATA), sha=wrong)
        self.assert_failed(self.pull_hub(hub), "wrong sha256, removed", wrong, SHA)
        hub, store = self.hub(File(DATA), size=len(DATA) + 1)
        self.assert_failed(self.pull_hub(hub), "announced were")
        hub, store = self.hub(File(DATA))
        self.assert_failed(self.pull_hub(hub, "--sha256", wrong), "offers sha256")

    def test_a_store_cannot_announce(self):
        """X-Linked-* of a host that is not the first is nobody's word."""
        lie = {"X-Linked-Etag": hashlib.sha256(OTHER).hexdigest()}
        hub, _ = self.hub(File(DATA, [{"extra": lie}]))
        self.assert_installed(self.pull_hub(hub))

    def test_folders_revisions_and_strange_names_are_escaped(self):
        path = "/org/repo/resolve/refs%2Fpr%2F1/q%204/m.gguf"
        hub, _ = self.hub(File(DATA), path=path)
        self.assert_installed(self.pull_hub(hub, source="hf:org/repo/q 4/m.gguf@refs/pr/1"))
        self.assertEqual(hub.paths(), [path])

    def test_sources_that_are_none_are_usage_errors(self):
        rows = ["hf:org/repo", "hf:org", "hf:", "hf:/repo/m.gguf", "hf:org/repo/../m.gguf", "hf:org/../x/m.gguf",
                "hf:org/repo/m.gguf@", "hf:org/repo/m.bin", "hf:org/repo//m.gguf", "ftp://h/m.gguf",
                "file:///etc/passwd", "m.gguf", "http://", "http://:80/m.gguf", "https://u:p@h/m.gguf",
                "http://h\\@evil/m.gguf", "http://h:99999/m.gguf", "http://h/a b.gguf", "http://[::1/m.gguf",
                "http://h:8x/m.gguf", "-x", "http://h/\x01.gguf"]
        for source in rows:
            done = self.model("pull", source)
            self.assertEqual(done.returncode, 2, source)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertNotIn("u:p", self.model("pull", "https://u:p@h/m.gguf").stderr)

    # ---- places ----

    def test_redirects_have_limits(self):
        rows = [("/m.gguf", "more than 10 redirects"), ("file:///etc/passwd", "not followed"),
                ("ftp://127.0.0.1/m.gguf", "not followed"), ("http://192.0.2.1/m.gguf", "plain http to 192.0.2.1"),
                ("http://user:pw@127.0.0.1/", "not followed")]
        for place, text in rows:
            server = self.serve({"/m.gguf": File(plan=[{"redirect": place}])})
            self.assert_failed(self.pull(server), text)
            self.assertEqual(len(server.requests), 11 if place == "/m.gguf" else 1)
        server = self.serve({"/m.gguf": File(plan=[{"status": 302}])})
        self.assert_failed(self.pull(server), "redirects to nowhere")

    def test_plain_http_is_for_this_machine(self):
        done = self.model("pull", "http://192.0.2.1/m.gguf")
        self.assert_failed(done, "plain http to 192.0.2.1", "--insecure")
        for host in ("127.0.0.1.evil.example", "localhost.example", "127.1"):
            self.assert_failed(self.model("pull", f"http://{host}/m.gguf"), "--insecure")

    def test_names_from_outside_cannot_climb_or_hide(self):
        rows = [("/x/..%2f..%2fevil.gguf", None, "evil.gguf"), ("/.hidden.gguf", None, "hidden.gguf"),
                ("/a%20b%22c.gguf", None, "a_b_c.gguf"), ("/get", 'attachment; filename="../../up.gguf"', "up.gguf"),
                ("/get", "attachment; filename=plain.gguf", "plain.gguf"),
                ("/get", "attachment; filename*=UTF-8''..%2Fn%C3%A4me.gguf; filename=x.gguf", "n__me.gguf"),
                ("/get?file=m.gguf", 'inline; filename="-rf.gguf"', "rf.gguf"),
                ("/get", 'attachment; filename="C:\\\\dir\\\\win.gguf"', "win.gguf"),
                ("/get", 'attachment; filename="model.bin"', "model.bin.gguf")]
        for path, disposition, name in rows:
            extra = {"extra": {"Content-Disposition": disposition}} if disposition else {}
            server = self.serve({path.split("?")[0]: File(DATA, [extra])})
            self.assert_installed(self.pull(server, path=path), name=name)
            self.assertEqual(self.entries(), [name, name + ".info"])
            shutil.rmtree(self.dir)
        server = self.serve({"/get": File(DATA)})
        self.assert_failed(self.pull(server, path="/get"), "pass --name", code=2)
        self.assert_installed(self.pull(server, "--name", "own", path="/get"), name="own.gguf")
        for bad in ("../x", ".x", "a/b", "-x", "a b", "x" * 300):
            self.assertEqual(self.pull(server, "--name=" + bad, path="/get").returncode, 2)

    def test_the_folder_is_where_it_is_said(self):
        home = pathlib.Path(self.folder.name) / "home"
        server = self.serve({"/m.gguf": File(DATA)})
        rows = [({"POLDER_MODEL_DIR": f"{home}/a"}, "a"), ({"STATE_DIRECTORY": f"{home}/b"}, "b/models"),
                ({"XDG_DATA_HOME": f"{home}/c"}, "c/polder/models"),
                ({"HOME": f"{home}/d"}, "d/.local/share/polder/models"),
                ({"XDG_DATA_HOME": "relative", "HOME": f"{home}/e"}, "e/.local/share/polder/models")]
        for env, where in rows:
            if os.geteuid() == 0 and pathlib.Path("/var/lib/polder").is_dir() and "e" not in where:
                continue  # root's folder is the service's there
            done = self.pull(server, env={"POLDER_MODEL_DIR": "", **env})
            self.assertEqual(done.stdout, f"{home}/{where}/m.gguf\n", done.stderr)
        self.assertEqual(self.pull(server, "--dir", f"{home}/f").stdout, f"{home}/f/m.gguf\n")

    # ---- no network ----

    def test_offline_says_where_to_put_the_file(self):
        done = self.model("pull", "hf:org/repo/m.gguf", "--offline")
        self.assert_failed(done, f"put the file at {self.dir}/m.gguf by hand")
        server = self.serve({"/m.gguf": File(DATA)})
        self.assert_installed(self.pull(server))
        self.assertEqual(self.pull(server, "--offline").returncode, 0)
        self.assertEqual(len(server.requests), 1)

    def test_an_unreachable_server_is_one_line_with_a_way_out(self):
        with Server() as gone:
            url = gone.url("/m.gguf")
        plain = self.serve({"/m.gguf": File(DATA)}).url("/m.gguf").replace("http:", "https:")
        for source in (url, plain, "https://polder.invalid/m.gguf"):
            done = self.model("pull", source, *FAST)
            self.assert_failed(done, "cannot reach", "https_proxy", f"{self.dir}/m.gguf by hand")

    # ---- proxies ----

    def test_a_proxy_is_used_as_said(self):
        server = self.serve({"/m.gguf": File(DATA)})
        proxy = self.serve(handler=ProxyHandler)
        address = f"http://user:{TOKEN}@127.0.0.1:{proxy.port}"
        rows = [({"http_proxy": address}, (), 1), ({}, ("--proxy", address), 1),
                ({"http_proxy": address, "no_proxy": "127.0.0.1"}, (), 0)]
        for env, arguments, want in rows:
            before = len(proxy.requests)
            self.assert_installed(self.pull(server, *arguments, env=env))
            self.assertEqual(len(proxy.requests) - before, want)
            shutil.rmtree(self.dir)
        self.assertTrue(all("Proxy-Authorization" not in h for _, h in server.requests))
        proxy.files["refuse"] = 407
        self.assert_failed(self.pull(server, env={"http_proxy": address}), "407")
        self.assertEqual(self.pull(server, "--proxy", "gopher://x").returncode, 2)

    def certificate(self):
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        root = pathlib.Path(self.folder.name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", root / "key", "-out", root / "cert", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                       check=True, capture_output=True)
        return str(root / "cert"), str(root / "key")

    def test_tls_is_checked_and_goes_through_a_tunnel(self):
        tls = self.certificate()
        server = self.serve({"/m.gguf": File(DATA, [{"cut": 5000}, {}, {}, {"redirect": "http://127.0.0.1:1/m"}])},
                            tls=tls)
        done = self.pull(server)
        self.assert_failed(done, "127.0.0.1: ", "certificate")
        self.assertEqual(server.requests, [])
        self.assert_installed(self.pull(server, "--ca-file", tls[0]))
        shutil.rmtree(self.dir)
        token = pathlib.Path(self.folder.name) / "token"
        token.write_text(TOKEN)
        proxy = self.serve(handler=ProxyHandler)
        self.assert_installed(self.pull(server, "--token-file", str(token), "--ca-file", tls[0],
                                        env={"https_proxy": f"http://127.0.0.1:{proxy.port}"}))
        self.assertEqual(proxy.paths(), [f"127.0.0.1:{server.port}"])
        self.assertNotIn("Authorization", proxy.requests[0][1])
        self.assertEqual(server.requests[-1][1]["Authorization"], f"Bearer {TOKEN}")
        shutil.rmtree(self.dir)
        done = self.pull(server, env={"SSL_CERT_FILE": tls[0]})
        self.assert_failed(done, "from https to plain http")
        proxy.files["refuse"] = 403
        done = self.pull(server, env={"https_proxy": f"http://127.0.0.1:{proxy.port}"})
        self.assert_failed(done, "403")

    # ---- disks ----

    def test_a_full_disk_keeps_the_part(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))

        server = self.serve({"/m.gguf": File(DATA)})
        done = self.pull(server, preexec_fn=limit)
        self.assert_failed(done, "no room left", "are kept", "make room, then run the same again",
                           left=self.PARTS)
        self.assertEqual((self.dir / "m.gguf.part").read_bytes(), DATA[:300000][
            :(self.dir / "m.gguf.part").stat().st_size])
        self.assert_installed(self.pull(server))
        self.assertIn("Range", server.requests[1][1])

    def test_a_small_disk_is_seen_before_and_in_the_middle(self):
        self.dir.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", self.dir],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a tmpfs here")
        try:
            server = self.serve({"/m.gguf": File(DATA, [{}, {"chunked": True}])})
            done = self.pull(server)
            self.assert_failed(done, "needs 1.0 MB more", "free")
            done = self.pull(server)
            self.assert_failed(done, "no room left", "are kept", left=self.PARTS)
            have = (self.dir / "m.gguf.part").stat().st_size
            self.assertEqual((self.dir / "m.gguf.part").read_bytes(), DATA[:have])
        finally:
            subprocess.run(["umount", self.dir], check=True)

    def test_a_folder_that_cannot_be_made_is_said(self):
        blocker = pathlib.Path(self.folder.name) / "file"
        blocker.write_text("")
        done = self.model("pull", "http://127.0.0.1:9/m.gguf", "--dir", str(blocker / "x"))
        self.assert_failed(done, str(blocker))

    # ---- two at a time ----

    def test_two_pulls_of_one_model_do_not_mix(self):
        server = self.serve({"/m.gguf": File(DATA, [{"slow": 1 << 20}])})
        first = self.start("pull", server.url("/m.gguf"))
        self.assertTrue(polder.eventually(lambda: (self.dir / "m.gguf.part").exists()))
        second = self.pull(server)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"'m' is being pulled or removed by another process, pid {first.pid}", second.stderr)
        self.assertEqual(self.model("remove", "m").returncode, 1)
        out, log = first.communicate(timeout=30)
        self.assertEqual(first.returncode, 0, log)
        self.assertEqual((self.dir / "m.gguf").read_bytes(), DATA)
        self.assertEqual(self.entries(), ["m.gguf", "m.gguf.info"])

    def test_many_pulls_at_once_install_once(self):
        server = self.serve({"/m.gguf": File(DATA)})
        processes = [self.start("pull", server.url("/m.gguf")) for _ in range(12)]
        codes = [(p.communicate(timeout=60), p.returncode)[1] for p in processes]
        self.assertIn(0, codes)
        self.assertLessEqual(set(codes), {0, 1})
        self.assertEqual(len(server.requests), 1)
        self.assertEqual((self.dir / "m.gguf").read_bytes(), DATA)
        self.assertEqual(self.entries(), ["m.gguf", "m.gguf.info"])

    # ---- what is here already ----

    def test_what_is_here_is_not_fetched_again(self):
        server = self.serve({"/m.gguf": File(DATA), "/other/m.gguf": File(OTHER)})
        self.assert_installed(self.pull(server))
        for arguments in ((), ("--sha256", SHA)):
            self.assert_installed(self.pull(server, *arguments))
        self.assertEqual(len(server.requests), 1)
        done = self.pull(server, path="/other/m.gguf")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is here already, from", done.stderr)
        done = self.pull(server, "--sha256", hashlib.sha256(OTHER).hexdigest(), path="/other/m.gguf")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--force replaces it", done.stderr)
        self.assert_installed(self.pull(server, "--force", path="/other/m.gguf"), OTHER)

    # ---- split models ----

    def shards(self, n=3):
        return {f"/s-{i + 1:05d}-of-{n:05d}.gguf": gguf(200000 + 4 * i, seed=10 + i, shard=(i, n))
                for i in range(n)}

    def test_a_split_model_comes_whole(self):
        shards = self.shards()
        for any_shard in list(shards):
            server = self.serve({path: File(data, [{}, {"cut": 5000}, {}]) for path, data in shards.items()})
            done = self.pull(server, path=any_shard)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, f"{self.dir}/s-00001-of-00003.gguf\n")
            for path, data in shards.items():
                self.assertEqual((self.dir / path[1:]).read_bytes(), data)
            self.assertEqual(len(self.entries()), 6)
            self.assertEqual(self.model("path", "s").stdout, done.stdout)
            self.assertEqual(self.pull(server, path=any_shard).returncode, 0)
            self.assertEqual(self.model("remove", "s").returncode, 0)
            self.assertEqual(self.entries(), [])

    def test_a_split_model_with_a_missing_shard_is_not_there(self):
        shards = self.shards()
        files = {path: File(data) for path, data in shards.items()}
        last = files.pop("/s-00003-of-00003.gguf")
        server = self.serve(files)
        done = self.pull(server, path="/s-00001-of-00003.gguf")
        self.assert_failed(done, "no such file (404): /s-00003-of-00003.gguf")
        server.files["/s-00003-of-00003.gguf"] = last
        last.plan = [{}, {"status": 404}, {}]
        done = self.pull(server, path="/s-00001-of-00003.gguf")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.model("path", "s").returncode, 1)
        before = len(server.requests)
        self.assertEqual(self.pull(server, path="/s-00001-of-00003.gguf").returncode, 0)
        bodies = [path for path, _ in server.requests[before + 3:]]  # after the three questions for sizes
        self.assertEqual(bodies, ["/s-00003-of-00003.gguf"])

    def test_a_split_model_of_two_models_is_not_installed(self):
        files = {path: File(data) for path, data in self.shards().items()}
        files["/s-00002-of-00003.gguf"] = File(gguf(200000, seed=99, shard=(2, 3)))
        done = self.pull(self.serve(files), path="/s-00001-of-00003.gguf")
        self.assert_failed(done, "not installed, removed: gguf: shard")

    def test_later_shards_come_from_the_commit_of_the_first(self):
        shards, files = self.shards(), {}
        for i, (path, data) in enumerate(shards.items()):
            linked = {"X-Linked-Etag": hashlib.sha256(data).hexdigest(), "X-Repo-Commit": "c0ffee"}
            for revision in ("main", "c0ffee"):
                files[f"/org/repo/resolve/{revision}{path}"] = File(data, [{"extra": linked}])
            if i > 0:
                files[f"/org/repo/resolve/main{path}"].plan += [{"status": 500}]
        server = self.serve(files)
        done = self.pull_hub(server, source="hf:org/repo/s-00001-of-00003.gguf")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("/org/repo/resolve/c0ffee/s-00003-of-00003.gguf", server.paths())
        again = self.pull_hub(server, source="hf:org/repo/s-00001-of-00003.gguf")
        self.assertIn("already here", again.stderr)

    # ---- list, path, remove ----

    def test_list_path_and_remove(self):
        self.assertEqual(self.model("list").stdout, "")
        self.assertEqual(json.loads(self.model("list", "--json").stdout), [])
        server = self.serve({"/m.gguf": File(DATA), "/half.gguf": File(DATA, [{"cut": 500000}])})
        self.assert_installed(self.pull(server))
        self.pull(server, "--retries", "0", path="/half.gguf")
        (self.dir / "by-hand.gguf").write_bytes(DATA)
        models = {m["name"]: m for m in json.loads(self.model("list", "--json").stdout)}
        self.assertEqual(sorted(models), ["by-hand", "half", "m"])
        self.assertEqual((models["m"]["sha256"], models["m"]["bytes"], models["m"]["whole"]),
                         (SHA, len(DATA), True))
        self.assertEqual(models["m"]["url"], server.url("/m.gguf"))
        self.assertEqual((models["half"]["whole"], models["half"]["size"]), (False, len(DATA)))
        self.assertIsNone(models["by-hand"]["sha256"])
        table = self.model("list").stdout.splitlines()
        self.assertRegex(table[2], r"^half +0\.5 +47 % +http://")
        self.assertEqual(self.model("path", "m").stdout, f"{self.dir}/m.gguf\n")
        self.assertEqual(self.model("path", "m.gguf").stdout, f"{self.dir}/m.gguf\n")
        for verb in ("path", "remove"):
            for name, code in (("nope", 1), ("../m", 2), ("", 2)):
                done = self.model(verb, name)
                self.assertEqual((done.returncode, done.stdout), (code, ""), (verb, name))
        self.assertEqual(self.model("path", "half").returncode, 1)
        for name in ("m", "half", "by-hand.gguf"):
            self.assertEqual(self.model("remove", name).returncode, 0)
        self.assertEqual(self.entries(), [])

    def test_usage_errors_are_one_line_and_code_2(self):
        for arguments in ((), ("fly",), ("pull",), ("path",), ("list", "x"), ("list", "--force"), ("pull", "--x"),
                          ("pull", "a", "b"), ("pull", "--retries", "x"), ("pull", "--dir="), ("remove",)):
            done = self.model(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("--sha256", self.model("--help").stdout)

    # ---- how it looks ----

    def on_terminal(self, url, columns, env):
        """What a terminal of so many columns gets to see."""
        mine, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([polder.POLDERD, "model", "pull", url], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=its,
                                   env=self.environment({"TERM": "xterm", **env}))
        os.close(its)
        seen = b""
        with contextlib.suppress(OSError):
            while data := os.read(mine, 4096):
                seen += data
        os.close(mine)
        self.assertEqual(process.wait(30), 0)
        return seen.decode()

    def test_the_bar_fits_the_terminal(self):
        rows = [(80, {}, 80, True), (40, {}, 40, False), (58, {}, 58, True), (200, {"COLUMNS": "60"}, 60, True),
                (20, {}, 20, False), (3, {}, 3, False), (80, {"NO_COLOR": "1"}, 80, True)]
        for columns, env, limit, bar in rows:
            server = self.serve({"/m.gguf": File(DATA, [{"slow": 1 << 20}])})
            seen = self.on_terminal(server.url("/m.gguf"), columns, env)
            drawn = [re.sub(r"\033\[[0-9;]*[mK]", "", line) for line in re.split(r"[\r\n]+", seen)
                     if "installed" not in line]
            self.assertLessEqual(max(map(len, drawn)), limit - 1, drawn)
            self.assertEqual(any("[" in line and "#" in line for line in drawn), bar, drawn)
            self.assertEqual("\033[36m" in seen, bar and "NO_COLOR" not in env)
            if columns == 80:
                self.assertTrue(any(re.search(r"\d %  .*MB  .*/s", line) for line in drawn), drawn)
            shutil.rmtree(self.dir)

    def test_elsewhere_there_are_plain_lines(self):
        server = self.serve({"/m.gguf": File(DATA, [{"slow": 180000}])})
        done = self.pull(server)
        self.assert_installed(done)
        self.assertRegex(done.stderr, r"(?m)^polderd: m\.gguf: \d+ %  .* of 1\.0 MB  .*/s  0:\d\d$")
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("\033", done.stderr)

    # ---- serving ----

    def test_a_pulled_model_is_served_by_its_name(self):
        model = polder.any_model()
        server = self.serve({"/tiny.gguf": File(model.read_bytes())})
        folders = [name for name in sorted(os.listdir()) if os.path.isdir(name) and name.isalnum()]
        names = ["tiny", *folders[:1]]  # a folder of that name here is no model
        for role, name in zip(("serve", "worker", "serve"), [*names, "tiny"]):
            self.pull(server, "--name", name, path="/tiny.gguf")
            with polder.Server(role=role, model=name, env={"POLDER_MODEL_DIR": str(self.dir)}) as worker:
                _, _, models = worker.ask("GET", "/v1/models")
                self.assertEqual(models["data"][0]["id"], name)
        done = subprocess.run([polder.POLDERD, "serve", "--model", "nope"], capture_output=True, text=True,
                              env=self.environment(), timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such file, and no pulled model of that name", done.stderr)


if __name__ == "__main__":
    unittest.main()
