/* polderd model: pull, list, path, remove. Data goes to stdout, talk to stderr. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "fetch/store.h"
#include "gguf/gguf.h"
#include "model_options.h"
#include "pull_progress.h"
#include "roles.h"
#include "base/banned.h"

#define EXIT_STOPPED 130 /* as a shell says of Ctrl-C */

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
    (void)signo;
    stop = 1;
}

static const char *env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int report(enum pl_status status, const struct pl_error *err)
{
    log_error("%s", err->msg);
    if (status == PL_ECANCELED)
        return EXIT_STOPPED;
    return status == PL_EINVAL ? ROLE_USAGE : ROLE_FAILED;
}

/* ---- pull ---------------------------------------------------------------------------------------- */

/* The reader that serves it later has to accept it now: all shards, keys, tensors within the file. */
static enum pl_status check_model(void *user, const char *path, struct pl_error *err)
{
    (void)user;
    struct gguf *file = NULL;
    enum pl_status status = gguf_open(path, &file, err);
    gguf_close(file);
    return status;
}

static void on_say(void *user, const char *line)
{
    pull_progress_clear(user);
    log_info("%s", line);
}

static void on_progress(void *user, const struct fetch_progress *progress)
{
    pull_progress_show(user, progress);
}

/* The token for this source: of the file, or the Hub's from the environment. */
static enum pl_status get_token(const struct model_options *o, const char *endpoint, char **ret,
                                struct pl_error *err)
{
    bool open = false;
    const char *token = env("HF_TOKEN");
    if (o->token_file != NULL) {
        enum pl_status status = fetch_read_token(o->token_file, ret, &open, err);
        if (status == PL_OK && open)
            log_warn("%s can be read by others: chmod 600 it", o->token_file);
        return status;
    }
    if (token == NULL || !fetch_is_hub(o->object, endpoint))
        return PL_OK;
    *ret = strdup(token);
    return *ret != NULL ? PL_OK : pl_error_set(err, PL_ENOMEM, "out of memory");
}

static void watch_signals(void)
{
    static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < PL_ARRAY_LEN(SIGNALS); i++)
        (void)sigaction(SIGNALS[i], &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write, with a message */
}

static void say_result(const struct fetch_result *result)
{
    log_info("%s: %.1f MB in %u file%s, sha256 %s (%s)",
             result->already ? "already here" : "installed", (double)result->bytes / 1e6,
             result->n_files, result->n_files == 1 ? "" : "s",
             result->sha256[0] != '\0' ? result->sha256 : "not recorded",
             result->expected ? "as expected" : "no expected one was known");
    printf("%s\n", result->path);
}

static int pull(const struct model_options *o)
{
    PL_AUTO(free) char *token = NULL;
    struct fetch_result result;
    char dir[PATH_MAX];
    struct pl_error err = {0};
    struct pull_progress progress;
    const char *endpoint = env("HF_ENDPOINT");
    enum pl_status status = store_dir(o->dir, dir, &err);
    if (status == PL_OK)
        status = get_token(o, endpoint, &token, &err);
    if (status != PL_OK)
        return report(status, &err);
    const struct fetch_options options = {
        .source = o->object,
        .dir = dir,
        .name = o->name,
        .sha256 = o->sha256,
        .token = token,
        .endpoint = endpoint,
        .proxy = o->proxy,
        .ca_file = o->ca_file != NULL ? o->ca_file : env("SSL_CERT_FILE"),
        .insecure = o->insecure,
        .offline = o->offline,
        .force = o->force,
        .retries = o->retries,
        .retry_ms = o->retry_ms,
        .stall_s = o->stall_s,
        .stop = &stop,
        .check = check_model,
        .say = on_say,
        .progress = on_progress,
        .user = &progress,
    };
    watch_signals();
    pull_progress_begin(&progress);
    status = fetch_pull(&options, &result, &err);
    pull_progress_clear(&progress);
    if (token != NULL)
        explicit_bzero(token, strlen(token));
    if (status != PL_OK)
        return report(status, &err);
    say_result(&result);
    return ROLE_OK;
}

/* ---- list ---------------------------------------------------------------------------------------- */

static void print_json(const char *dir, const struct store_list *list)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_begin(&w, &out);
    json_array(&w);
    for (size_t i = 0; i < list->n; i++) {
        const struct store_entry *e = &list->entries[i];
        char path[PATH_MAX + NAME_FILE_MAX + 2];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->file);
        json_object(&w);
        json_key(&w, "name");
        json_cstring(&w, e->name);
        json_key(&w, "path");
        json_cstring(&w, path);
        json_key(&w, "files");
        json_u64(&w, e->n_files);
        json_key(&w, "bytes");
        json_u64(&w, e->bytes);
        json_key(&w, "size");
        if (e->has_size)
            json_u64(&w, e->size);
        else
            json_null(&w);
        json_key(&w, "whole");
        json_bool(&w, e->whole);
        json_key(&w, "sha256");
        json_cstring(&w, e->sha256[0] != '\0' ? e->sha256 : NULL);
        json_key(&w, "url");
        json_cstring(&w, e->url);
        json_object_end(&w);
    }
    json_array_end(&w);
    buf_char(&out, '\n');
    if (!out.failed)
        (void)fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
}

static void print_table(const struct store_list *list)
{
    size_t width = 4;
    for (size_t i = 0; i < list->n; i++)
        width = PL_MAX(width, strlen(list->entries[i].name));
    if (list->n > 0)
        printf("%-*s  %10s  %-10s  %s\n", (int)width, "NAME", "MB", "STATE", "FROM");
    for (size_t i = 0; i < list->n; i++) {
        const struct store_entry *e = &list->entries[i];
        char state[16] = "whole";
        if (!e->whole && e->has_size && e->size > 0)
            (void)snprintf(state, sizeof state, "%d %%",
                           (int)(100.0 * (double)e->bytes / (double)e->size));
        else if (!e->whole)
            (void)snprintf(state, sizeof state, "partial");
        printf("%-*s  %10.1f  %-10s  %s\n", (int)width, e->name, (double)e->bytes / 1e6, state,
               e->url != NULL ? e->url : "-");
    }
}

static int list(const struct model_options *o)
{
    char dir[PATH_MAX];
    struct pl_error err = {0};
    struct store_list models = {0};
    enum pl_status status = store_dir(o->dir, dir, &err);
    if (status == PL_OK)
        status = store_list(dir, &models, &err);
    if (status != PL_OK)
        return report(status, &err);
    if (o->json)
        print_json(dir, &models);
    else
        print_table(&models);
    if (models.n == 0)
        log_info("no models in %s", dir);
    store_free_list(&models);
    return ROLE_OK;
}

/* ---- path, remove -------------------------------------------------------------------------------- */

static int path(const struct model_options *o)
{
    char found[PATH_MAX];
    struct pl_error err = {0};
    enum pl_status status = store_find(o->dir, o->object, found, &err);
    if (status != PL_OK)
        return report(status, &err);
    printf("%s\n", found);
    return ROLE_OK;
}

static int remove_model(const struct model_options *o)
{
    char dir[PATH_MAX];
    uint64_t bytes = 0;
    struct pl_error err = {0};
    enum pl_status status = store_dir(o->dir, dir, &err);
    if (status == PL_OK)
        status = store_remove(dir, o->object, &bytes, &err);
    if (status != PL_OK)
        return report(status, &err);
    log_info("removed %s: %.1f MB are free again", o->object, (double)bytes / 1e6);
    return ROLE_OK;
}

int role_model(int n, char *const *args)
{
    static const struct {
        const char *verb;
        int (*run)(const struct model_options *o);
    } VERBS[] = {{"pull", pull}, {"list", list}, {"path", path}, {"remove", remove_model}};
    struct model_options options;
    struct pl_error err = {0};
    log_init("polderd", PL_LOG_INFO);
    if (model_options_parse(n, args, &options, &err) != PL_OK) {
        log_error("%s (see polderd model --help)", err.msg);
        return ROLE_USAGE;
    }
    if (options.help) {
        model_options_print_help();
        return ROLE_OK;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(VERBS); i++) {
        if (strcmp(VERBS[i].verb, options.verb) == 0)
            return VERBS[i].run(&options);
    }
    return ROLE_USAGE;
}
