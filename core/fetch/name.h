/*
 * fetch/name.h - names of model files: cleaned when they come from outside, and split models.
 *
 * A model's name is its file's name less ".gguf", and less "-00001-of-00003" where it is split:
 *
 *   tiny-Q8_0.gguf                  tiny-Q8_0
 *   big-00002-of-00003.gguf         big       (shard 2 of 3)
 *
 * Ownership: the caller's storage.  Threads: pure functions.  Limits: NAME_FILE_MAX.
 * Source: ours; the shard suffix is gguf-split's.
 */
#ifndef FETCH_NAME_H
#define FETCH_NAME_H

#include <polder/base.h>

#define NAME_FILE_MAX   200 /* bytes: leaves room for ".part.info.new" below the usual limit of 255 */
#define NAME_SHARDS_MAX 1024

struct name_shard {
    size_t stem;    /* bytes before the suffix "-00001-of-00003.gguf" */
    uint32_t no;    /* from 1 */
    uint32_t count; /* 1 or more */
};

/* Makes a safe file name of a name from outside (already unescaped): its last component, other than
 * [A-Za-z0-9._+=-] as '_', no leading dot or dash. False, "" in ret, where nothing is left. */
bool name_clean(const char *text, char ret[NAME_FILE_MAX + 1]);

/* The name is as name_clean leaves it. */
bool name_is_clean(const char *text);

/* Ends in ".gguf", in any case of letters. */
bool name_has_suffix(const char *file);

/* The file is a shard of a split model. */
bool name_parse_shard(const char *file, struct name_shard *ret);

/* The file name of shard no (from 1) of count, stem of n bytes. False where it is too long. */
bool name_of_shard(const char *stem, size_t n, uint32_t no, uint32_t count,
                   char ret[NAME_FILE_MAX + 1]);

/* The model's name of a file's. */
void name_of_model(const char *file, char ret[NAME_FILE_MAX + 1]);

/* The value of filename in a Content-Disposition header, "" if there is none. */
void name_of_disposition(const char *value, char *ret, size_t cap);

#endif
