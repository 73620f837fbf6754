/*
 * bench/options.c - option tables: parsing, help text, lists and choices.
 */
#include "options.h"

#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#include "base/banned.h"

PL_PRINTF(2, 3)
static enum options_result bad(const struct options *options, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "polder-bench %s: ", options->command);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, " (see polder-bench %s --help)\n", options->command);
    va_end(args);
    return OPTIONS_BAD;
}

static void print_help(const struct options *options)
{
    printf("Usage: polder-bench %s", options->command);
    for (size_t i = 0; i < options->n_rows; i++) {
        const struct option_row *row = &options->rows[i];
        printf(row->required ? " %s%s%s" : " [%s%s%s]", row->name, row->value != NULL ? " " : "",
               row->value != NULL ? row->value : "");
    }
    if (options->positional != NULL)
        printf(" %s", options->positional);
    printf("\n\n%s\n\n", options->summary);
    for (size_t i = 0; i < options->n_rows; i++) {
        const struct option_row *row = &options->rows[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", row->name, row->value != NULL ? row->value : "");
        printf("  %-26s %s\n", left, row->help);
    }
}

static const struct option_row *find_row(const struct options *options, const char *arg,
                                         const char **ret_inline)
{
    *ret_inline = NULL;
    for (size_t i = 0; i < options->n_rows; i++) {
        const struct option_row *row = &options->rows[i];
        size_t n = strlen(row->name);
        if (strncmp(arg, row->name, n) != 0)
            continue;
        if (arg[n] == '\0')
            return row;
        if (arg[n] == '=' && strncmp(arg, "--", 2) == 0) {
            *ret_inline = arg + n + 1;
            return row;
        }
    }
    return NULL;
}

static enum options_result take_value(const struct options *options, const struct option_row *row,
                                      const char *value)
{
    if (row->kind == OPTION_TEXT) {
        *(const char **)row->target = value;
        return OPTIONS_RUN;
    }
    if (!parse_i64(value, row->min, row->max, row->target))
        return bad(options, "option %s: '%s' is not a number from %" PRId64 " to %" PRId64,
                   row->name, value, row->min, row->max);
    return OPTIONS_RUN;
}

static enum options_result take_positional(const struct options *options, const char *arg)
{
    if (options->positional == NULL || *options->ret_positional != NULL)
        return bad(options, "unexpected argument '%s'", arg);
    *options->ret_positional = arg;
    return OPTIONS_RUN;
}

static enum options_result check_required(const struct options *options)
{
    for (size_t i = 0; i < options->n_rows; i++) {
        const struct option_row *row = &options->rows[i];
        if (row->required && row->kind == OPTION_TEXT && *(const char **)row->target == NULL)
            return bad(options, "option %s %s is missing", row->name, row->value);
    }
    if (options->positional != NULL && *options->ret_positional == NULL)
        return bad(options, "%s is missing", options->positional);
    return OPTIONS_RUN;
}

enum options_result options_parse(const struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            print_help(options);
            return OPTIONS_HELP;
        }
        enum options_result result = OPTIONS_RUN;
        const char *value = NULL;
        const struct option_row *row = find_row(options, arg, &value);
        if (row == NULL) {
            result = arg[0] == '-' && arg[1] != '\0' ? bad(options, "unknown option '%s'", arg)
                                                     : take_positional(options, arg);
        } else if (row->kind == OPTION_FLAG) {
            if (value != NULL)
                return bad(options, "option %s takes no value", row->name);
            *(bool *)row->target = true;
        } else {
            if (value == NULL && i + 1 == argc)
                return bad(options, "option %s needs a value", row->name);
            if (value == NULL)
                value = argv[++i];
            result = take_value(options, row, value);
        }
        if (result != OPTIONS_RUN)
            return result;
    }
    return check_required(options);
}

int options_exit(enum options_result result)
{
    return result == OPTIONS_BAD ? BENCH_USAGE : BENCH_OK;
}

bool options_numbers(const char *command, const char *option, const char *text, int64_t min,
                     int64_t max, int64_t **ret, size_t *ret_n)
{
    size_t n = 1;
    for (const char *c = text; *c != '\0'; c++)
        n += *c == ',';
    int64_t *list = calloc(n, sizeof *list);
    if (list == NULL) {
        bench_fail(command, "no memory for %zu numbers", n);
        return false;
    }
    const char *at = text;
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(at, ",");
        char part[32] = "";
        if (len < sizeof part)
            memcpy(part, at, len);
        if (!parse_i64(part, min, max, &list[i])) {
            fprintf(stderr,
                    "polder-bench %s: option %s: '%.*s' is not a number from %" PRId64
                    " to %" PRId64 " (see polder-bench %s --help)\n",
                    command, option, (int)PL_MIN(len, 40), at, min, max, command);
            free(list);
            return false;
        }
        at += len + 1;
    }
    *ret = list;
    *ret_n = n;
    return true;
}

bool options_choice(const char *command, const char *option, const char *text,
                    const char *const *choices, unsigned *ret_i)
{
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *ret_i = i;
            return true;
        }
    }
    fprintf(stderr, "polder-bench %s: option %s: '%s' is none of", command, option, text);
    for (unsigned i = 0; choices[i] != NULL; i++)
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", choices[i]);
    fprintf(stderr, " (see polder-bench %s --help)\n", command);
    return false;
}
