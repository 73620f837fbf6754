/*
 * impl.h - the inside of the scheduler, for the files of this room.
 *
 *   sched.active -> tenant -> tenant -> ...     those with sequences inside
 *                     |
 *                     +-- waiting   tree  \
 *                     +-- prefill   tree   } by priority, due time, arrival; a sequence is in one of them,
 *                     +-- decode    tree  /  but: set aside (stalled), or PREFILL and in the plan being made
 *
 *   sched.running   list of PREFILL and DECODE, in order of admission
 *   sched.aside     list of WAITING ones that kv_seq_begin has put off, in order of trial
 *   sched.deadlines tree of WAITING ones with a deadline and no token yet
 *
 * Who comes first among tenants is not stored: tenants' counters move with every step, so each decision looks
 * at the head of each active tenant. O(active tenants + log sequences).
 *
 * Ownership, threads, errors: see sched.h.  Limits: below.  Source: ours; trees after Seidel, Aragon,
 * "Randomized search trees", 1996.
 */
#ifndef SCHED_IMPL_H
#define SCHED_IMPL_H

#include "sched.h"

#define SCHED_PROMPT_COST 1.0 /* virtual tokens of a computed prompt token: w_p of the paper */
#define SCHED_OUTPUT_COST 2.0 /* of a token of output: w_q */
/* A sequence without a deadline is due that long after its arrival, so that a stream of deadlines in its own tenant
 * can't starve it. */
#define SCHED_PATIENCE_NS (INT64_C(60) * 1000 * 1000 * 1000)
#define SCHED_TRIALS_MAX                                                                           \
    32 /* stalled sequences that are tried again in a plan, and new ones found */

/* ---- trees ----------------------------------------------------------------------------------- */

enum sched_order {
    SCHED_BY_TURN = 0, /* priority, due time, arrival */
    SCHED_BY_DEADLINE, /* deadline, arrival */
};

/* A treap; heap order by a hash of the arrival. */
struct sched_tree {
    struct sched_seq *root;
    enum sched_order order; /* which link, which key */
};

bool sched_turn_before(const struct sched_seq *a, const struct sched_seq *b); /* SCHED_BY_TURN */
void sched_tree_insert(struct sched_tree *tree, struct sched_seq *seq);
void sched_tree_remove(struct sched_tree *tree, struct sched_seq *seq); /* is in it */
struct sched_seq *sched_tree_first(const struct sched_tree *tree);      /* or NULL */
struct sched_seq *sched_tree_last(const struct sched_tree *tree);
/* The one before seq, which need not be in the tree. */
struct sched_seq *sched_tree_before(const struct sched_tree *tree, const struct sched_seq *seq);

/* ---- lists ----------------------------------------------------------------------------------- */

struct sched_list {
    struct sched_seq *first, *last;
    uint32_t n;
};

void sched_list_append(struct sched_list *list, struct sched_seq *seq);
void sched_list_unlink(struct sched_list *list, struct sched_seq *seq);

/* ---- tenants --------------------------------------------------------------------------------- */

struct sched_tenant {
    char name[64]; /* cut, NUL-terminated */
    size_t name_bytes;
    uint64_t hash; /* of the whole name; with its length and beginning, its identity */
    uint32_t users;
    double weight;
    double counter; /* virtual tokens served / weight */
    double planned; /* what the plan being made will add */
    uint64_t prompt_tokens, output_tokens;
    uint32_t n_running, n_waiting; /* n_waiting: set aside ones too */
    uint32_t n_blocks;             /* of running ones; a shared block counts for each */
    uint64_t closed_plan;          /* no admissions in that plan: it yielded in it */
    struct sched_tree waiting, prefill, decode;
    struct sched_tenant *prev, *next; /* active ones */
};

double sched_tenant_served(const struct sched_tenant *tenant);
void sched_tenant_charge(struct sched_tenant *tenant, uint32_t n_prompt, uint32_t n_output);

/* Before a sequence joins `waiting`, or by fork; after one has left altogether. */
void sched_tenant_arrive(struct sched *sched, struct sched_tenant *tenant, int32_t priority);
void sched_tenant_depart(struct sched *sched, struct sched_tenant *tenant);

/* ---- pace ------------------------------------------------------------------------------------ */

#define SCHED_FEATURES 5

/* What a step has to do. pairs: (row, position that it sees) */
struct sched_load {
    double decode_rows, decode_kv; /* kv: tokens in the cache of decoding sequences */
    double prefill_rows, prefill_pairs;
};

/* ns = x . (1, decode rows, decode kv, prefill rows, prefill pairs), x >= 0, by least squares of relative errors
 * with forgetting; steps without and with prefill rows are forgotten apart, so that an hour of decoding
 * leaves what is known of prefills as it is. Same steps, same model. */
struct sched_pace {
    double a[2][SCHED_FEATURES][SCHED_FEATURES]; /* normal equations by kind of step */
    double b[2][SCHED_FEATURES];
    double x[SCHED_FEATURES];    /* ns */
    uint64_t n[2];               /* steps seen */
    double bend;                 /* measured / fitted time of chunks beside decodes, lately */
    double plain_ns, plain_rows; /* steps without chunks, lately: their time, their decode rows */
    double trim; /* of the time for chunks: 1, less where steps with them took too long */
};

void sched_pace_init(struct sched_pace *pace);
/* took_ns <= 0: unknown, nothing learnt. */
void sched_pace_learn(struct sched_pace *pace, const struct sched_load *load, int64_t took_ns);
bool sched_pace_known(const struct sched_pace *pace);
double sched_pace_trim(const struct sched_pace *pace);
double sched_pace_ns(const struct sched_pace *pace, const struct sched_load *load);
/* The most rows from `start` on that take at most ns beside those decodes; and what n_rows take. */
uint32_t sched_pace_rows(const struct sched_pace *pace, const struct sched_load *decodes,
                         uint32_t start, double ns);
double sched_pace_chunk_ns(const struct sched_pace *pace, const struct sched_load *decodes,
                           uint32_t start, uint32_t n_rows);
void sched_pace_stats(const struct sched_pace *pace, const struct sched_load *load,
                      struct sched_stats *ret);

/* ---- the whole ------------------------------------------------------------------------------- */

struct sched {
    struct sched_options options;
    uint32_t block_tokens; /* P */
    uint32_t n_blocks;     /* of the cache */
    struct sched_plan plan;
    uint64_t n_plans;
    int64_t now_ns;  /* of the latest plan */
    bool open;       /* the plan is not committed */
    uint32_t n_gone; /* items of it whose sequence was removed: NULL */

    struct sched_tenant *tenants;  /* [tenants_max], accounts; the first n_tenants are known */
    struct sched_tenant **by_name; /* [n_tenants] of tenants_max */
    uint32_t n_tenants;
    struct sched_tenant *active;
    struct sched_tenant *admitted; /* whose sequence was admitted last, or NULL */
    double idle_counter;           /* the most that a tenant had when it left */

    struct sched_list running, aside;
    struct sched_tree deadlines;
    uint32_t n_waiting, n_stalled;
    uint64_t n_arrivals;
    struct sched_seq *cursor; /* of the walk over running ones, kept right by preemption */

    uint64_t blocked;        /* arrival of the last one that found no blocks */
    uint64_t blocked_at;     /* n_releases then */
    uint64_t n_releases;     /* sequences that gave their blocks back */
    uint64_t n_pledged;      /* blocks that running prefills are still to take */
    bool pressed;            /* one that runs found no block in this plan */
    uint32_t reserve_blocks; /* for each running sequence, kept free by admission */
    uint32_t calm_plans;     /* since the last change of it */
    uint64_t n_preemptions, preempted_tokens, recomputed_tokens;
    uint32_t chunk_rows;
    uint32_t n_yielded; /* preemptions for fairness in this plan */

    struct sched_pace pace;
    struct sched_load load; /* of the plan */
};

/* ---- room: seats, blocks, preemption --------------------------------------------------------- */

enum sched_admit {
    SCHED_ADMITTED,
    SCHED_STALLED, /* set aside: others may overtake it */
    SCHED_BLOCKED, /* no seat or no blocks: nobody behind it comes in */
};

/* The first waiting sequence of a tenant. */
enum sched_admit sched_admit(struct sched *sched, struct sched_seq *seq);

/* After the decodes of each plan: more to spare after a shortage, less after a long calm. */
void sched_adapt_reserve(struct sched *sched);

/* Blocks for its first n_tokens, if need be at the cost of the last in order; false: that was seq. */
bool sched_take_blocks(struct sched *sched, struct sched_seq *seq, uint32_t n_tokens);

/* Whether a goes on before b: by priority, then by what the tenants were served, then by turn. */
bool sched_goes_before(const struct sched_seq *a, const struct sched_seq *b);

/* Counts the blocks that kv got or lost for the tenant, and those that a prefill is still to take. */
void sched_count_blocks(struct sched *sched, struct sched_seq *seq);

/* Gives its blocks back to the cache. */
void sched_release(struct sched *sched, struct sched_seq *seq);

/* Where it stands by its state, unless set aside. */
struct sched_tree *sched_tree_of(const struct sched_seq *seq);
/* WAITING: trees, counts. */
void sched_enter_waiting(struct sched *sched, struct sched_seq *seq);
void sched_leave_waiting(struct sched *sched, struct sched_seq *seq);
/* The first n_max of those set aside get another chance. */
void sched_recall(struct sched *sched, uint32_t n_max);

/* The item leaves the plan that is being made. */
void sched_unplan(struct sched *sched, struct sched_seq *seq);

#endif
