"""Many clients come, leave, hang up and cancel for a while: memory stays in its budget, every block returns.

usage: churn.py [--seconds 20]   (./test runs 20 s, ./test --full 600 s)

The budget is stated before the churn: what the server holds once every KV block of device and RAM tier has been
written, which the warm-up does. Afterwards resident memory may differ from it by 5 % at the most, no block is held, no
request is inside, and a text said before is said again.
"""
import argparse
import random
import sys
import tempfile
import threading
import time

import polder

BUDGET_SHARE = 0.05
CLIENTS = 12
OPTIONS = ["--threads", "2", "--kv-tokens", "8192", "--kv-ram-mb", "8", "--max-seqs", "16", "--queue", "24",
           "--draft", "3", "--kv-disk-mb", "32"]
WORDS = "once upon a time there was little girl dog ball park she he wanted to play big red said mom sun day".split()


def prompt_of(rng, n):
    """Prompts of few beginnings and many ends: hits, misses and evictions."""
    head = random.Random(rng.randrange(12))
    return " ".join([head.choice(WORDS) for _ in range(n // 2)] + [rng.choice(WORDS) for _ in range(n // 2)])


def one_request(server, rng, counts):
    body = {"prompt": prompt_of(rng, rng.choice([4, 30, 120, 300])), "max_tokens": rng.choice([1, 20, 80]),
            "temperature": rng.choice([0, 0.8]), "seed": rng.randrange(1000), "ignore_eos": True,
            "n": rng.choice([1, 1, 1, 3])}
    way = rng.randrange(4)
    if way == 0:
        status, _, _ = server.ask("POST", "/v1/completions", body)
        counts[status] = counts.get(status, 0) + 1
        return
    stream = server.stream("/v1/completions", body)
    read = rng.choice([0, 3, 10**9])
    try:
        for i, event in enumerate(stream.events()):
            if i >= read:
                break
            if event == "[DONE]":
                counts["done"] = counts.get("done", 0) + 1
    except AssertionError as error: # 429 is an answer, too
        if "429" not in str(error):
            raise
        counts[429] = counts.get(429, 0) + 1
    finally:
        stream.vanish()
        counts["left"] = counts.get("left", 0) + (read < 10**9)


def churn(server, seconds, seed, failures):
    counts = {}

    def client(i):
        rng = random.Random(seed * 1000 + i)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not failures:
            try:
                one_request(server, rng, counts)
            except Exception as error: # a thread's exception would be lost
                failures.append(repr(error))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def at_rest(server):
    names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]
    return all(server.metric(name) == 0 for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    polder.need_model()
    failures = []
    with tempfile.TemporaryDirectory() as disk, polder.Server(*OPTIONS, "--kv-disk-dir", disk) as server:
        story = {"prompt": prompt_of(random.Random(5), 200), "max_tokens": 60, "temperature": 0, "ignore_eos": True}
        said = server.post("/v1/completions", story)["choices"][0]["text"]
        churn(server, max(5.0, args.seconds / 10), 1, failures)
        budget = server.figures()[1]
        print(f"budget {budget} KiB")
        counts = churn(server, args.seconds, 2, failures)
        if failures:
            sys.exit(f"failed: {failures[0]}")
        if not polder.eventually(lambda: at_rest(server)):
            sys.exit("requests or blocks are still held after the last client has left")
        rss = server.figures()[1]
        print(f"after {args.seconds:.0f} s: {rss} KiB ({rss / budget - 1:+.1%}), {counts}, evicted "
              f"{server.metric('polder:kv_evicted_blocks_total'):.0f} blocks")
        if not counts.get(200) or not counts.get("done") or not counts.get("left"):
            sys.exit("the churn was no churn")
        if abs(rss / budget - 1) > BUDGET_SHARE and "PL_SANITIZE" not in server_env():
            sys.exit(f"resident memory left its budget by more than {BUDGET_SHARE:.0%}")
        if server.post("/v1/completions", story)["choices"][0]["text"] != said:
            sys.exit("a text changed")
    print("ok")


def server_env():
    """PL_SANITIZE is set and not empty in builds whose allocator keeps what is freed."""
    import os
    return {name for name in ("PL_SANITIZE",) if os.environ.get(name)}


if __name__ == "__main__":
    main()
