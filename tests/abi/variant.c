/*
 * tests/abi/variant.c - a plugin that computes nothing, in as many variants as there are ways to be wrong.
 *
 * CMake builds it once per variant with -DVARIANT_<NAME>. Without any it is a minimal plugin that must be
 * accepted: required slots only, no events, no stats, no import.
 */
#include <polder/backend.h>

#include <string.h>

#ifndef PLUGIN_NAME
#define PLUGIN_NAME "good"
#endif
#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION "1.0"
#endif
#ifndef PLUGIN_MAJOR
#define PLUGIN_MAJOR PL_ABI_MAJOR
#endif
#ifndef PLUGIN_MINOR
#define PLUGIN_MINOR PL_ABI_MINOR
#endif
#ifndef PLUGIN_SCORE
#define PLUGIN_SCORE 1
#endif
#ifndef PLUGIN_DEVICE
#define PLUGIN_DEVICE PL_DEVICE_CPU
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof table
#endif

static enum pl_status refuse(struct pl_error *err)
{
    return pl_error_set(err, PL_ENOTSUP, "variant: computes nothing");
}

static enum pl_status probe(struct pl_probe *ret, PL_UNUSED struct pl_error *err)
{
#if defined(VARIANT_PROBE_FAILS)
    return pl_error_set(err, PL_EIO, "the card\nis on fire");
#elif defined(VARIANT_PROBE_MANY)
    ret->n_devices = 0xffffffffu;
#elif defined(VARIANT_PROBE_ENDLESS)
    ret->n_devices = 1;
    memset(ret->reason, 'x', sizeof ret->reason);
#elif defined(VARIANT_PROBE_NONE)
    ret->n_devices = 0;
    memcpy(ret->reason, "no driver", sizeof "no driver");
#else
    ret->n_devices = 1;
#endif
    ret->score = PLUGIN_SCORE;
    return PL_OK;
}

static enum pl_status device_info(PL_UNUSED uint32_t device_i, struct pl_device_info *ret,
                                  PL_UNUSED struct pl_error *err)
{
    ret->type = PLUGIN_DEVICE;
    return PL_OK;
}

static enum pl_status device_open(PL_UNUSED const struct pl_device_options *options,
                                  PL_UNUSED const struct pl_host *host,
                                  PL_UNUSED struct pl_device **ret, struct pl_error *err)
{
    return refuse(err);
}

static void device_close(PL_UNUSED struct pl_device *device)
{
}

static enum pl_status op_query(PL_UNUSED struct pl_device *device,
                               PL_UNUSED const struct pl_program_desc *program,
                               PL_UNUSED uint32_t op_i, PL_UNUSED struct pl_op_support *ret,
                               struct pl_error *err)
{
    return refuse(err);
}

static enum pl_status weight_query(PL_UNUSED struct pl_device *device,
                                   PL_UNUSED const struct pl_weight_desc *desc,
                                   PL_UNUSED struct pl_weight_layout *ret, struct pl_error *err)
{
    return refuse(err);
}

static enum pl_status weight_pack(PL_UNUSED struct pl_device *device,
                                  PL_UNUSED const struct pl_weight_desc *desc,
                                  PL_UNUSED const void *src, PL_UNUSED size_t src_bytes,
                                  PL_UNUSED struct pl_buffer *dst, PL_UNUSED uint64_t dst_offset,
                                  struct pl_error *err)
{
    return refuse(err);
}

#ifndef VARIANT_MISSING_SLOT
static enum pl_status kv_query(PL_UNUSED struct pl_device *device,
                               PL_UNUSED const struct pl_kv_group *group,
                               PL_UNUSED struct pl_kv_layout *ret, struct pl_error *err)
{
    return refuse(err);
}
#endif

static enum pl_status buffer_new(PL_UNUSED struct pl_device *device,
                                 PL_UNUSED enum pl_mem_kind kind, PL_UNUSED uint64_t bytes,
                                 PL_UNUSED struct pl_buffer **ret, struct pl_error *err)
{
    return refuse(err);
}

static void buffer_free(PL_UNUSED struct pl_buffer *buffer)
{
}

static void *buffer_map(PL_UNUSED struct pl_buffer *buffer)
{
    return NULL;
}

static enum pl_status buffer_write(PL_UNUSED struct pl_buffer *buffer, PL_UNUSED uint64_t offset,
                                   PL_UNUSED const void *src, PL_UNUSED uint64_t bytes,
                                   struct pl_error *err)
{
    return refuse(err);
}

static enum pl_status buffer_read(PL_UNUSED struct pl_buffer *buffer, PL_UNUSED uint64_t offset,
                                  PL_UNUSED void *dst, PL_UNUSED uint64_t bytes,
                                  struct pl_error *err)
{
    return refuse(err);
}

static enum pl_status stream_open(PL_UNUSED struct pl_device *device,
                                  PL_UNUSED struct pl_stream **ret, struct pl_error *err)
{
    return refuse(err);
}

static void stream_close(PL_UNUSED struct pl_stream *stream)
{
}

/* What it was given decides, so that a test sees whose sync an event calls. */
static enum pl_status stream_sync(struct pl_stream *stream, struct pl_error *err)
{
    return stream == NULL ? PL_OK : pl_error_set(err, PL_ELOST, "sync of score %d", PLUGIN_SCORE);
}

static enum pl_status program_new(PL_UNUSED struct pl_device *device,
                                  PL_UNUSED const struct pl_program_desc *desc,
                                  PL_UNUSED struct pl_program **ret, struct pl_error *err)
{
    return refuse(err);
}

static void program_free(PL_UNUSED struct pl_program *program)
{
}

static enum pl_status program_submit(PL_UNUSED struct pl_stream *stream,
                                     PL_UNUSED struct pl_program *program,
                                     PL_UNUSED const struct pl_step *step, struct pl_error *err)
{
    return refuse(err);
}

#ifdef VARIANT_PARTIAL_EVENTS
static void event_free(PL_UNUSED struct pl_event *event)
{
}
#endif

/* A newer interface appends; here that is eight slots which this host has never heard of. */
static const struct {
    struct pl_backend known;
#ifdef VARIANT_LONGER
    void *unknown[8];
#endif
} table = {
    .known =
        {
            .struct_size = (uint32_t)(PLUGIN_SIZE),
            .abi_major = PLUGIN_MAJOR,
            .abi_minor = PLUGIN_MINOR,
            .name = PLUGIN_NAME,
            .version = PLUGIN_VERSION,
            .probe = probe,
            .device_info = device_info,
            .device_open = device_open,
            .device_close = device_close,
            .op_query = op_query,
            .weight_query = weight_query,
            .weight_pack = weight_pack,
#ifndef VARIANT_MISSING_SLOT
            .kv_query = kv_query,
#endif
            .buffer_new = buffer_new,
            .buffer_free = buffer_free,
            .buffer_map = buffer_map,
            .buffer_write = buffer_write,
            .buffer_read = buffer_read,
            .stream_open = stream_open,
            .stream_close = stream_close,
            .stream_sync = stream_sync,
#ifdef VARIANT_PARTIAL_EVENTS
            .event_free = event_free,
#endif
            .program_new = program_new,
            .program_free = program_free,
            .program_submit = program_submit,
        },
#ifdef VARIANT_LONGER
    .unknown = {(void *)1, (void *)1, (void *)1, (void *)1, (void *)1, (void *)1, (void *)1,
                (void *)1},
#endif
};

#ifdef VARIANT_NO_SYMBOL
const struct pl_backend *another_name(void);
const struct pl_backend *another_name(void)
{
    return &table.known;
}
#else
const struct pl_backend *pl_backend_entry(void)
{
#ifdef VARIANT_NULL_TABLE
    return table.known.struct_size == 0 ? &table.known : NULL;
#else
    return &table.known;
#endif
}
#endif
