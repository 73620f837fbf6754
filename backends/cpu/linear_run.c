/*
 * linear_run.c - the driver: picks kernels, cuts a rectangle into tiles that stay in the caches.
 *
 * For a chunk of rows whose prepared activations fit beside a pair of panels in the second-level
 * cache, every pair of panels is read from memory once and used for all row groups of the chunk:
 *
 *   for rows in chunks:  for panels in pairs:  for the chunk's rows in groups:  tile, finish
 */
#include "linear_kernels.h"

/* Half of the smallest second-level cache of current server cores (1 MiB): activations; the other
 * half is for panels and what the finish touches. */
#define ACT_CACHE_BYTES ((size_t)512 * 1024)

/* Up to so many rows a tile waits for memory, and few panels at a time stream best: on Zen 5, one row,
 * one panel beat two side by side in both of two interleaved runs of Q8_0, Q4_0, Q4_K and Q6_K. */
#define STREAM_ROWS 8

const struct linear_isa *linear_isa_get(enum linear_level level)
{
    static const struct linear_isa *const isas[LINEAR_LEVELS] = {
        [LINEAR_SCALAR] = &linear_isa_scalar,
#if defined(__x86_64__)
        [LINEAR_AVX2] = &linear_isa_avx2,
        [LINEAR_AVX512] = &linear_isa_avx512,
        [LINEAR_AVX512_BF16] = &linear_isa_avx512_bf16,
#elif defined(__aarch64__)
        [LINEAR_NEON] = &linear_isa_scalar,
#endif
    };
    return (unsigned)level < LINEAR_LEVELS ? isas[level] : NULL;
}

/* The level's kernel of a type, or the portable one. */
static struct linear_kernel kernel_of(const struct linear_isa *isa, enum linear_type type)
{
    struct linear_kernel own = isa->kernels[type];
    return own.tile != NULL ? own : linear_isa_scalar.kernels[type];
}

enum linear_act_format linear_act_format(const struct linear_isa *isa, uint32_t dtype)
{
    enum linear_type type = linear_type_of(dtype);
    return type == LINEAR_TYPES ? LINEAR_ACT_NONE : kernel_of(isa, type).act;
}

size_t linear_act_row_bytes(enum linear_act_format format, int64_t cols)
{
    switch (format) {
    case LINEAR_ACT_F32: return pl_align_up((size_t)cols * 4, LINEAR_ALIGN);
    case LINEAR_ACT_BF16: return pl_align_up((size_t)cols * 2, LINEAR_ALIGN);
    case LINEAR_ACT_Q8_32: return linear_q8_32_of((size_t)cols).bytes;
    case LINEAR_ACT_Q8_256: return linear_q8_256_of((size_t)cols).bytes;
    case LINEAR_ACT_NONE:
    case LINEAR_ACT_FORMATS: break;
    }
    return 0;
}

void linear_act_prepare(const struct linear_isa *isa, enum linear_act_format format, void *dst,
                        const float *x, int64_t x_stride, int64_t cols, int64_t row_begin,
                        int64_t row_end)
{
    size_t row_bytes = linear_act_row_bytes(format, cols);
    for (int64_t r = row_begin; r < row_end; r++)
        isa->prepare[format]((uint8_t *)dst + (size_t)r * row_bytes, x + r * x_stride,
                             (size_t)cols);
}

/* One weight of a task with its kernel. */
struct operand {
    struct linear_kernel kernel;
    const uint8_t *packed, *x;
    size_t panel_bytes, x_bytes, cols;
};

static struct operand operand_of(const struct linear_task *task, size_t i)
{
    const struct linear_weight *w = &task->w[i];
    enum linear_type type = linear_type_of(w->dtype);
    struct linear_kernel kernel = kernel_of(task->isa, type);
    return (struct operand){
        .kernel = kernel,
        .packed = w->packed,
        .x = task->x[i],
        .panel_bytes = linear_panel_bytes(linear_format_of(type), (size_t)w->cols),
        .x_bytes = linear_act_row_bytes(kernel.act, w->cols),
        .cols = (size_t)w->cols,
    };
}

static void run_tile(float *out, const struct operand *o, size_t panel, size_t n_panels, size_t row,
                     size_t n_rows)
{
    const struct linear_tile tile = {
        .w = o->packed + panel * o->panel_bytes,
        .x = o->x + row * o->x_bytes,
        .panel_bytes = o->panel_bytes,
        .x_bytes = o->x_bytes,
        .cols = o->cols,
        .n_panels = n_panels,
        .n_rows = n_rows,
    };
    o->kernel.tile(out, &tile);
}

/* What a rectangle is cut into. Rows are shared out evenly among as few groups as they need: 8 rows are
 * 4 and 4, not 6 and 2. */
struct cut {
    size_t chunk_rows;  /* rows whose activations stay in the cache */
    size_t group_rows;  /* rows of a tile, at most */
    size_t tile_panels; /* panels of a tile, at most */
};

static struct cut cut_of(size_t n_rows, size_t row_bytes, size_t rows_max, size_t stream_panels)
{
    size_t fit = row_bytes > 0 ? ACT_CACHE_BYTES / row_bytes : 0;
    size_t chunk = PL_MIN(PL_MAX(fit / rows_max, 1) * rows_max, PL_MAX(n_rows, 1));
    size_t groups = (chunk + rows_max - 1) / rows_max;
    return (struct cut){
        .chunk_rows = chunk,
        .group_rows = (chunk + groups - 1) / groups,
        .tile_panels = n_rows <= STREAM_ROWS ? stream_panels : LINEAR_TILE_PANELS,
    };
}

void linear_run(const struct linear_task *task, int64_t panel_begin, int64_t panel_end,
                int64_t row_begin, int64_t row_end)
{
    _Alignas(LINEAR_ALIGN) float y[2][LINEAR_TILE_ROWS * LINEAR_TILE_COLS];
    if (panel_begin >= panel_end || row_begin >= row_end)
        return;
    const bool glu = task->act != PL_ACT_NONE;
    const struct operand a = operand_of(task, 0);
    const struct operand b = glu ? operand_of(task, 1) : a;
    const size_t p_end = (size_t)panel_end, r_end = (size_t)row_end;
    const struct cut cut = cut_of(r_end - (size_t)row_begin, PL_MAX(a.x_bytes, b.x_bytes),
                                  PL_MIN(a.kernel.rows_max, b.kernel.rows_max),
                                  PL_MAX(a.kernel.stream_panels, b.kernel.stream_panels));

    for (size_t r0 = (size_t)row_begin; r0 < r_end; r0 += cut.chunk_rows) {
        size_t r1 = PL_MIN(r0 + cut.chunk_rows, r_end);
        for (size_t p = (size_t)panel_begin; p < p_end; p += cut.tile_panels) {
            size_t n_panels = PL_MIN(p_end - p, cut.tile_panels);
            for (size_t r = r0; r < r1; r += cut.group_rows) {
                size_t n_rows = PL_MIN(r1 - r, cut.group_rows);
                run_tile(y[0], &a, p, n_panels, r, n_rows);
                if (glu)
                    run_tile(y[1], &b, p, n_panels, r, n_rows);
                task->isa->finish(task, y[0], glu ? y[1] : NULL, p, n_panels, r, n_rows);
            }
        }
    }
}
