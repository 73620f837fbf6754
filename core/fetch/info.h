/*
 * fetch/info.h - the small text file beside a download (FILE.part.info) and a pulled model (FILE.info).
 *
 *   polder-file 1
 *   url https://host/path/model.gguf       without its query
 *   etag "abc"                             as sent; absent: none
 *   modified Tue, 01 Sep 2026 ...          Last-Modified; absent: none
 *   size 8021504                           bytes of the whole file; absent: not known yet
 *   bytes 4194304                          that are on disk for certain (fdatasync'ed)
 *   boot 5d5c...                           boot during which bytes behind those were written
 *   sha256 9f86...                         of the whole file; absent: not whole yet
 *   commit 0123...                         of the Hub's repository; absent: none
 *
 * Unknown keys are left alone by readers, so that later versions may add some.
 *
 * Ownership: the caller's storage.  Threads: one owner.  Errors: PL_ENOENT, PL_EFORMAT, PL_EIO.
 * Limits: INFO_BYTES_MAX.  Source: ours.
 */
#ifndef FETCH_INFO_H
#define FETCH_INFO_H

#include <polder/status.h>

#include "answer.h"
#include "url.h"

#define INFO_BYTES_MAX 16384

struct info {
    char url[URL_MAX];
    char etag[ANSWER_TAG_MAX];
    char modified[64];
    bool has_size;
    uint64_t size;
    uint64_t bytes;
    char boot[40];
    char sha256[SHA256_HEX_BYTES];
    char commit[65];
};

PL_NODISCARD enum pl_status info_read(const char *path, struct info *ret, struct pl_error *err);

/* Written beside and renamed: a reader sees the old or the new one. */
PL_NODISCARD enum pl_status info_write(const char *path, const struct info *info,
                                       struct pl_error *err);

/* The kernel's id of this boot, "" where there is none. */
void info_boot_id(char ret[40]);

#endif
