"""Sampling parameters over HTTP, with a real (tiny) model: what each does to a text."""
import concurrent.futures
import math
import unittest

import polder

COMPLETIONS = "/v1/completions"
STORY = "Once upon a time"

# Chains that use every sampler, two of them with a memory of the text.
CHAINS = [
    {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    {"temperature": 1, "typical_p": 0.7, "min_keep": 3},
    {"temperature": 1, "top_n_sigma": 1.5},
    {"temperature": 1, "top_k": 20, "xtc_probability": 0.5, "xtc_threshold": 0.1},
    {"temperature": 1, "dynatemp_range": 0.7, "dynatemp_exponent": 1.2, "top_k": 20},
    {"temperature": 1, "mirostat": 1, "mirostat_tau": 3},
    {"temperature": 1, "mirostat": 2, "mirostat_tau": 3},
    {"temperature": 1, "min_p": 0.05, "adaptive_target": 0.3},
    {"temperature": 0.9, "dry_multiplier": 0.8, "repetition_penalty": 1.1},
    {"temperature": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    {"temperature": 0.6, "top_p": 0.8, "samplers": ["temperature", "top_p"]},
]


class Sampling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = polder.Server("--threads", "2", "--kv-type", "f32")
        cls.addClassCleanup(cls.server.__exit__)

    def choice(self, **fields):
        fields = {"temperature": 0, "max_tokens": 30, **fields}
        return self.server.complete(STORY, **fields)["choices"][0]

    def ids(self, text):
        return self.server.post("/tokenize", {"content": text})["tokens"]

    def test_chains_give_the_same_text_alone_and_in_a_crowd(self):
        def text(i):
            chain = CHAINS[i % len(CHAINS)]
            return self.server.text(STORY, max_tokens=60, seed=i, **chain)

        alone = [text(i) for i in range(2 * len(CHAINS))]
        with concurrent.futures.ThreadPoolExecutor(len(alone)) as pool:
            crowd = list(pool.map(text, range(len(alone))))
        self.assertEqual(crowd, alone)
        self.assertGreater(len(set(alone)), len(alone) // 2)

    def test_texts_of_one_request_are_those_of_their_seeds(self):
        for chain in CHAINS:
            whole = self.server.complete(STORY, max_tokens=20, seed=5, n=3, **chain)["choices"]
            for i, choice in enumerate(whole):
                self.assertEqual(choice["text"],
                                 self.server.text(STORY, max_tokens=20, seed=5 + i, **chain))

    def test_temperature_0_counts_no_filter(self):
        greedy = self.choice()["text"]
        for chain in CHAINS[:8]:
            self.assertEqual(self.choice(**{**chain, "temperature": 0, "seed": 3})["text"], greedy)

    def test_a_bad_word_is_not_said(self):
        self.assertIn("little girl", self.choice()["text"])
        for words in (["girl"], ["little girl"], ["little", "girl", "there was"]):
            text = self.choice(bad_words=words, max_tokens=100)["text"]
            for word in words:
                self.assertNotIn(" " + word + " ", text + " ")

    def test_allowed_tokens_only(self):
        allowed = self.ids(" the cat dog")
        names = set()
        for one in allowed:
            names.update(self.choice(allowed_token_ids=[one], max_tokens=1, logprobs=0)
                         ["logprobs"]["tokens"])
        self.assertEqual(len(names), len(set(allowed)))
        for temperature in (0, 1):
            choice = self.choice(allowed_token_ids=allowed, temperature=temperature, logprobs=0)
            self.assertLessEqual(set(choice["logprobs"]["tokens"]), names)

    def test_stops(self):
        whole = self.choice()["text"]
        stop = self.ids(" girl")[-1]
        ended = self.choice(stop_token_ids=[stop], ignore_eos=True)
        self.assertEqual(ended["finish_reason"], "stop")
        self.assertTrue(whole.startswith(ended["text"]) and len(ended["text"]) < len(whole))
        kept = self.choice(stop_token_ids=[stop], include_stop_str_in_output=True)
        self.assertTrue(whole.startswith(kept["text"]) and kept["text"].endswith("l"))
        late = self.choice(stop_token_ids=[stop], min_tokens=25)
        self.assertGreaterEqual(len(late["text"]), 25)
        self.assertEqual(self.choice(stop=[" girl"])["text"], whole[:whole.index(" girl")])
        kept = self.choice(stop=[" girl"], include_stop_str_in_output=True)["text"]
        self.assertEqual(kept, whole[:whole.index(" girl")] + " girl")
        self.assertEqual(self.choice(stop=[" girl"], min_tokens=20)["text"], whole)

    def test_an_eager_end_waits_for_min_tokens(self):
        eager = {"logit_bias": {"2": 100}}
        self.assertEqual(self.choice(**eager)["text"], "")
        self.assertEqual(self.choice(min_tokens=5, **eager)["text"], self.choice(max_tokens=5)["text"])
        special = self.choice(ignore_eos=True, skip_special_tokens=False, max_tokens=2, **eager)
        self.assertEqual(special["text"], "</s></s>")

    def test_log_probabilities(self):
        asked = self.choice(max_tokens=2, logprob_token_ids=[410, 5], ignore_eos=True)["logprobs"]
        self.assertEqual([len(top) for top in asked["top_logprobs"]], [3, 3])
        final = self.choice(max_tokens=9, n_probs=5, post_sampling_probs=True, temperature=1.5,
                            top_k=4)["logprobs"]
        for top in final["top_logprobs"]:
            self.assertAlmostEqual(sum(math.exp(v) for v in top.values()), 1, places=4)

    def test_refusals_name_the_field(self):
        for fields in ({"grammar": "root ::= a"}, {"samplers": ["best"]}, {"mirostat": 3},
                       {"allowed_token_ids": [100000]}, {"bad_words": [""]},
                       {"allowed_token_ids": [5], "logit_bias": {"5": False}}):
            status, _, answer = self.server.ask("POST", COMPLETIONS, {"prompt": STORY, **fields})
            self.assertEqual(status, 400)
            self.assertTrue(answer["error"]["param"].startswith(next(iter(fields))))


if __name__ == "__main__":
    unittest.main()
