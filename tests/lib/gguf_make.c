/* See gguf_make.h. */
#include "gguf_make.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define ALIGNMENT 32

void gguf_make_begin(struct gguf_make *m)
{
    *m = (struct gguf_make){0};
    buf_init(&m->kvs, 0);
    buf_init(&m->infos, 0);
    buf_init(&m->data, 0);
}

static void put_str(struct buf *to, const char *text)
{
    uint64_t n = strlen(text);
    buf_append(to, &n, sizeof n);
    buf_append(to, text, n);
}

static void put_u32(struct buf *to, uint32_t value)
{
    buf_append(to, &value, sizeof value);
}

void gguf_make_u32(struct gguf_make *m, const char *key, uint32_t value)
{
    put_str(&m->kvs, key);
    put_u32(&m->kvs, 4);
    put_u32(&m->kvs, value);
    m->n_kvs++;
}

void gguf_make_f32(struct gguf_make *m, const char *key, float value)
{
    put_str(&m->kvs, key);
    put_u32(&m->kvs, 6);
    buf_append(&m->kvs, &value, sizeof value);
    m->n_kvs++;
}

void gguf_make_str(struct gguf_make *m, const char *key, const char *value)
{
    put_str(&m->kvs, key);
    put_u32(&m->kvs, 8);
    put_str(&m->kvs, value);
    m->n_kvs++;
}

void gguf_make_strings(struct gguf_make *m, const char *key, uint64_t n)
{
    put_str(&m->kvs, key);
    put_u32(&m->kvs, 9); /* array of strings */
    put_u32(&m->kvs, 8);
    buf_append(&m->kvs, &n, sizeof n);
    for (uint64_t i = 0; i < n; i++) {
        char text[24];
        (void)snprintf(text, sizeof text, "t%llu", (unsigned long long)i);
        put_str(&m->kvs, text);
    }
    m->n_kvs++;
}

void gguf_make_tensor(struct gguf_make *m, const char *name, uint32_t n_dims, const int64_t *dims,
                      float scale)
{
    uint64_t n = 1;
    put_str(&m->infos, name);
    put_u32(&m->infos, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) {
        uint64_t dim = (uint64_t)dims[d];
        buf_append(&m->infos, &dim, sizeof dim);
        n *= dim;
    }
    put_u32(&m->infos, 0); /* F32 */
    uint64_t offset = m->data.len;
    buf_append(&m->infos, &offset, sizeof offset);
    m->n_tensors++;

    bool ones = n_dims == 1 && strstr(name, "norm") != NULL;
    uint32_t state = (uint32_t)offset + 12345u;
    for (uint64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float value = ones ? 1.0f : scale * ((float)(state >> 8) * 0x1p-23f - 1.0f);
        buf_append(&m->data, &value, sizeof value);
    }
    while (m->data.len % ALIGNMENT != 0)
        buf_char(&m->data, 0);
}

void gguf_make_write(struct gguf_make *m, const char *path)
{
    struct buf head;
    buf_init(&head, 0);
    buf_str(&head, "GGUF");
    put_u32(&head, 3);
    buf_append(&head, &m->n_tensors, sizeof m->n_tensors);
    buf_append(&head, &m->n_kvs, sizeof m->n_kvs);
    buf_append(&head, m->kvs.data, m->kvs.len);
    buf_append(&head, m->infos.data, m->infos.len);
    while (head.len % ALIGNMENT != 0)
        buf_char(&head, 0);
    buf_append(&head, m->data.data, m->data.len);
    PL_CHECK(!head.failed && !m->kvs.failed && !m->infos.failed && !m->data.failed);
    FILE *f = fopen(path, "wb");
    PL_CHECK(f != NULL);
    PL_CHECK(fwrite(head.data, 1, head.len, f) == head.len);
    PL_CHECK(fclose(f) == 0);
    buf_deinit(&head);
    buf_deinit(&m->kvs);
    buf_deinit(&m->infos);
    buf_deinit(&m->data);
}

enum { E = 32, H = 4, K = 2, F = 64, V = 48 };

static void add(struct gguf_make *m, const struct gguf_make_model *spec, int layer,
                const char *name, int64_t cols, int64_t rows)
{
    char full[80];
    if (layer >= 0)
        (void)snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    else
        (void)snprintf(full, sizeof full, "%s", name);
    if (spec->skip != NULL && strcmp(spec->skip, full) == 0)
        return;
    gguf_make_tensor(m, full, rows > 0 ? 2 : 1, (const int64_t[]){cols, rows}, 0.3f);
}

static void add_key(struct gguf_make *m, const char *arch, const char *suffix, uint32_t value)
{
    char key[80];
    (void)snprintf(key, sizeof key, "%s.%s", arch, suffix);
    gguf_make_u32(m, key, value);
}

void gguf_make_add_model(struct gguf_make *m, const struct gguf_make_model *spec)
{
    const int64_t kv = K * (E / H);
    gguf_make_str(m, "general.architecture", spec->arch);
    add_key(m, spec->arch, "block_count", spec->n_layers);
    add_key(m, spec->arch, "context_length", 64);
    add_key(m, spec->arch, "embedding_length", E);
    add_key(m, spec->arch, "feed_forward_length", F);
    add_key(m, spec->arch, "attention.head_count", H);
    add_key(m, spec->arch, "attention.head_count_kv", K);
    add(m, spec, -1, "token_embd.weight", E, V);
    add(m, spec, -1, "output_norm.weight", E, 0);
    if (spec->untied)
        add(m, spec, -1, "output.weight", E, V);
    for (int layer = 0; layer < (int)spec->n_layers; layer++) {
        add(m, spec, layer, "attn_norm.weight", E, 0);
        add(m, spec, layer, "attn_q.weight", E, E);
        add(m, spec, layer, "attn_k.weight", E, kv);
        add(m, spec, layer, "attn_v.weight", E, kv);
        add(m, spec, layer, "attn_output.weight", E, E);
        add(m, spec, layer, "ffn_norm.weight", E, 0);
        add(m, spec, layer, "ffn_gate.weight", E, F);
        add(m, spec, layer, "ffn_up.weight", E, F);
        add(m, spec, layer, "ffn_down.weight", F, E);
        if (spec->qkv_bias) {
            add(m, spec, layer, "attn_q.bias", E, 0);
            add(m, spec, layer, "attn_k.bias", kv, 0);
            add(m, spec, layer, "attn_v.bias", kv, 0);
        }
    }
}
