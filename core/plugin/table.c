/*
 * plugin/table.c - the slot list, the copy by size, and the defaults of optional slots.
 *
 * The default event is reached as soon as it is recorded, because record synchronises the stream first.
 * event_record gets an event and a stream but no table, and streams of different plugins look alike to the
 * host; so each plugin without events is given a trampoline of its own that knows its stream_sync.
 */
#include "table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define HEAD_BYTES offsetof(struct pl_backend, probe)

#define SLOT_LIST(X)                                                                               \
    X(probe, REQUIRED)                                                                             \
    X(device_info, REQUIRED)                                                                       \
    X(device_open, REQUIRED)                                                                       \
    X(device_close, REQUIRED)                                                                      \
    X(device_stats, OPTIONAL)                                                                      \
    X(op_query, REQUIRED)                                                                          \
    X(weight_query, REQUIRED)                                                                      \
    X(weight_pack, REQUIRED)                                                                       \
    X(kv_query, REQUIRED)                                                                          \
    X(buffer_new, REQUIRED)                                                                        \
    X(buffer_free, REQUIRED)                                                                       \
    X(buffer_import, OPTIONAL)                                                                     \
    X(buffer_map, REQUIRED)                                                                        \
    X(buffer_write, REQUIRED)                                                                      \
    X(buffer_read, REQUIRED)                                                                       \
    X(stream_open, REQUIRED)                                                                       \
    X(stream_close, REQUIRED)                                                                      \
    X(stream_sync, REQUIRED)                                                                       \
    X(event_new, EVENT)                                                                            \
    X(event_free, EVENT)                                                                           \
    X(event_record, EVENT)                                                                         \
    X(event_wait, EVENT)                                                                           \
    X(event_query, EVENT)                                                                          \
    X(program_new, REQUIRED)                                                                       \
    X(program_free, REQUIRED)                                                                      \
    X(program_submit, REQUIRED)

const struct table_slot table_slots[] = {
#define PL_X(slot, need) {#slot, offsetof(struct pl_backend, slot), TABLE_##need},
    SLOT_LIST(PL_X)
#undef PL_X
};
const size_t table_n_slots = PL_ARRAY_LEN(table_slots);

/* A slot that is appended to the table must be added to the list as well. */
_Static_assert(sizeof(struct pl_backend) ==
                   HEAD_BYTES + PL_ARRAY_LEN(table_slots) * sizeof(void (*)(void)),
               "SLOT_LIST misses a slot of struct pl_backend");

typedef void any_fn(void);

static bool slot_is_set(const void *table, const struct table_slot *slot)
{
    any_fn *fn = NULL;
    memcpy(&fn, (const char *)table + slot->offset, sizeof fn);
    return fn != NULL;
}

static enum pl_status check_slots(const void *table, size_t copied, const struct table_slot *slots,
                                  size_t n_slots, const char *file, struct pl_error *err)
{
    size_t n_events = 0;
    const char *missing_event = NULL;
    for (size_t i = 0; i < n_slots; i++) {
        const struct table_slot *slot = &slots[i];
        bool set = slot_is_set(table, slot);
        if (slot->need == TABLE_REQUIRED && !set) {
            bool beyond = slot->offset + sizeof(any_fn *) > copied;
            return pl_error_set(err, PL_EFORMAT, "%s: required slot '%s' is %s", file, slot->name,
                                beyond ? "beyond the end of the plugin's table" : "empty");
        }
        if (slot->need == TABLE_EVENT) {
            n_events += set;
            missing_event = set ? missing_event : slot->name;
        }
    }
    if (n_events > 0 && missing_event != NULL)
        return pl_error_set(err, PL_EFORMAT, "%s: has event slots, but '%s' is empty", file,
                            missing_event);
    return PL_OK;
}

enum pl_status table_copy(void *dst, size_t dst_bytes, const struct pl_backend *src,
                          const struct table_slot *slots, size_t n_slots, const char *file,
                          struct pl_error *err)
{
    if (src->abi_major != PL_ABI_MAJOR)
        return pl_error_set(err, PL_EVERSION, "%s: built for plugin ABI %u.%u, this host has %d.%d",
                            file, src->abi_major, src->abi_minor, PL_ABI_MAJOR, PL_ABI_MINOR);
    size_t bytes = src->struct_size;
    if (bytes < HEAD_BYTES)
        return pl_error_set(err, PL_EFORMAT, "%s: table of %zu bytes is shorter than its head",
                            file, bytes);
    /* A size in the middle of a slot gives only the slots before it. */
    size_t copied = PL_MIN(bytes, dst_bytes) / sizeof(any_fn *) * sizeof(any_fn *);
    memset(dst, 0, dst_bytes);
    memcpy(dst, src, copied);
    return check_slots(dst, copied, slots, n_slots, file, err);
}

/* ---- defaults -------------------------------------------------------------------------------- */

/* What the host's own events hold; the name is each backend's to define. */
struct pl_event {
    atomic_int status; /* of the last record: enum pl_status */
};

static void stats_default(PL_UNUSED struct pl_device *device, struct pl_device_stats *ret)
{
    uint32_t size = ret->struct_size;
    *ret = (struct pl_device_stats){.struct_size = size};
}

static enum pl_status import_default(PL_UNUSED struct pl_device *device, PL_UNUSED const void *host,
                                     PL_UNUSED uint64_t bytes, PL_UNUSED struct pl_buffer **ret,
                                     struct pl_error *err)
{
    return pl_error_set(err, PL_ENOTSUP, "plugin: this backend can't import host memory");
}

static enum pl_status event_new_default(PL_UNUSED struct pl_device *device, struct pl_event **ret,
                                        struct pl_error *err)
{
    struct pl_event *event = calloc(1, sizeof *event);
    if (event == NULL)
        return pl_error_set(err, PL_ENOMEM, "plugin: no memory for an event");
    *ret = event;
    return PL_OK;
}

static void event_free_default(struct pl_event *event)
{
    free(event);
}

static enum pl_status event_wait_default(struct pl_event *event, struct pl_error *err)
{
    enum pl_status status = (enum pl_status)atomic_load(&event->status);
    if (status != PL_OK)
        return pl_error_set(err, status, "plugin: the stream failed before this event: %s",
                            pl_status_text(status));
    return PL_OK;
}

static bool event_query_default(PL_UNUSED struct pl_event *event)
{
    return true;
}

typedef enum pl_status sync_fn(struct pl_stream *stream, struct pl_error *err);
typedef enum pl_status record_fn(struct pl_event *event, struct pl_stream *stream,
                                 struct pl_error *err);

static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by sync_lock until the trampoline of the index is handed out, constant from then on. */
static sync_fn *sync_of[TABLE_FALLBACK_MAX];

static enum pl_status record_by(sync_fn *sync, struct pl_event *event, struct pl_stream *stream,
                                struct pl_error *err)
{
    enum pl_status status = sync(stream, err);
    atomic_store(&event->status, (int)status);
    return status;
}

/* clang-format off */
#define TRAMPOLINE_LIST(X)                                                                         \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)    \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
/* clang-format on */

#define PL_X(i)                                                                                    \
    static enum pl_status event_record_##i(struct pl_event *event, struct pl_stream *stream,       \
                                           struct pl_error *err)                                   \
    {                                                                                              \
        return record_by(sync_of[i], event, stream, err);                                          \
    }
TRAMPOLINE_LIST(PL_X)
#undef PL_X

static record_fn *const trampolines[] = {
#define PL_X(i) event_record_##i,
    TRAMPOLINE_LIST(PL_X)
#undef PL_X
};
_Static_assert(PL_ARRAY_LEN(trampolines) == TABLE_FALLBACK_MAX, "one trampoline per index");

/* The trampoline of a plugin, the same one each time it is loaded; NULL when all are taken. */
static record_fn *trampoline_for(sync_fn *sync)
{
    record_fn *found = NULL;
    pthread_mutex_lock(&sync_lock);
    for (size_t i = 0; i < TABLE_FALLBACK_MAX && found == NULL; i++) {
        if (sync_of[i] == NULL)
            sync_of[i] = sync;
        if (sync_of[i] == sync)
            found = trampolines[i];
    }
    pthread_mutex_unlock(&sync_lock);
    return found;
}

enum pl_status table_fill(struct pl_backend *table, const char *file, struct pl_error *err)
{
    if (table->device_stats == NULL)
        table->device_stats = stats_default;
    if (table->buffer_import == NULL)
        table->buffer_import = import_default;
    if (table->event_new == NULL) {
        table->event_record = trampoline_for(table->stream_sync);
        if (table->event_record == NULL)
            return pl_error_set(err, PL_ELIMIT, "%s: more than %d plugins without events", file,
                                TABLE_FALLBACK_MAX);
        table->event_new = event_new_default;
        table->event_free = event_free_default;
        table->event_wait = event_wait_default;
        table->event_query = event_query_default;
    }
    return PL_OK;
}
