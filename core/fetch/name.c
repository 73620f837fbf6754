/* See name.h. */
#include "name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "url.h"
#include "base/banned.h"

#define SUFFIX       ".gguf"
#define SUFFIX_BYTES (sizeof SUFFIX - 1)
#define SHARD_BYTES  (sizeof "-00001-of-00001.gguf" - 1)
#define SHARD_DIGITS 5

static bool is_safe(char c)
{
    return isalnum((unsigned char)c) != 0 || (c != '\0' && strchr("._+=-", c) != NULL);
}

bool name_clean(const char *text, char ret[NAME_FILE_MAX + 1])
{
    const char *last = text;
    size_t n = 0; /* bytes written */
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '/' || *p == '\\')
            last = p + 1;
    }
    while (*last == '.' || *last == '-' || *last == ' ')
        last++;
    for (; last[n] != '\0' && n < NAME_FILE_MAX; n++)
        ret[n] = (char)(is_safe(last[n]) ? last[n] : '_');
    if (last[n] != '\0') /* cut names would lose their suffix */
        n = 0;
    ret[n] = '\0';
    return n > 0;
}

bool name_is_clean(const char *text)
{
    char cleaned[NAME_FILE_MAX + 1];
    return name_clean(text, cleaned) && strcmp(cleaned, text) == 0;
}

bool name_has_suffix(const char *file)
{
    size_t n = strlen(file);
    return n > SUFFIX_BYTES && strcasecmp(file + n - SUFFIX_BYTES, SUFFIX) == 0;
}

static bool parse_digits(const char *text, uint32_t *ret)
{
    uint64_t value = 0;
    if (!parse_u64_n(text, SHARD_DIGITS, NAME_SHARDS_MAX, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

bool name_parse_shard(const char *file, struct name_shard *ret)
{
    size_t n = strlen(file);
    if (n <= SHARD_BYTES)
        return false;
    const char *suffix = file + n - SHARD_BYTES;
    struct name_shard s = {.stem = n - SHARD_BYTES};
    if (suffix[0] != '-' || !parse_digits(suffix + 1, &s.no) ||
        memcmp(suffix + 1 + SHARD_DIGITS, "-of-", 4) != 0 ||
        !parse_digits(suffix + 5 + SHARD_DIGITS, &s.count) ||
        strcasecmp(suffix + 5 + (size_t)2 * SHARD_DIGITS, SUFFIX) != 0 || s.no == 0 ||
        s.no > s.count)
        return false;
    *ret = s;
    return true;
}

bool name_of_shard(const char *stem, size_t n, uint32_t no, uint32_t count,
                   char ret[NAME_FILE_MAX + 1])
{
    int length =
        snprintf(ret, NAME_FILE_MAX + 1, "%.*s-%05u-of-%05u" SUFFIX, (int)n, stem, no, count);
    return length > 0 && length <= NAME_FILE_MAX;
}

void name_of_model(const char *file, char ret[NAME_FILE_MAX + 1])
{
    struct name_shard shard;
    const char *slash = strrchr(file, '/');
    const char *base = slash != NULL ? slash + 1 : file;
    size_t n = strlen(base);
    if (name_parse_shard(base, &shard))
        n = shard.stem;
    else if (name_has_suffix(base))
        n -= SUFFIX_BYTES;
    (void)snprintf(ret, NAME_FILE_MAX + 1, "%.*s", (int)PL_MIN(n, (size_t)NAME_FILE_MAX), base);
}

/* The value that follows `key=` in a header's parameters, unquoted. */
static bool get_parameter(const char *value, const char *key, char *ret, size_t cap)
{
    size_t key_n = strlen(key), out = 0;
    const char *at = strchr(value, ';');
    for (; at != NULL; at = strchr(at, ';')) {
        at += 1 + strspn(at + 1, " \t");
        if (strncasecmp(at, key, key_n) == 0 && at[key_n] == '=')
            break;
    }
    if (at == NULL)
        return false;
    at += key_n + 1;
    bool quoted = *at == '"';
    for (at += quoted; *at != '\0' && *at != (quoted ? '"' : ';') && out + 1 < cap; at++) {
        if (quoted && *at == '\\' && at[1] != '\0')
            at++;
        ret[out++] = *at;
    }
    ret[out] = '\0';
    return out > 0;
}

void name_of_disposition(const char *value, char *ret, size_t cap)
{
    char extended[1024];
    ret[0] = '\0';
    if (get_parameter(value, "filename*", extended, sizeof extended)) { /* charset'language'text */
        const char *quote = strchr(extended, '\'');
        const char *text = quote != NULL ? strchr(quote + 1, '\'') : NULL;
        if (text != NULL) {
            (void)url_unescape(text + 1, strlen(text + 1), ret, cap);
            return;
        }
    }
    if (!get_parameter(value, "filename", ret, cap))
        ret[0] = '\0';
}
