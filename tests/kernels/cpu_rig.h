/*
 * cpu_rig.h - a small model of a few ops on a device of the CPU plugin, for its tests.
 *
 * A rig owns a device, values with random or given contents, KV groups, two binding sets and a program.
 * Every activation lies between sentinels, which rig_check and rig_close verify.
 *
 *   rig_open -> rig_act, rig_weight, ... -> rig_op -> rig_build -> rig_step -> rig_data -> rig_close
 *
 * Ownership: the rig frees all.  Threads: one.  Errors: a failure is an assertion of the test unless
 * the function returns a status.  Limits: RIG_*.  Source: ours.
 */
#ifndef CPU_RIG_H
#define CPU_RIG_H

#include <polder/backend.h>

#define RIG_VALUES   48
#define RIG_OPS      16
#define RIG_SETTINGS 4

struct rig_options {
    uint32_t n_threads;
    bool reference;
    const char *isa;              /* NULL = auto */
    uint32_t rows, seqs, outputs; /* maxima; 0 = 1 */
    uint32_t kv_tokens;           /* of one sequence; 0 = 1 */
};

struct rig {
    const struct pl_backend *table;
    struct pl_host host;
    struct pl_device *device;
    struct pl_stream *stream;
    struct pl_program *program;
    struct pl_value values[RIG_VALUES];
    struct pl_buffer *buffers[RIG_VALUES]; /* of ACT and WEIGHT values */
    struct pl_op ops[RIG_OPS];
    struct pl_kv_group group;
    struct pl_binding_set sets[2];
    struct pl_buffer *workspace;
    struct pl_program_desc desc;
    uint64_t seed;
    bool abort; /* what host.aborted answers */
};

/* xorshift; uniform in [-1, 1). */
uint32_t rig_random(uint64_t *seed);
float rig_uniform(uint64_t *seed);

enum pl_status rig_try_open(struct rig *rig, const struct rig_options *options,
                            struct pl_error *err);
void rig_open(struct rig *rig, const struct rig_options *options);
void rig_close(struct rig *rig);

/* Each returns the value's index. A random activation or weight depends on the rig's seed and the
 * order of calls, not on the device. */
int32_t rig_act(struct rig *rig, uint32_t row_kind, int64_t rows, int64_t cols);
int32_t rig_vector(struct rig *rig, int64_t cols); /* F32 weight around 1 */
int32_t rig_weight(struct rig *rig, uint32_t dtype, uint32_t use, int64_t rows, int64_t cols);
int32_t rig_binding(struct rig *rig, uint32_t binding, uint32_t dtype, uint32_t row_kind,
                    int64_t rows, int64_t cols);
/* The one KV group: n_blocks of block_tokens. */
void rig_kv(struct rig *rig, const struct pl_kv_group *group);

/* A new op without operands; the caller fills it. */
struct pl_op *rig_op(struct rig *rig, uint32_t opcode);

/* op_query for all, workspace, program_new. */
enum pl_status rig_build(struct rig *rig, struct pl_error *err);

/* Data of a value (the whole maximum), or of a binding of set 0. */
float *rig_data(struct rig *rig, int32_t value);
int32_t *rig_ints(struct rig *rig, uint32_t binding);
void rig_fill(struct rig *rig, int32_t value, uint64_t seed); /* random activations */

/* Runs the program over set 0. */
enum pl_status rig_step(struct rig *rig, uint32_t rows, uint32_t seqs, uint32_t outputs,
                        struct pl_error *err);

/* The sentinels of all activations are whole. */
void rig_check(struct rig *rig);

/* sum (a - b)^2 / sum b^2 */
double rig_nmse(const float *a, const float *b, int64_t n);

/* Random blocks of a type whose scales are moderate. */
void rig_random_blocks(uint32_t dtype, uint8_t *dst, size_t bytes, uint64_t *seed);

#endif
