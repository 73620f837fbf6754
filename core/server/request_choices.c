/* See request_choices.h. */
#include "request_choices.h"

#include "server_limits.h"

#include <json-c/json.h>

#include "base/banned.h"

static void parse_n(const struct fields *f, struct request *r)
{
    int64_t n = 1, best_of = -1;
    fields_i64(f, "n", 1, ENGINE_CHOICES_MAX, &n);
    fields_i64(f, "best_of", 1, ENGINE_CHOICES_MAX, &best_of);
    r->n = (uint32_t)n;
    r->best_of = best_of < 0 ? r->n : (uint32_t)best_of;
    if (best_of < 0)
        return;
    if (r->kind == REQUEST_CHAT && best_of > 1)
        fields_fail(f, "best_of", "chats don't have it, got %lld", (long long)best_of);
    else if (best_of < n)
        fields_fail(f, "best_of", "must be at least n, which is %lld, got %lld", (long long)n,
                    (long long)best_of);
    else if (best_of > n && r->stream)
        fields_fail(f, "best_of", "more than n cannot be streamed: the best is known at the end");
}

static void parse_logprobs(const struct fields *f, struct request *r)
{
    int64_t n = -1;
    if (r->kind == REQUEST_COMPLETION) {
        fields_i64(f, "logprobs", 0, ENGINE_LOGPROBS_MAX, &n);
        r->logprobs = n >= 0;
    } else {
        fields_bool(f, "logprobs", &r->logprobs);
        fields_i64(f, "top_logprobs", 0, ENGINE_LOGPROBS_MAX, &n);
        if (n >= 0 && !r->logprobs)
            fields_fail(f, "top_logprobs", "needs logprobs: true");
    }
    r->n_logprobs = (uint32_t)PL_MAX(n, 0);
}

static void parse_prompt_logprobs(const struct fields *f, struct request *r)
{
    int64_t n = -1;
    fields_i64(f, "prompt_logprobs", 0, ENGINE_LOGPROBS_MAX, &n);
    r->prompt_logprobs = n >= 0;
    r->n_prompt_logprobs = (uint32_t)PL_MAX(n, 0);
    if (r->prompt_logprobs && r->stream)
        fields_fail(f, "prompt_logprobs", "not available when stream is true");
}

static void parse_cache_salt(const struct fields *f, struct request *r)
{
    fields_string(f, "cache_salt", &r->cache_salt, &r->cache_salt_bytes);
    if (r->cache_salt == NULL)
        return;
    if (r->cache_salt_bytes == 0)
        fields_fail(f, "cache_salt", "must not be empty");
    else if (r->cache_salt_bytes > ENGINE_NAME_MAX)
        fields_fail(f, "cache_salt", "%zu bytes, at most %d", r->cache_salt_bytes, ENGINE_NAME_MAX);
}

void request_parse_choices(const struct fields *f, struct request *r)
{
    parse_n(f, r);
    parse_logprobs(f, r);
    parse_prompt_logprobs(f, r);
    fields_i64(f, "priority", INT32_MIN, INT32_MAX, &r->priority);
    parse_cache_salt(f, r);
}

void request_check_choices(const struct fields *f, const struct request *r)
{
    uint32_t n_prompts = r->kind == REQUEST_CHAT ? 1 : r->n_prompts;
    if (f->error->status == 0 && (size_t)n_prompts * r->best_of > SERVER_CHOICES_MAX)
        fields_fail(f, r->best_of > r->n ? "best_of" : "n",
                    "%u texts for each of %u prompts, at most %d texts in all", r->best_of,
                    n_prompts, SERVER_CHOICES_MAX);
}
