#!/usr/bin/env python3
"""Lint of the house: who may include whom, how long files are, which comments and names are used.

Reads the sources as text; exits 1 and lists every breach. The table below is design law: a room's line names
the rooms that its files may include. CMake enforces the same by include folders; this check also sees
headers reached by a path that should not be.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# room: rooms whose public headers it may include as "<room>/<header>.h" (besides its own)
ROOMS = {
    "core/base": set(),
    "core/http": {"base"},
    "core/gguf": {"base"},
    "core/token": {"base", "gguf"},
    "core/template": {"base"},
    "core/plugin": {"base"},
    "core/model": {"base", "gguf"},
    "core/exec": {"base", "gguf", "plugin", "model"},
    "core/kv": {"base"},
    "core/sched": {"base", "kv"},
    "core/sample": {"base"},
    "core/spec": {"base"},
    "core/engine": {"base", "gguf", "token", "plugin", "exec", "kv", "sched", "sample", "spec", "engine"},
    "core/server": {"base", "http", "token", "template", "engine"},
    "core/fetch": {"base"},
    "core/daemon": {"base", "http", "gguf", "server", "engine", "fetch"},
    "core/bench": {"base", "http", "gguf", "token", "template", "plugin", "model", "engine", "exec"},
    "backends": set(),  # include/polder only
    "tests/sim": {"base", "http", "engine", "server", "sim", "backend", "lib"},
    "tests/sim/backend": set(),  # a plugin: include/polder only
    "include/polder": set(),
}
FILE_LINES_MAX = 700
SOURCE = (".c", ".h")


def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(p) for p in sorted(out.split())]


def room_of(path):
    text = str(path)
    matches = [room for room in ROOMS if text.startswith(room + "/")]
    return max(matches, key=len) if matches else None


def check_includes(path, text, breaches):
    room = room_of(path)
    if room is None:
        return
    own = path.parent
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1)
        if ".." in target:
            breaches.append(f"{path}:{number}: includes a path with '..': {target}")
        elif "/" in target:
            head = target.split("/")[0]
            allowed = ROOMS[room] | {room.rsplit("/", 1)[-1]}
            if head not in allowed:
                breaches.append(f"{path}:{number}: {room} may not include {target}")
        elif target == "engine.h":
            if "engine" not in ROOMS[room]:
                breaches.append(f"{path}:{number}: {room} may not include engine.h")
        elif not (ROOT / own / target).exists():
            breaches.append(f"{path}:{number}: {target} is not in {own}")


def check_text(path, text, breaches):
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        breaches.append(f"{path}: {len(lines)} lines, at most {FILE_LINES_MAX}: a room to split")
    if not text.lstrip().startswith("/*"):
        breaches.append(f"{path}: does not start with a comment that says what it is")
    if path.suffix == ".c" and path.parts[0] in ("core", "gateway", "maas"):
        includes = re.findall(r'#\s*include\s+[<"]([^>"]+)[>"]', text)
        if not includes or not includes[-1].endswith("banned.h"):
            breaches.append(f"{path}: the last include is not base/banned.h")
    for number, line in enumerate(lines, 1):
        bare = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        if re.search(r"(^|[^:])//", re.sub(r"/\*.*?\*/", "", bare)) and "*" not in bare[:4]:
            breaches.append(f"{path}:{number}: '//' comment")
        if "\t" in line or line != line.rstrip():
            breaches.append(f"{path}:{number}: tab or trailing blank")


def main():
    breaches = []
    listed = files()
    for path in listed:
        full = ROOT / path
        if not full.exists():
            continue
        text = full.read_text()
        check_includes(path, text, breaches)
        check_text(path, text, breaches)
    for breach in breaches:
        print(breach)
    print(f"lint: {len(listed)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
