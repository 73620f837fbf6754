#!/usr/bin/env python3
"""What sharing a machine costs its clients: a shared system prompt (S9), and a long prompt among decoders (P4).

    tests/bench/shared_load.py --polderd build/run/bin/polderd --backend-dir build/run/backends --model F.gguf \\
        prefix [--tokens 1500] [--clients 4] [--requests 10]
    tests/bench/shared_load.py ... stall [--decoders 31] [--tokens 4096]

prefix: one request with a system prompt of about that many tokens, then clients that share it and differ in their
question; prints the first request's time to the first token, the second's, and the p50 and p95 of the others.
stall: decoders stream; then a prompt of about that many tokens comes in. Prints the p50 of the time between tokens
before it came, and p50 and p99 while it was computed. With --compare the last question is asked of a worker
without prefix cache, too (prefix) or with one big budget instead of timed chunks (stall). Standard library only.
"""
import argparse
import json
import socket
import statistics
import subprocess
import threading
import time

WORDS = "the house by the water was built on sand and clay and stood there for many years before it fell ".split()


def start(options, *more):
    command = [options.polderd, "worker", "--listen", "127.0.0.1:0", "--backend-dir", options.backend_dir,
               "--model", options.model, "--log-level", "error", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    line = process.stdout.readline().decode()
    host, port = line.rsplit("http://", 1)[1].split("/")[0].split(":")
    return process, (host, int(port))


def stop(process):
    process.terminate()
    process.wait()


def stream(address, prompt, n):
    """Sends a completion and yields (time, event) for each event of its answer."""
    body = json.dumps({"prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True, "stream": True,
                       "stream_options": {"include_usage": True}})
    with socket.create_connection(address, timeout=600) as connection:
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                           f"Content-Type: application/json\r\nConnection: close\r\n\r\n{body}".encode())
        rest = b""
        while True:
            data = connection.recv(65536)
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    yield now, json.loads(line[6:])
            if not data or b"data: [DONE]" in data:
                return


def words(n, seed):
    return " ".join(WORDS[(i * 7 + seed * 3 + i * i // 5) % len(WORDS)] for i in range(n))


def ask(address, prompt, n=8):
    """(seconds to the first token, cached tokens, prompt tokens)"""
    began = time.monotonic()
    first, usage = None, None
    for now, event in stream(address, prompt, n):
        if first is None and event["choices"]:
            first = now - began
        usage = event.get("usage") or usage
    if usage is None:
        raise RuntimeError(f"no answer to a prompt of {len(prompt)} bytes: does the model take that many tokens?")
    return first, usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]


def share(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def prefix(options):
    for more in [[], ["--no-prefix-cache"]] if options.compare else [[]]:
        process, address = start(options, "--kv-tokens", str(options.tokens * 16), *more)
        system = words(options.tokens, 1)
        cold = ask(address, system + " first question")
        second = ask(address, system + " second question")
        times = []

        def client(i):
            for k in range(options.requests):
                times.append(ask(address, f"{system} question {i} {k} {words(12, i * 100 + k)}")[0])

        threads = [threading.Thread(target=client, args=(i,)) for i in range(options.clients)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        stop(process)
        print(f"{' '.join(more) or 'prefix cache'}: {cold[2]} prompt tokens; first {cold[0]:.3f} s, second {second[0]:.3f} s "
              f"({second[1]} cached, 1/{cold[0] / second[0]:.0f}); {options.clients} clients: "
              f"p50 {statistics.median(times):.3f} s, p95 {share(times, 0.95):.3f} s")


def stall(options):
    room = str(options.tokens * 3 + options.decoders * 600)
    for more in [[], ["--step-target-ms", "60000"]] if options.compare else [[]]:
        process, address = start(options, "--kv-tokens", room, *more)
        arrivals, span = [], [float("inf"), float("inf")]

        def decode(i):
            last = None
            for now, event in stream(address, words(8, i), 500):
                if event["choices"] and span[1] == float("inf"):
                    if last is not None:
                        arrivals.append((now, now - last))
                    last = now
                if span[1] < float("inf"):
                    return

        threads = [threading.Thread(target=decode, args=(i,)) for i in range(options.decoders)]
        [thread.start() for thread in threads]
        while len(arrivals) < options.decoders * 40:
            time.sleep(0.1)
        span[0] = time.monotonic()
        first = ask(address, words(options.tokens, 5), 1)
        span[1] = time.monotonic()
        [thread.join() for thread in threads]
        stop(process)
        before = [gap for at, gap in arrivals if at < span[0]][options.decoders * 10:]
        during = [gap for at, gap in arrivals if at >= span[0]]
        p50 = statistics.median(before)
        print(f"{' '.join(more) or 'timed chunks'}: {options.decoders} decoders, p50 {p50 * 1e3:.1f} ms between tokens; while "
              f"{first[2]} tokens were computed ({first[0]:.1f} s): p50 {statistics.median(during) * 1e3:.1f}, "
              f"p99 {share(during, 0.99) * 1e3:.1f} ms ({share(during, 0.99) / p50:.2f} x)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--polderd", "--backend-dir", "--model"):
        parser.add_argument(name, required=True)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("what", choices=["prefix", "stall"])
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--decoders", type=int, default=31)
    options = parser.parse_args()
    options.tokens = options.tokens or (1500 if options.what == "prefix" else 4096)
    prefix(options) if options.what == "prefix" else stall(options)


if __name__ == "__main__":
    main()
