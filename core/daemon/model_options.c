/* See model_options.h. */
#include "model_options.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/banned.h"

enum option_kind {
    OPTION_TEXT,
    OPTION_COUNT,
    OPTION_FLAG,
};

struct option_row {
    const char *name, *arg, *verbs, *help;
    size_t offset; /* of the member in struct model_options */
    enum option_kind kind;
    uint32_t max; /* COUNT */
};

#define AT(member)                           offsetof(struct model_options, member)
#define TEXT(member, name, arg, verbs, help) {name, arg, verbs, help, AT(member), OPTION_TEXT, 0},
#define COUNT(member, name, max, verbs, help)                                                      \
    {name, "N", verbs, help, AT(member), OPTION_COUNT, max},
#define FLAG(member, name, verbs, help) {name, "", verbs, help, AT(member), OPTION_FLAG, 0},
static const struct option_row ROWS[] = {MODEL_OPTIONS_LIST(TEXT, COUNT, FLAG)};
#undef TEXT
#undef COUNT
#undef FLAG

static const struct verb_row {
    const char *name, *object, *help;
} VERBS[] = {
    {"pull", "URL|hf:ORG/REPO/FILE[@REVISION]", "download a model; what broke off goes on"},
    {"list", "", "pulled models"},
    {"path", "NAME", "the file of a pulled model"},
    {"remove", "NAME", "delete a pulled model, or what came of it"},
};

void model_options_print_help(void)
{
    printf("usage: polderd model VERB [options]\n\nverbs:\n");
    for (size_t i = 0; i < PL_ARRAY_LEN(VERBS); i++)
        printf("  %-7s%-33s %s\n", VERBS[i].name, VERBS[i].object, VERBS[i].help);
    for (size_t v = 0; v < PL_ARRAY_LEN(VERBS); v++) {
        printf("\noptions of %s (defaults in parentheses):\n", VERBS[v].name);
        for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
            char left[64];
            (void)snprintf(left, sizeof left, "--%s %s", ROWS[i].name, ROWS[i].arg);
            if (strstr(ROWS[i].verbs, VERBS[v].name) != NULL)
                printf("  %-22s %s\n", left, ROWS[i].help);
        }
    }
    printf("\nA pulled model is served by its name: polderd serve --model NAME\n");
}

static const struct option_row *find_row(const char *name, size_t n)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        if (strlen(ROWS[i].name) == n && strncmp(ROWS[i].name, name, n) == 0)
            return &ROWS[i];
    }
    return NULL;
}

static enum pl_status set_option(struct model_options *o, const struct option_row *row,
                                 const char *value, struct pl_error *err)
{
    char *at = (char *)o + row->offset;
    int64_t count = 0;
    switch (row->kind) {
    case OPTION_TEXT:
        if (value[0] == '\0')
            return pl_error_set(err, PL_EINVAL, "--%s: must not be empty", row->name);
        memcpy(at, &value, sizeof value);
        return PL_OK;
    case OPTION_COUNT:
        if (!parse_i64(value, strcmp(row->name, "retries") == 0 ? 0 : 1, row->max, &count))
            return pl_error_set(err, PL_EINVAL, "--%s: expected a whole number up to %u, got '%s'",
                                row->name, row->max, value);
        memcpy(at, &(uint32_t){(uint32_t)count}, sizeof(uint32_t));
        return PL_OK;
    case OPTION_FLAG:
    default: memcpy(at, &(bool){true}, sizeof(bool)); return PL_OK;
    }
}

static enum pl_status take_option(int n, char *const *args, int *i, struct model_options *o,
                                  struct pl_error *err)
{
    const char *arg = args[*i];
    size_t length = strcspn(arg + 2, "=");
    const struct option_row *row = find_row(arg + 2, length);
    if (row == NULL)
        return pl_error_set(err, PL_EINVAL, "unknown option '%.*s'", (int)length + 2, arg);
    if (strstr(row->verbs, o->verb) == NULL)
        return pl_error_set(err, PL_EINVAL, "model %s takes no --%s", o->verb, row->name);
    const char *value = arg[2 + length] == '=' ? arg + 2 + length + 1 : NULL;
    if (row->kind == OPTION_FLAG && value != NULL)
        return pl_error_set(err, PL_EINVAL, "--%s takes no value", row->name);
    if (row->kind != OPTION_FLAG && value == NULL) {
        if (*i + 1 >= n)
            return pl_error_set(err, PL_EINVAL, "--%s needs a value: %s", row->name, row->arg);
        value = args[++*i];
    }
    return set_option(o, row, value, err);
}

static const struct verb_row *find_verb(const char *name)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(VERBS); i++) {
        if (strcmp(VERBS[i].name, name) == 0)
            return &VERBS[i];
    }
    return NULL;
}

enum pl_status model_options_parse(int n, char *const *args, struct model_options *ret,
                                   struct pl_error *err)
{
    struct model_options o = {
        .retries = FETCH_RETRIES_DEFAULT,
        .retry_ms = FETCH_RETRY_MS_DEFAULT,
        .stall_s = FETCH_STALL_S_DEFAULT,
    };
    for (int i = 0; i < n; i++) {
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0) {
            *ret = (struct model_options){.help = true};
            return PL_OK;
        }
    }
    const struct verb_row *verb = n > 0 ? find_verb(args[0]) : NULL;
    if (verb == NULL)
        return pl_error_set(err, PL_EINVAL, "model: expected pull, list, path or remove, got '%s'",
                            n > 0 ? args[0] : "");
    o.verb = verb->name;
    for (int i = 1; i < n; i++) {
        enum pl_status status = PL_OK;
        if (strncmp(args[i], "--", 2) == 0 && args[i][2] != '\0')
            status = take_option(n, args, &i, &o, err);
        else if (o.object != NULL || verb->object[0] == '\0' || args[i][0] == '-')
            status = pl_error_set(err, PL_EINVAL, "unexpected argument '%s'", args[i]);
        else
            o.object = args[i];
        if (status != PL_OK)
            return status;
    }
    if (o.object == NULL && verb->object[0] != '\0')
        return pl_error_set(err, PL_EINVAL, "model %s needs %s", o.verb, verb->object);
    *ret = o;
    return PL_OK;
}
