/* The facts of a profile file that are not about time; the plugin reads the others. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/banned.h"

#define LINE_BYTES 512

/* "key=value" among the words of a line. */
static bool word_value(const char *line, const char *key, double *ret)
{
    char text[64];
    size_t n = strlen(key);
    for (const char *at = strstr(line, key); at != NULL; at = strstr(at + 1, key)) {
        if (at[n] != '=' || at[-1] != ' ')
            continue;
        size_t length = strcspn(at + n + 1, " \t\r\n");
        (void)snprintf(text, sizeof text, "%.*s", (int)length, at + n + 1);
        return parse_f64(text, 0, 1e12, ret);
    }
    return false;
}

static enum pl_status read_point(const char *line, struct sim_profile_facts *ret,
                                 struct pl_error *err)
{
    struct sim_point *point = &ret->points[ret->n_points];
    double users = 0;
    double n_in = 0;
    double n_out = 0;
    if (ret->n_points == SIM_POINTS_MAX || sscanf(line, "point %31s", point->source) != 1 ||
        !word_value(line, "users", &users) || !word_value(line, "in", &n_in) ||
        !word_value(line, "out", &n_out) || !word_value(line, "tok_s", &point->tok_s))
        return pl_error_set(err, PL_EFORMAT, "sim: not a point: %.200s", line);
    point->users = (uint32_t)users;
    point->n_in = (uint32_t)n_in;
    point->n_out = (uint32_t)n_out;
    ret->n_points++;
    return PL_OK;
}

static enum pl_status read_line(const char *line, struct sim_profile_facts *ret,
                                struct pl_error *err)
{
    static const char kv_key[] = "kv_tokens";
    if (strncmp(line, "point ", 6) == 0)
        return read_point(line, ret, err);
    if (strncmp(line, kv_key, sizeof kv_key - 1) != 0)
        return PL_OK;
    char text[32];
    double tokens = 0;
    const char *value = line + sizeof kv_key - 1;
    value += strspn(value, " \t");
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(value, " \t\r\n#"), value);
    if (!parse_f64(text, 1, 1e9, &tokens))
        return pl_error_set(err, PL_EFORMAT, "sim: kv_tokens '%.40s'", text);
    ret->kv_tokens = (uint32_t)tokens;
    return PL_OK;
}

enum pl_status sim_profile_read(const char *name, struct sim_profile_facts *ret,
                                struct pl_error *err)
{
    char path[512];
    char line[LINE_BYTES];
    if (strchr(name, '/') != NULL)
        (void)snprintf(path, sizeof path, "%s", name);
    else
        (void)snprintf(path, sizeof path, "%s/%s.txt", SIM_PROFILE_DIR, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return pl_error_set(err, PL_ENOENT, "sim: no profile %.200s", path);
    struct sim_profile_facts facts = {0};
    enum pl_status status = PL_OK;
    while (status == PL_OK && fgets(line, sizeof line, file) != NULL)
        status = read_line(line, &facts, err);
    (void)fclose(file);
    if (status == PL_OK)
        *ret = facts;
    return status;
}
