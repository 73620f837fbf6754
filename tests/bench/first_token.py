#!/usr/bin/env python3
"""From exec of polderd to the first streamed token: how long a new user waits.

    tests/bench/first_token.py --polderd build/run/bin/polderd --backend-dir build/run/backends \\
        [--model FILE] [--role serve] [--runs 9] [--limit 0.3]

Each run starts a fresh process, waits for the line that says where it is ready, and asks for a streamed
answer. Prints the median and the range of: ready (exec to that line), token (exec to the first token), and of
the CPU time that all its processes took until then. With --limit the exit code is 1 where the median of token
is above it. Standard library only; the file is in the page cache after the first, uncounted run.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time


def cpu_seconds(pid):
    """User and system time of a process and its children that still run."""
    total = 0.0
    for one in [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def first_token(host, port, question):
    """Reads from the socket up to the first event that has text."""
    body = json.dumps({"messages": [{"role": "user", "content": question}], "stream": True, "temperature": 0,
                       "max_tokens": 16})
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                           f"Content-Type: application/json\r\n\r\n{body}".encode())
        seen = b""
        while True:
            data = connection.recv(65536)
            if not data:
                raise RuntimeError(f"no token came: {seen!r}")
            seen += data
            for line in seen.split(b"\n"):
                if line.startswith(b"data: {") and line.rstrip().endswith(b"}"):
                    choices = json.loads(line[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        return time.monotonic()


def run_once(options):
    command = [options.polderd, options.role, "--listen", "127.0.0.1:0", "--backend-dir", options.backend_dir]
    command += ["--model", options.model] if options.model else []
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        line = process.stdout.readline().decode()
        ready = time.monotonic()
        host, port = line.rsplit("http://", 1)[1].split("/")[0].split(":")
        token = first_token(host, int(port), options.question)
        return ready - started, token - started, cpu_seconds(process.pid)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polderd", default="build/run/bin/polderd")
    parser.add_argument("--backend-dir", default="build/run/backends")
    parser.add_argument("--model", help="(serve's default: the demo model)")
    parser.add_argument("--role", default="serve", choices=["serve", "worker"])
    parser.add_argument("--question", default="What is Polder?")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--limit", type=float, help="seconds")
    options = parser.parse_args()
    run_once(options)
    rows = [run_once(options) for _ in range(options.runs)]
    medians = []
    for name, values in zip(("ready", "token", "CPU"), zip(*rows)):
        medians.append(statistics.median(values))
        print(f"{name:6} median {medians[-1] * 1000:7.1f} ms   range {min(values) * 1000:.1f} - "
              f"{max(values) * 1000:.1f} ms   {options.runs} runs")
    if options.limit is not None and medians[1] > options.limit:
        print(f"exec to first token is above {options.limit} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
