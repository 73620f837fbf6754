/* See meter.h. */
#include "meter.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "io.h"
#include "base/banned.h"

#define SAMPLE_NS     (500 * CLOCK_NS_PER_MS) /* between samples: the rate is over about 8 s */
#define BAR_CELLS_MIN 8
#define BAR_CELLS_MAX 40
#define LABEL_MIN     8 /* columns below which a label says nothing */
#define ETA_MAX_S     (99 * 3600)

void meter_begin(struct meter *m)
{
    *m = (struct meter){0};
}

void meter_add(struct meter *m, int64_t now_ns, uint64_t bytes)
{
    if (bytes < m->last || m->n == 0) {
        m->n = m->next = 0;
    } else {
        const struct meter_sample *newest =
            &m->samples[(m->next + METER_SAMPLES - 1) % METER_SAMPLES];
        if (now_ns - newest->ns < SAMPLE_NS)
            return;
    }
    m->last = bytes;
    m->samples[m->next] = (struct meter_sample){now_ns, bytes};
    m->next = (m->next + 1) % METER_SAMPLES;
    m->n = PL_MIN(m->n + 1, (uint32_t)METER_SAMPLES);
}

double meter_rate(const struct meter *m)
{
    if (m->n < 2)
        return 0;
    const struct meter_sample *newest = &m->samples[(m->next + METER_SAMPLES - 1) % METER_SAMPLES];
    const struct meter_sample *oldest =
        &m->samples[(m->next + METER_SAMPLES - m->n) % METER_SAMPLES];
    double seconds = (double)(newest->ns - oldest->ns) / (double)CLOCK_NS_PER_S;
    return seconds > 0 ? (double)(newest->bytes - oldest->bytes) / seconds : 0;
}

/* "  0:48", "  3:07:20", "" */
static void format_eta(double seconds, char ret[24])
{
    ret[0] = '\0';
    if (seconds < 0 || seconds > ETA_MAX_S)
        return;
    unsigned s = (unsigned)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(ret, 24, "  %u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(ret, 24, "  %u:%02u", s / 60, s % 60);
}

/* Everything to the right of the bar. */
static void format_figures(const struct meter *m, const struct meter_view *v, char *ret, size_t cap)
{
    char have[16], size[16], per_second[16], rate_text[24] = "", eta[24] = "";
    double rate = meter_rate(m);
    io_human_bytes(v->have, have);
    io_human_bytes(v->size, size);
    if (rate > 0) {
        io_human_bytes((uint64_t)rate, per_second);
        (void)snprintf(rate_text, sizeof rate_text, "  %s/s", per_second);
    }
    if (!v->has_size) {
        (void)snprintf(ret, cap, "%s%s", have, rate_text);
        return;
    }
    if (rate > 0 && v->have < v->size)
        format_eta((double)(v->size - v->have) / rate, eta);
    double part = v->size > 0 ? (double)v->have / (double)v->size : 1.0;
    (void)snprintf(ret, cap, "%3d %%  %s of %s%s%s", (int)(PL_MIN(part, 1.0) * 100.0), have, size,
                   rate_text, eta);
}

static void draw_bar(const struct meter_view *v, size_t cells, char *ret)
{
    double part = v->size > 0 ? (double)v->have / (double)v->size : 1.0;
    size_t full = (size_t)(PL_MIN(part, 1.0) * (double)cells);
    memset(ret, '#', full);
    memset(ret + full, '.', cells - full);
    ret[cells] = '\0';
}

void meter_line(const struct meter *m, const struct meter_view *view, char ret[METER_LINE_MAX])
{
    char figures[128], bar[BAR_CELLS_MAX + 1];
    format_figures(m, view, figures, sizeof figures);
    if (view->columns == 0) {
        (void)snprintf(ret, METER_LINE_MAX, "%s: %s", view->label, figures + strspn(figures, " "));
        return;
    }
    size_t width = PL_MIN(view->columns, (unsigned)METER_COLUMNS_MAX) - 1;
    size_t figures_n = PL_MIN(strlen(figures), width), label_n = strlen(view->label);
    size_t room = width - figures_n; /* for label, bar and the blanks between */
    bool has_bar = view->has_size && room >= LABEL_MIN + 1 + BAR_CELLS_MIN + 3;
    size_t bar_n =
        has_bar ? PL_MIN(PL_MAX(room / 2, (size_t)BAR_CELLS_MIN + 3), (size_t)BAR_CELLS_MAX + 3)
                : 0; /* with its brackets and a blank */
    size_t label_max = room - bar_n > 0 ? room - bar_n - 1 : 0;
    label_n = label_max < LABEL_MIN ? 0 : PL_MIN(label_n, label_max);
    if (has_bar)
        draw_bar(view, bar_n - 3, bar);
    (void)snprintf(ret, METER_LINE_MAX, "%.*s%s%s%s%s%s%s%.*s", (int)label_n, view->label,
                   label_n > 0 ? " " : "", has_bar && view->colour ? "\033[36m" : "",
                   has_bar ? "[" : "", has_bar ? bar : "", has_bar ? "] " : "",
                   has_bar && view->colour ? "\033[0m" : "", (int)figures_n, figures);
}
