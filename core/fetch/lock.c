/* See store.h: the lock of a model.
 *
 * The file is removed by its holder, so one that was opened before and locked after may be gone from the
 * folder: it counts only while its name still leads to it. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "base/banned.h"

static enum pl_status lock_path(const char *dir, const char *name, char ret[PATH_MAX],
                                struct pl_error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/.%s.lock", dir, name);
    return n > 0 && n < PATH_MAX ? PL_OK
                                 : pl_error_set(err, PL_EINVAL, "the path of the lock is too long");
}

static enum pl_status say_busy(int fd, const char *name, struct pl_error *err)
{
    char pid[16] = "";
    ssize_t n = read(fd, pid, sizeof pid - 1);
    pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
    return pl_error_set(err, PL_EBUSY, "'%s' is being pulled or removed by another process%s%s",
                        name, pid[0] != '\0' ? ", pid " : "", pid);
}

static bool still_there(int fd, const char *path)
{
    struct stat by_fd, by_path;
    return fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0 && by_fd.st_ino == by_path.st_ino &&
           by_fd.st_dev == by_path.st_dev;
}

enum pl_status store_lock(const char *dir, const char *name, int *ret_fd, struct pl_error *err)
{
    char path[PATH_MAX], pid[16];
    enum pl_status status = lock_path(dir, name, path, err);
    if (status != PL_OK)
        return status;
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return io_fail("create", path, err);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            status = errno == EWOULDBLOCK ? say_busy(fd, name, err) : io_fail("lock", path, err);
            (void)close(fd);
            return status;
        }
        if (!still_there(fd, path)) {
            (void)close(fd);
            continue;
        }
        int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
        if (ftruncate(fd, 0) != 0 || !io_write(fd, pid, (size_t)n)) {
            /* Only the message to others suffers: a full disk must not keep a pull from going on. */
            (void)lseek(fd, 0, SEEK_SET);
        }
        *ret_fd = fd;
        return PL_OK;
    }
}

void store_unlock(const char *dir, const char *name, int fd)
{
    char path[PATH_MAX];
    struct pl_error why;
    if (fd < 0)
        return;
    if (lock_path(dir, name, path, &why) == PL_OK)
        (void)unlink(path);
    (void)close(fd);
}
