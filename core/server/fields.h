/*
 * server/fields.h - typed reading of a JSON object, with errors that name the field.
 *
 * Every getter leaves *ret alone when the field is absent or null, and does nothing once an error is set:
 * read all fields, then look at error->status. Messages read "messages[1].content: expected string or
 * array, got number".
 *
 * Ownership: strings point into the tree, which the caller keeps.  Threads: one owner.
 * Source: ours; JSON by json-c (int64-exact, key order kept; of duplicate keys the last wins).
 */
#ifndef SERVER_FIELDS_H
#define SERVER_FIELDS_H

#include "api_error.h"

struct
    json_object; /* json-c's; its header and base/json_writer.h share names: a file includes one */

struct fields {
    struct json_object *object;
    const char *path; /* of the object, "" at the top; "messages[1]" */
    struct api_error *error;
};

/* Parses a body whose top must be an object; NULL and an error otherwise. */
PL_NODISCARD struct json_object *fields_parse(const char *text, size_t n, struct api_error *error);
void fields_free(struct json_object *tree); /* accepts NULL */

/* "string", "number", "array"... for messages. */
const char *fields_type_name(const struct json_object *value);

/* 400 "path.name: ..." */
PL_PRINTF(3, 4)
void fields_fail(const struct fields *f, const char *name, const char *fmt, ...);

/* The value of a field or NULL when absent, null, or after an error. */
struct json_object *fields_get(const struct fields *f, const char *name);

void fields_bool(const struct fields *f, const char *name, bool *ret);
void fields_i64(const struct fields *f, const char *name, int64_t min, int64_t max, int64_t *ret);
void fields_f32(const struct fields *f, const char *name, double min, double max, float *ret);
void fields_string(const struct fields *f, const char *name, const char **ret, size_t *ret_bytes);
struct json_object *fields_object(const struct fields *f, const char *name);
struct json_object *fields_array(const struct fields *f, const char *name);

/* A JSON integer (1e3 and 3.0 are none) in [min, max]. */
bool fields_is_int(const struct json_object *value, int64_t min, int64_t max, int64_t *ret);

#endif
