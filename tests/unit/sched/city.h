/*
 * city.h - tenants with loads on a modelled machine and clock, for experiments with the scheduler.
 *
 * Each load sends requests of random lengths at random times (Poisson) from `from_ns` to `to_ns`; a step takes the time
 * that the machine's profile says. Counted is what falls into [count_from_ns, end).
 *
 * Errors: fail the test.  Threads: one.  Source: ours.
 */
#ifndef CITY_H
#define CITY_H

#include "bench.h"

#define MS INT64_C(1000000)

/* What a step takes, in ns; noise: uniform, of the whole, either way. */
struct machine {
    double fixed, decode_row, decode_kv, prefill_row, prefill_pair;
    double noise;
    double scale; /* 0: 1; 2: a machine half as fast */
};

/* 8 billion weights in 8 bits on one large accelerator, roughly. */
extern const struct machine city_accelerator;

struct load {
    const char *tenant;
    float weight;
    double per_second;
    uint32_t prompt_min, prompt_max, new_min, new_max;
    int32_t priority;
    int64_t from_ns, to_ns; /* to_ns 0: until the end */
    uint32_t at_once_max;   /* 0: no bound; else a closed loop of that many */
    bool leaves;            /* gives its account up whenever it has nothing inside */
};

struct outcome {
    double service;   /* prompt + 2 * output tokens computed, in the counted time */
    uint32_t n_first; /* requests with a first token (or still without), sent in that time */
    double ttft_mean_ms, ttft_p95_ms;
    double gap_max_ms; /* worst time between two tokens of one request */
    uint32_t n_yields;
};

struct city {
    struct bench_options bench;
    struct machine machine;
    const struct load *loads;
    uint32_t n_loads;
    int64_t count_from_ns, end_ns;
    uint64_t seed;
    struct sched_stats stats; /* at the end */
    uint64_t n_steps, n_rows;
};

/* outcomes: one for each load. */
void city_live(struct city *city, struct outcome *ret);

/* Time that the machine takes for the plan; number n of its steps. */
int64_t machine_ns(const struct machine *machine, const struct sched_plan *plan, uint64_t seed,
                   uint64_t n);

#endif
