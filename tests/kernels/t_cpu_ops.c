/*
 * t_cpu_ops.c - the ops that treat rows alone: fast path against reference, one table of limits; bits that
 * don't depend on threads or on the other rows.
 */
#include "cpu_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB 61

struct op_case {
    const char *name;
    void (*make)(struct rig *rig, const struct op_case *c, int32_t *ret_outs); /* 1..4, then -1 */
    uint32_t opcode, dtype, act, n_weights;
    uint32_t extras; /* EXTRA_* */
    int64_t rows, cols, outs;
    double nmse_max;
};

#define EXTRA_NORM     1u
#define EXTRA_BIAS     2u
#define EXTRA_RESIDUAL 4u
#define EXTRA_SCALE    8u
#define EXTRA_GROUPS   16u
#define EXTRA_IN_PLACE 32u
#define EXTRA_VECTOR   64u

static void make_linear(struct rig *rig, const struct op_case *c, int32_t *ret_outs)
{
    bool glu = c->act != PL_ACT_NONE;
    int32_t x = rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
    int32_t norm = (c->extras & EXTRA_NORM) != 0 ? rig_vector(rig, c->cols) : PL_NO_VALUE;
    struct pl_op *op = rig_op(rig, PL_OP_LINEAR);
    op->p.linear = (struct pl_linear_params){
        .n_weights = c->n_weights,
        .act = c->act,
        .norm_eps = 1e-5F,
        .scale = (c->extras & EXTRA_SCALE) != 0 ? 0.3F : 1.0F,
        .alpha = 1.702F,
        .limit = 1.5F,
    };
    op->in[PL_LINEAR_X] = x;
    op->in[PL_LINEAR_NORM] = norm;
    for (uint32_t i = 0; i < c->n_weights; i++) {
        int64_t outs = glu ? c->outs : c->outs + 3 * (int64_t)i; /* of different sizes */
        op->in[PL_LINEAR_W + i] = rig_weight(rig, c->dtype, PL_USE_LINEAR, outs, c->cols);
        if ((c->extras & EXTRA_BIAS) != 0)
            op->in[PL_LINEAR_B + i] = rig_vector(rig, outs);
        if (!glu || i == 0)
            ret_outs[i] = op->out[i] = rig_act(rig, PL_ROWS_TOKENS, c->rows, outs);
    }
    if ((c->extras & EXTRA_IN_PLACE) != 0)
        op->in[PL_LINEAR_RESIDUAL] = op->out[0];
    else if ((c->extras & EXTRA_RESIDUAL) != 0)
        op->in[PL_LINEAR_RESIDUAL] = rig_act(rig, PL_ROWS_TOKENS, c->rows, c->outs);
}

static void make_embed(struct rig *rig, const struct op_case *c, int32_t *ret_outs)
{
    uint32_t use = (c->extras & EXTRA_IN_PLACE) != 0 ? PL_USE_TIED : PL_USE_TABLE;
    struct pl_op *op = rig_op(rig, PL_OP_EMBED);
    op->p.embed.scale = (c->extras & EXTRA_SCALE) != 0 ? 8.0F : 1.0F;
    op->in[0] = rig_weight(rig, c->dtype, use, VOCAB, c->cols);
    ret_outs[0] = op->out[0] = rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
}

/* One or two matrices in, one of the same shape out. */
static void make_rows(struct rig *rig, const struct op_case *c, int32_t *ret_outs)
{
    struct pl_op *op = rig_op(rig, c->opcode);
    int64_t width = (c->extras & EXTRA_GROUPS) != 0 ? c->cols / 4 : c->cols;
    op->in[0] = rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
    ret_outs[0] = op->out[0] = (c->extras & EXTRA_IN_PLACE) != 0
                                   ? op->in[0]
                                   : rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
    switch (c->opcode) {
    case PL_OP_RMSNORM:
    case PL_OP_LAYERNORM:
        op->p.norm = (struct pl_norm_params){.eps = 1e-6F, .width = 0};
        if ((c->extras & EXTRA_GROUPS) != 0)
            op->p.norm.width = (uint32_t)width;
        if ((c->extras & EXTRA_NORM) != 0)
            op->in[1] = rig_vector(rig, width);
        if ((c->extras & EXTRA_BIAS) != 0)
            op->in[2] = rig_vector(rig, width);
        break;
    case PL_OP_GLU:
    case PL_OP_ACT:
        op->p.glu = (struct pl_glu_params){.act = c->act, .alpha = 1.702F, .limit = 1.5F};
        if (c->opcode == PL_OP_GLU)
            op->in[1] = rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
        break;
    case PL_OP_ADD:
    case PL_OP_MUL:
        op->in[1] = (c->extras & EXTRA_VECTOR) != 0
                        ? rig_vector(rig, c->cols)
                        : rig_act(rig, PL_ROWS_TOKENS, c->rows, c->cols);
        break;
    case PL_OP_SCALE:
    case PL_OP_SOFTCAP: op->p.scale.value = 1.25F; break;
    default: break;
    }
}

#define LINEAR(t, r, m, n, limit)                                                                  \
    {                                                                                              \
        "linear " #t, make_linear, PL_OP_LINEAR, PL_DTYPE_##t, PL_ACT_NONE, 1, 0, r, m, n, limit   \
    }
#define LINEAR3(t, r, m, n, limit)                                                                 \
    {                                                                                              \
        "linear x3 norm bias " #t, make_linear, PL_OP_LINEAR, PL_DTYPE_##t, PL_ACT_NONE, 3,        \
            EXTRA_NORM | EXTRA_BIAS | EXTRA_RESIDUAL, r, m, n, limit                               \
    }
#define LINGLU(t, a, r, m, n, limit)                                                               \
    {                                                                                              \
        "linear glu " #a " " #t, make_linear, PL_OP_LINEAR, PL_DTYPE_##t, PL_ACT_##a, 2,           \
            EXTRA_NORM | EXTRA_SCALE | EXTRA_IN_PLACE, r, m, n, limit                              \
    }
#define OF_TYPE(t, m, limit)                                                                       \
    LINEAR(t, 1, m, 1, (limit)*LONE), LINEAR(t, 7, m, 33, limit), LINEAR3(t, 5, m, 17, limit),     \
        LINGLU(t, SILU, 3, m, 37, limit)
#define EMBED(t, m, extras)                                                                        \
    {                                                                                              \
        "embed " #t, make_embed, PL_OP_EMBED, PL_DTYPE_##t, 0, 0, extras, 5, m, 0, 0.0             \
    }
#define ROWS(op, act, extras, r, m, limit)                                                         \
    {                                                                                              \
#op " " #act, make_rows, PL_OP_##op, 0, PL_ACT_##act, 0, extras, r, m, 0, limit            \
    }

#define EXACT 1e-12  /* float rounding of a few operations */
#define FLOAT 1e-11  /* float sums */
#define BF16S 2e-5   /* activations rounded to 8 bits of mantissa */
#define INT8S 6e-4   /* activations rounded to int8 by blocks */
#define LONE  1000.0 /* a lone dot product may cancel: its error is measured against a small value */

/* The tolerances of the fast path, per op and type. */
static const struct op_case cases[] = {
    OF_TYPE(F32, 64, FLOAT),
    OF_TYPE(F32, 131, FLOAT),
    OF_TYPE(F32, 1, FLOAT),
    OF_TYPE(F16, 96, FLOAT),
    OF_TYPE(F16, 257, FLOAT),
    OF_TYPE(BF16, 100, BF16S),
    OF_TYPE(BF16, 256, BF16S),
    OF_TYPE(Q8_0, 96, INT8S),
    OF_TYPE(Q8_0, 1056, INT8S),
    OF_TYPE(Q4_0, 64, INT8S),
    OF_TYPE(Q4_0, 992, INT8S),
    OF_TYPE(Q4_K, 256, INT8S),
    OF_TYPE(Q4_K, 768, INT8S),
    OF_TYPE(Q6_K, 256, INT8S),
    OF_TYPE(Q6_K, 768, INT8S),
    OF_TYPE(Q4_1, 96, INT8S),
    OF_TYPE(Q5_0, 96, INT8S),
    OF_TYPE(Q5_1, 96, INT8S),
    OF_TYPE(Q2_K, 512, INT8S),
    OF_TYPE(Q3_K, 512, INT8S),
    OF_TYPE(Q5_K, 512, INT8S),
    OF_TYPE(IQ4_NL, 96, INT8S),
    OF_TYPE(IQ4_XS, 512, INT8S),
    OF_TYPE(MXFP4, 96, INT8S),
    LINGLU(F32, GELU, 3, 64, 37, FLOAT),
    LINGLU(F32, GELU_TANH, 3, 64, 37, FLOAT),
    LINGLU(F32, RELU, 3, 64, 37, FLOAT),
    LINGLU(F32, SWIGLU_OAI, 3, 64, 37, FLOAT),
    LINGLU(MXFP4, SWIGLU_OAI, 3, 64, 37, INT8S),
    LINEAR(Q4_0, 70, 256, 200, INT8S),
    LINEAR(F32, 70, 256, 200, FLOAT),
    LINEAR(Q5_K, 70, 256, 200, INT8S),
    EMBED(F32, 33, 0),
    EMBED(F16, 33, EXTRA_SCALE),
    EMBED(BF16, 64, EXTRA_IN_PLACE),
    EMBED(Q8_0, 64, EXTRA_IN_PLACE | EXTRA_SCALE),
    EMBED(Q4_0, 64, EXTRA_IN_PLACE),
    EMBED(Q4_K, 512, EXTRA_IN_PLACE),
    EMBED(Q6_K, 512, EXTRA_IN_PLACE),
    EMBED(Q6_K, 256, 0),
    EMBED(F32, 64, EXTRA_IN_PLACE),
    EMBED(F16, 64, EXTRA_IN_PLACE),
    EMBED(Q5_1, 64, EXTRA_IN_PLACE),
    ROWS(RMSNORM, NONE, EXTRA_NORM, 5, 131, EXACT),
    ROWS(RMSNORM, NONE, 0, 1, 1, EXACT),
    ROWS(RMSNORM, NONE, EXTRA_NORM | EXTRA_GROUPS, 3, 268, EXACT),
    ROWS(RMSNORM, NONE, EXTRA_NORM | EXTRA_IN_PLACE, 3, 2048, EXACT),
    ROWS(LAYERNORM, NONE, EXTRA_NORM | EXTRA_BIAS, 5, 131, FLOAT),
    ROWS(LAYERNORM, NONE, EXTRA_NORM | EXTRA_IN_PLACE, 2, 64, FLOAT),
    ROWS(GLU, SILU, 0, 5, 131, EXACT),
    ROWS(GLU, GELU, 0, 5, 131, EXACT),
    ROWS(GLU, GELU_TANH, 0, 5, 131, EXACT),
    ROWS(GLU, RELU, 0, 5, 131, EXACT),
    ROWS(GLU, NONE, 0, 5, 131, EXACT),
    ROWS(GLU, SWIGLU_OAI, EXTRA_IN_PLACE, 5, 131, EXACT),
    ROWS(ACT, SILU, 0, 5, 131, EXACT),
    ROWS(ACT, GELU, 0, 5, 131, EXACT),
    ROWS(ACT, GELU_TANH, EXTRA_IN_PLACE, 5, 131, EXACT),
    ROWS(ACT, RELU, 0, 5, 131, EXACT),
    ROWS(ACT, NONE, 0, 5, 131, EXACT),
    ROWS(ADD, NONE, 0, 5, 131, EXACT),
    ROWS(ADD, NONE, EXTRA_VECTOR | EXTRA_IN_PLACE, 5, 131, EXACT),
    ROWS(MUL, NONE, 0, 5, 131, EXACT),
    ROWS(MUL, NONE, EXTRA_VECTOR, 5, 131, EXACT),
    ROWS(SCALE, NONE, 0, 5, 131, EXACT),
    ROWS(SOFTCAP, NONE, 0, 5, 131, EXACT),
    ROWS(COPY, NONE, 0, 5, 131, EXACT),
};

struct outputs {
    float *data[4];
    int64_t n[4]; /* per row */
};

/* Runs a case with the first `rows` of its rows; the caller frees the outputs. */
static void run_case(const struct op_case *c, const struct rig_options *base, int64_t rows,
                     struct outputs *ret)
{
    struct rig rig;
    struct pl_error err = {""};
    struct rig_options options = *base;
    int32_t outs[4] = {-1, -1, -1, -1};
    options.rows = (uint32_t)c->rows;
    *ret = (struct outputs){0};
    rig_open(&rig, &options);
    c->make(&rig, c, outs);
    if (rig_build(&rig, &err) != PL_OK)
        fail_msg("%s: %s", c->name, err.msg);
    for (int64_t t = 0; t < c->rows; t++)
        rig_ints(&rig, PL_BINDING_IDS)[t] = (int32_t)((t * 23 + 60) % VOCAB);
    if (rig_step(&rig, (uint32_t)rows, 1, 0, &err) != PL_OK)
        fail_msg("%s: %s", c->name, err.msg);
    for (int i = 0; i < 4 && outs[i] >= 0; i++) {
        ret->n[i] = rig.values[outs[i]].cols;
        size_t bytes = (size_t)(rows * ret->n[i]) * sizeof(float);
        ret->data[i] = malloc(bytes);
        assert_non_null(ret->data[i]);
        memcpy(ret->data[i], rig_data(&rig, outs[i]), bytes);
    }
    rig_close(&rig);
}

static void free_outputs(struct outputs *o)
{
    for (int i = 0; i < 4; i++)
        free(o->data[i]);
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

static void fast_path_equals_the_reference(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++) {
        if (!usable(isas[k]))
            continue;
        for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
            const struct op_case *c = &cases[i];
            struct outputs want;
            struct outputs got;
            run_case(c, &(struct rig_options){.n_threads = 1, .reference = true}, c->rows, &want);
            run_case(c, &(struct rig_options){.n_threads = 2, .isa = isas[k]}, c->rows, &got);
            for (int o = 0; o < 4 && want.data[o] != NULL; o++) {
                double nmse = rig_nmse(got.data[o], want.data[o], c->rows * want.n[o]);
                if (!(nmse <= c->nmse_max) && ++bad < 50)
                    print_message("# %s %s [%d, %d] output %d: NMSE %.2e > %.2e\n", isas[k],
                                  c->name, (int)c->rows, (int)c->cols, o, nmse, c->nmse_max);
            }
            free_outputs(&want);
            free_outputs(&got);
        }
    }
    assert_int_equal(bad, 0);
}

static void compare_bits(const struct op_case *c, const struct outputs *a, const struct outputs *b,
                         int64_t rows, const char *what)
{
    for (int o = 0; o < 4 && a->data[o] != NULL; o++)
        if (b->data[o] == NULL ||
            memcmp(a->data[o], b->data[o], (size_t)(rows * a->n[o]) * sizeof(float)) != 0)
            fail_msg("%s, %s: output %d differs", c->name, what, o);
}

static void bits_do_not_depend_on_threads_or_other_rows(void **state)
{
    (void)state;
    for (size_t k = 0; k < PL_ARRAY_LEN(isas); k++) {
        if (!usable(isas[k]))
            continue;
        for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
            const struct op_case *c = &cases[i];
            struct outputs one;
            run_case(c, &(struct rig_options){.n_threads = 1, .isa = isas[k]}, c->rows, &one);
            for (uint32_t threads = 1; threads <= 3; threads++) {
                struct outputs more;
                run_case(c, &(struct rig_options){.n_threads = threads, .isa = isas[k]}, c->rows,
                         &more);
                compare_bits(c, &one, &more, c->rows, "threads");
                free_outputs(&more);
            }
            for (int64_t rows = 1; rows < c->rows; rows = rows * 2 + 1) {
                struct outputs alone;
                run_case(c, &(struct rig_options){.n_threads = 2, .isa = isas[k]}, rows, &alone);
                compare_bits(c, &alone, &one, rows, "other rows");
                free_outputs(&alone);
            }
            free_outputs(&one);
        }
    }
}

/* FILL, GATHER_ROWS and CAST have operands of their own kinds. */
static void gathers_fills_and_casts(void **state)
{
    (void)state;
    struct rig rig;
    struct pl_error err = {""};
    rig_open(&rig, &(struct rig_options){.n_threads = 2, .rows = 7, .outputs = 3});
    int32_t x = rig_act(&rig, PL_ROWS_TOKENS, 7, 37);
    int32_t rows = rig_binding(&rig, PL_BINDING_OUT_ROWS, PL_DTYPE_I32, PL_ROWS_OUTPUTS, 3, 1);
    int32_t logits = rig_binding(&rig, PL_BINDING_LOGITS, PL_DTYPE_F32, PL_ROWS_OUTPUTS, 3, 37);
    int32_t filled = rig_act(&rig, PL_ROWS_OUTPUTS, 3, 5);
    int32_t half = rig_act(&rig, PL_ROWS_TOKENS, 7, 37);
    int32_t back = rig_act(&rig, PL_ROWS_TOKENS, 7, 37);
    struct pl_op *op = rig_op(&rig, PL_OP_GATHER_ROWS);
    op->in[0] = x;
    op->in[1] = rows;
    op->out[0] = logits;
    op = rig_op(&rig, PL_OP_FILL);
    op->out[0] = filled;
    op->p.scale.value = 2.5F;
    rig.values[half].dtype = PL_DTYPE_F16;
    /* Half the bytes: the sentinel moves, so it is written anew. */
    uint8_t *base = rig.table->buffer_map(rig.values[half].buffer);
    memset(base, 0xa5, 64 + 7 * 37 * 2 + 64);
    op = rig_op(&rig, PL_OP_CAST);
    op->in[0] = x;
    op->out[0] = half;
    op = rig_op(&rig, PL_OP_CAST);
    op->in[0] = half;
    op->out[0] = back;
    if (rig_build(&rig, &err) != PL_OK)
        fail_msg("%s", err.msg);
    memcpy(rig_ints(&rig, PL_BINDING_OUT_ROWS), (int32_t[]){1, 4, 6}, 3 * sizeof(int32_t));
    assert_int_equal(rig_step(&rig, 7, 1, 2, &err), PL_OK);
    assert_memory_equal(rig_data(&rig, logits), rig_data(&rig, x) + 37, 37 * sizeof(float));
    assert_memory_equal(rig_data(&rig, logits) + 37, rig_data(&rig, x) + 4 * (ptrdiff_t)37,
                        37 * sizeof(float));
    for (int i = 0; i < 10; i++)
        assert_true(rig_data(&rig, filled)[i] == 2.5F);
    assert_true(rig_nmse(rig_data(&rig, back), rig_data(&rig, x), 7 * 37L) < 1e-6);
    assert_int_equal(rig_step(&rig, 7, 1, 0, &err), PL_OK);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"fast path equals the reference", fast_path_equals_the_reference, NULL, NULL, NULL},
        {"bits do not depend on threads or other rows", bits_do_not_depend_on_threads_or_other_rows,
         NULL, NULL, NULL},
        {"gathers, fills and casts", gathers_fills_and_casts, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
