/*
 * template/value_big.c - integers beyond 64 bits: decimal digits that are kept, compared and printed.
 *
 * They come from JSON, literals, the int filter, and results of 64-bit operands that don't fit. Arithmetic
 * on them is refused (but for a sign, a remainder by a small number, and what makes a float of them).
 */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static struct template_value *new_big(struct template_values *values, const char *digits, size_t n,
                                      bool negative)
{
    struct template_value *value = template_value_new(values, VALUE_BIG);
    char *text = arena_alloc(&values->arena, n + 2);
    if (value == NULL || text == NULL)
        return NULL;
    text[0] = '-';
    memcpy(text + negative, digits, n);
    text[n + negative] = '\0';
    value->u.string.text = text;
    value->u.string.bytes = value->u.string.chars = n + negative;
    return value;
}

struct template_value *template_int_digits(struct template_values *values, const char *text,
                                           size_t n)
{
    bool negative = n > 0 && text[0] == '-';
    size_t at = negative;
    int64_t i = 0;
    bool fits = true;
    while (at + 1 < n && text[at] == '0')
        at++;
    for (size_t k = at; k < n && fits; k++)
        fits = !__builtin_mul_overflow(i, (int64_t)10, &i) &&
               !__builtin_sub_overflow(i, (int64_t)(text[k] - '0'), &i);
    if (fits && !negative)
        fits = !__builtin_sub_overflow((int64_t)0, i, &i);
    return fits ? template_int(values, i) : new_big(values, text + at, n - at, negative);
}

struct template_value *template_int_wide(struct template_values *values, pl_int128 wide)
{
    char text[48];
    size_t at = sizeof text;
    bool negative = wide < 0;
    do {
        int digit = (int)(wide % 10);
        text[--at] = (char)('0' + (digit < 0 ? -digit : digit));
        wide /= 10;
    } while (wide != 0);
    if (negative)
        text[--at] = '-';
    return template_int_digits(values, text + at, sizeof text - at);
}

static bool is_negative(const struct template_value *big)
{
    return big->u.string.text[0] == '-';
}

struct template_value *template_big_negate(struct template_values *values,
                                           const struct template_value *big)
{
    const char *text = big->u.string.text;
    size_t n = big->u.string.bytes;
    if (is_negative(big))
        return template_int_digits(values, text + 1, n - 1);
    char *copy = arena_alloc(&values->arena, n + 2);
    if (copy == NULL)
        return NULL;
    copy[0] = '-';
    memcpy(copy + 1, text, n + 1);
    return template_int_digits(values, copy, n + 1);
}

/* By sign, length, digits. */
int template_big_compare(const struct template_value *a, const struct template_value *b)
{
    int sign = is_negative(a) ? -1 : 1;
    if (is_negative(a) != is_negative(b))
        return sign;
    if (a->u.string.bytes != b->u.string.bytes)
        return a->u.string.bytes > b->u.string.bytes ? sign : -sign;
    int order = memcmp(a->u.string.text, b->u.string.text, a->u.string.bytes);
    return order == 0 ? 0 : order > 0 ? sign : -sign;
}

int template_big_compare_double(const struct template_value *a, double d)
{
    if (isinf(d))
        return d > 0 ? -1 : 1;
    char text[400]; /* of a double that is whole or far below any of these */
    int n = snprintf(text, sizeof text, "%.0f", d);
    struct template_value other = {.kind = VALUE_BIG};
    other.u.string.text = text;
    other.u.string.bytes = (size_t)n;
    return template_big_compare(a, &other);
}

double template_big_double(const struct template_value *big)
{
    return strtod(big->u.string.text, NULL);
}

/* The remainder by n > 0, with its sign. */
int64_t template_big_remainder(const struct template_value *big, int64_t n)
{
    pl_int128 rest = 0;
    for (size_t i = is_negative(big); i < big->u.string.bytes; i++)
        rest = (rest * 10 + (big->u.string.text[i] - '0')) % n;
    return (int64_t)(is_negative(big) && rest != 0 ? n - rest : rest);
}
