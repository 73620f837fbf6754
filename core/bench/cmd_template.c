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

/* Adds the members of kwargs, found in `all`, to the globals. */
static bool add_kwargs(struct template_values *values, const struct template_value *all,
                       json_object *kwargs, struct template_value *globals)
{
    const struct template_value *dict = template_dict_get(all, "kwargs", strlen("kwargs"));
    struct json_object_iterator at = json_object_iter_begin(kwargs);
    struct json_object_iterator end = json_object_iter_end(kwargs);
    for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *name = json_object_iter_peek_name(&at);
        size_t n = strlen(name);
        if (!template_dict_set(values, globals, name, n, template_dict_get(dict, name, n)))
            return false;
    }
    return true;
}

/* all: the case as a value; it has the digits of integers that json-c would cut to 64 bits. */
static bool make_globals(struct template_values *values, json_object *root,
                         const struct template_value *all, struct template_value *globals)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(case_variables); i++) {
        const char *name = case_variables[i];
        struct template_value *value = template_dict_get(all, name, strlen(name));
        if (value == NULL && strcmp(name, "add_generation_prompt") == 0)
            value = template_bool(values, false);
        else if (value == NULL &&
                 (strcmp(name, "bos_token") == 0 || strcmp(name, "eos_token") == 0))
            value = template_string(values, "", 0);
        else if (value == NULL)
            value = template_none(values);
        if (!template_dict_set(values, globals, name, strlen(name), value))
            return false;
    }
    json_object *kwargs = NULL;
    return !json_object_object_get_ex(root, "kwargs", &kwargs) || kwargs == NULL ||
           add_kwargs(values, all, kwargs, globals);
}

/* *ret_text: the case as it was read, malloc'ed. */
static json_object *read_case(char **ret_text, size_t *ret_n)
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
    *ret_text = text;
    *ret_n = n;
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

static int render(const struct template *tmpl, json_object *root, const char *json, size_t json_n)
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
    struct template_value *all = NULL;
    if (template_json_read(values, json, json_n, &all, &err) != PL_OK)
        code = bench_fail("template", "standard input: %s", err.msg);
    else if (!make_globals(values, root, all, globals))
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
    char *json = NULL;
    json_object *root = read_case(&json, &n);
    int code = root == NULL ? BENCH_FAILED : render(tmpl, root, json, n);
    free(json);
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
