/*
 * core/exec over the real CPU plugin: the same logits fused and decomposed, in one step and in chunks; and a
 * backend whose n-th call fails, for every n.
 */
#include "exec/exec.h"
#include "gguf_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/banned.h"

enum { V = 48, N = 23 };

static struct {
    char path[64];
    struct gguf *file;
    struct plugin_registry *registry;
    const struct plugin_entry *cpu;
} env;

/* ---- a backend like the CPU's, that declines or fails at will ---------------------------------- */

static const struct pl_backend *real;
static bool decline_fused; /* op_query answers as a backend of simple ops would */
static unsigned calls;     /* fallible calls so far */
static unsigned fail_at;   /* the call that fails, from 1; 0 = none */
static int64_t live;       /* objects alive: opened less closed */

static bool fails(void)
{
    return ++calls == fail_at;
}

static enum pl_status broken(struct pl_error *err)
{
    return pl_error_set(err, PL_ELOST, "injected");
}

static enum pl_status t_op_query(struct pl_device *device, const struct pl_program_desc *program,
                                 uint32_t op_i, struct pl_op_support *ret, struct pl_error *err)
{
    const struct pl_op *op = &program->ops[op_i];
    bool plain_linear = op->opcode != PL_OP_LINEAR ||
                        (op->p.linear.n_weights == 1 && op->p.linear.act == PL_ACT_NONE &&
                         op->in[PL_LINEAR_NORM] == PL_NO_VALUE &&
                         op->in[PL_LINEAR_RESIDUAL] == PL_NO_VALUE && op->p.linear.scale == 1.0f);
    if (decline_fused && (!plain_linear || op->opcode == PL_OP_GLU))
        return pl_error_set(err, PL_ENOTSUP, "simple ops only");
    if (fails())
        return broken(err);
    return real->op_query(device, program, op_i, ret, err);
}

static enum pl_status t_device_open(const struct pl_device_options *options,
                                    const struct pl_host *host, struct pl_device **ret,
                                    struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->device_open(options, host, ret, err);
    live += status == PL_OK;
    return status;
}

static void t_device_close(struct pl_device *device)
{
    live -= device != NULL;
    real->device_close(device);
}

static enum pl_status t_weight_query(struct pl_device *device, const struct pl_weight_desc *desc,
                                     struct pl_weight_layout *ret, struct pl_error *err)
{
    return fails() ? broken(err) : real->weight_query(device, desc, ret, err);
}

static enum pl_status t_weight_pack(struct pl_device *device, const struct pl_weight_desc *desc,
                                    const void *src, size_t src_bytes, struct pl_buffer *dst,
                                    uint64_t dst_offset, struct pl_error *err)
{
    return fails() ? broken(err)
                   : real->weight_pack(device, desc, src, src_bytes, dst, dst_offset, err);
}

static enum pl_status t_kv_query(struct pl_device *device, const struct pl_kv_group *group,
                                 struct pl_kv_layout *ret, struct pl_error *err)
{
    return fails() ? broken(err) : real->kv_query(device, group, ret, err);
}

static enum pl_status t_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                                   struct pl_buffer **ret, struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->buffer_new(device, kind, bytes, ret, err);
    live += status == PL_OK;
    return status;
}

static enum pl_status t_buffer_import(struct pl_device *device, const void *host, uint64_t bytes,
                                      struct pl_buffer **ret, struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->buffer_import(device, host, bytes, ret, err);
    live += status == PL_OK;
    return status;
}

static void t_buffer_free(struct pl_buffer *buffer)
{
    live -= buffer != NULL;
    real->buffer_free(buffer);
}

static enum pl_status t_stream_open(struct pl_device *device, struct pl_stream **ret,
                                    struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->stream_open(device, ret, err);
    live += status == PL_OK;
    return status;
}

static void t_stream_close(struct pl_stream *stream)
{
    live -= stream != NULL;
    real->stream_close(stream);
}

static enum pl_status t_event_new(struct pl_device *device, struct pl_event **ret,
                                  struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->event_new(device, ret, err);
    live += status == PL_OK;
    return status;
}

static void t_event_free(struct pl_event *event)
{
    live -= event != NULL;
    real->event_free(event);
}

static enum pl_status t_event_record(struct pl_event *event, struct pl_stream *stream,
                                     struct pl_error *err)
{
    return fails() ? broken(err) : real->event_record(event, stream, err);
}

static enum pl_status t_event_wait(struct pl_event *event, struct pl_error *err)
{
    return fails() ? broken(err) : real->event_wait(event, err);
}

static enum pl_status t_program_new(struct pl_device *device, const struct pl_program_desc *desc,
                                    struct pl_program **ret, struct pl_error *err)
{
    if (fails())
        return broken(err);
    enum pl_status status = real->program_new(device, desc, ret, err);
    live += status == PL_OK;
    return status;
}

static void t_program_free(struct pl_program *program)
{
    live -= program != NULL;
    real->program_free(program);
}

static enum pl_status t_program_submit(struct pl_stream *stream, struct pl_program *program,
                                       const struct pl_step *step, struct pl_error *err)
{
    return fails() ? broken(err) : real->program_submit(stream, program, step, err);
}

static struct pl_backend wrap(void)
{
    struct pl_backend table = *env.cpu->table;
    real = env.cpu->table;
    calls = 0;
    table.op_query = t_op_query;
    table.device_open = t_device_open;
    table.device_close = t_device_close;
    table.weight_query = t_weight_query;
    table.weight_pack = t_weight_pack;
    table.kv_query = t_kv_query;
    table.buffer_new = t_buffer_new;
    table.buffer_import = t_buffer_import;
    table.buffer_free = t_buffer_free;
    table.stream_open = t_stream_open;
    table.stream_close = t_stream_close;
    table.event_new = t_event_new;
    table.event_free = t_event_free;
    table.event_record = t_event_record;
    table.event_wait = t_event_wait;
    table.program_new = t_program_new;
    table.program_free = t_program_free;
    table.program_submit = t_program_submit;
    return table;
}

/* ---- running a sequence -------------------------------------------------------------------------- */

static struct exec_options options_for(const struct plugin_entry *entry, uint32_t flags)
{
    return (struct exec_options){
        .file = env.file,
        .backend = entry,
        .device = {.n_threads = 1, .flags = flags},
        .dtype_kv = PL_DTYPE_F32,
        .ctx_tokens = 64,
        .kv_tokens = 128,
        .seqs_max = 4,
        .rows_max = 32,
        .outputs_max = 32,
    };
}

/* Feeds tokens [begin, end) in chunks with the given blocks; their logits into logits [N, V]. */
static enum pl_status feed_part(struct exec *exec, const int32_t blocks[2], uint32_t begin,
                                uint32_t end, uint32_t chunk, float *logits, struct pl_error *err)
{
    for (uint32_t from = begin; from < end; from += chunk) {
        uint32_t n = PL_MIN(chunk, end - from);
        struct exec_view view;
        const float *out = NULL;
        enum pl_status status = exec_begin(exec, &view, err);
        if (status != PL_OK)
            return status;
        for (uint32_t i = 0; i < n; i++) {
            view.ids[i] = (int32_t)((from + i) * 7 % V);
            view.pos[i] = (int32_t)(from + i);
            view.row_seq[i] = 0;
            view.out_rows[i] = (int32_t)i;
        }
        view.seq_start[0] = 0;
        view.seq_start[1] = (int32_t)n;
        view.kv_len[0] = (int32_t)(from + n);
        view.block_tables[0][0] = blocks[0];
        view.block_tables[0][1] = blocks[1];
        status = exec_submit(exec, n, 1, n, err);
        if (status == PL_OK)
            status = exec_wait(exec, &out, err);
        if (status != PL_OK)
            return status;
        memcpy(logits + (size_t)from * V, out, (size_t)n * V * sizeof *out);
    }
    return PL_OK;
}

static const int32_t any_blocks[2] = {5, 2};

static enum pl_status feed(struct exec *exec, uint32_t chunk, float *logits, struct pl_error *err)
{
    return feed_part(exec, any_blocks, 0, N, chunk, logits, err);
}

static enum pl_status run(const struct plugin_entry *entry, uint32_t flags, uint32_t chunk,
                          float *logits, struct pl_error *err)
{
    struct exec_options options = options_for(entry, flags);
    struct exec *exec = NULL;
    enum pl_status status = exec_open(&options, &exec, err);
    if (status == PL_OK)
        status = feed(exec, chunk, logits, err);
    exec_close(exec);
    return status;
}

static double nmse(const float *a, const float *b, size_t n)
{
    double num = 0;
    double den = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        num += d * d;
        den += (double)b[i] * (double)b[i];
    }
    return num / den;
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void gives_the_same_bits_in_one_step_and_in_chunks(void **state)
{
    (void)state;
    static float whole[N * V];
    static float chunked[N * V];
    struct pl_error err = {{0}};
    if (run(env.cpu, 0, N, whole, &err) != PL_OK)
        fail_msg("%s", err.msg);
    for (uint32_t chunk = 1; chunk < N; chunk += 3) {
        assert_int_equal(run(env.cpu, 0, chunk, chunked, &err), PL_OK);
        assert_memory_equal(whole, chunked, sizeof whole);
    }
}

static void gives_the_reference_s_logits(void **state)
{
    (void)state;
    static float fast[N * V];
    static float reference[N * V];
    struct pl_error err = {{0}};
    assert_int_equal(run(env.cpu, 0, N, fast, &err), PL_OK);
    if (run(env.cpu, PL_DEVICE_REFERENCE, N, reference, &err) != PL_OK)
        fail_msg("%s", err.msg);
    assert_true(nmse(fast, reference, (size_t)N * V) < 1e-9);
}

static void decomposes_what_a_backend_declines(void **state)
{
    (void)state;
    static float fused[N * V];
    static float simple[N * V];
    struct pl_error err = {{0}};
    struct pl_backend table = wrap();
    struct plugin_entry entry = *env.cpu;
    entry.table = &table;
    fail_at = 0;
    assert_int_equal(run(env.cpu, 0, N, fused, &err), PL_OK);
    decline_fused = true;
    enum pl_status status = run(&entry, 0, N, simple, &err);
    decline_fused = false;
    if (status != PL_OK)
        fail_msg("%s", err.msg);
    assert_true(nmse(simple, fused, (size_t)N * V) < 1e-9);
    assert_int_equal(live, 0);
}

static void survives_every_failing_backend_call(void **state)
{
    (void)state;
    static float logits[N * V];
    struct pl_backend table = wrap();
    struct plugin_entry entry = *env.cpu;
    entry.table = &table;
    unsigned n_failed = 0;
    for (fail_at = 1;; fail_at++) {
        struct pl_error err = {{0}};
        calls = 0;
        enum pl_status status = run(&entry, 0, 8, logits, &err);
        assert_int_equal(live, 0);
        if (calls < fail_at) {
            assert_int_equal(status, PL_OK);
            break;
        }
        if (status != PL_OK) { /* a failed import falls back to packing: that may succeed */
            assert_int_equal(status, PL_ELOST);
            assert_non_null(strstr(err.msg, "injected"));
            n_failed++;
        }
    }
    assert_true(n_failed > 30);
}

static void refuses_a_step_beyond_its_limits_and_stays_usable(void **state)
{
    (void)state;
    static float logits[N * V];
    struct exec_options options = options_for(env.cpu, 0);
    struct exec *exec = NULL;
    struct exec_view view;
    struct pl_error err = {{0}};
    assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
    assert_int_equal(exec_submit(exec, 1, 1, 1, &err), PL_EINVAL); /* without begin */
    assert_int_equal(exec_begin(exec, &view, &err), PL_OK);
    assert_int_equal(exec_submit(exec, 33, 1, 1, &err), PL_EINVAL);
    assert_int_equal(exec_begin(exec, &view, &err), PL_OK);
    assert_int_equal(exec_submit(exec, 1, 5, 1, &err), PL_EINVAL);
    assert_int_equal(feed(exec, 8, logits, &err), PL_OK);
    exec_close(exec);
}

static void allocates_and_compiles_nothing_after_open(void **state)
{
    (void)state;
    static float logits[N * V];
    struct exec_options options = options_for(env.cpu, 0);
    struct exec *exec = NULL;
    struct pl_device_stats before;
    struct pl_device_stats after;
    struct pl_error err = {{0}};
    assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
    exec_device_stats(exec, &before);
    for (uint32_t chunk = 1; chunk <= N; chunk++)
        assert_int_equal(feed(exec, chunk, logits, &err), PL_OK);
    exec_device_stats(exec, &after);
    assert_int_equal(after.n_allocs, before.n_allocs);
    assert_int_equal(after.n_compiles, before.n_compiles);
    assert_true(after.n_submits > before.n_submits + N);
    exec_close(exec);
}

static void says_when_the_kv_cache_is_smaller_than_the_context(void **state)
{
    (void)state;
    struct exec_options options = options_for(env.cpu, 0);
    struct exec *exec = NULL;
    struct pl_error err = {{0}};
    options.kv_tokens = 32;
    assert_int_equal(exec_open(&options, &exec, &err), PL_ELIMIT);
    assert_non_null(strstr(err.msg, "32"));
}

static void moves_kv_blocks_as_bytes(void **state)
{
    (void)state;
    static float whole[N * V];
    static float part[N * V];
    enum { HALF = EXEC_BLOCK_TOKENS };
    struct exec_options options = options_for(env.cpu, 0);
    struct exec *exec = NULL;
    struct exec *other = NULL;
    struct pl_error err = {{0}};
    assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
    assert_int_equal(exec_open(&options, &other, &err), PL_OK);
    assert_string_equal(exec_info(exec)->kv_layout, exec_info(other)->kv_layout);
    assert_int_equal(feed(exec, N, whole, &err), PL_OK);

    /* a copy serves as the first block, and stays when the original is overwritten */
    void *bytes = malloc(exec_info(exec)->groups[0].block_bytes);
    assert_non_null(bytes);
    assert_int_equal(exec_kv_copy(exec, 0, any_blocks[0], 7, &err), PL_OK);
    assert_int_equal(exec_kv_read(exec, 0, 7, bytes, &err), PL_OK);
    assert_int_equal(exec_kv_copy(exec, 0, any_blocks[1], any_blocks[0], &err), PL_OK);
    assert_int_equal(feed_part(exec, (const int32_t[2]){7, 1}, HALF, N, N, part, &err), PL_OK);
    assert_memory_equal(part + (size_t)HALF * V, whole + (size_t)HALF * V,
                        (size_t)(N - HALF) * V * sizeof *part);

    /* so does one that was read here and written there */
    memset(part, 0, sizeof part);
    assert_int_equal(exec_kv_write(other, 0, 3, bytes, &err), PL_OK);
    assert_int_equal(feed_part(other, (const int32_t[2]){3, 0}, HALF, N, N, part, &err), PL_OK);
    assert_memory_equal(part + (size_t)HALF * V, whole + (size_t)HALF * V,
                        (size_t)(N - HALF) * V * sizeof *part);

    assert_int_equal(exec_kv_read(exec, 0, -1, bytes, &err), PL_EINVAL);
    assert_int_equal(exec_kv_read(exec, 1, 0, bytes, &err), PL_EINVAL);
    assert_int_equal(exec_kv_copy(exec, 0, 0, 8, &err), PL_EINVAL);
    free(bytes);
    exec_close(exec);
    exec_close(other);
}

static void says_when_a_step_is_ready(void **state)
{
    (void)state;
    struct exec_options options = options_for(env.cpu, 0);
    struct exec *exec = NULL;
    struct exec_view view;
    const float *logits = NULL;
    struct pl_error err = {{0}};
    assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
    assert_int_equal(exec_begin(exec, &view, &err), PL_OK);
    view.seq_start[1] = 1;
    view.kv_len[0] = 1;
    assert_int_equal(exec_submit(exec, 1, 1, 1, &err), PL_OK);
    assert_true(exec_ready(exec)); /* the CPU is done when submit returns */
    assert_int_equal(exec_wait(exec, &logits, &err), PL_OK);
    exec_close(exec);
}

static int set_up(void **state)
{
    (void)state;
    struct gguf_make m;
    struct pl_error err = {{0}};
    (void)snprintf(env.path, sizeof env.path, "/tmp/polder-t-exec-%ld.gguf", (long)getpid());
    gguf_make_begin(&m);
    gguf_make_add_model(&m, &(struct gguf_make_model){.arch = "llama", .n_layers = 2});
    gguf_make_write(&m, env.path);
    if (gguf_open(env.path, &env.file, &err) != PL_OK ||
        plugin_registry_scan(NULL, &env.registry, &err) != PL_OK ||
        plugin_choose(env.registry, "cpu", &env.cpu, &err) != PL_OK) {
        print_error("%s\n", err.msg);
        return 1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gguf_close(env.file);
    plugin_registry_free(env.registry);
    (void)unlink(env.path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_bits_in_one_step_and_in_chunks),
        cmocka_unit_test(gives_the_reference_s_logits),
        cmocka_unit_test(decomposes_what_a_backend_declines),
        cmocka_unit_test(survives_every_failing_backend_call),
        cmocka_unit_test(refuses_a_step_beyond_its_limits_and_stays_usable),
        cmocka_unit_test(allocates_and_compiles_nothing_after_open),
        cmocka_unit_test(says_when_the_kv_cache_is_smaller_than_the_context),
        cmocka_unit_test(moves_kv_blocks_as_bytes),
        cmocka_unit_test(says_when_a_step_is_ready),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
