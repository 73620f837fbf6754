/*
 * bench_attn.c - attention of the CPU plugin over KV types, side by side.
 *
 *   bench_attn [-t threads] [-r rounds] [-l isa] [-H heads] [-K kv heads] [-D head size] [-n tokens] [-T rows]
 *
 * One program per KV type over a sequence of -n tokens: steps of -T rows (1: decode) alternate between the
 * types, and the median of the rounds' ratios of processor time to F16 is printed, with tokens of history
 * per second of processor time. Processor time and not the clock's, so that other work on the machine
 * shows less. Nothing here is a test.
 */
#include <polder/backend.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 999, P = 16, TYPES = 3 };

/* NOLINTBEGIN(concurrency-mt-unsafe): options are read and exit is called by the first thread only */

static struct {
    uint32_t threads, rounds, heads, kv_heads, dim, tokens, rows;
    const char *isa;
} opt = {1, 31, 32, 8, 64, 16384, 1, "auto"};

static const uint32_t types[TYPES] = {PL_DTYPE_F16, PL_DTYPE_Q8_0, PL_DTYPE_F32};

struct bench {
    struct pl_program *program;
    struct pl_buffer *kv, *acts, *set, *workspace;
    double seconds[ROUNDS_MAX];
};

static const struct pl_backend *api;
static struct pl_device *device;
static struct pl_stream *stream;

static void check(enum pl_status status, const struct pl_error *err)
{
    if (status != PL_OK) {
        (void)fprintf(stderr, "bench_attn: %s\n", err->msg);
        exit(1);
    }
}

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *new_buffer(uint64_t bytes, struct pl_buffer **ret)
{
    struct pl_error err = {""};
    check(api->buffer_new(device, PL_MEM_DEVICE, bytes, ret, &err), &err);
    return api->buffer_map(*ret);
}

/* Finite contents of every type: bytes of small F16 and F32 numbers, scales among them. */
static void fill_kv(uint8_t *data, uint64_t bytes, uint32_t dtype)
{
    uint32_t state = 1;
    for (uint64_t i = 0; i < bytes; i += 2) {
        state = state * 1664525u + 1013904223u;
        uint16_t half = (uint16_t)(0x2c00u | (state >> 16 & 0x83ffu)); /* about +-0.1 */
        float one = (float)(state >> 8) * 0x1p-24f - 0.5f;
        if (dtype == PL_DTYPE_F32 && i % 4 == 0)
            memcpy(data + i, &one, sizeof one);
        else if (dtype != PL_DTYPE_F32)
            memcpy(data + i, &half, sizeof half);
    }
}

static void fill_set(uint8_t *base, const uint64_t *offset)
{
    const uint32_t max_blocks = opt.tokens / P;
    for (uint32_t r = 0; r < opt.rows; r++) {
        ((int32_t *)(void *)(base + offset[PL_BINDING_POS]))[r] =
            (int32_t)(opt.tokens - opt.rows + r);
        ((int32_t *)(void *)(base + offset[PL_BINDING_ROW_SEQ]))[r] = 0;
    }
    ((int32_t *)(void *)(base + offset[PL_BINDING_SEQ_START]))[1] = (int32_t)opt.rows;
    *(int32_t *)(void *)(base + offset[PL_BINDING_KV_LEN]) = (int32_t)opt.tokens;
    for (uint32_t j = 0; j < max_blocks; j++) /* scattered */
        ((int32_t *)(void *)(base + offset[PL_BINDING_BLOCK_TABLE]))[j] =
            (int32_t)((uint64_t)j * 7919 % max_blocks);
}

/* The cache of a type, filled. */
static struct pl_kv_group open_cache(struct bench *b, uint32_t dtype)
{
    struct pl_error err = {""};
    const uint32_t max_blocks = opt.tokens / P;
    struct pl_kv_group group = {.kind = PL_KV_FULL,
                                .dtype_k = dtype,
                                .dtype_v = dtype,
                                .n_layers = 1,
                                .n_kv_heads = opt.kv_heads,
                                .head_dim_k = opt.dim,
                                .head_dim_v = opt.dim,
                                .block_tokens = P,
                                .n_blocks = max_blocks,
                                .max_blocks = max_blocks};
    struct pl_kv_layout layout = {.struct_size = sizeof layout};
    check(api->kv_query(device, &group, &layout, &err), &err);
    group.layout = layout.layout;
    uint64_t bytes = layout.block_bytes * max_blocks;
    fill_kv(new_buffer(bytes, &b->kv), bytes, dtype);
    group.buffer = b->kv;
    return group;
}

static struct pl_op attn_op(void)
{
    struct pl_op op;
    memset(&op, 0, sizeof op);
    op.opcode = PL_OP_ATTN;
    for (int i = 0; i < PL_OP_IN_MAX; i++)
        op.in[i] = PL_NO_VALUE;
    for (int i = 0; i < PL_OP_OUT_MAX; i++)
        op.out[i] = PL_NO_VALUE;
    op.flags = PL_ATTN_CAUSAL;
    op.in[PL_ATTN_Q] = 0;
    op.out[0] = 1;
    op.p.attn = (struct pl_attn_params){.n_heads = opt.heads,
                                        .n_kv_heads = opt.kv_heads,
                                        .head_dim = opt.dim,
                                        .head_dim_v = opt.dim,
                                        .scale = 0.1f};
    return op;
}

/* q and the output. */
static void open_acts(struct bench *b, struct pl_value values[2])
{
    const uint64_t bytes = (uint64_t)opt.rows * opt.heads * opt.dim * sizeof(float);
    float *q = new_buffer(2 * bytes, &b->acts);
    for (uint64_t i = 0; i < bytes / sizeof *q; i++)
        q[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    for (uint32_t i = 0; i < 2; i++)
        values[i] = (struct pl_value){.kind = PL_VALUE_ACT,
                                      .dtype = PL_DTYPE_F32,
                                      .row_kind = PL_ROWS_TOKENS,
                                      .rows = opt.rows,
                                      .cols = (int64_t)opt.heads * opt.dim,
                                      .buffer = b->acts,
                                      .offset = i * bytes};
}

static struct pl_binding_set open_set(struct bench *b)
{
    struct pl_binding_set set = {0};
    uint64_t bytes = 0;
    for (uint32_t i = PL_BINDING_POS; i <= PL_BINDING_BLOCK_TABLE; i++) {
        set.offset[i] = bytes;
        bytes += pl_align_up(PL_MAX(opt.rows + 1, opt.tokens / P) * sizeof(int32_t), 4096);
    }
    fill_set(new_buffer(bytes, &b->set), set.offset);
    set.buffer = b->set;
    return set;
}

static void open_type(struct bench *b, uint32_t dtype)
{
    struct pl_error err = {""};
    const struct pl_kv_group group = open_cache(b, dtype);
    const struct pl_op op = attn_op();
    const struct pl_binding_set set = open_set(b);
    struct pl_value values[2];
    open_acts(b, values);
    struct pl_program_desc desc = {.struct_size = sizeof desc,
                                   .values = values,
                                   .ops = &op,
                                   .groups = &group,
                                   .sets = &set,
                                   .n_values = 2,
                                   .value_stride = sizeof *values,
                                   .n_ops = 1,
                                   .op_stride = sizeof op,
                                   .n_groups = 1,
                                   .group_stride = sizeof group,
                                   .n_sets = 1,
                                   .set_stride = sizeof set,
                                   .rows_max = opt.rows,
                                   .seqs_max = 1,
                                   .outputs_max = 1,
                                   .kv_tokens_max = opt.tokens};
    struct pl_op_support support = {.struct_size = sizeof support};
    check(api->op_query(device, &desc, 0, &support, &err), &err);
    if (support.workspace_bytes > 0)
        (void)new_buffer(support.workspace_bytes, &b->workspace);
    desc.workspace = b->workspace;
    check(api->program_new(device, &desc, &b->program, &err), &err);
}

static void step(struct bench *b, uint32_t round)
{
    struct pl_error err = {""};
    const struct pl_step s = {.struct_size = sizeof s,
                              .n_rows = opt.rows,
                              .n_seqs = 1,
                              .query_tokens_max = opt.rows,
                              .kv_tokens_max = opt.tokens};
    double begin = cpu_now();
    check(api->program_submit(stream, b->program, &s, &err), &err);
    b->seconds[round] = cpu_now() - begin;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

static void read_options(int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "t:r:l:H:K:D:n:T:")) != -1) {
        uint32_t value = optarg != NULL ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 't': opt.threads = value; break;
        case 'r': opt.rounds = PL_MIN(value, (uint32_t)ROUNDS_MAX); break;
        case 'l': opt.isa = optarg; break;
        case 'H': opt.heads = value; break;
        case 'K': opt.kv_heads = value; break;
        case 'D': opt.dim = value; break;
        case 'n': opt.tokens = value / P * P; break;
        case 'T': opt.rows = value; break;
        default: exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct pl_error err = {""};
    char isa[32];
    static struct bench benches[TYPES];
    static double ratios[ROUNDS_MAX];
    read_options(argc, argv);
    api = pl_backend_entry();
    (void)snprintf(isa, sizeof isa, "isa=%s", opt.isa);
    const char *settings[] = {isa, "spin=0", NULL};
    const struct pl_device_options options = {
        .struct_size = sizeof options, .n_threads = opt.threads, .settings = settings};
    const struct pl_host host = {.struct_size = sizeof host};
    check(api->device_open(&options, &host, &device, &err), &err);
    check(api->stream_open(device, &stream, &err), &err);
    for (int i = 0; i < TYPES; i++)
        open_type(&benches[i], types[i]);
    for (uint32_t r = 0; r < opt.rounds; r++)
        for (int i = 0; i < TYPES; i++)
            step(&benches[i], r);
    for (int i = 0; i < TYPES; i++) {
        for (uint32_t r = 0; r < opt.rounds; r++)
            ratios[r] = benches[i].seconds[r] / benches[0].seconds[r];
        double ratio = median(ratios, opt.rounds);
        (void)printf("%-5s time %.2f of F16  ", pl_dtype_info(types[i]).name, ratio);
        if (i > 0) { /* the first is still needed in its order */
            double s = median(benches[i].seconds, opt.rounds);
            (void)printf("%.1f M positions/s", (double)opt.tokens * opt.rows / s * 1e-6);
        }
        (void)printf("\n");
    }
    return 0;
}

/* NOLINTEND(concurrency-mt-unsafe) */
