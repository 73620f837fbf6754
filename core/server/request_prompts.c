/* See request_prompts.h. */
#include "request_prompts.h"

#include "server_limits.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

bool request_ids(struct json_object *array, const char *path, int32_t **ret, size_t *ret_n,
                 struct api_error *error)
{
    size_t n = json_object_array_length(array);
    if (n > SERVER_TOKENS_MAX) {
        api_error_param(error, path, "%s: %zu tokens, at most %zu", path, n, SERVER_TOKENS_MAX);
        return false;
    }
    int32_t *ids = calloc(n > 0 ? n : 1, sizeof *ids);
    if (ids == NULL) {
        api_error_set(error, 500, NULL, "out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        int64_t id = 0;
        if (!fields_is_int(item, 0, INT32_MAX, &id)) {
            struct fields f = {.path = path, .error = error};
            char name[32];
            (void)snprintf(name, sizeof name, "[%zu]", i);
            fields_fail(&f, name, "expected a token id, got %s",
                        json_object_is_type(item, json_type_int) ? json_object_get_string(item)
                                                                 : fields_type_name(item));
            free(ids);
            return false;
        }
        ids[i] = (int32_t)id;
    }
    *ret = ids;
    *ret_n = n;
    return true;
}

static void set_text(struct json_object *value, struct request_prompt *prompt)
{
    prompt->text = json_object_get_string(value);
    prompt->text_bytes = (size_t)json_object_get_string_len(value);
}

static bool one_prompt(const struct fields *f, struct json_object *value, const char *name,
                       struct request_prompt *prompt)
{
    if (json_object_is_type(value, json_type_string)) {
        set_text(value, prompt);
        return true;
    }
    if (json_object_is_type(value, json_type_array))
        return request_ids(value, name, &prompt->ids, &prompt->n_ids, f->error);
    fields_fail(f, name, "expected string or array of token ids, got %s", fields_type_name(value));
    return false;
}

static void many_prompts(const struct fields *f, struct json_object *list, struct request *r)
{
    size_t n = json_object_array_length(list);
    if (n > SERVER_PROMPTS_MAX) {
        fields_fail(f, "prompt", "%zu prompts, at most %d", n, SERVER_PROMPTS_MAX);
        return;
    }
    r->prompts = calloc(n, sizeof *r->prompts);
    if (r->prompts == NULL) {
        api_error_set(f->error, 500, NULL, "out of memory");
        return;
    }
    enum json_type type = json_object_get_type(json_object_array_get_idx(list, 0));
    for (size_t i = 0; i < n; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "prompt[%zu]", i);
        struct json_object *item = json_object_array_get_idx(list, i);
        if (json_object_get_type(item) != type) {
            fields_fail(f, name, "expected %s as prompt[0] is, got %s",
                        type == json_type_string ? "string" : "array", fields_type_name(item));
            return;
        }
        r->n_prompts++;
        if (!one_prompt(f, item, name, &r->prompts[i]))
            return;
    }
}

void request_parse_prompts(const struct fields *f, struct request *r)
{
    struct json_object *prompt = fields_get(f, "prompt");
    if (prompt == NULL) {
        fields_fail(f, "prompt", "required");
        return;
    }
    bool array = json_object_is_type(prompt, json_type_array);
    bool empty = array && json_object_array_length(prompt) == 0;
    struct json_object *first = array && !empty ? json_object_array_get_idx(prompt, 0) : NULL;
    if (empty) {
        fields_fail(f, "prompt", "must not be empty");
    } else if (array && (json_object_is_type(first, json_type_string) ||
                         json_object_is_type(first, json_type_array))) {
        many_prompts(f, prompt, r);
    } else {
        r->prompts = calloc(1, sizeof *r->prompts);
        if (r->prompts == NULL) {
            api_error_set(f->error, 500, NULL, "out of memory");
            return;
        }
        r->n_prompts = 1;
        (void)one_prompt(f, prompt, "prompt", &r->prompts[0]);
    }
}
