/*
 * polder-bench ops: the conformance test of a backend, ours or anyone's.
 */
#include "bench.h"
#include "ops_contract.h"
#include "options.h"

#include <string.h>

#include "plugin/plugin.h"

#include "base/banned.h"

#define SETTINGS_MAX 8

struct report {
    struct ops_bench bench;
    bool quiet; /* only failures and the summary */
    unsigned n_passed, n_failed, n_unsupported, n_unchecked;
    bool refusals_done[64]; /* by opcode */
    bool submit_done;
};

static void on_check(void *user, const char *name, const char *why)
{
    struct report *r = user;
    bool ok = why[0] == '\0';
    if (!ok)
        printf("FAIL         contract: %s: %s\n", name, why);
    else if (!r->quiet)
        printf("ok           contract: %s\n", name);
    *(ok ? &r->n_passed : &r->n_failed) += 1;
}

/* The contract is checked once per opcode, on its first supported case. */
static void check_contract(struct report *r, const struct ops_case *c)
{
    if (!r->refusals_done[c->opcode % PL_ARRAY_LEN(r->refusals_done)]) {
        r->refusals_done[c->opcode % PL_ARRAY_LEN(r->refusals_done)] = true;
        ops_check_refusals(&r->bench.tested, c, on_check, r);
    }
    if (!r->submit_done && !c->has_kv) {
        r->submit_done = true;
        ops_check_submit(&r->bench.tested, c, on_check, r);
    }
}

static void on_case(void *user, struct ops_case *c)
{
    struct report *r = user;
    struct ops_verdict v;
    ops_run_case(&r->bench, c, &v);
    switch (v.outcome) {
    case OPS_PASS:
        r->n_passed++;
        if (!r->quiet)
            printf("ok           %s  nmse %.1e max %.1e\n", c->name, v.nmse, v.max);
        break;
    case OPS_FAIL:
        r->n_failed++;
        printf("FAIL         %s: %s\n", c->name, v.why);
        break;
    case OPS_UNSUPPORTED:
        r->n_unsupported++;
        if (!r->quiet)
            printf("unsupported  %s: %s\n", c->name, v.why);
        break;
    case OPS_UNCHECKED:
        r->n_unchecked++;
        if (!r->quiet)
            printf("unchecked    %s: the reference does not know it\n", c->name);
        break;
    }
    if (v.outcome == OPS_PASS || v.outcome == OPS_FAIL)
        check_contract(r, c);
    fflush(stdout);
}

/* "a=1,b=2" into an array ended by NULL; the text is cut in place. */
static bool split_settings(char *text, const char *settings[SETTINGS_MAX + 1])
{
    size_t n = 0;
    for (char *save = NULL, *part = strtok_r(text, ",", &save); part != NULL;
         part = strtok_r(NULL, ",", &save)) {
        if (n == SETTINGS_MAX)
            return false;
        settings[n++] = part;
    }
    settings[n] = NULL;
    return true;
}

struct ops_options {
    const char *backend, *dir, *filter, *settings;
    int64_t n_threads, device_i;
    bool quiet, reference;
};

static enum pl_status open_devices(struct ops_bench *bench, const struct plugin_entry *tested,
                                   const struct plugin_entry *oracle, const struct ops_options *o,
                                   const char *const *settings, struct pl_error *err)
{
    struct ops_device_options options = {
        .device_i = (uint32_t)o->device_i,
        .n_threads = (uint32_t)o->n_threads,
        .flags = o->reference ? PL_DEVICE_REFERENCE : 0,
        .settings = settings,
    };
    enum pl_status status = ops_device_open(tested->table, &options, &bench->tested, err);
    if (status != PL_OK)
        return status;
    bench->exact = bench->tested.type == PL_DEVICE_CPU;
    if (bench->exact) {
        options.n_threads = 1;
        status = ops_device_open(tested->table, &options, &bench->one_thread, err);
    }
    const struct ops_device_options slow = {.flags = PL_DEVICE_REFERENCE};
    return status == PL_OK ? ops_device_open(oracle->table, &slow, &bench->oracle, err) : status;
}

static int run_all(struct report *r, const struct plugin_entry *tested, const struct ops_options *o)
{
    if (o->filter == NULL)
        ops_check_device(&r->bench.tested, tested->probe.n_devices, on_check, r);
    ops_cases_each(o->filter, on_case, r);
    if (r->n_passed + r->n_failed + r->n_unsupported + r->n_unchecked == 0)
        return bench_fail("ops", "no case's name contains '%s'", o->filter);
    printf("%s %s: %u ok, %u failed, %u unsupported, %u unchecked\n", tested->name, tested->version,
           r->n_passed, r->n_failed, r->n_unsupported, r->n_unchecked);
    return r->n_failed == 0 ? BENCH_OK : BENCH_FAILED;
}

static int run(const struct plugin_registry *registry, const struct ops_options *o,
               const char *const *settings)
{
    const struct plugin_entry *tested = NULL;
    const struct plugin_entry *oracle = NULL;
    struct pl_error err = {{0}};
    if (plugin_choose(registry, o->backend, &tested, &err) != PL_OK ||
        plugin_choose(registry, "cpu", &oracle, &err) != PL_OK)
        return bench_fail("ops", "%s", err.msg);
    struct report r = {.quiet = o->quiet};
    int code = open_devices(&r.bench, tested, oracle, o, settings, &err) == PL_OK
                   ? run_all(&r, tested, o)
                   : bench_fail("ops", "%s", err.msg);
    ops_device_close(&r.bench.tested);
    ops_device_close(&r.bench.one_thread);
    ops_device_close(&r.bench.oracle);
    return code;
}

static enum options_result parse(struct ops_options *o, int argc, char **argv)
{
    const struct option_row rows[] = {
        {.name = "--backend",
         .value = "NAME",
         .kind = OPTION_TEXT,
         .target = &o->backend,
         .help = "plugin to prove; default: the best that runs here"},
        {.name = "--filter",
         .value = "OP",
         .kind = OPTION_TEXT,
         .target = &o->filter,
         .help = "only cases whose name contains this: LINEAR, 'ATTN F16', Q4_K"},
        {.name = "--backend-dir",
         .value = "DIR",
         .kind = OPTION_TEXT,
         .target = &o->dir,
         .help = "where plugins lie"},
        {.name = "--device",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->device_i,
         .min = 0,
         .max = 255,
         .help = "device of the plugin; default 0"},
        {.name = "-t",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->n_threads,
         .min = 0,
         .max = 1024,
         .help = "CPU threads; default: physical cores"},
        {.name = "--set",
         .value = "KEY=VALUE,...",
         .kind = OPTION_TEXT,
         .target = &o->settings,
         .help = "settings of the plugin"},
        {.name = "--reference",
         .kind = OPTION_FLAG,
         .target = &o->reference,
         .help = "prove the plugin's reference kernels"},
        {.name = "--quiet",
         .kind = OPTION_FLAG,
         .target = &o->quiet,
         .help = "print failures and the summary only"},
    };
    const struct options options = {
        .command = "ops",
        .summary =
            "Runs every op over types and shapes on a backend and compares with the CPU\n"
            "plugin's reference; checks guards, repeatability, refusals. Lists each case as\n"
            "ok, FAIL, unsupported or unchecked; exit 1 if one failed.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    return options_parse(&options, argc, argv);
}

int cmd_ops(int argc, char **argv)
{
    struct ops_options o = {0};
    enum options_result parsed = parse(&o, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    char text[256] = "";
    const char *settings[SETTINGS_MAX + 1];
    if (o.settings != NULL)
        snprintf(text, sizeof text, "%s", o.settings);
    if ((o.settings != NULL && strlen(o.settings) >= sizeof text) ||
        !split_settings(text, settings)) {
        fprintf(stderr, "polder-bench ops: option --set: too long (see polder-bench ops --help)\n");
        return BENCH_USAGE;
    }
    struct plugin_registry *registry = NULL;
    struct pl_error err = {{0}};
    if (plugin_registry_scan(o.dir, &registry, &err) != PL_OK)
        return bench_fail("ops", "%s", err.msg);
    int code = run(registry, &o, settings);
    plugin_registry_free(registry);
    return code;
}
