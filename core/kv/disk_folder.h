/*
 * kv/disk_folder.h - the disk tier's folder: ours alone, with a key, one process at a time.
 *
 * Ownership: descriptors go to the caller.  Threads: no shared state.
 * Errors: PL_EBUSY, PL_EPERM, PL_EIO, PL_EFORMAT.  Source: flock(2), openat(2).
 */
#ifndef KV_DISK_FOLDER_H
#define KV_DISK_FOLDER_H

#include "disk_file.h"

/* Opens the folder (made if absent), takes its lock, reads its key (made if absent). What it opened it also
 * returns in the two descriptors when it fails later: the caller closes them. */
PL_NODISCARD enum pl_status kv_folder_open(const char *dir, int *ret_dir_fd, int *ret_lock_fd,
                                           unsigned char ret_key[KV_DISK_KEY_BYTES],
                                           struct pl_error *err);

/* A regular file of the folder, made empty if absent, that belongs to us and that others can't touch. */
PL_NODISCARD enum pl_status kv_folder_file(int dir_fd, const char *name, int *ret_fd,
                                           struct pl_error *err);

#endif
