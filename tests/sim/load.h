/*
 * sim/load.h - tenants that send requests, and what they get: arrivals, lengths, shared prefixes, figures.
 *
 * Every random choice is a pure function of the world's seed, the tenant's place and the request's number, so that a
 * change of one tenant leaves the others' requests as they were.
 *
 *   load_new -> (arrivals until each tenant's stop, answers) -> load_run returns when all are answered -> figures
 *
 * Ownership: the load owns its requests and figures; tenants are copied, their strings are not.
 * Threads: one.  Errors: pl_status; answers are counted by outcome.  Limits: LOAD_TENANTS_MAX.
 * Source: ours; the p-quantile is the value at rank ceil(p * n).
 */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include "sim.h"

#define LOAD_TENANTS_MAX 256
#define LOAD_OUTCOMES    6 /* of enum sim_outcome */

enum load_arrival {
    LOAD_POISSON = 0, /* rate per second */
    LOAD_BURSTS,      /* `burst` requests at once, as often as the rate says */
    LOAD_EVENLY,      /* one every 1 / rate */
    LOAD_TRACE,       /* as its trace says */
    LOAD_CLOSED,      /* `users`, each sends the next one think_s after the answer */
};

enum load_shape {
    LOAD_FIXED = 0, /* a */
    LOAD_UNIFORM,   /* from a to b */
    LOAD_LOGNORMAL, /* median a, standard deviation b of the logarithm */
};

struct load_length { /* of a prompt or text, in tokens */
    enum load_shape shape;
    double a, b;
    uint32_t min, max; /* cut to these; 0: 1 and 30000 */
};

struct load_arrival_line {            /* of a trace */
    double at_s;                      /* not falling */
    uint32_t n_in, n_out;             /* tokens */
    uint32_t prefix_i, prefix_tokens; /* of n_in, those that all with this prefix_i share */
};

/* Zero means none, or the default. */
struct load_tenant {
    const struct load_arrival_line *trace; /* [n_trace], outlives the load */
    uint32_t n_trace;
    const char *name, *org; /* NULL: none is told */
    const char *key;        /* of the hop */
    double weight;
    int32_t priority;
    uint32_t deadline_ms;
    enum load_arrival arrival;
    double rate; /* requests per second */
    uint32_t burst, users;
    double think_s, ramp_s;    /* ramp_s: users begin over so long */
    struct load_length prompt; /* behind the prefix */
    struct load_length output;
    uint32_t n_prefixes, prefix_tokens; /* each request takes one of the prefixes, evenly */
    bool prefixes_of_user;              /* closed loop: a user keeps to one */
    double start_s, stop_s;             /* stop_s 0: the load's */
    uint64_t n_max;                     /* requests; 0: no limit */
    double hang_up, slow_reader;        /* parts of the requests */
    double temperature;
    uint32_t n; /* texts per request */
    bool
        no_retry; /* a closed loop's user goes on at once after a refusal, else as Retry-After says */
};

enum load_pick {
    LOAD_LEAST = 0, /* the worker with the fewest of our requests */
    LOAD_ROUND,     /* in turn */
};

struct load_options {
    const struct load_tenant *tenants;
    uint32_t n_tenants;
    double stop_s; /* no arrival from then on */
    double from_s; /* figures: what began before is not counted */
    enum load_pick pick;
    const char *address; /* all requests go there (a gateway); NULL: to the workers */
    bool no_check;       /* texts are not the plain device's */
};

struct load_samples {
    double *values;
    size_t n, capacity;
    bool sorted;
};
void load_samples_add(struct load_samples *samples, double value);
/* p in [0, 1]; 0 without samples. Sorts. */
double load_quantile(struct load_samples *samples, double p);
double load_mean(const struct load_samples *samples);

struct load_figures {
    uint64_t n_begun, n_over;
    uint64_t outcomes[LOAD_OUTCOMES];
    uint64_t timeouts;                                    /* HTTP 504 among the failed */
    uint64_t prompt_tokens, cached_tokens, output_tokens; /* of those that were done */
    uint64_t window_tokens; /* output seen between from_s and stop_s, of all requests */
    double window_s;
    struct load_samples ttft_s, gap_s, e2e_s;
    char first_error[PL_ERROR_MAX];
};

struct load;

PL_NODISCARD enum pl_status load_new(struct sim *sim, const struct load_options *options,
                                     struct load **ret, struct pl_error *err);
void load_free(struct load *load); /* accepts NULL */

/* Runs until all is answered. PL_ETIMEDOUT: some were not, grace_s after the last arrival. */
PL_NODISCARD enum pl_status load_run(struct load *load, double grace_s, struct pl_error *err);

/* Of tenant i; of all for i = n_tenants. Valid until load_free. */
struct load_figures *load_figures(struct load *load, uint32_t i);

#endif
