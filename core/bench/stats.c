/*
 * bench/stats.c - order statistics of small samples.
 */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/banned.h"

void samples_deinit(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}

void samples_add(struct samples *samples, double value)
{
    if (samples->n == samples->capacity) {
        size_t capacity = samples->capacity == 0 ? 64 : 2 * samples->capacity;
        double *grown = realloc(samples->values, capacity * sizeof *grown);
        if (grown == NULL) {
            samples->lost++;
            return;
        }
        samples->values = grown;
        samples->capacity = capacity;
    }
    samples->values[samples->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(struct samples *samples)
{
    if (samples->n > 1)
        qsort(samples->values, samples->n, sizeof samples->values[0], by_value);
}

double samples_quantile(struct samples *samples, double p)
{
    if (samples->n == 0)
        return (double)NAN;
    sort(samples);
    double rank = ceil(p * (double)samples->n);
    size_t i = rank < 1 ? 0 : (size_t)rank - 1;
    return samples->values[PL_MIN(i, samples->n - 1)];
}

double samples_median(struct samples *samples)
{
    if (samples->n == 0)
        return (double)NAN;
    sort(samples);
    size_t half = samples->n / 2;
    if (samples->n % 2 == 1)
        return samples->values[half];
    return (samples->values[half - 1] + samples->values[half]) / 2;
}

double samples_deviation(const struct samples *samples)
{
    if (samples->n < 2)
        return 0;
    double mean = 0;
    for (size_t i = 0; i < samples->n; i++)
        mean += samples->values[i] / (double)samples->n;
    double sum = 0;
    for (size_t i = 0; i < samples->n; i++)
        sum += (samples->values[i] - mean) * (samples->values[i] - mean);
    return sqrt(sum / (double)(samples->n - 1));
}
