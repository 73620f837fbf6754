/* See part.h. */
#include "part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "base/banned.h"

#define READ_BYTES ((size_t)1 << 20)
#define TAIL_MAX   sizeof ".part.info"

/* The path with a tail; part_open has checked that it fits. */
static const char *with_tail(const struct part *part, const char *tail, char ret[PATH_MAX])
{
    (void)snprintf(ret, PATH_MAX, "%.*s%s", (int)(PATH_MAX - TAIL_MAX), part->path, tail);
    return ret;
}

static enum pl_status fail(const struct part *part, const char *doing, struct pl_error *err)
{
    char path[PATH_MAX];
    return io_fail(doing, with_tail(part, ".part", path), err);
}

/* How many of the file's bytes may be trusted; fills part->info from the record. */
static uint64_t trusted_bytes(struct part *part, const char *url, uint64_t file_bytes)
{
    char path[PATH_MAX], boot[40];
    struct pl_error why;
    struct info info;
    info_boot_id(boot);
    if (info_read(with_tail(part, ".part.info", path), &info, &why) != PL_OK ||
        strcmp(info.url, url) != 0)
        return 0;
    bool same_boot = boot[0] != '\0' && strcmp(boot, info.boot) == 0;
    uint64_t bytes = same_boot ? file_bytes : PL_MIN(info.bytes, file_bytes);
    if (bytes < info.bytes || (info.has_size && bytes > info.size))
        return 0; /* record and file are not of one download */
    part->info = info;
    return bytes;
}

static enum pl_status read_blocks(struct part *part, uint64_t n, char *block, part_tick_fn *tick,
                                  void *user, struct pl_error *err)
{
    while (part->have < n) {
        size_t want = (size_t)PL_MIN(n - part->have, (uint64_t)READ_BYTES);
        ssize_t got = pread(part->fd, block, want, (off_t)part->have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(part, "read", err);
        sha256_add(&part->hash, block, (size_t)got);
        part->have += (uint64_t)got;
        if (tick != NULL && !tick(user, part->have, n))
            return pl_error_set(err, PL_ECANCELED, "stopped");
    }
    return PL_OK;
}

/* Hashes the first n bytes. */
static enum pl_status read_back(struct part *part, uint64_t n, part_tick_fn *tick, void *user,
                                struct pl_error *err)
{
    char *block = malloc(READ_BYTES);
    if (block == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    enum pl_status status = read_blocks(part, n, block, tick, user, err);
    free(block);
    return status;
}

static void forget(struct part *part)
{
    char url[URL_MAX];
    memcpy(url, part->info.url, sizeof url);
    part->info = (struct info){0};
    memcpy(part->info.url, url, sizeof url);
    info_boot_id(part->info.boot);
    part->have = 0;
    sha256_begin(&part->hash);
}

static enum pl_status cut(struct part *part, uint64_t bytes, struct pl_error *err)
{
    if (ftruncate(part->fd, (off_t)bytes) != 0 || lseek(part->fd, (off_t)bytes, SEEK_SET) < 0)
        return fail(part, "write", err);
    return PL_OK;
}

static enum pl_status open_file(struct part *part, uint64_t *ret_bytes, struct pl_error *err)
{
    char path[PATH_MAX];
    struct stat st;
    part->fd =
        open(with_tail(part, ".part", path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (part->fd < 0)
        return fail(part, "create", err);
    if (fstat(part->fd, &st) != 0)
        return fail(part, "open", err);
    if (!S_ISREG(st.st_mode))
        return pl_error_set(err, PL_EIO, "'%s' is not a file", path);
    *ret_bytes = (uint64_t)st.st_size;
    return PL_OK;
}

enum pl_status part_open(struct part *part, const char *path, const char *url, part_tick_fn *tick,
                         void *user, struct pl_error *err)
{
    uint64_t bytes = 0;
    size_t n = strlen(path), url_n = strlen(url);
    part->fd = -1;
    if (n + TAIL_MAX > sizeof part->path || url_n >= sizeof part->info.url)
        return pl_error_set(err, PL_EINVAL, "the path or the URL is too long");
    memcpy(part->path, path, n + 1);
    memcpy(part->info.url, url, url_n + 1);
    forget(part);
    enum pl_status status = open_file(part, &bytes, err);
    if (status != PL_OK) {
        part_close(part);
        return status;
    }
    uint64_t good = trusted_bytes(part, url, bytes);
    status = cut(part, good, err);
    if (status == PL_OK)
        status = read_back(part, good, tick, user, err);
    if (status != PL_OK) {
        part_close(part);
        return status;
    }
    part->found = part->have;
    /* What is written from now on belongs to this boot; what is there is hashed, so it is readable. */
    info_boot_id(part->info.boot);
    return PL_OK;
}

void part_close(struct part *part)
{
    if (part->fd >= 0)
        (void)close(part->fd);
    part->fd = -1;
}

enum pl_status part_reset(struct part *part, struct pl_error *err)
{
    forget(part);
    part->found = 0;
    return cut(part, 0, err);
}

enum pl_status part_write(struct part *part, const void *bytes, size_t n, struct pl_error *err)
{
    if (!io_write(part->fd, bytes, n)) {
        enum pl_status status = fail(part, "write", err);
        struct pl_error other;
        (void)cut(part, part->have, &other); /* of a write in parts only whole calls count */
        return status;
    }
    sha256_add(&part->hash, bytes, n);
    part->have += n;
    if (part->have - part->info.bytes >= PART_SYNC_BYTES)
        return part_sync(part, err);
    return PL_OK;
}

enum pl_status part_sync(struct part *part, struct pl_error *err)
{
    char path[PATH_MAX];
    if (fdatasync(part->fd) != 0)
        return fail(part, "write", err);
    part->info.bytes = part->have;
    return info_write(with_tail(part, ".part.info", path), &part->info, err);
}

void part_digest(const struct part *part, char ret[SHA256_HEX_BYTES])
{
    unsigned char digest[SHA256_BYTES];
    struct sha256 copy = part->hash;
    sha256_end(&copy, digest);
    sha256_hex(digest, ret);
}

/* Syncs the folder that the file is in. */
static bool sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                   slash != NULL ? path : ".");
    return io_sync_path(folder);
}

enum pl_status part_install(struct part *part, struct pl_error *err)
{
    char from[PATH_MAX], record[PATH_MAX];
    part_close(part);
    part->info.boot[0] = '\0';
    enum pl_status status = info_write(with_tail(part, ".info", record), &part->info, err);
    if (status != PL_OK)
        return status;
    if (rename(with_tail(part, ".part", from), part->path) != 0)
        return fail(part, "rename", err);
    (void)unlink(with_tail(part, ".part.info", record));
    if (!sync_folder(part->path))
        return fail(part, "sync the folder of", err);
    return PL_OK;
}

void part_discard(struct part *part)
{
    char path[PATH_MAX];
    part_close(part);
    (void)unlink(with_tail(part, ".part", path));
    (void)unlink(with_tail(part, ".part.info", path));
}
