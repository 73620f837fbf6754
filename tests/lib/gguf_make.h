/*
 * tests/lib/gguf_make.h - writes small GGUF v3 files for tests: metadata and F32 tensors, one after the
 * other.
 *
 *     struct gguf_make m;
 *     gguf_make_begin(&m);
 *     gguf_make_u32(&m, "llama.block_count", 1);
 *     gguf_make_tensor(&m, "token_embd.weight", 2, (int64_t[]){8, 16}, 0.1f);
 *     gguf_make_write(&m, path);    frees everything
 *
 * Failures (memory, disk) end the test program: this is test code.  Source: GGUF specification.
 */
#ifndef TESTS_GGUF_MAKE_H
#define TESTS_GGUF_MAKE_H

#include "base/buf.h"

struct gguf_make {
    struct buf kvs, infos, data; /* the three parts of the file */
    uint64_t n_kvs, n_tensors;
};

void gguf_make_begin(struct gguf_make *m);
void gguf_make_u32(struct gguf_make *m, const char *key, uint32_t value);
void gguf_make_f32(struct gguf_make *m, const char *key, float value);
void gguf_make_str(struct gguf_make *m, const char *key, const char *value);
/* n strings "t0", "t1", ... */
void gguf_make_strings(struct gguf_make *m, const char *key, uint64_t n);
/* Values repeat a fixed pattern in [-scale, scale]; scale 1 of a vector named *norm* gives ones. */
void gguf_make_tensor(struct gguf_make *m, const char *name, uint32_t n_dims, const int64_t *dims,
                      float scale);
void gguf_make_write(struct gguf_make *m, const char *path);

/* A small whole model: one layer or more, E 32, 4 heads (2 kv), F 64, V 48, context 64. skip: a tensor
 * that is left out, or NULL. qkv_bias: as Qwen2 has it. */
struct gguf_make_model {
    const char *arch;
    uint32_t n_layers;
    const char *skip;
    bool qkv_bias;
    bool untied;
};
void gguf_make_add_model(struct gguf_make *m, const struct gguf_make_model *spec);

#endif
