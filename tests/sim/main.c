/*
 * polder-sim: runs a scenario on a virtual clock and prints what its tenants got.
 *
 *   polder-sim [--json] [--log FILE] [--seed N] SCENARIO
 *   polder-sim --points PROFILE        the profile's published points, run again
 *   polder-sim --model FILE            writes the model file, for a polderd with --backend sim
 *
 * Figures on stdout, talk on stderr; exit 0, 1 (failed), 2 (usage).
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "points.h"
#include "report.h"
#include "scenario.h"

#include "base/parse.h"
#include "base/banned.h"

struct arguments {
    const char *scenario, *points, *model, *log;
    int64_t seed; /* < 0: the scenario's */
    bool json;
};

static bool read_arguments(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},        {"log", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},  {"points", required_argument, NULL, 'p'},
        {"model", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0}};
    *ret = (struct arguments){.seed = -1};
    bool ok = true;
    int c;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'j')
            ret->json = true;
        else if (c == 'l')
            ret->log = optarg;
        else if (c == 'p')
            ret->points = optarg;
        else if (c == 'm')
            ret->model = optarg;
        else
            ok = ok && c == 's' && parse_i64(optarg, 0, INT64_MAX, &ret->seed);
    }
    if (optind + 1 == argc)
        ret->scenario = argv[optind];
    return ok && optind + (ret->scenario != NULL ? 1 : 0) == argc &&
           (ret->scenario != NULL) + (ret->points != NULL) + (ret->model != NULL) == 1;
}

static enum pl_status run_scenario(const struct arguments *a, FILE *log, struct pl_error *err)
{
    static struct scenario scenario;
    struct scenario_run run;
    enum pl_status status = scenario_read(a->scenario, &scenario, err);
    if (status != PL_OK)
        return status;
    if (a->seed >= 0)
        scenario.seed = (uint64_t)a->seed;
    status = scenario_run(&scenario, &(struct sim_options){.log = log}, &run, err);
    if (status == PL_OK) {
        if (a->json)
            report_json(&scenario, &run, stdout);
        else
            report_table(&scenario, &run, stdout);
        scenario_run_deinit(&run);
    }
    scenario_deinit(&scenario);
    return status;
}

static enum pl_status run_points(const char *profile, struct pl_error *err)
{
    struct sim_profile_facts facts;
    enum pl_status status = sim_profile_read(profile, &facts, err);
    if (status == PL_OK)
        printf("%-12s %6s %6s %6s %12s %12s %7s\n", "source", "users", "in", "out", "published",
               "here tok/s", "ratio");
    for (uint32_t i = 0; i < facts.n_points && status == PL_OK; i++) {
        const struct sim_point *p = &facts.points[i];
        double tok_s = 0;
        status = points_run(profile, p, &tok_s, err);
        if (status == PL_OK)
            printf("%-12s %6u %6u %6u %12.1f %12.1f %7.3f\n", p->source, p->users, p->n_in,
                   p->n_out, p->tok_s, tok_s, tok_s / p->tok_s);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct pl_error err = {{0}};
    if (!read_arguments(argc, argv, &a)) {
        (void)fprintf(stderr, "polder-sim: expected [--json] [--log FILE] [--seed N] SCENARIO, or "
                              "--points PROFILE, or --model FILE\n");
        return 2;
    }
    FILE *log = a.log != NULL ? fopen(a.log, "we") : NULL;
    enum pl_status status = PL_OK;
    if (a.log != NULL && log == NULL)
        status = pl_error_set(&err, PL_EIO, "can't write %s", a.log);
    else if (a.model != NULL)
        status = sim_model_write(a.model, &err);
    else
        status = a.points != NULL ? run_points(a.points, &err) : run_scenario(&a, log, &err);
    if (log != NULL)
        (void)fclose(log);
    if (status != PL_OK)
        (void)fprintf(stderr, "polder-sim: %s\n", err.msg);
    return status == PL_OK ? 0 : 1;
}
