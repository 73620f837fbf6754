/* One step: decodes, then chunks of prefills and admissions in order; see sched.h. */
#include "impl.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

/* Chunks may take that much of the time of the decodes beside them: less than 1 keeps the promise to double it at
 * the most where the device's time varies. */
#define CHUNK_SHARE 0.7

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
            !sched_take_blocks(sched, seq, seq->n_tokens))
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
    sched_count_blocks(sched, seq);
    item->n_draft = n;
    item->n_rows += n;
    item->n_outputs += n;
    sched->plan.n_rows += n;
    sched->plan.n_outputs += n;
    sched->plan.n_decode_rows += n;
}

static struct sched_load load_of(const struct sched_plan *plan)
{
    struct sched_load load = {.decode_rows = plan->n_decode_rows};
    for (uint32_t i = 0; i < plan->n_items; i++) {
        const struct sched_item *item = &plan->items[i];
        if (item->seq->state == SCHED_DECODE) {
            load.decode_kv += item->start;
        } else {
            load.prefill_rows += item->n_rows;
            load.prefill_pairs += item->n_rows * (item->start + 0.5 * item->n_rows);
        }
    }
    return load;
}

/* Drafts behind the decodes, and what all these rows have to do. */
static void plan_drafts(struct sched *sched)
{
    bool prefills = sched->n_waiting > 0;
    for (const struct sched_tenant *t = sched->active; t != NULL && !prefills; t = t->next)
        prefills = t->prefill.root != NULL;
    for (uint32_t i = 0; i < sched->plan.n_items; i++)
        if (sched->plan.items[i].seq->n_draft > 0)
            add_drafts(sched, &sched->plan.items[i], prefills ? sched->block_tokens : 0);
    sched->load = load_of(&sched->plan);
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

/* The part of a step that is left for chunks. */
struct chunk {
    bool timed;      /* false: rows_max alone bounds it */
    double ns_left;  /* if timed */
    uint32_t n_rows; /* planned */
    struct sched_list
        done; /* by links: sequences that are out of their tenants' trees until the plan is done */
};

static struct chunk open_chunk(const struct sched *sched)
{
    struct chunk chunk = {0};
    chunk.timed = sched->load.decode_rows > 0 && sched_pace_known(&sched->pace);
    if (!chunk.timed)
        return chunk;
    double decodes_ns = sched_pace_ns(&sched->pace, &sched->load);
    double target_ns = (double)sched->options.step_target_ns;
    chunk.ns_left = target_ns > 0 ? target_ns - decodes_ns
                                  : CHUNK_SHARE * sched_pace_trim(&sched->pace) * decodes_ns;
    return chunk;
}

/* Rows that the sequence may have: by time, but a block's worth of progress in each step. */
static uint32_t rows_for(const struct sched *sched, const struct chunk *chunk,
                         const struct sched_seq *seq)
{
    uint32_t n = rows_left(sched);
    if (!chunk->timed)
        return n;
    uint32_t least = chunk->n_rows < sched->block_tokens ? sched->block_tokens - chunk->n_rows : 0;
    uint32_t by_time = sched_pace_rows(&sched->pace, &sched->load, seq->n_computed, chunk->ns_left);
    n = PL_MIN(n, PL_MAX(by_time, least));
    /* No crumbs behind another chunk. */
    if (least == 0 && n < sched->block_tokens && n < seq->n_tokens - seq->n_computed)
        return 0;
    return n;
}

/* A run that is cut anyway is cut at a block's end, where that takes off little. */
static uint32_t align(const struct sched *sched, const struct sched_seq *seq, uint32_t n_rows)
{
    const uint32_t size = sched->block_tokens;
    if (n_rows < 4 * size || n_rows >= seq->n_tokens - seq->n_computed)
        return n_rows;
    return n_rows - (seq->n_computed + n_rows) % size;
}

static void count_chunk(struct sched *sched, struct chunk *chunk, const struct sched_item *item)
{
    struct sched_seq *seq = item->seq;
    uint32_t end = item->start + item->n_rows;
    uint32_t fresh = end > seq->n_high ? end - PL_MAX(seq->n_high, item->start) : 0;
    seq->tenant->planned += SCHED_PROMPT_COST * fresh / seq->tenant->weight;
    chunk->n_rows += item->n_rows;
    chunk->ns_left -= sched_pace_chunk_ns(&sched->pace, &sched->load, item->start, item->n_rows);
}

/* Its next run, if outputs and blocks are left for one. */
static void plan_prefill(struct sched *sched, struct sched_seq *seq, struct chunk *chunk)
{
    uint32_t n_rows = align(sched, seq, rows_for(sched, chunk, seq));
    struct sched_item item = next_run(seq, n_rows, outputs_left(sched));
    if (item.n_rows > 0 && !sched_take_blocks(sched, seq, item.start + item.n_rows))
        return; /* it was the last in order itself: it waits again */
    sched_tree_remove(&seq->tenant->prefill, seq);
    seq->links[SCHED_BY_TURN].left = chunk->done.first;
    chunk->done.first = seq;
    if (item.n_rows == 0)
        return;
    add_item(sched, &item);
    count_chunk(sched, chunk, &item);
}

static void close_chunk(struct sched *sched, struct chunk *chunk)
{
    while (chunk->done.first != NULL) {
        struct sched_seq *seq = chunk->done.first;
        chunk->done.first = seq->links[SCHED_BY_TURN].left;
        sched_tree_insert(&seq->tenant->prefill, seq);
    }
    if (sched->load.decode_rows > 0 && chunk->n_rows > 0)
        sched->chunk_rows = chunk->n_rows;
    sched->load = load_of(&sched->plan); /* some decodes may have yielded */
}

/* trials_max: how many may turn out to be stalled before admission is closed. */
static void plan_prefills(struct sched *sched, uint32_t trials_max)
{
    struct chunk chunk = open_chunk(sched);
    bool open = true;
    uint32_t n_stalls = 0;
    while (rows_left(sched) > 0) {
        struct sched_seq *seq = next_prefill(sched, open && !sched->pressed);
        if (seq == NULL)
            break;
        if (rows_for(sched, &chunk, seq) == 0)
            break;
        if (seq->state == SCHED_WAITING) {
            enum sched_admit got = sched_admit(sched, seq);
            n_stalls += got == SCHED_STALLED;
            if (got == SCHED_BLOCKED || n_stalls > trials_max)
                open = false;
            if (got != SCHED_ADMITTED)
                continue;
        }
        plan_prefill(sched, seq, &chunk);
    }
    close_chunk(sched, &chunk);
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
    sched->n_yielded = 0;
    sched->load = (struct sched_load){0};
    for (struct sched_tenant *t = sched->active; t != NULL; t = t->next)
        t->planned = 0;
}

const struct sched_plan *sched_plan(struct sched *sched, int64_t now_ns)
{
    begin_plan(sched, now_ns);
    plan_decodes(sched);
    sched_adapt_reserve(sched);
    plan_drafts(sched);
    sched_recall(sched, SCHED_TRIALS_MAX);
    plan_prefills(sched, SCHED_TRIALS_MAX);
    if (sched->plan.n_items == 0 && sched->n_waiting > 0) {
        /* Nothing runs: nobody can be harmed by an admission, and whoever might be ready is tried, for the
         * next call may come only when a further block has been read. */
        begin_plan(sched, now_ns);
        sched_recall(sched, UINT32_MAX);
        plan_prefills(sched, UINT32_MAX);
    }
    sched->open = sched->plan.n_items > 0;
    return &sched->plan;
}
