/* See metrics.h: the histograms. */
#include "metrics.h"

#include "base/banned.h"

static const double TTFT_BOUNDS[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                     0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                     20,    40,    80,   160,  640,  2560};
static const double ITL_BOUNDS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                    0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5,
                                    5,     7.5,    10,    20,   40,    80};
/* vLLM's begin at 0.3 s; the three before them tell a queue of one step from one of ten. */
static const double PHASE_BOUNDS[] = {0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1,    1.5,
                                      2,    2.5,  5,   10,  15,  20,  30,   40,
                                      50,   60,   120, 240, 480, 960, 1920, 7680};
static const double COUNT_BOUNDS[] = {1,    2,    5,   10,  20,  50,  100, 200, 500, 1000,
                                      2000, 5000, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6};
static const double NUMBER_BOUNDS[] = {1, 2, 5, 10, 20, 50, 100};

static const struct {
    const double *bounds;
    size_t n;
} BOUNDS[] = {
    [METRICS_TTFT] = {TTFT_BOUNDS, PL_ARRAY_LEN(TTFT_BOUNDS)},
    [METRICS_ITL] = {ITL_BOUNDS, PL_ARRAY_LEN(ITL_BOUNDS)},
    [METRICS_PHASE] = {PHASE_BOUNDS, PL_ARRAY_LEN(PHASE_BOUNDS)},
    [METRICS_COUNT] = {COUNT_BOUNDS, PL_ARRAY_LEN(COUNT_BOUNDS)},
    [METRICS_NUMBER] = {NUMBER_BOUNDS, PL_ARRAY_LEN(NUMBER_BOUNDS)},
};
_Static_assert(PL_ARRAY_LEN(TTFT_BOUNDS) <= METRICS_BOUNDS_MAX, "ttft");
_Static_assert(PL_ARRAY_LEN(ITL_BOUNDS) <= METRICS_BOUNDS_MAX, "itl");
_Static_assert(PL_ARRAY_LEN(PHASE_BOUNDS) <= METRICS_BOUNDS_MAX, "phase");
_Static_assert(PL_ARRAY_LEN(COUNT_BOUNDS) <= METRICS_BOUNDS_MAX, "count");

const double *metrics_bounds(enum metrics_bounds bounds, size_t *ret_n)
{
    *ret_n = BOUNDS[bounds].n;
    return BOUNDS[bounds].bounds;
}

void metrics_observe_n(struct metrics_histogram *h, enum metrics_bounds bounds, double value,
                       uint64_t n)
{
    size_t i = 0;
    while (i < BOUNDS[bounds].n && value > BOUNDS[bounds].bounds[i])
        i++;
    h->counts[i] += n;
    h->sum += value * (double)n;
}

void metrics_observe(struct metrics_histogram *h, enum metrics_bounds bounds, double value)
{
    metrics_observe_n(h, bounds, value, 1);
}
