/*
 * sim/backend/backend.c - the plugin "sim": its table, device, stream, events and faults. See device.h.
 *
 * A step's arithmetic is done at submit; what takes time is only the waiting for it. With a hook the time is
 * virtual: event_query compares, and event_wait never sleeps (whoever closes an engine in the middle of a step gets
 * its result at once). Without a hook it is CLOCK_MONOTONIC.
 */
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMORY_BYTES                                                                               \
    ((uint64_t)64 << 20) /* of entries of 8 bytes: by default 2 M tokens of KV cache */
#define NS_PER_S 1000000000LL

struct pl_stream {
    struct pl_device *device;
};

struct pl_event {
    struct pl_device *device;
    int64_t due_ns;
};

static int64_t now_ns(const struct pl_device *device)
{
    const struct sim_hook *hook = device->settings.hook;
    if (hook != NULL)
        return hook->now_ns(hook->user);
    struct timespec t = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void sleep_until(const struct pl_device *device, int64_t due_ns)
{
    const struct timespec until = {.tv_sec = due_ns / NS_PER_S, .tv_nsec = due_ns % NS_PER_S};
    if (device->settings.hook != NULL)
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

void sim_device_work(struct pl_device *device, double ns)
{
    int64_t from_ns = now_ns(device);
    device->busy_until_ns = PL_MAX(device->busy_until_ns, from_ns) + (int64_t)ns;
}

/* ---- probing and opening ------------------------------------------------------------------------- */

static enum pl_status sim_probe_devices(struct pl_probe *ret, struct pl_error *err)
{
    (void)err;
    struct pl_probe out = {.struct_size = ret->struct_size, .n_devices = 1, .score = 0};
    (void)snprintf(out.reason, sizeof out.reason,
                   "simulated device: for tests, gives no real text");
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

static enum pl_status sim_device_info(uint32_t device_i, struct pl_device_info *ret,
                                      struct pl_error *err)
{
    if (device_i != 0)
        return pl_error_set(err, PL_EINVAL, "sim: device %u, there is one", device_i);
    struct pl_device_info out = {
        .struct_size = ret->struct_size,
        .type = PL_DEVICE_SIM,
        .name = "simulated device",
        .memory_bytes = MEMORY_BYTES,
        .memory_free_bytes = MEMORY_BYTES,
        .buffer_bytes_max = (uint64_t)1 << 40,
        .alignment_bytes = SIM_ALIGN,
        .n_units = 1,
    };
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

static enum pl_status sim_device_open(const struct pl_device_options *options,
                                      const struct pl_host *host, struct pl_device **ret,
                                      struct pl_error *err)
{
    struct pl_device *device = calloc(1, sizeof *device);
    if (device == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a device");
    enum pl_status status = sim_settings_read(options->settings, &device->settings, err);
    if (status != PL_OK) {
        free(device);
        return status;
    }
    if (device->settings.hook == NULL && host->log != NULL)
        host->log(host->user, PL_LOG_WARN, "sim: this device makes up its text, it is for tests");
    device->stats.struct_size = sizeof device->stats;
    *ret = device;
    return PL_OK;
}

static void sim_device_close(struct pl_device *device)
{
    free(device);
}

static void sim_device_stats(struct pl_device *device, struct pl_device_stats *ret)
{
    struct pl_device_stats out = device->stats;
    out.struct_size = ret->struct_size;
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
}

/* ---- streams and events -------------------------------------------------------------------------- */

static enum pl_status fault_now(const struct pl_device *device, struct pl_error *err)
{
    const struct sim_settings *s = &device->settings;
    enum pl_status status = PL_OK;
    if (s->lost_after >= 0 && device->stats.n_submits > (uint64_t)s->lost_after)
        status = PL_ELOST;
    else if (s->hook != NULL)
        status = s->hook->fault(s->hook->user);
    if (status != PL_OK)
        return pl_error_set(err, status, "sim: %s",
                            status == PL_ELOST ? "the device is lost" : "the device fails");
    return PL_OK;
}

static enum pl_status sim_stream_open(struct pl_device *device, struct pl_stream **ret,
                                      struct pl_error *err)
{
    struct pl_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a stream");
    stream->device = device;
    *ret = stream;
    return PL_OK;
}

static void sim_stream_close(struct pl_stream *stream)
{
    free(stream);
}

static enum pl_status sim_stream_sync(struct pl_stream *stream, struct pl_error *err)
{
    sleep_until(stream->device, stream->device->busy_until_ns);
    return fault_now(stream->device, err);
}

static enum pl_status sim_event_new(struct pl_device *device, struct pl_event **ret,
                                    struct pl_error *err)
{
    struct pl_event *event = calloc(1, sizeof *event);
    if (event == NULL)
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for an event");
    event->device = device;
    *ret = event;
    return PL_OK;
}

static void sim_event_free(struct pl_event *event)
{
    free(event);
}

static enum pl_status sim_event_record(struct pl_event *event, struct pl_stream *stream,
                                       struct pl_error *err)
{
    (void)err;
    event->due_ns = stream->device->busy_until_ns;
    return PL_OK;
}

static enum pl_status sim_event_wait(struct pl_event *event, struct pl_error *err)
{
    sleep_until(event->device, event->due_ns);
    return fault_now(event->device, err);
}

static bool sim_event_query(struct pl_event *event)
{
    return now_ns(event->device) >= event->due_ns;
}

/* ---- steps --------------------------------------------------------------------------------------- */

static enum pl_status sim_program_submit(struct pl_stream *stream, struct pl_program *program,
                                         const struct pl_step *step, struct pl_error *err)
{
    struct pl_device *device = stream->device;
    const struct sim_settings *s = &device->settings;
    uint64_t n = device->stats.n_submits++;
    enum pl_status status = fault_now(device, err);
    if (status != PL_OK)
        return status;
    if (sim_uniform(s->seed, 1, n) < s->fail_rate)
        return pl_error_set(err, PL_EIO, "sim: submit %llu fails", (unsigned long long)n);
    double ns = 0;
    status = sim_program_run(program, step, &ns, err);
    if (status != PL_OK)
        return status;
    if (sim_uniform(s->seed, 2, n) < s->slow_rate)
        ns *= s->slow_factor;
    sim_device_work(device, ns);
    if (s->hook != NULL)
        s->hook->on_submit(s->hook->user, device->busy_until_ns);
    return PL_OK;
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const struct pl_backend BACKEND = {
    .struct_size = sizeof(struct pl_backend),
    .abi_major = PL_ABI_MAJOR,
    .abi_minor = PL_ABI_MINOR,
    .name = "sim",
    .version = "1",
    .probe = sim_probe_devices,
    .device_info = sim_device_info,
    .device_open = sim_device_open,
    .device_close = sim_device_close,
    .device_stats = sim_device_stats,
    .op_query = sim_op_query,
    .weight_query = sim_weight_query,
    .weight_pack = sim_weight_pack,
    .kv_query = sim_kv_query,
    .buffer_new = sim_buffer_new,
    .buffer_free = sim_buffer_free,
    .buffer_import = sim_buffer_import,
    .buffer_map = sim_buffer_map,
    .buffer_write = sim_buffer_write,
    .buffer_read = sim_buffer_read,
    .stream_open = sim_stream_open,
    .stream_close = sim_stream_close,
    .stream_sync = sim_stream_sync,
    .event_new = sim_event_new,
    .event_free = sim_event_free,
    .event_record = sim_event_record,
    .event_wait = sim_event_wait,
    .event_query = sim_event_query,
    .program_new = sim_program_new,
    .program_free = sim_program_free,
    .program_submit = sim_program_submit,
};

PL_EXPORT const struct pl_backend *pl_backend_entry(void)
{
    return &BACKEND;
}
