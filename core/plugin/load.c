/*
 * plugin/load.c - one file: may it run here, is it a plugin, does its table hold together.
 *
 * dlopen -> entry -> head (major, name, version) -> copy by size -> slots -> defaults. A module that was
 * opened stays open, accepted or not: drivers that it started do not survive being unmapped.
 */
#include "plugin.h"
#include "table.h"
#include "trust.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Lower-case letters, digits, hyphens; 1..63 of them. */
static bool name_is_sane(const char *name)
{
    size_t n = strnlen(name, PL_NAME_MAX);
    return n > 0 && n < PL_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool version_is_sane(const char *version)
{
    size_t n = strnlen(version, PL_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        if (version[i] <= ' ' || version[i] > '~')
            return false;
    return n > 0 && n < PL_NAME_MAX;
}

/* The entry function, or NULL. */
static pl_backend_entry_fn *open_module(const char *real, const char *file, struct pl_error *err)
{
    void *module = dlopen(real, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        const char *why = dlerror(); /* NOLINT(concurrency-mt-unsafe): per thread in glibc */
        why = why == NULL ? "no reason given" : why;
        size_t n = strlen(real);
        if (strncmp(why, real, n) == 0 && strncmp(why + n, ": ", 2) == 0)
            why += n + 2;
        (void)pl_error_set(err, PL_EFORMAT, "%s: can't be loaded: %s", file, why);
        return NULL;
    }
    void *symbol = dlsym(module, PL_BACKEND_ENTRY);
    if (symbol == NULL)
        (void)pl_error_set(err, PL_EFORMAT, "%s: has no symbol %s", file, PL_BACKEND_ENTRY);
    pl_backend_entry_fn *entry = NULL;
    memcpy(&entry, &symbol, sizeof entry); /* POSIX: object and function pointers have one size */
    return entry;
}

enum pl_status plugin_load(const char *path, struct pl_backend *ret_table, struct pl_error *err)
{
    char *real = NULL;
    const char *file = base_name(path);
    enum pl_status status = trust_file(path, &real, err);
    if (status != PL_OK)
        return status;
    pl_backend_entry_fn *entry = open_module(real, file, err);
    free(real);
    if (entry == NULL)
        return PL_EFORMAT;

    const struct pl_backend *given = entry();
    if (given == NULL)
        return pl_error_set(err, PL_EFORMAT, "%s: %s returned no table", file, PL_BACKEND_ENTRY);
    struct pl_backend table;
    status = table_copy(&table, sizeof table, given, table_slots, table_n_slots, file, err);
    if (status != PL_OK)
        return status;
    if (table.name == NULL || !name_is_sane(table.name))
        return pl_error_set(err, PL_EFORMAT, "%s: its name is not 1 to %d of [a-z0-9-]", file,
                            PL_NAME_MAX - 1);
    if (table.version == NULL || !version_is_sane(table.version))
        return pl_error_set(err, PL_EFORMAT, "%s: its version is not 1 to %d printable characters",
                            file, PL_NAME_MAX - 1);
    status = table_fill(&table, file, err);
    if (status != PL_OK)
        return status;
    *ret_table = table;
    return PL_OK;
}
