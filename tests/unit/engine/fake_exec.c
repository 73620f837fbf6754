/* Stand-in for core/exec and core/plugin; see fake.h. */
#include "fake.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/exec.h"
#include "base/check.h"
#include "base/banned.h"

#define N_BLOCKS_DEFAULT 64
#define CTX_DEFAULT      256

struct exec {
    struct exec_info info;
    struct exec_view view;
    float *logits;
    uint64_t *kv; /* [n_blocks * P] hash of the prefix that ends there */
    uint32_t n_rows, n_seqs, n_outputs;
    bool begun, submitted;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool broken, refuse_open;
    long calls, fail_at, steps, steps_allowed;
    uint32_t rows_seen, submit_us;
    int32_t nan_after, eos_after;
} fake = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER,
          .steps_allowed = LONG_MAX,
          .nan_after = -1,
          .eos_after = -1};

#define LOCKED(statement)                                                                          \
    do {                                                                                           \
        pthread_mutex_lock(&fake.mutex);                                                           \
        statement;                                                                                 \
        pthread_cond_broadcast(&fake.changed);                                                     \
        pthread_mutex_unlock(&fake.mutex);                                                         \
    } while (0)

void fake_reset(void)
{
    LOCKED({
        fake.steps_allowed = LONG_MAX;
        fake.broken = fake.refuse_open = false;
        fake.calls = fake.fail_at = fake.steps = 0;
        fake.rows_seen = fake.submit_us = 0;
        fake.nan_after = fake.eos_after = -1;
    });
}

void fake_fail_at(long n)
{
    LOCKED({
        fake.calls = 0;
        fake.fail_at = n;
    });
}

void fake_gate(bool open)
{
    fake_allow(open ? LONG_MAX : 0);
}

void fake_allow(long n)
{
    LOCKED(fake.steps_allowed = n);
}

void fake_nan_after(int32_t id)
{
    LOCKED(fake.nan_after = id);
}

void fake_eos_after(int32_t id)
{
    LOCKED(fake.eos_after = id);
}

void fake_slow_submit(uint32_t us)
{
    LOCKED(fake.submit_us = us);
}

void fake_refuse_open(bool refuse)
{
    LOCKED(fake.refuse_open = refuse);
}

static long locked_get(const long *value)
{
    pthread_mutex_lock(&fake.mutex);
    long n = *value;
    pthread_mutex_unlock(&fake.mutex);
    return n;
}

long fake_calls(void)
{
    return locked_get(&fake.calls);
}

long fake_steps(void)
{
    return locked_get(&fake.steps);
}

uint32_t fake_rows_seen(void)
{
    pthread_mutex_lock(&fake.mutex);
    uint32_t n = fake.rows_seen;
    pthread_mutex_unlock(&fake.mutex);
    return n;
}

bool fake_contract_broken(void)
{
    pthread_mutex_lock(&fake.mutex);
    bool broken = fake.broken;
    pthread_mutex_unlock(&fake.mutex);
    return broken;
}

void fake_await_steps(long n)
{
    pthread_mutex_lock(&fake.mutex);
    while (fake.steps < n)
        pthread_cond_wait(&fake.changed, &fake.mutex);
    pthread_mutex_unlock(&fake.mutex);
}

static enum pl_status maybe_fail(struct pl_error *err)
{
    bool fails;
    LOCKED(fails = ++fake.calls == fake.fail_at);
    return fails ? pl_error_set(err, PL_ELOST, "fake: device lost") : PL_OK;
}

/* ---- the device ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9E3779B97F4A7C15u + b + 0x7F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint64_t *slot_of(const struct exec *exec, uint32_t seq, uint32_t pos)
{
    const struct exec_info *info = &exec->info;
    int32_t block = exec->view.block_tables[0][seq * info->max_blocks + pos / info->block_tokens];
    PL_CHECK(block >= 0 && (uint32_t)block < info->n_blocks);
    return &exec->kv[(uint32_t)block * info->block_tokens + pos % info->block_tokens];
}

static bool row_is_sound(const struct exec *exec, uint32_t row)
{
    const struct exec_view *v = &exec->view;
    int32_t seq = v->row_seq[row];
    if (seq < 0 || (uint32_t)seq >= exec->n_seqs || v->seq_start[seq] > (int32_t)row ||
        v->seq_start[seq + 1] <= (int32_t)row)
        return false;
    int32_t n_after = v->seq_start[seq + 1] - (int32_t)row;
    return v->pos[row] + n_after == v->kv_len[seq] && v->ids[row] >= 0 &&
           v->ids[row] < FAKE_N_VOCAB && v->pos[row] < (int32_t)exec->info.ctx_tokens;
}

static void fill_logits(const struct exec *exec, uint32_t row, float *logits)
{
    int32_t id = exec->view.ids[row];
    uint64_t hash =
        *slot_of(exec, (uint32_t)exec->view.row_seq[row], (uint32_t)exec->view.pos[row]);
    for (uint32_t i = 0; i < FAKE_N_VOCAB; i++)
        logits[i] = (float)(mix(hash, i) >> 40) * 0x1p-24f * 8 - 4;
    logits[FAKE_EOS] = id == fake.eos_after ? 9.0f : -6.0f;
    if (id == fake.nan_after)
        logits[7] = NAN;
}

static void compute(struct exec *exec)
{
    for (uint32_t row = 0; row < exec->n_rows; row++) {
        if (!row_is_sound(exec, row)) {
            fake.broken = true;
            return;
        }
        uint32_t seq = (uint32_t)exec->view.row_seq[row];
        uint32_t pos = (uint32_t)exec->view.pos[row];
        uint64_t before = pos > 0 ? *slot_of(exec, seq, pos - 1) : 1;
        *slot_of(exec, seq, pos) = mix(before, (uint64_t)exec->view.ids[row]);
    }
    int32_t last = -1;
    for (uint32_t i = 0; i < exec->n_outputs; i++) {
        int32_t row = exec->view.out_rows[i];
        if (row <= last || (uint32_t)row >= exec->n_rows) {
            fake.broken = true;
            return;
        }
        last = row;
        fill_logits(exec, (uint32_t)row, exec->logits + (size_t)i * FAKE_N_VOCAB);
    }
}

/* ---- exec.h ---------------------------------------------------------------------------------- */

static bool alloc_parts(struct exec *e)
{
    const struct exec_info *info = &e->info;
    e->kv = calloc((size_t)info->n_blocks * info->block_tokens, sizeof *e->kv);
    e->logits = calloc((size_t)info->outputs_max * FAKE_N_VOCAB, sizeof *e->logits);
    size_t n = 3 * (size_t)info->rows_max + 2 * (size_t)info->seqs_max + 1 + info->outputs_max +
               (size_t)info->seqs_max * info->max_blocks;
    int32_t *words = calloc(n, sizeof *words);
    e->view.ids = words;
    if (words == NULL || e->kv == NULL || e->logits == NULL)
        return false;
    e->view.pos = e->view.ids + info->rows_max;
    e->view.row_seq = e->view.pos + info->rows_max;
    e->view.seq_start = e->view.row_seq + info->rows_max;
    e->view.kv_len = e->view.seq_start + info->seqs_max + 1;
    e->view.out_rows = e->view.kv_len + info->seqs_max;
    e->view.block_tables[0] = e->view.out_rows + info->outputs_max;
    return true;
}

enum pl_status exec_open(const struct exec_options *options, struct exec **ret,
                         struct pl_error *err)
{
    if (fake.refuse_open)
        return pl_error_set(err, PL_ENOTSUP, "fake: no such op");
    if (options->on_progress != NULL && !options->on_progress(options->user, 1.0))
        return pl_error_set(err, PL_ECANCELED, "fake: given up");
    struct exec *e = calloc(1, sizeof *e);
    if (e == NULL)
        return pl_error_set(err, PL_ENOMEM, "fake: no memory");
    uint32_t ctx = options->ctx_tokens > 0 ? options->ctx_tokens : CTX_DEFAULT;
    uint32_t n_blocks = options->kv_tokens / EXEC_BLOCK_TOKENS;
    e->info = (struct exec_info){
        .architecture = "fake",
        .backend = "fake",
        .device = "none",
        .n_vocab = FAKE_N_VOCAB,
        .ctx_tokens = ctx,
        .ctx_train_tokens = CTX_DEFAULT,
        .block_tokens = EXEC_BLOCK_TOKENS,
        .n_blocks = n_blocks > 0 ? n_blocks : N_BLOCKS_DEFAULT,
        .max_blocks = (ctx + EXEC_BLOCK_TOKENS - 1) / EXEC_BLOCK_TOKENS,
        .rows_max = options->rows_max,
        .seqs_max = options->seqs_max,
        .outputs_max = options->outputs_max,
    };
    e->info.n_groups = 1;
    e->info.groups[0] = (struct exec_kv_group){.n_blocks = e->info.n_blocks,
                                               .block_bytes = EXEC_BLOCK_TOKENS * sizeof *e->kv};
    snprintf(e->info.kv_layout, sizeof e->info.kv_layout, "fake");
    if (!alloc_parts(e)) {
        exec_close(e);
        return pl_error_set(err, PL_ENOMEM, "fake: no memory");
    }
    *ret = e;
    return PL_OK;
}

void exec_close(struct exec *exec)
{
    if (exec == NULL)
        return;
    free(exec->view.ids);
    free(exec->kv);
    free(exec->logits);
    free(exec);
}

const struct exec_info *exec_info(const struct exec *exec)
{
    return &exec->info;
}

void exec_device_stats(const struct exec *exec, struct pl_device_stats *ret)
{
    (void)exec;
    *ret = (struct pl_device_stats){.n_allocs = 3, .n_compiles = 1};
}

enum pl_status exec_begin(struct exec *exec, struct exec_view *ret, struct pl_error *err)
{
    enum pl_status status = maybe_fail(err);
    if (status != PL_OK)
        return status;
    exec->begun = true;
    *ret = exec->view;
    return PL_OK;
}

enum pl_status exec_submit(struct exec *exec, uint32_t n_rows, uint32_t n_seqs, uint32_t n_outputs,
                           struct pl_error *err)
{
    PL_CHECK(exec->begun && !exec->submitted);
    exec->begun = false;
    enum pl_status status = maybe_fail(err);
    if (status != PL_OK)
        return status;
    exec->n_rows = n_rows;
    exec->n_seqs = n_seqs;
    exec->n_outputs = n_outputs;
    exec->submitted = true;
    usleep(fake.submit_us);
    LOCKED({
        fake.steps++;
        fake.rows_seen = PL_MAX(fake.rows_seen, n_rows);
        if (n_rows == 0 || n_rows > exec->info.rows_max || n_seqs > exec->info.seqs_max ||
            n_outputs > exec->info.outputs_max)
            fake.broken = true;
        else
            compute(exec);
    });
    return PL_OK;
}

enum pl_status exec_wait(struct exec *exec, const float **ret_logits, struct pl_error *err)
{
    PL_CHECK(exec->submitted);
    exec->submitted = false;
    enum pl_status status = maybe_fail(err);
    if (status != PL_OK)
        return status;
    pthread_mutex_lock(&fake.mutex);
    while (fake.steps > fake.steps_allowed)
        pthread_cond_wait(&fake.changed, &fake.mutex);
    pthread_mutex_unlock(&fake.mutex);
    *ret_logits = exec->logits;
    return PL_OK;
}

bool exec_ready(struct exec *exec)
{
    PL_CHECK(exec->submitted);
    pthread_mutex_lock(&fake.mutex);
    bool ready = fake.steps <= fake.steps_allowed;
    pthread_mutex_unlock(&fake.mutex);
    return ready;
}

static uint64_t *block_of(struct exec *exec, uint32_t group, int32_t block)
{
    PL_CHECK(group == 0 && block >= 0 && (uint32_t)block < exec->info.n_blocks);
    PL_CHECK(!exec->submitted); /* the engine moves blocks between steps */
    return exec->kv + (size_t)block * EXEC_BLOCK_TOKENS;
}

enum pl_status exec_kv_copy(struct exec *exec, uint32_t group, int32_t from, int32_t to,
                            struct pl_error *err)
{
    enum pl_status status = maybe_fail(err);
    if (status == PL_OK)
        memcpy(block_of(exec, group, to), block_of(exec, group, from),
               exec->info.groups[0].block_bytes);
    return status;
}

enum pl_status exec_kv_read(struct exec *exec, uint32_t group, int32_t block, void *dst,
                            struct pl_error *err)
{
    enum pl_status status = maybe_fail(err);
    if (status == PL_OK)
        memcpy(dst, block_of(exec, group, block), exec->info.groups[0].block_bytes);
    return status;
}

enum pl_status exec_kv_write(struct exec *exec, uint32_t group, int32_t block, const void *src,
                             struct pl_error *err)
{
    enum pl_status status = maybe_fail(err);
    if (status == PL_OK)
        memcpy(block_of(exec, group, block), src, exec->info.groups[0].block_bytes);
    return status;
}

/* ---- plugin.h -------------------------------------------------------------------------------- */

struct plugin_registry {
    struct plugin_entry entry;
};

enum pl_status plugin_registry_scan(const char *dir, struct plugin_registry **ret,
                                    struct pl_error *err)
{
    (void)dir;
    struct plugin_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return pl_error_set(err, PL_ENOMEM, "fake: no memory");
    *ret = registry;
    return PL_OK;
}

void plugin_registry_free(struct plugin_registry *registry)
{
    free(registry);
}

enum pl_status plugin_choose(const struct plugin_registry *registry, const char *name,
                             const struct plugin_entry **ret, struct pl_error *err)
{
    if (name != NULL && strcmp(name, "fake") != 0)
        return pl_error_set(err, PL_ENOENT, "fake: no backend %s", name);
    *ret = &registry->entry;
    return PL_OK;
}
