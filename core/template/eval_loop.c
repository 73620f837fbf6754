/*
 * template/eval_loop.c - for statements and their variable `loop`.
 *
 * Items pass through the statement's own test one by one, as they are read: the test may depend on what
 * the body did to a namespace. loop.last and loop.nextitem read one item ahead, loop.length all.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* The item passes the test of the statement. */
static bool passes(struct eval *ev, struct loop *loop, struct template_value *item, bool *ret)
{
    const struct node *node = loop->node;
    struct frame *outer = ev->frame;
    struct frame *frame = template_frame_reuse(ev, loop->frame, &loop->probe);
    if (frame == NULL)
        return false;
    ev->frame = frame;
    struct template_value *test = template_assign(ev, node->u.loop.target, item)
                                      ? template_eval(ev, node->u.loop.test)
                                      : NULL;
    ev->frame = outer;
    if (test != NULL)
        *ret = template_truth(test);
    return test != NULL;
}

/* The next item, or NULL in *ret at the end. */
static bool fetch(struct eval *ev, struct loop *loop, struct template_value **ret)
{
    *ret = NULL;
    while (loop->pos < loop->n) {
        struct template_value *item = loop->items[loop->pos++];
        bool wanted = true;
        if (loop->node->u.loop.test != NULL && !loop->read && !passes(ev, loop, item, &wanted))
            return false;
        if (wanted) {
            *ret = item;
            return true;
        }
    }
    return true;
}

static bool peek(struct eval *ev, struct loop *loop)
{
    if (loop->after != NULL || loop->ended)
        return true;
    if (!fetch(ev, loop, &loop->after))
        return false;
    loop->ended = loop->after == NULL;
    return true;
}

/* Reads what is left through the test, so that its number is known. */
static bool read_all(struct eval *ev, struct loop *loop)
{
    struct template_value **items = template_alloc(ev, loop->n - loop->pos, sizeof(void *));
    size_t n = 0;
    if (items == NULL)
        return false;
    while (loop->pos < loop->n) {
        struct template_value *item = loop->items[loop->pos++];
        bool wanted = true;
        if (loop->node->u.loop.test != NULL && !passes(ev, loop, item, &wanted))
            return false;
        if (wanted)
            items[n++] = item;
    }
    loop->items = items;
    loop->n = n;
    loop->pos = 0;
    loop->read = true;
    loop->length = (int64_t)n + loop->index0 + 1 + (loop->after != NULL);
    return true;
}

static struct template_value *loop_length(struct eval *ev, struct loop *loop, int64_t less)
{
    if (!loop->read) {
        if (loop->node->u.loop.test == NULL) {
            loop->length = (int64_t)loop->n;
            loop->read = true;
        } else if (!read_all(ev, loop)) {
            return NULL;
        }
    }
    return template_check(ev, template_int(ev->values, loop->length - less));
}

static bool is(const char *name, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(name, text, n) == 0;
}

static struct template_value *neighbour(struct eval *ev, struct template_value *item,
                                        const char *what)
{
    return item != NULL ? item : template_undefined(ev, what);
}

struct template_value *template_loop_attribute(struct eval *ev, struct loop *loop, const char *name,
                                               size_t n)
{
    struct template_values *values = ev->values;
    if (is(name, n, "index"))
        return template_check(ev, template_int(values, loop->index0 + 1));
    if (is(name, n, "index0"))
        return template_check(ev, template_int(values, loop->index0));
    if (is(name, n, "first"))
        return template_bool(values, loop->index0 == 0);
    if (is(name, n, "last"))
        return peek(ev, loop) ? template_bool(values, loop->after == NULL) : NULL;
    if (is(name, n, "length"))
        return loop_length(ev, loop, 0);
    if (is(name, n, "revindex"))
        return loop_length(ev, loop, loop->index0);
    if (is(name, n, "revindex0"))
        return loop_length(ev, loop, loop->index0 + 1);
    if (is(name, n, "previtem"))
        return neighbour(ev, loop->index0 > 0 ? loop->before : NULL, "there is no previous item");
    if (is(name, n, "nextitem"))
        return peek(ev, loop) ? neighbour(ev, loop->after, "there is no next item") : NULL;
    if (is(name, n, "depth"))
        return template_check(ev, template_int(values, loop->depth0 + 1));
    if (is(name, n, "depth0"))
        return template_check(ev, template_int(values, loop->depth0));
    return NULL;
}

static bool next_item(struct eval *ev, struct loop *loop, struct template_value **ret)
{
    struct template_value *item = loop->after;
    loop->after = NULL;
    if (item == NULL && !loop->ended && !fetch(ev, loop, &item))
        return false;
    *ret = item;
    if (item != NULL) {
        loop->index0++;
        loop->before = loop->current;
        loop->current = item;
    }
    return true;
}

/* One turn of the body, in a frame without variables. */
static enum flow run_body(struct eval *ev, struct loop *loop, struct template_value *loop_value,
                          struct template_value *item)
{
    struct frame *frame = template_frame_reuse(ev, loop->frame, &loop->turn);
    if (frame == NULL)
        return FLOW_FAIL;
    ev->frame = frame;
    ev->line = loop->node->line;
    if (!template_bind(ev, frame, ev->tmpl->name_loop, loop_value) ||
        !template_assign(ev, loop->node->u.loop.target, item))
        return FLOW_FAIL;
    return template_exec(ev, loop->node->u.loop.body);
}

static enum flow run_else(struct eval *ev, const struct loop *loop)
{
    struct frame *frame = template_frame_new(ev, loop->frame);
    if (frame == NULL)
        return FLOW_FAIL;
    ev->frame = frame;
    return template_exec(ev, loop->node->u.loop.other);
}

static enum flow run_turns(struct eval *ev, struct loop *loop, struct template_value *loop_value)
{
    enum flow flow = FLOW_NEXT;
    bool completed = false; /* a turn reached the end of the body */
    while (flow != FLOW_BREAK) {
        struct template_value *item = NULL;
        if (!template_step(ev, 1) || !next_item(ev, loop, &item))
            return FLOW_FAIL;
        if (item == NULL)
            break;
        flow = run_body(ev, loop, loop_value, item);
        if (flow == FLOW_FAIL)
            return FLOW_FAIL;
        completed = completed || flow == FLOW_NEXT;
    }
    return completed ? FLOW_NEXT : run_else(ev, loop);
}

enum flow template_run_loop(struct eval *ev, const struct node *node, struct frame *frame,
                            struct template_value *source, int64_t depth0)
{
    struct loop *loop = template_alloc(ev, 1, sizeof *loop);
    struct template_value *loop_value =
        template_check(ev, template_value_new(ev->values, VALUE_LOOP));
    struct seq seq;
    if (loop == NULL || loop_value == NULL || !template_iterate(ev, source, &seq))
        return FLOW_FAIL;
    *loop = (struct loop){.node = node,
                          .frame = frame,
                          .items = seq.items,
                          .n = seq.n,
                          .index0 = -1,
                          .depth0 = depth0};
    loop_value->u.loop = loop;
    if (node->u.loop.recursive) /* loop(...) may be called when this is over */
        template_frame_pin(frame);
    struct frame *outer = ev->frame;
    enum flow flow = run_turns(ev, loop, loop_value);
    ev->frame = outer;
    return flow;
}
