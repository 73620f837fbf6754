/* Seats and blocks: who comes in, who has to make room; see impl.h. */
#include "impl.h"

#include "base/check.h"
#include "base/banned.h"

/* Virtual tokens that a waiting tenant may be behind before others yield; above CREDIT of tenant.c. */
#define DEBT 1024.0
/* Of a tenant's sequences so many are looked at, from the last in turn, for one that may yield. */
#define YIELD_TRIALS 16
/* Of all seats that part may yield in a plan, and one more. */
#define YIELD_PART 16
/* The most blocks kept free for each running sequence; 1 preempts five times as often under pressure, 64
 * leaves too many seats empty (tests/unit/sched). */
#define RESERVE_MAX 8
/* Plans without a shortage before the reserve shrinks by a quarter. */
#define CALM_PLANS 256
/* One that found no room is tried again in every so many plans even if nobody left. */
#define BLOCKED_PLANS 16
/* Plans to wait for somebody else's block: one that computes brings a block in each step. */
#define STALL_PLANS_MAX 4
/* The same for the disk. */
#define STALL_NS_MAX (INT64_C(5) * 1000 * 1000 * 1000)

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

void sched_count_blocks(struct sched *sched, struct sched_seq *seq)
{
    uint32_t n = seq->kv.held ? seq->kv.n_blocks : 0;
    uint32_t n_known = kv_cache_blocks_for(sched->options.cache, seq->n_tokens);
    uint32_t n_pledged =
        seq->kv.held && seq->state == SCHED_PREFILL && n_known > n ? n_known - n : 0;
    seq->tenant->n_blocks = seq->tenant->n_blocks - seq->n_blocks + n;
    seq->n_blocks = n;
    sched->n_pledged = sched->n_pledged - seq->n_pledged + n_pledged;
    seq->n_pledged = n_pledged;
}

void sched_release(struct sched *sched, struct sched_seq *seq)
{
    kv_seq_end(sched->options.cache, &seq->kv);
    sched_count_blocks(sched, seq);
    sched->n_releases++;
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

void sched_recall(struct sched *sched, uint32_t n_max)
{
    for (uint32_t i = 0; i < n_max && sched->aside.n > 0; i++) {
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
    sched_release(sched, seq);
    seq->tenant->n_running--;
    seq->tenant->closed_plan = sched->n_plans;
    sched->n_preemptions++;
    sched->preempted_tokens += seq->n_computed;
    seq->n_preemptions++;
    seq->n_computed = 0;
    sched_enter_waiting(sched, seq);
}

bool sched_take_blocks(struct sched *sched, struct sched_seq *seq, uint32_t n_tokens)
{
    while (!kv_seq_grow(sched->options.cache, &seq->kv, seq->n_computed, n_tokens)) {
        struct sched_seq *last = last_running(sched);
        sched->pressed = true;
        preempt(sched, last);
        if (last == seq)
            return false;
    }
    sched_count_blocks(sched, seq);
    return true;
}

void sched_adapt_reserve(struct sched *sched)
{
    sched->calm_plans++;
    if (sched->pressed) {
        sched->reserve_blocks = PL_MIN(2 * sched->reserve_blocks, RESERVE_MAX);
        sched->calm_plans = 0;
    } else if (sched->calm_plans >= CALM_PLANS && sched->reserve_blocks > 1) {
        sched->reserve_blocks -= (sched->reserve_blocks + 3) / 4;
        sched->calm_plans = 0;
    }
}

/* ---- who yields ------------------------------------------------------------------------------ */

/* A sequence that has yielded n times keeps its place for 2^n rows from then on: so it yields no more than
 * log2(its tokens) times before it is done. */
static bool may_yield(const struct sched_seq *seq)
{
    return seq->n_since + 1 >= UINT32_C(1) << PL_MIN(seq->n_yields, 31);
}

/* Whether a tenant has so much more than the one that waits that a place should change hands: more seats
 * (blocks, if the newcomer lacks those) for its weight even afterwards, or served more by more than a bound. */
static bool should_yield(const struct sched_tenant *from, const struct sched_tenant *to,
                         uint32_t n_blocks)
{
    double lead = sched_tenant_served(from) - sched_tenant_served(to);
    if (lead < 0)
        return false;
    if (lead * to->weight > DEBT)
        return true;
    if (n_blocks > 0)
        return (to->n_blocks + n_blocks) / to->weight <= from->n_blocks / from->weight;
    return (to->n_running + 1) / to->weight <= (from->n_running - 1.0) / from->weight;
}

/* The tenant's last sequence in turn that may yield to one of that priority. */
static struct sched_seq *tenant_yielder(const struct sched_tenant *tenant, int32_t priority)
{
    struct sched_seq *seq = tenant_last(tenant);
    for (int i = 0; i < YIELD_TRIALS && seq != NULL && seq->priority == priority; i++) {
        if (may_yield(seq))
            return seq;
        struct sched_seq *a = sched_tree_before(&tenant->decode, seq);
        struct sched_seq *b = sched_tree_before(&tenant->prefill, seq);
        seq = a == NULL || (b != NULL && sched_turn_before(a, b)) ? b : a;
    }
    return NULL;
}

static struct sched_seq *find_yielder(const struct sched *sched, const struct sched_seq *seq,
                                      uint32_t n_blocks)
{
    struct sched_seq *best = NULL;
    if (sched->n_yielded > sched->options.seqs_max / YIELD_PART)
        return NULL;
    for (const struct sched_tenant *t = sched->active; t != NULL; t = t->next) {
        if (t == seq->tenant || t->n_running == 0 || !should_yield(t, seq->tenant, n_blocks))
            continue;
        if (best != NULL && sched_tenant_served(t) <= sched_tenant_served(best->tenant))
            continue;
        struct sched_seq *last = tenant_yielder(t, seq->priority);
        best = last != NULL ? last : best;
    }
    return best;
}

/* Who loses its place to seq, which lacks a seat (n_blocks 0) or n_blocks: one of a lower priority, else of a tenant that
 * has more than its share. NULL if nobody. */
static struct sched_seq *find_victim(const struct sched *sched, const struct sched_seq *seq,
                                     uint32_t n_blocks)
{
    struct sched_seq *last = last_running(sched);
    if (last != NULL && last->priority > seq->priority)
        return last;
    return find_yielder(sched, seq, n_blocks);
}

static void make_way(struct sched *sched, struct sched_seq *victim, const struct sched_seq *seq)
{
    if (victim->priority == seq->priority) {
        victim->n_yields++;
        sched->n_yielded++;
    }
    preempt(sched, victim);
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Blocks for all known tokens beside what other prefills are still to take, so that a prefill need not be preempted
 * for its own sake, and some to spare, so that the decodes beside it aren't thrown out soon. They are taken chunk
 * by chunk: a window group gives back on the way what it can't see any more. */
static bool has_room(const struct sched *sched, const struct sched_seq *seq, uint32_t n_cached)
{
    const struct kv_cache *cache = sched->options.cache;
    if (sched->running.n == 0)
        return true;
    uint32_t n_next = PL_MIN(seq->n_tokens + 1, seq->kv_tokens_max);
    uint64_t n = kv_cache_blocks_for(cache, n_next) - kv_cache_blocks_for(cache, n_cached);
    n += PL_MIN((uint64_t)sched->running.n * sched->reserve_blocks, sched->n_blocks / 4);
    n += sched->n_pledged;
    n *= sched->block_tokens;
    return n <= UINT32_MAX && kv_cache_has_room(cache, (uint32_t)n);
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
    sched_count_blocks(sched, seq);
}

/* One that found no room stays out as long as nobody has left and nobody would make way; now and then it is
 * tried anyway, for windows give blocks back too. */
static bool is_hopeless(const struct sched *sched, const struct sched_seq *seq, uint32_t n_blocks)
{
    return sched->blocked == seq->arrival && sched->blocked_at == sched->n_releases &&
           sched->n_plans % BLOCKED_PLANS != 0 && find_victim(sched, seq, n_blocks) == NULL;
}

enum sched_admit sched_admit(struct sched *sched, struct sched_seq *seq)
{
    struct kv_cache *cache = sched->options.cache;
    uint32_t n_blocks = kv_cache_blocks_for(cache, seq->n_tokens) + 1;
    struct sched_seq *victim = NULL;
    if (sched->running.n == sched->options.seqs_max) {
        victim = find_victim(sched, seq, 0);
        if (victim == NULL)
            return SCHED_BLOCKED;
    }
    uint32_t n_cached;
    if (is_hopeless(sched, seq, n_blocks))
        return SCHED_BLOCKED;
    if (!begin(sched, seq, &n_cached))
        return SCHED_STALLED;
    if (victim != NULL)
        make_way(sched, victim, seq);
    while (!has_room(sched, seq, n_cached)) {
        victim = find_victim(sched, seq, n_blocks);
        if (victim == NULL) {
            kv_seq_end(cache, &seq->kv);
            sched->blocked = seq->arrival;
            sched->blocked_at = sched->n_releases;
            return SCHED_BLOCKED;
        }
        make_way(sched, victim, seq);
    }
    seat(sched, seq, n_cached);
    return SCHED_ADMITTED;
}
