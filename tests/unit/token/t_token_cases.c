/* core/token against the reference cases of ../shared/data/vocab: every id, and the way back. */
#include "gguf/gguf.h"
#include "token/token.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/banned.h"

#define FILE_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define SHOWN_MAX      5 /* failures printed per vocabulary */

static const char *shared; /* folder of the reference data */

static const char separator[] = "\n__ggml_vocab_test__\n";

struct vocab_row {
    const char *name;
    bool exact_back; /* decode(encode(text)) == text for any text */
};

static const struct vocab_row vocabs[] = {
    {"llama-bpe", true},    {"llama-spm", true}, {"gpt-2", true},     {"qwen2", true},
    {"deepseek-llm", true}, {"phi-3", true},     {"starcoder", true},
#ifdef HAVE_UTF8PROC
    {"bert-bge", false},
#endif
};

struct fixture {
    const struct vocab_row *row;
    struct token_vocab *vocab;
    unsigned n, failed;
};

static char *read_data(const char *name, const char *suffix, size_t *ret_bytes)
{
    char path[512];
    char *data = NULL;
    snprintf(path, sizeof path, "%s/data/vocab/%s%s", shared, name, suffix);
    if (file_read(path, FILE_BYTES_MAX, &data, ret_bytes, NULL) != PL_OK)
        fail_msg("cannot read %s", path);
    return data;
}

static struct token_vocab *open_vocab(const char *name)
{
    char path[512];
    struct pl_error err = {""};
    struct gguf *file = NULL;
    struct token_vocab *vocab = NULL;
    snprintf(path, sizeof path, "%s/data/vocab/ggml-vocab-%s.gguf", shared, name);
    if (gguf_open(path, &file, &err) != PL_OK || token_open(file, &vocab, &err) != PL_OK)
        fail_msg("%s: %s", path, err.msg);
    gguf_close(file); /* the tokenizer keeps nothing of it */
    return vocab;
}

static void show_ids(const char *label, const int32_t *ids, size_t n)
{
    print_message("  %s:", label);
    for (size_t i = 0; i < n && i < 40; i++)
        print_message(" %d", ids[i]);
    print_message("\n");
}

static void check_case(struct fixture *f, const char *text, size_t n,
                       const struct token_encode_options *options, const struct token_ids *want)
{
    struct token_ids got = {0};
    struct pl_error err = {""};
    enum pl_status status = token_encode(f->vocab, text, n, options, &got, &err);
    bool equal = status == PL_OK && got.n == want->n &&
                 (got.n == 0 || memcmp(got.ids, want->ids, got.n * sizeof *got.ids) == 0);
    f->n++;
    if (!equal && f->failed++ < SHOWN_MAX) {
        print_message("%s case %u '%.*s' special %d parse %d %s\n", f->row->name, f->n,
                      (int)PL_MIN(n, (size_t)200), text, options->add_special,
                      options->parse_special, err.msg);
        show_ids("want", want->ids, want->n);
        show_ids("got ", got.ids, got.n);
    }
    token_ids_free(&got);
}

/* Without special tokens the bytes come back. */
static void check_back(struct fixture *f, const char *text, size_t n)
{
    struct token_ids ids = {0};
    struct pl_error err = {""};
    char *back = NULL;
    size_t bytes = 0;
    const struct token_encode_options options = {.add_special = true};
    assert_int_equal(token_encode(f->vocab, text, n, &options, &ids, &err), PL_OK);
    assert_int_equal(token_decode(f->vocab, ids.ids, ids.n, false, &back, &bytes, &err), PL_OK);
    if ((bytes != n || memcmp(back, text, n) != 0) && f->failed++ < SHOWN_MAX)
        print_message("%s back: '%.*s' became '%.*s'\n", f->row->name, (int)n, text, (int)bytes,
                      back);
    free(back);
    token_ids_free(&ids);
}

static void check_text_file(struct fixture *f)
{
    size_t in_bytes = 0;
    size_t out_bytes = 0;
    char in_name[64];
    snprintf(in_name, sizeof in_name, "ggml-vocab-%s", f->row->name);
    char *in = read_data(in_name, ".gguf.inp", &in_bytes);
    char *out = read_data(in_name, ".gguf.out", &out_bytes);
    char *line = out;
    const struct token_encode_options plain = {0};
    for (char *text = in; text != NULL;) {
        char *next = strstr(text, separator);
        size_t n = next != NULL ? (size_t)(next - text) : in_bytes - (size_t)(text - in);
        int32_t ids[4096];
        size_t n_ids = 0;
        char *end = strchr(line, '\n');
        for (char *p = line; p < end && n_ids < PL_ARRAY_LEN(ids);) {
            char *after = NULL;
            ids[n_ids] = (int32_t)strtoll(p, &after, 10);
            if (after == p)
                break;
            n_ids++;
            p = after;
        }
        check_case(f, text, n, &plain, &(struct token_ids){ids, n_ids});
        if (f->row->exact_back)
            check_back(f, text, n);
        line = end + 1;
        text = next != NULL ? next + strlen(separator) : NULL;
    }
    free(in);
    free(out);
}

static void check_json_line(struct fixture *f, struct json_object *object)
{
    struct json_object *text = json_object_object_get(object, "text");
    struct json_object *ids = json_object_object_get(object, "ids");
    const struct token_encode_options options = {
        .add_special = json_object_get_boolean(json_object_object_get(object, "add_special")) != 0,
        .parse_special =
            json_object_get_boolean(json_object_object_get(object, "parse_special")) != 0,
    };
    size_t n = json_object_array_length(ids);
    int32_t *want = calloc(n + 1, sizeof *want);
    assert_non_null(want);
    for (size_t i = 0; i < n; i++)
        want[i] = json_object_get_int(json_object_array_get_idx(ids, i));
    size_t bytes = (size_t)json_object_get_string_len(text);
    check_case(f, json_object_get_string(text), bytes, &options, &(struct token_ids){want, n});
    const char *kind = json_object_get_string(json_object_object_get(object, "kind"));
    if (f->row->exact_back && strcmp(kind, "special") != 0)
        check_back(f, json_object_get_string(text), bytes);
    free(want);
}

static void check_json_lines(struct fixture *f)
{
    size_t bytes = 0;
    char *data = read_data(f->row->name, ".jsonl", &bytes);
    for (char *line = data; *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        struct json_object *object = json_tokener_parse(line);
        assert_non_null(object);
        check_json_line(f, object);
        json_object_put(object);
        if (end == NULL)
            break;
        line = end + 1;
    }
    free(data);
}

static void every_reference_case_gives_its_ids(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(vocabs); i++) {
        struct fixture f = {.row = &vocabs[i], .vocab = open_vocab(vocabs[i].name)};
        check_text_file(&f);
        check_json_lines(&f);
        print_message("%s: %u cases, %u failures\n", f.row->name, f.n, f.failed);
        failed += f.failed;
        token_close(f.vocab);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    shared = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    struct file_map map;
    char path[512];
    snprintf(path, sizeof path, "%s/data/vocab/LICENSE", shared == NULL ? "" : shared);
    if (file_map(path, &map, NULL) != PL_OK) {
        printf("1..0 # SKIP no reference data at %s\n", path);
        return 77;
    }
    file_unmap(&map);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reference_case_gives_its_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
