/* Sequences come, are committed, grow and leave; see sched.h for states and rules. */
#include "impl.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/banned.h"

/* ---- life ------------------------------------------------------------------------------------ */

static enum pl_status check_options(const struct sched_options *o, struct pl_error *err)
{
    if (o->seqs_max == 0 || o->seqs_max > o->rows_max || o->seqs_max > o->outputs_max)
        return pl_error_set(err, PL_EINVAL,
                            "sched: %u sequences in a step of %u rows and %u outputs", o->seqs_max,
                            o->rows_max, o->outputs_max);
    if (o->tenants_max == 0)
        return pl_error_set(err, PL_EINVAL, "sched: room for no tenant");
    return PL_OK;
}

/* P, as the cache tells it: the most tokens that take one block. */
static uint32_t block_tokens(const struct kv_cache *cache)
{
    uint32_t n = 1;
    while (n < UINT32_MAX && kv_cache_blocks_for(cache, n + 1) == 1)
        n++;
    return n;
}

enum pl_status sched_open(const struct sched_options *options, struct sched **ret,
                          struct pl_error *err)
{
    enum pl_status status = check_options(options, err);
    if (status != PL_OK)
        return status;
    struct sched *sched = calloc(1, sizeof *sched);
    if (sched != NULL) {
        sched->plan.items = calloc(options->seqs_max, sizeof *sched->plan.items);
        sched->tenants = calloc(options->tenants_max, sizeof *sched->tenants);
        sched->by_name = calloc(options->tenants_max, sizeof(struct sched_tenant *));
    }
    if (sched == NULL || sched->plan.items == NULL || sched->tenants == NULL ||
        sched->by_name == NULL) {
        sched_close(sched);
        return pl_error_set(err, PL_ENOMEM, "sched: no memory for %u sequences of %u tenants",
                            options->seqs_max, options->tenants_max);
    }
    struct kv_cache_stats stats;
    kv_cache_stats(options->cache, &stats);
    sched->options = *options;
    sched->block_tokens = block_tokens(options->cache);
    sched->n_blocks = stats.blocks_total;
    sched->deadlines.order = SCHED_BY_DEADLINE;
    sched->reserve_blocks = 1;
    sched_pace_init(&sched->pace);
    *ret = sched;
    return PL_OK;
}

void sched_close(struct sched *sched)
{
    if (sched == NULL)
        return;
    PL_CHECK(sched->running.n == 0 && sched->n_waiting == 0);
    free(sched->by_name);
    free(sched->tenants);
    free(sched->plan.items);
    free(sched);
}

enum pl_status sched_check_fit(const struct sched *sched, uint32_t kv_tokens_max,
                               struct pl_error *err)
{
    const struct kv_cache *cache = sched->options.cache;
    if (!kv_cache_fits(cache, kv_tokens_max))
        return pl_error_set(err, PL_ELIMIT,
                            "sched: a sequence of %u tokens takes %u KV blocks of %u tokens; there "
                            "are %u in all",
                            kv_tokens_max, kv_cache_blocks_for(cache, kv_tokens_max),
                            sched->block_tokens, sched->n_blocks);
    return PL_OK;
}

/* ---- come and go ----------------------------------------------------------------------------- */

static void join(struct sched *sched, struct sched_seq *seq, int64_t now_ns)
{
    PL_CHECK(seq->state == SCHED_OUTSIDE && seq->tenant != NULL);
    PL_CHECK(seq->n_tokens > 0 && seq->n_tokens <= seq->kv_tokens_max);
    PL_CHECK(kv_cache_blocks_for(sched->options.cache, seq->kv_tokens_max) <= seq->kv.n_blocks_max);
    seq->n_computed = seq->n_cached = seq->n_preemptions = 0;
    seq->added_ns = now_ns;
    seq->admitted_ns = 0;
    seq->prev = seq->next = NULL;
    seq->links[0] = seq->links[1] = (struct sched_link){0};
    seq->arrival = ++sched->n_arrivals;
    seq->due_ns = seq->deadline_ns != 0                    ? seq->deadline_ns
                  : now_ns < INT64_MAX - SCHED_PATIENCE_NS ? now_ns + SCHED_PATIENCE_NS
                                                           : INT64_MAX;
    seq->n_prompt = seq->n_tokens;
    seq->n_high = seq->n_blocks = seq->n_pledged = seq->n_since = seq->n_yields = seq->n_guessed =
        0;
    seq->stall_plans = seq->stall_pending = 0;
    seq->stalled_ns = 0;
    seq->stalled = seq->aside = seq->planned = false;
    sched_tenant_arrive(sched, seq->tenant, seq->priority);
}

void sched_add(struct sched *sched, struct sched_seq *seq, int64_t now_ns)
{
    PL_CHECK(!seq->kv.held && sched_check_fit(sched, seq->kv_tokens_max, NULL) == PL_OK);
    join(sched, seq, now_ns);
    sched_enter_waiting(sched, seq);
}

bool sched_fork(struct sched *sched, const struct sched_seq *from, struct sched_seq *to,
                int64_t now_ns)
{
    PL_CHECK(from->state == SCHED_DECODE && from->n_computed == from->n_tokens && !sched->open);
    PL_CHECK(to->state == SCHED_OUTSIDE && to->n_tokens == from->n_tokens);
    if (sched->running.n == sched->options.seqs_max ||
        !kv_seq_fork(sched->options.cache, &from->kv, &to->kv, from->n_computed))
        return false;
    join(sched, to, now_ns);
    to->admitted_ns = PL_MAX(now_ns, 1);
    to->n_computed = to->n_cached = to->n_high = to->n_tokens;
    to->state = SCHED_DECODE;
    to->tenant->n_running++;
    sched_list_append(&sched->running, to);
    sched_tree_insert(&to->tenant->decode, to);
    sched_count_blocks(sched, to);
    sched_tenant_charge(to->tenant, 0, 1);
    return true;
}

void sched_append(struct sched *sched, struct sched_seq *seq, uint32_t n)
{
    PL_CHECK(seq->state == SCHED_DECODE && seq->n_computed == seq->n_tokens);
    PL_CHECK(n > 0 && n - 1 <= seq->n_guessed && n <= seq->kv_tokens_max - seq->n_tokens);
    seq->n_tokens += n;
    seq->n_guessed = 0;
    if (n == 1)
        return;
    seq->n_computed += n - 1;
    seq->n_high = PL_MAX(seq->n_high, seq->n_computed);
    seq->n_since += n - 1;
    sched_tenant_charge(seq->tenant, 0, n - 1);
    kv_seq_commit(sched->options.cache, &seq->kv, seq->ids, seq->n_computed);
}

void sched_remove(struct sched *sched, struct sched_seq *seq)
{
    struct sched_tenant *tenant = seq->tenant;
    PL_CHECK(seq->state != SCHED_OUTSIDE);
    if (seq->planned) {
        sched->plan.items[seq->item_i].seq = NULL;
        sched->n_gone++;
        seq->planned = false;
    }
    if (seq->state == SCHED_WAITING) {
        sched_leave_waiting(sched, seq);
    } else {
        sched_tree_remove(sched_tree_of(seq), seq);
        sched_list_unlink(&sched->running, seq);
        sched_release(sched, seq);
        tenant->n_running--;
    }
    seq->state = SCHED_OUTSIDE;
    sched_tenant_depart(sched, tenant);
}

/* ---- commit ---------------------------------------------------------------------------------- */

static void commit_item(struct sched *sched, const struct sched_item *item)
{
    struct sched_seq *seq = item->seq;
    uint32_t end = item->start + item->n_rows - item->n_draft;
    uint32_t again = PL_MIN(end, PL_MAX(seq->n_high, item->start)) - item->start;
    uint32_t fresh_from = PL_MAX(seq->n_high, item->start);
    uint32_t fresh_to = PL_MIN(end, seq->n_prompt);
    sched->recomputed_tokens += again;
    sched_tenant_charge(seq->tenant, fresh_to > fresh_from ? fresh_to - fresh_from : 0,
                        item->complete);
    seq->n_computed = end;
    seq->n_high = PL_MAX(seq->n_high, end);
    seq->n_since += item->n_rows - item->n_draft;
    seq->n_guessed = item->n_draft;
    seq->n_draft = 0;
    seq->planned = false;
    kv_seq_commit(sched->options.cache, &seq->kv, seq->ids, seq->n_computed);
    sched_count_blocks(sched, seq);
    if (seq->state == SCHED_PREFILL && item->complete) {
        sched_tree_remove(&seq->tenant->prefill, seq);
        seq->state = SCHED_DECODE;
        sched_tree_insert(&seq->tenant->decode, seq);
    }
}

void sched_commit(struct sched *sched, int64_t took_ns)
{
    PL_CHECK(sched->open);
    sched->open = false;
    sched_pace_learn(&sched->pace, &sched->load, took_ns);
    for (uint32_t i = 0; i < sched->plan.n_items; i++)
        if (sched->plan.items[i].seq != NULL)
            commit_item(sched, &sched->plan.items[i]);
    for (struct sched_tenant *t = sched->active; t != NULL; t = t->next)
        t->planned = 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

struct sched_seq *sched_expired(struct sched *sched, int64_t now_ns)
{
    struct sched_seq *seq = sched_tree_first(&sched->deadlines);
    return seq != NULL && seq->deadline_ns < now_ns ? seq : NULL;
}

struct sched_seq *sched_first_running(const struct sched *sched)
{
    return sched->running.first;
}

void sched_stats(const struct sched *sched, struct sched_stats *ret)
{
    *ret = (struct sched_stats){
        .running = sched->running.n,
        .waiting = sched->n_waiting,
        .stalled = sched->n_stalled,
        .preemptions = sched->n_preemptions,
        .preempted_tokens = sched->preempted_tokens,
        .recomputed_tokens = sched->recomputed_tokens,
        .chunk_rows = sched->chunk_rows,
    };
    sched_pace_stats(&sched->pace, &sched->load, ret);
}
