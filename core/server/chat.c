/* See chat.h. */
#include "chat.h"

#include "server_limits.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "template/template.h"
#include "base/banned.h"

PL_AUTO_DEFINE(struct template_values, template_values_free)
PL_AUTO_DEFINE(struct token_ids, token_ids_free)

struct chat {
    struct template *tmpl;
    const struct token_vocab *vocab;
    const char *fallback; /* static, or NULL */
};

static const char CHATML[] =
    "{%- for m in messages -%}"
    "{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{ '<|im_start|>assistant\\n' }}"
    "{%- endif -%}";

static const char PLAIN[] = "{%- for m in messages -%}"
                            "{{ m.content or '' }}"
                            "{%- if not loop.last -%}{{ '\\n' }}{%- endif -%}"
                            "{%- endfor -%}";

/* The text is one special token of the vocabulary. */
static bool is_special(const struct token_vocab *vocab, const char *text)
{
    static const struct token_encode_options OPTIONS = {.parse_special = true};
    struct token_ids ids = {0};
    struct token_ids *freed PL_AUTO(token_ids_free) = &ids;
    (void)freed;
    if (token_encode(vocab, text, strlen(text), &OPTIONS, &ids, NULL) != PL_OK || ids.n != 1)
        return false;
    return (token_attrs(vocab, ids.ids[0]) & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_USER)) != 0;
}

enum pl_status chat_open(const char *source, const struct token_vocab *vocab, struct chat **ret,
                         struct pl_error *err)
{
    struct chat *chat = calloc(1, sizeof *chat);
    if (chat == NULL)
        return pl_error_set(err, PL_ENOMEM, "server: out of memory");
    chat->vocab = vocab;
    if (source == NULL) {
        bool chatml = is_special(vocab, "<|im_start|>") && is_special(vocab, "<|im_end|>");
        chat->fallback = chatml ? "chatml" : "plain";
        source = chatml ? CHATML : PLAIN;
    }
    enum pl_status status = template_parse(source, strlen(source), &chat->tmpl, err);
    if (status != PL_OK) {
        free(chat);
        return status;
    }
    *ret = chat;
    return PL_OK;
}

void chat_close(struct chat *chat)
{
    if (chat == NULL)
        return;
    template_free(chat->tmpl);
    free(chat);
}

const char *chat_fallback(const struct chat *chat)
{
    return chat->fallback;
}

/* ---- JSON to template values: NULL when out of memory ------------------------------------------ */

static struct template_value *from_json(struct template_values *values, struct json_object *json);

static struct template_value *from_string(struct template_values *values, struct json_object *json)
{
    return template_string(values, json_object_get_string(json),
                           (size_t)json_object_get_string_len(json));
}

static struct template_value *from_array(struct template_values *values, struct json_object *json)
{
    struct template_value *list = template_list(values);
    for (size_t i = 0; i < json_object_array_length(json); i++) {
        if (!template_list_add(values, list, from_json(values, json_object_array_get_idx(json, i))))
            return NULL;
    }
    return list;
}

static struct template_value *from_object(struct template_values *values, struct json_object *json)
{
    struct template_value *dict = template_dict(values);
    json_object_object_foreach(json, key, item)
    {
        if (!template_dict_set(values, dict, key, strlen(key), from_json(values, item)))
            return NULL;
    }
    return dict;
}

/* Recursion is bounded by SERVER_JSON_DEPTH_MAX. */
static struct template_value *from_json(struct template_values *values, struct json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_boolean: return template_bool(values, json_object_get_boolean(json) != 0);
    case json_type_double: return template_float(values, json_object_get_double(json));
    case json_type_int: return template_int(values, json_object_get_int64(json));
    case json_type_object: return from_object(values, json);
    case json_type_array: return from_array(values, json);
    case json_type_string: return from_string(values, json);
    case json_type_null:
    default: return template_none(values);
    }
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* Text parts become one string, joined by line ends: what templates written for strings expect. */
static struct template_value *content_value(struct template_values *values,
                                            struct json_object *content)
{
    if (!json_object_is_type(content, json_type_array))
        return from_json(values, content);
    struct buf text;
    buf_init(&text, SERVER_BODY_MAX);
    for (size_t i = 0; i < json_object_array_length(content); i++) {
        struct json_object *part =
            json_object_object_get(json_object_array_get_idx(content, i), "text");
        if (i > 0)
            buf_char(&text, '\n');
        buf_append(&text, json_object_get_string(part), (size_t)json_object_get_string_len(part));
    }
    struct template_value *value =
        text.failed ? NULL : template_string(values, text.data != NULL ? text.data : "", text.len);
    buf_deinit(&text);
    return value;
}

/* OpenAI carries a call's arguments as JSON text; templates want the object. Text that is no object is
 * passed as it is. */
static struct template_value *arguments_value(struct template_values *values,
                                              struct json_object *arguments)
{
    if (!json_object_is_type(arguments, json_type_string))
        return from_json(values, arguments);
    const char *text = json_object_get_string(arguments);
    size_t n = (size_t)json_object_get_string_len(arguments);
    struct template_value *value = NULL;
    bool object = text[strspn(text, " \t\r\n")] == '{';
    enum pl_status status = object ? template_json_read(values, text, n, &value, NULL) : PL_EFORMAT;
    if (status == PL_EFORMAT) /* not what the API promises: as the client wrote it */
        return from_string(values, arguments);
    return status == PL_OK ? value : NULL;
}

static struct template_value *function_value(struct template_values *values,
                                             struct json_object *function)
{
    struct template_value *dict = template_dict(values);
    json_object_object_foreach(function, key, item)
    {
        struct template_value *value =
            strcmp(key, "arguments") == 0 ? arguments_value(values, item) : from_json(values, item);
        if (!template_dict_set(values, dict, key, strlen(key), value))
            return NULL;
    }
    return dict;
}

static struct template_value *calls_value(struct template_values *values, struct json_object *calls)
{
    struct template_value *list = template_list(values);
    for (size_t i = 0; i < json_object_array_length(calls); i++) {
        struct template_value *dict = template_dict(values);
        struct json_object *call = json_object_array_get_idx(calls, i);
        json_object_object_foreach(call, key, item)
        {
            struct template_value *value = strcmp(key, "function") == 0
                                               ? function_value(values, item)
                                               : from_json(values, item);
            if (!template_dict_set(values, dict, key, strlen(key), value))
                return NULL;
        }
        if (!template_list_add(values, list, dict))
            return NULL;
    }
    return list;
}

static struct template_value *message_value(struct template_values *values,
                                            struct json_object *message)
{
    struct template_value *dict = template_dict(values);
    bool has_content = false;
    json_object_object_foreach(message, key, item)
    {
        struct template_value *value;
        if (strcmp(key, "content") == 0) {
            value = content_value(values, item);
            has_content = true;
        } else if (strcmp(key, "tool_calls") == 0 && item != NULL) {
            value = calls_value(values, item);
        } else {
            value = from_json(values, item);
        }
        if (!template_dict_set(values, dict, key, strlen(key), value))
            return NULL;
    }
    if (!has_content && !template_dict_set(values, dict, "content", 7, template_none(values)))
        return NULL;
    return dict;
}

static struct template_value *messages_value(struct template_values *values,
                                             struct json_object *messages)
{
    struct template_value *list = template_list(values);
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct template_value *message =
            message_value(values, json_object_array_get_idx(messages, i));
        if (!template_list_add(values, list, message))
            return NULL;
    }
    return list;
}

/* ---- rendering ---------------------------------------------------------------------------------- */

static bool set(struct template_values *values, struct template_value *dict, const char *key,
                struct template_value *value)
{
    return template_dict_set(values, dict, key, strlen(key), value);
}

static struct template_value *special_value(struct template_values *values,
                                            const struct token_vocab *vocab,
                                            enum token_special which)
{
    int32_t id = token_special(vocab, which);
    struct gguf_str text = {.data = "", .len = 0};
    if (id != TOKEN_NONE)
        text = token_text(vocab, id);
    return template_string(values, text.len > 0 ? text.data : "", text.len);
}

/* The variables of a template. chat_template_kwargs may add and override, but not the conversation. */
static bool fill_globals(const struct chat *chat, const struct request *r,
                         struct template_values *values, struct template_value *globals)
{
    bool ok = set(values, globals, "bos_token", special_value(values, chat->vocab, TOKEN_BOS)) &&
              set(values, globals, "eos_token", special_value(values, chat->vocab, TOKEN_EOS)) &&
              set(values, globals, "documents", template_none(values)) &&
              set(values, globals, "add_generation_prompt",
                  template_bool(values, r->add_generation_prompt));
    if (r->tool_choice != NULL)
        ok = ok && set(values, globals, "tool_choice", from_json(values, r->tool_choice));
    if (r->template_kwargs != NULL) {
        json_object_object_foreach(r->template_kwargs, key, item)
        {
            ok = ok && set(values, globals, key, from_json(values, item));
        }
    }
    return ok && set(values, globals, "tools", from_json(values, r->tools)) &&
           set(values, globals, "messages", messages_value(values, r->messages));
}

static int32_t local_offset_s(int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    return localtime_r(&t, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

bool chat_render(const struct chat *chat, const struct request *request, char **ret,
                 size_t *ret_bytes, struct api_error *error)
{
    struct template_values *values PL_AUTO(template_values_free) = NULL;
    struct pl_error err = {0};
    if (template_values_new(&values, &err) != PL_OK) {
        api_error_set(error, 500, NULL, "%s", err.msg);
        return false;
    }
    struct template_value *globals = template_dict(values);
    if (globals == NULL || !fill_globals(chat, request, values, globals)) {
        api_error_param(error, "messages", "messages: too large for the chat template");
        return false;
    }
    struct template_context context = {.globals = globals, .now_unix_s = clock_unix_s()};
    context.utc_offset_s = local_offset_s(context.now_unix_s);
    enum pl_status status = template_render(chat->tmpl, values, &context, ret, ret_bytes, &err);
    if (status == PL_ENOMEM)
        api_error_set(error, 500, NULL, "%s", err.msg);
    else if (status != PL_OK)
        api_error_param(error, "messages", "chat template: %s", err.msg);
    return status == PL_OK;
}

enum pl_status chat_encode(const struct chat *chat, const char *text, size_t n,
                           struct token_ids *ret, struct pl_error *err)
{
    static const struct token_encode_options OPTIONS = {.parse_special = true};
    struct token_ids ids = {0};
    enum pl_status status = token_encode(chat->vocab, text, n, &OPTIONS, &ids, err);
    if (status != PL_OK)
        return status;
    int32_t bos = token_special(chat->vocab, TOKEN_BOS);
    bool wants = token_adds_bos(chat->vocab) && bos != TOKEN_NONE;
    if (wants && (ids.n == 0 || ids.ids[0] != bos)) {
        int32_t *longer = calloc(ids.n + 1, sizeof *longer);
        if (longer == NULL) {
            token_ids_free(&ids);
            return pl_error_set(err, PL_ENOMEM, "server: out of memory");
        }
        longer[0] = bos;
        if (ids.n > 0)
            memcpy(longer + 1, ids.ids, ids.n * sizeof *longer);
        free(ids.ids);
        ids.ids = longer;
        ids.n++;
    }
    *ret = ids;
    return PL_OK;
}
