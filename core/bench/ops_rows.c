/*
 * bench/ops_rows.c - cases of EMBED, the norms, activations, elementwise ops and GATHER_ROWS.
 */
#include "ops_cases.h"

#include <stdlib.h>

#include "base/rng.h"

#include "base/banned.h"

struct row_shape {
    int64_t rows, cols;
};

static const struct row_shape shapes[] = {
    {1, 1}, {1, 3}, {2, 16}, {5, 33}, {1, 257}, {7, 512}, {33, 127}, {64, 96}, {3, 4099}, {130, 64},
};

#define X(name, value, elems, bytes) PL_DTYPE_##name,
static const uint32_t all_types[] = {PL_DTYPE_LIST(X)};
#undef X

static void set_rows(struct ops_case *c, int64_t rows)
{
    c->n_rows = (uint32_t)rows;
    c->rows_max = c->n_rows + 1;
    c->row_wise = true;
}

static void embed_case(struct ops_walk *walk, uint32_t dtype, int64_t rows, int64_t cols,
                       float scale)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    int64_t in = pl_div_up(cols, (int64_t)info.block_elems) * (int64_t)info.block_elems;
    const int64_t vocab = 101;
    struct ops_case c;
    if (!ops_case_begin(walk, &c, PL_OP_EMBED, "%s [%lld,%lld] scale %g", info.name,
                        (long long)rows, (long long)in, (double)scale))
        return;
    set_rows(&c, rows);
    c.dtype = dtype;
    c.ids = calloc((size_t)rows, sizeof *c.ids);
    for (int64_t i = 0; c.ids != NULL && i < rows; i++)
        c.ids[i] = (int32_t)(rng_uniform(c.seed, 77, (uint64_t)i) * (float)vocab);
    c.failed = c.failed || c.ids == NULL;
    if (c.ids != NULL)
        c.ids[0] = (int32_t)vocab - 1; /* the table's last row */
    struct pl_op *op = ops_add_op(&c, PL_OP_EMBED);
    op->in[0] = ops_add_weight(&c, dtype, PL_USE_TABLE, vocab, in);
    op->out[0] = ops_add_output(&c, PL_ROWS_TOKENS, rows + 1, in);
    op->p.embed.scale = scale;
    ops_case_end(walk, &c);
}

static void norm_case(struct ops_walk *walk, uint32_t opcode, const struct row_shape *s,
                      uint32_t width, bool weight)
{
    struct ops_case c;
    if (!ops_case_begin(walk, &c, opcode, "[%lld,%lld]%s%s", (long long)s->rows, (long long)s->cols,
                        width != 0 ? " groups" : "", weight ? "" : " without weight"))
        return;
    set_rows(&c, s->rows);
    struct pl_op *op = ops_add_op(&c, opcode);
    op->in[0] = ops_add_input(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    if (weight)
        op->in[1] = ops_add_vector(&c, width != 0 ? (int64_t)width : s->cols, 1, 0.3F);
    if (weight && opcode == PL_OP_LAYERNORM)
        op->in[2] = ops_add_vector(&c, s->cols, 0, 0.3F);
    op->out[0] = ops_add_output(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    op->p.norm = (struct pl_norm_params){.eps = 1e-6F, .width = width};
    ops_case_end(walk, &c);
}

static const char *act_name(uint32_t act)
{
    static const char *const names[] = {"none", "silu", "gelu", "gelu-tanh", "relu", "swiglu-oai"};
    return act < PL_ARRAY_LEN(names) ? names[act] : "?";
}

static void act_case(struct ops_walk *walk, uint32_t opcode, const struct row_shape *s,
                     uint32_t act)
{
    struct ops_case c;
    if (!ops_case_begin(walk, &c, opcode, "%s [%lld,%lld]", act_name(act), (long long)s->rows,
                        (long long)s->cols))
        return;
    set_rows(&c, s->rows);
    struct pl_op *op = ops_add_op(&c, opcode);
    op->in[0] = ops_add_input(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    if (opcode == PL_OP_GLU)
        op->in[1] = ops_add_input(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    op->out[0] = ops_add_output(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    op->p.glu.act = act;
    if (act == PL_ACT_SWIGLU_OAI) {
        op->p.glu.alpha = 1.702F;
        op->p.glu.limit = 1.5F; /* low, so that it cuts */
    }
    ops_case_end(walk, &c);
}

/* ADD and MUL of two matrices; SCALE, SOFTCAP, FILL, COPY, CAST. */
static void plain_case(struct ops_walk *walk, uint32_t opcode, const struct row_shape *s,
                       unsigned n_in, float value, bool in_place)
{
    struct ops_case c;
    if (!ops_case_begin(walk, &c, opcode, "[%lld,%lld]%s", (long long)s->rows, (long long)s->cols,
                        in_place ? " in place" : ""))
        return;
    set_rows(&c, s->rows);
    struct pl_op *op = ops_add_op(&c, opcode);
    for (unsigned i = 0; i < n_in; i++)
        op->in[i] = ops_add_input(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    if (in_place) {
        op->out[0] = op->in[0];
        c.values[op->in[0]].compared = true;
    } else {
        op->out[0] = ops_add_output(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    }
    if (opcode == PL_OP_SCALE || opcode == PL_OP_SOFTCAP || opcode == PL_OP_FILL)
        op->p.scale.value = value;
    ops_case_end(walk, &c);
}

static void gather_case(struct ops_walk *walk, const struct row_shape *s, uint32_t n_outputs)
{
    struct ops_case c;
    if (!ops_case_begin(walk, &c, PL_OP_GATHER_ROWS, "[%lld,%lld] %u of them", (long long)s->rows,
                        (long long)s->cols, n_outputs))
        return;
    set_rows(&c, s->rows);
    c.row_wise = false;
    c.n_outputs = n_outputs;
    struct pl_op *op = ops_add_op(&c, PL_OP_GATHER_ROWS);
    op->in[0] = ops_add_input(&c, PL_ROWS_TOKENS, s->rows + 1, s->cols);
    op->in[1] = ops_add_output(&c, PL_ROWS_OUTPUTS, s->rows + 1, 1);
    if (op->in[1] >= 0) {
        struct ops_value *index = &c.values[op->in[1]];
        index->compared = false;
        index->value.kind = PL_VALUE_BINDING;
        index->value.dtype = PL_DTYPE_I32;
        index->value.binding = PL_BINDING_OUT_ROWS;
    }
    op->out[0] = ops_add_output(&c, PL_ROWS_OUTPUTS, s->rows + 1, s->cols);
    ops_case_end(walk, &c);
}

void ops_cases_rows(struct ops_walk *walk)
{
    for (size_t t = 0; t < PL_ARRAY_LEN(all_types); t++) {
        uint32_t dtype = all_types[t];
        if (dtype >= PL_DTYPE_I8 && dtype <= PL_DTYPE_F64)
            continue; /* no types of weights */
        embed_case(walk, dtype, 1, 32, 1);
        embed_case(walk, dtype, 37, 300, 1);
        embed_case(walk, dtype, 5, 1024, 8);
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(shapes); i++) {
        const struct row_shape *s = &shapes[i];
        norm_case(walk, PL_OP_RMSNORM, s, 0, true);
        norm_case(walk, PL_OP_LAYERNORM, s, 0, true);
        for (uint32_t act = PL_ACT_SILU; act <= PL_ACT_SWIGLU_OAI; act++) {
            act_case(walk, PL_OP_GLU, s, act);
            if (act != PL_ACT_SWIGLU_OAI)
                act_case(walk, PL_OP_ACT, s, act);
        }
        plain_case(walk, PL_OP_ADD, s, 2, 0, false);
        plain_case(walk, PL_OP_ADD, s, 2, 0, true);
        plain_case(walk, PL_OP_MUL, s, 2, 0, false);
        plain_case(walk, PL_OP_SCALE, s, 1, -1.5F, false);
        plain_case(walk, PL_OP_SOFTCAP, s, 1, 0.7F, false);
        plain_case(walk, PL_OP_FILL, s, 0, 3.25F, false);
        plain_case(walk, PL_OP_COPY, s, 1, 0, false);
        gather_case(walk, s, 1);
        gather_case(walk, s, (uint32_t)PL_MAX(s->rows / 2, 1));
        gather_case(walk, s, (uint32_t)s->rows);
    }
    static const struct row_shape heads = {9, 256};
    norm_case(walk, PL_OP_RMSNORM, &heads, 64, true);
    norm_case(walk, PL_OP_RMSNORM, &heads, 32, true);
    norm_case(walk, PL_OP_RMSNORM, &heads, 0, false);
}
