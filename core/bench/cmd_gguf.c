/*
 * polder-bench gguf: a model file for human eyes; exit 1 and one line if it is not a whole model.
 */
#include "bench.h"
#include "options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "gguf/gguf.h"
#ifdef BENCH_HAVE_MODEL
#include "model/model.h"
#endif
#ifdef BENCH_HAVE_TOKEN
#include "token/token.h"
#endif

#include "base/banned.h"

#define ARRAY_SHOWN_MAX  8   /* elements of an array in the list */
#define STRING_SHOWN_MAX 160 /* bytes of a string in the list */

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Escaped, so that a file can't send control sequences to a terminal. */
static void put_str(struct buf *out, struct gguf_str text)
{
    buf_char(out, '"');
    json_escape(out, text.data, PL_MIN(text.len, STRING_SHOWN_MAX));
    if (text.len > STRING_SHOWN_MAX)
        buf_printf(out, "... (%zu bytes)", text.len);
    buf_char(out, '"');
}

static struct gguf_str string_of(const struct gguf_kv *kv, uint64_t i)
{
    if (kv->strings != NULL)
        return kv->strings[i];
    /* A single string is its length, u64, and its bytes; gguf_open has checked both. */
    uint64_t len = 0;
    memcpy(&len, kv->data, sizeof len);
    return (struct gguf_str){(const char *)kv->data + sizeof len, (size_t)len};
}

static void put_element(struct buf *out, const struct gguf_kv *kv, uint64_t i)
{
    switch (kv->elem_type) {
    case GGUF_STRING: put_str(out, string_of(kv, i)); break;
    case GGUF_F32:
    case GGUF_F64: buf_printf(out, "%.9g", gguf_elem_f64(kv, i)); break;
    case GGUF_BOOL: buf_str(out, gguf_elem_i64(kv, i) != 0 ? "true" : "false"); break;
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_U16:
    case GGUF_I16:
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_ARRAY: buf_printf(out, "%" PRId64, gguf_elem_i64(kv, i)); break;
    }
}

static void put_key(struct buf *out, const struct gguf_kv *kv)
{
    buf_str(out, "  ");
    json_escape(out, kv->key.data, kv->key.len);
    if (kv->type != GGUF_ARRAY) {
        buf_printf(out, "  %s  ", gguf_type_name(kv->type));
        put_element(out, kv, 0);
    } else {
        buf_printf(out, "  %s[%" PRIu64 "]  [", gguf_type_name(kv->elem_type), kv->n_elems);
        for (uint64_t i = 0; i < kv->n_elems && i < ARRAY_SHOWN_MAX; i++) {
            buf_str(out, i == 0 ? "" : ", ");
            put_element(out, kv, i);
        }
        buf_str(out, kv->n_elems > ARRAY_SHOWN_MAX ? ", ...]" : "]");
    }
    buf_char(out, '\n');
}

static uint64_t n_elements(const struct gguf_tensor *tensor)
{
    uint64_t n = 1;
    for (uint32_t d = 0; d < tensor->n_dims; d++)
        n *= (uint64_t)tensor->dims[d];
    return n;
}

static void put_tensor(struct buf *out, const struct gguf_tensor *tensor)
{
    buf_str(out, "  ");
    json_escape(out, tensor->name.data, tensor->name.len);
    buf_printf(out, "  %s  [", pl_dtype_info(tensor->dtype).name);
    for (uint32_t d = 0; d < tensor->n_dims; d++)
        buf_printf(out, "%s%" PRId64, d == 0 ? "" : ", ", tensor->dims[d]);
    buf_printf(out, "]  %zu bytes\n", tensor->bytes);
}

struct type_mix {
    uint64_t n_tensors, n_params, bytes;
};

#define DTYPE_LIMIT 64 /* above every number in PL_DTYPE_LIST */

static void put_types(struct buf *out, const struct gguf *file)
{
    struct type_mix mix[DTYPE_LIMIT] = {{0}};
    struct type_mix sum = {0};
    for (uint64_t i = 0; i < gguf_n_tensors(file); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(file, i);
        struct type_mix *m = &mix[(unsigned)tensor->dtype % DTYPE_LIMIT];
        m->n_tensors++;
        m->n_params += n_elements(tensor);
        m->bytes += tensor->bytes;
        sum.n_params += n_elements(tensor);
        sum.bytes += tensor->bytes;
    }
    buf_printf(out, "parameters    %" PRIu64 " (%.2f bits each)\n", sum.n_params,
               sum.n_params == 0 ? 0.0 : 8.0 * (double)sum.bytes / (double)sum.n_params);
    buf_str(out, "types        ");
    for (unsigned t = 0; t < DTYPE_LIMIT; t++)
        if (mix[t].n_tensors > 0)
            buf_printf(out, " %s x%" PRIu64 " (%.1f MiB)", pl_dtype_info(t).name, mix[t].n_tensors,
                       mib(mix[t].bytes));
    buf_char(out, '\n');
}

static void put_line(struct buf *out, const char *label, const struct gguf *file, const char *key)
{
    struct gguf_str text;
    if (gguf_get_str(file, key, &text, NULL) != PL_OK)
        return;
    buf_printf(out, "%-13s ", label);
    put_str(out, text);
    buf_char(out, '\n');
}

static void put_summary(struct buf *out, const struct gguf *file)
{
    buf_printf(
        out, "file          GGUF v%u, %zu bytes (%.1f MiB), %" PRIu64 " keys, %" PRIu64 " tensors",
        gguf_version(file), gguf_file_bytes(file), mib(gguf_file_bytes(file)), gguf_n_kv(file),
        gguf_n_tensors(file));
    if (gguf_n_shards(file) > 1)
        buf_printf(out, ", %u shards", gguf_n_shards(file));
    buf_char(out, '\n');
    put_line(out, "name", file, "general.name");
    put_line(out, "architecture", file, "general.architecture");
    put_types(out, file);

    struct gguf_str arch = {0};
    char key[160];
    uint32_t ctx_tokens = 0;
    if (gguf_get_str(file, "general.architecture", &arch, NULL) == PL_OK && arch.len < 64) {
        snprintf(key, sizeof key, "%.*s.context_length", (int)arch.len, arch.data);
        if (gguf_get_u32(file, key, &ctx_tokens, NULL) == PL_OK)
            buf_printf(out, "context       %u tokens\n", ctx_tokens);
    }
    put_line(out, "tokenizer", file, "tokenizer.ggml.model");
    put_line(out, "splits by", file, "tokenizer.ggml.pre");
    const struct gguf_kv *tokens = gguf_find(file, "tokenizer.ggml.tokens");
    if (tokens != NULL)
        buf_printf(out, "vocabulary    %" PRIu64 " tokens\n", tokens->n_elems);
    struct gguf_str chat = {0};
    if (gguf_get_str(file, "tokenizer.chat_template", &chat, NULL) == PL_OK)
        buf_printf(out, "chat template %zu bytes\n", chat.len);
    else
        buf_str(out, "chat template none\n");
}

#if defined(BENCH_HAVE_MODEL) && defined(BENCH_HAVE_TOKEN)
/* Beyond the container: a whole model that this version runs, and the vocabulary that goes with it. */
static enum pl_status check_model(const struct gguf *file, struct pl_error *err)
{
    struct model_info info = {0};
    struct token_vocab *vocab = NULL;
    enum pl_status status = model_check(file, err);
    if (status == PL_OK)
        status = model_read_info(file, &info, err);
    if (status == PL_OK)
        status = token_open(file, &vocab, err);
    if (status != PL_OK)
        return status;
    if (token_count(vocab) != (int64_t)info.n_vocab)
        status = pl_error_set(err, PL_EFORMAT, "tensor 'token_embd.weight': %u rows for %d tokens",
                              info.n_vocab, token_count(vocab));
    token_close(vocab);
    return status;
}
#else
static enum pl_status check_model(PL_UNUSED const struct gguf *file, PL_UNUSED struct pl_error *err)
{
    return PL_OK;
}
#endif

static int print_file(const struct gguf *file)
{
    struct buf out;
    buf_init(&out, 0);
    put_summary(&out, file);
    buf_printf(&out, "\nkeys\n");
    for (uint64_t i = 0; i < gguf_n_kv(file); i++)
        put_key(&out, gguf_kv_at(file, i));
    buf_printf(&out, "\ntensors\n");
    for (uint64_t i = 0; i < gguf_n_tensors(file); i++)
        put_tensor(&out, gguf_tensor_at(file, i));
    bool failed = out.failed;
    if (!failed)
        fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
    return failed ? bench_fail("gguf", "out of memory") : BENCH_OK;
}

int cmd_gguf(int argc, char **argv)
{
    const char *path = NULL;
    bool any = false;
    const struct option_row rows[] = {
        {.name = "--any",
         .kind = OPTION_FLAG,
         .target = &any,
         .help = "list any well-formed file: a vocabulary alone, another architecture"},
    };
    const struct options options = {
        .command = "gguf",
        .summary = "Lists what a GGUF model file holds: architecture, parameters, types, context,\n"
                   "vocabulary, chat template, keys and tensors. An invalid file, or one that is\n"
                   "not a whole model which this version runs, gives exit code 1 and one line.",
        .positional = "FILE",
        .ret_positional = &path,
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);

    struct gguf *file = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = gguf_open(path, &file, &err);
    if (status == PL_OK && !any)
        status = check_model(file, &err);
    int code = status == PL_OK ? print_file(file) : bench_fail("gguf", "%s", err.msg);
    gguf_close(file);
    return code;
}
