/*
 * A strict reader of Prometheus text format 0.0.4, for tests: what a scraper may trip over is an error.
 *
 * Checked: each family's HELP and TYPE once and before its samples; families not interleaved; names and
 * labels by their grammar; label escapes; values; no series twice; one series per gauge, unless each has
 * a tenant (schedulers read the first only); counters end in
 * _total (or are histogram parts); histograms cumulative, with +Inf equal to _count, and _sum.
 */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include <stdbool.h>

/* NULL if text is fine; else what is wrong (static) and the line in *ret_line (1-based). */
const char *exposition_check(const char *text, int *ret_line);

#endif
