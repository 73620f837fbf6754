/* See fields.h. */
#include "fields.h"

#include "json_check.h"
#include "server_limits.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/banned.h"

struct json_object *fields_parse(const char *text, size_t n, struct api_error *error)
{
    size_t at = 0;
    const char *wrong =
        n > INT_MAX - 1 ? "too long" : json_check(text, n, SERVER_JSON_DEPTH_MAX, &at);
    if (wrong != NULL) {
        api_error_param(error, NULL, "body is not valid JSON: %s at byte %zu", wrong, at);
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(SERVER_JSON_DEPTH_MAX + 1);
    struct json_object *tree =
        tokener != NULL ? json_tokener_parse_ex(tokener, text, (int)n) : NULL;
    if (tokener != NULL)
        json_tokener_free(tokener);
    if (!json_object_is_type(tree, json_type_object)) {
        /* well-formed by json_check: what json-c refuses now is no object (or memory is short) */
        api_error_param(error, NULL, "body: expected a JSON object");
        json_object_put(tree);
        return NULL;
    }
    return tree;
}

void fields_free(struct json_object *tree)
{
    json_object_put(tree);
}

const char *fields_type_name(const struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null: return "null";
    case json_type_boolean: return "boolean";
    case json_type_double:
    case json_type_int: return "number";
    case json_type_object: return "object";
    case json_type_array: return "array";
    case json_type_string: return "string";
    default: return "unknown";
    }
}

void fields_fail(const struct fields *f, const char *name, const char *fmt, ...)
{
    char what[384];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    char param[96];
    (void)snprintf(param, sizeof param, "%s%s%s", f->path,
                   f->path[0] != '\0' && name[0] != '\0' && name[0] != '[' ? "." : "", name);
    api_error_param(f->error, param, "%s: %s", param, what);
}

struct json_object *fields_get(const struct fields *f, const char *name)
{
    struct json_object *value = NULL;
    if (f->error->status != 0 || !json_object_object_get_ex(f->object, name, &value))
        return NULL;
    return value;
}

static struct json_object *get_typed(const struct fields *f, const char *name, enum json_type type,
                                     const char *type_name)
{
    struct json_object *value = fields_get(f, name);
    if (value != NULL && !json_object_is_type(value, type)) {
        fields_fail(f, name, "expected %s, got %s", type_name, fields_type_name(value));
        return NULL;
    }
    return value;
}

void fields_bool(const struct fields *f, const char *name, bool *ret)
{
    struct json_object *value = get_typed(f, name, json_type_boolean, "boolean");
    if (value != NULL)
        *ret = json_object_get_boolean(value) != 0;
}

bool fields_is_int(const struct json_object *value, int64_t min, int64_t max, int64_t *ret)
{
    if (!json_object_is_type(value, json_type_int))
        return false;
    int64_t i = json_object_get_int64(value); /* saturates beyond int64 */
    if (i < min || i > max)
        return false;
    *ret = i;
    return true;
}

void fields_i64(const struct fields *f, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    struct json_object *value = fields_get(f, name);
    if (value == NULL || fields_is_int(value, min, max, ret))
        return;
    if (!json_object_is_type(value, json_type_int)) {
        bool number = json_object_is_type(value, json_type_double);
        fields_fail(f, name, "expected integer, got %s",
                    number ? "a fraction" : fields_type_name(value));
        return;
    }
    fields_fail(f, name, "expected %lld to %lld, got %lld", (long long)min, (long long)max,
                (long long)json_object_get_int64(value));
}

void fields_f32(const struct fields *f, const char *name, double min, double max, float *ret)
{
    struct json_object *value = fields_get(f, name);
    if (value == NULL)
        return;
    if (!json_object_is_type(value, json_type_double) &&
        !json_object_is_type(value, json_type_int)) {
        fields_fail(f, name, "expected number, got %s", fields_type_name(value));
        return;
    }
    double d = json_object_get_double(value);
    if (!(d >= min && d <= max)) /* also refuses what overflowed to infinity */
        fields_fail(f, name, "expected %g to %g, got %g", min, max, d);
    else
        *ret = (float)d;
}

void fields_string(const struct fields *f, const char *name, const char **ret, size_t *ret_bytes)
{
    struct json_object *value = get_typed(f, name, json_type_string, "string");
    if (value == NULL)
        return;
    *ret = json_object_get_string(value);
    *ret_bytes = (size_t)json_object_get_string_len(value);
}

struct json_object *fields_object(const struct fields *f, const char *name)
{
    return get_typed(f, name, json_type_object, "object");
}

struct json_object *fields_array(const struct fields *f, const char *name)
{
    return get_typed(f, name, json_type_array, "array");
}
