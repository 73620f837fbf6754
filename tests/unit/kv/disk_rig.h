/*
 * unit/kv/disk_rig.h - what the tests of the disk tier share: one rig (rig.h), one folder, one sequence.
 */
#ifndef UNIT_KV_DISK_RIG_H
#define UNIT_KV_DISK_RIG_H

#include "rig.h"

#define P 4

extern struct rig rig;
extern struct rig_seq a;
extern char dir[64];

/* A device of n_blocks, room for n_slots in the folder. */
struct kv_cache_options options_of(uint32_t n_blocks, uint32_t n_slots);

/* Opens over a scrambled device, as after a restart; closes and checks. */
void open_rig(const struct kv_cache_options *o);
void close_rig(void);

/* Tokens that were cached of n tokens from `first`. */
uint32_t run(uint32_t scope_i, int32_t first, uint32_t n);

/* Uses idle time until n blocks have been stored. */
void await_stored(uint64_t n);

/* Files of the folder; read_file's data is malloc'ed. */
void path_of(const char *name, char ret[96]);
unsigned char *read_file(const char *name, size_t *ret_n);
void write_file(const char *name, const unsigned char *data, size_t n);

#endif
