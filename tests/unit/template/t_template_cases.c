/*
 * t_template_cases.c - the chat templates of the reference data, case by case.
 */
#include "template_case.h"

#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/banned.h"

#define TEMPLATE_FILE_MAX (1u << 20)
#define FILES_MAX         256

static int64_t read_now(json_object *kase)
{
    struct tm tm = {0};
    json_object *now = NULL;
    if (!json_object_object_get_ex(kase, "now", &now) || now == NULL ||
        strptime(json_object_get_string(now), "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        return 0;
    return (int64_t)timegm(&tm);
}

/* The variables that are always defined, and those of kwargs. */
static json_object *case_globals(json_object *kase)
{
    static const char *const names[] = {
        "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", NULL};
    json_object *globals = json_object_new_object();
    json_object *value = NULL;
    for (size_t i = 0; names[i] != NULL; i++) {
        json_object_object_get_ex(kase, names[i], &value);
        json_object_object_add(globals, names[i], json_object_get(value));
    }
    json_object *kwargs = NULL;
    if (json_object_object_get_ex(kase, "kwargs", &kwargs) && kwargs != NULL) {
        json_object_object_foreach(kwargs, key, item)
        {
            json_object_object_add(globals, key, json_object_get(item));
        }
    }
    return globals;
}

static const char *member(json_object *kase, const char *name)
{
    json_object *value = NULL;
    return json_object_object_get_ex(kase, name, &value) ? json_object_get_string(value) : NULL;
}

/* Why the outcome is wrong, or NULL. */
static const char *judge(json_object *kase, enum pl_status status, const char *text, size_t n,
                         const char *message)
{
    json_object *expected = NULL;
    json_object *lenient = NULL;
    if (json_object_object_get_ex(kase, "lenient", &lenient) && json_object_get_boolean(lenient))
        return NULL;
    if (json_object_object_get_ex(kase, "expected", &expected)) {
        if (status != PL_OK)
            return "failed";
        bool same = (size_t)json_object_get_string_len(expected) == n &&
                    memcmp(json_object_get_string(expected), text, n) == 0;
        return same ? NULL : "other text";
    }
    if (status == PL_OK)
        return "rendered, an error was expected";
    if (strcmp(member(kase, "error_kind"), "raise_exception") != 0)
        return status == PL_EFORMAT ? NULL : "other status";
    if (status != PL_EINVAL)
        return "not PL_EINVAL";
    return strcmp(member(kase, "expected_error"), message) == 0 ? NULL : "other message";
}

static unsigned run_case(const char *file, const char *source, size_t source_n, json_object *kase)
{
    char *text = NULL;
    size_t n = 0;
    struct pl_error err = {{0}};
    json_object *globals = case_globals(kase);
    enum pl_status status =
        template_case_render(source, source_n, globals, read_now(kase), &text, &n, &err);
    const char *wrong = judge(kase, status, text, n, err.msg);
    if (wrong != NULL)
        print_error("%s, case %s: %s\n  got  %s\n  want %s\n", file, member(kase, "name"), wrong,
                    status == PL_OK ? text : err.msg,
                    member(kase, "expected") != NULL ? member(kase, "expected")
                                                     : member(kase, "expected_error"));
    json_object_put(globals);
    free(text);
    return wrong != NULL;
}

static unsigned run_file(const char *folder, const char *file, size_t *cases_n)
{
    char path[4096];
    char *source = NULL;
    size_t n = 0;
    unsigned failures = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return 1;
    json_object *json = template_case_read(path);
    json_object *cases = NULL;
    if (json == NULL || !json_object_object_get_ex(json, "cases", &cases)) {
        json_object_put(json);
        return 1;
    }
    if (snprintf(path, sizeof path, "%s/%s", folder, member(json, "template")) >= (int)sizeof path)
        failures++;
    if (file_read(path, TEMPLATE_FILE_MAX, &source, &n, NULL) != PL_OK)
        failures++;
    for (size_t i = 0; source != NULL && i < json_object_array_length(cases); i++)
        failures += run_case(file, source, n, json_object_array_get_idx(cases, i));
    *cases_n += json_object_array_length(cases);
    free(source);
    json_object_put(json);
    return failures;
}

static void renders_every_reference_case(void **state)
{
    (void)state;
    char folder[4096];
    const char *shared = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    snprintf(folder, sizeof folder, "%s/data/templates", shared != NULL ? shared : ".");
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        print_message("skipped: no %s\n", folder);
        skip();
    }
    unsigned failures = 0;
    size_t cases_n = 0;
    for (struct dirent *entry;
         (entry = readdir(dir)) != NULL;) { /* NOLINT(concurrency-mt-unsafe): one thread */
        size_t n = strlen(entry->d_name);
        if (n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0)
            failures += run_file(folder, entry->d_name, &cases_n);
    }
    closedir(dir);
    print_message("%zu cases\n", cases_n);
    assert_int_equal(failures, 0);
    assert_true(cases_n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_every_reference_case),
    };
    return cmocka_run_group_tests_name("template_cases", tests, NULL, NULL);
}
