/*
 * t_template_vectors.c - expressions and statements, each compared with what Jinja makes of it.
 *
 * tests/vectors/template/make_vectors.py writes the table.
 */
#include "template_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

#define NOW_UNIX_S 1773500966 /* 2026-03-14T15:09:26 */

/* What the vector wants, in words; NULL where the outcome is right. */
static bool fits(json_object *want, enum pl_status status, const char *text, size_t n)
{
    if (want == NULL)
        return status != PL_OK;
    return status == PL_OK && (size_t)json_object_get_string_len(want) == n &&
           memcmp(json_object_get_string(want), text, n) == 0;
}

static void renders_as_jinja_does(void **state)
{
    (void)state;
    json_object *json = template_case_read(TEMPLATE_VECTORS);
    json_object *variables = NULL;
    json_object *vectors = NULL;
    assert_non_null(json);
    assert_true(json_object_object_get_ex(json, "variables", &variables));
    assert_true(json_object_object_get_ex(json, "vectors", &vectors));
    unsigned failures = 0;
    for (size_t i = 0; i < json_object_array_length(vectors); i++) {
        json_object *row = json_object_array_get_idx(vectors, i);
        json_object *source = json_object_array_get_idx(row, 0);
        json_object *want = json_object_array_get_idx(row, 1);
        char *text = NULL;
        size_t n = 0;
        struct pl_error err = {{0}};
        enum pl_status status = template_case_render(json_object_get_string(source),
                                                     (size_t)json_object_get_string_len(source),
                                                     variables, NOW_UNIX_S, &text, &n, &err);
        if (!fits(want, status, text, n)) {
            failures++;
            print_error("%zu: %s\n  got  %s%s\n  want %s\n", i, json_object_get_string(source),
                        status == PL_OK ? "" : "error: ", status == PL_OK ? text : err.msg,
                        want == NULL ? "an error" : json_object_get_string(want));
        }
        free(text);
    }
    json_object_put(json);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_as_jinja_does),
    };
    return cmocka_run_group_tests_name("template_vectors", tests, NULL, NULL);
}
