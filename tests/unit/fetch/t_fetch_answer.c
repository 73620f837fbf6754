/* core/fetch: what an answer says, what follows from it, and how long to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "answer.h"
#include "retry.h"
#include "base/banned.h"

#define SHA "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void take(struct answer *a, const char *const *lines, size_t n)
{
    for (size_t i = 0; i < n && lines[i] != NULL; i++)
        answer_take_line(a, lines[i], strlen(lines[i]));
}

static void headers_are_read(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "HTTP/1.1 206 Partial Content\r\n",
        "content-LENGTH:  95 \r\n",
        "Content-Range: bytes 5-99/100\r\n",
        "ETag: \"v1\"\r\n",
        "Last-Modified: Tue, 01 Sep 2026 10:00:00 GMT\r\n",
        "X-Linked-Etag: \"9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08\"\r\n",
        "X-Linked-Size: 100\r\n",
        "X-Repo-Commit: c0ffee\r\n",
        "\r\n"};
    struct answer a = {0};
    take(&a, LINES, PL_ARRAY_LEN(LINES));
    assert_int_equal(a.status, 206);
    assert_true(a.has_length && a.has_range && a.has_total && a.has_linked_size);
    assert_int_equal(a.length, 95);
    assert_int_equal(a.first, 5);
    assert_int_equal(a.total, 100);
    assert_int_equal(a.linked_size, 100);
    assert_string_equal(a.etag, "\"v1\"");
    assert_string_equal(a.modified, "Tue, 01 Sep 2026 10:00:00 GMT");
    assert_string_equal(a.sha256, SHA);
    assert_string_equal(a.commit, "c0ffee");
    answer_take_line(&a, "HTTP/2 200\r\n", 12); /* the next answer forgets this one */
    assert_int_equal(a.status, 200);
    assert_false(a.has_length || a.has_range || a.has_linked_size);
    assert_string_equal(a.etag, "");
}

/* Lines that say nothing: each leaves its field unset. */
static void nonsense_counts_as_not_said(void **state)
{
    (void)state;
    static const char *const ROWS[] = {
        "Content-Length: -1",
        "Content-Length: 5, 5",
        "Content-Length: 99999999999999999999",
        "Content-Range: bytes */x",
        "Content-Range: items 0-5/6",
        "Content-Range: bytes 5-4/6",
        "Content-Range: bytes 5-6",
        "Content-Range: bytes 5",
        "X-Linked-Etag: abc",
        "X-Linked-Size: 1e9",
        "X-Repo-Commit: main; rm",
        "ETag: \"a\001b\"",
        "no colon",
        ": empty",
        "",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct answer a = {0};
        static const struct answer NOTHING = {0};
        answer_take_line(&a, ROWS[i], strlen(ROWS[i]));
        assert_false(a.has_length || a.has_range || a.has_total || a.has_linked_size);
        assert_string_equal(a.etag, NOTHING.etag);
        assert_string_equal(a.sha256, "");
        assert_string_equal(a.commit, "");
    }
    struct answer a = {0};
    answer_take_line(&a, "Content-Range: bytes 5-9/6", 26); /* beyond its own end */
    assert_false(a.has_range);
}

static void verdicts_follow_the_table(void **state)
{
    (void)state;
    static const struct {
        const char *lines[4];
        struct answer_request asked;
        enum answer_verdict want;
    } ROWS[] = {
        {{"HTTP/1.1 200 OK"}, {0, false, 0, ""}, ANSWER_TAKE},
        {{"HTTP/1.1 200 OK"}, {5, true, 10, "\"a\""}, ANSWER_RESTART},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 5-9/10"}, {5, true, 10, "\"a\""}, ANSWER_TAKE},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 5-9/*"}, {5, false, 0, ""}, ANSWER_TAKE},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 0-9/10"}, {0, false, 0, ""}, ANSWER_TAKE},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 5-9/10"}, {0, false, 0, ""}, ANSWER_FAIL},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 4-9/10"}, {5, true, 10, ""}, ANSWER_AGAIN},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 5-9/11"}, {5, true, 10, ""}, ANSWER_AGAIN},
        {{"HTTP/1.1 206 P", "Content-Range: bytes 5-9/10", "ETag: \"b\""},
         {5, true, 10, "\"a\""},
         ANSWER_AGAIN},
        {{"HTTP/1.1 206 P"}, {5, true, 10, ""}, ANSWER_AGAIN},
        {{"HTTP/1.1 416 R", "Content-Range: bytes */10"}, {10, true, 10, ""}, ANSWER_WHOLE},
        {{"HTTP/1.1 416 R", "Content-Range: bytes */9"}, {10, true, 10, ""}, ANSWER_AGAIN},
        {{"HTTP/1.1 416 R"}, {10, true, 10, ""}, ANSWER_AGAIN},
        {{"HTTP/1.1 416 R"}, {0, false, 0, ""}, ANSWER_FAIL},
        {{"HTTP/1.1 401 U"}, {0, false, 0, ""}, ANSWER_DENIED},
        {{"HTTP/1.1 403 F"}, {5, false, 0, ""}, ANSWER_DENIED},
        {{"HTTP/1.1 404 N"}, {0, false, 0, ""}, ANSWER_ABSENT},
        {{"HTTP/1.1 410 G"}, {0, false, 0, ""}, ANSWER_ABSENT},
        {{"HTTP/1.1 408 T"}, {0, false, 0, ""}, ANSWER_RETRY},
        {{"HTTP/1.1 429 T"}, {0, false, 0, ""}, ANSWER_RETRY},
        {{"HTTP/1.1 500 I"}, {0, false, 0, ""}, ANSWER_RETRY},
        {{"HTTP/1.1 599 I"}, {0, false, 0, ""}, ANSWER_RETRY},
        {{"HTTP/1.1 204 N"}, {0, false, 0, ""}, ANSWER_FAIL},
        {{"HTTP/1.1 418 T"}, {0, false, 0, ""}, ANSWER_FAIL},
        {{"HTTP/1.1 xyz"}, {0, false, 0, ""}, ANSWER_FAIL},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct answer a = {0};
        take(&a, ROWS[i].lines, PL_ARRAY_LEN(ROWS[i].lines));
        if (answer_judge(&a, &ROWS[i].asked) != ROWS[i].want)
            fail_msg("row %zu: got %d, want %d", i, (int)answer_judge(&a, &ROWS[i].asked),
                     (int)ROWS[i].want);
    }
}

static void only_strong_tags_are_strong(void **state)
{
    (void)state;
    assert_true(answer_tag_is_strong("\"v1\""));
    assert_true(answer_tag_is_strong("\"\""));
    assert_false(answer_tag_is_strong("W/\"v1\""));
    assert_false(answer_tag_is_strong("v1"));
    assert_false(answer_tag_is_strong("\""));
    assert_false(answer_tag_is_strong(""));
}

static void waits_double_up_to_a_limit_with_jitter(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, n, random;
        int64_t after;
        uint32_t want;
    } ROWS[] = {
        {1000, 1, 0, -1, 500},
        {1000, 1, UINT32_MAX, -1, 1000},
        {1000, 2, UINT32_MAX, -1, 2000},
        {1000, 4, 0, -1, 4000},
        {1000, 100, UINT32_MAX, -1, RETRY_WAIT_MAX_MS},
        {1000, UINT32_MAX, 0, -1, RETRY_WAIT_MAX_MS / 2},
        {1000, 1, 0, 7, 7000},
        {1000, 1, 0, 0, 500},
        {1000, 1, 0, INT64_MAX, RETRY_AFTER_LIMIT_S * 1000},
        {1, 1, 0, -1, 0},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++)
        assert_int_equal(retry_wait_ms((uint32_t)ROWS[i].first, (uint32_t)ROWS[i].n, ROWS[i].after,
                                       (uint32_t)ROWS[i].random),
                         ROWS[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(nonsense_counts_as_not_said),
        cmocka_unit_test(verdicts_follow_the_table),
        cmocka_unit_test(only_strong_tags_are_strong),
        cmocka_unit_test(waits_double_up_to_a_limit_with_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
