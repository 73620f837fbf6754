/* See model.h. Words are consonant, vowel, consonant, vowel: "babe". */
#include "model.h"

#include "lib/gguf_make.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define N_VOCAB    (SIM_FIRST_WORD + SIM_N_WORDS)
#define GGUF_BOOL  7U
#define GGUF_I32   5U
#define GGUF_F32   6U
#define GGUF_STR   8U
#define GGUF_ARRAY 9U

enum { E = 32, H = 4, K = 2, F = 64 };

static const char CONSONANTS[] = "bdfghklmnprstvwz"; /* 16 */
static const char VOWELS[] = "aeio";                 /* 4 */

int32_t sim_word(uint64_t i)
{
    return SIM_FIRST_WORD + (int32_t)(i % SIM_N_WORDS);
}

bool sim_word_text(int32_t id, char ret[SIM_WORD_BYTES + 1])
{
    if (id < SIM_FIRST_WORD || id >= N_VOCAB)
        return false;
    uint32_t i = (uint32_t)(id - SIM_FIRST_WORD);
    ret[0] = CONSONANTS[i % 16];
    ret[1] = VOWELS[i / 16 % 4];
    ret[2] = CONSONANTS[i / 64 % 16];
    ret[3] = VOWELS[(i * 7) % 4];
    ret[4] = '\0';
    return true;
}

static void put_str(struct buf *to, const char *text)
{
    uint64_t n = strlen(text);
    buf_append(to, &n, sizeof n);
    buf_append(to, text, n);
}

static void begin_array(struct gguf_make *m, const char *key, uint32_t type)
{
    const uint32_t head[2] = {GGUF_ARRAY, type};
    const uint64_t n = N_VOCAB;
    put_str(&m->kvs, key);
    buf_append(&m->kvs, head, sizeof head);
    buf_append(&m->kvs, &n, sizeof n);
    m->n_kvs++;
}

static void put_text(struct gguf_make *m, int32_t id)
{
    static const char *const first[] = {"<unk>", "<s>", "</s>"};
    char text[16];
    if (id < 3)
        (void)snprintf(text, sizeof text, "%s", first[id]);
    else if (!sim_word_text(id, text))
        (void)snprintf(text, sizeof text, "<0x%02X>", (unsigned)id - 3);
    put_str(&m->kvs, text);
}

static void add_vocabulary(struct gguf_make *m)
{
    gguf_make_str(m, "tokenizer.ggml.model", "llama");
    begin_array(m, "tokenizer.ggml.tokens", GGUF_STR);
    for (int32_t id = 0; id < N_VOCAB; id++)
        put_text(m, id);
    begin_array(m, "tokenizer.ggml.scores", GGUF_F32);
    for (int32_t id = 0; id < N_VOCAB; id++) {
        float score = -(float)id;
        buf_append(&m->kvs, &score, sizeof score);
    }
    begin_array(m, "tokenizer.ggml.token_type", GGUF_I32);
    for (int32_t id = 0; id < N_VOCAB; id++) {
        int32_t type = 1; /* normal */
        if (id < 3)
            type = id == 0 ? 2 : 3; /* unknown, control */
        else if (id < SIM_FIRST_WORD)
            type = 6; /* byte */
        buf_append(&m->kvs, &type, sizeof type);
    }
    static const char *const off[] = {"tokenizer.ggml.add_bos_token",
                                      "tokenizer.ggml.add_space_prefix"};
    for (size_t i = 0; i < PL_ARRAY_LEN(off); i++) {
        const uint32_t type = GGUF_BOOL;
        put_str(&m->kvs, off[i]);
        buf_append(&m->kvs, &type, sizeof type);
        buf_char(&m->kvs, 0);
        m->n_kvs++;
    }
    gguf_make_str(m, "tokenizer.chat_template",
                  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ");
}

static void add_tensor(struct gguf_make *m, const char *name, int64_t cols, int64_t rows)
{
    gguf_make_tensor(m, name, rows > 0 ? 2 : 1, (const int64_t[]){cols, rows}, 0.1F);
}

static void add_tensors(struct gguf_make *m)
{
    const int64_t kv = (int64_t)K * (E / H);
    add_tensor(m, "token_embd.weight", E, N_VOCAB);
    add_tensor(m, "output_norm.weight", E, 0);
    add_tensor(m, "blk.0.attn_norm.weight", E, 0);
    add_tensor(m, "blk.0.attn_q.weight", E, E);
    add_tensor(m, "blk.0.attn_k.weight", E, kv);
    add_tensor(m, "blk.0.attn_v.weight", E, kv);
    add_tensor(m, "blk.0.attn_output.weight", E, E);
    add_tensor(m, "blk.0.ffn_norm.weight", E, 0);
    add_tensor(m, "blk.0.ffn_gate.weight", E, F);
    add_tensor(m, "blk.0.ffn_up.weight", E, F);
    add_tensor(m, "blk.0.ffn_down.weight", F, E);
}

enum pl_status sim_model_write(const char *path, struct pl_error *err)
{
    struct gguf_make m;
    gguf_make_begin(&m);
    gguf_make_str(&m, "general.architecture", "llama");
    gguf_make_str(&m, "general.name", "sim");
    gguf_make_u32(&m, "llama.block_count", 1);
    gguf_make_u32(&m, "llama.context_length", SIM_CTX_MAX);
    gguf_make_u32(&m, "llama.embedding_length", E);
    gguf_make_u32(&m, "llama.feed_forward_length", F);
    gguf_make_u32(&m, "llama.attention.head_count", H);
    gguf_make_u32(&m, "llama.attention.head_count_kv", K);
    gguf_make_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    add_vocabulary(&m);
    add_tensors(&m);
    gguf_make_write(&m, path); /* ends the program where it can't */
    return access(path, R_OK) == 0 ? PL_OK : pl_error_set(err, PL_EIO, "sim: can't write %s", path);
}
