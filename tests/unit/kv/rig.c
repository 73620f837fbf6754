/* The fake device and its sequences; see rig.h. */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/banned.h"

#define WAIT_S 20 /* for a load: far beyond any */

/* ---- device ---------------------------------------------------------------------------------- */

static unsigned char *block_at(const struct rig *rig, uint32_t group, int32_t block)
{
    PL_CHECK(group < rig->o.n_groups && block >= 0 &&
             (uint32_t)block < rig->o.groups[group].n_blocks);
    return rig->memory[group] + (uint64_t)block * rig->o.groups[group].block_bytes;
}

static enum pl_status call(struct rig *rig, struct pl_error *err)
{
    rig->n_calls++;
    if (rig->fail_at == 0 || rig->n_calls != rig->fail_at)
        return PL_OK;
    return pl_error_set(err, PL_ELOST, "rig: call %llu fails", (unsigned long long)rig->n_calls);
}

static enum pl_status device_copy(void *user, uint32_t group, int32_t from, int32_t to,
                                  struct pl_error *err)
{
    struct rig *rig = user;
    enum pl_status status = call(rig, err);
    if (status == PL_OK)
        memcpy(block_at(rig, group, to), block_at(rig, group, from),
               rig->o.groups[group].block_bytes);
    else
        memset(block_at(rig, group, to), 0xee, rig->o.groups[group].block_bytes);
    return status;
}

static enum pl_status device_read(void *user, uint32_t group, int32_t block, void *dst,
                                  struct pl_error *err)
{
    struct rig *rig = user;
    enum pl_status status = call(rig, err);
    if (status == PL_OK)
        memcpy(dst, block_at(rig, group, block), rig->o.groups[group].block_bytes);
    else
        memset(dst, 0xdd, rig->o.groups[group].block_bytes);
    return status;
}

static enum pl_status device_write(void *user, uint32_t group, int32_t block, const void *src,
                                   struct pl_error *err)
{
    struct rig *rig = user;
    enum pl_status status = call(rig, err);
    if (status == PL_OK)
        memcpy(block_at(rig, group, block), src, rig->o.groups[group].block_bytes);
    else
        memset(block_at(rig, group, block), 0xcc, rig->o.groups[group].block_bytes);
    return status;
}

static void on_ready(void *user)
{
    struct rig *rig = user;
    atomic_fetch_add(&rig->n_ready, 1);
}

static void on_log(void *user, const char *line)
{
    struct rig *rig = user;
    snprintf(rig->log, sizeof rig->log, "%s", line);
    rig->n_logs++;
}

/* ---- cache ----------------------------------------------------------------------------------- */

struct kv_cache_options rig_options(uint32_t block_tokens, uint32_t n_blocks, uint32_t n_groups,
                                    const uint32_t *windows)
{
    struct kv_cache_options o = {
        .block_tokens = block_tokens, .n_groups = n_groups, .seqs_max = 16, .model_id = {1, 2, 3}};
    for (uint32_t g = 0; g < n_groups; g++) {
        o.groups[g].n_blocks = n_blocks;
        o.groups[g].window_tokens = windows != NULL ? windows[g] : 0;
        o.groups[g].block_bytes = (uint64_t)block_tokens * sizeof(uint64_t) * (g + 1);
    }
    return o;
}

enum pl_status rig_open(struct rig *rig, const struct kv_cache_options *o, struct pl_error *err)
{
    *rig = (struct rig){.o = *o};
    rig->o.device.user = rig;
    rig->o.device.copy = device_copy;
    rig->o.device.read = device_read;
    rig->o.device.write = device_write;
    rig->o.on_ready = on_ready;
    rig->o.on_log = on_log;
    rig->o.user = rig;
    for (uint32_t g = 0; g < o->n_groups; g++) {
        rig->memory[g] = calloc(o->groups[g].n_blocks, o->groups[g].block_bytes);
        if (rig->memory[g] == NULL)
            return PL_ENOMEM;
    }
    return kv_cache_open(&rig->o, &rig->cache, err);
}

void rig_close(struct rig *rig)
{
    kv_cache_close(rig->cache);
    rig->cache = NULL;
    for (uint32_t g = 0; g < KV_GROUPS_MAX; g++) {
        free(rig->memory[g]);
        rig->memory[g] = NULL;
    }
}

void rig_scramble(struct rig *rig)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++)
        memset(rig->memory[g], 0xa5, rig->o.groups[g].n_blocks * rig->o.groups[g].block_bytes);
}

struct kv_cache_stats rig_stats(const struct rig *rig)
{
    struct kv_cache_stats stats;
    kv_cache_stats(rig->cache, &stats);
    return stats;
}

/* ---- sequences ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

void rig_seq_init(struct rig *rig, struct rig_seq *seq, uint32_t scope_i)
{
    seq->n_tokens = 0;
    seq->n_computed = 0;
    seq->scope_i = scope_i;
    assert_true(kv_seq_bytes(rig->cache, RIG_TOKENS_MAX) <= sizeof seq->storage);
    memset(seq->storage, 0x77, sizeof seq->storage);
    kv_seq_init(rig->cache, &seq->kv, seq->storage, RIG_TOKENS_MAX,
                kv_scope(rig->cache, &scope_i, sizeof scope_i, NULL, 0));
}

void rig_seq_add(struct rig *rig, struct rig_seq *seq, int32_t id)
{
    (void)rig;
    assert_true(seq->n_tokens < RIG_TOKENS_MAX);
    uint64_t before =
        seq->n_tokens > 0 ? seq->cells[seq->n_tokens - 1] : mix(seq->scope_i + 0x5c09e00000000u);
    seq->ids[seq->n_tokens] = id;
    seq->cells[seq->n_tokens] = mix(before ^ mix((uint64_t)(uint32_t)id + 1));
    seq->n_tokens++;
}

void rig_seq_add_n(struct rig *rig, struct rig_seq *seq, int32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        rig_seq_add(rig, seq, first + (int32_t)i);
}

static uint64_t words_of_cell(const struct rig *rig, uint32_t group)
{
    return rig->o.groups[group].block_bytes / rig->o.block_tokens / sizeof(uint64_t);
}

/* Where position p of seq lies in group g; NULL if its block was given back. */
static unsigned char *cell_at(const struct rig *rig, const struct rig_seq *seq, uint32_t group,
                              uint32_t p)
{
    uint32_t j = p / rig->o.block_tokens;
    assert_true(j < seq->kv.n_blocks);
    int32_t block = seq->kv.blocks[group][j];
    assert_true((block < 0) == (j < seq->kv.n_first[group]));
    if (block < 0)
        return NULL;
    uint64_t cell_bytes = rig->o.groups[group].block_bytes / rig->o.block_tokens;
    return block_at(rig, group, block) + p % rig->o.block_tokens * cell_bytes;
}

void rig_check_content(const struct rig *rig, const struct rig_seq *seq)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        uint64_t window = rig->o.groups[g].window_tokens;
        for (uint32_t p = 0; p < seq->n_computed; p++) {
            const unsigned char *at = cell_at(rig, seq, g, p);
            bool is_seen = window == 0 || (uint64_t)p + window > seq->n_computed;
            if (at == NULL) {
                assert_false(is_seen);
                continue;
            }
            for (uint64_t i = 0; i < words_of_cell(rig, g); i++) {
                uint64_t found = 0;
                memcpy(&found, at + i * sizeof found, sizeof found);
                if (found != seq->cells[p] + i) /* assert_int_equal is slow */
                    assert_int_equal(found, seq->cells[p] + i);
            }
        }
    }
}

static void write_cell(const struct rig *rig, const struct rig_seq *seq, uint32_t p, uint64_t value)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        unsigned char *at = cell_at(rig, seq, g, p);
        assert_non_null(at);
        for (uint64_t i = 0; i < words_of_cell(rig, g); i++) {
            uint64_t cell = value + i;
            memcpy(at + i * sizeof cell, &cell, sizeof cell);
        }
    }
}

enum kv_begin rig_try_begin(struct rig *rig, struct rig_seq *seq, uint32_t n_reuse_max, bool wait,
                            uint32_t *ret_n_cached)
{
    uint32_t n_cached = 0;
    kv_seq_hash(rig->cache, &seq->kv, seq->ids, seq->n_tokens);
    enum kv_begin answer = kv_seq_begin(rig->cache, &seq->kv, n_reuse_max, wait, &n_cached);
    assert_int_equal(seq->kv.held, answer == KV_BEGIN_OK);
    if (answer != KV_BEGIN_OK)
        return answer;
    assert_true(n_cached <= n_reuse_max && n_cached <= seq->n_tokens);
    assert_int_equal(n_cached, seq->kv.n_blocks * rig->o.block_tokens);
    seq->n_computed = n_cached;
    rig_check_content(rig, seq);
    *ret_n_cached = n_cached;
    return answer;
}

uint32_t rig_begin(struct rig *rig, struct rig_seq *seq)
{
    time_t until = time(NULL) + WAIT_S;
    for (;;) {
        uint32_t n_cached = 0;
        uint64_t n_ready = atomic_load(&rig->n_ready);
        enum kv_begin answer = rig_try_begin(rig, seq, seq->n_tokens - 1, true, &n_cached);
        if (answer == KV_BEGIN_OK)
            return n_cached;
        assert_int_equal(answer, KV_BEGIN_LOADING);
        while (atomic_load(&rig->n_ready) == n_ready) { /* the promise: it is called */
            assert_true(time(NULL) < until);
            usleep(50);
        }
    }
}

bool rig_compute(struct rig *rig, struct rig_seq *seq, uint32_t n)
{
    if (!kv_seq_grow(rig->cache, &seq->kv, seq->n_computed, n))
        return false;
    rig_check_content(rig, seq);
    for (uint32_t p = seq->n_computed; p < n; p++)
        write_cell(rig, seq, p, p < seq->n_tokens ? seq->cells[p] : 0xbad);
    seq->n_computed = PL_MIN(n, seq->n_tokens);
    kv_seq_commit(rig->cache, &seq->kv, seq->ids, seq->n_computed);
    rig_check_content(rig, seq);
    return true;
}

uint32_t rig_run(struct rig *rig, struct rig_seq *seq)
{
    uint32_t n_cached = rig_begin(rig, seq);
    assert_true(rig_compute(rig, seq, seq->n_tokens));
    kv_seq_end(rig->cache, &seq->kv);
    return n_cached;
}

/* ---- folders --------------------------------------------------------------------------------- */

void rig_make_dir(char ret[64])
{
    const char *base = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): before threads */
    if (base == NULL)                    /* memory where there is: thousands of small files */
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(ret, 64, "%.40s/polder-kv-XXXXXX", base);
    assert_non_null(mkdtemp(ret));
}

void rig_remove_dir(const char *dir)
{
    DIR *open_dir = opendir(dir);
    assert_non_null(open_dir);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own */
    for (const struct dirent *entry; (entry = readdir(open_dir)) != NULL;)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(open_dir), entry->d_name, 0), 0);
    closedir(open_dir);
    assert_int_equal(rmdir(dir), 0);
}
