/* See json_writer.h. */
#include "json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "utf8.h"
#include "banned.h"

void json_begin(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static void before_value(struct json_writer *w)
{
    if (!w->after_key && w->has_items[w->depth])
        buf_char(w->out, ',');
    w->after_key = false;
    w->has_items[w->depth] = true;
}

static void open_scope(struct json_writer *w, char c)
{
    before_value(w);
    PL_CHECK(w->depth < JSON_WRITER_DEPTH_MAX);
    w->has_items[++w->depth] = false;
    buf_char(w->out, c);
}

static void close_scope(struct json_writer *w, char c)
{
    PL_CHECK(w->depth > 0 && !w->after_key);
    w->depth--;
    buf_char(w->out, c);
}

void json_object(struct json_writer *w)
{
    open_scope(w, '{');
}

void json_object_end(struct json_writer *w)
{
    close_scope(w, '}');
}

void json_array(struct json_writer *w)
{
    open_scope(w, '[');
}

void json_array_end(struct json_writer *w)
{
    close_scope(w, ']');
}

void json_key(struct json_writer *w, const char *key)
{
    json_cstring(w, key);
    buf_char(w->out, ':');
    w->after_key = true;
}

static void escape_control(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': buf_str(out, "\\\""); break;
    case '\\': buf_str(out, "\\\\"); break;
    case '\n': buf_str(out, "\\n"); break;
    case '\r': buf_str(out, "\\r"); break;
    case '\t': buf_str(out, "\\t"); break;
    default: buf_printf(out, "\\u%04x", c); break;
    }
}

void json_escape(struct buf *out, const char *text, size_t n)
{
    size_t plain = 0; /* start of the run that is copied as it is */
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        uint32_t code;
        size_t bytes = 1;
        enum utf8_result result = utf8_decode(text + i, n - i, &code, &bytes);
        if (c < 0x80 || result != UTF8_OK) {
            buf_append(out, text + plain, i - plain);
            if (c < 0x80)
                escape_control(out, c);
            else
                buf_str(out, "\xEF\xBF\xBD");
            plain = i + bytes;
        }
        i += bytes;
    }
    buf_append(out, text + plain, n - plain);
}

void json_string(struct json_writer *w, const char *text, size_t n)
{
    before_value(w);
    buf_char(w->out, '"');
    json_escape(w->out, text, n);
    buf_char(w->out, '"');
}

void json_cstring(struct json_writer *w, const char *text)
{
    if (text == NULL)
        json_null(w);
    else
        json_string(w, text, strlen(text));
}

void json_i64(struct json_writer *w, int64_t value)
{
    before_value(w);
    buf_printf(w->out, "%lld", (long long)value);
}

void json_u64(struct json_writer *w, uint64_t value)
{
    before_value(w);
    buf_printf(w->out, "%llu", (unsigned long long)value);
}

void json_f64(struct json_writer *w, double value)
{
    before_value(w);
    if (!isfinite(value)) {
        buf_str(w->out, "null");
        return;
    }
    char text[40];
    (void)snprintf(text, sizeof text, "%.9g", value);
    if (strtod(text, NULL) != value)
        (void)snprintf(text, sizeof text, "%.17g", value);
    buf_str(w->out, text);
}

void json_bool(struct json_writer *w, bool value)
{
    before_value(w);
    buf_str(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    before_value(w);
    buf_str(w->out, "null");
}

void json_raw(struct json_writer *w, const char *json, size_t n)
{
    before_value(w);
    buf_append(w->out, json, n);
}
