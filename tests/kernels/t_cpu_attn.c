/*
 * t_cpu_attn.c - QKV_POST and ATTN over the paged cache: fast path against reference, and bits of a row that
 * depend on nothing but the row and its history (bar C6): not on the batch, on where a prompt was cut
 * into chunks, on which blocks hold it, on the number of threads.
 *
 * Unwritten cache is NaN, so that a read beyond what a row may see shows; entries of the block table that no
 * row of the step sees, before a window as behind the sequence, are numbers far outside the cache.
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

#define SEQS_MAX 3
#define ROWS_MAX 80
#define LEN_MAX  160

struct attn_case {
    const char *name;
    uint32_t heads, kv_heads, d, dv;
    uint32_t dtype_k, dtype_v, block_tokens;
    uint32_t rope, rot_dim;
    uint32_t extras;
    float ext_factor, freq_scale;
    uint32_t window;
    float softcap;
    bool full; /* not causal */
    double nmse_max;
};

#define EXTRA_BIAS    1u
#define EXTRA_NORM    2u
#define EXTRA_FACTORS 4u
#define EXTRA_SINKS   8u

#define F32   PL_DTYPE_F32
#define F16   PL_DTYPE_F16
#define FLOAT 1e-10 /* float sums and a polynomial exp */
#define HALF  1e-6  /* both paths round to F16, but now and then to neighbours */
#define Q8    PL_DTYPE_Q8_0
#define BYTES 2e-6 /* likewise, steps of 1/127 of the largest of 32 */

static const struct attn_case cases[] = {
    {"llama", 8, 2, 64, 64, F16, F16, 16, PL_ROPE_NORM, 64, 0, 0, 1, 0, 0, false, HALF},
    {"llama f32", 8, 2, 64, 64, F32, F32, 16, PL_ROPE_NORM, 64, 0, 0, 1, 0, 0, false, FLOAT},
    {"factors", 4, 4, 32, 32, F32, F32, 16, PL_ROPE_NORM, 32, EXTRA_FACTORS, 0, 1, 0, 0, false,
     FLOAT},
    {"qwen2", 7, 1, 64, 64, F16, F16, 16, PL_ROPE_NEOX, 64, EXTRA_BIAS, 0, 1, 0, 0, false, HALF},
    {"qwen3", 6, 2, 128, 128, F32, F32, 16, PL_ROPE_NEOX, 128, EXTRA_NORM, 0, 1, 0, 0, false,
     FLOAT},
    {"gpt-oss", 8, 1, 64, 64, F16, F16, 16, PL_ROPE_NEOX, 64, EXTRA_BIAS | EXTRA_SINKS, 1, 0.03125F,
     20, 0, false, HALF},
    {"gemma2", 4, 2, 32, 32, F32, F32, 16, PL_ROPE_NEOX, 32, 0, 0, 1, 33, 5, false, FLOAT},
    {"partial rotation", 3, 3, 40, 40, F32, F32, 16, PL_ROPE_NEOX, 10, 0, 0, 0.25F, 0, 0, false,
     FLOAT},
    {"no rotation, whole sequence", 4, 2, 16, 16, F32, F32, 16, PL_ROPE_NONE, 0, EXTRA_BIAS, 0, 1,
     0, 0, true, FLOAT},
    {"odd head sizes", 9, 3, 17, 23, F32, F16, 16, PL_ROPE_NORM, 16, 0, 0, 1, 0, 0, false, HALF},
    {"head of one", 1, 1, 1, 1, F16, F32, 16, PL_ROPE_NONE, 0, 0, 0, 1, 0, 0, false, HALF},
    {"blocks of 1", 2, 1, 24, 24, F32, F32, 1, PL_ROPE_NORM, 24, 0, 0, 1, 0, 0, false, FLOAT},
    {"blocks of 4, window", 2, 1, 24, 24, F16, F16, 4, PL_ROPE_NORM, 24, 0, 0, 1, 5, 0, false,
     HALF},
    {"blocks of 64", 4, 2, 48, 48, F16, F16, 64, PL_ROPE_NORM, 48, EXTRA_SINKS, 0, 1, 0, 0, false,
     HALF},
    {"q8_0", 8, 2, 64, 64, Q8, Q8, 16, PL_ROPE_NORM, 64, 0, 0, 1, 0, 0, false, BYTES},
    {"q8_0, head of 32, all in one", 7, 1, 32, 32, Q8, Q8, 16, PL_ROPE_NEOX, 32,
     EXTRA_BIAS | EXTRA_SINKS, 0, 1, 0, 0, false, BYTES},
    {"q8_0, window and cap", 4, 4, 96, 64, Q8, Q8, 16, PL_ROPE_NEOX, 96, EXTRA_NORM, 0, 1, 33, 5,
     false, BYTES},
    {"q8_0, blocks of 4", 6, 2, 128, 160, Q8, Q8, 4, PL_ROPE_NORM, 64, 0, 0, 1, 5, 0, false, BYTES},
    {"q8_0, blocks of 64, whole sequence", 3, 3, 64, 64, Q8, Q8, 64, PL_ROPE_NONE, 0, EXTRA_BIAS, 0,
     1, 0, 0, true, BYTES},
    {"q8_0 keys", 13, 1, 64, 40, Q8, F32, 16, PL_ROPE_NORM, 64, 0, 0, 1, 0, 0, false, BYTES},
    {"q8_0 values", 8, 2, 40, 64, F16, Q8, 16, PL_ROPE_NORM, 40, 0, 0, 1, 20, 0, false, BYTES},
    {"13 heads on one, window of 1", 13, 1, 80, 80, F32, F32, 16, PL_ROPE_NEOX, 80, 0, 0, 1, 1, 0,
     false, FLOAT},
};

#define POISON 0x7fff0000 /* a block number that no cache has */

struct attn_rig {
    struct rig rig;
    const struct attn_case *c;
    int32_t q, k, v, out;
    bool reversed; /* block numbers are dealt from the end */
};

static void make_group(struct attn_rig *a)
{
    const struct attn_case *c = a->c;
    uint32_t max_blocks = (LEN_MAX + c->block_tokens - 1) / c->block_tokens;
    rig_kv(&a->rig, &(struct pl_kv_group){
                        .kind = PL_KV_FULL,
                        .dtype_k = c->dtype_k,
                        .dtype_v = c->dtype_v,
                        .n_layers = 2,
                        .n_kv_heads = c->kv_heads,
                        .head_dim_k = c->d,
                        .head_dim_v = c->dv,
                        .block_tokens = c->block_tokens,
                        .n_blocks = max_blocks * SEQS_MAX,
                        .max_blocks = max_blocks,
                    });
}

static void make_qkv_post(struct attn_rig *a)
{
    const struct attn_case *c = a->c;
    struct pl_op *op = rig_op(&a->rig, PL_OP_QKV_POST);
    op->in[PL_QKV_Q] = a->q;
    op->in[PL_QKV_K] = a->k;
    op->in[PL_QKV_V] = a->v;
    op->out[0] = a->q;
    if ((c->extras & EXTRA_BIAS) != 0) {
        op->in[PL_QKV_BIAS_Q] = rig_vector(&a->rig, (int64_t)c->heads * c->d);
        op->in[PL_QKV_BIAS_K] = rig_vector(&a->rig, (int64_t)c->kv_heads * c->d);
        op->in[PL_QKV_BIAS_V] = rig_vector(&a->rig, (int64_t)c->kv_heads * c->dv);
    }
    if ((c->extras & EXTRA_NORM) != 0) {
        op->in[PL_QKV_NORM_Q] = rig_vector(&a->rig, c->d);
        op->in[PL_QKV_NORM_K] = rig_vector(&a->rig, c->d);
    }
    if ((c->extras & EXTRA_FACTORS) != 0)
        op->in[PL_QKV_FACTORS] = rig_vector(&a->rig, c->rot_dim / 2);
    op->p.qkv_post = (struct pl_qkv_post_params){
        .kv_layer = 1,
        .n_heads = c->heads,
        .n_kv_heads = c->kv_heads,
        .head_dim = c->d,
        .head_dim_v = c->dv,
        .rope = c->rope,
        .rot_dim = c->rot_dim,
        .freq_base = 10000.0F,
        .freq_scale = c->freq_scale,
        .ext_factor = c->ext_factor,
        .attn_factor = 1.0F,
        .beta_fast = 32.0F,
        .beta_slow = 1.0F,
        .orig_ctx = 4096,
        .norm_eps = 1e-6F,
    };
}

static void attn_open(struct attn_rig *a, const struct attn_case *c, const struct rig_options *base)
{
    struct pl_error err = {""};
    struct rig_options options = *base;
    options.rows = ROWS_MAX;
    options.seqs = SEQS_MAX;
    options.kv_tokens = LEN_MAX;
    *a = (struct attn_rig){.c = c};
    rig_open(&a->rig, &options);
    make_group(a);
    a->q = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->heads * c->d);
    a->k = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->kv_heads * c->d);
    a->v = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->kv_heads * c->dv);
    a->out = rig_act(&a->rig, PL_ROWS_TOKENS, ROWS_MAX, (int64_t)c->heads * c->dv);
    make_qkv_post(a);
    int32_t sinks = (c->extras & EXTRA_SINKS) != 0 ? rig_vector(&a->rig, c->heads) : PL_NO_VALUE;
    struct pl_op *op = rig_op(&a->rig, PL_OP_ATTN);
    op->flags = c->full ? 0 : PL_ATTN_CAUSAL;
    op->in[PL_ATTN_Q] = a->q;
    op->in[PL_ATTN_SINKS] = sinks;
    op->out[0] = a->out;
    op->p.attn = (struct pl_attn_params){
        .kv_layer = 1,
        .n_heads = c->heads,
        .n_kv_heads = c->kv_heads,
        .head_dim = c->d,
        .head_dim_v = c->dv,
        .scale = 0.3F,
        .softcap = c->softcap,
        .window = c->window,
    };
    if (rig_build(&a->rig, &err) != PL_OK)
        fail_msg("%s: %s", c->name, err.msg);
}

/* What token `pos` of sequence `id` is: the same numbers in every batch. */
static void token_row(struct attn_rig *a, int32_t value, int64_t row, int id, int pos)
{
    int64_t cols = a->rig.values[value].cols;
    float *dst = rig_data(&a->rig, value) + row * cols;
    uint64_t seed = ((uint64_t)id * 1000003u + (uint64_t)pos + 1) * 0x9e3779b97f4a7c15u;
    seed += (uint64_t)(value == a->q ? 1 : value == a->k ? 2 : 3);
    for (int64_t i = 0; i < cols; i++)
        dst[i] = rig_uniform(&seed);
}

/* A step: of sequence id[i] the tokens [from[i], to[i]), sequences in slots 0.. of the step. */
struct step {
    int n;
    int id[SEQS_MAX], from[SEQS_MAX], to[SEQS_MAX];
};

static void attn_step(struct attn_rig *a, const struct step *s)
{
    struct rig *rig = &a->rig;
    struct pl_error err = {""};
    int row = 0;
    int32_t max_blocks = (int32_t)rig->group.max_blocks;
    int P = (int)rig->group.block_tokens;
    int window = (int)a->c->window;
    for (int i = 0; i < s->n; i++) {
        rig_ints(rig, PL_BINDING_SEQ_START)[i] = row;
        rig_ints(rig, PL_BINDING_KV_LEN)[i] = s->to[i];
        for (int32_t b = 0; b < max_blocks; b++) {
            int32_t number = s->id[i] * max_blocks + b * 7 % max_blocks; /* scattered */
            if (max_blocks % 7 == 0)
                number = s->id[i] * max_blocks + b;
            if (a->reversed)
                number = (int32_t)rig->group.n_blocks - 1 - number;
            bool read = b * P < s->to[i] && (window == 0 || (b + 1) * P > s->from[i] + 1 - window);
            rig_ints(rig, PL_BINDING_BLOCK_TABLE)[i * max_blocks + b] = read ? number : POISON;
        }
        for (int pos = s->from[i]; pos < s->to[i]; pos++, row++) {
            rig_ints(rig, PL_BINDING_POS)[row] = pos;
            rig_ints(rig, PL_BINDING_ROW_SEQ)[row] = i;
            token_row(a, a->q, row, s->id[i], pos);
            token_row(a, a->k, row, s->id[i], pos);
            token_row(a, a->v, row, s->id[i], pos);
        }
    }
    rig_ints(rig, PL_BINDING_SEQ_START)[s->n] = row;
    assert_true(row <= ROWS_MAX);
    if (rig_step(rig, (uint32_t)row, (uint32_t)s->n, 0, &err) != PL_OK)
        fail_msg("%s: %s", a->c->name, err.msg);
}

/* Prefill of two sequences, then decodes mixed with a third's prefill. */
static const struct step mixed[] = {
    {2, {0, 1}, {0, 0}, {53, 21}},
    {3, {1, 0, 2}, {21, 53, 0}, {22, 54, 47}},
    {3, {0, 2, 1}, {54, 47, 22}, {55, 48, 60}},
    {2, {2, 0}, {48, 55}, {113, 70}},
};

static int step_rows(const struct step *s)
{
    int rows = 0;
    for (int i = 0; i < s->n; i++)
        rows += s->to[i] - s->from[i];
    return rows;
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

static void compare_case(const struct attn_case *c, const char *isa, int *bad)
{
    struct attn_rig want;
    struct attn_rig got;
    attn_open(&want, c, &(struct rig_options){.n_threads = 2, .reference = true});
    attn_open(&got, c, &(struct rig_options){.n_threads = 2, .isa = isa});
    for (size_t i = 0; i < PL_ARRAY_LEN(mixed); i++) {
        attn_step(&want, &mixed[i]);
        attn_step(&got, &mixed[i]);
        int64_t rows = step_rows(&mixed[i]);
        double nmse = rig_nmse(rig_data(&got.rig, got.out), rig_data(&want.rig, want.out),
                               rows * c->heads * c->dv);
        double nmse_q = rig_nmse(rig_data(&got.rig, got.q), rig_data(&want.rig, want.q),
                                 rows * c->heads * c->d);
        if (!(nmse <= c->nmse_max) || !(nmse_q <= FLOAT)) {
            print_message("# %s %s step %d: NMSE out %.2e q %.2e\n", isa, c->name, (int)i, nmse,
                          nmse_q);
            (*bad)++;
        }
    }
    rig_close(&want.rig);
    rig_close(&got.rig);
}

static void fast_path_equals_the_reference(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++)
        for (size_t i = 0; usable(isas[k]) && i < PL_ARRAY_LEN(cases); i++)
            compare_case(&cases[i], isas[k], &bad);
    assert_int_equal(bad, 0);
}

/* Outputs of sequence 0, token by token: [70][H * Dv]. */
static void record(struct attn_rig *a, const struct step *s, float *tokens)
{
    int64_t width = (int64_t)a->c->heads * a->c->dv;
    int row = 0;
    for (int i = 0; i < s->n; i++) {
        for (int pos = s->from[i]; pos < s->to[i]; pos++, row++)
            if (s->id[i] == 0)
                memcpy(tokens + pos * width, rig_data(&a->rig, a->out) + row * width,
                       (size_t)width * sizeof *tokens);
    }
}

#define SEQ0_TOKENS 70

static float *run_alone(const struct attn_case *c, const char *isa, uint32_t threads, int chunk)
{
    struct attn_rig a;
    float *tokens = calloc((size_t)SEQ0_TOKENS * c->heads * c->dv, sizeof *tokens);
    assert_non_null(tokens);
    attn_open(&a, c, &(struct rig_options){.n_threads = threads, .isa = isa});
    a.reversed = true;
    for (int from = 0; from < SEQ0_TOKENS; from += chunk) {
        struct step s = {.n = 1, .from = {from}, .to = {PL_MIN(from + chunk, SEQ0_TOKENS)}};
        attn_step(&a, &s);
        record(&a, &s, tokens);
    }
    rig_close(&a.rig);
    return tokens;
}

static void bits_of_case(const struct attn_case *c, const char *isa)
{
    static const struct {
        uint32_t threads;
        int chunk;
    } ways[] = {{1, 70}, {2, 1}, {3, 13}, {2, 16}, {1, 33}};
    struct attn_rig a;
    size_t bytes = (size_t)SEQ0_TOKENS * c->heads * c->dv * sizeof(float);
    float *batch = malloc(bytes);
    assert_non_null(batch);
    attn_open(&a, c, &(struct rig_options){.n_threads = 2, .isa = isa});
    for (size_t i = 0; i < PL_ARRAY_LEN(mixed); i++) {
        attn_step(&a, &mixed[i]);
        record(&a, &mixed[i], batch);
    }
    rig_close(&a.rig);
    for (size_t i = 0; i < PL_ARRAY_LEN(ways); i++) {
        float *alone = run_alone(c, isa, ways[i].threads, ways[i].chunk);
        if (memcmp(alone, batch, bytes) != 0)
            fail_msg("%s %s: %u threads, chunks of %d: differs from the batch", isa, c->name,
                     ways[i].threads, ways[i].chunk);
        free(alone);
    }
    free(batch);
}

static void bits_depend_on_the_row_and_its_history_only(void **state)
{
    (void)state;
    for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++)
        for (size_t i = 0; usable(isas[k]) && i < PL_ARRAY_LEN(cases); i++)
            if (!cases[i].full) /* there chunks see different histories by definition */
                bits_of_case(&cases[i], isas[k]);
}

static void q8_0_wants_heads_of_whole_blocks(void **state)
{
    (void)state;
    static const struct {
        uint32_t dtype_k, dtype_v, d, dv;
        bool ok;
    } rows[] = {{Q8, Q8, 64, 64, true},   {Q8, Q8, 32, 1024, true},
                {Q8, Q8, 80, 64, false},  {Q8, Q8, 64, 80, false},
                {Q8, F16, 80, 64, false}, {Q8, F16, 64, 80, true},
                {F32, Q8, 80, 32, true},  {F32, Q8, 32, 33, false},
                {Q8, Q8, 16, 16, false},  {PL_DTYPE_Q4_0, F16, 32, 32, false}};
    struct rig rig;
    rig_open(&rig, &(struct rig_options){.n_threads = 1});
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_kv_group group = {.kind = PL_KV_FULL,
                                    .dtype_k = rows[i].dtype_k,
                                    .dtype_v = rows[i].dtype_v,
                                    .n_layers = 1,
                                    .n_kv_heads = 1,
                                    .head_dim_k = rows[i].d,
                                    .head_dim_v = rows[i].dv,
                                    .block_tokens = 16};
        struct pl_kv_layout layout = {.struct_size = sizeof layout};
        struct pl_error err = {""};
        enum pl_status status = rig.table->kv_query(rig.device, &group, &layout, &err);
        if ((status == PL_OK) != rows[i].ok || (status != PL_OK && status != PL_ENOTSUP))
            fail_msg("row %zu: %d, %s", i, (int)status, err.msg);
    }
    rig_close(&rig);
}

#if defined(__x86_64__)
/* Levels that differ in instructions and not in bits: AVX-512 with and without VNNI. */
static void vnni_changes_no_bit(void **state)
{
    (void)state;
    struct attn_rig a;
    struct attn_rig b;
    for (size_t i = 0; usable("avx512") && i < PL_ARRAY_LEN(cases); i++) {
        attn_open(&a, &cases[i], &(struct rig_options){.n_threads = 2, .isa = "avx512"});
        attn_open(&b, &cases[i], &(struct rig_options){.n_threads = 2, .isa = "avx512"});
        b.rig.device->fast = fast_kernels_get(CPU_ISA_AVX512, false);
        for (size_t k = 0; k < PL_ARRAY_LEN(mixed); k++) {
            attn_step(&a, &mixed[k]);
            attn_step(&b, &mixed[k]);
            size_t bytes =
                (size_t)step_rows(&mixed[k]) * cases[i].heads * cases[i].dv * sizeof(float);
            if (memcmp(rig_data(&a.rig, a.out), rig_data(&b.rig, b.out), bytes) != 0)
                fail_msg("%s, step %zu", cases[i].name, k);
        }
        rig_close(&a.rig);
        rig_close(&b.rig);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"fast path equals the reference", fast_path_equals_the_reference, NULL, NULL, NULL},
        {"bits depend on the row and its history only", bits_depend_on_the_row_and_its_history_only,
         NULL, NULL, NULL},
        {"Q8_0 wants heads of whole blocks", q8_0_wants_heads_of_whole_blocks, NULL, NULL, NULL},
#if defined(__x86_64__)
        {"VNNI changes no bit", vnni_changes_no_bit, NULL, NULL, NULL},
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
