/*
 * template/template_case.h - a case of a template test: JSON in, rendered text out.
 *
 * Ownership: what is returned is malloc'ed for the caller.  Threads: no shared state.
 * Errors: the room's status and message.  Source: ours; the shape of a case is that of the shared data.
 */
#ifndef TEMPLATE_CASE_H
#define TEMPLATE_CASE_H

#include "template/template.h"

#include <json-c/json.h>

/* A value of JSON as a value of a template; NULL when memory is exhausted. */
struct template_value *template_case_value(struct template_values *values, json_object *json);

/* Renders source with the members of `globals` (an object or NULL) as variables. */
PL_NODISCARD enum pl_status template_case_render(const char *source, size_t n, json_object *globals,
                                                 int64_t now_unix_s, char **ret, size_t *ret_bytes,
                                                 struct pl_error *err);

/* The whole file as JSON, or NULL. */
json_object *template_case_read(const char *path);

#endif
