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

#define CHAT .prompt_min = 100, .prompt_max = 700, .new_min = 50, .new_max = 350

static void one_to_ten(void **state)
{
    (void)state;
    struct outcome out[2];
    struct outcome ref[2];
    const struct load loads[] = {
        {.tenant = "light", .per_second = 2.5, CHAT},
        {.tenant = "heavy", .per_second = 25, CHAT},
    };
    const struct load even[] = {
        {.tenant = "light", .per_second = 2.5, CHAT},
        {.tenant = "heavy", .per_second = 2.5, CHAT},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    live("1:10", &city, out);
    city = (struct city){.bench = seats32, .loads = even, .n_loads = 2};
    live("1:1", &city, ref);
    city = (struct city){.bench = seats32, .loads = loads, .n_loads = 1, .machine.scale = 2};
    city.bench.seqs = 16;
    live("alone on half a machine", &city, ref);
}

static void both_behind(void **state)
{
    (void)state;
    struct outcome out[2];
    struct outcome ref[2];
    const struct load loads[] = {
        {.tenant = "light", .per_second = 6, CHAT},
        {.tenant = "heavy", .per_second = 60, CHAT},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    live("6:60, more than all", &city, out);
    city = (struct city){.bench = seats32, .loads = loads, .n_loads = 1, .machine.scale = 2};
    live("alone on half a machine", &city, ref);
}

static void weights(void **state)
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
}

static void late(void **state)
{
    (void)state;
    struct outcome out[2];
    const struct load loads[] = {
        {.tenant = "light", .per_second = 2, CHAT, .from_ns = 20 * SECOND},
        {.tenant = "heavy",
         .at_once_max = 64,
         .prompt_min = 50,
         .prompt_max = 100,
         .new_min = 3000,
         .new_max = 5000},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    city.bench.n_blocks = 16384;
    live("late among long generations", &city, out);
    city.bench.n_blocks = 4096;
    live("late among long generations, few blocks", &city, out);
}

static void long_prompts(void **state)
{
    (void)state;
    struct outcome out[2];
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
    live("heavy with long prompts", &city, out);
    city.bench.n_blocks = 16384;
    live("heavy with long prompts, many blocks", &city, out);
}

static void comes_and_goes(void **state)
{
    (void)state;
    struct outcome out[2];
    const struct load loads[] = {
        {.tenant = "stays", .at_once_max = 40, CHAT},
        {.tenant = "hops", .at_once_max = 16, CHAT, .leaves = true},
    };
    struct city city = {.bench = seats32, .loads = loads, .n_loads = 2};
    city.bench.seqs = 8;
    live("hops", &city, out);
    const struct load one[] = {
        {.tenant = "stays", .at_once_max = 40, CHAT},
        {.tenant = "hops",
         .at_once_max = 1,
         .prompt_min = 2000,
         .prompt_max = 2000,
         .new_min = 10,
         .new_max = 10,
         .leaves = true},
    };
    city.loads = one;
    live("hops with long prompts", &city, out);
    city.bench.seqs = 1;
    city.loads = loads;
    live("one seat", &city, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_to_ten),   cmocka_unit_test(both_behind),
        cmocka_unit_test(weights),      cmocka_unit_test(late),
        cmocka_unit_test(long_prompts), cmocka_unit_test(comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
