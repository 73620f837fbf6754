/*
 * template/builtins.h - filters, tests, methods and global functions: one kind of table row for all.
 *
 * The parameters of a row are names separated by commas; those behind "*" come by keyword only; a
 * trailing "..." takes any further arguments. Binding checks counts and names as Python does, and puts
 * each argument at the place of its parameter, NULL where it is absent.
 *
 * Threads: constant tables.  Errors: a function returns NULL after it set the evaluator's status.
 * Limits: BUILTIN_PARAMS_MAX.  Source: Jinja 3.1 filters and tests; Python 3 methods.
 */
#ifndef TEMPLATE_BUILTINS_H
#define TEMPLATE_BUILTINS_H

#include "value.h"

#define BUILTIN_PARAMS_MAX 6 /* the longest parameter list below */

struct keyword {
    const char *text; /* not NUL-terminated */
    size_t n;
    struct template_value *value;
};

struct call_args {
    struct template_value **items; /* positional, n of them */
    size_t n;
    struct keyword *keywords;
    size_t keywords_n;
    struct template_value *bound[BUILTIN_PARAMS_MAX]; /* filled in by binding */
};

/* self: what a filter, test or method is applied to; NULL for a global function. */
typedef struct template_value *(*builtin_fn)(struct eval *ev, struct template_value *self,
                                             const struct call_args *args);

struct builtin {
    const char *name;
    builtin_fn call;
    const char *params; /* see above; "" for none */
    unsigned char required;
    bool markup; /* a method of str that escapes its arguments and stays Markup on Markup */
};

/* A table of rows, and all tables of one sort. */
struct builtin_table {
    const struct builtin *rows;
    size_t n;
};

#define BUILTIN_TABLE(rows)                                                                        \
    {                                                                                              \
        (rows), PL_ARRAY_LEN(rows)                                                                 \
    }

/* Rows by name, or NULL. */
const struct builtin *template_filter_find(const char *name, size_t n);
const struct builtin *template_test_find(const char *name, size_t n);
const struct builtin *template_global_find(const char *name, size_t n);
const struct builtin *template_method_find(enum value_kind kind, const char *name, size_t n);
const struct builtin *template_builtin_find(const struct builtin_table *table, const char *name,
                                            size_t n);

/* Binds and calls. */
struct template_value *template_builtin_call(struct eval *ev, const struct builtin *builtin,
                                             struct template_value *self,
                                             const struct call_args *args);

/* The tables, one per file. */
extern const struct builtin_table template_filters_text;
extern const struct builtin_table template_filters_wrap;
extern const struct builtin_table template_filters_html;
extern const struct builtin_table template_filters_number;
extern const struct builtin_table template_filters_list;
extern const struct builtin_table template_filters_lazy;
extern const struct builtin_table template_filters_json;
extern const struct builtin_table template_tests;
extern const struct builtin_table template_methods_string;
extern const struct builtin_table template_methods_string_split;
extern const struct builtin_table template_methods_string_class;
extern const struct builtin_table template_methods_dict;
extern const struct builtin_table template_methods_sequence;
extern const struct builtin_table template_methods_list;
extern const struct builtin_table template_methods_loop;
extern const struct builtin_table template_methods_cycler;
extern const struct builtin_table template_globals;

/* ---- arguments -------------------------------------------------------------------------------- */

/* Argument i, or the fallback where it is absent. */
static inline struct template_value *template_arg(const struct call_args *args, size_t i,
                                                  struct template_value *fallback)
{
    return args->bound[i] != NULL ? args->bound[i] : fallback;
}

/* Each leaves *ret alone where argument i is absent, and fails where it has the wrong type. */
PL_NODISCARD bool template_arg_int(struct eval *ev, const struct call_args *args, size_t i,
                                   int64_t *ret);
PL_NODISCARD bool template_arg_string(struct eval *ev, const struct call_args *args, size_t i,
                                      struct template_value **ret);
/* item.a.b.0 by the path "a.b.0"; a path of another type is one index, NULL or none gives the item.
 * fallback: in place of undefined; may be NULL. In filters_lazy.c. */
struct template_value *template_path_get(struct eval *ev, struct template_value *item,
                                         const struct template_value *path,
                                         struct template_value *fallback);
struct template_value *template_ignore_case(struct eval *ev,
                                            struct template_value *value); /* in filters_list.c */

bool template_arg_truth(const struct call_args *args, size_t i, bool fallback);

#endif
