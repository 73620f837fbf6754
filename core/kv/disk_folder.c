/* The disk tier's folder, its lock and its key; see disk_folder.h. */
#include "disk_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/banned.h"

static enum pl_status os_error(struct pl_error *err, const char *name, const char *what)
{
    enum pl_status status = errno == EACCES || errno == EPERM ? PL_EPERM : PL_EIO;
    return pl_error_set(err, status, "kv: disk tier: '%s' %s: %s", name, what,
                        strerrordesc_np(errno));
}

enum pl_status kv_folder_file(int dir_fd, const char *name, int *ret_fd, struct pl_error *err)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return os_error(err, name, "can't be opened");
    struct stat info;
    enum pl_status status = PL_OK;
    if (fstat(fd, &info) != 0)
        status = os_error(err, name, "can't be looked at");
    else if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        status = pl_error_set(err, PL_EPERM,
                              "kv: disk tier: '%s' is not a file that only we can use (mode 0600)",
                              name);
    if (status != PL_OK)
        close(fd);
    else
        *ret_fd = fd;
    return status;
}

/* A key that was cut by a crash is made anew: what it signed is then void. */
static enum pl_status get_key(int dir_fd, unsigned char *key, struct pl_error *err)
{
    int fd = -1;
    enum pl_status status = kv_folder_file(dir_fd, "key", &fd, err);
    if (status != PL_OK)
        return status;
    unsigned char more;
    static const unsigned char zero[KV_DISK_KEY_BYTES]; /* what a crash of the machine may leave */
    bool whole = read(fd, key, KV_DISK_KEY_BYTES) == KV_DISK_KEY_BYTES && read(fd, &more, 1) == 0 &&
                 memcmp(key, zero, sizeof zero) != 0;
    if (!whole) {
        PL_CHECK(getrandom(key, KV_DISK_KEY_BYTES, 0) == KV_DISK_KEY_BYTES); /* can't fail for 32 */
        if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0 ||
            write(fd, key, KV_DISK_KEY_BYTES) != KV_DISK_KEY_BYTES || fsync(fd) != 0)
            status = os_error(err, "key", "can't be written");
    }
    close(fd);
    return status;
}

enum pl_status kv_folder_open(const char *dir, int *ret_dir_fd, int *ret_lock_fd,
                              unsigned char ret_key[KV_DISK_KEY_BYTES], struct pl_error *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return os_error(err, dir, "can't be made");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return os_error(err, dir, "can't be opened");
    *ret_dir_fd = fd;
    struct stat info;
    if (fstat(fd, &info) != 0)
        return os_error(err, dir, "can't be looked at");
    if (info.st_uid != geteuid() || (info.st_mode & 022) != 0)
        return pl_error_set(err, PL_EPERM,
                            "kv: disk tier: '%s' belongs to or can be written by others", dir);
    enum pl_status status = kv_folder_file(fd, "lock", ret_lock_fd, err);
    if (status != PL_OK)
        return status;
    if (flock(*ret_lock_fd, LOCK_EX | LOCK_NB) != 0)
        return pl_error_set(err, PL_EBUSY, "kv: disk tier: '%s' is in use by another process", dir);
    return get_key(fd, ret_key, err);
}
