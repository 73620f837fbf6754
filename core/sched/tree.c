/* Intrusive treaps and lists of sequences; see impl.h. */
#include "impl.h"

#include "base/check.h"
#include "base/banned.h"

/* ---- order ----------------------------------------------------------------------------------- */

bool sched_turn_before(const struct sched_seq *a, const struct sched_seq *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns;
    return a->arrival < b->arrival;
}

static bool before(enum sched_order order, const struct sched_seq *a, const struct sched_seq *b)
{
    if (order == SCHED_BY_TURN)
        return sched_turn_before(a, b);
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->arrival < b->arrival;
}

/* Heap order: a bijection of arrivals, so that no two are equal. Finaliser of MurmurHash3. */
static uint64_t height(const struct sched_seq *seq)
{
    uint64_t h = seq->arrival;
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

/* ---- trees ----------------------------------------------------------------------------------- */

void sched_tree_insert(struct sched_tree *tree, struct sched_seq *seq)
{
    const enum sched_order o = tree->order;
    struct sched_seq **link = &tree->root;
    while (*link != NULL && height(*link) > height(seq))
        link = before(o, seq, *link) ? &(*link)->links[o].left : &(*link)->links[o].right;
    struct sched_seq *node = *link;
    *link = seq;
    /* What hung there is split into what comes before seq and what after. */
    struct sched_seq **left = &seq->links[o].left;
    struct sched_seq **right = &seq->links[o].right;
    while (node != NULL) {
        if (before(o, node, seq)) {
            *left = node;
            left = &node->links[o].right;
            node = *left;
        } else {
            *right = node;
            right = &node->links[o].left;
            node = *right;
        }
    }
    *left = *right = NULL;
}

void sched_tree_remove(struct sched_tree *tree, struct sched_seq *seq)
{
    const enum sched_order o = tree->order;
    struct sched_seq **link = &tree->root;
    while (*link != seq) {
        PL_CHECK(*link != NULL);
        link = before(o, seq, *link) ? &(*link)->links[o].left : &(*link)->links[o].right;
    }
    struct sched_seq *left = seq->links[o].left;
    struct sched_seq *right = seq->links[o].right;
    while (left != NULL && right != NULL) {
        if (height(left) > height(right)) {
            *link = left;
            link = &left->links[o].right;
            left = *link;
        } else {
            *link = right;
            link = &right->links[o].left;
            right = *link;
        }
    }
    *link = left != NULL ? left : right;
    seq->links[o] = (struct sched_link){0};
}

struct sched_seq *sched_tree_first(const struct sched_tree *tree)
{
    struct sched_seq *seq = tree->root;
    while (seq != NULL && seq->links[tree->order].left != NULL)
        seq = seq->links[tree->order].left;
    return seq;
}

struct sched_seq *sched_tree_last(const struct sched_tree *tree)
{
    struct sched_seq *seq = tree->root;
    while (seq != NULL && seq->links[tree->order].right != NULL)
        seq = seq->links[tree->order].right;
    return seq;
}

struct sched_seq *sched_tree_before(const struct sched_tree *tree, const struct sched_seq *seq)
{
    const enum sched_order o = tree->order;
    struct sched_seq *found = NULL;
    for (struct sched_seq *node = tree->root; node != NULL;) {
        if (before(o, node, seq)) {
            found = node;
            node = node->links[o].right;
        } else {
            node = node->links[o].left;
        }
    }
    return found;
}

/* ---- lists ----------------------------------------------------------------------------------- */

void sched_list_append(struct sched_list *list, struct sched_seq *seq)
{
    seq->prev = list->last;
    seq->next = NULL;
    if (list->last != NULL)
        list->last->next = seq;
    else
        list->first = seq;
    list->last = seq;
    list->n++;
}

void sched_list_unlink(struct sched_list *list, struct sched_seq *seq)
{
    if (seq->prev != NULL)
        seq->prev->next = seq->next;
    else
        list->first = seq->next;
    if (seq->next != NULL)
        seq->next->prev = seq->prev;
    else
        list->last = seq->prev;
    seq->prev = seq->next = NULL;
    list->n--;
}
