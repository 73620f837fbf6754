"""Runs the OpenAI npm SDK (sdk/) against a worker. The SDK is installed into SDK_DIR once; where npm or its
registry cannot be had, the test is skipped with that reason."""
import os
import pathlib
import shutil
import subprocess
import sys

import polder


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(polder.SKIPPED)


def install(folder):
    here = pathlib.Path(__file__).parent / "sdk"
    folder.mkdir(parents=True, exist_ok=True)
    unchanged = (folder / "package.json").exists() and \
        (folder / "package.json").read_bytes() == (here / "package.json").read_bytes()
    for name in ("package.json", "sdk.mjs"):
        shutil.copyfile(here / name, folder / name)
    if unchanged and (folder / "node_modules/openai/package.json").exists():
        return
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock",
                           "--ignore-scripts", "--prefer-offline"],
                          cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        (folder / "package.json").unlink()
        skip("npm cannot install the SDK: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1])


def main():
    polder.need_model()
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed")
    folder = pathlib.Path(os.environ.get("SDK_DIR", "build/sdk"))
    install(folder)
    with polder.Server("--threads", "2") as server:
        done = subprocess.run(["node", "sdk.mjs", server.url], cwd=folder, timeout=240, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
