/*
 * fetch/io.h - small file operations with messages: all of this room's writing goes through here.
 *
 * Threads: no shared state.  Errors: a full disk (ENOSPC, EDQUOT, EFBIG) is PL_ELIMIT, others are PL_EIO.
 * Source: POSIX.
 */
#ifndef FETCH_IO_H
#define FETCH_IO_H

#include <polder/status.h>

/* "doing 'path': why", from errno. */
PL_NODISCARD enum pl_status io_fail(const char *doing, const char *path, struct pl_error *err);

/* All n bytes; false with errno set. */
PL_NODISCARD bool io_write(int fd, const void *bytes, size_t n);

/* A file's or folder's contents reach the disk. */
PL_NODISCARD bool io_sync_path(const char *path);

/* mkdir -p. */
PL_NODISCARD enum pl_status io_make_dirs(const char *path, struct pl_error *err);

/* dir/file and a tail into ret[PATH_MAX]. */
PL_NODISCARD enum pl_status io_join(const char *dir, const char *file, const char *tail, char *ret,
                                    struct pl_error *err);

/* "4.9 GB" (powers of ten, as shops and the Hub count) into ret[16]. */
void io_human_bytes(uint64_t bytes, char ret[16]);

#endif
