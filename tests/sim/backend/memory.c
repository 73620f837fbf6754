/* Memory of the simulated device; see device.h. Pages that nobody writes cost nothing: activations and weights are
 * never touched. */
#include "device.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_MAX ((uint64_t)1 << 44) /* 16 TiB: more than any machine, and sums don't overflow */

enum pl_status sim_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                              struct pl_buffer **ret, struct pl_error *err)
{
    if ((kind != PL_MEM_DEVICE && kind != PL_MEM_BINDING) || bytes == 0)
        return pl_error_set(err, PL_EINVAL, "sim: a buffer of kind %d, %" PRIu64 " bytes",
                            (int)kind, bytes);
    struct pl_buffer *buffer = calloc(1, sizeof *buffer);
    void *owned = bytes <= BUFFER_MAX ? calloc(1, (size_t)bytes + SIM_ALIGN) : NULL;
    if (buffer == NULL || owned == NULL) {
        free(buffer);
        free(owned);
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for %" PRIu64 " bytes", bytes);
    }
    uint8_t *start = owned;
    *buffer = (struct pl_buffer){
        .device = device,
        .data = start + (-(uintptr_t)owned & (SIM_ALIGN - 1)),
        .owned = owned,
        .bytes = bytes,
        .mappable = kind == PL_MEM_BINDING || device->settings.unified,
    };
    device->stats.n_allocs++;
    device->stats.bytes_used += bytes;
    *ret = buffer;
    return PL_OK;
}

enum pl_status sim_buffer_import(struct pl_device *device, const void *host, uint64_t bytes,
                                 struct pl_buffer **ret, struct pl_error *err)
{
    struct pl_buffer *buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for an imported buffer");
    union {
        const void *readable;
        uint8_t *data;
    } pun = {.readable = host}; /* only its address is kept */
    *buffer = (struct pl_buffer){
        .device = device, .data = pun.data, .bytes = bytes, .mappable = device->settings.unified};
    device->stats.n_allocs++;
    *ret = buffer;
    return PL_OK;
}

void sim_buffer_free(struct pl_buffer *buffer)
{
    if (buffer == NULL)
        return;
    if (buffer->owned != NULL)
        buffer->device->stats.bytes_used -= buffer->bytes;
    free(buffer->owned);
    free(buffer);
}

void *sim_buffer_map(struct pl_buffer *buffer)
{
    return buffer->mappable ? buffer->data : NULL;
}

static enum pl_status check_range(const struct pl_buffer *buffer, uint64_t offset, uint64_t bytes,
                                  struct pl_error *err)
{
    if (offset > buffer->bytes || bytes > buffer->bytes - offset || buffer->owned == NULL)
        return pl_error_set(err, PL_EINVAL,
                            "sim: bytes %" PRIu64 " and %" PRIu64 " more of a buffer of %" PRIu64,
                            offset, bytes, buffer->bytes);
    if (buffer->kv)
        sim_device_work(buffer->device, buffer->device->settings.profile.block_ns);
    return PL_OK;
}

enum pl_status sim_buffer_write(struct pl_buffer *buffer, uint64_t offset, const void *src,
                                uint64_t bytes, struct pl_error *err)
{
    enum pl_status status = check_range(buffer, offset, bytes, err);
    if (status == PL_OK)
        memmove(buffer->data + offset, src, (size_t)bytes);
    return status;
}

enum pl_status sim_buffer_read(struct pl_buffer *buffer, uint64_t offset, void *dst, uint64_t bytes,
                               struct pl_error *err)
{
    enum pl_status status = check_range(buffer, offset, bytes, err);
    if (status == PL_OK)
        memmove(dst, buffer->data + offset, (size_t)bytes);
    return status;
}
