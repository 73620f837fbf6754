/*
 * cpu/kv.h - how a KV block lies in memory, and where a position of a sequence is.
 *
 *   block  = [layer][kv head][tile]
 *   tile   = KV_TILE positions:  K transposed [D][KV_TILE], then V [KV_TILE][Dv rounded up to 16]
 *   Q8_0:    K [D/2][KV_TILE][2] bytes, scales [D/32][KV_TILE] F16
 *            V [KV_TILE][Dv] bytes, scales [Dv/32][KV_TILE] F16
 *
 * Q8_0 is 32 elements of one position and head with a scale d: d = F16(largest magnitude / 127),
 * integers are x / d rounded to nearest even within +-127; a scale that F16 can't hold is NaN. Pairs
 * of elements of K lie together, so that one instruction multiplies both in 16 bits.
 *
 * A tile holds the positions i*KV_TILE .. of its block; with blocks of fewer than KV_TILE tokens the
 * rest of the one tile is unused. K is transposed so that one vector holds the same element of 16
 * positions and a score needs no sum across lanes; V is row-major so that one vector holds 16 elements
 * of the output. Tiles are aligned to absolute positions: the order in which a row sums over its
 * history depends on nothing but the row (bar C6).
 *
 * Threads: constants.  Source: ours; online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867.
 */
#ifndef CPU_KV_H
#define CPU_KV_H

#include "device.h"

#define KV_TILE 16 /* positions: the lanes of the widest vector */

/* Fills *ret but for data; false for a group that this plugin can't hold, with the reason. */
PL_NODISCARD bool kv_geometry_init(struct kv_geometry *ret, const struct pl_kv_group *group,
                                   const char **ret_reason);

#define KV_Q8_BLOCK 32     /* elements that share a scale */
#define KV_Q8_NAN   0x7e00 /* a quiet NaN in F16 */

/* Q8_0: where element i of the position in `slot` is in the K part of a tile, in bytes (in the V part
 * as in any type); and its scale in either, in F16 elements behind the bytes. */
static inline size_t kv_q8_k_at(size_t i, size_t slot)
{
    return (i / 2 * KV_TILE + slot) * 2 + i % 2;
}

static inline size_t kv_q8_scale_at(size_t i, size_t slot)
{
    return i / KV_Q8_BLOCK * KV_TILE + slot;
}

static inline uint16_t *kv_q8_scales(uint8_t *part, size_t head_dim)
{
    return (uint16_t *)(void *)(part + head_dim * KV_TILE);
}

static inline size_t kv_v_stride(const struct kv_geometry *kv) /* elements between rows of V */
{
    return pl_align_up(kv->head_dim_v, 16);
}

/* The tile that holds position `pos` of a sequence whose row of the block table is `blocks`. */
static inline uint8_t *kv_tile(const struct kv_geometry *kv, const int32_t *blocks, uint32_t layer,
                               uint32_t head, int64_t pos)
{
    size_t block = (size_t)(uint32_t)blocks[pos >> kv->block_shift];
    size_t in_block = (size_t)pos & (kv->block_tokens - 1);
    return kv->data + block * kv->block_bytes + layer * kv->layer_bytes + head * kv->head_bytes +
           in_block / KV_TILE * kv->tile_bytes;
}

#endif
