/* core/base: arenas and buffers keep their bounds, and failures stick. */
#include "base/arena.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

static void arena_keeps_to_its_budget_and_stays_usable(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_non_null(arena_alloc(&arena, 900));
    assert_null(arena_alloc(&arena, 200));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_array(&arena, SIZE_MAX / 2, 16));
    assert_non_null(arena_alloc(&arena, 50));
    arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_non_null(arena_alloc(&arena, 1000 - 8));
    arena_deinit(&arena);
}

static void arena_pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    unsigned char *pieces[200];
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = arena_alloc(&arena, i * 7);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i * 7; k++)
            assert_int_equal(pieces[i][k], (unsigned char)i);
    char *copy = arena_strndup(&arena, "hello", 3);
    assert_string_equal(copy, "hel");
    arena_deinit(&arena);
}

static void buf_refuses_more_than_its_maximum_and_remembers(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);
    buf_str(&buf, "12345");
    buf_str(&buf, "678901");
    assert_true(buf.failed);
    assert_string_equal(buf.data, "12345");
    buf_str(&buf, "x"); /* would fit, but the failure sticks */
    assert_int_equal(buf.len, 5);
    assert_null(buf_take(&buf));
    buf_deinit(&buf);
}

static void buf_formats_consumes_and_hands_over(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%d,", i);
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 900 * 4);
    buf_consume(&buf, 4);
    assert_memory_equal(buf.data, "2,3,", 4);
    buf_consume(&buf, SIZE_MAX);
    assert_int_equal(buf.len, 0);
    char *text = buf_take(&buf);
    assert_string_equal(text, "");
    free(text);
    text = buf_take(&buf); /* never used again: still "" */
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_keeps_to_its_budget_and_stays_usable),
        cmocka_unit_test(arena_pieces_are_aligned_and_apart),
        cmocka_unit_test(buf_refuses_more_than_its_maximum_and_remembers),
        cmocka_unit_test(buf_formats_consumes_and_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
