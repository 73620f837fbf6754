/*
 * The worker role: one engine behind the API of core/server.
 *
 *   listen (503 "loading") -> loader thread opens the engine -> ready -> SIGTERM: drain -> exit
 *
 * The main thread runs the loop; the loader thread ends once the engine is open. A second SIGTERM or
 * SIGINT, or the drain's deadline, ends what still runs.
 */
#include "roles.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "fetch/name.h"
#include "http/address.h"
#include "http/server.h"
#include "notify.h"
#include "progress.h"
#include "server/server.h"
#include "base/banned.h"

#define TEMPLATE_FILE_MAX ((size_t)4 << 20) /* bytes: the largest published one has 20 KB */
#define NAMES_MAX         8
#define HOP_KEY_MIN       16  /* bytes: 96 bits of base64, not to be guessed */
#define HOP_KEY_MAX       256 /* of a file that is a key and nothing else */

struct worker {
    const struct options *options;
    struct http_loop *loop;
    struct http_server *http;
    struct server *server;
    struct engine *engine; /* NULL until loaded */
    char *names_text;      /* owned: what names point into */
    const char *names[NAMES_MAX];
    size_t n_names;
    char url[160];
    int status_fd; /* to the supervisor, or -1 */
    int exit_code;
    bool draining;
    struct http_timer deadline;

    pthread_t loader;
    bool loader_started;
    atomic_bool give_up; /* any thread: loading is pointless now */
    struct progress progress;
    /* written by the loader before it posts .loaded, read after */
    struct http_task loaded;
    struct engine *opened;
    enum pl_status open_status;
    struct pl_error open_error;
    int64_t started_ns;
};

/* ---- loading --------------------------------------------------------------------------------------- */

static bool on_progress(void *user, double fraction)
{
    struct worker *w = user;
    server_set_progress(w->server, fraction);
    progress_show(&w->progress, fraction);
    return !atomic_load(&w->give_up);
}

/* Any thread. */
static void on_log(void *user, const char *line)
{
    (void)user;
    log_info("%s", line);
}

static void *load(void *user)
{
    struct worker *w = user;
    const struct options *o = w->options;
    struct engine_options options = {
        .model_path = o->model,
        .backend = o->backend,
        .backend_dir = o->backend_dir,
        .n_threads = o->threads,
        .kv_type = o->kv,
        .ctx_tokens = o->ctx,
        .kv_tokens = o->kv_tokens,
        .seqs_max = o->max_seqs,
        .rows_max = o->batch_tokens,
        .queue_max = o->queue,
        .no_prefix_cache = o->no_prefix_cache,
        .kv_ram_bytes = (uint64_t)o->kv_ram_mb << 20,
        .kv_disk_dir = o->kv_disk_dir,
        .kv_disk_bytes = (uint64_t)o->kv_disk_mb << 20,
        .draft_max = o->draft,
        .step_target_ms = o->step_target_ms,
        .on_log = on_log,
        .on_progress = on_progress,
        .user = w,
    };
    progress_begin(&w->progress);
    w->open_status = engine_open(&options, &w->opened, &w->open_error);
    progress_end(&w->progress);
    http_loop_post(w->loop, &w->loaded);
    return NULL;
}

static void fail(struct worker *w, const char *message)
{
    log_error("%s", message);
    w->exit_code = ROLE_FAILED;
    http_loop_stop(w->loop);
}

static void announce(struct worker *w)
{
    const struct engine_info *info = engine_info(w->engine);
    const char *remark = server_template_remark(w->server);
    if (remark != NULL)
        log_warn("%s", remark);
    log_info("%s: %s, %.1f M parameters, %.1f MB of weights on %s (%s), context %u, KV cache %llu "
             "tokens, loaded in %.2f s",
             w->names[0], info->architecture, (double)info->n_params / 1e6,
             (double)info->weight_bytes / 1e6, info->backend, info->device, info->ctx_tokens,
             (unsigned long long)info->block_tokens * info->n_blocks,
             (double)(clock_now_ns() - w->started_ns) / 1e9);
    printf("polderd: %s is ready at %s\n", w->names[0], w->url);
    (void)fflush(stdout);
    if (w->status_fd >= 0) {
        ssize_t n = write(w->status_fd, ROLE_STATUS_READY "\n", sizeof ROLE_STATUS_READY);
        (void)n; /* a supervisor that is gone takes us along by signal */
    } else {
        notify_send("READY=1\nSTATUS=serving");
    }
}

/* Posted by the loader. */
static void on_loaded(void *user)
{
    struct worker *w = user;
    struct pl_error err = {0};
    w->engine = w->opened;
    if (w->open_status != PL_OK) {
        if (!w->draining)
            fail(w, w->open_error.msg);
        return;
    }
    if (w->draining)
        return;
    if (server_ready(w->server, w->engine, &err) != PL_OK) {
        fail(w, err.msg);
        return;
    }
    announce(w);
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static void on_drained(void *user)
{
    struct worker *w = user;
    http_loop_stop(w->loop);
}

static void on_deadline(void *user)
{
    struct worker *w = user;
    log_warn("%u requests did not finish in time and are cancelled", server_n_calls(w->server));
    http_loop_stop(w->loop);
}

static void on_terminate(void *user, int signo)
{
    struct worker *w = user;
    (void)signo;
    if (w->draining) { /* asked twice: now */
        http_loop_stop(w->loop);
        return;
    }
    w->draining = true;
    atomic_store(&w->give_up, true);
    notify_send("STOPPING=1");
    server_drain(w->server);
    if (w->engine != NULL)
        engine_drain(w->engine);
    log_info("shutting down: %u requests to finish", server_n_calls(w->server));
    http_server_drain(w->http, on_drained, w);
    http_timer_arm_ms(w->loop, &w->deadline, (int64_t)w->options->shutdown_timeout * 1000);
}

static void on_hangup(void *user, int signo)
{
    (void)user;
    (void)signo;
    log_info("SIGHUP: nothing to reload");
}

static enum pl_status watch_signals(struct worker *w, struct pl_error *err)
{
    (void)signal(SIGPIPE, SIG_IGN);
    enum pl_status status = http_loop_on_signal(w->loop, SIGTERM, on_terminate, w, err);
    if (status == PL_OK)
        status = http_loop_on_signal(w->loop, SIGINT, on_terminate, w, err);
    if (status == PL_OK)
        status = http_loop_on_signal(w->loop, SIGHUP, on_hangup, w, err);
    return status;
}

/* ---- starting -------------------------------------------------------------------------------------- */

/* The model's name by its file. */
static char *name_of_file(const char *path)
{
    char name[NAME_FILE_MAX + 1];
    name_of_model(path, name);
    return strdup(name);
}

/* Splits the served names at commas, in place. */
static enum pl_status make_names(struct worker *w, struct pl_error *err)
{
    const struct options *o = w->options;
    w->names_text = o->served_name != NULL ? strdup(o->served_name) : name_of_file(o->model);
    if (w->names_text == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    char *at = w->names_text;
    while (at != NULL) {
        char *comma = strchr(at, ',');
        if (comma != NULL)
            *comma = '\0';
        if (*at == '\0' || w->n_names == NAMES_MAX)
            return pl_error_set(err, PL_EINVAL,
                                "--served-model-name: expected 1 to %d names, none empty",
                                NAMES_MAX);
        w->names[w->n_names++] = at;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return PL_OK;
}

/* A descriptor that the supervisor left in the environment, or -1. Children of ours must not get it. */
static int inherited_fd(const char *variable)
{
    const char *text = getenv(variable); /* NOLINT(concurrency-mt-unsafe): no threads yet */
    int64_t fd = -1;
    if (text == NULL || !parse_i64(text, 3, INT_MAX, &fd) ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
        return -1;
    (void)unsetenv(variable); /* NOLINT(concurrency-mt-unsafe): no threads yet */
    return (int)fd;
}

static enum pl_status start_listening(struct worker *w, struct pl_error *err)
{
    int fd = inherited_fd(ROLE_ENV_LISTEN_FD);
    enum pl_status status = fd >= 0 ? http_server_adopt(w->http, fd, err)
                                    : http_server_listen(w->http, w->options->listen, err);
    if (status != PL_OK)
        return status;
    struct http_address address;
    status = http_address_parse(w->options->listen, &address, err);
    if (status != PL_OK)
        return status;
    uint16_t port = http_server_port(w->http);
    char text[HTTP_ADDRESS_TEXT_MAX];
    if (address.socket.any.sa_family == AF_INET)
        address.socket.v4.sin_port = htons(port);
    else if (address.socket.any.sa_family == AF_INET6)
        address.socket.v6.sin6_port = htons(port);
    http_address_format(&address, text);
    if (port == 0)
        (void)snprintf(w->url, sizeof w->url, "%s", text);
    else
        (void)snprintf(w->url, sizeof w->url, "http://%s/v1", text);
    log_info("listening on %s, loading %s", text, w->options->model);
    return PL_OK;
}

/* The file's text without its line end, to be wiped and freed by the caller. */
static enum pl_status read_hop_key(const char *path, char **ret, struct pl_error *err)
{
    char *key = NULL;
    size_t n = 0;
    struct stat about;
    enum pl_status status = file_read(path, HOP_KEY_MAX + 2, &key, &n, err);
    if (status != PL_OK)
        return status;
    while (n > 0 && (key[n - 1] == '\n' || key[n - 1] == '\r'))
        key[--n] = '\0';
    bool usable = n >= HOP_KEY_MIN && n <= HOP_KEY_MAX;
    for (size_t i = 0; usable && i < n; i++)
        usable = key[i] > 0x20 && key[i] < 0x7f;
    if (!usable) {
        explicit_bzero(key, n);
        free(key);
        return pl_error_set(err, PL_EINVAL,
                            "--hop-key-file %s: expected one line of %d to %d visible characters",
                            path, HOP_KEY_MIN, HOP_KEY_MAX);
    }
    if (stat(path, &about) == 0 && (about.st_mode & S_IROTH) != 0)
        log_warn("%s is readable by everybody on this machine", path);
    *ret = key;
    return PL_OK;
}

static enum pl_status open_server(struct worker *w, struct pl_error *err)
{
    const struct options *o = w->options;
    char *tmpl = NULL, *key = NULL;
    size_t n = 0;
    enum pl_status status = PL_OK;
    if (o->chat_template != NULL)
        status = file_read(o->chat_template, TEMPLATE_FILE_MAX, &tmpl, &n, err);
    if (status == PL_OK && o->hop_key_file != NULL)
        status = read_hop_key(o->hop_key_file, &key, err);
    struct server_options options = {
        .names = w->names,
        .n_names = w->n_names,
        .chat_template = tmpl,
        .hop_key = key,
        .trust_unix = o->trust_socket,
        .cache_dtype = o->kv_type,
        .no_prefix_cache = o->no_prefix_cache,
    };
    if (status == PL_OK)
        status = server_open(w->loop, &options, &w->server, err);
    if (key != NULL)
        explicit_bzero(key, strlen(key));
    free(key);
    free(tmpl);
    return status;
}

static enum pl_status start(struct worker *w, struct pl_error *err)
{
    enum pl_status status = make_names(w, err);
    if (status == PL_OK)
        status = http_loop_open(&w->loop, err);
    if (status == PL_OK)
        status = watch_signals(w, err);
    if (status == PL_OK)
        status = open_server(w, err);
    if (status != PL_OK)
        return status;
    struct http_server_options options = {0};
    server_http_options(w->server, &options);
    status = http_server_open(w->loop, &options, &w->http, err);
    if (status == PL_OK)
        status = start_listening(w, err);
    if (status != PL_OK)
        return status;
    if (pthread_create(&w->loader, NULL, load, w) != 0)
        return pl_error_set(err, PL_EIO, "cannot start a thread");
    w->loader_started = true;
    return PL_OK;
}

static void finish(struct worker *w)
{
    atomic_store(&w->give_up, true);
    http_server_close(w->http);
    if (w->loader_started)
        (void)pthread_join(w->loader, NULL);
    server_stop(w->server);
    engine_close(w->opened);
    server_close(w->server);
    if (w->loop != NULL) {
        http_timer_cancel(w->loop, &w->deadline);
        http_loop_unpost(w->loop, &w->loaded);
    }
    http_loop_close(w->loop);
    free(w->names_text);
}

int role_worker(const struct options *options, int n, char *const *args)
{
    (void)n;
    (void)args;
    (void)prctl(PR_SET_NAME, "polderd-worker"); /* else ps says "exe", by which it was started */
    struct worker w = {.options = options, .status_fd = inherited_fd(ROLE_ENV_STATUS_FD)};
    w.loaded = (struct http_task){.fn = on_loaded, .user = &w};
    w.deadline = (struct http_timer){.fn = on_deadline, .user = &w};
    w.started_ns = clock_now_ns();
    struct pl_error err = {0};
    enum pl_status status = start(&w, &err);
    if (status == PL_OK)
        status = http_loop_run(w.loop, &err);
    if (status != PL_OK) {
        log_error("%s", err.msg);
        w.exit_code = ROLE_FAILED;
    }
    finish(&w);
    return w.exit_code;
}
