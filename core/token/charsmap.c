/* See impl.h. The compiled replacement rules of SentencePiece (precompiled_charsmap), and blanks.
 *
 *   bytes       what
 *   4           size of the trie in bytes, u32
 *   size        trie: units of u32, a double array
 *   the rest    replacements, each ended by a NUL
 *
 *   unit of a node     bit 31 0 | bits 30-10 offset | bit 9 offset counts by 256 | bit 8 leaf | bits 7-0 label
 *   unit of a leaf     bit 31 1 | bits 30-0 where the replacement begins
 *
 * The child of node i by byte c is unit i ^ offset(i) ^ c, if its label is c; its leaf is i ^ offset(i).
 * The longest key at each place of the text is replaced. Units and places beyond the table end the match:
 * a hostile table gives other text, never another's memory.
 *
 * Source: SentencePiece normalizer.cc and darts-clone, the format only (both BSD/Apache documents). */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

#define UNIT_LEAF   (UINT32_C(1) << 8)
#define UNIT_WIDE   (UINT32_C(1) << 9)
#define UNIT_VALUE  (UINT32_C(1) << 31)
#define BLANK       "\xE2\x96\x81" /* U+2581 */
#define BLANK_BYTES 3
/* Of a text: what TOKEN_TEXT_MAX becomes when each second byte is a blank. */
#define NORMALISED_MAX (2 * TOKEN_TEXT_MAX)
#define REPLACEMENT    "\xEF\xBF\xBD" /* U+FFFD */

static const char key[] = "tokenizer.ggml.precompiled_charsmap";

enum pl_status token_charsmap_init(struct token_vocab *v, const struct gguf *file,
                                   struct pl_error *err)
{
    struct token_charsmap *map = &v->charsmap;
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL || (kv->type == GGUF_ARRAY && kv->n_elems == 0))
        return PL_OK;
    if (kv->type != GGUF_ARRAY || (kv->elem_type != GGUF_U8 && kv->elem_type != GGUF_I8))
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is not an array of bytes", key);
    uint32_t trie_bytes = 0;
    size_t bytes = (size_t)kv->n_elems;
    if (bytes > sizeof trie_bytes)
        memcpy(&trie_bytes, kv->data, sizeof trie_bytes);
    size_t left = bytes - PL_MIN(bytes, sizeof trie_bytes);
    if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= left)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s': a trie of %u bytes in %zu bytes",
                            key, trie_bytes, bytes);
    if (kv->data[bytes - 1] != 0)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s': the last replacement has no end",
                            key);
    map->n_units = trie_bytes / 4;
    map->texts_bytes = left - trie_bytes;
    uint32_t *units = arena_alloc(&v->arena, trie_bytes);
    char *texts = arena_alloc(&v->arena, map->texts_bytes);
    if (units == NULL || texts == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    memcpy(units, kv->data + sizeof trie_bytes, trie_bytes);
    memcpy(texts, kv->data + sizeof trie_bytes + trie_bytes, map->texts_bytes);
    map->units = units;
    map->texts = texts;
    return PL_OK;
}

static uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & UNIT_WIDE) != 0 ? 8 : 0);
}

/* The longest key at the start of text; *ret_n 0: none. */
static struct gguf_str find_rule(const struct token_charsmap *map, const char *text, size_t n,
                                 size_t *ret_n)
{
    struct gguf_str found = {NULL, 0};
    *ret_n = 0;
    if (map->n_units == 0)
        return found;
    uint32_t at = offset_of(map->units[0]);
    for (size_t i = 0; i < n && text[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (at >= map->n_units || (map->units[at] & (UNIT_VALUE | 0xFF)) != byte)
            break;
        uint32_t unit = map->units[at];
        at ^= offset_of(unit);
        if ((unit & UNIT_LEAF) == 0 || at >= map->n_units)
            continue;
        uint32_t place = map->units[at] & ~UNIT_VALUE;
        if (place >= map->texts_bytes)
            continue;
        found = (struct gguf_str){map->texts + place, strlen(map->texts + place)};
        *ret_n = i + 1;
    }
    return found;
}

/* The next normalised part of the text: a replacement, or one character. */
static struct gguf_str next_part(const struct token_charsmap *map, const char *text, size_t n,
                                 size_t *ret_n)
{
    struct gguf_str part = find_rule(map, text, n, ret_n);
    if (*ret_n > 0)
        return part;
    uint32_t code;
    *ret_n = 1;
    if ((unsigned char)text[0] < 0x80)
        return (struct gguf_str){text, 1};
    if (utf8_decode(text, n, &code, ret_n) == UTF8_OK)
        return (struct gguf_str){text, *ret_n};
    *ret_n = 1;
    return (struct gguf_str){REPLACEMENT, sizeof REPLACEMENT - 1};
}

/* ---- output ---------------------------------------------------------------------------------- */

struct output {
    struct token_encoder *e;
    size_t n;
    bool in_word;  /* the last byte was no blank */
    bool prefixed; /* the blank before the text is out */
};

static bool put(struct output *o, const char *bytes, size_t n)
{
    struct token_encoder *e = o->e;
    if (n > NORMALISED_MAX - o->n)
        return false; /* as if out of memory: only a hostile table gets here */
    if (o->n + n > e->text_capacity) {
        size_t capacity = 2 * (o->n + n) + 64;
        char *grown = realloc(e->text, capacity);
        if (grown == NULL)
            return false;
        e->text = grown;
        e->text_capacity = capacity;
    }
    memcpy(e->text + o->n, bytes, n);
    o->n += n;
    return true;
}

/* Where blanks are merged, one goes before each word; before the first only as the space prefix. */
static bool begin_word(struct output *o)
{
    const struct token_vocab *v = o->e->v;
    bool first = !o->prefixed;
    o->prefixed = true;
    o->in_word = true;
    if (first ? !v->add_space_prefix : !v->merge_spaces)
        return true;
    return put(o, BLANK, BLANK_BYTES);
}

static bool put_part(struct output *o, struct gguf_str part)
{
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] != ' ') {
            if ((!o->in_word && !begin_word(o)) || !put(o, &part.data[i], 1))
                return false;
            continue;
        }
        o->in_word = false;
        if (!o->e->v->merge_spaces && !put(o, BLANK, BLANK_BYTES))
            return false;
    }
    return true;
}

size_t token_normalise(struct token_encoder *e, const char *text, size_t n)
{
    struct output o = {.e = e};
    for (size_t at = 0; at < n;) {
        size_t used = 0;
        struct gguf_str part = next_part(&e->v->charsmap, text + at, n - at, &used);
        if (!put_part(&o, part))
            return SIZE_MAX;
        at += used;
    }
    return o.n;
}
