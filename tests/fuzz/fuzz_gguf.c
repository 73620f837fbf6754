/*
 * fuzz_gguf.c - libFuzzer target of everything that believes a model file: reader, tokenizer, model.
 *
 * Besides memory errors it looks for accessors that fail on what the reader let through, and for a
 * tokenizer that cannot take text.
 */
#include "gguf/gguf.h"
#include "model/model.h"
#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch_file(const struct gguf *file)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < gguf_n_kv(file); i++) {
        const struct gguf_kv *kv = gguf_kv_at(file, i);
        bool number = kv->elem_type != GGUF_STRING;
        if (number && kv->n_elems > 0)
            sum += (uint64_t)gguf_elem_i64(kv, kv->n_elems - 1);
        for (uint64_t k = 0; kv->strings != NULL && k < kv->n_elems; k++)
            sum += kv->strings[k].len;
    }
    for (uint64_t i = 0; i < gguf_n_tensors(file); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(file, i);
        /* name_text is for people: odd bytes of a name are replaced in it */
        bool plain = strlen(tensor->name_text) == tensor->name.len &&
                     memcmp(tensor->name_text, tensor->name.data, tensor->name.len) == 0;
        PL_CHECK(!plain || gguf_find_tensor(file, tensor->name_text) == tensor);
        if (tensor->bytes > 0)
            sum += tensor->data[0] + tensor->data[tensor->bytes - 1];
    }
    static volatile uint64_t sink;
    sink = sum;
    (void)sink;
}

static void touch_tokenizer(const struct gguf *file)
{
    static const char text[] = "Hello <s> w\xC3\xB6rld\n\xF0\x9F\x98\x80 \xFF 123  x";
    struct token_vocab *vocab = NULL;
    if (token_open(file, &vocab, NULL) != PL_OK)
        return;
    struct token_ids ids = {0};
    const struct token_encode_options options = {.add_special = true, .parse_special = true};
    if (token_encode(vocab, text, sizeof text - 1, &options, &ids, NULL) == PL_OK) {
        char *back = NULL;
        size_t back_n = 0;
        for (size_t i = 0; i < ids.n; i++)
            PL_CHECK(ids.ids[i] >= 0 && ids.ids[i] < token_count(vocab));
        if (token_decode(vocab, ids.ids, ids.n, true, &back, &back_n, NULL) == PL_OK)
            free(back);
        token_ids_free(&ids);
    }
    token_close(vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[48];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    PL_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct gguf *file = NULL;
    struct pl_error err = {{0}};
    if (gguf_open(path, &file, &err) == PL_OK) {
        touch_file(file);
        touch_tokenizer(file);
        (void)model_check(file, &err);
        gguf_close(file);
    } else {
        PL_CHECK(err.msg[0] != '\0');
    }
    close(fd);
    return 0;
}
