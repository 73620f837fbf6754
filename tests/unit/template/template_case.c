/* See template_case.h. */
#include "template_case.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define CASE_FILE_MAX  (64u << 20)
#define CASE_DEPTH_MAX 512

static struct template_value *dict_value(struct template_values *values, json_object *json)
{
    struct template_value *dict = template_dict(values);
    json_object_object_foreach(json, key, item)
    {
        if (!template_dict_set(values, dict, key, strlen(key), template_case_value(values, item)))
            return NULL;
    }
    return dict;
}

static struct template_value *list_value(struct template_values *values, json_object *json)
{
    struct template_value *list = template_list(values);
    for (size_t i = 0; i < json_object_array_length(json); i++)
        if (!template_list_add(values, list,
                               template_case_value(values, json_object_array_get_idx(json, i))))
            return NULL;
    return list;
}

struct template_value *template_case_value(struct template_values *values, json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_null: return template_none(values);
    case json_type_boolean: return template_bool(values, json_object_get_boolean(json));
    case json_type_int: return template_int(values, json_object_get_int64(json));
    case json_type_double: return template_float(values, json_object_get_double(json));
    case json_type_string:
        return template_string(values, json_object_get_string(json),
                               (size_t)json_object_get_string_len(json));
    case json_type_array: return list_value(values, json);
    case json_type_object: return dict_value(values, json);
    }
    return NULL;
}

static enum pl_status render(const struct template *tmpl, json_object *globals, int64_t now_unix_s,
                             char **ret, size_t *ret_bytes, struct pl_error *err)
{
    struct template_values *values = NULL;
    enum pl_status status = template_values_new(&values, err);
    if (status != PL_OK)
        return status;
    struct template_context context = {.now_unix_s = now_unix_s};
    struct template_value *variables = globals != NULL ? dict_value(values, globals) : NULL;
    context.globals = variables;
    if (globals != NULL && variables == NULL)
        status = pl_error_set(err, PL_ENOMEM, "template: out of memory");
    else
        status = template_render(tmpl, values, &context, ret, ret_bytes, err);
    template_values_free(values);
    return status;
}

enum pl_status template_case_render(const char *source, size_t n, json_object *globals,
                                    int64_t now_unix_s, char **ret, size_t *ret_bytes,
                                    struct pl_error *err)
{
    struct template *tmpl = NULL;
    enum pl_status status = template_parse(source, n, &tmpl, err);
    if (status != PL_OK)
        return status;
    status = render(tmpl, globals, now_unix_s, ret, ret_bytes, err);
    template_free(tmpl);
    return status;
}

json_object *template_case_read(const char *path)
{
    char *text = NULL;
    size_t n = 0;
    json_tokener *parser = json_tokener_new_ex(CASE_DEPTH_MAX);
    json_object *json = NULL;
    if (parser != NULL && file_read(path, CASE_FILE_MAX, &text, &n, NULL) == PL_OK)
        json = json_tokener_parse_ex(parser, text, (int)n + 1);
    json_tokener_free(parser);
    free(text);
    return json;
}
