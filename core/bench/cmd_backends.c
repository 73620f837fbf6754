/*
 * polder-bench backends: every plugin file found, with what it offers or why it can't be used.
 */
#include "bench.h"
#include "options.h"

#include <string.h>

#include "base/json_writer.h"
#include "plugin/plugin.h"

#include "base/banned.h"

static void device_json(struct json_writer *w, const struct plugin_entry *entry, uint32_t i)
{
    struct pl_device_info info = {.struct_size = sizeof info};
    struct pl_error err = {{0}};
    json_object(w);
    if (entry->table->device_info(i, &info, &err) != PL_OK) {
        json_key(w, "error");
        json_cstring(w, err.msg);
    } else {
        json_key(w, "name");
        json_string(w, info.name, strnlen(info.name, sizeof info.name));
        json_key(w, "type");
        json_u64(w, info.type);
        json_key(w, "features");
        json_string(w, info.features, strnlen(info.features, sizeof info.features));
        json_key(w, "memory_bytes");
        json_u64(w, info.memory_bytes);
        json_key(w, "memory_free_bytes");
        json_u64(w, info.memory_free_bytes);
        json_key(w, "units");
        json_u64(w, info.n_units);
    }
    json_object_end(w);
}

static void entry_json(struct json_writer *w, const struct plugin_entry *entry, bool chosen)
{
    json_object(w);
    json_key(w, "name");
    json_cstring(w, entry->name);
    json_key(w, "path");
    json_cstring(w, entry->path);
    if (entry->table == NULL) {
        json_key(w, "rejection");
        json_cstring(w, entry->rejection);
    } else {
        char abi[16];
        snprintf(abi, sizeof abi, "%u.%u", entry->table->abi_major, entry->table->abi_minor);
        json_key(w, "version");
        json_cstring(w, entry->version);
        json_key(w, "abi");
        json_cstring(w, abi);
        json_key(w, "score");
        json_i64(w, entry->probe.score);
        json_key(w, "chosen");
        json_bool(w, chosen);
        json_key(w, "reason");
        json_cstring(w, entry->probe.reason);
        json_key(w, "devices");
        json_array(w);
        for (uint32_t i = 0; i < entry->probe.n_devices; i++)
            device_json(w, entry, i);
        json_array_end(w);
    }
    json_object_end(w);
}

static int print_json(const struct plugin_registry *registry, const struct plugin_entry *chosen)
{
    struct buf out;
    buf_init(&out, 0);
    struct json_writer w;
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "directory");
    json_cstring(&w, plugin_registry_dir(registry));
    json_key(&w, "backends");
    json_array(&w);
    for (uint32_t i = 0; i < plugin_count(registry); i++)
        entry_json(&w, plugin_at(registry, i), plugin_at(registry, i) == chosen);
    json_array_end(&w);
    json_object_end(&w);
    buf_char(&out, '\n');
    bool failed = out.failed;
    if (!failed)
        fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
    return failed ? bench_fail("backends", "out of memory") : BENCH_OK;
}

static void print_device(const struct plugin_entry *entry, uint32_t i)
{
    struct pl_device_info info = {.struct_size = sizeof info};
    struct pl_error err = {{0}};
    if (entry->table->device_info(i, &info, &err) != PL_OK) {
        printf("  device %u  error: %s\n", i, err.msg);
        return;
    }
    info.name[sizeof info.name - 1] = '\0';
    info.features[sizeof info.features - 1] = '\0';
    printf("  device %u  %s, %u units, %.1f of %.1f GiB free\n", i, info.name, info.n_units,
           (double)info.memory_free_bytes / (1 << 30), (double)info.memory_bytes / (1 << 30));
    if (info.features[0] != '\0')
        printf("            %s\n", info.features);
}

static void print_text(const struct plugin_registry *registry, const struct plugin_entry *chosen)
{
    for (uint32_t i = 0; i < plugin_count(registry); i++) {
        const struct plugin_entry *entry = plugin_at(registry, i);
        if (entry->table == NULL) {
            printf("%s  rejected\n  %s\n", entry->name, entry->rejection);
            continue;
        }
        printf("%s  %s, ABI %u.%u, score %d%s\n", entry->name, entry->version,
               entry->table->abi_major, entry->table->abi_minor, entry->probe.score,
               entry == chosen ? ", chosen" : "");
        if (entry->probe.reason[0] != '\0' || entry->probe.n_devices == 0)
            printf("  %s%s\n", entry->probe.n_devices == 0 ? "can't run here: " : "",
                   entry->probe.reason);
        for (uint32_t d = 0; d < entry->probe.n_devices; d++)
            print_device(entry, d);
    }
    fprintf(stderr, "%u plugins in %s\n", plugin_count(registry), plugin_registry_dir(registry));
}

int cmd_backends(int argc, char **argv)
{
    const char *dir = NULL;
    const char *output = "text";
    const struct option_row rows[] = {
        {.name = "--backend-dir",
         .value = "DIR",
         .kind = OPTION_TEXT,
         .target = &dir,
         .help = "where plugins lie; default $POLDER_BACKEND_DIR, else where they were installed"},
        {.name = "-o",
         .value = "text|json",
         .kind = OPTION_TEXT,
         .target = &output,
         .help = "output form; default text"},
    };
    const struct options options = {
        .command = "backends",
        .summary = "Lists every plugin file: name, version, ABI, devices, score, features, or the\n"
                   "reason why it was rejected.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    static const char *const outputs[] = {"text", "json", NULL};
    unsigned form = 0;
    if (!options_choice("backends", "-o", output, outputs, &form))
        return BENCH_USAGE;

    struct plugin_registry *registry = NULL;
    struct pl_error err = {{0}};
    if (plugin_registry_scan(dir, &registry, &err) != PL_OK)
        return bench_fail("backends", "%s", err.msg);
    const struct plugin_entry *chosen = NULL;
    if (plugin_choose(registry, NULL, &chosen, &err) != PL_OK)
        chosen = NULL;
    int code = BENCH_OK;
    if (form == 1)
        code = print_json(registry, chosen);
    else
        print_text(registry, chosen);
    plugin_registry_free(registry);
    return code;
}
