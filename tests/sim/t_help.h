/*
 * sim/t_help.h - what the simulator's tests share: scenarios as text, single requests that are waited for.
 *
 * Threads: one.  Errors: end the test.  Source: ours.
 */
#ifndef SIM_T_HELP_H
#define SIM_T_HELP_H

#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static inline void help_must(enum pl_status status, const struct pl_error *err)
{
    if (status != PL_OK)
        fail_msg("%s: %s", pl_status_text(status), err->msg);
}

/* A scenario, run; the caller ends it with help_end. */
struct help_run {
    struct scenario scenario;
    struct scenario_run run;
};

static inline struct help_run *help_run(const char *text)
{
    struct pl_error err = {{0}};
    struct help_run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    FILE *log = getenv("SIM_LOG") != NULL ? stderr : NULL; /* NOLINT(concurrency-mt-unsafe) */
    help_must(scenario_parse(text, &run->scenario, &err), &err);
    help_must(scenario_run(&run->scenario, &(struct sim_options){.log = log}, &run->run, &err),
              &err);
    return run;
}

static inline struct load_figures *help_figures(struct help_run *run, uint32_t tenant)
{
    return load_figures(run->run.load, tenant);
}

static inline struct load_figures *help_all(struct help_run *run)
{
    return load_figures(run->run.load, run->scenario.n_tenants);
}

static inline void help_end(struct help_run *run)
{
    scenario_run_deinit(&run->run);
    scenario_deinit(&run->scenario);
    free(run);
}

/* Every request is answered; nothing is wrong or broken. */
static inline void help_all_sound(const struct load_figures *f)
{
    if (f->outcomes[SIM_WRONG] + f->outcomes[SIM_BROKEN] > 0)
        fail_msg("%llu wrong, %llu broken: %s", (unsigned long long)f->outcomes[SIM_WRONG],
                 (unsigned long long)f->outcomes[SIM_BROKEN], f->first_error);
    assert_int_equal(f->n_over, f->n_begun);
}

static inline void help_all_done(const struct load_figures *f)
{
    help_all_sound(f);
    if (f->outcomes[SIM_DONE] != f->n_begun)
        fail_msg("%llu of %llu done: %s", (unsigned long long)f->outcomes[SIM_DONE],
                 (unsigned long long)f->n_begun, f->first_error);
}

/* Between, with a message that tells the value. */
static inline void help_between(const char *what, double value, double min, double max)
{
    if (!(value >= min && value <= max))
        fail_msg("%s is %g, expected %g to %g", what, value, min, max);
}

#endif
