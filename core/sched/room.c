/* Seats and blocks: who comes in, who has to make room; see impl.h. */
#include "impl.h"

#include "base/check.h"
#include "base/banned.h"

#define STALL_PLANS_MAX 8                                 /* PENDING without anything new */
#define STALL_NS_MAX    (INT64_C(5) * 1000 * 1000 * 1000) /* LOADING */

/* ---- states ---------------------------------------------------------------------------------- */

struct sched_tree *sched_tree_of(const struct sched_seq *seq)
{
    PL_CHECK(seq->state != SCHED_OUTSIDE);
    return seq->state == SCHED_WAITING   ? &seq->tenant->waiting
           : seq->state == SCHED_PREFILL ? &seq->tenant->prefill
                                         : &seq->tenant->decode;
}

static bool has_deadline(const struct sched_seq *seq)
{
    return seq->deadline_ns != 0 && seq->n_tokens == seq->n_prompt;
}

void sched_enter_waiting(struct sched *sched, struct sched_seq *seq)
{
    seq->state = SCHED_WAITING;
    sched_tree_insert(&seq->tenant->waiting, seq);
    if (has_deadline(seq))
        sched_tree_insert(&sched->deadlines, seq);
    seq->tenant->n_waiting++;
    sched->n_waiting++;
}

void sched_leave_waiting(struct sched *sched, struct sched_seq *seq)
{
    if (seq->aside)
        sched_list_unlink(&sched->aside, seq);
    else
        sched_tree_remove(&seq->tenant->waiting, seq);
    if (has_deadline(seq))
        sched_tree_remove(&sched->deadlines, seq);
    sched->n_stalled -= seq->stalled;
    seq->stalled = seq->aside = false;
    seq->tenant->n_waiting--;
    sched->n_waiting--;
}

void sched_count_blocks(struct sched_seq *seq)
{
    uint32_t n = seq->kv.held ? seq->kv.n_blocks : 0;
    seq->tenant->n_blocks = seq->tenant->n_blocks - seq->n_blocks + n;
    seq->n_blocks = n;
}

/* ---- stalls ---------------------------------------------------------------------------------- */

static void set_aside(struct sched *sched, struct sched_seq *seq)
{
    if (!seq->stalled) {
        seq->stalled = true;
        seq->stalled_ns = sched->now_ns;
        seq->stall_plans = seq->stall_pending = 0;
        sched->n_stalled++;
    }
    sched_tree_remove(&seq->tenant->waiting, seq);
    seq->aside = true;
    sched_list_append(&sched->aside, seq);
}

void sched_recall(struct sched *sched)
{
    for (uint32_t i = 0; i < SCHED_TRIALS_MAX && sched->aside.n > 0; i++) {
        struct sched_seq *seq = sched->aside.first;
        sched_list_unlink(&sched->aside, seq);
        seq->aside = false;
        sched_tree_insert(&seq->tenant->waiting, seq);
    }
}

/* Whether it is worth while to wait on: something runs that may bring the blocks, and it has brought
 * some lately. */
static bool may_wait(const struct sched *sched, const struct sched_seq *seq)
{
    if (!seq->stalled)
        return true;
    return seq->stall_plans < STALL_PLANS_MAX && sched->now_ns - seq->stalled_ns < STALL_NS_MAX;
}

/* kv_seq_begin; false: put off. */
static bool begin(struct sched *sched, struct sched_seq *seq, uint32_t *ret_n_cached)
{
    struct kv_cache *cache = sched->options.cache;
    uint32_t n_reuse_max = seq->no_reuse ? 0 : PL_MIN(seq->out_from, seq->n_tokens - 1);
    kv_seq_hash(cache, &seq->kv, seq->ids, seq->n_tokens);
    enum kv_begin got =
        kv_seq_begin(cache, &seq->kv, n_reuse_max, may_wait(sched, seq), ret_n_cached);
    if (got == KV_BEGIN_PENDING && sched->running.n == 0) /* nobody computes anything */
        got = kv_seq_begin(cache, &seq->kv, n_reuse_max, false, ret_n_cached);
    if (got == KV_BEGIN_OK)
        return true;
    set_aside(sched, seq);
    if (got == KV_BEGIN_PENDING && seq->kv.n_pending == seq->stall_pending) {
        seq->stall_plans++;
    } else if (got == KV_BEGIN_PENDING) {
        seq->stall_plans = 0;
        seq->stalled_ns = sched->now_ns;
        seq->stall_pending = seq->kv.n_pending;
    }
    return false;
}

/* ---- preemption ------------------------------------------------------------------------------ */

bool sched_goes_before(const struct sched_seq *a, const struct sched_seq *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    double x = sched_tenant_served(a->tenant);
    double y = sched_tenant_served(b->tenant);
    if (a->tenant != b->tenant && (x < y || x > y))
        return x < y;
    return sched_turn_before(a, b);
}

/* The tenant's running sequence that is last in turn; those in the plan being made as PREFILL don't count. */
static struct sched_seq *tenant_last(const struct sched_tenant *tenant)
{
    struct sched_seq *a = sched_tree_last(&tenant->decode);
    struct sched_seq *b = sched_tree_last(&tenant->prefill);
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    return sched_turn_before(a, b) ? b : a;
}

static struct sched_seq *last_running(const struct sched *sched)
{
    struct sched_seq *last = NULL;
    for (const struct sched_tenant *t = sched->active; t != NULL; t = t->next) {
        struct sched_seq *seq = tenant_last(t);
        if (seq != NULL && (last == NULL || sched_goes_before(last, seq)))
            last = seq;
    }
    return last;
}

static void preempt(struct sched *sched, struct sched_seq *seq)
{
    if (sched->cursor == seq)
        sched->cursor = seq->next;
    if (seq->planned)
        sched_unplan(sched, seq);
    sched_tree_remove(sched_tree_of(seq), seq);
    sched_list_unlink(&sched->running, seq);
    kv_seq_end(sched->options.cache, &seq->kv);
    sched_count_blocks(seq);
    seq->tenant->n_running--;
    seq->tenant->closed_plan = sched->n_plans;
    sched->n_preemptions++;
    sched->preempted_tokens += seq->n_computed;
    seq->n_preemptions++;
    seq->n_computed = 0;
    sched_enter_waiting(sched, seq);
}

bool sched_take_blocks(struct sched *sched, struct sched_seq *seq)
{
    while (!kv_seq_grow(sched->options.cache, &seq->kv, seq->n_computed, seq->n_tokens)) {
        struct sched_seq *last = last_running(sched);
        sched->pressed = true;
        preempt(sched, last);
        if (last == seq)
            return false;
    }
    sched_count_blocks(seq);
    return true;
}

/* Who may lose its place to seq: of a lower priority. NULL if nobody. */
static struct sched_seq *find_victim(const struct sched *sched, const struct sched_seq *seq)
{
    struct sched_seq *last = last_running(sched);
    return last != NULL && last->priority > seq->priority ? last : NULL;
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Blocks for all known tokens, so that a prefill never has to be preempted for its own sake, and some to
 * spare, so that the decodes beside it aren't thrown out soon. */
static bool has_room(struct sched *sched, struct sched_seq *seq, uint32_t n_cached)
{
    struct kv_cache *cache = sched->options.cache;
    if (!kv_seq_grow(cache, &seq->kv, n_cached, seq->n_tokens))
        return false;
    if (sched->running.n == 0)
        return true;
    uint64_t n = PL_MIN((uint64_t)sched->running.n * sched->reserve_blocks, sched->n_blocks / 4);
    if (kv_cache_blocks_for(cache, PL_MIN(seq->n_tokens + 1, seq->kv_tokens_max)) >
        seq->kv.n_blocks)
        n++;
    return n == 0 || kv_cache_has_room(cache, (uint32_t)n * sched->block_tokens);
}

static void seat(struct sched *sched, struct sched_seq *seq, uint32_t n_cached)
{
    bool first = seq->admitted_ns == 0;
    sched_leave_waiting(sched, seq);
    if (first) {
        seq->n_cached = n_cached;
        seq->admitted_ns = PL_MAX(sched->now_ns, 1);
    }
    seq->n_high = PL_MAX(seq->n_high, n_cached);
    seq->n_computed = n_cached;
    seq->n_since = 0;
    seq->state = SCHED_PREFILL;
    seq->tenant->n_running++;
    sched->admitted = seq->tenant;
    sched_list_append(&sched->running, seq);
    sched_tree_insert(&seq->tenant->prefill, seq);
    sched_count_blocks(seq);
}

enum sched_admit sched_admit(struct sched *sched, struct sched_seq *seq)
{
    struct sched_seq *victim = NULL;
    if (sched->running.n == sched->options.seqs_max) {
        victim = find_victim(sched, seq);
        if (victim == NULL)
            return SCHED_BLOCKED;
    }
    uint32_t n_cached;
    if (!begin(sched, seq, &n_cached))
        return SCHED_STALLED;
    if (victim != NULL)
        preempt(sched, victim);
    while (!has_room(sched, seq, n_cached)) {
        victim = find_victim(sched, seq);
        if (victim == NULL) {
            kv_seq_end(sched->options.cache, &seq->kv);
            return SCHED_BLOCKED;
        }
        preempt(sched, victim);
    }
    seat(sched, seq, n_cached);
    return SCHED_ADMITTED;
}
