/*
 * fuzz_http.c - libFuzzer target of the HTTP room's pure parts: heads, chunked bodies, event streams.
 *
 * The first byte picks the machine and the cut; the rest is input. Besides memory errors it looks for a
 * result that depends on how the input is cut.
 */
#include "http/parser.h"
#include "http/sse.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#include "base/banned.h"

#define HEAD_MAX 2048
#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_spans(const struct http_head *head, const char *data, size_t n)
{
    const struct http_span spans[] = {head->method, head->target, head->path,
                                      head->query,  head->host,   head->reason};
    for (size_t i = 0; i < PL_ARRAY_LEN(spans); i++)
        PL_CHECK((size_t)spans[i].at + spans[i].n <= n);
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct http_field *field = &head->fields[i];
        PL_CHECK((size_t)field->value.at + field->value.n <= n && field->name.n > 0);
        struct http_slice list = http_span_slice(data, field->value), item;
        while (http_list_next(&list, &item))
            PL_CHECK(item.n > 0);
    }
    PL_CHECK(head->head_bytes <= n && !(head->chunked && head->content_length >= 0));
}

static void try_head(enum http_kind kind, const char *data, size_t n, size_t cut)
{
    struct http_head whole, pieces;
    http_head_init(&whole, kind, HEAD_MAX);
    enum http_parse want = http_head_feed(&whole, data, n);
    http_head_init(&pieces, kind, HEAD_MAX);
    enum http_parse got = HTTP_PARSE_MORE;
    for (size_t have = PL_MIN(cut, n); got == HTTP_PARSE_MORE; have = PL_MIN(have + cut, n)) {
        got = http_head_feed(&pieces, data, have);
        if (have == n)
            break;
    }
    PL_CHECK(got == want);
    PL_CHECK(whole.pos == pieces.pos && whole.n_fields == pieces.n_fields);
    PL_CHECK(whole.error_reason == pieces.error_reason);
    if (want == HTTP_PARSE_DONE)
        check_spans(&whole, data, n);
}

static enum http_parse decode(const char *data, size_t n, size_t cut, uint64_t *ret_hash)
{
    struct http_chunked chunked;
    char body[BODY_MAX];
    size_t at = 0, have = 0, n_body = 0;
    enum http_parse parse = HTTP_PARSE_MORE;
    http_chunked_init(&chunked, BODY_MAX);
    while (parse == HTTP_PARSE_MORE && at < n) {
        struct http_slice piece;
        size_t used;
        if (at == have)
            have = PL_MIN(have + cut, n);
        parse = http_chunked_feed(&chunked, data + at, have - at, &used, &piece);
        PL_CHECK(used <= have - at && piece.n <= sizeof body - n_body);
        memcpy(body + n_body, piece.data, piece.n);
        n_body += piece.n;
        at += used;
    }
    *ret_hash = hash_bytes(body, n_body) + at;
    return parse;
}

static void on_event(void *user, const struct http_sse_event *event)
{
    uint64_t *hash = user;
    *hash = *hash * 31 + hash_bytes(event->data.data, event->data.n) +
            hash_bytes(event->type.data, event->type.n) + hash_bytes(event->id.data, event->id.n);
}

static enum pl_status split(const char *data, size_t n, size_t cut, uint64_t *ret_hash)
{
    struct http_sse sse;
    enum pl_status status = PL_OK;
    *ret_hash = 0;
    http_sse_init(&sse, BODY_MAX, on_event, ret_hash);
    for (size_t at = 0; at < n && status == PL_OK; at += cut)
        status = http_sse_feed(&sse, data + at, PL_MIN(cut, n - at));
    http_sse_deinit(&sse);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    size_t cut = (size_t)(bytes[0] >> 2) + 1;
    char *data = malloc(PL_MAX(n - 1, (size_t)1)); /* exactly: a read beyond is seen */
    if (data == NULL)
        return 0;
    memcpy(data, bytes + 1, n - 1);
    uint64_t whole = 0, pieces = 0;
    switch (bytes[0] & 3) {
    case 0: try_head(HTTP_REQUEST, data, n - 1, cut); break;
    case 1: try_head(HTTP_RESPONSE, data, n - 1, cut); break;
    case 2:
        PL_CHECK(decode(data, n - 1, n, &whole) == decode(data, n - 1, cut, &pieces));
        PL_CHECK(whole == pieces);
        break;
    default:
        PL_CHECK(split(data, n - 1, n, &whole) == split(data, n - 1, cut, &pieces));
        PL_CHECK(whole == pieces);
        break;
    }
    free(data);
    return 0;
}
