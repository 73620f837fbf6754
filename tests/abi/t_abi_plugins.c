/*
 * tests/abi/t_abi_plugins.c - every way in which a plugin is refused, version skew both ways, the defaults
 * of optional slots, and the choice among several.
 */
#include "plugin/plugin.h"
#include "table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"

#include "base/banned.h"

static const char *modules; /* where the built variants lie */
static char scratch[4096];  /* a folder of this run's own */

static const char *module_path(const char *variant)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/polder-backend-abi-%s.so", modules, variant);
    return path;
}

/* A path inside scratch. */
static const char *in_scratch(const char *name)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void copy_module(const char *variant, const char *to, mode_t mode)
{
    FILE *in = fopen(module_path(variant), "re");
    FILE *out = fopen(to, "we");
    assert_non_null(in);
    assert_non_null(out);
    char block[4096];
    size_t n = 0;
    while ((n = fread(block, 1, sizeof block, in)) > 0)
        assert_int_equal(fwrite(block, 1, n, out), n);
    fclose(in);
    fclose(out);
    assert_int_equal(chmod(to, mode), 0);
}

static int set_up(void **state)
{
    (void)state;
    modules = getenv("ABI_PLUGIN_DIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (modules == NULL)
        return -1;
    if (chmod(modules, 0755) != 0) /* whatever the umask of the build was */
        return -1;
    snprintf(scratch, sizeof scratch, "%s/../scratch-XXXXXX", modules);
    return mkdtemp(scratch) == NULL ? -1 : 0;
}

static int remove_one(const char *name)
{
    const char *path = in_scratch(name);
    return unlink(path) == 0 || rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {
        "text.so",      "empty.so",      "fifo.so",    "folder.so", "dangling.so",
        "open-file.so", "group-file.so", "foreign.so", "open/x.so", "link-to-open.so",
        "open",         "sticky/x.so",   "sticky",     "good.so",   "scan",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        if (remove_one(names[i]) != 0)
            return -1;
    return rmdir(scratch);
}

/* ---- one file -------------------------------------------------------------------------------- */

struct refusal {
    const char *variant;
    enum pl_status status;
    const char *says; /* part of the message */
};

static void refuses_each_bad_plugin_with_its_reason(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"wrong-major", PL_EVERSION, "polder-backend-abi-wrong-major.so: built for plugin ABI 9.4"},
        {"wrong-major", PL_EVERSION, "this host has 0.1"},
        {"no-head", PL_EFORMAT, "shorter than its head"},
        {"shorter", PL_EFORMAT, "'program_free' is beyond the end"},
        {"cut-slot", PL_EFORMAT, "'program_submit' is beyond the end"},
        {"missing-slot", PL_EFORMAT, "'kv_query' is empty"},
        {"partial-events", PL_EFORMAT, "event slots, but 'event_query' is empty"},
        {"no-symbol", PL_EFORMAT, "has no symbol pl_backend_entry"},
        {"null-table", PL_EFORMAT, "returned no table"},
        {"null-name", PL_EFORMAT, "its name is not"},
        {"empty-name", PL_EFORMAT, "its name is not"},
        {"odd-name", PL_EFORMAT, "its name is not"},
        {"long-name", PL_EFORMAT, "its name is not"},
        {"null-version", PL_EFORMAT, "its version is not"},
        {"odd-version", PL_EFORMAT, "its version is not"},
        {"absent", PL_ENOENT, "polder-backend-abi-absent.so: No such file"},
    };
    int failures = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_backend table = {0};
        struct pl_error err = {{0}};
        enum pl_status status = plugin_load(module_path(rows[i].variant), &table, &err);
        if (status != rows[i].status || strstr(err.msg, rows[i].says) == NULL) {
            print_error("row %zu %s: got %d '%s', want %d '%s'\n", i, rows[i].variant, status,
                        err.msg, rows[i].status, rows[i].says);
            failures++;
        }
        if (table.struct_size != 0) {
            print_error("row %zu %s: table written on failure\n", i, rows[i].variant);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

static void make_bad_files(void)
{
    write_file(in_scratch("text.so"), "this is no module\n", 0644);
    write_file(in_scratch("empty.so"), "", 0644);
    assert_int_equal(mkfifo(in_scratch("fifo.so"), 0600), 0);
    assert_int_equal(mkdir(in_scratch("folder.so"), 0755), 0);
    assert_int_equal(symlink("nowhere", in_scratch("dangling.so")), 0);
    copy_module("good", in_scratch("open-file.so"), 0757);
    copy_module("good", in_scratch("group-file.so"), 0775);
    assert_int_equal(mkdir(in_scratch("open"), 0755), 0);
    copy_module("good", in_scratch("open/x.so"), 0755);
    assert_int_equal(chmod(in_scratch("open"), 0777), 0);
    assert_int_equal(symlink("open/x.so", in_scratch("link-to-open.so")), 0);
    assert_int_equal(mkdir(in_scratch("sticky"), 0755), 0);
    copy_module("good", in_scratch("sticky/x.so"), 0755);
    assert_int_equal(chmod(in_scratch("sticky"), 01777), 0);
    copy_module("good", in_scratch("good.so"), 0755);
    if (geteuid() == 0) {
        copy_module("good", in_scratch("foreign.so"), 0755);
        assert_int_equal(chown(in_scratch("foreign.so"), 65533, 65533), 0);
    }
}

static void refuses_files_that_are_no_modules_or_open_to_others(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"text.so", PL_EFORMAT, "text.so: can't be loaded"},
        {"empty.so", PL_EFORMAT, "empty.so: can't be loaded"},
        {"fifo.so", PL_EFORMAT, "not a regular file"},
        {"folder.so", PL_EFORMAT, "not a regular file"},
        {"dangling.so", PL_ENOENT, "dangling.so: No such file"},
        {"open-file.so", PL_EPERM, "open-file.so: others may write"},
        {"group-file.so", PL_EPERM, "group-file.so: its group may write"},
        {"open/x.so", PL_EPERM, "/open: others may write"},
        {"link-to-open.so", PL_EPERM, "/open: others may write"},
        {"sticky/x.so", PL_EPERM, "/sticky: others may write"},
        {"foreign.so", PL_EPERM, "owned by user 65533"},
        {"good.so", PL_OK, ""},
    };
    make_bad_files();
    int failures = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].variant, "foreign.so") == 0 && geteuid() != 0)
            continue; /* only root can give a file away */
        struct pl_backend table = {0};
        struct pl_error err = {{0}};
        enum pl_status status = plugin_load(in_scratch(rows[i].variant), &table, &err);
        if (status != rows[i].status || strstr(err.msg, rows[i].says) == NULL) {
            print_error("row %zu %s: got %d '%s', want %d '%s'\n", i, rows[i].variant, status,
                        err.msg, rows[i].status, rows[i].says);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

/* ---- version skew ---------------------------------------------------------------------------- */

static void accepts_older_newer_and_minimal_plugins(void **state)
{
    (void)state;
    static const char *const rows[] = {"good", "longer", "frozen"};
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_backend table = {0};
        struct pl_error err = {{0}};
        enum pl_status status = plugin_load(module_path(rows[i]), &table, &err);
        if (status != PL_OK)
            fail_msg("row %zu %s: %s", i, rows[i], err.msg);
        assert_string_equal(table.name, rows[i]);
        for (size_t s = 0; s < table_n_slots; s++) {
            void *fn = NULL;
            memcpy(&fn, (const char *)&table + table_slots[s].offset, sizeof fn);
            assert_non_null(fn);
        }
    }
}

/* A host of the future: its table has two slots more than any plugin of today. */
struct future_table {
    struct pl_backend known;
    void (*added_optional)(void);
    void (*added_required)(void);
};

static enum pl_status load_in_future(bool demand, const struct pl_backend *today,
                                     struct future_table *ret, struct pl_error *err)
{
    struct table_slot slots[64];
    assert_true(table_n_slots + 2 <= PL_ARRAY_LEN(slots));
    memcpy(slots, table_slots, table_n_slots * sizeof slots[0]);
    slots[table_n_slots] = (struct table_slot){
        "added_optional", offsetof(struct future_table, added_optional), TABLE_OPTIONAL};
    slots[table_n_slots + 1] =
        (struct table_slot){"added_required", offsetof(struct future_table, added_required),
                            demand ? TABLE_REQUIRED : TABLE_OPTIONAL};
    return table_copy(ret, sizeof *ret, today, slots, table_n_slots + 2, "old.so", err);
}

static void newer_host_takes_an_older_table_unless_a_required_slot_is_beyond_it(void **state)
{
    (void)state;
    struct pl_backend today;
    struct pl_error err = {{0}};
    assert_int_equal(plugin_load(module_path("frozen"), &today, &err), PL_OK);
    today.struct_size = sizeof today;

    struct future_table future;
    memset(&future, 0xa5, sizeof future);
    assert_int_equal(load_in_future(false, &today, &future, &err), PL_OK);
    assert_true(future.known.program_submit == today.program_submit);
    assert_true(future.added_optional == NULL);
    assert_true(future.added_required == NULL);

    assert_int_equal(load_in_future(true, &today, &future, &err), PL_EFORMAT);
    assert_string_equal(err.msg, "old.so: required slot 'added_required' is beyond the end of the "
                                 "plugin's table");
}

/* ---- defaults -------------------------------------------------------------------------------- */

static void optional_slots_have_working_defaults(void **state)
{
    (void)state;
    struct pl_backend a;
    struct pl_backend b;
    struct pl_error err = {{0}};
    assert_int_equal(plugin_load(module_path("good"), &a, &err), PL_OK);
    assert_int_equal(plugin_load(module_path("strong"), &b, &err), PL_OK);

    struct pl_device_stats stats = {.struct_size = sizeof stats, .n_allocs = 7};
    a.device_stats(NULL, &stats);
    assert_int_equal(stats.struct_size, sizeof stats);
    assert_int_equal(stats.n_allocs, 0);

    struct pl_buffer *buffer = NULL;
    assert_int_equal(a.buffer_import(NULL, "x", 1, &buffer, &err), PL_ENOTSUP);

    struct pl_event *event = NULL;
    assert_int_equal(a.event_new(NULL, &event, &err), PL_OK);
    assert_int_equal(a.event_record(event, NULL, &err), PL_OK);
    assert_int_equal(a.event_wait(event, &err), PL_OK);
    assert_true(a.event_query(event));

    /* The variants' sync fails for a stream that is not NULL, telling the score: each event calls
     * the sync of its own plugin, and wait reports what record found. */
    int place = 0;
    struct pl_stream *stream = (struct pl_stream *)&place;
    assert_int_equal(b.event_record(event, stream, &err), PL_ELOST);
    assert_string_equal(err.msg, "sync of score 10");
    assert_int_equal(a.event_record(event, stream, &err), PL_ELOST);
    assert_string_equal(err.msg, "sync of score 1");
    assert_int_equal(a.event_wait(event, &err), PL_ELOST);
    assert_true(a.event_query(event));
    a.event_free(event);
    a.event_free(NULL);
}

/* ---- scan and choice ------------------------------------------------------------------------- */

static struct plugin_registry *scan_of(const char *const *variants, size_t n)
{
    char dir[8192];
    snprintf(dir, sizeof dir, "%s", in_scratch("scan"));
    assert_int_equal(mkdir(dir, 0755), 0);
    for (size_t i = 0; i < n; i++) {
        char link[16384];
        snprintf(link, sizeof link, "%s/polder-backend-%zu-%s.so", dir, i, variants[i]);
        assert_int_equal(symlink(module_path(variants[i]), link), 0);
    }
    struct plugin_registry *registry = NULL;
    struct pl_error err = {{0}};
    if (plugin_registry_scan(dir, &registry, &err) != PL_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        char link[16384];
        snprintf(link, sizeof link, "%s/polder-backend-%zu-%s.so", dir, i, variants[i]);
        unlink(link);
    }
    rmdir(dir);
    return registry;
}

static void scan_keeps_each_rejection_beside_the_good_ones(void **state)
{
    (void)state;
    static const struct {
        const char *variant;
        const char *name;
        const char *rejection; /* part; NULL: accepted */
    } rows[] = {
        {"good", "good", NULL},
        {"good-again", "polder-backend-1-good-again.so",
         "'good' is taken by polder-backend-0-good"},
        {"wrong-major", "polder-backend-2-wrong-major.so", "9.4"},
        {"probe-fails", "polder-backend-3-probe-fails.so", "probe failed: the card is on fire"},
        {"probe-many", "polder-backend-4-probe-many.so", "claims 4294967295 devices"},
        {"probe-endless", "polder-backend-5-probe-endless.so", "reason without an end"},
        {"probe-none", "probe-none", NULL},
    };
    const char *variants[PL_ARRAY_LEN(rows)];
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        variants[i] = rows[i].variant;
    struct plugin_registry *registry = scan_of(variants, PL_ARRAY_LEN(rows));
    assert_int_equal(plugin_count(registry), PL_ARRAY_LEN(rows));
    for (uint32_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        const struct plugin_entry *entry = plugin_at(registry, i);
        assert_string_equal(entry->name, rows[i].name);
        assert_int_equal(entry->table == NULL, rows[i].rejection != NULL);
        if (rows[i].rejection != NULL && strstr(entry->rejection, rows[i].rejection) == NULL)
            fail_msg("row %u: '%s' lacks '%s'", i, entry->rejection, rows[i].rejection);
    }
    assert_null(plugin_at(registry, (uint32_t)PL_ARRAY_LEN(rows)));

    const struct plugin_entry *chosen = NULL;
    struct pl_error err = {{0}};
    assert_int_equal(plugin_choose(registry, "probe-none", &chosen, &err), PL_ENOTSUP);
    assert_non_null(strstr(err.msg, "no driver"));
    assert_int_equal(plugin_choose(registry, "cuda", &chosen, &err), PL_ENOENT);
    assert_non_null(strstr(err.msg, "no backend 'cuda'"));
    plugin_registry_free(registry);
}

static void choice_is_by_score_and_never_takes_sim_or_soft_gpu_unnamed(void **state)
{
    (void)state;
    static const char *const variants[] = {"good", "probe-none", "sim", "soft-gpu", "strong"};
    struct plugin_registry *registry = scan_of(variants, PL_ARRAY_LEN(variants));
    const struct plugin_entry *chosen = NULL;
    struct pl_error err = {{0}};
    assert_int_equal(plugin_choose(registry, NULL, &chosen, &err), PL_OK);
    assert_string_equal(chosen->name, "strong");
    assert_int_equal(plugin_choose(registry, "sim", &chosen, &err), PL_OK);
    assert_string_equal(chosen->name, "sim");
    assert_int_equal(plugin_choose(registry, "soft-gpu", &chosen, &err), PL_OK);
    assert_int_equal(plugin_choose(registry, "good", &chosen, &err), PL_OK);
    plugin_registry_free(registry);

    static const char *const unreal[] = {"sim", "soft-gpu", "probe-none"};
    registry = scan_of(unreal, PL_ARRAY_LEN(unreal));
    assert_int_equal(plugin_choose(registry, NULL, &chosen, &err), PL_ENOENT);
    assert_non_null(strstr(err.msg, "no usable backend"));
    plugin_registry_free(registry);
}

static void scan_refuses_an_open_folder_and_takes_a_missing_one_as_empty(void **state)
{
    (void)state;
    struct plugin_registry *registry = NULL;
    struct pl_error err = {{0}};
    assert_int_equal(plugin_registry_scan(in_scratch("absent"), &registry, &err), PL_OK);
    assert_int_equal(plugin_count(registry), 0);
    const struct plugin_entry *chosen = NULL;
    assert_int_equal(plugin_choose(registry, NULL, &chosen, &err), PL_ENOENT);
    assert_non_null(strstr(err.msg, "(empty)"));
    plugin_registry_free(registry);

    static const mode_t modes[] = {0777, 0775, 01777, 0757};
    const char *dir = in_scratch("scan");
    assert_int_equal(mkdir(dir, 0755), 0);
    for (size_t i = 0; i < PL_ARRAY_LEN(modes); i++) {
        assert_int_equal(chmod(dir, modes[i]), 0);
        assert_int_equal(plugin_registry_scan(dir, &registry, &err), PL_EPERM);
        assert_non_null(strstr(err.msg, "/scan: "));
    }
    rmdir(dir);
    assert_int_equal(plugin_registry_scan(module_path("good"), &registry, &err), PL_EINVAL);
}

static void scan_bounds_the_number_of_plugins(void **state)
{
    (void)state;
    char dir[8192];
    snprintf(dir, sizeof dir, "%s", in_scratch("scan"));
    assert_int_equal(mkdir(dir, 0755), 0);
    char path[16384];
    for (int i = 0; i <= PLUGIN_MAX; i++) {
        snprintf(path, sizeof path, "%s/polder-backend-%d.so", dir, i);
        write_file(path, "", 0644);
    }
    struct plugin_registry *registry = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = plugin_registry_scan(dir, &registry, &err);
    for (int i = 0; i <= PLUGIN_MAX; i++) {
        snprintf(path, sizeof path, "%s/polder-backend-%d.so", dir, i);
        unlink(path);
    }
    rmdir(dir);
    assert_int_equal(status, PL_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_each_bad_plugin_with_its_reason),
        cmocka_unit_test(refuses_files_that_are_no_modules_or_open_to_others),
        cmocka_unit_test(accepts_older_newer_and_minimal_plugins),
        cmocka_unit_test(newer_host_takes_an_older_table_unless_a_required_slot_is_beyond_it),
        cmocka_unit_test(optional_slots_have_working_defaults),
        cmocka_unit_test(scan_keeps_each_rejection_beside_the_good_ones),
        cmocka_unit_test(choice_is_by_score_and_never_takes_sim_or_soft_gpu_unnamed),
        cmocka_unit_test(scan_refuses_an_open_folder_and_takes_a_missing_one_as_empty),
        cmocka_unit_test(scan_bounds_the_number_of_plugins),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
