/* Stand-in for core/gguf and core/token; see fake.h. */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"
#include "token/token.h"
#include "base/utf8.h"
#include "base/banned.h"

struct gguf {
    int unused;
};

struct token_vocab {
    char bytes[256];
    char words[FAKE_N_VOCAB][8];
};

enum pl_status gguf_open(const char *path, struct gguf **ret, struct pl_error *err)
{
    if (strstr(path, "absent") != NULL)
        return pl_error_set(err, PL_ENOENT, "fake: %s: not found", path);
    struct gguf *file = calloc(1, sizeof *file);
    if (file == NULL)
        return pl_error_set(err, PL_ENOMEM, "fake: no memory");
    *ret = file;
    return PL_OK;
}

void gguf_close(struct gguf *file)
{
    free(file);
}

size_t gguf_file_bytes(const struct gguf *file)
{
    (void)file;
    return 1000;
}

uint64_t gguf_n_kv(const struct gguf *file)
{
    (void)file;
    return 0;
}

const struct gguf_kv *gguf_kv_at(const struct gguf *file, uint64_t i)
{
    (void)file;
    (void)i;
    return NULL;
}

double gguf_elem_f64(const struct gguf_kv *kv, uint64_t i)
{
    (void)kv;
    (void)i;
    return 0;
}

uint64_t gguf_n_tensors(const struct gguf *file)
{
    (void)file;
    return 0;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, uint64_t i)
{
    (void)file;
    (void)i;
    return NULL;
}

enum pl_status gguf_get_f64(const struct gguf *file, const char *key, double *ret,
                            struct pl_error *err)
{
    (void)file;
    if (strcmp(key, "general.sampling.temp") == 0)
        *ret = 0.25;
    else if (strcmp(key, "general.sampling.top_p") == 0)
        *ret = 7; /* out of range */
    else
        return pl_error_set(err, PL_ENOENT, "fake: no key %s", key);
    return PL_OK;
}

enum pl_status gguf_get_u32(const struct gguf *file, const char *key, uint32_t *ret,
                            struct pl_error *err)
{
    (void)file;
    if (strcmp(key, "general.sampling.top_k") != 0)
        return pl_error_set(err, PL_ENOENT, "fake: no key %s", key);
    *ret = 30;
    return PL_OK;
}

enum pl_status gguf_get_str(const struct gguf *file, const char *key, struct gguf_str *ret,
                            struct pl_error *err)
{
    (void)file;
    if (strcmp(key, "tokenizer.chat_template") != 0)
        return pl_error_set(err, PL_ENOENT, "fake: no key %s", key);
    *ret = (struct gguf_str){.data = "{{ x }}tail", .len = 7};
    return PL_OK;
}

enum pl_status token_open(const struct gguf *file, struct token_vocab **ret, struct pl_error *err)
{
    (void)file;
    struct token_vocab *vocab = calloc(1, sizeof *vocab);
    if (vocab == NULL)
        return pl_error_set(err, PL_ENOMEM, "fake: no memory");
    for (int i = 0; i < FAKE_N_VOCAB; i++) {
        if (i < 256)
            vocab->bytes[i] = (char)i;
        else
            snprintf(vocab->words[i], sizeof vocab->words[i], " w%d", i - 256);
    }
    *ret = vocab;
    return PL_OK;
}

void token_close(struct token_vocab *vocab)
{
    free(vocab);
}

int32_t token_count(const struct token_vocab *vocab)
{
    (void)vocab;
    return FAKE_N_VOCAB;
}

bool token_is_eog(const struct token_vocab *vocab, int32_t id)
{
    (void)vocab;
    return id == FAKE_EOS;
}

struct gguf_str token_piece(const struct token_vocab *vocab, int32_t id, bool special)
{
    if (id >= 0 && id < 256)
        return (struct gguf_str){.data = &vocab->bytes[id], .len = 1};
    if (id >= FAKE_CONTROL && !special)
        return (struct gguf_str){.data = "", .len = 0};
    return (struct gguf_str){.data = vocab->words[id], .len = strlen(vocab->words[id])};
}

void token_stream_init(struct token_stream *stream)
{
    *stream = (struct token_stream){0};
}

static size_t let_out(struct token_stream *stream, bool end, char *out)
{
    size_t n_out = 0;
    while (stream->held_n > 0) {
        uint32_t code = 0;
        size_t n = 0;
        enum utf8_result result = utf8_decode(stream->held, stream->held_n, &code, &n);
        if (result == UTF8_INCOMPLETE && !end)
            break;
        n_out += utf8_encode(result == UTF8_OK ? code : UTF8_REPLACEMENT, out + n_out);
        memmove(stream->held, stream->held + n, stream->held_n - n);
        stream->held_n -= n;
    }
    return n_out;
}

size_t token_stream_push(struct token_stream *stream, const char *piece, size_t n, char *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        stream->held[stream->held_n++] = piece[i];
        n_out += let_out(stream, false, out + n_out);
    }
    return n_out;
}

size_t token_stream_end(struct token_stream *stream, char *out)
{
    return let_out(stream, true, out);
}
