/* See small_vocab.h. */
#include "small_vocab.h"

#include "fault.h"
#include "gguf_bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "base/banned.h"

const struct vocab_item vocab_bpe_extra[] = {
    [BPE_CONTROL - VOCAB_BYTES] = {"<|ctl|>", 0, 3},
    [BPE_USER - VOCAB_BYTES] = {"<user>", 0, 4},
    [BPE_HE - VOCAB_BYTES] = {"he", 0, 1},
    [BPE_LL - VOCAB_BYTES] = {"ll", 0, 1},
    [BPE_HELL - VOCAB_BYTES] = {"hell", 0, 1},
    [BPE_HELLO - VOCAB_BYTES] = {"hello", 0, 1},
    [BPE_BLANK_HELLO - VOCAB_BYTES] = {"\xC4\xA0hello", 0, 1},
    [BPE_AA - VOCAB_BYTES] = {"aa", 0, 1},
    [BPE_AAAA - VOCAB_BYTES] = {"aaaa", 0, 1},
    [BPE_LT_X - VOCAB_BYTES] = {"<=", 0, 1},
    [BPE_LT_X_GT - VOCAB_BYTES] = {"<=>", 0, 3},
    [BPE_IM_END - VOCAB_BYTES] = {"<|im_end|>", 0, 4},
};
const size_t vocab_bpe_n_extra = PL_ARRAY_LEN(vocab_bpe_extra);

static const char *const bpe_merges[] = {
    "h e", "l l", "he ll", "hell o", "\xC4\xA0 hello", "a a", "aa aa", "< =", "<= >",
};

const struct vocab_item vocab_spm_tokens[] = {
    [SPM_UNK] = {"<unk>", 0, 2},
    [SPM_BOS] = {"<s>", 0, 3},
    [SPM_EOS] = {"</s>", 0, 3},
    [SPM_USER] = {"[user]", 0, 4},
    [SPM_BLANK] = {"\xE2\x96\x81", -5, 1},
    [SPM_H] = {"h", -6, 1},
    [SPM_I] = {"i", -7, 1},
    [SPM_HI] = {"hi", -1, 1},
    [SPM_BLANK_HI] = {"\xE2\x96\x81hi", -2, 1},
    [SPM_BLANK_BLANK] = {"\xE2\x96\x81\xE2\x96\x81", -3, 1},
    [SPM_END_TURN] = {"<end_of_turn>", 0, 3},
};
const size_t vocab_spm_n_tokens = PL_ARRAY_LEN(vocab_spm_tokens);

static size_t byte_char(unsigned byte, char ret[UTF8_MAX_BYTES + 1])
{
    uint32_t next = 256;
    uint32_t code = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        code = itself ? b : next++;
    }
    size_t n = utf8_encode(code, ret);
    ret[n] = '\0';
    return n;
}

static void count_key(uint64_t *n, bool there)
{
    *n += there ? 1 : 0;
}

static uint64_t count_common(const struct vocab_flaws *f)
{
    uint64_t n = 0;
    count_key(&n, f->model == NULL || f->model[0] != '\0');
    count_key(&n, !f->no_tokens);
    count_key(&n, !f->no_types);
    count_key(&n, f->id_key != NULL);
    count_key(&n, f->flag_key != NULL);
    return n;
}

static void put_common(struct gguf_bytes *b, const struct vocab_flaws *f, const char *model)
{
    model = f->model != NULL ? f->model : model;
    if (model[0] != '\0') {
        gguf_bytes_key(b, "tokenizer.ggml.model", GGUF_STRING);
        gguf_bytes_str(b, model);
    }
    if (f->id_key != NULL) {
        gguf_bytes_key(b, f->id_key, GGUF_U32);
        gguf_bytes_u32(b, f->id_value);
    }
    if (f->flag_key != NULL) {
        gguf_bytes_key(b, f->flag_key, GGUF_BOOL);
        buf_char(&b->out, f->flag_value ? 1 : 0);
    }
}

static struct token_vocab *open_bytes(struct gguf_bytes *b, long fail_at,
                                      enum pl_status *ret_status, struct pl_error *err)
{
    struct gguf *file = NULL;
    struct token_vocab *vocab = NULL;
    const char *path = gguf_bytes_path(b);
    *ret_status = gguf_open(path, &file, err);
    fault_fail_at(fail_at);
    if (*ret_status == PL_OK)
        *ret_status = token_open(file, &vocab, err);
    gguf_close(file);
    gguf_bytes_end(b);
    return vocab;
}

static void put_int_tokens(struct gguf_bytes *b)
{
    gguf_bytes_array(b, "tokenizer.ggml.tokens", GGUF_U32, 2);
    gguf_bytes_u32(b, 1);
    gguf_bytes_u32(b, 2);
}

static void put_bpe_tokens(struct gguf_bytes *b, const struct vocab_flaws *f, uint64_t n)
{
    gguf_bytes_array(b, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (unsigned i = 0; i < VOCAB_BYTES; i++) {
        char text[UTF8_MAX_BYTES + 1];
        byte_char(i, text);
        gguf_bytes_str(b, text);
    }
    for (size_t i = 0; i < vocab_bpe_n_extra; i++)
        gguf_bytes_str(b, vocab_bpe_extra[i].text);
    if (f->token != NULL)
        gguf_bytes_str(b, f->token);
}

static void put_bpe_merges(struct gguf_bytes *b, const struct vocab_flaws *f)
{
    if (f->int_merges) {
        gguf_bytes_array(b, "tokenizer.ggml.merges", GGUF_U32, 1);
        gguf_bytes_u32(b, 1);
        return;
    }
    int more = f->merge_n != 0 ? f->merge_n : f->merge != NULL ? 1 : 0;
    gguf_bytes_array(b, "tokenizer.ggml.merges", GGUF_STRING,
                     PL_ARRAY_LEN(bpe_merges) + (uint64_t)more);
    for (size_t i = 0; i < PL_ARRAY_LEN(bpe_merges); i++)
        gguf_bytes_str(b, bpe_merges[i]);
    for (int i = 0; i < more; i++)
        gguf_bytes_str(b, i == f->merge_bad ? f->merge : "h e");
}

struct token_vocab *vocab_open_bpe(const struct vocab_flaws *flaws, enum pl_status *ret_status,
                                   struct pl_error *err)
{
    const struct vocab_flaws *f = flaws;
    struct gguf_bytes b;
    bool pre = f->pre == NULL || f->pre[0] != '\0';
    uint64_t n = VOCAB_BYTES + vocab_bpe_n_extra + (f->token != NULL ? 1 : 0);
    gguf_bytes_begin(&b, 3, 0, count_common(f) + (pre ? 1 : 0) + (f->no_merges ? 0 : 1));
    put_common(&b, f, "gpt2");
    if (pre) {
        gguf_bytes_key(&b, "tokenizer.ggml.pre", GGUF_STRING);
        gguf_bytes_str(&b, f->pre != NULL ? f->pre : "gpt-2");
    }
    if (f->int_tokens)
        put_int_tokens(&b);
    else if (!f->no_tokens)
        put_bpe_tokens(&b, f, n);
    if (!f->no_types) {
        uint64_t n_types = n - (uint64_t)f->types_less;
        gguf_bytes_array(&b, "tokenizer.ggml.token_type", GGUF_I32, n_types);
        for (uint64_t i = 0; i < n_types; i++) {
            int32_t type = i < VOCAB_BYTES ? 1
                           : i < VOCAB_BYTES + vocab_bpe_n_extra
                               ? vocab_bpe_extra[i - VOCAB_BYTES].type
                           : f->token_type != 0 ? f->token_type
                                                : 1;
            gguf_bytes_u32(&b, (uint32_t)type);
        }
    }
    if (!f->no_merges)
        put_bpe_merges(&b, f);
    return open_bytes(&b, f->fail_at, ret_status, err);
}

static void put_spm_tokens(struct gguf_bytes *b, const struct vocab_flaws *f, uint64_t n)
{
    gguf_bytes_array(b, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (size_t i = 0; i < vocab_spm_n_tokens; i++)
        gguf_bytes_str(b, vocab_spm_tokens[i].text);
    for (unsigned i = 0; i < VOCAB_BYTES; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        gguf_bytes_str(b, text);
    }
    if (f->token != NULL)
        gguf_bytes_str(b, f->token);
}

struct token_vocab *vocab_open_spm(const struct vocab_flaws *flaws, enum pl_status *ret_status,
                                   struct pl_error *err)
{
    const struct vocab_flaws *f = flaws;
    struct gguf_bytes b;
    uint64_t n = vocab_spm_n_tokens + VOCAB_BYTES + (f->token != NULL ? 1 : 0);
    gguf_bytes_begin(&b, 3, 0, count_common(f) + 1);
    put_common(&b, f, "llama");
    if (f->int_tokens)
        put_int_tokens(&b);
    else if (!f->no_tokens)
        put_spm_tokens(&b, f, n);
    if (!f->no_types) {
        uint64_t n_types = n - (uint64_t)f->types_less;
        gguf_bytes_array(&b, "tokenizer.ggml.token_type", GGUF_I32, n_types);
        for (uint64_t i = 0; i < n_types; i++) {
            int32_t type = i < vocab_spm_n_tokens                 ? vocab_spm_tokens[i].type
                           : i < vocab_spm_n_tokens + VOCAB_BYTES ? 6
                           : f->token_type != 0                   ? f->token_type
                                                                  : 1;
            gguf_bytes_u32(&b, (uint32_t)type);
        }
    }
    uint64_t n_scores = n - (uint64_t)f->scores_less;
    gguf_bytes_array(&b, "tokenizer.ggml.scores", GGUF_F32, n_scores);
    for (uint64_t i = 0; i < n_scores; i++) {
        float score = i < vocab_spm_n_tokens ? vocab_spm_tokens[i].score : 0;
        gguf_bytes_f32(&b, f->nan_score && i == 5 ? NAN : score);
    }
    return open_bytes(&b, f->fail_at, ret_status, err);
}
