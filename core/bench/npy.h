/*
 * bench/npy.h - writes a float32 matrix as a NumPy file.
 *
 *   offset  bytes  what
 *   0       6      93 "NUMPY"
 *   6       2      version 1.0
 *   8       2      u16 little-endian: length of the header
 *   10      n      "{'descr': '<f4', 'fortran_order': False, 'shape': (r, c), }", blanks, LF;
 *                  10 + n is a multiple of 64
 *   10+n           r * c floats, little-endian, C order
 *
 * Ownership: none.  Threads: any.  Errors: PL_EIO naming the path; no file is left then.
 * Limits: none.  Source: NumPy enhancement proposal 1.
 */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <polder/status.h>

/* path "-" is standard output. */
PL_NODISCARD enum pl_status npy_write(const char *path, const float *data, size_t rows, size_t cols,
                                      struct pl_error *err);

#endif
