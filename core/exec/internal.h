/*
 * core/exec/internal.h - struct exec and what its files do to it (private).
 *
 *   exec.c       open and close, in order
 *   kv.c         KV groups: sizes, memory, blocks as bytes
 *   decompose.c  ops that the device does not take -> simpler ones
 *   plan.c       activations -> offsets in one buffer, by liveness
 *   place.c      weights -> layouts, buffers, packed bytes
 *   step.c       the binding ring: begin, submit, wait
 */
#ifndef EXEC_INTERNAL_H
#define EXEC_INTERNAL_H

#include "exec.h"

#include "model/model.h"

/*
 * A set of the ring:   FREE --exec_begin--> FILLING --exec_submit--> RUNNING --exec_wait--> FREE
 * exec_begin on a FILLING set starts it over. A failed submit or wait frees the set.
 */
enum set_state { SET_FREE, SET_FILLING, SET_RUNNING };

struct exec_set {
    enum set_state state;
    struct exec_view view;  /* host addresses in the set's buffer */
    float *logits;          /* likewise */
    struct pl_event *event; /* recorded behind the submit */
    uint32_t n_outputs;
};

struct exec {
    const struct pl_backend *api; /* all slots filled */
    struct pl_device *device;
    struct pl_host host;
    struct exec_info info;
    struct exec_options options; /* pointers in it are used during open only, but for on_log */
    struct graph graph;
    struct pl_stream *stream;
    struct pl_program *program;

    /* Device memory, freed in close. */
    struct pl_buffer *acts, *workspace;
    struct pl_buffer *kv[PL_KV_GROUPS_MAX];
    void *kv_staging;           /* a block's bytes on the host, where kv is not mapped; else NULL */
    struct pl_buffer **weights; /* n_weight_buffers */
    uint32_t n_weight_buffers;

    struct pl_binding_set bindings[EXEC_SETS];
    struct exec_set sets[EXEC_SETS];
    uint32_t next_begin, next_wait; /* ring positions, mod EXEC_SETS */

    uint32_t alignment_bytes; /* of the device */
    uint64_t memory_free_bytes, buffer_bytes_max;
    uint64_t workspace_bytes;
};

/* decompose.c: rewrites exec->graph until the device takes every op; fills workspace_bytes. */
PL_NODISCARD enum pl_status exec_fit_ops(struct exec *exec, struct pl_error *err);

/* The description of exec->graph for queries and compilation. */
struct pl_program_desc exec_program_desc(const struct exec *exec);

/* exec.c: a device buffer; an error says how much of what did not fit. */
PL_NODISCARD enum pl_status exec_new_buffer(struct exec *exec, uint64_t bytes, const char *what,
                                            struct pl_buffer **ret, struct pl_error *err);

/* kv.c: decides context and blocks of each group, fills info; later allocates. */
PL_NODISCARD enum pl_status exec_size_kv(struct exec *exec, struct pl_error *err);
PL_NODISCARD enum pl_status exec_new_kv(struct exec *exec, struct pl_error *err);

/* plan.c: gives every activation an offset; *ret_bytes: what they need together. */
PL_NODISCARD enum pl_status exec_plan_acts(struct graph *graph, uint32_t alignment_bytes,
                                           uint64_t *ret_bytes, struct pl_error *err);

/* place.c: asks for layouts; later allocates buffers, packs, reports progress. */
PL_NODISCARD enum pl_status exec_query_weights(struct exec *exec, struct pl_error *err);
PL_NODISCARD enum pl_status exec_place_weights(struct exec *exec, struct pl_error *err);

/* step.c: buffers of the binding ring. */
PL_NODISCARD enum pl_status exec_new_sets(struct exec *exec, struct pl_error *err);

#endif
