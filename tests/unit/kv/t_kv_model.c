/*
 * The cache against a slow model that knows the rules of cache.h and nothing of its lists and tables: random steps of
 * sequences that share prefixes, over all kinds of groups and tiers. The content of each block that is held is
 * compared cell by cell (rig.h); without tiers the model also predicts each hit and each refusal exactly.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>

#include <polder/base.h>

#include "base/rng.h"
#include "base/banned.h"

#define N_SEQS       7
#define STEPS        20000
#define MODEL_BLOCKS 64

/* ---- the model ------------------------------------------------------------------------------- */

struct m_block {
    uint64_t key; /* last cell of the block, 0 = not findable */
    uint32_t refs;
    uint64_t stamp; /* of the last release */
};

struct m_seq {
    int32_t at[KV_GROUPS_MAX][RIG_TOKENS_MAX]; /* block of entry j, -1 */
    uint32_t n_blocks;
};

struct model {
    struct m_block blocks[KV_GROUPS_MAX][MODEL_BLOCKS];
    struct m_seq seqs[N_SEQS];
    uint64_t clock;
};

static int32_t m_find(const struct model *m, const struct rig *rig, uint32_t g, uint64_t key)
{
    for (uint32_t b = 0; b < rig->o.groups[g].n_blocks; b++)
        if (m->blocks[g][b].key == key)
            return (int32_t)b;
    return -1;
}

/* Blocks that nobody holds: free ones and those that may be evicted. */
static uint32_t m_available(const struct model *m, const struct rig *rig, uint32_t g)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < rig->o.groups[g].n_blocks; b++)
        n += m->blocks[g][b].refs == 0;
    return n;
}

/* A free one, else the one that was given back longest ago. */
static int32_t m_take(struct model *m, const struct rig *rig, uint32_t g)
{
    int32_t best = -1;
    for (uint32_t b = 0; b < rig->o.groups[g].n_blocks; b++) {
        const struct m_block *block = &m->blocks[g][b];
        if (block->refs > 0)
            continue;
        if (block->key == 0) {
            best = (int32_t)b;
            break;
        }
        if (best < 0 || block->stamp < m->blocks[g][best].stamp)
            best = (int32_t)b;
    }
    assert_true(best >= 0);
    m->blocks[g][best] = (struct m_block){.refs = 1};
    return best;
}

static void m_release(struct model *m, uint32_t g, int32_t b)
{
    struct m_block *block = &m->blocks[g][b];
    assert_true(block->refs > 0);
    block->refs--;
    block->stamp = ++m->clock;
}

static uint64_t key_of(const struct rig *rig, const struct rig_seq *seq, uint32_t j)
{
    return seq->cells[(j + 1) * rig->o.block_tokens - 1];
}

/* First block of which a position >= n_tokens sees anything: by asking for each position. */
static uint32_t m_first(const struct rig *rig, uint32_t g, uint32_t n_tokens)
{
    uint32_t window = rig->o.groups[g].window_tokens;
    uint32_t p = 0;
    while (window > 0 && p + window <= n_tokens)
        p++;
    return p / rig->o.block_tokens;
}

static bool m_has_prefix(const struct model *m, const struct rig *rig, const struct rig_seq *seq,
                         uint32_t n)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++)
        for (uint32_t j = m_first(rig, g, n * rig->o.block_tokens); j < n; j++)
            if (m_find(m, rig, g, key_of(rig, seq, j)) < 0)
                return false;
    return true;
}

static uint32_t m_begin(struct model *m, const struct rig *rig, const struct rig_seq *seq,
                        struct m_seq *ms, uint32_t n_reuse_max)
{
    uint32_t n = PL_MIN(n_reuse_max, seq->n_tokens) / rig->o.block_tokens;
    while (n > 0 && !m_has_prefix(m, rig, seq, n))
        n--;
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        uint32_t first = m_first(rig, g, n * rig->o.block_tokens);
        for (uint32_t j = 0; j < n; j++) {
            ms->at[g][j] = j < first ? -1 : m_find(m, rig, g, key_of(rig, seq, j));
            if (j >= first)
                m->blocks[g][ms->at[g][j]].refs++;
        }
    }
    ms->n_blocks = n;
    return n * rig->o.block_tokens;
}

static bool m_is_shared(const struct model *m, uint32_t g, int32_t b)
{
    return m->blocks[g][b].refs > 1 || m->blocks[g][b].key != 0;
}

static bool m_grow(struct model *m, const struct rig *rig, struct m_seq *ms, uint32_t n_computed,
                   uint32_t n_tokens)
{
    uint32_t block_tokens = rig->o.block_tokens;
    uint32_t n = PL_MAX(ms->n_blocks, (n_tokens + block_tokens - 1) / block_tokens);
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        uint32_t needed = n - ms->n_blocks;
        for (uint32_t j = n_computed / block_tokens; j < ms->n_blocks; j++)
            needed += ms->at[g][j] >= 0 && m_is_shared(m, g, ms->at[g][j]);
        if (needed > m_available(m, rig, g))
            return false;
    }
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        for (uint32_t j = n_computed / block_tokens; j < ms->n_blocks; j++) {
            int32_t from = ms->at[g][j];
            if (from < 0 || !m_is_shared(m, g, from))
                continue;
            ms->at[g][j] = m_take(m, rig, g);
            m_release(m, g, from);
        }
    }
    for (uint32_t g = 0; g < rig->o.n_groups; g++)
        for (uint32_t j = ms->n_blocks; j < n; j++)
            ms->at[g][j] = m_take(m, rig, g);
    ms->n_blocks = n;
    return true;
}

static void m_commit(struct model *m, const struct rig *rig, const struct rig_seq *seq,
                     struct m_seq *ms, uint32_t n_computed)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        for (uint32_t j = 0; j < n_computed / rig->o.block_tokens && !rig->o.no_sharing; j++) {
            int32_t b = ms->at[g][j];
            if (b >= 0 && m->blocks[g][b].key == 0 && m_find(m, rig, g, key_of(rig, seq, j)) < 0 &&
                j >= seq->kv.n_indexed)
                m->blocks[g][b].key = key_of(rig, seq, j);
        }
        for (uint32_t j = 0; j < m_first(rig, g, n_computed); j++) {
            if (ms->at[g][j] >= 0)
                m_release(m, g, ms->at[g][j]);
            ms->at[g][j] = -1;
        }
    }
}

static void m_fork(struct model *m, const struct rig *rig, const struct m_seq *from,
                   struct m_seq *to, uint32_t n_tokens)
{
    to->n_blocks = (n_tokens + rig->o.block_tokens - 1) / rig->o.block_tokens;
    for (uint32_t g = 0; g < rig->o.n_groups; g++) {
        for (uint32_t j = 0; j < to->n_blocks; j++) {
            to->at[g][j] = from->at[g][j];
            if (to->at[g][j] >= 0)
                m->blocks[g][to->at[g][j]].refs++;
        }
    }
}

static void m_end(struct model *m, const struct rig *rig, struct m_seq *ms)
{
    for (uint32_t g = 0; g < rig->o.n_groups; g++)
        for (uint32_t j = ms->n_blocks; j > 0; j--)
            if (ms->at[g][j - 1] >= 0)
                m_release(m, g, ms->at[g][j - 1]);
    ms->n_blocks = 0;
}

static void m_reset(struct model *m)
{
    for (uint32_t g = 0; g < KV_GROUPS_MAX; g++)
        for (uint32_t b = 0; b < MODEL_BLOCKS; b++)
            if (m->blocks[g][b].refs == 0)
                m->blocks[g][b].key = 0;
}

/* ---- the walk -------------------------------------------------------------------------------- */

struct walk {
    struct rig rig;
    struct rig_seq seqs[N_SEQS];
    struct model model;
    bool exact; /* the model predicts hits and refusals */
    uint64_t seed, n;
    uint64_t n_hits, n_pending, n_loading, n_refused, n_forks;
};

static uint32_t draw(struct walk *w, uint32_t below)
{
    uint32_t words[4];
    rng_philox(w->seed, w->n++, 0, words);
    return words[0] % below;
}

/* Tokens after the prefix of another sequence, of an alphabet of two: many prefixes meet again. */
static void make_prompt(struct walk *w, struct rig_seq *seq)
{
    const struct rig_seq *like = &w->seqs[draw(w, N_SEQS)];
    int32_t ids[RIG_TOKENS_MAX];
    uint32_t n_like = draw(w, 4) == 0 ? 0 : draw(w, like->n_tokens + 1);
    uint32_t scope_i = draw(w, 4) == 0 ? draw(w, 3) : like->scope_i;
    memcpy(ids, like->ids, sizeof ids);
    rig_seq_init(&w->rig, seq, scope_i);
    n_like = PL_MIN(n_like, 80u);
    for (uint32_t i = 0; i < n_like; i++)
        rig_seq_add(&w->rig, seq, ids[i]);
    for (uint32_t n = 1 + draw(w, 24); n > 0; n--)
        rig_seq_add(&w->rig, seq, (int32_t)draw(w, 2));
}

static bool is_awaited(const struct walk *w, const struct rig_seq *seq)
{
    for (uint32_t i = 0; i < N_SEQS; i++) {
        const struct rig_seq *other = &w->seqs[i];
        uint32_t n = other->n_computed / w->rig.o.block_tokens;
        if (other->kv.held && n < other->kv.n_hashes && n < seq->kv.n_hashes &&
            other->scope_i == seq->scope_i &&
            memcmp(other->ids, seq->ids,
                   (size_t)(n + 1) * w->rig.o.block_tokens * sizeof *seq->ids) == 0)
            return true;
    }
    return false;
}

static void end(struct walk *w, uint32_t i)
{
    if (w->seqs[i].kv.held)
        m_end(&w->model, &w->rig, &w->model.seqs[i]);
    kv_seq_end(w->rig.cache, &w->seqs[i].kv);
    w->seqs[i].n_computed = 0;
}

static void try_begin(struct walk *w, uint32_t i)
{
    struct rig_seq *seq = &w->seqs[i];
    uint32_t n_reuse_max = draw(w, 8) == 0 ? draw(w, seq->n_tokens) : seq->n_tokens - 1;
    uint32_t n_cached = 0;
    bool wait = draw(w, 3) != 0;
    enum kv_begin answer = rig_try_begin(&w->rig, seq, n_reuse_max, wait, &n_cached);
    assert_true(wait || answer == KV_BEGIN_OK);
    w->n_pending += answer == KV_BEGIN_PENDING;
    w->n_loading += answer == KV_BEGIN_LOADING;
    if (answer == KV_BEGIN_PENDING)
        assert_true(is_awaited(w, seq));
    if (answer != KV_BEGIN_OK)
        return;
    w->n_hits += n_cached > 0;
    if (w->exact)
        assert_int_equal(n_cached, w->rig.o.no_sharing ? 0
                                                       : m_begin(&w->model, &w->rig, seq,
                                                                 &w->model.seqs[i], n_reuse_max));
    if (w->rig.o.no_sharing)
        w->model.seqs[i].n_blocks = 0;
}

static void compute(struct walk *w, uint32_t i)
{
    struct rig_seq *seq = &w->seqs[i];
    if (seq->n_computed == seq->n_tokens && seq->n_tokens < RIG_TOKENS_MAX - 8)
        rig_seq_add(&w->rig, seq, (int32_t)draw(w, 2)); /* a token is sampled */
    uint32_t left = seq->n_tokens - seq->n_computed;
    uint32_t n = seq->n_computed + (left > 0 ? 1 + draw(w, left) : 0);
    if (n == seq->n_tokens)
        n += draw(w, 3); /* drafts, all refused */
    uint32_t n_before = seq->n_computed;
    struct m_seq *ms = &w->model.seqs[i];
    bool room = !w->exact || m_grow(&w->model, &w->rig, ms, n_before, n);
    uint32_t n_committed = PL_MIN(n, seq->n_tokens);
    if (w->exact && room) { /* n_indexed as it is before the commit */
        uint32_t indexed = PL_MIN(seq->kv.n_indexed, n_before / w->rig.o.block_tokens);
        seq->kv.n_indexed = indexed;
        m_commit(&w->model, &w->rig, seq, ms, n_committed);
    }
    bool got = rig_compute(&w->rig, seq, n);
    if (w->exact)
        assert_int_equal(got, room);
    w->n_refused += !got;
    if (!got)
        end(w, i); /* preempted */
}

static void fork_one(struct walk *w, uint32_t i)
{
    struct rig_seq *from = &w->seqs[i];
    uint32_t to_i = draw(w, N_SEQS);
    struct rig_seq *to = &w->seqs[to_i];
    if (to->kv.held || from->n_computed == 0)
        return;
    rig_seq_init(&w->rig, to, from->scope_i);
    for (uint32_t p = 0; p < from->n_computed; p++)
        rig_seq_add(&w->rig, to, from->ids[p]);
    if (!kv_seq_fork(w->rig.cache, &from->kv, &to->kv, from->n_computed))
        return;
    w->n_forks++;
    to->n_computed = from->n_computed;
    rig_check_content(&w->rig, to);
    if (w->exact)
        m_fork(&w->model, &w->rig, &w->model.seqs[i], &w->model.seqs[to_i], to->n_computed);
}

static void end_all(struct walk *w)
{
    for (uint32_t i = 0; i < N_SEQS; i++)
        end(w, i);
}

static void restart(struct walk *w)
{
    struct kv_cache_options o = w->rig.o;
    end_all(w);
    rig_close(&w->rig);
    assert_int_equal(rig_open(&w->rig, &o, NULL), PL_OK);
    rig_scramble(&w->rig);
    for (uint32_t i = 0; i < N_SEQS; i++) {
        struct rig_seq *seq = &w->seqs[i];
        int32_t ids[RIG_TOKENS_MAX];
        uint32_t n = seq->n_tokens;
        memcpy(ids, seq->ids, sizeof ids);
        rig_seq_init(&w->rig, seq, seq->scope_i); /* a disk tier's names survive, others' don't */
        for (uint32_t p = 0; p < n; p++)
            rig_seq_add(&w->rig, seq, ids[p]);
    }
}

static void step(struct walk *w)
{
    uint32_t i = draw(w, N_SEQS);
    struct rig_seq *seq = &w->seqs[i];
    uint32_t what = draw(w, 100);
    if (what == 0 && draw(w, 20) == 0) {
        kv_cache_reset(w->rig.cache);
        m_reset(&w->model);
    } else if (seq->kv.held) {
        if (what < 80)
            compute(w, i);
        else if (what < 90)
            fork_one(w, i);
        else
            end(w, i);
    } else {
        if (what < 40 || seq->n_tokens == 0)
            make_prompt(w, seq);
        try_begin(w, i);
    }
    if (draw(w, 8) == 0)
        (void)kv_cache_idle(w->rig.cache);
}

static void check_room(const struct walk *w)
{
    uint32_t n = UINT32_MAX;
    for (uint32_t g = 0; g < w->rig.o.n_groups; g++)
        n = PL_MIN(n, m_available(&w->model, &w->rig, g));
    uint32_t n_tokens = n * w->rig.o.block_tokens;
    assert_true(kv_cache_has_room(w->rig.cache, n_tokens));
    assert_false(kv_cache_has_room(w->rig.cache, n_tokens + 1));
}

struct config {
    const char *name;
    uint32_t block_tokens, n_blocks, n_groups;
    uint32_t windows[KV_GROUPS_MAX];
    bool no_sharing, fails;
    uint32_t ram_blocks, disk_blocks; /* of all groups together */
};

static void run_walk(const struct config *c, uint64_t seed)
{
    static struct walk w;
    w = (struct walk){.seed = seed};
    w.exact = c->ram_blocks == 0 && c->disk_blocks == 0 && !c->fails;
    struct kv_cache_options o = rig_options(c->block_tokens, c->n_blocks, c->n_groups, c->windows);
    char dir[64];
    uint64_t row_bytes = 0;
    for (uint32_t g = 0; g < o.n_groups; g++) {
        o.groups[g].n_blocks += g; /* groups differ in size */
        row_bytes += o.groups[g].block_bytes;
    }
    o.no_sharing = c->no_sharing;
    o.ram_bytes = c->ram_blocks * row_bytes + (c->ram_blocks > 0 ? row_bytes : 0);
    if (c->disk_blocks > 0) {
        rig_make_dir(dir);
        o.disk_dir = dir;
        o.disk_bytes = 65536 + c->disk_blocks * (row_bytes + o.n_groups * (uint64_t)192);
    }
    assert_int_equal(rig_open(&w.rig, &o, NULL), PL_OK);
    for (uint32_t i = 0; i < N_SEQS; i++)
        rig_seq_init(&w.rig, &w.seqs[i], 0);
    for (uint32_t i = 0; i < STEPS; i++) {
        if (c->fails && draw(&w, 50) == 0)
            w.rig.fail_at = w.rig.n_calls + 1 + draw(&w, 3);
        step(&w);
        struct pl_error err;
        if (kv_cache_error(w.rig.cache, &err) != PL_OK)
            end_all(&w);
        if (i % 16 == 0)
            assert_true(kv_cache_check(w.rig.cache));
        if (w.exact && i % 16 == 0)
            check_room(&w);
        if (c->disk_blocks > 0 && i % 2000 == 1000)
            restart(&w);
    }
    end_all(&w);
    struct kv_cache_stats s = rig_stats(&w.rig);
    assert_int_equal(s.blocks_held, 0);
    assert_true(kv_cache_check(w.rig.cache));
    print_message("%s: %llu hits, %llu pending, %llu loading, %llu refused, %llu forks, %llu "
                  "evicted, tokens %llu of %llu hit, %llu from RAM, %llu from disk\n",
                  c->name, (unsigned long long)w.n_hits, (unsigned long long)w.n_pending,
                  (unsigned long long)w.n_loading, (unsigned long long)w.n_refused,
                  (unsigned long long)w.n_forks, (unsigned long long)s.evicted_blocks,
                  (unsigned long long)s.hit_tokens, (unsigned long long)s.queried_tokens,
                  (unsigned long long)s.ram_hit_tokens, (unsigned long long)s.disk_hit_tokens);
    assert_int_equal(w.rig.n_logs, 0);
    assert_int_equal(s.disk_dropped, 0);
    rig_close(&w.rig);
    if (c->disk_blocks > 0)
        rig_remove_dir(dir);
}

static const struct config configs[] = {
    {.name = "one group", .block_tokens = 4, .n_blocks = 40, .n_groups = 1},
    {.name = "one group, blocks of one token", .block_tokens = 1, .n_blocks = 60, .n_groups = 1},
    {.name = "no sharing", .block_tokens = 4, .n_blocks = 40, .n_groups = 1, .no_sharing = true},
    {.name = "full and window",
     .block_tokens = 4,
     .n_blocks = 40,
     .n_groups = 2,
     .windows = {0, 9}},
    {.name = "windows of one, a block, many",
     .block_tokens = 3,
     .n_blocks = 50,
     .n_groups = 4,
     .windows = {1, 3, 1000, 17}},
    {.name = "window alone", .block_tokens = 4, .n_blocks = 20, .n_groups = 1, .windows = {8}},
    {.name = "a device that fails",
     .block_tokens = 4,
     .n_blocks = 30,
     .n_groups = 2,
     .windows = {0, 9},
     .fails = true,
     .ram_blocks = 20},
    {.name = "RAM", .block_tokens = 4, .n_blocks = 30, .n_groups = 1, .ram_blocks = 60},
    {.name = "little RAM, window",
     .block_tokens = 4,
     .n_blocks = 30,
     .n_groups = 2,
     .windows = {9, 0},
     .ram_blocks = 3},
    {.name = "disk", .block_tokens = 4, .n_blocks = 30, .n_groups = 1, .disk_blocks = 200},
    {.name = "RAM, disk, windows",
     .block_tokens = 4,
     .n_blocks = 30,
     .n_groups = 3,
     .windows = {0, 9, 30},
     .ram_blocks = 5,
     .disk_blocks = 100},
    {.name = "disk, a device that fails",
     .block_tokens = 4,
     .n_blocks = 30,
     .n_groups = 2,
     .windows = {0, 14},
     .disk_blocks = 40,
     .fails = true},
};

static void answers_as_a_slow_model_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(configs); i++)
        run_walk(&configs[i], 42 + i);
}

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_as_a_slow_model_does)};
    if (argc > 1) /* for hand: other seeds, for ever */
        for (uint64_t seed = 1000;; seed += 100)
            for (size_t i = 0; i < PL_ARRAY_LEN(configs); i++)
                run_walk(&configs[i], seed + i);
    return cmocka_run_group_tests_name("kv against a model", tests, NULL, NULL);
}
