/* The step planner; see sched.h for states and rules. */
#include "sched.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/banned.h"

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_unlink(struct sched_list *list, struct sched_seq *seq)
{
    if (seq->prev != NULL)
        seq->prev->next = seq->next;
    else
        list->first = seq->next;
    if (seq->next != NULL)
        seq->next->prev = seq->prev;
    else
        list->last = seq->prev;
    seq->prev = seq->next = NULL;
    list->n--;
}

static void list_append(struct sched_list *list, struct sched_seq *seq)
{
    seq->prev = list->last;
    seq->next = NULL;
    if (list->last != NULL)
        list->last->next = seq;
    else
        list->first = seq;
    list->last = seq;
    list->n++;
}

static void list_prepend(struct sched_list *list, struct sched_seq *seq)
{
    seq->prev = NULL;
    seq->next = list->first;
    if (list->first != NULL)
        list->first->prev = seq;
    else
        list->last = seq;
    list->first = seq;
    list->n++;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum pl_status sched_init(struct sched *sched, const struct sched_options *options,
                          struct pl_error *err)
{
    if (options->seqs_max == 0 || options->seqs_max > options->rows_max ||
        options->seqs_max > options->outputs_max)
        return pl_error_set(err, PL_EINVAL,
                            "sched: %u sequences in a step of %u rows and %u outputs",
                            options->seqs_max, options->rows_max, options->outputs_max);
    struct sched_item *items = calloc(options->seqs_max, sizeof *items);
    if (items == NULL)
        return pl_error_set(err, PL_ENOMEM, "sched: no memory for %u sequences", options->seqs_max);
    *sched = (struct sched){.options = *options, .plan = {.items = items}};
    return PL_OK;
}

void sched_deinit(struct sched *sched)
{
    PL_CHECK(sched->running.n == 0 && sched->waiting.n == 0);
    free(sched->plan.items);
    *sched = (struct sched){0};
}

enum pl_status sched_check_fit(const struct sched *sched, uint32_t kv_tokens_max,
                               struct pl_error *err)
{
    const struct kv_pool *pool = sched->options.pool;
    uint32_t n = kv_blocks_for(pool, kv_tokens_max);
    if (n > pool->n_blocks)
        return pl_error_set(err, PL_ELIMIT,
                            "sched: a sequence of %u tokens takes %u KV blocks of %u tokens; there "
                            "are %u in all",
                            kv_tokens_max, n, pool->block_tokens, pool->n_blocks);
    return PL_OK;
}

void sched_add(struct sched *sched, struct sched_seq *seq)
{
    PL_CHECK(seq->state == SCHED_OUTSIDE && seq->table.n_blocks == 0);
    PL_CHECK(seq->n_tokens > 0 && seq->n_tokens <= seq->kv_tokens_max);
    PL_CHECK(kv_blocks_for(sched->options.pool, seq->kv_tokens_max) <= seq->table.n_blocks_max);
    PL_CHECK(sched_check_fit(sched, seq->kv_tokens_max, NULL) == PL_OK);
    seq->n_computed = 0;
    seq->state = SCHED_WAITING;
    list_append(&sched->waiting, seq);
}

void sched_remove(struct sched *sched, struct sched_seq *seq)
{
    PL_CHECK(seq->state != SCHED_OUTSIDE);
    list_unlink(seq->state == SCHED_WAITING ? &sched->waiting : &sched->running, seq);
    kv_table_clear(&seq->table, sched->options.pool);
    seq->state = SCHED_OUTSIDE;
}

void sched_append(struct sched *sched, struct sched_seq *seq)
{
    (void)sched;
    PL_CHECK(seq->state == SCHED_DECODE && seq->n_computed == seq->n_tokens);
    PL_CHECK(seq->n_tokens < seq->kv_tokens_max);
    seq->n_tokens++;
}

/* ---- planning -------------------------------------------------------------------------------- */

/* The run of rows from n_computed on that fits into rows and outputs; n_rows 0 if none does. */
static struct sched_item next_run(struct sched_seq *seq, uint32_t n_rows, uint32_t n_outputs)
{
    uint32_t start = seq->n_computed;
    uint32_t end = start + PL_MIN(n_rows, seq->n_tokens - start);
    /* Where logits begin: out_from, or the last known token's row. */
    uint32_t from = PL_MAX(PL_MIN(seq->out_from, seq->n_tokens - 1), start);
    if (end > from && end - from > n_outputs)
        end = from + n_outputs;
    return (struct sched_item){
        .seq = seq,
        .start = start,
        .n_rows = end - start,
        .n_outputs = end > from ? end - from : 0,
        .complete = end == seq->n_tokens,
    };
}

/* Adds the sequence's next run to the plan, if one fits. */
static void plan_run(struct sched *sched, struct sched_seq *seq)
{
    struct sched_plan *plan = &sched->plan;
    struct sched_item item = next_run(seq, sched->options.rows_max - plan->n_rows,
                                      sched->options.outputs_max - plan->n_outputs);
    if (item.n_rows == 0)
        return;
    PL_CHECK(plan->n_items < sched->options.seqs_max);
    plan->items[plan->n_items++] = item;
    plan->n_rows += item.n_rows;
    plan->n_outputs += item.n_outputs;
}

static void preempt_youngest(struct sched *sched)
{
    struct sched_seq *seq = sched->running.last;
    PL_CHECK(seq != NULL); /* a running sequence asked */
    list_unlink(&sched->running, seq);
    kv_table_clear(&seq->table, sched->options.pool);
    seq->n_computed = 0;
    seq->state = SCHED_WAITING;
    seq->n_preemptions++;
    sched->n_preemptions++;
    list_prepend(&sched->waiting, seq);
}

/* Room for all known tokens, at the cost of younger sequences; false if that was seq itself. */
static bool take_blocks(struct sched *sched, struct sched_seq *seq)
{
    while (!kv_table_grow(&seq->table, sched->options.pool, seq->n_tokens)) {
        preempt_youngest(sched);
        if (seq->state == SCHED_WAITING)
            return false;
    }
    return true;
}

static void plan_decodes(struct sched *sched)
{
    struct sched_seq *next;
    for (struct sched_seq *seq = sched->running.first; seq != NULL; seq = next) {
        /* Victims are younger than seq, so `next` is read after taking blocks. */
        if (seq->state == SCHED_DECODE) {
            if (!take_blocks(sched, seq))
                return; /* seq was the youngest left */
            plan_run(sched, seq);
        }
        next = seq->next;
    }
}

/* A waiting sequence comes in with the blocks of all its known tokens, so that a prefill never has to be
 * preempted for its own sake, and one token of room, so that it isn't thrown out by its first decode. */
static bool admit(struct sched *sched, struct sched_seq *seq)
{
    struct kv_pool *pool = sched->options.pool;
    uint32_t n_tokens = PL_MIN(seq->n_tokens + 1, seq->kv_tokens_max);
    if (kv_blocks_for(pool, n_tokens) > pool->n_free)
        return false;
    bool got = kv_table_grow(&seq->table, pool, seq->n_tokens);
    PL_CHECK(got);
    list_unlink(&sched->waiting, seq);
    list_append(&sched->running, seq);
    seq->state = SCHED_PREFILL;
    return true;
}

static void plan_admissions(struct sched *sched)
{
    const struct sched_options *o = &sched->options;
    struct sched_plan *plan = &sched->plan;
    while (sched->waiting.first != NULL && sched->running.n < o->seqs_max &&
           plan->n_rows < o->rows_max && plan->n_outputs < o->outputs_max) {
        struct sched_seq *seq = sched->waiting.first;
        if (!admit(sched, seq))
            return;
        plan_run(sched, seq);
    }
}

const struct sched_plan *sched_plan(struct sched *sched)
{
    struct sched_plan *plan = &sched->plan;
    plan->n_items = plan->n_rows = plan->n_outputs = 0;
    uint64_t n_preemptions = sched->n_preemptions;
    plan_decodes(sched);
    for (struct sched_seq *seq = sched->running.first; seq != NULL; seq = seq->next)
        if (seq->state == SCHED_PREFILL)
            plan_run(sched, seq);
    if (sched->n_preemptions == n_preemptions)
        plan_admissions(sched);
    PL_CHECK(plan->n_items > 0 || sched->running.n + sched->waiting.n == 0);
    return plan;
}

void sched_commit(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->plan.n_items; i++) {
        const struct sched_item *item = &sched->plan.items[i];
        struct sched_seq *seq = item->seq;
        seq->n_computed += item->n_rows;
        if (item->complete)
            seq->state = SCHED_DECODE;
    }
}

/* ---- self-check ------------------------------------------------------------------------------ */

static bool list_check(const struct sched_list *list, const struct kv_pool *pool, bool running)
{
    uint32_t n = 0;
    const struct sched_seq *prev = NULL;
    for (const struct sched_seq *seq = list->first; seq != NULL; prev = seq, seq = seq->next) {
        bool is_running = seq->state == SCHED_PREFILL || seq->state == SCHED_DECODE;
        if (seq->prev != prev || is_running != running || seq->n_computed > seq->n_tokens)
            return false;
        if (running ? seq->table.n_blocks < kv_blocks_for(pool, seq->n_computed)
                    : seq->table.n_blocks != 0 || seq->n_computed != 0)
            return false;
        n++;
    }
    return list->last == prev && list->n == n;
}

bool sched_check(const struct sched *sched)
{
    const struct sched_options *o = &sched->options;
    const struct sched_plan *plan = &sched->plan;
    return list_check(&sched->running, o->pool, true) &&
           list_check(&sched->waiting, o->pool, false) && sched->running.n <= o->seqs_max &&
           plan->n_items <= o->seqs_max && plan->n_rows <= o->rows_max &&
           plan->n_outputs <= o->outputs_max && kv_pool_check(o->pool);
}
