/*
 * t_cpu_linear_pack.c - the packing of weights: lossless, complete, within its size.
 */
#include "dequant.h"
#include "linear_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Compares one unpacked row with the file's row, expanded. */
static void assert_row_equal(const struct case_weight *w, int64_t row)
{
    size_t bytes = (size_t)w->cols * sizeof(float);
    float *got = case_alloc(bytes, 0x5a), *want = case_alloc(bytes, 0);
    linear_unpack_row(got, w->packed, w->type->dtype, w->cols, row);
    dequant_row(w->type->dtype, want, w->file + (size_t)row * w->row_bytes, w->cols);
    for (int64_t k = 0; k < w->cols; k++) {
        if (!case_same_bits(got[k], want[k]))
            fail_msg("%s: row %lld, column %lld: got %a, want %a", w->type->name, (long long)row,
                     (long long)k, (double)got[k], (double)want[k]);
    }
    case_release(got);
    case_release(want);
}

static const struct {
    int64_t rows, cols;
} shapes[] = {{1, 256}, {16, 256}, {17, 512}, {31, 768}, {48, 1024}, {5, 2304}};

static void unpacked_rows_equal_the_file(void **state)
{
    (void)state;
    for (int i = 0; i < case_n_types; i++) {
        for (size_t s = 0; s < PL_ARRAY_LEN(shapes); s++) {
            struct case_weight w;
            case_weight_init(&w, &case_types[i], shapes[s].rows, shapes[s].cols, 7 + s);
            for (int64_t r = 0; r < w.rows; r++)
                assert_row_equal(&w, r);
            case_weight_deinit(&w);
        }
    }
}

/* Rows that are no multiple of the chunk: 1, 2, 3 columns or an odd number of blocks. */
static void short_rows_pack(void **state)
{
    (void)state;
    for (int i = 0; i < case_n_types; i++) {
        int64_t block = pl_dtype_info(case_types[i].dtype).block_elems;
        for (int64_t n = 1; n <= 5; n++) {
            struct case_weight w;
            case_weight_init(&w, &case_types[i], 19, n * block, 3);
            for (int64_t r = 0; r < w.rows; r++)
                assert_row_equal(&w, r);
            case_weight_deinit(&w);
        }
    }
}

static void panel_ranges_pack_alike(void **state)
{
    (void)state;
    for (int i = 0; i < case_n_types; i++) {
        struct case_weight w;
        case_weight_init(&w, &case_types[i], 70, 512, 11);
        uint8_t *again = case_alloc(w.packed_bytes, 0x33);
        for (int64_t p = linear_panels(w.rows) - 1; p >= 0; p--)
            linear_pack_range(again, w.file, w.row_bytes, w.type->dtype, w.rows, w.cols, p, p + 1);
        assert_memory_equal(again, w.packed, w.packed_bytes);
        case_release(again);
        case_weight_deinit(&w);
    }
}

/* A slice of columns: rows further apart than they are long. */
static void slices_pack_with_a_stride(void **state)
{
    (void)state;
    for (int i = 0; i < case_n_types; i++) {
        struct case_weight w;
        case_weight_init(&w, &case_types[i], 20, 1024, 13);
        size_t skip = w.row_bytes / 4;
        struct case_weight slice = w;
        uint32_t layout;
        uint64_t bytes;
        slice.cols = 512;
        assert_true(linear_layout_query(w.type->dtype, 20, 512, &layout, &bytes));
        slice.file = w.file + skip;
        slice.packed = case_alloc((size_t)bytes, 0);
        linear_pack_range(slice.packed, slice.file, w.row_bytes, w.type->dtype, 20, 512, 0, 2);
        for (int64_t r = 0; r < 20; r++)
            assert_row_equal(&slice, r);
        case_release(slice.packed);
        case_weight_deinit(&w);
    }
}

static void packed_size_stays_near_the_file(void **state)
{
    (void)state;
    for (int i = 0; i < case_n_types; i++) {
        uint32_t layout;
        uint64_t bytes;
        size_t row = 0;
        assert_true(linear_layout_query(case_types[i].dtype, 4096, 4096, &layout, &bytes));
        assert_true(pl_row_bytes(case_types[i].dtype, 4096, &row));
        assert_in_range(bytes, 4096 * row, 4096 * row * 104 / 100);
    }
}

static void query_refuses(void **state)
{
    (void)state;
    static const struct {
        uint32_t dtype;
        int64_t rows, cols;
        const char *why;
    } bad[] = {
        {PL_DTYPE_I32, 16, 256, "a type without packing"},
        {9999, 16, 256, "an unknown type"},
        {PL_DTYPE_Q4_0, 16, 48, "half a block"},
        {PL_DTYPE_Q4_K, 16, 128, "half a block of 256"},
        {PL_DTYPE_F32, 0, 256, "no rows"},
        {PL_DTYPE_F32, -1, 256, "negative rows"},
        {PL_DTYPE_F32, 16, 0, "no columns"},
        {PL_DTYPE_F32, 16, -256, "negative columns"},
        {PL_DTYPE_F32, INT64_MAX, 1, "rows beyond the limit"},
        {PL_DTYPE_F32, 1, INT64_MAX, "columns beyond the limit"},
        {PL_DTYPE_F32, LINEAR_DIM_MAX, LINEAR_DIM_MAX, "a size that overflows"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        uint32_t layout = 77;
        uint64_t bytes = 77;
        if (linear_layout_query(bad[i].dtype, bad[i].rows, bad[i].cols, &layout, &bytes))
            fail_msg("accepts %s", bad[i].why);
        assert_int_equal(layout, 77);
        assert_int_equal(bytes, 77);
    }
}

/* ---- the reference blocks beside the checkout -------------------------------------------------- */

static size_t read_file(const char *folder, const char *name, const char *suffix, uint8_t *buf,
                        size_t bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/data/golden/blocks/%s.%s", folder, name, suffix);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    size_t n = fread(buf, 1, bytes, file);
    fclose(file);
    return n;
}

/* Of each file; a NumPy 1.0 header is 128 bytes. */
#define ROWS       ((size_t)8)
#define COLS       ((size_t)256)
#define NPY_HEADER ((size_t)128)

static void golden_blocks_are_bit_equal(void **state)
{
    (void)state;

    const char *folder = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    static uint8_t blocks[ROWS * COLS * 4], npy[NPY_HEADER + ROWS * COLS * 4];
    int seen = 0;
    for (int i = 0; i < case_n_types && folder != NULL; i++) {
        const struct case_type *type = &case_types[i];
        size_t n = read_file(folder, type->name, "bin", blocks, sizeof blocks);
        if (n == 0)
            continue;
        seen++;
        assert_int_equal(read_file(folder, type->name, "npy", npy, sizeof npy), sizeof npy);
        uint32_t layout;
        uint64_t bytes;
        assert_true(
            linear_layout_query(type->dtype, (int64_t)ROWS, (int64_t)COLS, &layout, &bytes));
        uint8_t *packed = case_alloc((size_t)bytes, 0);
        linear_pack_range(packed, blocks, n / ROWS, type->dtype, (int64_t)ROWS, (int64_t)COLS, 0,
                          1);
        for (size_t r = 0; r < ROWS; r++) {
            float *row = case_alloc(COLS * sizeof *row, 0);
            linear_unpack_row(row, packed, type->dtype, (int64_t)COLS, (int64_t)r);
            assert_memory_equal(row, npy + NPY_HEADER + r * COLS * 4, COLS * 4);
            case_release(row);
        }
        case_release(packed);
    }
    if (seen == 0) {
        print_message("golden blocks absent: PL_SHARED has no data/golden/blocks\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unpacked_rows_equal_the_file),
        cmocka_unit_test(short_rows_pack),
        cmocka_unit_test(panel_ranges_pack_alike),
        cmocka_unit_test(slices_pack_with_a_stride),
        cmocka_unit_test(packed_size_stays_near_the_file),
        cmocka_unit_test(query_refuses),
        cmocka_unit_test(golden_blocks_are_bit_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
