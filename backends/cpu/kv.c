/*
 * cpu/kv.c - the geometry of KV blocks; see kv.h.
 */
#include "kv.h"

#define KV_TOKENS_MAX 65536u /* of one block */
#define KV_COUNT_MAX  65536u /* layers, heads */

static bool power_of_two(uint32_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* The K or V part of a tile, `cols` elements of each position. */
static size_t part_bytes(uint32_t dtype, size_t cols)
{
    if (dtype == PL_DTYPE_Q8_0)
        return pl_align_up((cols + cols / KV_Q8_BLOCK * sizeof(uint16_t)) * KV_TILE, CPU_ALIGN);
    return cols * KV_TILE * (dtype == PL_DTYPE_F16 ? 2 : 4);
}

static bool known_type(uint32_t dtype)
{
    return dtype == PL_DTYPE_F32 || dtype == PL_DTYPE_F16 || dtype == PL_DTYPE_Q8_0;
}

static bool whole_blocks(uint32_t dtype, uint32_t head_dim)
{
    return dtype != PL_DTYPE_Q8_0 || head_dim % KV_Q8_BLOCK == 0;
}

static const char *refuse(const struct pl_kv_group *g)
{
    if (g->kind != PL_KV_FULL && g->kind != PL_KV_WINDOW)
        return "kind of KV group";
    if (!known_type(g->dtype_k) || !known_type(g->dtype_v))
        return "KV type: F32, F16 and Q8_0 are";
    if (!power_of_two(g->block_tokens) || g->block_tokens > KV_TOKENS_MAX)
        return "KV block size: powers of two up to 65536 are";
    if (g->n_layers < 1 || g->n_layers > KV_COUNT_MAX || g->n_kv_heads < 1 ||
        g->n_kv_heads > KV_COUNT_MAX)
        return "number of KV layers or heads";
    if (g->head_dim_k < 1 || g->head_dim_k > CPU_HEAD_DIM_MAX || g->head_dim_v < 1 ||
        g->head_dim_v > CPU_HEAD_DIM_MAX)
        return "KV head size";
    if (!whole_blocks(g->dtype_k, g->head_dim_k) || !whole_blocks(g->dtype_v, g->head_dim_v))
        return "Q8_0 KV with a head size that is no multiple of 32 is";
    if (g->reserved[0] != 0 || g->reserved[1] != 0 || g->reserved[2] != 0 || g->reserved[3] != 0)
        return "reserved field of a KV group";
    return NULL;
}

bool kv_geometry_init(struct kv_geometry *ret, const struct pl_kv_group *g, const char **ret_reason)
{
    const char *reason = refuse(g);
    if (reason != NULL) {
        *ret_reason = reason;
        return false;
    }
    struct kv_geometry kv = {
        .dtype_k = g->dtype_k,
        .dtype_v = g->dtype_v,
        .n_layers = g->n_layers,
        .n_kv_heads = g->n_kv_heads,
        .head_dim_k = g->head_dim_k,
        .head_dim_v = g->head_dim_v,
        .block_tokens = g->block_tokens,
        .block_shift = (uint32_t)__builtin_ctz(g->block_tokens),
        .tile_tokens = PL_MIN(g->block_tokens, (uint32_t)KV_TILE),
        .n_tiles = PL_MAX(g->block_tokens / KV_TILE, 1u),
        .max_blocks = g->max_blocks,
    };
    kv.tile_k_bytes = part_bytes(g->dtype_k, g->head_dim_k);
    kv.tile_bytes = kv.tile_k_bytes + part_bytes(g->dtype_v, kv_v_stride(&kv));
    kv.tile_bytes = pl_align_up(kv.tile_bytes, CPU_ALIGN);
    /* The products fit: 4096 tiles of at most 128 KiB, 2^16 heads, 2^16 layers. */
    kv.head_bytes = kv.tile_bytes * kv.n_tiles;
    kv.layer_bytes = kv.head_bytes * kv.n_kv_heads;
    if (!pl_mul_size(kv.layer_bytes, kv.n_layers, &kv.block_bytes)) {
        *ret_reason = "KV block of that size";
        return false;
    }
    *ret = kv;
    return true;
}
