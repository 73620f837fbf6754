/* See request_sampling.h: the part that needs no vocabulary. */
#include "request_sampling.h"

#include "request.h"

#include <float.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Two names for one thing are read in this order. Wider ranges than a float can bear make no sense; those of
 * the OpenAI API are kept. */
#define SAMPLING_FLOATS(X)                                                                         \
    X("temperature", temperature, 0, 2)                                                            \
    X("dynatemp_range", dynatemp_range, 0, 100)                                                    \
    X("dynatemp_exponent", dynatemp_exponent, 0, 100)                                              \
    X("top_p", top_p, 0, 1)                                                                        \
    X("min_p", min_p, 0, 1)                                                                        \
    X("typical_p", typical_p, 0, 1)                                                                \
    X("top_n_sigma", top_n_sigma, -1000, 1000)                                                     \
    X("xtc_probability", xtc_probability, 0, 1)                                                    \
    X("xtc_threshold", xtc_threshold, 0, 1)                                                        \
    X("repeat_penalty", repeat_penalty, 0.01, 10)                                                  \
    X("repetition_penalty", repeat_penalty, 0.01, 10)                                              \
    X("presence_penalty", presence_penalty, -2, 2)                                                 \
    X("frequency_penalty", frequency_penalty, -2, 2)                                               \
    X("dry_multiplier", dry_multiplier, 0, 1000)                                                   \
    X("dry_base", dry_base, 1, 1000)                                                               \
    X("mirostat_tau", mirostat_tau, 0, 1000)                                                       \
    X("mirostat_eta", mirostat_eta, 0, 1000)                                                       \
    X("adaptive_target", adaptive_target, -1000, 1)                                                \
    X("adaptive_decay", adaptive_decay, 0, 0.99)

/* ---- numbers --------------------------------------------------------------------------------- */

static void parse_floats(const struct fields *f, struct engine_sampling *s)
{
    s->adaptive_target = -1;
#define X(name, member, min, max) fields_f32(f, name, min, max, &s->member);
    SAMPLING_FLOATS(X)
#undef X
    /* 0 is "off" to the engine; to a client it means the best token only. */
    if (fields_get(f, "top_p") != NULL)
        s->top_p = PL_MAX(s->top_p, FLT_MIN);
    if (fields_get(f, "typical_p") != NULL)
        s->typical_p = PL_MAX(s->typical_p, FLT_MIN);
    s->top_n_sigma = PL_MAX(s->top_n_sigma, 0); /* llama-server writes "off" as -1 */
    s->adaptive = s->adaptive_target >= 0;
    s->adaptive_target = PL_MAX(s->adaptive_target, 0);
}

static void parse_int(const struct fields *f, const char *name, int64_t min, int32_t *ret)
{
    int64_t value = *ret;
    fields_i64(f, name, min, INT32_MAX, &value);
    *ret = (int32_t)value;
}

static void parse_ints(const struct fields *f, struct engine_sampling *s)
{
    int32_t min_keep = 0, allowed = (int32_t)s->dry_allowed_length;
    int64_t mirostat = 0;
    parse_int(f, "top_k", -1, &s->top_k);
    s->top_k = PL_MAX(s->top_k, 0); /* vLLM writes "off" as -1 */
    /* vLLM's penalty looks at the whole sequence, llama-server's at a window. */
    if (fields_get(f, "repetition_penalty") != NULL)
        s->repeat_last_n = -1;
    parse_int(f, "repeat_last_n", -1, &s->repeat_last_n);
    parse_int(f, "dry_penalty_last_n", -1, &s->dry_penalty_last_n);
    parse_int(f, "dry_allowed_length", 0, &allowed);
    parse_int(f, "min_keep", 0, &min_keep);
    fields_i64(f, "mirostat", 0, 2, &mirostat);
    s->dry_allowed_length = (uint32_t)allowed;
    s->min_keep = (uint32_t)min_keep;
    s->mirostat = (uint32_t)mirostat;
}

static void parse_seed(const struct fields *f, struct engine_sampling *s)
{
    int64_t seed = -1;
    fields_i64(f, "seed", INT64_MIN, INT64_MAX, &seed);
    s->has_seed = seed != -1; /* llama-server's "draw one" */
    s->seed = (uint64_t)seed;
}

/* ---- order of samplers ----------------------------------------------------------------------- */

#define SAMPLER_ADAPTIVE 100 /* has a name but no place of its own: it always comes last */

/* llama-server's names, its letters, and the other spellings that it takes besides '-' or nothing for '_'. */
static const struct {
    const char *name, *other;
    char letter;
    uint8_t sampler;
} SAMPLERS[] = {
    {"penalties", NULL, 'e', ENGINE_SAMPLER_PENALTIES},
    {"dry", NULL, 'd', ENGINE_SAMPLER_DRY},
    {"top_n_sigma", NULL, 's', ENGINE_SAMPLER_TOP_N_SIGMA},
    {"top_k", NULL, 'k', ENGINE_SAMPLER_TOP_K},
    {"typ_p", "typ", 'y', ENGINE_SAMPLER_TYPICAL_P},
    {"typical_p", NULL, 'y', ENGINE_SAMPLER_TYPICAL_P},
    {"top_p", "nucleus", 'p', ENGINE_SAMPLER_TOP_P},
    {"min_p", NULL, 'm', ENGINE_SAMPLER_MIN_P},
    {"xtc", NULL, 'x', ENGINE_SAMPLER_XTC},
    {"temperature", "temp", 't', ENGINE_SAMPLER_TEMPERATURE},
    {"adaptive_p", NULL, 'a', SAMPLER_ADAPTIVE},
};

/* "top_k" as "top_k", "top-k" or "topk" */
static bool spells(const char *text, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '_' && *text != '_' && *text != '-')
            continue;
        if (*text != *name && !(*name == '_' && *text == '-'))
            return false;
        text++;
    }
    return *text == '\0';
}

static void add_sampler(const struct fields *f, const char *where, uint8_t sampler,
                        struct engine_sampling *s, bool *adaptive)
{
    if (sampler == SAMPLER_ADAPTIVE)
        *adaptive = true;
    else if (s->n_samplers == ENGINE_SAMPLERS_MAX)
        fields_fail(f, where, "more than %d samplers", ENGINE_SAMPLERS_MAX);
    else
        s->samplers[s->n_samplers++] = sampler;
}

static void add_named(const struct fields *f, const char *where, struct json_object *value,
                      struct engine_sampling *s, bool *adaptive)
{
    if (!json_object_is_type(value, json_type_string)) {
        fields_fail(f, where, "expected string, got %s", fields_type_name(value));
        return;
    }
    const char *name = json_object_get_string(value);
    for (size_t i = 0; i < PL_ARRAY_LEN(SAMPLERS); i++) {
        if (spells(name, SAMPLERS[i].name) ||
            (SAMPLERS[i].other != NULL && strcmp(name, SAMPLERS[i].other) == 0)) {
            add_sampler(f, where, SAMPLERS[i].sampler, s, adaptive);
            return;
        }
    }
    fields_fail(f, where, "no sampler is called '%.40s'", name);
}

static void add_letters(const struct fields *f, const char *letters, struct engine_sampling *s,
                        bool *adaptive)
{
    for (; *letters != '\0' && f->error->status == 0; letters++) {
        size_t i = 0;
        while (i < PL_ARRAY_LEN(SAMPLERS) && SAMPLERS[i].letter != *letters)
            i++;
        if (i == PL_ARRAY_LEN(SAMPLERS))
            fields_fail(f, "samplers", "no sampler has the letter '%c'", *letters);
        else
            add_sampler(f, "samplers", SAMPLERS[i].sampler, s, adaptive);
    }
}

static void parse_samplers(const struct fields *f, struct engine_sampling *s)
{
    struct json_object *value = fields_get(f, "samplers");
    bool adaptive = false;
    if (value == NULL)
        return;
    if (json_object_is_type(value, json_type_string)) {
        add_letters(f, json_object_get_string(value), s, &adaptive);
    } else if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value) && f->error->status == 0; i++) {
            char where[32];
            (void)snprintf(where, sizeof where, "samplers[%zu]", i);
            add_named(f, where, json_object_array_get_idx(value, i), s, &adaptive);
        }
    } else {
        fields_fail(f, "samplers", "expected array or string, got %s", fields_type_name(value));
    }
    s->own_samplers = true;
    s->adaptive = s->adaptive && adaptive;
}

/* ---- ids ------------------------------------------------------------------------------------- */

/* A list of ids that must not be empty. */
static void parse_ids(const struct fields *f, const char *name, size_t max, int32_t **ret,
                      uint32_t *ret_n)
{
    struct json_object *array = fields_array(f, name);
    if (array == NULL)
        return;
    size_t n = json_object_array_length(array);
    if (n > max)
        fields_fail(f, name, "%zu entries, at most %zu", n, max);
    else if (request_ids(array, name, ret, &n, f->error))
        *ret_n = (uint32_t)n;
}

static void parse_lists(const struct fields *f, struct request *r)
{
    struct engine_sampling *s = &r->sampling;
    struct sampling_lists *l = &r->lists;
    parse_ids(f, "allowed_token_ids", ENGINE_ALLOWED_MAX, &l->allowed, &s->n_allowed);
    parse_ids(f, "stop_token_ids", ENGINE_STOP_IDS_MAX, &l->stop_ids, &s->n_stop_ids);
    parse_ids(f, "logprob_token_ids", ENGINE_LOGPROBS_MAX, &l->logprob_ids, &s->n_logprob_ids);
    if (l->allowed != NULL && s->n_allowed == 0)
        fields_fail(f, "allowed_token_ids", "must not be empty: no token would be left");
    s->allowed = l->allowed;
    s->stop_ids = l->stop_ids;
    s->logprob_ids = l->logprob_ids;
}

/* ---- what is told ---------------------------------------------------------------------------- */

/* llama-server's and vLLM's ways to ask for log probabilities, besides OpenAI's. */
static void parse_told(const struct fields *f, struct request *r)
{
    struct engine_sampling *s = &r->sampling;
    int64_t n_probs = 0;
    bool skip_special = true, spaces = true;
    fields_i64(f, "n_probs", 0, ENGINE_LOGPROBS_MAX, &n_probs);
    fields_bool(f, "post_sampling_probs", &s->final_logprobs);
    fields_bool(f, "include_stop_str_in_output", &s->include_stop);
    fields_bool(f, "skip_special_tokens", &skip_special);
    fields_bool(f, "spaces_between_special_tokens", &spaces); /* our pieces bring their own */
    r->special_text = !skip_special;
    if (n_probs > 0) {
        r->logprobs = true;
        r->n_logprobs = PL_MAX(r->n_logprobs, (uint32_t)n_probs);
    }
    if (s->n_logprob_ids > 0) {
        r->logprobs = true;
        r->n_logprobs = s->n_logprob_ids;
    }
    if (s->n_logprob_ids > 0 && s->final_logprobs)
        fields_fail(f, "logprob_token_ids", "not available together with post_sampling_probs");
}

static void parse_min_tokens(const struct fields *f, struct request *r)
{
    int64_t least = 0;
    fields_i64(f, "min_tokens", 0, INT32_MAX, &least);
    if (r->has_max_tokens && least > r->max_tokens)
        fields_fail(f, "min_tokens", "%lld is more than max_tokens, which is %lld",
                    (long long)least, (long long)r->max_tokens);
    r->sampling.min_tokens = (uint32_t)least;
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* null, false, 0, "" and [] ask for nothing. */
static bool is_off(struct json_object *value)
{
    if (json_object_is_type(value, json_type_array))
        return json_object_array_length(value) == 0;
    if (json_object_is_type(value, json_type_string))
        return json_object_get_string_len(value) == 0;
    if (json_object_is_type(value, json_type_object))
        return false;
    return json_object_get_double(value) == 0;
}

static void refuse(const struct fields *f)
{
    static const struct {
        const char *name, *what;
    } refused[] = {
        {"grammar", "grammars"},
        {"json_schema", "JSON schemas"},
        {"structured_outputs", "structured outputs"},
        {"guided_json", "structured outputs"},
        {"guided_regex", "structured outputs"},
        {"guided_choice", "structured outputs"},
        {"guided_grammar", "structured outputs"},
        {"lora", "LoRA adapters"},
        {"use_beam_search", "beam search"},
        {"logits_processors", "logits processors"},
        {"thinking_token_budget", "a token budget of thinking"},
        {"repetition_detection", "repetition detection"},
        {"n_indent", "a minimum of indentation"},
        {"t_max_predict_ms", "a time limit"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(refused); i++) {
        struct json_object *value = fields_get(f, refused[i].name);
        if (value != NULL && !is_off(value))
            fields_fail(f, refused[i].name, "%s: not supported", refused[i].what);
    }
}

void request_parse_sampling(const struct fields *f, struct request *r)
{
    parse_floats(f, &r->sampling);
    parse_ints(f, &r->sampling);
    parse_seed(f, &r->sampling);
    parse_samplers(f, &r->sampling);
    parse_lists(f, r);
    parse_told(f, r);
    parse_min_tokens(f, r);
    refuse(f);
}
