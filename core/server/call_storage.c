/* See call_state.h: the memory of a call. */
#include "call_state.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/banned.h"

static void free_prompt(struct call_prompt *p)
{
    token_ids_free(&p->ids);
    free(p->echo_text);
    logprobs_deinit(&p->echoed);
    buf_deinit(&p->prompt_logprobs);
}

static void free_choice(struct choice *c)
{
    buf_deinit(&c->text);
    logprobs_deinit(&c->logprobs);
}

static void unlink_call(struct call *call)
{
    struct server *server = call->server;
    *(call->prev != NULL ? &call->prev->next : &server->calls) = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    server->n_calls--;
}

void call_free(struct call *call)
{
    if (call == NULL)
        return;
    for (uint32_t i = 0; i < call->n_prompts; i++)
        free_prompt(&call->prompts[i]);
    for (uint32_t i = 0; i < call->n_choices; i++)
        free_choice(&call->choices[i]);
    free(call->prompts);
    free(call->choices);
    buf_deinit(&call->work);
    buf_deinit(&call->queue);
    if (call->linked)
        unlink_call(call);
    free(call);
}

static void init_parts(struct call *call)
{
    struct server *server = call->server;
    bool chat = call->envelope.chat;
    for (uint32_t i = 0; i < call->n_prompts; i++) {
        struct call_prompt *p = &call->prompts[i];
        p->call = call;
        p->index = i;
        logprobs_init(&p->echoed, server->vocab, chat, SERVER_WHOLE_BYTES_MAX);
        buf_init(&p->prompt_logprobs, SERVER_WHOLE_BYTES_MAX);
    }
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        c->prompt = &call->prompts[i / call->n_made];
        c->index = c->prompt->index * call->n + i % call->n_made;
        buf_init(&c->text, SERVER_WHOLE_BYTES_MAX);
        logprobs_init(&c->logprobs, server->vocab, chat, SERVER_WHOLE_BYTES_MAX);
    }
}

struct call *call_new(struct server *server, const struct request *request)
{
    bool chat = request->kind == REQUEST_CHAT;
    uint32_t n_prompts = chat ? 1 : request->n_prompts;
    uint32_t n_choices = n_prompts * request->best_of; /* <= SERVER_CHOICES_MAX */
    struct call *call = calloc(1, sizeof *call);
    struct call_prompt *prompts = calloc(n_prompts, sizeof *prompts);
    struct choice *choices = calloc(n_choices, sizeof *choices);
    if (call == NULL || prompts == NULL || choices == NULL) {
        free(call);
        free(prompts);
        free(choices);
        return NULL;
    }
    *call = (struct call){
        .server = server,
        .envelope = {.chat = chat,
                     .stream = request->stream,
                     .usage_null = request->include_usage,
                     .created = clock_unix_s(),
                     .model = server->names[0],
                     .fingerprint = server->fingerprint},
        .include_usage = request->include_usage,
        .logprobs = request->logprobs,
        .prompt_logprobs = request->prompt_logprobs,
        .n_top = request->n_logprobs,
        .n_prompt_top = request->n_prompt_logprobs,
        .prompts = prompts,
        .choices = choices,
        .n_prompts = n_prompts,
        .n = request->n,
        .n_made = request->best_of,
        .n_choices = n_choices,
    };
    shapes_make_id(&call->envelope);
    buf_init(&call->work, SERVER_QUEUE_BYTES_MAX);
    buf_init(&call->queue, SERVER_QUEUE_BYTES_MAX);
    init_parts(call);
    return call;
}

void call_link(struct call *call)
{
    struct server *server = call->server;
    call->next = server->calls;
    if (server->calls != NULL)
        server->calls->prev = call;
    server->calls = call;
    server->n_calls++;
    call->linked = true;
}
