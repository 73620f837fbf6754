/*
 * polder-bench template: renders a chat template for a case given as JSON on standard input.
 *
 * Variables of the template are those that Hugging Face defines (messages, tools, documents,
 * add_generation_prompt, bos_token, eos_token) and, at the top level too, what "kwargs" holds.
 */
#include "bench.h"
#include "lines.h"
#include "options.h"

#if defined(BENCH_HAVE_TEMPLATE) && defined(PL_HAVE_JSONC)

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "template/template.h"

#include "base/banned.h"

#define CASE_DEPTH_MAX    128                /* nesting of a case: tool schemas reach about 20 */
#define TEMPLATE_FILE_MAX ((size_t)16 << 20) /* bytes; the longest published one has 30 KiB */

static struct template_value *value_of(struct template_values *values, json_object *json);

static struct template_value *list_of(struct template_values *values, json_object *json)
{
    struct template_value *list = template_list(values);
    for (size_t i = 0; i < json_object_array_length(json); i++)
        if (!template_list_add(values, list, value_of(values, json_object_array_get_idx(json, i))))
            return NULL;
    return list;
}

/* Adds the members of an object to a dict, in their order. */
static bool add_members(struct template_values *values, struct template_value *dict,
                        json_object *json)
{
    struct json_object_iterator at = json_object_iter_begin(json);
    struct json_object_iterator end = json_object_iter_end(json);
    for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *name = json_object_iter_peek_name(&at);
        if (!template_dict_set(values, dict, name, strlen(name),
                               value_of(values, json_object_iter_peek_value(&at))))
            return false;
    }
    return true;
}

/* Calls itself through list_of and add_members, at most CASE_DEPTH_MAX deep. */
static struct template_value *value_of(struct template_values *values, json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_null: return template_none(values);
    case json_type_boolean: return template_bool(values, json_object_get_boolean(json));
    case json_type_int: return template_int(values, json_object_get_int64(json));
    case json_type_double: return template_float(values, json_object_get_double(json));
    case json_type_string:
        return template_string(values, json_object_get_string(json),
                               (size_t)json_object_get_string_len(json));
    case json_type_array: return list_of(values, json);
    case json_type_object: {
        struct template_value *dict = template_dict(values);
        return add_members(values, dict, json) ? dict : NULL;
    }
    }
    return NULL;
}

/* "2026-03-14T15:09:26" as if it were UTC; false if it has another form. */
static bool read_now(json_object *json, int64_t *ret_unix_s)
{
    struct tm tm = {0};
    const char *text = json_object_get_string(json);
    const char *rest = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return false;
    if (*rest == '.') /* fractions of a second */
        rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest != '\0' && strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0)
        return false;
    *ret_unix_s = (int64_t)timegm(&tm);
    return true;
}

static const char *const case_variables[] = {
    "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token",
};

static bool make_globals(struct template_values *values, json_object *root,
                         struct template_value *globals)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(case_variables); i++) {
        const char *name = case_variables[i];
        json_object *json = NULL;
        bool given = json_object_object_get_ex(root, name, &json);
        struct template_value *value = NULL;
        if (given)
            value = value_of(values, json);
        else if (strcmp(name, "add_generation_prompt") == 0)
            value = template_bool(values, false);
        else if (strcmp(name, "bos_token") == 0 || strcmp(name, "eos_token") == 0)
            value = template_string(values, "", 0);
        else
            value = template_none(values);
        if (!template_dict_set(values, globals, name, strlen(name), value))
            return false;
    }
    json_object *kwargs = NULL;
    return !json_object_object_get_ex(root, "kwargs", &kwargs) || kwargs == NULL ||
           add_members(values, globals, kwargs);
}

static json_object *read_case(void)
{
    size_t n = 0;
    char *text = lines_read_all("template", &n);
    struct json_tokener *parser = text == NULL ? NULL : json_tokener_new_ex(CASE_DEPTH_MAX);
    json_object *root = NULL;
    if (parser != NULL) {
        json_tokener_set_flags(parser, JSON_TOKENER_STRICT);
        root = n < INT32_MAX ? json_tokener_parse_ex(parser, text, (int)n + 1) : NULL;
        if (root == NULL)
            bench_fail("template", "standard input: %s",
                       json_tokener_error_desc(json_tokener_get_error(parser)));
        json_tokener_free(parser);
    }
    free(text);
    json_object *kwargs = NULL;
    if (root != NULL && (!json_object_is_type(root, json_type_object) ||
                         (json_object_object_get_ex(root, "kwargs", &kwargs) && kwargs != NULL &&
                          !json_object_is_type(kwargs, json_type_object)))) {
        bench_fail("template", "standard input: the case and its \"kwargs\" must be objects");
        json_object_put(root);
        root = NULL;
    }
    return root;
}

static int render(const struct template *tmpl, json_object *root)
{
    struct template_context context = {.now_unix_s = clock_unix_s()};
    json_object *now = NULL;
    if (json_object_object_get_ex(root, "now", &now) && now != NULL &&
        !read_now(now, &context.now_unix_s))
        return bench_fail("template", "\"now\": not of the form 2026-03-14T15:09:26");
    struct template_values *values = NULL;
    struct pl_error err = {{0}};
    if (template_values_new(&values, &err) != PL_OK)
        return bench_fail("template", "%s", err.msg);
    struct template_value *globals = template_dict(values);
    context.globals = globals;
    int code = BENCH_OK;
    char *text = NULL;
    size_t n = 0;
    if (!make_globals(values, root, globals))
        code = bench_fail("template", "the case is too large");
    else if (template_render(tmpl, values, &context, &text, &n, &err) != PL_OK)
        code = bench_fail("template", "%s", err.msg);
    else
        fwrite(text, 1, n, stdout);
    free(text);
    template_values_free(values);
    return code;
}

int cmd_template(int argc, char **argv)
{
    const char *path = NULL;
    const struct option_row rows[] = {
        {.name = "--template",
         .value = "FILE",
         .kind = OPTION_TEXT,
         .target = &path,
         .required = true,
         .help = "the Jinja template"},
    };
    const struct options options = {
        .command = "template",
        .summary =
            "Reads one case as JSON from standard input: {messages, tools,\n"
            "add_generation_prompt, kwargs, bos_token, eos_token, now}; prints the rendered\n"
            "bytes, or fails with the template's error.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);

    char *source = NULL;
    size_t n = 0;
    struct template *tmpl = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = file_read(path, TEMPLATE_FILE_MAX, &source, &n, &err);
    if (status == PL_OK)
        status = template_parse(source, n, &tmpl, &err);
    free(source);
    if (status != PL_OK)
        return bench_fail("template", "%s", err.msg);
    json_object *root = read_case();
    int code = root == NULL ? BENCH_FAILED : render(tmpl, root);
    json_object_put(root);
    template_free(tmpl);
    return code;
}

#else

#ifdef BENCH_HAVE_TEMPLATE
#define LACKS "json-c"
#else
#define LACKS "chat templates"
#endif

int cmd_template(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("template", LACKS);
}

#endif
