/* See io.h. */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/banned.h"

enum pl_status io_fail(const char *doing, const char *path, struct pl_error *err)
{
    int code = errno;
    char text[96];
    const char *why = strerror_r(code, text, sizeof text);
    bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
    return pl_error_set(err, full ? PL_ELIMIT : PL_EIO, "%s '%s': %s", doing, path, why);
}

bool io_write(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        if (done == 0) {
            errno = ENOSPC;
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool io_sync_path(const char *path)
{
    PL_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

enum pl_status io_make_dirs(const char *path, struct pl_error *err)
{
    char at[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof at)
        return pl_error_set(err, PL_EINVAL, "the model folder's path is empty or too long");
    memcpy(at, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        at[i] = '\0';
        if (mkdir(at, 0755) != 0 && errno != EEXIST)
            return io_fail("make the folder", at, err);
        at[i] = path[i];
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return io_fail("open", path, err);
    if (!S_ISDIR(st.st_mode))
        return pl_error_set(err, PL_EINVAL, "'%s' is not a folder", path);
    return PL_OK;
}

enum pl_status io_join(const char *dir, const char *file, const char *tail, char *ret,
                       struct pl_error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/%s%s", dir, file, tail);
    if (n < 0 || n >= PATH_MAX)
        return pl_error_set(err, PL_EINVAL, "the path of '%s' is too long", file);
    return PL_OK;
}

void io_human_bytes(uint64_t bytes, char ret[16])
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < PL_ARRAY_LEN(UNITS)) {
        value /= 1000.0;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : 1;
    (void)snprintf(ret, 16, "%.*f %s", digits, value, UNITS[unit]);
}
