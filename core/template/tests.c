/*
 * template/tests.c - what follows `is`.
 */
#include "eval.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define KIND_TEST(name, condition)                                                                 \
    static struct template_value *name(struct eval *ev, struct template_value *self,               \
                                       const struct call_args *args)                               \
    {                                                                                              \
        (void)args;                                                                                \
        return template_bool(ev->values, (condition));                                             \
    }

KIND_TEST(test_defined, self->kind != VALUE_UNDEFINED)
KIND_TEST(test_undefined, self->kind == VALUE_UNDEFINED)
KIND_TEST(test_none, self->kind == VALUE_NONE)
KIND_TEST(test_boolean, self->kind == VALUE_BOOL)
KIND_TEST(test_true, self->kind == VALUE_BOOL && self->u.boolean)
KIND_TEST(test_false, self->kind == VALUE_BOOL && !self->u.boolean)
KIND_TEST(test_integer, self->kind == VALUE_INT || self->kind == VALUE_BIG)
KIND_TEST(test_float, self->kind == VALUE_FLOAT)
KIND_TEST(test_number, template_is_number(self))
KIND_TEST(test_string, self->kind == VALUE_STRING)
KIND_TEST(test_mapping, self->kind == VALUE_DICT)
KIND_TEST(test_iterable, template_is_iterable(self))
KIND_TEST(test_sequence,
          template_has_length(self) && self->kind != VALUE_VIEW && self->kind != VALUE_LOOP)
KIND_TEST(test_callable, self->kind == VALUE_UNDEFINED || self->kind == VALUE_BUILTIN ||
                             self->kind == VALUE_MACRO || self->kind == VALUE_JOINER ||
                             self->kind == VALUE_LOOP)
KIND_TEST(test_escaped, self->safe)

/* The remainder by n, as a number. */
static bool remainder_of(struct eval *ev, struct template_value *self, struct template_value *n,
                         double *ret)
{
    if (self->kind == VALUE_STRING) {
        template_fail(ev, "a string is not a number");
        return false;
    }
    struct template_value *rest = template_binary(ev, OP_MOD, self, n);
    if (rest != NULL)
        *ret = template_as_double(rest);
    return rest != NULL;
}

static struct template_value *test_odd(struct eval *ev, struct template_value *self,
                                       const struct call_args *args)
{
    (void)args;
    double rest = 0;
    if (!remainder_of(ev, self, template_int(ev->values, 2), &rest))
        return NULL;
    return template_bool(ev->values, rest == 1);
}

static struct template_value *test_even(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    double rest = 0;
    if (!remainder_of(ev, self, template_int(ev->values, 2), &rest))
        return NULL;
    return template_bool(ev->values, rest == 0);
}

static struct template_value *test_divisibleby(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    double rest = 0;
    if (!remainder_of(ev, self, args->bound[0], &rest))
        return NULL;
    return template_bool(ev->values, rest == 0);
}

static struct template_value *by_case(struct eval *ev, struct template_value *self,
                                      const char *method)
{
    struct call_args none = {0};
    struct template_value *text = template_str(ev, self);
    if (text == NULL)
        return NULL;
    return template_builtin_call(ev, template_method_find(VALUE_STRING, method, strlen(method)),
                                 text, &none);
}

static struct template_value *test_lower(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    (void)args;
    return by_case(ev, self, "islower");
}

static struct template_value *test_upper(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    (void)args;
    return by_case(ev, self, "isupper");
}

/* Small integers are one object in Python, and strings of the source often are. */
static struct template_value *test_sameas(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    const struct template_value *other = args->bound[0];
    bool same = self == other;
    if (!same && self->kind == other->kind) {
        if (self->kind == VALUE_NONE)
            same = true;
        else if (self->kind == VALUE_BOOL)
            same = self->u.boolean == other->u.boolean;
        else if (self->kind == VALUE_INT)
            same = self->u.integer == other->u.integer &&
                   self->u.integer >= TEMPLATE_SMALL_INT_MIN &&
                   self->u.integer <= TEMPLATE_SMALL_INT_MAX;
        else if (self->kind == VALUE_STRING)
            same = self->u.string.text == other->u.string.text &&
                   self->u.string.bytes == other->u.string.bytes;
    }
    return template_bool(ev->values, same);
}

static struct template_value *compare(struct eval *ev, enum op_kind op, struct template_value *self,
                                      const struct call_args *args)
{
    bool holds = false;
    if (!template_compare(ev, op, self, args->bound[0], &holds))
        return NULL;
    return template_bool(ev->values, holds);
}

#define COMPARE_TEST(name, op)                                                                     \
    static struct template_value *name(struct eval *ev, struct template_value *self,               \
                                       const struct call_args *args)                               \
    {                                                                                              \
        return compare(ev, op, self, args);                                                        \
    }

COMPARE_TEST(test_eq, OP_EQ)
COMPARE_TEST(test_ne, OP_NE)
COMPARE_TEST(test_lt, OP_LT)
COMPARE_TEST(test_le, OP_LE)
COMPARE_TEST(test_gt, OP_GT)
COMPARE_TEST(test_ge, OP_GE)
COMPARE_TEST(test_in, OP_IN)

static struct template_value *test_filter(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    uint64_t hash = 0; /* it is looked up in a dict */
    if (!template_hash(ev, self, &hash))
        return NULL;
    return template_bool(
        ev->values, self->kind == VALUE_STRING &&
                        template_filter_find(self->u.string.text, self->u.string.bytes) != NULL);
}

static struct template_value *test_test(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    uint64_t hash = 0;
    if (!template_hash(ev, self, &hash))
        return NULL;
    return template_bool(ev->values,
                         self->kind == VALUE_STRING &&
                             template_test_find(self->u.string.text, self->u.string.bytes) != NULL);
}

static const struct builtin rows[] = {
    {"defined", test_defined, "", 0, false},    {"undefined", test_undefined, "", 0, false},
    {"none", test_none, "", 0, false},          {"boolean", test_boolean, "", 0, false},
    {"true", test_true, "", 0, false},          {"false", test_false, "", 0, false},
    {"integer", test_integer, "", 0, false},    {"float", test_float, "", 0, false},
    {"number", test_number, "", 0, false},      {"string", test_string, "", 0, false},
    {"mapping", test_mapping, "", 0, false},    {"iterable", test_iterable, "", 0, false},
    {"sequence", test_sequence, "", 0, false},  {"callable", test_callable, "", 0, false},
    {"escaped", test_escaped, "", 0, false},    {"odd", test_odd, "", 0, false},
    {"even", test_even, "", 0, false},          {"divisibleby", test_divisibleby, "num", 1, false},
    {"lower", test_lower, "", 0, false},        {"upper", test_upper, "", 0, false},
    {"sameas", test_sameas, "other", 1, false}, {"eq", test_eq, "other", 1, false},
    {"==", test_eq, "other", 1, false},         {"equalto", test_eq, "other", 1, false},
    {"ne", test_ne, "other", 1, false},         {"!=", test_ne, "other", 1, false},
    {"lt", test_lt, "other", 1, false},         {"<", test_lt, "other", 1, false},
    {"lessthan", test_lt, "other", 1, false},   {"le", test_le, "other", 1, false},
    {"<=", test_le, "other", 1, false},         {"gt", test_gt, "other", 1, false},
    {">", test_gt, "other", 1, false},          {"greaterthan", test_gt, "other", 1, false},
    {"ge", test_ge, "other", 1, false},         {">=", test_ge, "other", 1, false},
    {"in", test_in, "seq", 1, false},           {"filter", test_filter, "", 0, false},
    {"test", test_test, "", 0, false},
};

const struct builtin_table template_tests = BUILTIN_TABLE(rows);
