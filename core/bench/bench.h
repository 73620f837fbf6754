/*
 * bench/bench.h - what the commands of polder-bench share: the table, exit codes, how output is finished.
 *
 * Data goes to stdout, talk to stderr; a bad option is one line.
 *
 * Ownership: none.  Threads: one.  Source: ours, docs/internals/bench.md.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <polder/status.h>

enum bench_exit {
    BENCH_OK = 0,
    BENCH_FAILED = 1, /* the thing asked for failed; stderr says why */
    BENCH_USAGE = 2,  /* the command line is wrong */
};

/* argv[0] is the command's own name. Returns an enum bench_exit. */
typedef int bench_run_fn(int argc, char **argv);

struct bench_command {
    const char *name;
    const char *summary; /* one line */
    bench_run_fn *run;
};

/* name, summary: one file cmd_<name>.c each. */
#define BENCH_COMMAND_LIST(X)                                                                      \
    X(backends, "list accelerator plugins: what runs here, and why the others do not")             \
    X(ops, "prove a backend against the reference, op by op")                                      \
    X(model, "speed of a model: prefill and decode")                                               \
    X(server, "load an OpenAI-compatible server: throughput and latency")                          \
    X(logits, "teacher-forced logits of a token sequence, as a NumPy file")                        \
    X(generate, "greedy continuation of a token sequence")                                         \
    X(tokenize, "text to token ids")                                                               \
    X(detokenize, "token ids to text")                                                             \
    X(template, "render a chat template")                                                          \
    X(gguf, "what a model file holds")

#define X(name, summary) bench_run_fn cmd_##name;
BENCH_COMMAND_LIST(X)
#undef X

/* "polder-bench COMMAND: message" on stderr; returns BENCH_FAILED. */
PL_PRINTF(2, 3) int bench_fail(const char *command, const char *fmt, ...);

/* Flushes stdout; a full disk or closed pipe is BENCH_FAILED, else `code`. */
int bench_finish(const char *command, int code);

/* Says that this build lacks a library; returns BENCH_FAILED. */
int bench_lacks(const char *command, const char *library);

#endif
