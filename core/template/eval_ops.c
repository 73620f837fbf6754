/*
 * template/eval_ops.c - operators, with Python's meaning. A sum, difference or product of
 * 64-bit integers is exact; further arithmetic beyond 64 bits is an error where Python would go on.
 */
#include "eval.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

static const char *op_text(enum op_kind op)
{
    static const char *const texts[] = {
        [OP_ADD] = "+",       [OP_SUB] = "-", [OP_MUL] = "*",  [OP_DIV] = "/",
        [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**",
    };
    return texts[op];
}

static struct template_value *fail_operands(struct eval *ev, enum op_kind op,
                                            const struct template_value *a,
                                            const struct template_value *b)
{
    if (a->kind == VALUE_UNDEFINED || b->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, a->kind == VALUE_UNDEFINED ? a : b);
    return template_fail(ev, "unsupported operand types for %s: '%s' and '%s'", op_text(op),
                         template_type_name(a), template_type_name(b));
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static struct template_value *overflow(struct eval *ev)
{
    return template_fail(ev, "integer beyond 64 bits");
}

static struct template_value *zero_division(struct eval *ev)
{
    return template_fail(ev, "division by zero");
}

static struct template_value *new_int(struct eval *ev, int64_t i)
{
    return template_check(ev, template_int(ev->values, i));
}

static struct template_value *new_float(struct eval *ev, double d)
{
    return template_check(ev, template_float(ev->values, d));
}

/* Rounds towards minus infinity; the remainder has the sign of b. */
static struct template_value *divide_ints(struct eval *ev, int64_t a, int64_t b, bool remainder)
{
    if (b == 0)
        return zero_division(ev);
    if (b == -1) {
        if (remainder)
            return new_int(ev, 0);
        return template_check(ev, template_int_wide(ev->values, -(pl_int128)a));
    }
    int64_t quotient = a / b;
    int64_t rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return new_int(ev, remainder ? rest : quotient);
}

static struct template_value *power_ints(struct eval *ev, int64_t base, int64_t exponent)
{
    if (exponent < 0) {
        if (base == 0)
            return zero_division(ev);
        return new_float(ev, pow((double)base, (double)exponent));
    }
    pl_int128 result = 1;
    pl_int128 square = base;
    while (exponent > 0) {
        if ((exponent & 1) != 0 && __builtin_mul_overflow(result, square, &result))
            return overflow(ev);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(square, square, &square))
            return overflow(ev);
    }
    return template_check(ev, template_int_wide(ev->values, result));
}

static struct template_value *binary_ints(struct eval *ev, enum op_kind op, int64_t a, int64_t b)
{
    pl_int128 result = 0;
    switch ((int)op) {
    case OP_ADD: result = (pl_int128)a + b; break;
    case OP_SUB: result = (pl_int128)a - b; break;
    case OP_MUL: result = (pl_int128)a * b; break;
    case OP_DIV: return b == 0 ? zero_division(ev) : new_float(ev, (double)a / (double)b);
    case OP_FLOORDIV: return divide_ints(ev, a, b, false);
    case OP_MOD: return divide_ints(ev, a, b, true);
    default: return power_ints(ev, a, b);
    }
    return template_check(ev, template_int_wide(ev->values, result));
}

/* One of them is beyond 64 bits, none is a float. */
static struct template_value *binary_big(struct eval *ev, enum op_kind op,
                                         const struct template_value *a,
                                         const struct template_value *b)
{
    int64_t y = 0;
    bool b_int = template_as_int(b, &y);
    if (b_int && y == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return zero_division(ev);
    if (op == OP_DIV) {
        double quotient = template_as_double(a) / template_as_double(b);
        return isfinite(quotient) ? new_float(ev, quotient) : overflow(ev);
    }
    if (op == OP_MOD && b_int && y > 0)
        return new_int(ev, template_big_remainder(a, y));
    return overflow(ev);
}

static double float_mod(double a, double b)
{
    double rest = fmod(a, b);
    if (rest != 0)
        return (rest < 0) != (b < 0) ? rest + b : rest;
    return copysign(0.0, b);
}

static double float_floordiv(double a, double b)
{
    double rest = fmod(a, b);
    double div = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0))
        div -= 1.0;
    if (div == 0)
        return copysign(0.0, a / b);
    double whole = floor(div);
    return div - whole > 0.5 ? whole + 1.0 : whole;
}

static struct template_value *power_floats(struct eval *ev, double a, double b)
{
    if (a == 0 && b < 0)
        return zero_division(ev);
    if (a < 0 && isfinite(b) && b != floor(b))
        return template_fail(ev, "complex numbers are not supported");
    double result = pow(a, b);
    if (isinf(result) && isfinite(a) && isfinite(b))
        return template_fail(ev, "result too large");
    return new_float(ev, result);
}

static struct template_value *binary_floats(struct eval *ev, enum op_kind op, double a, double b)
{
    switch ((int)op) {
    case OP_ADD: return new_float(ev, a + b);
    case OP_SUB: return new_float(ev, a - b);
    case OP_MUL: return new_float(ev, a * b);
    case OP_POW: return power_floats(ev, a, b);
    default: break;
    }
    if (b == 0)
        return zero_division(ev);
    if (op == OP_DIV)
        return new_float(ev, a / b);
    return new_float(ev, op == OP_MOD ? float_mod(a, b) : float_floordiv(a, b));
}

/* ---- sequences -------------------------------------------------------------------------------- */

/* a + b where a ends a growable piece with room, or in a new one. */
struct template_value *template_concat(struct eval *ev, struct template_value *a,
                                       struct template_value *b)
{
    size_t a_n = a->u.string.bytes;
    size_t b_n = b->u.string.bytes;
    if (b_n == 0 || a_n == 0)
        return b_n == 0 ? a : b;
    size_t n = a_n + b_n;
    if (n > TEMPLATE_OUTPUT_BYTES_MAX)
        return template_fail_limit(ev, "too much text");
    struct template_value *result =
        template_check(ev, template_value_new(ev->values, VALUE_STRING));
    if (result == NULL || !template_step_bytes(ev, b_n))
        return NULL;
    struct grow *grow = a->u.string.grow;
    char *text = NULL;
    if (grow != NULL && grow->used == a_n && grow->capacity - a_n >= b_n) {
        text = (char *)(grow + 1);
    } else {
        size_t capacity = n < 256 ? n : n + n / 2;
        grow = template_alloc(ev, 1, sizeof *grow + capacity);
        if (grow == NULL || !template_step_bytes(ev, a_n))
            return NULL;
        grow->capacity = capacity;
        text = (char *)(grow + 1);
        memcpy(text, a->u.string.text, a_n);
    }
    memcpy(text + a_n, b->u.string.text, b_n);
    grow->used = n;
    result->u.string.text = text;
    result->u.string.bytes = n;
    result->u.string.chars = a->u.string.chars + b->u.string.chars;
    result->u.string.grow = grow;
    return result;
}

static struct template_value *add_strings(struct eval *ev, struct template_value *a,
                                          struct template_value *b)
{
    if (!a->safe && !b->safe)
        return template_concat(ev, a, b);
    a = template_escape(ev, a);
    b = a != NULL ? template_escape(ev, b) : NULL;
    return b != NULL ? template_markup(ev, template_concat(ev, a, b)) : NULL;
}

static struct template_value *add_lists(struct eval *ev, const struct template_value *a,
                                        const struct template_value *b)
{
    size_t n = a->u.list.n + b->u.list.n;
    struct template_value **items = template_alloc(ev, n, sizeof(void *));
    if (items == NULL || !template_step(ev, n / 16))
        return NULL;
    if (a->u.list.n > 0)
        memcpy(items, a->u.list.items, a->u.list.n * sizeof(void *));
    if (b->u.list.n > 0)
        memcpy(items + a->u.list.n, b->u.list.items, b->u.list.n * sizeof(void *));
    struct template_value *list = template_check(ev, template_list_of(ev->values, items, n));
    if (list != NULL)
        list->kind = a->kind;
    return list;
}

static struct template_value *repeat_list(struct eval *ev, const struct template_value *list,
                                          size_t times)
{
    size_t n = 0;
    if (!pl_mul_size(list->u.list.n, times, &n))
        return template_fail_limit(ev, "too many items");
    struct template_value **items = template_alloc(ev, n, sizeof(void *));
    if (items == NULL || !template_step(ev, n / 16))
        return NULL;
    for (size_t i = 0; i < n; i++)
        items[i] = list->u.list.items[i % list->u.list.n];
    struct template_value *result = template_check(ev, template_list_of(ev->values, items, n));
    if (result != NULL)
        result->kind = list->kind;
    return result;
}

static bool is_list(const struct template_value *value)
{
    return value->kind == VALUE_LIST || value->kind == VALUE_TUPLE;
}

static struct template_value *repeat(struct eval *ev, struct template_value *value, int64_t times)
{
    size_t n = times > 0 ? (size_t)times : 0;
    if (is_list(value))
        return repeat_list(ev, value, n);
    size_t mark = template_mark(ev);
    if (!template_put_fill(ev, value->u.string.text, value->u.string.bytes, n))
        return NULL;
    struct template_value *result = template_take(ev, mark);
    return value->safe ? template_markup(ev, result) : result;
}

struct template_value *template_binary(struct eval *ev, enum op_kind op, struct template_value *a,
                                       struct template_value *b)
{
    int64_t x = 0;
    int64_t y = 0;
    bool a_int = template_as_int(a, &x);
    bool b_int = template_as_int(b, &y);
    if (a_int && b_int)
        return binary_ints(ev, op, x, y);
    if ((a->kind == VALUE_BIG && (b_int || b->kind == VALUE_BIG)) ||
        (b->kind == VALUE_BIG && a_int))
        return binary_big(ev, op, a, b);
    if (template_is_number(a) && template_is_number(b))
        return binary_floats(ev, op, template_as_double(a), template_as_double(b));
    bool a_string = a->kind == VALUE_STRING;
    if (op == OP_ADD && a_string && b->kind == VALUE_STRING)
        return add_strings(ev, a, b);
    if (op == OP_ADD && is_list(a) && a->kind == b->kind)
        return add_lists(ev, a, b);
    if (op == OP_MUL && b_int && (a_string || is_list(a)))
        return repeat(ev, a, y);
    if (op == OP_MUL && a_int && (b->kind == VALUE_STRING || is_list(b)))
        return repeat(ev, b, x);
    if (op == OP_MOD && a_string)
        return template_format_percent(ev, a, b);
    return fail_operands(ev, op, a, b);
}

bool template_compare(struct eval *ev, enum op_kind op, struct template_value *a,
                      struct template_value *b, bool *ret)
{
    bool result = false;
    bool ok = true;
    bool same = false;
    switch ((int)op) {
    case OP_EQ:
    case OP_NE: ok = template_equal(ev, a, b, &result); break;
    case OP_LT: ok = template_less(ev, a, b, &result); break;
    case OP_GT: ok = template_less(ev, b, a, &result); break;
    case OP_LE:
        ok = template_less(ev, a, b, &result) && template_equal(ev, a, b, &same);
        result = result || same;
        break;
    case OP_GE:
        ok = template_less(ev, b, a, &result) && template_equal(ev, a, b, &same);
        result = result || same;
        break;
    default: ok = template_contains(ev, b, a, &result); break;
    }
    if (ok)
        *ret = op == OP_NE || op == OP_NOT_IN ? !result : result;
    return ok;
}
