/* t_http_sse.c - the event splitter: rows of stream and expected events, at every cut. */
#include "http/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/banned.h"

struct row {
    const char *fact, *stream;
    const char *events; /* "type|data|id;" each */
};

static const struct row rows[] = {
    {"one event", "data: a\n\n", "message|a|;"},
    {"no blank after colon", "data:a\n\n", "message|a|;"},
    {"only one blank is dropped", "data:  a\n\n", "message| a|;"},
    {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", "message|a|;message|b|;"},
    {"CR", "data: a\r\rdata: b\r\r", "message|a|;message|b|;"},
    {"several data lines", "data: a\ndata\ndata: b\n\n", "message|a\n\nb|;"},
    {"type and id", "event: x\nid: 7\ndata: a\n\ndata: b\n\n", "x|a|7;message|b|7;"},
    {"comments and unknown fields", ": hi\nretry: 5\nfoo: bar\ndata: a\n\n", "message|a|;"},
    {"no data, no event", "event: x\n\ndata: a\n\n", "message|a|;"},
    {"empty data is an event", "data\n\n", "message||;"},
    {"unfinished event is dropped", "data: a\n\ndata: b\n", "message|a|;"},
    {"byte order mark",
     "\xef\xbb\xbf"
     "data: a\n\n",
     "message|a|;"},
    {"no byte order mark",
     "\xef\xbb"
     "data: a\n\ndata: b\n\n",
     "message|b|;"},
    {"[DONE]", "data: {\"a\":1}\n\ndata: [DONE]\n\n", "message|{\"a\":1}|;message|[DONE]|;"},
};

static void on_event(void *user, const struct http_sse_event *event)
{
    struct buf *out = user;
    buf_append(out, event->type.data, event->type.n);
    buf_char(out, '|');
    buf_append(out, event->data.data, event->data.n);
    buf_char(out, '|');
    buf_append(out, event->id.data, event->id.n);
    buf_char(out, ';');
}

static int check(const struct row *row, size_t cut)
{
    struct http_sse sse;
    struct buf out;
    size_t n = strlen(row->stream);
    buf_init(&out, 0);
    buf_str(&out, "");
    http_sse_init(&sse, 1000, on_event, &out);
    enum pl_status status = PL_OK;
    if (cut == 0)
        for (size_t i = 0; i < n && status == PL_OK; i++)
            status = http_sse_feed(&sse, row->stream + i, 1);
    else if ((status = http_sse_feed(&sse, row->stream, cut)) == PL_OK)
        status = http_sse_feed(&sse, row->stream + cut, n - cut);
    bool right = status == PL_OK && strcmp(out.data, row->events) == 0;
    if (!right)
        print_error("%s, cut %zu: got %d '%s', want '%s'\n", row->fact, cut, (int)status, out.data,
                    row->events);
    http_sse_deinit(&sse);
    buf_deinit(&out);
    return !right;
}

static void splits_events(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        for (size_t cut = 0; cut <= strlen(rows[i].stream); cut++)
            wrong += check(&rows[i], cut);
    assert_int_equal(wrong, 0);
}

static void bounds_an_event(void **state)
{
    (void)state;
    struct http_sse sse;
    struct buf out;
    buf_init(&out, 0);
    http_sse_init(&sse, 100, on_event, &out);
    enum pl_status status = PL_OK;
    for (int i = 0; i < 20 && status == PL_OK; i++)
        status = http_sse_feed(&sse, "data: 0123456789\n", 17);
    assert_int_equal(status, PL_ELIMIT);
    assert_int_equal(http_sse_feed(&sse, "\n", 1), PL_ELIMIT);
    http_sse_deinit(&sse);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"splits events, however cut", splits_events, NULL, NULL, NULL},
        {"bounds an event", bounds_an_event, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
