/*
 * fetch/store.h - the folder of pulled models: where it is, what is in it, one pull at a time.
 *
 * Where, first that applies: the folder given; $POLDER_MODEL_DIR; $STATE_DIRECTORY/models (systemd's, for
 * the service); STORE_SYSTEM_DIR for root where the service's folder exists; $XDG_DATA_HOME/polder/models;
 * ~/.local/share/polder/models. Models are looked up there and then in STORE_SYSTEM_DIR.
 *
 *   NAME.gguf          a model (or NAME-00001-of-00003.gguf ...)   NAME.gguf.info  where it came from
 *   NAME.gguf.part     while it comes in                           NAME.gguf.part.info
 *   .NAME.lock         held (flock) while a pull or a removal of NAME runs; says by which process
 *
 * Ownership: the caller's storage; entries live until store_free_list.  Threads: no shared state.
 * Errors: PL_ENOENT, PL_EINVAL, PL_EBUSY (locked), PL_EIO.  Limits: STORE_ENTRIES_MAX.  Source: ours.
 */
#ifndef FETCH_STORE_H
#define FETCH_STORE_H

#include <limits.h>

#include <polder/status.h>

#include "name.h"

#define STORE_SYSTEM_ROOT "/var/lib/polder"
#define STORE_SYSTEM_DIR  STORE_SYSTEM_ROOT "/models"
#define STORE_ENTRIES_MAX 10000 /* models in a folder */

struct store_entry {
    char name[NAME_FILE_MAX + 1]; /* the model's */
    char file[NAME_FILE_MAX + 1]; /* of its first shard */
    uint32_t n_files;             /* shards; 1 if it is not split */
    uint32_t n_here;              /* of them, whole and installed */
    uint64_t bytes;               /* of all files, parts included */
    bool has_size;                /* partial downloads: size is known */
    uint64_t size;                /* bytes of the whole where known */
    bool whole;                   /* all files are installed */
    char sha256[65];              /* of the first file, "" not recorded */
    char *url;                    /* of the first file, "" not recorded; owned */
};

struct store_list {
    struct store_entry *entries; /* by name */
    size_t n;
};

/* given: from the command line, or NULL. ret: absolute where the environment's value is. */
PL_NODISCARD enum pl_status store_dir(const char *given, char ret[PATH_MAX], struct pl_error *err);

/* The first file of the model called name (with or without ".gguf"), in dir or the system's folder; dir
 * NULL: the default. PL_ENOENT if there is none, PL_EINVAL if the name cannot be one. */
PL_NODISCARD enum pl_status store_find(const char *dir, const char *name, char ret[PATH_MAX],
                                       struct pl_error *err);

/* All models of dir, whole or partial; a folder that is not there has none. */
PL_NODISCARD enum pl_status store_list(const char *dir, struct store_list *ret,
                                       struct pl_error *err);
void store_free_list(struct store_list *list);

/* Removes all files of a model, partial ones too; *ret_bytes are free again. */
PL_NODISCARD enum pl_status store_remove(const char *dir, const char *name, uint64_t *ret_bytes,
                                         struct pl_error *err);

/* The lock of a model: a descriptor for store_unlock, or PL_EBUSY. */
PL_NODISCARD enum pl_status store_lock(const char *dir, const char *name, int *ret_fd,
                                       struct pl_error *err);
void store_unlock(const char *dir, const char *name, int fd);

/* Bytes that may still be written to dir's file system. */
PL_NODISCARD enum pl_status store_free_bytes(const char *dir, uint64_t *ret, struct pl_error *err);

#endif
