/* See call.h: engine events become stream chunks or the parts of one whole answer. */
#include "call_state.h"

#include "base/banned.h"

void call_cancel(struct call *call)
{
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        if (c->engine_id != 0 && !c->finished)
            engine_cancel(call->server->engine, c->engine_id);
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
    shapes_end(&call->envelope, NULL, &w);
    send_scratch(call);
}

/* Text of a choice goes out as a chunk, or joins the whole. */
static void put_text(struct choice *c, const char *text, size_t n)
{
    struct call *call = c->call;
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
    if (c->echo_done)
        return;
    c->echo_done = true;
    if (c->echo_text != NULL)
        put_text(c, c->echo_text, c->echo_bytes);
    /* Generated text follows: control tokens are no part of it, and no leading space is dropped. */
    c->logprobs.special = false;
    c->logprobs.stream.strip_space = false;
}

void call_on_prompt(struct choice *c, const struct engine_event *event)
{
    if (c->call->logprobs && c->echo_text != NULL)
        logprobs_add(&c->logprobs, event, c->call->with_top);
}

void call_on_token(struct choice *c, const struct engine_event *event)
{
    put_echo(c);
    if (c->call->logprobs)
        logprobs_add(&c->logprobs, event, c->call->with_top);
    put_text(c, event->text, event->text_bytes);
}

static void finish_error(struct call *call, const struct engine_event *event)
{
    struct api_error error = {0};
    const char *why = event->message != NULL ? event->message : pl_status_text(event->status);
    if (event->finish == ENGINE_FINISH_CANCEL)
        api_error_set(&error, 503, "cancelled", "the request was cancelled by the server");
    else
        api_error_set(&error, 500, NULL, "%s", why);
    call_fail(call, &error);
}

void call_on_finish(struct choice *c, const struct engine_event *event)
{
    struct call *call = c->call;
    c->prompt_tokens = event->prompt_tokens;
    c->cached_tokens = event->cached_tokens;
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

static struct shapes_usage usage_of(const struct call *call)
{
    struct shapes_usage usage = {0};
    for (uint32_t i = 0; i < call->n_choices; i++) {
        usage.prompt_tokens += call->choices[i].prompt_tokens;
        usage.cached_tokens += call->choices[i].cached_tokens;
        usage.completion_tokens += call->choices[i].output_tokens;
    }
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
        shapes_end(&call->envelope, &usage, &w);
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

static void reply_whole(struct call *call)
{
    struct shapes_usage usage = usage_of(call);
    struct buf out;
    struct json_writer w;
    buf_init(&out, SERVER_WHOLE_BYTES_MAX);
    json_begin(&w, &out);
    shapes_begin(&call->envelope, &w);
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        shapes_choice(&call->envelope,
                      &(struct shapes_choice){
                          .index = c->index,
                          .text = c->text.data,
                          .text_bytes = c->text.len,
                          .logprobs = call->logprobs ? &c->logprobs : NULL,
                          .finish_reason = c->finish_reason,
                      },
                      &w);
        if (c->text.failed)
            out.failed = true;
    }
    shapes_end(&call->envelope, &usage, &w);
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
