/* The sampler chain by hand-computed tables: which tokens each setting leaves, and with what weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "fault.h"
#include "sample/sample.h"
#include "base/banned.h"

#define V 6

/* exp: 0.4, 0.3, 0.15, 0.1, 0.04, 0.01 of 1: a distribution that is easy to cut by hand. */
static const float LOGITS[V] = {-2.3025851f, -0.9162907f, -1.2039728f,
                                -4.6051702f, -1.8971200f, -3.2188758f};
/* in order of ids:              0.1          0.4          0.3          0.01         0.15         0.04 */
static const double PROBS[V] = {0.1, 0.4, 0.3, 0.01, 0.15, 0.04};

static struct sample_scratch *scratch;

static int open_scratch(void **state)
{
    (void)state;
    return sample_scratch_new(V, &scratch, NULL) == PL_OK ? 0 : -1;
}

static int close_scratch(void **state)
{
    (void)state;
    sample_scratch_free(scratch);
    return 0;
}

static int32_t take(const float *logits, struct sample_params params, const int32_t *ids,
                    uint32_t n_prompt, uint32_t n)
{
    const struct sample_history history = {.ids = ids, .n_prompt = n_prompt, .n = n};
    int32_t id = -1;
    assert_int_equal(sample_check_params(&params, V, NULL), PL_OK);
    assert_int_equal(sample_token(scratch, logits, &params, &history, &id, NULL), PL_OK);
    return id;
}

/* Which tokens can come out at all, as bits: 4000 draws over the unit interval find any of 1 %. */
static unsigned reachable(const float *logits, struct sample_params params)
{
    unsigned set = 0;
    static const int32_t ids[1] = {0};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        params.seed = seed;
        set |= 1u << take(logits, params, ids, 0, 0);
    }
    return set;
}

static void filters_keep_what_the_table_says(void **state)
{
    (void)state;
    /* best first: 1 (0.4), 2 (0.3), 4 (0.15), 0 (0.1), 5 (0.04), 3 (0.01) */
    const struct {
        struct sample_params params;
        unsigned kept;
        const char *why;
    } cases[] = {
        {{.temperature = 1}, 0x3F, "no filter"},
        {{.temperature = 1, .top_k = 1}, 1u << 1, "the best"},
        {{.temperature = 1, .top_k = 3}, 1u << 1 | 1u << 2 | 1u << 4, "three best"},
        {{.temperature = 1, .top_k = 6}, 0x3F, "k = V"},
        {{.temperature = 1, .top_k = 99}, 0x3F, "k > V"},
        {{.temperature = 1, .top_p = 0.39f}, 1u << 1, "0.4 >= 0.39"},
        {{.temperature = 1, .top_p = 0.41f}, 1u << 1 | 1u << 2, "0.7 >= 0.41"},
        {{.temperature = 1, .top_p = 0.69f}, 1u << 1 | 1u << 2, "0.7 >= 0.69"},
        {{.temperature = 1, .top_p = 0.71f}, 1u << 1 | 1u << 2 | 1u << 4, "0.85 >= 0.71"},
        {{.temperature = 1, .top_p = 0.96f}, 0x3F & ~(1u << 3), "0.99 >= 0.96"},
        {{.temperature = 1, .top_p = 1.0f}, 0x3F, "off"},
        {{.temperature = 1, .top_p = 1e-9f}, 1u << 1, "at least one"},
        {{.temperature = 1, .min_p = 0.3f}, 1u << 1 | 1u << 2 | 1u << 4, "0.15 >= 0.3 * 0.4"},
        {{.temperature = 1, .min_p = 0.38f}, 1u << 1 | 1u << 2, "0.15 < 0.38 * 0.4"},
        {{.temperature = 1, .min_p = 1.0f}, 1u << 1, "as good as the best"},
        {{.temperature = 1, .top_k = 2, .top_p = 0.6f}, 1u << 1 | 1u << 2, "0.4/0.7 = 0.571 < 0.6"},
        {{.temperature = 1, .top_k = 2, .top_p = 0.56f}, 1u << 1, "0.4/0.7 = 0.571 >= 0.56"},
        {{.temperature = 5, .top_p = 0.39f}, 1u << 1, "filters see temperature 1"},
        {{.temperature = 0.02f}, 1u << 1, "0.75^50 is nothing"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        unsigned kept = reachable(LOGITS, cases[i].params);
        if (kept != cases[i].kept)
            print_error("case %zu (%s): want %x, got %x\n", i, cases[i].why, cases[i].kept, kept);
        assert_int_equal(kept, cases[i].kept);
    }
}

static void equals_are_settled_by_the_lowest_id(void **state)
{
    (void)state;
    static const float flat[V] = {1, 1, 1, 1, 1, 1};
    static const float zeros[V] = {-0.0f, 0.0f, -0.0f, 0.0f, -1, -1};
    static const int32_t none[1] = {0};
    assert_int_equal(take(flat, (struct sample_params){0}, none, 0, 0), 0);
    assert_int_equal(take(zeros, (struct sample_params){0}, none, 0, 0), 0);
    const struct {
        const float *logits;
        struct sample_params params;
        unsigned kept;
    } cases[] = {
        {flat, {.temperature = 1, .top_k = 2}, 0x03},
        {flat, {.temperature = 1, .top_p = 0.5f}, 0x07},
        {flat, {.temperature = 1, .top_p = 0.34f}, 0x07}, /* 2/6 < 0.34 */
        {flat, {.temperature = 1, .min_p = 1}, 0x3F},
        {zeros, {.temperature = 1, .top_k = 3}, 0x07},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        assert_int_equal(reachable(cases[i].logits, cases[i].params), cases[i].kept);
}

static void greedy_takes_the_best_after_bias_and_penalties(void **state)
{
    (void)state;
    static const float logits[V] = {2.0f, 3.0f, 2.5f, -1.0f, 1.0f, 0.0f};
    static const int32_t ids[] = {0, 1, 1, 2, 1, 2}; /* prompt 0 1 1 | output 2 1 2 */
    static const struct sample_bias plus[] = {{.id = 5, .bias = 3.5f}};
    static const struct sample_bias twice[] = {{.id = 5, .bias = 2}, {.id = 5, .bias = 2}};
    static const struct sample_bias ban[] = {{.id = 1, .bias = -INFINITY}, {.id = 2, .bias = -100}};
    const struct {
        struct sample_params params;
        uint32_t n_prompt, n;
        int32_t expected;
        const char *why;
    } cases[] = {
        {{0}, 3, 6, 1, "3.0"},
        {{.bias = plus, .n_bias = 1}, 3, 6, 5, "0 + 3.5"},
        {{.bias = twice, .n_bias = 2}, 3, 6, 5, "0 + 2 + 2"},
        {{.bias = ban, .n_bias = 2}, 3, 6, 0, "1 and 2 are banned"},
        {{.repeat_penalty = 2, .repeat_last_n = -1}, 3, 6, 1, "1.0 1.5 1.25 -1 1.0 0"},
        {{.repeat_penalty = 4, .repeat_last_n = -1}, 3, 6, 4, "0.5 0.75 0.625: 4 leads"},
        {{.repeat_penalty = 4, .repeat_last_n = 3}, 3, 6, 0, "0 is outside the window"},
        {{.repeat_penalty = 4, .repeat_last_n = 1}, 3, 6, 1, "the window is the last 2"},
        {{.repeat_penalty = 4, .repeat_last_n = 0}, 3, 6, 1, "off"},
        {{.repeat_penalty = 4, .repeat_last_n = 100}, 3, 6, 4, "longer than the text"},
        {{.presence_penalty = 0.4f}, 3, 6, 1, "2.6 against 2.1"},
        {{.presence_penalty = 1.1f}, 3, 6, 0, "1.9 and 1.4: only output counts"},
        {{.presence_penalty = 1.1f}, 6, 6, 1, "no output, no penalty"},
        {{.frequency_penalty = 0.9f}, 3, 6, 1, "2.1 against 0.7 and 2.0"},
        {{.frequency_penalty = 1.1f}, 3, 6, 0, "1.9, 0.3"},
        {{.frequency_penalty = -1.0f}, 3, 6, 2, "2.5 + 2 against 3 + 1"},
        {{.presence_penalty = 1.0f, .frequency_penalty = -1.0f}, 3, 6, 2, "3.5 against 3"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        int32_t id = take(logits, cases[i].params, ids, cases[i].n_prompt, cases[i].n);
        if (id != cases[i].expected)
            print_error("case %zu (%s): want %d, got %d\n", i, cases[i].why, cases[i].expected, id);
        assert_int_equal(id, cases[i].expected);
    }
}

static void repeat_penalty_moves_negative_logits_down(void **state)
{
    (void)state;
    static const float logits[V] = {-1.0f, -1.5f, -9, -9, -9, -9};
    static const int32_t ids[] = {0};
    const struct sample_params params = {.repeat_penalty = 1.6f, .repeat_last_n = 8};
    assert_int_equal(take(logits, params, ids, 1, 1), 1);
}

static void logprobs_are_of_the_raw_logits(void **state)
{
    (void)state;
    static const int32_t order[V] = {1, 2, 4, 0, 5, 3};
    struct sample_logprob top[V];
    for (int32_t id = 0; id < V; id++) {
        float logprob = 1;
        sample_logprobs(LOGITS, V, id, top, V, &logprob);
        assert_true(fabs((double)logprob - log(PROBS[id])) < 1e-6);
        for (int i = 0; i < V; i++) {
            assert_int_equal(top[i].id, order[i]);
            assert_true(fabs((double)top[i].logprob - log(PROBS[order[i]])) < 1e-6);
        }
    }
    static const float flat[40] = {0};
    float logprob = 1;
    sample_logprobs(flat, 40, 39, top, 3, &logprob);
    assert_true(fabs((double)logprob + log(40)) < 1e-6);
    assert_int_equal(top[0].id, 0);
    assert_int_equal(top[1].id, 1);
    assert_int_equal(top[2].id, 2);
    static const float far[20] = {500, -500, 499};
    sample_logprobs(far, 20, 2, top, 2, &logprob);
    assert_true(fabs((double)logprob - (-1 - log1p(exp(-1)))) < 1e-6);
}

static void logits_that_are_not_finite_are_named(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_error err = {{0}};
        float logits[V] = {1, 2, 3, bad[i], 5, bad[i]};
        assert_int_equal(sample_check_logits(logits, V, &err), PL_EINTERNAL);
        assert_non_null(strstr(err.msg, "2 of 6"));
        assert_non_null(strstr(err.msg, "token 3"));
    }
    assert_int_equal(sample_check_logits(LOGITS, V, NULL), PL_OK);
}

static void banning_everything_is_an_error(void **state)
{
    (void)state;
    struct sample_bias bans[V];
    for (int32_t i = 0; i < V; i++)
        bans[i] = (struct sample_bias){.id = i, .bias = -INFINITY};
    static const int32_t ids[1] = {0};
    const struct sample_history history = {.ids = ids};
    for (int sampled = 0; sampled < 2; sampled++) {
        struct sample_params params = {
            .temperature = (float)sampled, .top_k = 2, .bias = bans, .n_bias = V};
        int32_t id = -1;
        assert_int_equal(sample_token(scratch, LOGITS, &params, &history, &id, NULL), PL_EINTERNAL);
        assert_int_equal(id, -1);
        params.n_bias = V - 1;
        assert_int_equal(sample_token(scratch, LOGITS, &params, &history, &id, NULL), PL_OK);
        assert_int_equal(id, V - 1);
    }
}

static void a_scratch_without_memory_is_an_error(void **state)
{
    (void)state;
    bool hit = true;
    for (long n = 1; hit; n++) {
        struct sample_scratch *s = NULL;
        fault_fail_at(n);
        enum pl_status status = sample_scratch_new(10, &s, NULL);
        hit = fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, hit ? PL_ENOMEM : PL_OK);
        sample_scratch_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_keep_what_the_table_says),
        cmocka_unit_test(equals_are_settled_by_the_lowest_id),
        cmocka_unit_test(greedy_takes_the_best_after_bias_and_penalties),
        cmocka_unit_test(repeat_penalty_moves_negative_logits_down),
        cmocka_unit_test(logprobs_are_of_the_raw_logits),
        cmocka_unit_test(logits_that_are_not_finite_are_named),
        cmocka_unit_test(banning_everything_is_an_error),
        cmocka_unit_test(a_scratch_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_scratch, close_scratch);
}
