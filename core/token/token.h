/*
 * token/token.h - text to token ids and back, as the model file's own vocabulary says.
 *
 * Built from a GGUF's tokenizer.ggml.* metadata: SentencePiece BPE ("llama"), byte-level BPE ("gpt2", by
 * published pre-tokenizer patterns named in tokenizer.ggml.pre; needs PCRE2; "gemma4" is its form over
 * characters), SentencePiece unigram ("t5") and WordPiece ("bert"; needs utf8proc). Special tokens are
 * matched in text only where the caller asks.
 *
 * Ownership: a tokenizer copies what it needs; the gguf may be closed afterwards.
 * Threads: immutable after token_open; encode and decode from any thread at once.
 * Errors: PL_EFORMAT (bad metadata, naming the key), PL_ENOTSUP (unknown model), PL_ENOMEM, PL_ELIMIT.
 * Limits: TOKEN_TEXT_MAX; encode takes time linear (times log) in the text.
 * Source: see docs/internals/token.md.
 */
#ifndef TOKEN_TOKEN_H
#define TOKEN_TOKEN_H

#include "gguf/gguf.h"

#include <polder/status.h>

#define TOKEN_TEXT_MAX ((size_t)64 * 1024 * 1024) /* bytes of one encode: beyond any context */
#define TOKEN_NONE     (-1)

struct token_vocab; /* the tokenizer */

enum token_attr { /* bits */
                  TOKEN_ATTR_NORMAL = 1,
                  TOKEN_ATTR_UNKNOWN = 2,
                  TOKEN_ATTR_CONTROL = 4, /* invisible unless asked for: <s>, <|eot_id|> */
                  TOKEN_ATTR_USER = 8,    /* user-defined: matched in any text */
                  TOKEN_ATTR_UNUSED = 16,
                  TOKEN_ATTR_BYTE = 32,
};

enum token_special {
    TOKEN_BOS,
    TOKEN_EOS,
    TOKEN_EOT,
    TOKEN_EOM,
    TOKEN_UNK,
    TOKEN_SEP,
    TOKEN_PAD,
    TOKEN_CLS,
    TOKEN_MASK,
    TOKEN_N_SPECIAL,
};

struct token_ids {
    int32_t *ids; /* malloc'ed */
    size_t n;
};
void token_ids_free(struct token_ids *ids); /* frees ids->ids, zeroes */

PL_NODISCARD enum pl_status token_open(const struct gguf *file, struct token_vocab **ret,
                                       struct pl_error *err);
void token_close(struct token_vocab *vocab);

/* A remark about this vocabulary for the operator (unknown pre-tokenizer, ...), or NULL. */
const char *token_warning(const struct token_vocab *vocab);

int32_t token_count(const struct token_vocab *vocab); /* V */
int32_t token_special(const struct token_vocab *vocab,
                      enum token_special which); /* or TOKEN_NONE */
bool token_is_eog(const struct token_vocab *vocab,
                  int32_t id); /* ends a generation: EOS, EOT, ... */
bool token_adds_bos(const struct token_vocab *vocab);
uint32_t token_attrs(const struct token_vocab *vocab,
                     int32_t id); /* enum token_attr bits, 0: no such */

/* The token's text as the vocabulary stores it ("\u2581the", "\u0120the", "<0x0A>"). */
struct gguf_str token_text(const struct token_vocab *vocab, int32_t id);

/* The bytes that the token stands for in output: " the", "\n". Control tokens give none unless
 * `special`. Empty for an id that does not exist. Lives as long as the vocabulary. */
struct gguf_str token_piece(const struct token_vocab *vocab, int32_t id, bool special);

struct token_encode_options {
    bool add_special;   /* BOS/EOS as the vocabulary says */
    bool parse_special; /* the text of special tokens is recognised; else it is plain text */
};

/* Ill-formed UTF-8 is taken byte by byte. What the vocabulary has no token for becomes the unknown token,
 * or nothing where there is none. Control tokens come out of parse_special and add_special only. */
PL_NODISCARD enum pl_status token_encode(const struct token_vocab *vocab, const char *text,
                                         size_t n, const struct token_encode_options *options,
                                         struct token_ids *ret, struct pl_error *err);

/* All pieces joined; the space that a SentencePiece vocabulary put before the text is removed from the
 * first piece. malloc'ed, NUL-terminated. Bytes need not be valid UTF-8. */
PL_NODISCARD enum pl_status token_decode(const struct token_vocab *vocab, const int32_t *ids,
                                         size_t n, bool special, char **ret, size_t *ret_bytes,
                                         struct pl_error *err);

/* ---- incremental detokenisation -------------------------------------------------------------- */

/* Collects pieces of one generation and lets out only whole UTF-8 characters: an incomplete tail waits
 * for its rest; bytes that can never become a character leave as U+FFFD. Fixed size, no allocation. */
struct token_stream {
    char held[8]; /* incomplete tail */
    size_t held_n;
    bool strip_space; /* drop one leading space of the next piece */
};

void token_stream_init(struct token_stream *stream);

#define TOKEN_STREAM_OUT_MAX(piece_bytes)                                                          \
    (3 * ((piece_bytes) + 8)) /* each byte may become U+FFFD */

/* Appends a piece; writes what is complete to out (at least TOKEN_STREAM_OUT_MAX(n) bytes) and returns
 * its length. */
size_t token_stream_push(struct token_stream *stream, const char *piece, size_t n, char *out);

/* End of generation: what is held leaves as U+FFFD. out: at least 16 bytes. */
size_t token_stream_end(struct token_stream *stream, char *out);

#endif
