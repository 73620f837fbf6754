/* See store.h. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "info.h"
#include "io.h"
#include "base/banned.h"

/* ---- where --------------------------------------------------------------------------------------- */

static const char *env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum pl_status store_dir(const char *given, char ret[PATH_MAX], struct pl_error *err)
{
    const char *own = env("POLDER_MODEL_DIR"), *state = env("STATE_DIRECTORY");
    const char *data = env("XDG_DATA_HOME"), *home = env("HOME");
    const char *root = NULL, *tail = "";
    if (given != NULL) {
        root = given;
    } else if (own != NULL) {
        root = own;
    } else if (state != NULL) {
        root = state;
        tail = "/models";
    } else if (geteuid() == 0 && is_folder(STORE_SYSTEM_ROOT)) {
        root = STORE_SYSTEM_DIR;
    } else if (data != NULL && data[0] == '/') { /* relative ones are to be ignored, says XDG */
        root = data;
        tail = "/polder/models";
    } else if (home != NULL) {
        root = home;
        tail = "/.local/share/polder/models";
    } else {
        return pl_error_set(err, PL_EINVAL,
                            "no folder for models: pass --dir or set POLDER_MODEL_DIR");
    }
    int n = snprintf(ret, PATH_MAX, "%s%s", root, tail);
    if (n < 0 || n > PATH_MAX - NAME_FILE_MAX - 32)
        return pl_error_set(err, PL_EINVAL, "the path of the model folder is too long");
    return PL_OK;
}

enum pl_status store_free_bytes(const char *dir, uint64_t *ret, struct pl_error *err)
{
    struct statvfs st;
    if (statvfs(dir, &st) != 0)
        return io_fail("look at", dir, err);
    *ret = (uint64_t)st.f_bavail * st.f_frsize;
    return PL_OK;
}

/* ---- what is there --------------------------------------------------------------------------------- */

/* A folder's file is a model, or part of one: its own name without ".part"; "" if not. */
static void model_file(const char *name, char ret[NAME_FILE_MAX + 1], bool *ret_partial)
{
    size_t n = strlen(name);
    bool partial = n > 5 && strcmp(name + n - 5, ".part") == 0;
    n -= partial ? 5 : 0;
    ret[0] = '\0';
    *ret_partial = partial;
    if (n > NAME_FILE_MAX)
        return;
    memcpy(ret, name, n);
    ret[n] = '\0';
    if (!name_is_clean(ret) || !name_has_suffix(ret))
        ret[0] = '\0';
}

static struct store_entry *entry_of(struct store_list *list, size_t *capacity, const char *file)
{
    char name[NAME_FILE_MAX + 1];
    name_of_model(file, name);
    struct name_shard shard;
    uint32_t count = name_parse_shard(file, &shard) ? shard.count : 1;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->entries[i].name, name) == 0 && list->entries[i].n_files == count)
            return &list->entries[i];
    }
    if (list->n == *capacity) {
        size_t more = *capacity == 0 ? 16 : *capacity * 2;
        struct store_entry *grown = realloc(list->entries, more * sizeof *grown);
        if (grown == NULL || list->n == STORE_ENTRIES_MAX) {
            list->entries = grown != NULL ? grown : list->entries;
            return NULL;
        }
        list->entries = grown;
        *capacity = more;
    }
    struct store_entry *e = &list->entries[list->n++];
    *e = (struct store_entry){.n_files = count, .has_size = true};
    memcpy(e->name, name, sizeof e->name);
    (void)snprintf(e->file, sizeof e->file, "%s", file);
    if (count > 1)
        (void)name_of_shard(file, shard.stem, 1, count, e->file);
    return e;
}

/* Adds what one file and its record say. */
static enum pl_status add_file(const char *dir, const char *on_disk, const char *file, bool partial,
                               struct store_entry *e, struct pl_error *err)
{
    char path[PATH_MAX], record[PATH_MAX];
    struct stat st;
    struct info info;
    struct pl_error why;
    enum pl_status status = io_join(dir, on_disk, "", path, err);
    if (status == PL_OK)
        status = io_join(dir, on_disk, ".info", record, err);
    if (status != PL_OK || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return status; /* gone meanwhile */
    uint64_t bytes = (uint64_t)st.st_size;
    bool recorded = info_read(record, &info, &why) == PL_OK;
    if (recorded && !partial && info.has_size && info.size != bytes)
        recorded = false; /* the file was replaced by hand */
    e->bytes += bytes;
    e->n_here += !partial;
    if (partial && !(recorded && info.has_size))
        e->has_size = false;
    else
        e->size += partial ? info.size : bytes;
    if (!recorded || strcmp(file, e->file) != 0 || e->url != NULL)
        return PL_OK;
    if (!partial)
        memcpy(e->sha256, info.sha256, sizeof e->sha256);
    e->url = strdup(info.url);
    return e->url != NULL ? PL_OK : pl_error_set(err, PL_ENOMEM, "out of memory");
}

static int by_name(const void *a, const void *b)
{
    const struct store_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum pl_status read_folder(DIR *folder, const char *dir, struct store_list *list,
                                  struct pl_error *err)
{
    size_t capacity = 0;
    const struct dirent *item;
    while ((item = readdir(folder)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char file[NAME_FILE_MAX + 1];
        bool partial = false;
        model_file(item->d_name, file, &partial);
        if (file[0] == '\0')
            continue;
        struct store_entry *e = entry_of(list, &capacity, file);
        if (e == NULL)
            return pl_error_set(err, PL_ENOMEM, "out of memory");
        enum pl_status status = add_file(dir, item->d_name, file, partial, e, err);
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

enum pl_status store_list(const char *dir, struct store_list *ret, struct pl_error *err)
{
    struct store_list list = {0};
    DIR *folder = opendir(dir);
    if (folder == NULL && errno != ENOENT)
        return io_fail("open", dir, err);
    enum pl_status status = folder != NULL ? read_folder(folder, dir, &list, err) : PL_OK;
    if (folder != NULL)
        (void)closedir(folder);
    if (status != PL_OK) {
        store_free_list(&list);
        return status;
    }
    for (size_t i = 0; i < list.n; i++) {
        struct store_entry *e = &list.entries[i];
        e->whole = e->n_here == e->n_files;
        if (e->n_files > 1 && !e->whole)
            e->has_size = false; /* shards that were not begun yet */
    }
    if (list.n > 1)
        qsort(list.entries, list.n, sizeof *list.entries, by_name);
    *ret = list;
    return PL_OK;
}

void store_free_list(struct store_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->entries[i].url);
    free(list->entries);
    *list = (struct store_list){0};
}

/* ---- one model ------------------------------------------------------------------------------------- */

/* The model's name of what a user typed: with or without ".gguf". */
static bool clean_name(const char *text, char ret[NAME_FILE_MAX + 1])
{
    if (!name_is_clean(text))
        return false;
    name_of_model(text, ret);
    return true;
}

static enum pl_status find_in(const char *dir, const char *name, char ret[PATH_MAX],
                              struct pl_error *err)
{
    struct store_list list = {0};
    enum pl_status status = store_list(dir, &list, err);
    if (status != PL_OK)
        return status;
    status = PL_ENOENT;
    for (size_t i = 0; i < list.n && status == PL_ENOENT; i++) {
        if (strcmp(list.entries[i].name, name) == 0 && list.entries[i].whole)
            status = io_join(dir, list.entries[i].file, "", ret, err);
    }
    store_free_list(&list);
    return status;
}

enum pl_status store_find(const char *dir, const char *name, char ret[PATH_MAX],
                          struct pl_error *err)
{
    char own[PATH_MAX], model[NAME_FILE_MAX + 1];
    if (!clean_name(name, model))
        return pl_error_set(err, PL_EINVAL, "'%s' is no name of a model", name);
    enum pl_status status = store_dir(dir, own, err);
    if (status != PL_OK)
        return status;
    status = find_in(own, model, ret, err);
    struct pl_error why;
    if (status == PL_ENOENT && dir == NULL && strcmp(own, STORE_SYSTEM_DIR) != 0 &&
        find_in(STORE_SYSTEM_DIR, model, ret, &why) == PL_OK)
        status = PL_OK;
    if (status == PL_ENOENT)
        return pl_error_set(err, status, "no model '%s' in %s", model, own);
    return status;
}

static bool remove_file(const char *dir, const char *on_disk, uint64_t *bytes)
{
    char path[PATH_MAX];
    struct stat st;
    struct pl_error why;
    if (io_join(dir, on_disk, "", path, &why) != PL_OK)
        return false;
    if (stat(path, &st) == 0)
        *bytes += (uint64_t)st.st_size;
    bool removed = unlink(path) == 0;
    if (io_join(dir, on_disk, ".info", path, &why) == PL_OK)
        (void)unlink(path);
    return removed;
}

static enum pl_status remove_files(const char *dir, const char *model, uint64_t *bytes,
                                   struct pl_error *err)
{
    DIR *folder = opendir(dir);
    size_t n = 0;
    enum pl_status status = PL_OK;
    if (folder == NULL)
        return io_fail("open", dir, err);
    const struct dirent *item;
    while ((item = readdir(folder)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char file[NAME_FILE_MAX + 1], name[NAME_FILE_MAX + 1];
        bool partial = false;
        model_file(item->d_name, file, &partial);
        name_of_model(file, name);
        if (file[0] == '\0' || strcmp(name, model) != 0)
            continue;
        n++;
        if (!remove_file(dir, item->d_name, bytes) && status == PL_OK)
            status = io_fail("remove", item->d_name, err);
    }
    (void)closedir(folder);
    if (n == 0)
        return pl_error_set(err, PL_ENOENT, "no model '%s' in %s", model, dir);
    return status;
}

enum pl_status store_remove(const char *dir, const char *name, uint64_t *ret_bytes,
                            struct pl_error *err)
{
    char model[NAME_FILE_MAX + 1];
    uint64_t bytes = 0;
    int lock = -1;
    if (!clean_name(name, model))
        return pl_error_set(err, PL_EINVAL, "'%s' is no name of a model", name);
    if (!is_folder(dir))
        return pl_error_set(err, PL_ENOENT, "no model '%s' in %s", model, dir);
    enum pl_status status = store_lock(dir, model, &lock, err);
    if (status != PL_OK)
        return status;
    status = remove_files(dir, model, &bytes, err);
    store_unlock(dir, model, lock);
    if (status == PL_OK)
        *ret_bytes = bytes;
    return status;
}
