/*
 * pack_bits.h - pieces that the packers of nibbles and bit planes share.
 *
 * A line is 64 bytes: 4 bytes of each of 16 rows. A plane line holds one bit of 32 columns: bit s of
 * byte i of a row's word belongs to column 4s + i, so that a kernel gets the bits of step s, columns
 * 4s..4s+3, by one shift of the whole line.
 *
 * Ownership, threads: none, any.  Source: ours.
 */
#ifndef CPU_PACK_BITS_H
#define CPU_PACK_BITS_H

#include "linear_kernels.h"

#define PACK_LINE ((size_t)64)

/* What the codebooks of four bits stand for; doubled for E2M1. */
static const int8_t pack_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                           1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t pack_e2m1_values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

/* n bytes of one row to its place in n / 4 lines. */
LINEAR_INLINE void pack_lines(uint8_t *lane, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        memcpy(lane + i / 4 * PACK_LINE, src + i, 4);
}

/* Byte i of one row of lines. */
LINEAR_INLINE uint8_t pack_byte(const uint8_t *lane, size_t i)
{
    return lane[i / 4 * PACK_LINE + i % 4];
}

/* The word of a plane line; bit k of columns is column k's. */
LINEAR_INLINE void pack_plane(uint8_t *lane, uint32_t columns)
{
    uint32_t word = 0;
    for (size_t k = 0; k < 32; k++)
        word |= (columns >> k & 1u) << (8 * (k % 4) + k / 4);
    memcpy(lane, &word, sizeof word);
}

/* Column k's bit of a plane line. */
LINEAR_INLINE int pack_plane_bit(const uint8_t *lane, size_t k)
{
    return lane[k % 4] >> (k / 4) & 1;
}

/* Plane j of 32 bytes that hold 8 planes, one bit per byte and plane: bit k is byte k's. */
LINEAR_INLINE uint32_t pack_gather_plane(const uint8_t *bytes, size_t j)
{
    uint32_t columns = 0;
    for (size_t k = 0; k < 32; k++)
        columns |= (uint32_t)(bytes[k] >> j & 1) << k;
    return columns;
}

/* The j-th scale and minimum of Q4_K and Q5_K out of the file's 12 bytes. */
LINEAR_INLINE void pack_scale_min(const uint8_t *s, size_t j, uint8_t *ret_scale, uint8_t *ret_min)
{
    if (j < 4) {
        *ret_scale = s[j] & 63;
        *ret_min = s[j + 4] & 63;
        return;
    }
    *ret_scale = (uint8_t)((s[j + 4] & 15) | ((s[j - 4] >> 6) << 4));
    *ret_min = (uint8_t)((s[j + 4] >> 4) | ((s[j] >> 6) << 4));
}

#endif
