/*
 * core/exec/kv.c - the KV groups: how many blocks each gets, their memory, and blocks as bytes.
 *
 * A group of full attention holds all tokens of all sequences; a window group holds what its layers can
 * still see: the window and the rows of a step, of each sequence. Both count in blocks of the same tokens.
 *
 *   memory = n_full * (bytes of full blocks) + sum over windows of min(n_window, n_full) * its bytes
 */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define KV_MEMORY_SHARE 4 /* without a stated size, KV takes at most 1/4 of the free memory */

static enum pl_status query_kv(struct exec *exec, struct pl_error *err)
{
    for (uint32_t g = 0; g < exec->graph.n_groups; g++) {
        struct pl_kv_group *group = &exec->graph.groups[g];
        struct pl_kv_layout layout = {.struct_size = sizeof layout};
        struct pl_error why = {{0}};
        enum pl_status status = exec->api->kv_query(exec->device, group, &layout, &why);
        if (status != PL_OK)
            return pl_error_set(err, status, "exec: backend '%s', KV cache of %s: %s",
                                exec->api->name, pl_dtype_info(group->dtype_k).name, why.msg);
        group->layout = layout.layout;
        exec->info.groups[g].block_bytes = layout.block_bytes;
        exec->info.groups[g].window_tokens = group->window_tokens;
    }
    return PL_OK;
}

static uint64_t blocks_of(uint64_t tokens)
{
    return (tokens + EXEC_BLOCK_TOKENS - 1) / EXEC_BLOCK_TOKENS;
}

/* Blocks of group g where full attention has n_full. One more than whole blocks: a window starts anywhere
 * in its first block. */
static uint64_t group_blocks(const struct exec *exec, uint32_t g, uint64_t n_full)
{
    const struct pl_kv_group *group = &exec->graph.groups[g];
    if (group->kind != PL_KV_WINDOW)
        return n_full;
    uint64_t of_one = blocks_of((uint64_t)group->window_tokens + exec->info.rows_max) + 1;
    return PL_MIN(n_full, exec->info.seqs_max * of_one);
}

static uint64_t memory_of(const struct exec *exec, uint64_t n_full)
{
    uint64_t bytes = 0;
    for (uint32_t g = 0; g < exec->graph.n_groups; g++)
        bytes += group_blocks(exec, g, n_full) * exec->info.groups[g].block_bytes;
    return bytes;
}

/* The largest n_full up to n_max whose memory fits. */
static uint64_t blocks_in(const struct exec *exec, uint64_t bytes, uint64_t n_max)
{
    uint64_t low = 0;
    uint64_t high = n_max;
    while (low < high) {
        uint64_t middle = high - (high - low) / 2;
        if (memory_of(exec, middle) <= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Equal text, equal meaning: a name for people and a hash (FNV-1a) over all that decides what a block's
 * bytes are. */
static void name_layout(struct exec *exec)
{
    const struct graph *graph = &exec->graph;
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = exec->api->name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    for (uint32_t g = 0; g < graph->n_groups; g++) {
        const struct pl_kv_group *group = &graph->groups[g];
        const uint64_t words[] = {group->kind,
                                  group->dtype_k,
                                  group->dtype_v,
                                  group->n_layers,
                                  group->n_kv_heads,
                                  group->head_dim_k,
                                  group->head_dim_v,
                                  group->block_tokens,
                                  group->window_tokens,
                                  group->layout,
                                  exec->info.groups[g].block_bytes};
        for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
            for (unsigned shift = 0; shift < 64; shift += 8)
                hash = (hash ^ (words[i] >> shift & 0xff)) * 0x100000001b3u;
    }
    (void)snprintf(exec->info.kv_layout, sizeof exec->info.kv_layout, "%.24s/%s/%016" PRIx64,
                   exec->api->name, pl_dtype_info(exec->options.dtype_kv).name, hash);
}

static void set_blocks(struct exec *exec, uint64_t ctx, uint64_t n_full)
{
    struct exec_info *info = &exec->info;
    info->ctx_tokens = (uint32_t)ctx;
    info->max_blocks = (uint32_t)blocks_of(ctx);
    info->kv_bytes = memory_of(exec, n_full);
    info->n_groups = exec->graph.n_groups;
    for (uint32_t g = 0; g < info->n_groups; g++) {
        uint32_t n_blocks = (uint32_t)group_blocks(exec, g, n_full);
        info->groups[g].n_blocks = n_blocks;
        info->n_blocks = PL_MAX(info->n_blocks, n_blocks);
        exec->graph.groups[g].n_blocks = n_blocks;
        exec->graph.groups[g].max_blocks = info->max_blocks;
    }
    name_layout(exec);
}

enum pl_status exec_size_kv(struct exec *exec, struct pl_error *err)
{
    const struct exec_info *info = &exec->info;
    const struct exec_options *options = &exec->options;
    enum pl_status status = query_kv(exec, err);
    if (status != PL_OK)
        return status;
    bool ctx_given = options->ctx_tokens != 0;
    uint64_t ctx = ctx_given ? options->ctx_tokens : info->ctx_train_tokens;
    uint64_t tokens = options->kv_tokens;
    if (tokens == 0) {
        uint64_t wanted = ctx * info->seqs_max;
        uint64_t room = exec->memory_free_bytes / KV_MEMORY_SHARE;
        tokens = PL_MIN(wanted, blocks_in(exec, room, blocks_of(wanted)) * EXEC_BLOCK_TOKENS);
        if (ctx_given)
            tokens = PL_MAX(tokens, ctx);
    }
    if (!ctx_given)
        ctx = PL_MIN(ctx, tokens);
    uint64_t n_full = blocks_of(tokens);
    if (tokens < ctx || ctx == 0 || n_full > INT32_MAX)
        return pl_error_set(err, PL_ELIMIT,
                            "exec: %llu tokens of KV cache do not hold a context of %llu",
                            (unsigned long long)tokens, (unsigned long long)ctx);
    set_blocks(exec, ctx, n_full);
    return PL_OK;
}

enum pl_status exec_new_kv(struct exec *exec, struct pl_error *err)
{
    uint64_t largest = 0;
    for (uint32_t g = 0; g < exec->graph.n_groups; g++) {
        struct pl_kv_group *group = &exec->graph.groups[g];
        uint64_t block_bytes = exec->info.groups[g].block_bytes;
        enum pl_status status =
            exec_new_buffer(exec, block_bytes * group->n_blocks, "KV cache", &exec->kv[g], err);
        if (status != PL_OK)
            return status;
        group->buffer = exec->kv[g];
        if (exec->api->buffer_map(group->buffer) == NULL)
            largest = PL_MAX(largest, block_bytes);
    }
    if (largest == 0)
        return PL_OK;
    exec->kv_staging = malloc(largest);
    if (exec->kv_staging == NULL)
        return pl_error_set(err, PL_ENOMEM, "exec: out of memory for a KV block of %llu bytes",
                            (unsigned long long)largest);
    return PL_OK;
}

/* ---- blocks as bytes --------------------------------------------------------------------------- */

/* Waits for what was submitted, and finds the block. */
static enum pl_status reach_block(struct exec *exec, uint32_t group, int32_t block,
                                  uint64_t *ret_offset, struct pl_error *err)
{
    const struct exec_info *info = &exec->info;
    if (group >= info->n_groups || block < 0 || (uint32_t)block >= info->groups[group].n_blocks)
        return pl_error_set(err, PL_EINVAL, "exec: no KV block %d in group %u", block, group);
    *ret_offset = (uint64_t)(uint32_t)block * info->groups[group].block_bytes;
    return exec->api->stream_sync(exec->stream, err);
}

enum pl_status exec_kv_copy(struct exec *exec, uint32_t group, int32_t from, int32_t to,
                            struct pl_error *err)
{
    uint64_t src = 0;
    uint64_t dst = 0;
    enum pl_status status = reach_block(exec, group, from, &src, err);
    if (status == PL_OK)
        status = reach_block(exec, group, to, &dst, err);
    if (status != PL_OK || from == to)
        return status;
    uint64_t bytes = exec->info.groups[group].block_bytes;
    const char *mapped = exec->api->buffer_map(exec->kv[group]);
    if (mapped != NULL)
        return exec->api->buffer_write(exec->kv[group], dst, mapped + src, bytes, err);
    status = exec->api->buffer_read(exec->kv[group], src, exec->kv_staging, bytes, err);
    if (status == PL_OK)
        status = exec->api->buffer_write(exec->kv[group], dst, exec->kv_staging, bytes, err);
    return status;
}

enum pl_status exec_kv_read(struct exec *exec, uint32_t group, int32_t block, void *dst,
                            struct pl_error *err)
{
    uint64_t offset = 0;
    enum pl_status status = reach_block(exec, group, block, &offset, err);
    if (status == PL_OK)
        status = exec->api->buffer_read(exec->kv[group], offset, dst,
                                        exec->info.groups[group].block_bytes, err);
    return status;
}

enum pl_status exec_kv_write(struct exec *exec, uint32_t group, int32_t block, const void *src,
                             struct pl_error *err)
{
    uint64_t offset = 0;
    enum pl_status status = reach_block(exec, group, block, &offset, err);
    if (status == PL_OK)
        status = exec->api->buffer_write(exec->kv[group], offset, src,
                                         exec->info.groups[group].block_bytes, err);
    return status;
}
