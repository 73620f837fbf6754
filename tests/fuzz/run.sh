#!/usr/bin/env bash
# Builds the libFuzzer targets (clang, AddressSanitizer, UBSan) and runs them for SECONDS in all, shared evenly.
#   tests/fuzz/run.sh 120     0: build only
# Corpora: seeds from tests/fuzz/corpus/<target>/ and, where present, the reference data; what is found is
# kept in build/fuzz/corpus/. A crash is written to build/fuzz/crashes/ and ends with exit 1.
set -euo pipefail
cd "$(dirname "$0")/../.."
total=${1:-120}

cmake --preset fuzz >/dev/null
mapfile -t targets < <(sed -n 's/^ *pl_fuzz(\([a-z0-9_]*\).*/\1/p' tests/fuzz/CMakeLists.txt)
cmake --build build/fuzz --target "${targets[@]/#/fuzz_}"
[ "$total" -eq 0 ] && exit 0
mkdir -p build/fuzz/crashes
each=$((total / ${#targets[@]}))

run() { # target seconds
    local corpus=build/fuzz/corpus/$1
    mkdir -p "$corpus"
    local seeds=("$corpus")
    [ -d "tests/fuzz/corpus/$1" ] && seeds+=("tests/fuzz/corpus/$1")
    case $1 in
        gguf) [ -d ../shared/data/bad-gguf ] && seeds+=(../shared/data/bad-gguf) ;;
        template) [ -d ../shared/data/templates ] && seeds+=(../shared/data/templates) ;;
    esac
    echo "fuzz: $1 for $2 s"
    "build/fuzz/fuzz/fuzz_$1" -max_total_time="$2" -rss_limit_mb=2048 -timeout=10 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/crashes/$1-" "${seeds[@]}"
}

pids=()
for target in "${targets[@]}"; do # two at a time, so each gets twice its share
    run "$target" $((2 * each)) >"build/fuzz/$target.log" 2>&1 &
    pids+=($!)
    if [ ${#pids[@]} -eq 2 ]; then
        wait "${pids[0]}" && wait "${pids[1]}" || { tail -n 30 build/fuzz/*.log; exit 1; }
        pids=()
    fi
done
for pid in "${pids[@]}"; do
    wait "$pid" || { tail -n 30 build/fuzz/*.log; exit 1; }
done
grep -H -E 'stat::number_of_executed_units|stat::peak_rss_mb' build/fuzz/*.log
