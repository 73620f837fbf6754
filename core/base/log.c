/* See log.h. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

static struct {
    const char *name;
    enum pl_log_level level_max;
    bool journal;
} state = {.name = "polder", .level_max = PL_LOG_INFO};

static const struct {
    const char *journal, *word;
} levels[] = {
    [PL_LOG_ERROR] = {"<3>", "error: "},
    [PL_LOG_WARN] = {"<4>", "warning: "},
    [PL_LOG_INFO] = {"<6>", ""},
    [PL_LOG_DEBUG] = {"<7>", "debug: "},
};

void log_init(const char *name, enum pl_log_level level_max)
{
    state.name = name;
    state.level_max = level_max;
    state.journal = getenv("JOURNAL_STREAM") != NULL; /* NOLINT(concurrency-mt-unsafe): at start */
}

/* Appends text to line, control characters as "?"; returns the new length. */
static size_t append_clean(char *line, size_t len, const char *text)
{
    for (; *text != '\0' && len < LOG_LINE_MAX - 1; text++) {
        unsigned char c = (unsigned char)*text;
        line[len] = *text;
        if (c < 0x20 || c == 0x7f)
            line[len] = '?';
        len++;
    }
    return len;
}

void log_line(enum pl_log_level level, const char *fmt, ...)
{
    if (level > state.level_max)
        return;
    char text[LOG_LINE_MAX - 96]; /* leaves room for the prefix */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);

    char line[LOG_LINE_MAX + 1];
    size_t len = append_clean(line, 0, state.journal ? levels[level].journal : "");
    len = append_clean(line, len, state.name);
    len = append_clean(line, len, ": ");
    len = append_clean(line, len, levels[level].word);
    len = append_clean(line, len, text);
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nowhere left to complain */
}
