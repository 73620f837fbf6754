/*
 * unit/kv/rig.h - a cache over a fake device whose blocks hold, position by position, what they stand for.
 *
 * The cell of position p is a hash of the scope and of tokens 0 .. p: so a block that is found for a wrong prefix, in
 * another scope, half written, of another group or at another place is noticed cell by cell.
 */
#ifndef UNIT_KV_RIG_H
#define UNIT_KV_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdatomic.h>

#include "kv/cache.h"

#define RIG_TOKENS_MAX 256 /* of a sequence */

struct rig {
    struct kv_cache_options o;
    struct kv_cache *cache;
    unsigned char *memory[KV_GROUPS_MAX]; /* [n_blocks][block_bytes] */
    uint64_t n_calls;                     /* of the device */
    uint64_t fail_at;                     /* its n_calls-th call fails; 0 = none */
    _Atomic uint64_t n_ready;             /* on_ready calls */
    char log[512];                        /* the last line */
    unsigned n_logs;
};

/* A sequence with the tokens and cells that it stands for. */
struct rig_seq {
    struct kv_seq kv;
    _Alignas(16) unsigned char storage[8192];
    int32_t ids[RIG_TOKENS_MAX];
    uint64_t cells[RIG_TOKENS_MAX];
    uint32_t n_tokens;   /* known */
    uint32_t n_computed; /* committed */
    uint32_t scope_i;
};

/* Options of a rig of n_groups groups of n_blocks blocks of P tokens; windows may be NULL. */
struct kv_cache_options rig_options(uint32_t block_tokens, uint32_t n_blocks, uint32_t n_groups,
                                    const uint32_t *windows);

/* The device is the rig's; on failure of the cache to open, the status. */
enum pl_status rig_open(struct rig *rig, const struct kv_cache_options *o, struct pl_error *err);
void rig_close(struct rig *rig);
void rig_scramble(struct rig *rig); /* the device's memory, as a restart does */

void rig_seq_init(struct rig *rig, struct rig_seq *seq, uint32_t scope_i);
void rig_seq_add(struct rig *rig, struct rig_seq *seq, int32_t id);
void rig_seq_add_n(struct rig *rig, struct rig_seq *seq, int32_t first,
                   uint32_t n); /* first, +1, .. */

/* kv_seq_begin over all known tokens but the last one, waiting for loads; asserts that all content is right. */
uint32_t rig_begin(struct rig *rig, struct rig_seq *seq);
enum kv_begin rig_try_begin(struct rig *rig, struct rig_seq *seq, uint32_t n_reuse_max, bool wait,
                            uint32_t *ret_n_cached);

/* Grows, writes and commits up to n tokens. False if there is no room. */
bool rig_compute(struct rig *rig, struct rig_seq *seq, uint32_t n);

/* begin, compute all, end; tokens that were cached. */
uint32_t rig_run(struct rig *rig, struct rig_seq *seq);

/* Asserts that each position below n_computed that later ones can see is there and right. */
void rig_check_content(const struct rig *rig, const struct rig_seq *seq);

struct kv_cache_stats rig_stats(const struct rig *rig);

/* A new folder below $TMPDIR, /dev/shm or /tmp; its removal with all that is in it. */
void rig_make_dir(char ret[64]);
void rig_remove_dir(const char *dir);

#endif
