/*
 * daemon/options.h - polderd's command line: one table that is both parser and help.
 *
 * Both roles take the same options: serve gives its own on to the worker that it starts.
 *
 * Ownership: strings point into argv.  Threads: immutable after parsing.
 * Errors: PL_EINVAL with one line that names the option.  Source: ours.
 */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <polder/status.h>

#include "base/log.h"
#include "engine.h"

#define OPTIONS_LISTEN_DEFAULT           "127.0.0.1:8080"
#define OPTIONS_SHUTDOWN_TIMEOUT_DEFAULT 30    /* s: what systemd and Kubernetes give by default */
#define OPTIONS_KV_DISK_MB_DEFAULT       10240 /* fits beside a model on any disk that holds one */

/* kind, member, name, argument, help. COUNT options also take their maximum. */
#define OPTIONS_LIST(TEXT, COUNT, FLAG)                                                            \
    TEXT(model, "model", "FILE|NAME", "GGUF file, or pulled model; serve: (the demo model)")       \
    TEXT(listen, "listen", "ADDR", "HOST:PORT or unix:/path; port 0 picks one (127.0.0.1:8080)")   \
    TEXT(served_name, "served-model-name", "NAME", "name in the API; several, comma-separated")    \
    TEXT(chat_template, "chat-template", "FILE", "Jinja template in place of the model's")         \
    TEXT(backend, "backend", "NAME", "accelerator plugin, as listed by polder-bench backends")     \
    TEXT(backend_dir, "backend-dir", "DIR", "folder of the plugins")                               \
    COUNT(threads, "threads", 4096, "CPU threads of the backend (all physical cores)")             \
    COUNT(ctx, "ctx", 16777216, "longest sequence, tokens (the model's own)")                      \
    COUNT(kv_tokens, "kv-tokens", 1073741824, "KV cache, tokens of all sequences (by memory)")     \
    TEXT(kv_type, "kv-type", "TYPE", "f16, q8_0 or f32 (f16)")                                     \
    FLAG(no_prefix_cache, "no-prefix-cache", "compute every prompt whole")                         \
    COUNT(kv_ram_mb, "kv-ram-mb", 16777216, "RAM for KV blocks that left the device, MiB (none)")  \
    TEXT(kv_disk_dir, "kv-disk-dir", "DIR", "folder for KV blocks, kept over restarts (none)")     \
    COUNT(kv_disk_mb, "kv-disk-mb", 1073741824, "bound of that folder, MiB (10240)")               \
    COUNT(draft, "draft", ENGINE_DRAFT_MAX, "tokens guessed ahead per step, by n-grams (none)")    \
    COUNT(step_target_ms, "step-target-ms", 60000, "longest step with prefill in it (by measure)") \
    COUNT(max_seqs, "max-seqs", 65536, "sequences in one step (64)")                               \
    COUNT(batch_tokens, "batch-tokens", 1048576, "token budget of one step (512)")                 \
    COUNT(queue, "queue", 1048576, "requests that may wait (512)")                                 \
    COUNT(shutdown_timeout, "shutdown-timeout", 86400, "seconds to finish on SIGTERM (30)")        \
    TEXT(log_level, "log-level", "LEVEL", "error, warn, info or debug (info)")                     \
    TEXT(hop_key_file, "hop-key-file", "FILE", "key of the gateway whose x-polder-* are believed") \
    FLAG(trust_socket, "trust-socket", "whoever reaches our Unix socket is such a gateway")        \
    FLAG(insecure, "insecure", "listen beyond loopback although there is no TLS and no key check")

struct options {
#define TEXT(member, name, arg, help)  const char *member;
#define COUNT(member, name, max, help) uint32_t member; /* 0: default */
#define FLAG(member, name, help)       bool member;
    OPTIONS_LIST(TEXT, COUNT, FLAG)
#undef TEXT
#undef COUNT
#undef FLAG
    bool has_shutdown_timeout; /* 0 is a value of its own: at once */
    bool help;                 /* --help was given: nothing else is checked */
    enum engine_kv_type kv;  /* what kv_type says; its text is there even where it was not given */
    enum pl_log_level level; /* what log_level says */
};

/* args: what follows the role, n of them. */
PL_NODISCARD enum pl_status options_parse(int n, char *const *args, struct options *ret,
                                          struct pl_error *err);

/* The table of options on stdout. */
void options_print_help(void);

#endif
