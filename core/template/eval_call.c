/*
 * template/eval_call.c - arguments, macros, callers, and what else can be called.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* ---- arguments -------------------------------------------------------------------------------- */

struct collector {
    struct template_value **items;
    size_t n;
    struct keyword *keywords;
    size_t keywords_n;
};

static bool too_many(struct eval *ev, size_t n)
{
    if (n < TEMPLATE_ARGS_MAX)
        return false;
    template_fail_limit(ev, "too many arguments in a call");
    return true;
}

static bool grow_items(struct eval *ev, struct collector *to)
{
    if ((to->n & (to->n - 1)) != 0 || (to->n > 0 && to->n < 4))
        return true; /* room is 4, 4, 8, 16, ... */
    struct template_value **items =
        template_alloc(ev, PL_MAX(to->n * 2, (size_t)4), sizeof(void *));
    if (items == NULL)
        return false;
    if (to->n > 0)
        memcpy(items, to->items, to->n * sizeof(void *));
    to->items = items;
    return true;
}

static bool add_item(struct eval *ev, struct collector *to, struct template_value *value)
{
    if (value == NULL || too_many(ev, to->n) || !grow_items(ev, to))
        return false;
    to->items[to->n++] = value;
    return true;
}

static bool add_keyword(struct eval *ev, struct collector *to, const char *text, size_t n,
                        struct template_value *value)
{
    if (value == NULL || too_many(ev, to->keywords_n))
        return false;
    for (size_t i = 0; i < to->keywords_n; i++) {
        if (to->keywords[i].n == n && memcmp(to->keywords[i].text, text, n) == 0) {
            template_fail(ev, "keyword argument repeated: '%.*s'", (int)PL_MIN(n, (size_t)60),
                          text);
            return false;
        }
    }
    struct keyword *keywords = to->keywords;
    if ((to->keywords_n & (to->keywords_n - 1)) == 0) { /* room is 1, 2, 4, 8, ... */
        keywords = template_alloc(ev, PL_MAX(to->keywords_n * 2, (size_t)1), sizeof *keywords);
        if (keywords == NULL)
            return false;
        if (to->keywords_n > 0)
            memcpy(keywords, to->keywords, to->keywords_n * sizeof *keywords);
        to->keywords = keywords;
    }
    keywords[to->keywords_n++] = (struct keyword){text, n, value};
    return true;
}

static bool add_star(struct eval *ev, struct collector *to, struct template_value *value)
{
    struct seq seq;
    if (value == NULL || !template_iterate(ev, value, &seq))
        return false;
    for (size_t i = 0; i < seq.n; i++)
        if (!add_item(ev, to, seq.items[i]))
            return false;
    return true;
}

static bool add_star_star(struct eval *ev, struct collector *to, struct template_value *value)
{
    if (value == NULL)
        return false;
    if (value->kind != VALUE_DICT) {
        template_fail_type(ev, "argument after ** must be a mapping", value);
        return false;
    }
    for (size_t i = 0; i < value->u.dict->n; i++) {
        const struct dict_entry *entry = &value->u.dict->entries[i];
        if (entry->key->kind != VALUE_STRING) {
            template_fail(ev, "keywords must be strings");
            return false;
        }
        if (!add_keyword(ev, to, entry->key->u.string.text, entry->key->u.string.bytes,
                         entry->item))
            return false;
    }
    return true;
}

bool template_eval_args(struct eval *ev, const struct argument *arguments, struct call_args *ret)
{
    struct collector to = {0};
    for (const struct argument *arg = arguments; arg != NULL; arg = arg->next) {
        struct template_value *value = template_eval(ev, arg->value);
        bool ok = false;
        if (arg->star == ARGUMENT_STAR)
            ok = add_star(ev, &to, value);
        else if (arg->star == ARGUMENT_STAR_STAR)
            ok = add_star_star(ev, &to, value);
        else if (arg->keyword != NULL)
            ok = add_keyword(ev, &to, arg->keyword->text, arg->keyword->n, value);
        else
            ok = add_item(ev, &to, value);
        if (!ok)
            return false;
    }
    *ret = (struct call_args){
        .items = to.items, .n = to.n, .keywords = to.keywords, .keywords_n = to.keywords_n};
    return true;
}

/* ---- macros ----------------------------------------------------------------------------------- */

/* The keyword's value; *taken notes its place. NULL where there is none. */
static struct template_value *take_keyword(const struct call_args *args, const struct name *name,
                                           bool *taken)
{
    for (size_t i = 0; i < args->keywords_n; i++) {
        if (args->keywords[i].n == name->n &&
            memcmp(args->keywords[i].text, name->text, name->n) == 0) {
            taken[i] = true;
            return args->keywords[i].value;
        }
    }
    return NULL;
}

static const char *macro_name(const struct node *node)
{
    return node->kind == NODE_MACRO ? node->u.macro.name->text : "caller";
}

/* Binds the parameters that arguments were given for; *ret_missing: those that weren't. */
static bool bind_given(struct eval *ev, const struct node *node, const struct call_args *args,
                       struct frame *frame, bool *taken)
{
    size_t i = 0;
    for (const struct parameter *p = node->u.macro.signature.parameters; p != NULL; p = p->next) {
        struct template_value *value =
            i < args->n ? args->items[i] : take_keyword(args, p->name, taken);
        i++;
        if (value != NULL && !template_bind(ev, frame, p->name, value))
            return false;
    }
    return true;
}

/* Defaults are evaluated inside the macro, in order: they see the parameters before them. */
static bool bind_fallbacks(struct eval *ev, const struct node *node, const struct frame *frame)
{
    for (const struct parameter *p = node->u.macro.signature.parameters; p != NULL; p = p->next) {
        bool bound = false;
        for (size_t i = 0; i < frame->n && !bound; i++)
            bound = frame->vars[i].name == p->name;
        if (bound)
            continue;
        struct template_value *value =
            p->fallback != NULL ? template_eval(ev, p->fallback)
                                : template_undefined(ev, "a parameter of a macro was not provided");
        if (value == NULL || !template_bind(ev, ev->frame, p->name, value))
            return false;
    }
    return true;
}

static bool is_parameter(const struct signature *signature, const struct name *name)
{
    for (const struct parameter *p = signature->parameters; p != NULL; p = p->next)
        if (p->name == name)
            return true;
    return false;
}

static bool bind_kwargs(struct eval *ev, const struct call_args *args, struct frame *frame,
                        const bool *taken)
{
    struct template_value *dict = template_check(ev, template_dict(ev->values));
    if (dict == NULL)
        return false;
    for (size_t i = 0; i < args->keywords_n; i++) {
        const struct keyword *keyword = &args->keywords[i];
        if (!taken[i] &&
            !template_dict_set(ev->values, dict, keyword->text, keyword->n, keyword->value)) {
            template_fail_nomem(ev);
            return false;
        }
    }
    return template_bind(ev, frame, ev->tmpl->name_kwargs, dict);
}

/* caller, kwargs and varargs: only for a macro that reads them. */
static bool bind_special(struct eval *ev, const struct node *node, const struct call_args *args,
                         struct frame *frame, bool *taken)
{
    const struct signature *signature = &node->u.macro.signature;
    const struct template *tmpl = ev->tmpl;
    if (signature->wants_caller && !is_parameter(signature, tmpl->name_caller)) {
        struct template_value *caller = take_keyword(args, tmpl->name_caller, taken);
        if (caller == NULL)
            caller = template_undefined(ev, "no caller defined");
        if (caller == NULL || !template_bind(ev, frame, tmpl->name_caller, caller))
            return false;
    }
    if (signature->wants_kwargs && !is_parameter(signature, tmpl->name_kwargs)) {
        if (!bind_kwargs(ev, args, frame, taken))
            return false;
    } else {
        for (size_t i = 0; i < args->keywords_n; i++) {
            if (taken[i])
                continue;
            template_fail(ev, "macro '%s' takes no keyword argument '%.*s'", macro_name(node),
                          (int)PL_MIN(args->keywords[i].n, (size_t)60), args->keywords[i].text);
            return false;
        }
    }
    size_t extra = args->n > signature->n ? args->n - signature->n : 0;
    if (signature->wants_varargs && !is_parameter(signature, tmpl->name_varargs)) {
        struct template_value *rest = template_check(
            ev, template_tuple(ev->values, extra > 0 ? args->items + signature->n : NULL, extra));
        return rest != NULL && template_bind(ev, frame, tmpl->name_varargs, rest);
    }
    if (extra > 0)
        template_fail(ev, "macro '%s' takes not more than %zu arguments", macro_name(node),
                      signature->n);
    return extra == 0;
}

static struct template_value *call_macro(struct eval *ev, const struct macro *macro,
                                         const struct call_args *args)
{
    const struct node *node = macro->node;
    struct frame *frame = template_frame_new(ev, macro->frame);
    bool *taken = template_alloc(ev, args->keywords_n + 1, sizeof *taken);
    if (frame == NULL || taken == NULL || !bind_given(ev, node, args, frame, taken) ||
        !bind_special(ev, node, args, frame, taken))
        return NULL;
    struct frame *caller_frame = ev->frame;
    size_t mark = template_mark(ev);
    ev->frame = frame;
    bool ok = bind_fallbacks(ev, node, frame) && template_exec(ev, node->u.macro.body) == FLOW_NEXT;
    ev->frame = caller_frame;
    return ok ? template_take(ev, mark) : NULL;
}

/* ---- the rest --------------------------------------------------------------------------------- */

/* loop(items) in a recursive loop: its text for the inner items. */
static struct template_value *call_loop(struct eval *ev, const struct loop *loop,
                                        const struct call_args *args)
{
    if (!loop->node->u.loop.recursive)
        return template_fail(ev, "the loop needs the 'recursive' marker to be called");
    if (args->n != 1 || args->keywords_n != 0)
        return template_fail(ev, "a recursive loop takes one argument");
    size_t mark = template_mark(ev);
    if (template_run_loop(ev, loop->node, loop->frame, args->items[0], loop->depth0 + 1) ==
        FLOW_FAIL)
        return NULL;
    return template_take(ev, mark);
}

static struct template_value *call_value(struct eval *ev, struct template_value *callee,
                                         const struct call_args *args)
{
    switch ((int)callee->kind) {
    case VALUE_BUILTIN:
        return template_builtin_call(ev, callee->u.function.builtin, callee->u.function.self, args);
    case VALUE_MACRO: return call_macro(ev, &callee->u.macro, args);
    case VALUE_LOOP: return call_loop(ev, callee->u.loop, args);
    case VALUE_JOINER:
        if (callee->used)
            return callee->u.separator;
        callee->used = true;
        return ev->values->empty;
    default: return template_fail_type(ev, "not callable", callee);
    }
}

struct template_value *template_call(struct eval *ev, struct template_value *callee,
                                     const struct call_args *args)
{
    if (!template_enter(ev))
        return NULL;
    struct template_value *result = call_value(ev, callee, args);
    template_leave(ev);
    return result;
}
