/* How long a step takes: a model fitted to the measured steps, and chunks cut by it; see impl.h. */
#include "impl.h"

#include <math.h>

#include "base/banned.h"

#define FORGET    0.98 /* weight of a step after the next of its kind */
#define SWEEPS    16   /* of coordinate descent in a step; it goes on from the last fit */
#define OUTLIER   4.0  /* times the expected time, either way: cut to that */
#define TRUSTED   8    /* steps before outliers are cut */
#define BEND_RATE 0.2  /* of the correction for chunks beside decodes */
#define BEND_MAX  4.0

#define PLAIN_RATE 0.1  /* of a step in the average of steps without chunks */
#define ALIKE      0.25 /* share by which the decode rows of two steps may differ to be compared */
#define TRIM_ABOVE 1.8  /* times a step without a chunk: the next chunks get shorter */
#define TRIM_BELOW 1.5  /* and longer again */
#define TRIM_DOWN  0.8
#define TRIM_UP    1.005
#define TRIM_MIN   0.02

/* Where all steps have as many decode rows, nobody can tell the cost of a row from that of a step: it drifts to
 * the step, by some percent with each. So whoever wonders whether one more row pays will try it, and the fit finds out. */
#define DRIFT 1e-3

enum { FIXED = 0, DECODE_ROWS, DECODE_KV, PREFILL_ROWS, PREFILL_PAIRS };
enum { PLAIN = 0, MIXED }; /* kinds of steps: without and with prefill rows */

static void features(const struct sched_load *load, double ret[SCHED_FEATURES])
{
    ret[FIXED] = 1;
    ret[DECODE_ROWS] = load->decode_rows;
    ret[DECODE_KV] = load->decode_kv;
    ret[PREFILL_ROWS] = load->prefill_rows;
    ret[PREFILL_PAIRS] = load->prefill_pairs;
}

static double fitted(const struct sched_pace *pace, const struct sched_load *load)
{
    double f[SCHED_FEATURES];
    double ns = 0;
    features(load, f);
    for (int i = 0; i < SCHED_FEATURES; i++)
        ns += pace->x[i] * f[i];
    return ns;
}

/* ---- the fit --------------------------------------------------------------------------------- */

/* Non-negative least squares over both kinds of steps, one coordinate after the other. */
static void refit(struct sched_pace *pace)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (int i = 0; i < SCHED_FEATURES; i++) {
            double rest = pace->b[PLAIN][i] + pace->b[MIXED][i];
            double own = pace->a[PLAIN][i][i] + pace->a[MIXED][i][i];
            for (int j = 0; j < SCHED_FEATURES; j++)
                if (j != i)
                    rest -= (pace->a[PLAIN][i][j] + pace->a[MIXED][i][j]) * pace->x[j];
            if (i == DECODE_ROWS)
                own *= 1 + DRIFT;
            if (own > 0)
                pace->x[i] = rest > 0 ? rest / own : 0;
        }
    }
}

/* The first step of a kind: what is not explained yet is put on its own cause, so that the fit starts from there. */
static void first_guess(struct sched_pace *pace, int kind, const struct sched_load *load, double ns)
{
    double rest = ns - fitted(pace, load);
    if (rest <= 0)
        return;
    if (kind == MIXED && load->decode_rows <= 0)
        pace->x[PREFILL_ROWS] += rest / load->prefill_rows;
    else
        pace->x[FIXED] += rest;
}

/* What the rows of chunks took beside decodes, against the fit: where the device's time isn't a straight line. */
static void learn_bend(struct sched_pace *pace, const struct sched_load *load, double ns)
{
    struct sched_load plain = *load;
    plain.prefill_rows = plain.prefill_pairs = 0;
    double base = fitted(pace, &plain);
    double chunk = fitted(pace, load) - base;
    if (load->decode_rows <= 0 || chunk <= 0)
        return;
    double bend = PL_MIN(PL_MAX((ns - base) / chunk, 1 / BEND_MAX), BEND_MAX);
    pace->bend += BEND_RATE * (bend - pace->bend);
}

/* The last word has the clock: a fit can put a chunk's time down to the decodes beside it, as long as both come in the
 * same sizes. So steps with chunks are held against the steps before, that had none. */
static void learn_trim(struct sched_pace *pace, int kind, const struct sched_load *load, double ns)
{
    if (load->decode_rows <= 0)
        return;
    bool alike = fabs(load->decode_rows - pace->plain_rows) <= ALIKE * load->decode_rows;
    if (kind == PLAIN) {
        pace->plain_ns = alike ? pace->plain_ns + PLAIN_RATE * (ns - pace->plain_ns) : ns;
        pace->plain_rows = load->decode_rows;
    } else if (alike && ns > TRIM_ABOVE * pace->plain_ns) {
        pace->trim = PL_MAX(pace->trim * TRIM_DOWN, TRIM_MIN);
    } else if (alike && ns < TRIM_BELOW * pace->plain_ns) {
        pace->trim = PL_MIN(pace->trim * TRIM_UP, 1);
    }
}

double sched_pace_trim(const struct sched_pace *pace)
{
    return pace->trim;
}

void sched_pace_init(struct sched_pace *pace)
{
    *pace = (struct sched_pace){.bend = 1, .trim = 1};
}

void sched_pace_learn(struct sched_pace *pace, const struct sched_load *load, int64_t took_ns)
{
    double ns = (double)took_ns;
    const int kind = load->prefill_rows > 0 ? MIXED : PLAIN;
    if (took_ns <= 0 || load->decode_rows + load->prefill_rows <= 0)
        return;
    if (pace->n[kind] == 0) {
        first_guess(pace, kind, load, ns);
    } else if (pace->n[kind] >= TRUSTED) {
        double expected = fitted(pace, load);
        ns = PL_MIN(PL_MAX(ns, expected / OUTLIER), expected * OUTLIER);
    }
    if (ns <= 0)
        return;
    learn_trim(pace, kind, load, (double)took_ns);
    if (kind == MIXED)
        learn_bend(pace, load, ns);
    pace->n[kind]++;
    double f[SCHED_FEATURES];
    features(load, f);
    /* A weight of 1 / ns^2: relative errors count, or else the longest steps alone would decide. */
    for (int i = 0; i < SCHED_FEATURES; i++) {
        for (int j = 0; j < SCHED_FEATURES; j++)
            pace->a[kind][i][j] = FORGET * pace->a[kind][i][j] + f[i] * f[j] / (ns * ns);
        pace->b[kind][i] = FORGET * pace->b[kind][i] + f[i] / ns;
    }
    refit(pace);
}

/* ---- use ------------------------------------------------------------------------------------- */

bool sched_pace_known(const struct sched_pace *pace)
{
    return pace->n[PLAIN] + pace->n[MIXED] > 0;
}

double sched_pace_ns(const struct sched_pace *pace, const struct sched_load *load)
{
    return fitted(pace, load);
}

/* ns of a run of n rows from start on beside decodes: n * row + n * n * pair / 2. */
static void chunk_cost(const struct sched_pace *pace, const struct sched_load *decodes,
                       uint32_t start, double *ret_row, double *ret_pair)
{
    double row = pace->x[PREFILL_ROWS];
    if (pace->n[MIXED] == 0) /* not seen yet: a row of a decode can't be cheaper */
        row = fitted(pace, decodes) / PL_MAX(decodes->decode_rows, 1);
    *ret_row = pace->bend * (row + pace->x[PREFILL_PAIRS] * start);
    *ret_pair = pace->bend * pace->x[PREFILL_PAIRS];
}

uint32_t sched_pace_rows(const struct sched_pace *pace, const struct sched_load *decodes,
                         uint32_t start, double ns)
{
    double row;
    double pair;
    chunk_cost(pace, decodes, start, &row, &pair);
    if (ns <= 0)
        return 0;
    /* The positive root of n^2 pair / 2 + n row = ns, in the form that is good for pair = 0 too. */
    double below = row + sqrt(row * row + 2 * pair * ns);
    double n = below > 0 ? 2 * ns / below : HUGE_VAL;
    return n < (double)UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

double sched_pace_chunk_ns(const struct sched_pace *pace, const struct sched_load *decodes,
                           uint32_t start, uint32_t n_rows)
{
    double row;
    double pair;
    chunk_cost(pace, decodes, start, &row, &pair);
    return n_rows * row + 0.5 * pair * n_rows * n_rows;
}

void sched_pace_stats(const struct sched_pace *pace, const struct sched_load *load,
                      struct sched_stats *ret)
{
    ret->step_fixed_ns = pace->x[FIXED] + pace->x[DECODE_KV] * load->decode_kv;
    ret->step_decode_ns = pace->x[DECODE_ROWS];
    ret->step_prefill_ns = pace->x[PREFILL_ROWS];
}
