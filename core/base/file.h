/*
 * base/file.h - whole files: read into memory, or mapped read-only.
 *
 * Ownership: file_read's data is malloc'ed for the caller; a mapping lives until file_unmap.
 * Threads: no shared state.  Errors: PL_ENOENT, PL_EIO, PL_ELIMIT, PL_ENOMEM; the message names the
 * path.  Limits: max_bytes of file_read.  Source: POSIX.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <polder/status.h>

struct file_map {
    const unsigned char *data; /* NULL for an empty file */
    size_t bytes;
};

/* *ret_data is NUL-terminated behind its *ret_bytes. "-" is not special. */
PL_NODISCARD enum pl_status file_read(const char *path, size_t max_bytes, char **ret_data,
                                      size_t *ret_bytes, struct pl_error *err);

/* A private read-only mapping of a regular file. */
PL_NODISCARD enum pl_status file_map(const char *path, struct file_map *ret, struct pl_error *err);
void file_unmap(struct file_map *map);

#endif
