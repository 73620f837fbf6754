/* See info.h. */
#include "info.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/parse.h"
#include "io.h"
#include "base/banned.h"

#define HEAD "polder-file 1"

static void take_text(const char *value, size_t n, char *ret, size_t cap)
{
    if (n >= cap)
        n = 0;
    memcpy(ret, value, n);
    ret[n] = '\0';
}

static void take_line(struct info *info, const char *line, size_t n)
{
    const struct {
        const char *key;
        char *text;
        size_t cap;
    } TEXTS[] = {
        {"url ", info->url, sizeof info->url},
        {"etag ", info->etag, sizeof info->etag},
        {"modified ", info->modified, sizeof info->modified},
        {"boot ", info->boot, sizeof info->boot},
        {"commit ", info->commit, sizeof info->commit},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(TEXTS); i++) {
        size_t key_n = strlen(TEXTS[i].key);
        if (n > key_n && memcmp(line, TEXTS[i].key, key_n) == 0)
            take_text(line + key_n, n - key_n, TEXTS[i].text, TEXTS[i].cap);
    }
    if (n > 5 && memcmp(line, "size ", 5) == 0) {
        info->has_size = parse_u64_n(line + 5, n - 5, INT64_MAX, &info->size);
        info->size = info->has_size ? info->size : 0;
    }
    if (n > 6 && memcmp(line, "bytes ", 6) == 0 &&
        !parse_u64_n(line + 6, n - 6, INT64_MAX, &info->bytes))
        info->bytes = 0;
    if (n > 7 && memcmp(line, "sha256 ", 7) == 0 &&
        !answer_parse_sha256(line + 7, n - 7, info->sha256))
        info->sha256[0] = '\0';
}

enum pl_status info_read(const char *path, struct info *ret, struct pl_error *err)
{
    PL_AUTO(free) char *text = NULL;
    size_t bytes = 0;
    enum pl_status status = file_read(path, INFO_BYTES_MAX, &text, &bytes, err);
    if (status != PL_OK)
        return status;
    struct info *info = ret;
    *info = (struct info){0};
    if (strncmp(text, HEAD "\n", sizeof HEAD) != 0)
        return pl_error_set(err, PL_EFORMAT, "%s: does not begin with '" HEAD "'", path);
    for (const char *line = text + sizeof HEAD; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        take_line(info, line, n);
        line += n + (line[n] == '\n');
    }
    return PL_OK;
}

static void write_text(struct buf *out, const char *key, const char *value)
{
    if (value[0] != '\0')
        buf_printf(out, "%s %s\n", key, value);
}

static enum pl_status write_whole(const char *path, const struct buf *text, struct pl_error *err)
{
    PL_AUTO(close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return io_fail("create", path, err);
    if (!io_write(fd, text->data, text->len) || fsync(fd) != 0)
        return io_fail("write", path, err);
    return PL_OK;
}

enum pl_status info_write(const char *path, const struct info *info, struct pl_error *err)
{
    struct buf text;
    char fresh[PATH_MAX];
    int n = snprintf(fresh, sizeof fresh, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof fresh)
        return pl_error_set(err, PL_EINVAL, "the path of %s is too long", path);
    buf_init(&text, INFO_BYTES_MAX);
    buf_str(&text, HEAD "\n");
    write_text(&text, "url", info->url);
    write_text(&text, "etag", info->etag);
    write_text(&text, "modified", info->modified);
    if (info->has_size)
        buf_printf(&text, "size %llu\n", (unsigned long long)info->size);
    buf_printf(&text, "bytes %llu\n", (unsigned long long)info->bytes);
    write_text(&text, "boot", info->boot);
    write_text(&text, "sha256", info->sha256);
    write_text(&text, "commit", info->commit);
    enum pl_status status = text.failed ? pl_error_set(err, PL_ENOMEM, "out of memory")
                                        : write_whole(fresh, &text, err);
    buf_deinit(&text);
    if (status == PL_OK && rename(fresh, path) != 0)
        status = io_fail("rename", fresh, err);
    if (status != PL_OK)
        (void)unlink(fresh);
    return status;
}

void info_boot_id(char ret[40])
{
    PL_AUTO(close_fd) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, 36) : 0;
    ret[n == 36 ? 36 : 0] = '\0';
}
