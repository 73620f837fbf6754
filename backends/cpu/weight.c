/*
 * cpu/weight.c - which layout a weight gets, and how a tensor of the file is brought into it.
 *
 *   use      fast path                                   reference
 *   LINEAR   R16 panels (linear.h) where the type has     the file's rows, in place
 *   TIED     a packing, else the file's rows, in place
 *   TABLE    the file's rows, in place
 *   VECTOR   F32: in place; other types become F32
 */
#include "dequant.h"
#include "device.h"

#include <inttypes.h>
#include <string.h>

#define PACK_PANELS 8  /* panels of a chunk of work */
#define COPY_ROWS   64 /* rows of a chunk of work */

bool cpu_weight_bytes(uint32_t dtype, uint32_t layout, int64_t rows, int64_t cols, uint64_t *ret)
{
    size_t row_bytes;
    size_t bytes;
    uint32_t packed_layout;
    if (rows < 1 || cols < 1 || rows > LINEAR_DIM_MAX || cols > LINEAR_DIM_MAX ||
        !dequant_supports(dtype) || !pl_row_bytes(dtype, cols, &row_bytes))
        return false;
    switch (layout) {
    case PL_LAYOUT_FILE:
        if (!pl_mul_size(row_bytes, (size_t)rows, &bytes))
            return false;
        break;
    case CPU_LAYOUT_F32:
        if (!pl_mul_size((size_t)cols * sizeof(float), (size_t)rows, &bytes))
            return false;
        break;
    case LINEAR_LAYOUT_R16: return linear_layout_query(dtype, rows, cols, &packed_layout, ret);
    default: return false;
    }
    *ret = bytes;
    return true;
}

static bool slice_valid(const struct pl_weight_desc *d)
{
    struct pl_dtype_info info = pl_dtype_info(d->dtype);
    return info.block_elems > 0 && d->rows >= 1 && d->cols >= 1 && d->rows <= LINEAR_DIM_MAX &&
           d->cols <= LINEAR_DIM_MAX && 0 <= d->row_begin && d->row_begin < d->row_end &&
           d->row_end <= d->rows && 0 <= d->col_begin && d->col_begin < d->col_end &&
           d->col_end <= d->cols && d->col_begin % (int64_t)info.block_elems == 0 &&
           d->col_end % (int64_t)info.block_elems == 0 && d->cols % (int64_t)info.block_elems == 0;
}

static uint32_t choose_layout(const struct pl_device *device, const struct pl_weight_desc *d)
{
    uint32_t layout;
    uint64_t bytes;
    if (d->use == PL_USE_VECTOR)
        return d->dtype == PL_DTYPE_F32 ? PL_LAYOUT_FILE : CPU_LAYOUT_F32;
    if (d->use == PL_USE_TABLE || device->reference ||
        !linear_layout_query(d->dtype, d->row_end - d->row_begin, d->col_end - d->col_begin,
                             &layout, &bytes))
        return PL_LAYOUT_FILE;
    return layout;
}

enum pl_status cpu_weight_query(struct pl_device *device, const struct pl_weight_desc *desc,
                                struct pl_weight_layout *ret, struct pl_error *err)
{
    if (!dequant_supports(desc->dtype)) {
        const char *name = pl_dtype_info(desc->dtype).name;
        return pl_error_set(err, PL_ENOTSUP, "cpu: weights of type %s (%u)",
                            name != NULL ? name : "unknown", desc->dtype);
    }
    if (desc->flags != 0 || desc->use < PL_USE_LINEAR || desc->use > PL_USE_TIED)
        return pl_error_set(err, PL_ENOTSUP, "cpu: weight use %u with flags %#x", desc->use,
                            desc->flags);
    if (!slice_valid(desc))
        return pl_error_set(err, PL_EINVAL,
                            "cpu: weight [%" PRId64 ", %" PRId64 "]: the slice is not inside, or "
                            "columns are no whole blocks",
                            desc->rows, desc->cols);
    uint32_t layout = choose_layout(device, desc);
    uint64_t bytes;
    if (!cpu_weight_bytes(desc->dtype, layout, desc->row_end - desc->row_begin,
                          desc->col_end - desc->col_begin, &bytes))
        return pl_error_set(err, PL_ENOTSUP, "cpu: weight [%" PRId64 ", %" PRId64 "] is too large",
                            desc->rows, desc->cols);
    struct pl_weight_layout out = {
        .struct_size = ret->struct_size,
        .layout = layout,
        .bytes = bytes,
        .in_place = layout == PL_LAYOUT_FILE && desc->col_begin == 0 && desc->col_end == desc->cols,
    };
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

struct pack_job {
    const struct pl_weight_desc *desc;
    const uint8_t *src;       /* first row and column of the slice */
    size_t stride, row_bytes; /* of the file; of a row of the slice */
    uint32_t layout;
    uint8_t *dst;
};

static void pack_rows(const struct pack_job *job, int64_t begin, int64_t end)
{
    int64_t cols = job->desc->col_end - job->desc->col_begin;
    for (int64_t r = begin; r < end; r++) {
        const uint8_t *src = job->src + (size_t)r * job->stride;
        if (job->layout == PL_LAYOUT_FILE)
            memcpy(job->dst + (size_t)r * job->row_bytes, src, job->row_bytes);
        else
            dequant_row(job->desc->dtype, (float *)(void *)job->dst + r * cols, src, cols);
    }
}

static void pack_work(struct worker *worker, void *arg)
{
    const struct pack_job *job = arg;
    const struct pl_weight_desc *d = job->desc;
    int64_t rows = d->row_end - d->row_begin;
    bool panels = job->layout == LINEAR_LAYOUT_R16;
    int64_t total = panels ? linear_panels(rows) : rows;
    int64_t step = panels ? PACK_PANELS : COPY_ROWS;
    int64_t i;
    while ((i = pool_next(worker, pl_div_up(total, step))) >= 0) {
        int64_t begin = i * step;
        int64_t end = PL_MIN(begin + step, total);
        if (panels)
            linear_pack_range(job->dst, job->src, job->stride, d->dtype, rows,
                              d->col_end - d->col_begin, begin, end);
        else
            pack_rows(job, begin, end);
    }
}

enum pl_status cpu_weight_pack(struct pl_device *device, const struct pl_weight_desc *desc,
                               const void *src, size_t src_bytes, struct pl_buffer *dst,
                               uint64_t dst_offset, struct pl_error *err)
{
    struct pl_weight_layout layout = {.struct_size = sizeof layout};
    enum pl_status status = cpu_weight_query(device, desc, &layout, err);
    if (status != PL_OK)
        return status;
    size_t stride;
    size_t need;
    if (!pl_row_bytes(desc->dtype, desc->cols, &stride) ||
        !pl_mul_size(stride, (size_t)desc->rows, &need) || src_bytes < need)
        return pl_error_set(err, PL_EINVAL, "cpu: weight of %zu bytes is shorter than its shape",
                            src_bytes);
    if (dst->read_only || dst_offset % CPU_ALIGN != 0 || dst_offset > dst->bytes ||
        layout.bytes > dst->bytes - dst_offset)
        return pl_error_set(err, PL_EINVAL,
                            "cpu: no place for %" PRIu64 " packed bytes at %" PRIu64, layout.bytes,
                            dst_offset);
    struct pl_dtype_info info = pl_dtype_info(desc->dtype);
    struct pack_job job = {
        .desc = desc,
        .src = (const uint8_t *)src + (size_t)desc->row_begin * stride +
               (size_t)desc->col_begin / info.block_elems * info.block_bytes,
        .stride = stride,
        .row_bytes =
            (size_t)(desc->col_end - desc->col_begin) / info.block_elems * info.block_bytes,
        .layout = layout.layout,
        .dst = dst->data + dst_offset,
    };
    pool_run(device->pool, pack_work, &job);
    return PL_OK;
}
