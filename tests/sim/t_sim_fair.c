/*
 * P3 and P4 on the virtual clock: two tenants, one at ten times the load; a long prompt among decoders.
 *
 * What "fair" is, see docs/internals/sim.md: the light tenant asks for less than half of the machine, so it should get all
 * that it asks for, and wait no longer than
 *   a) where the heavy tenant sends as much as the light one does, and
 *   b) alone on half a machine (each term of the step twice as long, half of the cache and of the seats);
 * where both ask for more than they can get, each should get its weight's part of the output.
 */
#include "t_help.h"

#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define WITHIN 1.2 /* the bar: 20 % */

#define LENGTHS "prompt=lognormal:400:0.6:max=3000 output=lognormal:150:0.5:max=600\n"

static char half_path[] = "/tmp/polder-half-XXXXXX";

/* h100-8b.txt at half the speed. */
static int write_half(void **state)
{
    (void)state;
    int fd = mkstemp(half_path);
    assert_true(fd >= 0);
    static const char text[] = "fixed_us 13500\ndecode_us 20\nprefill_us 48\nkv_ns 103.6\n"
                               "pair_ns 5.6\nkv_tokens 188400\n";
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    return 0;
}

static int remove_half(void **state)
{
    (void)state;
    return unlink(half_path);
}

struct light { /* what the light tenant gets */
    double per_s, ttft_mean_s, ttft_p50_s, ttft_p90_s;
    uint64_t begun, done;
};

static struct light run_light(const char *fmt, double rate, double heavy)
{
    char text[1024];
    char line[256] = "";
    if (heavy > 0)
        (void)snprintf(line, sizeof line, "tenant name=heavy rate=%g " LENGTHS, heavy);
    (void)snprintf(text, sizeof text,
                   "seed 3\nfrom_s 20\nstop_s 80\nworker %s\ntenant name=light rate=%g " LENGTHS
                   "%s",
                   fmt, rate, line);
    struct help_run *run = help_run(text);
    struct load_figures *f = help_figures(run, 0);
    help_all_sound(f);
    struct light ret = {.per_s = (double)f->window_tokens / f->window_s,
                        .ttft_mean_s = load_mean(&f->ttft_s),
                        .ttft_p50_s = load_quantile(&f->ttft_s, 0.5),
                        .ttft_p90_s = load_quantile(&f->ttft_s, 0.9),
                        .begun = f->n_begun,
                        .done = f->outcomes[SIM_DONE]};
    help_end(run);
    return ret;
}

static void the_light_tenant_gets_its_share_beside_ten_times_its_load(void **state)
{
    (void)state;
    char half[96];
    (void)snprintf(half, sizeof half, "profile=%s seqs=128", half_path);
    const double rate = 10; /* about 28 % of the machine; 110 together are three machines' load */
    struct light crowded = run_light("profile=h100-8b", rate, 10 * rate);
    struct light equal = run_light("profile=h100-8b", rate, rate);
    struct light alone = run_light(half, rate, 0);
    print_message("light tenant: %.0f tok/s, TTFT mean %.1f p50 %.1f p90 %.1f ms; with an equal "
                  "%.0f tok/s, %.1f %.1f %.1f; alone on half %.0f tok/s, %.1f %.1f %.1f\n",
                  crowded.per_s, 1e3 * crowded.ttft_mean_s, 1e3 * crowded.ttft_p50_s,
                  1e3 * crowded.ttft_p90_s, equal.per_s, 1e3 * equal.ttft_mean_s,
                  1e3 * equal.ttft_p50_s, 1e3 * equal.ttft_p90_s, alone.per_s,
                  1e3 * alone.ttft_mean_s, 1e3 * alone.ttft_p50_s, 1e3 * alone.ttft_p90_s);
    assert_int_equal(crowded.done,
                     crowded.begun); /* none refused: the crowd waits behind its own */
    help_between("share, to an equal", crowded.per_s / equal.per_s, 1 / WITHIN, WITHIN);
    help_between("share, to half a machine", crowded.per_s / alone.per_s, 1 / WITHIN, WITHIN);
    help_between("mean TTFT, to an equal", crowded.ttft_mean_s / equal.ttft_mean_s, 0, WITHIN);
    help_between("p50 TTFT, to an equal", crowded.ttft_p50_s / equal.ttft_p50_s, 0, WITHIN);
    help_between("p90 TTFT, to an equal", crowded.ttft_p90_s / equal.ttft_p90_s, 0, WITHIN);
    help_between("mean TTFT, to half", crowded.ttft_mean_s / alone.ttft_mean_s, 0, WITHIN);
    help_between("p90 TTFT, to half", crowded.ttft_p90_s / alone.ttft_p90_s, 0, WITHIN);
}

/* Parts of the output where all ask for more than there is; clients keep a part of their own waiting. */
static void all_backlogged_share_by_weight(void **state)
{
    (void)state;
    static const struct {
        double weight, part;
    } rows[] = {{1, 0.5}, {3, 0.75}};
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        char text[1024];
        (void)snprintf(text, sizeof text,
                       "seed 3\nfrom_s 20\nstop_s 70\nworker profile=h100-8b seqs=64\n"
                       "tenant name=light weight=%g arrival=closed users=100 ramp_s=5 " LENGTHS
                       "tenant name=heavy arrival=closed users=1000 ramp_s=5 " LENGTHS,
                       rows[i].weight);
        struct help_run *run = help_run(text);
        const struct load_figures *light = help_figures(run, 0);
        double part = (double)light->window_tokens / (double)help_all(run)->window_tokens;
        print_message("weight %g: %.3f of the output\n", rows[i].weight, part);
        help_all_sound(help_all(run));
        help_between("part of the output", part, rows[i].part / WITHIN, rows[i].part * WITHIN);
        help_end(run);
    }
}

static void a_long_prompt_does_not_stop_those_who_decode(void **state)
{
    (void)state;
    static const char world[] = "stop_s 20\nworker profile=h100-8b\n"
                                "tenant name=decoders arrival=closed users=31 prompt=200 "
                                "output=4000 ramp_s=2\n";
    static const char longs[] = "tenant name=long arrival=closed users=1 prompt=4096 output=1\n";
    char text[sizeof world + sizeof longs];
    struct help_run *without = help_run(world);
    double p50 = load_quantile(&help_figures(without, 0)->gap_s, 0.5);
    help_all_done(help_all(without));
    (void)snprintf(text, sizeof text, "%s%s", world, longs);
    struct help_run *with = help_run(text);
    struct load_figures *f = help_figures(with, 0);
    struct load_figures *long_one = help_figures(with, 1);
    help_all_done(help_all(with));
    print_message("time between tokens: p50 %.2f ms without, p99 %.2f and at most %.2f ms with 4k "
                  "prompts all the time, whose TTFT is %.0f ms\n",
                  1e3 * p50, 1e3 * load_quantile(&f->gap_s, 0.99),
                  1e3 * load_quantile(&f->gap_s, 1), 1e3 * load_quantile(&long_one->ttft_s, 0.5));
    help_between("p99 between tokens over p50 without", load_quantile(&f->gap_s, 0.99) / p50, 1, 2);
    help_between("TTFT of the long prompt, s", load_quantile(&long_one->ttft_s, 0.9), 0.1, 1);
    help_end(with);
    help_end(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_light_tenant_gets_its_share_beside_ten_times_its_load),
        cmocka_unit_test(all_backlogged_share_by_weight),
        cmocka_unit_test(a_long_prompt_does_not_stop_those_who_decode),
    };
    return cmocka_run_group_tests_name("sim_fair", tests, write_half, remove_half);
}
