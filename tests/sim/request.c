/*
 * One request of a client: /v1/completions with token ids, streamed, its text checked as it comes; see sim.h.
 *
 *   begin -> head -> text* -> usage -> [DONE] -> on_done
 *              \__ not 200: the body is the reason
 *
 * The chunks are read by looking for their fields: they come from our own server, whose writer puts no blanks, and the
 * words need no escapes.
 */
#include "impl.h"
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/parse.h"
#include "http/sse.h"
#include "base/banned.h"

#define EVENT_BYTES_MAX ((size_t)1 << 20)
#define HEADERS_MAX     6
#define TIMEOUT_MS                                                                                 \
    (24U * 3600 * 1000) /* of the client itself: worlds judge slowness by their own measures */

struct sim_call {
    struct sim *sim;
    struct sim_call *next, *prev;
    uint64_t id;
    struct sim_request request; /* its pointers are not ours, but for on_done's user */
    struct http_call *call;
    struct http_sse sse;
    struct buf plain; /* the body of an answer that is no stream */
    struct http_timer resume;
    struct sim_expect expect;
    char word[SIM_WORD_BYTES + 1]; /* being compared */
    uint32_t n_matched;            /* bytes of it */
    uint64_t text_bytes;
    int64_t last_ns;
    int64_t *gaps; /* [gaps_cap] */
    uint32_t gaps_cap;
    bool checked, wrong, finished, over, failed, paused;
    struct sim_answer answer;
};

const char *sim_outcome_name(enum sim_outcome outcome)
{
    static const char *const names[] = {
        [SIM_DONE] = "done",     [SIM_REFUSED] = "refused", [SIM_FAILED] = "failed",
        [SIM_BROKEN] = "broken", [SIM_HUNG_UP] = "hung up", [SIM_WRONG] = "wrong",
    };
    return (unsigned)outcome < PL_ARRAY_LEN(names) ? names[outcome] : "?";
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void free_call(struct sim_call *c)
{
    struct sim *sim = c->sim;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        sim->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    sim->n_open--;
    http_timer_cancel(sim->loop, &c->resume);
    http_sse_deinit(&c->sse);
    buf_deinit(&c->plain);
    sim_expect_deinit(&c->expect);
    free(c->gaps);
    free(c);
}

void sim_calls_free(struct sim *sim)
{
    while (sim->calls != NULL) {
        http_call_cancel(sim->calls->call);
        free_call(sim->calls);
    }
}

static void finish(struct sim_call *c, enum sim_outcome outcome)
{
    struct sim_answer *a = &c->answer;
    a->outcome = outcome;
    a->done_ns = sim_now_ns(c->sim);
    a->output_tokens = (uint32_t)(c->text_bytes / SIM_WORD_BYTES);
    a->gaps_ns = c->gaps;
    if (outcome == SIM_DONE)
        a->message[0] = '\0';
    sim_log(c->sim, "request %" PRIu64 " %s: %u in, %u cached, %u out", c->id,
            sim_outcome_name(outcome), a->prompt_tokens, a->cached_tokens, a->output_tokens);
    c->request.on_done(c->request.user, a);
    free_call(c);
}

static void say(struct sim_call *c, const char *message, size_t n)
{
    if (c->answer.message[0] == '\0')
        (void)snprintf(c->answer.message, sizeof c->answer.message, "%.*s", (int)PL_MIN(n, 400U),
                       message);
}

/* ---- text ---------------------------------------------------------------------------------------- */

static void check_text(struct sim_call *c, const char *text, size_t n)
{
    for (size_t i = 0; i < n && !c->wrong; i++) {
        if (c->n_matched == 0) {
            if ((c->text_bytes + i) / SIM_WORD_BYTES >= c->request.max_tokens) {
                c->wrong = true;
                break;
            }
            if (!sim_word_text(sim_expect_next(&c->expect), c->word))
                c->word[0] = '\0';
        }
        c->wrong = text[i] != c->word[c->n_matched];
        c->n_matched = (c->n_matched + 1) % SIM_WORD_BYTES;
    }
    if (c->wrong)
        say(c, "the text is not what follows from the prompt", 60);
}

static void note_time(struct sim_call *c)
{
    struct sim_answer *a = &c->answer;
    int64_t now_ns = sim_now_ns(c->sim);
    if (a->first_ns == 0) {
        a->first_ns = now_ns;
    } else {
        if (a->n_gaps == c->gaps_cap) {
            uint32_t cap = c->gaps_cap * 2 + 64;
            int64_t *gaps = realloc(c->gaps, cap * sizeof *gaps);
            if (gaps == NULL)
                return;
            c->gaps = gaps;
            c->gaps_cap = cap;
        }
        c->gaps[a->n_gaps++] = now_ns - c->last_ns;
    }
    c->last_ns = now_ns;
}

static void take_text(struct sim_call *c, const char *text, size_t n)
{
    note_time(c);
    if (c->checked)
        check_text(c, text, n);
    c->text_bytes += n;
    sim_log(c->sim, "request %" PRIu64 " text %.*s", c->id, (int)PL_MIN(n, 64U), text);
    uint64_t n_tokens = c->text_bytes / SIM_WORD_BYTES;
    const struct sim_request *r = &c->request;
    if (r->pause_after > 0 && n_tokens >= r->pause_after && !c->paused) {
        c->paused = true;
        http_call_pause(c->call);
        http_timer_arm_ms(c->sim->loop, &c->resume, r->pause_ms);
    }
}

static void on_resume(void *user)
{
    struct sim_call *c = user;
    http_call_resume(c->call);
}

/* ---- events -------------------------------------------------------------------------------------- */

/* What stands behind "key": in a chunk; NULL without. */
static const char *field(const char *json, const char *key)
{
    const char *at = strstr(json, key);
    return at != NULL ? at + strlen(key) : NULL;
}

static uint32_t number(const char *json, const char *key)
{
    const char *at = field(json, key);
    uint32_t value = 0;
    for (; at != NULL && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint32_t)(*at - '0');
    return value;
}

static void read_error(struct sim_call *c, const char *json)
{
    const char *message = field(json, "\"message\":\"");
    if (message != NULL)
        say(c, message, strcspn(message, "\""));
    else
        say(c, json, strlen(json));
}

static void on_event(void *user, const struct http_sse_event *event)
{
    struct sim_call *c = user;
    const char *json = event->data.data;
    if (http_slice_is(event->data, "[DONE]")) {
        c->over = true;
        return;
    }
    if (strstr(json, "\"error\":{") != NULL) {
        c->failed = true;
        read_error(c, json);
        return;
    }
    const char *text = field(json, "\"text\":\"");
    if (text != NULL && *text != '"')
        take_text(c, text, strcspn(text, "\""));
    if (strstr(json, "\"finish_reason\":\"") != NULL)
        c->finished = true;
    if (strstr(json, "\"usage\":{") != NULL) {
        c->answer.prompt_tokens = number(json, "\"prompt_tokens\":");
        c->answer.cached_tokens = number(json, "\"cached_tokens\":");
    }
}

static void on_head(void *user, const struct http_answer *answer)
{
    struct sim_call *c = user;
    struct http_slice value;
    c->answer.http_status = answer->status;
    if (http_answer_header(answer, "retry-after", &value)) {
        char text[24];
        int64_t seconds = 0;
        (void)snprintf(text, sizeof text, "%.*s", (int)PL_MIN(value.n, sizeof text - 1),
                       value.data);
        if (parse_i64(text, 0, 86400, &seconds))
            c->answer.retry_after_s = (uint32_t)seconds;
    }
}

static void on_body(void *user, const char *data, size_t n)
{
    struct sim_call *c = user;
    if (c->answer.http_status != 200)
        buf_append(&c->plain, data, n);
    else if (http_sse_feed(&c->sse, data, n) != PL_OK)
        say(c, "the event stream is malformed", 40);
    uint32_t limit = c->request.hang_up_after;
    if (limit > 0 && c->text_bytes / SIM_WORD_BYTES >= limit && !c->over) {
        http_call_cancel(c->call);
        finish(c, SIM_HUNG_UP);
    }
}

static enum sim_outcome judge(struct sim_call *c, enum pl_status status, const char *message)
{
    if (c->answer.http_status != 0 && c->answer.http_status != 200) {
        read_error(c, c->plain.data != NULL ? c->plain.data : "no reason");
        return c->answer.http_status == 429 ? SIM_REFUSED : SIM_FAILED;
    }
    if (c->wrong)
        return SIM_WRONG;
    if (c->failed)
        return SIM_FAILED;
    if (status != PL_OK) {
        say(c, message, strlen(message));
        return SIM_BROKEN;
    }
    uint32_t n_texts = PL_MAX(c->request.n, 1);
    bool whole = !c->checked || c->text_bytes == (uint64_t)c->request.max_tokens * SIM_WORD_BYTES;
    if (!c->finished || !c->over || (n_texts == 1 && !whole)) {
        say(c, "the text ends early", 40);
        return SIM_WRONG;
    }
    return SIM_DONE;
}

static void on_done(void *user, enum pl_status status, const char *message)
{
    struct sim_call *c = user;
    finish(c, judge(c, status, message));
}

/* ---- the beginning ------------------------------------------------------------------------------- */

static void put_number(struct buf *out, uint64_t value)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(out, text + at, sizeof text - at);
}

static void write_body(const struct sim_request *r, struct buf *out)
{
    buf_str(out, "{\"model\":\"sim\",\"prompt\":[");
    for (uint32_t i = 0; i < r->n_ids; i++) {
        if (i > 0)
            buf_char(out, ',');
        put_number(out, (uint64_t)r->ids[i]);
    }
    buf_printf(out,
               "],\"max_tokens\":%u,\"temperature\":%.3f,\"seed\":%" PRIu64 ",\"n\":%u,"
               "\"ignore_eos\":%s,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
               r->max_tokens, r->temperature, r->seed % 1000000007U, PL_MAX(r->n, 1),
               r->no_check ? "false" : "true");
}

struct head {
    struct http_header fields[HEADERS_MAX];
    char weight[32], priority[32], deadline[32];
    size_t n;
};

static void add_field(struct head *head, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0')
        head->fields[head->n++] = (struct http_header){.name = name, .value = value};
}

static void write_head(const struct sim_request *r, struct head *head)
{
    *head = (struct head){.n = 0};
    if (r->weight > 0)
        (void)snprintf(head->weight, sizeof head->weight, "%.6g", r->weight);
    if (r->priority != 0)
        (void)snprintf(head->priority, sizeof head->priority, "%d", r->priority);
    if (r->deadline_ms > 0)
        (void)snprintf(head->deadline, sizeof head->deadline, "%u", r->deadline_ms);
    add_field(head, "x-polder-hop", r->key);
    add_field(head, "x-polder-org", r->org);
    add_field(head, "x-polder-tenant", r->tenant);
    add_field(head, "x-polder-weight", head->weight);
    add_field(head, "x-polder-priority", head->priority);
    add_field(head, "x-polder-deadline-ms", head->deadline);
}

static enum pl_status begin_call(struct sim_call *c, struct pl_error *err)
{
    const struct sim_request *r = &c->request;
    struct buf body;
    struct head head;
    buf_init(&body, 0);
    write_body(r, &body);
    write_head(r, &head);
    const struct http_call_options options = {
        .address = r->address,
        .target = "/v1/completions",
        .headers = head.fields,
        .n_headers = head.n,
        .body = body.data,
        .body_bytes = body.len,
        .answer_bytes_max = UINT64_MAX,
        .head_timeout_ms = TIMEOUT_MS,
        .gap_timeout_ms = TIMEOUT_MS,
        .on_head = on_head,
        .on_body = on_body,
        .on_done = on_done,
        .user = c,
    };
    enum pl_status status = body.failed ? pl_error_set(err, PL_ENOMEM, "sim: no memory for a body")
                                        : http_call_begin(c->sim->client, &options, &c->call, err);
    buf_deinit(&body);
    return status;
}

static void link_call(struct sim *sim, struct sim_call *c)
{
    c->next = sim->calls;
    if (c->next != NULL)
        c->next->prev = c;
    sim->calls = c;
    sim->n_open++;
}

enum pl_status sim_request_begin(struct sim *sim, const struct sim_request *request,
                                 struct pl_error *err)
{
    if (request->address == NULL || request->n_ids == 0 || request->on_done == NULL)
        return pl_error_set(err, PL_EINVAL, "sim: a request without address, prompt or on_done");
    struct sim_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a request");
    c->sim = sim;
    c->id = sim->n_calls++;
    c->request = *request;
    c->checked = request->temperature == 0 && !request->no_check && request->n <= 1;
    c->resume = (struct http_timer){.fn = on_resume, .user = c};
    c->answer.begun_ns = sim_now_ns(sim);
    http_sse_init(&c->sse, EVENT_BYTES_MAX, on_event, c);
    buf_init(&c->plain, EVENT_BYTES_MAX);
    link_call(sim, c);
    enum pl_status status = PL_OK;
    if (c->checked &&
        !sim_expect_init(&c->expect, request->ids, request->n_ids, request->max_tokens))
        status = pl_error_set(err, PL_ENOMEM, "sim: no memory for a request");
    sim_log(sim, "request %" PRIu64 " begins: %u in, %u out", c->id, request->n_ids,
            request->max_tokens);
    if (status == PL_OK)
        status = begin_call(c, err);
    if (status != PL_OK)
        free_call(c);
    return status;
}
