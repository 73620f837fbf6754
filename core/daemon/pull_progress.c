/* See pull_progress.h. */
#include "pull_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/banned.h"

#define DRAW_NS         (100 * CLOCK_NS_PER_MS) /* between redraws */
#define LOG_NS          (5 * CLOCK_NS_PER_S)    /* between lines of a log */
#define COLUMNS_DEFAULT 80

static const char *env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    return value != NULL && value[0] != '\0' ? value : NULL;
}

void pull_progress_begin(struct pull_progress *p)
{
    const char *term = env("TERM");
    *p = (struct pull_progress){.shown_ns = clock_now_ns()};
    p->terminal = isatty(STDERR_FILENO) == 1 && !(term != NULL && strcmp(term, "dumb") == 0);
    p->colour = p->terminal && env("NO_COLOR") == NULL;
    meter_begin(&p->meter);
}

static unsigned columns(void)
{
    const char *text = env("COLUMNS");
    int64_t value = 0;
    struct winsize size;
    if (text != NULL && parse_i64(text, 1, METER_COLUMNS_MAX, &value))
        return (unsigned)value;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return COLUMNS_DEFAULT;
}

static void print(struct pull_progress *p, const struct fetch_progress *f)
{
    char label[320], line[METER_LINE_MAX];
    const char *doing = f->checking ? "checking " : "";
    if (f->n_files > 1)
        (void)snprintf(label, sizeof label, "%s%u/%u %s", doing, f->no, f->n_files, f->file);
    else
        (void)snprintf(label, sizeof label, "%s%s", doing, f->file);
    struct meter_view view = {
        .label = label,
        .have = f->have,
        .has_size = f->has_size,
        .size = f->size,
        .columns = p->terminal ? columns() : 0,
        .colour = p->colour,
    };
    meter_line(&p->meter, &view, line);
    if (p->terminal)
        (void)fprintf(stderr, "\r%s\033[K", line);
    else
        log_info("%s", line);
    (void)fflush(stderr);
    p->drawn = p->terminal;
}

void pull_progress_show(struct pull_progress *p, const struct fetch_progress *progress)
{
    int64_t now = clock_now_ns();
    if (strcmp(p->file, progress->file) != 0 || p->checking != progress->checking) {
        meter_begin(&p->meter);
        (void)snprintf(p->file, sizeof p->file, "%s", progress->file);
        p->checking = progress->checking;
    }
    meter_add(&p->meter, now, progress->have);
    if (now - p->shown_ns < (p->terminal ? DRAW_NS : LOG_NS))
        return;
    p->shown_ns = now;
    print(p, progress);
}

void pull_progress_clear(struct pull_progress *p)
{
    if (p->drawn)
        (void)fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
