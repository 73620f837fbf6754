/* See parse.h. */
#include "parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

bool parse_u64_n(const char *text, size_t n, uint64_t max, uint64_t *ret)
{
    if (n == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    if (value > max)
        return false;
    *ret = value;
    return true;
}

bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = text[0] == '-';
    const char *digits = negative ? text + 1 : text;
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t magnitude = 0;
    if (!parse_u64_n(digits, strlen(digits), limit, &magnitude))
        return false;
    int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (value < min || value > max)
        return false;
    *ret = value;
    return true;
}

bool parse_f64(const char *text, double min, double max, double *ret)
{
    bool plain = (text[0] >= '0' && text[0] <= '9') || text[0] == '-' || text[0] == '.';
    if (!plain || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (*end != '\0' || errno != 0 || !isfinite(value) || value < min || value > max)
        return false;
    *ret = value;
    return true;
}

bool parse_bytes(const char *text, uint64_t max, uint64_t *ret)
{
    size_t n = strlen(text);
    unsigned shift = 0;
    if (n > 0) {
        switch (text[n - 1]) {
        case 'K': shift = 10; break;
        case 'M': shift = 20; break;
        case 'G': shift = 30; break;
        case 'T': shift = 40; break;
        default: break;
        }
    }
    uint64_t value = 0;
    if (!parse_u64_n(text, shift != 0 ? n - 1 : n, max >> shift, &value))
        return false;
    *ret = value << shift;
    return true;
}
