/*
 * base/json_writer.h - JSON text into a buf, without a tree: for stream chunks and reports.
 *
 * The writer places commas; nesting is the caller's duty and is checked. Strings are escaped as RFC 8259
 * requires; ill-formed UTF-8 becomes U+FFFD, so that the output is always valid JSON.
 *
 *     struct json_writer w;
 *     json_begin(&w, &buf);
 *     json_object(&w); json_key(&w, "id"); json_string(&w, id, n); json_object_end(&w);
 *
 * Ownership: the buf is the caller's, and holds the sticky failure.  Threads: one owner.
 * Limits: JSON_WRITER_DEPTH_MAX (PL_CHECK).  Source: RFC 8259.
 */
#ifndef BASE_JSON_WRITER_H
#define BASE_JSON_WRITER_H

#include "buf.h"

#define JSON_WRITER_DEPTH_MAX 64

struct json_writer {
    struct buf *out;
    unsigned depth;                            /* open objects and arrays */
    bool after_key;                            /* the next value follows a key */
    bool has_items[JSON_WRITER_DEPTH_MAX + 1]; /* something was written at that depth */
};

void json_begin(struct json_writer *w, struct buf *out);

void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);

void json_string(struct json_writer *w, const char *text, size_t n);
void json_cstring(struct json_writer *w, const char *text); /* NULL writes null */
void json_i64(struct json_writer *w, int64_t value);
void json_u64(struct json_writer *w, uint64_t value);
void json_f64(struct json_writer *w, double value); /* shortest of %.9g/%.17g; not finite: null */
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_raw(struct json_writer *w, const char *json, size_t n); /* one value, already JSON */

/* Appends the escaped text without quotes. */
void json_escape(struct buf *out, const char *text, size_t n);

#endif
