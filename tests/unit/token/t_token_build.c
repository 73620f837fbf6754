/* core/token: vocabularies with something wrong are refused, and small ones do what their tables say. */
#include "small_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fault.h"

#include "base/banned.h"

static const struct vocab_flaws sound;
static const struct token_encode_options plain = {0};
static const struct token_encode_options parse = {.parse_special = true};
static const struct token_encode_options both = {.add_special = true, .parse_special = true};

static struct token_vocab *need_bpe(const struct vocab_flaws *flaws)
{
    enum pl_status status;
    struct pl_error err = {""};
    struct token_vocab *vocab = vocab_open_bpe(flaws, &status, &err);
    if (vocab == NULL)
        fail_msg("%d '%s'", status, err.msg);
    return vocab;
}

static struct token_vocab *need_spm(const struct vocab_flaws *flaws)
{
    enum pl_status status;
    struct pl_error err = {""};
    struct token_vocab *vocab = vocab_open_spm(flaws, &status, &err);
    if (vocab == NULL)
        fail_msg("%d '%s'", status, err.msg);
    return vocab;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const struct {
    bool spm;
    enum pl_status status;
    struct vocab_flaws flaws;
    const char *message;
} refusals[] = {
    {true, PL_EFORMAT, {.model = ""}, "gguf: key 'tokenizer.ggml.model' is absent"},
    {true,
     PL_ENOTSUP,
     {.model = "x\n"},
     "token: key 'tokenizer.ggml.model': tokenizer 'x\\x0a' is not supported"},
    {true, PL_EFORMAT, {.no_tokens = true}, "token: key 'tokenizer.ggml.tokens' is absent"},
    {true,
     PL_EFORMAT,
     {.int_tokens = true},
     "token: key 'tokenizer.ggml.tokens' is an array of u32, expected an array of strings"},
    {true,
     PL_EFORMAT,
     {.scores_less = 1},
     "token: key 'tokenizer.ggml.scores' has 266 elements for 267 tokens"},
    {true,
     PL_EFORMAT,
     {.types_less = 3},
     "token: key 'tokenizer.ggml.token_type' has 264 elements for 267 tokens"},
    {true,
     PL_EFORMAT,
     {.nan_score = true},
     "token: key 'tokenizer.ggml.scores': the score of token 5 is no number"},
    {true,
     PL_EFORMAT,
     {.token = "hi"},
     "token: key 'tokenizer.ggml.tokens': tokens 7 and 267 are both 'hi'"},
    {true,
     PL_EFORMAT,
     {.token = "z", .token_type = 7},
     "token: key 'tokenizer.ggml.token_type': token 267 has type 7"},
    {true,
     PL_EFORMAT,
     {.token = "z", .token_type = -1},
     "token: key 'tokenizer.ggml.token_type': token 267 has type -1"},
    {true,
     PL_EFORMAT,
     {.token = "<0xGG>", .token_type = 6},
     "token: key 'tokenizer.ggml.tokens': byte token 267 is not '<0x..>'"},
    {true,
     PL_EFORMAT,
     {.id_key = "tokenizer.ggml.bos_token_id", .id_value = 267},
     "token: key 'tokenizer.ggml.bos_token_id' is 267, the vocabulary has 267 tokens"},
    {true,
     PL_EFORMAT,
     {.id_key = "tokenizer.ggml.add_bos_token", .id_value = 1},
     "gguf: key 'tokenizer.ggml.add_bos_token' is of type u32, expected bool"},
    {false, PL_EFORMAT, {.no_merges = true}, "token: key 'tokenizer.ggml.merges' is absent"},
    {false,
     PL_EFORMAT,
     {.int_merges = true},
     "token: key 'tokenizer.ggml.merges' is not an array of strings"},
    {false,
     PL_EFORMAT,
     {.merge = "hello"},
     "token: key 'tokenizer.ggml.merges': merge 9 'hello': expected two tokens"},
    {false,
     PL_EFORMAT,
     {.merge = ""},
     "token: key 'tokenizer.ggml.merges': merge 9 '': expected two tokens"},
    {false,
     PL_EFORMAT,
     {.merge = " x"},
     "token: key 'tokenizer.ggml.merges': merge 9 ' x': expected two tokens"},
    {false,
     PL_EFORMAT,
     {.merge = "hello zz"},
     "token: key 'tokenizer.ggml.merges': merge 9 'hello zz': a part is not in the vocabulary"},
    {false,
     PL_EFORMAT,
     {.merge = "x "},
     "token: key 'tokenizer.ggml.merges': merge 9 'x ': a part is not in the vocabulary"},
    {false,
     PL_EFORMAT,
     {.merge = "x y"},
     "token: key 'tokenizer.ggml.merges': merge 9 'x y': its result is not in the vocabulary"},
};

static void refuses_bad_metadata_naming_the_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(refusals); i++) {
        enum pl_status status = PL_OK;
        struct pl_error err = {""};
        struct token_vocab *vocab = refusals[i].spm
                                        ? vocab_open_spm(&refusals[i].flaws, &status, &err)
                                        : vocab_open_bpe(&refusals[i].flaws, &status, &err);
        if (vocab != NULL || status != refusals[i].status ||
            strcmp(err.msg, refusals[i].message) != 0)
            fail_msg("row %zu: %d '%s', expected %d '%s'", i, status, err.msg, refusals[i].status,
                     refusals[i].message);
    }
    token_close(NULL);
    token_ids_free(NULL);
}

static void warns_of_a_pre_tokenizer_that_it_does_not_know(void **state)
{
    (void)state;
    struct token_vocab *vocab = need_bpe(&sound);
    assert_null(token_warning(vocab));
    token_close(vocab);
    vocab = need_bpe(&(struct vocab_flaws){.pre = "pre-\x1b-2031"});
    assert_string_equal(
        token_warning(vocab),
        "pre-tokenizer 'pre-\\x1b-2031' is not known: using the default one, text may "
        "be cut otherwise than in training");
    token_close(vocab);
    vocab = need_bpe(&(struct vocab_flaws){.pre = ""});
    assert_non_null(token_warning(vocab));
    token_close(vocab);
}

/* ---- encoding -------------------------------------------------------------------------------- */

struct encode_row {
    const char *text;
    const struct token_encode_options *options;
    size_t n;
    int32_t ids[12];
};

static void check_rows(const struct token_vocab *vocab, const struct encode_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct token_ids ids = {0};
        struct pl_error err = {""};
        assert_int_equal(
            token_encode(vocab, rows[i].text, strlen(rows[i].text), rows[i].options, &ids, &err),
            PL_OK);
        bool equal = ids.n == rows[i].n;
        for (size_t k = 0; equal && k < ids.n; k++)
            equal = ids.ids[k] == rows[i].ids[k];
        if (!equal) {
            for (size_t k = 0; k < ids.n; k++)
                print_message("# id %d\n", ids.ids[k]);
            fail_msg("row %zu '%s': other ids than expected", i, rows[i].text);
        }
        token_ids_free(&ids);
    }
}

static void byte_level_vocabulary_merges_by_rank(void **state)
{
    (void)state;
    static const struct encode_row rows[] = {
        {"", &both, 0, {0}},
        {"hello", &plain, 1, {BPE_HELLO}},
        {"hello hello", &plain, 2, {BPE_HELLO, BPE_BLANK_HELLO}},
        {"hell", &plain, 1, {BPE_HELL}},
        {"helo", &plain, 3, {BPE_HE, 'l', 'o'}},
        {"aaaaaaa", &plain, 3, {BPE_AAAA, BPE_AA, 'a'}},
        {"\xC3\xA9", &plain, 2, {0xC3, 0xA9}},
        {"a\xFF\xC3", &plain, 3, {'a', 0xFF, 0xC3}},
        /* Control tokens come out of parsed text only, even where merges could make them. */
        {"<|ctl|>", &plain, 7, {'<', '|', 'c', 't', 'l', '|', '>'}},
        {"<|ctl|>", &parse, 1, {BPE_CONTROL}},
        {"<=>", &plain, 2, {BPE_LT_X, '>'}},
        {"<=>", &parse, 1, {BPE_LT_X_GT}},
        /* User-defined ones always. */
        {"a<user>hello", &plain, 3, {'a', BPE_USER, BPE_HELLO}},
        {"<us", &parse, 3, {'<', 'u', 's'}},
        {"<|ctl|><user><|ctl|>", &parse, 3, {BPE_CONTROL, BPE_USER, BPE_CONTROL}},
        /* An end-of-turn name is control whatever its type says. */
        {"<|im_end|>", &parse, 1, {BPE_IM_END}},
        {"<|im_end|>", &plain, 10, {'<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>'}},
    };
    struct token_vocab *vocab = need_bpe(&sound);
    check_rows(vocab, rows, PL_ARRAY_LEN(rows));
    token_close(vocab);
}

/* Two ones merge, so that the ids tell where the digits were cut. */
static void digits_group_from_the_right(void **state)
{
    (void)state;
    enum { ONES = BPE_IM_END + 1 };
    static const struct {
        const char *pre;
        struct encode_row row;
    } rows[] = {
        {"llama-bpe", {"1111111", &plain, 5, {ONES, '1', ONES, '1', '1'}}},
        {"afmoe", {"1111111", &plain, 5, {'1', ONES, '1', ONES, '1'}}},
        {"afmoe", {"a11111b", &plain, 5, {'a', ONES, ONES, '1', 'b'}}},
        {"superbpe", {"1111111", &plain, 5, {'1', ONES, '1', ONES, '1'}}},
        {"superbpe", {"1111 11", &plain, 5, {'1', ONES, '1', ' ', ONES}}},
        {"tiny_aya", {"1111111", &plain, 5, {'1', ONES, '1', ONES, '1'}}},
        {"tiny_aya", {"a1111", &plain, 4, {'a', '1', ONES, '1'}}},
        /* Where no word ends behind the digits they group from the left. */
        {"tiny_aya", {"1111b", &plain, 4, {ONES, '1', '1', 'b'}}},
        {"afmoe",
         {"\xD9\xA1\xD9\xA1\xD9\xA1\xD9\xA1",
          &plain,
          8,
          {0xD9, 0xA1, 0xD9, 0xA1, 0xD9, 0xA1, 0xD9, 0xA1}}},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct token_vocab *vocab =
            need_bpe(&(struct vocab_flaws){.pre = rows[i].pre, .token = "11", .merge = "1 1"});
        check_rows(vocab, &rows[i].row, 1);
        token_close(vocab);
    }
}

static void finds_a_bad_merge_among_many(void **state)
{
    (void)state;
    enum pl_status status = PL_OK;
    struct pl_error err = {""};
    /* Of 70 merges one is wrong: look-ups go in batches, the number is its own. */
    for (int bad = 0; bad < 70; bad += 23) {
        const struct vocab_flaws flaws = {.merge = "q q", .merge_bad = bad, .merge_n = 70};
        assert_null(vocab_open_bpe(&flaws, &status, &err));
        char want[120];
        snprintf(want, sizeof want,
                 "token: key 'tokenizer.ggml.merges': merge %d 'q q': its result is not in the "
                 "vocabulary",
                 9 + bad);
        assert_string_equal(err.msg, want);
    }
}

static void sentencepiece_vocabulary_merges_by_score(void **state)
{
    (void)state;
    static const struct encode_row rows[] = {
        {"", &plain, 0, {0}},
        {"", &both, 1, {SPM_BOS}},
        {"hi", &plain, 1, {SPM_BLANK_HI}},
        {"hi", &both, 2, {SPM_BOS, SPM_BLANK_HI}},
        {"hihi", &plain, 2, {SPM_BLANK_HI, SPM_HI}},
        {" hi", &plain, 2, {SPM_BLANK, SPM_BLANK_HI}},
        {"  hi", &plain, 2, {SPM_BLANK_BLANK, SPM_BLANK_HI}},
        {"hi hi", &plain, 2, {SPM_BLANK_HI, SPM_BLANK_HI}},
        {"h\xC3\xA9", &plain, 4, {SPM_BLANK, SPM_H, SPM_BYTES + 0xC3, SPM_BYTES + 0xA9}},
        {"\xFF", &plain, 2, {SPM_BLANK, SPM_BYTES + 0xFF}},
        {"\n", &plain, 2, {SPM_BLANK, SPM_BYTES + '\n'}},
        {"<s>", &parse, 1, {SPM_BOS}},
        {"<s>hi", &parse, 2, {SPM_BOS, SPM_BLANK_HI}},
        {"hi[user]hi", &plain, 3, {SPM_BLANK_HI, SPM_USER, SPM_BLANK_HI}},
        {"hi<end_of_turn>", &parse, 2, {SPM_BLANK_HI, SPM_END_TURN}},
        {"<0x41>",
         &parse,
         7,
         {SPM_BLANK, SPM_BYTES + '<', SPM_BYTES + '0', SPM_BYTES + 'x', SPM_BYTES + '4',
          SPM_BYTES + '1', SPM_BYTES + '>'}},
    };
    struct token_vocab *vocab = need_spm(&sound);
    check_rows(vocab, rows, PL_ARRAY_LEN(rows));
    token_close(vocab);
    static const struct encode_row no_prefix[] = {{"hi", &both, 2, {SPM_BOS, SPM_HI}}};
    vocab = need_spm(&(struct vocab_flaws){.flag_key = "tokenizer.ggml.add_space_prefix"});
    check_rows(vocab, no_prefix, 1);
    token_close(vocab);
    static const struct encode_row eos[] = {{"hi", &both, 3, {SPM_BOS, SPM_BLANK_HI, SPM_EOS}}};
    vocab = need_spm(
        &(struct vocab_flaws){.flag_key = "tokenizer.ggml.add_eos_token", .flag_value = true});
    check_rows(vocab, eos, 1);
    token_close(vocab);
    /* A token across two words: text is merged as one piece then, with the same result here. */
    static const struct encode_row crossing[] = {
        {"hi hi", &plain, 2, {SPM_BLANK_HI, SPM_BLANK_HI}}};
    vocab = need_spm(&(struct vocab_flaws){.token = "i\xE2\x96\x81"
                                                    "i",
                                           .token_type = 1});
    check_rows(vocab, crossing, 1);
    token_close(vocab);
}

static void tells_special_tokens_and_ends(void **state)
{
    (void)state;
    struct token_vocab *vocab = need_spm(&sound);
    assert_int_equal(token_special(vocab, TOKEN_BOS), SPM_BOS);
    assert_int_equal(token_special(vocab, TOKEN_EOS), SPM_EOS);
    assert_int_equal(token_special(vocab, TOKEN_EOT), SPM_END_TURN);
    assert_int_equal(token_special(vocab, TOKEN_EOM), TOKEN_NONE);
    assert_true(token_is_eog(vocab, SPM_EOS));
    assert_true(token_is_eog(vocab, SPM_END_TURN));
    assert_false(token_is_eog(vocab, SPM_BOS));
    assert_false(token_is_eog(vocab, -1));
    assert_false(token_is_eog(vocab, 1 << 30));
    assert_true(token_adds_bos(vocab));
    assert_int_equal(token_attrs(vocab, -1), 0);
    assert_int_equal(token_attrs(vocab, token_count(vocab)), 0);
    assert_int_equal(token_piece(vocab, -1, true).len, 0);
    assert_int_equal(token_piece(vocab, SPM_BOS, false).len, 0);
    assert_int_equal(token_piece(vocab, SPM_BOS, true).len, 3);
    assert_int_equal(token_piece(vocab, SPM_BYTES + 10, false).len, 1);
    assert_int_equal(token_piece(vocab, SPM_BYTES + 10, false).data[0], '\n');
    assert_memory_equal(token_piece(vocab, SPM_BLANK_HI, false).data, " hi", 3);
    assert_int_equal(token_text(vocab, SPM_BLANK_HI).len, 5);
    token_close(vocab);
    vocab = need_bpe(&sound);
    assert_false(token_adds_bos(vocab));
    assert_int_equal(token_special(vocab, TOKEN_BOS), TOKEN_NONE);
    assert_int_equal(token_special(vocab, TOKEN_EOT), BPE_IM_END);
    assert_true(token_is_eog(vocab, BPE_IM_END));
    assert_int_equal(token_piece(vocab, 0xC3, false).len, 1);
    token_close(vocab);
    vocab = need_bpe(&(struct vocab_flaws){.no_types = true}); /* names are all there is */
    assert_true(token_is_eog(vocab, BPE_IM_END));
    token_close(vocab);
    vocab = need_bpe(&(struct vocab_flaws){.token = "</s>", .token_type = 1});
    assert_false(token_is_eog(vocab, BPE_IM_END + 1)); /* a normal token that looks like an end */
    token_close(vocab);
}

static void decode_gives_bytes_back(void **state)
{
    (void)state;
    static const char text[] = "hello  hello\xFF\xC3\xA9\n aaaaa <=>";
    struct token_vocab *vocabs[] = {need_bpe(&sound), need_spm(&sound)};
    for (size_t i = 0; i < PL_ARRAY_LEN(vocabs); i++) {
        struct token_ids ids = {0};
        char *back = NULL;
        size_t bytes = 0;
        const struct token_encode_options add = {.add_special = true};
        assert_int_equal(token_encode(vocabs[i], text, strlen(text), &add, &ids, NULL), PL_OK);
        assert_int_equal(token_decode(vocabs[i], ids.ids, ids.n, false, &back, &bytes, NULL),
                         PL_OK);
        assert_int_equal(bytes, strlen(text));
        assert_string_equal(back, text);
        free(back);
        token_ids_free(&ids);
    }
    int32_t odd[] = {-7, SPM_BOS, 1 << 30, SPM_BLANK_HI, SPM_BLANK_HI};
    char *back = NULL;
    size_t bytes = 0;
    assert_int_equal(token_decode(vocabs[1], odd, 5, true, &back, &bytes, NULL), PL_OK);
    assert_string_equal(back, "<s>hi hi");
    free(back);
    assert_int_equal(token_decode(vocabs[1], NULL, 0, true, &back, &bytes, NULL), PL_OK);
    assert_int_equal(bytes, 0);
    free(back);
    token_close(vocabs[0]);
    token_close(vocabs[1]);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char text[] =
        "hello hihi aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa<=> \xC3\xA9";
    for (int spm = 0; spm < 2; spm++) {
        bool hit = true;
        for (long n = 1; hit; n++) {
            enum pl_status status = PL_OK;
            struct pl_error err = {""};
            struct token_ids ids = {0};
            char *back = NULL;
            size_t bytes = 0;
            /* The file's own making allocates too, and ends the test when it fails: open it first. */
            struct token_vocab *vocab = spm ? need_spm(&sound) : need_bpe(&sound);
            fault_fail_at(n);
            status = token_encode(vocab, text, strlen(text), &both, &ids, &err);
            if (status == PL_OK)
                status = token_decode(vocab, ids.ids, ids.n, true, &back, &bytes, &err);
            hit = fault_hit();
            fault_fail_at(0);
            assert_int_equal(status, hit ? PL_ENOMEM : PL_OK);
            assert_true(hit || n > 3);
            free(back);
            token_ids_free(&ids);
            token_close(vocab);
        }
    }
}

static void every_failed_allocation_of_open_is_reported(void **state)
{
    (void)state;
    for (int spm = 0; spm < 2; spm++) {
        bool hit = true;
        for (long n = 1; hit; n++) {
            enum pl_status status = PL_OK;
            struct pl_error err = {""};
            const struct vocab_flaws flaws = {.fail_at = n};
            struct token_vocab *vocab =
                spm ? vocab_open_spm(&flaws, &status, &err) : vocab_open_bpe(&flaws, &status, &err);
            hit = fault_hit();
            fault_fail_at(0);
            /* Without memory for machine code patterns are interpreted: that is no failure. */
            bool survived = hit && !spm && status == PL_OK;
            assert_true(survived || status == (hit ? PL_ENOMEM : PL_OK));
            assert_true(hit || n > 3);
            token_close(vocab);
        }
    }
}

/* ---- streaming ------------------------------------------------------------------------------- */

static void stream_lets_out_whole_characters_only(void **state)
{
    (void)state;
    static const struct {
        const char *pieces[5];
        const char *outs[5];
        const char *end;
        bool strip;
    } rows[] = {
        {{"hello", " world"}, {"hello", " world"}, "", false},
        {{" hello", " world"}, {"hello", " world"}, "", true},
        {{"", " hello"}, {"", "hello"}, "", true},
        {{"\xE2", "\x82", "\xAC!"}, {"", "", "\xE2\x82\xAC!"}, "", false},
        {{"a\xF0\x9F", "\x98\x80"}, {"a", "\xF0\x9F\x98\x80"}, "", false},
        {{"\xE2\x82"}, {""}, "\xEF\xBF\xBD", false},
        {{"\xE2\x82", "x"}, {"", "\xEF\xBF\xBDx"}, "", false},
        {{"\xFF\x80"}, {"\xEF\xBF\xBD\xEF\xBF\xBD"}, "", false},
        {{"\xED", "\xA0\x80"}, {"", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, "", false},
        {{"\xF0\x9F\x98", "\xE2\x82\xAC"}, {"", "\xEF\xBF\xBD\xE2\x82\xAC"}, "", false},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct token_stream stream;
        token_stream_init(&stream);
        stream.strip_space = rows[i].strip;
        char out[TOKEN_STREAM_OUT_MAX(16)];
        for (size_t k = 0; k < 5 && rows[i].pieces[k] != NULL; k++) {
            size_t n =
                token_stream_push(&stream, rows[i].pieces[k], strlen(rows[i].pieces[k]), out);
            out[n] = '\0';
            if (strcmp(out, rows[i].outs[k]) != 0)
                fail_msg("row %zu piece %zu: '%s', expected '%s'", i, k, out, rows[i].outs[k]);
        }
        size_t n = token_stream_end(&stream, out);
        out[n] = '\0';
        assert_string_equal(out, rows[i].end);
        assert_int_equal(token_stream_end(&stream, out), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_metadata_naming_the_key),
        cmocka_unit_test(warns_of_a_pre_tokenizer_that_it_does_not_know),
        cmocka_unit_test(byte_level_vocabulary_merges_by_rank),
        cmocka_unit_test(digits_group_from_the_right),
        cmocka_unit_test(finds_a_bad_merge_among_many),
        cmocka_unit_test(sentencepiece_vocabulary_merges_by_score),
        cmocka_unit_test(tells_special_tokens_and_ends),
        cmocka_unit_test(decode_gives_bytes_back),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(every_failed_allocation_of_open_is_reported),
        cmocka_unit_test(stream_lets_out_whole_characters_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
