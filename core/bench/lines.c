/*
 * bench/lines.c - reading standard input.
 */
#include "lines.h"

#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"

#include "base/banned.h"

char *lines_read_all(const char *command, size_t *ret_n)
{
    struct buf all;
    buf_init(&all, LINES_INPUT_MAX);
    size_t n = 0;
    do {
        char *room = buf_reserve(&all, 65536);
        n = room == NULL ? 0 : fread(room, 1, 65536, stdin);
        if (room != NULL)
            buf_commit(&all, n);
    } while (n > 0);
    if (all.failed || ferror(stdin)) {
        bench_fail(command,
                   all.failed ? "standard input is too long" : "can't read standard input");
        buf_deinit(&all);
        return NULL;
    }
    *ret_n = all.len;
    return buf_take(&all);
}

bool lines_each(const char *command,
                bool (*on_line)(void *user, size_t line_i, const char *line, size_t n), void *user)
{
    char *line = NULL;
    size_t size = 0;
    bool going = true;
    for (size_t i = 0; going; i++) {
        ssize_t n = getline(&line, &size, stdin);
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = '\0';
        if (n > 0)
            going = on_line(user, i, line, (size_t)n);
    }
    if (going && ferror(stdin)) {
        bench_fail(command, "can't read standard input");
        going = false;
    }
    free(line);
    return going;
}

bool lines_print_text(const char *text, size_t n)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "text");
    json_string(&w, text, n);
    json_object_end(&w);
    bool ok = !out.failed;
    if (ok)
        puts(out.data);
    buf_deinit(&out);
    return ok;
}
