#!/usr/bin/env python3
"""The command line of polder-bench: options, exit codes, output shapes, reference cases.

usage: cli.py POLDER_BENCH SHARED_FOLDER

Parts that need reference data are passed over, with a line, where it is absent.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

COMMANDS = ["backends", "ops", "model", "server", "logits", "generate", "tokenize", "detokenize",
            "template", "gguf"]
failures = []
program = shared = None


def check(ok, text):
    print(("ok   " if ok else "FAIL ") + text, flush=True)
    if not ok:
        failures.append(text)


def run(*args, stdin="", raw=False):
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run([program, *args], input=data, capture_output=True, timeout=300)
    return done.returncode, done.stdout if raw else done.stdout.decode(), done.stderr.decode()


def model(name):
    return os.path.join(shared, "data", "models", name)


# row: arguments, exit code, part of stderr
USAGE = [
    (["nonsense"], 2, "unknown command 'nonsense'"),
    (["logits"], 2, "option --model FILE is missing"),
    (["logits", "--model", "x", "--output", "y"], 2, "option --tokens"),
    (["logits", "--model", "x", "--tokens", "1,x", "--output", "y"], 2, "'x' is not a number"),
    (["logits", "--model", "x", "--tokens", "1,,2", "--output", "y"], 2, "is not a number"),
    (["logits", "--model", "x", "--tokens", "-1", "--output", "y"], 2, "is not a number"),
    (["logits", "--model", "x", "--tokens", "1", "--output", "y", "--kv-type", "q8"], 2, "'q8' is none of"),
    (["logits", "--model", "/nonexistent", "--tokens", "1", "--output", "y"], 1, "/nonexistent"),
    (["generate", "--model", "x", "--tokens", "1", "-n", "0"], 2, "option -n"),
    (["generate", "--model", "x", "--tokens", "1", "-n"], 2, "option -n needs a value"),
    (["model", "--model", "x", "-o", "xml"], 2, "'xml' is none of"),
    (["model", "--model", "x", "--bogus"], 2, "unknown option '--bogus'"),
    (["backends", "--help=1"], 2, "unknown option"),
    (["backends", "extra"], 2, "unexpected argument 'extra'"),
    (["ops", "--backend", "no-such", "--filter", "ADD"], 1, "no backend 'no-such'"),
    (["ops", "--filter", "NO SUCH OP"], 1, "no case's name contains"),
    (["gguf"], 2, "FILE is missing"),
    (["gguf", "/nonexistent"], 1, "/nonexistent"),
    (["tokenize", "--model", "/nonexistent"], 1, "/nonexistent"),
    (["template", "--template", "/nonexistent"], 1, "/nonexistent"),
    (["server", "--url", "ftp://x"], 1, "does not begin with http://"),
    (["server", "--url", "http://127.0.0.1:1", "--concurrency", "0"], 2, "option --concurrency"),
    (["server", "--url", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
]


def usage():
    for args, code, says in USAGE:
        got, out, err = run(*args)
        one_line = err.count("\n") == 1 and err.endswith("\n")
        check(got == code and says in err and one_line and out == "",
              f"{' '.join(args)}: exit {got}, {err.strip()!r}")
    code, out, err = run()
    check(code == 2 and out == "" and "Usage" in err, "no command: help on stderr, exit 2")
    code, out, _ = run("--help")
    check(code == 0 and all(c in out for c in COMMANDS), "--help lists every command")
    code, out, _ = run("--version")
    check(code == 0 and out.startswith("polder-bench "), "--version")
    for command in COMMANDS:
        code, out, err = run(command, "--help")
        check(code == 0 and out.startswith(f"Usage: polder-bench {command}") and err == "",
              f"{command} --help")


def backends():
    code, out, _ = run("backends", "-o", "json")
    found = {b["name"]: b for b in json.loads(out)["backends"]}
    cpu = found.get("cpu", {})
    check(code == 0 and cpu.get("devices") and cpu.get("abi") == "0.1", "backends -o json has the CPU")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, "polder-backend-x.so"), "w", encoding="ascii") as file:
            file.write("text\n")
        code, out, _ = run("backends", "--backend-dir", folder)
        check(code == 0 and "rejected" in out, "backends shows why a text file is rejected")
        os.chmod(folder, 0o777)
        code, out, err = run("backends", "--backend-dir", folder)
        check(code == 1 and folder in err, "backends refuses a folder that others may write to")


def models():
    stories = model("stories260K.gguf")
    if not os.path.exists(stories):
        print(f"skip models: {stories} is absent")
        return
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "x.npy")
        code, _, err = run("logits", "--model", stories, "--tokens", "1,403,407", "--output", out)
        with open(out, "rb") as file:
            data = file.read()
        size = struct.unpack("<H", data[8:10])[0]
        check(code == 0 and data[:8] == b"\x93NUMPY\x01\x00" and (10 + size) % 64 == 0
              and b"(3, 512)" in data[:10 + size] and len(data) == 10 + size + 4 * 3 * 512,
              f"logits writes NPY 1.0 {err}")
        code, piped, _ = run("logits", "--model", stories, "--tokens=-", "--output", "-",
                             stdin="[1, 403,\n407]\n", raw=True)
        check(code == 0 and piped == data, "logits reads tokens from stdin and writes to stdout alike")
        code, _, err = run("logits", "--model", stories, "--tokens", "1,512", "--output", out)
        check(code == 1 and err.count("\n") == 1, f"logits refuses a token beyond the vocabulary: {err.strip()}")
    code, out, _ = run("generate", "--model", stories, "--tokens", "1,403,407,261,378", "-n", "5")
    check(code == 0 and json.loads(out) == [432, 383, 286, 261, 376], "generate prints a JSON array")
    code, out, _ = run("model", "--model", stories, "-p", "32", "-n", "8", "-b", "2", "-r", "2", "-o", "json")
    report = json.loads(out)
    check(code == 0 and [r["test"] for r in report["results"]] == ["pp32", "tg8 b2"]
          and all(len(r["samples"]) == 2 and r["tok_s"] > 0 for r in report["results"]), "model -o json")
    code, out, _ = run("model", "--model", stories, "-p", "0", "-n", "8", "-r", "1")
    check(code == 0 and "| tg8 |" in out and "| pp" not in out, "model prints a table; -p 0 leaves prefill out")
    code, out, _ = run("detokenize", "--model", stories, stdin="[1, 403, 407, 261, 378]")
    check(code == 0 and out == "Once upon a time", f"detokenize: {out!r}")
    code, out, _ = run("detokenize", "--model", stories, "--jsonl", stdin='[403,407]\n{"ids":[261]}\n')
    check(code == 0 and len(out.splitlines()) == 2 and "text" in json.loads(out.splitlines()[0]),
          "detokenize --jsonl")
    code, out, err = run("detokenize", "--model", stories, "--jsonl", stdin="[512]\n")
    check(code == 1 and "line 1" in err, "detokenize names the line of a bad id")
    code, out, err = run("tokenize", "--model", stories, "--jsonl", stdin='{"text": 1}\n')
    check(code == 1 and "line 1" in err, "tokenize names the line of a bad record")
    code, out, _ = run("tokenize", "--model", stories, "--add-special", stdin="Once upon a time")
    check(code == 0 and json.loads(out) == [1, 403, 407, 261, 378], "tokenize of plain text")
    code, out, _ = run("gguf", stories)
    check(code == 0 and "260032" in out and "llama.embedding_length" in out and "blk.0.attn_q.weight" in out,
          "gguf lists parameters, keys and tensors")


def demo_model():
    """What holds for any model, on the one that every clone has."""
    demo = os.environ.get("PL_DEMO_MODEL", "packaging/demo-model/polder-demo.gguf")
    if not os.path.exists(demo):
        print(f"skip demo model: {demo} is absent")
        return
    code, out, _ = run("gguf", demo)
    words = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    check(code == 0 and words["architecture"][1] == '"llama"' and "chat template" in out, "gguf of the demo model")
    n_vocabulary = int(words["vocabulary"][1])
    for text in ("What is Polder?", "  12 + 7 = 19\n", "na\u00efve \u4f60\u597d \U0001f600"):
        code, ids, _ = run("tokenize", "--model", demo, stdin=text)
        code2, back, _ = run("detokenize", "--model", demo, stdin=ids)
        check(code == code2 == 0 and back == text, f"demo model: {text!r} to tokens and back")
    tokens = ",".join(map(str, json.loads(run("tokenize", "--model", demo, stdin="What is Polder?")[1])))
    code, piped, err = run("logits", "--model", demo, "--tokens", tokens, "--output", "-", raw=True)
    n = tokens.count(",") + 1
    check(code == 0 and len(piped) == 10 + struct.unpack("<H", piped[8:10])[0] + 4 * n * n_vocabulary,
          f"demo model: logits of {n} tokens {err}")
    code, out, _ = run("generate", "--model", demo, "--tokens", tokens, "-n", "8")
    check(code == 0 and len(json.loads(out)) == 8 and max(json.loads(out)) < n_vocabulary, "demo model: generate")
    code, _, err = run("generate", "--model", demo, "--tokens", str(n_vocabulary), "-n", "1")
    check(code == 1 and err.count("\n") == 1, f"demo model: a token beyond the vocabulary: {err.strip()}")
    code, out, _ = run("model", "--model", demo, "-p", "32", "-n", "8", "-r", "2", "-o", "json")
    check(code == 0 and [r["test"] for r in json.loads(out)["results"]] == ["pp32", "tg8"], "demo model: measured")


def vocabularies():
    folder = os.path.join(shared, "data", "vocab")
    if not os.path.isdir(folder):
        print(f"skip vocabularies: {folder} is absent")
        return
    for name in ("llama-bpe", "llama-spm", "gpt-2", "qwen2", "phi-3", "starcoder", "deepseek-llm"):
        with open(os.path.join(folder, name + ".jsonl"), encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        bad = 0
        for special in (False, True):
            for parse in (False, True):
                part = [r for r in rows if (r["add_special"], r["parse_special"]) == (special, parse)]
                flags = ["--add-special"] * special + ["--parse-special"] * parse
                lines = "".join(json.dumps({"text": r["text"]}) + "\n" for r in part)
                _, out, _ = run("tokenize", "--model", os.path.join(folder, f"ggml-vocab-{name}.gguf"),
                                "--jsonl", *flags, stdin=lines)
                got = [json.loads(line) for line in out.splitlines()]
                bad += abs(len(got) - len(part)) + sum(g != r["ids"] for g, r in zip(got, part))
        check(bad == 0, f"tokenize {name}: {len(rows)} cases, {bad} wrong")


def judge_template(case, code, out, err):
    if "expected" in case:
        return code == 0 and out == case["expected"]
    if case.get("lenient"):
        return code in (0, 1)
    return code == 1 and (case["error_kind"] != "raise_exception" or case["expected_error"] in err)


def templates():
    folder = os.path.join(shared, "data", "templates")
    if not os.path.isdir(folder):
        print(f"skip templates: {folder} is absent")
        return
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".json")):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            book = json.load(file)
        bad = []
        for case in book["cases"]:
            code, out, err = run("template", "--template", os.path.join(folder, book["template"]),
                                 stdin=json.dumps(case))
            if not judge_template(case, code, out, err):
                bad.append(case["name"])
        check(not bad, f"template {name}: {len(book['cases'])} cases, wrong: {bad}")


def bad_files():
    folder = os.path.join(shared, "data", "bad-gguf")
    if not os.path.isdir(folder):
        print(f"skip bad files: {folder} is absent")
        return
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    wrong = []
    for row in manifest["files"]:
        code, out, err = run("gguf", os.path.join(folder, row["file"]))
        if code != 1 or out != "" or err.count("\n") != 1:
            wrong.append(row["file"])
    check(not wrong, f"gguf refuses {len(manifest['files'])} malformed files with one line each, but not: {wrong}")
    code, _, err = run("gguf", os.path.join(folder, "valid.gguf"))
    check(code == 0, f"gguf takes the valid one {err.strip()}")


def main():
    global program, shared
    program, shared = sys.argv[1], sys.argv[2]
    for part in (usage, backends, models, demo_model, vocabularies, templates, bad_files):
        part()
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
