/*
 * bench/load_reply.c - what an OpenAI-compatible server answers.
 */
#include "load.h"

#include <json-c/json.h>
#include <string.h>

#include "base/banned.h"

#define REPLY_DEPTH_MAX 64

static json_object *parse(const char *json, size_t n)
{
    struct json_tokener *parser = json_tokener_new_ex(REPLY_DEPTH_MAX);
    if (parser == NULL || n >= INT32_MAX) {
        json_tokener_free(parser);
        return NULL;
    }
    json_object *root = json_tokener_parse_ex(parser, json, (int)n);
    json_tokener_free(parser);
    return root;
}

/* A member of an object; NULL if there is none, or for another kind of value. */
static json_object *member(json_object *from, const char *name, enum json_type type)
{
    json_object *value = NULL;
    if (!json_object_is_type(from, json_type_object) ||
        !json_object_object_get_ex(from, name, &value) || !json_object_is_type(value, type))
        return NULL;
    return value;
}

static bool has_text(json_object *from, const char *name)
{
    json_object *text = member(from, name, json_type_string);
    return text != NULL && json_object_get_string_len(text) > 0;
}

static int64_t number(json_object *from, const char *name)
{
    json_object *value = member(from, name, json_type_int);
    return value == NULL ? -1 : json_object_get_int64(value);
}

static void read_choice(json_object *root, struct load_reply *ret)
{
    json_object *choices = member(root, "choices", json_type_array);
    if (choices == NULL || json_object_array_length(choices) == 0)
        return;
    json_object *choice = json_object_array_get_idx(choices, 0);
    json_object *delta = member(choice, "delta", json_type_object);
    json_object *whole = member(choice, "message", json_type_object);
    ret->has_text = has_text(choice, "text") || has_text(delta, "content") ||
                    has_text(delta, "reasoning_content") || has_text(whole, "content");
    ret->finished = member(choice, "finish_reason", json_type_string) != NULL;
}

/* {"error": {"message": ...}} or {"error": "..."}. */
static void read_error(json_object *root, struct load_reply *ret)
{
    json_object *error = NULL;
    if (!json_object_object_get_ex(root, "error", &error) || error == NULL)
        return;
    json_object *text = json_object_is_type(error, json_type_string)
                            ? error
                            : member(error, "message", json_type_string);
    ret->failed = true;
    snprintf(ret->message, sizeof ret->message, "%s",
             text == NULL ? "an error without a message" : json_object_get_string(text));
}

bool load_read_reply(const char *json, size_t n, struct load_reply *ret)
{
    *ret = (struct load_reply){.usage = {-1, -1, -1}};
    json_object *root = parse(json, n);
    bool ok = json_object_is_type(root, json_type_object);
    if (ok) {
        read_choice(root, ret);
        read_error(root, ret);
        json_object *usage = member(root, "usage", json_type_object);
        ret->usage.prompt_tokens = number(usage, "prompt_tokens");
        ret->usage.completion_tokens = number(usage, "completion_tokens");
        ret->usage.cached_tokens =
            number(member(usage, "prompt_tokens_details", json_type_object), "cached_tokens");
    }
    json_object_put(root);
    return ok;
}

bool load_read_model(const char *json, size_t n, char ret[LOAD_NAME_MAX])
{
    json_object *root = parse(json, n);
    json_object *data = member(root, "data", json_type_array);
    json_object *first = data == NULL || json_object_array_length(data) == 0
                             ? NULL
                             : json_object_array_get_idx(data, 0);
    json_object *id = member(first, "id", json_type_string);
    bool ok = id != NULL && json_object_get_string_len(id) < LOAD_NAME_MAX;
    if (ok)
        snprintf(ret, LOAD_NAME_MAX, "%s", json_object_get_string(id));
    json_object_put(root);
    return ok;
}
