/* See impl.h. SentencePiece unigram ("t5"): of all ways to cut the text into tokens, the one with the
 * greatest sum of scores (Viterbi).
 *
 *   text, normalised   _  h  e  l  l  o
 *   best[0] = 0        each place keeps the best sum of a way that ends there, and that way's last token;
 *                      tokens that begin at a place are found by walking a trie from it
 *
 * A character that no token covers alone counts as unknown, ten below the lowest score. Runs of unknown
 * characters are one unknown token, or bytes where the vocabulary has tokens for them.
 *
 * The trie: children of a node lie side by side in byte order.
 *
 * Source: Kudo 2018, "Subword Regularization"; unigram_model.cc for the treatment of the unknown. */
#include "impl.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

#define UNKNOWN_PENALTY 10.0
#define START_NONE      UINT32_MAX

/* ---- the trie -------------------------------------------------------------------------------- */

struct sorted {
    uint64_t head; /* the first bytes, the very first highest: most comparisons need no more */
    struct gguf_str text;
    int32_t id;
};

static struct sorted sorted_text(struct gguf_str text, int32_t id)
{
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; i++)
        head = head << 8 | (i < text.len ? (unsigned char)text.data[i] : 0u);
    return (struct sorted){head, text, id};
}

static unsigned char byte_at(const struct sorted *s, size_t i)
{
    if (i < sizeof s->head)
        return (unsigned char)(s->head >> (56 - 8 * i));
    return (unsigned char)s->text.data[i];
}

static int by_bytes(const void *a, const void *b)
{
    const struct sorted *left = a;
    const struct sorted *right = b;
    if (left->head != right->head)
        return left->head < right->head ? -1 : 1;
    size_t n = PL_MIN(left->text.len, right->text.len);
    int order = memcmp(left->text.data, right->text.data, n);
    return order != 0 ? order
                      : (left->text.len > right->text.len) - (left->text.len < right->text.len);
}

/* Nodes of the trie over n sorted texts: one for each byte that the text before doesn't share. */
static size_t count_nodes(const struct sorted *texts, size_t n)
{
    size_t nodes = 1;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (i > 0 && same < texts[i].text.len && same < texts[i - 1].text.len &&
               byte_at(&texts[i], same) == byte_at(&texts[i - 1], same))
            same++;
        nodes += texts[i].text.len - same;
    }
    return nodes;
}

/* What a node was made of while its children aren't there. */
struct range {
    uint32_t begin, end; /* of the sorted texts: those that begin with the node's bytes */
    uint32_t depth;
};

/* Breadth first, so that the children of a node are made one after the other. */
static void fill_trie(struct token_words *words, const struct sorted *texts, size_t n,
                      struct range *ranges)
{
    uint32_t made = 1;
    ranges[0] = (struct range){0, (uint32_t)n, 0};
    words->nodes[0] = (struct token_word_node){.id = TOKEN_NONE};
    for (uint32_t node = 0; node < made; node++) {
        struct range r = ranges[node];
        if (r.begin < r.end && texts[r.begin].text.len == r.depth)
            words->nodes[node].id = texts[r.begin++].id;
        words->nodes[node].child = made;
        while (r.begin < r.end) {
            unsigned char byte = byte_at(&texts[r.begin], r.depth);
            uint32_t end = r.begin + 1;
            while (end < r.end && byte_at(&texts[end], r.depth) == byte)
                end++;
            words->nodes[made] = (struct token_word_node){.id = TOKEN_NONE};
            words->bytes[made] = byte;
            ranges[made++] = (struct range){r.begin, end, r.depth + 1};
            r.begin = end;
        }
        words->nodes[node].n = (uint16_t)(made - words->nodes[node].child);
    }
}

static bool is_word(const struct token_vocab *v, int32_t id)
{
    uint32_t no = TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN | TOKEN_ATTR_BYTE;
    return v->texts[id].len > 0 && (v->attrs[id] & no) == 0;
}

static enum pl_status make_trie(struct token_vocab *v, struct pl_error *err)
{
    enum pl_status status = PL_ENOMEM;
    struct range *ranges = NULL;
    struct sorted *texts = malloc((size_t)v->n * sizeof *texts);
    if (texts == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    size_t n = 0;
    for (int32_t id = 0; id < v->n; id++) {
        if (is_word(v, id))
            texts[n++] = sorted_text(v->texts[id], id);
    }
    qsort(texts, n, sizeof *texts, by_bytes);
    size_t nodes = count_nodes(texts, n);
    if (nodes < UINT32_MAX && nodes < SIZE_MAX / sizeof *ranges) {
        ranges = malloc(nodes * sizeof *ranges);
        v->words_trie.nodes = arena_array(&v->arena, nodes, sizeof *v->words_trie.nodes);
        v->words_trie.bytes = arena_alloc(&v->arena, nodes);
    }
    if (ranges != NULL && v->words_trie.nodes != NULL && v->words_trie.bytes != NULL) {
        fill_trie(&v->words_trie, texts, n, ranges);
        status = PL_OK;
    }
    free(ranges);
    free(texts);
    return status == PL_OK ? PL_OK : pl_error_set(err, status, "token: out of memory");
}

/* The child of a node by byte; 0: none. */
static uint32_t find_child(const struct token_words *words, uint32_t node, unsigned char byte)
{
    uint32_t low = words->nodes[node].child;
    uint32_t high = low + words->nodes[node].n;
    uint32_t end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (words->bytes[middle] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && words->bytes[low] == byte ? low : 0;
}

/* ---- open ------------------------------------------------------------------------------------ */

static enum pl_status read_scores(struct token_vocab *v, const struct gguf *file,
                                  struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is absent", key);
    v->scores = arena_array(&v->arena, (size_t)v->n, sizeof *v->scores);
    if (v->scores == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    double lowest = DBL_MAX;
    for (int32_t id = 0; id < v->n; id++) {
        double score = gguf_elem_f64(kv, (uint64_t)id);
        if (score > (double)FLT_MAX || score < -(double)FLT_MAX)
            return pl_error_set(err, PL_EFORMAT,
                                "token: key '%s': the score of token %d is not finite", key, id);
        bool user = (v->attrs[id] & TOKEN_ATTR_USER) != 0; /* better than any other token */
        v->scores[id] = user ? 0 : (float)score;
        if ((v->attrs[id] & TOKEN_ATTR_NORMAL) != 0)
            lowest = PL_MIN(lowest, score);
    }
    v->unknown_score = (lowest == DBL_MAX ? 0 : lowest) - UNKNOWN_PENALTY;
    return PL_OK;
}

enum pl_status token_unigram_init(struct token_vocab *v, const struct gguf *file,
                                  struct pl_error *err)
{
    static const char merge_key[] = "tokenizer.ggml.remove_extra_whitespaces";
    enum pl_status status = PL_OK;
    if (gguf_find(file, merge_key) != NULL)
        status = gguf_get_bool(file, merge_key, &v->merge_spaces, err);
    if (status == PL_OK)
        status = token_charsmap_init(v, file, err);
    if (status == PL_OK)
        status = token_blank_pieces(v, err);
    if (status == PL_OK)
        status = read_scores(v, file, err);
    return status == PL_OK ? make_trie(v, err) : status;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static size_t char_bytes(const char *text, size_t n)
{
    uint32_t code;
    size_t bytes = 1;
    return utf8_decode(text, n, &code, &bytes) == UTF8_OK ? bytes : 1;
}

static void offer(struct token_best *place, double score, uint32_t start, int32_t id)
{
    if (place->start != START_NONE && score <= place->score)
        return;
    *place = (struct token_best){score, start, id};
}

/* Every token that begins at `at`, and the unknown one. */
static void extend(const struct token_vocab *v, struct token_best *best, const char *text, size_t n,
                   size_t at, size_t char_n)
{
    const struct token_words *words = &v->words_trie;
    double before = best[at].score;
    bool covered = false;
    uint32_t node = 0;
    for (size_t end = at; end < n;) {
        node = find_child(words, node, (unsigned char)text[end++]);
        if (node == 0)
            break;
        int32_t id = words->nodes[node].id;
        if (id == TOKEN_NONE)
            continue;
        offer(&best[end], before + (double)v->scores[id], (uint32_t)at, id);
        covered = covered || end - at == char_n;
    }
    if (!covered)
        offer(&best[at + char_n], before + v->unknown_score, (uint32_t)at, TOKEN_NONE);
}

/* An unknown character as bytes; false in *ret_done: there are no tokens for them. */
static bool emit_bytes(struct token_encoder *e, const char *text, size_t n, bool *ret_done)
{
    const struct token_vocab *v = e->v;
    *ret_done = false;
    for (size_t i = 0; i < n; i++) {
        if (v->byte_ids[(unsigned char)text[i]] == TOKEN_NONE)
            return true;
    }
    *ret_done = true;
    for (size_t i = 0; i < n; i++) {
        if (!token_emit(e, v->byte_ids[(unsigned char)text[i]]))
            return false;
    }
    return true;
}

/* best[] holds, at the start of each token of the way, where that token ends. */
static bool emit_way(struct token_encoder *e, const char *text, size_t n)
{
    bool after_unknown = false;
    for (size_t at = 0; at < n;) {
        size_t end = e->best[at].start;
        int32_t id = e->best[at].id;
        bool done = id != TOKEN_NONE;
        if (done ? !token_emit(e, id) : !emit_bytes(e, text + at, end - at, &done))
            return false;
        if (!done && !after_unknown && !token_emit_unknown(e))
            return false;
        after_unknown = !done;
        at = end;
    }
    return true;
}

/* Turns the links from each token to its start into links to its end. */
static void reverse_way(struct token_best *best, size_t n)
{
    uint32_t end = (uint32_t)n;
    int32_t id = best[end].id;
    uint32_t start = best[end].start;
    while (end > 0) {
        uint32_t next_start = best[start].start;
        int32_t next_id = best[start].id;
        best[start].start = end;
        best[start].id = id;
        end = start;
        start = next_start;
        id = next_id;
    }
}

bool token_unigram_encode(struct token_encoder *e, const char *text, size_t n)
{
    size_t bytes = token_normalise(e, text, n);
    if (bytes == SIZE_MAX || bytes >= UINT32_MAX)
        return false;
    if (bytes == 0)
        return true;
    if (bytes + 1 > e->best_capacity) {
        struct token_best *grown = realloc(e->best, (bytes + 1) * sizeof *grown);
        if (grown == NULL)
            return false;
        e->best = grown;
        e->best_capacity = bytes + 1;
    }
    for (size_t i = 0; i <= bytes; i++)
        e->best[i] = (struct token_best){0, START_NONE, TOKEN_NONE};
    e->best[0].start = 0;
    for (size_t at = 0; at < bytes;) {
        size_t char_n = char_bytes(e->text + at, bytes - at);
        if (e->best[at].start != START_NONE)
            extend(e->v, e->best, e->text, bytes, at, char_n);
        at += char_n;
    }
    reverse_way(e->best, bytes);
    return emit_way(e, e->text, bytes);
}
