/*
 * t_template_limits.c - hostile templates end within their bounds, errors name their line, and every
 * failing allocation is reported.
 */
#include "template/template.h"
#include "template/template_limits.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

static enum pl_status render(const char *source, size_t n, char **ret, struct pl_error *err)
{
    struct template *tmpl = NULL;
    struct template_values *values = NULL;
    size_t bytes = 0;
    enum pl_status status = template_parse(source, n, &tmpl, err);
    if (status == PL_OK)
        status = template_values_new(&values, err);
    if (status == PL_OK) {
        const struct template_context context = {.now_unix_s = 0};
        status = template_render(tmpl, values, &context, ret, &bytes, err);
    }
    template_values_free(values);
    template_free(tmpl);
    return status;
}

struct row {
    const char *name;
    const char *source;
    enum pl_status status;
    const char *part; /* of the message */
};

static unsigned check(const struct row *row)
{
    char *text = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = render(row->source, strlen(row->source), &text, &err);
    bool ok = status == row->status && strstr(err.msg, row->part) != NULL;
    if (!ok)
        print_error("%s: got status %d, \"%s\", want %d, \"%s\"\n", row->name, status, err.msg,
                    row->status, row->part);
    free(text);
    return !ok;
}

static const struct row limits[] = {
    {"endless recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", PL_ELIMIT, "too deep"},
    {"nested loops",
     "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", PL_ELIMIT,
     "too much memory"},
    {"a string doubled again and again",
     "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
     PL_ELIMIT, "line 1"},
    {"a list doubled again and again",
     "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
     PL_ELIMIT, "line 1"},
    {"much text", "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", PL_ELIMIT, "line 1"},
    {"a wide field", "{{ '%999999999d' % 1 }}", PL_ELIMIT, "too much text"},
    {"a wide braces field", "{{ '{:999999999}'.format(1) }}", PL_ELIMIT, "too much text"},
    {"a string repeated", "{{ 'x' * 999999999999 }}", PL_ELIMIT, "too much text"},
    {"a list repeated", "{{ [1] * 999999999999 }}", PL_ELIMIT, "memory"},
    {"centred far out", "{{ 'x'.center(99999999999) }}", PL_ELIMIT, "too much text"},
    {"a long range", "{{ range(1000001) }}", PL_ELIMIT, "range"},
    {"a value nested deep, printed",
     "{% set n = namespace(v=[]) %}{% for i in range(9999) %}{% set n.v = [n.v] %}{% endfor %}"
     "{{ n.v }}",
     PL_ELIMIT, "too deep"},
    {"a value nested deep, as JSON",
     "{% set n = namespace(v=[]) %}{% for i in range(9999) %}{% set n.v = [n.v] %}{% endfor %}"
     "{{ n.v|tojson }}",
     PL_ELIMIT, "too deep"},
    {"values nested deep, compared",
     "{% set n = namespace(v=[], w=[]) %}{% for i in range(9999) %}{% set n.v = [n.v] %}"
     "{% set n.w = [n.w] %}{% endfor %}{{ n.v == n.w }}",
     PL_ELIMIT, "too deep"},
    {"a tuple nested deep, as key",
     "{% set n = namespace(v=()) %}{% for i in range(9999) %}{% set n.v = (n.v,) %}{% endfor %}"
     "{{ {n.v: 1} }}",
     PL_ELIMIT, "too deep"},
    {"a namespace that holds itself, printed", "{% set n = namespace() %}{% set n.n = n %}{{ n }}",
     PL_ELIMIT, "too deep"},
    {"generators chained deep",
     "{% set n = namespace(v=[1]) %}{% for i in range(9999) %}{% set n.v = n.v|map('int') %}"
     "{% endfor %}{{ n.v|list }}",
     PL_ELIMIT, "too deep"},
    {"many slices", "{{ [1]|slice(99999999999)|list }}", PL_ELIMIT, "line 1"},
    {"arithmetic beyond 64 bits", "{{ 2 ** 70 + 1 }}", PL_EFORMAT, "64 bits"},
};

static void hostile_templates_end_within_bounds(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(limits); i++)
        failures += check(&limits[i]);
    assert_int_equal(failures, 0);
}

static const struct row errors[] = {
    {"run-time error", "a\nb\n{{ 1 // 0 }}", PL_EFORMAT, "line 3: division by zero"},
    {"undefined", "\n{{ x.y }}", PL_EFORMAT, "line 2: 'x' is undefined"},
    {"attribute of none", "{% set a = none %}{{ a.b.c }}", PL_EFORMAT,
     "'NoneType object' has no attribute 'b'"},
    {"unknown tag", "\n\n{% nosuch %}", PL_EFORMAT, "line 3: unknown tag 'nosuch'"},
    {"unknown filter", "{{ 1|nosuch }}", PL_EFORMAT, "no filter named 'nosuch'"},
    {"unknown test", "{{ 1 is nosuch }}", PL_EFORMAT, "no test named 'nosuch'"},
    {"tag not closed", "{% if x", PL_EFORMAT, "line 1"},
    {"block not closed", "{% if x %}\n", PL_EFORMAT, "endif"},
    {"bracket mismatch", "{{ (1] }}", PL_EFORMAT, "line 1"},
    {"string not closed", "{{ 'a }}", PL_EFORMAT, "not closed"},
    {"comment not closed", "{# a", PL_EFORMAT, "comment"},
    {"raw not closed", "{% raw %}", PL_EFORMAT, "raw"},
    {"break outside of a loop", "{% break %}", PL_EFORMAT, "outside"},
    {"include", "{% include 'x' %}", PL_EFORMAT, "'include' is not supported"},
    {"raise_exception", "\n{{ raise_exception('Only text') }}", PL_EINVAL, "Only text"},
    {"macro's keywords", "{% macro m() %}{% endmacro %}{{ m(a=1) }}", PL_EFORMAT, "'a'"},
};

static void errors_name_the_line_and_the_thing(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(errors); i++)
        failures += check(&errors[i]);
    assert_int_equal(failures, 0);
}

/* open * n, middle, close * n */
static char *nest(const char *open, const char *middle, const char *close, size_t n, size_t *ret_n)
{
    size_t open_n = strlen(open);
    size_t close_n = strlen(close);
    size_t middle_n = strlen(middle);
    char *text = malloc(n * (open_n + close_n) + middle_n + 1);
    assert_non_null(text);
    char *at = text;
    for (size_t i = 0; i < n; i++, at += open_n)
        memcpy(at, open, open_n);
    memcpy(at, middle, middle_n);
    at += middle_n;
    for (size_t i = 0; i < n; i++, at += close_n)
        memcpy(at, close, close_n);
    *ret_n = (size_t)(at - text);
    return text;
}

static const char *const nests[][3] = {
    {"{% if 1 %}", "x", "{% endif %}"},
    {"{{ ", "((((((((((((((((((((((((((((((((", ""},
    {"{{ 1", " + 1 ", "+ 1 }}"},
    {"{% if 1 %}{% elif 1 %}", "", "{% endif %}"},
    {"{{ -", "1", " }}"},
    {"", "{{ x ", ".y"},
    {"{% for a in [1] %}", "", "{% endfor %}"},
    {"{{ [", "", "] }}"},
    {"not ", "", ""},
    {"{{ a if b else ", "", ""},
    {"{% macro m() %}", "", "{% endmacro %}"},
};

static void deep_sources_end_without_a_crash(void **state)
{
    (void)state;
    static const size_t depths[] = {10, 1000, 20000};
    for (size_t i = 0; i < PL_ARRAY_LEN(nests); i++) {
        for (size_t k = 0; k < PL_ARRAY_LEN(depths); k++) {
            size_t n = 0;
            char *out = NULL;
            char *text = nest(nests[i][0], nests[i][1], nests[i][2], depths[k], &n);
            (void)render(text, n, &out, NULL);
            free(out);
            free(text);
        }
    }
    static const char *const bodies[][3] = {
        {"{{ ", "1+", "1 }}"},
        {"{{ ", "(", "1 }}"},
        {"{{ ", "[", "1 }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ x", ".y", " }}"},
        {"{{ 1", "|abs", " }}"},
        {"{{ 1", "**1", " }}"},
        {"{{ ", "1 if 1 else ", "1 }}"},
        {"{% if 0 %}", "{% elif 0 %}", "{% endif %}"},
        {"{{ 1", "==1", " }}"},
        {"{{ 1", "~1", " }}"},
        {"{{ 1", " and 1", " }}"},
        {"{{ f(", "a,", ") }}"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(bodies); i++) {
        size_t middle_n = 0;
        char *middle = nest(bodies[i][1], "", "", 20000, &middle_n);
        char *source = malloc(middle_n + 64);
        assert_non_null(source);
        int n = snprintf(source, middle_n + 64, "%s%.*s%s", bodies[i][0], (int)middle_n, middle,
                         bodies[i][2]);
        char *out = NULL;
        (void)render(source, (size_t)n, &out, NULL);
        free(out);
        free(source);
        free(middle);
    }
}

static void a_failing_allocation_is_reported(void **state)
{
    (void)state;
    static const char source[] =
        "{% macro m(a, b=[1, 2]) %}{{ a ~ b }}{{ caller() }}{% endmacro %}"
        "{% for x in range(40) if x is odd %}{% call m(x) %}{{ x|string|upper }}{% endcall %}"
        "{% endfor %}{{ {'a': [1, 2.5, none]}|tojson(indent=2) }}{{ 'x' * 9000 }}"
        "{{ 'a,b'.split(',')|map('upper')|sort|join('-') }}{% set y %}{{ '%5d' % 3 }}{% endset %}"
        "{{ y }}{{ range(3000)|list|length }}";
    char *text = NULL;
    struct pl_error err = {{0}};
    fault_fail_at(0);
    assert_int_equal(render(source, sizeof source - 1, &text, &err), PL_OK);
    free(text);
    long allocations = fault_count();
    assert_true(allocations > 5);
    for (long n = 1; n <= allocations; n++) {
        text = NULL;
        fault_fail_at(n);
        enum pl_status status = render(source, sizeof source - 1, &text, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        free(text);
        if (hit && status != PL_ENOMEM)
            fail_msg("allocation %ld of %ld: status %d, %s", n, allocations, status, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_templates_end_within_bounds),
        cmocka_unit_test(errors_name_the_line_and_the_thing),
        cmocka_unit_test(deep_sources_end_without_a_crash),
        cmocka_unit_test(a_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("template_limits", tests, NULL, NULL);
}
