/*
 * cpu/backend.c - the CPU plugin's table, its device, streams and events.
 *
 * A submit runs to its end before it returns, so a stream is always synchronised and an event is
 * reached as soon as it is recorded.
 *
 * Settings of device_open: isa=auto|scalar|avx2|avx512|neon, pin=off|on (workers onto processors),
 * spin=MICROSECONDS (how long an idle worker spins before it sleeps).
 */
#include "device.h"
#include "fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_SCORE       10      /* the last resort: any usable accelerator ranks above */
#define SPIN_US_DEFAULT 100     /* covers the gap between the parts of a step on an idle machine */
#define SPIN_US_MAX     1000000 /* one second: more is a mistake */

/* ---- probing --------------------------------------------------------------------------------- */

static enum pl_status cpu_probe(struct pl_probe *ret, struct pl_error *err)
{
    struct cpu_features features = cpu_features_get();
    struct pl_probe out = {
        .struct_size = ret->struct_size,
        .n_devices = 1,
        .score = CPU_SCORE,
    };
    char model[PL_NAME_MAX];
    (void)err;
    cpu_model_name(model, sizeof model);
    snprintf(out.reason, sizeof out.reason, "%s, %u cores, %s", model, cpu_cores_allowed(),
             cpu_isa_name(cpu_isa_best(&features)));
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

static enum pl_status cpu_device_info(uint32_t device_i, struct pl_device_info *ret,
                                      struct pl_error *err)
{
    if (device_i != 0)
        return pl_error_set(err, PL_EINVAL, "cpu: device %u, there is one", device_i);
    struct cpu_features features = cpu_features_get();
    struct pl_device_info out = {
        .struct_size = ret->struct_size,
        .type = PL_DEVICE_CPU,
        .alignment_bytes = CPU_ALIGN,
        .n_units = cpu_cores_allowed(),
    };
    cpu_model_name(out.name, sizeof out.name);
    cpu_features_text(&features, out.features, sizeof out.features);
    cpu_memory(&out.memory_bytes, &out.memory_free_bytes);
    out.buffer_bytes_max = out.memory_bytes;
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

struct settings {
    enum cpu_isa isa;
    bool pin;
    uint32_t spin_us;
};

static bool set_isa(struct settings *s, const char *value)
{
    for (enum cpu_isa isa = CPU_ISA_AUTO; isa <= CPU_ISA_AVX512; isa++) {
        if (strcmp(value, cpu_isa_name(isa)) == 0) {
            s->isa = isa;
            return true;
        }
    }
    return false;
}

static bool set_pin(struct settings *s, const char *value)
{
    s->pin = strcmp(value, "on") == 0;
    return s->pin || strcmp(value, "off") == 0;
}

static bool set_spin(struct settings *s, const char *value)
{
    uint32_t us = 0;
    if (*value == '\0')
        return false;
    for (; *value >= '0' && *value <= '9' && us <= SPIN_US_MAX; value++)
        us = us * 10 + (uint32_t)(*value - '0');
    s->spin_us = us;
    return *value == '\0' && us <= SPIN_US_MAX;
}

static enum pl_status parse_setting(struct settings *s, const char *text, struct pl_error *err)
{
    static const struct {
        const char *key;
        const char *values;
        bool (*set)(struct settings *s, const char *value);
    } keys[] = {
        {"isa", "auto, scalar, avx2, avx512 or neon", set_isa},
        {"pin", "off or on", set_pin},
        {"spin", "0 to 1000000 microseconds", set_spin},
    };
    const char *equals = strchr(text, '=');
    size_t n = equals != NULL ? (size_t)(equals - text) : strlen(text);
    for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++) {
        if (strlen(keys[i].key) != n || strncmp(keys[i].key, text, n) != 0)
            continue;
        if (equals != NULL && keys[i].set(s, equals + 1))
            return PL_OK;
        return pl_error_set(err, PL_EINVAL, "cpu: setting '%s': %s is %s", text, keys[i].key,
                            keys[i].values);
    }
    return pl_error_set(err, PL_EINVAL, "cpu: unknown setting '%s'; there are isa, pin, spin",
                        text);
}

static enum pl_status read_options(const struct pl_device_options *o, struct settings *ret,
                                   struct pl_error *err)
{
    struct cpu_features features = cpu_features_get();
    struct settings s = {.spin_us = SPIN_US_DEFAULT};
    if (o->struct_size < sizeof *o || o->device_i != 0)
        return pl_error_set(err, PL_EINVAL, "cpu: device %u, there is one", o->device_i);
    if ((o->flags & ~(PL_DEVICE_REFERENCE | PL_DEVICE_DETERMINISTIC)) != 0)
        return pl_error_set(err, PL_ENOTSUP, "cpu: unknown device flags %#x", o->flags);
    for (const char *const *p = o->settings; p != NULL && *p != NULL; p++) {
        enum pl_status status = parse_setting(&s, *p, err);
        if (status != PL_OK)
            return status;
    }
    if (s.isa == CPU_ISA_AUTO)
        s.isa = cpu_isa_best(&features);
    if (!cpu_isa_usable(s.isa, &features) || fast_kernels_get(s.isa, false) == NULL)
        return pl_error_set(err, PL_ENOTSUP, "cpu: isa=%s: this processor or build lacks it",
                            cpu_isa_name(s.isa));
    *ret = s;
    return PL_OK;
}

static enum linear_level linear_level_of(enum cpu_isa isa)
{
    struct cpu_features f = cpu_features_get();
    switch (isa) {
    case CPU_ISA_NEON: return LINEAR_NEON;
    case CPU_ISA_AVX2: return LINEAR_AVX2;
    case CPU_ISA_AVX512:
        if (!f.avx512_vnni)
            return LINEAR_AVX2;
        return f.avx512_bf16 ? LINEAR_AVX512_BF16 : LINEAR_AVX512;
    case CPU_ISA_AUTO:
    case CPU_ISA_SCALAR:
    default: return LINEAR_SCALAR;
    }
}

static void cpu_device_close(struct pl_device *device)
{
    if (device == NULL)
        return;
    pool_free(device->pool);
    free(device);
}

static enum pl_status cpu_device_open(const struct pl_device_options *options,
                                      const struct pl_host *host, struct pl_device **ret,
                                      struct pl_error *err)
{
    struct settings s = {0};
    enum pl_status status = read_options(options, &s, err);
    if (status != PL_OK)
        return status;
    struct pl_device *device = calloc(1, sizeof *device);
    if (device == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for a device");
    device->host = host;
    device->n_threads = options->n_threads != 0 ? options->n_threads : cpu_cores_allowed();
    device->reference = (options->flags & PL_DEVICE_REFERENCE) != 0;
    device->isa = s.isa;
    device->fast = fast_kernels_get(s.isa, cpu_features_get().avx512_vnni);
    device->linear = linear_isa_get(linear_level_of(s.isa));
    if (device->linear == NULL)
        device->linear = linear_isa_get(LINEAR_SCALAR);
    struct pool_options pool = {
        .n_threads = device->n_threads,
        .spin_us = s.spin_us,
        .pin = s.pin,
    };
    status = pool_new(&pool, &device->pool, err);
    if (status != PL_OK) {
        free(device);
        return status;
    }
    atomic_store_explicit(&device->n_allocs, 2, memory_order_relaxed); /* itself, the pool */
    *ret = device;
    return PL_OK;
}

static void cpu_device_stats(struct pl_device *device, struct pl_device_stats *ret)
{
    struct pl_device_stats out = {
        .struct_size = ret->struct_size,
        .n_allocs = atomic_load_explicit(&device->n_allocs, memory_order_relaxed),
        .n_compiles = atomic_load_explicit(&device->n_compiles, memory_order_relaxed),
        .n_submits = atomic_load_explicit(&device->n_submits, memory_order_relaxed),
        .bytes_used = atomic_load_explicit(&device->bytes_used, memory_order_relaxed),
    };
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
}

/* ---- streams and events ---------------------------------------------------------------------- */

static enum pl_status cpu_stream_open(struct pl_device *device, struct pl_stream **ret,
                                      struct pl_error *err)
{
    struct pl_stream *stream = cpu_alloc(device, 1, sizeof *stream);
    if (stream == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for a stream");
    stream->device = device;
    *ret = stream;
    return PL_OK;
}

static void cpu_stream_close(struct pl_stream *stream)
{
    free(stream);
}

static enum pl_status cpu_stream_sync(struct pl_stream *stream, struct pl_error *err)
{
    (void)stream;
    (void)err;
    return PL_OK;
}

static enum pl_status cpu_event_new(struct pl_device *device, struct pl_event **ret,
                                    struct pl_error *err)
{
    struct pl_event *event = cpu_alloc(device, 1, sizeof *event);
    if (event == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for an event");
    event->device = device;
    *ret = event;
    return PL_OK;
}

static void cpu_event_free(struct pl_event *event)
{
    free(event);
}

static enum pl_status cpu_event_record(struct pl_event *event, struct pl_stream *stream,
                                       struct pl_error *err)
{
    (void)event;
    (void)stream;
    (void)err;
    return PL_OK;
}

static enum pl_status cpu_event_wait(struct pl_event *event, struct pl_error *err)
{
    (void)event;
    (void)err;
    return PL_OK;
}

static bool cpu_event_query(struct pl_event *event)
{
    (void)event;
    return true;
}

const struct pl_backend *pl_backend_entry(void)
{
    static const struct pl_backend table = {
        .struct_size = sizeof table,
        .abi_major = PL_ABI_MAJOR,
        .abi_minor = PL_ABI_MINOR,
        .name = "cpu",
        .version = PL_VERSION,
        .probe = cpu_probe,
        .device_info = cpu_device_info,
        .device_open = cpu_device_open,
        .device_close = cpu_device_close,
        .device_stats = cpu_device_stats,
        .op_query = cpu_op_query,
        .weight_query = cpu_weight_query,
        .weight_pack = cpu_weight_pack,
        .kv_query = cpu_kv_query,
        .buffer_new = cpu_buffer_new,
        .buffer_free = cpu_buffer_free,
        .buffer_import = cpu_buffer_import,
        .buffer_map = cpu_buffer_map,
        .buffer_write = cpu_buffer_write,
        .buffer_read = cpu_buffer_read,
        .stream_open = cpu_stream_open,
        .stream_close = cpu_stream_close,
        .stream_sync = cpu_stream_sync,
        .event_new = cpu_event_new,
        .event_free = cpu_event_free,
        .event_record = cpu_event_record,
        .event_wait = cpu_event_wait,
        .event_query = cpu_event_query,
        .program_new = cpu_program_new,
        .program_free = cpu_program_free,
        .program_submit = cpu_program_submit,
    };
    return &table;
}
