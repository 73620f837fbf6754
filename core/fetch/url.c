/* See url.h. */
#include "url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/banned.h"

#define PORT_HTTP  80
#define PORT_HTTPS 443

static bool is_host_char(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '-' || c == '.' || c == '_';
}

/* Bytes of the host at text, 0 if there is none. */
static size_t host_length(const char *text)
{
    size_t n = 0;
    if (text[0] == '[') {
        n = 1;
        while (isxdigit((unsigned char)text[n]) != 0 || text[n] == ':' || text[n] == '.')
            n++;
        return text[n] == ']' && n > 1 ? n + 1 : 0;
    }
    while (is_host_char(text[n]))
        n++;
    return n;
}

static enum pl_status check_characters(const char *text, struct pl_error *err)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '\\' || *p == '"')
            return pl_error_set(err, PL_EINVAL,
                                "the URL has a character that must be written as %%%02X",
                                (unsigned char)*p);
    }
    return PL_OK;
}

/* ":port" at text, if any; *ret_n: its bytes. */
static bool parse_port(const char *text, uint16_t *port, size_t *ret_n)
{
    size_t n = 0;
    uint64_t value = 0;
    *ret_n = 0;
    if (text[0] != ':')
        return true;
    while (isdigit((unsigned char)text[1 + n]) != 0)
        n++;
    *ret_n = 1 + n;
    if (n == 0)
        return true;
    if (!parse_u64_n(text + 1, n, UINT16_MAX, &value) || value == 0)
        return false;
    *port = (uint16_t)value;
    return true;
}

enum pl_status url_parse(const char *text, struct url *ret, struct pl_error *err)
{
    bool tls = strncasecmp(text, "https://", 8) == 0;
    if (!tls && strncasecmp(text, "http://", 7) != 0)
        return pl_error_set(err, PL_EINVAL,
                            "expected an http:// or https:// URL (or hf:ORG/REPO/FILE)");
    if (strlen(text) >= URL_MAX)
        return pl_error_set(err, PL_EINVAL, "the URL is longer than %d bytes", URL_MAX - 1);
    enum pl_status status = check_characters(text, err);
    if (status != PL_OK)
        return status;
    const char *authority = text + (tls ? 8 : 7);
    if (memchr(authority, '@', strcspn(authority, "/?#")) != NULL)
        return pl_error_set(err, PL_EINVAL,
                            "a user or password in the URL is not taken (others could read it in "
                            "the process list): use --token-file");
    size_t n = host_length(authority), port_n = 0;
    uint16_t port = tls ? PORT_HTTPS : PORT_HTTP;
    if (n == 0 || n >= URL_HOST_MAX)
        return pl_error_set(err, PL_EINVAL, "the URL has no valid host");
    if (!parse_port(authority + n, &port, &port_n) ||
        strchr("/?#", authority[n + port_n]) == NULL) /* the end counts, too */
        return pl_error_set(err, PL_EINVAL, "the URL has no valid port or path");
    struct url *u = ret;
    *u = (struct url){.tls = tls, .port = port};
    for (size_t i = 0; i < n; i++)
        u->host[i] = (char)tolower((unsigned char)authority[i]);
    size_t length = strcspn(text, "#");
    memcpy(u->text, text, length);
    u->text[length] = '\0';
    u->path = (size_t)(authority + n + port_n - text);
    return PL_OK;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->tls == b->tls && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Exactly four decimal numbers, the first 127: other spellings are not believed. */
static bool is_127(const char *host)
{
    int dots = 0;
    if (strncmp(host, "127.", 4) != 0)
        return false;
    for (const char *p = host; *p != '\0';) {
        size_t n = strspn(p, "0123456789");
        uint64_t value = 0;
        if (n == 0 || n > 3 || (n > 1 && p[0] == '0') || !parse_u64_n(p, n, 255, &value))
            return false;
        p += n;
        if (*p == '.' && ++dots <= 3 && p[1] != '\0')
            p++;
        else if (*p != '\0')
            return false;
    }
    return dots == 3;
}

bool url_is_loopback(const struct url *url)
{
    return strcmp(url->host, "localhost") == 0 || strcmp(url->host, "[::1]") == 0 ||
           is_127(url->host);
}

void url_shown(const struct url *url, char ret[URL_MAX])
{
    size_t n = strcspn(url->text, "?#");
    memcpy(ret, url->text, n);
    ret[n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t url_unescape(const char *text, size_t n, char *ret, size_t cap)
{
    size_t out = 0;
    for (size_t i = 0; i < n && out + 1 < cap; i++) {
        int high = -1, low = -1;
        if (text[i] == '%' && n - i > 2) {
            high = hex_value(text[i + 1]);
            low = hex_value(text[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            ret[out++] = (char)(high * 16 + low);
            i += 2;
        } else {
            ret[out++] = text[i];
        }
    }
    ret[out] = '\0';
    return out;
}

bool url_escape(const char *text, size_t n, bool keep_slash, char *out, size_t cap, size_t *at)
{
    static const char DIGITS[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = isalnum(c) != 0 || strchr("-._~", c) != NULL || (keep_slash && c == '/');
        if (*at + (plain ? 1 : 3) >= cap)
            return false;
        if (plain) {
            out[(*at)++] = (char)c;
        } else {
            out[(*at)++] = '%';
            out[(*at)++] = DIGITS[c >> 4];
            out[(*at)++] = DIGITS[c & 15];
        }
    }
    out[*at] = '\0';
    return true;
}
