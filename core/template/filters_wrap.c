/*
 * template/filters_wrap.c - the wordwrap filter: Python's textwrap, line by line.
 *
 * A line is cut into chunks (a run of blanks, a word, a part of a word up to a hyphen, a dash), chunks are
 * put on lines of the width. A line loses its last chunk where that is blank; a line without chunks isn't one.
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

struct wrap {
    const uint32_t *code; /* n code points of the source line */
    const size_t *at;     /* n + 1 offsets in text */
    size_t n;
    const char *text;
    size_t width;
    bool break_long;
    bool break_hyphens;
    struct template_value *newline;
    size_t start;  /* of the next chunk */
    size_t end;    /* of the next chunk */
    size_t lines;  /* of this source line */
    size_t pieces; /* on the line being built */
    size_t used;   /* its characters */
    size_t mark;   /* of the line, before its newline */
    size_t last;   /* of its last piece */
};

static bool is_blank(uint32_t code)
{
    return code == ' ' || (code >= '\t' && code <= '\r');
}

static bool is_word(uint32_t code)
{
    return code == '_' || template_code_is_alpha(code) || template_code_is_numeric(code);
}

static bool is_letter(uint32_t code)
{
    return is_word(code) && !template_code_is_decimal(code);
}

static bool is_word_or_mark(uint32_t code)
{
    return is_word(code) || (code < 0x80 && code != 0 && strchr("!\"'&.,?", (int)code) != NULL);
}

/* End of a dash of two or more hyphens at i with a word behind it; i where there is none. */
static size_t dash_end(const struct wrap *w, size_t i)
{
    size_t end = i;
    while (end < w->n && w->code[end] == '-')
        end++;
    return end >= i + 2 && end < w->n && is_word(w->code[end]) ? end : i;
}

/* A word may be broken behind the hyphen at i. */
static bool breaks_behind(const struct wrap *w, size_t i)
{
    const uint32_t *c = w->code;
    bool before = (i >= 2 && is_letter(c[i - 1]) && is_letter(c[i - 2])) ||
                  (i >= 3 && is_word_or_mark(c[i - 1]) && c[i - 2] == '-' && is_letter(c[i - 3]));
    if (c[i] != '-' || !before || i + 1 >= w->n || !is_letter(c[i + 1]))
        return false;
    size_t next = i + 2 + (i + 2 < w->n && c[i + 2] == '-');
    return next < w->n && is_letter(c[next]);
}

static size_t chunk_end(const struct wrap *w, size_t start)
{
    size_t end = start;
    if (is_blank(w->code[start])) {
        while (end < w->n && is_blank(w->code[end]))
            end++;
        return end;
    }
    if (w->break_hyphens && start > 0 && is_word_or_mark(w->code[start - 1]) &&
        dash_end(w, start) != start)
        return dash_end(w, start);
    for (end = start + 1; end < w->n && !is_blank(w->code[end]); end++) {
        if (!w->break_hyphens)
            continue;
        if (breaks_behind(w, end))
            return end + 1;
        if (is_word_or_mark(w->code[end - 1]) && dash_end(w, end) != end)
            return end;
    }
    return end;
}

static bool all_space(const struct wrap *w, size_t start, size_t end)
{
    while (start < end && template_code_is_space(w->code[start]))
        start++;
    return start == end;
}

/* Puts the characters [start, end) on the line. */
static bool put_piece(struct eval *ev, struct wrap *w, size_t start, size_t end)
{
    if (w->pieces++ == 0) {
        w->mark = template_mark(ev);
        if (w->lines > 0 && !template_put_str(ev, w->newline))
            return false;
    }
    w->last = template_mark(ev);
    w->used += end - start;
    return template_step(ev, 1) &&
           template_put(ev, w->text + w->at[start], w->at[end] - w->at[start]);
}

/* blank: the last piece is. */
static void end_line(struct eval *ev, struct wrap *w, bool blank)
{
    if (w->pieces > 0 && blank) {
        template_drop(ev, w->last);
        w->pieces--;
    }
    if (w->pieces > 0)
        w->lines++;
    else if (blank)
        template_drop(ev, w->mark);
    w->pieces = 0;
    w->used = 0;
}

/* What goes on the rest of the line of a chunk wider than any. */
static size_t cut_long(const struct wrap *w, size_t start, size_t end)
{
    size_t room = w->width - w->used;
    size_t cut = start + room;
    if (!w->break_hyphens)
        return cut;
    bool other = false; /* than hyphens, so far */
    size_t behind = cut;
    for (size_t i = start; i < cut && i < end; i++) {
        if (w->code[i] != '-')
            other = true;
        else if (i > start && other)
            behind = i + 1;
    }
    return behind;
}

static void next_chunk(struct wrap *w, size_t start)
{
    w->start = start;
    w->end = start < w->n ? chunk_end(w, start) : start;
}

/* Puts [start, cut) of the chunk. */
static bool put_chunk(struct eval *ev, struct wrap *w, size_t cut, bool *ret_blank)
{
    size_t end = w->end;
    if (!put_piece(ev, w, w->start, cut))
        return false;
    *ret_blank = all_space(w, w->start, cut);
    if (cut >= end)
        next_chunk(w, cut);
    else
        w->start = cut; /* the rest is a chunk */
    return true;
}

static bool put_line(struct eval *ev, struct wrap *w)
{
    bool blank = false;
    if (w->lines > 0 && all_space(w, w->start, w->end))
        next_chunk(w, w->end);
    while (w->start < w->n && w->used + (w->end - w->start) <= w->width)
        if (!put_chunk(ev, w, w->end, &blank))
            return false;
    if (w->start < w->n && w->end - w->start > w->width && (w->break_long || w->pieces == 0)) {
        size_t cut = w->break_long ? cut_long(w, w->start, w->end) : w->end;
        if (!put_chunk(ev, w, cut, &blank))
            return false;
    }
    end_line(ev, w, blank);
    return template_step(ev, 1);
}

static bool wrap_line(struct eval *ev, struct wrap *w)
{
    next_chunk(w, 0);
    while (w->start < w->n)
        if (!put_line(ev, w))
            return false;
    return true;
}

static bool read_codes(struct eval *ev, struct wrap *w, const struct template_value *line)
{
    size_t chars = line->u.string.chars;
    uint32_t *code = template_alloc(ev, chars, sizeof *code);
    size_t *at = template_alloc(ev, chars + 1, sizeof *at);
    if (code == NULL || at == NULL || !template_step(ev, chars / 8))
        return false;
    size_t bytes = 0;
    size_t offset = 0;
    w->n = 0;
    w->text = line->u.string.text;
    while (offset < line->u.string.bytes && w->n < chars) {
        code[w->n] = template_char_code(w->text + offset, line->u.string.bytes - offset, &bytes);
        at[w->n++] = offset;
        offset += bytes;
    }
    at[w->n] = offset;
    w->code = code;
    w->at = at;
    return true;
}

static struct template_value *filter_wordwrap(struct eval *ev, struct template_value *self,
                                              const struct call_args *args)
{
    int64_t width = 79;
    struct wrap w = {.break_long = template_arg_truth(args, 1, true),
                     .break_hyphens = template_arg_truth(args, 3, true)};
    w.newline = template_check(ev, template_string(ev->values, "\n", 1));
    if (w.newline == NULL || !template_arg_int(ev, args, 0, &width))
        return NULL;
    if (args->bound[2] != NULL && args->bound[2]->kind != VALUE_NONE &&
        !template_arg_string(ev, args, 2, &w.newline))
        return NULL;
    if (self->kind != VALUE_STRING)
        return template_fail_type(ev, "wordwrap: not a string", self);
    if (width <= 0)
        return template_fail(ev, "wordwrap: invalid width");
    w.width = (size_t)width;
    struct call_args none = {0};
    struct template_value *lines = template_builtin_call(
        ev, template_method_find(VALUE_STRING, "splitlines", 10), self, &none);
    size_t mark = template_mark(ev);
    for (size_t i = 0; lines != NULL && i < lines->u.list.n; i++) {
        w.lines = 0;
        if ((i > 0 && !template_put_str(ev, w.newline)) ||
            !read_codes(ev, &w, lines->u.list.items[i]) || !wrap_line(ev, &w))
            return NULL;
    }
    return lines != NULL ? template_take(ev, mark) : NULL;
}

static const struct builtin rows[] = {
    {"wordwrap", filter_wordwrap, "width,break_long_words,wrapstring,break_on_hyphens", 0, false},
};

const struct builtin_table template_filters_wrap = BUILTIN_TABLE(rows);
