/* See request.h: the chat part, messages and what the template is given. */
#include "request.h"

#include "server_limits.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void check_part(const struct fields *f, struct json_object *part, const char *path)
{
    struct fields inner = {.object = part, .path = path, .error = f->error};
    if (!json_object_is_type(part, json_type_object)) {
        fields_fail(&inner, "", "expected object, got %s", fields_type_name(part));
        return;
    }
    const char *type = NULL, *text = NULL;
    size_t n = 0;
    fields_string(&inner, "type", &type, &n);
    if (f->error->status == 0 && type != NULL && strcmp(type, "text") != 0) {
        fields_fail(&inner, "type", "this model takes 'text' parts only, got '%.40s'", type);
        return;
    }
    fields_string(&inner, "text", &text, &n);
    if (text == NULL)
        fields_fail(&inner, "text", "required");
}

static void check_content(const struct fields *f, bool may_lack)
{
    struct json_object *content = fields_get(f, "content");
    if (content == NULL) {
        if (!may_lack)
            fields_fail(f, "content", "required: string or array");
        return;
    }
    if (json_object_is_type(content, json_type_string))
        return;
    if (!json_object_is_type(content, json_type_array)) {
        fields_fail(f, "content", "expected string or array, got %s", fields_type_name(content));
        return;
    }
    for (size_t i = 0; i < json_object_array_length(content) && f->error->status == 0; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s.content[%zu]", f->path, i);
        check_part(f, json_object_array_get_idx(content, i), path);
    }
}

static void check_tool_calls(const struct fields *f, struct json_object *calls)
{
    for (size_t i = 0; i < json_object_array_length(calls) && f->error->status == 0; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s.tool_calls[%zu]", f->path, i);
        struct json_object *call = json_object_array_get_idx(calls, i);
        struct fields inner = {.object = call, .path = path, .error = f->error};
        if (!json_object_is_type(call, json_type_object)) {
            fields_fail(&inner, "", "expected object, got %s", fields_type_name(call));
            return;
        }
        struct json_object *function = fields_object(&inner, "function");
        if (function == NULL) {
            fields_fail(&inner, "function", "required");
            return;
        }
        char deeper[80];
        (void)snprintf(deeper, sizeof deeper, "%s.function", path);
        struct fields g = {.object = function, .path = deeper, .error = f->error};
        const char *name = NULL;
        size_t n = 0;
        fields_string(&g, "name", &name, &n);
        if (name == NULL)
            fields_fail(&g, "name", "required");
    }
}

static void check_message(const struct fields *f, struct json_object *message, size_t i)
{
    char path[32];
    (void)snprintf(path, sizeof path, "messages[%zu]", i);
    struct fields inner = {.object = message, .path = path, .error = f->error};
    if (!json_object_is_type(message, json_type_object)) {
        fields_fail(&inner, "", "expected object, got %s", fields_type_name(message));
        return;
    }
    const char *role = NULL;
    size_t n = 0;
    fields_string(&inner, "role", &role, &n);
    if (role == NULL || n == 0) {
        fields_fail(&inner, "role", "required");
        return;
    }
    struct json_object *calls = fields_array(&inner, "tool_calls");
    check_content(&inner, strcmp(role, "assistant") == 0);
    if (calls != NULL)
        check_tool_calls(&inner, calls);
}

static void check_tools(const struct fields *f, struct json_object *tools)
{
    for (size_t i = 0; i < json_object_array_length(tools) && f->error->status == 0; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "tools[%zu]", i);
        struct json_object *tool = json_object_array_get_idx(tools, i);
        struct fields inner = {.object = tool, .path = path, .error = f->error};
        if (!json_object_is_type(tool, json_type_object)) {
            fields_fail(&inner, "", "expected object, got %s", fields_type_name(tool));
            return;
        }
        const char *type = "";
        size_t n = 0;
        fields_string(&inner, "type", &type, &n);
        if (strcmp(type, "function") != 0)
            fields_fail(&inner, "type", "expected 'function'");
        else if (fields_object(&inner, "function") == NULL)
            fields_fail(&inner, "function", "required");
    }
}

/* "auto" is what an unconstrained model does; "none" hides the tools; to force a call needs constrained
 * decoding. */
static void parse_tool_choice(const struct fields *f, struct request *r)
{
    struct json_object *choice = fields_get(f, "tool_choice");
    if (choice == NULL)
        return;
    if (!json_object_is_type(choice, json_type_string)) {
        if (json_object_is_type(choice, json_type_object))
            fields_fail(f, "tool_choice", "forcing a function is not supported");
        else
            fields_fail(f, "tool_choice", "expected string or object, got %s",
                        fields_type_name(choice));
        return;
    }
    const char *text = json_object_get_string(choice);
    if (strcmp(text, "none") == 0)
        r->tools = NULL;
    else if (strcmp(text, "auto") != 0)
        fields_fail(f, "tool_choice", "expected 'auto' or 'none', got '%.40s'", text);
    r->tool_choice = choice;
}

void request_parse_chat(const struct fields *f, struct request *ret)
{
    ret->messages = fields_array(f, "messages");
    size_t n = ret->messages != NULL ? json_object_array_length(ret->messages) : 0;
    if (n == 0)
        fields_fail(f, "messages", ret->messages == NULL ? "required: array" : "must not be empty");
    else if (n > SERVER_MESSAGES_MAX)
        fields_fail(f, "messages", "%zu messages, at most %d", n, SERVER_MESSAGES_MAX);
    for (size_t i = 0; i < n && f->error->status == 0; i++)
        check_message(f, json_object_array_get_idx(ret->messages, i), i);
    ret->tools = fields_array(f, "tools");
    if (ret->tools != NULL)
        check_tools(f, ret->tools);
    if (ret->tools != NULL && json_object_array_length(ret->tools) == 0)
        ret->tools = NULL;
    parse_tool_choice(f, ret);
    ret->template_kwargs = fields_object(f, "chat_template_kwargs");
    ret->add_generation_prompt = true;
    fields_bool(f, "add_generation_prompt", &ret->add_generation_prompt);
}
