/*
 * bench/ops_tolerance.c - the tolerance table and the two measures.
 */
#include "ops_tolerance.h"

#include <math.h>

#include "base/banned.h"

#define ANY_DTYPE   0xffffffffu
#define FEW_OUTPUTS 64
#define FEW_RMS_MIN 1.0

static const struct tolerance_row {
    uint32_t opcode, dtype;
    struct ops_tolerance limit;
} table[] = {
    /* Products: F32 accumulation over 8,192 terms is near 1e-12; tensor cores in TF32 are not meant. */
    {PL_OP_LINEAR, PL_DTYPE_F32, {1e-9, 1e-3}},
    /* Activations may be rounded to the weight's type: 2^-11 and 2^-8 of each factor. */
    {PL_OP_LINEAR, PL_DTYPE_F16, {1e-6, 1e-2}},
    {PL_OP_LINEAR, PL_DTYPE_BF16, {3e-5, 5e-2}},
    /* Blocks: activations may be rounded to 8 bits per 32 or 256 values; measured 3e-5 to 1e-4, and a
     * GLU of two such products doubles it. */
    {PL_OP_LINEAR, ANY_DTYPE, {5e-4, 0.25}},
    /* A look-up and one multiplication. */
    {PL_OP_EMBED, ANY_DTYPE, {1e-12, 1e-5}},
    {PL_OP_RMSNORM, ANY_DTYPE, {1e-11, 1e-4}},
    {PL_OP_LAYERNORM, ANY_DTYPE, {1e-10, 1e-4}},
    /* exp, erf and tanh by polynomials: a few units in the last place of F32. */
    {PL_OP_GLU, ANY_DTYPE, {1e-10, 1e-4}},
    {PL_OP_ACT, ANY_DTYPE, {1e-10, 1e-4}},
    {PL_OP_SOFTCAP, ANY_DTYPE, {1e-10, 1e-4}},
    /* Angles: position times frequency in F32 is off by up to position * 6e-8. */
    {PL_OP_QKV_POST, ANY_DTYPE, {1e-6, 1e-2}},
    /* K rounded to F16 on either side of a tie changes scores by 2^-11; q may be rounded likewise. */
    {PL_OP_ATTN, PL_DTYPE_F32, {1e-6, 1e-2}},
    {PL_OP_ATTN, PL_DTYPE_F16, {5e-6, 3e-2}},
    /* The same with steps of 1/127 of the largest of 32; q and the weights of V may be rounded to 8 bits. */
    {PL_OP_ATTN, ANY_DTYPE, {3e-4, 0.15}},
    /* One operation, or none. */
    {ANY_DTYPE, ANY_DTYPE, {1e-13, 1e-6}},
};

struct ops_tolerance ops_tolerance_of(uint32_t opcode, uint32_t dtype)
{
    size_t i = 0;
    while (
        i + 1 < PL_ARRAY_LEN(table) &&
        ((table[i].opcode != opcode) || (table[i].dtype != dtype && table[i].dtype != ANY_DTYPE)))
        i++;
    return table[i].limit;
}

struct ops_distance ops_compare(const float *got, const float *want, size_t n)
{
    struct ops_distance d = {0};
    double sum_want = 0;
    double sum_diff = 0;
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double diff = (double)got[i] - (double)want[i];
        if (!isfinite(got[i]) && isfinite(want[i])) {
            d.not_finite = true;
            d.worst_i = i;
            return d;
        }
        sum_want += (double)want[i] * (double)want[i];
        sum_diff += diff * diff;
        if (fabs(diff) > worst) {
            worst = fabs(diff);
            d.worst_i = i;
        }
    }
    /* Cases are scaled to outputs of about 1. A few outputs may all be near 0 by chance, and then their
     * own size says nothing about rounding. */
    if (n > 0 && n < FEW_OUTPUTS)
        sum_want = PL_MAX(sum_want, FEW_RMS_MIN * FEW_RMS_MIN * (double)n);
    d.nmse = sum_want > 0 ? sum_diff / sum_want : sum_diff;
    d.max = sum_want > 0 ? worst / sqrt(sum_want / (double)n) : worst;
    return d;
}
