/*
 * template/strftime.h - time as text, in the C locale whatever the process has set.
 *
 * Threads: no shared state.  Source: strftime(3), Python's datetime.strftime of a time without zone.
 */
#ifndef TEMPLATE_STRFTIME_H
#define TEMPLATE_STRFTIME_H

#include "eval.h"

/* Puts the render's time in the given format. */
PL_NODISCARD bool template_put_time(struct eval *ev, const char *format, size_t n);

#endif
