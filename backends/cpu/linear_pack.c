/*
 * linear_pack.c - packed weights as a whole: which types there are, their size, packing, unpacking.
 */
#include "linear_kernels.h"

enum linear_type linear_type_of(uint32_t dtype)
{
    switch (dtype) {
#define LINEAR_X(name, format)                                                                     \
    case PL_DTYPE_##name: return LINEAR_TYPE_##name;
        LINEAR_TYPE_LIST(LINEAR_X)
#undef LINEAR_X
    default: return LINEAR_TYPES;
    }
}

const struct linear_format *linear_format_of(enum linear_type type)
{
    static const struct linear_format *const formats[LINEAR_TYPES] = {
#define LINEAR_X(dtype, name) [LINEAR_TYPE_##dtype] = &linear_format_##name,
        LINEAR_TYPE_LIST(LINEAR_X)
#undef LINEAR_X
    };
    return formats[type];
}

bool linear_layout_query(uint32_t dtype, int64_t rows, int64_t cols, uint32_t *ret_layout,
                         uint64_t *ret_bytes)
{
    enum linear_type type = linear_type_of(dtype);
    if (type == LINEAR_TYPES || rows < 1 || rows > LINEAR_DIM_MAX || cols < 1 ||
        cols > LINEAR_DIM_MAX)
        return false;
    const struct linear_format *f = linear_format_of(type);
    if (cols % (int64_t)f->block_elems != 0)
        return false;
    size_t bytes;
    if (!pl_mul_size((size_t)linear_panels(rows), linear_panel_bytes(f, cols), &bytes))
        return false;
    *ret_layout = LINEAR_LAYOUT_R16;
    *ret_bytes = bytes;
    return true;
}

void linear_pack_range(void *dst, const void *src, size_t src_stride, uint32_t dtype, int64_t rows,
                       int64_t cols, int64_t panel_begin, int64_t panel_end)
{
    const struct linear_format *f = linear_format_of(linear_type_of(dtype));
    size_t panel_bytes = linear_panel_bytes(f, cols);
    int64_t n_chunks = pl_div_up(cols, f->chunk_elems);
    size_t chunk_src = (size_t)(f->chunk_elems / f->block_elems) * pl_dtype_info(dtype).block_bytes;
    for (int64_t p = panel_begin; p < panel_end; p++) {
        int64_t row = p * LINEAR_PANEL_ROWS;
        int n_rows = (int)PL_MIN(rows - row, LINEAR_PANEL_ROWS);
        const uint8_t *from = (const uint8_t *)src + (size_t)row * src_stride;
        uint8_t *to = (uint8_t *)dst + (size_t)p * panel_bytes;
        memset(to, 0, panel_bytes);
        for (int64_t c = 0; c < n_chunks; c++) {
            int64_t n = PL_MIN(cols - c * f->chunk_elems, (int64_t)f->chunk_elems);
            f->pack(to + (size_t)c * f->chunk_bytes, from + (size_t)c * chunk_src, src_stride,
                    n_rows, (int)n);
        }
    }
}

/* The order of operations is that of the format's definition: with it the values are bit-equal. */
static void unpack_block(float *dst, const struct linear_format *f, const uint8_t *chunk,
                         int block_i, int lane)
{
    struct linear_block block;
    f->decode(&block, chunk, block_i, lane);
    if (f->block_elems == 32) {
        for (int k = 0; k < 32; k++)
            dst[k] = block.d * (float)block.w[k];
        return;
    }
    for (int j = 0; j < 16; j++) {
        float d = block.d * (float)block.scale[j];
        float m = f->has_min ? block.dmin * (float)block.min[j] : 0;
        for (int k = 16 * j; k < 16 * j + 16; k++)
            dst[k] = f->has_min ? d * (float)block.w[k] - m : d * (float)block.w[k];
    }
}

void linear_unpack_row(float *dst, const void *packed, uint32_t dtype, int64_t cols, int64_t row)
{
    const struct linear_format *f = linear_format_of(linear_type_of(dtype));
    const uint8_t *panel =
        (const uint8_t *)packed + (size_t)(row / LINEAR_PANEL_ROWS) * linear_panel_bytes(f, cols);
    int lane = (int)(row % LINEAR_PANEL_ROWS);
    for (int64_t k = 0; k < cols; k += f->chunk_elems, panel += f->chunk_bytes) {
        int n = (int)PL_MIN(cols - k, (int64_t)f->chunk_elems);
        if (f->expand != NULL) {
            f->expand(dst + k, panel, lane, n);
            continue;
        }
        for (int b = 0; b < n / (int)f->block_elems; b++)
            unpack_block(dst + k + b * (int)f->block_elems, f, panel, b, lane);
    }
}
