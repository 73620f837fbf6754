/*
 * template/eval_state.c - failing, bounds, variables of a render. See eval.h.
 */
#include "eval.h"

#include <stdarg.h>
#include <string.h>

#include "base/banned.h"

#define STEP_BYTES 64 /* bytes looked at for one step */

void *template_fail(struct eval *ev, const char *fmt, ...)
{
    if (ev->status != PL_OK)
        return NULL;
    char what[PL_ERROR_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    ev->status = pl_error_set(ev->err, PL_EFORMAT, "template: line %d: %s", ev->line, what);
    return NULL;
}

void *template_fail_limit(struct eval *ev, const char *what)
{
    if (ev->status == PL_OK)
        ev->status = pl_error_set(ev->err, PL_ELIMIT, "template: line %d: %s", ev->line, what);
    return NULL;
}

void *template_fail_nomem(struct eval *ev)
{
    const struct arena *arena = &ev->values->arena;
    if (arena->used_bytes + TEMPLATE_OUTPUT_BYTES_MAX >
        arena->budget_bytes) /* what was asked for? */
        return template_fail_limit(ev, "too much memory used");
    if (ev->status == PL_OK)
        ev->status = pl_error_set(ev->err, PL_ENOMEM, "template: out of memory");
    return NULL;
}

void *template_fail_undefined(struct eval *ev, const struct template_value *value)
{
    const struct template_value *name = value->u.undefined.name;
    if (value->u.undefined.what != NULL)
        return template_fail(ev, "%s", value->u.undefined.what);
    if (name == NULL || name->kind != VALUE_STRING)
        return template_fail(ev, "%s object has no such element",
                             value->u.undefined.owner != NULL ? value->u.undefined.owner : "the");
    int n = (int)PL_MIN(name->u.string.bytes, (size_t)100);
    if (value->u.undefined.owner == NULL)
        return template_fail(ev, "'%.*s' is undefined", n, name->u.string.text);
    return template_fail(ev, "'%s object' has no attribute '%.*s'", value->u.undefined.owner, n,
                         name->u.string.text);
}

void *template_fail_type(struct eval *ev, const char *what, const struct template_value *value)
{
    if (value->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, value);
    return template_fail(ev, "%s: '%s'", what, template_type_name(value));
}

bool template_step(struct eval *ev, size_t steps)
{
    if (ev->status != PL_OK)
        return false;
    ev->steps += steps;
    if (ev->steps > TEMPLATE_STEPS_MAX) {
        template_fail_limit(ev, "too many steps");
        return false;
    }
    return true;
}

bool template_step_bytes(struct eval *ev, size_t bytes)
{
    return template_step(ev, bytes / STEP_BYTES);
}

bool template_enter(struct eval *ev)
{
    if (!template_step(ev, 1))
        return false;
    if (ev->depth >= TEMPLATE_EVAL_DEPTH_MAX) {
        template_fail_limit(ev, "nested too deep");
        return false;
    }
    ev->depth++;
    return true;
}

void template_leave(struct eval *ev)
{
    ev->depth--;
}

void *template_alloc(struct eval *ev, size_t n, size_t elem_bytes)
{
    if (ev->status != PL_OK)
        return NULL;
    const struct arena *arena = &ev->values->arena;
    size_t bytes = 0;
    if (!pl_mul_size(n, elem_bytes, &bytes) || bytes > arena->budget_bytes - arena->used_bytes)
        return template_fail_limit(ev, "too much memory used");
    void *p = arena_zalloc(&ev->values->arena, bytes);
    return p != NULL ? p : template_fail_nomem(ev);
}

struct template_value *template_check(struct eval *ev, struct template_value *value)
{
    if (value == NULL)
        return template_fail_nomem(ev);
    return ev->status == PL_OK ? value : NULL;
}

struct template_value *template_undefined(struct eval *ev, const char *what)
{
    struct template_value *value =
        template_check(ev, template_value_new(ev->values, VALUE_UNDEFINED));
    if (value != NULL)
        value->u.undefined.what = what;
    return value;
}

struct template_value *template_undefined_name(struct eval *ev, struct template_value *name,
                                               const char *owner)
{
    struct template_value *value = template_undefined(ev, NULL);
    if (value != NULL) {
        value->u.undefined.name = name;
        value->u.undefined.owner = owner;
    }
    return value;
}

/* ---- variables -------------------------------------------------------------------------------- */

struct frame *template_frame_new(struct eval *ev, struct frame *parent)
{
    struct frame *frame = template_alloc(ev, 1, sizeof *frame);
    if (frame != NULL)
        frame->parent = parent;
    return frame;
}

struct frame *template_frame_reuse(struct eval *ev, struct frame *parent, struct frame **slot)
{
    if (*slot == NULL || (*slot)->pinned)
        *slot = template_frame_new(ev, parent);
    else
        (*slot)->n = 0;
    return *slot;
}

void template_frame_pin(struct frame *frame)
{
    for (; frame != NULL && !frame->pinned; frame = frame->parent)
        frame->pinned = true;
}

static struct binding *find_binding(const struct frame *frame, const struct name *name)
{
    for (size_t i = 0; i < frame->n; i++)
        if (frame->vars[i].name == name)
            return &frame->vars[i];
    return NULL;
}

bool template_bind(struct eval *ev, struct frame *frame, const struct name *name,
                   struct template_value *value)
{
    struct binding *binding = find_binding(frame, name);
    if (!template_step(ev, frame->n / 16))
        return false;
    if (binding != NULL) {
        binding->value = value;
        return true;
    }
    if (frame->n == frame->capacity) {
        size_t capacity = PL_MAX(frame->capacity * 2, (size_t)4);
        struct binding *vars = template_alloc(ev, capacity, sizeof *vars);
        if (vars == NULL)
            return false;
        if (frame->n > 0)
            memcpy(vars, frame->vars, frame->n * sizeof *vars);
        frame->vars = vars;
        frame->capacity = capacity;
    }
    frame->vars[frame->n++] = (struct binding){.name = name, .value = value};
    return true;
}

static struct template_value *find_global(struct eval *ev, const struct name *name)
{
    const struct template_value *globals = ev->context->globals;
    if (globals != NULL) {
        struct dict_entry *entry = template_dict_find_text(globals->u.dict, name->text, name->n);
        if (entry != NULL)
            return entry->item;
    }
    const struct builtin *builtin = template_global_find(name->text, name->n);
    if (builtin == NULL)
        return template_undefined_name(ev, name->value, NULL);
    struct template_value *value =
        template_check(ev, template_value_new(ev->values, VALUE_BUILTIN));
    if (value != NULL)
        value->u.function.builtin = builtin;
    return value;
}

struct template_value *template_lookup(struct eval *ev, const struct name *name)
{
    for (const struct frame *frame = ev->frame; frame != NULL; frame = frame->parent) {
        const struct binding *binding = find_binding(frame, name);
        if (binding != NULL)
            return binding->value;
        if (!template_step(ev, frame->n / 16))
            return NULL;
    }
    return find_global(ev, name);
}
