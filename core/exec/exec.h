/*
 * exec/exec.h - a model placed on a device: weights packed, program compiled, steps replayed.
 *
 * Opens a backend's device, packs the weights, lets core/model emit the op list, replaces ops that the
 * device does not support by their decomposition, plans activation memory by liveness, allocates KV blocks
 * and a ring of binding sets, and compiles once. Then each step is: begin, fill the view, submit, wait.
 *
 * Invariant: between exec_open and exec_close a step allocates nothing and compiles nothing.
 *
 * Ownership: exec owns device, weights, KV and sets; views and logits point into a set.
 * Threads: one owner thread for begin/submit/wait; exec_info and exec_device_stats from any.
 * Errors: PL_ENOTSUP naming op and tensor; PL_ENOMEM with the sizes; PL_ELOST: close and open again.
 * Limits: those of its options.  Source: ours, docs/internals/exec.md.
 */
#ifndef EXEC_EXEC_H
#define EXEC_EXEC_H

#include "gguf/gguf.h"
#include "plugin/plugin.h"

#define EXEC_BLOCK_TOKENS 16 /* P: smallest tile that all backends share; also vLLM's default */
#define EXEC_SETS         2  /* binding ring: step n+1 is written while n runs */

struct exec_options {
    const struct gguf *file;            /* outlives exec */
    const struct plugin_entry *backend; /* outlives exec */
    struct pl_device_options device;    /* struct_size filled by exec_open */
    uint32_t dtype_kv;                  /* PL_DTYPE_F16, PL_DTYPE_F32 or PL_DTYPE_Q8_0 */
    uint32_t ctx_tokens;                /* longest sequence; 0 = the model's */
    uint32_t kv_tokens;                 /* of all sequences; 0 = sized from free memory */
    uint32_t seqs_max;                  /* S */
    uint32_t rows_max;                  /* T */
    uint32_t outputs_max;               /* O, <= T */
    bool (*on_progress)(void *user,
                        double fraction); /* may be NULL; false gives up: PL_ECANCELED */
    void *user;
    void (*on_log)(void *user, enum pl_log_level level, const char *line); /* may be NULL */
};

struct exec_info {
    const char *architecture; /* "llama" */
    const char *backend;      /* "cpu" */
    char device[PL_NAME_MAX];
    uint64_t n_params, weight_bytes, kv_bytes;
    uint32_t n_vocab;    /* V: columns of the logits */
    uint32_t ctx_tokens; /* longest sequence */
    uint32_t ctx_train_tokens;
    uint32_t block_tokens, n_blocks; /* P; KV blocks of the largest group */
    uint32_t max_blocks;             /* columns of a block table row */
    uint32_t n_groups;
    struct exec_kv_group {
        uint32_t n_blocks;
        uint32_t window_tokens; /* 0 = full attention */
        uint64_t block_bytes;
    } groups[PL_KV_GROUPS_MAX];
    char kv_layout
        [PL_NAME_MAX]; /* what a block's bytes mean: backend, layout ids, types: equal text, equal meaning */
    uint32_t rows_max, seqs_max, outputs_max;
};

struct exec;

PL_NODISCARD enum pl_status exec_open(const struct exec_options *options, struct exec **ret,
                                      struct pl_error *err);
void exec_close(struct exec *exec);

const struct exec_info *exec_info(const struct exec *exec);
void exec_device_stats(const struct exec *exec, struct pl_device_stats *ret);

/* Where the caller writes one step; see step.h for the meaning of each. */
struct exec_view {
    int32_t *ids;       /* [rows_max] */
    int32_t *pos;       /* [rows_max] */
    int32_t *row_seq;   /* [rows_max] */
    int32_t *seq_start; /* [seqs_max + 1] */
    int32_t *kv_len;    /* [seqs_max] */
    int32_t *out_rows;  /* [outputs_max] */
    int32_t *block_tables
        [PL_KV_GROUPS_MAX]; /* [seqs_max, max_blocks] of each group; entries that a window
                                              * group has given back are 0 and not read */
};

/* The next set of the ring. PL_EBUSY if all sets are submitted and not yet waited for. */
PL_NODISCARD enum pl_status exec_begin(struct exec *exec, struct exec_view *ret,
                                       struct pl_error *err);

/* Runs the set that exec_begin gave. Counts as in struct pl_step. */
PL_NODISCARD enum pl_status exec_submit(struct exec *exec, uint32_t n_rows, uint32_t n_seqs,
                                        uint32_t n_outputs, struct pl_error *err);

/* Whether exec_wait would return at once. */
bool exec_ready(struct exec *exec);

/* Waits for the oldest submitted step. *ret_logits: [n_outputs, V], valid until that set is begun again. */
PL_NODISCARD enum pl_status exec_wait(struct exec *exec, const float **ret_logits,
                                      struct pl_error *err);

/* ---- KV blocks as bytes: for copy-on-write and tiers. In order with submitted steps, synchronous. ---- */

PL_NODISCARD enum pl_status exec_kv_copy(struct exec *exec, uint32_t group, int32_t from,
                                         int32_t to, struct pl_error *err);
PL_NODISCARD enum pl_status exec_kv_read(struct exec *exec, uint32_t group, int32_t block,
                                         void *dst, struct pl_error *err);
PL_NODISCARD enum pl_status exec_kv_write(struct exec *exec, uint32_t group, int32_t block,
                                          const void *src, struct pl_error *err);

#endif
