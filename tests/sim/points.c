/* See points.h. */
#include "points.h"

#include "load.h"

#include "base/banned.h"

#define WINDOWS   4    /* how many texts a user gets in the counted time, and so long it warms up */
#define SEQS_ROOM 2    /* more seats than users: the published runs were not short of them */
#define ROWS      8192 /* the batch that vLLM's benchmarks take on large GPUs */
#define GRACE_S   3600
#define STEP_MS   1000 /* no limit: the published runs had none */

enum pl_status points_run(const char *profile, const struct sim_point *point, double *ret_tok_s,
                          struct pl_error *err)
{
    double text_s = point->users * (double)point->n_out / point->tok_s;
    const struct load_tenant tenant = {
        .arrival = LOAD_CLOSED,
        .users = point->users,
        .ramp_s = text_s,
        .prompt = {.a = point->n_in},
        .output = {.a = point->n_out},
    };
    const struct load_options options = {
        .tenants = &tenant, .n_tenants = 1, .from_s = text_s, .stop_s = (WINDOWS + 1) * text_s};
    const struct sim_worker_options worker_options = {.profile = profile,
                                                      .seqs_max = point->users + SEQS_ROOM,
                                                      .rows_max = ROWS,
                                                      .step_target_ms = STEP_MS};
    struct sim *sim = NULL;
    struct sim_worker *worker = NULL;
    struct load *load = NULL;
    enum pl_status status = sim_open(&(struct sim_options){.seed = 1}, &sim, err);
    if (status == PL_OK)
        status = sim_worker_add(sim, &worker_options, &worker, err);
    if (status == PL_OK)
        status = load_new(sim, &options, &load, err);
    if (status == PL_OK)
        status = load_run(load, GRACE_S, err);
    if (status == PL_OK) {
        const struct load_figures *f = load_figures(load, 0);
        *ret_tok_s = (double)f->window_tokens / f->window_s;
    }
    load_free(load);
    sim_close(sim);
    return status;
}
