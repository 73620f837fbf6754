/* See call.h: engine events become stream chunks or the parts of one whole answer. */
#include "call_state.h"

#include <math.h>

#include "base/banned.h"

void call_cancel(struct call *call)
{
    for (uint32_t i = 0; i < call->n_prompts; i++) {
        struct call_prompt *p = &call->prompts[i];
        if (p->n_open > 0)
            engine_cancel(call->server->engine, p->engine_id);
    }
}

/* The client does not keep up, is gone, or memory is short: nothing more can be told. */
static void drop(struct call *call)
{
    http_stream_abort(call->x);
    call->x = NULL;
    call_cancel(call);
}

static bool begin_stream(struct call *call)
{
    if (call->begun)
        return true;
    char id[SERVER_REQUEST_ID_MAX + 1];
    server_request_id(call->x, id);
    struct http_header header = {"x-request-id", id};
    if (http_sse_begin(call->x, &header, 1) != PL_OK) {
        drop(call);
        return false;
    }
    call->begun = true;
    return true;
}

/* One SSE event with what is in server->scratch. */
static void send_scratch(struct call *call)
{
    struct buf *out = &call->server->scratch;
    if (call->x == NULL || !begin_stream(call))
        return;
    if (out->failed || http_sse_write(call->x, out->data, out->len) != PL_OK)
        drop(call);
}

static void send_choice(struct call *call, const struct shapes_choice *shape)
{
    if (call->x == NULL)
        return;
    struct json_writer w;
    buf_clear(&call->server->scratch);
    json_begin(&w, &call->server->scratch);
    shapes_begin(&call->envelope, &w);
    shapes_choice(&call->envelope, shape, &w);
    shapes_end(&call->envelope, NULL, NULL, &w);
    send_scratch(call);
}

/* Text of a choice goes out as a chunk, or joins the whole. */
static void put_text(struct choice *c, const char *text, size_t n)
{
    struct call *call = c->prompt->call;
    if (!call->envelope.stream) {
        buf_append(&c->text, text, n);
        return;
    }
    if (call->envelope.chat && !c->role_done) {
        c->role_done = true;
        send_choice(call, &(struct shapes_choice){.index = c->index, .role = true, .text = ""});
    }
    if (n == 0 && logprobs_empty(&c->logprobs))
        return;
    send_choice(call, &(struct shapes_choice){
                          .index = c->index,
                          .text = text,
                          .text_bytes = n,
                          .logprobs = call->logprobs ? &c->logprobs : NULL,
                      });
}

/* The prompt, with the logprobs that have gathered for it, before anything generated. */
static void put_echo(struct choice *c)
{
    struct call_prompt *p = c->prompt;
    if (c->echo_done)
        return;
    c->echo_done = true;
    if (p->echo_text == NULL)
        return;
    logprobs_continue(&c->logprobs, &p->echoed);
    put_text(c, p->echo_text, p->echo_bytes);
}

void call_on_prompt(struct call_prompt *p, const struct engine_event *event)
{
    struct call *call = p->call;
    if (call->logprobs && p->echo_text != NULL)
        logprobs_add(&p->echoed, event, call->n_top);
    if (call->prompt_logprobs)
        prompt_logprobs_add(&p->prompt_logprobs, call->server->vocab, event, call->n_prompt_top);
}

void call_on_token(struct choice *c, const struct engine_event *event)
{
    struct call *call = c->prompt->call;
    c->logprob_sum += (double)event->logprob;
    c->n_scored++;
    put_echo(c);
    if (call->logprobs)
        logprobs_add(&c->logprobs, event, call->n_top);
    put_text(c, event->text, event->text_bytes);
}

static void finish_error(struct call *call, const struct engine_event *event)
{
    struct api_error error = {0};
    const char *why = event->message != NULL ? event->message : pl_status_text(event->status);
    if (event->finish == ENGINE_FINISH_CANCEL)
        api_error_set(&error, 503, "cancelled", "the request was cancelled by the server");
    else if (event->status == PL_ETIMEDOUT)
        api_error_set(&error, 504, "deadline_exceeded", "%s", why);
    else
        api_error_set(&error, 500, NULL, "%s", why);
    call_fail(call, &error);
}

void call_on_finish(struct choice *c, const struct engine_event *event)
{
    struct call *call = c->prompt->call;
    c->prompt->prompt_tokens = event->prompt_tokens;
    c->prompt->cached_tokens = event->cached_tokens;
    c->output_tokens = event->output_tokens;
    if (call->x == NULL)
        return;
    if (event->finish != ENGINE_FINISH_STOP && event->finish != ENGINE_FINISH_LENGTH) {
        finish_error(call, event);
        return;
    }
    put_echo(c);
    put_text(c, event->text, event->text_bytes);
    c->finish_reason = event->finish == ENGINE_FINISH_STOP ? "stop" : "length";
    if (call->envelope.stream) {
        send_choice(call, &(struct shapes_choice){
                              .index = c->index,
                              .finish_reason = c->finish_reason,
                          });
    }
}

/* A prompt counts once; all texts that were made count, told or not, as OpenAI bills best_of. */
static struct shapes_usage usage_of(const struct call *call)
{
    struct shapes_usage usage = {0};
    for (uint32_t i = 0; i < call->n_prompts; i++) {
        usage.prompt_tokens += call->prompts[i].prompt_tokens;
        usage.cached_tokens += call->prompts[i].cached_tokens;
    }
    for (uint32_t i = 0; i < call->n_choices; i++)
        usage.completion_tokens += call->choices[i].output_tokens;
    return usage;
}

static void end_stream(struct call *call)
{
    static const char DONE[] = "[DONE]";
    if (call->include_usage) {
        struct shapes_usage usage = usage_of(call);
        struct json_writer w;
        buf_clear(&call->server->scratch);
        json_begin(&w, &call->server->scratch);
        shapes_begin(&call->envelope, &w);
        shapes_end(&call->envelope, &usage, NULL, &w);
        send_scratch(call);
    }
    if (call->x == NULL)
        return;
    if (http_sse_write(call->x, DONE, sizeof DONE - 1) != PL_OK) {
        drop(call);
        return;
    }
    http_stream_end(call->x);
    call->x = NULL;
}

/* Mean log-probability per token: OpenAI's measure. A text without tokens comes last. */
static double score_of(const struct choice *c)
{
    return c->n_scored > 0 ? c->logprob_sum / c->n_scored : -HUGE_VAL;
}

/* Moves the call->n best of a prompt's texts to its front, best first; of equals the earlier. */
static void pick_best(struct call *call, struct choice *choices)
{
    for (uint32_t i = 0; call->n_made > call->n && i < call->n; i++) {
        uint32_t best = i;
        for (uint32_t j = i + 1; j < call->n_made; j++) {
            if (score_of(&choices[j]) > score_of(&choices[best]))
                best = j;
        }
        struct choice picked = choices[best];
        for (uint32_t j = best; j > i; j--) /* the rest keeps its order */
            choices[j] = choices[j - 1];
        choices[i] = picked;
    }
}

static void write_choice(struct call *call, struct choice *c, uint32_t index, struct json_writer *w)
{
    bool with_prompt = call->prompt_logprobs && !call->envelope.chat;
    shapes_choice(&call->envelope,
                  &(struct shapes_choice){
                      .index = index,
                      .text = c->text.data,
                      .text_bytes = c->text.len,
                      .logprobs = call->logprobs ? &c->logprobs : NULL,
                      .finish_reason = c->finish_reason,
                      .prompt_logprobs = with_prompt ? &c->prompt->prompt_logprobs : NULL,
                  },
                  w);
    if (c->text.failed)
        w->out->failed = true;
}

static void reply_whole(struct call *call)
{
    struct shapes_usage usage = usage_of(call);
    bool with_prompt = call->prompt_logprobs && call->envelope.chat;
    struct buf out;
    struct json_writer w;
    buf_init(&out, SERVER_WHOLE_BYTES_MAX);
    json_begin(&w, &out);
    shapes_begin(&call->envelope, &w);
    for (uint32_t p = 0; p < call->n_prompts; p++) {
        struct choice *choices = &call->choices[(size_t)p * call->n_made];
        pick_best(call, choices);
        for (uint32_t i = 0; i < call->n; i++)
            write_choice(call, &choices[i], p * call->n + i, &w);
    }
    shapes_end(&call->envelope, &usage, with_prompt ? &call->prompts[0].prompt_logprobs : NULL, &w);
    server_reply_json(call->x, &out);
    call->x = NULL;
    buf_deinit(&out);
}

void call_finish_output(struct call *call)
{
    if (call->x == NULL)
        return;
    if (call->envelope.stream)
        end_stream(call);
    else
        reply_whole(call);
}

void call_fail(struct call *call, const struct api_error *error)
{
    if (call->x != NULL && !call->begun) {
        server_reply_error(call->x, error);
        call->x = NULL;
    } else if (call->x != NULL) {
        buf_clear(&call->server->scratch);
        api_error_write(error, &call->server->scratch);
        send_scratch(call);
        if (call->x != NULL)
            http_stream_end(call->x);
        call->x = NULL;
    }
    call_cancel(call);
}
