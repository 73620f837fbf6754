/*
 * cpu/device.h - the objects of the CPU plugin, shared by its files.
 *
 *   pl_device   threads, instruction set, counters
 *   pl_buffer   one range of memory
 *   pl_program  a flat array of cpu_op: operands with their addresses resolved, a function each
 *   cpu_step    one running submit: the counts and the binding set, for the functions
 *
 * Invariant: everything that can be checked is checked when a program is made; the functions that run
 * check nothing.
 *
 * Ownership: as in polder/backend.h.  Threads: a device's objects from one thread at a time, counters
 * from any.  Errors: none here.  Limits: named below.  Source: ours, docs/internals/backend-cpu.md.
 */
#ifndef CPU_DEVICE_H
#define CPU_DEVICE_H

#include "linear.h"
#include "pool.h"
#include "topo.h"

#include <polder/backend.h>

#include <stdatomic.h>

#define CPU_ALIGN        64 /* a cache line and the widest vector */
#define CPU_LAYOUT_F32   2u /* a vector of the file as F32 (LINEAR_LAYOUT_R16 is 1) */
#define CPU_KV_LAYOUT    1u /* see kv.h */
#define CPU_ROT_DIM_MAX  1024
#define CPU_HEAD_DIM_MAX 1024 /* 4 times the largest of today */

struct fast_kernels;

struct pl_device {
    const struct pl_host *host;
    struct pool *pool;
    uint32_t n_threads;
    bool reference;
    enum cpu_isa isa;
    const struct fast_kernels *fast;
    const struct linear_isa *linear;
    _Atomic uint64_t n_allocs, n_compiles, n_submits, bytes_used;
};

struct pl_buffer {
    struct pl_device *device;
    uint8_t *data;
    uint8_t *heap;         /* what to free; NULL for pages and imported memory */
    uint64_t bytes;        /* as asked for */
    uint64_t mapped_bytes; /* of mmap; 0 for imported memory */
    bool read_only;
};

/* A value of the program with its address. */
struct operand {
    uint8_t *data; /* first byte; NULL for a binding */
    int64_t rows;  /* or their maximum */
    int64_t cols;
    uint32_t kind; /* enum pl_value_kind; PL_VALUE_NONE where absent */
    uint32_t dtype;
    uint32_t row_kind;
    uint32_t binding;
    uint32_t layout;
};

/* A KV group with the geometry of its blocks; see kv.h. */
struct kv_geometry {
    uint8_t *data; /* block 0 */
    uint32_t dtype_k, dtype_v;
    uint32_t n_layers, n_kv_heads, head_dim_k, head_dim_v;
    uint32_t block_tokens, block_shift; /* P and log2 P */
    uint32_t tile_tokens;               /* min(P, KV_TILE) used of each tile */
    uint32_t n_tiles;                   /* tiles of a block */
    uint32_t max_blocks;
    uint32_t group_i;
    size_t tile_k_bytes, tile_bytes; /* K part; K and V parts */
    size_t head_bytes, layer_bytes, block_bytes;
};

struct cpu_op;
struct cpu_step;
typedef void cpu_run_fn(const struct cpu_step *step, const struct cpu_op *op,
                        struct worker *worker);

struct cpu_op {
    cpu_run_fn *run;
    uint32_t opcode;
    uint32_t flags;
    struct operand in[PL_OP_IN_MAX];
    struct operand out[PL_OP_OUT_MAX];
    union pl_op_params p;
    struct kv_geometry kv;  /* ops on KV */
    const double *rope_inv; /* [rot_dim/2] angle per position without factors; program owns */
    float *rope_table;      /* [rows_max, rot_dim] cos then sin, written in each step */
    bool rope_first;        /* this op fills rope_table, later ones with the same rope share it */
};

struct pl_program {
    struct pl_device *device;
    uint32_t n_ops, n_sets;
    uint32_t rows_max, seqs_max, outputs_max, kv_tokens_max;
    struct cpu_op *ops;
    struct pl_binding_set *sets;
    uint8_t *workspace; /* CPU_ALIGN aligned, or NULL */
    void **owned;       /* n_owned allocations of ops */
    uint32_t n_owned;
};

struct cpu_step {
    const struct pl_program *program;
    const struct pl_device *device;
    uint8_t *set;           /* the binding set's buffer */
    const uint64_t *offset; /* [PL_BINDING_MAX] */
    int64_t n_rows, n_seqs, n_outputs;
    int64_t query_tokens_max, kv_tokens_max;
    uint8_t *workspace;
    _Atomic bool *stop; /* set once the host has aborted */
};

struct pl_stream {
    struct pl_device *device;
};

struct pl_event {
    struct pl_device *device;
};

/* Zeroed memory, counted in the device's n_allocs; freed with free. */
void *cpu_alloc(struct pl_device *device, size_t n, size_t size);

/* ---- for running ops ------------------------------------------------------------------------- */

static inline bool operand_given(const struct operand *o)
{
    return o->kind != PL_VALUE_NONE;
}

static inline void *operand_data(const struct cpu_step *step, const struct operand *o)
{
    return o->kind == PL_VALUE_BINDING ? step->set + step->offset[o->binding] : o->data;
}

/* Row r of an F32 activation or binding. */
static inline float *operand_f32(const struct cpu_step *step, const struct operand *o, int64_t r)
{
    return (float *)operand_data(step, o) + r * o->cols;
}

/* A weight vector, which program_new has seen to be F32 and aligned; NULL where absent. */
static inline const float *operand_vector(const struct operand *o)
{
    return operand_given(o) ? (const float *)(const void *)o->data : NULL;
}

static inline const int32_t *step_binding(const struct cpu_step *step, uint32_t binding)
{
    return (const int32_t *)(const void *)(step->set + step->offset[binding]);
}

static inline int64_t operand_rows(const struct cpu_step *step, const struct operand *o)
{
    switch (o->row_kind) {
    case PL_ROWS_TOKENS: return step->n_rows;
    case PL_ROWS_OUTPUTS: return step->n_outputs;
    case PL_ROWS_SEQS: return step->n_seqs;
    default: return o->rows;
    }
}

/* ---- parts of the plugin --------------------------------------------------------------------- */

/* buffer.c */
enum pl_status cpu_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                              struct pl_buffer **ret, struct pl_error *err);
void cpu_buffer_free(struct pl_buffer *buffer);
enum pl_status cpu_buffer_import(struct pl_device *device, const void *host, uint64_t bytes,
                                 struct pl_buffer **ret, struct pl_error *err);
void *cpu_buffer_map(struct pl_buffer *buffer);
enum pl_status cpu_buffer_write(struct pl_buffer *buffer, uint64_t offset, const void *src,
                                uint64_t bytes, struct pl_error *err);
enum pl_status cpu_buffer_read(struct pl_buffer *buffer, uint64_t offset, void *dst, uint64_t bytes,
                               struct pl_error *err);

/* weight.c */
enum pl_status cpu_weight_query(struct pl_device *device, const struct pl_weight_desc *desc,
                                struct pl_weight_layout *ret, struct pl_error *err);
enum pl_status cpu_weight_pack(struct pl_device *device, const struct pl_weight_desc *desc,
                               const void *src, size_t src_bytes, struct pl_buffer *dst,
                               uint64_t dst_offset, struct pl_error *err);
/* Bytes of a weight value of [rows, cols] in `layout`; false where that layout is not for it. */
bool cpu_weight_bytes(uint32_t dtype, uint32_t layout, int64_t rows, int64_t cols, uint64_t *ret);

/* query.c */
enum pl_status cpu_op_query(struct pl_device *device, const struct pl_program_desc *program,
                            uint32_t op_i, struct pl_op_support *ret, struct pl_error *err);
enum pl_status cpu_kv_query(struct pl_device *device, const struct pl_kv_group *group,
                            struct pl_kv_layout *ret, struct pl_error *err);

/* program.c */
enum pl_status cpu_program_new(struct pl_device *device, const struct pl_program_desc *desc,
                               struct pl_program **ret, struct pl_error *err);
void cpu_program_free(struct pl_program *program);
enum pl_status cpu_program_submit(struct pl_stream *stream, struct pl_program *program,
                                  const struct pl_step *step, struct pl_error *err);

#endif
