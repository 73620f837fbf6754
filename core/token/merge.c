/* See impl.h. The merge loop of both BPE kinds over one piece.
 *
 *   nodes:  [h] <-> [e] <-> [l] <-> [l] <-> [o]      a linked list in an array
 *            |rank of (h,e)  |rank of (l,l) ...      each node knows the merge with its successor
 *
 * The lowest rank, leftmost among equals, is merged until no pair has a rank. Short pieces scan for the
 * minimum; long ones take it from a binary heap of (rank << 32 | node), whose stale entries are
 * recognised by a rank that the node no longer has. So a piece of n bytes costs n log n. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

#define SCAN_NODES_MAX 24 /* up to here a scan is faster than a heap (measured) */
#define END            UINT32_MAX

/* ---- growing scratch ------------------------------------------------------------------------- */

static bool grow(void **data, size_t *capacity, size_t need, size_t elem_bytes)
{
    if (need <= *capacity)
        return true;
    size_t more = PL_MAX(need, *capacity + *capacity / 2);
    size_t bytes = 0;
    if (!pl_mul_size(more, elem_bytes, &bytes))
        return false;
    void *grown = realloc(*data, bytes);
    if (grown == NULL)
        return false;
    *data = grown;
    *capacity = more;
    return true;
}

bool token_emit(struct token_encoder *e, int32_t id)
{
    if (e->out.n == e->out_capacity) {
        void *ids = e->out.ids;
        if (!grow(&ids, &e->out_capacity, e->out.n + 64, sizeof *e->out.ids))
            return false;
        e->out.ids = ids;
    }
    e->out.ids[e->out.n++] = id;
    return true;
}

/* ---- the heap -------------------------------------------------------------------------------- */

static bool heap_push(struct token_encoder *e, uint64_t key)
{
    void *heap = e->heap;
    if (!grow(&heap, &e->heap_capacity, e->heap_n + 1, sizeof *e->heap))
        return false;
    e->heap = heap;
    size_t at = e->heap_n++;
    while (at > 0 && e->heap[(at - 1) / 2] > key) {
        e->heap[at] = e->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    e->heap[at] = key;
    return true;
}

static uint64_t heap_pop(struct token_encoder *e)
{
    uint64_t top = e->heap[0];
    uint64_t last = e->heap[--e->heap_n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->heap_n)
            break;
        if (child + 1 < e->heap_n && e->heap[child + 1] < e->heap[child])
            child++;
        if (e->heap[child] >= last)
            break;
        e->heap[at] = e->heap[child];
        at = child;
    }
    e->heap[at] = last;
    return top;
}

/* ---- ranks ----------------------------------------------------------------------------------- */

/* What joining node i with its successor would give. */
static void rank_node(const struct token_vocab *v, struct token_node *nodes, uint32_t i,
                      const char *piece, uint32_t n)
{
    struct token_node *node = &nodes[i];
    node->rank = TOKEN_RANK_NONE;
    if (node->next == END)
        return;
    const struct token_node *next = &nodes[node->next];
    if (v->model == TOKEN_MODEL_BPE) {
        const struct token_pair *pair = token_pairs_find(&v->pairs, node->id, next->id);
        if (pair != NULL) {
            node->rank = pair->rank;
            node->merged = pair->merged;
        }
        return;
    }
    uint32_t end = next->next == END ? n : nodes[next->next].at;
    if (end - node->at > v->token_bytes_max)
        return;
    int32_t id = token_map_find(&v->mergeable, piece + node->at, end - node->at);
    if (id != TOKEN_NONE) {
        node->rank = v->ranks[id];
        node->merged = id;
    }
}

/* Joins node i with its successor; the ranks around it are the caller's. */
static void join(struct token_node *nodes, uint32_t i)
{
    struct token_node *node = &nodes[i];
    struct token_node *gone = &nodes[node->next];
    node->id = node->merged;
    node->next = gone->next;
    gone->rank = TOKEN_RANK_NONE;
    if (node->next != END)
        nodes[node->next].prev = i;
}

static void merge_by_scan(const struct token_vocab *v, struct token_node *nodes, const char *piece,
                          uint32_t n)
{
    for (;;) {
        uint32_t best = END;
        uint32_t rank = TOKEN_RANK_NONE;
        for (uint32_t i = 0; i != END; i = nodes[i].next) {
            if (nodes[i].rank < rank) {
                rank = nodes[i].rank;
                best = i;
            }
        }
        if (best == END)
            return;
        join(nodes, best);
        rank_node(v, nodes, best, piece, n);
        if (nodes[best].prev != END)
            rank_node(v, nodes, nodes[best].prev, piece, n);
    }
}

static bool push_node(struct token_encoder *e, uint32_t i)
{
    uint32_t rank = e->nodes[i].rank;
    return rank == TOKEN_RANK_NONE || heap_push(e, ((uint64_t)rank << 32) | i);
}

static bool merge_by_heap(struct token_encoder *e, const char *piece, uint32_t n)
{
    struct token_node *nodes = e->nodes;
    e->heap_n = 0;
    for (uint32_t i = 0; i != END; i = nodes[i].next) {
        if (!push_node(e, i))
            return false;
    }
    while (e->heap_n > 0) {
        uint64_t key = heap_pop(e);
        uint32_t i = (uint32_t)key;
        if (nodes[i].rank != (uint32_t)(key >> 32))
            continue; /* the pair has changed since */
        join(nodes, i);
        rank_node(e->v, nodes, i, piece, n);
        if (!push_node(e, i))
            return false;
        uint32_t prev = nodes[i].prev;
        if (prev == END)
            continue;
        rank_node(e->v, nodes, prev, piece, n);
        if (!push_node(e, prev))
            return false;
    }
    return true;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* One node per byte or character. */
static uint32_t fill_nodes(const struct token_vocab *v, struct token_node *nodes, const char *piece,
                           uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < n; count++) {
        size_t bytes = 1;
        int32_t id = TOKEN_NONE;
        if (!v->chars) {
            id = v->byte_ids[(unsigned char)piece[at]];
        } else {
            uint32_t code;
            enum utf8_result result = utf8_decode(piece + at, n - at, &code, &bytes);
            bytes = result == UTF8_OK ? bytes : 1;
            if (v->model == TOKEN_MODEL_BPE)
                id = token_map_find(&v->mergeable, piece + at, bytes);
        }
        nodes[count] = (struct token_node){
            .id = id, .at = at, .prev = count == 0 ? END : count - 1, .next = count + 1};
        at += (uint32_t)bytes;
    }
    nodes[count - 1].next = END;
    return count;
}

/* Some files name a control token here: text must not become that. */
bool token_emit_unknown(struct token_encoder *e)
{
    int32_t id = e->v->special[TOKEN_UNK];
    bool is_unknown = id != TOKEN_NONE && (e->v->attrs[id] & TOKEN_ATTR_UNKNOWN) != 0;
    return !is_unknown || token_emit(e, id);
}

/* A symbol that no merge has made a token of. */
static bool emit_plain(struct token_encoder *e, const char *symbol, size_t n)
{
    const struct token_vocab *v = e->v;
    int32_t id =
        v->model == TOKEN_MODEL_BPE ? TOKEN_NONE : token_map_find(&v->mergeable, symbol, n);
    if (id != TOKEN_NONE)
        return token_emit(e, id);
    for (size_t i = 0; i < n; i++) {
        id = v->byte_ids[(unsigned char)symbol[i]];
        if (id == TOKEN_NONE)
            return token_emit_unknown(e);
        if (!token_emit(e, id))
            return false;
    }
    return true;
}

static bool emit_nodes(struct token_encoder *e, const struct token_node *nodes, const char *piece,
                       uint32_t n)
{
    for (uint32_t i = 0; i != END; i = nodes[i].next) {
        bool ok = true;
        if (nodes[i].id != TOKEN_NONE) {
            ok = token_emit(e, nodes[i].id);
        } else {
            uint32_t end = nodes[i].next == END ? n : nodes[nodes[i].next].at;
            ok = emit_plain(e, piece + nodes[i].at, end - nodes[i].at);
        }
        if (!ok)
            return false;
    }
    return true;
}

bool token_merge_piece(struct token_encoder *e, const char *piece, size_t n)
{
    if (n == 0)
        return true;
    void *nodes = e->nodes;
    if (!grow(&nodes, &e->nodes_capacity, PL_MAX(n, (size_t)64), sizeof *e->nodes))
        return false;
    e->nodes = nodes;
    uint32_t bytes = (uint32_t)n; /* at most 3 * TOKEN_TEXT_MAX + 3 */
    uint32_t count = fill_nodes(e->v, e->nodes, piece, bytes);
    for (uint32_t i = 0; i < count; i++)
        rank_node(e->v, e->nodes, i, piece, bytes);
    if (count <= SCAN_NODES_MAX)
        merge_by_scan(e->v, e->nodes, piece, bytes);
    else if (!merge_by_heap(e, piece, bytes))
        return false;
    return emit_nodes(e, e->nodes, piece, bytes);
}

bool token_encode_piece(struct token_encoder *e, const struct token_map *map, const char *piece,
                        size_t n)
{
    const struct token_vocab *v = e->v;
    int32_t id = n <= v->token_bytes_max ? token_map_find(map, piece, n) : TOKEN_NONE;
    if (id == TOKEN_NONE)
        return token_merge_piece(e, piece, n);
    unsigned whole = atomic_load_explicit(&v->whole[id], memory_order_relaxed);
    if (v->ignore_merges || whole == TOKEN_WHOLE_YES || (v->newlines_whole && piece[0] == '\n'))
        return token_emit(e, id);
    size_t before = e->out.n;
    if (!token_merge_piece(e, piece, n))
        return false;
    if (whole == TOKEN_WHOLE_UNKNOWN) {
        bool yes = e->out.n == before + 1 && e->out.ids[before] == id;
        atomic_store_explicit(&v->whole[id], yes ? TOKEN_WHOLE_YES : TOKEN_WHOLE_NO,
                              memory_order_relaxed);
    }
    return true;
}
