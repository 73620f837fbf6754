/* See impl.h. Tensor offsets: aligned, inside the file, and no two tensors share a byte. */
#include "impl.h"

#include <stdlib.h>

#include "base/banned.h"

static enum pl_status place_one(const struct gguf *file, struct gguf_tensor *t, uint64_t offset,
                                size_t data_at, struct pl_error *err)
{
    size_t file_bytes = file->map.bytes;
    if (offset % file->alignment != 0)
        return pl_error_set(err, PL_EFORMAT,
                            "gguf: tensor '%s': offset %llu is not a multiple of %u", t->name_text,
                            (unsigned long long)offset, file->alignment);
    size_t room = data_at < file_bytes ? file_bytes - data_at : 0;
    if (offset > room || t->bytes > room - (size_t)offset)
        return pl_error_set(err, PL_EFORMAT,
                            "gguf: tensor '%s': offset %llu + %zu bytes is beyond the data, %zu "
                            "bytes from byte %zu",
                            t->name_text, (unsigned long long)offset, t->bytes, room, data_at);
    t->data = file->map.data + data_at + (size_t)offset;
    return PL_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *const *left = a;
    const struct gguf_tensor *const *right = b;
    if ((*left)->data != (*right)->data)
        return (*left)->data < (*right)->data ? -1 : 1;
    return (*left > *right) - (*left < *right);
}

static enum pl_status refuse_overlaps(struct gguf *file, struct pl_error *err)
{
    size_t n = (size_t)file->n_tensors;
    const struct gguf_tensor **sorted = arena_array(file->arena, n, sizeof(struct gguf_tensor *));
    if (sorted == NULL)
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory for %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &file->tensors[i];
    qsort(sorted, n, sizeof(struct gguf_tensor *), by_place);
    for (size_t i = 1; i < n; i++) {
        if (sorted[i - 1]->data + sorted[i - 1]->bytes > sorted[i]->data)
            return pl_error_set(err, PL_EFORMAT, "gguf: tensor '%s' overlaps tensor '%s'",
                                sorted[i]->name_text, sorted[i - 1]->name_text);
    }
    return PL_OK;
}

enum pl_status gguf_place_tensors(struct gguf *file, const uint64_t *offsets, size_t at,
                                  struct pl_error *err)
{
    size_t data_at = pl_align_up(at, file->alignment); /* at <= file size, alignment is small */
    for (uint64_t i = 0; i < file->n_tensors; i++) {
        enum pl_status status = place_one(file, &file->tensors[i], offsets[i], data_at, err);
        if (status != PL_OK)
            return status;
    }
    return refuse_overlaps(file, err);
}
