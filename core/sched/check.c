/* Invariants of the scheduler; numbered in docs/internals/sched.md. */
#include "impl.h"

#include "base/banned.h"

/* ---- trees ----------------------------------------------------------------------------------- */

struct tally {
    uint32_t n, n_blocks;
    uint64_t n_pledged;
};

static bool seq_check(const struct sched_seq *seq)
{
    if (seq->n_computed > seq->n_tokens || seq->n_tokens > seq->kv_tokens_max)
        return false;
    if (seq->state == SCHED_WAITING)
        return !seq->kv.held && seq->n_computed == 0 && seq->n_blocks == 0 && !seq->planned;
    return seq->kv.held && seq->n_blocks == seq->kv.n_blocks;
}

/* In order, without recursion: each step looks for the successor from the last. O(n log n). */
static bool tree_check(const struct sched_tree *tree, const struct sched_tenant *tenant,
                       enum sched_state state, struct tally *tally)
{
    const struct sched_seq *seq = sched_tree_last(tree);
    while (seq != NULL) {
        if (seq->tenant != tenant || seq->state != state || seq->aside || !seq_check(seq))
            return false;
        tally->n++;
        tally->n_blocks += seq->n_blocks;
        tally->n_pledged += seq->n_pledged;
        const struct sched_seq *prev = sched_tree_before(tree, seq);
        if (prev != NULL && !sched_turn_before(prev, seq))
            return false;
        seq = prev;
    }
    return true;
}

static bool tenant_check(const struct sched_tenant *t, uint32_t n_aside, uint64_t *n_pledged)
{
    struct tally waiting = {0};
    struct tally running = {0};
    if (!tree_check(&t->waiting, t, SCHED_WAITING, &waiting) ||
        !tree_check(&t->prefill, t, SCHED_PREFILL, &running) ||
        !tree_check(&t->decode, t, SCHED_DECODE, &running))
        return false;
    *n_pledged += waiting.n_pledged + running.n_pledged;
    return t->users > 0 && t->n_waiting == waiting.n + n_aside && t->n_running == running.n &&
           t->n_blocks == running.n_blocks && t->n_running + t->n_waiting > 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool plan_check(const struct sched *sched)
{
    const struct sched_plan *plan = &sched->plan;
    if (plan->n_items > sched->options.seqs_max || plan->n_rows > sched->options.rows_max ||
        plan->n_outputs > sched->options.outputs_max || plan->n_decode_rows > plan->n_rows)
        return false;
    uint32_t n_gone = 0;
    for (uint32_t i = 0; sched->open && i < plan->n_items; i++) {
        const struct sched_seq *seq = plan->items[i].seq;
        if (seq != NULL && (!seq->planned || seq->item_i != i))
            return false;
        n_gone += seq == NULL;
    }
    return !sched->open || n_gone == sched->n_gone;
}

static uint32_t count_aside(const struct sched *sched, const struct sched_tenant *tenant)
{
    uint32_t n = 0;
    for (const struct sched_seq *seq = sched->aside.first; seq != NULL; seq = seq->next)
        n += seq->tenant == tenant && seq->aside && seq->stalled && seq_check(seq);
    return n;
}

bool sched_check(const struct sched *sched)
{
    uint32_t n_waiting = 0;
    uint32_t n_running = 0;
    uint64_t n_pledged = 0;
    const struct sched_tenant *prev = NULL;
    for (const struct sched_tenant *t = sched->active; t != NULL; prev = t, t = t->next) {
        if (t->prev != prev || !tenant_check(t, count_aside(sched, t), &n_pledged))
            return false;
        n_waiting += t->n_waiting;
        n_running += t->n_running;
    }
    return n_pledged == sched->n_pledged && n_waiting == sched->n_waiting &&
           n_running == sched->running.n && n_running <= sched->options.seqs_max &&
           sched->aside.n <= sched->n_stalled && sched->n_stalled <= sched->n_waiting &&
           plan_check(sched);
}
