/* One step: plan, fill the device's view, run, deliver; see impl.h. */
#include "impl.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

/* The scheduler's sequences are the requests' first members. */
static struct request *request_of(struct sched_seq *seq)
{
    return (struct request *)(void *)seq;
}

_Static_assert(offsetof(struct request, seq) == 0, "request_of casts");

/* ---- the device's view ----------------------------------------------------------------------- */

static void fill_item(const struct exec_view *view, const struct sched_item *item, uint32_t seq_i,
                      uint32_t row, uint32_t output, uint32_t max_blocks)
{
    const struct request *r = request_of(item->seq);
    const struct kv_table *table = &r->seq.table;
    memcpy(view->ids + row, r->tokens + item->start, item->n_rows * sizeof *view->ids);
    for (uint32_t i = 0; i < item->n_rows; i++) {
        view->pos[row + i] = (int32_t)(item->start + i);
        view->row_seq[row + i] = (int32_t)seq_i;
    }
    view->seq_start[seq_i] = (int32_t)row;
    view->kv_len[seq_i] = (int32_t)(item->start + item->n_rows);
    for (uint32_t i = 0; i < item->n_outputs; i++)
        view->out_rows[output + i] = (int32_t)(row + item->n_rows - item->n_outputs + i);
    PL_CHECK(table->n_blocks <= max_blocks);
    memcpy(view->block_table + (size_t)seq_i * max_blocks, table->blocks,
           table->n_blocks * sizeof *table->blocks);
}

static void fill_view(const struct exec_view *view, const struct sched_plan *plan,
                      uint32_t max_blocks)
{
    uint32_t row = 0;
    uint32_t output = 0;
    for (uint32_t i = 0; i < plan->n_items; i++) {
        fill_item(view, &plan->items[i], i, row, output, max_blocks);
        row += plan->items[i].n_rows;
        output += plan->items[i].n_outputs;
    }
    view->seq_start[plan->n_items] = (int32_t)row;
}

static enum pl_status run_plan(struct engine *engine, const struct sched_plan *plan,
                               const float **ret_logits, struct pl_error *err)
{
    struct exec_view view;
    enum pl_status status = exec_begin(engine->exec, &view, err);
    if (status != PL_OK)
        return status;
    fill_view(&view, plan, exec_info(engine->exec)->max_blocks);
    status = exec_submit(engine->exec, plan->n_rows, plan->n_items, plan->n_outputs, err);
    if (status != PL_OK)
        return status;
    return exec_wait(engine->exec, ret_logits, err);
}

/* ---- results --------------------------------------------------------------------------------- */

/* Which requests of the plan were cancelled while the step ran: they get no more tokens, and are taken
 * out before the next step. */
static void mark_cancelled(struct engine *engine, const struct sched_plan *plan)
{
    pthread_mutex_lock(&engine->mutex);
    for (uint32_t i = 0; i < plan->n_items; i++)
        engine->skip[i] = request_of(plan->items[i].seq)->cancel;
    pthread_mutex_unlock(&engine->mutex);
}

/* Prompt tokens that this run computed for the first time. */
static uint32_t new_prompt_tokens(const struct sched_item *item)
{
    struct request *r = request_of(item->seq);
    uint32_t end = PL_MIN(item->start + item->n_rows, r->n_prompt);
    if (end <= r->n_prompt_seen)
        return 0;
    uint32_t n = end - r->n_prompt_seen;
    r->n_prompt_seen = end;
    return n;
}

static void deliver_item(struct engine *engine, const struct sched_item *item, const float *logits)
{
    struct request *r = request_of(item->seq);
    const size_t n_vocab = engine->n_vocab;
    if (r->prompt_logprobs && r->n_prompt_out < r->n_prompt) {
        struct pl_error err;
        for (uint32_t i = 0; i < item->n_outputs; i++) {
            enum pl_status status =
                sample_check_logits(logits + i * n_vocab, engine->n_vocab, &err);
            if (status != PL_OK) {
                deliver_finish(engine, r, ENGINE_FINISH_ERROR, status, err.msg);
                return;
            }
        }
        deliver_prompt(engine, r, logits, item->n_outputs);
    }
    if (!item->complete)
        return;
    if (r->no_generation)
        deliver_finish(engine, r, ENGINE_FINISH_LENGTH, PL_OK, NULL);
    else
        deliver_token(engine, r, logits + (item->n_outputs - 1) * n_vocab);
}

static void deliver_plan(struct engine *engine, const struct sched_plan *plan, const float *logits)
{
    for (uint32_t i = 0; i < plan->n_items; i++)
        engine->prompt_tokens += new_prompt_tokens(&plan->items[i]);
    mark_cancelled(engine, plan);
    for (uint32_t i = 0; i < plan->n_items; i++) {
        if (!engine->skip[i])
            deliver_item(engine, &plan->items[i], logits);
        logits += (size_t)plan->items[i].n_outputs * engine->n_vocab;
    }
}

/* The device failed: every running request ends; those that wait may have better luck. */
static void fail_running(struct engine *engine, enum pl_status status, const char *message)
{
    while (engine->sched.running.first != NULL)
        deliver_finish(engine, request_of(engine->sched.running.first), ENGINE_FINISH_ERROR, status,
                       message);
}

void engine_step(struct engine *engine)
{
    const struct sched_plan *plan = sched_plan(&engine->sched);
    const float *logits = NULL;
    struct pl_error err = {{0}};
    engine_publish(engine);
    enum pl_status status = run_plan(engine, plan, &logits, &err);
    engine->steps++;
    if (status != PL_OK) {
        fail_running(engine, status, err.msg[0] != '\0' ? err.msg : pl_status_text(status));
        return;
    }
    sched_commit(&engine->sched);
    deliver_plan(engine, plan, logits);
}
