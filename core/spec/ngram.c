/* See ngram.h. */
#include "ngram.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

#define ACCEPT_START  0.5F  /* no experience yet */
#define ACCEPT_WEIGHT 0.1F  /* of a new judgement in the average */
#define ACCEPT_MIN    0.15F /* below it a probe of one guess now and then is all that is tried */
#define PROBE_EVERY   16    /* tokens between probes */

static uint32_t slots_for(uint32_t n_tokens_max)
{
    uint32_t n = 16;
    while (n < n_tokens_max && n < (1u << 30))
        n *= 2;
    return n;
}

size_t ngram_bytes(uint32_t n_tokens_max)
{
    return (size_t)slots_for(n_tokens_max) * (NGRAM_MAX - NGRAM_MIN + 1) * sizeof(uint32_t);
}

void ngram_init(struct ngram *ngram, void *storage, uint32_t n_tokens_max)
{
    uint32_t n = slots_for(n_tokens_max);
    memset(storage, 0, ngram_bytes(n_tokens_max));
    *ngram = (struct ngram){.mask = n - 1, .accept = ACCEPT_START};
    for (size_t i = 0; i < PL_ARRAY_LEN(ngram->slots); i++)
        ngram->slots[i] = (uint32_t *)storage + i * n;
}

/* A multiplicative hash of n tokens; a collision only makes a bad guess. */
static uint32_t hash_of(const int32_t *ids, uint32_t n)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (uint32_t)ids[i]) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(h >> 33);
}

static uint32_t *slot_of(const struct ngram *ngram, const int32_t *end, uint32_t length)
{
    return &ngram->slots[length - NGRAM_MIN][hash_of(end - length, length) & ngram->mask];
}

/* Contexts that end before position n become findable: what follows them is known. */
static void add_until(struct ngram *ngram, const int32_t *ids, uint32_t n)
{
    for (uint32_t at = PL_MAX(ngram->n_added, NGRAM_MIN); at < n; at++)
        for (uint32_t length = NGRAM_MIN; length <= NGRAM_MAX && length <= at; length++)
            *slot_of(ngram, ids + at, length) = at;
    ngram->n_added = n;
}

uint32_t ngram_guess(struct ngram *ngram, const int32_t *ids, uint32_t n, uint32_t n_guess_max,
                     int32_t *ret)
{
    PL_CHECK(n >= ngram->n_added);
    add_until(ngram, ids, n);
    for (uint32_t length = PL_MIN(NGRAM_MAX, n); length >= NGRAM_MIN; length--) {
        uint32_t at = *slot_of(ngram, ids + n, length);
        if (at < length || memcmp(ids + at - length, ids + n - length, length * sizeof *ids) != 0)
            continue;
        uint32_t n_found = 0;
        /* Beyond the text's end the guess continues with itself: a loop goes on. */
        for (; n_found < n_guess_max; n_found++) {
            uint32_t from = at + n_found;
            ret[n_found] = from < n ? ids[from] : ret[from - n];
        }
        return n_found;
    }
    return 0;
}

void ngram_judge(struct ngram *ngram, uint32_t n_guessed, uint32_t n_right)
{
    /* Guesses behind the first wrong one were never judged. */
    uint32_t n = PL_MIN(n_guessed, n_right + 1);
    for (uint32_t i = 0; i < n; i++)
        ngram->accept += ACCEPT_WEIGHT * ((i < n_right ? 1.0F : 0.0F) - ngram->accept);
}

uint32_t ngram_budget(const struct ngram *ngram, uint32_t n_seqs, double step_ns, double row_ns,
                      uint32_t n_max)
{
    if (ngram->accept < ACCEPT_MIN)
        return ngram->n_added % PROBE_EVERY == 0 ? PL_MIN(1, n_max) : 0;
    if (step_ns <= 0 || row_ns <= 0)
        return PL_MIN(2, n_max);
    /* The k-th guess is right with accept^k; it pays while that beats the step's tokens per time. */
    double needed = row_ns * n_seqs / step_ns;
    double accept = (double)ngram->accept;
    double right = accept;
    uint32_t n = 0;
    while (n < n_max && right > needed) {
        right *= accept;
        n++;
    }
    return n;
}
