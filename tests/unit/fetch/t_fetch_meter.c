/* core/fetch: a download's line fits its terminal, and its rate is that of the last seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io.h"
#include "meter.h"
#include "base/banned.h"

static void sizes_read_like_those_of_shops(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *want;
    } ROWS[] = {{0, "0 B"},
                {999, "999 B"},
                {1000, "1.0 kB"},
                {9949, "9.9 kB"},
                {99949, "99.9 kB"},
                {99950, "100 kB"},
                {999499, "999 kB"},
                {999500, "1.0 MB"},
                {4920734176, "4.9 GB"},
                {UINT64_MAX, "18.4 EB"}};
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char got[16];
        io_human_bytes(ROWS[i].bytes, got);
        assert_string_equal(got, ROWS[i].want);
    }
}

static void the_rate_is_of_the_last_seconds(void **state)
{
    (void)state;
    struct meter m;
    meter_begin(&m);
    assert_true(meter_rate(&m) == 0);
    for (int64_t s = 0; s < 60; s++) /* 1 MB/s, then 5 */
        meter_add(&m, s * CLOCK_NS_PER_S, (uint64_t)s * 1000000);
    assert_true(meter_rate(&m) == 1e6);
    for (int64_t s = 0; s < METER_SAMPLES; s++)
        meter_add(&m, (60 + s) * CLOCK_NS_PER_S, 60000000 + (uint64_t)s * 5000000);
    assert_true(meter_rate(&m) == 5e6);
    meter_add(&m, 100 * CLOCK_NS_PER_S, 0); /* a new start */
    assert_true(meter_rate(&m) == 0);
    meter_add(&m, 100 * CLOCK_NS_PER_S + 1, 7); /* too soon to count */
    assert_true(meter_rate(&m) == 0);
}

static void the_line_says_it_all(void **state)
{
    (void)state;
    struct meter m;
    char got[METER_LINE_MAX];
    meter_begin(&m);
    meter_add(&m, 0, 1000000000);
    meter_add(&m, 2 * CLOCK_NS_PER_S, 1200000000);
    struct meter_view v = {
        .label = "m.gguf", .have = 1200000000, .has_size = true, .size = 2900000000};
    meter_line(&m, &v, got);
    assert_string_equal(got, "m.gguf: 41 %  1.2 GB of 2.9 GB  100 MB/s  0:17");
    v.columns = 80;
    meter_line(&m, &v, got);
    assert_string_equal(got, "m.gguf [#######..........]  41 %  1.2 GB of 2.9 GB  100 MB/s  0:17");
    v.size = 900000000000;
    meter_line(&m, &v, got);
    assert_non_null(strstr(got, "2:29:48"));
    v.has_size = false;
    meter_line(&m, &v, got);
    assert_string_equal(got, "m.gguf 1.2 GB  100 MB/s");
}

static void the_line_never_exceeds_the_columns(void **state)
{
    (void)state;
    static const char *const LABELS[] = {
        "", "m", "a-model-with-a-rather-long-name-Q4_K_M-00001-of-00017.gguf"};
    static const uint64_t SIZES[] = {0, 1, 1000000, UINT64_MAX / 2};
    struct meter m;
    meter_begin(&m);
    meter_add(&m, 0, 0);
    meter_add(&m, CLOCK_NS_PER_S, 1234567);
    for (size_t i = 0; i < PL_ARRAY_LEN(LABELS) * PL_ARRAY_LEN(SIZES); i++) {
        for (unsigned columns = 1; columns < 300; columns++) {
            struct meter_view v = {.label = LABELS[i % PL_ARRAY_LEN(LABELS)],
                                   .size = SIZES[i / PL_ARRAY_LEN(LABELS)],
                                   .has_size = columns % 2 == 0,
                                   .columns = columns};
            v.have = v.size / 3;
            char got[METER_LINE_MAX];
            meter_line(&m, &v, got);
            assert_true(strlen(got) < columns);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_read_like_those_of_shops),
        cmocka_unit_test(the_rate_is_of_the_last_seconds),
        cmocka_unit_test(the_line_says_it_all),
        cmocka_unit_test(the_line_never_exceeds_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
