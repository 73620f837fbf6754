/* See file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auto.h"
#include "banned.h"

static enum pl_status fail(const char *path, const char *doing, struct pl_error *err)
{
    int code = errno;
    char text[96];
    const char *why = strerror_r(code, text, sizeof text);
    return pl_error_set(err, code == ENOENT ? PL_ENOENT : PL_EIO, "%s '%s': %s", doing, path, why);
}

static enum pl_status open_regular(const char *path, int *ret_fd, size_t *ret_bytes,
                                   struct pl_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(path, "open", err);
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return pl_error_set(err, PL_EIO, "open '%s': not a regular file", path);
    }
    *ret_fd = fd;
    *ret_bytes = (size_t)st.st_size;
    return PL_OK;
}

enum pl_status file_read(const char *path, size_t max_bytes, char **ret_data, size_t *ret_bytes,
                         struct pl_error *err)
{
    PL_AUTO(close_fd) int fd = -1;
    PL_AUTO(free) char *data = NULL;
    size_t bytes = 0;
    enum pl_status status = open_regular(path, &fd, &bytes, err);
    if (status != PL_OK)
        return status;
    if (bytes > max_bytes)
        return pl_error_set(err, PL_ELIMIT, "read '%s': %zu bytes, at most %zu", path, bytes,
                            max_bytes);
    data = malloc(bytes + 1);
    if (data == NULL)
        return pl_error_set(err, PL_ENOMEM, "read '%s': out of memory", path);
    size_t got = 0;
    while (got < bytes) {
        ssize_t n = read(fd, data + got, bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(path, "read", err);
        if (n == 0)
            break; /* the file shrank: what is there is the answer */
        got += (size_t)n;
    }
    data[got] = '\0';
    *ret_data = data;
    data = NULL;
    *ret_bytes = got;
    return PL_OK;
}

enum pl_status file_map(const char *path, struct file_map *ret, struct pl_error *err)
{
    PL_AUTO(close_fd) int fd = -1;
    size_t bytes = 0;
    enum pl_status status = open_regular(path, &fd, &bytes, err);
    if (status != PL_OK)
        return status;
    struct file_map map = {.bytes = bytes};
    if (bytes > 0) {
        void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            return fail(path, "map", err);
        map.data = data;
    }
    *ret = map;
    return PL_OK;
}

void file_unmap(struct file_map *map)
{
    if (map == NULL || map->data == NULL)
        return;
    /* munmap takes a mutable pointer; the mapping itself is read-only. */
    (void)munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct file_map){0};
}
