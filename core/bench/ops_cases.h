/*
 * bench/ops_cases.h - what polder-bench ops runs: small programs of one or two ops with their data.
 *
 * A case holds everything in host memory and no device's handle, so that the same case runs on any backend
 * through include/polder/backend.h alone.
 *
 * Ownership: a case owns its data until ops_case_deinit.  Threads: one.
 * Errors: ops_case.failed after a lack of memory.  Limits: OPS_*_MAX.
 * Source: ours, docs/internals/bench.md.
 */
#ifndef BENCH_OPS_CASES_H
#define BENCH_OPS_CASES_H

#include <polder/backend.h>

#define OPS_VALUES_MAX 24 /* a LINEAR with everything has 16 */
#define OPS_SEQS_MAX   8
#define OPS_NAME_MAX   112

/* One tensor: what the program says of it, and its contents. */
struct ops_value {
    struct pl_value value;
    uint32_t use; /* WEIGHT: enum pl_weight_use */
    void *
        data; /* WEIGHT: bytes as in a file; ACT: F32 or I32 [rows, cols]; NULL for a pure output */
    size_t bytes;  /* of data */
    bool compared; /* an output that the oracle judges */
};

struct ops_case {
    char name[OPS_NAME_MAX];
    uint32_t opcode; /* the op that is judged */
    uint32_t dtype;  /* enum pl_dtype that chooses the tolerance: of the weight or the KV */
    struct ops_value values[OPS_VALUES_MAX];
    uint32_t n_values;
    struct pl_op ops[2];
    uint32_t n_ops;
    struct pl_kv_group group;
    bool has_kv;
    uint32_t rows_max;           /* T */
    uint32_t n_rows, n_outputs;  /* of the step */
    int32_t *ids;                /* [n_rows], EMBED only */
    uint32_t n_seqs;             /* KV: sequences ... */
    uint32_t lens[OPS_SEQS_MAX]; /* ... and their tokens; n_rows is their sum */
    bool chunkable;              /* KV: causal, so that chunks give the same */
    bool row_wise;               /* each output row depends on the same row of the inputs only */
    uint64_t seed;
    bool failed;
};

/* Called for each case; the case is freed after it returns. */
typedef void ops_case_fn(void *user, struct ops_case *c);

/* All cases, in a fixed order, each only if its name contains filter (NULL: all; upper and
 * lower case are one). */
void ops_cases_each(const char *filter, ops_case_fn *on_case, void *user);

/* ---- for the generators ---------------------------------------------------------------------- */

struct ops_walk {
    const char *filter;
    ops_case_fn *on_case;
    void *user;
    uint64_t n; /* cases made so far: the seed of the next */
};

/* An empty case with a name, or false if the filter passes it over. */
PL_PRINTF(4, 5)
bool ops_case_begin(struct ops_walk *walk, struct ops_case *c, uint32_t opcode, const char *fmt,
                    ...);
/* Hands the case over and frees it. */
void ops_case_end(struct ops_walk *walk, struct ops_case *c);
void ops_case_deinit(struct ops_case *c);

/* Each returns the index of the new value. */
int32_t ops_add_weight(struct ops_case *c, uint32_t dtype, uint32_t use, int64_t rows,
                       int64_t cols);
int32_t ops_add_vector(struct ops_case *c, int64_t cols, float mean, float spread); /* F32 [1, n] */
int32_t ops_add_input(struct ops_case *c, uint32_t row_kind, int64_t rows, int64_t cols);
int32_t ops_add_output(struct ops_case *c, uint32_t row_kind, int64_t rows, int64_t cols);

/* An op with all operands absent. */
struct pl_op *ops_add_op(struct ops_case *c, uint32_t opcode);

void ops_cases_linear(struct ops_walk *walk); /* ops_linear.c */
void ops_cases_rows(struct ops_walk *walk);   /* ops_rows.c */
void ops_cases_attn(struct ops_walk *walk);   /* ops_attn.c */

/* ---- data: ops_data.c ------------------------------------------------------------------------ */

/* n numbers of mean and spread, roughly normal, drawn from stream `stream` of `seed`. */
void ops_fill_normal(float *out, size_t n, uint64_t seed, uint64_t stream, float mean,
                     float spread);

/* Random blocks of a type whose values have about the spread given. False: not a type of weights. */
PL_NODISCARD bool ops_fill_weight(void *out, uint32_t dtype, size_t n_elems, uint64_t seed,
                                  uint64_t stream, float spread);

#endif
