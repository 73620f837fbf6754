/* See impl.h. SentencePiece BPE ("llama"): scores order the merges, unknown characters become bytes.
 *
 * Blanks become U+2581 and one is put before the text. Which symbols merge is asked of the vocabulary
 * by text; the order is that of the scores. Where no token has U+2581 behind the byte that a word ends
 * with, no merge can cross to the next word, and words are encoded one by one. */
#include "impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BLANK       "\xE2\x96\x81" /* U+2581 */
#define BLANK_BYTES 3

struct scored {
    float score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *left = a;
    const struct scored *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

/* ranks[id]: 0 for the best score; equal scores have equal ranks. */
static enum pl_status rank_scores(struct token_vocab *v, const struct gguf *file,
                                  struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    v->ranks = arena_array(&v->arena, (size_t)v->n, sizeof *v->ranks);
    if (v->ranks == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return PL_OK; /* all merges are equal */
    struct scored *sorted = malloc((size_t)v->n * sizeof *sorted);
    if (sorted == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    for (int32_t id = 0; id < v->n; id++)
        sorted[id] = (struct scored){(float)gguf_elem_f64(kv, (uint64_t)id), id};
    qsort(sorted, (size_t)v->n, sizeof *sorted, by_score);
    uint32_t rank = 0;
    for (int32_t i = 0; i < v->n; i++) {
        if (i > 0 && sorted[i].score != sorted[i - 1].score)
            rank++;
        v->ranks[sorted[i].id] = rank;
    }
    free(sorted);
    return PL_OK;
}

static bool is_blank(const char *text, size_t n, size_t at)
{
    return n - at >= BLANK_BYTES && memcmp(text + at, BLANK, BLANK_BYTES) == 0;
}

/* Marks the bytes that the token has before blanks, but for blanks themselves. */
static void mark_joins(bool joins[256], struct gguf_str text)
{
    bool blank = true; /* at the start and behind blanks */
    for (size_t at = 0; at < text.len;) {
        bool before = blank;
        blank = is_blank(text.data, text.len, at);
        if (blank && !before)
            joins[(unsigned char)text.data[at - 1]] = true;
        at += blank ? BLANK_BYTES : 1;
    }
}

static bool hex_digit(char c, unsigned *ret)
{
    bool decimal = c >= '0' && c <= '9';
    if (!decimal && (c < 'A' || c > 'F'))
        return false;
    *ret = decimal ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
    return true;
}

static bool byte_value(struct gguf_str text, unsigned *ret)
{
    unsigned high = 0;
    unsigned low = 0;
    if (text.len != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>' ||
        !hex_digit(text.data[3], &high) || !hex_digit(text.data[4], &low))
        return false;
    *ret = high * 16 + low;
    return true;
}

/* Output bytes: blanks for U+2581, the byte for <0x..>. */
static bool blank_piece(struct token_vocab *v, int32_t id)
{
    struct gguf_str text = v->texts[id];
    unsigned byte = 0;
    bool plain = (v->attrs[id] & (TOKEN_ATTR_NORMAL | TOKEN_ATTR_UNUSED)) != 0;
    if ((v->attrs[id] & TOKEN_ATTR_BYTE) == 0 && !plain) {
        v->pieces[id] = text;
        return true;
    }
    char *piece = arena_alloc(&v->arena, text.len);
    if (piece == NULL)
        return false;
    size_t n = 0;
    if ((v->attrs[id] & TOKEN_ATTR_BYTE) != 0 && byte_value(text, &byte)) {
        piece[n++] = (char)byte;
    } else {
        for (size_t at = 0; at < text.len;) {
            bool blank = is_blank(text.data, text.len, at);
            if (blank)
                piece[n++] = ' ';
            else
                piece[n++] = text.data[at];
            at += blank ? BLANK_BYTES : 1;
        }
    }
    v->pieces[id] = (struct gguf_str){piece, n};
    return true;
}

enum pl_status token_blank_pieces(struct token_vocab *v, struct pl_error *err)
{
    for (int32_t id = 0; id < v->n; id++) {
        unsigned byte = 0;
        bool is_byte = byte_value(v->texts[id], &byte);
        if (is_byte && (!v->typed || (v->attrs[id] & TOKEN_ATTR_BYTE) != 0)) {
            v->attrs[id] = TOKEN_ATTR_BYTE;
            v->byte_ids[byte] = id;
        } else if ((v->attrs[id] & TOKEN_ATTR_BYTE) != 0) {
            return pl_error_set(err, PL_EFORMAT,
                                "token: key 'tokenizer.ggml.tokens': byte token %d is not '<0x..>'",
                                id);
        }
        if (!blank_piece(v, id))
            return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    }
    return PL_OK;
}

bool token_index_texts(struct token_vocab *v)
{
    size_t n = 0;
    int32_t *ids = malloc((size_t)v->n * sizeof *ids);
    if (ids == NULL ||
        !token_map_init(&v->mergeable, &v->arena, v->hash_keys, v->texts, (size_t)v->n)) {
        free(ids);
        return false;
    }
    /* Text never becomes a control token: those come from the template only. */
    uint32_t no = TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN | TOKEN_ATTR_BYTE;
    for (int32_t id = 0; id < v->n; id++) {
        if ((v->attrs[id] & no) != 0 || v->texts[id].len == 0)
            continue;
        ids[n++] = id;
        mark_joins(v->joins, v->texts[id]);
    }
    (void)token_map_add(&v->mergeable, ids, n);
    free(ids);
    return true;
}

enum pl_status token_spm_init(struct token_vocab *v, const struct gguf *file, struct pl_error *err)
{
    v->chars = true;
    enum pl_status status = rank_scores(v, file, err);
    if (status == PL_OK)
        status = token_blank_pieces(v, err);
    if (status != PL_OK)
        return status;
    if (!token_index_texts(v))
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return PL_OK;
}

size_t token_escape_blanks(struct token_encoder *e, const char *text, size_t n, bool space_prefix)
{
    size_t need = n + (space_prefix ? BLANK_BYTES : 0);
    for (size_t i = 0; i < n; i++)
        need += text[i] == ' ' ? BLANK_BYTES - 1 : 0;
    if (need > e->text_capacity) {
        char *grown = realloc(e->text, need);
        if (grown == NULL)
            return SIZE_MAX;
        e->text = grown;
        e->text_capacity = need;
    }
    size_t at = 0;
    if (space_prefix) {
        memcpy(e->text, BLANK, BLANK_BYTES);
        at = BLANK_BYTES;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ') {
            memcpy(e->text + at, BLANK, BLANK_BYTES);
            at += BLANK_BYTES;
        } else {
            e->text[at++] = text[i];
        }
    }
    return at;
}

bool token_encode_words(struct token_encoder *e, const char *text, size_t n)
{
    size_t begin = 0;
    bool other = false; /* the word has begun: a blank starts the next one */
    for (size_t at = 0; at < n;) {
        bool blank = is_blank(text, n, at);
        if (blank && other && !e->v->joins[(unsigned char)text[at - 1]]) {
            if (!token_encode_piece(e, &e->v->mergeable, text + begin, at - begin))
                return false;
            begin = at;
        }
        other = !blank;
        at += blank ? BLANK_BYTES : 1;
    }
    return token_encode_piece(e, &e->v->mergeable, text + begin, n - begin);
}

bool token_spm_encode(struct token_encoder *e, const char *text, size_t n, bool space_prefix)
{
    size_t bytes = token_escape_blanks(e, text, n, space_prefix);
    return bytes != SIZE_MAX && token_encode_words(e, e->text, bytes);
}
