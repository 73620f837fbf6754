/* core/base: SHA-256 against the examples of NIST and however the input is cut into pieces. */
#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

static void digest_of(const void *bytes, size_t n, char ret[SHA256_HEX_BYTES])
{
    struct sha256 h;
    unsigned char digest[SHA256_BYTES];
    sha256_begin(&h);
    sha256_add(&h, bytes, n);
    sha256_end(&h, digest);
    sha256_hex(digest, ret);
}

/* NIST "Examples with Intermediate Values" (SHA-256) and CAVP SHA256ShortMsg. */
static void equals_the_examples_of_nist(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } ROWS[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
         "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char got[SHA256_HEX_BYTES];
        digest_of(ROWS[i].text, strlen(ROWS[i].text), got);
        assert_string_equal(got, ROWS[i].want);
    }
}

static void equals_nist_for_a_million_letters(void **state)
{
    (void)state;
    char *text = malloc(1000000);
    char got[SHA256_HEX_BYTES];
    assert_non_null(text);
    memset(text, 'a', 1000000);
    digest_of(text, 1000000, got);
    assert_string_equal(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(text);
}

/* Every length around the padding's two cases, each cut at every place. */
static void does_not_depend_on_how_the_input_is_cut(void **state)
{
    (void)state;
    unsigned char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof text; n++) {
        char whole[SHA256_HEX_BYTES], parts[SHA256_HEX_BYTES];
        digest_of(text, n, whole);
        for (size_t cut = 0; cut <= n; cut++) {
            struct sha256 h;
            unsigned char digest[SHA256_BYTES];
            sha256_begin(&h);
            sha256_add(&h, text, cut);
            sha256_add(&h, text + cut, n - cut);
            sha256_end(&h, digest);
            sha256_hex(digest, parts);
            assert_string_equal(parts, whole);
        }
    }
}

static int in_plain_c(void **state)
{
    (void)state;
    sha256_use_plain(true);
    return 0;
}

static int in_the_cpus_way(void **state)
{
    (void)state;
    sha256_use_plain(false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_examples_of_nist),
        cmocka_unit_test(equals_nist_for_a_million_letters),
        cmocka_unit_test(does_not_depend_on_how_the_input_is_cut),
    };
    int failed = cmocka_run_group_tests_name("plain C", tests, in_plain_c, NULL);
    return failed + cmocka_run_group_tests_name("the CPU's way", tests, in_the_cpus_way, NULL);
}
