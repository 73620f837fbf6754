/* One step: plan, guess, fill the device's view, submit; then wait, commit, deliver. See impl.h. */
#include "impl.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/banned.h"

/* The scheduler's sequences are the choices' first members. */
static struct choice *choice_of(struct sched_seq *seq)
{
    return (struct choice *)(void *)seq;
}

_Static_assert(offsetof(struct choice, seq) == 0, "choice_of casts");

/* ---- the device's view ----------------------------------------------------------------------- */

void engine_fill_blocks(const struct exec_view *view, const struct kv_seq *kv, uint32_t seq_i,
                        const struct exec_info *info)
{
    PL_CHECK(kv->n_blocks <= info->max_blocks);
    for (uint32_t g = 0; g < info->n_groups; g++) {
        int32_t *row = view->block_tables[g] + (size_t)seq_i * info->max_blocks;
        uint32_t first = kv->n_first[g];
        memset(row, 0, first * sizeof *row); /* given back: never read */
        memcpy(row + first, kv->blocks[g] + first, (kv->n_blocks - first) * sizeof *row);
    }
}

static void fill_item(const struct exec_view *view, const struct sched_item *item, uint32_t seq_i,
                      uint32_t row, uint32_t output, const struct exec_info *info)
{
    const struct choice *c = choice_of(item->seq);
    memcpy(view->ids + row, c->tokens + item->start, item->n_rows * sizeof *view->ids);
    for (uint32_t i = 0; i < item->n_rows; i++) {
        view->pos[row + i] = (int32_t)(item->start + i);
        view->row_seq[row + i] = (int32_t)seq_i;
    }
    view->seq_start[seq_i] = (int32_t)row;
    view->kv_len[seq_i] = (int32_t)(item->start + item->n_rows);
    for (uint32_t i = 0; i < item->n_outputs; i++)
        view->out_rows[output + i] = (int32_t)(row + item->n_rows - item->n_outputs + i);
    engine_fill_blocks(view, &c->seq.kv, seq_i, info);
}

static void fill_view(const struct exec_view *view, const struct sched_plan *plan,
                      const struct exec_info *info)
{
    uint32_t row = 0;
    uint32_t output = 0;
    for (uint32_t i = 0; i < plan->n_items; i++) {
        fill_item(view, &plan->items[i], i, row, output, info);
        row += plan->items[i].n_rows;
        output += plan->items[i].n_outputs;
    }
    view->seq_start[plan->n_items] = (int32_t)row;
}

static enum pl_status submit(struct engine *engine, const struct sched_plan *plan,
                             struct pl_error *err)
{
    struct exec_view view;
    enum pl_status status = kv_cache_error(engine->cache, err);
    if (status == PL_OK)
        status = exec_begin(engine->exec, &view, err);
    if (status != PL_OK)
        return status;
    fill_view(&view, plan, exec_info(engine->exec));
    return exec_submit(engine->exec, plan->n_rows, plan->n_items, plan->n_outputs, err);
}

/* The device failed: every running request ends; those that wait may have better luck. */
static void fail_running(struct engine *engine, enum pl_status status, const struct pl_error *err)
{
    const char *message = err->msg[0] != '\0' ? err->msg : pl_status_text(status);
    struct sched_seq *seq;
    while ((seq = sched_first_running(engine->sched)) != NULL) {
        struct choice *c = choice_of(seq);
        if (c->request->forked)
            deliver_finish(engine, c, ENGINE_FINISH_ERROR, status, message);
        else
            deliver_finish_all(engine, c->request, ENGINE_FINISH_ERROR, status, message);
    }
}

/* ---- results --------------------------------------------------------------------------------- */

/* Which requests of the plan were cancelled while the step ran: they get no more tokens, and are taken
 * out before the next step. */
static void mark_cancelled(struct engine *engine, const struct sched_plan *plan)
{
    pthread_mutex_lock(&engine->mutex);
    for (uint32_t i = 0; i < plan->n_items; i++)
        engine->skip[i] = choice_of(plan->items[i].seq)->request->cancel;
    pthread_mutex_unlock(&engine->mutex);
}

/* Prompt tokens that this run computed for the first time. */
static uint32_t new_prompt_tokens(const struct sched_item *item)
{
    struct request *r = choice_of(item->seq)->request;
    uint32_t end = PL_MIN(item->start + item->n_rows, r->n_prompt);
    uint32_t seen = PL_MAX(r->n_prompt_seen, item->start); /* before start: found in the cache */
    if (end <= seen)
        return 0;
    r->n_prompt_seen = end;
    return end - seen;
}

/* What is told of a request's way, at its first rows. */
static void note_admission(const struct sched_item *item)
{
    struct choice *c = choice_of(item->seq);
    if (c->index == 0 && c->request->admitted_ns == 0) {
        c->request->admitted_ns = item->seq->admitted_ns;
        c->request->n_cached = PL_MIN(item->seq->n_cached, c->request->n_prompt);
        for (uint32_t i = 0; i < c->request->n_choices; i++)
            c->request->choices[i].seq.no_reuse =
                false; /* what it computed itself it may find again */
    }
}

/* False if the logits of prompt rows were broken: the request has ended then. */
static bool deliver_prompt_rows(struct engine *engine, const struct sched_item *item,
                                const float *logits)
{
    struct choice *c = choice_of(item->seq);
    struct pl_error err;
    for (uint32_t i = 0; i < item->n_outputs; i++) {
        enum pl_status status =
            sample_check_logits(logits + (size_t)i * engine->n_vocab, engine->n_vocab, &err);
        if (status != PL_OK) {
            deliver_finish_all(engine, c->request, ENGINE_FINISH_ERROR, status, err.msg);
            return false;
        }
    }
    deliver_prompt(engine, c, logits, item->n_outputs);
    return true;
}

/* Guesses for the next step, behind the known tokens; the scheduler takes as many as fit. */
static void guess(struct engine *engine, struct choice *c)
{
    if (engine->draft_max == 0)
        return;
    struct sched_stats stats;
    sched_stats(engine->sched, &stats);
    uint32_t n_room = c->request->n_limit - c->seq.n_tokens; /* >= 1: one token is sampled anyway */
    uint32_t n_max = PL_MIN(engine->draft_max, n_room - 1);
    double step_ns = stats.step_fixed_ns + stats.step_decode_ns * stats.running;
    uint32_t n = ngram_budget(&c->ngram, stats.running, step_ns, stats.step_decode_ns, n_max);
    c->seq.n_draft =
        ngram_guess(&c->ngram, c->tokens, c->seq.n_tokens, n, c->tokens + c->seq.n_tokens);
}

static void append(struct engine *engine, struct choice *c, uint32_t n)
{
    sched_append(engine->sched, &c->seq, n);
    guess(engine, c);
}

/* The prompt is computed: the other choices start from it and sample from the same row. One without a seat or a
 * block waits; it will find the prompt in the cache. */
static void fork_choices(struct engine *engine, struct request *r, const float *logits)
{
    r->forked = true;
    int64_t now_ns = clock_now_ns();
    struct sched_seq *first = &r->choices[0].seq;
    uint32_t n_forked = 1;
    /* All forks before the first token: a choice that ends takes its blocks along. */
    for (uint32_t i = 1; i < r->n_choices; i++) {
        if (n_forked == i && sched_fork(engine->sched, first, &r->choices[i].seq, now_ns))
            n_forked++;
        else
            sched_add(engine->sched, &r->choices[i].seq, now_ns);
    }
    for (uint32_t i = 1; i < n_forked; i++) {
        int32_t id;
        /* The first choice is still open, so that r is. */
        if (deliver_token(engine, &r->choices[i], logits, &id))
            append(engine, &r->choices[i], 1);
    }
}

/* The next token, and further ones as long as guesses were right. logits: row of the last known token, then those of the
 * guesses. */
static void deliver_tokens(struct engine *engine, const struct sched_item *item,
                           const float *logits)
{
    struct choice *c = choice_of(item->seq);
    const int32_t *guesses =
        c->tokens + c->seq.n_tokens; /* each is overwritten by what is sampled */
    uint32_t n_right = 0;
    for (;;) {
        bool guessed = n_right < item->n_draft;
        int32_t guess = guessed ? guesses[n_right] : -1;
        int32_t id = -1;
        if (!deliver_token(engine, c, logits + (size_t)n_right * engine->n_vocab, &id))
            return;
        if (!guessed || id != guess)
            break;
        n_right++;
        c->accepted_tokens++;
        engine->counting.stats.accepted_tokens++;
    }
    if (item->n_draft > 0)
        ngram_judge(&c->ngram, item->n_draft, n_right);
    append(engine, c, n_right + 1);
}

/* A prompt that is being computed when its deadline passes is given up. */
static void end_if_late(struct engine *engine, struct request *r)
{
    int64_t deadline_ns = r->choices[0].seq.deadline_ns;
    if (deadline_ns > 0 && !r->forked && clock_now_ns() > deadline_ns)
        deliver_finish_all(engine, r, ENGINE_FINISH_ERROR, PL_ETIMEDOUT, ENGINE_LATE);
}

static void deliver_item(struct engine *engine, const struct sched_item *item, const float *logits)
{
    struct choice *c = choice_of(item->seq);
    struct request *r = c->request;
    note_admission(item);
    if (r->prompt_logprobs && c->index == 0 && r->n_prompt_out < r->n_prompt &&
        !deliver_prompt_rows(engine, item, logits))
        return;
    if (!item->complete) {
        end_if_late(engine, r);
        return;
    }
    if (r->no_generation) {
        deliver_finish_all(engine, r, ENGINE_FINISH_LENGTH, PL_OK, NULL);
        return;
    }
    /* The row of the last known token; the guesses' rows come behind it. */
    const float *row = logits + (size_t)(item->n_outputs - 1 - item->n_draft) * engine->n_vocab;
    if (!r->forked)
        fork_choices(engine, r, row);
    c->draft_tokens += item->n_draft;
    engine->counting.stats.draft_tokens += item->n_draft;
    engine->counting.stats.drafts += item->n_draft > 0;
    deliver_tokens(engine, item, row);
}

static void deliver_plan(struct engine *engine, const struct sched_plan *plan, const float *logits)
{
    struct engine_stats *stats = &engine->counting.stats;
    for (uint32_t i = 0; i < plan->n_items; i++)
        stats->prompt_tokens += new_prompt_tokens(&plan->items[i]);
    mark_cancelled(engine, plan);
    for (uint32_t i = 0; i < plan->n_items; i++) {
        if (!engine->skip[i])
            deliver_item(engine, &plan->items[i], logits);
        logits += (size_t)plan->items[i].n_outputs * engine->n_vocab;
    }
}

/* ---- the step -------------------------------------------------------------------------------- */

static void set_stalled(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stalled = true;
    pthread_mutex_unlock(&engine->mutex);
}

bool engine_step_begin(struct engine *engine)
{
    const struct sched_plan *plan = sched_plan(engine->sched, clock_now_ns());
    if (plan->n_items == 0) {
        set_stalled(engine);
        return false;
    }
    struct pl_error err = {{0}};
    engine->plan_ns = clock_now_ns(); /* a device may do the work within submit */
    enum pl_status status = submit(engine, plan, &err);
    if (status != PL_OK) {
        engine->counting.stats.steps++;
        fail_running(engine, status, &err);
        return false;
    }
    engine->plan = plan;
    return true;
}

static void count_step(struct engine *engine, const struct sched_plan *plan, int64_t took_ns)
{
    struct engine_stats *stats = &engine->counting.stats;
    uint32_t bucket = 0;
    while (bucket + 1 < ENGINE_STEP_BUCKETS && plan->n_rows > 1u << bucket)
        bucket++;
    stats->steps++;
    stats->step_counts[bucket]++;
    stats->step_ns += took_ns;
    stats->step_rows_decode += plan->n_decode_rows;
    stats->step_rows_prefill += plan->n_rows - plan->n_decode_rows;
}

void engine_step_end(struct engine *engine)
{
    const struct sched_plan *plan = engine->plan;
    const float *logits = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = exec_wait(engine->exec, &logits, &err);
    int64_t took_ns = clock_now_ns() - engine->plan_ns;
    engine->plan = NULL;
    count_step(engine, plan, took_ns);
    if (status != PL_OK) {
        fail_running(engine, status, &err);
        return;
    }
    sched_commit(engine->sched, took_ns);
    deliver_plan(engine, plan, logits);
}
