"""A real worker shared by many: several texts, cached prefixes, who may say what, full queues, those who leave."""
import contextlib
import http.client
import json
import socket
import tempfile
import threading
import time
import unittest

import polder

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
STORY = "Once upon a time"
TALE = ("Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, "
        "she saw a big, red ball. She wanted to play with it, but it was too high. Lily's mom said, ")
LONG = {"prompt": STORY, "max_tokens": 480, "ignore_eos": True, "temperature": 0}
KEY = "plh-integration-test-key"
HOP = {"x-polder-hop": KEY}


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def mean(choice):
    values = choice["logprobs"]["token_logprobs"]
    return sum(values) / len(values)


class Several(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = polder.Server("--threads", "2")
        cls.addClassCleanup(cls.server.__exit__)

    def test_each_text_has_the_next_seed(self):
        fields = {"max_tokens": 30, "temperature": 0.9}
        several = self.server.complete(STORY, n=4, seed=5, **fields)
        alone = [self.server.complete(STORY, seed=5 + k, **fields) for k in range(4)]
        self.assertEqual([c["text"] for c in several["choices"]], [a["choices"][0]["text"] for a in alone])
        self.assertEqual([c["index"] for c in several["choices"]], [0, 1, 2, 3])
        self.assertEqual(several["usage"]["prompt_tokens"], alone[0]["usage"]["prompt_tokens"])
        self.assertEqual(several["usage"]["completion_tokens"],
                         sum(a["usage"]["completion_tokens"] for a in alone))

    def test_a_stream_of_several_says_the_same(self):
        fields = {"prompt": [STORY, "Tom had"], "n": 3, "max_tokens": 25, "seed": 1, "temperature": 0.8}
        whole = self.server.post(COMPLETIONS, fields)
        texts, finishes, usage = {}, {}, None
        stream = self.server.stream(COMPLETIONS, {**fields, "stream_options": {"include_usage": True}})
        for event in list(stream.events())[:-1]:
            usage = event["usage"] or usage
            for choice in event["choices"]:
                texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
                finishes[choice["index"]] = choice["finish_reason"] or finishes.get(choice["index"])
        stream.vanish()
        self.assertEqual([texts[i] for i in range(6)], [c["text"] for c in whole["choices"]])
        self.assertEqual([finishes[i] for i in range(6)], [c["finish_reason"] for c in whole["choices"]])
        self.assertEqual(usage["completion_tokens"], whole["usage"]["completion_tokens"])

    def test_best_of_tells_the_best_by_mean(self):
        fields = {"max_tokens": 20, "seed": 3, "temperature": 1.2, "logprobs": 0}
        made = self.server.complete(STORY, n=6, best_of=6, **fields)
        told = self.server.complete(STORY, n=2, best_of=6, **fields)
        ranked = sorted(made["choices"], key=mean, reverse=True)
        self.assertEqual([c["text"] for c in told["choices"]], [c["text"] for c in ranked[:2]])
        self.assertEqual(told["usage"]["completion_tokens"], made["usage"]["completion_tokens"])

    def test_many_texts_of_many_prompts(self):
        answer = self.server.complete([STORY, "The dog", "Lily"], n=40, max_tokens=4, temperature=1)
        self.assertEqual([c["index"] for c in answer["choices"]], list(range(120)))
        self.assertEqual(answer["usage"]["completion_tokens"], 480)
        self.assertTrue(polder.eventually(lambda: self.server.metric("vllm:num_requests_running") == 0))
        self.assertEqual(self.server.metric("vllm:kv_cache_usage_perc"), 0)

    def test_prompt_logprobs_are_those_of_an_echo(self):
        echo = self.server.complete(TALE, max_tokens=0, echo=True, logprobs=2)["choices"][0]["logprobs"]
        for _ in range(2):  # also once the prefix is cached
            answer = self.server.complete(TALE, max_tokens=1, prompt_logprobs=2, temperature=0)
            rows = answer["choices"][0]["prompt_logprobs"]
            ids = self.server.post("/tokenize", {"content": TALE, "add_special": True})["tokens"]
            self.assertEqual(len(rows), len(ids))
            self.assertIsNone(rows[0])
            for i in range(1, len(ids)):
                self.assertEqual(rows[i][str(ids[i])]["logprob"], echo["token_logprobs"][i])
                ranks = sorted(entry["rank"] for entry in rows[i].values() if entry["rank"])
                self.assertEqual(ranks[:2], [1, 2])
        chat = self.server.post(CHAT, {"messages": [{"role": "user", "content": STORY}], "max_tokens": 1,
                                       "prompt_logprobs": 0})
        self.assertIsNone(chat["prompt_logprobs"][0])
        self.assertTrue(all(len(row) == 1 for row in chat["prompt_logprobs"][1:]))

    def test_one_who_leaves_takes_all_texts_along(self):
        stream = self.server.stream(COMPLETIONS, {**LONG, "n": 16, "temperature": 1})
        next(stream.events())
        stream.vanish()
        self.assertTrue(polder.eventually(lambda: self.server.metric("vllm:num_requests_running") == 0))
        self.assertEqual(self.server.metric("vllm:kv_cache_usage_perc"), 0)

    def test_a_large_body_answers_as_a_small_one(self):
        for path, body, key in ((COMPLETIONS, {"prompt": STORY, "max_tokens": 12, "temperature": 0}, "choices"),
                                ("/tokenize", {"content": TALE}, "tokens")):
            small = self.server.post(path, body)
            large = self.server.post(path, {**body, "pad": "x" * 1_000_000})
            self.assertEqual(small[key], large[key])
        text = "word " * 200_000
        tokens = self.server.post("/tokenize", {"content": text})["tokens"]
        self.assertEqual(self.server.post("/detokenize", {"tokens": tokens})["content"].strip(), text.strip())


class Prefixes(unittest.TestCase):
    def test_what_was_computed_is_not_computed_again(self):
        with polder.Server() as server:
            fields = {"max_tokens": 20, "temperature": 0}
            first = server.complete(TALE, **fields)
            again = server.complete(TALE, **fields)
            self.assertEqual(cached(first), 0)
            self.assertGreater(cached(again), 0)
            self.assertLess(cached(again), again["usage"]["prompt_tokens"])
            self.assertEqual(first["choices"][0]["text"], again["choices"][0]["text"])
            stream = server.stream(COMPLETIONS, {"prompt": TALE, **fields,
                                                 "stream_options": {"include_usage": True}})
            usage = [e["usage"] for e in stream.events() if e != "[DONE]" and e["usage"]]
            stream.vanish()
            self.assertEqual(usage, [again["usage"]])
            self.assertEqual(server.metric("vllm:prefix_cache_hits_total"), 2 * cached(again))
            salted = server.complete(TALE, cache_salt="mine", **fields)
            self.assertEqual(cached(salted), 0)
            self.assertEqual(cached(server.complete(TALE, cache_salt="mine", **fields)), cached(again))
            self.assertEqual(cached(server.complete(TALE, cache_salt="other", **fields)), 0)
            self.assertEqual(server.complete(TALE, max_tokens=1, n=3)["usage"]["prompt_tokens"],
                             first["usage"]["prompt_tokens"])

    def test_no_prefix_cache_finds_nothing(self):
        with polder.Server("--no-prefix-cache") as server:
            answers = [server.complete(TALE, max_tokens=4, temperature=0) for _ in range(2)]
            self.assertEqual([cached(a) for a in answers], [0, 0])
            self.assertIn('enable_prefix_caching="False"', server.ask("GET", "/metrics")[2])

    def test_the_disk_tier_outlives_a_restart(self):
        with tempfile.TemporaryDirectory() as folder:
            texts = []
            for expected in (False, True):
                with polder.Server("--kv-disk-dir", folder, "--kv-disk-mb", "64") as server:
                    answer = server.complete(TALE, max_tokens=20, temperature=0)
                    self.assertEqual(cached(answer) > 0, expected, server.log())
                    texts.append(answer["choices"][0]["text"])
                    self.assertEqual(server.stop(), 0)
            self.assertEqual(texts[0], texts[1])

    def test_drafts_do_not_change_a_text(self):
        prompts = [TALE, STORY, "the dog and the cat and the dog and the cat and the dog and"]
        fields = {"max_tokens": 150, "temperature": 0, "ignore_eos": True}
        with polder.Server() as server:
            plain = [server.text(p, **fields) for p in prompts]
        with polder.Server("--draft", "4") as server:
            self.assertEqual([server.text(p, **fields) for p in prompts], plain)
            self.assertGreater(server.metric("vllm:spec_decode_num_draft_tokens_total"), 0)
            self.assertGreater(server.metric("vllm:spec_decode_num_accepted_tokens_total"), 0)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("polder", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


@contextlib.contextmanager
def hop_server(*options):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(KEY + "\n")
        file.flush()
        with polder.Server("--hop-key-file", file.name, *options) as server:
            yield server


def ask(server, headers, path=COMPLETIONS, **fields):
    body = {"prompt": TALE, "max_tokens": 2, "temperature": 0, **fields}
    return server.ask("POST", path, body, headers)


class Hops(unittest.TestCase):
    def test_organisations_share_nothing(self):
        with hop_server() as server:
            def hit(**headers):
                fields = {f"x-polder-{name}": value for name, value in headers.items()}
                status, _, answer = ask(server, {**HOP, **fields})
                self.assertEqual(status, 200, answer)
                return cached(answer) > 0
            self.assertEqual([hit(org="a"), hit(org="a"), hit(org="b"), hit(org="b")], [False, True, False, True])
            self.assertFalse(hit())
            self.assertTrue(hit(org="a", tenant="x"))  # tenants of one organisation do share
            # a forged organisation is everybody's: what the default one computed, not what "a" did
            status, _, answer = ask(server, {"x-polder-org": "a"}, prompt=TALE + " and")
            self.assertEqual((status, cached(answer) > 0), (200, True))
            page = server.ask("GET", "/metrics")[2]
            self.assertIn('polder:tenant_requests_total{model_name="stories260K",tenant="a"} 2\n', page)
            self.assertIn('polder:tenant_requests_total{model_name="stories260K",tenant="x"} 1\n', page)

    def test_nobody_else_is_believed(self):
        with hop_server() as server:
            self.assertEqual(ask(server, {"x-polder-hop": "plh-integration-test-kez"})[0], 401)
            status, _, answer = ask(server, {}, priority=1)
            self.assertEqual((status, answer["error"]["param"]), (400, "priority"))
            self.assertEqual(ask(server, HOP, priority=1)[0], 200)
            self.assertEqual(server.ask("POST", "/reset_prefix_cache")[0], 403)
            self.assertEqual(server.ask("POST", "/reset_prefix_cache", headers=HOP)[0], 200)
            self.assertEqual(cached(ask(server, HOP)[2]), 0)  # two requests before had left it there
            self.assertGreater(cached(ask(server, HOP)[2]), 0)

    def test_a_trusted_socket_needs_no_key(self):
        for trust in (["--trust-socket"], []):
            with tempfile.TemporaryDirectory() as folder, \
                    polder.Server("--listen", f"unix:{folder}/s", *trust) as server:
                self.assertEqual(server.url, f"unix:{folder}/s")
                found = []
                for org in ("a", "b"):
                    connection = UnixConnection(f"{folder}/s")
                    connection.request("POST", COMPLETIONS, json.dumps({"prompt": TALE, "max_tokens": 1}),
                                       {"x-polder-org": org})
                    found.append(cached(json.loads(connection.getresponse().read())) > 0)
                    connection.close()
                self.assertEqual(found, [False, not trust])

    def test_a_key_file_must_be_a_key(self):
        for text in ("", "short\n", "has a blank in it, though long\n", "x" * 300):
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(text)
                file.flush()
                server = polder.Server("--hop-key-file", file.name, wait=False)
                self.assertEqual(server.process.wait(30), 1)
                self.assertIn(file.name, server.log())
                server.__exit__()

    def test_the_urgent_go_first(self):
        with hop_server("--max-seqs", "1") as server:
            running = server.stream(COMPLETIONS, {**LONG, "n": 16})  # one after the other: the queue stays
            next(running.events())
            order, threads = [], []
            for name, priority in (("late", "5"), ("normal", "0"), ("urgent", "-5")):
                def one(name=name, priority=priority):
                    status, _, answer = ask(server, {**HOP, "x-polder-priority": priority}, max_tokens=8)
                    order.append(name if status == 200 else answer)
                threads.append(threading.Thread(target=one))
                threads[-1].start()
                want = 1 + len(threads)
                self.assertTrue(polder.eventually(
                    lambda want=want: server.metric("polder:calls") + len(order) >= want, 10, 0.001))
            running.vanish()
            for thread in threads:
                thread.join()
            self.assertEqual(order, ["urgent", "normal", "late"])

    def test_what_comes_too_late_is_504(self):
        with hop_server("--max-seqs", "1") as server:
            streams = [server.stream(COMPLETIONS, LONG) for _ in range(6)]
            next(streams[0].events())
            status, _, answer = ask(server, {**HOP, "x-polder-deadline-ms": "1"})
            self.assertEqual((status, answer["error"]["code"]), (504, "deadline_exceeded"), answer)
            for stream in streams:
                stream.vanish()
            self.assertEqual(ask(server, {**HOP, "x-polder-deadline-ms": "20000"})[0], 200)


class Queue(unittest.TestCase):
    def test_a_full_queue_says_when_to_come_back(self):
        with polder.Server("--max-seqs", "1", "--queue", "2") as server:
            streams = [server.stream(COMPLETIONS, LONG) for _ in range(24)]
            n_refused = 0
            for stream in streams:
                reply = stream.connection.getresponse()
                if reply.status == 200:
                    stream.answer = reply
                    self.assertTrue(stream.text())  # who is inside is not disturbed
                    continue
                n_refused += 1
                error = json.loads(reply.read())["error"]
                self.assertEqual((reply.status, error["code"], error["type"]), (429, "queue_full", "rate_limit_error"))
                self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
                self.assertEqual(int(reply.headers["retry-after-ms"]), 1000 * int(reply.headers["retry-after"]))
                stream.vanish()
            self.assertGreater(n_refused, 0)
            self.assertLess(n_refused, 24)
            page = server.ask("GET", "/metrics")[2]
            self.assertIn(f'polder:requests_refused_total{{model_name="stories260K",reason="queue_full"}} {n_refused}\n',
                          page)
            self.assertEqual(server.complete("a", max_tokens=1)["usage"]["completion_tokens"], 1)

    def test_who_leaves_the_queue_is_gone(self):
        with polder.Server("--max-seqs", "1") as server:
            first = server.stream(COMPLETIONS, LONG)
            events = first.events()
            next(events)
            waiting = [server.stream(COMPLETIONS, {**LONG, "n": 1 + i % 2}) for i in range(6)]
            self.assertTrue(polder.eventually(lambda: server.metric("vllm:num_requests_waiting") >= 6, 10, 0.001))
            for stream in waiting:
                stream.vanish()
            self.assertTrue(polder.eventually(lambda: server.metric("vllm:num_requests_waiting") == 0, 10, 0.001))
            self.assertEqual(list(events)[-1], "[DONE]")  # who runs is not disturbed
            first.vanish()
            status, _, load = server.ask("GET", "/load")
            self.assertEqual((status, load), (200, {"server_load": 0, "running": 0, "waiting": 0}))

    def test_large_prompts_do_not_hold_up_the_rest(self):
        with polder.Server("--threads", "1") as server:
            stop = threading.Event()

            def flood():
                while not stop.is_set():
                    server.ask("POST", "/tokenize", {"content": "word " * 200_000})

            threads = [threading.Thread(target=flood) for _ in range(2)]
            for thread in threads:
                thread.start()
            worst = 0.0
            for _ in range(20):
                began = time.monotonic()
                self.assertEqual(server.ask("GET", "/health")[0], 200)
                worst = max(worst, time.monotonic() - began)
            self.assertTrue(server.text(**LONG))
            stop.set()
            for thread in threads:
                thread.join()
            print(f"slowest /health beside 1 MB bodies: {worst * 1000:.1f} ms")


if __name__ == "__main__":
    polder.need_model()
    unittest.main()
