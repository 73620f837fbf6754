/*
 * plugin/trust.c - owner and mode of a plugin file, its folder, and what links lead to.
 */
#include "trust.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define PATH_SHOWN_MAX 140 /* bytes: leaves room for the reason in a struct pl_error */

const char *trust_path_tail(const char *path)
{
    size_t n = strlen(path);
    return n <= PATH_SHOWN_MAX ? path : path + (n - PATH_SHOWN_MAX);
}

static enum pl_status error_of(int number, const char *path, struct pl_error *err)
{
    char text[80];
    enum pl_status status = number == ENOENT || number == ENOTDIR ? PL_ENOENT
                            : number == EACCES                    ? PL_EPERM
                            : number == ENOMEM                    ? PL_ENOMEM
                                                                  : PL_EIO;
    return pl_error_set(err, status, "plugin: %s: %s", trust_path_tail(path),
                        strerror_r(number, text, sizeof text));
}

static enum pl_status check_owner(const char *path, const struct stat *st, struct pl_error *err)
{
    const char *shown = trust_path_tail(path);
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return pl_error_set(err, PL_EPERM, "plugin: %s: owned by user %lu, not by root or us",
                            shown, (unsigned long)st->st_uid);
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return pl_error_set(err, PL_EPERM, "plugin: %s: %s may write to it (mode %04o)", shown,
                            (st->st_mode & S_IWOTH) != 0 ? "others" : "its group",
                            (unsigned)(st->st_mode & 07777));
    return PL_OK;
}

enum pl_status trust_dir(const char *path, struct pl_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_of(errno, path, err);
    if (!S_ISDIR(st.st_mode))
        return pl_error_set(err, PL_EINVAL, "plugin: %s: not a folder", trust_path_tail(path));
    return check_owner(path, &st, err);
}

static enum pl_status trust_parent(const char *path, struct pl_error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return trust_dir(".", err);
    char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (dir == NULL)
        return pl_error_set(err, PL_ENOMEM, "plugin: no memory for a path");
    enum pl_status status = trust_dir(dir, err);
    free(dir);
    return status;
}

static enum pl_status check_file(const char *path, const char *real, struct pl_error *err)
{
    struct stat st;
    if (stat(real, &st) != 0)
        return error_of(errno, real, err);
    if (!S_ISREG(st.st_mode)) /* a FIFO would block dlopen */
        return pl_error_set(err, PL_EFORMAT, "plugin: %s: not a regular file",
                            trust_path_tail(real));
    enum pl_status status = check_owner(real, &st, err);
    if (status == PL_OK)
        status = trust_parent(path, err);
    if (status == PL_OK)
        status = trust_parent(real, err);
    return status;
}

enum pl_status trust_file(const char *path, char **ret_real, struct pl_error *err)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return error_of(errno, path, err);
    enum pl_status status = check_file(path, real, err);
    if (status == PL_OK)
        *ret_real = real;
    else
        free(real);
    return status;
}
