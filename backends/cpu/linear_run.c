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
#define ACT_CACHE_BYTES (512u * 1024)

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
    case LINEAR_ACT_Q8_32: return linear_q8_32_of(cols).bytes;
    case LINEAR_ACT_Q8_256: return linear_q8_256_of(cols).bytes;
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
        isa->prepare[format]((uint8_t *)dst + (size_t)r * row_bytes, x + r * x_stride, cols);
}

/* One weight of a task with its kernel. */
struct operand {
    struct linear_kernel kernel;
    const uint8_t *packed, *x;
    size_t panel_bytes, x_bytes;
    int64_t cols;
};

static struct operand operand_of(const struct linear_task *task, int i)
{
    const struct linear_weight *w = &task->w[i];
    enum linear_type type = linear_type_of(w->dtype);
    struct linear_kernel kernel = kernel_of(task->isa, type);
    return (struct operand){
        .kernel = kernel,
        .packed = w->packed,
        .x = task->x[i],
        .panel_bytes = linear_panel_bytes(linear_format_of(type), w->cols),
        .x_bytes = linear_act_row_bytes(kernel.act, w->cols),
        .cols = w->cols,
    };
}

static void run_tile(float *out, const struct operand *o, int64_t panel, int n_panels, int64_t row,
                     int n_rows)
{
    const struct linear_tile tile = {
        .w = o->packed + (size_t)panel * o->panel_bytes,
        .x = o->x + (size_t)row * o->x_bytes,
        .panel_bytes = o->panel_bytes,
        .x_bytes = o->x_bytes,
        .cols = o->cols,
        .n_panels = n_panels,
        .n_rows = n_rows,
    };
    o->kernel.tile(out, &tile);
}

static int64_t rows_per_chunk(size_t row_bytes, int rows_max)
{
    int64_t rows = (int64_t)(ACT_CACHE_BYTES / PL_MAX(row_bytes, 1));
    return PL_MAX(rows / rows_max, 1) * rows_max;
}

void linear_run(const struct linear_task *task, int64_t panel_begin, int64_t panel_end,
                int64_t row_begin, int64_t row_end)
{
    _Alignas(LINEAR_ALIGN) float y[2][LINEAR_TILE_ROWS * LINEAR_TILE_COLS];
    const bool glu = task->act != PL_ACT_NONE;
    struct operand a = operand_of(task, 0);
    struct operand b = glu ? operand_of(task, 1) : a;
    int rows_max = PL_MIN(a.kernel.rows_max, b.kernel.rows_max);
    int64_t chunk = rows_per_chunk(PL_MAX(a.x_bytes, b.x_bytes), rows_max);

    for (int64_t r0 = row_begin; r0 < row_end; r0 += chunk) {
        int64_t r1 = PL_MIN(r0 + chunk, row_end);
        for (int64_t p = panel_begin; p < panel_end; p += LINEAR_TILE_PANELS) {
            int n_panels = (int)PL_MIN(panel_end - p, LINEAR_TILE_PANELS);
            for (int64_t r = r0; r < r1; r += rows_max) {
                int n_rows = (int)PL_MIN(r1 - r, rows_max);
                run_tile(y[0], &a, p, n_panels, r, n_rows);
                if (glu)
                    run_tile(y[1], &b, p, n_panels, r, n_rows);
                task->isa->finish(task, y[0], glu ? y[1] : NULL, p, n_panels, r, n_rows);
            }
        }
    }
}
