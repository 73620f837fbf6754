/*
 * template/eval_stmt.c - statements: they print, bind, and branch.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* ---- assignment ------------------------------------------------------------------------------- */

static bool assign_tuple(struct eval *ev, const struct node *target, struct template_value *value)
{
    struct seq seq;
    if (!template_iterate(ev, value, &seq))
        return false;
    if (seq.n != target->u.list.n) {
        template_fail(ev, "can't unpack %zu values into %zu names", seq.n, target->u.list.n);
        return false;
    }
    size_t i = 0;
    for (const struct node *item = target->u.list.first; item != NULL; item = item->next)
        if (!template_assign(ev, item, seq.items[i++]))
            return false;
    return true;
}

static bool assign_namespace(struct eval *ev, const struct node *target,
                             struct template_value *value)
{
    struct template_value *object = template_lookup(ev, target->u.ref.object);
    if (object == NULL)
        return false;
    if (object->kind != VALUE_NAMESPACE) {
        template_fail(ev, "can't assign to an attribute of '%s', which is no namespace",
                      target->u.ref.object->text);
        return false;
    }
    if (!template_dict_put_text(ev->values, object->u.dict, target->u.ref.name->value, value)) {
        template_fail_nomem(ev);
        return false;
    }
    return true;
}

bool template_assign(struct eval *ev, const struct node *target, struct template_value *value)
{
    if (target->kind == NODE_NAME)
        return template_bind(ev, ev->frame, target->u.name, value);
    if (target->kind == NODE_NAMESPACE_REF)
        return assign_namespace(ev, target, value);
    return assign_tuple(ev, target, value);
}

/* ---- bodies with names of their own ----------------------------------------------------------- */

static enum flow exec_scope(struct eval *ev, const struct node *body, struct frame *parent)
{
    struct frame *outer = ev->frame;
    struct frame *frame = template_frame_new(ev, parent);
    if (frame == NULL)
        return FLOW_FAIL;
    ev->frame = frame;
    enum flow flow = template_exec(ev, body);
    ev->frame = outer;
    return flow;
}

/* generation is a call block without arguments to what reads them. */
static enum flow exec_scope_node(struct eval *ev, const struct node *node)
{
    struct frame *outer = ev->frame;
    struct frame *frame = template_frame_new(ev, node->u.scope.from_root ? ev->root : outer);
    bool ok = frame != NULL;
    if (ok && node->u.scope.signature.wants_varargs) {
        struct template_value *none = template_check(ev, template_tuple(ev->values, NULL, 0));
        ok = none != NULL && template_bind(ev, frame, ev->tmpl->name_varargs, none);
    }
    if (ok && node->u.scope.signature.wants_kwargs) {
        struct template_value *none = template_check(ev, template_dict(ev->values));
        ok = none != NULL && template_bind(ev, frame, ev->tmpl->name_kwargs, none);
    }
    if (!ok)
        return FLOW_FAIL;
    ev->frame = frame;
    enum flow flow = template_exec(ev, node->u.scope.body);
    ev->frame = outer;
    return flow;
}

/* The text of a body; *ret_flow where it didn't end by itself. */
static struct template_value *capture(struct eval *ev, const struct node *body, enum flow *ret_flow)
{
    size_t mark = template_mark(ev);
    *ret_flow = exec_scope(ev, body, ev->frame);
    if (*ret_flow == FLOW_NEXT)
        return template_take(ev, mark);
    template_drop(ev, mark);
    return NULL;
}

static enum flow exec_with(struct eval *ev, const struct node *node)
{
    struct frame *outer = ev->frame;
    struct frame *frame = template_frame_new(ev, outer);
    const struct node *value_node = node->u.with.values;
    for (const struct node *target = node->u.with.targets; target != NULL; target = target->next) {
        struct template_value *value = frame != NULL ? template_eval(ev, value_node) : NULL;
        if (value == NULL)
            return FLOW_FAIL;
        ev->frame = frame;
        bool ok = template_assign(ev, target, value);
        ev->frame = outer;
        if (!ok)
            return FLOW_FAIL;
        value_node = value_node->next;
    }
    if (frame == NULL)
        return FLOW_FAIL;
    ev->frame = frame;
    enum flow flow = template_exec(ev, node->u.with.body);
    ev->frame = outer;
    return flow;
}

static enum flow exec_captured(struct eval *ev, const struct node *node)
{
    enum flow flow = FLOW_NEXT;
    struct template_value *text = capture(ev, node->u.set.body, &flow);
    if (text != NULL && node->u.set.filter != NULL)
        text = template_apply_filter(ev, node->u.set.filter, text);
    if (text == NULL)
        return flow == FLOW_NEXT ? FLOW_FAIL : flow;
    bool ok = node->kind == NODE_FILTER_BLOCK ? template_put_str(ev, text)
                                              : template_assign(ev, node->u.set.target, text);
    return ok ? FLOW_NEXT : FLOW_FAIL;
}

/* ---- macros ----------------------------------------------------------------------------------- */

static struct template_value *new_macro(struct eval *ev, const struct node *node)
{
    struct template_value *macro = template_check(ev, template_value_new(ev->values, VALUE_MACRO));
    if (macro != NULL) {
        template_frame_pin(ev->frame);
        macro->u.macro.node = node;
        macro->u.macro.frame = ev->frame;
    }
    return macro;
}

static enum flow exec_macro(struct eval *ev, const struct node *node)
{
    struct template_value *macro = new_macro(ev, node);
    return macro != NULL && template_bind(ev, ev->frame, node->u.macro.name, macro) ? FLOW_NEXT
                                                                                    : FLOW_FAIL;
}

static enum flow exec_call_block(struct eval *ev, const struct node *node)
{
    const struct node *call = node->u.macro.call;
    struct call_args args;
    struct template_value *caller = new_macro(ev, node);
    struct template_value *callee = caller != NULL ? template_eval(ev, call->u.call.callee) : NULL;
    if (callee == NULL || !template_eval_args(ev, call->u.call.arguments, &args))
        return FLOW_FAIL;
    struct keyword *keywords = template_alloc(ev, args.keywords_n + 1, sizeof *keywords);
    if (keywords == NULL)
        return FLOW_FAIL;
    if (args.keywords_n > 0)
        memcpy(keywords, args.keywords, args.keywords_n * sizeof *keywords);
    const struct name *name = ev->tmpl->name_caller;
    keywords[args.keywords_n++] = (struct keyword){name->text, name->n, caller};
    args.keywords = keywords;
    ev->line = node->line;
    struct template_value *text = template_call(ev, callee, &args);
    return text != NULL && template_put_str(ev, text) ? FLOW_NEXT : FLOW_FAIL;
}

/* ---- the rest --------------------------------------------------------------------------------- */

static enum flow exec_output(struct eval *ev, const struct node *node)
{
    for (const struct node *item = node->u.list.first; item != NULL; item = item->next) {
        struct template_value *value = template_eval(ev, item);
        if (value == NULL || !template_put_str(ev, value))
            return FLOW_FAIL;
    }
    return FLOW_NEXT;
}

static enum flow exec_if(struct eval *ev, const struct node *node)
{
    for (;;) {
        struct template_value *test = template_eval(ev, node->u.condition.test);
        if (test == NULL)
            return FLOW_FAIL;
        if (template_truth(test))
            return template_exec(ev, node->u.condition.then);
        const struct node *other = node->u.condition.other;
        if (other == NULL || other->kind != NODE_IF || other->next != NULL)
            return template_exec(ev, other);
        node = other; /* elif */
    }
}

static enum flow exec_set(struct eval *ev, const struct node *node)
{
    struct template_value *value = template_eval(ev, node->u.set.value);
    ev->line = node->line;
    return value != NULL && template_assign(ev, node->u.set.target, value) ? FLOW_NEXT : FLOW_FAIL;
}

static enum flow exec_for(struct eval *ev, const struct node *node)
{
    struct template_value *source = template_eval(ev, node->u.loop.iter);
    if (source == NULL)
        return FLOW_FAIL;
    ev->line = node->line;
    return template_run_loop(ev, node, ev->frame, source, 0);
}

static enum flow exec_node(struct eval *ev, const struct node *node)
{
    switch ((int)node->kind) {
    case NODE_DATA: return template_put_str(ev, node->u.constant) ? FLOW_NEXT : FLOW_FAIL;
    case NODE_OUTPUT: return exec_output(ev, node);
    case NODE_IF: return exec_if(ev, node);
    case NODE_FOR: return exec_for(ev, node);
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    case NODE_SET: return exec_set(ev, node);
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK: return exec_captured(ev, node);
    case NODE_WITH: return exec_with(ev, node);
    case NODE_MACRO: return exec_macro(ev, node);
    case NODE_CALL_BLOCK: return exec_call_block(ev, node);
    case NODE_SCOPE: return exec_scope_node(ev, node);
    case NODE_UNSUPPORTED:
        template_fail(ev, "'%s' is not supported: there is nothing to load from",
                      node->u.name->text);
        return FLOW_FAIL;
    default: template_fail(ev, "not a statement"); return FLOW_FAIL;
    }
}

enum flow template_exec(struct eval *ev, const struct node *list)
{
    enum flow flow = FLOW_NEXT;
    if (list == NULL)
        return FLOW_NEXT;
    if (!template_enter(ev))
        return FLOW_FAIL;
    for (const struct node *node = list; node != NULL && flow == FLOW_NEXT; node = node->next) {
        ev->line = node->line;
        flow = template_step(ev, 1) ? exec_node(ev, node) : FLOW_FAIL;
    }
    template_leave(ev);
    return flow;
}
