/* BLAKE2b against the vector of RFC 7693, values of another implementation, and itself in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <polder/base.h>

#include "base/blake2b.h"
#include "blake2b_vectors.h"
#include "base/banned.h"

static void to_hex(const unsigned char *bytes, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

/* RFC 7693, appendix A: BLAKE2b-512 of "abc". */
static void hashes_abc_as_the_rfc_says(void **state)
{
    (void)state;
    const char *expected = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                           "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
    struct blake2b hash;
    unsigned char digest[64];
    char text[129];
    blake2b_init(&hash, 64, NULL, 0, NULL);
    blake2b_update(&hash, "abc", 3);
    blake2b_final(&hash, digest);
    to_hex(digest, 64, text);
    assert_string_equal(text, expected);
}

/* RFC 7693, appendix E: the hash of hashes over lengths, keys and digests. */
static void fill(unsigned char *out, size_t n, uint32_t seed)
{
    uint32_t a = 0xDEAD4BAD * seed;
    uint32_t b = 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (unsigned char)(t >> 24);
    }
}

static void passes_the_self_test_of_the_rfc(void **state)
{
    (void)state;
    static const unsigned digests[4] = {20, 32, 48, 64};
    static const unsigned lengths[6] = {0, 3, 128, 129, 255, 1024};
    static const unsigned char expected[32] = {
        0xC2, 0x3A, 0x78, 0x00, 0xD9, 0x81, 0x23, 0xBD, 0x10, 0xF5, 0x06,
        0xC6, 0x1E, 0x29, 0xDA, 0x56, 0x03, 0xD7, 0x63, 0xB8, 0xBB, 0xAD,
        0x2E, 0x73, 0x7F, 0x5E, 0x76, 0x5A, 0x7B, 0xCC, 0xD4, 0x75,
    };
    unsigned char in[1024];
    unsigned char key[64];
    unsigned char digest[64];
    struct blake2b all;
    blake2b_init(&all, 32, NULL, 0, NULL);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 6; j++) {
            for (int keyed = 0; keyed < 2; keyed++) {
                struct blake2b one;
                fill(in, lengths[j], lengths[j]);
                fill(key, digests[i], digests[i]);
                blake2b_init(&one, digests[i], key, keyed ? digests[i] : 0, NULL);
                blake2b_update(&one, in, lengths[j]);
                blake2b_final(&one, digest);
                blake2b_update(&all, digest, digests[i]);
            }
        }
    }
    blake2b_final(&all, digest);
    assert_memory_equal(digest, expected, sizeof expected);
}

static unsigned char *make_message(size_t n)
{
    unsigned char *message = malloc(n + 1);
    assert_non_null(message);
    for (size_t i = 0; i < n; i++)
        message[i] = (unsigned char)(i % 251);
    return message;
}

static void agrees_with_another_implementation(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(vectors); i++) {
        unsigned char *message = make_message(vectors[i].n);
        unsigned char key[64];
        for (unsigned k = 0; k < sizeof key; k++)
            key[k] = (unsigned char)k;
        struct blake2b hash;
        unsigned char digest[64];
        char text[129];
        blake2b_init(&hash, vectors[i].n_digest, key, vectors[i].n_key, vectors[i].personal);
        blake2b_update(&hash, message, vectors[i].n);
        blake2b_final(&hash, digest);
        to_hex(digest, vectors[i].n_digest, text);
        assert_string_equal(text, vectors[i].digest);
        free(message);
    }
}

static void pieces_of_any_size_give_the_same_hash(void **state)
{
    (void)state;
    unsigned char *message = make_message(700);
    for (size_t n = 0; n <= 700; n += 7) {
        for (size_t piece = 1; piece < 300; piece += 13) {
            unsigned char a[32];
            unsigned char b[32];
            struct blake2b whole;
            blake2b_init(&whole, 32, "key", 3, NULL);
            struct blake2b parts = whole;
            blake2b_update(&whole, message, n);
            blake2b_final(&whole, a);
            for (size_t at = 0; at < n; at += piece)
                blake2b_update(&parts, message + at, PL_MIN(piece, n - at));
            blake2b_final(&parts, b);
            assert_memory_equal(a, b, 32);
        }
    }
    free(message);
}

static void tells_equal_from_different(void **state)
{
    (void)state;
    const unsigned char a[4] = {1, 2, 3, 4};
    const unsigned char b[4] = {1, 2, 3, 5};
    assert_true(blake2b_equal(a, a, 4));
    assert_false(blake2b_equal(a, b, 4));
    assert_true(blake2b_equal(a, b, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_abc_as_the_rfc_says),
        cmocka_unit_test(passes_the_self_test_of_the_rfc),
        cmocka_unit_test(agrees_with_another_implementation),
        cmocka_unit_test(pieces_of_any_size_give_the_same_hash),
        cmocka_unit_test(tells_equal_from_different),
    };
    return cmocka_run_group_tests_name("blake2b", tests, NULL, NULL);
}
