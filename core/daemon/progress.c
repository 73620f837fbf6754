/* See progress.h. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/banned.h"

#define BAR_CELLS    40
#define LOG_STEP     25                   /* per cent between log lines */
#define LOG_QUIET_NS (2 * CLOCK_NS_PER_S) /* a load that is faster needs no lines */

void progress_begin(struct progress *p)
{
    *p = (struct progress){
        .terminal = isatty(STDERR_FILENO) == 1,
        .shown = -1,
        .start_ns = clock_now_ns(),
    };
}

static void draw(int percent)
{
    char bar[BAR_CELLS + 1];
    int full = percent * BAR_CELLS / 100;
    for (int i = 0; i < BAR_CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    (void)fprintf(stderr, "\rloading model [%s] %3d %%", bar, percent);
    (void)fflush(stderr);
}

void progress_show(struct progress *p, double fraction)
{
    int percent = (int)(PL_MIN(PL_MAX(fraction, 0.0), 1.0) * 100.0);
    if (percent == p->shown)
        return;
    if (p->terminal) {
        draw(percent);
        p->shown = percent;
    } else if (percent / LOG_STEP > p->shown / LOG_STEP &&
               clock_now_ns() - p->start_ns > LOG_QUIET_NS) {
        log_info("loading model: %d %%", percent);
        p->shown = percent;
    }
}

void progress_end(struct progress *p)
{
    if (p->terminal && p->shown >= 0)
        (void)fprintf(stderr, "\r\033[K");
}
