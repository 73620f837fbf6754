/*
 * bench/npy.c - the NumPy header and the floats behind it.
 */
#include "npy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are written as they lie");

#define HEAD_BYTES 128 /* fixed part and header: a multiple of 64 that holds any two sizes */

static bool write_all(FILE *file, const float *data, size_t rows, size_t cols)
{
    char head[HEAD_BYTES];
    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)(HEAD_BYTES - 10);
    head[9] = 0;
    char text[HEAD_BYTES - 11];
    int n = snprintf(text, sizeof text,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, cols);
    memcpy(head + 10, text, (size_t)n);
    head[HEAD_BYTES - 1] = '\n';
    return fwrite(head, 1, sizeof head, file) == sizeof head &&
           (rows == 0 || fwrite(data, sizeof *data * cols, rows, file) == rows);
}

enum pl_status npy_write(const char *path, const float *data, size_t rows, size_t cols,
                         struct pl_error *err)
{
    char why[80];
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *file = is_stdout ? stdout : fopen(path, "we");
    if (file == NULL)
        return pl_error_set(err, PL_EIO, "%s: %s", path, strerror_r(errno, why, sizeof why));
    bool ok = write_all(file, data, rows, cols) && fflush(file) == 0;
    int number = errno;
    if (!is_stdout && fclose(file) != 0 && ok) {
        ok = false;
        number = errno;
    }
    if (ok)
        return PL_OK;
    if (!is_stdout)
        unlink(path);
    return pl_error_set(err, PL_EIO, "%s: %s", path, strerror_r(number, why, sizeof why));
}
