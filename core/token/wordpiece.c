/* See impl.h. WordPiece ("bert"): words are cleaned, then cut greedily into the longest tokens.
 *
 *   text -> characters: decomposed, accents and control characters dropped, lower case
 *        -> words: cut at white space; punctuation and Chinese characters are words of their own
 *        -> tokens: the first has U+2581 before it (as files store it), the others follow bare;
 *           a word that can't be cut completely is one unknown token
 *
 * Source: Devlin et al. 2018 and its tokenization.py; character classes by utf8proc. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/utf8.h"
#include "base/banned.h"

#define BLANK          "\xE2\x96\x81" /* U+2581 */
#define BLANK_BYTES    3
#define DECOMPOSED_MAX 32 /* code points of one character; Unicode's longest has 18 */

static bool is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == 0x85 || code == 0x2028 || code == 0x2029 ||
           utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ZS;
}

static bool is_dropped(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return code == UTF8_REPLACEMENT || category == UTF8PROC_CATEGORY_CN ||
           (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

static bool is_punctuation(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    bool symbol = category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
    return (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) ||
           (symbol && code < 0x7F);
}

static bool is_chinese(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                  {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < PL_ARRAY_LEN(ranges); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The word that is being collected lies in e->text behind a U+2581. */
struct word {
    struct token_encoder *e;
    size_t n; /* bytes, the U+2581 included; BLANK_BYTES: empty */
};

static bool append(struct word *w, uint32_t code)
{
    struct token_encoder *e = w->e;
    if (w->n + UTF8_MAX_BYTES > e->text_capacity) {
        size_t capacity = 2 * (w->n + UTF8_MAX_BYTES);
        char *grown = realloc(e->text, capacity);
        if (grown == NULL)
            return false;
        e->text = grown;
        e->text_capacity = capacity;
    }
    if (w->n == BLANK_BYTES)
        memcpy(e->text, BLANK, BLANK_BYTES);
    w->n += utf8_encode(code, e->text + w->n);
    return true;
}

/* The longest token at the start of text, or TOKEN_NONE. */
static int32_t longest(const struct token_vocab *v, const char *text, size_t n, size_t *ret_n)
{
    for (size_t len = PL_MIN(n, v->token_bytes_max); len > 0; len--) {
        if (len < n && ((unsigned char)text[len] & 0xC0) == 0x80)
            continue; /* inside a character */
        int32_t id = token_map_find(&v->mergeable, text, len);
        if (id != TOKEN_NONE) {
            *ret_n = len;
            return id;
        }
    }
    return TOKEN_NONE;
}

static bool flush(struct word *w)
{
    struct token_encoder *e = w->e;
    size_t n = w->n;
    size_t before = e->out.n;
    w->n = BLANK_BYTES;
    if (n == BLANK_BYTES)
        return true;
    for (size_t at = 0; at < n;) {
        size_t bytes = 0;
        int32_t id = longest(e->v, e->text + at, n - at, &bytes);
        if (id == TOKEN_NONE) {
            e->out.n = before;
            id = e->v->special[TOKEN_UNK];
            return id == TOKEN_NONE || token_emit(e, id);
        }
        if (!token_emit(e, id))
            return false;
        at += bytes;
    }
    return true;
}

static bool add_char(struct word *w, uint32_t code)
{
    const struct token_vocab *v = w->e->v;
    if (is_space(code))
        return flush(w);
    if (is_dropped(code) ||
        (v->strip_accents && utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_MN))
        return true;
    uint32_t lower = v->lower_case ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)code) : code;
    if (is_punctuation(code) || is_chinese(code))
        return flush(w) && append(w, lower) && flush(w);
    return append(w, lower);
}

bool token_wordpiece_encode(struct token_encoder *e, const char *text, size_t n)
{
    struct word w = {e, BLANK_BYTES};
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t bytes;
        (void)utf8_decode(text + at, n - at, &code, &bytes); /* ill-formed: U+FFFD, dropped */
        at += bytes;
        utf8proc_int32_t parts[DECOMPOSED_MAX] = {(utf8proc_int32_t)code};
        utf8proc_ssize_t n_parts = 1;
        int boundary = 0;
        if (e->v->strip_accents && code >= 0x80)
            n_parts = utf8proc_decompose_char((utf8proc_int32_t)code, parts, DECOMPOSED_MAX,
                                              UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t i = 0; i < n_parts && i < DECOMPOSED_MAX; i++) {
            if (!add_char(&w, (uint32_t)parts[i]))
                return false;
        }
    }
    return flush(&w);
}

/* ---- open ------------------------------------------------------------------------------------ */

static enum pl_status read_flag(const struct gguf *file, const char *key, bool *flag,
                                struct pl_error *err)
{
    return gguf_find(file, key) == NULL ? PL_OK : gguf_get_bool(file, key, flag, err);
}

enum pl_status token_wordpiece_init(struct token_vocab *v, const struct gguf *file,
                                    struct pl_error *err)
{
    v->lower_case = true;
    enum pl_status status =
        read_flag(file, "tokenizer.ggml.normalizer.lowercase", &v->lower_case, err);
    v->strip_accents = v->lower_case;
    if (status == PL_OK)
        status = read_flag(file, "tokenizer.ggml.normalizer.strip_accents", &v->strip_accents, err);
    if (status != PL_OK)
        return status;
    status = token_blank_pieces(v, err);
    if (status == PL_OK && !token_index_texts(v))
        status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return status;
}
