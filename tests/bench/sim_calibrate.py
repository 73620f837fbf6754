#!/usr/bin/env python3
"""Calibrates the simulator with a real worker, and checks it with a load that it was not calibrated with.

    sim_calibrate.py --polderd build/x/bin/polderd --sim build/x/bin/polder-sim --model FILE.gguf --out cpu.txt

1. Measures a real worker on this machine: prompts of several lengths alone (prefill), batches of several sizes (decode),
   one long context (reading of KV). Writes a profile.
2. Sends a mixed load (open arrivals, shared prefixes, lengths of its own) to the real worker, and the same trace to
   polder-sim with that profile and the same options.
3. Prints both: output tokens per second over the whole load, mean time to the first token, mean time of a request.
   Exit 1 if throughput or mean request time differ by more than --within (0.15).

The machine should be idle: what else runs on it is measured too.
"""
import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PREFILL = (64, 256, 512, 1024)   # prompts alone, tokens
BATCHES = (1, 2, 4, 8, 16)       # decodes at once
LONG = 2000                      # a context, for the reading of KV
REPEATS = 3
VOCAB_LOW, VOCAB_HIGH = 300, 500  # ids that every model of ours has as plain tokens


def ids(seed, n):
    rng = random.Random(seed)
    return [rng.randrange(VOCAB_LOW, VOCAB_HIGH) for _ in range(n)]


class Worker:
    def __init__(self, polderd, model, args):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [polderd, "worker", "--model", model, "--listen", f"127.0.0.1:{self.port}"] + args,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.time() + 300
        while time.time() < until:
            try:
                if self.request("GET", "/health").status == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit("sim_calibrate: polderd ended while it loaded")
            time.sleep(0.1)
        raise SystemExit("sim_calibrate: polderd did not get ready")

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1200)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        return connection.getresponse()

    def complete(self, prompt, n_out):
        """Seconds to the first token and of the whole; the times of all tokens."""
        body = json.dumps({"model": "default", "prompt": prompt, "max_tokens": n_out, "stream": True,
                           "ignore_eos": True, "temperature": 0, "min_tokens": n_out})
        begun = time.monotonic()
        answer = self.request("POST", "/v1/completions", body)
        if answer.status != 200:
            raise SystemExit(f"sim_calibrate: HTTP {answer.status}: {answer.read()[:300]}")
        times = []
        for line in answer:
            if line.startswith(b"data: {"):
                times.append(time.monotonic())
        return begun, times

    def close(self):
        self.process.terminate()
        self.process.wait(60)


def together(jobs):
    """Runs (delay_s, function) pairs in threads; their results in order."""
    results = [None] * len(jobs)

    def run(i, delay, function):
        time.sleep(delay)
        results[i] = function()

    threads = [threading.Thread(target=run, args=(i, *job)) for i, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def measure_prefill(worker):
    points = []
    for n in PREFILL:
        times = []
        for repeat in range(REPEATS):
            begun, tokens = worker.complete(ids(f"prefill {n} {repeat}", n), 2)
            times.append(tokens[0] - begun)
        points.append((n, statistics.median(times)))
    return points


def measure_decode(worker, n_users, n_in, n_out):
    """The median time of a step in which all of them decode."""
    jobs = [(0, lambda u=u: worker.complete(ids(f"decode {n_users} {n_in} {u}", n_in), n_out))
            for u in range(n_users)]
    results = together(jobs)
    first = max(tokens[0] for _, tokens in results)
    last = min(tokens[-1] for _, tokens in results)
    gaps = []
    for _, tokens in results:
        inside = [t for t in tokens if first <= t <= last]
        gaps += [b - a for a, b in zip(inside, inside[1:])]
    return statistics.median(gaps)


def fit_line(points):
    """Least relative squares of t = fixed + n * per_row + pairs * per_pair, over (n, t); no term below 0."""
    import numpy

    for keep in ((0, 1, 2), (0, 1)):
        rows = numpy.array([[1, n, n * (n + 1) / 2] for n, _ in points])[:, keep]
        times = numpy.array([t for _, t in points])
        terms, *_ = numpy.linalg.lstsq(rows / times[:, None], numpy.ones(len(points)), rcond=None)
        if all(terms >= 0):
            return list(terms) + [0.0] * (3 - len(terms))
    slope = points[-1][1] / points[-1][0]
    return [0.0, slope, 0.0]


def calibrate(worker, model, out):
    prefill = measure_prefill(worker)
    fixed, per_row, per_pair = fit_line(prefill)
    base_in = 32
    steps = [(n, measure_decode(worker, n, base_in, 40)) for n in BATCHES]
    long_step = measure_decode(worker, 1, LONG, 40)
    kv = max(0.0, (long_step - steps[0][1]) / (LONG - base_in))
    with open(out, "w") as f:
        f.write(f"# Measured on this machine with {os.path.basename(model)} by tests/bench/sim_calibrate.py.\n")
        f.write(f"device      {os.uname().nodename}\nmodel       {os.path.basename(model)}\n\n")
        for n, seconds in prefill:
            f.write(f"# prompt of {n}: {seconds * 1e3:.2f} ms\n")
        f.write(f"# a decode at {LONG}: {long_step * 1e3:.2f} ms\n\n")
        f.write(f"fixed_us    {fixed * 1e6:.1f}\nprefill_us  {per_row * 1e6:.2f}\n")
        f.write(f"pair_ns     {per_pair * 1e9:.3f}\nkv_ns       {kv * 1e9:.2f}\n")
        for n, seconds in steps:
            f.write(f"decode_at   {n} {max(0.0, seconds - n * kv * (base_in + 20)) * 1e6:.1f}\n")
    return prefill, steps


def make_trace(n, rate):
    """Open arrivals, some with one of two prefixes."""
    rng = random.Random(77)
    at = 0.0
    trace = []
    for _ in range(n):
        at += rng.expovariate(rate)
        prefix = rng.choice((0, 1, None, None))
        tokens = 0 if prefix is None else 160
        trace.append((at, tokens + rng.randrange(20, 400), rng.randrange(8, 64), prefix or 0, tokens))
    return trace


def run_real(worker, trace):
    jobs = []
    for i, (at, n_in, n_out, prefix, tokens) in enumerate(trace):
        prompt = ids(f"prefix {prefix}", tokens) + ids(f"mixed {i}", n_in - tokens)
        jobs.append((at, lambda p=prompt, n=n_out: worker.complete(p, n)))
    began = time.monotonic()
    results = together(jobs)
    ended = max(times[-1] for _, times in results)
    return {"tok_s": sum(t[2] for t in trace) / (ended - began),
            "ttft_s": statistics.mean(times[0] - begun for begun, times in results),
            "e2e_s": statistics.mean(times[-1] - begun for begun, times in results)}


def run_sim(sim, profile, trace, options):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/trace.txt", "w") as f:
            for at, n_in, n_out, prefix, tokens in trace:
                f.write(f"{at:.6f} {n_in} {n_out} {prefix} {tokens}\n")
        with open(f"{folder}/scenario.txt", "w") as f:
            f.write(f"stop_s {trace[-1][0] + 1:.3f}\nworker profile={os.path.abspath(profile)} {options}\n")
            f.write(f"tenant name=mixed trace={folder}/trace.txt\n")
        out = json.loads(subprocess.run([sim, "--json", f"{folder}/scenario.txt"], check=True,
                                        capture_output=True, text=True).stdout)
    figures = out["tenants"][-1]
    if figures["done"] != len(trace):
        raise SystemExit(f"sim_calibrate: {figures['done']} of {len(trace)} done in the simulator")
    return {"tok_s": sum(t[2] for t in trace) / out["virtual_s"], "ttft_s": figures["ttft_s"]["mean"],
            "e2e_s": figures["e2e_s"]["mean"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--polderd", required=True)
    parser.add_argument("--sim", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, help="profile to write")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--load", type=float, default=0.7, help="arrivals, as a share of what the worker can take")
    parser.add_argument("--within", type=float, default=0.15)
    args = parser.parse_args()
    worker = Worker(args.polderd, args.model,
                    ["--backend", args.backend, "--ctx", "4096", "--kv-tokens", "32768", "--max-seqs", "16",
                     "--batch-tokens", "512"])
    try:
        prefill, steps = calibrate(worker, args.model, args.out)
        for n, seconds in prefill:
            print(f"prompt of {n:5}: {seconds * 1e3:9.2f} ms  {n / seconds:9.1f} tok/s")
        for n, seconds in steps:
            print(f"{n:3} decodes:     {seconds * 1e3:9.2f} ms  {n / seconds:9.1f} tok/s")
        # A mean request is about 250 tokens in and 35 out. Below what the worker can take: in an overload the smallest
        # difference grows without bound.
        cost = 250 * prefill[1][1] / prefill[1][0] + 35 * steps[3][1] / steps[3][0]
        trace = make_trace(args.requests, args.load / cost)
        real = run_real(worker, trace)
    finally:
        worker.close()
    sim = run_sim(args.sim, args.out, trace, "ctx=4096 kv_tokens=32768 seqs=16 rows=512")
    ok = True
    for key in ("tok_s", "ttft_s", "e2e_s"):
        ratio = sim[key] / real[key]
        judged = key != "ttft_s"
        ok = ok and (not judged or abs(ratio - 1) <= args.within)
        print(f"{key:7} real {real[key]:10.3f}  simulated {sim[key]:10.3f}  ratio {ratio:.3f}"
              f"{'' if judged else '  (not judged)'}")
    print(f"load average {os.getloadavg()[0]:.2f}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
