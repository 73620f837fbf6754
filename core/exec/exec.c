/*
 * core/exec/exec.c - opening and closing, in order. Start reading at exec_open; see internal.h for the map.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static void log_line(void *user, enum pl_log_level level, const char *line)
{
    const struct exec *exec = user;
    if (exec->options.on_log != NULL)
        exec->options.on_log(exec->options.user, level, line);
}

static bool never_aborted(void *user)
{
    (void)user;
    return false;
}

static enum pl_status open_device(struct exec *exec, struct pl_error *err)
{
    struct pl_device_info info = {.struct_size = sizeof info};
    struct pl_device_options options = exec->options.device;
    options.struct_size = sizeof options;
    exec->host = (struct pl_host){.struct_size = sizeof exec->host,
                                  .abi_major = PL_ABI_MAJOR,
                                  .abi_minor = PL_ABI_MINOR,
                                  .user = exec,
                                  .log = log_line,
                                  .aborted = never_aborted};
    enum pl_status status = exec->api->device_info(options.device_i, &info, err);
    if (status != PL_OK)
        return status;
    info.name[sizeof info.name - 1] = '\0';
    (void)snprintf(exec->info.device, sizeof exec->info.device, "%s", info.name);
    exec->alignment_bytes = info.alignment_bytes;
    exec->memory_free_bytes = info.memory_free_bytes;
    exec->buffer_bytes_max = info.buffer_bytes_max;
    if (info.alignment_bytes == 0 || info.alignment_bytes > 4096 ||
        (info.alignment_bytes & (info.alignment_bytes - 1)) != 0)
        return pl_error_set(err, PL_EINTERNAL, "exec: backend '%s' states an alignment of %u",
                            exec->api->name, info.alignment_bytes);
    status = exec->api->device_open(&options, &exec->host, &exec->device, err);
    if (status == PL_OK)
        status = exec->api->stream_open(exec->device, &exec->stream, err);
    return status;
}

enum pl_status exec_new_buffer(struct exec *exec, uint64_t bytes, const char *what,
                               struct pl_buffer **ret, struct pl_error *err)
{
    struct pl_error why = {{0}};
    enum pl_status status = exec->api->buffer_new(exec->device, PL_MEM_DEVICE, bytes, ret, &why);
    if (status != PL_OK)
        return pl_error_set(err, status, "exec: %llu MiB of %s: %s",
                            (unsigned long long)(bytes >> 20), what, why.msg);
    return PL_OK;
}

static enum pl_status new_acts(struct exec *exec, struct pl_error *err)
{
    struct graph *graph = &exec->graph;
    uint64_t bytes = 0;
    enum pl_status status = exec_plan_acts(graph, exec->alignment_bytes, &bytes, err);
    if (status == PL_OK)
        status = exec_new_buffer(exec, PL_MAX(bytes, 1u), "activations", &exec->acts, err);
    if (status == PL_OK && exec->workspace_bytes > 0)
        status = exec_new_buffer(exec, exec->workspace_bytes, "workspace", &exec->workspace, err);
    if (status != PL_OK)
        return status;
    for (uint32_t i = 0; i < graph->n_values; i++)
        if (graph->values[i].kind == PL_VALUE_ACT)
            graph->values[i].buffer = exec->acts;
    return PL_OK;
}

struct pl_program_desc exec_program_desc(const struct exec *exec)
{
    const struct graph *graph = &exec->graph;
    return (struct pl_program_desc){
        .struct_size = sizeof(struct pl_program_desc),
        .values = graph->values,
        .ops = graph->ops,
        .groups = graph->groups,
        .sets = exec->bindings,
        .n_values = graph->n_values,
        .value_stride = sizeof(struct pl_value),
        .n_ops = graph->n_ops,
        .op_stride = sizeof(struct pl_op),
        .n_groups = graph->n_groups,
        .group_stride = sizeof(struct pl_kv_group),
        .n_sets = exec->bindings[0].buffer != NULL ? EXEC_SETS : 0,
        .set_stride = sizeof(struct pl_binding_set),
        .rows_max = exec->info.rows_max,
        .seqs_max = exec->info.seqs_max,
        .outputs_max = exec->info.outputs_max,
        .kv_tokens_max = exec->info.ctx_tokens,
        .workspace = exec->workspace,
    };
}

/* Everything that costs no device memory: is the model whole, and does the device take it? */
static enum pl_status plan(struct exec *exec, struct pl_error *err)
{
    const struct exec_options *options = &exec->options;
    const struct model_limits limits = {.rows_max = options->rows_max,
                                        .seqs_max = options->seqs_max,
                                        .outputs_max = options->outputs_max,
                                        .dtype_kv = options->dtype_kv,
                                        .block_tokens = EXEC_BLOCK_TOKENS,
                                        .ctx_tokens = options->ctx_tokens};
    struct model_info model;
    enum pl_status status = model_read_info(options->file, &model, err);
    if (status == PL_OK)
        status = model_emit(options->file, &limits, &exec->graph, err);
    if (status != PL_OK)
        return status;
    exec->info.architecture = model.architecture;
    exec->info.n_params = model.n_params;
    exec->info.n_vocab = model.n_vocab;
    exec->info.ctx_train_tokens = model.ctx_train_tokens;
    status = open_device(exec, err);
    if (status == PL_OK)
        status = exec_query_weights(exec, err);
    if (status == PL_OK)
        status = exec_size_kv(exec, err);
    if (status == PL_OK)
        status = exec_fit_ops(exec, err);
    return status;
}

static enum pl_status load(struct exec *exec, struct pl_error *err)
{
    enum pl_status status = exec_place_weights(exec, err);
    if (status == PL_OK)
        status = exec_new_kv(exec, err);
    if (status == PL_OK)
        status = new_acts(exec, err);
    if (status == PL_OK)
        status = exec_new_sets(exec, err);
    if (status == PL_OK) {
        struct pl_program_desc desc = exec_program_desc(exec);
        status = exec->api->program_new(exec->device, &desc, &exec->program, err);
    }
    return status;
}

enum pl_status exec_open(const struct exec_options *options, struct exec **ret,
                         struct pl_error *err)
{
    if (options->rows_max < 1 || options->seqs_max < 1 || options->outputs_max < 1 ||
        options->outputs_max > options->rows_max)
        return pl_error_set(err, PL_EINVAL, "exec: limits of %u rows, %u sequences, %u outputs",
                            options->rows_max, options->seqs_max, options->outputs_max);
    if (options->backend->table == NULL)
        return pl_error_set(err, PL_EINVAL, "exec: backend '%s' was rejected: %s",
                            options->backend->name, options->backend->rejection);
    struct exec *exec = calloc(1, sizeof *exec);
    if (exec == NULL)
        return pl_error_set(err, PL_ENOMEM, "exec: out of memory");
    exec->api = options->backend->table;
    exec->options = *options;
    exec->info.backend = exec->api->name;
    exec->info.block_tokens = EXEC_BLOCK_TOKENS;
    exec->info.rows_max = options->rows_max;
    exec->info.seqs_max = options->seqs_max;
    exec->info.outputs_max = options->outputs_max;
    enum pl_status status = plan(exec, err);
    if (status == PL_OK)
        status = load(exec, err);
    if (status != PL_OK) {
        exec_close(exec);
        return status;
    }
    *ret = exec;
    return PL_OK;
}

void exec_close(struct exec *exec)
{
    if (exec == NULL)
        return;
    const struct pl_backend *api = exec->api;
    if (exec->stream != NULL)
        (void)api->stream_sync(exec->stream, NULL);
    api->program_free(exec->program);
    for (uint32_t i = 0; i < EXEC_SETS; i++) {
        api->event_free(exec->sets[i].event);
        api->buffer_free(exec->bindings[i].buffer);
    }
    for (uint32_t g = 0; g < PL_KV_GROUPS_MAX; g++)
        api->buffer_free(exec->kv[g]);
    for (uint32_t i = 0; i < exec->n_weight_buffers; i++)
        api->buffer_free(exec->weights[i]);
    api->buffer_free(exec->workspace);
    api->buffer_free(exec->acts);
    api->stream_close(exec->stream);
    api->device_close(exec->device);
    graph_deinit(&exec->graph);
    free(exec->weights);
    free(exec->kv_staging);
    free(exec);
}

const struct exec_info *exec_info(const struct exec *exec)
{
    return &exec->info;
}

void exec_device_stats(const struct exec *exec, struct pl_device_stats *ret)
{
    *ret = (struct pl_device_stats){.struct_size = sizeof *ret};
    exec->api->device_stats(exec->device, ret);
}
