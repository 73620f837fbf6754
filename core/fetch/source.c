/* See source.h. */
#include "source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define HUB_PREFIX "hf:"

uint32_t source_n_files(const struct source *source)
{
    return source->split ? source->shard.count : 1;
}

static void take_file(struct source *s, const char *text, size_t n)
{
    char plain[SOURCE_PART_MAX];
    (void)url_unescape(text, n, plain, sizeof plain);
    (void)name_clean(plain, s->file);
    if (!name_has_suffix(s->file)) /* "download?id=7" is no name for a model */
        s->file[0] = '\0';
    s->split = s->file[0] != '\0' && name_parse_shard(s->file, &s->shard) && s->shard.count > 1;
}

/* ---- hf: ----------------------------------------------------------------------------------------- */

/* A component of org/repo: what the Hub allows, and nothing that climbs. */
static bool is_component(const char *text, size_t n)
{
    if (n == 0 || text[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (isalnum((unsigned char)text[i]) == 0 && strchr("-._", text[i]) == NULL)
            return false;
    }
    return true;
}

/* No empty, "." or ".." component. */
static bool is_path(const char *text, size_t n)
{
    const char *end = text + n;
    for (const char *at = text;; at++) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t m = (size_t)((slash != NULL ? slash : end) - at);
        if (m == 0 || (m == 1 && at[0] == '.') || (m == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        if (slash == NULL)
            return true;
        at = slash;
    }
}

static bool take_text(const char *text, size_t n, char ret[SOURCE_PART_MAX])
{
    if (n >= SOURCE_PART_MAX)
        return false;
    memcpy(ret, text, n);
    ret[n] = '\0';
    return true;
}

static enum pl_status parse_hub(const char *text, struct source *s, struct pl_error *err)
{
    const char *slash = strchr(text, '/');
    const char *second = slash != NULL ? strchr(slash + 1, '/') : NULL;
    if (second == NULL || !is_component(text, (size_t)(slash - text)) ||
        !is_component(slash + 1, (size_t)(second - slash - 1)) ||
        !take_text(text, (size_t)(second - text), s->repo))
        return pl_error_set(err, PL_EINVAL, "expected hf:ORG/REPO/FILE.gguf[@REVISION]");
    const char *path = second + 1;
    const char *at = strrchr(path, '@');
    size_t n = at != NULL ? (size_t)(at - path) : strlen(path);
    const char *revision = at != NULL ? at + 1 : "main";
    if (!is_path(revision, strlen(revision)) || !take_text(revision, strlen(revision), s->revision))
        return pl_error_set(err, PL_EINVAL, "hf: the revision behind '@' is empty or no name");
    if (!is_path(path, n) || n >= SOURCE_PART_MAX)
        return pl_error_set(err, PL_EINVAL, "hf: no file is named behind %s/", s->repo);
    size_t folder = n;
    while (folder > 0 && path[folder - 1] != '/')
        folder--;
    (void)take_text(path, folder, s->folder);
    char plain[SOURCE_PART_MAX];
    (void)take_text(path + folder, n - folder, plain);
    /* The very name is part of the address: one that would have to be cleaned cannot be asked for. */
    if (!name_is_clean(plain) || !name_has_suffix(plain))
        return pl_error_set(err, PL_EINVAL, "hf: the file must be a GGUF model, named NAME.gguf");
    take_file(s, plain, strlen(plain));
    return PL_OK;
}

static enum pl_status parse_endpoint(const char *endpoint, struct source *s, struct pl_error *err)
{
    struct pl_error why = {""};
    if (url_parse(endpoint, &s->base, &why) != PL_OK)
        return pl_error_set(err, PL_EINVAL, "HF_ENDPOINT: %s", why.msg);
    size_t n = strlen(s->base.text);
    while (n > s->base.path && s->base.text[n - 1] == '/')
        s->base.text[--n] = '\0';
    return PL_OK;
}

enum pl_status source_parse(const char *text, const char *endpoint, struct source *ret,
                            struct pl_error *err)
{
    struct source *s = ret;
    *s = (struct source){0};
    s->hub = strncmp(text, HUB_PREFIX, sizeof HUB_PREFIX - 1) == 0;
    if (s->hub) {
        enum pl_status status = parse_endpoint(endpoint, s, err);
        return status == PL_OK ? parse_hub(text + sizeof HUB_PREFIX - 1, s, err) : status;
    }
    enum pl_status status = url_parse(text, &s->base, err);
    if (status != PL_OK)
        return status;
    const char *path = s->base.text + s->base.path;
    size_t n = strcspn(path, "?");
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    take_file(s, path + from, n - from);
    return PL_OK;
}

/* ---- addresses ----------------------------------------------------------------------------------- */

enum pl_status source_file(const struct source *source, uint32_t no, const char *stem,
                           char ret[NAME_FILE_MAX + 1], struct pl_error *err)
{
    bool fits = true;
    if (source->split) {
        const char *text = stem != NULL ? stem : source->file;
        size_t n = stem != NULL ? strlen(stem) : source->shard.stem;
        fits = name_of_shard(text, n, no, source->shard.count, ret);
    } else if (stem != NULL) {
        fits = snprintf(ret, NAME_FILE_MAX + 1, "%s.gguf", stem) <= NAME_FILE_MAX;
    } else {
        memcpy(ret, source->file, NAME_FILE_MAX + 1);
    }
    if (!fits)
        return pl_error_set(err, PL_EINVAL, "the model's name is longer than %d bytes",
                            NAME_FILE_MAX);
    return PL_OK;
}

static enum pl_status hub_url(const struct source *s, const char *file, const char *revision,
                              struct url *ret, struct pl_error *err)
{
    char text[URL_MAX];
    size_t at = 0;
    int n = snprintf(text, sizeof text, "%s/%s/resolve/", s->base.text, s->repo);
    if (n < 0 || (size_t)n >= sizeof text)
        return pl_error_set(err, PL_EINVAL, "HF_ENDPOINT is too long");
    at = (size_t)n;
    bool fits = url_escape(revision, strlen(revision), false, text, sizeof text, &at) &&
                url_escape("/", 1, true, text, sizeof text, &at) &&
                url_escape(s->folder, strlen(s->folder), true, text, sizeof text, &at) &&
                url_escape(file, strlen(file), true, text, sizeof text, &at);
    if (!fits)
        return pl_error_set(err, PL_EINVAL, "the URL is longer than %d bytes", URL_MAX - 1);
    return url_parse(text, ret, err);
}

enum pl_status source_url(const struct source *source, uint32_t no, const char *revision,
                          struct url *ret, struct pl_error *err)
{
    char file[NAME_FILE_MAX + 1];
    enum pl_status status = source_file(source, no, NULL, file, err);
    if (status != PL_OK)
        return status;
    if (source->hub)
        return hub_url(source, file, revision != NULL ? revision : source->revision, ret, err);
    *ret = source->base;
    if (!source->split)
        return PL_OK;
    /* "...-00001-of-00003.gguf?query": five digits, nine further bytes and the suffix from the end. */
    size_t end = ret->path + strcspn(ret->text + ret->path, "?");
    char digits[16];
    (void)snprintf(digits, sizeof digits, "%05u", no);
    memcpy(ret->text + end - (sizeof "00001-of-00001.gguf" - 1), digits, 5);
    return PL_OK;
}
