/*
 * core/exec with two KV groups over the real CPU plugin: sizes of a window group, how memory is split, and that
 * a window's blocks may be given back and used again, their table entries being poison.
 */
#include "exec/exec.h"
#include "fault.h"
#include "gguf_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/banned.h"

enum { V = 48, CTX = 160, LAYERS = 4, WINDOW = 20, P = EXEC_BLOCK_TOKENS, POISON = 0x7fff0000 };

static struct {
    char path[64];
    struct gguf *file;
    struct plugin_registry *registry;
    const struct plugin_entry *cpu;
    const struct pl_backend *real;
    uint64_t memory_free_bytes; /* what device_info states */
} env;

static struct exec_options options_for(const struct plugin_entry *entry)
{
    return (struct exec_options){
        .file = env.file,
        .backend = entry,
        .device = {.n_threads = 2},
        .dtype_kv = PL_DTYPE_F16,
        .ctx_tokens = CTX,
        .kv_tokens = 4 * CTX,
        .seqs_max = 3,
        .rows_max = 32,
        .outputs_max = 32,
    };
}

/* The table of the window group: blocks in a ring, poison before the window of the first row. */
static void fill_window(int32_t *table, int32_t n_ring, uint32_t from, uint32_t to)
{
    for (int32_t j = 0; j < CTX / P; j++) {
        bool seen = (uint32_t)j * P < to && ((uint32_t)j + 1) * P + WINDOW > from + 1;
        table[j] = seen ? j % n_ring : POISON;
    }
}

/* Feeds n tokens in chunks; blocks of the window group come from a ring of n_ring. */
static void feed(struct exec *exec, uint32_t n, uint32_t chunk, int32_t n_ring, float *logits)
{
    struct pl_error err = {{0}};
    for (uint32_t from = 0; from < n; from += chunk) {
        uint32_t rows = PL_MIN(chunk, n - from);
        struct exec_view view;
        const float *out = NULL;
        assert_int_equal(exec_begin(exec, &view, &err), PL_OK);
        for (uint32_t i = 0; i < rows; i++) {
            view.ids[i] = (int32_t)((from + i) * 7 % V);
            view.pos[i] = (int32_t)(from + i);
            view.row_seq[i] = 0;
            view.out_rows[i] = (int32_t)i;
        }
        view.seq_start[0] = 0;
        view.seq_start[1] = (int32_t)rows;
        view.kv_len[0] = (int32_t)(from + rows);
        for (int32_t j = 0; j < CTX / P; j++)
            view.block_tables[0][j] = (uint32_t)j * P < from + rows ? j + 3 : POISON;
        fill_window(view.block_tables[1], n_ring, from, from + rows);
        if (exec_submit(exec, rows, 1, rows, &err) != PL_OK || exec_wait(exec, &out, &err) != PL_OK)
            fail_msg("%s", err.msg);
        memcpy(logits + (size_t)from * V, out, (size_t)rows * V * sizeof *out);
    }
}

static void window_blocks_are_given_back_and_used_again(void **state)
{
    (void)state;
    static const uint32_t types[] = {PL_DTYPE_F16, PL_DTYPE_F32};
    static float kept[CTX * V];
    static float reused[CTX * V];
    for (size_t t = 0; t < PL_ARRAY_LEN(types); t++) {
        struct exec_options options = options_for(env.cpu);
        struct exec *exec = NULL;
        struct pl_error err = {{0}};
        options.dtype_kv = types[t];
        assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
        feed(exec, CTX, 32, CTX / P, kept);
        for (uint32_t chunk = 1; chunk <= 32; chunk = chunk * 2 + 1) {
            /* a window and a chunk may touch that many blocks */
            int32_t n_ring = (int32_t)((WINDOW + chunk + P - 1) / P + 1);
            memset(reused, 0, sizeof reused);
            feed(exec, CTX, chunk, n_ring, reused);
            assert_memory_equal(kept, reused, sizeof kept);
        }
        exec_close(exec);
    }
}

static void a_window_group_holds_windows_and_chunks_of_all_sequences(void **state)
{
    (void)state;
    static const struct {
        uint32_t seqs, rows, kv_tokens, full, window;
    } rows[] = {
        {3, 32, 1600, 100, 3 * 5},    /* (20 + 32) / 16 rounded up, and one */
        {1, 1, 1600, 100, 1 * 3},     /* 21 tokens lie in 3 blocks at most */
        {3, 32, 160, 10, 10},         /* never more than full attention has */
        {64, 512, 16384, 1024, 1024}, /* likewise */
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct exec_options options = options_for(env.cpu);
        struct exec *exec = NULL;
        struct pl_error err = {{0}};
        options.seqs_max = rows[i].seqs;
        options.rows_max = rows[i].rows;
        options.outputs_max = 1;
        options.kv_tokens = rows[i].kv_tokens;
        assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
        const struct exec_info *info = exec_info(exec);
        assert_int_equal(info->n_groups, 2);
        assert_int_equal(info->groups[0].window_tokens, 0);
        assert_int_equal(info->groups[1].window_tokens, WINDOW);
        assert_int_equal(info->groups[0].n_blocks, rows[i].full);
        assert_int_equal(info->groups[1].n_blocks, rows[i].window);
        assert_int_equal(info->n_blocks, rows[i].full);
        assert_int_equal(info->max_blocks, CTX / P);
        assert_int_equal(info->kv_bytes, rows[i].full * info->groups[0].block_bytes +
                                             rows[i].window * info->groups[1].block_bytes);
        exec_close(exec);
    }
}

static enum pl_status t_device_info(uint32_t device_i, struct pl_device_info *ret,
                                    struct pl_error *err)
{
    enum pl_status status = env.real->device_info(device_i, ret, err);
    ret->memory_free_bytes = env.memory_free_bytes;
    return status;
}

static void without_a_size_both_groups_share_a_quarter_of_the_free_memory(void **state)
{
    (void)state;
    struct pl_backend table = *env.real;
    struct plugin_entry entry = *env.cpu;
    table.device_info = t_device_info;
    entry.table = &table;
    for (uint64_t mib = 1; mib <= 64; mib *= 4) {
        struct exec_options options = options_for(&entry);
        struct exec *exec = NULL;
        struct pl_error err = {{0}};
        options.kv_tokens = 0;
        options.seqs_max = 4096; /* more than fits */
        options.rows_max = 1;
        options.outputs_max = 1;
        env.memory_free_bytes = mib << 20;
        if (exec_open(&options, &exec, &err) != PL_OK)
            fail_msg("%s", err.msg);
        const struct exec_info *info = exec_info(exec);
        uint64_t one = info->groups[0].block_bytes + info->groups[1].block_bytes;
        assert_true(info->kv_bytes <= env.memory_free_bytes / 4);
        assert_true(info->n_blocks == 4096 * CTX / P ||
                    info->kv_bytes + one > env.memory_free_bytes / 4);
        exec_close(exec);
    }
}

/* ---- failures, and memory that the host does not see -------------------------------------------- */

static struct pl_buffer *device_buffers[64];
static unsigned n_device_buffers;

static enum pl_status t_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                                   struct pl_buffer **ret, struct pl_error *err)
{
    enum pl_status status = env.real->buffer_new(device, kind, bytes, ret, err);
    if (status == PL_OK && kind == PL_MEM_DEVICE && n_device_buffers < 64)
        device_buffers[n_device_buffers++] = *ret;
    return status;
}

static void *t_buffer_map(struct pl_buffer *buffer)
{
    for (unsigned i = 0; i < n_device_buffers; i++)
        if (device_buffers[i] == buffer)
            return NULL;
    return env.real->buffer_map(buffer);
}

static void blocks_are_copied_where_the_host_does_not_see_them(void **state)
{
    (void)state;
    struct pl_backend table = *env.real;
    struct plugin_entry entry = *env.cpu;
    struct exec_options options = options_for(&entry);
    struct exec *exec = NULL;
    struct pl_error err = {{0}};
    table.buffer_new = t_buffer_new;
    table.buffer_map = t_buffer_map;
    entry.table = &table;
    n_device_buffers = 0;
    if (exec_open(&options, &exec, &err) != PL_OK)
        fail_msg("%s", err.msg);
    for (uint32_t g = 0; g < 2; g++) {
        size_t bytes = exec_info(exec)->groups[g].block_bytes;
        unsigned char *a = malloc(bytes);
        unsigned char *b = malloc(bytes);
        assert_non_null(a);
        assert_non_null(b);
        for (size_t i = 0; i < bytes; i++)
            a[i] = (unsigned char)(i * 31 + g);
        assert_int_equal(exec_kv_write(exec, g, 2, a, &err), PL_OK);
        assert_int_equal(exec_kv_copy(exec, g, 2, 4, &err), PL_OK);
        assert_int_equal(exec_kv_read(exec, g, 4, b, &err), PL_OK);
        assert_memory_equal(a, b, bytes);
        assert_int_equal(
            exec_kv_copy(exec, g, 0, (int32_t)exec_info(exec)->groups[g].n_blocks, &err),
            PL_EINVAL);
        free(a);
        free(b);
    }
    exec_close(exec);
}

static void open_survives_every_failing_allocation(void **state)
{
    (void)state;
    struct pl_backend table = *env.real;
    struct plugin_entry entry = *env.cpu;
    struct exec_options options = options_for(&entry);
    long n = 0;
    table.buffer_map = t_buffer_map; /* so that the staging block is allocated too */
    table.buffer_new = t_buffer_new;
    entry.table = &table;
    do {
        struct exec *exec = NULL;
        struct pl_error err = {{0}};
        n_device_buffers = 0;
        fault_fail_at(++n);
        enum pl_status status = exec_open(&options, &exec, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        if (status != PL_OK) { /* or a weight was packed because its import failed */
            assert_int_equal(status, PL_ENOMEM);
            assert_true(err.msg[0] != '\0');
        }
        exec_close(exec);
        if (!hit)
            break;
    } while (n < 10000);
    assert_true(n > 10 && n < 10000);
}

static void kv_layouts_that_differ_have_other_names(void **state)
{
    (void)state;
    static const uint32_t types[] = {PL_DTYPE_F16, PL_DTYPE_F32};
    char names[2][PL_NAME_MAX];
    for (size_t i = 0; i < 2; i++) {
        struct exec_options options = options_for(env.cpu);
        struct exec *exec = NULL;
        struct pl_error err = {{0}};
        options.dtype_kv = types[i];
        assert_int_equal(exec_open(&options, &exec, &err), PL_OK);
        (void)snprintf(names[i], sizeof names[i], "%s", exec_info(exec)->kv_layout);
        exec_close(exec);
    }
    assert_string_not_equal(names[0], names[1]);
}

static void q8_0_of_heads_of_8_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct exec_options options = options_for(env.cpu);
    struct exec *exec = NULL;
    struct pl_error err = {{0}};
    options.dtype_kv = PL_DTYPE_Q8_0;
    assert_int_equal(exec_open(&options, &exec, &err), PL_ENOTSUP);
    assert_non_null(strstr(err.msg, "multiple of 32"));
    assert_non_null(strstr(err.msg, "Q8_0"));
}

static void add_norms(struct gguf_make *m)
{
    char name[64];
    for (int i = 0; i < LAYERS; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.post_attention_norm.weight", i);
        gguf_make_tensor(m, name, 1, (const int64_t[]){32}, 1.0f);
        (void)snprintf(name, sizeof name, "blk.%d.post_ffw_norm.weight", i);
        gguf_make_tensor(m, name, 1, (const int64_t[]){32}, 1.0f);
    }
}

static int set_up(void **state)
{
    (void)state;
    struct gguf_make m;
    struct pl_error err = {{0}};
    (void)snprintf(env.path, sizeof env.path, "/tmp/polder-t-groups-%ld.gguf", (long)getpid());
    gguf_make_begin(&m);
    gguf_make_add_model(&m, &(struct gguf_make_model){.arch = "gemma2", .n_layers = LAYERS});
    add_norms(&m);
    gguf_make_u32(&m, "gemma2.attention.sliding_window", WINDOW);
    gguf_make_write(&m, env.path);
    if (gguf_open(env.path, &env.file, &err) != PL_OK ||
        plugin_registry_scan(NULL, &env.registry, &err) != PL_OK ||
        plugin_choose(env.registry, "cpu", &env.cpu, &err) != PL_OK) {
        print_error("%s\n", err.msg);
        return 1;
    }
    env.real = env.cpu->table;
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
        cmocka_unit_test(window_blocks_are_given_back_and_used_again),
        cmocka_unit_test(a_window_group_holds_windows_and_chunks_of_all_sequences),
        cmocka_unit_test(without_a_size_both_groups_share_a_quarter_of_the_free_memory),
        cmocka_unit_test(blocks_are_copied_where_the_host_does_not_see_them),
        cmocka_unit_test(open_survives_every_failing_allocation),
        cmocka_unit_test(kv_layouts_that_differ_have_other_names),
        cmocka_unit_test(q8_0_of_heads_of_8_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
