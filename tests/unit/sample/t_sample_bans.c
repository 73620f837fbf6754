/* Bans hold whatever else is asked for; and parameters that make no sense are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "sample/sample.h"
#include "base/rng.h"
#include "base/banned.h"

#define V     40
#define STEPS 400

static float logits[V];

static void fill(uint32_t row)
{
    for (uint32_t i = 0; i < V; i++)
        logits[i] = 5 * rng_uniform(3, row, i);
}

/* Writes a text of STEPS tokens with these parameters. */
static void generate(struct sample_params p, int32_t *ids)
{
    struct sample_scratch *s = NULL;
    struct sample_state memory;
    assert_int_equal(sample_check_params(&p, V, NULL), PL_OK);
    assert_int_equal(sample_scratch_new(V, &s, NULL), PL_OK);
    sample_state_init(&memory, &p);
    p.state = &memory;
    ids[0] = 1; /* the prompt */
    for (uint32_t i = 1; i < STEPS; i++) {
        const struct sample_history h = {.ids = ids, .n_prompt = 1, .n = i};
        fill(i % 7);
        assert_int_equal(sample_token(s, logits, &p, &h, &ids[i], NULL), PL_OK);
        assert_in_range(ids[i], 0, V - 1);
    }
    sample_scratch_free(s);
}

/* What else may be asked for. */
static const struct sample_params ASKED[] = {
    {0},
    {.temperature = 1},
    {.temperature = 1.5f, .top_k = 5},
    {.temperature = 1, .top_p = 0.5f, .min_p = 0.1f},
    {.temperature = 1, .typical_p = 0.3f, .min_keep = 3},
    {.temperature = 1, .top_n_sigma = 0.5f},
    {.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.05f},
    {.temperature = 1, .dynatemp_range = 0.9f, .dynatemp_exponent = 1},
    {.temperature = 1, .mirostat = 1, .mirostat_tau = 2, .mirostat_eta = 0.2f},
    {.temperature = 1, .mirostat = 2, .mirostat_tau = 2, .mirostat_eta = 0.2f},
    {.temperature = 1, .adaptive = true, .adaptive_target = 0.1f, .adaptive_decay = 0.5f},
    {.temperature = 1, .repeat_penalty = 1.3f, .repeat_last_n = -1, .presence_penalty = 2},
    {.temperature = 1, .dry_multiplier = 2, .dry_base = 1.75f, .dry_last_n = -1},
    {.temperature = 1, .frequency_penalty = -0.2f},
    {.temperature = 0.5f, .own_steps = true, .n_steps = 0},
};

static void a_banned_token_never_appears(void **state)
{
    (void)state;
    static const struct sample_bias bias[] = {{0, -INFINITY}, {7, -INFINITY}, {39, -INFINITY}};
    static const int32_t word[] = {9};
    static const uint32_t end[] = {1};
    int32_t ids[STEPS];
    for (size_t a = 0; a < PL_ARRAY_LEN(ASKED); a++) {
        struct sample_params p = ASKED[a];
        p.bias = bias;
        p.n_bias = PL_ARRAY_LEN(bias);
        p.bad_words = (struct sample_words){.ids = word, .ends = end, .n = 1};
        generate(p, ids);
        for (uint32_t i = 1; i < STEPS; i++)
            assert_true(ids[i] != 0 && ids[i] != 7 && ids[i] != 39 && ids[i] != 9);
    }
}

static void only_allowed_tokens_appear(void **state)
{
    (void)state;
    static const int32_t allowed[] = {2, 3, 17, 39};
    static const struct sample_bias bias[] = {{3, -INFINITY}, {5, 100}};
    int32_t ids[STEPS];
    for (size_t a = 0; a < PL_ARRAY_LEN(ASKED); a++) {
        struct sample_params p = ASKED[a];
        p.allowed = allowed;
        p.n_allowed = PL_ARRAY_LEN(allowed);
        p.bias = bias;
        p.n_bias = PL_ARRAY_LEN(bias);
        generate(p, ids);
        for (uint32_t i = 1; i < STEPS; i++)
            assert_true(ids[i] == 2 || ids[i] == 17 || ids[i] == 39);
    }
}

/* The last token of a bad word is banned after the others, and nowhere else. */
static void bad_words_of_several_tokens_never_end(void **state)
{
    (void)state;
    static const int32_t allowed[] = {1, 2, 3};
    static const int32_t words[] = {1, 2, 2, 3, 1, 3, 3, 3};
    static const uint32_t ends[] = {2, 5, 8}; /* 1 2 | 2 3 1 | 3 3 3 */
    int32_t ids[STEPS];
    for (size_t a = 0; a < PL_ARRAY_LEN(ASKED); a++) {
        struct sample_params p = ASKED[a];
        uint32_t n_prefixes = 0;
        p.allowed = allowed;
        p.n_allowed = 3;
        p.bad_words = (struct sample_words){.ids = words, .ends = ends, .n = 3};
        generate(p, ids);
        for (uint32_t i = 3; i < STEPS; i++) { /* ids[0] is the prompt: no part of a word */
            assert_false(ids[i - 1] == 1 && ids[i] == 2);
            assert_false(ids[i - 2] == 2 && ids[i - 1] == 3 && ids[i] == 1);
            assert_false(ids[i - 2] == 3 && ids[i - 1] == 3 && ids[i] == 3);
            n_prefixes += ids[i] == 1 || ids[i] == 3;
        }
        assert_true(n_prefixes > 0);
    }
}

static void before_min_tokens_nothing_ends(void **state)
{
    (void)state;
    static const int32_t eog[] = {4, 11};
    static const int32_t stops[] = {12};
    static const struct sample_bias eager[] = {{4, 50}, {12, 50}};
    int32_t ids[STEPS];
    for (size_t a = 0; a < PL_ARRAY_LEN(ASKED); a++) {
        struct sample_params p = ASKED[a];
        p.eog = eog;
        p.n_eog = 2;
        p.stop_ids = stops;
        p.n_stop_ids = 1;
        p.min_tokens = 100;
        p.bias = eager;
        p.n_bias = 2;
        generate(p, ids);
        for (uint32_t i = 1; i <= 100; i++)
            assert_true(ids[i] != 4 && ids[i] != 11 && ids[i] != 12);
        bool ended = false;
        for (uint32_t i = 101; i < STEPS; i++)
            ended = ended || ids[i] == 4 || ids[i] == 12;
        if (!ended)
            print_error("asked %zu\n", a);
        assert_true(ended || p.adaptive); /* that one shuns what is certain */
    }
}

static void stop_ids_are_known(void **state)
{
    (void)state;
    static const int32_t stops[] = {12, 3};
    const struct sample_params p = {.stop_ids = stops, .n_stop_ids = 2};
    assert_true(sample_is_stop(&p, 3));
    assert_true(sample_is_stop(&p, 12));
    assert_false(sample_is_stop(&p, 4));
}

static void when_all_is_banned_it_is_said(void **state)
{
    (void)state;
    static const int32_t allowed[] = {1, 2};
    static const int32_t word[] = {1, 5, 2};
    static const uint32_t ends[] = {1, 3};
    static const struct sample_bias ban[] = {{2, -INFINITY}};
    const struct sample_params at_once = {.allowed = allowed,
                                          .n_allowed = 2,
                                          .bias = ban,
                                          .n_bias = 1,
                                          .bad_words = {.ids = word, .ends = ends, .n = 2}};
    struct pl_error err = {{0}};
    assert_int_equal(sample_check_params(&at_once, V, &err), PL_EINVAL);
    assert_non_null(strstr(err.msg, "allowed_token_ids: "));
    /* Later only: after a 5 that the caller put there nothing is left. */
    struct sample_params later = at_once;
    later.n_bias = 0;
    assert_int_equal(sample_check_params(&later, V, NULL), PL_OK);
    static const int32_t ids[] = {5};
    const struct sample_history h = {.ids = ids, .n = 1};
    struct sample_scratch *s = NULL;
    int32_t id = -1;
    assert_int_equal(sample_scratch_new(V, &s, NULL), PL_OK);
    for (int t = 0; t < 2; t++) {
        later.temperature = (float)t;
        assert_int_equal(sample_token(s, logits, &later, &h, &id, &err), PL_EINTERNAL);
        assert_non_null(strstr(err.msg, "no token to choose"));
        assert_int_equal(id, -1);
    }
    sample_scratch_free(s);
}

static void min_tokens_may_leave_nothing(void **state)
{
    (void)state;
    static const int32_t allowed[] = {4};
    struct sample_params p = {.allowed = allowed, .n_allowed = 1, .eog = allowed, .n_eog = 1};
    assert_int_equal(sample_check_params(&p, V, NULL), PL_OK);
    p.min_tokens = 1;
    assert_int_equal(sample_check_params(&p, V, NULL), PL_EINVAL);
}

static void parameters_out_of_range_are_named(void **state)
{
    (void)state;
    static const int32_t negative[] = {-1};
    static const int32_t beyond[] = {V};
    static const int32_t falling[] = {5, 4};
    static const uint32_t one[] = {1};
    static const uint32_t empty[] = {0};
    static const struct sample_bias nan_bias[] = {{1, NAN}};
    static const struct sample_bias far_bias[] = {{V, 1}};
    static const struct sample_bias huge_bias[] = {{1, 2e6f}};
    static const struct sample_bias inf_bias[] = {{1, INFINITY}};
    const struct {
        struct sample_params p;
        const char *name;
    } cases[] = {
        {{.temperature = -1}, "temperature"},
        {{.temperature = NAN}, "temperature"},
        {{.temperature = INFINITY}, "temperature"},
        {{.dynatemp_range = -1}, "dynatemp_range"},
        {{.dynatemp_exponent = NAN}, "dynatemp_exponent"},
        {{.top_p = 1.1f}, "top_p"},
        {{.top_p = NAN}, "top_p"},
        {{.min_p = -0.1f}, "min_p"},
        {{.typical_p = 2}, "typical_p"},
        {{.top_n_sigma = -1}, "top_n_sigma"},
        {{.top_n_sigma = INFINITY}, "top_n_sigma"},
        {{.xtc_probability = 1.5f}, "xtc_probability"},
        {{.xtc_threshold = -1}, "xtc_threshold"},
        {{.repeat_penalty = 1e-9f}, "repeat_penalty"},
        {{.repeat_penalty = 2e6f}, "repeat_penalty"},
        {{.presence_penalty = NAN}, "presence_penalty"},
        {{.frequency_penalty = -INFINITY}, "frequency_penalty"},
        {{.dry_multiplier = NAN}, "dry_multiplier"},
        {{.dry_multiplier = 1, .dry_base = 0.5f}, "dry_base"},
        {{.dry_last_n = -2}, "dry_penalty_last_n"},
        {{.repeat_last_n = -2}, "repeat_last_n"},
        {{.top_k = -1}, "top_k"},
        {{.mirostat = 3}, "mirostat"},
        {{.mirostat_tau = NAN}, "mirostat_tau"},
        {{.mirostat_eta = -1}, "mirostat_eta"},
        {{.adaptive_target = 1.5f}, "adaptive_target"},
        {{.adaptive_decay = 1}, "adaptive_decay"},
        {{.n_steps = SAMPLE_STEPS_MAX + 1}, "samplers"},
        {{.n_steps = 1, .steps = {SAMPLE_N_STEPS}}, "samplers"},
        {{.bias = nan_bias, .n_bias = 1}, "logit_bias"},
        {{.bias = far_bias, .n_bias = 1}, "logit_bias"},
        {{.bias = huge_bias, .n_bias = 1}, "logit_bias"},
        {{.bias = inf_bias, .n_bias = 1}, "logit_bias"},
        {{.allowed = beyond, .n_allowed = 1}, "allowed_token_ids"},
        {{.allowed = falling, .n_allowed = 2}, "allowed_token_ids"},
        {{.stop_ids = negative, .n_stop_ids = 1}, "stop_token_ids"},
        {{.dry_breakers = beyond, .n_dry_breakers = 1}, "dry_sequence_breakers"},
        {{.bad_words = {beyond, one, 1}}, "bad_words"},
        {{.bad_words = {negative, one, 1}}, "bad_words"},
        {{.bad_words = {beyond, empty, 1}}, "bad_words"},
        {{.dry_words = {negative, one, 1}}, "dry_sequence_breakers"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct pl_error err = {{0}};
        enum pl_status status = sample_check_params(&cases[i].p, V, &err);
        if (status != PL_EINVAL || strstr(err.msg, cases[i].name) != err.msg)
            print_error("case %zu (%s): %d %s\n", i, cases[i].name, (int)status, err.msg);
        assert_int_equal(status, PL_EINVAL);
        assert_true(strstr(err.msg, cases[i].name) == err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_banned_token_never_appears),
        cmocka_unit_test(only_allowed_tokens_appear),
        cmocka_unit_test(bad_words_of_several_tokens_never_end),
        cmocka_unit_test(before_min_tokens_nothing_ends),
        cmocka_unit_test(stop_ids_are_known),
        cmocka_unit_test(when_all_is_banned_it_is_said),
        cmocka_unit_test(min_tokens_may_leave_nothing),
        cmocka_unit_test(parameters_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
