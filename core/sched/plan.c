/* One step: decodes, then chunks of prefills and admissions in order; see sched.h. */
#include "impl.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

/* ---- items ----------------------------------------------------------------------------------- */

/* The run of known rows from n_computed on that fits into rows and outputs; n_rows 0 if none does. */
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

static uint32_t outputs_left(const struct sched *sched)
{
    return sched->options.outputs_max - sched->plan.n_outputs;
}

static uint32_t rows_left(const struct sched *sched)
{
    return sched->options.rows_max - sched->plan.n_rows;
}

static void add_item(struct sched *sched, const struct sched_item *item)
{
    struct sched_plan *plan = &sched->plan;
    PL_CHECK(plan->n_items < sched->options.seqs_max);
    item->seq->planned = true;
    item->seq->item_i = plan->n_items;
    plan->items[plan->n_items++] = *item;
    plan->n_rows += item->n_rows;
    plan->n_outputs += item->n_outputs;
    if (item->seq->state == SCHED_DECODE)
        plan->n_decode_rows += item->n_rows;
}

void sched_unplan(struct sched *sched, struct sched_seq *seq)
{
    struct sched_plan *plan = &sched->plan;
    const struct sched_item item = plan->items[seq->item_i];
    PL_CHECK(seq->planned && item.seq == seq);
    plan->n_items--;
    plan->n_rows -= item.n_rows;
    plan->n_outputs -= item.n_outputs;
    if (seq->state == SCHED_DECODE)
        plan->n_decode_rows -= item.n_rows;
    memmove(&plan->items[seq->item_i], &plan->items[seq->item_i + 1],
            (plan->n_items - seq->item_i) * sizeof item);
    for (uint32_t i = seq->item_i; i < plan->n_items; i++)
        plan->items[i].seq->item_i = i;
    seq->planned = false;
}

/* ---- decodes --------------------------------------------------------------------------------- */

static void plan_decodes(struct sched *sched)
{
    sched->cursor = sched->running.first;
    while (sched->cursor != NULL) {
        struct sched_seq *seq = sched->cursor;
        sched->cursor = seq->next; /* preemption moves it if that one goes */
        if (seq->state != SCHED_DECODE || seq->n_computed == seq->n_tokens ||
            !sched_take_blocks(sched, seq))
            continue;
        struct sched_item item = next_run(seq, rows_left(sched), outputs_left(sched));
        PL_CHECK(item.n_rows == 1);
        add_item(sched, &item);
    }
}

/* Rows for a decode's guesses: as many as there are rows, outputs and blocks for without harm to others. */
static void add_drafts(struct sched *sched, struct sched_item *item, uint32_t n_rows_kept)
{
    struct sched_seq *seq = item->seq;
    uint32_t n_rows = rows_left(sched);
    uint32_t n = PL_MIN(seq->n_draft, seq->kv_tokens_max - seq->n_tokens);
    n = PL_MIN(n, n_rows > n_rows_kept ? n_rows - n_rows_kept : 0);
    n = PL_MIN(n, outputs_left(sched) > n_rows_kept ? outputs_left(sched) - n_rows_kept : 0);
    if (n > 0 && !kv_seq_grow(sched->options.cache, &seq->kv, seq->n_computed, seq->n_tokens + n))
        n = PL_MIN(n, seq->kv.n_blocks * sched->block_tokens - seq->n_tokens);
    sched_count_blocks(seq);
    item->n_draft = n;
    item->n_rows += n;
    item->n_outputs += n;
    sched->plan.n_rows += n;
    sched->plan.n_outputs += n;
    sched->plan.n_decode_rows += n;
}

static void plan_drafts(struct sched *sched)
{
    bool prefills = sched->n_waiting > 0;
    for (const struct sched_tenant *t = sched->active; t != NULL && !prefills; t = t->next)
        prefills = t->prefill.root != NULL;
    for (uint32_t i = 0; i < sched->plan.n_items; i++)
        if (sched->plan.items[i].seq->n_draft > 0)
            add_drafts(sched, &sched->plan.items[i], prefills ? sched->block_tokens : 0);
}

/* ---- prefills and admissions ----------------------------------------------------------------- */

/* Whose rows come next: a running prefill that isn't in the plan, or, while admission is open, one that waits. */
static struct sched_seq *next_prefill(const struct sched *sched, bool open)
{
    struct sched_seq *best = NULL;
    for (const struct sched_tenant *t = sched->active; t != NULL; t = t->next) {
        struct sched_seq *running = sched_tree_first(&t->prefill);
        struct sched_seq *waiting = NULL;
        if (open && t->closed_plan != sched->n_plans)
            waiting = sched_tree_first(&t->waiting);
        if (running != NULL && (best == NULL || sched_goes_before(running, best)))
            best = running;
        if (waiting != NULL && (best == NULL || sched_goes_before(waiting, best)))
            best = waiting;
    }
    return best;
}

/* Its next run; it is out of its tenant's tree until the plan is done. */
static void plan_prefill(struct sched *sched, struct sched_seq *seq, struct sched_list *done)
{
    struct sched_item item = next_run(seq, rows_left(sched), outputs_left(sched));
    if (item.n_rows > 0) {
        add_item(sched, &item);
        uint32_t fresh = item.start + item.n_rows > seq->n_high
                             ? item.start + item.n_rows - PL_MAX(seq->n_high, item.start)
                             : 0;
        seq->tenant->planned += SCHED_PROMPT_COST * fresh / seq->tenant->weight;
    }
    sched_tree_remove(&seq->tenant->prefill, seq);
    seq->links[SCHED_BY_TURN].left = done->first;
    done->first = seq;
}

static void plan_prefills(struct sched *sched)
{
    struct sched_list done = {0};
    bool open = !sched->pressed;
    uint32_t n_stalls = 0;
    while (rows_left(sched) > 0 && outputs_left(sched) > 0) {
        struct sched_seq *seq = next_prefill(sched, open);
        if (seq == NULL)
            break;
        if (seq->state == SCHED_WAITING) {
            enum sched_admit got = sched_admit(sched, seq);
            n_stalls += got == SCHED_STALLED;
            if (got == SCHED_BLOCKED || n_stalls > SCHED_TRIALS_MAX)
                open = false;
            if (got != SCHED_ADMITTED)
                continue;
        }
        plan_prefill(sched, seq, &done);
    }
    while (done.first != NULL) {
        struct sched_seq *seq = done.first;
        done.first = seq->links[SCHED_BY_TURN].left;
        sched_tree_insert(&seq->tenant->prefill, seq);
    }
}

/* ---- plan ------------------------------------------------------------------------------------ */

static void begin_plan(struct sched *sched, int64_t now_ns)
{
    PL_CHECK(!sched->open || sched->n_gone == sched->plan.n_items);
    sched->plan = (struct sched_plan){.items = sched->plan.items};
    sched->open = false;
    sched->n_gone = 0;
    sched->n_plans++;
    sched->now_ns = now_ns;
    sched->pressed = false;
    for (struct sched_tenant *t = sched->active; t != NULL; t = t->next)
        t->planned = 0;
}

const struct sched_plan *sched_plan(struct sched *sched, int64_t now_ns)
{
    begin_plan(sched, now_ns);
    plan_decodes(sched);
    plan_drafts(sched);
    sched_recall(sched);
    plan_prefills(sched);
    if (sched->plan.n_items == 0 && sched->pressed) {
        /* Nobody is left who could be harmed by an admission. */
        begin_plan(sched, now_ns);
        plan_prefills(sched);
    }
    sched->open = sched->plan.n_items > 0;
    return &sched->plan;
}
