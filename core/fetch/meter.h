/*
 * fetch/meter.h - how a download shows: rate, percent and time left, on one line that fits.
 *
 *   model.gguf [###########.............]  42 %  1.2 of 2.9 GB  35 MB/s  0:48
 *
 * Only text is made here; who prints it decides on what and when.
 *
 * Ownership: the caller's storage.  Threads: one owner.  Limits: METER_LINE_MAX.  Source: ours.
 */
#ifndef FETCH_METER_H
#define FETCH_METER_H

#include <polder/base.h>

#define METER_LINE_MAX    512
#define METER_COLUMNS_MAX 250
#define METER_SAMPLES     16 /* of the last seconds, for the rate */

struct meter {
    struct meter_sample {
        int64_t ns;
        uint64_t bytes;
    } samples[METER_SAMPLES]; /* a ring, the oldest at next */
    uint32_t n, next;
    uint64_t last; /* bytes, to see a new start */
};

struct meter_view {
    const char *label; /* printed in front, cut where it does not fit */
    uint64_t have;     /* bytes */
    bool has_size;
    uint64_t size;
    unsigned columns; /* of the terminal; 0: no bar, for logs */
    bool colour;
};

void meter_begin(struct meter *m);

/* Bytes that are here at a time; fewer than before begin anew. */
void meter_add(struct meter *m, int64_t now_ns, uint64_t bytes);

/* Bytes a second over the last samples; 0: not known yet. */
double meter_rate(const struct meter *m);

/* The line, without a line end: at most columns - 1 characters wide where columns is not 0. */
void meter_line(const struct meter *m, const struct meter_view *view, char ret[METER_LINE_MAX]);

#endif
