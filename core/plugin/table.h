/*
 * plugin/table.h - turns a plugin's table of any size into a full table of the host's size.
 *
 * The one place that knows which slots are required, which are optional, and what stands in for those that
 * are absent. Written over a list of slots, so that a test can play a newer host with a longer list.
 *
 * Ownership: the caller's tables.  Threads: any; the default events take a lock once per load.
 * Errors: PL_EVERSION (major), PL_EFORMAT (head, size, missing slot); the message names `file`.
 * Limits: TABLE_FALLBACK_MAX.  Source: ours, docs/internals/plugin.md.
 */
#ifndef PLUGIN_TABLE_H
#define PLUGIN_TABLE_H

#include <polder/backend.h>

/* Plugins without events of their own that one process may load: one trampoline each. */
#define TABLE_FALLBACK_MAX 32

enum table_need {
    TABLE_REQUIRED,
    TABLE_OPTIONAL, /* NULL is replaced by a default */
    TABLE_EVENT,    /* optional, but all of these or none */
};

struct table_slot {
    const char *name;
    size_t offset; /* bytes into the table */
    enum table_need need;
};

/* The slots of struct pl_backend. */
extern const struct table_slot table_slots[];
extern const size_t table_n_slots;

/* Copies min(src->struct_size, dst_bytes) bytes of src into zeroed dst and demands what is required. The
 * optional slots stay NULL. file: base name, for messages. */
PL_NODISCARD enum pl_status table_copy(void *dst, size_t dst_bytes, const struct pl_backend *src,
                                       const struct table_slot *slots, size_t n_slots,
                                       const char *file, struct pl_error *err);

/* Fills the optional slots that are NULL. PL_ELIMIT: too many plugins without events. */
PL_NODISCARD enum pl_status table_fill(struct pl_backend *table, const char *file,
                                       struct pl_error *err);

#endif
