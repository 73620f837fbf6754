"""What a CPU needs to be fast with torch 1.13: settings that must stand before torch and its BLAS are loaded.

Import this module first; it starts the program again with them. OpenBLAS 0.3.21 doesn't know newer AMD
CPUs and falls back to kernels of half the speed; glibc by default returns each big buffer to the system,
which then has to clear its pages again at every step (a fifth of the time); and OpenMP's threads wait for each
other spinning, which starves a training in the background of a machine in use.
"""

import os
import sys

SETTINGS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000",
            "MALLOC_TOP_PAD_": "67108864", "OMP_WAIT_POLICY": "PASSIVE"}


def cpu_flags():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as source:
            for line in source:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def restart_with_settings():
    wanted = dict(SETTINGS)
    if "avx512vl" in cpu_flags():
        wanted["OPENBLAS_CORETYPE"] = "SkylakeX"
    missing = {k: v for k, v in wanted.items() if k not in os.environ}
    if missing and sys.argv[0] and os.path.exists(sys.argv[0]):
        os.environ.update(missing)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def half_is_fast():
    """bfloat16 products pay on a CPU only where it has instructions for them."""
    return not cpu_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


restart_with_settings()
