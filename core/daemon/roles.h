/*
 * daemon/roles.h - polderd's roles: each is a main of its own.
 *
 * Exit codes: see enum role_exit; the supervisor reads a worker's to tell what a restart may mend.
 */
#ifndef DAEMON_ROLES_H
#define DAEMON_ROLES_H

#include "options.h"

enum role_exit {
    ROLE_OK = 0,
    ROLE_FAILED = 1, /* could not start: bad model, address in use; a restart will not help */
    ROLE_USAGE = 2,
    ROLE_LOST = 3, /* ran and then failed: a restart may help */
};

/* options->model is a file's path, never NULL. args: the options as given, n of them, for a role that
 * hands them on. */
int role_worker(const struct options *options, int n, char *const *args);
int role_serve(const struct options *options, int n, char *const *args);

/* polderd model VERB: has options of its own. args: what follows "model", n of them. */
int role_model(int n, char *const *args);

/* From supervisor to worker, in the environment: a listening socket, and a pipe for status lines. */
#define ROLE_ENV_LISTEN_FD "POLDER_LISTEN_FD"
#define ROLE_ENV_STATUS_FD "POLDER_STATUS_FD"

/* Lines on the status pipe. */
#define ROLE_STATUS_READY "READY"

#endif
