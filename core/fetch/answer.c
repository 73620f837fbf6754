/* See answer.h. */
#include "answer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/banned.h"

struct field {
    const char *text; /* the value, blanks around it removed */
    size_t n;
};

bool answer_parse_sha256(const char *text, size_t n, char ret[SHA256_HEX_BYTES])
{
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text++;
        n -= 2;
    }
    if (n != SHA256_HEX_BYTES - 1)
        return false;
    char digits[SHA256_HEX_BYTES];
    for (size_t i = 0; i < n; i++) {
        if (isxdigit((unsigned char)text[i]) == 0)
            return false;
        digits[i] = (char)tolower((unsigned char)text[i]);
    }
    digits[n] = '\0';
    memcpy(ret, digits, sizeof digits);
    return true;
}

/* A value that is too long or has control characters counts as not sent. */
static void copy(struct field value, char *ret, size_t cap)
{
    ret[0] = '\0';
    if (value.n >= cap)
        return;
    for (size_t i = 0; i < value.n; i++) {
        if (iscntrl((unsigned char)value.text[i]) != 0)
            return;
    }
    memcpy(ret, value.text, value.n);
    ret[value.n] = '\0';
}

static void take_length(struct answer *a, struct field value)
{
    a->has_length = parse_u64_n(value.text, value.n, INT64_MAX, &a->length);
}

/* "bytes 5-9/10"; the total may be a star, and so may the range (416). */
static void take_range(struct answer *a, struct field value)
{
    const char *end = value.text + value.n;
    if (value.n < 6 || strncasecmp(value.text, "bytes ", 6) != 0)
        return;
    const char *at = value.text + 6;
    const char *slash = memchr(at, '/', (size_t)(end - at));
    if (slash == NULL)
        return;
    a->has_total = parse_u64_n(slash + 1, (size_t)(end - slash - 1), INT64_MAX, &a->total);
    const char *dash = memchr(at, '-', (size_t)(slash - at));
    uint64_t last = 0;
    if (dash == NULL)
        return;
    a->has_range = parse_u64_n(at, (size_t)(dash - at), INT64_MAX, &a->first) &&
                   parse_u64_n(dash + 1, (size_t)(slash - dash - 1), INT64_MAX, &last) &&
                   last >= a->first && (!a->has_total || last < a->total);
    a->has_total = a->has_total && a->has_range; /* half a nonsense is not believed */
}

static void take_etag(struct answer *a, struct field value)
{
    copy(value, a->etag, sizeof a->etag);
}

static void take_modified(struct answer *a, struct field value)
{
    copy(value, a->modified, sizeof a->modified);
}

static void take_disposition(struct answer *a, struct field value)
{
    copy(value, a->disposition, sizeof a->disposition);
}

static void take_linked_etag(struct answer *a, struct field value)
{
    if (!answer_parse_sha256(value.text, value.n, a->sha256))
        a->sha256[0] = '\0';
}

static void take_linked_size(struct answer *a, struct field value)
{
    a->has_linked_size = parse_u64_n(value.text, value.n, INT64_MAX, &a->linked_size);
}

static void take_commit(struct answer *a, struct field value)
{
    copy(value, a->commit, sizeof a->commit);
    for (const char *p = a->commit; *p != '\0'; p++) {
        if (isxdigit((unsigned char)*p) == 0) {
            a->commit[0] = '\0';
            return;
        }
    }
}

static const struct {
    const char *name;
    void (*take)(struct answer *a, struct field value);
} FIELDS[] = {
    {"content-length", take_length},
    {"content-range", take_range},
    {"etag", take_etag},
    {"last-modified", take_modified},
    {"content-disposition", take_disposition},
    {"x-linked-etag", take_linked_etag},
    {"x-linked-size", take_linked_size},
    {"x-repo-commit", take_commit},
};

/* "HTTP/1.1 206 Partial Content": the three digits behind the first blank. */
static void begin(struct answer *a, const char *line, size_t n)
{
    const char *blank = memchr(line, ' ', n);
    uint64_t status = 0;
    *a = (struct answer){0};
    if (blank != NULL && (size_t)(line + n - blank) > 3 && parse_u64_n(blank + 1, 3, 999, &status))
        a->status = (int)status;
}

void answer_take_line(struct answer *answer, const char *line, size_t n)
{
    if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        begin(answer, line, n);
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (colon == NULL)
        return;
    struct field value = {colon + 1, (size_t)(line + n - colon - 1)};
    while (value.n > 0 && isspace((unsigned char)value.text[0]) != 0) {
        value.text++;
        value.n--;
    }
    while (value.n > 0 && isspace((unsigned char)value.text[value.n - 1]) != 0)
        value.n--;
    size_t name_n = (size_t)(colon - line);
    for (size_t i = 0; i < PL_ARRAY_LEN(FIELDS); i++) {
        if (strlen(FIELDS[i].name) == name_n && strncasecmp(line, FIELDS[i].name, name_n) == 0)
            FIELDS[i].take(answer, value);
    }
}

bool answer_tag_is_strong(const char *etag)
{
    size_t n = strlen(etag);
    return n >= 2 && etag[0] == '"' && etag[n - 1] == '"';
}

bool answer_size(const struct answer *answer, uint64_t *ret)
{
    if (answer->status == 206 && answer->has_total)
        *ret = answer->total;
    else if (answer->status == 200 && answer->has_length)
        *ret = answer->length;
    else
        return false;
    return true;
}

static enum answer_verdict judge_part(const struct answer *a, const struct answer_request *r)
{
    bool same = a->has_range && a->first == r->offset;
    if (a->has_total && r->has_size && a->total != r->size)
        same = false;
    /* A 206 despite If-Range on another entity is the server's fault, but the file would be two halves. */
    if (r->etag[0] != '\0' && a->etag[0] != '\0' && strcmp(a->etag, r->etag) != 0)
        same = false;
    if (r->offset == 0) /* unasked; whole only if it begins at the start */
        return a->has_range && a->first == 0 ? ANSWER_TAKE : ANSWER_FAIL;
    return same ? ANSWER_TAKE : ANSWER_AGAIN;
}

enum answer_verdict answer_judge(const struct answer *answer, const struct answer_request *request)
{
    switch (answer->status) {
    case 200: return request->offset == 0 ? ANSWER_TAKE : ANSWER_RESTART;
    case 206: return judge_part(answer, request);
    case 416:
        if (request->offset == 0)
            return ANSWER_FAIL;
        return answer->has_total && answer->total == request->offset ? ANSWER_WHOLE : ANSWER_AGAIN;
    case 401:
    case 403: return ANSWER_DENIED;
    case 404:
    case 410: return ANSWER_ABSENT;
    case 408:
    case 425:
    case 429: return ANSWER_RETRY;
    default: break;
    }
    return answer->status >= 500 && answer->status <= 599 ? ANSWER_RETRY : ANSWER_FAIL;
}
