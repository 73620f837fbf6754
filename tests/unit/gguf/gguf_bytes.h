/*
 * unit/gguf/gguf_bytes.h - writes GGUF files byte by byte, valid or not, into memory-backed files.
 *
 *     struct gguf_bytes b;
 *     gguf_bytes_begin(&b, 3, n_tensors, n_keys);
 *     gguf_bytes_key(&b, "general.alignment", GGUF_U32);
 *     gguf_bytes_u32(&b, 32);
 *     const char *path = gguf_bytes_path(&b);    a path that can be opened until gguf_bytes_end
 *     gguf_bytes_end(&b);
 *
 * Nothing is checked: that is the point. Failures of the machine end the test.  Source: GGUF specification.
 */
#ifndef UNIT_GGUF_BYTES_H
#define UNIT_GGUF_BYTES_H

#include "gguf/gguf.h"

#include "base/buf.h"

struct gguf_bytes {
    struct buf out;
    int fd; /* -1 before gguf_bytes_path */
    char path[64];
};

void gguf_bytes_begin(struct gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys);
void gguf_bytes_u32(struct gguf_bytes *b, uint32_t value);
void gguf_bytes_u64(struct gguf_bytes *b, uint64_t value);
void gguf_bytes_f32(struct gguf_bytes *b, float value);
void gguf_bytes_str(struct gguf_bytes *b, const char *text);
void gguf_bytes_key(struct gguf_bytes *b, const char *key, uint32_t type);
void gguf_bytes_array(struct gguf_bytes *b, const char *key, uint32_t elem_type, uint64_t n);
void gguf_bytes_tensor(struct gguf_bytes *b, const char *name, uint32_t n_dims,
                       const uint64_t *dims, uint32_t type, uint64_t offset);
/* Zeros up to a multiple of align, then n bytes of data. */
void gguf_bytes_data(struct gguf_bytes *b, size_t align, size_t n);

/* The file as it is now. */
const char *gguf_bytes_path(struct gguf_bytes *b);
/* Cuts the file behind gguf_bytes_path to n bytes / sets one of its bytes. */
void gguf_bytes_cut(const struct gguf_bytes *b, size_t n);
void gguf_bytes_poke(const struct gguf_bytes *b, size_t at, unsigned char value);
/* The file as it is now, under a name of the test's. */
void gguf_bytes_save(struct gguf_bytes *b, const char *path);
void gguf_bytes_end(struct gguf_bytes *b);

#endif
