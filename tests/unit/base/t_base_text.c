/* core/base: numbers in, UTF-8, JSON out, hashes and random numbers against published vectors. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

static const struct {
    const char *text;
    int64_t min, max;
    bool ok;
    int64_t value;
} numbers[] = {
    {"0", 0, 9, true, 0},
    {"-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN},
    {"9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX},
    {"9223372036854775808", INT64_MIN, INT64_MAX, false, 0}, /* one too many */
    {"18446744073709551616", INT64_MIN, INT64_MAX, false, 0},
    {"", 0, 9, false, 0},
    {"-", -9, 9, false, 0},
    {"+1", 0, 9, false, 0},
    {" 1", 0, 9, false, 0},
    {"1 ", 0, 9, false, 0},
    {"0x1", 0, 9, false, 0},
    {"10", 0, 9, false, 0}, /* above max */
};

static void parses_whole_numbers_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(numbers); i++) {
        int64_t value = 0;
        bool ok = parse_i64(numbers[i].text, numbers[i].min, numbers[i].max, &value);
        if (ok != numbers[i].ok || value != numbers[i].value)
            fail_msg("row %zu: '%s' gives %d, %lld", i, numbers[i].text, ok, (long long)value);
    }
}

static void parses_decimals_and_sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "nan", "inf", "0x1p3", "1.5x", " 1", "1e999"};
    double value = 7;
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        assert_false(parse_f64(bad[i], -1e300, 1e300, &value));
    assert_true(parse_f64("-1.5e2", -1e3, 1e3, &value) && value == -150.0);
    uint64_t bytes = 0;
    assert_true(parse_bytes("3G", UINT64_MAX, &bytes) && bytes == 3ull << 30);
    assert_false(parse_bytes("K", UINT64_MAX, &bytes));
    assert_false(parse_bytes("17179869184G", UINT64_MAX, &bytes)); /* 2^64 */
}

static const struct {
    const char *bytes;
    enum utf8_result result;
    size_t length;
    uint32_t code;
} sequences[] = {
    {"A", UTF8_OK, 1, 'A'},
    {"\xC3\xA9", UTF8_OK, 2, 0xE9},
    {"\xE2\x82\xAC", UTF8_OK, 3, 0x20AC},
    {"\xF0\x9F\x98\x80", UTF8_OK, 4, 0x1F600},
    {"\xF0\x9F\x98", UTF8_INCOMPLETE, 3, 0xFFFD},
    {"\xE2", UTF8_INCOMPLETE, 1, 0xFFFD},
    {"\x80", UTF8_INVALID, 1, 0xFFFD},             /* a continuation alone */
    {"\xC0\xAF", UTF8_INVALID, 1, 0xFFFD},         /* overlong */
    {"\xE0\x80\xAF", UTF8_INVALID, 1, 0xFFFD},     /* overlong */
    {"\xED\xA0\x80", UTF8_INVALID, 1, 0xFFFD},     /* surrogate */
    {"\xF4\x90\x80\x80", UTF8_INVALID, 1, 0xFFFD}, /* above U+10FFFF */
    {"\xE2\x82z", UTF8_INVALID, 2, 0xFFFD},        /* the valid part is one replacement */
    {"\xFF", UTF8_INVALID, 1, 0xFFFD},
};

static void decodes_utf8_by_the_unicode_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(sequences); i++) {
        uint32_t code = 0;
        size_t length = 0;
        enum utf8_result result =
            utf8_decode(sequences[i].bytes, strlen(sequences[i].bytes), &code, &length);
        if (result != sequences[i].result || code != sequences[i].code ||
            length != sequences[i].length)
            fail_msg("row %zu: result %d, U+%X, %zu bytes", i, (int)result, code, length);
    }
}

static void encodes_what_it_decodes(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x110000; code++) {
        char bytes[UTF8_MAX_BYTES];
        uint32_t back = 0;
        size_t length = 0;
        size_t n = utf8_encode(code, bytes);
        assert_int_equal(utf8_decode(bytes, n, &back, &length), UTF8_OK);
        assert_int_equal(length, n);
        bool valid = code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
        assert_int_equal(back, valid ? code : UTF8_REPLACEMENT);
    }
}

static void holds_back_incomplete_tails_only(void **state)
{
    (void)state;
    const char *text = "a\xF0\x9F\x98\x80";
    assert_int_equal(utf8_complete_prefix(text, 5), 5);
    assert_int_equal(utf8_complete_prefix(text, 4), 1);
    assert_int_equal(utf8_complete_prefix(text, 2), 1);
    assert_int_equal(utf8_complete_prefix(text, 0), 0);
    assert_int_equal(utf8_complete_prefix("a\xFF", 2), 2); /* hopeless: not held back */
    assert_int_equal(utf8_complete_prefix("\x80\x80\x80\x80", 4), 4);
}

static void writes_json_with_commas_and_escapes(void **state)
{
    (void)state;
    struct buf buf;
    struct json_writer w;
    buf_init(&buf, 0);
    json_begin(&w, &buf);
    json_object(&w);
    json_key(&w, "a");
    json_array(&w);
    json_i64(&w, INT64_MIN);
    json_u64(&w, UINT64_MAX);
    json_f64(&w, 0.1);
    json_f64(&w, (double)NAN);
    json_bool(&w, true);
    json_null(&w);
    json_array_end(&w);
    json_key(&w, "b\"");
    json_string(&w, "x\n\x01\\\xC3\xA9\xFF\0y", 9);
    json_key(&w, "c");
    json_object(&w);
    json_object_end(&w);
    json_key(&w, "d");
    json_raw(&w, "[1]", 3);
    json_object_end(&w);
    assert_string_equal(
        buf.data, "{\"a\":[-9223372036854775808,18446744073709551615,0.1,null,true,null],"
                  "\"b\\\"\":\"x\\n\\u0001\\\\\xC3\xA9\xEF\xBF\xBD\\u0000y\",\"c\":{},\"d\":[1]}");
    buf_deinit(&buf);
}

static void writes_doubles_that_read_back_equal(void **state)
{
    (void)state;
    static const double values[] = {0.1, 1.0 / 3.0, 1e-300, -2.5, 123456789.125, 5e-324, 1e22};
    for (size_t i = 0; i < PL_ARRAY_LEN(values); i++) {
        struct buf buf;
        struct json_writer w;
        double back = 0;
        buf_init(&buf, 0);
        json_begin(&w, &buf);
        json_f64(&w, values[i]);
        assert_true(parse_f64(buf.data, -1e300, 1e300, &back) || values[i] == 5e-324);
        assert_true(back == values[i] || values[i] == 5e-324);
        buf_deinit(&buf);
    }
}

/* Known answers of the Random123 distribution (kat_vectors, philox4x32 10 rounds). */
static void draws_philox_s_published_numbers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, lo, hi;
        uint32_t words[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822u,
         0x85a308d3243f6a88u,
         0x0370734413198a2eu,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        uint32_t words[4];
        rng_philox(rows[i].seed, rows[i].lo, rows[i].hi, words);
        assert_memory_equal(words, rows[i].words, sizeof words);
    }
}

static void draws_uniform_numbers_in_the_unit_interval(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t n = 0; n < 10000; n++) {
        float u = rng_uniform(1, 2, n);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += (double)u;
    }
    assert_true(fabs(sum / 10000 - 0.5) < 0.02);
    assert_true(rng_uniform(1, 2, 3) == rng_uniform(1, 2, 3));
    assert_true(rng_uniform(1, 2, 3) != rng_uniform(1, 3, 3));
}

/* CPython hashes bytes by SipHash-1-3; PYTHONHASHSEED=0 sets the key to zero. */
static void hashes_as_another_siphash_1_3(void **state)
{
    (void)state;
    static const uint64_t key[2] = {0, 0};
    static const struct {
        const char *text;
        uint64_t hash;
    } rows[] = {
        {"a", 0x407448d2b89b1813u},
        {"abc", 0xc03bc3a0042630f2u},
        {"abcdefgh", 0x3f7b849c0b8e35eau},
        {"the quick brown fox jumps over the lazy dog", 0x80a65583f613da2du},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        assert_int_equal(hash_siphash13(key, rows[i].text, strlen(rows[i].text)), rows[i].hash);
    assert_int_equal(hash_bytes("abc", 3), hash_bytes("abc", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_whole_numbers_only),
        cmocka_unit_test(parses_decimals_and_sizes),
        cmocka_unit_test(decodes_utf8_by_the_unicode_table),
        cmocka_unit_test(encodes_what_it_decodes),
        cmocka_unit_test(holds_back_incomplete_tails_only),
        cmocka_unit_test(writes_json_with_commas_and_escapes),
        cmocka_unit_test(writes_doubles_that_read_back_equal),
        cmocka_unit_test(draws_philox_s_published_numbers),
        cmocka_unit_test(draws_uniform_numbers_in_the_unit_interval),
        cmocka_unit_test(hashes_as_another_siphash_1_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
