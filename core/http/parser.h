/*
 * http/parser.h - HTTP/1.x message heads and chunked bodies as pure state machines.
 *
 * One byte moves the machine by one step and nothing else does: however the input is cut into pieces, the
 * result, the error and its reason are the same. No I/O, no allocation, no clock. What two parsers could
 * read in two ways is an error (RFC 9112 section 11.2, request smuggling):
 *
 *   refused: bare CR or LF, obs-fold, blank before ':', bytes outside the grammar, Content-Length with
 *   Transfer-Encoding, two Content-Length, a coding other than "chunked", no or two Host in 1.1,
 *   Transfer-Encoding in 1.0, a Host that differs from an absolute target
 *
 * Ownership: a head keeps offsets into the caller's bytes, never pointers, so these may move between
 * calls.  Threads: no shared state.
 * Errors: HTTP_PARSE_ERROR with the status to answer and a reason (static text).
 * Limits: HTTP_FIELDS_MAX, HTTP_CHUNK_*; head_bytes_max from the caller.  Source: RFC 9110, RFC 9112.
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <polder/base.h>

#define HTTP_FIELDS_MAX       64 /* fields of a head; browsers send about 20 */
#define HTTP_METHOD_BYTES_MAX 32 /* longest registered one has 17 (UPDATEREDIRECTREF) */
#define HTTP_CHUNK_EXT_BYTES_MAX                                                                   \
    4096                            /* all chunk extensions of a body together: nobody uses them */
#define HTTP_TRAILER_BYTES_MAX 8192 /* the trailer section: read, checked, dropped */

struct http_slice {
    const char *data; /* n bytes, not NUL-terminated; never NULL */
    size_t n;
};

/* Equal bytes / equal without regard to ASCII case. */
bool http_slice_is(struct http_slice s, const char *text);
bool http_slice_is_nocase(struct http_slice s, const char *text);

/* The next element of a comma-separated list (RFC 9110 section 5.6.1), blanks trimmed, empty ones
 * skipped; false at the end. *list is moved on. */
bool http_list_next(struct http_slice *list, struct http_slice *ret);

enum http_parse {
    HTTP_PARSE_MORE,  /* all input used; not complete */
    HTTP_PARSE_DONE,  /* complete; the rest of the input belongs to what follows */
    HTTP_PARSE_ERROR, /* see error_status and error_reason; final */
};

/* ---- heads ----------------------------------------------------------------------------------- */

struct http_span {
    uint32_t at, n; /* bytes from the head's first byte */
};

struct http_field {
    struct http_span name, value; /* value without blanks around it */
};

enum http_kind {
    HTTP_REQUEST,
    HTTP_RESPONSE,
};

struct http_head {
    /* Results, complete after HTTP_PARSE_DONE. */
    enum http_kind kind;
    uint8_t version_minor;   /* 0 or 1 */
    bool keep_alive;         /* the sender keeps the connection open after this message */
    bool chunked;            /* Transfer-Encoding: chunked */
    bool expect_continue;    /* Expect: 100-continue, in a 1.1 request */
    bool upgrade;            /* an Upgrade field, named in Connection */
    uint16_t status;         /* responses */
    int64_t content_length;  /* bytes; -1 = no such field */
    struct http_span method; /* requests */
    struct http_span target; /* requests, as sent */
    struct http_span
        path; /* requests: begins with '/', or is "*" for OPTIONS; may be empty only for
                                absolute targets without a path, meaning "/" */
    struct http_span query;  /* requests: after '?' */
    struct http_span host;   /* requests: from the absolute target or the Host field */
    struct http_span reason; /* responses */
    uint32_t head_bytes;     /* through the empty line */
    uint32_t n_fields;
    struct http_field fields[HTTP_FIELDS_MAX];

    uint16_t error_status;    /* after HTTP_PARSE_ERROR: 400, 413, 414, 417, 431, 501 or 505 */
    const char *error_reason; /* static text, one clause */

    /* The machine's. */
    uint32_t pos, mark, head_bytes_max;
    uint8_t state, lines_before;
    bool host_seen, te_seen, connection_close, connection_keep, connection_upgrade;
};

void http_head_init(struct http_head *head, enum http_kind kind, uint32_t head_bytes_max);

/* data[n] are all bytes since the head's first, those of earlier calls included (so n only grows); only
 * the new ones are looked at. */
enum http_parse http_head_feed(struct http_head *head, const char *data, size_t n);

/* Lookup without regard to case; NULL if absent. From: NULL for the first, else the field after which
 * to go on. */
const struct http_field *http_head_find(const struct http_head *head, const char *data,
                                        const char *name, const struct http_field *after);

static inline struct http_slice http_span_slice(const char *data, struct http_span span)
{
    return (struct http_slice){.data = data + span.at, .n = span.n};
}

/* ---- chunked bodies -------------------------------------------------------------------------- */

struct http_chunked {
    uint64_t left;            /* bytes of the current chunk still to come */
    uint64_t body_bytes;      /* sum of the sizes of all chunks announced so far */
    uint32_t ext_bytes;       /* of extensions so far */
    uint32_t trailer_bytes;   /* so far */
    uint16_t error_status;    /* after HTTP_PARSE_ERROR: 400, 413 or 431 */
    const char *error_reason; /* static text */
    uint64_t body_bytes_max;  /* an announced size beyond it is 413 */
    uint8_t state, digits;    /* the machine's */
};

void http_chunked_init(struct http_chunked *chunked, uint64_t body_bytes_max);

/* Takes input up to and including the next piece of body. *ret_used: bytes of data taken; *ret_body: the
 * piece, within data, possibly empty. Call again with the rest while HTTP_PARSE_MORE and bytes are left.
 * DONE after the trailer section. */
enum http_parse http_chunked_feed(struct http_chunked *chunked, const char *data, size_t n,
                                  size_t *ret_used, struct http_slice *ret_body);

/* ---- writing --------------------------------------------------------------------------------- */

/* What may be sent: a token; a value without CR, LF, NUL and other controls. */
bool http_name_valid(const char *name);
bool http_value_valid(const char *value);

/* The standard's phrase, or "Unknown". */
const char *http_status_text(int status);

#endif
