/* Scenario files; see scenario.h. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parse.h"
#include "base/banned.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define WORD_BYTES     160

/* ---- values -------------------------------------------------------------------------------------- */

static const char *keep(struct scenario *s, const char *text)
{
    char **strings = realloc(s->strings, (s->n_strings + 1) * sizeof *strings);
    if (strings == NULL)
        return NULL;
    s->strings = strings;
    strings[s->n_strings] = strdup(text);
    return strings[s->n_strings] != NULL ? strings[s->n_strings++] : NULL;
}

static bool read_u32(const char *text, uint32_t *ret)
{
    int64_t value = 0;
    if (!parse_i64(text, 0, UINT32_MAX, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool read_real(const char *text, double *ret)
{
    return parse_f64(text, 0, 1e15, ret);
}

static bool read_flag(const char *text, bool *ret)
{
    uint32_t value = 0;
    if (!read_u32(text, &value) || value > 1)
        return false;
    *ret = value == 1;
    return true;
}

/* "128", "100-200", "lognormal:500:0.8", with ":max=N" behind. */
static bool read_length(const char *given, struct load_length *ret)
{
    char text[WORD_BYTES];
    (void)snprintf(text, sizeof text, "%s", given);
    *ret = (struct load_length){0};
    char *max = strstr(text, ":max=");
    if (max != NULL) {
        *max = '\0';
        if (!read_u32(max + 5, &ret->max))
            return false;
    }
    static const char lognormal[] = "lognormal:";
    char *second = NULL;
    if (strncmp(text, lognormal, sizeof lognormal - 1) == 0) {
        second = strchr(text + sizeof lognormal - 1, ':');
        if (second == NULL)
            return false;
        *second++ = '\0';
        ret->shape = LOAD_LOGNORMAL;
        return read_real(text + sizeof lognormal - 1, &ret->a) && read_real(second, &ret->b);
    }
    second = strchr(text, '-');
    if (second == NULL)
        return read_real(text, &ret->a);
    *second++ = '\0';
    ret->shape = LOAD_UNIFORM;
    return read_real(text, &ret->a) && read_real(second, &ret->b) && ret->b >= ret->a;
}

/* The place of a word among names, or -1. */
static int place(const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    return -1;
}

/* ---- fields -------------------------------------------------------------------------------------- */

enum field_kind { FIELD_TEXT, FIELD_U32, FIELD_REAL, FIELD_FLAG, FIELD_LENGTH };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset; /* into the struct that the line fills */
};

static const struct field WORKER_FIELDS[] = {
    {"profile", FIELD_TEXT, offsetof(struct sim_worker_options, profile)},
    {"key", FIELD_TEXT, offsetof(struct sim_worker_options, key)},
    {"seqs", FIELD_U32, offsetof(struct sim_worker_options, seqs_max)},
    {"rows", FIELD_U32, offsetof(struct sim_worker_options, rows_max)},
    {"queue", FIELD_U32, offsetof(struct sim_worker_options, queue_max)},
    {"kv_tokens", FIELD_U32, offsetof(struct sim_worker_options, kv_tokens)},
    {"ctx", FIELD_U32, offsetof(struct sim_worker_options, ctx_tokens)},
    {"step_ms", FIELD_U32, offsetof(struct sim_worker_options, step_target_ms)},
    {"draft", FIELD_U32, offsetof(struct sim_worker_options, draft_max)},
    {"no_cache", FIELD_FLAG, offsetof(struct sim_worker_options, no_prefix_cache)},
};

static const struct field TENANT_FIELDS[] = {
    {"name", FIELD_TEXT, offsetof(struct load_tenant, name)},
    {"org", FIELD_TEXT, offsetof(struct load_tenant, org)},
    {"key", FIELD_TEXT, offsetof(struct load_tenant, key)},
    {"weight", FIELD_REAL, offsetof(struct load_tenant, weight)},
    {"deadline_ms", FIELD_U32, offsetof(struct load_tenant, deadline_ms)},
    {"rate", FIELD_REAL, offsetof(struct load_tenant, rate)},
    {"burst", FIELD_U32, offsetof(struct load_tenant, burst)},
    {"users", FIELD_U32, offsetof(struct load_tenant, users)},
    {"think_s", FIELD_REAL, offsetof(struct load_tenant, think_s)},
    {"ramp_s", FIELD_REAL, offsetof(struct load_tenant, ramp_s)},
    {"prompt", FIELD_LENGTH, offsetof(struct load_tenant, prompt)},
    {"output", FIELD_LENGTH, offsetof(struct load_tenant, output)},
    {"prefixes", FIELD_U32, offsetof(struct load_tenant, n_prefixes)},
    {"prefix_tokens", FIELD_U32, offsetof(struct load_tenant, prefix_tokens)},
    {"prefix_of_user", FIELD_FLAG, offsetof(struct load_tenant, prefixes_of_user)},
    {"start_s", FIELD_REAL, offsetof(struct load_tenant, start_s)},
    {"stop_s", FIELD_REAL, offsetof(struct load_tenant, stop_s)},
    {"hang_up", FIELD_REAL, offsetof(struct load_tenant, hang_up)},
    {"slow_reader", FIELD_REAL, offsetof(struct load_tenant, slow_reader)},
    {"temperature", FIELD_REAL, offsetof(struct load_tenant, temperature)},
    {"n", FIELD_U32, offsetof(struct load_tenant, n)},
};

static const struct field FAULT_FIELDS[] = {
    {"at_s", FIELD_REAL, offsetof(struct scenario_fault, at_s)},
    {"until_s", FIELD_REAL, offsetof(struct scenario_fault, until_s)},
    {"worker", FIELD_U32, offsetof(struct scenario_fault, worker)},
};

static const struct field SCENARIO_FIELDS[] = {
    {"stop_s", FIELD_REAL, offsetof(struct scenario, stop_s)},
    {"from_s", FIELD_REAL, offsetof(struct scenario, from_s)},
};

static bool set_field(struct scenario *s, const struct field *field, void *object,
                      const char *value)
{
    void *at = (char *)object + field->offset;
    switch (field->kind) {
    case FIELD_TEXT: {
        const char *text = keep(s, value);
        memcpy(at, &text, sizeof(char *));
        return text != NULL;
    }
    case FIELD_U32: return read_u32(value, at);
    case FIELD_REAL: return read_real(value, at);
    case FIELD_FLAG: return read_flag(value, at);
    case FIELD_LENGTH: return read_length(value, at);
    default: return false;
    }
}

/* 1: set, 0: no such key, -1: a bad value. */
static int set_by_table(struct scenario *s, const struct field *fields, size_t n, void *object,
                        const char *key, const char *value)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].key, key) == 0)
            return set_field(s, &fields[i], object, value) ? 1 : -1;
    return 0;
}

/* ---- traces -------------------------------------------------------------------------------------- */

static bool keep_trace(struct scenario *s, void *lines)
{
    void **traces = realloc(s->traces, (s->n_traces + 1) * sizeof *traces);
    if (traces == NULL) {
        free(lines);
        return false;
    }
    s->traces = traces;
    traces[s->n_traces++] = lines;
    return true;
}

static bool read_trace_line(const char *text, struct load_arrival_line *ret)
{
    unsigned n_in = 0, n_out = 0, prefix = 0, prefix_tokens = 0;
    double at_s = 0;
    /* NOLINTNEXTLINE(cert-err34-c): numbers are checked by their ranges */
    int n = sscanf(text, "%lf %u %u %u %u", &at_s, &n_in, &n_out, &prefix, &prefix_tokens);
    if ((n != 3 && n != 5) || !(at_s >= 0 && at_s < 1e9) || n_in < 1 || n_out < 1)
        return false;
    *ret = (struct load_arrival_line){.at_s = at_s,
                                      .n_in = n_in,
                                      .n_out = n_out,
                                      .prefix_i = prefix,
                                      .prefix_tokens = prefix_tokens};
    return true;
}

static bool read_trace(struct scenario *s, const char *path, struct load_tenant *t)
{
    char *text = NULL;
    size_t n = 0;
    if (file_read(path, FILE_BYTES_MAX, &text, &n, NULL) != PL_OK)
        return false;
    size_t n_lines = 1;
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    struct load_arrival_line *lines = calloc(n_lines, sizeof *lines);
    uint32_t count = 0;
    bool ok = lines != NULL && keep_trace(s, lines);
    for (char *at = text; ok && *at != '\0';) {
        size_t length = strcspn(at, "\n");
        bool more = at[length] != '\0';
        at[length] = '\0';
        if (length > 0 && at[0] != '#')
            ok = read_trace_line(at, &lines[count++]);
        at += length + (more ? 1 : 0);
    }
    free(text);
    t->trace = lines;
    t->n_trace = count;
    t->arrival = LOAD_TRACE;
    return ok && count > 0;
}

/* ---- lines --------------------------------------------------------------------------------------- */

struct line {
    struct scenario *s;
    uint32_t count;
};

static bool set_worker(struct line *line, const char *key, const char *value)
{
    struct sim_worker_options *o = &line->s->workers[line->s->n_kinds].options;
    uint32_t mb = 0;
    int done = set_by_table(line->s, WORKER_FIELDS, PL_ARRAY_LEN(WORKER_FIELDS), o, key, value);
    if (done != 0)
        return done > 0;
    if (strcmp(key, "set") == 0 && o->n_settings < SIM_SETTINGS_MAX) {
        o->settings[o->n_settings] = keep(line->s, value);
        return o->settings[o->n_settings++] != NULL;
    }
    if (strcmp(key, "kv_ram_mb") != 0 || !read_u32(value, &mb))
        return false;
    o->kv_ram_bytes = (uint64_t)mb << 20;
    return true;
}

static bool set_tenant(struct line *line, const char *key, const char *value)
{
    static const char *const arrivals[] = {[LOAD_POISSON] = "poisson",
                                           [LOAD_BURSTS] = "bursts",
                                           [LOAD_EVENLY] = "evenly",
                                           [LOAD_TRACE] = "trace",
                                           [LOAD_CLOSED] = "closed"};
    struct load_tenant *t = &line->s->tenants[line->s->n_tenants];
    int64_t number = 0;
    int done = set_by_table(line->s, TENANT_FIELDS, PL_ARRAY_LEN(TENANT_FIELDS), t, key, value);
    if (done != 0)
        return done > 0;
    if (strcmp(key, "arrival") == 0) {
        int i = place(value, arrivals, PL_ARRAY_LEN(arrivals));
        t->arrival = (enum load_arrival)i;
        return i >= 0;
    }
    if (strcmp(key, "trace") == 0)
        return read_trace(line->s, value, t);
    if (strcmp(key, "priority") == 0 && parse_i64(value, -1000000, 1000000, &number)) {
        t->priority = (int32_t)number;
        return true;
    }
    if (strcmp(key, "max") == 0 && parse_i64(value, 0, INT64_MAX, &number)) {
        t->n_max = (uint64_t)number;
        return true;
    }
    return false;
}

static bool set_fault(struct line *line, const char *key, const char *value)
{
    static const char *const kinds[] = {
        [SCENARIO_DOWN] = "down", [SCENARIO_LOST] = "lost", [SCENARIO_FAILS] = "fails"};
    struct scenario_fault *f = &line->s->faults[line->s->n_faults];
    int done = set_by_table(line->s, FAULT_FIELDS, PL_ARRAY_LEN(FAULT_FIELDS), f, key, value);
    if (done != 0 || strcmp(key, "kind") != 0)
        return done > 0;
    int i = place(value, kinds, PL_ARRAY_LEN(kinds));
    f->kind = (enum scenario_fault_kind)i;
    return i >= 0;
}

/* What "tenant ... count=N" asks for. */
static bool repeat_tenant(struct line *line)
{
    struct scenario *s = line->s;
    struct load_tenant first = s->tenants[s->n_tenants];
    if (line->count == 0) {
        s->n_tenants++;
        return true;
    }
    if (s->n_tenants + line->count > LOAD_TENANTS_MAX)
        return false;
    for (uint32_t i = 0; i < line->count; i++) {
        char name[WORD_BYTES];
        (void)snprintf(name, sizeof name, "%s%u", first.name != NULL ? first.name : "t", i);
        s->tenants[s->n_tenants] = first;
        s->tenants[s->n_tenants].name = keep(s, name);
        if (s->tenants[s->n_tenants++].name == NULL)
            return false;
    }
    return true;
}

static bool end_worker(struct line *line)
{
    line->s->workers[line->s->n_kinds++].count = PL_MAX(line->count, 1);
    return true;
}

static bool end_fault(struct line *line)
{
    line->s->n_faults++;
    return true;
}

static const struct kind {
    const char *word;
    bool (*set)(struct line *line, const char *key, const char *value);
    bool (*end)(struct line *line);
} KINDS[] = {
    {"worker", set_worker, end_worker},
    {"tenant", set_tenant, repeat_tenant},
    {"fault", set_fault, end_fault},
};

/* "key value" lines. */
static bool read_plain(struct scenario *s, const char *key, const char *value)
{
    static const char *const picks[] = {[LOAD_LEAST] = "least", [LOAD_ROUND] = "round"};
    int64_t seed = 0;
    int done = set_by_table(s, SCENARIO_FIELDS, PL_ARRAY_LEN(SCENARIO_FIELDS), s, key, value);
    if (done != 0)
        return done > 0;
    if (strcmp(key, "seed") == 0 && parse_i64(value, 0, INT64_MAX, &seed)) {
        s->seed = (uint64_t)seed;
        return true;
    }
    int i = strcmp(key, "pick") == 0 ? place(value, picks, PL_ARRAY_LEN(picks)) : -1;
    s->pick = i >= 0 ? (enum load_pick)i : s->pick;
    return i >= 0;
}

/* Takes the next blank-separated word off *text; false at the end. */
static bool next_word(const char **text, char ret[WORD_BYTES])
{
    *text += strspn(*text, " \t");
    size_t n = strcspn(*text, " \t");
    (void)snprintf(ret, WORD_BYTES, "%.*s", (int)n, *text);
    *text += n;
    return n > 0;
}

static bool has_room(const struct scenario *s)
{
    return s->n_kinds < SCENARIO_KINDS_MAX && s->n_tenants < LOAD_TENANTS_MAX &&
           s->n_faults < SCENARIO_FAULTS_MAX;
}

static bool read_fields(struct scenario *s, const struct kind *kind, const char *text)
{
    char word[WORD_BYTES];
    struct line line = {.s = s};
    while (next_word(&text, word)) {
        char *value = strchr(word, '=');
        if (value == NULL)
            return false;
        *value++ = '\0';
        bool ok = strcmp(word, "count") == 0 ? read_u32(value, &line.count)
                                             : kind->set(&line, word, value);
        if (!ok)
            return false;
    }
    return kind->end(&line);
}

static bool read_line(struct scenario *s, const char *text)
{
    char word[WORD_BYTES];
    char value[WORD_BYTES];
    if (!next_word(&text, word))
        return true;
    for (size_t i = 0; i < PL_ARRAY_LEN(KINDS); i++)
        if (strcmp(word, KINDS[i].word) == 0)
            return has_room(s) && read_fields(s, &KINDS[i], text);
    return next_word(&text, value) && read_plain(s, word, value);
}

/* ---- files --------------------------------------------------------------------------------------- */

/* Joins lines that go on, in place: a blank at a line's begin makes its line end a blank. */
static void join_lines(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '#')
            while (*at != '\0' && *at != '\n')
                *at++ = ' ';
        if (*at == '\0')
            break;
        if (*at == '\n' && (at[1] == ' ' || at[1] == '\t'))
            *at = ' ';
    }
}

enum pl_status scenario_parse(const char *text, struct scenario *ret, struct pl_error *err)
{
    char *copy = strdup(text);
    *ret = (struct scenario){.seed = 1};
    enum pl_status status = copy != NULL ? PL_OK : pl_error_set(err, PL_ENOMEM, "sim: no memory");
    if (copy != NULL)
        join_lines(copy);
    for (char *line = copy; status == PL_OK && line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        if (!read_line(ret, line))
            status = pl_error_set(err, PL_EFORMAT, "sim: can't read '%.200s'", line);
        line = end;
    }
    free(copy);
    if (status == PL_OK && (ret->n_kinds == 0 || ret->n_tenants == 0 || !(ret->stop_s > 0)))
        status = pl_error_set(err, PL_EFORMAT, "sim: a scenario needs worker, tenant and stop_s");
    if (status != PL_OK)
        scenario_deinit(ret);
    return status;
}

enum pl_status scenario_read(const char *path, struct scenario *ret, struct pl_error *err)
{
    char *text = NULL;
    size_t n = 0;
    enum pl_status status = file_read(path, FILE_BYTES_MAX, &text, &n, err);
    if (status == PL_OK)
        status = scenario_parse(text, ret, err);
    free(text);
    return status;
}

void scenario_deinit(struct scenario *scenario)
{
    for (size_t i = 0; i < scenario->n_strings; i++)
        free(scenario->strings[i]);
    for (size_t i = 0; i < scenario->n_traces; i++)
        free(scenario->traces[i]);
    free(scenario->traces);
    free(scenario->strings);
    scenario->traces = NULL;
    scenario->n_traces = 0;
    scenario->strings = NULL;
    scenario->n_strings = 0;
}
