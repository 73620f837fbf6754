/*
 * t_cpu_blocks.c - expansion of tensor blocks against values computed elsewhere, and F16 conversions.
 */
#include "dequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_VALUES 2048 /* of each vector file */

static const uint32_t types[] = {
    PL_DTYPE_F16,  PL_DTYPE_BF16, PL_DTYPE_Q4_0,   PL_DTYPE_Q4_1,   PL_DTYPE_Q5_0,
    PL_DTYPE_Q5_1, PL_DTYPE_Q8_0, PL_DTYPE_Q2_K,   PL_DTYPE_Q3_K,   PL_DTYPE_Q4_K,
    PL_DTYPE_Q5_K, PL_DTYPE_Q6_K, PL_DTYPE_IQ4_NL, PL_DTYPE_IQ4_XS, PL_DTYPE_MXFP4,
};

/* The last `bytes` of golden/blocks/NAME; false if the file is absent or shorter. */
static bool read_tail(const char *name, const char *ext, void *ret, size_t bytes)
{
    const char *shared = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    char path[1024];
    snprintf(path, sizeof path, "%s/data/golden/blocks/%s.%s", shared != NULL ? shared : "", name,
             ext);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    bool ok = fseek(file, -(long)bytes, SEEK_END) == 0 && fread(ret, 1, bytes, file) == bytes;
    fclose(file);
    return ok;
}

static void expands_every_type_bit_by_bit(void **state)
{
    static uint8_t blocks[N_VALUES * 4];
    static float want[N_VALUES];
    static float got[N_VALUES];
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(types); i++) {
        size_t bytes = 0;
        const char *name = pl_dtype_info(types[i]).name;
        assert_true(pl_row_bytes(types[i], N_VALUES, &bytes));
        if (!read_tail(name, "npy", want, sizeof want) || !read_tail(name, "bin", blocks, bytes)) {
            print_message("# skipped: no golden/blocks in PL_SHARED\n");
            skip();
        }
        dequant_row(types[i], got, blocks, N_VALUES);
        for (int k = 0; k < N_VALUES; k++)
            if (float_to_bits(got[k]) != float_to_bits(want[k]))
                fail_msg("%s[%d]: got %a, want %a", name, k, (double)got[k], (double)want[k]);
    }
}

static void halves_return_to_themselves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float value = half_to_float((uint16_t)h);
        if (!isnan(value))
            assert_int_equal(float_to_half(value), h);
        else
            assert_true(isnan(half_to_float(float_to_half(value))));
    }
}

static void rounds_halves_to_nearest_even(void **state)
{
    static const struct {
        float value;
        uint16_t want;
    } rows[] = {
        {65504.0F, 0x7bff},
        {65519.0F, 0x7bff},
        {65520.0F, 0x7c00},
        {1e30F, 0x7c00},
        {-1e30F, 0xfc00},
        {0x1p-24F, 0x0001},
        {0x1p-25F, 0x0000},
        {0x1.8p-25F, 0x0001},
        {0x1.8p-24F, 2},
        {0x1.ff8p-15F, 0x03ff},
        {0x1.ffcp-15F, 0x0400},
        {1.0F + 0x1p-11F, 0x3c00},
        {1.0F + 0x1.8p-10F, 0x3c02},
        {-0.0F, 0x8000},
        {2049.0F, 0x6800},
        {2051.0F, 0x6802},
    };
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        if (float_to_half(rows[i].value) != rows[i].want)
            fail_msg("%a: got %#x, want %#x", (double)rows[i].value,
                     (unsigned)float_to_half(rows[i].value), (unsigned)rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"expands every type bit by bit", expands_every_type_bit_by_bit, NULL, NULL, NULL},
        {"halves return to themselves", halves_return_to_themselves, NULL, NULL, NULL},
        {"rounds halves to nearest even", rounds_halves_to_nearest_even, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
