/* See impl.h. Byte-level BPE ("gpt2"): text is cut by the vocabulary's patterns, then bytes merge by rank.
 *
 * The file stores bytes as printable characters: 33-126, 161-172 and 174-255 stand for themselves, the
 * other 68 bytes, in order, for U+0100 and on. Tables here hold the bytes themselves. */
#include "impl.h"
#include "split.h"

#include <stdlib.h>
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

/* Bytes that stand for themselves: the piece is the text. */
static bool is_plain(struct gguf_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 33 || text.data[i] == 127) /* chars are signed: this is 128-255 too */
            return false;
    }
    return true;
}

static bool is_bytes(const struct token_vocab *v, int32_t id)
{
    return (v->attrs[id] & TOKEN_ATTR_NORMAL) != 0 && (v->attrs[id] & TOKEN_ATTR_CONTROL) == 0;
}

/* Fills pieces, and ids with the *ret_n tokens that text may become. */
static bool decode_pieces(struct token_vocab *v, const struct alphabet *a, int32_t *ids,
                          size_t *ret_n)
{
    size_t bytes = 0;
    size_t n = 0;
    for (int32_t id = 0; id < v->n; id++)
        bytes += is_bytes(v, id) && !is_plain(v->texts[id]) ? v->texts[id].len : 0;
    char *out = arena_alloc(&v->arena, bytes);
    if (out == NULL)
        return false;
    for (int32_t id = 0; id < v->n; id++) {
        bool foreign = false;
        v->pieces[id] = v->texts[id];
        if (!is_bytes(v, id))
            continue;
        if (!is_plain(v->texts[id])) {
            v->pieces[id] = (struct gguf_str){out, decode_text(a, v->texts[id], out, &foreign)};
            out += v->pieces[id].len;
        }
        if (!foreign && v->texts[id].len > 0)
            ids[n++] = id;
    }
    *ret_n = n;
    return true;
}

static bool make_pieces(struct token_vocab *v, const struct alphabet *a)
{
    if (!token_map_init(&v->mergeable, &v->arena, v->hash_keys, v->pieces, (size_t)v->n))
        return false;
    size_t n = 0;
    int32_t *ids = malloc((size_t)v->n * sizeof *ids);
    bool ok = ids != NULL && decode_pieces(v, a, ids, &n);
    if (ok)
        (void)token_map_add(&v->mergeable, ids, n);
    free(ids);
    for (unsigned b = 0; ok && b < 256; b++) {
        char byte = (char)b;
        v->byte_ids[b] = token_map_find(&v->mergeable, &byte, 1);
    }
    return ok;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static const char merges_key[] = "tokenizer.ggml.merges";

/* Merges whose parts are being looked up: there are hundreds of thousands, and nearly every look-up
 * misses the caches, so that many are under way at once. */
#define MERGES_MAX 32
#define JOINED_MAX ((size_t)2 * TOKEN_BYTES_MAX)

struct merge_batch {
    uint64_t first; /* number of merges[0] */
    const struct gguf_str *merges;
    size_t n;
    struct token_probe left[MERGES_MAX], right[MERGES_MAX], merged[MERGES_MAX];
    char joined[2 * JOINED_MAX]; /* both parts of each merge, without the blank */
    size_t joined_n;
};

static enum pl_status refuse_merge(uint64_t i, struct gguf_str merge, const char *why,
                                   struct pl_error *err)
{
    char text[80];
    gguf_printable(merge, text, sizeof text);
    return pl_error_set(err, PL_EFORMAT, "token: key '%s': merge %llu '%s': %s", merges_key,
                        (unsigned long long)i, text, why);
}

/* "left right": the blank is never the first byte. false: the merge has no two parts. */
static bool add_to_batch(const struct token_vocab *v, struct merge_batch *b, struct gguf_str merge)
{
    const char *blank = merge.len > 1 ? memchr(merge.data + 1, ' ', merge.len - 1) : NULL;
    if (blank == NULL || merge.len > JOINED_MAX)
        return false;
    size_t left_n = (size_t)(blank - merge.data);
    size_t right_n = merge.len - left_n - 1;
    char *joined = b->joined + b->joined_n;
    memcpy(joined, merge.data, left_n);
    memcpy(joined + left_n, blank + 1, right_n);
    b->joined_n += left_n + right_n;
    b->left[b->n] = (struct token_probe){.bytes = joined, .n = left_n};
    b->right[b->n] = (struct token_probe){.bytes = joined + left_n, .n = right_n};
    b->merged[b->n] = (struct token_probe){.bytes = joined, .n = left_n + right_n};
    token_probe_hash(&v->by_text, &b->left[b->n]);
    token_probe_hash(&v->by_text, &b->right[b->n]);
    token_probe_hash(&v->by_text, &b->merged[b->n]);
    b->n++;
    return true;
}

static void look_up_batch(const struct token_vocab *v, struct merge_batch *b)
{
    struct token_probe *const rows[] = {b->left, b->right, b->merged};
    for (size_t r = 0; r < PL_ARRAY_LEN(rows); r++) {
        for (size_t i = 0; i < b->n; i++)
            token_probe_peek(&v->by_text, &rows[r][i]);
    }
    for (size_t r = 0; r < PL_ARRAY_LEN(rows); r++) {
        for (size_t i = 0; i < b->n; i++)
            token_probe_touch(&v->by_text, &rows[r][i]);
    }
}

/* Adds the merges of a batch and empties it. */
static enum pl_status end_batch(struct token_vocab *v, struct merge_batch *b, struct pl_error *err)
{
    struct token_pair pairs[MERGES_MAX];
    size_t n = 0;
    look_up_batch(v, b);
    for (size_t i = 0; i < b->n; i++) {
        int32_t left = token_probe_end(&v->by_text, &b->left[i]);
        int32_t right = token_probe_end(&v->by_text, &b->right[i]);
        int32_t merged = token_probe_end(&v->by_text, &b->merged[i]);
        if (left == TOKEN_NONE || right == TOKEN_NONE)
            return refuse_merge(b->first + i, b->merges[i], "a part is not in the vocabulary", err);
        if (merged == TOKEN_NONE)
            return refuse_merge(b->first + i, b->merges[i], "its result is not in the vocabulary",
                                err);
        if ((v->attrs[merged] & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN)) != 0)
            continue;
        pairs[n] =
            (struct token_pair){(uint32_t)left, (uint32_t)right, (uint32_t)(b->first + i), merged};
        token_pairs_touch(&v->pairs, &pairs[n]);
        n++;
    }
    for (size_t i = 0; i < n; i++)
        token_pairs_add(&v->pairs, pairs[i]);
    b->first += b->n;
    b->merges += b->n;
    b->n = 0;
    b->joined_n = 0;
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
    struct merge_batch batch = {.merges = kv->strings};
    for (uint64_t i = 0; i < kv->n_elems; i++) {
        enum pl_status status = PL_OK;
        if (kv->n_elems - i > MERGES_MAX)
            __builtin_prefetch(kv->strings[i + MERGES_MAX].data);
        bool parts = add_to_batch(v, &batch, kv->strings[i]);
        bool full = batch.n == MERGES_MAX || sizeof batch.joined - batch.joined_n < JOINED_MAX;
        if (!parts || full || i + 1 == kv->n_elems)
            status = end_batch(v, &batch, err);
        if (status == PL_OK && !parts)
            status = refuse_merge(i, kv->strings[i], "expected two tokens", err);
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
    struct gguf_str model = {"", 0};
    if (gguf_get_str(file, "tokenizer.ggml.model", &model, NULL) == PL_OK &&
        split_rule_find(model) != NULL) {
        name = model; /* a tokenizer that is a pre-tokenizer: gemma4 */
    } else if (gguf_find(file, key) != NULL) {
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
    v->chars = rule->form != SPLIT_BYTES;
    v->newlines_whole = rule->form == SPLIT_NEWLINES;
    if (gguf_find(file, "tokenizer.ggml.add_bos_token") == NULL || v->newlines_whole)
        v->add_bos = rule->add_bos; /* files of that form that say no are known to be wrong */
    return token_split_open(rule, &v->split, err);
}

enum pl_status token_bpe_init(struct token_vocab *v, const struct gguf *file, struct pl_error *err)
{
    struct alphabet alphabet;
    fill_alphabet(&alphabet);
    enum pl_status status = open_split(v, file, err);
    if (status != PL_OK)
        return status;
    if (v->chars)
        status = token_blank_pieces(v, err);
    if (status == PL_OK && !(v->chars ? token_index_texts(v) : make_pieces(v, &alphabet)))
        status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return status == PL_OK ? read_merges(v, file, err) : status;
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

static bool encode_piece(struct token_encoder *e, struct gguf_str piece)
{
    if (e->v->chars)
        return token_encode_words(e, piece.data, piece.len);
    return token_encode_piece(e, &e->v->mergeable, piece.data, piece.len);
}

enum pl_status token_bpe_encode(struct token_encoder *e, const char *text, size_t n,
                                struct pl_error *err)
{
    const struct token_vocab *v = e->v;
    struct split_run *run = NULL;
    if (v->chars) {
        n = token_escape_blanks(e, text, n, false);
        if (n == SIZE_MAX)
            return pl_error_set(err, PL_ENOMEM, "token: out of memory");
        text = e->text;
    }
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
            if (status == PL_OK && more && !encode_piece(e, piece))
                status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
            more = more && valid;
        }
        at += bytes;
    }
    split_end(run);
    return status;
}
