/* A worker of the world: what polderd runs, on the world's loop; see sim.h. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "backend/hook.h"
#include "http/server.h"
#include "server/server.h"
#include "base/banned.h"

#define PROFILE_DEFAULT "h100-8b"
#define SEQS_DEFAULT    256
#define ROWS_DEFAULT    2048
#define CTX_DEFAULT     (32 * 1024)
#define SETTINGS_OWN    3 /* profile, seed, hook */
#define SETTING_BYTES   160

struct sim_worker {
    struct sim *sim;
    uint32_t index;
    struct sim_worker_options options; /* its strings are ours */
    char profile[128], key[80];
    char settings[SIM_SETTINGS_MAX + SETTINGS_OWN][SETTING_BYTES];
    char address[96];
    struct sim_hook hook;
    enum pl_status fault;
    int64_t busy_ns, due_ns;
    struct http_task turn;   /* the engine has something to do */
    struct http_timer ready; /* its device is done */

    /* NULL while down. */
    struct engine *engine;
    struct server *server;
    struct http_server *http;
};

/* ---- the device's hook --------------------------------------------------------------------------- */

static int64_t hook_now(void *user)
{
    (void)user;
    return clock_now_ns();
}

static void hook_on_submit(void *user, int64_t done_ns)
{
    struct sim_worker *w = user;
    w->busy_ns += done_ns - clock_now_ns();
    w->due_ns = done_ns;
}

static enum pl_status hook_fault(void *user)
{
    const struct sim_worker *w = user;
    return w->fault;
}

/* ---- turns --------------------------------------------------------------------------------------- */

static void on_wake(void *user)
{
    struct sim_worker *w = user;
    http_loop_post(w->sim->loop, &w->turn);
}

static void on_turn(void *user)
{
    struct sim_worker *w = user;
    enum engine_turn turn = ENGINE_TURN_DONE;
    while (w->engine != NULL && turn == ENGINE_TURN_DONE)
        turn = engine_turn(w->engine);
    if (turn == ENGINE_TURN_BUSY)
        http_timer_arm(w->sim->loop, &w->ready, w->due_ns);
}

/* ---- up and down --------------------------------------------------------------------------------- */

static enum pl_status open_engine(struct sim_worker *w, struct pl_error *err)
{
    const struct sim_worker_options *o = &w->options;
    const char *settings[SIM_SETTINGS_MAX + SETTINGS_OWN + 1] = {NULL};
    for (size_t i = 0; i < o->n_settings + SETTINGS_OWN; i++)
        settings[i] = w->settings[i];
    const struct engine_options options = {
        .model_path = w->sim->model_path,
        .backend = "sim",
        .backend_dir = w->sim->backend_dir,
        .backend_settings = settings,
        .ctx_tokens = o->ctx_tokens,
        .kv_tokens = o->kv_tokens,
        .seqs_max = o->seqs_max,
        .rows_max = o->rows_max,
        .queue_max = o->queue_max,
        .no_prefix_cache = o->no_prefix_cache,
        .kv_ram_bytes = o->kv_ram_bytes,
        .draft_max = o->draft_max,
        .step_target_ms = o->step_target_ms,
        .on_wake = on_wake,
        .user = w,
    };
    return engine_open(&options, &w->engine, err);
}

static enum pl_status open_server(struct sim_worker *w, struct pl_error *err)
{
    const char *const names[] = {"sim"};
    const struct server_options options = {
        .names = names,
        .n_names = 1,
        .hop_key = w->options.key,
        .trust_unix = w->options.key == NULL,
        .no_prefix_cache = w->options.no_prefix_cache,
        .single_thread = true,
    };
    struct http_server_options http = {0};
    enum pl_status status = server_open(w->sim->loop, &options, &w->server, err);
    if (status == PL_OK) {
        server_http_options(w->server, &http);
        status = http_server_open(w->sim->loop, &http, &w->http, err);
    }
    if (status == PL_OK)
        status = http_server_listen(w->http, w->address, err);
    if (status == PL_OK)
        status = server_ready(w->server, w->engine, err);
    return status;
}

static void close_parts(struct sim_worker *w)
{
    http_server_close(w->http);
    server_stop(w->server);
    engine_close(w->engine);
    server_close(w->server);
    w->http = NULL;
    w->server = NULL;
    w->engine = NULL;
    http_loop_unpost(w->sim->loop, &w->turn);
    http_timer_cancel(w->sim->loop, &w->ready);
}

enum pl_status sim_worker_up(struct sim_worker *w, struct pl_error *err)
{
    if (sim_worker_is_up(w))
        return PL_OK;
    w->fault = PL_OK;
    enum pl_status status = open_engine(w, err);
    if (status == PL_OK)
        status = open_server(w, err);
    if (status != PL_OK)
        close_parts(w);
    else
        sim_log(w->sim, "worker %u up", w->index);
    return status;
}

void sim_worker_down(struct sim_worker *w)
{
    if (!sim_worker_is_up(w))
        return;
    sim_log(w->sim, "worker %u down", w->index);
    close_parts(w);
}

void sim_worker_fault(struct sim_worker *w, enum pl_status status)
{
    sim_log(w->sim, "worker %u device %s", w->index, pl_status_text(status));
    w->fault = status;
}

/* ---- making -------------------------------------------------------------------------------------- */

static enum pl_status fill_options(struct sim_worker *w, const struct sim_worker_options *from,
                                   struct pl_error *err)
{
    struct sim_worker_options *o = &w->options;
    *o = *from;
    (void)snprintf(w->profile, sizeof w->profile, "%s",
                   from->profile != NULL ? from->profile : PROFILE_DEFAULT);
    o->profile = w->profile;
    if (from->key != NULL) {
        (void)snprintf(w->key, sizeof w->key, "%s", from->key);
        o->key = w->key;
    }
    struct sim_profile_facts facts = {0};
    enum pl_status status = sim_profile_read(w->profile, &facts, err);
    if (status != PL_OK)
        return status;
    o->seqs_max = o->seqs_max > 0 ? o->seqs_max : SEQS_DEFAULT;
    o->rows_max = o->rows_max > 0 ? o->rows_max : ROWS_DEFAULT;
    o->kv_tokens = o->kv_tokens > 0 ? o->kv_tokens : facts.kv_tokens;
    if (o->ctx_tokens == 0)
        o->ctx_tokens = o->kv_tokens > 0 ? PL_MIN(o->kv_tokens, CTX_DEFAULT) : CTX_DEFAULT;
    if (o->n_settings > SIM_SETTINGS_MAX)
        return pl_error_set(err, PL_ELIMIT, "sim: %zu settings, at most %d", o->n_settings,
                            SIM_SETTINGS_MAX);
    return PL_OK;
}

static void fill_settings(struct sim_worker *w, const struct sim_worker_options *from)
{
    const unsigned long long seed = w->sim->seed % 1000000007U * 256 + w->index;
    (void)snprintf(w->settings[0], SETTING_BYTES, "profile=%s", w->profile);
    (void)snprintf(w->settings[1], SETTING_BYTES, "seed=%llu", seed);
    (void)snprintf(w->settings[2], SETTING_BYTES, "hook=%p", (void *)&w->hook);
    for (size_t i = 0; i < from->n_settings; i++)
        (void)snprintf(w->settings[SETTINGS_OWN + i], SETTING_BYTES, "%s", from->settings[i]);
}

enum pl_status sim_worker_add(struct sim *sim, const struct sim_worker_options *options,
                              struct sim_worker **ret, struct pl_error *err)
{
    if (sim->n_workers == SIM_WORKERS_MAX)
        return pl_error_set(err, PL_ELIMIT, "sim: %d workers at the most", SIM_WORKERS_MAX);
    struct sim_worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a worker");
    w->sim = sim;
    w->index = sim->n_workers;
    w->hook = (struct sim_hook){.struct_size = sizeof w->hook,
                                .user = w,
                                .now_ns = hook_now,
                                .on_submit = hook_on_submit,
                                .fault = hook_fault};
    w->turn = (struct http_task){.fn = on_turn, .user = w};
    w->ready = (struct http_timer){.fn = on_turn, .user = w};
    (void)snprintf(w->address, sizeof w->address, "unix:%s/w%u.sock", sim->dir, w->index);
    enum pl_status status = fill_options(w, options, err);
    if (status == PL_OK) {
        fill_settings(w, options);
        status = sim_worker_up(w, err);
    }
    if (status != PL_OK) {
        free(w);
        return status;
    }
    sim->workers[sim->n_workers++] = w;
    *ret = w;
    return PL_OK;
}

void sim_worker_free(struct sim_worker *w)
{
    close_parts(w);
    free(w);
}

uint32_t sim_worker_index(const struct sim_worker *w)
{
    return w->index;
}

const char *sim_worker_address(const struct sim_worker *w)
{
    return w->address;
}

bool sim_worker_is_up(const struct sim_worker *w)
{
    return w->engine != NULL;
}

struct engine *sim_worker_engine(struct sim_worker *w)
{
    return w->engine;
}

double sim_worker_busy(const struct sim_worker *w)
{
    int64_t passed_ns = sim_now_ns(w->sim);
    return passed_ns > 0 ? (double)w->busy_ns / (double)passed_ns : 0;
}
