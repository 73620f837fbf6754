/*
 * template/format.h - one field of a formatted string: how wide, how aligned, how written.
 *
 * `%` formatting and str.format share it.
 *
 * Threads: one render.  Source: Python's format specification mini-language.
 */
#ifndef TEMPLATE_FORMAT_H
#define TEMPLATE_FORMAT_H

#include "eval.h"

#define FORMAT_PRECISION_MAX                                                                       \
    400 /* digits behind the point; a double has no more that mean anything */

struct format_spec {
    char fill[4]; /* one character */
    size_t fill_n;
    char align; /* '<' '>' '^' '=', 0: by type */
    char sign;  /* '+' ' ' '-' */
    char type;  /* 0: by value */
    char group; /* ',' '_' or 0 */
    bool alternate;
    int64_t width;     /* characters */
    int64_t precision; /* -1: none */
};

/* Puts a string or number as the spec says; for strings the precision cuts. */
PL_NODISCARD bool template_put_formatted(struct eval *ev, const struct format_spec *spec,
                                         struct template_value *value);

#endif
