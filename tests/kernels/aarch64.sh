#!/bin/sh
# Cross-compiles the CPU plugin for aarch64 and runs its kernel tests under qemu-aarch64.
# Usage: aarch64.sh SOURCE_DIR BUILD_DIR. Exit code 77 with a reason where a tool is absent.
# The tests run without cmocka of that architecture: a small stand-in header is used (aarch64/cmocka.h).
set -eu
source_dir=$1
build_dir=$2
compiler=aarch64-linux-gnu-gcc

for tool in $compiler qemu-aarch64; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "1..0 # skipped: $tool is not installed"
        exit 77
    fi
done
if [ ! -d /usr/aarch64-linux-gnu/lib ]; then
    echo "1..0 # skipped: no aarch64 libc in /usr/aarch64-linux-gnu"
    exit 77
fi

mkdir -p "$build_dir"
cpu=$source_dir/backends/cpu
kernels=$source_dir/tests/kernels
flags="-std=c11 -O2 -g -D_GNU_SOURCE -ffp-contract=off -Wall -Wextra -Wno-psabi -fPIC
    -I$source_dir/include -I$cpu -I$kernels -I$kernels/aarch64 -I$source_dir/tests/lib"

objects=
for file in "$cpu"/*.c; do
    case ${file##*/} in
    *avx*) continue ;;
    esac
    object=$build_dir/$(basename "$file" .c).o
    # shellcheck disable=SC2086 # flags are words
    $compiler $flags -c "$file" -o "$object"
    objects="$objects $object"
done

# shellcheck disable=SC2086
$compiler -shared -o "$build_dir/polder-backend-cpu.so" $objects -lm -lpthread \
    -Wl,--version-script="$source_dir/cmake/backend.map" -Wl,--no-undefined

status=0
for subject in blocks ops attn attn_split; do
    # shellcheck disable=SC2086
    $compiler $flags "$kernels/t_cpu_$subject.c" "$kernels/cpu_rig.c" $objects \
        -o "$build_dir/t_cpu_$subject" -lm -lpthread
    echo "# aarch64: t_cpu_$subject"
    qemu-aarch64 -L /usr/aarch64-linux-gnu "$build_dir/t_cpu_$subject" || status=1
done
exit $status
