/*
 * template/builtins.c - finding rows by name, binding arguments. See builtins.h.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

const struct builtin *template_builtin_find(const struct builtin_table *table, const char *name,
                                            size_t n)
{
    for (size_t i = 0; i < table->n; i++)
        if (strlen(table->rows[i].name) == n && memcmp(table->rows[i].name, name, n) == 0)
            return &table->rows[i];
    return NULL;
}

const struct builtin *template_filter_find(const char *name, size_t n)
{
    static const struct builtin_table *const tables[] = {
        &template_filters_text,   &template_filters_wrap, &template_filters_html,
        &template_filters_number, &template_filters_list, &template_filters_lazy,
        &template_filters_json,
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(tables); i++) {
        const struct builtin *row = template_builtin_find(tables[i], name, n);
        if (row != NULL)
            return row;
    }
    return NULL;
}

const struct builtin *template_test_find(const char *name, size_t n)
{
    return template_builtin_find(&template_tests, name, n);
}

const struct builtin *template_global_find(const char *name, size_t n)
{
    return template_builtin_find(&template_globals, name, n);
}

const struct builtin *template_method_find(enum value_kind kind, const char *name, size_t n)
{
    const struct builtin *row = NULL;
    switch ((int)kind) {
    case VALUE_STRING:
        row = template_builtin_find(&template_methods_string, name, n);
        if (row == NULL)
            row = template_builtin_find(&template_methods_string_split, name, n);
        return row != NULL ? row : template_builtin_find(&template_methods_string_class, name, n);
    case VALUE_DICT: return template_builtin_find(&template_methods_dict, name, n);
    case VALUE_LIST:
        row = template_builtin_find(&template_methods_list, name, n);
        return row != NULL ? row : template_builtin_find(&template_methods_sequence, name, n);
    case VALUE_TUPLE:
    case VALUE_RANGE: return template_builtin_find(&template_methods_sequence, name, n);
    case VALUE_LOOP: return template_builtin_find(&template_methods_loop, name, n);
    case VALUE_CYCLER: return template_builtin_find(&template_methods_cycler, name, n);
    default: return NULL;
    }
}

/* ---- binding ---------------------------------------------------------------------------------- */

struct params {
    struct {
        const char *name;
        size_t n;
    } rows[BUILTIN_PARAMS_MAX];
    size_t n;
    size_t positional; /* the first that many may come by position */
    bool rest;         /* "...": any further arguments */
};

static void split_params(const char *text, struct params *ret)
{
    *ret = (struct params){0};
    bool by_keyword = false;
    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        if (n == 1 && *text == '*') {
            by_keyword = true;
        } else if (n == 3 && memcmp(text, "...", 3) == 0) {
            ret->rest = true;
        } else {
            ret->rows[ret->n].name = text;
            ret->rows[ret->n++].n = n;
            ret->positional += !by_keyword;
        }
        text += n + (text[n] == ',');
    }
}

static bool bind_keyword(struct eval *ev, const struct builtin *builtin,
                         const struct params *params, const struct keyword *keyword,
                         struct call_args *args)
{
    for (size_t i = 0; i < params->n; i++) {
        if (params->rows[i].n != keyword->n ||
            memcmp(params->rows[i].name, keyword->text, keyword->n) != 0)
            continue;
        if (args->bound[i] != NULL) {
            template_fail(ev, "%s() got two values for '%.*s'", builtin->name, (int)keyword->n,
                          keyword->text);
            return false;
        }
        args->bound[i] = keyword->value;
        return true;
    }
    if (params->rest)
        return true;
    template_fail(ev, "%s() got an unexpected keyword argument '%.*s'", builtin->name,
                  (int)PL_MIN(keyword->n, (size_t)60), keyword->text);
    return false;
}

static bool bind(struct eval *ev, const struct builtin *builtin, struct call_args *args)
{
    struct params params;
    split_params(builtin->params, &params);
    if (args->n > params.positional && !params.rest) {
        template_fail(ev, "%s() takes at most %zu arguments, got %zu", builtin->name,
                      params.positional, args->n);
        return false;
    }
    for (size_t i = 0; i < PL_MIN(args->n, params.positional); i++)
        args->bound[i] = args->items[i];
    for (size_t i = 0; i < args->keywords_n; i++)
        if (!bind_keyword(ev, builtin, &params, &args->keywords[i], args))
            return false;
    for (size_t i = 0; i < builtin->required; i++) {
        if (args->bound[i] == NULL) {
            template_fail(ev, "%s() is missing argument '%.*s'", builtin->name,
                          (int)params.rows[i].n, params.rows[i].name);
            return false;
        }
    }
    return true;
}

/* Markup's methods escape what they are given. */
static bool escape_args(struct eval *ev, struct call_args *args)
{
    for (size_t i = 0; i < BUILTIN_PARAMS_MAX; i++)
        if (args->bound[i] != NULL && args->bound[i]->kind == VALUE_STRING &&
            (args->bound[i] = template_escape(ev, args->bound[i])) == NULL)
            return false;
    return true;
}

struct template_value *template_builtin_call(struct eval *ev, const struct builtin *builtin,
                                             struct template_value *self,
                                             const struct call_args *args)
{
    struct call_args bound = *args;
    memset(bound.bound, 0, sizeof bound.bound);
    if (!bind(ev, builtin, &bound))
        return NULL;
    bool markup = builtin->markup && self != NULL && self->safe;
    if (markup && !escape_args(ev, &bound))
        return NULL;
    struct template_value *result = builtin->call(ev, self, &bound);
    if (markup && result != NULL && result->kind == VALUE_STRING)
        return template_markup(ev, result);
    return result;
}

/* ---- arguments -------------------------------------------------------------------------------- */

bool template_arg_int(struct eval *ev, const struct call_args *args, size_t i, int64_t *ret)
{
    if (args->bound[i] == NULL || template_as_int(args->bound[i], ret))
        return true;
    if (args->bound[i]->kind == VALUE_BIG) { /* as good as infinite wherever it is allowed */
        *ret = args->bound[i]->u.string.text[0] == '-' ? -INT64_MAX : INT64_MAX;
        return true;
    }
    template_fail_type(ev, "an integer is required", args->bound[i]);
    return false;
}

bool template_arg_string(struct eval *ev, const struct call_args *args, size_t i,
                         struct template_value **ret)
{
    if (args->bound[i] == NULL)
        return true;
    if (args->bound[i]->kind != VALUE_STRING) {
        template_fail_type(ev, "a string is required", args->bound[i]);
        return false;
    }
    *ret = args->bound[i];
    return true;
}

bool template_arg_truth(const struct call_args *args, size_t i, bool fallback)
{
    return args->bound[i] != NULL ? template_truth(args->bound[i]) : fallback;
}
