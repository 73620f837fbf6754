/*
 * bench/lines.h - lines of text: standard input whole or line by line, and JSON lines out.
 *
 * The writer lives here because json-c and base/json_writer.h can't be included together.
 *
 * Ownership: the caller's buffers.  Threads: one.  Errors: a line on stderr.
 * Limits: LINES_INPUT_MAX.  Source: ours.
 */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include <polder/base.h>

#define LINES_INPUT_MAX ((size_t)256 << 20) /* four times the longest text that token takes */

/* All of standard input, malloc'ed, NUL-terminated; NULL: a line was printed. */
PL_NODISCARD char *lines_read_all(const char *command, size_t *ret_n);

/* Calls on_line for each line (without its end) until it returns false; blank lines are passed over.
 * False: a line was printed, or on_line returned false. */
PL_NODISCARD bool lines_each(const char *command,
                             bool (*on_line)(void *user, size_t line_i, const char *line, size_t n),
                             void *user);

/* {"text": ...} and a line end on standard output. False: no memory. */
PL_NODISCARD bool lines_print_text(const char *text, size_t n);

#endif
