/* Fairness among tenants, by experiment: shares, times to the first token, who gains by what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "city.h"
#include "base/banned.h"

#define SECOND (1000 * MS)

static const struct bench_options seats32 = {
    .n_blocks = 4096, .rows = 2048, .seqs = 32, .outputs = 64, .tenants = 16};

static void tell(const char *what, const struct city *city, const struct outcome *out)
{
    print_message("# %s: %lu steps, %lu preemptions, %.1f %% recomputed\n", what, city->n_steps,
                  city->stats.preemptions,
                  100.0 * (double)city->stats.recomputed_tokens / (double)city->n_rows);
    for (uint32_t i = 0; i < city->n_loads; i++)
        print_message("#   %-6s service %9.0f  ttft %7.1f ms, p95 %7.1f  gap %7.1f  yields %u\n",
                      city->loads[i].tenant, out[i].service, out[i].ttft_mean_ms,
                      out[i].ttft_p95_ms, out[i].gap_max_ms, out[i].n_yields);
}

static void live(const char *what, struct city *city, struct outcome *out)
{
    city->count_from_ns = city->count_from_ns != 0 ? city->count_from_ns : 10 * SECOND;
    city->end_ns = city->end_ns != 0 ? city->end_ns : 70 * SECOND;
    if (city->machine.fixed <= 0) {
        double scale = city->machine.scale;
        city->machine = city_accelerator;
        city->machine.scale = scale;
    }
    city_live(city, out);
    tell(what, city, out);
}

#define LONG_READ  .prompt_min = 800, .prompt_max = 1600, .new_min = 20, .new_max = 60
#define LONG_WRITE .prompt_min = 20, .prompt_max = 80, .new_min = 400, .new_max = 1200
#define CHAT       .prompt_min = 100, .prompt_max = 700, .new_min = 50, .new_max = 350

static void assert_within(double got, double low, double high)
{
    if (got < low || got > high)
        fail_msg("%.4g, not within %.4g .. %.4g", got, low, high);
}

/* ---- P3 -------------------------------------------------------------------------------------- */

/* What is fair: what the light one gets where it has half of the machine to itself. */
static void light_one_gets_what_half_a_machine_gives(void **state)
{
    (void)state;
    static const struct load cases[][2] = {
        /* below its share; about at its share; other lengths */
        {{.tenant = "light", .per_second = 2.5, CHAT}, {.tenant = "heavy", .per_second = 25, CHAT}},
        {{.tenant = "light", .per_second = 6, CHAT}, {.tenant = "heavy", .per_second = 60, CHAT}},
        {{.tenant = "light", .per_second = 2.5, LONG_READ},
         {.tenant = "heavy", .per_second = 25, LONG_READ}},
        {{.tenant = "light", .per_second = 1, LONG_WRITE},
         {.tenant = "heavy", .per_second = 10, LONG_WRITE}},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct outcome out[2];
            struct outcome fair[2];
            struct city city = {.bench = seats32, .loads = cases[i], .n_loads = 2, .seed = seed};
            live("1:10", &city, out);
            city = (struct city){.bench = seats32,
                                 .loads = cases[i],
                                 .n_loads = 1,
                                 .seed = seed,
                                 .machine.scale = 2};
            live("light alone on half a machine", &city, fair);
            assert_within(out[0].service / fair[0].service, 0.8, 1.25);
            assert_within(out[0].ttft_mean_ms / fair[0].ttft_mean_ms, 0, 1.2);
            assert_within(out[0].ttft_p95_ms / fair[0].ttft_p95_ms, 0, 1.2);
        }
    }
}

static void both_with_more_than_all_share_in_halves(void **state)
{
    (void)state;
    struct outcome out[2];
    const struct load loads[] = {
        {.tenant = "light", .per_second = 12, CHAT},
        {.tenant = "heavy", .per_second = 120, CHAT},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    live("12:120, both more than there is", &city, out);
    assert_within(out[0].service / (out[0].service + out[1].service), 0.45, 0.55);
}

static void weights_are_shares(void **state)
{
    (void)state;
    struct outcome out[3];
    const struct load loads[] = {
        {.tenant = "one", .weight = 1, .at_once_max = 40, CHAT},
        {.tenant = "two", .weight = 2, .at_once_max = 40, CHAT},
        {.tenant = "four", .weight = 4, .at_once_max = 40, CHAT},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 3};
    live("1:2:4", &city, out);
    assert_within(out[1].service / out[0].service, 1.9, 2.1);
    assert_within(out[2].service / out[0].service, 3.8, 4.2);
}

static void one_alone_gets_everything(void **state)
{
    (void)state;
    struct outcome out[2];
    struct outcome alone[1];
    const struct load loads[] = {
        {.tenant = "busy", .weight = 0.1F, .at_once_max = 64, CHAT},
        {.tenant = "idle", .weight = 10, .per_second = 0.01, CHAT, .from_ns = 65 * SECOND},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2, .end_ns = 60 * SECOND};
    live("beside an idle one", &city, out);
    city = (struct city){.bench = seats32, .loads = loads, .n_loads = 1, .end_ns = 60 * SECOND};
    live("alone", &city, alone);
    assert_within(out[0].service / alone[0].service, 0.999, 1.001);
}

/* ---- latecomers ------------------------------------------------------------------------------ */

static void a_latecomer_waits_for_nobodys_end(void **state)
{
    (void)state;
    static const uint32_t blocks[] = {16384, 4096};
    const struct load loads[] = {
        {.tenant = "light", .per_second = 2, CHAT, .from_ns = 20 * SECOND},
        {.tenant = "heavy",
         .at_once_max = 64,
         .prompt_min = 50,
         .prompt_max = 100,
         .new_min = 3000,
         .new_max = 5000},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(blocks); i++) {
        struct outcome out[2];
        struct outcome fair[1];
        struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
        city.bench.n_blocks = blocks[i];
        live(i == 0 ? "late among long texts" : "the same with few blocks", &city, out);
        city = (struct city){.bench = seats32, .loads = loads, .n_loads = 1, .machine.scale = 2};
        live("alone on half a machine", &city, fair);
        assert_within(out[0].service / fair[0].service, 0.8, 1.25);
        assert_within(out[0].ttft_mean_ms / fair[0].ttft_mean_ms, 0, 1.2);
    }
}

static void long_prompts_of_others_dont_count_as_shares(void **state)
{
    (void)state;
    struct outcome out[2];
    struct outcome fair[1];
    const struct load loads[] = {
        {.tenant = "light", .per_second = 2, CHAT},
        {.tenant = "heavy",
         .at_once_max = 64,
         .prompt_min = 4000,
         .prompt_max = 8000,
         .new_min = 50,
         .new_max = 100},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    live("among long prompts", &city, out);
    city = (struct city){.bench = seats32, .loads = loads, .n_loads = 1, .machine.scale = 2};
    live("alone on half a machine", &city, fair);
    assert_within(out[0].service / fair[0].service, 0.8, 1.25);
    assert_within(out[0].ttft_mean_ms / fair[0].ttft_mean_ms, 0, 1.2);
}

/* ---- those who try --------------------------------------------------------------------------- */

static void coming_and_going_gains_nothing(void **state)
{
    (void)state;
    static const struct load hops[] = {
        {.tenant = "hops", .at_once_max = 16, CHAT, .leaves = true},
        {.tenant = "hops",
         .at_once_max = 1,
         .prompt_min = 2000,
         .prompt_max = 2000,
         .new_min = 10,
         .new_max = 10,
         .leaves = true},
        {.tenant = "hops",
         .at_once_max = 4,
         .prompt_min = 10,
         .prompt_max = 10,
         .new_min = 2,
         .new_max = 2,
         .leaves = true},
    };
    static const uint32_t seats[] = {8, 1, 32};
    for (size_t i = 0; i < PL_ARRAY_LEN(hops); i++) {
        for (size_t k = 0; k < PL_ARRAY_LEN(seats); k++) {
            struct outcome out[2];
            const struct load loads[] = {{.tenant = "stays", .at_once_max = 80, CHAT}, hops[i]};
            struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
            city.bench.seqs = seats[k];
            live("one that hops", &city, out);
            assert_within(out[1].service / out[0].service, 0, 1.1);
        }
    }
}

static void low_priority_saves_up_no_credit(void **state)
{
    (void)state;
    struct outcome out[2];
    /* "saver" has a low sequence waiting from the beginning, and floods after 40 s. */
    const struct load loads[] = {
        {.tenant = "works", .at_once_max = 80, CHAT},
        {.tenant = "saver", .at_once_max = 8, .priority = 5, CHAT},
        {.tenant = "saver", .at_once_max = 80, CHAT, .from_ns = 40 * SECOND},
    };
    struct outcome all[3];
    struct city city = {.bench = seats32,
                        .loads = loads,
                        .n_loads = 3,
                        .count_from_ns = 40 * SECOND,
                        .end_ns = 60 * SECOND};
    live("saver", &city, all);
    out[0] = all[0];
    out[1] = all[2];
    assert_within(out[1].service / out[0].service, 0.8, 1.25);
}

static void a_short_cache_is_no_treadmill(void **state)
{
    (void)state;
    static const uint32_t blocks[] = {4096, 1024, 512, 256};
    const struct load loads[] = {
        {.tenant = "one",
         .at_once_max = 64,
         .prompt_min = 50,
         .prompt_max = 300,
         .new_min = 200,
         .new_max = 1500},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(blocks); i++) {
        struct outcome out[1];
        struct city city = {.bench = seats32, .loads = loads, .n_loads = 1};
        city.bench.n_blocks = blocks[i];
        live("blocks run short", &city, out);
        assert_true(city.stats.preemptions < 100);
        assert_within((double)city.stats.recomputed_tokens / (double)city.n_rows, 0, 0.25);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(light_one_gets_what_half_a_machine_gives),
        cmocka_unit_test(both_with_more_than_all_share_in_halves),
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(one_alone_gets_everything),
        cmocka_unit_test(a_latecomer_waits_for_nobodys_end),
        cmocka_unit_test(long_prompts_of_others_dont_count_as_shares),
        cmocka_unit_test(coming_and_going_gains_nothing),
        cmocka_unit_test(low_priority_saves_up_no_credit),
        cmocka_unit_test(a_short_cache_is_no_treadmill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
