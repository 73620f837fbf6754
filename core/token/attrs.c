/* See impl.h. Which tokens are special: ids from the file, and those known by their names.
 *
 * Many files lack eot_token_id or mark an end-of-turn token as user-defined, so names decide too, as the
 * engines that made those files expect. A normal token never becomes special by its name, unless it has
 * the form <|...|>, or the file has no token types at all: then names are all there is. */
#include "impl.h"

#include <string.h>

#include "base/banned.h"

static const char *const eot_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|end_of_turn|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<end_of_utterance>",
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", /* DeepSeek */
};

static const char *const eom_names[] = {"<|eom_id|>"};

/* End a generation besides those above. */
static const char *const eog_names[] = {
    "</s>",       "<eos>",        "[EOS]",        "<turn|>",       "<|tool_response>", "<|return|>",
    "<|call|>",   "<|calls|>",    "<|flush|>",    "<|fim_pad|>",   "<fim-pad>",        "<fim_pad>",
    "<PAD>",      "[PAD]",        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>",       "<REPO>",
    "<reponame>", "<|file_sep|>", "[e~[",
};

/* Control tokens of fill-in-the-middle, whatever the file calls them: text must not become one. */
static const char *const fim_names[] = {
    "<|fim_prefix|>",  "<fim-prefix>",
    "<fim_prefix>",    "<\357\275\234fim\342\226\201begin\357\275\234>", /* DeepSeek */
    "<PRE>",           "\342\226\201<PRE>",
    "<|code_prefix|>", "<|prefix|>",
    "<|fim_suffix|>",  "<fim-suffix>",
    "<fim_suffix>",    "<\357\275\234fim\342\226\201hole\357\275\234>", /* DeepSeek */
    "<SUF>",           "\342\226\201<SUF>",
    "<|code_suffix|>", "<|suffix|>",
    "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",    "<\357\275\234fim\342\226\201end\357\275\234>", /* DeepSeek */
    "<MID>",           "\342\226\201<MID>",
    "<|code_middle|>", "<|middle|>",
};

/* The channel marks of the harmony format: part of the text that its reader parses. */
static const char *const visible_names[] = {"<|channel|>", "<|message|>", "<|start|>",
                                            "<|constrain|>"};

/* The keys, and what files mean that leave one out. */
static const struct {
    const char *key;
    enum token_special which;
    int32_t spm, wordpiece, unigram; /* defaults */
} special_keys[] = {
    {"tokenizer.ggml.bos_token_id", TOKEN_BOS, 1, 101, TOKEN_NONE},
    {"tokenizer.ggml.eos_token_id", TOKEN_EOS, 2, TOKEN_NONE, 1},
    {"tokenizer.ggml.eot_token_id", TOKEN_EOT, TOKEN_NONE, TOKEN_NONE, TOKEN_NONE},
    {"tokenizer.ggml.eom_token_id", TOKEN_EOM, TOKEN_NONE, TOKEN_NONE, TOKEN_NONE},
    {"tokenizer.ggml.unknown_token_id", TOKEN_UNK, 0, 100, 2},
    {"tokenizer.ggml.seperator_token_id", TOKEN_SEP, TOKEN_NONE, 102,
     TOKEN_NONE}, /* spelt so by the format */
    {"tokenizer.ggml.padding_token_id", TOKEN_PAD, TOKEN_NONE, 0, 0},
    {"tokenizer.ggml.cls_token_id", TOKEN_CLS, TOKEN_NONE, 101, TOKEN_NONE},
    {"tokenizer.ggml.mask_token_id", TOKEN_MASK, TOKEN_NONE, 103, TOKEN_NONE},
};

static enum pl_status read_ids(struct token_vocab *v, const struct gguf *file, struct pl_error *err)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(special_keys); i++) {
        int32_t id = v->model == TOKEN_MODEL_SPM         ? special_keys[i].spm
                     : v->model == TOKEN_MODEL_WORDPIECE ? special_keys[i].wordpiece
                     : v->model == TOKEN_MODEL_UNIGRAM   ? special_keys[i].unigram
                                                         : TOKEN_NONE;
        v->special[special_keys[i].which] = id < v->n ? id : TOKEN_NONE;
        if (gguf_find(file, special_keys[i].key) == NULL)
            continue;
        uint32_t value = 0;
        enum pl_status status = gguf_get_u32(file, special_keys[i].key, &value, err);
        if (status != PL_OK)
            return status;
        if (value == UINT32_MAX) { /* some writers' "none" */
            v->special[special_keys[i].which] = TOKEN_NONE;
            continue;
        }
        if (value >= (uint32_t)v->n)
            return pl_error_set(err, PL_EFORMAT,
                                "token: key '%s' is %u, the vocabulary has %d tokens",
                                special_keys[i].key, value, v->n);
        v->special[special_keys[i].which] = (int32_t)value;
    }
    return PL_OK;
}

/* No text of any language looks like <|...|>: files that call such a token normal are old or wrong. */
static bool in_bars(struct gguf_str text)
{
    return (text.len > 4 && memcmp(text.data, "<|", 2) == 0 &&
            memcmp(text.data + text.len - 2, "|>", 2) == 0) ||
           (text.len > 8 && memcmp(text.data, "<\357\275\234", 4) == 0);
}

static bool may_be_special(const struct token_vocab *v, int32_t id)
{
    return !v->typed || (v->attrs[id] & TOKEN_ATTR_NORMAL) == 0 || in_bars(v->texts[id]);
}

/* The special token of that name, or TOKEN_NONE. */
static int32_t find_named(const struct token_vocab *v, const char *name)
{
    int32_t id = token_map_find(&v->by_text, name, strlen(name));
    return id != TOKEN_NONE && may_be_special(v, id) ? id : TOKEN_NONE;
}

static void mark_eog(struct token_vocab *v, int32_t id)
{
    v->eog[id] = true;
    v->attrs[id] |= TOKEN_ATTR_CONTROL;
}

static void mark_named(struct token_vocab *v, const char *const *names, size_t n,
                       int32_t *first_or_null)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = find_named(v, names[i]);
        if (id == TOKEN_NONE)
            continue;
        mark_eog(v, id);
        if (first_or_null != NULL && *first_or_null == TOKEN_NONE)
            *first_or_null = id;
    }
}

static void mark_fim(struct token_vocab *v)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(fim_names); i++) {
        int32_t id = find_named(v, fim_names[i]);
        if (id != TOKEN_NONE)
            v->attrs[id] |= TOKEN_ATTR_CONTROL;
    }
}

static void show(struct token_vocab *v, int32_t id, uint8_t attrs)
{
    v->eog[id] = false;
    v->attrs[id] = attrs;
}

static bool ends_generation(const struct token_vocab *v, const char *name)
{
    int32_t id = find_named(v, name);
    return id != TOKEN_NONE && v->eog[id];
}

/* Formats whose messages contain a token that ends others: it is text there. */
static void unmark_inner_ends(struct token_vocab *v)
{
    bool call = ends_generation(v, "<|call|>") || ends_generation(v, "<|calls|>");
    int32_t end = find_named(v, "<|end|>");
    if (end != TOKEN_NONE && call &&
        (ends_generation(v, "<|return|>") || ends_generation(v, "<|flush|>")))
        show(v, end, TOKEN_ATTR_USER);
    int32_t s = find_named(v, "</s>");
    if (s != TOKEN_NONE && ends_generation(v, "<|tool_response>"))
        show(v, s, TOKEN_ATTR_NORMAL);
    for (size_t i = 0; i < PL_ARRAY_LEN(visible_names); i++) {
        int32_t id = find_named(v, visible_names[i]);
        if (id != TOKEN_NONE)
            v->attrs[id] = TOKEN_ATTR_USER;
    }
}

static enum pl_status read_flag(const struct gguf *file, const char *key, bool *flag,
                                struct pl_error *err)
{
    return gguf_find(file, key) == NULL ? PL_OK : gguf_get_bool(file, key, flag, err);
}

static bool text_contains(struct gguf_str text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* Phi-3 swallows white space behind its special tokens; the format has no key for it, so that the
 * model's name decides. */
static bool read_strip(struct token_vocab *v, const struct gguf *file)
{
    struct gguf_str name;
    if (gguf_get_str(file, "general.name", &name, NULL) != PL_OK)
        return true;
    if (!text_contains(name, "phi-3") && !text_contains(name, "phi3") &&
        !text_contains(name, "Phi-3") && !text_contains(name, "Phi3"))
        return true;
    v->strip_right = arena_zalloc(&v->arena, (size_t)v->n);
    if (v->strip_right == NULL)
        return false;
    for (int32_t id = 0; id < v->n; id++)
        v->strip_right[id] =
            (v->attrs[id] & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_USER | TOKEN_ATTR_UNKNOWN)) != 0;
    static const char *const exempt[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < PL_ARRAY_LEN(exempt); i++) {
        int32_t id = token_map_find(&v->by_text, exempt[i], strlen(exempt[i]));
        if (id != TOKEN_NONE)
            v->strip_right[id] = 0;
    }
    return true;
}

enum pl_status token_read_special(struct token_vocab *v, const struct gguf *file,
                                  struct pl_error *err)
{
    enum pl_status status = read_ids(v, file, err);
    if (status == PL_OK)
        status = read_flag(file, "tokenizer.ggml.add_bos_token", &v->add_bos, err);
    if (status == PL_OK)
        status = read_flag(file, "tokenizer.ggml.add_eos_token", &v->add_eos, err);
    if (status == PL_OK)
        status = read_flag(file, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, err);
    if (status != PL_OK)
        return status;
    v->eog = arena_zalloc(&v->arena, (size_t)v->n * sizeof *v->eog);
    if (v->eog == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    mark_named(v, eot_names, PL_ARRAY_LEN(eot_names), &v->special[TOKEN_EOT]);
    mark_named(v, eom_names, PL_ARRAY_LEN(eom_names), &v->special[TOKEN_EOM]);
    mark_named(v, eog_names, PL_ARRAY_LEN(eog_names), NULL);
    mark_fim(v);
    static const enum token_special ends[] = {TOKEN_EOS, TOKEN_EOT, TOKEN_EOM};
    for (size_t i = 0; i < PL_ARRAY_LEN(ends); i++) {
        if (v->special[ends[i]] != TOKEN_NONE)
            v->eog[v->special[ends[i]]] = true;
    }
    unmark_inner_ends(v);
    if (!read_strip(v, file))
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return PL_OK;
}
