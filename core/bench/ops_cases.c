/*
 * bench/ops_cases.c - how a case is put together, and the walk over all of them.
 */
#include "ops_cases.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

bool ops_case_begin(struct ops_walk *walk, struct ops_case *c, uint32_t opcode, const char *fmt,
                    ...)
{
    memset(c, 0, sizeof *c);
    walk->n++;
    int len = snprintf(c->name, sizeof c->name, "%s ", pl_op_name(opcode));
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->name + len, sizeof c->name - (size_t)len, fmt, args);
    va_end(args);
    c->opcode = opcode;
    c->dtype = PL_DTYPE_F32;
    c->seed = walk->n;
    return walk->filter == NULL || strcasestr(c->name, walk->filter) != NULL;
}

void ops_case_deinit(struct ops_case *c)
{
    for (uint32_t i = 0; i < c->n_values; i++)
        free(c->values[i].data);
    free(c->ids);
    memset(c, 0, sizeof *c);
}

void ops_case_end(struct ops_walk *walk, struct ops_case *c)
{
    walk->on_case(walk->user, c);
    ops_case_deinit(c);
}

static int32_t add_value(struct ops_case *c, const struct pl_value *value)
{
    if (c->n_values == OPS_VALUES_MAX) {
        c->failed = true;
        return PL_NO_VALUE;
    }
    c->values[c->n_values].value = *value;
    return (int32_t)c->n_values++;
}

/* Zeroed contents; NULL sets failed. */
static void *add_data(struct ops_case *c, int32_t i, size_t bytes)
{
    if (i < 0)
        return NULL;
    struct ops_value *v = &c->values[i];
    v->data = calloc(1, PL_MAX(bytes, (size_t)1));
    v->bytes = bytes;
    c->failed = c->failed || v->data == NULL;
    return v->data;
}

int32_t ops_add_weight(struct ops_case *c, uint32_t dtype, uint32_t use, int64_t rows, int64_t cols)
{
    const struct pl_value value = {
        .kind = PL_VALUE_WEIGHT, .dtype = dtype, .rows = rows, .cols = cols};
    int32_t i = add_value(c, &value);
    size_t row_bytes = 0;
    if (i < 0 || !pl_row_bytes(dtype, cols, &row_bytes)) {
        c->failed = true;
        return i;
    }
    c->values[i].use = use;
    void *data = add_data(c, i, row_bytes * (size_t)rows);
    float spread = use == PL_USE_TABLE ? 1.0F : 1.0F / sqrtf((float)cols);
    if (data != NULL &&
        !ops_fill_weight(data, dtype, (size_t)(rows * cols), c->seed, (uint64_t)i, spread))
        c->failed = true;
    return i;
}

int32_t ops_add_vector(struct ops_case *c, int64_t cols, float mean, float spread)
{
    const struct pl_value value = {
        .kind = PL_VALUE_WEIGHT, .dtype = PL_DTYPE_F32, .rows = 1, .cols = cols};
    int32_t i = add_value(c, &value);
    float *data = add_data(c, i, (size_t)cols * sizeof(float));
    if (data != NULL) {
        c->values[i].use = PL_USE_VECTOR;
        ops_fill_normal(data, (size_t)cols, c->seed, (uint64_t)i, mean, spread);
    }
    return i;
}

int32_t ops_add_output(struct ops_case *c, uint32_t row_kind, int64_t rows, int64_t cols)
{
    const struct pl_value value = {.kind = PL_VALUE_ACT,
                                   .dtype = PL_DTYPE_F32,
                                   .row_kind = row_kind,
                                   .rows = rows,
                                   .cols = cols};
    int32_t i = add_value(c, &value);
    if (i >= 0)
        c->values[i].compared = true;
    return i;
}

int32_t ops_add_input(struct ops_case *c, uint32_t row_kind, int64_t rows, int64_t cols)
{
    int32_t i = ops_add_output(c, row_kind, rows, cols);
    size_t n = (size_t)(rows * cols);
    float *data = add_data(c, i, n * sizeof(float));
    if (data != NULL) {
        c->values[i].compared = false;
        ops_fill_normal(data, n, c->seed, (uint64_t)i, 0, 1);
    }
    return i;
}

struct pl_op *ops_add_op(struct ops_case *c, uint32_t opcode)
{
    struct pl_op *op = &c->ops[c->n_ops++];
    *op = (struct pl_op){.opcode = opcode};
    for (size_t i = 0; i < PL_OP_IN_MAX; i++)
        op->in[i] = PL_NO_VALUE;
    for (size_t i = 0; i < PL_OP_OUT_MAX; i++)
        op->out[i] = PL_NO_VALUE;
    return op;
}

void ops_cases_each(const char *filter, ops_case_fn *on_case, void *user)
{
    struct ops_walk walk = {.filter = filter, .on_case = on_case, .user = user};
    ops_cases_rows(&walk);
    ops_cases_linear(&walk);
    ops_cases_attn(&walk);
}
