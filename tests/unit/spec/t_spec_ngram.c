/* Guesses from the text itself: what is found, what is not, and when guessing pays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "spec/ngram.h"
#include "base/banned.h"

#define N_MAX 4000

struct bench {
    struct ngram ngram;
    void *storage;
};

static void open_bench(struct bench *b, uint32_t n_tokens_max)
{
    b->storage = malloc(ngram_bytes(n_tokens_max));
    assert_non_null(b->storage);
    ngram_init(&b->ngram, b->storage, n_tokens_max);
}

static void close_bench(struct bench *b)
{
    free(b->storage);
}

static void assert_guess(struct bench *b, const int32_t *ids, uint32_t n, const int32_t *expected,
                         uint32_t n_expected)
{
    int32_t got[16];
    assert_int_equal(ngram_guess(&b->ngram, ids, n, n_expected == 0 ? 4 : n_expected, got),
                     n_expected);
    if (n_expected > 0)
        assert_memory_equal(got, expected, n_expected * sizeof *got);
}

static void guesses_what_followed_the_same_words(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 3, 4, 5, 6, 7, 1, 2, 3};
    static const int32_t next[] = {4, 5, 6, 7};
    struct bench b;
    open_bench(&b, 64);
    assert_guess(&b, text, 7, NULL, 0); /* nothing repeats yet */
    assert_guess(&b, text, 8, NULL, 0); /* one token is too little */
    assert_guess(&b, text, 9, text + 2, 4);
    assert_guess(&b, text, 10, next, 4);
    close_bench(&b);
}

static void the_longer_context_decides(void **state)
{
    (void)state;
    /* After 2 3: once 8 (behind 9), later 4 (behind 1); the text ends with 9 2 3. */
    static const int32_t text[] = {9, 2, 3, 8, 8, 1, 2, 3, 4, 4, 9, 2, 3};
    static const int32_t next[] = {8, 8};
    struct bench b;
    open_bench(&b, 64);
    assert_guess(&b, text, PL_ARRAY_LEN(text), next, 2);
    close_bench(&b);
}

static void the_latest_occurrence_counts(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, 5, 1, 2, 6, 0, 1, 2};
    static const int32_t next[] = {6, 0};
    struct bench b;
    open_bench(&b, 64);
    assert_guess(&b, text, PL_ARRAY_LEN(text), next, 2);
    close_bench(&b);
}

static void a_loop_is_guessed_to_go_on(void **state)
{
    (void)state;
    static const int32_t text[] = {7, 8, 9, 7, 8, 9, 7, 8};
    static const int32_t next[] = {9, 7, 8, 9, 7, 8, 9, 7};
    struct bench b;
    open_bench(&b, 64);
    assert_guess(&b, text, PL_ARRAY_LEN(text), next, 8);
    close_bench(&b);
}

/* Whatever is guessed has stood in the text behind the same two tokens at least. */
static void a_guess_is_never_made_up(void **state)
{
    (void)state;
    static int32_t text[N_MAX];
    struct bench b;
    uint32_t n_guessed = 0;
    open_bench(&b, N_MAX);
    for (uint32_t n = 1; n < N_MAX; n++) {
        text[n - 1] = (int32_t)(rng_uniform(4, 1, n) * 30);
        int32_t guess = -1;
        if (ngram_guess(&b.ngram, text, n, 1, &guess) == 0)
            continue;
        n_guessed++;
        bool found = false;
        for (uint32_t i = 2; i < n && !found; i++)
            found = text[i - 2] == text[n - 2] && text[i - 1] == text[n - 1] && text[i] == guess;
        assert_true(found);
    }
    assert_true(n_guessed > N_MAX / 2); /* 900 pairs in 4,000 tokens */
    close_bench(&b);
}

static void guesses_stop_where_they_fail_and_come_back(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64);
    assert_int_equal(ngram_budget(&b.ngram, 1, 0, 0, 8), 2); /* times unknown */
    for (int i = 0; i < 40; i++)
        ngram_judge(&b.ngram, 4, 0);
    uint32_t n = 0;
    for (b.ngram.n_added = 0; b.ngram.n_added < 64; b.ngram.n_added++)
        n += ngram_budget(&b.ngram, 1, 100, 1, 8);
    assert_int_equal(n, 4); /* a probe now and then */
    for (int i = 0; i < 40; i++)
        ngram_judge(&b.ngram, 4, 4);
    assert_int_equal(ngram_budget(&b.ngram, 1, 100, 1, 8), 8);
    close_bench(&b);
}

static void a_full_batch_guesses_less_than_a_lone_text(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64);
    b.ngram.accept = 0.6F;
    uint32_t before = 8;
    for (uint32_t n_seqs = 1; n_seqs <= 64; n_seqs *= 2) {
        uint32_t n = ngram_budget(&b.ngram, n_seqs, 50 + n_seqs, 1, 8);
        assert_true(n <= before);
        before = n;
    }
    assert_int_equal(ngram_budget(&b.ngram, 1, 51, 1, 8), 7);
    assert_int_equal(before, 1); /* 64 of 114: a row in two steps' time */
    assert_int_equal(ngram_budget(&b.ngram, 64, 64, 1, 8), 0); /* no fixed cost: nothing to gain */
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guesses_what_followed_the_same_words),
        cmocka_unit_test(the_longer_context_decides),
        cmocka_unit_test(the_latest_occurrence_counts),
        cmocka_unit_test(a_loop_is_guessed_to_go_on),
        cmocka_unit_test(a_guess_is_never_made_up),
        cmocka_unit_test(guesses_stop_where_they_fail_and_come_back),
        cmocka_unit_test(a_full_batch_guesses_less_than_a_lone_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
