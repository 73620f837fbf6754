/* Runs a scenario; see scenario.h. */
#include "scenario.h"

#include "base/clock.h"
#include "base/banned.h"

#define GRACE_S 3600 /* virtual: an answer that has not come by then never comes */

struct change { /* one end of a fault */
    struct sim *sim;
    struct sim_worker *worker;
    enum scenario_fault_kind kind;
    bool begins;
};

static void on_change(void *user)
{
    const struct change *change = user;
    struct sim_worker *worker = change->worker;
    struct pl_error err;
    if (change->kind == SCENARIO_FAILS) {
        sim_worker_fault(worker, change->begins ? PL_EIO : PL_OK);
    } else if (change->begins && change->kind == SCENARIO_LOST) {
        sim_worker_fault(worker, PL_ELOST);
    } else {
        sim_worker_down(worker);
        if (!change->begins && sim_worker_up(worker, &err) != PL_OK)
            sim_log(change->sim, "%s", err.msg);
    }
}

static enum pl_status add_workers(const struct scenario *s, struct sim *sim, struct pl_error *err)
{
    struct sim_worker *worker = NULL;
    enum pl_status status = PL_OK;
    for (uint32_t k = 0; k < s->n_kinds; k++)
        for (uint32_t i = 0; i < s->workers[k].count && status == PL_OK; i++)
            status = sim_worker_add(sim, &s->workers[k].options, &worker, err);
    return status;
}

static enum pl_status plan_faults(const struct scenario *s, struct sim *sim, struct change *changes,
                                  struct pl_error *err)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct scenario_fault *f = &s->faults[i];
        struct sim_worker *worker = sim_worker_at(sim, f->worker);
        if (worker == NULL)
            return pl_error_set(err, PL_EINVAL, "sim: a fault of worker %u: there is none",
                                f->worker);
        for (uint32_t end = 0; end < (f->until_s > f->at_s ? 2U : 1U); end++) {
            struct change *change = &changes[2 * i + end];
            *change =
                (struct change){.sim = sim, .worker = worker, .kind = f->kind, .begins = end == 0};
            double at_s = end == 0 ? f->at_s : f->until_s;
            if (sim_at(sim, (int64_t)(at_s * 1e9), on_change, change) != PL_OK)
                return pl_error_set(err, PL_ENOMEM, "sim: no memory for a fault");
        }
    }
    return PL_OK;
}

enum pl_status scenario_run(const struct scenario *scenario, const struct sim_options *options,
                            struct scenario_run *ret, struct pl_error *err)
{
    struct change changes[2 * SCENARIO_FAULTS_MAX];
    const struct load_options load = {.tenants = scenario->tenants,
                                      .n_tenants = scenario->n_tenants,
                                      .stop_s = scenario->stop_s,
                                      .from_s = scenario->from_s,
                                      .pick = scenario->pick};
    struct scenario_run run = {0};
    struct sim_options with_seed = *options;
    with_seed.seed = scenario->seed;
    int64_t from_ns = clock_cpu_ns();
    enum pl_status status = sim_open(&with_seed, &run.sim, err);
    if (status == PL_OK)
        status = add_workers(scenario, run.sim, err);
    if (status == PL_OK)
        status = plan_faults(scenario, run.sim, changes, err);
    if (status == PL_OK)
        status = load_new(run.sim, &load, &run.load, err);
    if (status == PL_OK)
        status = load_run(run.load, GRACE_S, err);
    if (status != PL_OK) {
        scenario_run_deinit(&run);
        return status;
    }
    run.virtual_s = (double)sim_now_ns(run.sim) / 1e9;
    run.cpu_s = (double)(clock_cpu_ns() - from_ns) / 1e9;
    *ret = run;
    return PL_OK;
}

void scenario_run_deinit(struct scenario_run *run)
{
    load_free(run->load);
    sim_close(run->sim);
    *run = (struct scenario_run){0};
}
