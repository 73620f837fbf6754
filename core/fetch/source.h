/*
 * fetch/source.h - what the user asks to pull: a URL, or a file of a repository on the Hub.
 *
 *   https://host/path/model.gguf
 *   hf:org/repo/[folder/]model.gguf[@revision]      revision: branch, tag or commit; "main" if absent
 *
 * A shard of a split model stands for all its shards.
 *
 * Ownership: the caller's storage.  Threads: pure functions.  Errors: PL_EINVAL.
 * Source: ours; the Hub's address form is ENDPOINT/ORG/REPO/resolve/REVISION/PATH.
 */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H

#include "name.h"
#include "url.h"

#define SOURCE_ENDPOINT "https://huggingface.co" /* where HF_ENDPOINT does not say otherwise */
#define SOURCE_PART_MAX 1024                     /* bytes of a repository, revision or path */

struct source {
    bool hub;                       /* of the form hf: */
    struct url base;                /* the endpoint, or the URL itself */
    char repo[SOURCE_PART_MAX];     /* hub: org/repo */
    char revision[SOURCE_PART_MAX]; /* hub: as given, "main" by default */
    char folder[SOURCE_PART_MAX];   /* hub: within the repository, "" or ending in '/' */
    char file[NAME_FILE_MAX + 1];   /* the file's own name, clean; "" where the URL has none */
    bool split;
    struct name_shard shard; /* where split */
};

PL_NODISCARD enum pl_status source_parse(const char *text, const char *endpoint, struct source *ret,
                                         struct pl_error *err);

/* Number of files: 1, or all shards. */
uint32_t source_n_files(const struct source *source);

/* The URL of file no (from 1). revision: in place of the one given, or NULL. */
PL_NODISCARD enum pl_status source_url(const struct source *source, uint32_t no,
                                       const char *revision, struct url *ret, struct pl_error *err);

/* The name under which file no is kept; stem: in place of the source's own, or NULL. */
PL_NODISCARD enum pl_status source_file(const struct source *source, uint32_t no, const char *stem,
                                        char ret[NAME_FILE_MAX + 1], struct pl_error *err);

#endif
