/*
 * bench/options.h - a command's options as a table: parsed, checked and explained from the same rows.
 *
 * "--name value", "--name=value", "-x value"; "--help"; everything else that begins with '-' is refused
 * with one line. Numbers are checked against the row's range.
 *
 * Ownership: texts point into argv.  Threads: one.  Errors: one line on stderr, OPTIONS_BAD.
 * Limits: none.  Source: ours.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <polder/base.h>

enum option_kind {
    OPTION_FLAG, /* target: bool, becomes true */
    OPTION_TEXT, /* target: const char * */
    OPTION_INT,  /* target: int64_t in [min, max] */
};

struct option_row {
    const char *name;  /* "--model" or "-p" */
    const char *value; /* what the help calls its value: "FILE"; NULL for a flag */
    const char *help;  /* one line */
    void *target;
    int64_t min, max; /* OPTION_INT */
    enum option_kind kind;
    bool required;
};

struct options {
    const char *command;
    const char *summary;    /* first lines of the help */
    const char *positional; /* what the help calls it: "FILE"; NULL if there is none */
    const char **ret_positional;
    const struct option_row *rows;
    size_t n_rows;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP, /* help was printed: exit 0 */
    OPTIONS_BAD,  /* a line was printed: exit 2 */
};

PL_NODISCARD enum options_result options_parse(const struct options *options, int argc,
                                               char **argv);

/* The exit code that goes with HELP and BAD. */
int options_exit(enum options_result result);

/* A comma-separated list of numbers in [min, max]: "1,5,9". malloc'ed; false: a line was printed. */
PL_NODISCARD bool options_numbers(const char *command, const char *option, const char *text,
                                  int64_t min, int64_t max, int64_t **ret, size_t *ret_n);

/* True when `text` (NULL: def) is among `choices` (ended by NULL); *ret_i says which. */
PL_NODISCARD bool options_choice(const char *command, const char *option, const char *text,
                                 const char *const *choices, unsigned *ret_i);

#endif
