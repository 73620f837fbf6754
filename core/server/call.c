/* See call.h: from an exchange to requests inside the engine. */
#include "call.h"

#include "call_state.h"
#include "prompts.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/banned.h"

/* A call on its way in. */
struct entry {
    struct work work; /* first: a work is its entry */
    enum request_kind kind;
    int64_t arrived_ns;
    struct hop hop; /* names point into the exchange */
    struct request request;
    bool parsed;
    struct call *call; /* NULL until its prompts are made */
};

/* ---- beside the loop or on it --------------------------------------------------------------------- */

/* A priority is a privilege: else every client would be first. */
static bool check_priority(const struct entry *e, struct api_error *error)
{
    if (e->request.priority == 0 || e->hop.trusted)
        return true;
    api_error_param(error, "priority",
                    "priority: only the gateway of this worker may set it (x-polder-hop); "
                    "leave it out or 0");
    return false;
}

/* More texts than the engine ever holds: to try again would not help. */
static bool check_texts(const struct server *server, const struct request *r,
                        struct api_error *error)
{
    uint64_t n_prompts = r->kind == REQUEST_CHAT ? 1 : r->n_prompts;
    uint64_t n_max = (uint64_t)server->info->seqs_max + server->info->queue_max;
    unsigned long long n_texts = n_prompts * r->best_of;
    if (n_texts <= n_max)
        return true;
    api_error_param(error, r->n_prompts > 1 ? "prompt" : "n",
                    "%llu texts in all, this worker holds %llu at the most", n_texts,
                    (unsigned long long)n_max);
    return false;
}

static void prepare(struct work *w)
{
    struct entry *e = (struct entry *)w;
    struct server *server = w->server;
    struct request *r = &e->request;
    e->parsed = request_parse(e->kind, w->body.data, w->body.n,
                              engine_sampling_of_model(server->engine), r, &w->error);
    if (!e->parsed || !check_priority(e, &w->error) || !check_texts(server, r, &w->error) ||
        !server_check_model(server, r->model, &w->error) ||
        !request_resolve_sampling(r, server->vocab, &w->error))
        return;
    struct call *call = call_new(server, r);
    if (call == NULL) {
        api_error_set(&w->error, 500, NULL, "out of memory");
    } else if (!prompts_make(call, r, &w->error)) {
        call_free(call);
        call = NULL;
    }
    e->call = call;
}

/* ---- loop thread ------------------------------------------------------------------------------------ */

static void set_owner(struct engine_request *to, const struct entry *e)
{
    const struct hop *hop = &e->hop;
    to->tenant = hop->tenant.n > 0 ? hop->tenant.data : NULL;
    to->tenant_bytes = hop->tenant.n;
    to->weight = hop->weight;
    to->scope = hop->org.n > 0 ? hop->org.data : NULL;
    to->scope_bytes = hop->org.n;
    to->salt = e->request.cache_salt;
    to->salt_bytes = e->request.cache_salt_bytes;
    /* The gateway's word; a client behind it may only step back. */
    to->priority = hop->has_priority ? hop->priority : (int32_t)PL_MAX(e->request.priority, 0);
    to->deadline_ns = hop->deadline_ns;
}

static struct engine_request engine_request_of(struct call_prompt *p, const struct entry *e)
{
    const struct request *request = &e->request;
    const struct call *call = p->call;
    bool echoed = request->logprobs && request->echo;
    struct engine_request to = {
        .prompt = p->ids.ids,
        .n_prompt = (uint32_t)p->ids.n,
        .max_tokens = request->has_max_tokens ? (uint32_t)request->max_tokens : 0,
        .no_generation = request->has_max_tokens && request->max_tokens == 0,
        .sampling = request->sampling,
        .stops = request->stops,
        .n_stops = request->n_stops,
        .ignore_eos = request->ignore_eos,
        .special_text = request->special_text,
        .logprobs = request->logprobs || call->n_made > call->n,
        .prompt_logprobs = echoed || request->prompt_logprobs,
        .n_logprobs = PL_MAX(request->n_logprobs, request->n_prompt_logprobs),
        .no_cache_read = echoed || request->prompt_logprobs, /* all positions are told */
        .n = call->n_made,
        .on_event = call_on_event,
        .user = p,
    };
    set_owner(&to, e);
    return to;
}

static void submit_error(struct server *server, enum pl_status status, const struct pl_error *err,
                         bool chat, struct api_error *error)
{
    const char *param = status == PL_ELIMIT ? (chat ? "messages" : "prompt") : NULL;
    char named[48];
    size_t n =
        strcspn(err->msg, ":"); /* the engine's messages about a parameter begin with its name */
    if (status == PL_EINVAL && err->msg[n] == ':' && n < sizeof named) {
        (void)snprintf(named, sizeof named, "%.*s", (int)n, err->msg);
        param = named;
    }
    server_status_error(status, err, param, error);
    if (status == PL_ELIMIT)
        error->code = "context_length_exceeded";
    if (status == PL_EBUSY) {
        error->retry_after_s = engine_retry_after_s(server->engine);
        server->metrics.queue_full++;
    }
}

static bool submit_all(struct call *call, const struct entry *e, struct api_error *error)
{
    struct server *server = call->server;
    struct metrics *m = &server->metrics;
    for (uint32_t i = 0; i < call->n_prompts; i++) {
        struct call_prompt *p = &call->prompts[i];
        struct engine_request engine_request = engine_request_of(p, e);
        struct pl_error err = {0};
        uint64_t id = 0;
        enum pl_status status = engine_submit(server->engine, &engine_request, &id, &err);
        if (status != PL_OK) {
            submit_error(server, status, &err, call->envelope.chat, error);
            return false;
        }
        p->engine_id = id;
        p->n_open = call->n_made;
        call->n_open += call->n_made;
        token_ids_free(&p->ids); /* the engine has its copy */
        metrics_observe(&m->n, METRICS_NUMBER, call->n);
        if (e->request.has_max_tokens)
            metrics_observe(&m->max_tokens, METRICS_COUNT, (double)e->request.max_tokens);
    }
    return true;
}

static void on_gone(void *user)
{
    struct call *call = user;
    call->x = NULL;
    call_cancel(call);
    call_free_if_over(call);
}

/* The entry's call takes its exchange and is no longer the entry's. */
static void start(struct entry *e)
{
    struct call *call = e->call;
    struct server *server = call->server;
    struct tenants *tenants = &server->metrics.tenants;
    struct api_error error = {0};
    call->x = e->work.x;
    call->arrived_ns = e->arrived_ns;
    call->tenant_row = tenants_row(tenants, e->hop.tenant.data, e->hop.tenant.n);
    e->call = NULL;
    call_link(call);
    tenants->rows[call->tenant_row].requests++;
    if (submit_all(call, e, &error)) {
        http_exchange_on_close(call->x, on_gone, call);
        return;
    }
    tenants->rows[call->tenant_row].refused++;
    call_fail(call, &error);
    call_free_if_over(call);
}

static void finish(struct work *w)
{
    struct entry *e = (struct entry *)w;
    if (w->x != NULL && w->error.status == 0 && w->server->state == SERVER_DRAINING)
        api_error_set(&w->error, 503, "shutting_down", "shutting down: no new requests");
    if (w->x != NULL && w->error.status == 0)
        start(e);
    else if (w->x != NULL)
        server_reply_error(w->x, &w->error);
    if (w->error.status == 429)
        w->server->metrics.queue_full++;
    call_free(e->call);
    if (e->parsed)
        request_deinit(&e->request);
    free(e);
}

void call_start(struct server *server, struct http_exchange *x, enum request_kind kind)
{
    struct api_error error = {0};
    struct hop hop;
    int64_t now_ns = clock_now_ns();
    if (!hop_read(&server->trust, x, now_ns, &hop, &error)) {
        server->metrics.hop_refused++;
        server_reply_error(x, &error);
        return;
    }
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        api_error_set(&error, 500, NULL, "out of memory");
        server_reply_error(x, &error);
        return;
    }
    e->work = (struct work){.server = server, .compute = prepare, .finish = finish};
    e->kind = kind;
    e->arrived_ns = now_ns;
    e->hop = hop;
    work_begin(&e->work, x);
}
