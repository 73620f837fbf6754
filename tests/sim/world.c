/* The clock, the loop and the log; see sim.h. */
#include "impl.h"
#include "model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/banned.h"

#define IDLE_CONNECTIONS 4096 /* kept by the client */
#define LINE_BYTES       512

struct sim_event {
    struct sim *sim;
    struct sim_event *next;
    struct http_timer timer;
    void (*fn)(void *user);
    void *user;
};

/* ---- the clock ----------------------------------------------------------------------------------- */

static int64_t virtual_now(void *user)
{
    const struct sim *sim = user;
    return sim->now_ns;
}

static int64_t virtual_unix(void *user)
{
    const struct sim *sim = user;
    return SIM_UNIX_NS + sim->now_ns - SIM_EPOCH_NS;
}

static void skip_to(void *user, int64_t due_ns)
{
    struct sim *sim = user;
    if (due_ns == INT64_MAX) {
        sim->exhausted = true;
        http_loop_stop(sim->loop);
    } else if (due_ns > sim->now_ns) {
        sim->now_ns = due_ns;
    }
}

int64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns - SIM_EPOCH_NS;
}

/* ---- open, close --------------------------------------------------------------------------------- */

/* Sockets of many streams. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum pl_status open_parts(struct sim *sim, struct pl_error *err)
{
    const struct http_client_options options = {.idle_max = IDLE_CONNECTIONS};
    (void)snprintf(sim->dir, sizeof sim->dir, "/tmp/polder-sim-XXXXXX");
    if (mkdtemp(sim->dir) == NULL) {
        sim->dir[0] = '\0';
        return pl_error_set(err, PL_EIO, "sim: no temporary folder");
    }
    (void)snprintf(sim->model_path, sizeof sim->model_path, "%s/sim.gguf", sim->dir);
    enum pl_status status = sim_model_write(sim->model_path, err);
    if (status == PL_OK)
        status = http_loop_open(&sim->loop, err);
    if (status == PL_OK)
        status = http_client_open(sim->loop, &options, &sim->client, err);
    return status;
}

enum pl_status sim_open(const struct sim_options *options, struct sim **ret, struct pl_error *err)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory");
    sim->now_ns = SIM_EPOCH_NS;
    sim->seed = options->seed;
    sim->log = options->log;
    sim->clock = (struct clock_source){
        .now_ns = virtual_now, .unix_ns = virtual_unix, .skip_to = skip_to, .user = sim};
    clock_set_source(&sim->clock);
    raise_descriptors();
    sim->backend_dir =
        strdup(options->backend_dir != NULL ? options->backend_dir : SIM_BACKEND_DIR);
    enum pl_status status = sim->backend_dir != NULL
                                ? open_parts(sim, err)
                                : pl_error_set(err, PL_ENOMEM, "sim: no memory");
    if (status != PL_OK) {
        sim_close(sim);
        return status;
    }
    *ret = sim;
    return PL_OK;
}

static void free_events(struct sim *sim)
{
    while (sim->events != NULL) {
        struct sim_event *event = sim->events;
        sim->events = event->next;
        http_timer_cancel(sim->loop, &event->timer);
        free(event);
    }
}

void sim_close(struct sim *sim)
{
    if (sim == NULL)
        return;
    if (sim->loop != NULL) {
        sim_calls_free(sim);
        free_events(sim);
        http_client_close(sim->client);
        for (uint32_t i = 0; i < sim->n_workers; i++)
            sim_worker_free(sim->workers[i]);
        http_loop_close(sim->loop);
    }
    if (sim->dir[0] != '\0') {
        (void)unlink(sim->model_path);
        (void)rmdir(sim->dir);
    }
    free(sim->backend_dir);
    clock_set_source(NULL);
    free(sim);
}

struct http_loop *sim_loop(struct sim *sim)
{
    return sim->loop;
}

struct http_client *sim_client(struct sim *sim)
{
    return sim->client;
}

uint64_t sim_seed(const struct sim *sim)
{
    return sim->seed;
}

const char *sim_dir(const struct sim *sim)
{
    return sim->dir;
}

const char *sim_model_path(const struct sim *sim)
{
    return sim->model_path;
}

uint32_t sim_n_requests(const struct sim *sim)
{
    return sim->n_open;
}

uint32_t sim_n_workers(const struct sim *sim)
{
    return sim->n_workers;
}

struct sim_worker *sim_worker_at(struct sim *sim, uint32_t i)
{
    return i < sim->n_workers ? sim->workers[i] : NULL;
}

/* ---- running ------------------------------------------------------------------------------------- */

static void on_limit(void *user)
{
    struct sim *sim = user;
    http_loop_stop(sim->loop);
}

void sim_stop(struct sim *sim)
{
    http_loop_stop(sim->loop);
}

enum pl_status sim_run(struct sim *sim, int64_t until_ns, struct pl_error *err)
{
    sim->exhausted = false;
    sim->limit = (struct http_timer){.fn = on_limit, .user = sim};
    if (until_ns != SIM_FOREVER)
        http_timer_arm(sim->loop, &sim->limit, SIM_EPOCH_NS + until_ns);
    enum pl_status status = http_loop_run(sim->loop, err);
    http_timer_cancel(sim->loop, &sim->limit);
    return status;
}

static void on_event(void *user)
{
    const struct sim_event *event = user;
    event->fn(event->user);
}

enum pl_status sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *user), void *user)
{
    struct sim_event *event = calloc(1, sizeof *event);
    if (event == NULL)
        return PL_ENOMEM;
    *event = (struct sim_event){.sim = sim, .next = sim->events, .fn = fn, .user = user};
    event->timer = (struct http_timer){.fn = on_event, .user = event};
    sim->events = event;
    http_timer_arm(sim->loop, &event->timer, SIM_EPOCH_NS + at_ns);
    return PL_OK;
}

/* ---- the log ------------------------------------------------------------------------------------- */

void sim_log(struct sim *sim, const char *fmt, ...)
{
    char line[LINE_BYTES];
    int n = snprintf(line, sizeof line, "%" PRId64 " ", sim_now_ns(sim));
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
    va_end(args);
    size_t length = PL_MIN((size_t)(n + more), sizeof line - 1);
    sim->digest = hash_siphash13((const uint64_t[2]){sim->digest, 0}, line, length);
    if (sim->log != NULL)
        (void)fprintf(sim->log, "%s\n", line);
}

uint64_t sim_digest(const struct sim *sim)
{
    return sim->digest;
}
