/* The bench of the scheduler's tests; see bench.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t h = a * UINT64_C(0x9e3779b97f4a7c15) + b;
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 29)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 32);
}

/* ---- device ---------------------------------------------------------------------------------- */

#define BLOCK_BYTES (P * sizeof(uint64_t))

static uint64_t *block_at(void *user, uint32_t group, int32_t block)
{
    const struct bench *b = user;
    return b->content[group] + (size_t)block * P;
}

static enum pl_status copy_block(void *user, uint32_t group, int32_t from, int32_t to,
                                 struct pl_error *err)
{
    struct bench *b = user;
    (void)err;
    memcpy(block_at(user, group, to), block_at(user, group, from), BLOCK_BYTES);
    b->n_copies++;
    return PL_OK;
}

static enum pl_status read_block(void *user, uint32_t group, int32_t block, void *dst,
                                 struct pl_error *err)
{
    (void)err;
    memcpy(dst, block_at(user, group, block), BLOCK_BYTES);
    return PL_OK;
}

static enum pl_status write_block(void *user, uint32_t group, int32_t block, const void *src,
                                  struct pl_error *err)
{
    (void)err;
    memcpy(block_at(user, group, block), src, BLOCK_BYTES);
    return PL_OK;
}

static void on_ready(void *user)
{
    struct bench *b = user;
    (void)sem_post(&b->ready);
}

static void open_cache(struct bench *b, const struct bench_options *o)
{
    const uint32_t n_groups = o->window > 0 ? 2 : 1;
    uint32_t n_window = o->seqs * ((o->window + o->rows + P - 1) / P + 1);
    struct kv_cache_options cache = {
        .block_tokens = P,
        .n_groups = n_groups,
        .groups = {{.n_blocks = o->n_blocks, .block_bytes = BLOCK_BYTES},
                   {.n_blocks = PL_MIN(n_window, o->n_blocks),
                    .block_bytes = BLOCK_BYTES,
                    .window_tokens = o->window}},
        .seqs_max = o->seqs,
        .grow_tokens_max = o->rows,
        .device = {.user = b, .copy = copy_block, .read = read_block, .write = write_block},
        .ram_bytes = o->n_ram_blocks * BLOCK_BYTES,
        .disk_dir = o->disk_dir,
        .disk_bytes = o->n_disk_blocks * BLOCK_BYTES,
        .on_ready = on_ready,
        .user = b,
    };
    for (uint32_t g = 0; g < n_groups; g++) {
        b->content[g] = calloc((size_t)cache.groups[g].n_blocks, BLOCK_BYTES);
        assert_non_null(b->content[g]);
    }
    struct pl_error err;
    if (kv_cache_open(&cache, &b->cache, &err) != PL_OK)
        fail_msg("%s", err.msg);
}

void bench_open(struct bench *b, const struct bench_options *options)
{
    struct bench_options o = *options;
    o.rows = o.rows != 0 ? o.rows : 64;
    o.seqs = o.seqs != 0 ? o.seqs : 8;
    o.outputs = o.outputs != 0 ? o.outputs : o.rows;
    o.tenants = o.tenants != 0 ? o.tenants : 8;
    *b = (struct bench){.window = o.window};
    assert_int_equal(sem_init(&b->ready, 0, 0), 0);
    open_cache(b, &o);
    b->options = (struct sched_options){
        .cache = b->cache,
        .rows_max = o.rows,
        .seqs_max = o.seqs,
        .outputs_max = o.outputs,
        .tenants_max = o.tenants,
        .step_target_ns = o.step_target_ns,
    };
    assert_int_equal(sched_open(&b->options, &b->sched, NULL), PL_OK);
}

void bench_close(struct bench *b)
{
    struct kv_cache_stats stats;
    kv_cache_stats(b->cache, &stats);
    assert_int_equal(stats.blocks_held, 0);
    assert_true(kv_cache_check(b->cache));
    sched_close(b->sched);
    kv_cache_close(b->cache);
    free(b->content[0]);
    free(b->content[1]);
    (void)sem_destroy(&b->ready);
}

/* ---- clients --------------------------------------------------------------------------------- */

struct client *client_of(struct sched_seq *seq)
{
    return (struct client *)(void *)seq;
}

static int32_t token(uint64_t seed, uint32_t position)
{
    return (int32_t)(mix(seed, position) & 0x3fffffff);
}

void client_open(struct bench *b, struct client *c, const struct client_options *options)
{
    const char *tenant = options->tenant != NULL ? options->tenant : "one";
    uint32_t n_goal = options->n_prompt + options->n_new;
    *c = (struct client){.seed = options->seed, .n_prompt = options->n_prompt, .n_goal = n_goal};
    c->first_step = UINT64_MAX;
    c->ids = calloc(n_goal + 8, sizeof *c->ids);
    c->storage = aligned_alloc(16, (kv_seq_bytes(b->cache, n_goal) + 15) / 16 * 16);
    assert_true(c->ids != NULL && c->storage != NULL);
    for (uint32_t i = 0; i < options->n_prompt; i++)
        c->ids[i] = token(i < options->n_shared ? options->shared : options->seed + 1000, i);
    c->seq = (struct sched_seq){
        .ids = c->ids,
        .n_tokens = options->n_prompt,
        .kv_tokens_max = n_goal - 1,
        .out_from = options->out_from != 0 ? options->out_from : SCHED_OUT_LAST,
        .priority = options->priority,
        .deadline_ns = options->deadline_ns,
        .tenant = sched_tenant_enter(b->sched, tenant, strlen(tenant),
                                     options->weight > 0 ? options->weight : 1),
    };
    assert_non_null(c->seq.tenant);
    kv_seq_init(b->cache, &c->seq.kv, c->storage, n_goal - 1, kv_scope(b->cache, "", 0, "", 0));
}

void client_close(struct bench *b, struct client *c)
{
    if (c->ids == NULL)
        return;
    if (c->seq.state != SCHED_OUTSIDE)
        sched_remove(b->sched, &c->seq);
    sched_tenant_leave(b->sched, c->seq.tenant);
    free(c->ids);
    free(c->storage);
    c->ids = NULL;
}

void client_add(struct bench *b, struct client *c)
{
    c->added_ns = b->now_ns;
    sched_add(b->sched, &c->seq, b->now_ns);
}

void client_start(struct bench *b, struct client *c, const struct client_options *options)
{
    client_open(b, c, options);
    client_add(b, c);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static uint64_t *place(struct bench *b, const struct client *c, uint32_t group, uint32_t position)
{
    const struct kv_seq *kv = &c->seq.kv;
    assert_true(position / P < kv->n_blocks && kv->blocks[group][position / P] >= 0);
    return block_at(b, group, kv->blocks[group][position / P]) + position % P;
}

/* Everything that a plan promises of an item, looked at from outside. */
static void check_item(const struct bench *b, const struct sched_item *item)
{
    const struct client *c = client_of(item->seq);
    const struct sched_seq *seq = &c->seq;
    uint32_t known_end = item->start + item->n_rows - item->n_draft;
    (void)b;
    assert_true(seq->kv.held);
    assert_int_equal(item->start, seq->n_computed);
    assert_true(known_end > item->start && known_end <= seq->n_tokens);
    assert_int_equal(item->complete, known_end == seq->n_tokens);
    assert_true(item->n_draft <= seq->n_draft);
    assert_true(item->n_draft == 0 || (item->complete && seq->state == SCHED_DECODE));
    assert_true(item->start + item->n_rows <= seq->kv_tokens_max);
    assert_true(item->start + item->n_rows <= seq->kv.n_blocks * P);
    uint32_t expected = item->n_draft;
    for (uint32_t row = item->start; row < known_end; row++)
        expected += row >= seq->out_from || row == seq->n_tokens - 1;
    assert_int_equal(item->n_outputs, expected);
}

/* An empty plan with sequences inside: all wait for the disk, which calls. */
static const struct sched_plan *next_plan(struct bench *b)
{
    const struct sched_plan *plan = sched_plan(b->sched, b->now_ns);
    struct sched_stats stats;
    sched_stats(b->sched, &stats);
    while (plan->n_items == 0 && stats.running + stats.waiting > 0) {
        struct timespec until;
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
        until.tv_sec += 10;
        assert_int_equal(stats.running, 0);
        assert_int_equal(stats.stalled, stats.waiting);
        assert_int_equal(sem_timedwait(&b->ready, &until), 0);
        b->n_waits++;
        plan = sched_plan(b->sched, b->now_ns);
    }
    return plan;
}

const struct sched_plan *bench_plan(struct bench *b)
{
    const struct sched_plan *plan = next_plan(b);
    uint32_t n_rows = 0;
    uint32_t n_outputs = 0;
    uint32_t n_decode_rows = 0;
    assert_true((b->fast && b->n_steps % 64 != 0) || sched_check(b->sched));
    for (uint32_t i = 0; i < plan->n_items; i++) {
        const struct sched_item *item = &plan->items[i];
        check_item(b, item);
        n_rows += item->n_rows;
        n_outputs += item->n_outputs;
        n_decode_rows += item->seq->state == SCHED_DECODE ? item->n_rows : 0;
        client_of(item->seq)->first_step = PL_MIN(client_of(item->seq)->first_step, b->n_steps);
    }
    assert_int_equal(n_rows, plan->n_rows);
    assert_int_equal(n_outputs, plan->n_outputs);
    assert_int_equal(n_decode_rows, plan->n_decode_rows);
    assert_true(n_rows <= b->options.rows_max && plan->n_items <= b->options.seqs_max &&
                n_outputs <= b->options.outputs_max);
    return plan;
}

/* The rows' tokens reach the device; all that stand before them, in a window's sight, must be there already. */
static void compute_item(struct bench *b, const struct sched_item *item, uint32_t group)
{
    const struct client *c = client_of(item->seq);
    uint64_t chain = 0;
    uint32_t seen_from = 0;
    if (group == 1 && item->start + 1 > b->window)
        seen_from = item->start + 1 - b->window;
    for (uint32_t i = 0; i < item->start + item->n_rows; i++) {
        chain = mix(chain, (uint64_t)(uint32_t)c->ids[i]);
        if (i >= item->start)
            *place(b, c, group, i) = chain;
        else if (i >= seen_from)
            assert_int_equal(*place(b, c, group, i), chain);
    }
}

static void guess(struct client *c)
{
    uint32_t room = c->n_goal - c->seq.n_tokens; /* tokens that it may still get */
    c->seq.n_draft = PL_MIN(c->n_draft, room > 0 ? room - 1 : 0);
    for (uint32_t i = 0; i < c->seq.n_draft; i++) {
        uint32_t at = c->seq.n_tokens + i;
        c->ids[at] = token(c->seed, at) + (mix(c->seed + 7, at) % 8 >= c->right_of8);
    }
}

static void note_token(struct bench *b, struct client *c)
{
    if (c->n_sampled == 0)
        c->first_ns = b->now_ns;
    else
        c->gap_max_ns = PL_MAX(c->gap_max_ns, b->now_ns - c->last_ns);
    c->last_ns = b->now_ns;
}

/* One token after the last known one, and those that were guessed right. */
static void sample(struct bench *b, struct client *c, uint32_t n_draft)
{
    uint32_t n = 0;
    bool right = true;
    while (right && n <= n_draft && c->n_prompt + c->n_sampled < c->n_goal) {
        uint32_t at = c->seq.n_tokens + n;
        int32_t id = token(c->seed, at);
        right = n < n_draft && c->ids[at] == id;
        c->ids[at] = id;
        note_token(b, c);
        c->n_sampled++;
        n++;
    }
    if (c->n_prompt + c->n_sampled == c->n_goal) {
        sched_remove(b->sched, &c->seq);
        c->done = true;
        return;
    }
    sched_append(b->sched, &c->seq, n);
    guess(c);
}

static void fork_client(struct bench *b, struct client *c)
{
    for (; c->n_forks > 0; c->n_forks--) {
        struct client *to = &c->forks[c->n_forks - 1];
        to->added_ns = c->added_ns;
        if (sched_fork(b->sched, &c->seq, &to->seq, b->now_ns))
            sample(b, to, 0);
        else
            client_add(b, to);
    }
}

void bench_finish(struct bench *b, const struct sched_plan *plan, int64_t took_ns)
{
    if (plan->n_items == 0)
        return;
    for (uint32_t i = 0; i < plan->n_items && !b->fast; i++)
        for (uint32_t g = 0; g < 2 && b->content[g] != NULL; g++)
            compute_item(b, &plan->items[i], g);
    b->n_steps++;
    b->n_rows += plan->n_rows;
    b->now_ns += took_ns;
    sched_commit(b->sched, took_ns);
    for (uint32_t i = 0; i < plan->n_items; i++) {
        struct client *c = client_of(plan->items[i].seq);
        if (!plan->items[i].complete)
            continue;
        fork_client(b, c);
        sample(b, c, plan->items[i].n_draft);
    }
    assert_true(b->fast || sched_check(b->sched));
}

const struct sched_plan *bench_step(struct bench *b)
{
    const struct sched_plan *plan = bench_plan(b);
    bench_finish(b, plan, 0);
    return plan;
}
