/*
 * fetch/fetch.h - pulls a model into the folder of models: whole, checked, or not at all.
 *
 *   parts (FILE.part) --all bytes--> digest --> check of the whole model --> rename, last the first file
 *
 * A file is installed only if its SHA-256 is the expected one (given, or told by the Hub) and `check` has
 * no objection; where nothing is expected the digest is recorded. Interrupted pulls go on where they were.
 * A token never leaves the first origin, is in no message and in no file.
 *
 * Ownership: strings of the options must outlive the call.  Threads: one call; callbacks on its thread.
 * Errors: PL_EINVAL (what was asked), PL_ENOTSUP (no libcurl), PL_EPERM (denied, http), PL_ENOENT (404),
 * PL_ETIMEDOUT (tries are used up, unreachable), PL_EFORMAT (digest, no model), PL_ELIMIT (disk), PL_EBUSY
 * (another pull; a model of that name from elsewhere), PL_ECANCELED (stop), PL_EIO. One line that says what
 * to do.  Limits: NAME_SHARDS_MAX files.  Source: ours, docs/internals/fetch.md.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include <limits.h>
#include <signal.h>

#include <polder/status.h>

#define FETCH_RETRIES_DEFAULT     8
#define FETCH_RETRY_MS_DEFAULT    1000
#define FETCH_STALL_S_DEFAULT     30
#define FETCH_UNREACHABLE_RETRIES 2 /* before anything has been reached */

struct fetch_progress {
    const char *file;
    uint32_t no, n_files; /* from 1 */
    bool checking;        /* reads what is here already */
    uint64_t have;        /* bytes */
    bool has_size;
    uint64_t size; /* bytes of the file */
};

struct fetch_options {
    const char *source;   /* URL or hf:ORG/REPO/FILE[@REVISION] */
    const char *dir;      /* existing or to be made */
    const char *name;     /* of the model; NULL: the file's */
    const char *sha256;   /* 64 digits; NULL: not known */
    const char *token;    /* NULL none */
    const char *endpoint; /* of the Hub; NULL: SOURCE_ENDPOINT */
    const char *proxy;    /* NULL: by environment */
    const char *ca_file;  /* NULL: the system's */
    bool insecure, offline, force;
    uint32_t retries, retry_ms, stall_s; /* as given: no defaults here */
    const volatile sig_atomic_t *stop;   /* set by a signal: end soon, keep the part */

    /* The model at path, all its files in place, may be installed. */
    enum pl_status (*check)(void *user, const char *path, struct pl_error *err);
    void (*say)(void *user, const char *line); /* an event worth a line: a retry, a new start */
    void (*progress)(void *user, const struct fetch_progress *progress);
    void *user;
};

struct fetch_result {
    char path[PATH_MAX]; /* of the (first) file */
    char sha256[65];     /* of it */
    bool expected;       /* ... and known beforehand */
    bool already;        /* it was here; nothing was fetched */
    uint64_t bytes;      /* of all files */
    uint32_t n_files;
};

PL_NODISCARD enum pl_status fetch_pull(const struct fetch_options *options,
                                       struct fetch_result *ret, struct pl_error *err);

/* The token in file, blanks around it removed; malloc'ed. *ret_open: others may read the file. */
PL_NODISCARD enum pl_status fetch_read_token(const char *path, char **ret, bool *ret_open,
                                             struct pl_error *err);

/* HF_TOKEN is for this source: it is the Hub's, or a URL of the Hub. */
bool fetch_is_hub(const char *source, const char *endpoint);

#endif
