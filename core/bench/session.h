/*
 * bench/session.h - an engine opened from the options that logits, generate and model share.
 *
 * Ownership: session_open's engine is closed with engine_close.  Threads: one.
 * Errors: a line on stderr.  Limits: none.  Source: ours.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include "options.h"

#include <engine.h>

/* Rows for a command's option table; zero-initialise, then SESSION_ROWS(&session). */
struct session_options {
    const char *model;
    const char *backend;
    const char *backend_dir;
    const char *kv_type; /* "f16", "f32" or "q8_0"; NULL: f16 */
    int64_t n_threads;   /* 0: physical cores */
    bool reference;
};

#define SESSION_ROWS(s)                                                                            \
    {.name = "--model",                                                                            \
     .value = "FILE",                                                                              \
     .kind = OPTION_TEXT,                                                                          \
     .target = &(s)->model,                                                                        \
     .required = true,                                                                             \
     .help = "GGUF model file"},                                                                   \
        {.name = "--backend",                                                                      \
         .value = "NAME",                                                                          \
         .kind = OPTION_TEXT,                                                                      \
         .target = &(s)->backend,                                                                  \
         .help = "plugin to use; default: the best that runs here"},                               \
        {.name = "--backend-dir",                                                                  \
         .value = "DIR",                                                                           \
         .kind = OPTION_TEXT,                                                                      \
         .target = &(s)->backend_dir,                                                              \
         .help = "where plugins lie"},                                                             \
        {.name = "--kv-type",                                                                      \
         .value = "f32|f16|q8_0",                                                                  \
         .kind = OPTION_TEXT,                                                                      \
         .target = &(s)->kv_type,                                                                  \
         .help = "type of the KV cache; default f16"},                                             \
        {.name = "-t",                                                                             \
         .value = "N",                                                                             \
         .kind = OPTION_INT,                                                                       \
         .target = &(s)->n_threads,                                                                \
         .min = 0,                                                                                 \
         .max = 1024,                                                                              \
         .help = "CPU threads; default: physical cores"},                                          \
    {                                                                                              \
        .name = "--reference", .kind = OPTION_FLAG, .target = &(s)->reference,                     \
        .help = "slow reference kernels"                                                           \
    }

struct session_sizes { /* zero: the engine's default */
    uint32_t ctx_tokens, kv_tokens, seqs_max, rows_max, queue_max;
};

/* BENCH_OK, or the exit code after a line was printed. */
PL_NODISCARD int session_open(const char *command, const struct session_options *options,
                              const struct session_sizes *sizes, struct engine **ret);

/* "--tokens 1,5,9" or, for "-", the same on standard input; also accepts brackets, blanks and line
 * ends there. malloc'ed; NULL: a line was printed. */
PL_NODISCARD int32_t *session_tokens(const char *command, const char *text, size_t *ret_n);

#endif
