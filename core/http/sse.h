/*
 * http/sse.h - splits a server-sent event stream into events, however it is cut into pieces.
 *
 * Fields data, event and id are kept; retry and unknown ones are dropped; lines end with LF, CRLF or CR;
 * a leading byte order mark is skipped; an event without data is dropped, as is one without its blank
 * line at the stream's end.
 *
 * Ownership: the splitter owns its buffers until deinit.  Threads: one owner.
 * Errors: PL_ELIMIT when a line or event exceeds event_bytes_max, PL_ENOMEM; final.
 * Limits: event_bytes_max.  Source: WHATWG HTML section 9.2.6.
 */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "parser.h"

#include "base/buf.h"
#include <polder/status.h>

/* Slices are valid during the callback, and NUL-terminated. */
struct http_sse_event {
    struct http_slice type; /* "message" unless the stream says otherwise */
    struct http_slice data; /* lines joined by LF */
    struct http_slice id;   /* last id seen, or empty */
};

typedef void http_sse_fn(void *user, const struct http_sse_event *event);

struct http_sse {
    struct buf line, data, type, id;
    http_sse_fn *on_event;
    void *user;
    uint8_t bom;           /* bytes of a byte order mark seen at the start */
    bool after_cr;         /* an LF now belongs to the line end before */
    bool has_data;         /* a data field was seen since the last event */
    enum pl_status failed; /* sticky */
};

void http_sse_init(struct http_sse *sse, size_t event_bytes_max, http_sse_fn *on_event, void *user);
void http_sse_deinit(struct http_sse *sse);

/* Calls on_event for each event completed by these bytes. */
PL_NODISCARD enum pl_status http_sse_feed(struct http_sse *sse, const char *data, size_t n);

#endif
