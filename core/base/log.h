/*
 * base/log.h - the programs' log: one line per event on stderr.
 *
 * Libraries do not log; programs and their roles do. On a terminal lines start with the level; under
 * systemd (JOURNAL_STREAM set) with a "<N>" priority that the journal understands. Control characters
 * of the message are escaped, so that a client cannot forge a line.
 *
 * Threads: any; a line is written with one write(2).  Limits: LOG_LINE_MAX.  Source: ours; sd-daemon(3).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <polder/backend.h>
#include <polder/base.h>

#define LOG_LINE_MAX 1024 /* bytes; longer messages are cut with "..." */

/* name: the program or role that speaks, static storage ("polderd", "worker"). */
void log_init(const char *name, enum pl_log_level level_max);

PL_PRINTF(2, 3) void log_line(enum pl_log_level level, const char *fmt, ...);

#define log_error(...) log_line(PL_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(PL_LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(PL_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(PL_LOG_DEBUG, __VA_ARGS__)

#endif
