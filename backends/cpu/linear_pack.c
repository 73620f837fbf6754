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
    return formats[type < LINEAR_TYPES ? type : 0];
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
    if (!pl_mul_size((size_t)linear_panels(rows), linear_panel_bytes(f, (size_t)cols), &bytes))
        return false;
    *ret_layout = LINEAR_LAYOUT_R16;
    *ret_bytes = bytes;
    return true;
}

void linear_pack_range(void *dst, const void *src, size_t src_stride, uint32_t dtype, int64_t rows,
                       int64_t cols, int64_t panel_begin, int64_t panel_end)
{
    const struct linear_format *f = linear_format_of(linear_type_of(dtype));
    size_t panel_bytes = linear_panel_bytes(f, (size_t)cols);
    size_t chunk_src = (size_t)(f->chunk_elems / f->block_elems) * pl_dtype_info(dtype).block_bytes;
    for (int64_t p = panel_begin; p < panel_end; p++) {
        int64_t row = p * LINEAR_PANEL_ROWS;
        size_t n_rows = (size_t)PL_MIN(rows - row, LINEAR_PANEL_ROWS);
        const uint8_t *from = (const uint8_t *)src + (size_t)row * src_stride;
        uint8_t *to = (uint8_t *)dst + (size_t)p * panel_bytes;
        memset(to, 0, panel_bytes);
        for (size_t left = (size_t)cols, n; left > 0; left -= n) {
            n = PL_MIN(left, f->chunk_elems);
            f->pack(to, from, src_stride, n_rows, n);
            to += f->chunk_bytes;
            from += chunk_src;
        }
    }
}

/* The order of operations is that of the format's definition: with it the values are bit-equal. */
static void unpack_block(float *dst, const struct linear_format *f, const uint8_t *chunk,
                         size_t block_i, size_t lane)
{
    struct linear_block block;
    f->decode(&block, chunk, block_i, lane);
    if (f->block_elems == 32) {
        for (size_t k = 0; k < 32; k++)
            dst[k] =
                f->has_min ? block.d * (float)block.w[k] + block.dmin : block.d * (float)block.w[k];
        return;
    }
    for (size_t j = 0; j < 16; j++) {
        float d = block.d * (float)block.scale[j];
        float m = f->has_min ? block.dmin * (float)block.min[j] : 0;
        for (size_t k = 16 * j; k < 16 * j + 16; k++)
            dst[k] = f->has_min ? d * (float)block.w[k] - m : d * (float)block.w[k];
    }
}

void linear_unpack_row(float *dst, const void *packed, uint32_t dtype, int64_t cols, int64_t row)
{
    const struct linear_format *f = linear_format_of(linear_type_of(dtype));
    const uint8_t *panel = (const uint8_t *)packed +
                           (size_t)(row / LINEAR_PANEL_ROWS) * linear_panel_bytes(f, (size_t)cols);
    size_t lane = (size_t)(row % LINEAR_PANEL_ROWS);
    for (size_t left = (size_t)cols, n; left > 0; left -= n) {
        n = PL_MIN(left, f->chunk_elems);
        if (f->expand != NULL)
            f->expand(dst, panel, lane, n);
        for (size_t b = 0; f->decode != NULL && b < n / f->block_elems; b++)
            unpack_block(dst + b * f->block_elems, f, panel, b, lane);
        dst += n;
        panel += f->chunk_bytes;
    }
}
