/*
 * plugin/trust.h - may code from this path run in our process?
 *
 * Whoever can write a plugin, or replace it in its folder, runs code as us. So both must belong to root or
 * to us, and neither group nor others may write to them; a sticky folder (/tmp) is refused like any other,
 * because anyone may add a file to it.
 *
 * Ownership: nothing kept.  Threads: any.  Errors: PL_EPERM, PL_ENOENT, PL_EIO, PL_EINVAL; the message
 * names the path.  Limits: PATH_MAX.  Source: ours, docs/internals/plugin.md.
 */
#ifndef PLUGIN_TRUST_H
#define PLUGIN_TRUST_H

#include <polder/status.h>

/* A folder, links followed. */
PL_NODISCARD enum pl_status trust_dir(const char *path, struct pl_error *err);

/* A regular file and the folder that it lies in; where the path is a link, the target and the target's
 * folder too. *ret_real: the resolved path, malloc'ed. */
PL_NODISCARD enum pl_status trust_file(const char *path, char **ret_real, struct pl_error *err);

/* The last part of a path that fits a message, for paths of any length. */
const char *trust_path_tail(const char *path);

#endif
