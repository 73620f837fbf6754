"""The worker is killed while it writes KV blocks to disk, again and again: after each restart its answers are right.

usage: kv_kill.py [--rounds 8]   (./test runs 8, ./test --full 200)

Each round starts a worker on the same folder, asks for texts whose answers are known from a worker without any cache,
sends load that evicts blocks to the disk, and ends it with SIGKILL at a random moment. At the end a worker that is left
in peace must find blocks on the disk: otherwise the rounds proved nothing.
"""
import argparse
import random
import sys
import tempfile
import threading
import time

import polder

WORDS = "once upon a time there was little girl dog ball park she he wanted to play big red said mom sun day".split()
OPTIONS = ["--threads", "2", "--kv-tokens", "1024", "--kv-ram-mb", "1", "--kv-disk-mb", "16", "--max-seqs", "8"]
N_STORIES = 12


def story(i):
    rng = random.Random(i)
    return {"prompt": " ".join(rng.choice(WORDS) for _ in range(120)), "max_tokens": 12, "temperature": 0,
            "ignore_eos": True}


def load(server, seed):
    """Prompts that push each other out, until the server is gone."""
    rng = random.Random(seed)
    while True:
        try:
            server.ask("POST", "/v1/completions", story(rng.randrange(N_STORIES * 4)))
        except Exception: # killed
            return


def check(server, expected, picks):
    for i in picks:
        got = server.post("/v1/completions", story(i))["choices"][0]["text"]
        if got != expected[i]:
            sys.exit(f"story {i}: {got!r} instead of {expected[i]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    polder.need_model()
    rng = random.Random(3)
    with polder.Server("--threads", "2", "--no-prefix-cache") as server:
        expected = [server.post("/v1/completions", story(i))["choices"][0]["text"] for i in range(N_STORIES)]
    with tempfile.TemporaryDirectory() as disk:
        for _ in range(args.rounds):
            with polder.Server(*OPTIONS, "--kv-disk-dir", disk) as server:
                check(server, expected, rng.sample(range(N_STORIES), 3))
                threads = [threading.Thread(target=load, args=(server, rng.random())) for _ in range(3)]
                for thread in threads:
                    thread.start()
                time.sleep(rng.uniform(0.0, 0.4))
                server.process.kill()
                server.process.wait()
                for thread in threads:
                    thread.join()
        with polder.Server(*OPTIONS, "--kv-disk-dir", disk) as server:
            check(server, expected, range(N_STORIES))
            hits = server.metric("polder:prefix_cache_hit_tokens_total", 'tier="disk"')
            if hits == 0:
                sys.exit("nothing was found on the disk after all these rounds")
            print(f"ok: {args.rounds} kills, then {hits:.0f} tokens found on disk")


if __name__ == "__main__":
    main()
