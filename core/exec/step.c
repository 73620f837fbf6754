/*
 * core/exec/step.c - the binding ring: where a step is written, submitted and waited for.
 *
 * Each set is one host-visible buffer with its bindings one behind the other; see internal.h for the states
 * of a set. Nothing here allocates after exec_new_sets.
 */
#include "internal.h"

#include "base/banned.h"

struct part {
    enum pl_binding binding;
    uint64_t bytes;
};

/* Lays the bindings of a set out, a block table of each KV group last; the sum of their sizes. */
static uint64_t lay_out(const struct exec *exec, struct pl_binding_set *ret)
{
    const struct exec_info *info = &exec->info;
    const uint64_t word = sizeof(int32_t);
    const struct part parts[] = {
        {PL_BINDING_IDS, info->rows_max * word},
        {PL_BINDING_POS, info->rows_max * word},
        {PL_BINDING_ROW_SEQ, info->rows_max * word},
        {PL_BINDING_SEQ_START, (info->seqs_max + 1) * word},
        {PL_BINDING_KV_LEN, info->seqs_max * word},
        {PL_BINDING_OUT_ROWS, info->outputs_max * word},
        {PL_BINDING_LOGITS, (uint64_t)info->outputs_max * info->n_vocab * sizeof(float)},
    };
    uint64_t offset = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
        ret->offset[parts[i].binding] = offset;
        offset += pl_align_up(parts[i].bytes, exec->alignment_bytes);
    }
    for (uint32_t g = 0; g < info->n_groups; g++) {
        ret->offset[PL_BINDING_BLOCK_TABLE + g] = offset;
        offset +=
            pl_align_up((uint64_t)info->seqs_max * info->max_blocks * word, exec->alignment_bytes);
    }
    return offset;
}

static void *at(char *base, const struct pl_binding_set *bindings, enum pl_binding which)
{
    return base + bindings->offset[which];
}

enum pl_status exec_new_sets(struct exec *exec, struct pl_error *err)
{
    for (uint32_t i = 0; i < EXEC_SETS; i++) {
        struct pl_binding_set *bindings = &exec->bindings[i];
        struct exec_set *set = &exec->sets[i];
        uint64_t bytes = lay_out(exec, bindings);
        enum pl_status status =
            exec->api->buffer_new(exec->device, PL_MEM_BINDING, bytes, &bindings->buffer, err);
        if (status == PL_OK)
            status = exec->api->event_new(exec->device, &set->event, err);
        if (status != PL_OK)
            return status;
        char *base = exec->api->buffer_map(bindings->buffer);
        set->logits = at(base, bindings, PL_BINDING_LOGITS);
        set->view = (struct exec_view){
            .ids = at(base, bindings, PL_BINDING_IDS),
            .pos = at(base, bindings, PL_BINDING_POS),
            .row_seq = at(base, bindings, PL_BINDING_ROW_SEQ),
            .seq_start = at(base, bindings, PL_BINDING_SEQ_START),
            .kv_len = at(base, bindings, PL_BINDING_KV_LEN),
            .out_rows = at(base, bindings, PL_BINDING_OUT_ROWS),
        };
        for (uint32_t g = 0; g < exec->info.n_groups; g++)
            set->view.block_tables[g] =
                at(base, bindings, (enum pl_binding)(PL_BINDING_BLOCK_TABLE + g));
    }
    return PL_OK;
}

enum pl_status exec_begin(struct exec *exec, struct exec_view *ret, struct pl_error *err)
{
    struct exec_set *set = &exec->sets[exec->next_begin];
    if (set->state == SET_RUNNING)
        return pl_error_set(err, PL_EBUSY, "exec: all %d binding sets are in use", EXEC_SETS);
    set->state = SET_FILLING;
    *ret = set->view;
    return PL_OK;
}

/* The maxima that a backend picks its grid from. */
static struct pl_step describe_step(const struct exec_view *view, uint32_t n_rows, uint32_t n_seqs,
                                    uint32_t n_outputs)
{
    struct pl_step step = {
        .struct_size = sizeof step, .n_rows = n_rows, .n_seqs = n_seqs, .n_outputs = n_outputs};
    for (uint32_t s = 0; s < n_seqs; s++) {
        uint32_t query = (uint32_t)(view->seq_start[s + 1] - view->seq_start[s]);
        step.query_tokens_max = PL_MAX(step.query_tokens_max, query);
        step.kv_tokens_max = PL_MAX(step.kv_tokens_max, (uint32_t)view->kv_len[s]);
    }
    return step;
}

enum pl_status exec_submit(struct exec *exec, uint32_t n_rows, uint32_t n_seqs, uint32_t n_outputs,
                           struct pl_error *err)
{
    struct exec_set *set = &exec->sets[exec->next_begin];
    const struct exec_info *info = &exec->info;
    if (set->state != SET_FILLING)
        return pl_error_set(err, PL_EINVAL, "exec: submit without begin");
    set->state = SET_FREE;
    if (n_rows < 1 || n_rows > info->rows_max || n_seqs < 1 || n_seqs > info->seqs_max ||
        n_outputs > info->outputs_max)
        return pl_error_set(
            err, PL_EINVAL, "exec: step of %u rows, %u sequences, %u outputs; at most %u, %u, %u",
            n_rows, n_seqs, n_outputs, info->rows_max, info->seqs_max, info->outputs_max);
    struct pl_step step = describe_step(&set->view, n_rows, n_seqs, n_outputs);
    step.binding_set = exec->next_begin;
    enum pl_status status = exec->api->program_submit(exec->stream, exec->program, &step, err);
    if (status == PL_OK)
        status = exec->api->event_record(set->event, exec->stream, err);
    if (status != PL_OK)
        return status;
    set->state = SET_RUNNING;
    set->n_outputs = n_outputs;
    exec->next_begin = (exec->next_begin + 1) % EXEC_SETS;
    return PL_OK;
}

bool exec_ready(struct exec *exec)
{
    const struct exec_set *set = &exec->sets[exec->next_wait];
    return set->state != SET_RUNNING || exec->api->event_query(set->event);
}

enum pl_status exec_wait(struct exec *exec, const float **ret_logits, struct pl_error *err)
{
    struct exec_set *set = &exec->sets[exec->next_wait];
    if (set->state != SET_RUNNING)
        return pl_error_set(err, PL_EINVAL, "exec: wait without submit");
    set->state = SET_FREE;
    exec->next_wait = (exec->next_wait + 1) % EXEC_SETS;
    enum pl_status status = exec->api->event_wait(set->event, err);
    if (status == PL_OK)
        *ret_logits = set->logits;
    return status;
}
