/*
 * template_batch.c - renders templates in a loop, for template_diff.py: a line of JSON in, a line out.
 *
 *     {"source": "{{ a }}", "variables": {"a": 1}, "now": 1773500966}  ->  {"status": 0, "text": "1"}
 *
 * A failure gives its status and its message as text. Ends with its input; exit 1 for a line that isn't
 * such a case.
 */
#include "base/buf.h"
#include "base/json_writer.h"
#include "template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/template/value.h"

#include "base/banned.h"

#define OUT_MAX ((size_t)512 << 20)

static const struct template_value *member(const struct template_value *dict, const char *name)
{
    if (dict->kind != VALUE_DICT)
        return NULL;
    const struct dict_entry *entry = template_dict_find_text(dict->u.dict, name, strlen(name));
    return entry != NULL ? entry->item : NULL;
}

static enum pl_status render(const struct template_value *source, struct template_values *values,
                             const struct template_context *context, char **ret, size_t *ret_n,
                             struct pl_error *err)
{
    struct template *tmpl = NULL;
    enum pl_status status =
        template_parse(source->u.string.text, source->u.string.bytes, &tmpl, err);
    if (status == PL_OK)
        status = template_render(tmpl, values, context, ret, ret_n, err);
    template_free(tmpl);
    return status;
}

static bool put_answer(enum pl_status status, const char *text, size_t n)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, OUT_MAX);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "status");
    json_i64(&w, status);
    json_key(&w, "text");
    json_string(&w, text, n);
    json_object_end(&w);
    buf_char(&out, '\n');
    bool ok = !out.failed && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_deinit(&out);
    return ok;
}

static bool answer(struct template_values *values, const char *line, size_t n)
{
    struct pl_error err = {{0}};
    struct template_value *kase = NULL;
    if (template_json_read(values, line, n, &kase, &err) != PL_OK) {
        fprintf(stderr, "template_batch: %s\n", err.msg);
        return false;
    }
    const struct template_value *source = member(kase, "source");
    const struct template_value *now = member(kase, "now");
    struct template_value *const variables =
        (struct template_value *)(uintptr_t)member(kase, "variables");
    if (source == NULL || source->kind != VALUE_STRING ||
        (variables != NULL && variables->kind != VALUE_DICT))
        return false;
    struct template_context context = {.globals = variables};
    if (now != NULL && now->kind == VALUE_INT)
        context.now_unix_s = now->u.integer;
    char *text = NULL;
    size_t text_n = 0;
    enum pl_status status = render(source, values, &context, &text, &text_n, &err);
    bool ok = status == PL_OK ? put_answer(status, text, text_n)
                              : put_answer(status, err.msg, strlen(err.msg));
    free(text);
    return ok;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n = 0;
    bool ok = true;
    while (ok && (n = getline(&line, &capacity, stdin)) > 0) {
        struct template_values *values = NULL;
        ok = template_values_new(&values, NULL) == PL_OK && answer(values, line, (size_t)n);
        template_values_free(values);
    }
    free(line);
    return ok ? 0 : 1;
}
