/*
 * sim/impl.h - what the harness's files share; inside this folder.
 *
 *   world.c    the clock, the loop, the log
 *   worker.c   engine, server and HTTP server of a worker; its device's hook
 *   request.c  one HTTP call, from body to answer
 *   answer.c   what the text of a prompt must be
 *   profile.c  the facts of a profile file
 *   model.c    the GGUF
 *
 * Threads: one.  Source: ours.
 */
#ifndef SIM_IMPL_H
#define SIM_IMPL_H

#include "sim.h"

#include "base/clock.h"

struct sim_call; /* a request under way */

struct sim {
    struct clock_source clock;
    int64_t now_ns; /* on clock_now_ns's scale */
    bool exhausted; /* nothing is left that could happen */
    struct http_loop *loop;
    struct http_client *client;
    struct http_timer limit; /* of sim_run */
    char dir[64];
    char model_path[96];
    char *backend_dir; /* owned */
    uint64_t seed;
    FILE *log;
    uint64_t digest;
    uint64_t n_calls; /* ever */
    uint32_t n_open;  /* calls under way */
    struct sim_call *calls;
    struct sim_event *events; /* of sim_at, all of them */
    struct sim_worker *workers[SIM_WORKERS_MAX];
    uint32_t n_workers;
};

#define SIM_EPOCH_NS (1000 * SIM_NS_PER_S) /* virtual monotonic time at which a world begins */
#define SIM_UNIX_NS                                                                                \
    (1750000000 * SIM_NS_PER_S) /* and the day: any, as long as it is always the same */

void sim_worker_free(struct sim_worker *w);
void sim_calls_free(struct sim *sim);

/* ---- answer.c ------------------------------------------------------------------------------------ */

/* Follows a greedy text, token by token. */
struct sim_expect {
    uint64_t *entries; /* [n] of the prompt and of what was said so far */
    uint32_t n, capacity;
};

PL_NODISCARD bool sim_expect_init(struct sim_expect *e, const int32_t *ids, uint32_t n_ids,
                                  uint32_t n_max);
void sim_expect_deinit(struct sim_expect *e);
/* The next token's id; it counts as said. At most n_max times. */
int32_t sim_expect_next(struct sim_expect *e);

#endif
