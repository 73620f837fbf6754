/*
 * template/eval_expr.c - the value of an expression node.
 */
#include "eval.h"

#include "base/banned.h"

static struct template_value *eval_items(struct eval *ev, const struct node *node)
{
    struct template_value **items = template_alloc(ev, node->u.list.n, sizeof(void *));
    if (items == NULL)
        return NULL;
    size_t n = 0;
    for (const struct node *item = node->u.list.first; item != NULL; item = item->next)
        if ((items[n++] = template_eval(ev, item)) == NULL)
            return NULL;
    struct template_value *list = template_check(ev, template_list_of(ev->values, items, n));
    if (list != NULL && node->kind == NODE_TUPLE)
        list->kind = VALUE_TUPLE;
    return list;
}

static struct template_value *eval_dict(struct eval *ev, const struct node *node)
{
    struct template_value *dict = template_check(ev, template_dict(ev->values));
    for (const struct node *key = node->u.list.first; key != NULL; key = key->next->next) {
        struct template_value *k = dict != NULL ? template_eval(ev, key) : NULL;
        struct template_value *item = k != NULL ? template_eval(ev, key->next) : NULL;
        if (item == NULL || !template_dict_put(ev, dict->u.dict, k, item))
            return NULL;
    }
    return dict;
}

static struct template_value *eval_logic(struct eval *ev, const struct node *node)
{
    struct template_value *left = template_eval(ev, node->u.binary.left);
    if (left == NULL || template_truth(left) == (node->kind == NODE_OR))
        return left;
    return template_eval(ev, node->u.binary.right);
}

static struct template_value *eval_binary(struct eval *ev, const struct node *node)
{
    struct template_value *left = template_eval(ev, node->u.binary.left);
    struct template_value *right = left != NULL ? template_eval(ev, node->u.binary.right) : NULL;
    if (right == NULL)
        return NULL;
    ev->line = node->line;
    return template_binary(ev, node->u.binary.op, left, right);
}

static struct template_value *eval_sign(struct eval *ev, const struct node *node)
{
    struct template_value *operand = template_eval(ev, node->u.binary.left);
    int64_t i = 0;
    if (operand == NULL)
        return NULL;
    if (!template_is_number(operand))
        return template_fail_type(ev, "bad operand type for a sign", operand);
    if (operand->kind == VALUE_BIG)
        return node->kind == NODE_NEG ? template_check(ev, template_big_negate(ev->values, operand))
                                      : operand;
    if (!template_as_int(operand, &i))
        return node->kind == NODE_NEG
                   ? template_check(ev, template_float(ev->values, -operand->u.number))
                   : operand;
    return template_check(
        ev, template_int_wide(ev->values, node->kind == NODE_NEG ? -(pl_int128)i : (pl_int128)i));
}

static struct template_value *eval_concat(struct eval *ev, const struct node *node)
{
    struct template_value *result = ev->values->empty;
    for (const struct node *item = node->u.list.first; item != NULL; item = item->next) {
        struct template_value *value = template_eval(ev, item);
        value = value != NULL ? template_str(ev, value) : NULL;
        result = value != NULL ? template_concat(ev, result, value) : NULL;
        if (result == NULL)
            return NULL;
    }
    return template_unmarked(ev, result);
}

static struct template_value *eval_compare(struct eval *ev, const struct node *node)
{
    struct template_value *left = template_eval(ev, node->u.compare.left);
    for (; left != NULL && node != NULL; node = node->u.compare.rest) {
        struct template_value *right = template_eval(ev, node->u.compare.right);
        bool holds = false;
        ev->line = node->line;
        if (right == NULL || !template_compare(ev, node->u.compare.op, left, right, &holds))
            return NULL;
        if (!holds)
            return template_bool(ev->values, false);
        left = right;
    }
    return left != NULL ? template_bool(ev->values, true) : NULL;
}

static struct template_value *eval_condition(struct eval *ev, const struct node *node)
{
    struct template_value *test = template_eval(ev, node->u.condition.test);
    if (test == NULL)
        return NULL;
    if (template_truth(test))
        return template_eval(ev, node->u.condition.then);
    if (node->u.condition.other != NULL)
        return template_eval(ev, node->u.condition.other);
    return template_undefined(ev, "an inline if without else was false");
}

static struct template_value *eval_access(struct eval *ev, const struct node *node)
{
    struct template_value *object = template_eval(ev, node->u.access.object);
    if (object == NULL)
        return NULL;
    if (node->kind == NODE_ATTRIBUTE) {
        ev->line = node->line;
        return template_getattr(ev, object, node->u.access.name->value);
    }
    struct template_value *key = template_eval(ev, node->u.access.index);
    ev->line = node->line;
    return key != NULL ? template_getitem(ev, object, key) : NULL;
}

static struct template_value *eval_slice(struct eval *ev, const struct node *node)
{
    const struct node *const parts[3] = {node->u.slice.start, node->u.slice.stop,
                                         node->u.slice.step};
    struct template_value *bounds[3] = {NULL};
    struct template_value *object = template_eval(ev, node->u.slice.object);
    for (int i = 0; i < 3 && object != NULL; i++)
        if (parts[i] != NULL && (bounds[i] = template_eval(ev, parts[i])) == NULL)
            return NULL;
    ev->line = node->line;
    return object != NULL ? template_slice(ev, object, bounds[0], bounds[1], bounds[2]) : NULL;
}

static struct template_value *eval_call(struct eval *ev, const struct node *node)
{
    struct call_args args;
    struct template_value *callee = template_eval(ev, node->u.call.callee);
    if (callee == NULL || !template_eval_args(ev, node->u.call.arguments, &args))
        return NULL;
    ev->line = node->line;
    return template_call(ev, callee, &args);
}

struct template_value *template_apply_filter(struct eval *ev, const struct node *node,
                                             struct template_value *operand)
{
    struct call_args args;
    if (node->u.call.callee != NULL) /* a chain in a filter block: innermost first */
        operand = node->u.call.callee->kind == NODE_FILTER && operand != NULL
                      ? template_apply_filter(ev, node->u.call.callee, operand)
                      : template_eval(ev, node->u.call.callee);
    if (operand == NULL)
        return NULL;
    ev->line = node->line;
    if (node->u.call.builtin == NULL)
        return template_fail(ev, "no %s named '%s'", node->kind == NODE_FILTER ? "filter" : "test",
                             node->u.call.name->text);
    if (!template_eval_args(ev, node->u.call.arguments, &args))
        return NULL;
    ev->line = node->line;
    return template_builtin_call(ev, node->u.call.builtin, operand, &args);
}

static struct template_value *eval_not(struct eval *ev, const struct node *node)
{
    struct template_value *operand = template_eval(ev, node->u.binary.left);
    return operand != NULL ? template_bool(ev->values, !template_truth(operand)) : NULL;
}

static struct template_value *eval_node(struct eval *ev, const struct node *node)
{
    switch ((int)node->kind) {
    case NODE_LIST:
    case NODE_TUPLE: return eval_items(ev, node);
    case NODE_DICT: return eval_dict(ev, node);
    case NODE_NOT: return eval_not(ev, node);
    case NODE_NEG:
    case NODE_POS: return eval_sign(ev, node);
    case NODE_AND:
    case NODE_OR: return eval_logic(ev, node);
    case NODE_BINARY: return eval_binary(ev, node);
    case NODE_CONCAT: return eval_concat(ev, node);
    case NODE_COMPARE: return eval_compare(ev, node);
    case NODE_CONDITION: return eval_condition(ev, node);
    case NODE_ATTRIBUTE:
    case NODE_ITEM: return eval_access(ev, node);
    case NODE_SLICE: return eval_slice(ev, node);
    case NODE_CALL: return eval_call(ev, node);
    case NODE_FILTER:
    case NODE_TEST: return template_apply_filter(ev, node, NULL);
    default: return template_fail(ev, "not an expression");
    }
}

struct template_value *template_eval(struct eval *ev, const struct node *node)
{
    if (node->kind == NODE_CONST)
        return node->u.constant;
    ev->line = node->line;
    if (node->kind == NODE_NAME)
        return template_step(ev, 1) ? template_lookup(ev, node->u.name) : NULL;
    if (!template_enter(ev))
        return NULL;
    struct template_value *value = eval_node(ev, node);
    template_leave(ev);
    return value;
}
