/*
 * polder/backend.h - the one kernel interface: what an accelerator plugin gives and what it gets.
 *
 * A backend is a shared object that exports one function, pl_backend_entry(), which returns a const
 * table that lives as long as the object. Everything else follows from that table.
 *
 *   entry -> probe -> device_open -> op_query / weight_query / kv_query  (plan, once per model)
 *         -> buffer_new, weight_pack                                     (load)
 *         -> program_new                                                 (compile, once)
 *         -> write binding set, program_submit, event or stream_sync     (every step)
 *         -> program_free, buffer_free, stream_close, device_close
 *
 * Invariants: probe has no side effect and needs no driver; a submit allocates and compiles nothing;
 * query functions are pure; a plugin calls back only through struct pl_host; it never exits, aborts,
 * longjmps or lets an exception out for an operating error.
 *
 * Versions: the head (first five fields) is frozen. The table only grows: a loader copies
 * min(struct_size) bytes into a zeroed table of its own, demands the required slots by name and fills
 * the optional ones with defaults, so the rest of the host never checks for NULL. Structs passed to a
 * plugin carry struct_size or, in arrays, a stride; a plugin reads min(its own size, the given one).
 *
 * Ownership: what x_new/x_open returned is freed by x_free/x_close of the same table, children before
 * parents; both accept NULL.  Threads: entry, probe and queries from any thread; a device's buffers,
 * programs and streams from one thread at a time unless a slot says more.
 * Errors: enum pl_status and a line; a failed call changes nothing; PL_ELOST means that the device is
 * gone and only frees and closes are left.  Limits: named below.  Source: ours, see
 * docs/internals/kernel-interface.md.
 */
#ifndef POLDER_BACKEND_H
#define POLDER_BACKEND_H

#include <polder/op.h>
#include <polder/status.h>
#include <polder/step.h>
#include <polder/version.h>

struct pl_device;  /* an opened accelerator */
struct pl_stream;  /* an in-order queue of one device */
struct pl_event;   /* a point in a stream */
struct pl_program; /* a compiled op list */

/* ---- what the host gives --------------------------------------------------------------------- */

enum pl_log_level {
    PL_LOG_ERROR = 0,
    PL_LOG_WARN = 1,
    PL_LOG_INFO = 2,
    PL_LOG_DEBUG = 3,
};

/* Passed to device_open; lives until device_close. Callbacks may be called from any thread. */
struct pl_host {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor; /* the host's */
    void *user;                    /* handed back to callbacks */
    void (*log)(void *user, enum pl_log_level level, const char *line); /* one line, no end */
    bool (*aborted)(void *user); /* true: give up the running submit with PL_ECANCELED */
};

/* ---- what a backend says of itself ----------------------------------------------------------- */

#define PL_NAME_MAX   64
#define PL_REASON_MAX 256

enum pl_device_type {
    PL_DEVICE_CPU = 1,
    PL_DEVICE_GPU = 2,
    PL_DEVICE_IGPU = 3,       /* shares the host's memory */
    PL_DEVICE_CPU_AS_GPU = 4, /* a GPU API on the processor (lavapipe): only when named */
    PL_DEVICE_SIM = 5,        /* modelled time: only when named */
};

struct pl_probe {
    uint32_t struct_size;
    uint32_t n_devices;         /* usable ones; 0: can't run here, and reason says why */
    int32_t score;              /* order among backends, higher first; see plugin loader */
    uint32_t reserved;          /* 0 */
    char reason[PL_REASON_MAX]; /* one line: why not, or what was found */
};

struct pl_device_info {
    uint32_t struct_size;
    uint32_t type;                /* enum pl_device_type */
    char name[PL_NAME_MAX];       /* "AMD EPYC 9B45", "NVIDIA H200" */
    char features[PL_REASON_MAX]; /* "avx512f avx512_vnni avx512_bf16" */
    uint64_t memory_bytes;        /* total of the device */
    uint64_t memory_free_bytes;   /* at the time of asking */
    uint64_t buffer_bytes_max;    /* largest single buffer */
    uint32_t alignment_bytes;     /* of offsets in buffers: power of two, <= 4096 */
    uint32_t n_units;             /* cores, SMs, CUs */
};

struct pl_device_options {
    uint32_t struct_size;
    uint32_t device_i;  /* < probe.n_devices */
    uint32_t n_threads; /* CPU: workers including the caller; 0 = physical cores allowed */
    uint32_t flags;     /* PL_DEVICE_* */
    const char *const
        *settings; /* "key=value", ended by NULL; may be NULL; an unknown key is PL_EINVAL */
};
#define PL_DEVICE_REFERENCE                                                                        \
    1u /* slow and obvious kernels with double accumulation, if it has them */
#define PL_DEVICE_DETERMINISTIC 2u /* row results independent of the batch; the CPU always is */

struct pl_device_stats {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t n_allocs;   /* memory allocations since open, host and device */
    uint64_t n_compiles; /* programs or variants compiled or captured since open */
    uint64_t n_submits;
    uint64_t bytes_used; /* device memory held now */
};

/* ---- planning -------------------------------------------------------------------------------- */

enum pl_mem_kind {
    PL_MEM_DEVICE = 1,  /* weights, activations, KV */
    PL_MEM_BINDING = 2, /* host-visible: buffer_map never returns NULL */
};

enum pl_weight_use {
    PL_USE_LINEAR = 1, /* a LINEAR's weight */
    PL_USE_TABLE = 2,  /* an EMBED's table */
    PL_USE_VECTOR = 3, /* norm weight, bias, factors, sinks: becomes F32 */
    PL_USE_TIED = 4,   /* both LINEAR weight and EMBED table */
};

/* A tensor of the file, or a slice of it for tensor parallelism. */
struct pl_weight_desc {
    uint32_t struct_size;
    uint32_t dtype;             /* enum pl_dtype, of the file */
    uint32_t use;               /* enum pl_weight_use */
    uint32_t flags;             /* 0 */
    int64_t rows, cols;         /* whole tensor; rows outermost */
    int64_t row_begin, row_end; /* slice; 0 and rows for all */
    int64_t col_begin, col_end; /* likewise, whole blocks */
};

struct pl_weight_layout {
    uint32_t struct_size;
    uint32_t layout; /* id for pl_value.layout */
    uint64_t bytes;  /* packed size */
    uint32_t
        in_place; /* 1: the file's bytes may be used as they are (layout PL_LAYOUT_FILE), at any
                        * address that GGUF gives them: a multiple of its alignment, 32 by default */
    uint32_t reserved;
};

struct pl_kv_layout {
    uint32_t struct_size;
    uint32_t layout;      /* id for pl_kv_group.layout */
    uint64_t block_bytes; /* one block, all layers of the group */
};

struct pl_op_support {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t workspace_bytes; /* scratch that the op needs while it runs, at the program's maxima */
};

/* A model as flat lists. Values and ops are copied by program_new. */
struct pl_program_desc {
    uint32_t struct_size;
    uint32_t flags;                /* 0 */
    const struct pl_value *values; /* n_values, value_stride bytes apart */
    const struct pl_op *ops;       /* in order of execution */
    const struct pl_kv_group *groups;
    const struct pl_binding_set *sets; /* >= 2; may be 0 while only queried */
    uint32_t n_values, value_stride;
    uint32_t n_ops, op_stride;
    uint32_t n_groups, group_stride;
    uint32_t n_sets, set_stride;
    uint32_t rows_max, seqs_max, outputs_max; /* T, S, O never exceed these */
    uint32_t kv_tokens_max;                   /* longest sequence */
    struct pl_buffer *workspace;              /* of the largest workspace_bytes asked, or NULL */
    uint64_t workspace_offset;
};

/* ---- the table ------------------------------------------------------------------------------- */

struct pl_backend {
    /* Head, frozen. */
    uint32_t struct_size;          /* of the table as the plugin was built */
    uint16_t abi_major, abi_minor; /* PL_ABI_* at its build */
    const char *name;              /* "cpu", "cuda": lower case, [a-z0-9-]; --backend takes it */
    const char *version;           /* of the plugin */
    void *reserved;                /* NULL */

    /* Required. What is here? No driver needed, nothing initialised, callable before fork. */
    enum pl_status (*probe)(struct pl_probe *ret, struct pl_error *err);
    /* Required. Device i of those probed, without opening it. */
    enum pl_status (*device_info)(uint32_t device_i, struct pl_device_info *ret,
                                  struct pl_error *err);
    /* Required. host lives until device_close. PL_EINVAL for an unknown setting, naming it. */
    enum pl_status (*device_open)(const struct pl_device_options *options,
                                  const struct pl_host *host, struct pl_device **ret,
                                  struct pl_error *err);
    /* Required. All of the device's objects have been freed before. NULL is fine. */
    void (*device_close)(struct pl_device *device);
    /* Optional; default = zeros. */
    void (*device_stats)(struct pl_device *device, struct pl_device_stats *ret);

    /* Required, pure. Can program->ops[op_i] run? PL_ENOTSUP with the reason if not. Values need no
     * buffers yet; WEIGHT values carry the layout that weight_query gave. */
    enum pl_status (*op_query)(struct pl_device *device, const struct pl_program_desc *program,
                               uint32_t op_i, struct pl_op_support *ret, struct pl_error *err);
    /* Required, pure. The layout that this device prefers for a weight. PL_ENOTSUP: not its type. */
    enum pl_status (*weight_query)(struct pl_device *device, const struct pl_weight_desc *desc,
                                   struct pl_weight_layout *ret, struct pl_error *err);
    /* Required. src: the whole tensor in file order, src_bytes long, unaligned; dst: `bytes` of the
     * layout at a multiple of alignment_bytes. Synchronous; may use the device's threads. */
    enum pl_status (*weight_pack)(struct pl_device *device, const struct pl_weight_desc *desc,
                                  const void *src, size_t src_bytes, struct pl_buffer *dst,
                                  uint64_t dst_offset, struct pl_error *err);
    /* Required, pure. PL_ENOTSUP: not these types or sizes. */
    enum pl_status (*kv_query)(struct pl_device *device, const struct pl_kv_group *group,
                               struct pl_kv_layout *ret, struct pl_error *err);

    /* Required. Zero-filled memory; PL_ENOMEM names the size. */
    enum pl_status (*buffer_new)(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                                 struct pl_buffer **ret, struct pl_error *err);
    void (*buffer_free)(struct pl_buffer *buffer); /* required */
    /* Optional; default = PL_ENOTSUP. Host memory (an mmap'd file) as a read-only buffer; the memory
     * outlives the buffer. */
    enum pl_status (*buffer_import)(struct pl_device *device, const void *host, uint64_t bytes,
                                    struct pl_buffer **ret, struct pl_error *err);
    /* Required. Host address of the buffer's first byte, or NULL if it has none (PL_MEM_DEVICE on a
     * discrete GPU). Valid until buffer_free. */
    void *(*buffer_map)(struct pl_buffer *buffer);
    /* Required. Synchronous copies; the range lies inside the buffer or PL_EINVAL. */
    enum pl_status (*buffer_write)(struct pl_buffer *buffer, uint64_t offset, const void *src,
                                   uint64_t bytes, struct pl_error *err);
    enum pl_status (*buffer_read)(struct pl_buffer *buffer, uint64_t offset, void *dst,
                                  uint64_t bytes, struct pl_error *err);

    /* Required. In-order queues. sync returns the first error since the last sync. */
    enum pl_status (*stream_open)(struct pl_device *device, struct pl_stream **ret,
                                  struct pl_error *err);
    void (*stream_close)(struct pl_stream *stream);
    enum pl_status (*stream_sync)(struct pl_stream *stream, struct pl_error *err);

    /* Optional; default = an event that is reached at once when record has synchronised the stream.
     * wait blocks the host; query returns true once reached. Any thread may wait and query. */
    enum pl_status (*event_new)(struct pl_device *device, struct pl_event **ret,
                                struct pl_error *err);
    void (*event_free)(struct pl_event *event);
    enum pl_status (*event_record)(struct pl_event *event, struct pl_stream *stream,
                                   struct pl_error *err);
    enum pl_status (*event_wait)(struct pl_event *event, struct pl_error *err);
    bool (*event_query)(struct pl_event *event);

    /* Required. Compiles; every op has been answered "supported" by op_query before. */
    enum pl_status (*program_new)(struct pl_device *device, const struct pl_program_desc *desc,
                                  struct pl_program **ret, struct pl_error *err);
    void (*program_free)(struct pl_program *program);
    /* Required. Runs the program over the step's binding set, in stream order; may return before it
     * is done. No allocation, no compilation. PL_EINVAL for counts above the program's maxima. */
    enum pl_status (*program_submit)(struct pl_stream *stream, struct pl_program *program,
                                     const struct pl_step *step, struct pl_error *err);
};

/* The only exported symbol of a plugin. */
PL_EXPORT const struct pl_backend *pl_backend_entry(void);
typedef const struct pl_backend *pl_backend_entry_fn(void);
#define PL_BACKEND_ENTRY "pl_backend_entry"

_Static_assert(offsetof(struct pl_backend, abi_major) == 4, "the head is frozen");
_Static_assert(offsetof(struct pl_backend, name) == 8, "the head is frozen");
_Static_assert(offsetof(struct pl_backend, version) == 16, "the head is frozen");
_Static_assert(offsetof(struct pl_backend, probe) == 32, "the head is frozen");

#endif
