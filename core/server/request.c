/* See request.h. What both endpoints share: sampling, limits, stops, bias, stream; then the prompts. */
#include "request.h"

#include "request_choices.h"
#include "request_prompts.h"
#include "server_limits.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define COMPLETION_MAX_TOKENS_DEFAULT 16 /* OpenAI's */
#define MAX_TOKENS_MAX                INT32_MAX

static void add_stop(const struct fields *f, const char *name, struct json_object *value,
                     struct request *r)
{
    if (!json_object_is_type(value, json_type_string)) {
        fields_fail(f, name, "expected string%s, got %s",
                    strcmp(name, "stop") == 0 ? " or array" : "", fields_type_name(value));
        return;
    }
    const char *text = json_object_get_string(value);
    size_t n = (size_t)json_object_get_string_len(value);
    if (n > ENGINE_STOP_BYTES_MAX)
        fields_fail(f, name, "%zu bytes, at most %d", n, ENGINE_STOP_BYTES_MAX);
    else if (strlen(text) != n)
        fields_fail(f, name, "must not contain a NUL character");
    else if (n > 0) /* an empty one could never match: ignored, as some clients send it */
        r->stops[r->n_stops++] = text;
}

static void parse_stop(const struct fields *f, struct request *r)
{
    struct json_object *stop = fields_get(f, "stop");
    if (stop == NULL)
        return;
    if (!json_object_is_type(stop, json_type_array)) {
        add_stop(f, "stop", stop, r);
        return;
    }
    size_t n = json_object_array_length(stop);
    if (n > ENGINE_STOPS_MAX) {
        fields_fail(f, "stop", "%zu strings, at most %d", n, ENGINE_STOPS_MAX);
        return;
    }
    for (size_t i = 0; i < n && f->error->status == 0; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "stop[%zu]", i);
        add_stop(f, name, json_object_array_get_idx(stop, i), r);
    }
}

static void parse_limits(const struct fields *f, struct request *r)
{
    int64_t min = r->kind == REQUEST_CHAT ? 1 : 0, tokens = -1, completion = -1;
    fields_i64(f, "max_tokens", min, MAX_TOKENS_MAX, &tokens);
    fields_i64(f, "max_completion_tokens", min, MAX_TOKENS_MAX, &completion);
    r->has_max_tokens = tokens >= 0 || completion >= 0;
    r->max_tokens =
        tokens >= 0 && completion >= 0 ? PL_MIN(tokens, completion) : PL_MAX(tokens, completion);
    if (!r->has_max_tokens && r->kind == REQUEST_COMPLETION) {
        r->has_max_tokens = true;
        r->max_tokens = COMPLETION_MAX_TOKENS_DEFAULT;
    }
}

static void parse_stream(const struct fields *f, struct request *r)
{
    fields_bool(f, "stream", &r->stream);
    struct json_object *options = fields_object(f, "stream_options");
    if (options == NULL)
        return;
    if (!r->stream) {
        fields_fail(f, "stream_options", "only allowed when stream is true");
        return;
    }
    struct fields inner = {.object = options, .path = "stream_options", .error = f->error};
    fields_bool(&inner, "include_usage", &r->include_usage);
}

/* What exists in the API but not here is refused, so that nobody mistakes silence for support. */
static void refuse_unsupported(const struct fields *f, const struct request *r)
{
    const char *text = "";
    size_t n = 0;
    fields_string(f, "suffix", &text, &n);
    if (n > 0)
        fields_fail(f, "suffix", "not supported");
    struct json_object *format = fields_object(f, "response_format");
    if (format == NULL || r->kind != REQUEST_CHAT)
        return;
    struct fields inner = {.object = format, .path = "response_format", .error = f->error};
    text = "";
    fields_string(&inner, "type", &text, &n);
    if (strcmp(text, "text") != 0)
        fields_fail(&inner, "type", "only 'text' is supported, got '%.40s'", text);
}

static void parse_fields(const struct fields *f, struct request *r)
{
    size_t n = 0;
    const char *user = NULL;
    fields_string(f, "model", &r->model, &n);
    fields_string(f, "user", &user, &n);
    fields_bool(f, "ignore_eos", &r->ignore_eos);
    parse_limits(f, r);
    parse_stop(f, r);
    parse_stream(f, r);
    request_parse_choices(f, r);
    request_parse_sampling(f, r);
    refuse_unsupported(f, r);
    if (r->kind == REQUEST_CHAT) {
        request_parse_chat(f, r);
    } else {
        fields_bool(f, "echo", &r->echo);
        request_parse_prompts(f, r);
    }
    request_check_choices(f, r);
}

bool request_parse(enum request_kind kind, const char *text, size_t n,
                   const struct engine_sampling *defaults, struct request *ret,
                   struct api_error *error)
{
    struct request r = {.kind = kind, .sampling = *defaults};
    r.body = fields_parse(text, n, error);
    if (r.body == NULL)
        return false;
    struct fields f = {.object = r.body, .path = "", .error = error};
    parse_fields(&f, &r);
    if (error->status != 0) {
        request_deinit(&r);
        return false;
    }
    *ret = r;
    return true;
}

void request_deinit(struct request *request)
{
    for (uint32_t i = 0; i < request->n_prompts; i++)
        free(request->prompts[i].ids);
    free(request->prompts);
    sampling_lists_free(&request->lists);
    json_object_put(request->body);
    *request = (struct request){0};
}
