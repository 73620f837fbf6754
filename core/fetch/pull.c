/* See fetch.h. */
#include "fetch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "get.h"
#include "io.h"
#include "source.h"
#include "store.h"
#include "base/banned.h"

#define TOKEN_BYTES_MAX 4096 /* the Hub's have 37 */

struct pull {
    const struct fetch_options *options;
    struct source source;
    char stem[NAME_FILE_MAX + 1]; /* the model's name */
    char sha256[SHA256_HEX_BYTES];
    char commit[65]; /* of the first file's answer: the others come from the same */
    struct transfer *transfer;
    int lock;
    uint64_t bytes;
    struct get *get; /* n_files of them */
    char (*paths)[PATH_MAX];
    struct url *urls;
    uint32_t n_files;
};

/* ---- what is asked ------------------------------------------------------------------------------- */

bool fetch_is_hub(const char *source, const char *endpoint)
{
    struct url url, hub;
    struct pl_error why;
    if (strncmp(source, "hf:", 3) == 0)
        return true;
    return url_parse(source, &url, &why) == PL_OK &&
           url_parse(endpoint != NULL ? endpoint : SOURCE_ENDPOINT, &hub, &why) == PL_OK &&
           url_same_origin(&url, &hub);
}

enum pl_status fetch_read_token(const char *path, char **ret, bool *ret_open, struct pl_error *err)
{
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    enum pl_status status = file_read(path, TOKEN_BYTES_MAX, &text, &n, err);
    if (status != PL_OK)
        return status;
    size_t from = strspn(text, " \t\r\n");
    while (n > from && isspace((unsigned char)text[n - 1]) != 0)
        n--;
    memmove(text, text + from, n - from);
    text[n - from] = '\0';
    *ret_open = stat(path, &st) == 0 && (st.st_mode & 077) != 0;
    *ret = text;
    return PL_OK;
}

/* A header's value must not hold line ends, and a token holds no blanks. */
static enum pl_status check_token(const char *token, struct pl_error *err)
{
    for (const char *p = token; p != NULL && *p != '\0'; p++) {
        if (isgraph((unsigned char)*p) == 0)
            return pl_error_set(err, PL_EINVAL, "the token has a blank or a control character");
    }
    if (token != NULL && token[0] == '\0')
        return pl_error_set(err, PL_EINVAL, "the token is empty");
    return PL_OK;
}

static enum pl_status check_proxy(const char *proxy, struct pl_error *err)
{
    static const char *const FORMS[] = {"http://",    "https://",  "socks4://",
                                        "socks4a://", "socks5://", "socks5h://"};
    if (proxy == NULL || strstr(proxy, "://") == NULL)
        return PL_OK;
    for (size_t i = 0; i < PL_ARRAY_LEN(FORMS); i++) {
        if (strncmp(proxy, FORMS[i], strlen(FORMS[i])) == 0)
            return PL_OK;
    }
    return pl_error_set(err, PL_EINVAL,
                        "--proxy: expected http://HOST:PORT, https:// or socks5h://");
}

static enum pl_status take_options(struct pull *p, struct pl_error *err)
{
    const struct fetch_options *o = p->options;
    enum pl_status status = source_parse(
        o->source, o->endpoint != NULL ? o->endpoint : SOURCE_ENDPOINT, &p->source, err);
    if (status == PL_OK)
        status = request_allowed(&p->source.base, o->insecure, err);
    if (status == PL_OK)
        status = check_token(o->token, err);
    if (status == PL_OK)
        status = check_proxy(o->proxy, err);
    if (status != PL_OK)
        return status;
    if (o->sha256 != NULL && !answer_parse_sha256(o->sha256, strlen(o->sha256), p->sha256))
        return pl_error_set(err, PL_EINVAL, "--sha256: expected 64 hexadecimal digits");
    p->n_files = source_n_files(&p->source);
    if (p->n_files > 1 && o->sha256 != NULL)
        return pl_error_set(err, PL_EINVAL,
                            "--sha256 is of one file, and this model is split over %u", p->n_files);
    if (o->name != NULL && !name_is_clean(o->name))
        return pl_error_set(err, PL_EINVAL,
                            "--name: '%s' is no name (letters, digits, . _ + = -; not first . -)",
                            o->name);
    name_of_model(o->name != NULL ? o->name : p->source.file, p->stem);
    return PL_OK;
}

/* ---- the name, where the URL has none ------------------------------------------------------------ */

static void set_get(struct pull *p, struct get *g, const struct url *url, const char *path)
{
    *g = (struct get){
        .options = p->options,
        .transfer = p->transfer,
        .url = url,
        .path = path,
        .token = p->options->token,
        .no = 1,
        .n_files = p->n_files,
        .part = {.fd = -1},
    };
    g->sha256 = p->sha256;
}

static enum pl_status open_transfer(struct pull *p, struct pl_error *err)
{
    if (p->transfer != NULL)
        return PL_OK;
    struct transfer_options options = {
        .proxy = p->options->proxy,
        .ca_file = p->options->ca_file,
        .stall_s = p->options->stall_s,
    };
    return transfer_open(&options, &p->transfer, err);
}

static enum pl_status say_offline(const struct pull *p, struct pl_error *err)
{
    return pl_error_set(err, PL_ENOENT,
                        "offline, and '%s' is not here: put the file at %s/%s.gguf by hand",
                        p->stem[0] != '\0' ? p->stem : "NAME", p->options->dir,
                        p->stem[0] != '\0' ? p->stem : "NAME");
}

static enum pl_status probe_first(struct pull *p, struct answer *ret, struct pl_error *err)
{
    struct get *g = malloc(sizeof *g);
    if (g == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    set_get(p, g, &p->source.base, "model");
    enum pl_status status = get_probe(g, ret, err);
    free(g);
    return status;
}

/* By the server's Content-Disposition. */
static enum pl_status ask_name(struct pull *p, struct pl_error *err)
{
    struct answer answer;
    char name[NAME_FILE_MAX + 1], given[1024];
    if (p->options->offline)
        return say_offline(p, err);
    enum pl_status status = open_transfer(p, err);
    if (status == PL_OK)
        status = probe_first(p, &answer, err);
    if (status != PL_OK)
        return status;
    name_of_disposition(answer.disposition, given, sizeof given);
    if (given[0] == '\0' || !name_clean(given, name))
        return pl_error_set(err, PL_EINVAL,
                            "neither the URL nor the server names the file: pass --name NAME");
    name_of_model(name, p->stem);
    return PL_OK;
}

/* ---- a model of that name is here ------------------------------------------------------------------ */

static enum pl_status file_digest(const char *path, char ret[SHA256_HEX_BYTES],
                                  struct pl_error *err)
{
    struct file_map map;
    struct sha256 hash;
    unsigned char digest[SHA256_BYTES];
    enum pl_status status = file_map(path, &map, err);
    if (status != PL_OK)
        return status;
    sha256_begin(&hash);
    sha256_add(&hash, map.data, map.bytes);
    sha256_end(&hash, digest);
    file_unmap(&map);
    sha256_hex(digest, ret);
    return PL_OK;
}

/* Decides whether what is here is what was asked for. */
static enum pl_status compare_installed(const struct pull *p, const struct store_entry *e,
                                        struct fetch_result *result, struct pl_error *err)
{
    char shown[URL_MAX];
    struct url url;
    enum pl_status status = io_join(p->options->dir, e->file, "", result->path, err);
    if (status == PL_OK)
        status = source_url(&p->source, 1, NULL, &url, err);
    if (status != PL_OK)
        return status;
    url_shown(&url, shown);
    memcpy(result->sha256, e->sha256, sizeof result->sha256);
    if (p->sha256[0] != '\0') {
        status = file_digest(result->path, result->sha256, err);
        if (status == PL_OK && strcmp(result->sha256, p->sha256) != 0)
            status =
                pl_error_set(err, PL_EFORMAT, "'%s' is here with sha256 %s: --force replaces it",
                             e->name, result->sha256);
    } else if (e->url != NULL && strcmp(e->url, shown) != 0) {
        status = pl_error_set(err, PL_EBUSY,
                              "'%s' is here already, from %.120s: --force replaces it, --name NEW "
                              "keeps both",
                              e->name, e->url);
    }
    result->already = true;
    result->expected = p->sha256[0] != '\0';
    result->bytes = e->bytes;
    result->n_files = e->n_files;
    return status;
}

static enum pl_status look_installed(const struct pull *p, struct fetch_result *result,
                                     struct pl_error *err)
{
    struct store_list list = {0};
    enum pl_status status = store_list(p->options->dir, &list, err);
    for (size_t i = 0; status == PL_OK && i < list.n; i++) {
        const struct store_entry *e = &list.entries[i];
        if (e->whole && e->n_files == p->n_files && strcmp(e->name, p->stem) == 0) {
            status = compare_installed(p, e, result, err);
            break;
        }
    }
    store_free_list(&list);
    return status;
}

/* ---- all files ------------------------------------------------------------------------------------- */

static enum pl_status prepare_file(struct pull *p, uint32_t i, struct pl_error *err)
{
    char file[NAME_FILE_MAX + 1];
    const char *revision = p->commit[0] != '\0' ? p->commit : NULL;
    enum pl_status status = source_file(&p->source, i + 1, p->stem, file, err);
    if (status == PL_OK)
        status = io_join(p->options->dir, file, "", p->paths[i], err);
    if (status == PL_OK)
        status = source_url(&p->source, i + 1, revision, &p->urls[i], err);
    if (status != PL_OK)
        return status;
    set_get(p, &p->get[i], &p->urls[i], p->paths[i]);
    p->get[i].no = i + 1;
    return PL_OK;
}

/* Split models: their whole size is known before the first byte comes, where the server tells. */
static enum pl_status check_room(struct pull *p, struct pl_error *err)
{
    uint64_t need = 0, left = 0;
    for (uint32_t i = 0; p->n_files > 1 && i < p->n_files; i++) {
        struct answer answer;
        struct stat st;
        char part[PATH_MAX];
        uint64_t size = 0;
        enum pl_status status = get_probe(&p->get[i], &answer, err);
        if (status != PL_OK)
            return status;
        if (p->get[i].known_size)
            size = p->get[i].size;
        else if (!answer_size(&answer, &size))
            return PL_OK;
        (void)snprintf(part, sizeof part, "%.*s.part", PATH_MAX - 6, p->paths[i]);
        uint64_t have = stat(part, &st) == 0 ? (uint64_t)st.st_size : 0;
        need += size - PL_MIN(have, size);
    }
    if (need == 0 || store_free_bytes(p->options->dir, &left, err) != PL_OK || left >= need)
        return PL_OK;
    char need_text[16], left_text[16];
    io_human_bytes(need, need_text);
    io_human_bytes(left, left_text);
    return pl_error_set(err, PL_ELIMIT,
                        "%s needs %s more and %s has %s free: make room, or choose another folder "
                        "with --dir",
                        p->stem, need_text, p->options->dir, left_text);
}

static enum pl_status get_files(struct pull *p, struct pl_error *err)
{
    for (uint32_t i = 0; i < p->n_files; i++) {
        /* Later shards are asked for by the commit that the first came from. */
        enum pl_status status = i > 0 ? prepare_file(p, i, err) : PL_OK;
        if (status == PL_OK)
            status = get_run(&p->get[i], err);
        get_end(&p->get[i]);
        if (status != PL_OK)
            return status;
        p->bytes += p->get[i].part.have;
        if (i == 0)
            memcpy(p->commit, p->get[0].commit, sizeof p->commit);
    }
    return PL_OK;
}

/* ---- check and install ----------------------------------------------------------------------------- */

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* A folder in which the shards have their own names: links to the parts. */
static enum pl_status make_stage(const struct pull *p, const char *stage, struct pl_error *err)
{
    if (mkdir(stage, 0700) != 0 && errno != EEXIST)
        return io_fail("make the folder", stage, err);
    for (uint32_t i = 0; i < p->n_files; i++) {
        char target[PATH_MAX], link[PATH_MAX];
        const char *file = file_of(p->paths[i]);
        (void)snprintf(target, sizeof target, "../%s.part", file);
        enum pl_status status = io_join(stage, file, "", link, err);
        if (status != PL_OK)
            return status;
        (void)unlink(link);
        if (symlink(target, link) != 0)
            return io_fail("make the link", link, err);
    }
    return PL_OK;
}

static void remove_stage(const struct pull *p, const char *stage)
{
    for (uint32_t i = 0; i < p->n_files; i++) {
        char link[PATH_MAX];
        struct pl_error why;
        if (io_join(stage, file_of(p->paths[i]), "", link, &why) == PL_OK)
            (void)unlink(link);
    }
    (void)rmdir(stage);
}

static enum pl_status check_split(const struct pull *p, struct pl_error *err)
{
    char stage[PATH_MAX], first[PATH_MAX];
    int n = snprintf(stage, sizeof stage, "%s/.%s.check", p->options->dir, p->stem);
    if (n < 0 || (size_t)n >= sizeof stage)
        return pl_error_set(err, PL_EINVAL, "the path of the model folder is too long");
    enum pl_status status = make_stage(p, stage, err);
    if (status == PL_OK)
        status = io_join(stage, file_of(p->paths[0]), "", first, err);
    if (status == PL_OK)
        status = p->options->check(p->options->user, first, err);
    remove_stage(p, stage);
    return status;
}

static enum pl_status check_model(struct pull *p, struct pl_error *err)
{
    char path[PATH_MAX];
    struct pl_error why = {""};
    if (p->options->check == NULL)
        return PL_OK;
    enum pl_status status = PL_OK;
    if (p->n_files > 1) {
        status = check_split(p, &why);
    } else {
        (void)snprintf(path, sizeof path, "%.*s.part", PATH_MAX - 6, p->paths[0]);
        status = p->options->check(p->options->user, path, &why);
    }
    if (status == PL_OK)
        return PL_OK;
    bool spoiled = status == PL_EFORMAT; /* no later version will read it either */
    for (uint32_t i = 0; spoiled && i < p->n_files; i++)
        part_discard(&p->get[i].part);
    return pl_error_set(err, status, "not installed%s: %s", spoiled ? ", removed" : "", why.msg);
}

/* The first file comes last: a model is found by it, and is whole then. */
static enum pl_status install(struct pull *p, struct pl_error *err)
{
    for (uint32_t i = p->n_files; i > 0; i--) {
        enum pl_status status = part_install(&p->get[i - 1].part, err);
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

static enum pl_status pull_locked(struct pull *p, struct fetch_result *result, struct pl_error *err)
{
    enum pl_status status = PL_OK;
    if (!p->options->force)
        status = look_installed(p, result, err);
    if (status != PL_OK || result->already)
        return status;
    if (p->options->offline)
        return say_offline(p, err);
    status = open_transfer(p, err);
    for (uint32_t i = 0; status == PL_OK && i < p->n_files; i++)
        status = prepare_file(p, i, err);
    if (status == PL_OK)
        status = check_room(p, err);
    if (status == PL_OK)
        status = prepare_file(p, 0, err);
    if (status == PL_OK)
        status = get_files(p, err);
    if (status == PL_OK)
        status = check_model(p, err);
    if (status == PL_OK)
        status = install(p, err);
    if (status != PL_OK)
        return status;
    memcpy(result->path, p->paths[0], sizeof result->path);
    memcpy(result->sha256, p->get[0].part.info.sha256, sizeof result->sha256);
    result->expected = p->get[0].expected;
    result->bytes = p->bytes;
    result->n_files = p->n_files;
    return PL_OK;
}

static enum pl_status pull(struct pull *p, struct fetch_result *result, struct pl_error *err)
{
    enum pl_status status = take_options(p, err);
    if (status == PL_OK && p->stem[0] == '\0')
        status = ask_name(p, err);
    if (status == PL_OK)
        status = io_make_dirs(p->options->dir, err);
    if (status != PL_OK)
        return status;
    p->get = calloc(p->n_files, sizeof *p->get);
    p->paths = calloc(p->n_files, sizeof *p->paths);
    p->urls = calloc(p->n_files, sizeof *p->urls);
    if (p->get == NULL || p->paths == NULL || p->urls == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    status = store_lock(p->options->dir, p->stem, &p->lock, err);
    if (status == PL_OK)
        status = pull_locked(p, result, err);
    store_unlock(p->options->dir, p->stem, p->lock);
    return status;
}

static void free_pull(struct pull *p)
{
    transfer_close(p->transfer);
    free(p->get);
    free(p->paths);
    free(p->urls);
    free(p);
}

enum pl_status fetch_pull(const struct fetch_options *options, struct fetch_result *ret,
                          struct pl_error *err)
{
    struct fetch_result result = {.path = ""};
    struct pull *p = calloc(1, sizeof *p);
    if (p == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    p->options = options;
    p->lock = -1;
    enum pl_status status = pull(p, &result, err);
    free_pull(p);
    if (status == PL_OK)
        *ret = result;
    return status;
}
