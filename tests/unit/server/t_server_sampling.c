/* Sampling fields: each reaches the engine's struct, and what makes no sense is refused by name. */
#include "test.h"

#include "engine.h"
#include "fake_engine.h"
#include "request.h"

#include <math.h>
#include <stdio.h>

#include "base/banned.h"

static const struct engine_sampling DEFAULTS = {
    .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64};

#define BODY(fields) "{\"prompt\":\"hi\"," fields "}"

static struct engine *engine;

static int open_engine(void **state)
{
    (void)state;
    engine = fake_engine_open(NULL, false);
    return engine != NULL ? 0 : -1;
}

static int close_engine(void **state)
{
    (void)state;
    engine_close(engine);
    return 0;
}

/* Parses and resolves; false and *error otherwise. */
static bool read(const char *body, struct request *r, struct api_error *error)
{
    *error = (struct api_error){0};
    if (!request_parse(REQUEST_COMPLETION, body, strlen(body), &DEFAULTS, r, error))
        return false;
    if (request_resolve_sampling(r, engine_vocab(engine), error))
        return true;
    request_deinit(r);
    return false;
}

static struct request must_read(const char *body)
{
    struct api_error error;
    struct request r = {.kind = REQUEST_COMPLETION};
    if (!read(body, &r, &error))
        fail_msg("%s: %s", body, error.message);
    return r;
}

/* ---- numbers --------------------------------------------------------------------------------- */

enum type { F32, I32, U32, BOOL };

#define AT(member) offsetof(struct engine_sampling, member)

static const struct {
    const char *body;
    size_t at;
    double expected;
    enum type type;
} NUMBERS[] = {
    {BODY("\"temperature\":0.25"), AT(temperature), 0.25, F32},
    {BODY("\"dynatemp_range\":0.5"), AT(dynatemp_range), 0.5, F32},
    {BODY("\"dynatemp_exponent\":2"), AT(dynatemp_exponent), 2, F32},
    {BODY("\"top_k\":7"), AT(top_k), 7, I32},
    {BODY("\"top_k\":-1"), AT(top_k), 0, I32},
    {BODY("\"top_p\":0.5"), AT(top_p), 0.5, F32},
    {BODY("\"min_p\":0.125"), AT(min_p), 0.125, F32},
    {BODY("\"typical_p\":0.75"), AT(typical_p), 0.75, F32},
    {BODY("\"top_n_sigma\":1.5"), AT(top_n_sigma), 1.5, F32},
    {BODY("\"top_n_sigma\":-1"), AT(top_n_sigma), 0, F32},
    {BODY("\"xtc_probability\":0.5"), AT(xtc_probability), 0.5, F32},
    {BODY("\"xtc_threshold\":0.25"), AT(xtc_threshold), 0.25, F32},
    {BODY("\"min_keep\":3"), AT(min_keep), 3, U32},
    {BODY("\"repeat_penalty\":1.5"), AT(repeat_penalty), 1.5, F32},
    {BODY("\"repeat_penalty\":1.5"), AT(repeat_last_n), 64, I32},
    {BODY("\"repetition_penalty\":1.5"), AT(repeat_penalty), 1.5, F32},
    {BODY("\"repetition_penalty\":1.5"), AT(repeat_last_n), -1, I32},
    {BODY("\"repetition_penalty\":1.5,\"repeat_last_n\":8"), AT(repeat_last_n), 8, I32},
    {BODY("\"repeat_last_n\":9"), AT(repeat_last_n), 9, I32},
    {BODY("\"presence_penalty\":-1.5"), AT(presence_penalty), -1.5, F32},
    {BODY("\"frequency_penalty\":0.5"), AT(frequency_penalty), 0.5, F32},
    {BODY("\"dry_multiplier\":0.5"), AT(dry_multiplier), 0.5, F32},
    {BODY("\"dry_base\":2"), AT(dry_base), 2, F32},
    {BODY("\"dry_allowed_length\":4"), AT(dry_allowed_length), 4, U32},
    {BODY("\"dry_penalty_last_n\":-1"), AT(dry_penalty_last_n), -1, I32},
    {BODY("\"mirostat\":2"), AT(mirostat), 2, U32},
    {BODY("\"mirostat_tau\":3"), AT(mirostat_tau), 3, F32},
    {BODY("\"mirostat_eta\":0.5"), AT(mirostat_eta), 0.5, F32},
    {BODY("\"adaptive_target\":0.5"), AT(adaptive_target), 0.5, F32},
    {BODY("\"adaptive_target\":0.5"), AT(adaptive), 1, BOOL},
    {BODY("\"adaptive_target\":0"), AT(adaptive), 1, BOOL},
    {BODY("\"adaptive_target\":-1"), AT(adaptive), 0, BOOL},
    {BODY("\"adaptive_target\":0.5,\"samplers\":[\"top_k\"]"), AT(adaptive), 0, BOOL},
    {BODY("\"adaptive_target\":0.5,\"samplers\":[\"adaptive_p\"]"), AT(adaptive), 1, BOOL},
    {BODY("\"samplers\":[\"adaptive_p\"]"), AT(adaptive), 0, BOOL},
    {BODY("\"adaptive_decay\":0.5"), AT(adaptive_decay), 0.5, F32},
    {BODY("\"min_tokens\":5"), AT(min_tokens), 5, U32},
    {BODY("\"include_stop_str_in_output\":true"), AT(include_stop), 1, BOOL},
    {BODY("\"post_sampling_probs\":true"), AT(final_logprobs), 1, BOOL},
    {BODY("\"seed\":5"), AT(has_seed), 1, BOOL},
    {BODY("\"seed\":-1"), AT(has_seed), 0, BOOL},
    {BODY("\"model\":null"), AT(has_seed), 0, BOOL},
    {BODY("\"model\":null"), AT(adaptive), 0, BOOL},
    {BODY("\"model\":null"), AT(own_samplers), 0, BOOL},
    {BODY("\"samplers\":[]"), AT(own_samplers), 1, BOOL},
};

static double value_at(const struct engine_sampling *s, size_t at, enum type type)
{
    const char *p = (const char *)s + at;
    float f = 0;
    int32_t i = 0;
    bool b = false;
    switch (type) {
    case F32: memcpy(&f, p, sizeof f); return (double)f;
    case BOOL: memcpy(&b, p, sizeof b); return b;
    case I32:
    case U32: memcpy(&i, p, sizeof i); return i;
    }
    return HUGE_VAL;
}

static void every_number_reaches_the_engine(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(NUMBERS); i++) {
        struct request r = must_read(NUMBERS[i].body);
        double got = value_at(&r.sampling, NUMBERS[i].at, NUMBERS[i].type);
        if (got != NUMBERS[i].expected)
            print_error("%s: want %g, got %g\n", NUMBERS[i].body, NUMBERS[i].expected, got);
        assert_true(got == NUMBERS[i].expected);
        request_deinit(&r);
    }
}

static void zero_means_the_best_only(void **state)
{
    (void)state;
    struct request r = must_read(BODY("\"top_p\":0,\"typical_p\":0"));
    assert_true(r.sampling.top_p > 0 && r.sampling.top_p < 1e-30F);
    assert_true(r.sampling.typical_p > 0 && r.sampling.typical_p < 1e-30F);
    request_deinit(&r);
}

static void an_order_is_given_by_names_or_letters(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        BODY("\"samplers\":[\"penalties\",\"dry\",\"top_n_sigma\",\"top_k\",\"typ_p\",\"top_p\","
             "\"min_p\",\"xtc\",\"temperature\"]"),
        BODY("\"samplers\":[\"penalties\",\"dry\",\"top-n-sigma\",\"topk\",\"typical_p\","
             "\"nucleus\","
             "\"min-p\",\"xtc\",\"temp\"]"),
        BODY("\"samplers\":\"edskypmxt\""),
    };
    for (size_t b = 0; b < PL_ARRAY_LEN(bodies); b++) {
        struct request r = must_read(bodies[b]);
        assert_true(r.sampling.own_samplers);
        assert_int_equal(r.sampling.n_samplers, 9);
        for (uint8_t i = 0; i < 9; i++)
            assert_int_equal(r.sampling.samplers[i], i);
        request_deinit(&r);
    }
    struct request r = must_read(BODY("\"samplers\":[\"temperature\",\"top_k\",\"temperature\"]"));
    assert_int_equal(r.sampling.n_samplers, 3);
    assert_int_equal(r.sampling.samplers[0], ENGINE_SAMPLER_TEMPERATURE);
    assert_int_equal(r.sampling.samplers[1], ENGINE_SAMPLER_TOP_K);
    request_deinit(&r);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void ids_reach_the_engine(void **state)
{
    (void)state;
    struct request r = must_read(BODY("\"allowed_token_ids\":[5,2,5],\"stop_token_ids\":[7],"
                                      "\"logprob_token_ids\":[9,8]"));
    assert_int_equal(r.sampling.n_allowed, 3);
    assert_int_equal(r.sampling.allowed[1], 2);
    assert_int_equal(r.sampling.n_stop_ids, 1);
    assert_int_equal(r.sampling.stop_ids[0], 7);
    assert_int_equal(r.sampling.n_logprob_ids, 2);
    assert_int_equal(r.sampling.logprob_ids[0], 9);
    assert_true(r.logprobs);
    assert_int_equal(r.n_logprobs, 2);
    request_deinit(&r);
    r = must_read(BODY("\"n_probs\":4,\"skip_special_tokens\":false"));
    assert_true(r.logprobs && r.special_text);
    assert_int_equal(r.n_logprobs, 4);
    request_deinit(&r);
    r = must_read(BODY("\"n_probs\":0,\"stop_token_ids\":[]"));
    assert_false(r.logprobs || r.special_text);
    request_deinit(&r);
}

static void biases_come_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        uint32_t n;
        struct engine_bias first, last;
    } cases[] = {
        {BODY("\"logit_bias\":{}"), 0, {0}, {0}},
        {BODY("\"logit_bias\":[]"), 0, {0}, {0}},
        {BODY("\"logit_bias\":{\"3\":-4,\"7\":1.5}"), 2, {3, -4}, {7, 1.5F}},
        {BODY("\"logit_bias\":{\"ab\":2,\"7\":1}"), 3, {'a', 2}, {7, 1}},
        {BODY("\"logit_bias\":{\"5\":false}"), 1, {5, -INFINITY}, {5, -INFINITY}},
        {BODY("\"logit_bias\":[[3,-4],[7,1.5]]"), 2, {3, -4}, {7, 1.5F}},
        {BODY("\"logit_bias\":[[\"ab\",-0.5],[5,false]]"), 3, {'a', -0.5F}, {5, -INFINITY}},
        {BODY("\"logit_bias\":[[\"12\",1]]"), 1, {12, 1}, {12, 1}},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct request r = must_read(cases[i].body);
        assert_int_equal(r.sampling.n_bias, cases[i].n);
        if (cases[i].n > 0) {
            const struct engine_bias *bias = r.sampling.bias;
            assert_int_equal(bias[0].id, cases[i].first.id);
            assert_true(bias[0].bias == cases[i].first.bias);
            assert_int_equal(bias[cases[i].n - 1].id, cases[i].last.id);
            assert_true(bias[cases[i].n - 1].bias == cases[i].last.bias);
        }
        request_deinit(&r);
    }
}

static void bad_words_become_tokens_with_and_without_a_space(void **state)
{
    (void)state;
    static const int32_t expected[] = {'a', 'b', ' ', 'a', 'b', 'c', ' ', 'c'};
    static const uint32_t ends[] = {2, 5, 6, 8};
    struct request r = must_read(BODY("\"bad_words\":[\"ab\",\" c\"]"));
    assert_int_equal(r.sampling.bad_words.n, 4);
    assert_memory_equal(r.sampling.bad_words.ids, expected, sizeof expected);
    assert_memory_equal(r.sampling.bad_words.ends, ends, sizeof ends);
    request_deinit(&r);
    r = must_read(BODY("\"bad_words\":[]"));
    assert_int_equal(r.sampling.bad_words.n, 0);
    request_deinit(&r);
}

static void breakers_become_tokens(void **state)
{
    (void)state;
    static const int32_t usual[] = {'\n', '"', '*', ':'};
    struct request r = must_read(BODY("\"dry_multiplier\":1"));
    assert_int_equal(r.sampling.n_dry_breakers, 4);
    assert_memory_equal(r.sampling.dry_breakers, usual, sizeof usual);
    assert_int_equal(r.sampling.dry_words.n, 0);
    request_deinit(&r);
    /* "im" is inside <|im_start|> and <|im_end|>, and is i, then m. */
    static const int32_t words[] = {'i', 'm'};
    r = must_read(BODY("\"dry_multiplier\":1,\"dry_sequence_breakers\":[\"im\"]"));
    assert_int_equal(r.sampling.n_dry_breakers, 2);
    assert_int_equal(r.sampling.dry_breakers[0], 258);
    assert_int_equal(r.sampling.dry_words.n, 1);
    assert_memory_equal(r.sampling.dry_words.ids, words, sizeof words);
    request_deinit(&r);
    r = must_read(BODY("\"temperature\":1"));
    assert_int_equal(r.sampling.n_dry_breakers, 0); /* dry is off */
    request_deinit(&r);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const struct {
    const char *body, *param, *message;
} BAD[] = {
    {BODY("\"dynatemp_range\":-1"), "dynatemp_range", "expected 0 to"},
    {BODY("\"dynatemp_exponent\":1e999"), "dynatemp_exponent", "expected 0 to"},
    {BODY("\"typical_p\":1.5"), "typical_p", "expected 0 to 1"},
    {BODY("\"top_n_sigma\":\"1\""), "top_n_sigma", "expected number, got string"},
    {BODY("\"xtc_probability\":2"), "xtc_probability", "expected 0 to 1"},
    {BODY("\"xtc_threshold\":-1"), "xtc_threshold", "expected 0 to 1"},
    {BODY("\"min_keep\":-1"), "min_keep", "expected 0 to"},
    {BODY("\"repeat_last_n\":-2"), "repeat_last_n", "expected -1 to"},
    {BODY("\"dry_multiplier\":-1"), "dry_multiplier", "expected 0 to"},
    {BODY("\"dry_base\":0.5"), "dry_base", "expected 1 to"},
    {BODY("\"dry_allowed_length\":1.5"), "dry_allowed_length", "expected integer"},
    {BODY("\"dry_penalty_last_n\":-2"), "dry_penalty_last_n", "expected -1 to"},
    {BODY("\"dry_sequence_breakers\":[]"), "dry_sequence_breakers", "0 strings"},
    {BODY("\"dry_sequence_breakers\":\"a\""), "dry_sequence_breakers", "expected array"},
    {BODY("\"dry_sequence_breakers\":[\"\"]"), "dry_sequence_breakers[0]", "0 bytes"},
    {BODY("\"dry_sequence_breakers\":[1]"), "dry_sequence_breakers[0]", "expected string"},
    {BODY("\"mirostat\":3"), "mirostat", "expected 0 to 2"},
    {BODY("\"mirostat_tau\":-1"), "mirostat_tau", "expected 0 to"},
    {BODY("\"mirostat_eta\":[]"), "mirostat_eta", "expected number, got array"},
    {BODY("\"adaptive_target\":1.5"), "adaptive_target", "to 1, got 1.5"},
    {BODY("\"adaptive_decay\":1"), "adaptive_decay", "expected 0 to 0.99"},
    {BODY("\"samplers\":{}"), "samplers", "expected array or string, got object"},
    {BODY("\"samplers\":[1]"), "samplers[0]", "expected string, got number"},
    {BODY("\"samplers\":[\"top_k\",\"best\"]"), "samplers[1]", "no sampler is called 'best'"},
    {BODY("\"samplers\":[\"infill\"]"), "samplers[0]", "no sampler is called 'infill'"},
    {BODY("\"samplers\":\"kq\""), "samplers", "no sampler has the letter 'q'"},
    {BODY("\"samplers\":\"kkkkkkkkkkkkkkkkk\""), "samplers", "more than 16"},
    {BODY("\"min_tokens\":-1"), "min_tokens", "expected 0 to"},
    {BODY("\"min_tokens\":9,\"max_tokens\":8"), "min_tokens", "more than max_tokens"},
    {BODY("\"stop_token_ids\":5"), "stop_token_ids", "expected array"},
    {BODY("\"stop_token_ids\":[1,-1]"), "stop_token_ids[1]", "expected a token id, got -1"},
    {BODY("\"stop_token_ids\":[260]"), "stop_token_ids", "outside the vocabulary of 260"},
    {BODY("\"allowed_token_ids\":[]"), "allowed_token_ids", "must not be empty"},
    {BODY("\"allowed_token_ids\":[1.5]"), "allowed_token_ids[0]", "expected a token id"},
    {BODY("\"allowed_token_ids\":[1,999]"), "allowed_token_ids", "token id 999"},
    {BODY("\"logprob_token_ids\":[260]"), "logprob_token_ids", "outside the vocabulary"},
    {BODY("\"logprob_token_ids\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"),
     "logprob_token_ids", "at most 20"},
    {BODY("\"logprob_token_ids\":[1],\"post_sampling_probs\":true"), "logprob_token_ids",
     "not available together"},
    {BODY("\"n_probs\":21"), "n_probs", "expected 0 to 20"},
    {BODY("\"post_sampling_probs\":1"), "post_sampling_probs", "expected boolean"},
    {BODY("\"skip_special_tokens\":0"), "skip_special_tokens", "expected boolean"},
    {BODY("\"include_stop_str_in_output\":\"\""), "include_stop_str_in_output", "boolean"},
    {BODY("\"bad_words\":\"a\""), "bad_words", "expected array"},
    {BODY("\"bad_words\":[\"a\",1]"), "bad_words[1]", "expected string"},
    {BODY("\"bad_words\":[\" \"]"), "bad_words[0]", "0 bytes"},
    {BODY("\"logit_bias\":5"), "logit_bias", "expected object or array, got number"},
    {BODY("\"logit_bias\":{\"260\":1}"), "logit_bias", "outside the vocabulary"},
    {BODY("\"logit_bias\":{\"-1\":1}"), "logit_bias", "there is no token '-1'"},
    {BODY("\"logit_bias\":{\"99999999999\":1}"), "logit_bias", "there is no token"},
    {BODY("\"logit_bias\":{\"1\":\"x\"}"), "logit_bias.1", "expected number or false, got string"},
    {BODY("\"logit_bias\":{\"1\":true}"), "logit_bias.1", "expected number or false"},
    {BODY("\"logit_bias\":{\"1\":101}"), "logit_bias.1", "-100 to 100"},
    {BODY("\"logit_bias\":{\"1\":1e999}"), "logit_bias.1", "-100 to 100"},
    {BODY("\"logit_bias\":[5]"), "logit_bias[0]", "expected [token, bias], got number"},
    {BODY("\"logit_bias\":[[1]]"), "logit_bias[0]", "expected [token, bias]"},
    {BODY("\"logit_bias\":[[1,2],[{},2]]"), "logit_bias[1]", "a token id or a text, got object"},
    {BODY("\"logit_bias\":[[260,2]]"), "logit_bias", "outside the vocabulary"},
    {BODY("\"grammar\":\"root ::= x\""), "grammar", "not supported"},
    {BODY("\"json_schema\":{}"), "json_schema", "not supported"},
    {BODY("\"structured_outputs\":{\"choice\":[\"a\"]}"), "structured_outputs", "not supported"},
    {BODY("\"guided_choice\":[\"a\"]"), "guided_choice", "not supported"},
    {BODY("\"lora\":[{\"id\":0,\"scale\":1}]"), "lora", "LoRA adapters: not supported"},
    {BODY("\"use_beam_search\":true"), "use_beam_search", "beam search: not supported"},
    {BODY("\"thinking_token_budget\":5"), "thinking_token_budget", "not supported"},
};

static void what_makes_no_sense_is_refused_by_name(void **state)
{
    (void)state;
    bool failed = false;
    for (size_t i = 0; i < PL_ARRAY_LEN(BAD); i++) {
        struct api_error error;
        struct request r;
        bool ok = read(BAD[i].body, &r, &error);
        if (ok) {
            request_deinit(&r);
            print_error("%s: taken\n", BAD[i].body);
        } else if (error.status != 400 || strcmp(error.param, BAD[i].param) != 0 ||
                   strstr(error.message, BAD[i].message) == NULL) {
            print_error("%s: %d %s: %s\n", BAD[i].body, error.status, error.param, error.message);
        } else {
            continue;
        }
        failed = true;
    }
    assert_false(failed);
}

static void what_is_off_is_taken(void **state)
{
    (void)state;
    struct request r = must_read(
        BODY("\"grammar\":\"\",\"json_schema\":null,\"lora\":[],\"use_beam_search\":false,"
             "\"t_max_predict_ms\":0,\"n_indent\":0,\"mirostat\":0,\"dry_multiplier\":0,"
             "\"xtc_probability\":0,\"typical_p\":1,\"bad_words\":null,\"samplers\":null"));
    assert_int_equal(r.sampling.mirostat, 0);
    assert_false(r.sampling.own_samplers);
    request_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_reaches_the_engine),
        cmocka_unit_test(zero_means_the_best_only),
        cmocka_unit_test(an_order_is_given_by_names_or_letters),
        cmocka_unit_test(ids_reach_the_engine),
        cmocka_unit_test(biases_come_in_all_forms),
        cmocka_unit_test(bad_words_become_tokens_with_and_without_a_space),
        cmocka_unit_test(breakers_become_tokens),
        cmocka_unit_test(what_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(what_is_off_is_taken),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
