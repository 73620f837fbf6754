/* Samples and what is told of them; see load.h. */
#include "load.h"

#include <math.h>
#include <stdlib.h>

#include "base/banned.h"

void load_samples_add(struct load_samples *samples, double value)
{
    if (samples->n == samples->capacity) {
        size_t capacity = samples->capacity * 2 + 256;
        double *values = realloc(samples->values, capacity * sizeof *values);
        if (values == NULL)
            return;
        samples->values = values;
        samples->capacity = capacity;
    }
    samples->values[samples->n++] = value;
    samples->sorted = false;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double load_quantile(struct load_samples *samples, double p)
{
    if (samples->n == 0)
        return 0;
    if (!samples->sorted)
        qsort(samples->values, samples->n, sizeof *samples->values, compare);
    samples->sorted = true;
    double rank = ceil(p * (double)samples->n);
    size_t i = rank < 1 ? 0 : (size_t)rank - 1;
    return samples->values[PL_MIN(i, samples->n - 1)];
}

double load_mean(const struct load_samples *samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples->n; i++)
        sum += samples->values[i];
    return samples->n > 0 ? sum / (double)samples->n : 0;
}
