/*
 * t_cpu_linear_run.c - products: right at every level, and bit-equal however the work is cut (C6).
 */
#include "linear_case.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GAP = 3 }; /* columns between rows of out that must stay as they are */

/* A problem: a weight, activations, and the output of one way to run it. */
struct problem {
    struct case_weight w;
    int64_t n_rows;
    float *x;
};

static void problem_init(struct problem *p, const struct case_type *type, int64_t rows,
                         int64_t cols, int64_t n_rows, uint64_t seed)
{
    case_weight_init(&p->w, type, rows, cols, seed);
    p->n_rows = n_rows;
    p->x = case_alloc((size_t)(n_rows * cols) * sizeof(float), 0);
    for (int64_t i = 0; i < n_rows * cols; i++)
        p->x[i] = case_normal(&seed);
}

static void problem_deinit(struct problem *p)
{
    case_weight_deinit(&p->w);
    case_release(p->x);
}

/* Runs in rectangles of panel_step x row_step; the result has rows of w.rows + GAP, the gap NaN. */
static float *run(const struct problem *p, enum linear_level level, int64_t panel_step,
                  int64_t row_step)
{
    const struct linear_isa *isa = linear_isa_get(level);
    assert_non_null(isa);
    int64_t stride = p->w.rows + GAP, n_panels = linear_panels(p->w.rows);
    float *out = case_alloc((size_t)(p->n_rows * stride) * sizeof *out, 0xff);
    uint8_t *act = case_prepare(isa, p->w.type->dtype, p->x, p->w.cols, p->n_rows);
    const struct linear_task task = {
        .isa = isa,
        .w = {{p->w.type->dtype, p->w.rows, p->w.cols, p->w.packed, NULL}},
        .x = {act},
        .out = out,
        .out_stride = stride,
        .scale = 1,
    };
    for (int64_t r = 0; r < p->n_rows; r += row_step)
        for (int64_t n = 0; n < n_panels; n += panel_step)
            linear_run(&task, n, PL_MIN(n + panel_step, n_panels), r,
                       PL_MIN(r + row_step, p->n_rows));
    case_release(act);
    for (int64_t r = 0; r < p->n_rows; r++)
        for (int64_t k = p->w.rows; k < stride; k++)
            assert_true(isnan(out[r * stride + k]));
    return out;
}

static double nmse_of(const struct problem *p, const float *out, enum linear_act_format rounded_as)
{
    int64_t n = p->w.rows;
    double *ref = case_alloc((size_t)(p->n_rows * n) * sizeof *ref, 0);
    float *packed = case_alloc((size_t)(p->n_rows * n) * sizeof *packed, 0);
    for (int64_t r = 0; r < p->n_rows; r++)
        memcpy(packed + r * n, out + r * (n + GAP), (size_t)n * sizeof *packed);
    case_reference(ref, &p->w, p->x, p->n_rows, rounded_as);
    double nmse = case_nmse(packed, ref, p->n_rows * n);
    case_release(ref);
    case_release(packed);
    return nmse;
}

static void assert_same(const struct problem *p, const float *a, const float *b, const char *what)
{
    int64_t stride = p->w.rows + GAP;
    for (int64_t i = 0; i < p->n_rows * stride; i++) {
        if (!case_same_bits(a[i], b[i]))
            fail_msg("%s [%lld, %lld] x %lld, %s: row %lld output %lld: %a and %a", p->w.type->name,
                     (long long)p->w.rows, (long long)p->w.cols, (long long)p->n_rows, what,
                     (long long)(i / stride), (long long)(i % stride), (double)a[i], (double)b[i]);
    }
}

/* blocks: columns in blocks of the type, or of 1 to give odd sizes for plain types. */
static const struct {
    int64_t rows, blocks, n_rows;
} shapes[] = {
    {1, 1, 1},  {16, 1, 1},  {17, 3, 2},  {31, 5, 3},  {33, 2, 4},  {64, 4, 5},
    {40, 7, 6}, {100, 3, 7}, {48, 1, 11}, {80, 2, 12}, {32, 3, 13}, {257, 2, 26},
};

static int64_t cols_of(const struct case_type *type, int64_t blocks)
{
    int64_t block = pl_dtype_info(type->dtype).block_elems;
    return block > 1 ? blocks * block : blocks * 37;
}

static void products_match_the_reference(void **state)
{
    (void)state;
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        for (size_t s = 0; s < PL_ARRAY_LEN(shapes); s++) {
            const struct case_type *type = &case_types[i];
            struct problem p;
            problem_init(&p, type, shapes[s].rows, cols_of(type, shapes[s].blocks),
                         shapes[s].n_rows, 100 + s);
            for (int l = 0; l < n_levels; l++) {
                const struct linear_isa *isa = linear_isa_get(levels[l]);
                float *out = run(&p, levels[l], INT32_MAX, INT32_MAX);
                double modelled = nmse_of(&p, out, linear_act_format(isa, type->dtype));
                if (!(modelled <= 1e-10))
                    fail_msg("%s, %s, shape %zu: NMSE %g to the same rounding", type->name,
                             case_level_name(levels[l]), s, modelled);
                case_release(out);
            }
            problem_deinit(&p);
        }
    }
}

static void rounding_of_activations_stays_small(void **state)
{
    (void)state;
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        struct problem p;
        problem_init(&p, &case_types[i], 200, 1024, 9, 5);
        float *out = run(&p, levels[n_levels - 1], INT32_MAX, INT32_MAX);
        double nmse = nmse_of(&p, out, LINEAR_ACT_F32);
        print_message("%s: NMSE %.2e\n", case_types[i].name, nmse);
        if (!(nmse <= case_types[i].nmse_max))
            fail_msg("%s: NMSE %g, limit %g", case_types[i].name, nmse, case_types[i].nmse_max);
        case_release(out);
        problem_deinit(&p);
    }
}

static void levels_give_the_same_bits(void **state)
{
    (void)state;
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        for (size_t s = 0; s < PL_ARRAY_LEN(shapes); s++) {
            const struct case_type *type = &case_types[i];
            struct problem p;
            problem_init(&p, type, shapes[s].rows, cols_of(type, shapes[s].blocks),
                         shapes[s].n_rows, 300 + s);
            float *first = run(&p, LINEAR_SCALAR, INT32_MAX, INT32_MAX);
            for (int l = 1; l < n_levels; l++) {
                if (linear_act_format(linear_isa_get(levels[l]), type->dtype) == LINEAR_ACT_BF16)
                    continue; /* the one stated exception */
                float *out = run(&p, levels[l], INT32_MAX, INT32_MAX);
                assert_same(&p, first, out, case_level_name(levels[l]));
                case_release(out);
            }
            case_release(first);
            problem_deinit(&p);
        }
    }
}

static void any_cut_gives_the_same_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t panels, rows;
    } cuts[] = {{1, 1}, {1, INT32_MAX}, {INT32_MAX, 1}, {2, 4}, {3, 5}, {4, 7}, {5, 13}};
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        for (int l = 0; l < n_levels; l++) {
            struct problem p;
            problem_init(&p, &case_types[i], 150, 768, 29, 17);
            float *whole = run(&p, levels[l], INT32_MAX, INT32_MAX);
            for (size_t c = 0; c < PL_ARRAY_LEN(cuts); c++) {
                float *out = run(&p, levels[l], cuts[c].panels, cuts[c].rows);
                assert_same(&p, whole, out, case_level_name(levels[l]));
                case_release(out);
            }
            case_release(whole);
            problem_deinit(&p);
        }
    }
}

/* More rows than fit the cache budget at once: the driver's chunks of rows. */
static void many_long_rows_match_single_rows(void **state)
{
    (void)state;
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        struct problem p;
        problem_init(&p, &case_types[i], 33, 8192, 150, 23);
        float *whole = run(&p, levels[n_levels - 1], INT32_MAX, INT32_MAX);
        float *single = run(&p, levels[n_levels - 1], INT32_MAX, 1);
        assert_same(&p, whole, single, "150 rows of 8192");
        case_release(whole);
        case_release(single);
        problem_deinit(&p);
    }
}

static bool ordinary(float x)
{
    return fabsf(x) <= FLT_MAX;
}

static void non_finite_activations_never_look_ordinary(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types * n_levels; i++) {
        for (size_t b = 0; b < PL_ARRAY_LEN(bad); b++) {
            struct problem p;
            problem_init(&p, &case_types[i / n_levels], 20, 512, 3, 61);
            p.x[512 + 77] = bad[b]; /* the second row's */
            float *out = run(&p, levels[i % n_levels], INT32_MAX, INT32_MAX);
            for (size_t n = 0; n < 20; n++) {
                assert_true(ordinary(out[n]));
                assert_false(ordinary(out[20 + GAP + n]));
                assert_true(ordinary(out[(size_t)2 * (20 + GAP) + n]));
            }
            case_release(out);
            problem_deinit(&p);
        }
    }
}

/* Magnitudes that 127 / max would overflow at, zeros, and the largest floats. */
static void extreme_activations_stay_finite(void **state)
{
    (void)state;
    static const float scales[] = {0, 1e-45f, 1e-38f, 1e-30f, 1e30f};
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int i = 0; i < case_n_types; i++) {
        for (size_t s = 0; s < PL_ARRAY_LEN(scales); s++) {
            struct problem p;
            problem_init(&p, &case_types[i], 20, 512, 2, 67);
            for (int k = 0; k < 1024; k++)
                p.x[k] *= scales[s];
            float *first = run(&p, levels[0], INT32_MAX, INT32_MAX);
            for (size_t n = 0; n < 20; n++)
                assert_true(ordinary(first[n]));
            for (int l = 1; l < n_levels; l++) {
                if (linear_act_format(linear_isa_get(levels[l]), p.w.type->dtype) ==
                    LINEAR_ACT_BF16)
                    continue;
                float *out = run(&p, levels[l], INT32_MAX, INT32_MAX);
                assert_same(&p, first, out, case_level_name(levels[l]));
                case_release(out);
            }
            case_release(first);
            problem_deinit(&p);
        }
    }
}

/* ---- the finish ------------------------------------------------------------------------------ */

static double act_of(enum pl_act act, double gate, double up, double alpha, double limit)
{
    switch (act) {
    case PL_ACT_SILU: return gate / (1 + exp(-gate)) * up;
    case PL_ACT_GELU: return 0.5 * gate * (1 + erf(gate / sqrt(2))) * up;
    case PL_ACT_GELU_TANH:
        return 0.5 * gate * (1 + tanh(sqrt(2 / acos(-1)) * (gate + 0.044715 * pow(gate, 3)))) * up;
    case PL_ACT_RELU: return fmax(gate, 0) * up;
    case PL_ACT_SWIGLU_OAI:
        gate = fmin(gate, limit);
        up = fmax(fmin(up, limit), -limit);
        return gate / (1 + exp(-alpha * gate)) * (up + 1);
    case PL_ACT_NONE: break;
    }
    return gate;
}

/* Gate and up of different types, bias, scale and a residual that is the output itself. */
static void check_finish(enum pl_act act, enum linear_level level, int gate_type, int up_type)
{
    enum { N = 50, COLS = 256, T = 15 };
    const struct linear_isa *isa = linear_isa_get(level);
    struct problem gate, up;
    problem_init(&gate, &case_types[gate_type], N, COLS, T, 41);
    problem_init(&up, &case_types[up_type], N, COLS, T, 43);
    float bias[2][N], first[T * N], *out = case_alloc((size_t)T * (N + GAP) * sizeof(float), 0xff);
    uint64_t seed = 47;
    for (int i = 0; i < 2 * N; i++)
        bias[i / N][i % N] = case_normal(&seed);
    for (int i = 0; i < T * N; i++)
        first[i] = out[i / N * (N + GAP) + i % N] = case_normal(&seed);
    uint8_t *x0 = case_prepare(isa, gate.w.type->dtype, gate.x, COLS, T);
    uint8_t *x1 = case_prepare(isa, up.w.type->dtype, gate.x, COLS, T);
    const struct linear_task task = {
        .isa = isa,
        .w = {{gate.w.type->dtype, N, COLS, gate.w.packed, bias[0]},
              {up.w.type->dtype, N, COLS, up.w.packed, bias[1]}},
        .x = {x0, x1},
        .out = out,
        .residual = out,
        .out_stride = N + GAP,
        .residual_stride = N + GAP,
        .act = act,
        .scale = 0.75f,
        .alpha = 1.702f,
        .limit = 2,
    };
    linear_run(&task, 0, linear_panels(N), 0, T);
    double y0[T * N], y1[T * N];
    case_reference(y0, &gate.w, gate.x, T, linear_act_format(isa, gate.w.type->dtype));
    case_reference(y1, &up.w, gate.x, T, linear_act_format(isa, up.w.type->dtype));
    for (int i = 0; i < T * N; i++) {
        double want = act_of(act, y0[i] + (double)bias[0][i % N], y1[i] + (double)bias[1][i % N],
                             (double)1.702f, 2) *
                          0.75 +
                      (double)first[i];
        double got = (double)out[i / N * (N + GAP) + i % N];
        if (!(fabs(got - want) <= 2e-5 * (1 + fabs(want))))
            fail_msg("act %d, %s: output %d: got %.9g, want %.9g", (int)act, case_level_name(level),
                     i, got, want);
    }
    for (int t = 0; t < T; t++)
        assert_true(isnan(out[t * (N + GAP) + N]));
    case_release(x0);
    case_release(x1);
    case_release(out);
    problem_deinit(&gate);
    problem_deinit(&up);
}

static void finish_applies_bias_act_scale_residual(void **state)
{
    (void)state;
    enum linear_level levels[LINEAR_LEVELS];
    int n_levels = case_levels(levels);
    for (int l = 0; l < n_levels; l++)
        for (int act = PL_ACT_NONE; act <= PL_ACT_SWIGLU_OAI; act++)
            for (int type = 0; type < case_n_types; type++)
                check_finish((enum pl_act)act, levels[l], type, (type + act) % case_n_types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_the_reference),
        cmocka_unit_test(rounding_of_activations_stays_small),
        cmocka_unit_test(levels_give_the_same_bits),
        cmocka_unit_test(any_cut_gives_the_same_bits),
        cmocka_unit_test(many_long_rows_match_single_rows),
        cmocka_unit_test(non_finite_activations_never_look_ordinary),
        cmocka_unit_test(extreme_activations_stay_finite),
        cmocka_unit_test(finish_applies_bias_act_scale_residual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
