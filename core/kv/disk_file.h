/*
 * kv/disk_file.h - the file that KV blocks outlive a process in: opened, scanned, one slot read or written.
 *
 *   folder   key       32 random bytes, 0600, made once
 *            lock      flock'ed while a process uses the folder
 *            blocks    superblock | headers of group 0 | .. | blocks of group 0 | ..   (docs/formats/kv-disk.md)
 *
 * Nothing read is believed before its MAC says that this folder's key made it: a header that is torn, forged or of
 * another place counts as an empty slot; a block whose digest is not the header's is refused. So no order of writes
 * and no fsync is needed: whatever a crash leaves, a block is right or it is not there.
 *
 * Ownership: the caller's storage; open takes descriptors, close gives them back.
 * Threads: one user at a time (the tier's I/O thread after open).
 * Errors: PL_EIO (the file can't be used any more), PL_EFORMAT (this block is torn or forged), PL_EBUSY (another
 * process has the folder), PL_EPERM (others could write to or read from it), PL_EINVAL, PL_ENOMEM.
 * Limits: KV_GROUPS_MAX; KV_BLOCKS_MAX slots a group.  Source: ours; BLAKE2b as a MAC: RFC 7693.
 */
#ifndef KV_DISK_FILE_H
#define KV_DISK_FILE_H

#include "base/blake2b.h"

#include "cache.h"

#define KV_DISK_SUPER_BYTES  4096
#define KV_DISK_HEADER_BYTES 128
#define KV_DISK_KEY_BYTES    32

struct kv_disk_group {
    uint64_t block_bytes;   /* of a block */
    uint64_t stride_bytes;  /* from a block to the next one */
    uint64_t header_offset; /* of slot 0's header, in the file */
    uint64_t data_offset;   /* of slot 0's block */
    uint32_t n_slots;
};

struct kv_disk_file {
    int dir_fd, lock_fd, fd; /* -1 = not open */
    uint32_t n_groups, block_tokens;
    struct kv_disk_group groups[KV_GROUPS_MAX];
    unsigned char model_id[32];
    uint64_t epoch; /* headers of others are void: what kv_disk_clear counts */
    struct blake2b super_mac, header_mac, data_mac; /* states that have swallowed their keys */
    unsigned char hash_key[32]; /* the key of block names: equal after a restart */
};

struct kv_disk_options {
    const char *dir;
    uint64_t bytes; /* bound of the folder's files */
    uint32_t block_tokens, n_groups;
    struct kv_group_options groups[KV_GROUPS_MAX];
    unsigned char model_id[32];
};

/* Shares bytes among groups so that each gets slots in proportion to its device blocks. slot_bytes[g]: what a slot
 * takes. False if a group would get none. */
PL_NODISCARD bool kv_share_bytes(uint64_t bytes, uint32_t n_groups,
                                 const struct kv_group_options *groups, const uint64_t *slot_bytes,
                                 uint32_t *ret_n_slots);

/* Takes the folder (made if absent, its parent not), its key, and the file: as it is if it is of this version,
 * geometry and model, else made anew if it is ours at all. */
PL_NODISCARD enum pl_status kv_disk_open(const struct kv_disk_options *options,
                                         struct kv_disk_file *ret, struct pl_error *err);
void kv_disk_close(struct kv_disk_file *file); /* accepts one that open refused */

/* Calls on_slot for each slot of the group whose header is genuine; how many were neither that nor empty. */
typedef void kv_disk_slot_fn(void *user, uint32_t slot, uint64_t number,
                             const struct kv_hash *hash);
PL_NODISCARD enum pl_status kv_disk_scan(struct kv_disk_file *file, uint32_t group_i,
                                         kv_disk_slot_fn *on_slot, void *user, uint64_t *ret_n_bad,
                                         struct pl_error *err);

/* number: larger for later writes, tells ages after a restart. */
PL_NODISCARD enum pl_status kv_disk_write(struct kv_disk_file *file, uint32_t group_i,
                                          uint32_t slot, uint64_t number,
                                          const struct kv_hash *hash, const void *data,
                                          struct pl_error *err);
PL_NODISCARD enum pl_status kv_disk_read(struct kv_disk_file *file, uint32_t group_i, uint32_t slot,
                                         const struct kv_hash *hash, void *data,
                                         struct pl_error *err);

/* Forgets all blocks and gives their disk space back. */
PL_NODISCARD enum pl_status kv_disk_clear(struct kv_disk_file *file, struct pl_error *err);

#endif
