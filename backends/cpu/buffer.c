/*
 * cpu/buffer.c - memory of the CPU plugin: zeroed, aligned to a cache line, huge pages where large.
 */
#include "device.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((uint64_t)2 << 20) /* x86-64 and the usual aarch64 size */
#define BUFFER_MAX      ((uint64_t)1 << 46) /* more than any machine; keeps sums from overflowing */

void *cpu_alloc(struct pl_device *device, size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p != NULL)
        atomic_fetch_add_explicit(&device->n_allocs, 1, memory_order_relaxed);
    return p;
}

/* Small buffers from the heap. */
static bool take_heap(struct pl_buffer *buffer)
{
    buffer->heap = calloc(1, (size_t)buffer->bytes + CPU_ALIGN);
    if (buffer->heap == NULL)
        return false;
    buffer->data = buffer->heap + (-(uintptr_t)buffer->heap & (CPU_ALIGN - 1));
    return true;
}

/* Large ones from the system, so that they start on a huge page. */
static bool take_pages(struct pl_buffer *buffer)
{
    uint64_t bytes = (buffer->bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    uint8_t *base = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    size_t before = (size_t)(-(uintptr_t)base & (HUGE_PAGE_BYTES - 1));
    size_t after = HUGE_PAGE_BYTES - before;
    if (before > 0)
        munmap(base, before);
    if (after > 0)
        munmap(base + before + bytes, after);
    buffer->data = base + before;
    buffer->mapped_bytes = bytes;
    madvise(buffer->data, bytes, MADV_HUGEPAGE); /* a wish: failure harms nothing */
    return true;
}

enum pl_status cpu_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                              struct pl_buffer **ret, struct pl_error *err)
{
    if (kind != PL_MEM_DEVICE && kind != PL_MEM_BINDING)
        return pl_error_set(err, PL_EINVAL, "cpu: unknown kind of memory %d", (int)kind);
    if (bytes == 0)
        return pl_error_set(err, PL_EINVAL, "cpu: a buffer of 0 bytes");
    struct pl_buffer *buffer = bytes <= BUFFER_MAX ? cpu_alloc(device, 1, sizeof *buffer) : NULL;
    if (buffer == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for a buffer of %" PRIu64 " bytes",
                            bytes);
    buffer->device = device;
    buffer->bytes = bytes;
    if (!(bytes >= HUGE_PAGE_BYTES ? take_pages(buffer) : take_heap(buffer))) {
        free(buffer);
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for a buffer of %" PRIu64 " bytes",
                            bytes);
    }
    atomic_fetch_add_explicit(&device->n_allocs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->bytes_used, bytes, memory_order_relaxed);
    *ret = buffer;
    return PL_OK;
}

enum pl_status cpu_buffer_import(struct pl_device *device, const void *host, uint64_t bytes,
                                 struct pl_buffer **ret, struct pl_error *err)
{
    if (host == NULL || bytes == 0)
        return pl_error_set(err, PL_EINVAL, "cpu: nothing to import");
    struct pl_buffer *buffer = cpu_alloc(device, 1, sizeof *buffer);
    if (buffer == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for an imported buffer");
    union {
        const void *readable;
        uint8_t *data;
    } pun = {.readable = host}; /* read_only keeps the promise that the cast drops */
    buffer->device = device;
    buffer->data = pun.data;
    buffer->bytes = bytes;
    buffer->read_only = true;
    *ret = buffer;
    return PL_OK;
}

void cpu_buffer_free(struct pl_buffer *buffer)
{
    if (buffer == NULL)
        return;
    if (!buffer->read_only) {
        atomic_fetch_sub_explicit(&buffer->device->bytes_used, buffer->bytes, memory_order_relaxed);
        if (buffer->mapped_bytes > 0)
            munmap(buffer->data, buffer->mapped_bytes);
        else
            free(buffer->heap);
    }
    free(buffer);
}

void *cpu_buffer_map(struct pl_buffer *buffer)
{
    return buffer->data;
}

static enum pl_status check_range(const struct pl_buffer *buffer, uint64_t offset, uint64_t bytes,
                                  struct pl_error *err)
{
    if (offset <= buffer->bytes && bytes <= buffer->bytes - offset)
        return PL_OK;
    return pl_error_set(err, PL_EINVAL,
                        "cpu: %" PRIu64 " bytes at %" PRIu64 " lie outside a buffer of %" PRIu64,
                        bytes, offset, buffer->bytes);
}

enum pl_status cpu_buffer_write(struct pl_buffer *buffer, uint64_t offset, const void *src,
                                uint64_t bytes, struct pl_error *err)
{
    if (buffer->read_only)
        return pl_error_set(err, PL_EINVAL, "cpu: write to imported memory");
    enum pl_status status = check_range(buffer, offset, bytes, err);
    if (status == PL_OK && bytes > 0)
        memcpy(buffer->data + offset, src, bytes);
    return status;
}

enum pl_status cpu_buffer_read(struct pl_buffer *buffer, uint64_t offset, void *dst, uint64_t bytes,
                               struct pl_error *err)
{
    enum pl_status status = check_range(buffer, offset, bytes, err);
    if (status == PL_OK && bytes > 0)
        memcpy(dst, buffer->data + offset, bytes);
    return status;
}
