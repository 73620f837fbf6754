/*
 * polder/step.h - what changes from step to step: the binding ring and the small host struct of a
 * submit, and the paged KV groups that both refer to.
 *
 * A program is compiled once and replayed. All that varies (token ids, positions, block tables, ...)
 * lies in device memory at fixed places, in a ring of at least two binding sets, so that step n+1 can
 * be written while n runs; struct pl_step carries only the counts from which a backend picks bucket
 * and grid.
 *
 * Ownership: the host allocates buffers for sets and groups through the backend and frees them after
 * program_free.  Threads: a set is written by the host only while no submitted step uses it.
 * Limits: PL_BINDING_MAX, PL_KV_GROUPS_MAX.  Source: ours; paging after Kwon et al., SOSP 2023.
 */
#ifndef POLDER_STEP_H
#define POLDER_STEP_H

#include <polder/op.h>

#define PL_KV_GROUPS_MAX 4 /* full attention, sliding window, MLA latent, recurrent state */

/* Stable numbers. All I32 unless said. */
enum pl_binding {
    PL_BINDING_NONE = 0,
    PL_BINDING_IDS = 1,     /* [T] token ids, 0 <= id < V */
    PL_BINDING_POS = 2,     /* [T] position in its sequence, 0-based */
    PL_BINDING_ROW_SEQ = 3, /* [T] which sequence of the step the row belongs to, < S */
    PL_BINDING_SEQ_START =
        4, /* [S+1] first row of each sequence; rows of one are adjacent, in order */
    PL_BINDING_KV_LEN = 5,   /* [S] tokens in cache after this step's rows are written */
    PL_BINDING_OUT_ROWS = 6, /* [O] rows whose logits are wanted, increasing */
    PL_BINDING_LOGITS = 7,   /* [O, V] F32, written by the program */
    PL_BINDING_BLOCK_TABLE =
        8,                   /* ..11, one per KV group: [S, max_blocks] block numbers; entry j of a
                                 * sequence holds its positions j*P .. j*P+P-1 */
    PL_BINDING_SAMPLED = 12, /* [O] ids, written by SAMPLE */
    PL_BINDING_MAX = 32,
};

/* One set of the ring: a host-visible buffer and where each binding starts in it. */
struct pl_binding_set {
    struct pl_buffer *buffer;
    uint64_t offset[PL_BINDING_MAX]; /* bytes, multiples of the device's alignment */
};

enum pl_kv_kind {
    PL_KV_FULL = 1,      /* every position stays visible */
    PL_KV_WINDOW = 2,    /* the last window_tokens; older blocks may be freed */
    PL_KV_LATENT = 3,    /* MLA */
    PL_KV_RECURRENT = 4, /* state of fixed size per sequence */
};

/* A group of layers that share block numbers. One block holds block_tokens positions of all layers of
 * the group, in the backend's own order (kv_query names it); the canonical form, in which blocks travel
 * between backends and nodes, is [n_layers][k then v][P][K][D] in the group's types. 88 bytes. */
struct pl_kv_group {
    uint32_t kind;                   /* enum pl_kv_kind */
    uint32_t dtype_k, dtype_v;       /* F32, F16; Q8_0 where head sizes are multiples of 32 */
    uint32_t n_layers;               /* L of this group */
    uint32_t n_kv_heads;             /* K */
    uint32_t head_dim_k, head_dim_v; /* D */
    uint32_t block_tokens;           /* P, a power of two */
    uint32_t window_tokens;          /* PL_KV_WINDOW, else 0 */
    uint32_t n_blocks;               /* blocks in buffer; numbers 0 .. n_blocks-1 */
    uint32_t max_blocks;      /* columns of the block table: blocks of the longest sequence */
    uint32_t layout;          /* id that kv_query gave */
    struct pl_buffer *buffer; /* n_blocks * block_bytes; NULL while only queried */
    uint64_t reserved[4];     /* 0 */
};

/* One submit. Zero-filled tail means "as before" to a newer plugin. */
struct pl_step {
    uint32_t struct_size;
    uint32_t binding_set;      /* which set of the ring */
    uint32_t n_rows;           /* T >= 1 */
    uint32_t n_seqs;           /* S >= 1 */
    uint32_t n_outputs;        /* O, may be 0: then ops on output rows do nothing */
    uint32_t query_tokens_max; /* longest run of rows of one sequence in this step */
    uint32_t kv_tokens_max;    /* largest KV_LEN in this step */
    uint32_t flags;            /* 0 */
};

_Static_assert(sizeof(struct pl_kv_group) == 88, "pl_kv_group crosses the ABI");
_Static_assert(sizeof(struct pl_binding_set) == 8 + 8 * PL_BINDING_MAX, "crosses the ABI");
_Static_assert(sizeof(struct pl_step) == 32, "pl_step crosses the ABI");

#endif
