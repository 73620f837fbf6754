/*
 * daemon/progress.h - how loading shows: a bar that redraws itself on a terminal, a few log lines
 * elsewhere.
 *
 * Threads: one caller at a time.  Source: ours.
 */
#ifndef DAEMON_PROGRESS_H
#define DAEMON_PROGRESS_H

#include <polder/base.h>

struct progress {
    bool terminal;    /* stderr is one */
    int shown;        /* last percentage that was written, -1 none */
    int64_t start_ns; /* clock when it began */
};

void progress_begin(struct progress *p);
void progress_show(struct progress *p, double fraction); /* in [0, 1] */
void progress_end(struct progress *p);                   /* clears the bar */

#endif
