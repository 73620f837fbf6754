/* See impl.h. Finds special tokens in text: leftmost first, the longest at each place. */
#include "impl.h"

#include <string.h>

#include "base/banned.h"

static bool is_special(uint32_t attrs)
{
    return (attrs & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_USER | TOKEN_ATTR_UNKNOWN)) != 0;
}

static uint32_t find_child(const struct token_trie *trie, uint32_t node, unsigned char byte)
{
    uint32_t child = trie->nodes[node].child;
    while (child != 0 && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

static void insert(struct token_trie *trie, struct gguf_str text, int32_t id)
{
    uint32_t node = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        uint32_t child = find_child(trie, node, byte);
        if (child == 0) {
            child = trie->n++;
            trie->nodes[child] = (struct token_trie_node){
                .sibling = trie->nodes[node].child, .id = TOKEN_NONE, .byte = byte};
            trie->nodes[node].child = child;
        }
        node = child;
    }
    trie->nodes[node].id = id;
    trie->starts[(unsigned char)text.data[0]] = true;
}

bool token_trie_init(struct token_vocab *v)
{
    size_t nodes = 1;
    for (int32_t id = 0; id < v->n; id++)
        nodes += is_special(v->attrs[id]) ? v->texts[id].len : 0;
    v->trie.nodes = arena_array(&v->arena, nodes, sizeof *v->trie.nodes);
    if (v->trie.nodes == NULL)
        return false;
    v->trie.nodes[0].id = TOKEN_NONE;
    v->trie.n = 1;
    for (int32_t id = 0; id < v->n; id++) {
        if (is_special(v->attrs[id]) && v->texts[id].len > 0)
            insert(&v->trie, v->texts[id], id);
    }
    return true;
}

/* The longest special token at the start of text, or TOKEN_NONE. */
static int32_t match(const struct token_vocab *v, const char *text, size_t n, bool control)
{
    const struct token_trie *trie = &v->trie;
    int32_t found = TOKEN_NONE;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = find_child(trie, node, (unsigned char)text[i]);
        if (node == 0)
            break;
        int32_t id = trie->nodes[node].id;
        if (id != TOKEN_NONE &&
            (control || (v->attrs[id] & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN)) == 0))
            found = id;
    }
    return found;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool token_next_fragment(const struct token_vocab *v, const char *text, size_t n, bool control,
                         size_t *at, struct token_fragment *ret)
{
    size_t begin = *at;
    if (begin >= n)
        return false;
    for (size_t i = begin; i < n; i++) {
        if (!v->trie.starts[(unsigned char)text[i]])
            continue;
        int32_t id = match(v, text + i, n - i, control);
        if (id == TOKEN_NONE)
            continue;
        if (i > begin) { /* the text before it; the token is found again by the next call */
            *ret = (struct token_fragment){text + begin, i - begin, TOKEN_NONE};
            *at = i;
            return true;
        }
        size_t end = i + v->texts[id].len;
        while (v->strip_right != NULL && v->strip_right[id] && end < n && is_space(text[end]))
            end++;
        *ret = (struct token_fragment){text + i, v->texts[id].len, id};
        *at = end;
        return true;
    }
    *ret = (struct token_fragment){text + begin, n - begin, TOKEN_NONE};
    *at = n;
    return true;
}
