/* See options.h. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "http/address.h"
#include "base/banned.h"

enum option_kind {
    OPTION_TEXT,
    OPTION_COUNT,
    OPTION_FLAG,
};

struct option_row {
    const char *name, *arg, *help;
    size_t offset; /* of the member in struct options */
    enum option_kind kind;
    uint32_t max; /* COUNT */
};

#define TEXT(member, name, arg, help)                                                              \
    {name, arg, help, offsetof(struct options, member), OPTION_TEXT, 0},
#define COUNT(member, name, max, help)                                                             \
    {name, "N", help, offsetof(struct options, member), OPTION_COUNT, max},
#define FLAG(member, name, help) {name, "", help, offsetof(struct options, member), OPTION_FLAG, 0},
static const struct option_row ROWS[] = {OPTIONS_LIST(TEXT, COUNT, FLAG)};
#undef TEXT
#undef COUNT
#undef FLAG

void options_print_help(void)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s %s", ROWS[i].name, ROWS[i].arg);
        printf("  %-26s %s\n", left, ROWS[i].help);
    }
}

static const struct option_row *find_row(const char *name, size_t n)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        if (strlen(ROWS[i].name) == n && strncmp(ROWS[i].name, name, n) == 0)
            return &ROWS[i];
    }
    return NULL;
}

static enum pl_status set_option(struct options *o, const struct option_row *row, const char *value,
                                 struct pl_error *err)
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
        if (!parse_i64(value, strcmp(row->name, "shutdown-timeout") == 0 ? 0 : 1, row->max, &count))
            return pl_error_set(err, PL_EINVAL, "--%s: expected a whole number up to %u, got '%s'",
                                row->name, row->max, value);
        memcpy(at, &(uint32_t){(uint32_t)count}, sizeof(uint32_t));
        return PL_OK;
    case OPTION_FLAG:
    default: memcpy(at, &(bool){true}, sizeof(bool)); return PL_OK;
    }
}

/* One option at args[*i], "--name value" or "--name=value"; *i moves past a separate value. */
static enum pl_status take_option(int n, char *const *args, int *i, struct options *o,
                                  struct pl_error *err)
{
    const char *arg = args[*i];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return pl_error_set(err, PL_EINVAL, "unexpected argument '%s'", arg);
    size_t length = strcspn(arg + 2, "=");
    const struct option_row *row = find_row(arg + 2, length);
    if (row == NULL)
        return pl_error_set(err, PL_EINVAL, "unknown option '%.*s'", (int)length + 2, arg);
    const char *value = arg[2 + length] == '=' ? arg + 2 + length + 1 : NULL;
    if (row->kind == OPTION_FLAG && value != NULL)
        return pl_error_set(err, PL_EINVAL, "--%s takes no value", row->name);
    if (row->kind != OPTION_FLAG && value == NULL) {
        if (*i + 1 >= n)
            return pl_error_set(err, PL_EINVAL, "--%s needs a value: %s", row->name, row->arg);
        value = args[++*i];
    }
    if (strcmp(row->name, "shutdown-timeout") == 0)
        o->has_shutdown_timeout = true;
    return set_option(o, row, value, err);
}

/* A word of a short list. */
static enum pl_status take_word(const char *option, const char *value, const char *const *words,
                                size_t n, size_t *ret, struct pl_error *err)
{
    for (size_t i = 0; value != NULL && i < n; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret = i;
            return PL_OK;
        }
    }
    if (value == NULL)
        return PL_OK;
    return pl_error_set(err, PL_EINVAL, "--%s: unknown value '%s'", option, value);
}

static enum pl_status check_listen(const struct options *o, struct pl_error *err)
{
    struct http_address address;
    enum pl_status status = http_address_parse(o->listen, &address, err);
    if (status != PL_OK)
        return status;
    if (!http_address_is_loopback(&address) && !o->insecure)
        return pl_error_set(
            err, PL_EPERM,
            "refusing to listen on %s: there is no TLS and no key check yet, so whoever "
            "reaches it may use the model; listen on 127.0.0.1, or add --insecure",
            o->listen);
    return PL_OK;
}

static enum pl_status check(struct options *o, struct pl_error *err)
{
    static const char *const KV[] = {"f16", "q8_0", "f32"};
    static const enum engine_kv_type KV_TYPES[] = {ENGINE_KV_F16, ENGINE_KV_Q8_0, ENGINE_KV_F32};
    static const char *const LEVELS[] = {"error", "warn", "info", "debug"};
    static const enum pl_log_level LEVEL_VALUES[] = {PL_LOG_ERROR, PL_LOG_WARN, PL_LOG_INFO,
                                                     PL_LOG_DEBUG};
    size_t kv = 0, level = 2;
    enum pl_status status = take_word("kv-type", o->kv_type, KV, PL_ARRAY_LEN(KV), &kv, err);
    if (status == PL_OK)
        status = take_word("log-level", o->log_level, LEVELS, PL_ARRAY_LEN(LEVELS), &level, err);
    if (status != PL_OK)
        return status;
    if (o->kv_disk_mb > 0 && o->kv_disk_dir == NULL)
        return pl_error_set(err, PL_EINVAL, "--kv-disk-mb: needs --kv-disk-dir");
    o->kv = KV_TYPES[kv];
    o->kv_type = KV[kv];
    if (o->kv_disk_dir != NULL && o->kv_disk_mb == 0)
        o->kv_disk_mb = OPTIONS_KV_DISK_MB_DEFAULT;
    o->level = LEVEL_VALUES[level];
    if (o->listen == NULL)
        o->listen = OPTIONS_LISTEN_DEFAULT;
    if (!o->has_shutdown_timeout)
        o->shutdown_timeout = OPTIONS_SHUTDOWN_TIMEOUT_DEFAULT;
    if (o->trust_socket && strncmp(o->listen, "unix:", 5) != 0)
        return pl_error_set(err, PL_EINVAL, "--trust-socket: needs --listen unix:/path");
    return check_listen(o, err);
}

enum pl_status options_parse(int n, char *const *args, struct options *ret, struct pl_error *err)
{
    struct options o = {0};
    for (int i = 0; i < n; i++) {
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0) {
            *ret = (struct options){.help = true};
            return PL_OK;
        }
        enum pl_status status = take_option(n, args, &i, &o, err);
        if (status != PL_OK)
            return status;
    }
    enum pl_status status = check(&o, err);
    if (status != PL_OK)
        return status;
    *ret = o;
    return PL_OK;
}
