/*
 * daemon/pull_progress.h - prints how a download goes: a bar on a terminal, a line now and then elsewhere.
 *
 * COLUMNS and NO_COLOR are honoured; a terminal that is dumb counts as none.
 *
 * Threads: one caller at a time.  Source: ours; no-color.org.
 */
#ifndef DAEMON_PULL_PROGRESS_H
#define DAEMON_PULL_PROGRESS_H

#include "fetch/fetch.h"
#include "fetch/meter.h"

struct pull_progress {
    struct meter meter;
    bool terminal, colour;
    bool drawn;       /* the bar is on the screen */
    int64_t shown_ns; /* when it was printed last */
    char file[256];   /* of which the meter is */
    bool checking;
};

void pull_progress_begin(struct pull_progress *p);
void pull_progress_show(struct pull_progress *p, const struct fetch_progress *progress);

/* Takes the bar off the screen. */
void pull_progress_clear(struct pull_progress *p);

#endif
