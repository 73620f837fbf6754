/* Stop strings against an oracle that sees the whole text at once, cut into pieces at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "sample/stop.h"
#include "base/rng.h"
#include "base/banned.h"

#define STRINGS_MAX 4
#define STOP_MAX    12
#define TEXT_MAX    200

struct matcher {
    struct stop stop;
    struct stop_string strings[STRINGS_MAX];
    uint16_t links[STRINGS_MAX][STOP_MAX];
    char held[STOP_MAX];
};

static void open_matcher(struct matcher *m, const char *const *texts, uint32_t n)
{
    memset(m, 0, sizeof *m);
    for (uint32_t i = 0; i < n; i++) {
        m->strings[i] = (struct stop_string){
            .text = texts[i], .n = (uint16_t)strlen(texts[i]), .links = m->links[i]};
        stop_string_init(&m->strings[i]);
    }
    m->stop = (struct stop){.strings = m->strings, .n_strings = n, .held = m->held};
}

/* The first position where a stop string ends, the longest one there: its index, or -1. */
static int oracle(const char *text, size_t n, const char *const *stops, uint32_t n_stops,
                  size_t *ret_before)
{
    for (size_t end = 1; end <= n; end++) {
        int best = -1;
        for (uint32_t i = 0; i < n_stops; i++) {
            size_t len = strlen(stops[i]);
            if (len <= end && memcmp(text + end - len, stops[i], len) == 0 &&
                (best < 0 || len > strlen(stops[best])))
                best = (int)i;
        }
        if (best >= 0) {
            *ret_before = end - strlen(stops[best]);
            return best;
        }
    }
    *ret_before = n;
    return -1;
}

/* The longest tail of the text that begins some stop string. */
static size_t oracle_held(const char *text, size_t n, const char *const *stops, uint32_t n_stops)
{
    for (size_t len = PL_MIN(n, (size_t)STOP_MAX); len > 0; len--)
        for (uint32_t i = 0; i < n_stops; i++)
            if (len < strlen(stops[i]) && memcmp(text + n - len, stops[i], len) == 0)
                return len;
    return 0;
}

/* Pushes text in pieces; checks after each that exactly the certain part is out. */
static void check_one(const char *text, size_t n, const char *const *stops, uint32_t n_stops,
                      uint64_t cut_seed)
{
    struct matcher m;
    char out[TEXT_MAX + STOP_MAX];
    char got[TEXT_MAX + STOP_MAX];
    size_t n_got = 0;
    size_t before = 0;
    int expected = oracle(text, n, stops, n_stops, &before);
    int matched = -1;
    open_matcher(&m, stops, n_stops);
    for (size_t at = 0, k = 0; at < n && matched < 0; k++) {
        size_t piece = (size_t)(rng_uniform(cut_seed, 9, k) * 6);
        piece = PL_MIN(piece, n - at);
        size_t n_out = 0;
        matched = stop_push(&m.stop, text + at, piece, out, &n_out);
        memcpy(got + n_got, out, n_out);
        n_got += n_out;
        at += piece;
        if (matched < 0)
            assert_int_equal(n_got, at - oracle_held(text, at, stops, n_stops));
    }
    if (matched < 0)
        n_got += stop_end(&m.stop, got + n_got);
    assert_int_equal(matched, expected);
    assert_int_equal(n_got, before);
    assert_memory_equal(got, text, before);
}

static void agrees_with_the_oracle_on_random_splits(void **state)
{
    (void)state;
    char text[TEXT_MAX];
    char storage[STRINGS_MAX][STOP_MAX];
    for (uint64_t seed = 0; seed < 4000; seed++) {
        const char *stops[STRINGS_MAX];
        uint32_t n_stops = (uint32_t)(rng_uniform(seed, 0, 0) * (STRINGS_MAX + 1));
        int letters = 2 + (int)(seed % 3); /* few letters make many near misses */
        for (uint32_t i = 0; i < n_stops; i++) {
            size_t len = 1 + (size_t)(rng_uniform(seed, 1, i) * (STOP_MAX - 2));
            for (size_t j = 0; j < len; j++)
                storage[i][j] = (char)('a' + (int)(rng_uniform(seed, 2 + i, j) * (float)letters));
            storage[i][len] = '\0';
            stops[i] = storage[i];
        }
        size_t n = (size_t)(rng_uniform(seed, 0, 1) * TEXT_MAX);
        for (size_t j = 0; j < n; j++)
            text[j] = (char)('a' + (int)(rng_uniform(seed, 8, j) * (float)letters));
        check_one(text, n, stops, n_stops, seed);
    }
}

static void the_result_does_not_depend_on_the_split(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *stops[3];
        uint32_t n_stops;
    } cases[] = {
        {"abcd", {"abcd", "bc"}, 2},     /* bc is complete first */
        {"xabab", {"abab", "ab"}, 2},    /* ab ends the text at its first occurrence */
        {"aaaab", {"aab"}, 1},           /* overlapping beginnings */
        {"ababababac", {"ababac"}, 1},   /* falls back within itself */
        {"one two", {"two", " two"}, 2}, /* both end there: the longer one */
        {"held to the en", {"end"}, 1},  /* what is held comes out */
        {"\n\nUser", {"\n\nUser:", "\n"}, 2},
        {"", {"a"}, 1},
        {"no stop at all", {NULL}, 0},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        for (uint64_t seed = 0; seed < 50; seed++)
            check_one(cases[i].text, strlen(cases[i].text), cases[i].stops, cases[i].n_stops, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_on_random_splits),
        cmocka_unit_test(the_result_does_not_depend_on_the_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
