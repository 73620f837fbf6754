/* See split.h. Runs the patterns with PCRE2, compiled to machine code where the system permits.
 *
 *   stage 0   |the text                                  |
 *   stage 1   |gap|match  |match|gap      |match         |   each becomes the text of the next stage
 *   stage 2       |m|gap|m|                                  the pieces of the last stage come out
 *
 * One level per stage remembers where it is, so nothing recurses and nothing is stored. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "split.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Work that one match may do: the published patterns scan a text at most a few times. */
#define MATCH_LIMIT_BASE     100000u
#define MATCH_LIMIT_PER_BYTE 16u
#define HEAP_LIMIT_KIB       65536u /* backtracking memory of one match, without JIT */

struct token_split {
    pcre2_general_context *memory; /* our malloc: failures can be injected */
    pcre2_code *codes[TOKEN_PATTERNS_MAX];
    bool threes[TOKEN_PATTERNS_MAX]; /* SPLIT_THREES */
    size_t n;
};

struct level {
    const char *text;
    size_t n;
    size_t at;             /* pieces before it are out */
    size_t m_begin, m_end; /* the next match at or behind `at`; both n: none */
    bool matched;          /* m_begin, m_end are known */
    size_t run_end;        /* of the run that is being cut into threes; 0: none */
    size_t run_left;       /* its characters that no match has had */
};

struct split_run {
    const struct token_split *split;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    struct level levels[TOKEN_PATTERNS_MAX];
    size_t depth; /* levels in use; 0: no text left */
};

static void *give(PCRE2_SIZE bytes, void *user)
{
    (void)user;
    return malloc(bytes);
}

static void take(void *p, void *user)
{
    (void)user;
    free(p);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static enum pl_status compile(struct token_split *split, pcre2_compile_context *context,
                              const struct split_rule *rule, const char *pattern,
                              struct pl_error *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    bool threes = pattern[0] == SPLIT_THREES[0];
    if (threes)
        pattern += strlen(SPLIT_THREES);
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
    if (re == NULL && code == PCRE2_ERROR_HEAP_FAILED)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    if (re == NULL)
        return pl_error_set(err, PL_EINTERNAL,
                            "token: pre-tokenizer '%s': pattern error %d at byte %zu", rule->pre,
                            code, (size_t)at);
    /* Where memory may not be both written and executed this fails, and the interpreter runs. */
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    split->threes[split->n] = threes;
    split->codes[split->n++] = re;
    return PL_OK;
}

enum pl_status token_split_open(const struct split_rule *rule, struct token_split **ret,
                                struct pl_error *err)
{
    struct token_split *split = calloc(1, sizeof *split);
    if (split == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    enum pl_status status = PL_OK;
    split->memory = pcre2_general_context_create(give, take, NULL);
    pcre2_compile_context *context =
        split->memory == NULL ? NULL : pcre2_compile_context_create(split->memory);
    if (context == NULL)
        status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
    for (size_t i = 0; status == PL_OK && rule->patterns[i] != NULL && i < TOKEN_PATTERNS_MAX; i++)
        status = compile(split, context, rule, rule->patterns[i], err);
    pcre2_compile_context_free(context);
    if (status != PL_OK) {
        token_split_close(split);
        return status;
    }
    *ret = split;
    return PL_OK;
}

void token_split_close(struct token_split *split)
{
    if (split == NULL)
        return;
    for (size_t i = 0; i < split->n; i++)
        pcre2_code_free(split->codes[i]);
    pcre2_general_context_free(split->memory);
    free(split);
}

/* ---- runs ------------------------------------------------------------------------------------ */

enum pl_status split_begin(const struct token_split *split, size_t text_bytes,
                           struct split_run **ret, struct pl_error *err)
{
    struct split_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    *ret = run;
    run->split = split;
    run->match = pcre2_match_data_create(1, split->memory);
    run->limits = pcre2_match_context_create(split->memory);
    if (run->match == NULL || run->limits == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    uint64_t limit = MATCH_LIMIT_BASE + (uint64_t)MATCH_LIMIT_PER_BYTE * text_bytes;
    pcre2_set_match_limit(run->limits, (uint32_t)PL_MIN(limit, (uint64_t)UINT32_MAX));
    pcre2_set_heap_limit(run->limits, HEAP_LIMIT_KIB);
    return PL_OK;
}

void split_end(struct split_run *run)
{
    if (run == NULL)
        return;
    pcre2_match_data_free(run->match);
    pcre2_match_context_free(run->limits);
    free(run);
}

static void enter(struct split_run *run, const char *text, size_t n)
{
    run->levels[run->depth++] = (struct level){.text = text, .n = n};
}

void split_set_text(struct split_run *run, const char *text, size_t n)
{
    run->depth = 0;
    enter(run, text, n);
}

static bool begins_char(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

/* The next match is the next three characters of the run, or the one or two that are too many. */
static void cut_run(struct level *level)
{
    size_t take = level->run_left % 3 != 0 ? level->run_left % 3 : 3;
    level->run_left -= take;
    level->m_end = level->m_begin;
    while (take > 0) {
        level->m_end++;
        if (level->m_end == level->run_end || begins_char(level->text[level->m_end]))
            take--;
    }
}

static void begin_run(struct level *level)
{
    level->run_end = level->m_end;
    level->run_left = 0;
    for (size_t i = level->m_begin; i < level->m_end; i++)
        level->run_left += begins_char(level->text[i]) ? 1 : 0;
    cut_run(level);
}

static enum pl_status find_match(struct split_run *run, struct level *level, struct pl_error *err)
{
    const pcre2_code *code = run->split->codes[run->depth - 1];
    if (level->at < level->run_end) { /* inside a run; never so where runs aren't cut */
        level->matched = true;
        level->m_begin = level->at;
        cut_run(level);
        return PL_OK;
    }
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY_ATSTART;
    int rc = pcre2_match(code, (PCRE2_SPTR)level->text, level->n, level->at, options, run->match,
                         run->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, (PCRE2_SPTR)level->text, level->n, level->at, options | PCRE2_NO_JIT,
                         run->match, run->limits);
    level->matched = true;
    level->m_begin = level->n;
    level->m_end = level->n;
    if (rc == PCRE2_ERROR_NOMATCH)
        return PL_OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT)
        return pl_error_set(err, PL_ELIMIT, "token: text of %zu bytes takes too much work to split",
                            level->n);
    if (rc < 0)
        return pl_error_set(err, PL_EINTERNAL, "token: pattern matching failed: PCRE2 error %d",
                            rc);
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(run->match);
    level->m_begin = offsets[0];
    level->m_end = offsets[1];
    if (run->split->threes[run->depth - 1] && level->m_end > level->m_begin)
        begin_run(level);
    return PL_OK;
}

/* The next gap or match of a level that is not at its end. An empty match only ends a gap. */
static enum pl_status next_part(struct split_run *run, struct level *level, struct gguf_str *ret,
                                struct pl_error *err)
{
    if (!level->matched) {
        enum pl_status status = find_match(run, level, err);
        if (status != PL_OK)
            return status;
    }
    size_t begin = level->at;
    level->at = begin < level->m_begin ? level->m_begin : level->m_end;
    *ret = (struct gguf_str){level->text + begin, level->at - begin};
    if (level->at == level->m_end)
        level->matched = false;
    return PL_OK;
}

enum pl_status split_next(struct split_run *run, struct gguf_str *ret, bool *ret_more,
                          struct pl_error *err)
{
    while (run->depth > 0) {
        struct level *level = &run->levels[run->depth - 1];
        if (level->at == level->n) {
            run->depth--;
            continue;
        }
        struct gguf_str part;
        enum pl_status status = next_part(run, level, &part, err);
        if (status != PL_OK)
            return status;
        if (run->depth == run->split->n) {
            *ret = part;
            *ret_more = true;
            return PL_OK;
        }
        enter(run, part.data, part.len);
    }
    *ret_more = false;
    return PL_OK;
}
