/*
 * model/model.h - what a GGUF file describes: hyper-parameters, and its forward pass as a graph.
 *
 * An architecture is one row of the table in arch.c and one emitter file arch_<name>.c. The emitter looks
 * up every tensor that it uses and states its shape, so that emitting is also the check that the file is
 * a whole model; no device is needed for it.
 *
 * Ownership: info points into the opened file.  Threads: pure functions over an immutable file.
 * Errors: PL_ENOTSUP (architecture, feature), PL_EFORMAT naming key or tensor, PL_ENOMEM.
 * Limits: hparams.c.  Source: GGUF specification (ggml docs/gguf.md), section "LLM".
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "model/graph.h"

#include <polder/status.h>

struct model_limits {
    uint32_t rows_max, seqs_max, outputs_max; /* T, S, O */
    uint32_t dtype_kv;                        /* PL_DTYPE_F16, PL_DTYPE_F32 or PL_DTYPE_Q8_0 */
    uint32_t block_tokens;                    /* P */
    uint32_t ctx_tokens; /* longest sequence that is meant; 0 = the model's: picks rope factors */
};

struct model_info {
    const char *architecture; /* static: the table's name */
    uint64_t n_params;        /* elements of all tensors of the file */
    uint32_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab;
    uint32_t ctx_train_tokens;
};

/* Hyper-parameters only. */
PL_NODISCARD enum pl_status model_read_info(const struct gguf *file, struct model_info *ret,
                                            struct pl_error *err);

/* The forward pass. *ret is initialised by the call, and empty after a failure. Buffers, offsets, layouts
 * and block counts are left for core/exec. */
PL_NODISCARD enum pl_status model_emit(const struct gguf *file, const struct model_limits *limits,
                                       struct graph *ret, struct pl_error *err);

/* Is this file a whole model that this version can run? */
PL_NODISCARD enum pl_status model_check(const struct gguf *file, struct pl_error *err);

/* Names of the architectures in the table, for messages and lists: "llama, qwen2". Static. */
const char *model_architectures(void);

#endif
