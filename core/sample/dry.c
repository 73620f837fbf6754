/* DRY: a token that would go on repeating what was said before is made less likely, the longer the repeat
 * the more. See sample.h for the parameters; p-e-w 2024, "DRY: a modern repetition penalty".
 *
 *   ... a b c d ... a b c |      c of the end is found before d: d would make the repeat 4 long
 *
 * Counting runs backwards from the end: back(0) is the last token. lengths[k] is how many tokens before the end
 * are the same as before position k from the end (the Z function: Gusfield 1997, 1.4), in linear time. */
#include "chain.h"

#include <math.h>

#include "base/banned.h"

struct tail {
    const int32_t *last; /* the sequence's last token */
    uint32_t n;          /* tokens looked at */
};

static int32_t back(const struct tail *t, uint32_t i)
{
    return *(t->last - i);
}

static bool is_breaker(const struct sample_params *p, int32_t id)
{
    uint32_t low = 0;
    uint32_t high = p->n_dry_breakers;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->dry_breakers[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->n_dry_breakers && p->dry_breakers[low] == id;
}

static const int32_t *word_at(const struct sample_words *words, uint32_t i, uint32_t *ret_n)
{
    uint32_t start = i == 0 ? 0 : words->ends[i - 1];
    *ret_n = words->ends[i] - start;
    return words->ids + start;
}

/* The first of the words that begin with id, or the number of words. */
static uint32_t first_word(const struct sample_words *words, int32_t id)
{
    uint32_t low = 0;
    uint32_t high = words->n;
    uint32_t n = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (word_at(words, middle, &n)[0] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Tokens of the longest breaker that begins at back(i) and ends at or before the end; 0: none. */
static uint32_t breaker_at(const struct sample_params *p, const struct tail *t, uint32_t i)
{
    uint32_t longest = is_breaker(p, back(t, i)) ? 1 : 0;
    uint32_t n = 0;
    for (uint32_t w = first_word(&p->dry_words, back(t, i)); w < p->dry_words.n; w++) {
        const int32_t *word = word_at(&p->dry_words, w, &n);
        if (word[0] != back(t, i))
            break;
        if (n <= longest || n > i + 1)
            continue;
        uint32_t same = 1;
        while (same < n && word[same] == back(t, i - same))
            same++;
        if (same == n)
            longest = n;
    }
    return longest;
}

/* How many tokens at the end come after the last breaker: a repeat is no longer than that. */
static uint32_t unbroken(const struct sample_params *p, const struct tail *t)
{
    if (p->n_dry_breakers == 0 && p->dry_words.n == 0)
        return t->n;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t n = breaker_at(p, t, i);
        if (n > 0)
            return i + 1 - n;
    }
    return t->n;
}

/* lengths[k], 1 <= k < n: the longest common run backwards from back(0) and back(k). */
static void measure(const struct tail *t, uint32_t *lengths)
{
    uint32_t left = 0;
    uint32_t right = 0; /* [left, right): the known run that reaches farthest */
    for (uint32_t k = 1; k < t->n; k++) {
        uint32_t n = k < right ? PL_MIN(right - k, lengths[k - left]) : 0;
        while (k + n < t->n && back(t, n) == back(t, k + n))
            n++;
        lengths[k] = n;
        if (k + n > right) {
            left = k;
            right = k + n;
        }
    }
}

/* Beyond these exponents floats end. */
static float penalty_of(const struct sample_params *p, uint32_t length)
{
    double penalty = (double)p->dry_multiplier *
                     pow((double)p->dry_base, (double)(length - p->dry_allowed_length));
    return (float)PL_MIN(penalty, 1e30);
}

/* counts[id]: 1 + the longest repeat that id would go on with. */
static void penalise(struct sample_scratch *s, const struct sample_params *p, const struct tail *t)
{
    for (uint32_t k = 1; k < t->n; k++) {
        int32_t id = back(t, k - 1);
        uint32_t length = s->counts[id];
        s->counts[id] = 0;
        if (length == 0 || is_breaker(p, id))
            continue;
        float *logit = cands_find(s, id);
        if (logit != NULL)
            *logit -= penalty_of(p, length - 1);
    }
}

void edit_dry(struct sample_scratch *s, const struct sample_params *p,
              const struct sample_history *h)
{
    if (p->dry_multiplier == 0 || p->dry_last_n == 0 || h->n == 0)
        return;
    struct tail t = {.last = h->ids + (h->n - 1), .n = PL_MIN(h->n, SAMPLE_DRY_WINDOW_MAX)};
    if (p->dry_last_n > 0)
        t.n = PL_MIN(t.n, (uint32_t)p->dry_last_n);
    if (t.n <= p->dry_allowed_length)
        return;
    uint32_t longest = unbroken(p, &t);
    if (longest < p->dry_allowed_length)
        return;
    measure(&t, s->lengths);
    bool any = false;
    for (uint32_t k = 1; k < t.n; k++) {
        uint32_t length = PL_MIN(s->lengths[k], longest);
        int32_t id = back(&t, k - 1);
        if (length < p->dry_allowed_length)
            continue;
        any = true;
        s->counts[id] = PL_MAX(s->counts[id], length + 1);
    }
    if (any)
        penalise(s, p, &t);
}
