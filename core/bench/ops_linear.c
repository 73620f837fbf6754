/*
 * bench/ops_linear.c - cases of LINEAR: every weight type over shapes, then every fused part.
 */
#include "ops_cases.h"

#include "base/banned.h"

#define X(name, value, elems, bytes) PL_DTYPE_##name,
static const uint32_t all_types[] = {PL_DTYPE_LIST(X)};
#undef X

struct linear_shape {
    int64_t rows, in, out; /* R, M, N; M is rounded up to whole blocks of the type */
};

/* Odd sizes, ones, primes, tile borders on either side, one large of each direction. */
static const struct linear_shape shapes[] = {
    {1, 1, 1},      {1, 32, 1},     {1, 7, 5},      {3, 31, 17},    {2, 64, 16},    {5, 96, 33},
    {1, 256, 129},  {7, 257, 61},   {8, 512, 64},   {17, 320, 127}, {33, 1024, 48}, {64, 256, 80},
    {1, 2048, 257}, {4, 1536, 199}, {130, 512, 96}, {1, 8192, 64},  {2, 768, 4099},
};

struct linear_options {
    uint32_t dtype;
    uint32_t n_weights, act;
    bool bias, norm, residual, in_place;
    float scale;
    uint32_t row_kind;
    const char *what;
};

static void linear_case(struct ops_walk *walk, const struct linear_shape *s,
                        const struct linear_options *o)
{
    struct pl_dtype_info info = pl_dtype_info(o->dtype);
    int64_t in = pl_div_up(s->in, (int64_t)info.block_elems) * (int64_t)info.block_elems;
    struct ops_case c;
    if (!ops_case_begin(walk, &c, PL_OP_LINEAR, "%s [%lld,%lld]x[%lld]%s", info.name,
                        (long long)s->rows, (long long)in, (long long)s->out, o->what))
        return;
    c.dtype = o->dtype;
    c.n_rows = (uint32_t)s->rows;
    c.n_outputs = o->row_kind == PL_ROWS_OUTPUTS ? c.n_rows : 0;
    c.rows_max = c.n_rows + 2;
    c.row_wise = o->row_kind == PL_ROWS_TOKENS;
    int64_t rows_max = (int64_t)c.rows_max;
    struct pl_op *op = ops_add_op(&c, PL_OP_LINEAR);
    op->in[PL_LINEAR_X] = ops_add_input(&c, o->row_kind, rows_max, in);
    for (uint32_t i = 0; i < o->n_weights; i++) {
        int64_t out = o->act == PL_ACT_NONE && i > 0 ? s->out / 2 + 1 : s->out;
        op->in[PL_LINEAR_W + i] = ops_add_weight(&c, o->dtype, PL_USE_LINEAR, out, in);
        if (o->bias)
            op->in[PL_LINEAR_B + i] = ops_add_vector(&c, out, 0, 0.5F);
        if (i > 0 && o->act != PL_ACT_NONE)
            continue;
        if (i == 0 && o->residual && o->in_place) {
            op->in[PL_LINEAR_RESIDUAL] = ops_add_input(&c, o->row_kind, rows_max, out);
            op->out[0] = op->in[PL_LINEAR_RESIDUAL];
            c.values[op->out[0]].compared = true;
        } else {
            op->out[i] = ops_add_output(&c, o->row_kind, rows_max, out);
        }
    }
    if (o->norm)
        op->in[PL_LINEAR_NORM] = ops_add_vector(&c, in, 1, 0.2F);
    if (o->residual && !o->in_place)
        op->in[PL_LINEAR_RESIDUAL] = ops_add_input(&c, o->row_kind, rows_max, s->out);
    op->p.linear = (struct pl_linear_params){
        .n_weights = o->n_weights,
        .act = o->act,
        .norm_eps = o->norm ? 1e-5F : 0,
        .scale = o->scale,
        .alpha = o->act == PL_ACT_SWIGLU_OAI ? 1.702F : 0,
        .limit = o->act == PL_ACT_SWIGLU_OAI ? 7.0F : 0,
    };
    ops_case_end(walk, &c);
}

/* Each part alone, and all that models combine. */
static const struct linear_options parts[] = {
    {.n_weights = 1, .scale = 1, .bias = true, .what = " bias"},
    {.n_weights = 1, .scale = 1, .norm = true, .what = " norm"},
    {.n_weights = 1, .scale = 1, .residual = true, .what = " residual"},
    {.n_weights = 1, .scale = 1, .residual = true, .in_place = true, .what = " residual in place"},
    {.n_weights = 1, .scale = 0.25F, .what = " scale"},
    {.n_weights = 1,
     .scale = 0.25F,
     .bias = true,
     .norm = true,
     .residual = true,
     .what = " norm bias scale residual"},
    {.n_weights = 2, .scale = 1, .what = " 2 weights"},
    {.n_weights = 3, .scale = 1, .norm = true, .bias = true, .what = " 3 weights norm bias"},
    {.n_weights = 4, .scale = 1, .what = " 4 weights"},
    {.n_weights = 2, .scale = 1, .act = PL_ACT_SILU, .what = " silu glu"},
    {.n_weights = 2, .scale = 1, .act = PL_ACT_SILU, .norm = true, .what = " silu glu norm"},
    {.n_weights = 2, .scale = 1, .act = PL_ACT_GELU, .what = " gelu glu"},
    {.n_weights = 2, .scale = 1, .act = PL_ACT_GELU_TANH, .what = " gelu-tanh glu"},
    {.n_weights = 2, .scale = 1, .act = PL_ACT_RELU, .what = " relu glu"},
    {.n_weights = 2,
     .scale = 1,
     .act = PL_ACT_SWIGLU_OAI,
     .bias = true,
     .what = " swiglu-oai bias"},
    {.n_weights = 2,
     .scale = 0.5F,
     .act = PL_ACT_SILU,
     .norm = true,
     .bias = true,
     .residual = true,
     .what = " silu glu norm bias scale residual"},
};

void ops_cases_linear(struct ops_walk *walk)
{
    for (size_t t = 0; t < PL_ARRAY_LEN(all_types); t++) {
        uint32_t dtype = all_types[t];
        if (dtype == PL_DTYPE_I8 || dtype == PL_DTYPE_I16 || dtype == PL_DTYPE_I32 ||
            dtype == PL_DTYPE_I64 || dtype == PL_DTYPE_F64)
            continue; /* no types of weights */
        const struct linear_options plain = {
            .dtype = dtype, .n_weights = 1, .scale = 1, .row_kind = PL_ROWS_TOKENS, .what = ""};
        for (size_t s = 0; s < PL_ARRAY_LEN(shapes); s++)
            linear_case(walk, &shapes[s], &plain);
        static const struct linear_shape few = {3, 512, 47};
        static const struct linear_shape one = {1, 256, 130};
        for (size_t p = 0; p < PL_ARRAY_LEN(parts); p++) {
            struct linear_options o = parts[p];
            o.dtype = dtype;
            o.row_kind = PL_ROWS_TOKENS;
            linear_case(walk, &few, &o);
            linear_case(walk, &one, &o);
        }
        struct linear_options outputs = plain;
        outputs.row_kind = PL_ROWS_OUTPUTS;
        outputs.what = " output rows";
        linear_case(walk, &few, &outputs);
    }
}
