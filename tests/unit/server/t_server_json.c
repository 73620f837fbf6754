/* Strictness of json_check, and how far json-c's tree is trusted. */
#include "test.h"

#include "fields.h"
#include "json_check.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *const GOOD[] = {
    "{}",
    "[]",
    " { \"a\" : [ 1 , -0.5e+3 , true , false , null , \"\\u00e9\\n\" ] } \r\n\t",
    "0",
    "-0",
    "1e5",
    "\"\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    "[[[[]]]]",
    "{\"a\":{},\"a\":[{}]}",
};

/* text, bytes (0: strlen), reason expected */
static const struct {
    const char *text;
    size_t n;
    const char *reason;
} BAD[] = {
    {"", 0, "unexpected end"},
    {"   ", 0, "unexpected end"},
    {"{", 0, "unexpected end"},
    {"[1,", 0, "unexpected end"},
    {"[1,]", 0, "unexpected character"},
    {"{\"a\":1,}", 0, "expected a string as key"},
    {"{'a':1}", 0, "expected a string as key"},
    {"{a:1}", 0, "expected a string as key"},
    {"{\"a\" 1}", 0, "expected ':'"},
    {"{\"a\":1 \"b\":2}", 0, "expected ',' or '}'"},
    {"[1 2]", 0, "expected ',' or ']'"},
    {"[1}", 0, "expected ',' or ']'"},
    {"NaN", 0, "unexpected character"},
    {"Infinity", 0, "unexpected character"},
    {"nul", 0, "unexpected end"},
    {"True", 0, "unexpected character"},
    {"01", 0, "number with a leading zero"},
    {"-", 0, "unexpected end"},
    {"1.", 0, "unexpected end"},
    {"[1.]", 0, "expected a digit"},
    {".5", 0, "unexpected character"},
    {"+1", 0, "unexpected character"},
    {"[1e]", 0, "expected a digit"},
    {"1 2", 0, "more text after the value"},
    {"{}x", 0, "more text after the value"},
    {"{}\0", 3, "more text after the value"},
    {"\"\t\"", 0, "control character in a string"},
    {"\"abc", 0, "unexpected end"},
    {"\"\\x\"", 0, "bad escape"},
    {"\"\\u12g4\"", 0, "bad \\u escape"},
    {"\"\xff\"", 0, "invalid UTF-8"},
    {"\"\xc3\"", 0, "invalid UTF-8"},
    {"\"\xed\xa0\x80\"", 0, "invalid UTF-8"},
    {"/* c */ 1", 0, "unexpected character"},
    {"\xef\xbb\xbf{}", 0, "unexpected character"},
    {"[[[[[[]]]]]]", 0, "nested too deeply"},
    {"[[[[[{\"a\":1}]]]]]", 0, "nested too deeply"},
};

#define DEPTH 5

static void takes_what_rfc_8259_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(GOOD); i++) {
        size_t at = 0;
        const char *wrong = json_check(GOOD[i], strlen(GOOD[i]), DEPTH, &at);
        if (wrong != NULL)
            print_error("%s: %s at %zu\n", GOOD[i], wrong, at);
        assert_null(wrong);
    }
}

static void refuses_all_else_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(BAD); i++) {
        size_t at = 0, n = BAD[i].n > 0 ? BAD[i].n : strlen(BAD[i].text);
        const char *wrong = json_check(BAD[i].text, n, DEPTH, &at);
        if (wrong == NULL || strcmp(wrong, BAD[i].reason) != 0)
            print_error("row %zu %s: got %s, want %s\n", i, BAD[i].text, wrong, BAD[i].reason);
        assert_non_null(wrong);
        assert_string_equal(wrong, BAD[i].reason);
        assert_true(at <= n);
    }
}

/* Every prefix of a good text is refused or is itself a value; nothing reads past the end (ASan). */
static void survives_every_prefix(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"a\":[1.5e3,\"\\u00e9\xc3\xa9\",{\"b\":null}],\"c\":true}";
    for (size_t n = 0; n < sizeof TEXT - 1; n++) {
        char *copy = test_copy(TEXT, n);
        size_t at = 0;
        assert_non_null(json_check(copy, n, DEPTH, &at));
        free(copy);
    }
}

static void a_body_must_be_an_object(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"1", "[]", "\"a\"", "null", "true"};
    for (size_t i = 0; i < PL_ARRAY_LEN(TEXTS); i++) {
        struct api_error error = {0};
        assert_null(fields_parse(TEXTS[i], strlen(TEXTS[i]), &error));
        assert_int_equal(error.status, 400);
        assert_non_null(strstr(error.message, "expected a JSON object"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_rfc_8259_allows),
        cmocka_unit_test(refuses_all_else_with_a_reason),
        cmocka_unit_test(survives_every_prefix),
        cmocka_unit_test(a_body_must_be_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
