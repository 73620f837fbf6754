/* What requests share and guess: prefixes, the n texts of one prompt, speculation, tenants, deadlines, turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "fake.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/banned.h"

#define P         16
#define N_PROMPT  100
#define N_CHOICES 5

static int32_t prompt[N_PROMPT];

static int reset(void **state)
{
    (void)state;
    fake_reset();
    for (uint32_t i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)(rng_uniform(77, 1, i) * 290);
    return 0;
}

static struct engine *open_engine(struct engine_options options)
{
    struct engine *engine = NULL;
    options.model_path = "some/model.gguf";
    assert_int_equal(engine_open(&options, &engine, NULL), PL_OK);
    return engine;
}

static struct engine_request request_of(uint32_t n_prompt, uint32_t max_tokens)
{
    return (struct engine_request){
        .prompt = prompt, .n_prompt = n_prompt, .max_tokens = max_tokens, .ignore_eos = true};
}

static void assert_empty(struct engine *engine)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    assert_int_equal(stats.running + stats.waiting, 0);
    assert_int_equal(stats.blocks_used, 0);
    assert_false(fake_contract_broken());
}

static void assert_same_text(const struct client *a, const struct client *b)
{
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof a->ids[0]);
    assert_string_equal(a->text, b->text);
}

static uint32_t run_cached(struct engine *engine, struct engine_request request, struct client *c)
{
    client_init(c);
    client_run(c, engine, request);
    client_deinit(c);
    assert_int_equal(c->finish, ENGINE_FINISH_LENGTH);
    return c->cached_tokens;
}

/* ---- prefixes -------------------------------------------------------------------------------- */

static void a_prompt_seen_before_is_not_computed_again(void **state)
{
    (void)state;
    static struct client first, second;
    struct engine_stats stats;
    struct engine *engine = open_engine((struct engine_options){0});
    assert_int_equal(run_cached(engine, request_of(N_PROMPT, 20), &first), 0);
    assert_int_equal(run_cached(engine, request_of(N_PROMPT, 20), &second), 96);
    assert_same_text(&first, &second);
    engine_stats(engine, &stats);
    assert_int_equal(stats.prompt_tokens, N_PROMPT + 4);
    assert_int_equal(stats.cache_hit_tokens, 96);
    assert_empty(engine);
    engine_close(engine);
}

static void a_prompt_of_whole_blocks_still_computes_its_last_token(void **state)
{
    (void)state;
    static struct client first, second;
    struct engine *engine = open_engine((struct engine_options){0});
    assert_int_equal(run_cached(engine, request_of(5 * P, 20), &first), 0);
    assert_int_equal(run_cached(engine, request_of(5 * P, 20), &second), 4 * P);
    assert_same_text(&first, &second);
    engine_close(engine);
}

static void an_answer_is_a_prefix_of_the_next_turn(void **state)
{
    (void)state;
    static struct client first, second, alone;
    struct engine *engine = open_engine((struct engine_options){0});
    run_cached(engine, request_of(40, 40), &first);
    int32_t next[90];
    memcpy(next, prompt, 40 * sizeof *next);
    memcpy(next + 40, first.ids, 40 * sizeof *next);
    memcpy(next + 80, prompt, 10 * sizeof *next);
    struct engine_request request = request_of(90, 10);
    request.prompt = next;
    assert_int_equal(run_cached(engine, request, &second), 4 * P); /* 79 computed tokens */
    request.no_cache_read = true;
    assert_int_equal(run_cached(engine, request, &alone), 0);
    assert_same_text(&second, &alone);
    engine_close(engine);
}

static void prefixes_are_shared_within_a_scope_only(void **state)
{
    (void)state;
    static struct client c, without;
    struct engine *engine = open_engine((struct engine_options){0});
    struct engine_request request = request_of(N_PROMPT, 5);
    run_cached(engine, request, &without);
    static const struct {
        const char *scope, *salt;
        uint32_t first, second;
    } rows[] = {{"acme", NULL, 0, 96}, {"acme", "x", 0, 96}, {"acm", "ex", 0, 96},
                {NULL, "x", 0, 96},    {"x", NULL, 0, 96},   {NULL, NULL, 96, 96}};
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        request.scope = rows[i].scope;
        request.scope_bytes = rows[i].scope != NULL ? strlen(rows[i].scope) : 0;
        request.salt = rows[i].salt;
        request.salt_bytes = rows[i].salt != NULL ? strlen(rows[i].salt) : 0;
        assert_int_equal(run_cached(engine, request, &c), rows[i].first);
        assert_int_equal(run_cached(engine, request, &c), rows[i].second);
        assert_same_text(&c, &without);
    }
    engine_close(engine);
}

static void without_the_cache_nothing_is_shared(void **state)
{
    (void)state;
    static struct client c;
    struct engine *engine = open_engine((struct engine_options){.no_prefix_cache = true});
    assert_int_equal(run_cached(engine, request_of(N_PROMPT, 5), &c), 0);
    assert_int_equal(run_cached(engine, request_of(N_PROMPT, 5), &c), 0);
    engine_close(engine);
}

static void a_reset_forgets_what_nobody_uses(void **state)
{
    (void)state;
    static struct client c;
    struct engine *engine = open_engine((struct engine_options){0});
    run_cached(engine, request_of(N_PROMPT, 5), &c);
    engine_reset_cache(engine);
    assert_int_equal(run_cached(engine, request_of(N_PROMPT, 5), &c), 0);
    engine_close(engine);
}

static void prompt_logprobs_are_the_same_after_a_hit(void **state)
{
    (void)state;
    static struct client first, second;
    struct engine *engine = open_engine((struct engine_options){0});
    struct engine_request request = request_of(N_PROMPT, 3);
    request.prompt_logprobs = true;
    run_cached(engine, request, &first);
    run_cached(engine, request, &second);
    assert_int_equal(first.n_prompt, N_PROMPT);
    assert_int_equal(second.n_prompt, N_PROMPT);
    assert_memory_equal(first.prompt_logprobs + 1, second.prompt_logprobs + 1,
                        (N_PROMPT - 1) * sizeof(float));
    engine_close(engine);
}

/* Several clients with one long prompt, at the same time: it is computed about once. */
static void a_prompt_that_is_being_computed_is_waited_for(void **state)
{
    (void)state;
    static struct client c[6];
    struct engine_stats stats;
    struct engine *engine = open_engine((struct engine_options){.rows_max = 24});
    fake_gate(false);
    for (size_t i = 0; i < PL_ARRAY_LEN(c); i++) {
        client_init(&c[i]);
        assert_int_equal(client_submit(&c[i], engine, request_of(N_PROMPT, 8), NULL), PL_OK);
    }
    fake_gate(true);
    for (size_t i = 0; i < PL_ARRAY_LEN(c); i++) {
        client_wait(&c[i]);
        assert_same_text(&c[i], &c[0]);
        client_deinit(&c[i]);
    }
    engine_stats(engine, &stats);
    assert_true(stats.prompt_tokens <= N_PROMPT + 5 * P);
    assert_empty(engine);
    engine_close(engine);
}

/* ---- several texts --------------------------------------------------------------------------- */

struct crowd {
    struct client choices[N_CHOICES];
    struct engine *cancel_in; /* cancels the request when choice 2 has 3 tokens */
    uint64_t id;
};

static void on_choice(void *user, const struct engine_event *event)
{
    struct crowd *crowd = user;
    assert_true(event->choice < N_CHOICES);
    struct client *c = &crowd->choices[event->choice];
    bool cancels = crowd->cancel_in != NULL && event->choice == 2 && c->n_ids == 2;
    if (cancels)
        engine_cancel(crowd->cancel_in, crowd->id);
    client_take(c, event); /* after the last FINISH the crowd is the test's again */
}

static void run_crowd(struct engine *engine, struct engine_request request, struct crowd *crowd)
{
    request.n = N_CHOICES;
    request.on_event = on_choice;
    request.user = crowd;
    for (uint32_t i = 0; i < N_CHOICES; i++)
        client_init(&crowd->choices[i]);
    assert_int_equal(engine_submit(engine, &request, &crowd->id, NULL), PL_OK);
    for (uint32_t i = 0; i < N_CHOICES; i++)
        client_wait(&crowd->choices[i]);
}

static struct engine_request sampled(uint32_t n_prompt, uint32_t max_tokens, uint64_t seed)
{
    struct engine_request request = request_of(n_prompt, max_tokens);
    request.sampling = engine_sampling_default();
    request.sampling.has_seed = true;
    request.sampling.seed = seed;
    return request;
}

/* In engines of these options each choice says what a request with its seed says alone. */
static void check_crowd(struct engine_options options, uint32_t n_prompt)
{
    static struct crowd crowd;
    static struct client alone;
    struct engine *engine = open_engine(options);
    memset(&crowd, 0, sizeof crowd);
    run_crowd(engine, sampled(n_prompt, 40, 9), &crowd);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    if (options.kv_tokens == 0)
        assert_int_equal(stats.prompt_tokens, n_prompt); /* once for all */
    assert_empty(engine);
    for (uint32_t i = 0; i < N_CHOICES; i++) {
        run_cached(engine, sampled(n_prompt, 40, 9 + i), &alone);
        assert_same_text(&crowd.choices[i], &alone);
        assert_int_equal(crowd.choices[i].n_finish, 1);
        assert_int_equal(crowd.choices[i].output_tokens, 40);
        assert_int_equal(crowd.choices[i].prompt_tokens, n_prompt);
        client_deinit(&crowd.choices[i]);
    }
    engine_close(engine);
}

static void each_choice_is_the_text_of_its_seed(void **state)
{
    (void)state;
    check_crowd((struct engine_options){0}, 50);
    check_crowd((struct engine_options){0}, 48); /* no partial block to copy */
    check_crowd((struct engine_options){0}, 1);
    check_crowd((struct engine_options){.seqs_max = 2}, 50);
    check_crowd((struct engine_options){.kv_tokens = 128, .ctx_tokens = 128}, 50);
    check_crowd((struct engine_options){.draft_max = 4}, 50);
}

static void a_cancel_ends_all_choices(void **state)
{
    (void)state;
    static struct crowd crowd;
    struct engine *engine = open_engine((struct engine_options){0});
    memset(&crowd, 0, sizeof crowd);
    crowd.cancel_in = engine;
    fake_gate(false);
    struct engine_request request = sampled(50, 100, 1);
    request.n = N_CHOICES;
    request.on_event = on_choice;
    request.user = &crowd;
    for (uint32_t i = 0; i < N_CHOICES; i++)
        client_init(&crowd.choices[i]);
    assert_int_equal(engine_submit(engine, &request, &crowd.id, NULL), PL_OK);
    fake_gate(true);
    for (uint32_t i = 0; i < N_CHOICES; i++) {
        client_wait(&crowd.choices[i]);
        assert_int_equal(crowd.choices[i].finish, ENGINE_FINISH_CANCEL);
        assert_int_equal(crowd.choices[i].n_finish, 1);
        client_deinit(&crowd.choices[i]);
    }
    assert_empty(engine);
    engine_close(engine);
}

static void a_device_failure_at_any_call_ends_every_choice_once(void **state)
{
    (void)state;
    static struct crowd crowd;
    struct engine *engine =
        open_engine((struct engine_options){.seqs_max = 3, .rows_max = 16, .kv_tokens = 256});
    for (long n = 1; n <= 80; n++) {
        memset(&crowd, 0, sizeof crowd);
        fake_fail_at(n);
        run_crowd(engine, sampled(50, 10, 3), &crowd);
        fake_fail_at(0);
        for (uint32_t i = 0; i < N_CHOICES; i++) {
            assert_int_equal(crowd.choices[i].n_finish, 1);
            assert_true(crowd.choices[i].finish == ENGINE_FINISH_ERROR ||
                        crowd.choices[i].finish == ENGINE_FINISH_LENGTH);
            client_deinit(&crowd.choices[i]);
        }
        assert_empty(engine);
    }
    engine_close(engine);
}

/* ---- speculation ----------------------------------------------------------------------------- */

static void guesses_change_no_text(void **state)
{
    (void)state;
    struct engine *plain =
        open_engine((struct engine_options){.ctx_tokens = 600, .kv_tokens = 1200});
    struct engine *guessing =
        open_engine((struct engine_options){.ctx_tokens = 600, .kv_tokens = 1200, .draft_max = 6});
    static const int32_t few[] = {3, 4, 5};
    static struct engine_bias only[8]; /* few likely tokens: texts repeat themselves */
    for (int32_t i = 0; i < 8; i++)
        only[i] = (struct engine_bias){.id = 10 + i, .bias = 30};
    uint32_t n_accepted = 0;
    for (uint64_t seed = 0; seed < 24; seed++) {
        static struct client a, b;
        struct engine_request request = sampled(3, 300, seed);
        request.prompt = few;
        request.sampling.temperature = seed % 2 == 0 ? 0.0F : 0.8F;
        request.sampling.bias = only;
        request.sampling.n_bias = seed % 3 == 0 ? 8 : 2;
        run_cached(plain, request, &a);
        run_cached(guessing, request, &b);
        assert_same_text(&a, &b);
        assert_int_equal(a.draft_tokens, 0);
        assert_true(b.accepted_tokens <= b.draft_tokens);
        n_accepted += b.accepted_tokens;
    }
    struct engine_stats stats;
    engine_stats(guessing, &stats);
    assert_int_equal(stats.accepted_tokens, n_accepted);
    assert_true(n_accepted > 300);
    assert_true(stats.steps < 24 * 300 - n_accepted / 2);
    assert_empty(guessing);
    engine_close(plain);
    engine_close(guessing);
}

/* ---- idle time ------------------------------------------------------------------------------- */

#define N_LONG 1000 /* tokens: twice as many blocks as wait for the disk at a time */

/* Blocks on disk, as of a short request's steps. */
static uint64_t blocks_on_disk(struct engine *engine)
{
    static struct client c;
    struct engine_stats stats;
    run_cached(engine, request_of(2, 2), &c);
    engine_stats(engine, &stats);
    return stats.disk_blocks;
}

static void an_idle_engine_copies_all_blocks_to_disk(void **state)
{
    (void)state;
    static struct client c;
    static int32_t ids[N_LONG];
    char dir[] = "/tmp/polder-idle-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct engine *engine = open_engine((struct engine_options){
        .ctx_tokens = 1100, .kv_tokens = 1200, .kv_disk_dir = dir, .kv_disk_bytes = 1u << 20});
    for (uint32_t i = 0; i < N_LONG; i++)
        ids[i] = (int32_t)(rng_uniform(78, 1, i) * 290);
    struct engine_request request = request_of(N_LONG, 2);
    request.prompt = ids;
    run_cached(engine, request, &c);
    usleep(3000 * 1000); /* nobody asks meanwhile: to ask would wake it */
    assert_int_equal(blocks_on_disk(engine), N_LONG / P);
    engine_close(engine);
    static const char *const files[] = {"key", "lock", "blocks"};
    for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* ---- tenants, deadlines, turns --------------------------------------------------------------- */

/* One that sends without end leaves room for one that sends little; a lone crowd of nobody's takes it all. */
static void a_tenant_can_not_crowd_the_others_out_of_the_queue(void **state)
{
    (void)state;
    static struct client c[64], other;
    static const struct {
        const char *tenant;
        uint32_t n_taken; /* of 4 + 32 */
    } rows[] = {{"red", 32}, {NULL, 36}};
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct engine *engine =
            open_engine((struct engine_options){.seqs_max = 4, .queue_max = 32});
        struct engine_request request = request_of(20, 4);
        uint32_t n = 0;
        request.tenant = rows[i].tenant;
        request.tenant_bytes = rows[i].tenant != NULL ? strlen(rows[i].tenant) : 0;
        fake_gate(false);
        enum pl_status status = PL_OK;
        while (status == PL_OK) {
            client_init(&c[n]);
            status = client_submit(&c[n], engine, request, NULL);
            n += status == PL_OK ? 1 : 0;
        }
        assert_int_equal(status, PL_EBUSY);
        assert_int_equal(n, rows[i].n_taken);
        request.tenant = "blue";
        request.tenant_bytes = 4;
        client_init(&other);
        status = client_submit(&other, engine, request, NULL);
        assert_int_equal(status, rows[i].tenant != NULL ? PL_OK : PL_EBUSY);
        fake_gate(true);
        for (uint32_t k = 0; k < n; k++)
            client_wait(&c[k]);
        if (status == PL_OK)
            client_wait(&other);
        assert_empty(engine);
        engine_close(engine);
        for (uint32_t k = 0; k <= n; k++)
            client_deinit(&c[k]);
        client_deinit(&other);
    }
}

static void tenants_inside_are_told(void **state)
{
    (void)state;
    static struct client a, b;
    static struct engine_tenant tenants[ENGINE_TENANTS_MAX];
    struct engine *engine = open_engine((struct engine_options){0});
    client_init(&a);
    client_init(&b);
    struct engine_request request = request_of(10, 20);
    fake_allow(3);
    request.tenant = "blue";
    request.tenant_bytes = 4;
    request.weight = 2;
    assert_int_equal(client_submit(&a, engine, request, NULL), PL_OK);
    request.tenant = "red";
    request.tenant_bytes = 3;
    request.weight = 0;
    assert_int_equal(client_submit(&b, engine, request, NULL), PL_OK);
    client_await_tokens(&a, 2);
    client_await_tokens(&b, 2);
    assert_int_equal(engine_tenants(engine, tenants), 2);
    bool blue_first = strcmp(tenants[0].name, "blue") == 0;
    assert_string_equal(tenants[blue_first ? 0 : 1].name, "blue");
    assert_string_equal(tenants[blue_first ? 1 : 0].name, "red");
    assert_true(tenants[blue_first ? 0 : 1].weight == 2.0F);
    assert_true(tenants[blue_first ? 1 : 0].weight == 1.0F);
    assert_int_equal(tenants[0].running, 1);
    fake_gate(true);
    client_wait(&a);
    client_wait(&b);
    client_deinit(&a);
    client_deinit(&b);
    engine_close(engine);
}

static void a_request_that_waits_beyond_its_deadline_is_refused(void **state)
{
    (void)state;
    static struct client running, late;
    struct engine *engine = open_engine((struct engine_options){.seqs_max = 1});
    client_init(&running);
    client_init(&late);
    fake_allow(2);
    assert_int_equal(client_submit(&running, engine, request_of(3, 50), NULL), PL_OK);
    client_await_tokens(&running, 1);
    struct engine_request request = request_of(3, 5);
    request.deadline_ns = clock_now_ns() + 1;
    assert_int_equal(client_submit(&late, engine, request, NULL), PL_OK);
    fake_gate(true);
    client_wait(&late);
    assert_int_equal(late.finish, ENGINE_FINISH_ERROR);
    assert_int_equal(late.status, PL_ETIMEDOUT);
    client_wait(&running);
    assert_int_equal(running.finish, ENGINE_FINISH_LENGTH);
    assert_empty(engine);
    client_deinit(&running);
    client_deinit(&late);
    engine_close(engine);
}

static void a_prompt_is_given_up_when_its_deadline_passes_midway(void **state)
{
    (void)state;
    static struct client c;
    struct engine *engine = open_engine((struct engine_options){.rows_max = 10});
    client_init(&c);
    fake_gate(false);
    struct engine_request request = request_of(N_PROMPT, 5);
    request.deadline_ns = clock_now_ns() + 20 * CLOCK_NS_PER_MS;
    assert_int_equal(client_submit(&c, engine, request, NULL), PL_OK);
    fake_await_steps(1);
    usleep(30 * 1000);
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(c.finish, ENGINE_FINISH_ERROR);
    assert_int_equal(c.status, PL_ETIMEDOUT);
    assert_true(fake_steps() < N_PROMPT / 10);
    assert_empty(engine);
    client_deinit(&c);
    engine_close(engine);
}

static void the_way_of_a_request_is_timed(void **state)
{
    (void)state;
    static struct client c;
    struct engine *engine = open_engine((struct engine_options){.rows_max = 16});
    run_cached(engine, request_of(60, 4), &c);
    assert_true(c.submitted_ns > 0 && c.admitted_ns >= c.submitted_ns);
    assert_true(c.first_ns >= c.admitted_ns && c.finished_ns >= c.first_ns);
    engine_close(engine);
}

static void count_wake(void *user)
{
    (*(int *)user)++;
}

static void an_embedder_can_run_the_engine_itself(void **state)
{
    (void)state;
    static struct client c;
    int n_woken = 0;
    struct engine *engine =
        open_engine((struct engine_options){.on_wake = count_wake, .user = &n_woken});
    client_init(&c);
    assert_int_equal(engine_turn(engine), ENGINE_TURN_IDLE);
    fake_gate(false);
    assert_int_equal(client_submit(&c, engine, request_of(30, 3), NULL), PL_OK);
    assert_int_equal(n_woken, 1);
    assert_int_equal(engine_turn(engine), ENGINE_TURN_BUSY); /* submitted */
    assert_int_equal(engine_turn(engine), ENGINE_TURN_BUSY); /* not there yet */
    fake_gate(true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engine_turn(engine), ENGINE_TURN_DONE);
        assert_int_equal(c.n_ids, i + 1);
        assert_int_equal(engine_turn(engine), i < 2 ? ENGINE_TURN_BUSY : ENGINE_TURN_IDLE);
    }
    assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(client_submit(&c, engine, request_of(30, 3), NULL), PL_OK);
    assert_int_equal(engine_turn(engine), ENGINE_TURN_BUSY);
    engine_close(engine); /* ends what is inside */
    assert_int_equal(c.finish, ENGINE_FINISH_CANCEL);
    client_deinit(&c);
}

static void the_time_of_a_step_holds_all_of_it(void **state)
{
    (void)state;
    static struct client c;
    struct engine_stats stats;
    struct engine *engine = open_engine((struct engine_options){0});
    fake_slow_submit(2000);
    run_cached(engine, request_of(10, 5), &c);
    engine_stats(engine, &stats);
    assert_int_equal(stats.steps, 5);
    assert_true(stats.step_ns >= 5 * 2 * CLOCK_NS_PER_MS);
    assert_true(stats.step_fixed_ns + stats.step_decode_ns >= (double)CLOCK_NS_PER_MS);
    engine_close(engine);
}

static void a_file_may_say_how_to_sample(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    const struct engine_sampling *sampling = engine_sampling_of_model(engine);
    assert_true(sampling->temperature == 0.25F);
    assert_int_equal(sampling->top_k, 30);
    assert_true(sampling->top_p == 1.0F); /* what it said is out of range */
    assert_true(sampling->min_p == 0.0F); /* it says nothing */
    engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_prompt_seen_before_is_not_computed_again, reset),
        cmocka_unit_test_setup(a_prompt_of_whole_blocks_still_computes_its_last_token, reset),
        cmocka_unit_test_setup(an_answer_is_a_prefix_of_the_next_turn, reset),
        cmocka_unit_test_setup(prefixes_are_shared_within_a_scope_only, reset),
        cmocka_unit_test_setup(without_the_cache_nothing_is_shared, reset),
        cmocka_unit_test_setup(a_reset_forgets_what_nobody_uses, reset),
        cmocka_unit_test_setup(prompt_logprobs_are_the_same_after_a_hit, reset),
        cmocka_unit_test_setup(a_prompt_that_is_being_computed_is_waited_for, reset),
        cmocka_unit_test_setup(each_choice_is_the_text_of_its_seed, reset),
        cmocka_unit_test_setup(a_cancel_ends_all_choices, reset),
        cmocka_unit_test_setup(a_device_failure_at_any_call_ends_every_choice_once, reset),
        cmocka_unit_test_setup(guesses_change_no_text, reset),
        cmocka_unit_test_setup(a_tenant_can_not_crowd_the_others_out_of_the_queue, reset),
        cmocka_unit_test_setup(an_idle_engine_copies_all_blocks_to_disk, reset),
        cmocka_unit_test_setup(tenants_inside_are_told, reset),
        cmocka_unit_test_setup(a_request_that_waits_beyond_its_deadline_is_refused, reset),
        cmocka_unit_test_setup(a_prompt_is_given_up_when_its_deadline_passes_midway, reset),
        cmocka_unit_test_setup(the_way_of_a_request_is_timed, reset),
        cmocka_unit_test_setup(the_time_of_a_step_holds_all_of_it, reset),
        cmocka_unit_test_setup(a_file_may_say_how_to_sample, reset),
        cmocka_unit_test_setup(an_embedder_can_run_the_engine_itself, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
