/* Loads on a modelled machine; see city.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "city.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/banned.h"

#define LIVE_MAX  16384
#define LOADS_MAX 8
#define FIRST_MAX 16384

const struct machine city_accelerator = {
    .fixed = 6e6,
    .decode_row = 20e3,
    .decode_kv = 20,
    .prefill_row = 60e3,
    .prefill_pair = 1,
    .noise = 0.03,
};

struct citizen {
    struct client client; /* first */
    uint32_t load;
};

struct town {
    struct city *city;
    struct bench b;
    struct citizen **live; /* [LIVE_MAX] */
    uint32_t n_live;
    int64_t next_ns[LOADS_MAX];
    uint32_t n_sent[LOADS_MAX];
    uint32_t n_inside[LOADS_MAX];
    double *ttft;                         /* [n_loads * FIRST_MAX] ms */
    struct sched_tenant *held[LOADS_MAX]; /* kept accounts */
    struct outcome *out;
};

int64_t machine_ns(const struct machine *machine, const struct sched_plan *plan, uint64_t seed,
                   uint64_t n)
{
    double ns = machine->fixed;
    for (uint32_t i = 0; i < plan->n_items; i++) {
        const struct sched_item *item = &plan->items[i];
        if (item->seq->state == SCHED_DECODE)
            ns += machine->decode_row * item->n_rows + machine->decode_kv * item->start;
        else
            ns += item->n_rows * (machine->prefill_row +
                                  machine->prefill_pair * (item->start + 0.5 * item->n_rows));
    }
    ns *= 1 + machine->noise * (2 * (double)rng_uniform(seed, 99, n) - 1);
    return (int64_t)(ns * (machine->scale > 0 ? machine->scale : 1));
}

/* ---- coming and going ------------------------------------------------------------------------ */

static double draw(const struct town *t, uint32_t load, uint32_t n)
{
    return (double)rng_uniform(t->city->seed, load, n);
}

static uint32_t between(double u, uint32_t min, uint32_t max)
{
    return min + (uint32_t)(u * (max - min + 1));
}

static void send(struct town *t, uint32_t i)
{
    const struct load *load = &t->city->loads[i];
    uint32_t n = t->n_sent[i]++;
    struct citizen *c = calloc(1, sizeof *c);
    assert_true(c != NULL && t->n_live < LIVE_MAX);
    const struct client_options options = {
        .tenant = load->tenant,
        .weight = load->weight,
        .seed = 1000000 * (i + 1) + n,
        .n_prompt = between(draw(t, i, 4 * n), load->prompt_min, load->prompt_max),
        .n_new = between(draw(t, i, 4 * n + 1), load->new_min, load->new_max),
        .priority = load->priority,
    };
    client_start(&t->b, &c->client, &options);
    c->load = i;
    t->live[t->n_live++] = c;
    t->n_inside[i]++;
}

static void send_due(struct town *t)
{
    for (uint32_t i = 0; i < t->city->n_loads; i++) {
        const struct load *load = &t->city->loads[i];
        int64_t to_ns = load->to_ns != 0 ? load->to_ns : t->city->end_ns;
        while (t->next_ns[i] <= t->b.now_ns && t->next_ns[i] < to_ns &&
               (load->at_once_max == 0 || t->n_inside[i] < load->at_once_max)) {
            send(t, i);
            double u = draw(t, i, 4 * t->n_sent[i] + 2);
            if (load->at_once_max == 0)
                t->next_ns[i] += (int64_t)(-log(1 - u) / load->per_second * 1e9);
        }
    }
}

static void count_first(struct town *t, const struct citizen *c, int64_t first_ns)
{
    struct outcome *out = &t->out[c->load];
    if (c->client.added_ns < t->city->count_from_ns || out->n_first == FIRST_MAX)
        return;
    t->ttft[c->load * FIRST_MAX + out->n_first++] =
        (double)(first_ns - c->client.added_ns) / (double)MS;
}

static void bury(struct town *t, uint32_t i, bool at_end)
{
    struct citizen *c = t->live[i];
    struct outcome *out = &t->out[c->load];
    if (c->client.n_sampled > 0 || at_end)
        count_first(t, c, c->client.n_sampled > 0 ? c->client.first_ns : t->b.now_ns);
    out->n_yields += c->client.seq.n_yields;
    out->gap_max_ms = PL_MAX(out->gap_max_ms, (double)c->client.gap_max_ns / (double)MS);
    t->n_inside[c->load]--;
    client_close(&t->b, &c->client);
    free(c);
    t->live[i] = t->live[--t->n_live];
}

static void bury_done(struct town *t)
{
    for (uint32_t i = t->n_live; i-- > 0;)
        if (t->live[i]->client.done)
            bury(t, i, false);
}

/* ---- counting -------------------------------------------------------------------------------- */

static double service_of(const struct sched_tenant_stats *stats)
{
    return (double)stats->prompt_tokens + 2 * (double)stats->output_tokens;
}

static void count_service(struct town *t, double sign)
{
    struct sched_tenant_stats stats[16];
    uint32_t n = sched_tenants(t->b.sched, stats, PL_ARRAY_LEN(stats));
    for (uint32_t i = 0; i < t->city->n_loads; i++)
        for (uint32_t k = 0; k < n; k++)
            if (strcmp(stats[k].name, t->city->loads[i].tenant) == 0)
                t->out[i].service += sign * service_of(&stats[k]);
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static void sum_up(struct town *t, uint32_t i)
{
    struct outcome *out = &t->out[i];
    double *ttft = t->ttft + (size_t)i * FIRST_MAX;
    double sum = 0;
    qsort(ttft, out->n_first, sizeof *ttft, compare);
    for (uint32_t k = 0; k < out->n_first; k++)
        sum += ttft[k];
    if (out->n_first == 0)
        return;
    out->ttft_mean_ms = sum / out->n_first;
    out->ttft_p95_ms = ttft[(size_t)(0.95 * (out->n_first - 1))];
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct sched_tenant *enter(struct town *t, uint32_t i)
{
    const struct load *load = &t->city->loads[i];
    return sched_tenant_enter(t->b.sched, load->tenant, strlen(load->tenant),
                              load->weight > 0 ? load->weight : 1);
}

static void open_town(struct town *t, struct city *city, struct outcome *ret)
{
    *t = (struct town){.city = city, .out = ret};
    const size_t n = city->n_loads;
    memset(ret, 0, n * sizeof *ret);
    bench_open(&t->b, &city->bench);
    t->b.fast = true;
    t->live = calloc(LIVE_MAX, sizeof(struct citizen *));
    t->ttft = calloc(n * FIRST_MAX, sizeof *t->ttft);
    assert_true(n <= LOADS_MAX && t->live != NULL && t->ttft != NULL);
    for (uint32_t i = 0; i < n; i++) {
        t->next_ns[i] = city->loads[i].from_ns;
        if (!city->loads[i].leaves)
            t->held[i] = enter(t, i);
    }
}

static void close_town(struct town *t)
{
    while (t->n_live > 0)
        bury(t, t->n_live - 1, true);
    sched_stats(t->b.sched, &t->city->stats);
    t->city->n_steps = t->b.n_steps;
    t->city->n_rows = t->b.n_rows;
    for (uint32_t i = 0; i < t->city->n_loads; i++) {
        sum_up(t, i);
        if (t->held[i] != NULL)
            sched_tenant_leave(t->b.sched, t->held[i]);
    }
    bench_close(&t->b);
    free(t->live);
    free(t->ttft);
}

void city_live(struct city *city, struct outcome *ret)
{
    struct town t;
    bool counting = false;
    open_town(&t, city, ret);
    while (t.b.now_ns < city->end_ns) {
        send_due(&t);
        const struct sched_plan *plan = bench_plan(&t.b);
        if (plan->n_items == 0)
            t.b.now_ns += MS;
        else
            bench_finish(&t.b, plan, machine_ns(&city->machine, plan, city->seed, t.b.n_steps));
        if (!counting && t.b.now_ns >= city->count_from_ns) {
            counting = true;
            count_service(&t, -1);
        }
        bury_done(&t);
    }
    for (uint32_t i = 0; i < city->n_loads; i++)
        if (t.held[i] == NULL) /* an account that nobody uses now isn't told of */
            t.held[i] = enter(&t, i);
    count_service(&t, 1);
    close_town(&t);
}
