/*
 * t_cpu_attn_split.c - attention over long sequences: segments of positions that threads share or not,
 * with equal bits; and near the reference.
 *
 * The cache is filled with random numbers of its type; rows only attend. A step of few rows is split over
 * positions where there is more than one thread, one of many rows isn't.
 */
#include "cpu_rig.h"
#include "fast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEN      (3 * ATTN_SEGMENT + 77)
#define ROWS_MAX 24
#define SEQS_MAX 3

struct split_case {
    const char *name;
    uint32_t heads, kv_heads, d, dv, dtype, block_tokens;
    uint32_t window;
    float softcap;
    bool sinks;
    double nmse_max;
};

static const struct split_case cases[] = {
    {"f32", 5, 1, 32, 24, PL_DTYPE_F32, 16, 0, 0, false, 1e-10},
    {"f16", 8, 2, 64, 64, PL_DTYPE_F16, 16, 0, 0, true, 1e-10},
    {"q8_0", 4, 1, 64, 32, PL_DTYPE_Q8_0, 16, 0, 0, false, 1e-8},
    {"window over two segments", 3, 1, 32, 32, PL_DTYPE_F16, 16, 1500, 5, false, 1e-10},
    {"window in one", 2, 1, 32, 32, PL_DTYPE_Q8_0, 4, 100, 0, true, 1e-8},
    {"blocks of 64", 1, 1, 48, 48, PL_DTYPE_F16, 64, 0, 0, false, 1e-10},
};

struct split_rig {
    struct rig rig;
    const struct split_case *c;
    int32_t q, out;
};

/* Moderate numbers: F16 of either sign around 1, which serve as scales and bytes of Q8_0 as well. */
static void fill_cache(struct rig *rig, uint32_t dtype)
{
    uint64_t seed = 99;
    struct pl_kv_layout layout = {.struct_size = sizeof layout};
    struct pl_error err = {""};
    assert_int_equal(rig->table->kv_query(rig->device, &rig->group, &layout, &err), PL_OK);
    uint64_t bytes = layout.block_bytes * rig->group.n_blocks;
    uint8_t *data = rig->table->buffer_map(rig->group.buffer);
    for (uint64_t i = 0; i < bytes; i += 4) {
        uint32_t random = rig_random(&seed);
        uint32_t halves = (random & 0x87ff87ffu) | 0x38003800u; /* 0.5 to 2 */
        float one = rig_uniform(&seed);
        if (dtype == PL_DTYPE_F32)
            memcpy(data + i, &one, sizeof one);
        else
            memcpy(data + i, &halves, sizeof halves);
    }
}

static void split_open(struct split_rig *a, const struct split_case *c,
                       const struct rig_options *base)
{
    struct pl_error err = {""};
    struct rig_options options = *base;
    uint32_t max_blocks = (LEN + c->block_tokens - 1) / c->block_tokens;
    options.rows = ROWS_MAX;
    options.seqs = SEQS_MAX;
    options.kv_tokens = LEN;
    *a = (struct split_rig){.c = c};
    rig_open(&a->rig, &options);
    rig_kv(&a->rig, &(struct pl_kv_group){.kind = PL_KV_FULL,
                                          .dtype_k = c->dtype,
                                          .dtype_v = c->dtype,
                                          .n_layers = 1,
                                          .n_kv_heads = c->kv_heads,
                                          .head_dim_k = c->d,
                                          .head_dim_v = c->dv,
                                          .block_tokens = c->block_tokens,
                                          .n_blocks = max_blocks,
                                          .max_blocks = max_blocks});
    fill_cache(&a->rig, c->dtype);
    a->q = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->heads * c->d);
    a->out = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->heads * c->dv);
    int32_t sinks = c->sinks ? rig_vector(&a->rig, c->heads) : PL_NO_VALUE;
    struct pl_op *op = rig_op(&a->rig, PL_OP_ATTN);
    op->flags = PL_ATTN_CAUSAL;
    op->in[PL_ATTN_Q] = a->q;
    op->in[PL_ATTN_SINKS] = sinks;
    op->out[0] = a->out;
    op->p.attn = (struct pl_attn_params){.n_heads = c->heads,
                                         .n_kv_heads = c->kv_heads,
                                         .head_dim = c->d,
                                         .head_dim_v = c->dv,
                                         .scale = c->dtype == PL_DTYPE_Q8_0 ? 0.003F : 0.3F,
                                         .softcap = c->softcap,
                                         .window = c->window};
    if (rig_build(&a->rig, &err) != PL_OK)
        fail_msg("%s: %s", c->name, err.msg);
}

/* All sequences have the same blocks. Sequence s: rows at the last n[s] of len[s] positions. */
static void split_step(struct split_rig *a, int n_seqs, const int *len, const int *n)
{
    struct rig *rig = &a->rig;
    struct pl_error err = {""};
    int32_t max_blocks = (int32_t)rig->group.max_blocks;
    int row = 0;
    for (int s = 0; s < n_seqs; s++) {
        rig_ints(rig, PL_BINDING_SEQ_START)[s] = row;
        rig_ints(rig, PL_BINDING_KV_LEN)[s] = len[s];
        for (int32_t b = 0; b < max_blocks; b++)
            rig_ints(rig, PL_BINDING_BLOCK_TABLE)[s * max_blocks + b] = max_blocks - 1 - b;
        for (int pos = len[s] - n[s]; pos < len[s]; pos++, row++) {
            uint64_t seed = (uint64_t)pos * 0x9e3779b97f4a7c15u + 1; /* a row is its position */
            int64_t cols = rig->values[a->q].cols;
            rig_ints(rig, PL_BINDING_POS)[row] = pos;
            rig_ints(rig, PL_BINDING_ROW_SEQ)[row] = s;
            for (int64_t i = 0; i < cols; i++)
                rig_data(rig, a->q)[row * cols + i] = rig_uniform(&seed);
        }
    }
    rig_ints(rig, PL_BINDING_SEQ_START)[n_seqs] = row;
    assert_true(row <= ROWS_MAX);
    if (rig_step(rig, (uint32_t)row, (uint32_t)n_seqs, 0, &err) != PL_OK)
        fail_msg("%s: %s", a->c->name, err.msg);
}

static const char *const isas[] = {"scalar", "avx2", "avx512", "neon"};

static bool usable(const char *isa)
{
    struct rig rig;
    struct pl_error err;
    bool ok = rig_try_open(&rig, &(struct rig_options){.n_threads = 1, .isa = isa}, &err) == PL_OK;
    if (ok)
        rig_close(&rig);
    return ok;
}

static void long_rows_are_near_the_reference(void **state)
{
    (void)state;
    static const int len[] = {LEN, ATTN_SEGMENT + 1, ATTN_SEGMENT};
    static const int one[] = {1, 1, 1};
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct split_rig want;
        split_open(&want, &cases[i], &(struct rig_options){.n_threads = 1, .reference = true});
        split_step(&want, 3, len, one);
        for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++) {
            struct split_rig got;
            if (!usable(isas[k]))
                continue;
            split_open(&got, &cases[i], &(struct rig_options){.n_threads = 4, .isa = isas[k]});
            split_step(&got, 3, len, one);
            double nmse = rig_nmse(rig_data(&got.rig, got.out), rig_data(&want.rig, want.out),
                                   3 * (int64_t)cases[i].heads * cases[i].dv);
            if (!(nmse <= cases[i].nmse_max))
                fail_msg("%s %s: NMSE %.2e", isas[k], cases[i].name, nmse);
            rig_close(&got.rig);
        }
        rig_close(&want.rig);
    }
}

/* The row at LEN - 1, in steps that are split and steps that are not. */
static void bits_of_case(const struct split_case *c, const char *isa)
{
    static const struct {
        uint32_t threads;
        int n_seqs, len[SEQS_MAX], n[SEQS_MAX];
    } ways[] = {
        {1, 1, {LEN}, {1}},                           /* one thread: whole */
        {2, 1, {LEN}, {1}},                           /* split */
        {7, 1, {LEN}, {1}},                           /* split */
        {7, 2, {50, LEN}, {1, 1}},                    /* split, a short one besides */
        {3, 3, {LEN - 5, 9, LEN}, {8, 2, 1}},         /* many rows: whole */
        {2, 1, {LEN}, {ROWS_MAX}},                    /* a chunk of a prompt */
        {5, 2, {2 * ATTN_SEGMENT + 5, LEN}, {12, 3}}, /* rows on both sides of a border */
    };
    size_t width = (size_t)c->heads * c->dv;
    float *first = calloc(width, sizeof *first);
    assert_non_null(first);
    for (size_t i = 0; i < PL_ARRAY_LEN(ways); i++) {
        struct split_rig a;
        int last = -1;
        for (int s = 0; s < ways[i].n_seqs; s++)
            last += ways[i].n[s];
        split_open(&a, c, &(struct rig_options){.n_threads = ways[i].threads, .isa = isa});
        split_step(&a, ways[i].n_seqs, ways[i].len, ways[i].n);
        const float *out = rig_data(&a.rig, a.out) + (size_t)last * width;
        if (i == 0)
            memcpy(first, out, width * sizeof *first);
        else if (memcmp(first, out, width * sizeof *first) != 0)
            fail_msg("%s %s: way %zu differs", isa, c->name, i);
        rig_close(&a.rig);
    }
    free(first);
}

static void splitting_changes_no_bit(void **state)
{
    (void)state;
    for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++)
        for (size_t i = 0; usable(isas[k]) && i < PL_ARRAY_LEN(cases); i++)
            bits_of_case(&cases[i], isas[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"long rows are near the reference", long_rows_are_near_the_reference, NULL, NULL, NULL},
        {"splitting changes no bit", splitting_changes_no_bit, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
