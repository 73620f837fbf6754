/*
 * kv/cache.h - the paged KV cache as a whole: who holds which block, which blocks can be found again by
 * their content, and where they go when the device needs the room.
 *
 *                       kv_seq_begin: found by hash
 *            +------------------------------------------------------+
 *            v                                                      |
 *   FREE -> HELD (refs > 0) -> CACHED (refs 0, in the index, LRU) --+--> evicted: FREE
 *            ^ kv_seq_grow        kv_seq_end, tail first            |       | copied on the way, if it is worth it
 *            +------------------------------------------------------+       v
 *                                                      RAM tier (LRU) --> disk tier (LRU, file)
 *
 * A block holds P positions of all layers of one group. Only full blocks are shared: block j of a sequence
 * is known by hash_j = H(hash_{j-1}, its P token ids), hash_{-1} = the scope (organisation, salt, adapter), H
 * being BLAKE2b with a secret key, cut to 128 bits. So a hit means equal tokens from the start, in one scope.
 *
 * Groups: full attention holds all blocks of a sequence; a window group gives back those that no later
 * position can see, and a prefix counts as found where the blocks in its window are there.
 *
 * Preempted sequences need nothing special: kv_seq_end leaves their full blocks CACHED, later in the tiers,
 * and kv_seq_begin finds again what is left. That is swapping where tiers have room and recomputing where not.
 *
 * Nothing is computed twice at the same time: kv_seq_begin tells when the next block that it misses is being
 * computed by a running sequence (KV_BEGIN_PENDING), so that the caller can wait for it.
 *
 * Invariants (kv_cache_check): see docs/internals/kv.md.
 * Ownership: the cache owns blocks, index and tiers; a kv_seq's storage belongs to whoever made the sequence.
 * Threads: one owner (the engine thread), but for kv_scope, kv_seq_hash (pure) and kv_cache_stats (any thread);
 * on_ready is called by the disk tier's thread.
 * Errors: open; afterwards "no room" is a value, and a device that fails in a copy sticks until kv_cache_error.
 * A tier that fails is switched off with a log line: requests go on. No allocation after open.
 * Limits: KV_BLOCKS_MAX, KV_GROUPS_MAX.
 * Source: Kwon et al., SOSP 2023 (paging); vLLM's prefix caching design (chain of hashes, free tail first); ours.
 */
#ifndef KV_CACHE_H
#define KV_CACHE_H

#include <polder/status.h>

#define KV_BLOCKS_MAX (1u << 30) /* block numbers are int32 in the block table of a step */
#define KV_GROUPS_MAX 4

/* 128 bits; all zero is never a block's hash. */
struct kv_hash {
    uint64_t w[2];
};

/* How the bytes of a device block are moved: synchronous, in order with submitted steps. */
struct kv_device {
    void *user;
    enum pl_status (*copy)(void *user, uint32_t group, int32_t from, int32_t to,
                           struct pl_error *err);
    enum pl_status (*read)(void *user, uint32_t group, int32_t block, void *dst,
                           struct pl_error *err);
    enum pl_status (*write)(void *user, uint32_t group, int32_t block, const void *src,
                            struct pl_error *err);
};

struct kv_group_options {
    uint32_t n_blocks;
    uint32_t window_tokens; /* 0 = full attention; else position p sees p - window < j <= p */
    uint64_t block_bytes;   /* may be 0 where neither tiers nor kv_seq_fork are used */
};

struct kv_cache_options {
    uint32_t block_tokens; /* P */
    uint32_t n_groups;
    struct kv_group_options groups[KV_GROUPS_MAX];
    /* Sequences between begin and end; one more while it takes the place of another. */
    uint32_t seqs_max;
    /* The most positions that one kv_seq_grow spans: window groups are judged by it in fits and has_room. 0 = any: they
     * then need all blocks. */
    uint32_t grow_tokens_max;
    bool no_sharing;         /* no index: every sequence computes for itself */
    struct kv_device device; /* may be zero where neither tiers nor kv_seq_fork are used */
    uint64_t ram_bytes;      /* RAM tier; 0 = none */
    const char *disk_dir;    /* disk tier: a folder of its own; NULL = none */
    uint64_t disk_bytes;     /* bound of that folder's files */
    /* What the blocks were computed by: weights, types, layout. Others' blocks never match. */
    uint8_t model_id[32];
    /* By the disk tier's thread, without its locks: blocks that kv_seq_begin waited for are there, begin again; or the
     * queue that kv_cache_idle found full is empty. Once more than needed does no harm. */
    void (*on_ready)(void *user);
    void (*on_log)(void *user, const char *line); /* may be NULL */
    void *user;
};

struct kv_cache;

PL_NODISCARD enum pl_status kv_cache_open(const struct kv_cache_options *options,
                                          struct kv_cache **ret, struct pl_error *err);
/* All sequences have ended. Writes to disk that wait are finished first. Accepts NULL. */
void kv_cache_close(struct kv_cache *cache);

/* ---- sequences ------------------------------------------------------------------------------- */

/* The blocks of one sequence. Made by kv_seq_init over storage of kv_seq_bytes; moves with memcpy not. */
struct kv_seq {
    int32_t *blocks[KV_GROUPS_MAX]; /* [n_blocks_max] each; positions j*P ..; -1 = given back */
    struct kv_hash *hashes;         /* [n_blocks_max], the first n_hashes valid */
    struct kv_hash scope;
    uint32_t n_blocks_max;
    uint32_t n_blocks;  /* entries in use, in every group */
    uint32_t n_hashes;  /* full blocks of known tokens */
    uint32_t n_indexed; /* first blocks that are findable through this sequence, or shared by it */
    uint32_t n_first[KV_GROUPS_MAX]; /* entries before it have been given back (window groups) */
    uint32_t held_i;                 /* place in the cache's list of held sequences, while held */
    uint32_t n_pending; /* 1 + the block that the last begin waits for (PENDING); 0 = none */
    uint32_t n_missing; /* 1 + blocks only on disk when its loads were last begun; 0 = never */
    uint64_t n_done;    /* transfers that were done when begin last answered LOADING */
    bool held;          /* between begin and end */
    bool counted;       /* its hit is in the statistics */
    uint32_t n_queried, n_hit; /* blocks, of the last begin */
};

/* Scope of what may be shared: n bytes of name (organisation) and n_salt bytes of salt, both may be empty. */
struct kv_hash kv_scope(const struct kv_cache *cache, const void *name, size_t n, const void *salt,
                        size_t n_salt);

size_t kv_seq_bytes(const struct kv_cache *cache, uint32_t n_tokens_max);
/* storage: kv_seq_bytes, aligned to 16, zeroed or not. */
void kv_seq_init(const struct kv_cache *cache, struct kv_seq *seq, void *storage,
                 uint32_t n_tokens_max, struct kv_hash scope);

/* Hashes of the full blocks among the first n_tokens of ids, as far as they are not known yet. A sequence that
 * ended and begins again keeps them. Any thread that owns seq. */
void kv_seq_hash(const struct kv_cache *cache, struct kv_seq *seq, const int32_t *ids,
                 uint32_t n_tokens);

enum kv_begin {
    KV_BEGIN_OK,      /* held now; *ret_n_cached tokens are computed already: whole blocks */
    KV_BEGIN_LOADING, /* blocks are on their way from disk: again after on_ready (not held) */
    KV_BEGIN_PENDING, /* a held sequence computes the next block: again after its commit (not held) */
};

/* Takes the longest prefix that is there, of at most n_reuse_max tokens (whole blocks). With wait false it never
 * answers LOADING or PENDING but takes what is there now. */
enum kv_begin kv_seq_begin(struct kv_cache *cache, struct kv_seq *seq, uint32_t n_reuse_max,
                           bool wait, uint32_t *ret_n_cached);

/* Room for positions n_computed .. n_tokens-1 in blocks of its own (a shared block that would be written is
 * copied): all, or false and nothing changed. Evicts what nobody holds. */
PL_NODISCARD bool kv_seq_grow(struct kv_cache *cache, struct kv_seq *seq, uint32_t n_computed,
                              uint32_t n_tokens);

/* Positions below n_computed are in the cache now; ids are theirs. Indexes blocks that became full, gives back
 * what left the windows. Positions beyond n_computed may have been written too (refused drafts): they don't count. */
void kv_seq_commit(struct kv_cache *cache, struct kv_seq *seq, const int32_t *ids,
                   uint32_t n_computed);

/* `to` (initialised, not held) starts with the first n_tokens of `from` (held): blocks are shared, the last,
 * partial one is copied when either writes to it. False without room for that copy: nothing changed. */
PL_NODISCARD bool kv_seq_fork(struct kv_cache *cache, const struct kv_seq *from, struct kv_seq *to,
                              uint32_t n_tokens);

/* Gives all blocks back; those in the index stay findable until they are evicted, the tail first. */
void kv_seq_end(struct kv_cache *cache, struct kv_seq *seq);

/* ---- room ------------------------------------------------------------------------------------ */

/* Blocks of one group that a sequence of n_tokens takes. */
uint32_t kv_cache_blocks_for(const struct kv_cache *cache, uint32_t n_tokens);

/* Whether n_tokens fit into the empty cache, alone; and now, beside what is held, for a sequence that shares nothing. */
bool kv_cache_fits(const struct kv_cache *cache, uint32_t n_tokens);
bool kv_cache_has_room(const struct kv_cache *cache, uint32_t n_tokens);

/* PL_OK, or what a device copy failed with since the last call; the text in *err. Blocks touched by it were
 * dropped from the index; sequences held at the time must be ended by the caller. */
enum pl_status kv_cache_error(struct kv_cache *cache, struct pl_error *err);

/* For an owner that has nothing else to do: copies one block towards the disk, so that a restart finds it. True: call
 * it again. False: there is nothing left to do now; where a full queue was the reason, on_ready is called later. */
bool kv_cache_idle(struct kv_cache *cache);

/* Forgets everything that nobody holds, in all tiers. */
void kv_cache_reset(struct kv_cache *cache);

/* Counters since open; tokens are counted once per block of the first group. */
struct kv_cache_stats {
    uint32_t blocks_total, blocks_held, blocks_cached; /* group 0 */
    /* Of each sequence's first begin that it goes on from: counted by its first commit, not again after preemption. */
    uint64_t queried_tokens, hit_tokens;
    uint64_t ram_hit_tokens, disk_hit_tokens; /* of hit_tokens, where they came from */
    uint64_t evicted_blocks;
    uint64_t ram_blocks, ram_blocks_max, disk_blocks, disk_blocks_max;
    uint64_t ram_stored, disk_stored;
    uint64_t disk_dropped; /* torn, forged or of another model */
    uint64_t disk_errors;
};
void kv_cache_stats(const struct kv_cache *cache, struct kv_cache_stats *ret);

/* Invariants, in O(blocks): for tests and after a fault. */
bool kv_cache_check(const struct kv_cache *cache);

#endif
