/*
 * template/eval.h - the state of one render, and what the evaluator's files share.
 *
 * Variables live in frames. A frame is made by the template, each turn of a for statement, with, a
 * macro call and each block that renders into a string; a lookup walks outwards along the frames of the
 * source text, then the caller's globals, then the built-in functions. `set` binds in the innermost
 * frame, which is why a loop can't change a variable outside of it and namespace() exists:
 *
 *     turn of inner for -> turn of outer for -> template -> context.globals -> template_globals
 *
 * Text is built at the end of `out`: a filter marks its length, appends, and takes what is behind the
 * mark as a string. So no function has a buffer to free, and one bound covers all text.
 *
 * Errors: the first failure sets status and the message, and everything returns NULL or false up to
 * the top.  Limits: template_limits.h.  Threads: one render, one thread.  Source: ours.
 */
#ifndef TEMPLATE_EVAL_H
#define TEMPLATE_EVAL_H

#include "builtins.h"
#include "syntax.h"

#include <base/buf.h>

struct binding {
    const struct name *name;
    struct template_value *value;
};

struct frame {
    struct frame *parent; /* NULL: the template's */
    struct binding *vars;
    size_t n;
    size_t capacity;
    bool
        pinned; /* something that outlives it may look here: a for statement doesn't use it again */
};

struct eval {
    const struct template *tmpl;
    struct template_values *values;
    const struct template_context *context;
    struct buf out;
    struct frame *root;
    struct frame *frame;
    uint64_t steps;
    unsigned depth;
    int line; /* of the node at work */
    enum pl_status status;
    struct pl_error *err;
};

/* The state of a for statement. */
struct loop {
    const struct node *node;       /* NODE_FOR */
    struct frame *frame;           /* around the statement */
    struct frame *turn;            /* of the last turn: used again unless pinned; may be NULL */
    struct frame *probe;           /* of the last test: the same */
    struct template_value **items; /* the source */
    size_t n;
    size_t pos;                     /* items before it are read */
    struct template_value *current; /* NULL before the first turn */
    struct template_value *before;
    struct template_value *after; /* read ahead; NULL: not yet */
    bool ended;                   /* nothing to read ahead */
    bool read;                    /* length is known */
    int64_t length;
    int64_t index0;
    int64_t depth0;
    struct template_value *changed; /* tuple of the last call of loop.changed; NULL before */
};

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAIL };

struct seq {
    struct template_value **items;
    size_t n;
};

/* ---- failing and bounds: eval_state.c --------------------------------------------------------- */

/* Each returns NULL. */
void *template_fail(struct eval *ev, const char *fmt, ...) PL_PRINTF(2, 3);
void *template_fail_limit(struct eval *ev, const char *what);
void *template_fail_nomem(struct eval *ev);
void *template_fail_undefined(struct eval *ev, const struct template_value *value);
void *template_fail_type(struct eval *ev, const char *what,
                         const struct template_value *value); /* what: 'T' */

/* Pays for work; false once the bound is reached. */
PL_NODISCARD bool template_step(struct eval *ev, size_t steps);
PL_NODISCARD bool template_step_bytes(struct eval *ev, size_t bytes);
PL_NODISCARD bool template_enter(struct eval *ev);
void template_leave(struct eval *ev);

/* From the values' arena, zeroed. */
void *template_alloc(struct eval *ev, size_t n, size_t elem_bytes);

/* value, or a failure where a constructor returned NULL */
struct template_value *template_check(struct eval *ev, struct template_value *value);

struct template_value *template_undefined(struct eval *ev, const char *what);
struct template_value *template_undefined_name(struct eval *ev, struct template_value *name,
                                               const char *owner);

/* ---- variables: eval_state.c ------------------------------------------------------------------ */

struct frame *template_frame_new(struct eval *ev, struct frame *parent);
/* *slot emptied, or a new one in it where there is none or it is pinned. */
struct frame *template_frame_reuse(struct eval *ev, struct frame *parent, struct frame **slot);
void template_frame_pin(struct frame *frame); /* and those around it */
PL_NODISCARD bool template_bind(struct eval *ev, struct frame *frame, const struct name *name,
                                struct template_value *value);
struct template_value *template_lookup(struct eval *ev, const struct name *name);

/* ---- text: text.c ----------------------------------------------------------------------------- */

PL_NODISCARD bool template_put(struct eval *ev, const char *text, size_t n);
PL_NODISCARD bool template_put_char(struct eval *ev, char c);
PL_NODISCARD bool template_put_text(struct eval *ev, const char *text);
PL_NODISCARD bool template_put_code(struct eval *ev, uint32_t code);
PL_NODISCARD bool template_put_fill(struct eval *ev, const char *fill, size_t fill_n, size_t times);
PL_NODISCARD bool template_put_str(struct eval *ev, const struct template_value *value); /* str() */
PL_NODISCARD bool template_put_repr(struct eval *ev,
                                    const struct template_value *value); /* repr() */
PL_NODISCARD bool template_put_escaped(struct eval *ev,
                                       const struct template_value *value); /* for HTML */

static inline size_t template_mark(const struct eval *ev)
{
    return ev->out.len;
}
/* What was put behind the mark, as a string, and out is as before. */
struct template_value *template_take(struct eval *ev, size_t mark);
void template_drop(struct eval *ev, size_t mark);

struct template_value *template_str(struct eval *ev, struct template_value *value);
struct template_value *template_markup(struct eval *ev, struct template_value *string);
/* The same string, not marked safe; of another value its str(). */
struct template_value *template_unmarked(struct eval *ev, struct template_value *value);
struct template_value *template_escape(struct eval *ev, struct template_value *value);
struct template_value *template_substring(struct eval *ev, const struct template_value *string,
                                          size_t start, size_t end);
size_t template_format_double(double d, char ret[40]); /* repr of a float */

/* ---- values: value_ops.c ---------------------------------------------------------------------- */

const char *template_type_name(const struct template_value *value);
bool template_truth(const struct template_value *value);
bool template_is_number(const struct template_value *value);            /* bool, int or float */
bool template_as_int(const struct template_value *value, int64_t *ret); /* bool or int */
double template_as_double(const struct template_value *value);          /* of a number */
PL_NODISCARD bool template_equal(struct eval *ev, const struct template_value *a,
                                 const struct template_value *b, bool *ret);
PL_NODISCARD bool template_less(struct eval *ev, const struct template_value *a,
                                const struct template_value *b, bool *ret);
PL_NODISCARD bool template_contains(struct eval *ev, struct template_value *container,
                                    struct template_value *item, bool *ret);
PL_NODISCARD bool template_hash(struct eval *ev, const struct template_value *value, uint64_t *ret);
bool template_hashable(const struct template_value *value);
/* *ret: the entry or NULL. */
PL_NODISCARD bool template_dict_find(struct eval *ev, const struct dict *dict,
                                     struct template_value *key, struct dict_entry **ret);
PL_NODISCARD bool template_dict_put(struct eval *ev, struct dict *dict, struct template_value *key,
                                    struct template_value *item);
bool template_has_length(const struct template_value *value);
PL_NODISCARD bool template_length(struct eval *ev, const struct template_value *value, size_t *ret);
bool template_is_iterable(const struct template_value *value);
/* All items; reads a generator to its end. */
PL_NODISCARD bool template_iterate(struct eval *ev, struct template_value *value, struct seq *ret);
struct template_value *template_range_at(struct eval *ev, const struct template_value *range,
                                         size_t i);
/* Stable; keys[i] belongs to items[i]; keys may be items. */
PL_NODISCARD bool template_sort(struct eval *ev, struct template_value **items,
                                struct template_value **keys, size_t n, bool reverse);

/* ---- operators and access: eval_ops.c, access.c ----------------------------------------------- */

struct template_value *template_binary(struct eval *ev, enum op_kind op, struct template_value *a,
                                       struct template_value *b);
PL_NODISCARD bool template_compare(struct eval *ev, enum op_kind op, struct template_value *a,
                                   struct template_value *b, bool *ret);
struct template_value *template_concat(struct eval *ev, struct template_value *a,
                                       struct template_value *b); /* strings */
struct template_value *template_getattr(struct eval *ev, struct template_value *object,
                                        struct template_value *name);
struct template_value *template_getitem(struct eval *ev, struct template_value *object,
                                        struct template_value *key);
/* bounds may be NULL or none */
struct template_value *template_slice(struct eval *ev, struct template_value *object,
                                      struct template_value *start, struct template_value *stop,
                                      struct template_value *step);
/* The attribute alone, without falling back to an item; NULL without failure where there is none. */
struct template_value *template_attribute(struct eval *ev, struct template_value *object,
                                          const char *name, size_t n);
struct template_value *template_loop_attribute(struct eval *ev, struct loop *loop, const char *name,
                                               size_t n);

/* ---- the walk: eval_expr.c, eval_stmt.c, eval_call.c ------------------------------------------ */

struct template_value *template_eval(struct eval *ev, const struct node *node);
enum flow template_exec(struct eval *ev, const struct node *list);
PL_NODISCARD bool template_assign(struct eval *ev, const struct node *target,
                                  struct template_value *value);
PL_NODISCARD bool template_eval_args(struct eval *ev, const struct argument *arguments,
                                     struct call_args *ret);
struct template_value *template_call(struct eval *ev, struct template_value *callee,
                                     const struct call_args *args);
struct template_value *template_apply_filter(struct eval *ev, const struct node *node,
                                             struct template_value *operand);
/* Renders a for statement; recursive calls come here too. */
PL_NODISCARD enum flow template_run_loop(struct eval *ev, const struct node *node,
                                         struct frame *frame, struct template_value *source,
                                         int64_t depth0);

/* ---- formatting: format_percent.c, format_spec.c ---------------------------------------------- */

struct template_value *template_format_percent(struct eval *ev, struct template_value *format,
                                               struct template_value *arg);
struct template_value *template_format_braces(struct eval *ev, struct template_value *format,
                                              const struct call_args *args);

#endif
