/* See token.h. Questions about a vocabulary, encode and decode. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/banned.h"

static bool exists(const struct token_vocab *vocab, int32_t id)
{
    return id >= 0 && id < vocab->n;
}

/* WordPiece sequences begin with CLS. */
static enum token_special first_special(const struct token_vocab *v)
{
    bool cls = v->model == TOKEN_MODEL_WORDPIECE && v->special[TOKEN_CLS] != TOKEN_NONE;
    return cls ? TOKEN_CLS : TOKEN_BOS;
}

const char *token_warning(const struct token_vocab *vocab)
{
    return vocab->warning[0] == '\0' ? NULL : vocab->warning;
}

int32_t token_count(const struct token_vocab *vocab)
{
    return vocab->n;
}

int32_t token_special(const struct token_vocab *vocab, enum token_special which)
{
    return which < TOKEN_N_SPECIAL ? vocab->special[which] : TOKEN_NONE;
}

bool token_is_eog(const struct token_vocab *vocab, int32_t id)
{
    return exists(vocab, id) && vocab->eog[id];
}

bool token_adds_bos(const struct token_vocab *vocab)
{
    return vocab->add_bos && vocab->special[first_special(vocab)] != TOKEN_NONE;
}

uint32_t token_attrs(const struct token_vocab *vocab, int32_t id)
{
    return exists(vocab, id) ? vocab->attrs[id] : 0;
}

struct gguf_str token_text(const struct token_vocab *vocab, int32_t id)
{
    return exists(vocab, id) ? vocab->texts[id] : (struct gguf_str){"", 0};
}

struct gguf_str token_piece(const struct token_vocab *vocab, int32_t id, bool special)
{
    struct gguf_str none = {"", 0};
    if (!exists(vocab, id))
        return none;
    bool hidden = (vocab->attrs[id] & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN)) != 0;
    return hidden && !special ? none : vocab->pieces[id];
}

/* ---- encode ---------------------------------------------------------------------------------- */

void token_ids_free(struct token_ids *ids)
{
    if (ids == NULL)
        return;
    free(ids->ids);
    *ids = (struct token_ids){0};
}

static enum pl_status no_memory(struct pl_error *err)
{
    return pl_error_set(err, PL_ENOMEM, "token: out of memory");
}

static bool emit_if(struct token_encoder *e, bool wanted, enum token_special which)
{
    int32_t id = e->v->special[which];
    return !wanted || id == TOKEN_NONE || token_emit(e, id);
}

static enum pl_status encode_fragments(struct token_encoder *e, const char *text, size_t n,
                                       bool parse_special, struct pl_error *err)
{
    const struct token_vocab *v = e->v;
    bool after_special = true; /* the start of text counts as such */
    struct token_fragment part;
    for (size_t at = 0; token_next_fragment(v, text, n, parse_special, &at, &part);) {
        enum pl_status status = PL_OK;
        if (part.id != TOKEN_NONE) {
            if (!token_emit(e, part.id))
                return no_memory(err);
        } else if (v->model == TOKEN_MODEL_SPM) {
            if (!token_spm_encode(e, part.text, part.n, v->add_space_prefix && after_special))
                return no_memory(err);
        } else if (v->model == TOKEN_MODEL_UNIGRAM) {
            if (!token_unigram_encode(e, part.text, part.n))
                return no_memory(err);
        } else if (v->model == TOKEN_MODEL_WORDPIECE) {
            if (!token_wordpiece_encode(e, part.text, part.n))
                return no_memory(err);
        } else {
            status = token_bpe_encode(e, part.text, part.n, err);
        }
        if (status != PL_OK)
            return status;
        after_special = part.id != TOKEN_NONE;
    }
    return PL_OK;
}

/* WordPiece sequences end with SEP. */
static enum token_special last_special(const struct token_vocab *v)
{
    bool sep = v->model == TOKEN_MODEL_WORDPIECE && v->special[TOKEN_SEP] != TOKEN_NONE;
    return sep ? TOKEN_SEP : TOKEN_EOS;
}

enum pl_status token_encode(const struct token_vocab *vocab, const char *text, size_t n,
                            const struct token_encode_options *options, struct token_ids *ret,
                            struct pl_error *err)
{
    if (n > TOKEN_TEXT_MAX)
        return pl_error_set(err, PL_ELIMIT, "token: text of %zu bytes, at most %zu", n,
                            TOKEN_TEXT_MAX);
    struct token_encoder e = {.v = vocab};
    enum pl_status status = PL_OK;
    if (!emit_if(&e, options->add_special && vocab->add_bos, first_special(vocab)))
        status = no_memory(err);
    if (status == PL_OK)
        status = encode_fragments(&e, text, n, options->parse_special, err);
    if (status == PL_OK &&
        !emit_if(&e, options->add_special && vocab->add_eos, last_special(vocab)))
        status = no_memory(err);
    free(e.nodes);
    free(e.heap);
    free(e.text);
    free(e.best);
    if (status != PL_OK)
        token_ids_free(&e.out);
    else
        *ret = e.out;
    return status;
}

/* ---- decode ---------------------------------------------------------------------------------- */

enum pl_status token_decode(const struct token_vocab *vocab, const int32_t *ids, size_t n,
                            bool special, char **ret, size_t *ret_bytes, struct pl_error *err)
{
    struct buf out;
    buf_init(&out, 0);
    bool strip = vocab->add_space_prefix;
    for (size_t i = 0; i < n; i++) {
        struct gguf_str piece = token_piece(vocab, ids[i], special);
        bool control =
            (token_attrs(vocab, ids[i]) & (TOKEN_ATTR_CONTROL | TOKEN_ATTR_UNKNOWN)) != 0;
        if (strip && !control && piece.len > 0) {
            size_t skip = piece.data[0] == ' ' ? 1 : 0;
            piece = (struct gguf_str){piece.data + skip, piece.len - skip};
            strip = false;
        }
        if (piece.len > 0)
            buf_append(&out, piece.data, piece.len);
    }
    size_t bytes = out.len;
    char *text = buf_take(&out);
    if (text == NULL) {
        buf_deinit(&out);
        return no_memory(err);
    }
    *ret = text;
    *ret_bytes = bytes;
    return PL_OK;
}
