/*
 * t_http_parser.c - heads and chunked bodies: what is accepted, what is refused and why, and that the cut of
 * the input never matters.
 */
#include "http/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/banned.h"

#define HEAD_MAX 4096

struct bad_head {
    const char *fact;
    int status;
    const char *text;
};

#define H "Host: a\r\n"

static const struct bad_head bad_heads[] = {
    {"no method", 400, " / HTTP/1.1\r\n" H "\r\n"},
    {"method not a token", 400, "G(T / HTTP/1.1\r\n" H "\r\n"},
    {"method too long", 501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\n" H "\r\n"},
    {"tab after method", 400, "GET\t/ HTTP/1.1\r\n" H "\r\n"},
    {"two blanks after method", 400, "GET  / HTTP/1.1\r\n" H "\r\n"},
    {"two blanks after target", 400, "GET /  HTTP/1.1\r\n" H "\r\n"},
    {"HTTP/0.9", 400, "GET /\r\n\r\n"},
    {"relative target", 400, "GET a HTTP/1.1\r\n" H "\r\n"},
    {"asterisk without OPTIONS", 400, "GET * HTTP/1.1\r\n" H "\r\n"},
    {"authority target", 501, "CONNECT a:80 HTTP/1.1\r\n" H "\r\n"},
    {"fragment in target", 400, "GET /#a HTTP/1.1\r\n" H "\r\n"},
    {"8-bit byte in target", 400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"},
    {"control in target", 400, "GET /\x01 HTTP/1.1\r\n" H "\r\n"},
    {"half a percent code", 400, "GET /%4 HTTP/1.1\r\n" H "\r\n"},
    {"percent without hex", 400, "GET /%zz HTTP/1.1\r\n" H "\r\n"},
    {"ftp target", 400, "GET ftp://a/ HTTP/1.1\r\n" H "\r\n"},
    {"absolute target without host", 400, "GET http:///a HTTP/1.1\r\n" H "\r\n"},
    {"user in an absolute target", 400, "GET http://u@a/ HTTP/1.1\r\n" H "\r\n"},
    {"Host differs from target", 400, "GET http://b/ HTTP/1.1\r\n" H "\r\n"},
    {"lower-case protocol", 400, "GET / http/1.1\r\n" H "\r\n"},
    {"version 1.2", 505, "GET / HTTP/1.2\r\n" H "\r\n"},
    {"version 2.0", 505, "GET / HTTP/2.0\r\n" H "\r\n"},
    {"version 0.9", 505, "GET / HTTP/0.9\r\n" H "\r\n"},
    {"version 1.10", 400, "GET / HTTP/1.10\r\n" H "\r\n"},
    {"HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    {"TLS client hello", 400, "\x16\x03\x01\x02"},
    {"bare LF after request line", 400, "GET / HTTP/1.1\n" H "\r\n"},
    {"bare LF after field", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
    {"bare CR in value", 400, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"},
    {"bare LF as the end", 400, "GET / HTTP/1.1\r\n" H "\n"},
    {"CR CR LF", 400, "GET / HTTP/1.1\r\n" H "\r\r\n"},
    {"two empty lines first", 400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"},
    {"LF first", 400, "\nGET / HTTP/1.1\r\n" H "\r\n"},
    {"folded field", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"},
    {"folded with tab", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"},
    {"blank before first field", 400, "GET / HTTP/1.1\r\n " H "\r\n"},
    {"blank before colon", 400, "GET / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n"},
    {"tab before colon", 400, "GET / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n"},
    {"name with a bad byte", 400, "GET / HTTP/1.1\r\n" H "X@Y: a\r\n\r\n"},
    {"8-bit byte in name", 400, "GET / HTTP/1.1\r\n" H "X\xa0: a\r\n\r\n"},
    {"no colon", 400, "GET / HTTP/1.1\r\n" H "X\r\n\r\n"},
    {"empty name", 400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"},
    {"control in value", 400, "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n"},
    {"DEL in value", 400, "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n"},
    {"no Host in 1.1", 400, "GET / HTTP/1.1\r\nX: a\r\n\r\n"},
    {"two Host", 400, "GET / HTTP/1.1\r\n" H H "\r\n"},
    {"Host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {"Host with a blank", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {"Host list", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
    {"Host port not a number", 400, "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"},
    {"Host with open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
    {"two lengths", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
    {"equal lengths", 400,
     "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\ncontent-length: 5\r\n\r\n"},
    {"length list", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n"},
    {"length with sign", 400, "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n"},
    {"negative length", 400, "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n"},
    {"hex length", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n"},
    {"length with blank inside", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\n"},
    {"empty length", 400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"},
    {"huge length", 413, "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n"},
    {"length, then chunked", 400,
     "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"chunked, then length", 400,
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
    {"two codings", 400,
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"coding list", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"},
    {"chunked twice", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n"},
    {"identity", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"},
    {"xchunked", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"},
    {"quoted coding", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"},
    {"coding with parameter", 501,
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n\r\n"},
    {"vertical tab in coding", 400,
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\x0b"
     "chunked\r\n\r\n"},
    {"empty coding", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"},
    {"coding in 1.0", 400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"},
    {"unknown expectation", 417, "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n"},
};

struct good_head {
    const char *fact, *text;
    const char *method, *path, *query, *host;
    int64_t length;
    int minor;
    bool keep, chunked, expect;
};

static const struct good_head good_heads[] = {
    {"plain", "GET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "", "a", -1, 1, true, false, false},
    {"query", "GET /v1?a=b&c=%20?d HTTP/1.1\r\n" H "\r\n", "GET", "/v1", "a=b&c=%20?d", "a", -1, 1,
     true, false, false},
    {"empty query", "GET /v1? HTTP/1.1\r\n" H "\r\n", "GET", "/v1", "", "a", -1, 1, true, false,
     false},
    {"one empty line first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "", "a", -1, 1, true,
     false, false},
    {"odd method", "M-SEARCH /x HTTP/1.1\r\n" H "\r\n", "M-SEARCH", "/x", "", "a", -1, 1, true,
     false, false},
    {"length", "POST / HTTP/1.1\r\n" H "cOnTeNt-LeNgTh:\t 12 \t\r\n\r\n", "POST", "/", "", "a", 12,
     1, true, false, false},
    {"leading zeros", "POST / HTTP/1.1\r\n" H "Content-Length: 0000000000000000000000012\r\n\r\n",
     "POST", "/", "", "a", 12, 1, true, false, false},
    {"chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", "POST", "/", "", "a",
     -1, 1, true, true, false},
    {"close", "GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", "GET", "/", "", "a", -1, 1,
     false, false, false},
    {"1.0", "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", "", -1, 0, false, false, false},
    {"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", "/", "", "", -1,
     0, true, false, false},
    {"expectation", "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
     "POST", "/", "", "a", 1, 1, true, false, true},
    {"absolute target", "GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET", "/x", "y",
     "A:80", -1, 1, true, false, false},
    {"absolute without path", "GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "", "y", "a", -1,
     1, true, false, false},
    {"options", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "", "a", -1, 1, true, false,
     false},
    {"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET", "/", "", "[::1]:8080", -1, 1,
     true, false, false},
    {"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", "", -1, 1, true, false,
     false},
    {"8-bit value", "GET / HTTP/1.1\r\n" H "X: \xc3\xa4\r\n\r\n", "GET", "/", "", "a", -1, 1, true,
     false, false},
};

/* Feeds text in pieces: cut bytes first (all if cut >= n), then `each` at a time. */
static enum http_parse feed(struct http_head *head, enum http_kind kind, const char *text, size_t n,
                            size_t cut, size_t each)
{
    http_head_init(head, kind, HEAD_MAX);
    size_t have = PL_MIN(cut, n);
    enum http_parse parse = http_head_feed(head, text, have);
    while (parse == HTTP_PARSE_MORE && have < n) {
        have = PL_MIN(have + each, n);
        parse = http_head_feed(head, text, have);
    }
    return parse;
}

static bool same_span(struct http_span a, struct http_span b)
{
    return a.at == b.at && a.n == b.n;
}

static bool same_head(const struct http_head *a, const struct http_head *b)
{
    bool same = a->n_fields == b->n_fields && a->head_bytes == b->head_bytes &&
                a->content_length == b->content_length && a->chunked == b->chunked &&
                a->keep_alive == b->keep_alive && a->status == b->status &&
                a->error_status == b->error_status && a->error_reason == b->error_reason &&
                a->pos == b->pos;
    for (uint32_t i = 0; same && i < a->n_fields; i++)
        same = same_span(a->fields[i].name, b->fields[i].name) &&
               same_span(a->fields[i].value, b->fields[i].value);
    return same;
}

/* All cuts into two, and byte by byte, give what the whole gives. */
static int check_cuts(enum http_kind kind, const char *fact, const char *text, size_t n)
{
    struct http_head whole, cut;
    enum http_parse want = feed(&whole, kind, text, n, n, n);
    int wrong = 0;
    for (size_t at = 0; at <= n; at++) {
        enum http_parse got = feed(&cut, kind, text, n, at, at == 0 ? 1 : n);
        if (got == want && same_head(&whole, &cut))
            continue;
        print_error("%s: cut at %zu: got %d '%s', want %d '%s'\n", fact, at, (int)got,
                    cut.error_reason, (int)want, whole.error_reason);
        wrong++;
    }
    return wrong;
}

static void refuses_bad_heads(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(bad_heads); i++) {
        const struct bad_head *row = &bad_heads[i];
        struct http_head head;
        size_t n = strlen(row->text);
        enum http_parse got = feed(&head, HTTP_REQUEST, row->text, n, n, n);
        if (got != HTTP_PARSE_ERROR || head.error_status != row->status || !*head.error_reason) {
            print_error("%zu %s: got %d, %d '%s', want error %d\n", i, row->fact, (int)got,
                        head.error_status, head.error_reason, row->status);
            wrong++;
        }
        wrong += check_cuts(HTTP_REQUEST, row->fact, row->text, n);
    }
    assert_int_equal(wrong, 0);
}

static void refuses_nul_anywhere(void **state)
{
    (void)state;
    static const char text[] = "GET /ab HTTP/1.1\r\nHost: ab\r\nX-Y: cd\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        char copy[sizeof text];
        struct http_head head;
        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        enum http_parse got = feed(&head, HTTP_REQUEST, copy, sizeof text - 1, sizeof text, 1);
        assert_int_equal(got, HTTP_PARSE_ERROR);
    }
}

static bool span_is(const char *text, struct http_span span, const char *want)
{
    return http_slice_is(http_span_slice(text, span), want);
}

static void accepts_good_heads(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(good_heads); i++) {
        const struct good_head *row = &good_heads[i];
        struct http_head head;
        size_t n = strlen(row->text);
        enum http_parse got = feed(&head, HTTP_REQUEST, row->text, n, n, n);
        bool right = got == HTTP_PARSE_DONE && head.head_bytes == n &&
                     span_is(row->text, head.method, row->method) &&
                     span_is(row->text, head.path, row->path) &&
                     span_is(row->text, head.query, row->query) &&
                     span_is(row->text, head.host, row->host) &&
                     head.content_length == row->length && head.version_minor == row->minor &&
                     head.keep_alive == row->keep && head.chunked == row->chunked &&
                     head.expect_continue == row->expect;
        if (!right)
            print_error("%zu %s: got %d '%s'\n", i, row->fact, (int)got, head.error_reason);
        wrong += !right + check_cuts(HTTP_REQUEST, row->fact, row->text, n);
    }
    assert_int_equal(wrong, 0);
}

static void bounds_the_head(void **state)
{
    (void)state;
    char text[HEAD_MAX + 64];
    struct http_head head;
    int n = snprintf(text, sizeof text, "GET /%4080d HTTP/1.1\r\n", 0);
    for (int i = 5; i < 4085; i++)
        text[i] = 'a';
    assert_int_equal(feed(&head, HTTP_REQUEST, text, (size_t)n, 9999, 1), HTTP_PARSE_ERROR);
    assert_int_equal(head.error_status, 431);
    memset(text, 'a', sizeof text);
    static const char start[] = {'G', 'E', 'T', ' ', '/'};
    memcpy(text, start, sizeof start);
    assert_int_equal(feed(&head, HTTP_REQUEST, text, sizeof text, 9999, 1), HTTP_PARSE_ERROR);
    assert_int_equal(head.error_status, 414);
    size_t at = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "X: %d\r\n", i);
    assert_int_equal(feed(&head, HTTP_REQUEST, text, at, at, 1), HTTP_PARSE_ERROR);
    assert_int_equal(head.error_status, 431);
    assert_int_equal(check_cuts(HTTP_REQUEST, "fields", text, at), 0);
}

struct answer_row {
    const char *fact, *text;
    int status; /* 0: refused */
};

static const struct answer_row answers[] = {
    {"plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200},
    {"empty reason", "HTTP/1.1 404 \r\n\r\n", 404},
    {"no reason", "HTTP/1.1 404\r\n\r\n", 404},
    {"1.0", "HTTP/1.0 200 OK\r\n\r\n", 200},
    {"no status", "HTTP/1.1 OK\r\n\r\n", 0},
    {"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", 0},
    {"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", 0},
    {"status 600", "HTTP/1.1 600 x\r\n\r\n", 0},
    {"HTTP/2", "HTTP/2 200 OK\r\n\r\n", 0},
    {"ICY", "ICY 200 OK\r\n\r\n", 0},
    {"length and chunked",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 0},
    {"folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", 0},
    {"bare LF", "HTTP/1.1 200 OK\nX: a\n\n", 0},
};

static void judges_answers(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(answers); i++) {
        struct http_head head;
        size_t n = strlen(answers[i].text);
        enum http_parse got = feed(&head, HTTP_RESPONSE, answers[i].text, n, n, n);
        bool right = answers[i].status == 0
                         ? got == HTTP_PARSE_ERROR
                         : got == HTTP_PARSE_DONE && head.status == answers[i].status;
        if (!right)
            print_error("%s: got %d, %d '%s'\n", answers[i].fact, (int)got, head.status,
                        head.error_reason);
        wrong += !right + check_cuts(HTTP_RESPONSE, answers[i].fact, answers[i].text, n);
    }
    assert_int_equal(wrong, 0);
}

/* ---- chunked --------------------------------------------------------------------------------- */

struct chunked_row {
    const char *fact, *text;
    int status; /* 0: accepted */
    const char *body;
};

static const struct chunked_row chunked_rows[] = {
    {"empty", "0\r\n\r\n", 0, ""},
    {"one", "5\r\nhello\r\n0\r\n\r\n", 0, "hello"},
    {"two", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 0, "hello!"},
    {"hex", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 0, "01234567890123456789"},
    {"leading zeros", "0005\r\nhello\r\n000\r\n\r\n", 0, "hello"},
    {"extension", "5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n", 0, "hello"},
    {"trailers", "0\r\nA: b\r\nC:\r\n\r\n", 0, ""},
    {"body with line ends", "4\r\n\r\n\r\n\r\n0\r\n\r\n", 0, "\r\n\r\n"},
    {"no size", "\r\nhello\r\n", 400, ""},
    {"size not hex", "g\r\n", 400, ""},
    {"signed size", "-1\r\n", 400, ""},
    {"0x size", "0x5\r\nhello\r\n", 400, ""},
    {"blank before size", " 5\r\nhello\r\n", 400, ""},
    {"blank after size", "5 \r\nhello\r\n", 400, ""},
    {"long size", "0000000000000005\r\nhello\r\n", 413, ""},
    {"huge size", "fffffffffffffff\r\n", 413, ""},
    {"sum too large",
     "50\r\n01234567890123456789012345678901234567890123456789012345678901234567890123"
     "456789\r\n50\r\n",
     413, ""},
    {"bare LF after size", "5\nhello\r\n0\r\n\r\n", 400, ""},
    {"CR CR", "5\r\r\nhello\r\n", 400, ""},
    {"chunk too long", "5\r\nhello!\r\n0\r\n\r\n", 400, ""},
    {"chunk ended by LF", "5\r\nhello\n0\r\n\r\n", 400, ""},
    {"LF in extension", "5;a\nb\r\nhello\r\n", 400, ""},
    {"control in extension", "5;\x01\r\nhello\r\n", 400, ""},
    {"trailer without name", "0\r\n: b\r\n\r\n", 400, ""},
    {"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", 400, ""},
    {"trailer with bare LF", "0\r\nA: b\n\r\n", 400, ""},
    {"bare LF as the end", "0\r\n\n", 400, ""},
};

#define CHUNKED_MAX 100

struct decoded {
    enum http_parse parse;
    int status;
    size_t used, n;
    char body[512];
};

static void decode(const char *text, size_t n, size_t cut, size_t each, struct decoded *ret)
{
    struct http_chunked chunked;
    *ret = (struct decoded){.parse = HTTP_PARSE_MORE};
    http_chunked_init(&chunked, CHUNKED_MAX);
    size_t have = PL_MIN(cut, n);
    for (;;) {
        while (ret->parse == HTTP_PARSE_MORE && ret->used < have) {
            struct http_slice body;
            size_t used;
            ret->parse =
                http_chunked_feed(&chunked, text + ret->used, have - ret->used, &used, &body);
            memcpy(ret->body + ret->n, body.data, body.n);
            ret->n += body.n;
            ret->used += used;
        }
        if (ret->parse != HTTP_PARSE_MORE || have == n)
            break;
        have = PL_MIN(have + each, n);
    }
    ret->status = chunked.error_status;
}

static int check_chunked(const struct chunked_row *row, size_t cut, size_t each)
{
    struct decoded got;
    size_t n = strlen(row->text);
    decode(row->text, n, cut, each, &got);
    bool right = row->status == 0
                     ? got.parse == HTTP_PARSE_DONE && got.used == n &&
                           got.n == strlen(row->body) && memcmp(got.body, row->body, got.n) == 0
                     : got.parse == HTTP_PARSE_ERROR && got.status == row->status;
    if (!right)
        print_error("%s, cut %zu/%zu: got %d, %d, %zu bytes; want %d\n", row->fact, cut, each,
                    (int)got.parse, got.status, got.n, row->status);
    return !right;
}

static void decodes_chunked_bodies(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(chunked_rows); i++)
        for (size_t cut = 0; cut <= strlen(chunked_rows[i].text); cut++)
            wrong += check_chunked(&chunked_rows[i], cut, cut == 0 ? 1 : 1000);
    assert_int_equal(wrong, 0);
}

static void bounds_extensions_and_trailers(void **state)
{
    (void)state;
    struct http_chunked chunked;
    struct http_slice body;
    size_t used, total = 0;
    http_chunked_init(&chunked, UINT64_MAX);
    enum http_parse parse = HTTP_PARSE_MORE;
    while (parse == HTTP_PARSE_MORE && total < 100000) {
        static const char piece[] = "1;0123456789\r\na\r\n";
        for (size_t at = 0; parse == HTTP_PARSE_MORE && at < sizeof piece - 1; at += used)
            parse = http_chunked_feed(&chunked, piece + at, sizeof piece - 1 - at, &used, &body);
        total += sizeof piece - 1;
    }
    assert_int_equal(parse, HTTP_PARSE_ERROR);
    http_chunked_init(&chunked, UINT64_MAX);
    parse = http_chunked_feed(&chunked, "0\r\n", 3, &used, &body);
    for (total = 0; parse == HTTP_PARSE_MORE && total < 100000; total += 6)
        parse = http_chunked_feed(&chunked, "a: b\r\n", 6, &used, &body);
    assert_int_equal(parse, HTTP_PARSE_ERROR);
    assert_int_equal(chunked.error_status, 431);
}

static void splits_lists(void **state)
{
    (void)state;
    struct http_slice list = {.data = " a ,, b\t,c d", .n = 12}, item;
    assert_true(http_list_next(&list, &item) && http_slice_is(item, "a"));
    assert_true(http_list_next(&list, &item) && http_slice_is(item, "b"));
    assert_true(http_list_next(&list, &item) && http_slice_is(item, "c d"));
    assert_false(http_list_next(&list, &item));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"refuses bad heads, each for its reason", refuses_bad_heads, NULL, NULL, NULL},
        {"refuses a NUL at every place", refuses_nul_anywhere, NULL, NULL, NULL},
        {"accepts good heads, however cut", accepts_good_heads, NULL, NULL, NULL},
        {"bounds target, section and field count", bounds_the_head, NULL, NULL, NULL},
        {"judges answers as strictly", judges_answers, NULL, NULL, NULL},
        {"decodes chunked bodies, however cut", decodes_chunked_bodies, NULL, NULL, NULL},
        {"bounds chunk extensions and trailers", bounds_extensions_and_trailers, NULL, NULL, NULL},
        {"splits comma-separated lists", splits_lists, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
