/* Every sampler and any order of them against a slow reference: which tokens are left, and with what weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "reference.h"
#include "base/rng.h"
#include "base/banned.h"

#define TOP 64

static struct ref ref;
static uint64_t n_random;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rng_uniform(99, 5, n_random++) * (float)n);
}

static float between(float low, float high)
{
    return low + rng_uniform(99, 5, n_random++) * (high - low);
}

static bool once_in(uint32_t n)
{
    return below(n) == 0;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static void print_case(const struct sample_params *p, uint32_t n_vocab, const char *what)
{
    print_error(
        "V %u: %s\n temp %g +-%g^%g k %d p %g min_p %g typ %g sigma %g xtc %g %g keep %u\n"
        " repeat %g %d pres %g freq %g dry %g %g %u %d miro %u %g %g adapt %d %g %g own %d\n",
        n_vocab, what, (double)p->temperature, (double)p->dynatemp_range,
        (double)p->dynatemp_exponent, p->top_k, (double)p->top_p, (double)p->min_p,
        (double)p->typical_p, (double)p->top_n_sigma, (double)p->xtc_probability,
        (double)p->xtc_threshold, p->min_keep, (double)p->repeat_penalty, p->repeat_last_n,
        (double)p->presence_penalty, (double)p->frequency_penalty, (double)p->dry_multiplier,
        (double)p->dry_base, p->dry_allowed_length, p->dry_last_n, p->mirostat,
        (double)p->mirostat_tau, (double)p->mirostat_eta, p->adaptive, (double)p->adaptive_target,
        (double)p->adaptive_decay, p->own_steps);
    for (uint32_t i = 0; p->own_steps && i < p->n_steps; i++)
        print_error(" step %u\n", p->steps[i]);
}

static const struct ref_token *ref_find(int32_t id)
{
    for (uint32_t i = 0; i < ref.n; i++)
        if (ref.tokens[i].id == id)
            return &ref.tokens[i];
    return NULL;
}

/* The best TOP of what is left have the reference's probabilities, and there are as many of them. */
static bool same(struct sample_scratch *s, int32_t id, uint32_t n_vocab)
{
    struct sample_logprob top[TOP];
    float logprob = 0;
    uint32_t n = sample_final_logprobs(s, id, top, PL_MIN(TOP, n_vocab), &logprob);
    uint32_t n_ref = 0; /* weights below e^-87 of the best are 0 here */
    for (uint32_t i = 0; i < ref.n; i++)
        n_ref += ref.tokens[i].q > 1e-30;
    if (n < PL_MIN(n_ref, PL_MIN(TOP, n_vocab)) || n > ref.n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct ref_token *t = ref_find(top[i].id);
        if (t == NULL || fabs(exp((double)top[i].logprob) - t->q) > 2e-4 * (t->q + 1e-3))
            return false;
    }
    const struct ref_token *drawn = ref_find(id);
    return drawn != NULL && fabs(exp((double)logprob) - drawn->q) < 2e-4 * (drawn->q + 1e-3);
}

static uint32_t n_compared, n_close;

static void compare(struct sample_scratch *s, const float *logits, uint32_t n_vocab,
                    struct sample_params *p, const struct sample_history *h)
{
    static struct sample_state state; /* p keeps pointing at it */
    struct sample_state expected;
    struct pl_error err = {{0}};
    int32_t id = -1;
    sample_state_init(&state, p);
    expected = state;
    p->state = &state;
    ref_run(&ref, logits, n_vocab, p, h, &expected);
    enum pl_status checked = sample_check_params(p, n_vocab, &err);
    if (checked != PL_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(checked, PL_OK);
    enum pl_status status = sample_token(s, logits, p, h, &id, &err);
    if (ref.n == 0) {
        assert_int_equal(status, PL_EINTERNAL);
        return;
    }
    assert_int_equal(status, PL_OK);
    if (ref.close) {
        n_close++;
        return;
    }
    if (!same(s, id, n_vocab)) {
        struct sample_logprob top[TOP];
        float logprob = 0;
        uint32_t n = sample_final_logprobs(s, id, top, PL_MIN(TOP, n_vocab), &logprob);
        print_case(p, n_vocab, "another distribution");
        print_error("%u left, %u in the reference\n", n, ref.n);
        for (uint32_t i = 0; i < n; i++) {
            const struct ref_token *t = ref_find(top[i].id);
            print_error(" %d %g, %g\n", top[i].id, exp((double)top[i].logprob),
                        t != NULL ? t->q : -1.0);
        }
        fail();
    }
    ref_advance(&ref, p, id, &expected);
    if (p->temperature > 0) {
        assert_true(fabs(state.mu - expected.mu) < 1e-3 * (1 + fabs(expected.mu)));
        assert_true(fabs(state.sum - expected.sum) < 1e-3);
    }
    n_compared++;
}

/* ---- random cases ---------------------------------------------------------------------------- */

#define HISTORY 60

static void fill_logits(float *logits, uint32_t n, uint32_t shape)
{
    for (uint32_t i = 0; i < n; i++) {
        float u = between(0, 1);
        switch (shape % 5) {
        case 0: logits[i] = u * 12 - 6; break;
        case 1: logits[i] = floorf(u * 6); break;                     /* many equals */
        case 2: logits[i] = u * 0.5f; break;                          /* nearly flat */
        case 3: logits[i] = i % 17 == 3 ? 8 + 4 * u : -20 * u; break; /* a few far above */
        default: logits[i] = -2 * logf(u + 1e-6f) * (u < 0.5f ? 1.0f : -1.0f); break;
        }
    }
}

/* A text that repeats itself. */
static void fill_history(int32_t *ids, uint32_t n, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = i > 8 && !once_in(5) ? ids[i - 4 - below(3)] : (int32_t)below(PL_MIN(n_vocab, 12));
}

static void shuffle_steps(struct sample_params *p)
{
    p->own_steps = true;
    p->n_steps = below(SAMPLE_STEPS_MAX + 1);
    for (uint32_t i = 0; i < p->n_steps; i++)
        p->steps[i] = (uint8_t)below(SAMPLE_N_STEPS);
}

static void random_filters(struct sample_params *p)
{
    p->temperature = once_in(10) ? 0 : between(0.3f, 2);
    if (once_in(3))
        p->top_k = (int32_t)below(40);
    if (once_in(3))
        p->top_p = between(0.05f, 1);
    if (once_in(3))
        p->min_p = between(0.001f, 0.5f);
    if (once_in(3))
        p->typical_p = between(0.1f, 1);
    if (once_in(3))
        p->top_n_sigma = between(0.2f, 3);
    if (once_in(3))
        p->min_keep = below(12);
    if (once_in(3)) {
        p->xtc_probability = between(0, 1.2f) > 1 ? 1 : between(0, 1);
        p->xtc_threshold = between(0.01f, 0.6f);
    }
    if (once_in(4)) {
        p->dynatemp_range = between(0, 1.5f);
        p->dynatemp_exponent = between(0.3f, 2);
    }
}

static void random_penalties(struct sample_params *p)
{
    if (once_in(3)) {
        p->repeat_penalty = between(0.7f, 1.8f);
        p->repeat_last_n = (int32_t)below(30) - 1;
    }
    if (once_in(3))
        p->presence_penalty = between(-1, 2);
    if (once_in(3))
        p->frequency_penalty = between(-1, 2);
    if (once_in(3)) {
        static const int32_t breakers[] = {2, 7};
        static const int32_t word_ids[] = {1, 3, 4, 5, 6};
        static const uint32_t ends[] = {2, 5};
        p->dry_multiplier = between(0.1f, 2);
        p->dry_base = between(1, 2);
        p->dry_allowed_length = below(4);
        p->dry_last_n = (int32_t)below(HISTORY) - 1;
        if (once_in(2)) {
            p->dry_breakers = breakers;
            p->n_dry_breakers = 2;
            p->dry_words = (struct sample_words){.ids = word_ids, .ends = ends, .n = 2};
        }
    }
}

static void random_rest(struct sample_params *p)
{
    if (once_in(6)) {
        p->mirostat = 1 + below(2);
        p->mirostat_tau = between(0.2f, 6);
        p->mirostat_eta = between(0, 0.5f);
    }
    if (once_in(6)) {
        p->adaptive = true;
        p->adaptive_target = between(0, 1);
        p->adaptive_decay = between(0, 0.99f);
    }
    if (once_in(3))
        shuffle_steps(p);
    p->seed = below(1000000);
}

static void any_chain_agrees_with_the_reference(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 7, 33, 50, 64, 500, REF_V_MAX};
    static float logits[REF_V_MAX];
    int32_t ids[HISTORY];
    for (size_t v = 0; v < PL_ARRAY_LEN(sizes); v++) {
        struct sample_scratch *s = NULL;
        assert_int_equal(sample_scratch_new(sizes[v], &s, NULL), PL_OK);
        uint32_t n_cases = sizes[v] > 100 ? 150 : 2500;
        for (uint32_t i = 0; i < n_cases; i++) {
            struct sample_params p = {0};
            fill_logits(logits, sizes[v], i);
            fill_history(ids, HISTORY, sizes[v]);
            random_filters(&p);
            random_penalties(&p);
            random_rest(&p);
            if (sizes[v] < 12) /* the breakers' ids are no tokens there */
                p.n_dry_breakers = p.dry_words.n = 0;
            uint32_t n = below(HISTORY + 1);
            const struct sample_history h = {.ids = ids, .n_prompt = below(n + 1), .n = n};
            compare(s, logits, sizes[v], &p, &h);
        }
        sample_scratch_free(s);
    }
    print_message("%u compared, %u too close\n", n_compared, n_close);
    assert_true(n_compared > 8 * n_close);
}

/* ---- each alone, on a large vocabulary ------------------------------------------------------- */

static void each_filter_alone_agrees_on_a_large_vocabulary(void **state)
{
    (void)state;
    static const struct sample_params cases[] = {
        {.temperature = 1},
        {.temperature = 1, .top_k = 50},
        {.temperature = 1, .top_k = 3000},
        {.temperature = 1, .top_p = 0.5f},
        {.temperature = 1, .top_p = 0.99f, .min_keep = 30},
        {.temperature = 1, .min_p = 0.02f},
        {.temperature = 1, .min_p = 0.9f, .min_keep = 20},
        {.temperature = 1, .typical_p = 0.4f},
        {.temperature = 1, .typical_p = 0.95f, .min_keep = 7},
        {.temperature = 1, .top_n_sigma = 1},
        {.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.0005f},
        {.temperature = 1, .dynatemp_range = 0.5f, .dynatemp_exponent = 1.5f},
        {.temperature = 1, .mirostat = 1, .mirostat_tau = 4, .mirostat_eta = 0.1f},
        {.temperature = 1, .mirostat = 2, .mirostat_tau = 4, .mirostat_eta = 0.1f},
        {.temperature = 1, .adaptive = true, .adaptive_target = 0.02f, .adaptive_decay = 0.9f},
    };
    static float logits[REF_V_MAX];
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(REF_V_MAX, &s, NULL), PL_OK);
    static const int32_t ids[1] = {0};
    n_compared = n_close = 0;
    for (uint32_t i = 0; i < 10 * PL_ARRAY_LEN(cases); i++) {
        struct sample_params p = cases[i / 10];
        fill_logits(logits, REF_V_MAX, i);
        const struct sample_history h = {.ids = ids};
        compare(s, logits, REF_V_MAX, &p, &h);
    }
    assert_true(n_compared > n_close);
    sample_scratch_free(s);
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void dry_by_hand(void **state)
{
    (void)state;
    /* "a b c d  x  a b c" with d next: the repeat is 3 long. */
    static const int32_t text[] = {0, 1, 2, 3, 9, 0, 1, 2};
    static const int32_t breaker[] = {1};
    const struct {
        struct sample_params p;
        double penalty; /* of token 3 */
        const char *why;
    } cases[] = {
        {{.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2, .dry_last_n = -1},
         2,
         "1 * 2^(3-2)"},
        {{.dry_multiplier = 0.5f, .dry_base = 3, .dry_allowed_length = 1, .dry_last_n = -1},
         4.5,
         "0.5 * 3^(3-1)"},
        {{.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 4, .dry_last_n = -1},
         0,
         "3 tokens go free"},
        {{.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2, .dry_last_n = 6},
         0,
         "only c is in the window: 1 long"},
        {{.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2, .dry_last_n = 7},
         1,
         "b c is in the window: 2 long"},
        {{.dry_multiplier = 1,
          .dry_base = 2,
          .dry_allowed_length = 1,
          .dry_last_n = -1,
          .dry_breakers = breaker,
          .n_dry_breakers = 1},
         1,
         "b breaks: 1 long"},
        {{.dry_multiplier = 1,
          .dry_base = 2,
          .dry_allowed_length = 2,
          .dry_last_n = -1,
          .dry_breakers = breaker,
          .n_dry_breakers = 1},
         0,
         "b breaks: 1 is shorter than 2"},
    };
    static const float flat[10] = {0};
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(10, &s, NULL), PL_OK);
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct sample_params p = cases[i].p;
        const struct sample_history h = {.ids = text, .n_prompt = 4, .n = 8};
        int32_t id = 0;
        float of3 = 0;
        float of4 = 0;
        p.temperature = 1;
        assert_int_equal(sample_token(s, flat, &p, &h, &id, NULL), PL_OK);
        (void)sample_final_logprobs(s, 3, NULL, 0, &of3);
        (void)sample_final_logprobs(s, 4, NULL, 0, &of4);
        if (fabs((double)(of4 - of3) - cases[i].penalty) > 1e-4)
            print_error("%s: %g\n", cases[i].why, (double)(of4 - of3));
        assert_true(fabs((double)(of4 - of3) - cases[i].penalty) < 1e-4);
    }
    sample_scratch_free(s);
}

/* Which tokens are left, as bits. */
static unsigned kept_by(struct sample_params p, const float *logits, uint32_t n_vocab)
{
    struct sample_scratch *s = NULL;
    struct sample_logprob top[TOP];
    static const int32_t ids[1] = {0};
    const struct sample_history h = {.ids = ids};
    int32_t id = 0;
    float logprob = 0;
    assert_int_equal(sample_scratch_new(n_vocab, &s, NULL), PL_OK);
    assert_int_equal(sample_token(s, logits, &p, &h, &id, NULL), PL_OK);
    uint32_t n = sample_final_logprobs(s, id, top, n_vocab, &logprob);
    unsigned set = 0;
    for (uint32_t i = 0; i < n; i++)
        set |= 1u << top[i].id;
    sample_scratch_free(s);
    return set;
}

static void the_order_of_steps_matters(void **state)
{
    (void)state;
    /* 0.5, 0.25, 0.15, 0.1 */
    static const float logits[] = {-0.6931472f, -1.3862944f, -1.8971200f, -2.3025851f};
    const struct sample_params base = {.temperature = 0.25f, .top_p = 0.9f, .own_steps = true};
    struct sample_params p = base;
    p.n_steps = 2;
    p.steps[0] = SAMPLE_STEP_TOP_P;
    p.steps[1] = SAMPLE_STEP_TEMPERATURE;
    assert_int_equal(kept_by(p, logits, 4), 7); /* at temperature 1: 0.5 + 0.25 + 0.15 */
    p.steps[0] = SAMPLE_STEP_TEMPERATURE;
    p.steps[1] = SAMPLE_STEP_TOP_P;
    assert_int_equal(kept_by(p, logits, 4), 1); /* 0.5^4 of 0.5^4 + 0.25^4 + ...: 0.933 */
    p.n_steps = 1;
    assert_int_equal(kept_by(p, logits, 4), 15); /* top_p isn't named */
    p.n_steps = 0;
    assert_int_equal(kept_by(p, logits, 4), 15);
    p = base;
    p.top_k = 3;
    p.top_p = 0.6f;
    p.n_steps = 2;
    p.steps[0] = SAMPLE_STEP_TOP_K;
    p.steps[1] = SAMPLE_STEP_TOP_P;
    assert_int_equal(kept_by(p, logits, 4), 3); /* 0.5 / 0.9 = 0.56 */
    p.steps[1] = SAMPLE_STEP_XTC;
    p.xtc_probability = 1;
    p.xtc_threshold = 0.2f;
    assert_int_equal(kept_by(p, logits, 4), 6); /* 0.5 and 0.25 are above: 0.25 is spared */
    p.min_keep = 3;
    assert_int_equal(kept_by(p, logits, 4), 7);
}

static void mirostat_keeps_near_its_target(void **state)
{
    (void)state;
    static float logits[1000];
    for (uint32_t i = 0; i < 1000; i++) /* Zipf: what its first version assumes */
        logits[i] = -1.1f * logf((float)(i + 1));
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(1000, &s, NULL), PL_OK);
    for (uint32_t version = 1; version <= 2; version++) {
        struct sample_state memory;
        struct sample_params p = {.temperature = 1,
                                  .mirostat = version,
                                  .mirostat_tau = 3,
                                  .mirostat_eta = 0.1f,
                                  .seed = 5,
                                  .state = &memory};
        static const int32_t ids[4000];
        double sum = 0;
        sample_state_init(&memory, &p);
        for (uint32_t i = 0; i < 4000; i++) {
            const struct sample_history h = {.ids = ids, .n = i};
            float logprob = 0;
            int32_t id = 0;
            assert_int_equal(sample_token(s, logits, &p, &h, &id, NULL), PL_OK);
            (void)sample_final_logprobs(s, id, NULL, 0, &logprob);
            sum -= (double)logprob / log(2);
        }
        assert_true(fabs(sum / 4000 - 3) < 0.1);
    }
    sample_scratch_free(s);
}

/* ---- draws ----------------------------------------------------------------------------------- */

#define N_DRAWS 60000

/* Draws over many seeds come as often as the final log probabilities say. */
static void draws_follow_the_final_distribution(void **state)
{
    (void)state;
    static const struct sample_params cases[] = {
        {.temperature = 0.7f, .top_k = 12, .min_p = 0.02f},
        {.temperature = 1.4f, .top_p = 0.9f},
        {.temperature = 1, .typical_p = 0.8f},
        {.temperature = 1, .top_n_sigma = 1.5f},
        {.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.05f},
        {.temperature = 1, .dynatemp_range = 0.6f, .dynatemp_exponent = 1},
        {.temperature = 1, .mirostat = 1, .mirostat_tau = 1.5f},
        {.temperature = 1, .mirostat = 2, .mirostat_tau = 1.5f},
        {.temperature = 1, .adaptive = true, .adaptive_target = 0.1f, .min_p = 0.05f},
        {.temperature = 0.9f, .repeat_penalty = 1.5f, .repeat_last_n = -1, .presence_penalty = 1},
    };
    enum { SMALL = 20 };
    static const int32_t ids[] = {3, 4, 4, 5};
    const struct sample_history h = {.ids = ids, .n_prompt = 2, .n = 4};
    float logits[SMALL];
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(SMALL, &s, NULL), PL_OK);
    fill_logits(logits, SMALL, 2);
    for (uint32_t i = 0; i < SMALL; i++)
        logits[i] *= 6;
    for (size_t c = 0; c < PL_ARRAY_LEN(cases); c++) {
        double counts[SMALL] = {0};
        double sum = 0;
        for (uint32_t i = 0; i < N_DRAWS; i++) {
            struct sample_params p = cases[c];
            struct sample_state memory;
            int32_t id = 0;
            sample_state_init(&memory, &p);
            p.state = &memory;
            p.seed = i;
            assert_int_equal(sample_token(s, logits, &p, &h, &id, NULL), PL_OK);
            counts[id]++;
        }
        for (int32_t id = 0; id < SMALL; id++) {
            float logprob = 0;
            (void)sample_final_logprobs(s, id, NULL, 0, &logprob);
            double expected = exp((double)logprob) * N_DRAWS;
            if (expected > 0)
                sum += (counts[id] - expected) * (counts[id] - expected) / PL_MAX(expected, 1.0);
            else
                assert_true(counts[id] == 0);
        }
        /* 19 degrees of freedom at the most: 43.8 once in 1,000; seeds are fixed. */
        if (sum >= 43.8)
            print_error("case %zu: chi-square %g\n", c, sum);
        assert_true(sum < 43.8);
    }
    sample_scratch_free(s);
}

static void xtc_takes_its_chance(void **state)
{
    (void)state;
    static const float logits[] = {5, 4, 0, -1};
    static const int32_t ids[1] = {0};
    const struct sample_history h = {.ids = ids};
    uint32_t n_cut = 0;
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(4, &s, NULL), PL_OK);
    for (uint32_t i = 0; i < 20000; i++) {
        const struct sample_params p = {
            .temperature = 1, .xtc_probability = 0.3f, .xtc_threshold = 0.1f, .seed = i};
        float best = 0;
        int32_t id = 0;
        assert_int_equal(sample_token(s, logits, &p, &h, &id, NULL), PL_OK);
        (void)sample_final_logprobs(s, 0, NULL, 0, &best);
        n_cut += isinf(best) != 0;
    }
    assert_in_range(n_cut, 5800, 6200); /* 6000, deviation 65 */
    sample_scratch_free(s);
}

static void nothing_is_allocated_while_sampling(void **state)
{
    (void)state;
    static float logits[3000];
    int32_t ids[HISTORY];
    struct sample_scratch *s = NULL;
    assert_int_equal(sample_scratch_new(3000, &s, NULL), PL_OK);
    fault_fail_at(0);
    for (uint32_t i = 0; i < 300; i++) {
        struct sample_params p = {0};
        struct sample_state memory;
        struct sample_logprob top[5];
        int32_t id = 0;
        float logprob = 0;
        fill_logits(logits, 3000, i);
        fill_history(ids, HISTORY, 3000);
        random_filters(&p);
        random_penalties(&p);
        random_rest(&p);
        sample_state_init(&memory, &p);
        p.state = &memory;
        const struct sample_history h = {.ids = ids, .n_prompt = 20, .n = HISTORY};
        assert_int_equal(sample_token(s, logits, &p, &h, &id, NULL), PL_OK);
        (void)sample_final_logprobs(s, id, top, 5, &logprob);
        sample_logprobs(logits, 3000, id, top, 5, &logprob);
    }
    assert_int_equal(fault_count(), 0);
    sample_scratch_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_chain_agrees_with_the_reference),
        cmocka_unit_test(each_filter_alone_agrees_on_a_large_vocabulary),
        cmocka_unit_test(dry_by_hand),
        cmocka_unit_test(the_order_of_steps_matters),
        cmocka_unit_test(mirostat_keeps_near_its_target),
        cmocka_unit_test(draws_follow_the_final_distribution),
        cmocka_unit_test(xtc_takes_its_chance),
        cmocka_unit_test(nothing_is_allocated_while_sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
