/*
 * template/render.c - the room's door: parse, render, free. See template.h.
 */
#include "eval.h"

#include <stdlib.h>

#include "base/banned.h"

static enum pl_status parse(struct template *tmpl, const char *source, size_t n,
                            struct pl_error *err)
{
    struct template_values *values = &tmpl->values;
    struct parser parser = {.tmpl = tmpl, .err = err};
    enum pl_status status = template_lex(values, source, n, &parser.token, err);
    if (status != PL_OK)
        return status;
    tmpl->name_loop = template_intern(tmpl, "loop", 4);
    tmpl->name_caller = template_intern(tmpl, "caller", 6);
    tmpl->name_varargs = template_intern(tmpl, "varargs", 7);
    tmpl->name_kwargs = template_intern(tmpl, "kwargs", 6);
    if (tmpl->name_loop == NULL || tmpl->name_caller == NULL || tmpl->name_varargs == NULL ||
        tmpl->name_kwargs == NULL)
        return pl_error_set(err, PL_ENOMEM, "template: out of memory");
    if (!template_parse_template(&parser, &tmpl->body))
        return parser.status;
    return PL_OK;
}

enum pl_status template_parse(const char *source, size_t n, struct template **ret,
                              struct pl_error *err)
{
    if (n > TEMPLATE_SOURCE_BYTES_MAX)
        return pl_error_set(err, PL_ELIMIT, "template: the source is larger than %zu bytes",
                            TEMPLATE_SOURCE_BYTES_MAX);
    struct template *tmpl = calloc(1, sizeof *tmpl);
    if (tmpl == NULL || template_values_init(&tmpl->values, TEMPLATE_TREE_BYTES_MAX) != PL_OK) {
        free(tmpl);
        return pl_error_set(err, PL_ENOMEM, "template: out of memory");
    }
    enum pl_status status = parse(tmpl, source, n, err);
    if (status != PL_OK) {
        template_free(tmpl);
        return status;
    }
    *ret = tmpl;
    return PL_OK;
}

void template_free(struct template *tmpl)
{
    if (tmpl == NULL)
        return;
    template_values_deinit(&tmpl->values);
    free(tmpl);
}

enum pl_status template_render(const struct template *tmpl, struct template_values *values,
                               const struct template_context *context, char **ret,
                               size_t *ret_bytes, struct pl_error *err)
{
    struct eval ev = {.tmpl = tmpl, .values = values, .context = context, .line = 1, .err = err};
    if (context->globals != NULL && context->globals->kind != VALUE_DICT)
        return pl_error_set(err, PL_EINVAL, "template: globals are not a dict");
    buf_init(&ev.out, TEMPLATE_OUTPUT_BYTES_MAX);
    ev.root = ev.frame = template_frame_new(&ev, NULL);
    if (ev.frame != NULL)
        (void)template_exec(&ev, tmpl->body);
    size_t bytes = ev.out.len;
    char *text = ev.status == PL_OK ? buf_take(&ev.out) : NULL;
    buf_deinit(&ev.out);
    if (ev.status != PL_OK)
        return ev.status;
    if (text == NULL)
        return pl_error_set(err, PL_ENOMEM, "template: out of memory");
    *ret = text;
    *ret_bytes = bytes;
    return PL_OK;
}
