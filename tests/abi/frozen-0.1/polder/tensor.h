/*
 * polder/tensor.h - element types: numbers that are stable in the ABI, and their block geometry.
 *
 * A row of a quantised tensor is a run of blocks; one block holds block_elems values in block_bytes
 * bytes, laid out as in GGUF (ggml's formats). The values of enum pl_dtype up to 99 are those of
 * GGUF's tensor types, so that files need no mapping; ours start at 100.
 *
 * Threads: constants.  Source: GGUF specification (ggml docs/gguf.md), type table.
 */
#ifndef POLDER_TENSOR_H
#define POLDER_TENSOR_H

#include <polder/base.h>

/* name, value, elements per block, bytes per block */
#define PL_DTYPE_LIST(X)                                                                           \
    X(F32, 0, 1, 4)                                                                                \
    X(F16, 1, 1, 2)                                                                                \
    X(Q4_0, 2, 32, 18)                                                                             \
    X(Q4_1, 3, 32, 20)                                                                             \
    X(Q5_0, 6, 32, 22)                                                                             \
    X(Q5_1, 7, 32, 24)                                                                             \
    X(Q8_0, 8, 32, 34)                                                                             \
    X(Q2_K, 10, 256, 84)                                                                           \
    X(Q3_K, 11, 256, 110)                                                                          \
    X(Q4_K, 12, 256, 144)                                                                          \
    X(Q5_K, 13, 256, 176)                                                                          \
    X(Q6_K, 14, 256, 210)                                                                          \
    X(IQ4_NL, 20, 32, 18)                                                                          \
    X(IQ4_XS, 23, 256, 136)                                                                        \
    X(I8, 24, 1, 1)                                                                                \
    X(I16, 25, 1, 2)                                                                               \
    X(I32, 26, 1, 4)                                                                               \
    X(I64, 27, 1, 8)                                                                               \
    X(F64, 28, 1, 8)                                                                               \
    X(BF16, 30, 1, 2)                                                                              \
    X(MXFP4, 39, 32, 17)

enum pl_dtype {
#define PL_X(name, value, elems, bytes) PL_DTYPE_##name = (value),
    PL_DTYPE_LIST(PL_X)
#undef PL_X
};

struct pl_dtype_info {
    const char *name;     /* "Q4_K"; NULL for an unknown type */
    uint32_t block_elems; /* values in a block; 1 for plain types */
    uint32_t block_bytes; /* bytes of a block */
};

/* The geometry of a type; all zero, name NULL, for a number that is not in the table. */
static inline struct pl_dtype_info pl_dtype_info(uint32_t dtype)
{
    switch (dtype) {
#define PL_X(name, value, elems, bytes)                                                            \
    case (value): return (struct pl_dtype_info){#name, (elems), (bytes)};
        PL_DTYPE_LIST(PL_X)
#undef PL_X
    default: return (struct pl_dtype_info){NULL, 0, 0};
    }
}

/* Bytes of one row of n elements; false for an unknown type, a row that is no whole number of
 * blocks, or overflow. */
PL_NODISCARD static inline bool pl_row_bytes(uint32_t dtype, int64_t n, size_t *ret)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    if (info.name == NULL || n < 0 || n % (int64_t)info.block_elems != 0)
        return false;
    return pl_mul_size((size_t)(n / (int64_t)info.block_elems), info.block_bytes, ret);
}

#endif
