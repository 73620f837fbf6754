/* Slices, lists, and what may be written into a head: the small parts of parser.h. */
#include "parser.h"

#include <string.h>

#include "chars.h"

#include "base/banned.h"

static char lower(char c)
{
    if (c < 'A' || c > 'Z')
        return c;
    return "abcdefghijklmnopqrstuvwxyz"[c - 'A'];
}

bool http_slice_is(struct http_slice s, const char *text)
{
    return strlen(text) == s.n && memcmp(s.data, text, s.n) == 0;
}

bool http_slice_is_nocase(struct http_slice s, const char *text)
{
    for (size_t i = 0; i < s.n; i++)
        if (text[i] == '\0' || lower(s.data[i]) != lower(text[i]))
            return false;
    return text[s.n] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool http_list_next(struct http_slice *list, struct http_slice *ret)
{
    while (list->n > 0 && (is_blank(list->data[0]) || list->data[0] == ',')) {
        list->data++;
        list->n--;
    }
    if (list->n == 0)
        return false;
    size_t n = 0;
    while (n < list->n && list->data[n] != ',')
        n++;
    struct http_slice item = {.data = list->data, .n = n};
    list->data += n;
    list->n -= n;
    while (is_blank(item.data[item.n - 1])) /* the first byte is none */
        item.n--;
    *ret = item;
    return true;
}

bool http_name_valid(const char *name)
{
    size_t n = 0;
    while (http_char_is(name[n], HTTP_CHAR_TOKEN))
        n++;
    return n > 0 && name[n] == '\0';
}

bool http_value_valid(const char *value)
{
    size_t n = 0;
    while (http_char_is(value[n], HTTP_CHAR_VALUE))
        n++;
    return value[n] == '\0';
}

struct status_text {
    int status;
    const char *text;
};

static const struct status_text status_texts[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {529, "Overloaded"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(status_texts); i++)
        if (status_texts[i].status == status)
            return status_texts[i].text;
    return "Unknown";
}
