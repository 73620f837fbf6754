/*
 * polder-bench tokenize and detokenize: text to ids and back through a model file's vocabulary.
 */
#include "bench.h"
#include "lines.h"
#include "options.h"

#if defined(BENCH_HAVE_TOKEN) && defined(PL_HAVE_JSONC)

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "gguf/gguf.h"
#include "token/token.h"

#include "base/banned.h"

#define LINE_DEPTH_MAX 32 /* a line is an object or an array of numbers */

struct job {
    const char *command;
    struct token_vocab *vocab;
    struct token_encode_options encode;
    bool special; /* detokenize: control tokens appear in the text */
};

static bool open_vocab(struct job *job, const char *path)
{
    struct gguf *file = NULL;
    struct pl_error err = {{0}};
    enum pl_status status = gguf_open(path, &file, &err);
    if (status == PL_OK)
        status = token_open(file, &job->vocab, &err);
    gguf_close(file);
    if (status != PL_OK) {
        bench_fail(job->command, "%s", err.msg);
        return false;
    }
    if (token_warning(job->vocab) != NULL)
        fprintf(stderr, "polder-bench %s: %s\n", job->command, token_warning(job->vocab));
    return true;
}

static json_object *parse_line(const struct job *job, size_t line_i, const char *line, size_t n)
{
    struct json_tokener *parser = json_tokener_new_ex(LINE_DEPTH_MAX);
    if (parser == NULL) {
        bench_fail(job->command, "out of memory");
        return NULL;
    }
    json_tokener_set_flags(parser, JSON_TOKENER_STRICT);
    json_object *root = n < INT32_MAX ? json_tokener_parse_ex(parser, line, (int)n + 1) : NULL;
    if (root == NULL)
        bench_fail(job->command, "line %zu: %s", line_i + 1,
                   json_tokener_error_desc(json_tokener_get_error(parser)));
    json_tokener_free(parser);
    return root;
}

/* ---- tokenize -------------------------------------------------------------------------------- */

static bool print_ids(const struct job *job, const char *text, size_t n)
{
    struct token_ids ids = {0};
    struct pl_error err = {{0}};
    if (token_encode(job->vocab, text, n, &job->encode, &ids, &err) != PL_OK) {
        bench_fail(job->command, "%s", err.msg);
        return false;
    }
    putchar('[');
    for (size_t i = 0; i < ids.n; i++)
        printf("%s%d", i == 0 ? "" : ",", ids.ids[i]);
    puts("]");
    token_ids_free(&ids);
    return true;
}

static bool on_text_line(void *user, size_t line_i, const char *line, size_t n)
{
    const struct job *job = user;
    json_object *root = parse_line(job, line_i, line, n);
    if (root == NULL)
        return false;
    json_object *text = NULL;
    bool ok = json_object_is_type(root, json_type_object) &&
              json_object_object_get_ex(root, "text", &text) &&
              json_object_is_type(text, json_type_string);
    if (!ok)
        bench_fail(job->command, "line %zu: not an object with a string \"text\"", line_i + 1);
    else
        ok = print_ids(job, json_object_get_string(text), (size_t)json_object_get_string_len(text));
    json_object_put(root);
    return ok;
}

int cmd_tokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool jsonl = false;
    struct job job = {.command = "tokenize"};
    const struct option_row rows[] = {
        {.name = "--model",
         .value = "FILE",
         .kind = OPTION_TEXT,
         .target = &model,
         .required = true,
         .help = "GGUF file with the vocabulary"},
        {.name = "--add-special",
         .kind = OPTION_FLAG,
         .target = &job.encode.add_special,
         .help = "add BOS and EOS as the vocabulary says"},
        {.name = "--parse-special",
         .kind = OPTION_FLAG,
         .target = &job.encode.parse_special,
         .help = "recognise the text of special tokens"},
        {.name = "--jsonl",
         .kind = OPTION_FLAG,
         .target = &jsonl,
         .help = "input: one {\"text\": ...} a line; output: one array of ids a line"},
    };
    const struct options options = {
        .command = "tokenize",
        .summary = "Reads text from standard input, prints token ids. Without --jsonl the whole\n"
                   "input is one text.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    if (!open_vocab(&job, model))
        return BENCH_FAILED;
    bool ok = false;
    if (jsonl) {
        ok = lines_each("tokenize", on_text_line, &job);
    } else {
        size_t n = 0;
        char *text = lines_read_all("tokenize", &n);
        ok = text != NULL && print_ids(&job, text, n);
        free(text);
    }
    token_close(job.vocab);
    return ok ? BENCH_OK : BENCH_FAILED;
}

/* ---- detokenize ------------------------------------------------------------------------------ */

/* The array itself, or the member "ids" or "tokens" of an object; NULL: neither. */
static json_object *find_ids(json_object *root)
{
    json_object *ids = root;
    if (json_object_is_type(root, json_type_object) &&
        !json_object_object_get_ex(root, "ids", &ids) &&
        !json_object_object_get_ex(root, "tokens", &ids))
        return NULL;
    return json_object_is_type(ids, json_type_array) ? ids : NULL;
}

static bool decode_ids(const struct job *job, size_t line_i, json_object *array, char **ret,
                       size_t *ret_n)
{
    size_t n = json_object_array_length(array);
    int32_t *ids = calloc(n + 1, sizeof *ids);
    bool ok = ids != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        json_object *item = json_object_array_get_idx(array, i);
        int64_t id = json_object_get_int64(item);
        ok = json_object_is_type(item, json_type_int) && id >= 0 && id < token_count(job->vocab);
        if (!ok)
            bench_fail(job->command, "line %zu: item %zu is no token id below %d", line_i + 1,
                       i + 1, token_count(job->vocab));
        else
            ids[i] = (int32_t)id;
    }
    struct pl_error err = {{0}};
    if (ok && token_decode(job->vocab, ids, n, job->special, ret, ret_n, &err) != PL_OK) {
        bench_fail(job->command, "line %zu: %s", line_i + 1, err.msg);
        ok = false;
    }
    free(ids);
    return ok;
}

static bool on_ids_line(void *user, size_t line_i, const char *line, size_t n)
{
    const struct job *job = user;
    json_object *root = parse_line(job, line_i, line, n);
    if (root == NULL)
        return false;
    json_object *array = find_ids(root);
    char *text = NULL;
    size_t text_n = 0;
    bool ok = array != NULL && decode_ids(job, line_i, array, &text, &text_n);
    if (array == NULL)
        bench_fail(job->command, "line %zu: not an array of token ids", line_i + 1);
    if (ok && !lines_print_text(text, text_n))
        ok = bench_fail(job->command, "out of memory") == BENCH_OK;
    free(text);
    json_object_put(root);
    return ok;
}

/* "1,5,9", "[1, 5, 9]" or numbers on lines, to the bytes that they stand for. */
static bool detokenize_plain(const struct job *job)
{
    size_t n = 0;
    char *text = lines_read_all(job->command, &n);
    if (text == NULL)
        return false;
    struct buf list;
    buf_init(&list, 0);
    buf_char(&list, '[');
    for (char *save = NULL, *part = strtok_r(text, "[], \t\r\n", &save); part != NULL;
         part = strtok_r(NULL, "[], \t\r\n", &save)) {
        buf_str(&list, list.len > 1 ? "," : "");
        buf_str(&list, part);
    }
    buf_char(&list, ']');
    free(text);
    json_object *root = list.failed ? NULL : parse_line(job, 0, list.data, list.len);
    char *decoded = NULL;
    size_t decoded_n = 0;
    bool ok = root != NULL && decode_ids(job, 0, root, &decoded, &decoded_n);
    if (ok)
        fwrite(decoded, 1, decoded_n, stdout);
    free(decoded);
    json_object_put(root);
    buf_deinit(&list);
    return ok;
}

int cmd_detokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool jsonl = false;
    struct job job = {.command = "detokenize"};
    const struct option_row rows[] = {
        {.name = "--model",
         .value = "FILE",
         .kind = OPTION_TEXT,
         .target = &model,
         .required = true,
         .help = "GGUF file with the vocabulary"},
        {.name = "--special",
         .kind = OPTION_FLAG,
         .target = &job.special,
         .help = "control tokens appear in the text"},
        {.name = "--jsonl",
         .kind = OPTION_FLAG,
         .target = &jsonl,
         .help = "input: one array of ids a line; output: one {\"text\": ...} a line"},
    };
    const struct options options = {
        .command = "detokenize",
        .summary =
            "Reads token ids from standard input, prints text. Without --jsonl the input is\n"
            "one list of ids and the output its bytes as they are.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    if (!open_vocab(&job, model))
        return BENCH_FAILED;
    bool ok = jsonl ? lines_each("detokenize", on_ids_line, &job) : detokenize_plain(&job);
    token_close(job.vocab);
    return ok ? BENCH_OK : BENCH_FAILED;
}

#else

#ifdef BENCH_HAVE_TOKEN
#define LACKS "json-c"
#else
#define LACKS "a tokenizer (PCRE2)"
#endif

int cmd_tokenize(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("tokenize", LACKS);
}

int cmd_detokenize(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("detokenize", LACKS);
}

#endif
