/*
 * plugin/registry.c - the scan of a folder, what each plugin's probe says, and the choice among them.
 */
#include "plugin.h"
#include "trust.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#ifndef PL_BACKEND_DIR
#error "PL_BACKEND_DIR: the folder where plugins are installed"
#endif

#define FILE_PATTERN "polder-backend-*.so"
#define DIR_ENV      "POLDER_BACKEND_DIR"
#define DEVICES_MAX  256 /* of one plugin: sixteen times what a large node has */

struct registry_slot {
    struct plugin_entry entry;
    struct pl_backend table;
    char *path; /* malloc'ed; entry.path and, for a rejected one, entry.name point into it */
};

struct plugin_registry {
    char *dir; /* malloc'ed */
    uint32_t n;
    struct registry_slot slots[PLUGIN_MAX];
};

void plugin_registry_free(struct plugin_registry *registry)
{
    if (registry == NULL)
        return;
    for (uint32_t i = 0; i < registry->n; i++)
        free(registry->slots[i].path);
    free(registry->dir);
    free(registry);
}

const char *plugin_registry_dir(const struct plugin_registry *registry)
{
    return registry->dir;
}

uint32_t plugin_count(const struct plugin_registry *registry)
{
    return registry->n;
}

const struct plugin_entry *plugin_at(const struct plugin_registry *registry, uint32_t i)
{
    return i < registry->n ? &registry->slots[i].entry : NULL;
}

/* Text from a plugin goes to terminals and logs: one line, ended, no control characters. */
static void make_line(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

static enum pl_status run_probe(const struct pl_backend *table, const char *file,
                                struct pl_probe *ret, struct pl_error *err)
{
    struct pl_error said = {{0}};
    struct pl_probe probe = {.struct_size = sizeof probe};
    enum pl_status status = table->probe(&probe, &said);
    make_line(said.msg, sizeof said.msg);
    if (status != PL_OK)
        return pl_error_set(err, status, "%s: probe failed: %s", file,
                            said.msg[0] == '\0' ? pl_status_text(status) : said.msg);
    if (memchr(probe.reason, '\0', sizeof probe.reason) == NULL)
        return pl_error_set(err, PL_EFORMAT, "%s: probe gave a reason without an end", file);
    if (probe.n_devices > DEVICES_MAX)
        return pl_error_set(err, PL_EFORMAT, "%s: probe claims %u devices, more than %d", file,
                            probe.n_devices, DEVICES_MAX);
    make_line(probe.reason, sizeof probe.reason);
    probe.struct_size = sizeof probe;
    *ret = probe;
    return PL_OK;
}

static enum pl_status check_duplicate(const struct plugin_registry *registry, const char *name,
                                      const char *file, struct pl_error *err)
{
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct plugin_entry *other = &registry->slots[i].entry;
        if (other->table != NULL && strcmp(other->name, name) == 0)
            return pl_error_set(err, PL_EINVAL, "%s: the name '%s' is taken by %s", file, name,
                                strrchr(other->path, '/') + 1);
    }
    return PL_OK;
}

static enum pl_status add_file(struct plugin_registry *registry, const char *file,
                               struct pl_error *err)
{
    struct registry_slot *slot = &registry->slots[registry->n];
    if (asprintf(&slot->path, "%s/%s", registry->dir, file) < 0) {
        slot->path = NULL;
        return pl_error_set(err, PL_ENOMEM, "plugin: no memory for a path");
    }
    struct plugin_entry *entry = &slot->entry;
    entry->path = slot->path;
    entry->name = slot->path + strlen(registry->dir) + 1;
    entry->version = "";

    struct pl_error why = {{0}};
    enum pl_status status = plugin_load(slot->path, &slot->table, &why);
    if (status == PL_OK)
        status = check_duplicate(registry, slot->table.name, file, &why);
    if (status == PL_OK)
        status = run_probe(&slot->table, file, &entry->probe, &why);
    if (status == PL_OK) {
        entry->table = &slot->table;
        entry->name = slot->table.name;
        entry->version = slot->table.version;
    } else {
        make_line(why.msg, sizeof why.msg);
        memcpy(entry->rejection, why.msg, sizeof entry->rejection);
    }
    registry->n++;
    return PL_OK;
}

static int is_plugin_file(const struct dirent *item)
{
    return fnmatch(FILE_PATTERN, item->d_name, 0) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum pl_status scan_dir(struct plugin_registry *registry, struct pl_error *err)
{
    enum pl_status status = trust_dir(registry->dir, err);
    if (status != PL_OK)
        return status == PL_ENOENT ? PL_OK : status;
    struct dirent **items = NULL;
    int n = scandir(registry->dir, &items, is_plugin_file, by_bytes);
    if (n < 0)
        return pl_error_set(err, errno == EACCES ? PL_EPERM : PL_EIO, "plugin: %s: can't be read",
                            trust_path_tail(registry->dir));
    if (n > PLUGIN_MAX)
        status = pl_error_set(err, PL_ELIMIT, "plugin: %s: %d plugins, more than %d",
                              trust_path_tail(registry->dir), n, PLUGIN_MAX);
    for (int i = 0; i < n; i++) {
        if (status == PL_OK)
            status = add_file(registry, items[i]->d_name, err);
        free(items[i]);
    }
    free(items);
    return status;
}

enum pl_status plugin_registry_scan(const char *dir, struct plugin_registry **ret,
                                    struct pl_error *err)
{
    if (dir == NULL)
        dir = secure_getenv(DIR_ENV);
    if (dir == NULL || dir[0] == '\0')
        dir = PL_BACKEND_DIR;
    struct plugin_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return pl_error_set(err, PL_ENOMEM, "plugin: no memory for the registry");
    registry->dir = strdup(dir);
    enum pl_status status = registry->dir != NULL
                                ? scan_dir(registry, err)
                                : pl_error_set(err, PL_ENOMEM, "plugin: no memory for a path");
    if (status == PL_OK)
        *ret = registry;
    else
        plugin_registry_free(registry);
    return status;
}

/* ---- choice ---------------------------------------------------------------------------------- */

/* One of its devices is a real one that may be taken without being named. */
static bool may_be_unnamed(const struct plugin_entry *entry)
{
    for (uint32_t i = 0; i < entry->probe.n_devices; i++) {
        struct pl_device_info info = {.struct_size = sizeof info};
        struct pl_error ignored;
        if (entry->table->device_info(i, &info, &ignored) == PL_OK &&
            (info.type == PL_DEVICE_CPU || info.type == PL_DEVICE_GPU ||
             info.type == PL_DEVICE_IGPU))
            return true;
    }
    return false;
}

/* "cpu, cuda (no driver), x.so (rejected: ...)" as far as it fits. */
static void list_found(const struct plugin_registry *registry, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < registry->n && len < size; i++) {
        const struct plugin_entry *entry = &registry->slots[i].entry;
        const char *why = entry->table == NULL          ? entry->rejection
                          : entry->probe.n_devices == 0 ? entry->probe.reason
                                                        : "";
        int n = entry->table == NULL ? snprintf(out + len, size - len, "; rejected %s", why)
                : why[0] == '\0'     ? snprintf(out + len, size - len, "; %s", entry->name)
                                 : snprintf(out + len, size - len, "; %s: %s", entry->name, why);
        len += n > 0 ? (size_t)n : 0;
    }
}

static enum pl_status choose_named(const struct plugin_registry *registry, const char *name,
                                   const struct plugin_entry **ret, struct pl_error *err)
{
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct plugin_entry *entry = &registry->slots[i].entry;
        if (entry->table == NULL || strcmp(entry->name, name) != 0)
            continue;
        if (entry->probe.n_devices == 0)
            return pl_error_set(err, PL_ENOTSUP, "plugin: backend '%s' can't run here: %s", name,
                                entry->probe.reason);
        *ret = entry;
        return PL_OK;
    }
    char found[PL_ERROR_MAX];
    list_found(registry, found, sizeof found);
    return pl_error_set(err, PL_ENOENT, "plugin: no backend '%.63s' in %s%s", name,
                        trust_path_tail(registry->dir), registry->n == 0 ? " (empty)" : found);
}

enum pl_status plugin_choose(const struct plugin_registry *registry, const char *name,
                             const struct plugin_entry **ret, struct pl_error *err)
{
    if (name != NULL)
        return choose_named(registry, name, ret, err);
    const struct plugin_entry *best = NULL;
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct plugin_entry *entry = &registry->slots[i].entry;
        bool better = entry->table != NULL && entry->probe.n_devices > 0 &&
                      (best == NULL || entry->probe.score > best->probe.score);
        if (better && may_be_unnamed(entry))
            best = entry;
    }
    if (best != NULL) {
        *ret = best;
        return PL_OK;
    }
    char found[PL_ERROR_MAX];
    list_found(registry, found, sizeof found);
    return pl_error_set(err, PL_ENOENT, "plugin: no usable backend in %s%s",
                        trust_path_tail(registry->dir), registry->n == 0 ? " (empty)" : found);
}
