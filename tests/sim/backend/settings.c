/* Settings of the simulated device, and profile files; see device.h. A profile is lines "key value"; what stands behind
 * '#' is for people, and lines "source ..." and "point ..." are for the harness. */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SIM_PROFILE_DIR
#define SIM_PROFILE_DIR "tests/sim/profiles"
#endif
#define PROFILE_DEFAULT "h100-8b"
#define ENVIRONMENT     "POLDER_SIM" /* "key=value,key=value": for programs that pass no settings on */
#define LINE_MAX_BYTES  512
#define NS_MAX          1e12 /* of any term: a quarter of an hour */

static bool read_number(const char *text, double min, double max, double *ret)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= min && value <= max))
        return false;
    *ret = value;
    return true;
}

/* ---- profiles ------------------------------------------------------------------------------------ */

struct term {
    const char *key;
    size_t offset; /* of a double in struct sim_profile */
    double unit_ns;
};

static const struct term TERMS[] = {
    {"fixed_us", offsetof(struct sim_profile, fixed_ns), 1e3},
    {"decode_us", offsetof(struct sim_profile, decode_ns), 1e3},
    {"prefill_us", offsetof(struct sim_profile, prefill_ns), 1e3},
    {"kv_ns", offsetof(struct sim_profile, kv_ns), 1},
    {"pair_ns", offsetof(struct sim_profile, pair_ns), 1},
    {"block_us", offsetof(struct sim_profile, block_ns), 1e3},
};

/* Words of a profile that say nothing about time. */
static bool is_other_key(const char *key)
{
    static const char *const others[] = {"device", "model", "kv_tokens", "source", "point"};
    for (size_t i = 0; i < PL_ARRAY_LEN(others); i++)
        if (strcmp(key, others[i]) == 0)
            return true;
    return false;
}

/* "decode_at N US" */
static bool read_knot(char *value, struct sim_profile *ret)
{
    double n = 0;
    double us = 0;
    size_t length = strcspn(value, " \t");
    char *second = value + length + strspn(value + length, " \t");
    value[length] = '\0';
    second[strcspn(second, " \t")] = '\0';
    if (ret->n_knots == SIM_KNOTS_MAX || !read_number(value, 1, 1e6, &n) ||
        !read_number(second, 0, NS_MAX / 1e3, &us) ||
        (ret->n_knots > 0 && n <= ret->knots[ret->n_knots - 1].n))
        return false;
    ret->knots[ret->n_knots++] = (struct sim_knot){.n = n, .ns = us * 1e3};
    return true;
}

static enum pl_status read_line(char *line, const char *path, struct sim_profile *ret,
                                struct pl_error *err)
{
    line[strcspn(line, "#\r\n")] = '\0';
    char *key = line + strspn(line, " \t");
    size_t n = strcspn(key, " \t");
    char *value = key + n + strspn(key + n, " \t");
    if (n == 0)
        return PL_OK;
    key[n] = '\0';
    if (is_other_key(key))
        return PL_OK;
    if (strcmp(key, "decode_at") == 0)
        return read_knot(value, ret)
                   ? PL_OK
                   : pl_error_set(err, PL_EFORMAT, "sim: %.100s: bad decode_at", path);
    value[strcspn(value, " \t")] = '\0';
    for (size_t i = 0; i < PL_ARRAY_LEN(TERMS); i++) {
        double number = 0;
        if (strcmp(key, TERMS[i].key) != 0)
            continue;
        if (!read_number(value, 0, NS_MAX / TERMS[i].unit_ns, &number))
            return pl_error_set(err, PL_EFORMAT, "sim: %.100s: %s '%.40s'", path, key, value);
        number *= TERMS[i].unit_ns;
        memcpy((char *)ret + TERMS[i].offset, &number, sizeof number);
        return PL_OK;
    }
    return pl_error_set(err, PL_EFORMAT, "sim: %.100s: no key '%.40s'", path, key);
}

/* name: of a file in the folder of profiles, or a path. */
static enum pl_status read_profile(const char *name, struct sim_profile *ret, struct pl_error *err)
{
    char path[512];
    char line[LINE_MAX_BYTES];
    if (strchr(name, '/') != NULL)
        (void)snprintf(path, sizeof path, "%s", name);
    else
        (void)snprintf(path, sizeof path, "%s/%s.txt", SIM_PROFILE_DIR, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return pl_error_set(err, PL_ENOENT, "sim: no profile %.200s", path);
    *ret = (struct sim_profile){0};
    const char *base = strrchr(path, '/') + 1;
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", (int)strcspn(base, "."), base);
    enum pl_status status = PL_OK;
    while (status == PL_OK && fgets(line, sizeof line, file) != NULL)
        status = read_line(line, path, ret, err);
    (void)fclose(file);
    return status;
}

/* ---- settings ------------------------------------------------------------------------------------ */

static bool set_words(struct sim_settings *s, const char *value)
{
    char *end = NULL;
    long first = strtol(value, &end, 10);
    if (end == value || *end != '-')
        return false;
    const char *second = end + 1;
    long last = strtol(second, &end, 10);
    if (end == second || *end != '\0' || first < 0 || last < first || last > INT32_MAX)
        return false;
    s->word_first = (int32_t)first;
    s->word_last = (int32_t)last;
    return true;
}

static bool set_hook(struct sim_settings *s, const char *value)
{
    void *address = NULL;
    if (sscanf(value, "%p", &address) != 1 || address == NULL) /* NOLINT(cert-err34-c): own text */
        return false;
    s->hook = address;
    return s->hook->struct_size >= sizeof *s->hook;
}

static bool set_number(struct sim_settings *s, const char *key, const char *value)
{
    double number = 0;
    const struct {
        const char *key;
        double min, max;
        double *to;
    } reals[] = {{"fail", 0, 1, &s->fail_rate},
                 {"slow", 0, 1, &s->slow_rate},
                 {"slow_factor", 1, 1e6, &s->slow_factor},
                 {"eos_rate", 0, 1, &s->eos_rate}};
    for (size_t i = 0; i < PL_ARRAY_LEN(reals); i++)
        if (strcmp(key, reals[i].key) == 0)
            return read_number(value, reals[i].min, reals[i].max, reals[i].to);
    if (!read_number(value, 0, 9e15, &number))
        return false;
    if (strcmp(key, "seed") == 0)
        s->seed = (uint64_t)number;
    else if (strcmp(key, "lost_after") == 0)
        s->lost_after = (int64_t)number;
    else if (strcmp(key, "eos_id") == 0 && number <= INT32_MAX)
        s->eos_id = (int32_t)number;
    else if (strcmp(key, "unified") == 0 && number <= 1)
        s->unified = number != 0;
    else
        return false;
    return true;
}

static enum pl_status set(struct sim_settings *s, const char *text, struct pl_error *err)
{
    char key[32];
    size_t n = strcspn(text, "=");
    const char *value = text[n] == '=' ? text + n + 1 : text + n;
    (void)snprintf(key, sizeof key, "%.*s", (int)n, text);
    if (strcmp(key, "profile") == 0)
        return read_profile(value, &s->profile, err);
    bool ok = false;
    if (strcmp(key, "words") == 0)
        ok = set_words(s, value);
    else if (strcmp(key, "hook") == 0)
        ok = set_hook(s, value);
    else
        ok = set_number(s, key, value);
    if (!ok)
        return pl_error_set(
            err, PL_EINVAL,
            "sim: setting '%.100s': expected profile=, seed=, fail=, slow=, slow_factor=, "
            "lost_after=, words=FIRST-LAST, eos_id=, eos_rate=, unified=",
            text);
    return PL_OK;
}

static enum pl_status set_from_environment(struct sim_settings *s, struct pl_error *err)
{
    const char *text = getenv(ENVIRONMENT); /* NOLINT(concurrency-mt-unsafe): device_open's time */
    enum pl_status status = PL_OK;
    while (status == PL_OK && text != NULL && *text != '\0') {
        char one[512];
        size_t n = strcspn(text, ",");
        (void)snprintf(one, sizeof one, "%.*s", (int)n, text);
        status = set(s, one, err);
        text += n + (text[n] == ',' ? 1 : 0);
    }
    return status;
}

enum pl_status sim_settings_read(const char *const *list, struct sim_settings *ret,
                                 struct pl_error *err)
{
    struct sim_settings s = {
        .slow_factor = 10, .lost_after = -1, .word_first = -1, .word_last = -1, .eos_id = 2};
    enum pl_status status = set_from_environment(&s, err);
    for (size_t i = 0; status == PL_OK && list != NULL && list[i] != NULL; i++)
        status = set(&s, list[i], err);
    if (status == PL_OK && s.profile.name[0] == '\0')
        status = read_profile(PROFILE_DEFAULT, &s.profile, err);
    if (status == PL_OK)
        *ret = s;
    return status;
}
