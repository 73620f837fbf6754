"""The API of a real worker with a real (tiny) model, as clients see it."""
import json
import os
import threading
import time
import unittest

import polder

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
STORY = "Once upon a time"


def chat(content, **fields):
    return {"messages": [{"role": "user", "content": content}], **fields}


def reference():
    return json.loads((polder.SHARED / "data/models/stories260K.json").read_text())


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = polder.Server("--threads", "2", "--kv-type", "f32")
        cls.addClassCleanup(cls.server.__exit__)

    # ---- text ----

    @polder.needs_stories
    def test_greedy_text_equals_the_stored_one(self):
        for sequence in reference()["sequences"]:
            if "greedy" not in sequence:
                continue
            ids = sequence["greedy"]["ids"]
            for prompt in (sequence["tokens"], sequence["text"]):
                if not prompt:
                    continue
                answer = self.server.complete(prompt, max_tokens=len(ids), temperature=0, logprobs=0)
                want = self.server.post("/detokenize", {"tokens": sequence["tokens"] + ids})
                whole = self.server.post("/detokenize", {"tokens": sequence["tokens"]})
                # Right after BOS the model's first word keeps the space that a whole text drops.
                got = (whole["content"] + answer["choices"][0]["text"]).replace("<s> ", "<s>")
                self.assertEqual(got, want["content"])
                self.assertEqual(answer["usage"]["prompt_tokens"], len(sequence["tokens"]))

    @polder.needs_stories
    def test_tokens_equal_the_stored_ones(self):
        for sequence in reference()["sequences"]:
            answer = self.server.post("/tokenize", {"content": sequence["text"], "add_special": True})
            self.assertEqual(answer["tokens"], sequence["tokens"])

    @polder.needs_stories
    def test_a_chat_without_a_template_continues_the_text(self):
        answer = self.server.post(CHAT, chat(STORY, max_tokens=12, temperature=0))
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["choices"][0]["message"]["content"],
                         self.server.text(STORY, max_tokens=12, temperature=0))
        template = self.server.post("/apply-template", chat(STORY))
        self.assertEqual(template, {"prompt": STORY, "fallback": "plain"})

    def test_a_seed_repeats_and_other_seeds_differ(self):
        texts = [self.server.text(STORY, max_tokens=60, temperature=1.8, seed=s) for s in (1, 1, 2, 3)]
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(len(set(texts)), 3)
        free = {self.server.text(STORY, max_tokens=60, temperature=1.8) for _ in range(3)}
        self.assertEqual(len(free), 3)

    def test_top_k_one_and_top_p_zero_are_greedy(self):
        greedy = self.server.text(STORY, max_tokens=30, temperature=0)
        self.assertEqual(self.server.text(STORY, max_tokens=30, top_k=1), greedy)
        self.assertEqual(self.server.text(STORY, max_tokens=30, top_p=0), greedy)

    def test_stop_strings_end_the_text_before_them(self):
        whole = self.server.text(STORY, max_tokens=60, temperature=0)
        answer = self.server.complete(STORY, max_tokens=60, temperature=0, stop=["Lily", "zzz"])
        self.assertEqual(answer["choices"][0]["text"], whole.split("Lily")[0])
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
        streamed = self.server.stream(COMPLETIONS, {"prompt": STORY, "max_tokens": 60, "temperature": 0,
                                                    "stop": "Lily"}).text()
        self.assertEqual(streamed, whole.split("Lily")[0])

    @polder.needs_stories
    def test_a_banned_token_does_not_appear(self):
        comma = self.server.post("/tokenize", {"content": "time,"})["tokens"][-1]
        text = self.server.text(STORY, max_tokens=40, temperature=0, logit_bias={str(comma): -100})
        self.assertNotIn(",", text)
        self.assertIn(",", self.server.text(STORY, max_tokens=40, temperature=0))

    def test_a_stream_says_the_same_as_the_whole(self):
        fields = {"prompt": STORY, "max_tokens": 80, "temperature": 0.8, "seed": 7}
        self.assertEqual(self.server.stream(COMPLETIONS, fields).text(), self.server.text(**fields))
        body = chat(STORY, max_tokens=80, temperature=0.8, seed=7)
        streamed = self.server.stream(CHAT, body).text(lambda c: c["delta"].get("content"))
        self.assertEqual(streamed, self.server.post(CHAT, body)["choices"][0]["message"]["content"])

    def test_the_context_s_end_is_a_length_stop(self):
        answer = self.server.complete(STORY, max_tokens=100000, temperature=0, ignore_eos=True)
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        _, _, models = self.server.ask("GET", "/v1/models")
        self.assertEqual(answer["usage"]["total_tokens"], models["data"][0]["max_model_len"])

    # ---- log probabilities ----

    def test_echo_scores_a_text_as_harnesses_do(self):
        text = STORY + ", there was a little girl"
        answer = self.server.complete(text, max_tokens=1, temperature=0, echo=True, logprobs=1)
        lp = answer["choices"][0]["logprobs"]
        n = answer["usage"]["prompt_tokens"]
        self.assertTrue(answer["choices"][0]["text"].startswith(text))
        self.assertEqual({len(lp[key]) for key in lp}, {n + 1})
        self.assertIsNone(lp["token_logprobs"][0])
        self.assertIsNone(lp["top_logprobs"][0])
        self.assertTrue(all(value <= 0 for value in lp["token_logprobs"][1:]))
        for token, logprob, top in list(zip(lp["tokens"], lp["token_logprobs"], lp["top_logprobs"]))[1:]:
            self.assertEqual(top[token], logprob)
            self.assertLessEqual(logprob, max(top.values()))
        whole = answer["choices"][0]["text"]
        for i, offset in enumerate(lp["text_offset"][1:], 1):
            token = lp["tokens"][i]
            self.assertTrue(whole[offset:].startswith(token.lstrip() if offset == 0 else token),
                            (i, offset, token))
        scored = self.server.complete(text, max_tokens=0, echo=True, logprobs=1)
        self.assertEqual(scored["choices"][0]["text"], text)
        self.assertEqual(scored["choices"][0]["logprobs"]["token_logprobs"], lp["token_logprobs"][:n])

    def test_prompts_as_ids_score_the_same(self):
        text = STORY + ", there was"
        ids = self.server.post("/tokenize", {"content": text, "add_special": True})["tokens"]
        by_text = self.server.complete(text, max_tokens=0, echo=True, logprobs=2)
        by_ids = self.server.complete([ids, ids[:3]], max_tokens=0, echo=True, logprobs=2)
        self.assertEqual(by_ids["choices"][0]["logprobs"]["token_logprobs"],
                         by_text["choices"][0]["logprobs"]["token_logprobs"])
        self.assertEqual(len(by_ids["choices"][1]["logprobs"]["tokens"]), 3)

    def test_chat_logprobs_carry_bytes_and_alternatives(self):
        answer = self.server.post(CHAT, chat(STORY, max_tokens=5, temperature=0, logprobs=True,
                                             top_logprobs=3))
        content = answer["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(content), 5)
        for entry in content:
            self.assertEqual(bytes(entry["bytes"]).decode(), entry["token"])
            self.assertEqual(len(entry["top_logprobs"]), 3)
            self.assertEqual(entry["top_logprobs"][0]["token"], entry["token"])  # greedy

    # ---- what is refused ----

    def test_bad_requests_name_the_field(self):
        rows = [
            (CHAT, b"{", 400, None),
            (CHAT, b"\xff", 400, None),
            (CHAT, b"[" * 100000, 400, None),
            (CHAT, {}, 400, "messages"),
            (CHAT, chat(7), 400, "messages[0].content"),
            (CHAT, chat("a", temperature="hot"), 400, "temperature"),
            (CHAT, chat("a", max_tokens=0), 400, "max_tokens"),
            (CHAT, chat("a", model="other"), 404, "model"),
            (CHAT, chat("word " * 2000), 400, "messages"),
            (COMPLETIONS, {"prompt": [1, 10000000]}, 400, "prompt"),
            (COMPLETIONS, {"prompt": "a", "n": 129}, 400, "n"),
            (COMPLETIONS, {"prompt": "a", "n": 3, "best_of": 2}, 400, "best_of"),
            (COMPLETIONS, {"prompt": "a", "best_of": 2, "stream": True}, 400, "best_of"),
            (COMPLETIONS, {"prompt": "a", "priority": 1}, 400, "priority"),
            (COMPLETIONS, {"prompt": "a", "suffix": "b"}, 400, "suffix"),
            (COMPLETIONS, {"prompt": "x" * 10_000_000}, 400, "prompt"),
        ]
        for path, body, want_status, want_param in rows:
            status, _, answer = self.server.ask("POST", path, body)
            self.assertEqual(status, want_status, (str(body)[:80], answer))
            self.assertEqual(answer["error"]["param"], want_param, answer)
            self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        status, _, answer = self.server.ask("POST", COMPLETIONS, {"prompt": "word " * 2000})
        self.assertEqual(answer["error"]["code"], "context_length_exceeded")
        self.assertIn("context length", answer["error"]["message"])

    def test_a_body_beyond_the_limit_is_413(self):
        connection = self.server.connect()
        connection.putrequest("POST", CHAT)
        connection.putheader("Content-Length", str(17 << 20))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    # ---- many at once, and those who leave ----

    def test_clients_that_vanish_harm_nobody(self):
        solo = [self.server.text(STORY, max_tokens=150, temperature=0.9, seed=i) for i in range(64)]
        texts, errors = [None] * 64, []
        before = None
        for round_ in range(3):
            go = threading.Barrier(64)
            threads = [threading.Thread(target=self.one_client, args=(i, go, texts, errors))
                       for i in range(64)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(errors, [])
            for i in range(0, 64, 2):
                self.assertEqual(texts[i], solo[i], f"client {i}, round {round_}")
            self.assertTrue(polder.eventually(lambda: self.idle()), self.server.figures())
            if before is None:  # buffers have grown to what this load takes
                time.sleep(0.2)
                before = self.server.figures()
        # The polls themselves are connections: one may still be closing.
        self.assertTrue(polder.eventually(lambda: self.server.figures()[0] <= before[0]))
        after = self.server.figures()
        if not os.environ.get("PL_SANITIZE"):  # sanitizers keep freed memory on purpose
            self.assertLessEqual(after[1], before[1] + 4096)
        self.assertEqual(after[2], before[2])
        self.assertEqual(self.server.metric("vllm:kv_cache_usage_perc"), 0)

    def one_client(self, i, go, texts, errors):
        try:
            stream = polder.Stream(self.server, COMPLETIONS, {
                "prompt": STORY, "max_tokens": 150, "temperature": 0.9, "seed": i, "stream": True})
            go.wait()
            if i % 2 == 0:
                texts[i] = stream.text()
            else:
                for n, _ in enumerate(stream.events()):
                    if n == i // 4:
                        break
                stream.vanish()
        except Exception as error:  # noqa: BLE001 (a thread's failure is the test's)
            errors.append(f"client {i}: {error!r}")

    def idle(self):
        return self.server.metric("vllm:num_requests_running") == 0 and \
            self.server.metric("vllm:num_requests_waiting") == 0

    def test_batch_mates_do_not_change_a_text(self):
        prompts = [STORY, "Tom had a big dog.", "The", "Lily and Ben were"]
        alone = [self.server.text(p, max_tokens=60, temperature=0) for p in prompts]
        together = self.server.complete(prompts, max_tokens=60, temperature=0)
        self.assertEqual([c["text"] for c in together["choices"]], alone)
        self.assertEqual([c["index"] for c in together["choices"]], [0, 1, 2, 3])

    # ---- the rest ----

    def test_metrics_count_what_was_done(self):
        before = self.server.metric("vllm:generation_tokens_total")
        self.server.complete(STORY, max_tokens=10, temperature=0, ignore_eos=True)
        self.assertEqual(self.server.metric("vllm:generation_tokens_total"), before + 10)
        _, headers, page = self.server.ask("GET", "/metrics")
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn(f'vllm:cache_config_info{{model_name="{polder.MODEL.stem}",block_size="', page)
        self.assertEqual(page.count("# TYPE vllm:num_requests_waiting gauge\n"), 1)

    def test_usage_is_in_the_last_chunk(self):
        stream = self.server.stream(CHAT, chat(STORY, max_tokens=4,
                                               stream_options={"include_usage": True}))
        events = list(stream.events())
        stream.vanish()
        self.assertEqual(events[-1], "[DONE]")
        self.assertEqual(events[-2]["choices"], [])
        self.assertEqual(events[-2]["usage"]["completion_tokens"], 4)
        self.assertTrue(all(event["usage"] is None for event in events[:-2]))
        self.assertEqual(len({event["id"] for event in events[:-1]}), 1)

    def test_a_connection_serves_many_requests(self):
        connection = self.server.connect()
        for path, status in (("/health", 200), ("/nope", 404), ("/v1/models", 200), ("/health", 200)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, status)
        connection.close()


if __name__ == "__main__":
    polder.need_model()
    unittest.main()
