/* See gguf_bytes.h. */
#include "gguf_bytes.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/banned.h"

void gguf_bytes_begin(struct gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    buf_init(&b->out, 0);
    b->fd = -1;
    buf_append(&b->out, "GGUF", 4);
    gguf_bytes_u32(b, version);
    gguf_bytes_u64(b, n_tensors);
    gguf_bytes_u64(b, n_keys);
}

void gguf_bytes_u32(struct gguf_bytes *b, uint32_t value)
{
    buf_append(&b->out, &value, sizeof value);
}

void gguf_bytes_u64(struct gguf_bytes *b, uint64_t value)
{
    buf_append(&b->out, &value, sizeof value);
}

void gguf_bytes_f32(struct gguf_bytes *b, float value)
{
    buf_append(&b->out, &value, sizeof value);
}

void gguf_bytes_str(struct gguf_bytes *b, const char *text)
{
    gguf_bytes_u64(b, strlen(text));
    buf_append(&b->out, text, strlen(text));
}

void gguf_bytes_key(struct gguf_bytes *b, const char *key, uint32_t type)
{
    gguf_bytes_str(b, key);
    gguf_bytes_u32(b, type);
}

void gguf_bytes_array(struct gguf_bytes *b, const char *key, uint32_t elem_type, uint64_t n)
{
    gguf_bytes_key(b, key, GGUF_ARRAY);
    gguf_bytes_u32(b, elem_type);
    gguf_bytes_u64(b, n);
}

void gguf_bytes_tensor(struct gguf_bytes *b, const char *name, uint32_t n_dims,
                       const uint64_t *dims, uint32_t type, uint64_t offset)
{
    gguf_bytes_str(b, name);
    gguf_bytes_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gguf_bytes_u64(b, dims[i]);
    gguf_bytes_u32(b, type);
    gguf_bytes_u64(b, offset);
}

void gguf_bytes_data(struct gguf_bytes *b, size_t align, size_t n)
{
    while (b->out.len % align != 0)
        buf_char(&b->out, '\0');
    for (size_t i = 0; i < n; i++)
        buf_char(&b->out, (char)i);
}

const char *gguf_bytes_path(struct gguf_bytes *b)
{
    PL_CHECK(!b->out.failed && b->fd < 0);
    b->fd = memfd_create("gguf", MFD_CLOEXEC);
    PL_CHECK(b->fd >= 0);
    PL_CHECK(write(b->fd, b->out.data, b->out.len) == (ssize_t)b->out.len);
    snprintf(b->path, sizeof b->path, "/proc/self/fd/%d", b->fd);
    return b->path;
}

void gguf_bytes_cut(const struct gguf_bytes *b, size_t n)
{
    PL_CHECK(ftruncate(b->fd, (off_t)n) == 0);
}

void gguf_bytes_poke(const struct gguf_bytes *b, size_t at, unsigned char value)
{
    PL_CHECK(pwrite(b->fd, &value, 1, (off_t)at) == 1);
}

void gguf_bytes_end(struct gguf_bytes *b)
{
    buf_deinit(&b->out);
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

void gguf_bytes_save(struct gguf_bytes *b, const char *path)
{
    PL_CHECK(!b->out.failed);
    FILE *f = fopen(path, "wb");
    PL_CHECK(f != NULL);
    PL_CHECK(fwrite(b->out.data, 1, b->out.len, f) == b->out.len);
    PL_CHECK(fclose(f) == 0);
}
