/* See exposition.h. */
#include "exposition.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SERIES_MAX   2048
#define FAMILIES_MAX 128
#define NAME_MAX_    256

struct family {
    char name[NAME_MAX_], type[16];
    int n_series;
    bool closed; /* another family has begun */
    double last_bucket, inf_bucket;
    bool has_inf, has_sum, has_count;
};

struct reader {
    struct family families[FAMILIES_MAX];
    int n_families;
    char *series[SERIES_MAX];
    int n_series;
    bool help_pending;
    char help_name[NAME_MAX_];
};

static size_t name_length(const char *s, bool colon)
{
    size_t n = 0;
    while (isalpha((unsigned char)s[n]) || s[n] == '_' || (colon && s[n] == ':') ||
           (n > 0 && isdigit((unsigned char)s[n])))
        n++;
    return n;
}

/* The family that a sample name belongs to: by whole name, or a histogram's part. */
static struct family *family_of(struct reader *r, const char *name, size_t n)
{
    static const char *const PARTS[] = {"", "_bucket", "_sum", "_count"};
    for (int i = 0; i < r->n_families; i++) {
        struct family *f = &r->families[i];
        size_t base = strlen(f->name);
        for (size_t p = 0; p < 4; p++) {
            if (n == base + strlen(PARTS[p]) && memcmp(name, f->name, base) == 0 &&
                memcmp(name + base, PARTS[p], strlen(PARTS[p])) == 0 &&
                (p == 0) == (strcmp(f->type, "histogram") != 0))
                return f;
        }
    }
    return NULL;
}

/* {a="b",c="d"}: its length, 0 if malformed. *ret_le: the le label's value if there is one. */
static size_t labels_length(const char *s, double *ret_le)
{
    size_t at = 1;
    while (s[at] != '}') {
        size_t n = name_length(s + at, false);
        bool le = n == 2 && memcmp(s + at, "le", 2) == 0;
        at += n;
        if (n == 0 || s[at] != '=' || s[at + 1] != '"')
            return 0;
        at += 2;
        if (le)
            *ret_le = strncmp(s + at, "+Inf", 4) == 0 ? 1e300 : strtod(s + at, NULL);
        for (; s[at] != '"'; at++) {
            if (s[at] == '\0' || s[at] == '\n')
                return 0;
            if (s[at] == '\\' && strchr("\\\"n", s[++at]) == NULL)
                return 0;
        }
        at++;
        if (s[at] == ',' && s[at + 1] != '}')
            at++;
        else if (s[at] != '}')
            return 0;
    }
    return at + 1;
}

static const char *check_comment(struct reader *r, const char *line)
{
    bool type = strncmp(line, "# TYPE ", 7) == 0, help = strncmp(line, "# HELP ", 7) == 0;
    if (!type && !help)
        return "a comment that is neither HELP nor TYPE";
    const char *name = line + 7;
    size_t n = name_length(name, true);
    if (n == 0 || n >= NAME_MAX_ || name[n] != ' ' || name[n + 1] == '\0')
        return "malformed HELP or TYPE";
    if (help) {
        if (r->help_pending)
            return "HELP without TYPE";
        r->help_pending = true;
        memcpy(r->help_name, name, n);
        r->help_name[n] = '\0';
        return NULL;
    }
    for (int i = 0; i < r->n_families; i++) {
        r->families[i].closed = true;
        if (strlen(r->families[i].name) == n && memcmp(r->families[i].name, name, n) == 0)
            return "TYPE twice";
    }
    struct family *f = &r->families[r->n_families++];
    memcpy(f->name, name, n);
    (void)snprintf(f->type, sizeof f->type, "%s", name + n + 1);
    if (r->help_pending && strcmp(r->help_name, f->name) != 0)
        return "HELP and TYPE of different families";
    r->help_pending = false;
    if (strcmp(f->type, "gauge") != 0 && strcmp(f->type, "counter") != 0 &&
        strcmp(f->type, "histogram") != 0)
        return "unknown type";
    if (strcmp(f->type, "counter") == 0 && (n < 6 || strcmp(f->name + n - 6, "_total") != 0))
        return "a counter whose name does not end in _total";
    return NULL;
}

static const char *check_histogram(struct family *f, const char *name, double le, double value)
{
    const char *part = name + strlen(f->name);
    if (strncmp(part, "_bucket", 7) == 0) {
        if (le < 0 || f->has_inf)
            return "bucket without le, or after +Inf";
        if (value < f->last_bucket)
            return "buckets are not cumulative";
        f->last_bucket = value;
        f->has_inf = le >= 1e300;
        f->inf_bucket = value;
    } else if (strncmp(part, "_sum", 4) == 0) {
        f->has_sum = true;
    } else {
        f->has_count = true;
        if (!f->has_inf || value < f->inf_bucket || value > f->inf_bucket)
            return "_count is not the +Inf bucket";
    }
    return NULL;
}

static const char *check_sample(struct reader *r, const char *line)
{
    size_t n = name_length(line, true);
    struct family *f = n > 0 ? family_of(r, line, n) : NULL;
    double le = -1;
    if (f == NULL)
        return "a sample without TYPE";
    if (f->closed)
        return "families interleaved";
    size_t labels = line[n] == '{' ? labels_length(line + n, &le) : 0;
    if (line[n] == '{' && labels == 0)
        return "malformed labels";
    if (line[n + labels] != ' ')
        return "no blank before the value";
    const char *text = line + n + labels + 1;
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0')
        return "malformed value (or a timestamp)";
    char *series = strndup(line, n + labels);
    for (int i = 0; i < r->n_series; i++) {
        if (strcmp(r->series[i], series) == 0) {
            free(series);
            return "a series twice";
        }
    }
    r->series[r->n_series++] = series;
    f->n_series++;
    bool of_tenant = strstr(series, "tenant=\"") != NULL;
    if (strcmp(f->type, "gauge") == 0 && f->n_series > 1 && !of_tenant)
        return "a gauge with several series";
    return strcmp(f->type, "histogram") == 0 ? check_histogram(f, line, le, value) : NULL;
}

static const char *check_all(struct reader *r, char *text, int *ret_line)
{
    const char *wrong = NULL;
    *ret_line = 0;
    for (char *line = text; wrong == NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        ++*ret_line;
        if (end == NULL)
            return "the last line has no line end";
        *end = '\0';
        if (r->n_series == SERIES_MAX || r->n_families == FAMILIES_MAX)
            return "too much for this test";
        if (*line != '\0')
            wrong = *line == '#' ? check_comment(r, line) : check_sample(r, line);
        line = end + 1;
    }
    for (int i = 0; wrong == NULL && i < r->n_families; i++) {
        struct family *f = &r->families[i];
        if (f->n_series == 0)
            wrong = "a family without samples";
        if (strcmp(f->type, "histogram") == 0 && !(f->has_inf && f->has_sum && f->has_count))
            wrong = "an incomplete histogram";
    }
    return wrong;
}

const char *exposition_check(const char *text, int *ret_line)
{
    struct reader *r = calloc(1, sizeof *r);
    char *copy = strdup(text);
    if (r == NULL || copy == NULL)
        abort();
    const char *wrong = check_all(r, copy, ret_line);
    for (int i = 0; i < r->n_series; i++)
        free(r->series[i]);
    free(r);
    free(copy);
    return wrong;
}
