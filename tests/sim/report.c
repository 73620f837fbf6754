/* See report.h. */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json_writer.h"
#include "base/banned.h"

#define ROWS_MAX 32 /* tenants in the table; JSON tells all */

static const char *name_of(const struct scenario *s, uint32_t i)
{
    if (i == s->n_tenants)
        return "all";
    return s->tenants[i].name != NULL ? s->tenants[i].name : "-";
}

static double per_s(const struct load_figures *f)
{
    return f->window_s > 0 ? (double)f->window_tokens / f->window_s : 0;
}

static double hit_rate(const struct load_figures *f)
{
    return f->prompt_tokens > 0 ? (double)f->cached_tokens / (double)f->prompt_tokens : 0;
}

/* ---- for people ---------------------------------------------------------------------------------- */

static void print_row(const char *name, struct load_figures *f, FILE *out)
{
    (void)fprintf(out, "%-12s %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %9.1f %5.1f%%", name,
                  f->n_begun, f->outcomes[SIM_DONE], f->n_over - f->outcomes[SIM_DONE], per_s(f),
                  100 * hit_rate(f));
    struct load_samples *samples[] = {&f->ttft_s, &f->gap_s, &f->e2e_s};
    for (size_t i = 0; i < PL_ARRAY_LEN(samples); i++)
        (void)fprintf(out, "  %9.1f %9.1f %9.1f", 1e3 * load_quantile(samples[i], 0.5),
                      1e3 * load_quantile(samples[i], 0.9), 1e3 * load_quantile(samples[i], 0.99));
    (void)fprintf(out, "\n");
}

void report_table(const struct scenario *s, const struct scenario_run *run, FILE *out)
{
    (void)fprintf(out, "%-12s %8s %8s %7s %9s %6s  %29s  %29s  %29s\n", "tenant", "begun", "done",
                  "other", "out tok/s", "cached", "TTFT ms p50 p90 p99", "ITL ms p50 p90 p99",
                  "E2E ms p50 p90 p99");
    for (uint32_t i = 0; i < PL_MIN(s->n_tenants, ROWS_MAX); i++)
        print_row(name_of(s, i), load_figures(run->load, i), out);
    struct load_figures *all = load_figures(run->load, s->n_tenants);
    print_row("all", all, out);
    for (int i = SIM_REFUSED; i < LOAD_OUTCOMES; i++)
        if (all->outcomes[i] > 0)
            (void)fprintf(out, "%s: %" PRIu64 "%s%s\n", sim_outcome_name((enum sim_outcome)i),
                          all->outcomes[i], all->first_error[0] != '\0' ? ", first of all: " : "",
                          all->first_error);
    double busy = 0;
    for (uint32_t i = 0; i < sim_n_workers(run->sim); i++)
        busy += sim_worker_busy(sim_worker_at(run->sim, i)) / sim_n_workers(run->sim);
    (void)fprintf(out,
                  "%u workers %.0f %% busy; %.1f s in %.2f s of CPU: %.1f times real time; digest "
                  "%016" PRIx64 "\n",
                  sim_n_workers(run->sim), 100 * busy, run->virtual_s, run->cpu_s,
                  run->virtual_s / run->cpu_s, sim_digest(run->sim));
}

/* ---- for programs -------------------------------------------------------------------------------- */

static void write_samples(struct json_writer *w, const char *key, struct load_samples *samples)
{
    static const struct {
        const char *name;
        double p;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1}};
    json_key(w, key);
    json_object(w);
    json_key(w, "n");
    json_u64(w, samples->n);
    json_key(w, "mean");
    json_f64(w, load_mean(samples));
    for (size_t i = 0; i < PL_ARRAY_LEN(quantiles); i++) {
        json_key(w, quantiles[i].name);
        json_f64(w, load_quantile(samples, quantiles[i].p));
    }
    json_object_end(w);
}

static void write_figures(struct json_writer *w, const char *name, struct load_figures *f)
{
    json_object(w);
    json_key(w, "name");
    json_cstring(w, name);
    json_key(w, "begun");
    json_u64(w, f->n_begun);
    for (int i = 0; i < LOAD_OUTCOMES; i++) {
        json_key(w, i == SIM_HUNG_UP ? "hung_up" : sim_outcome_name((enum sim_outcome)i));
        json_u64(w, f->outcomes[i]);
    }
    json_key(w, "prompt_tokens");
    json_u64(w, f->prompt_tokens);
    json_key(w, "cached_tokens");
    json_u64(w, f->cached_tokens);
    json_key(w, "output_tokens");
    json_u64(w, f->output_tokens);
    json_key(w, "output_tokens_per_s");
    json_f64(w, per_s(f));
    write_samples(w, "ttft_s", &f->ttft_s);
    write_samples(w, "itl_s", &f->gap_s);
    write_samples(w, "e2e_s", &f->e2e_s);
    json_object_end(w);
}

void report_json(const struct scenario *s, const struct scenario_run *run, FILE *out)
{
    struct buf text;
    struct json_writer w;
    char digest[24];
    buf_init(&text, 0);
    json_begin(&w, &text);
    json_object(&w);
    json_key(&w, "workers");
    json_u64(&w, sim_n_workers(run->sim));
    json_key(&w, "virtual_s");
    json_f64(&w, run->virtual_s);
    json_key(&w, "cpu_s");
    json_f64(&w, run->cpu_s);
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, sim_digest(run->sim));
    json_key(&w, "digest");
    json_cstring(&w, digest);
    json_key(&w, "tenants");
    json_array(&w);
    for (uint32_t i = 0; i <= s->n_tenants; i++)
        write_figures(&w, name_of(s, i), load_figures(run->load, i));
    json_array_end(&w);
    json_object_end(&w);
    (void)fprintf(out, "%s\n", text.failed ? "{}" : text.data);
    buf_deinit(&text);
}
