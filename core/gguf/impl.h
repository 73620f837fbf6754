/*
 * gguf/impl.h - what the files of this room share: the opened file, its name index, parser, shards.
 *
 * Not a public header.  Ownership, threads: as gguf.h.  Source: ours.
 */
#ifndef GGUF_IMPL_H
#define GGUF_IMPL_H

#include "gguf.h"

#include "base/arena.h"
#include "base/file.h"

#define GGUF_MAGIC         0x46554747u /* "GGUF", little-endian */
#define GGUF_ALIGN_DEFAULT 32u
#define GGUF_SUBJECT_MAX   100 /* "tensor '...'" in messages; long names are cut */

/* Open addressing over indices of kvs or tensors; names are untrusted, so the hash is keyed. */
struct gguf_index {
    uint32_t *slots; /* item number + 1; 0 = free */
    size_t mask;     /* slots - 1; a power of two less one */
};

struct gguf {
    struct file_map map;
    struct arena own_arena; /* unused by shards behind the first */
    struct arena *arena;    /* everything below; all shards of a model share the first one's */
    uint32_t version;
    uint32_t alignment; /* bytes, a power of two */
    struct gguf_kv *kvs;
    uint64_t n_kv;
    struct gguf_tensor *tensors;
    uint64_t n_tensors;
    size_t n_strings; /* of all arrays together, all shards together */
    struct gguf_index kv_index;
    struct gguf_index tensor_index;
    /* Of a split model, once its shards are joined; else NULL and 0. */
    struct gguf **shards; /* [n_shards]; [0] is this one */
    uint32_t n_shards;
    struct gguf_tensor **joined; /* [n_joined] the tensors of all shards, in order */
    uint64_t n_joined;
};

/* One file, whatever its split keys say. first: whose arena it shares, or NULL. */
PL_NODISCARD enum pl_status gguf_open_one(const char *path, struct gguf *first, struct gguf **ret,
                                          struct pl_error *err);

/* *file was opened from path: if it is a shard, opens the others and makes *file the first of them. On
 * failure *file is still a file to be closed. */
PL_NODISCARD enum pl_status gguf_join_shards(const char *path, struct gguf **file,
                                             struct pl_error *err);

/* Reads everything out of file->map. On failure the file holds what was read so far. */
PL_NODISCARD enum pl_status gguf_parse(struct gguf *file, struct pl_error *err);

/* Places tensors into the data that begins at byte `at` (not yet aligned); refuses those outside of it or
 * overlapping. offsets: as stored, one per tensor. */
PL_NODISCARD enum pl_status gguf_place_tensors(struct gguf *file, const uint64_t *offsets,
                                               size_t at, struct pl_error *err);

/* Of one value; 0 for strings and arrays, which have no fixed size. */
size_t gguf_type_bytes(enum gguf_type type);

/* An empty index for n names; false: out of memory. */
PL_NODISCARD bool gguf_index_init(struct gguf_index *index, struct arena *arena, uint64_t n);

/* Where `name` is or would go. name_of gives the name of item i. */
typedef struct gguf_str (*gguf_name_fn)(const struct gguf *file, uint64_t i);
uint32_t *gguf_index_slot(const struct gguf *file, const struct gguf_index *index,
                          gguf_name_fn name_of, struct gguf_str name);
struct gguf_str gguf_kv_name(const struct gguf *file, uint64_t i);
struct gguf_str gguf_tensor_name(const struct gguf *file, uint64_t i);

#endif
