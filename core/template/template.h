/*
 * template/template.h - chat templates: an interpreter for the Jinja language as model files use it.
 *
 * Values are Python's: undefined, none, bool, int, float, string, list, dict (insertion order), tuple,
 * namespace, callables. Rendering follows Hugging Face's settings: trim_blocks, lstrip_blocks, lenient
 * undefined, loop controls, tojson without HTML escaping, raise_exception, strftime_now. A template is
 * untrusted: steps, depth, memory and output are bounded.
 *
 * Ownership: a template owns its parse tree; values live in a template_values arena; the rendered text
 * is the caller's.  Threads: a parsed template is immutable; any number of renders at once.
 * Errors: PL_EFORMAT with "template: line N: ..." for syntax and run-time errors; PL_EINVAL with the bare
 * message for raise_exception; PL_ELIMIT for a bound; PL_ENOMEM.
 * Limits: TEMPLATE_*_MAX in template_limits.h.  Source: Jinja 3.1 documentation; own work.
 */
#ifndef TEMPLATE_TEMPLATE_H
#define TEMPLATE_TEMPLATE_H

#include <polder/status.h>

struct template;
struct template_values; /* an arena of values for one or more renders */
struct template_value;  /* one value; lives in its template_values */

PL_NODISCARD enum pl_status template_parse(const char *source, size_t n, struct template **ret,
                                           struct pl_error *err);
void template_free(struct template *tmpl);

/* ---- values ---------------------------------------------------------------------------------- */

PL_NODISCARD enum pl_status template_values_new(struct template_values **ret, struct pl_error *err);
void template_values_free(struct template_values *values);

/* Each returns NULL when memory (or its bound) is exhausted; adders accept NULL arguments and then
 * return false, so that a caller may build first and check once. Strings are copied. */
struct template_value *template_none(struct template_values *values);
struct template_value *template_bool(struct template_values *values, bool b);
struct template_value *template_int(struct template_values *values, int64_t i);
struct template_value *template_float(struct template_values *values, double d);
struct template_value *template_string(struct template_values *values, const char *text, size_t n);
struct template_value *template_list(struct template_values *values);
struct template_value *template_dict(struct template_values *values);
PL_NODISCARD bool template_list_add(struct template_values *values, struct template_value *list,
                                    struct template_value *item);
PL_NODISCARD bool template_dict_set(struct template_values *values, struct template_value *dict,
                                    const char *key, size_t key_n, struct template_value *item);

/* NULL where it isn't there or `dict` is no dict. */
struct template_value *template_dict_get(const struct template_value *dict, const char *key,
                                         size_t key_n);

/* The value of a JSON text, as Python's json.loads reads it: an integer of any length keeps its digits.
 * PL_EFORMAT with "json: byte N: ...", PL_ENOMEM. */
PL_NODISCARD enum pl_status template_json_read(struct template_values *values, const char *text,
                                               size_t n, struct template_value **ret,
                                               struct pl_error *err);

/* ---- rendering ------------------------------------------------------------------------------- */

struct template_context {
    struct template_value *globals; /* dict: the variables of the template; may be NULL */
    int64_t now_unix_s;             /* what strftime_now formats ... */
    int32_t utc_offset_s;           /* ... at this offset from UTC */
};

/* *ret: malloc'ed, NUL-terminated, *ret_bytes long. */
PL_NODISCARD enum pl_status template_render(const struct template *tmpl,
                                            struct template_values *values,
                                            const struct template_context *context, char **ret,
                                            size_t *ret_bytes, struct pl_error *err);

#endif
