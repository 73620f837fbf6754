/*
 * spec/ngram.h - guesses the next tokens of a text from the text itself.
 *
 * What a text repeats (names, code, a quoted document, its own lists) it often repeats for several tokens. So the
 * last few tokens are looked up among the earlier ones, and what followed there is the guess. The target model
 * then checks all guesses in one step: a wrong one costs a row, never a changed text.
 *
 *   tokens  ... a b c d e f ... a b c      looked up: (a b c), found earlier, guess: d e f
 *
 * Two tables map the hash of the last 3 and of the last 2 tokens to the position behind their latest occurrence; the
 * longer context is asked first. Adding a token is O(1), a guess O(number of tokens guessed).
 *
 * Ownership: storage is the caller's.  Threads: one owner.  Errors: none.  Limits: 2^31 tokens.
 * Source: prompt lookup decoding (Saxena 2023, the idea); Leviathan et al. 2023 (checking guesses); ours.
 */
#ifndef SPEC_NGRAM_H
#define SPEC_NGRAM_H

#include <polder/base.h>

#define NGRAM_MIN 2 /* tokens of context: one alone guesses too much */
#define NGRAM_MAX 3

struct ngram {
    uint32_t
        *slots[NGRAM_MAX - NGRAM_MIN + 1]; /* [mask + 1]: position behind the context, 0 = none */
    uint32_t mask;
    uint32_t n_added; /* tokens whose contexts are in the tables */
    float accept;     /* share of guesses that were right, moving average */
};

/* Bytes that a text of up to n_tokens_max tokens needs. */
size_t ngram_bytes(uint32_t n_tokens_max);

/* storage: ngram_bytes, aligned to 4. */
void ngram_init(struct ngram *ngram, void *storage, uint32_t n_tokens_max);

/* Guesses what follows ids[0..n), n >= the last call's: writes up to n_guess_max tokens to ret, returns how many. */
uint32_t ngram_guess(struct ngram *ngram, const int32_t *ids, uint32_t n, uint32_t n_guess_max,
                     int32_t *ret);

/* How many of n_guessed were right, counted from the first. */
void ngram_judge(struct ngram *ngram, uint32_t n_guessed, uint32_t n_right);

/* How many guesses pay: tokens gained per time against what the step yields anyway. n_seqs sequences decode in a step of
 * step_ns; each further row takes row_ns. 0 to n_max. Unknown times (<= 0): a cautious 2. */
uint32_t ngram_budget(const struct ngram *ngram, uint32_t n_seqs, double step_ns, double row_ns,
                      uint32_t n_max);

#endif
