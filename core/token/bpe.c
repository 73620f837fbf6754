/* See impl.h. Byte-level BPE ("gpt2"): text is cut by the vocabulary's patterns, then bytes merge by rank.
 *
 * The file stores bytes as printable characters: 33-126, 161-172 and 174-255 stand for themselves, the
 * other 68 bytes, in order, for U+0100 and on. Tables here hold the bytes themselves. */
#include "impl.h"
#include "split.h"

#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

#define ALPHABET_END (256 + 68)

struct alphabet {
    int16_t byte_of[ALPHABET_END]; /* by code point; -1: stands for no byte */
};

static void fill_alphabet(struct alphabet *a)
{
    for (size_t i = 0; i < ALPHABET_END; i++)
        a->byte_of[i] = -1;
    uint16_t next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        uint16_t code = itself ? (uint16_t)b : next++;
        a->byte_of[code] = (int16_t)b;
    }
}

/* The bytes that stored text stands for; characters outside the alphabet stay, and make it `foreign`. */
static size_t decode_text(const struct alphabet *a, struct gguf_str text, char *out, bool *foreign)
{
    size_t n = 0;
    *foreign = false;
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        size_t bytes;
        enum utf8_result result = utf8_decode(text.data + at, text.len - at, &code, &bytes);
        if (result == UTF8_OK && code < ALPHABET_END && a->byte_of[code] >= 0) {
            out[n++] = (char)a->byte_of[code];
        } else {
            memcpy(out + n, text.data + at, bytes);
            n += bytes;
            *foreign = true;
        }
        at += bytes;
    }
    return n;
}

static bool make_pieces(struct token_vocab *v, const struct alphabet *a)
{
    if (!token_map_init(&v->mergeable, &v->arena, v->pieces, (size_t)v->n))
        return false;
    for (int32_t id = 0; id < v->n; id++) {
        struct gguf_str text = v->texts[id];
        v->pieces[id] = text;
        if ((v->attrs[id] & TOKEN_ATTR_NORMAL) == 0 || (v->attrs[id] & TOKEN_ATTR_CONTROL) != 0)
            continue;
        char *piece = arena_alloc(&v->arena, text.len);
        if (piece == NULL)
            return false;
        bool foreign = false;
        v->pieces[id] = (struct gguf_str){piece, decode_text(a, text, piece, &foreign)};
        if (!foreign && text.len > 0)
            (void)token_map_add(&v->mergeable, id);
    }
    for (unsigned b = 0; b < 256; b++) {
        char byte = (char)b;
        v->byte_ids[b] = token_map_find(&v->mergeable, &byte, 1);
    }
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static const char merges_key[] = "tokenizer.ggml.merges";

static enum pl_status refuse_merge(uint64_t i, struct gguf_str merge, const char *why,
                                   struct pl_error *err)
{
    char text[80];
    gguf_printable(merge, text, sizeof text);
    return pl_error_set(err, PL_EFORMAT, "token: key '%s': merge %llu '%s': %s", merges_key,
                        (unsigned long long)i, text, why);
}

/* "left right": the blank is never the first byte. */
static enum pl_status add_merge(struct token_vocab *v, uint64_t i, struct gguf_str merge,
                                struct pl_error *err)
{
    const char *blank = merge.len > 1 ? memchr(merge.data + 1, ' ', merge.len - 1) : NULL;
    if (blank == NULL || merge.len > (size_t)2 * TOKEN_BYTES_MAX)
        return refuse_merge(i, merge, "expected two tokens", err);
    char joined[2 * TOKEN_BYTES_MAX];
    size_t left_n = (size_t)(blank - merge.data);
    size_t right_n = merge.len - left_n - 1;
    memcpy(joined, merge.data, left_n);
    memcpy(joined + left_n, blank + 1, right_n);
    int32_t left = token_map_find(&v->by_text, joined, left_n);
    int32_t right = token_map_find(&v->by_text, joined + left_n, right_n);
    int32_t merged = token_map_find(&v->by_text, joined, left_n + right_n);
    if (left == TOKEN_NONE || right == TOKEN_NONE)
        return refuse_merge(i, merge, "a part is not in the vocabulary", err);
    if (merged == TOKEN_NONE)
        return refuse_merge(i, merge, "its result is not in the vocabulary", err);
    if ((v->attrs[merged] & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN)) == 0)
        token_pairs_add(&v->pairs,
                        (struct token_pair){(uint32_t)left, (uint32_t)right, (uint32_t)i, merged});
    return PL_OK;
}

static enum pl_status read_merges(struct token_vocab *v, const struct gguf *file,
                                  struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, merges_key);
    if (kv == NULL)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is absent", merges_key);
    if (kv->type != GGUF_ARRAY || kv->elem_type != GGUF_STRING)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is not an array of strings",
                            merges_key);
    if (!token_pairs_init(&v->pairs, &v->arena, (size_t)kv->n_elems))
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    for (uint64_t i = 0; i < kv->n_elems; i++) {
        enum pl_status status = add_merge(v, i, kv->strings[i], err);
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

/* ---- pre-tokenizer --------------------------------------------------------------------------- */

static enum pl_status open_split(struct token_vocab *v, const struct gguf *file,
                                 struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.pre";
    struct gguf_str name = {"default", strlen("default")};
    if (gguf_find(file, key) != NULL) {
        enum pl_status status = gguf_get_str(file, key, &name, err);
        if (status != PL_OK)
            return status;
    } else {
        snprintf(v->warning, sizeof v->warning,
                 "the file names no pre-tokenizer (%s): using the default one", key);
    }
    const struct split_rule *rule = split_rule_find(name);
    if (rule == NULL) {
        char text[64];
        gguf_printable(name, text, sizeof text);
        snprintf(
            v->warning, sizeof v->warning,
            "pre-tokenizer '%s' is not known: using the default one, text may be cut otherwise "
            "than in training",
            text);
        rule = split_rule_find((struct gguf_str){"default", strlen("default")});
    }
    v->ignore_merges = rule->ignore_merges;
    if (gguf_find(file, "tokenizer.ggml.add_bos_token") == NULL)
        v->add_bos = rule->add_bos;
    return token_split_open(rule, &v->split, err);
}

enum pl_status token_bpe_init(struct token_vocab *v, const struct gguf *file, struct pl_error *err)
{
    struct alphabet alphabet;
    fill_alphabet(&alphabet);
    enum pl_status status = open_split(v, file, err);
    if (status != PL_OK)
        return status;
    if (!make_pieces(v, &alphabet))
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return read_merges(v, file, err);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Well-formed UTF-8 goes through the patterns; a run of other bytes is a piece of its own. */
static size_t valid_prefix(const char *text, size_t n, bool *ret_valid)
{
    size_t at = 0;
    *ret_valid = true;
    while (at < n) {
        uint32_t code;
        size_t bytes = 1;
        if ((unsigned char)text[at] >= 0x80) {
            bool ok = utf8_decode(text + at, n - at, &code, &bytes) == UTF8_OK;
            if (at == 0)
                *ret_valid = ok;
            if (ok != *ret_valid)
                break;
        } else if (!*ret_valid) {
            break;
        }
        at += bytes;
    }
    return at;
}

enum pl_status token_bpe_encode(struct token_encoder *e, const char *text, size_t n,
                                struct pl_error *err)
{
    const struct token_vocab *v = e->v;
    struct split_run *run = NULL;
    enum pl_status status = split_begin(v->split, n, &run, err);
    for (size_t at = 0; status == PL_OK && at < n;) {
        bool valid = false;
        size_t bytes = valid_prefix(text + at, n - at, &valid);
        struct gguf_str piece = {text + at, bytes};
        if (valid)
            split_set_text(run, text + at, bytes);
        bool more = true;
        while (status == PL_OK && more) {
            if (valid)
                status = split_next(run, &piece, &more, err);
            if (status == PL_OK && more &&
                !token_encode_piece(e, &v->mergeable, piece.data, piece.len))
                status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
            more = more && valid;
        }
        at += bytes;
    }
    split_end(run);
    return status;
}
