/* Figures: written by the engine thread after each step, read by anyone; see impl.h. */
#include "impl.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/banned.h"

#define RATE_SPAN_NS (2 * CLOCK_NS_PER_S) /* finished_per_s is looked at so often */
#define RATE_WEIGHT  0.5                  /* of the latest span */
#define RETRY_PART   8 /* of the queue that should have gone by the time of a retry */
#define RETRY_MAX_S  60

/* ---- writing --------------------------------------------------------------------------------- */

static void count_sched(struct engine *engine, struct engine_stats *s)
{
    struct sched_stats from;
    sched_stats(engine->sched, &from);
    s->running = from.running;
    s->preemptions = from.preemptions;
    s->recomputed_tokens = from.recomputed_tokens;
    s->step_fixed_ns = from.step_fixed_ns;
    s->step_decode_ns = from.step_decode_ns;
    s->step_prefill_ns = from.step_prefill_ns;
}

static void count_cache(struct engine *engine, struct engine_stats *s)
{
    struct kv_cache_stats from;
    kv_cache_stats(engine->cache, &from);
    s->blocks_used = from.blocks_held;
    s->blocks_cached = from.blocks_cached;
    s->blocks_total = from.blocks_total;
    s->cache_queried_tokens = from.queried_tokens;
    s->cache_hit_tokens = from.hit_tokens;
    s->cache_ram_hit_tokens = from.ram_hit_tokens;
    s->cache_disk_hit_tokens = from.disk_hit_tokens;
    s->cache_evicted_blocks = from.evicted_blocks;
    s->ram_blocks = from.ram_blocks;
    s->ram_blocks_max = from.ram_blocks_max;
    s->disk_blocks = from.disk_blocks;
    s->disk_blocks_max = from.disk_blocks_max;
    s->disk_dropped = from.disk_dropped;
    s->disk_errors = from.disk_errors;
}

static void count_tenants(struct engine *engine, struct figures *f)
{
    struct sched_tenant_stats *from = engine->tenant_stats;
    uint32_t n = sched_tenants(engine->sched, from, ENGINE_TENANTS_MAX);
    f->n_tenants = PL_MIN(n, ENGINE_TENANTS_MAX);
    for (uint32_t i = 0; i < f->n_tenants; i++) {
        f->tenants[i] = (struct engine_tenant){
            .weight = from[i].weight,
            .running = from[i].running,
            .waiting = from[i].waiting,
            .prompt_tokens = from[i].prompt_tokens,
            .output_tokens = from[i].output_tokens,
            .counter = from[i].counter,
        };
        memcpy(f->tenants[i].name, from[i].name, sizeof f->tenants[i].name);
    }
}

/* How fast requests leave: what a client that found the queue full is told. */
static void count_rate(struct engine *engine, struct figures *f)
{
    int64_t now_ns = clock_now_ns();
    if (engine->rate_ns == 0)
        engine->rate_ns = now_ns;
    int64_t span_ns = now_ns - engine->rate_ns;
    if (span_ns < RATE_SPAN_NS)
        return;
    uint64_t total = 0;
    for (uint32_t i = 0; i < ENGINE_N_FINISH; i++)
        total += f->stats.finished[i];
    double rate = (double)(total - engine->rate_finished) * CLOCK_NS_PER_S / (double)span_ns;
    f->finished_per_s += RATE_WEIGHT * (rate - f->finished_per_s);
    engine->rate_finished = total;
    engine->rate_ns = now_ns;
}

void engine_publish(struct engine *engine)
{
    struct figures *f = &engine->counting;
    count_sched(engine, &f->stats);
    count_cache(engine, &f->stats);
    count_tenants(engine, f);
    count_rate(engine, f);
    pthread_mutex_lock(&engine->figures_lock);
    engine->figures.stats = f->stats;
    engine->figures.finished_per_s = f->finished_per_s;
    engine->figures.n_tenants = f->n_tenants;
    memcpy(engine->figures.tenants, f->tenants, f->n_tenants * sizeof *f->tenants);
    pthread_mutex_unlock(&engine->figures_lock);
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint32_t count_inside(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    uint32_t n = engine->n_inside;
    pthread_mutex_unlock(&engine->mutex);
    return n;
}

void engine_stats(struct engine *engine, struct engine_stats *ret)
{
    struct pl_device_stats device = {.struct_size = sizeof device};
    exec_device_stats(engine->exec, &device);
    uint32_t inside = count_inside(engine);
    pthread_mutex_lock(&engine->figures_lock);
    *ret = engine->figures.stats;
    pthread_mutex_unlock(&engine->figures_lock);
    ret->waiting = inside > ret->running ? inside - ret->running : 0;
    ret->device_allocs = device.n_allocs;
    ret->device_compiles = device.n_compiles;
}

uint32_t engine_tenants(struct engine *engine, struct engine_tenant ret[ENGINE_TENANTS_MAX])
{
    pthread_mutex_lock(&engine->figures_lock);
    uint32_t n = engine->figures.n_tenants;
    memcpy(ret, engine->figures.tenants, n * sizeof *ret);
    pthread_mutex_unlock(&engine->figures_lock);
    return n;
}

uint32_t engine_retry_after_s(struct engine *engine)
{
    uint32_t inside = count_inside(engine);
    pthread_mutex_lock(&engine->figures_lock);
    double per_s = engine->figures.finished_per_s;
    pthread_mutex_unlock(&engine->figures_lock);
    double wait_s = per_s > 0 ? (double)inside / RETRY_PART / per_s : 1;
    return (uint32_t)PL_MAX(1, PL_MIN(ceil(wait_s), RETRY_MAX_S));
}
