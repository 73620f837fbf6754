/* Profiles against the points that they cite, and a fleet that runs faster than the time it tells of. */
#include "t_help.h"

#include "points.h"

#include "base/banned.h"

#define POINT_WITHIN 0.10 /* the profile's own terms are fitted: this checks the sum of all parts */
#define FASTER                                                                                     \
    1.5 /* than real time, in CPU time, on whatever machine runs this; see the docs for figures */

static void profiles_give_back_the_points_that_they_cite(void **state)
{
    (void)state;
    static const char *const profiles[] = {"h100-8b", "h200-8b", "2xh100-32b"};
    struct sim_profile_facts facts;
    struct pl_error err = {{0}};
    for (size_t i = 0; i < PL_ARRAY_LEN(profiles); i++) {
        help_must(sim_profile_read(profiles[i], &facts, &err), &err);
        assert_true(facts.kv_tokens > 100000);
        for (uint32_t p = 0; p < facts.n_points; p++) {
            const struct sim_point *point = &facts.points[p];
            double tok_s = 0;
            if (point->users > 100) /* polder-sim --points runs them all */
                continue;
            help_must(points_run(profiles[i], point, &tok_s, &err), &err);
            print_message("%s, %u users of %u in, %u out: %.1f tok/s, published %.1f\n",
                          profiles[i], point->users, point->n_in, point->n_out, tok_s,
                          point->tok_s);
            help_between("ratio to the published", tok_s / point->tok_s, 1 - POINT_WITHIN,
                         1 + POINT_WITHIN);
        }
    }
}

/* Prompts of 2,000 tokens, as many as it can take: llm-d's published peak. */
static void the_32b_pod_reads_prompts_at_the_published_rate(void **state)
{
    (void)state;
    struct help_run *run = help_run("stop_s 30\nworker profile=2xh100-32b rows=8192\n"
                                    "tenant arrival=closed users=16 prompt=2000 output=1\n");
    const struct load_figures *f = help_all(run);
    help_all_done(f);
    help_between("prompt tokens per second", (double)f->prompt_tokens / run->run.virtual_s,
                 15928 * 0.95, 15928 * 1.05);
    help_end(run);
}

static void a_fleet_of_16_workers_runs_faster_than_real_time(void **state)
{
    (void)state;
    struct help_run *run =
        help_run("from_s 5\nstop_s 30\nworker count=16\n"
                 "tenant name=app count=32 rate=1.5 prompt=lognormal:400:0.8:max=4000\n"
                 "       output=lognormal:150:0.7:max=1000 prefixes=2 prefix_tokens=1500\n");
    help_all_done(help_all(run));
    print_message("%.0f s of 16 workers, %llu tokens, in %.2f s of CPU: %.1f times real time\n",
                  run->run.virtual_s, (unsigned long long)help_all(run)->output_tokens,
                  run->run.cpu_s, run->run.virtual_s / run->run.cpu_s);
#ifndef SIM_SLOW_BUILD
    help_between("times real time", run->run.virtual_s / run->run.cpu_s, FASTER, 1e6);
#endif
    help_end(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles_give_back_the_points_that_they_cite),
        cmocka_unit_test(the_32b_pod_reads_prompts_at_the_published_rate),
        cmocka_unit_test(a_fleet_of_16_workers_runs_faster_than_real_time),
    };
    return cmocka_run_group_tests_name("sim_fleet", tests, NULL, NULL);
}
