/*
 * See split.h. Stands in where PCRE2 was absent at configure time: a byte-level BPE vocabulary opens and
 * decodes, so that models run on a bare machine, but text can't be encoded.
 */
#include "split.h"

#include "base/banned.h"

/* Nothing to hold: any address that is not NULL will do. */
static char nothing;

enum pl_status token_split_open(const struct split_rule *rule, struct token_split **ret,
                                struct pl_error *err)
{
    (void)rule;
    (void)err;
    *ret = (struct token_split *)(void *)&nothing;
    return PL_OK;
}

void token_split_close(struct token_split *split)
{
    (void)split;
}

enum pl_status split_begin(const struct token_split *split, size_t text_bytes,
                           struct split_run **ret, struct pl_error *err)
{
    (void)split;
    (void)text_bytes;
    *ret = NULL;
    return pl_error_set(err, PL_ENOTSUP,
                        "token: built without PCRE2: byte-level BPE can't encode text");
}

void split_end(struct split_run *run)
{
    (void)run;
}

void split_set_text(struct split_run *run, const char *text, size_t n)
{
    (void)run;
    (void)text;
    (void)n;
}

enum pl_status split_next(struct split_run *run, struct gguf_str *ret, bool *ret_more,
                          struct pl_error *err)
{
    (void)run;
    (void)ret;
    *ret_more = false;
    return pl_error_set(err, PL_ENOTSUP, "token: built without PCRE2");
}
