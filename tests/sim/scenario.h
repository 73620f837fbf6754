/*
 * sim/scenario.h - a world and its load as a text file.
 *
 *   seed 7                            of everything
 *   stop_s 60                         last arrival
 *   from_s 10                         figures count from then on
 *   pick least | round
 *   worker count=8 profile=2xh100-32b seqs=256 rows=2048 queue=512 kv_tokens=.. ctx=.. step_ms=.. draft=..
 *          kv_ram_mb=.. no_cache=1 set=fail=0.01 key=..
 *   tenant name=a org=b arrival=poisson|bursts|evenly|closed trace=FILE rate=2 burst=8 users=4 think_s=0 ramp_s=0
 *          prompt=LENGTH output=LENGTH prefixes=N prefix_tokens=N prefix_of_user=1 weight=.. priority=..
 *          deadline_ms=.. start_s=.. stop_s=.. max=.. hang_up=.. slow_reader=.. temperature=.. n=.. count=..
 *   fault  at_s=20 worker=0 kind=down|lost|fails until_s=30     (lost: up again at until_s, cold)
 *
 *   FILE: lines "AT_S IN OUT [PREFIX PREFIX_TOKENS]"; requests with one PREFIX share its tokens
 *   LENGTH: 128 | 100-200 | lognormal:MEDIAN:SIGMA, each with :max=N behind
 *   '#' begins a remark; a line that begins with a blank goes on with the line before; count=N of a tenant
 *   makes N of them, named a0, a1, ...
 *
 * Ownership: the scenario owns all its strings.  Threads: plain data.  Errors: PL_EFORMAT naming the line.
 * Limits: SCENARIO_*_MAX.  Source: ours.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "load.h"

#define SCENARIO_KINDS_MAX  16 /* lines "worker" */
#define SCENARIO_FAULTS_MAX 64

enum scenario_fault_kind { SCENARIO_DOWN, SCENARIO_LOST, SCENARIO_FAILS };

struct scenario_fault {
    enum scenario_fault_kind kind;
    double at_s, until_s;
    uint32_t worker;
};

struct scenario {
    uint64_t seed;
    double stop_s, from_s;
    enum load_pick pick;
    struct {
        uint32_t count;
        struct sim_worker_options options;
    } workers[SCENARIO_KINDS_MAX];
    uint32_t n_kinds;
    struct load_tenant tenants[LOAD_TENANTS_MAX];
    uint32_t n_tenants;
    struct scenario_fault faults[SCENARIO_FAULTS_MAX];
    uint32_t n_faults;
    void **traces; /* owned, as the strings */
    size_t n_traces;
    char **strings;
    size_t n_strings;
};

PL_NODISCARD enum pl_status scenario_read(const char *path, struct scenario *ret,
                                          struct pl_error *err);
PL_NODISCARD enum pl_status scenario_parse(const char *text, struct scenario *ret,
                                           struct pl_error *err);
void scenario_deinit(struct scenario *scenario);

/* A finished run. */
struct scenario_run {
    struct sim *sim;
    struct load *load;
    double virtual_s, cpu_s; /* how long it lasted, and what it cost this process */
};

/* Opens the world, runs it, leaves figures in *ret. The scenario outlives the run. */
PL_NODISCARD enum pl_status scenario_run(const struct scenario *scenario,
                                         const struct sim_options *options,
                                         struct scenario_run *ret, struct pl_error *err);
void scenario_run_deinit(struct scenario_run *run);

#endif
