/* core/token, BPE over characters ("gemma4" and kin): blanks are U+2581, bytes are the last resort. */
#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gguf_bytes.h"

#include "base/banned.h"

#define BLANK "\xE2\x96\x81"

enum { BOS, A, B, SPACE, AB, SPACE_AB, NL, NL2, NL3, USER, CJK, EMOJI, BYTES };

static const struct {
    const char *text;
    uint32_t type;
} tokens[BYTES] = {
    [BOS] = {"<bos>", 3},
    [A] = {"a", 1},
    [B] = {"b", 1},
    [SPACE] = {BLANK, 1},
    [AB] = {"ab", 1},
    [SPACE_AB] = {BLANK "ab", 1},
    [NL] = {"\n", 1},
    [NL2] = {"\n\n", 1},
    [NL3] = {"\n\n\n", 1},
    [USER] = {"[u]", 4},
    [CJK] = {"\xE5\xAD\x97", 1},
    [EMOJI] = {"\xF0\x9F\x98\x80", 1},
};

static const char *const merges[] = {"a b", BLANK " ab", "\n \n"};

static struct token_vocab *open_vocab(const char *model, const char *pre)
{
    struct gguf_bytes b;
    struct gguf *file = NULL;
    struct token_vocab *vocab = NULL;
    struct pl_error err = {""};
    gguf_bytes_begin(&b, 3, 0, 6 + (pre != NULL ? 1 : 0));
    gguf_bytes_key(&b, "tokenizer.ggml.model", GGUF_STRING);
    gguf_bytes_str(&b, model);
    if (pre != NULL) {
        gguf_bytes_key(&b, "tokenizer.ggml.pre", GGUF_STRING);
        gguf_bytes_str(&b, pre);
    }
    gguf_bytes_key(&b, "tokenizer.ggml.bos_token_id", GGUF_U32);
    gguf_bytes_u32(&b, BOS);
    gguf_bytes_key(&b, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    buf_char(&b.out, 0);
    gguf_bytes_array(&b, "tokenizer.ggml.tokens", GGUF_STRING, BYTES + 256);
    for (unsigned i = 0; i < BYTES + 256; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (i - BYTES) & 0xFF);
        gguf_bytes_str(&b, i < BYTES ? tokens[i].text : text);
    }
    gguf_bytes_array(&b, "tokenizer.ggml.token_type", GGUF_I32, BYTES + 256);
    for (unsigned i = 0; i < BYTES + 256; i++)
        gguf_bytes_u32(&b, i < BYTES ? tokens[i].type : 6);
    gguf_bytes_array(&b, "tokenizer.ggml.merges", GGUF_STRING, PL_ARRAY_LEN(merges));
    for (size_t i = 0; i < PL_ARRAY_LEN(merges); i++)
        gguf_bytes_str(&b, merges[i]);
    if (gguf_open(gguf_bytes_path(&b), &file, &err) != PL_OK ||
        token_open(file, &vocab, &err) != PL_OK)
        fail_msg("%s", err.msg);
    gguf_close(file);
    gguf_bytes_end(&b);
    return vocab;
}

static const struct row {
    const char *text;
    size_t n;
    int32_t ids[12];
} rows[] = {
    {"", 0, {0}},
    {"ab", 1, {AB}},
    {"ab ab", 2, {AB, SPACE_AB}},
    {"a  ab", 3, {A, SPACE, SPACE_AB}},
    {"ab" BLANK "ab", 2, {AB, SPACE_AB}}, /* the same as a blank, as in training */
    {"a\nb", 3, {A, NL, B}},
    {"\n\n\n\n", 2, {NL2, NL2}},
    {"[u]ab<bos>", 7, {USER, AB, BYTES + '<', B, BYTES + 'o', BYTES + 's', BYTES + '>'}},
    {"\xE5\xAD\x97\xF0\x9F\x98\x80", 2, {CJK, EMOJI}},
    {"\xC3\xA9", 2, {BYTES + 0xC3, BYTES + 0xA9}},
    {"a\xFF\xE5\xAD", 4, {A, BYTES + 0xFF, BYTES + 0xE5, BYTES + 0xAD}},
};

static void check_row(const struct token_vocab *vocab, const struct row *row)
{
    struct token_ids ids = {0};
    struct pl_error err = {""};
    const struct token_encode_options plain = {0};
    char *back = NULL;
    size_t bytes = 0;
    assert_int_equal(token_encode(vocab, row->text, strlen(row->text), &plain, &ids, &err), PL_OK);
    bool equal = ids.n == row->n;
    for (size_t i = 0; equal && i < ids.n; i++)
        equal = ids.ids[i] == row->ids[i];
    if (!equal) {
        for (size_t i = 0; i < ids.n; i++)
            print_message("# id %d\n", ids.ids[i]);
        fail_msg("'%s': other ids than expected", row->text);
    }
    assert_int_equal(token_decode(vocab, ids.ids, ids.n, true, &back, &bytes, &err), PL_OK);
    if (strstr(row->text, BLANK) == NULL)
        assert_string_equal(back, row->text);
    free(back);
    token_ids_free(&ids);
}

static void merges_characters(void **state)
{
    (void)state;
    struct token_vocab *vocabs[] = {open_vocab("gemma4", NULL), open_vocab("gpt2", "gemma4"),
                                    open_vocab("gpt2", "granite-embed-multi-311m"),
                                    open_vocab("gpt2", "sarvam-moe")};
    for (size_t v = 0; v < PL_ARRAY_LEN(vocabs); v++) {
        assert_null(token_warning(vocabs[v]));
        for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
            check_row(vocabs[v], &rows[i]);
        /* Only gemma takes newlines whole, and begins with BOS even where the file says no. */
        bool gemma = v < 3;
        const struct row whole = {"\n\n\n", 1, {NL3}};
        const struct row merged = {"\n\n\n", 2, {NL2, NL}};
        check_row(vocabs[v], gemma ? &whole : &merged);
        assert_int_equal(token_adds_bos(vocabs[v]), gemma);
        token_close(vocabs[v]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
