/*
 * token/split.h - cuts text into the pre-tokens that byte-level BPE merges within.
 *
 * A rule is a row of patterns as published with the models. Stage by stage, every match of a pattern and
 * every gap between matches becomes a piece of its own, which the next stage cuts further.
 *
 * Not a public header.  Ownership: the caller's, open/close and begin/end.  Threads: a token_split is
 * immutable, a run belongs to one thread.  Errors: PL_ENOTSUP (built without PCRE2), PL_ENOMEM, PL_ELIMIT
 * (a text that would take more than linear work).  Source: the models' tokenizer files.
 */
#ifndef TOKEN_SPLIT_H
#define TOKEN_SPLIT_H

#include "impl.h"

/* A pattern that begins so matches runs that are cut into pieces of three characters from their end. */
#define SPLIT_THREES "\x03"

/* How tokens are stored, and what is merged. */
enum split_form {
    SPLIT_BYTES,    /* bytes, written as printable characters */
    SPLIT_CHARS,    /* characters with blanks as U+2581, bytes as <0x..> */
    SPLIT_NEWLINES, /* SPLIT_CHARS; a run of newlines that is a token is taken whole; BOS always */
};

struct split_rule {
    const char *pre;             /* tokenizer.ggml.pre */
    const char *const *patterns; /* PCRE2 syntax, NULL-terminated, at most TOKEN_PATTERNS_MAX */
    bool ignore_merges;          /* a pre-token that is a token is taken whole */
    bool add_bos;                /* where the file doesn't say */
    enum split_form form;
};

/* The row of that name, or NULL. Static storage. */
const struct split_rule *split_rule_find(struct gguf_str pre);
/* All rows, for tests: row i, NULL behind the last. */
const struct split_rule *split_rule_at(size_t i);

PL_NODISCARD enum pl_status token_split_open(const struct split_rule *rule,
                                             struct token_split **ret, struct pl_error *err);
void token_split_close(struct token_split *split);

struct split_run;

/* text_bytes: of all texts of this run, for the limit on work. *ret is set on failure too (maybe NULL). */
PL_NODISCARD enum pl_status split_begin(const struct token_split *split, size_t text_bytes,
                                        struct split_run **ret, struct pl_error *err);
void split_end(struct split_run *run);

/* text: well-formed UTF-8 that outlives the pieces. */
void split_set_text(struct split_run *run, const char *text, size_t n);
/* *ret_more false: there was no further piece. */
PL_NODISCARD enum pl_status split_next(struct split_run *run, struct gguf_str *ret, bool *ret_more,
                                       struct pl_error *err);

#endif
