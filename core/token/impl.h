/*
 * token/impl.h - what the files of this room share: the tokenizer's tables.
 *
 * Not a public header. A vocabulary is built once by open.c and then only read; the one exception are
 * the `whole` marks, a cache of facts that any thread may find out again.
 *
 * Ownership: everything lives in the vocabulary's arena, but for the splitter.
 * Threads: as token.h.  Limits: TOKEN_VOCAB_MAX, TOKEN_BYTES_MAX.  Source: docs/internals/token.md.
 */
#ifndef TOKEN_IMPL_H
#define TOKEN_IMPL_H

#include "token.h"

#include "base/arena.h"

#include <stdatomic.h>

#define TOKEN_VOCAB_MAX    1048576 /* tokens; the largest known vocabulary has 262,144 */
#define TOKEN_BYTES_MAX    4096    /* of one token's text; the longest known have about 400 */
#define TOKEN_RANK_NONE    UINT32_MAX
#define TOKEN_WARNING_MAX  200
#define TOKEN_PATTERNS_MAX 6 /* stages of a pre-tokenizer */

enum token_model {
    TOKEN_MODEL_SPM,       /* "llama": SentencePiece BPE, merges by score */
    TOKEN_MODEL_BPE,       /* "gpt2": byte-level BPE, merges by rank */
    TOKEN_MODEL_WORDPIECE, /* "bert" */
    TOKEN_MODEL_UNIGRAM,   /* "t5": SentencePiece unigram, the greatest sum of scores */
};

/* ---- maps ------------------------------------------------------------------------------------ */

#define TOKEN_HASH_KEYS (TOKEN_BYTES_MAX / 4 + 3) /* a constant, the length, each 4 bytes */

struct token_slot {
    uint32_t tag;  /* of the name's hash */
    uint32_t item; /* id + 1; 0 = free */
};

/* Bytes -> id, open addressing. Names are untrusted: the hash is universal under random keys. */
struct token_map {
    struct token_slot *slots;
    const uint64_t *keys; /* [TOKEN_HASH_KEYS] */
    unsigned shift;       /* 64 - log2(slots) */
    size_t mask;          /* slots - 1 */
    const struct gguf_str *names;
};

/* Random keys for the maps of one vocabulary; NULL: out of memory. */
const uint64_t *token_hash_keys(struct arena *arena);

/* An empty map for up to n of the names. No name that is added or sought has over TOKEN_BYTES_MAX bytes
 * (a longer one is not found). */
PL_NODISCARD bool token_map_init(struct token_map *map, struct arena *arena, const uint64_t *keys,
                                 const struct gguf_str *names, size_t n);

struct token_twice {
    int32_t first, second; /* ids of the same name; TOKEN_NONE: there are none */
};

/* Adds ids under their names. Of equal names the first stays; the first such two are returned. */
struct token_twice token_map_add(struct token_map *map, const int32_t *ids, size_t n);
int32_t token_map_find(const struct token_map *map, const char *bytes,
                       size_t n); /* or TOKEN_NONE */

/* Finding many at once: memory is slow, so ask for all slots, then all names, then compare.
 *
 *     token_probe_hash each;  token_probe_peek each;  token_probe_touch each;  token_probe_end each */
struct token_probe {
    const char *bytes;
    size_t n;
    uint64_t hash;
    int32_t guess; /* the first id whose tag fits, or TOKEN_NONE */
};
void token_probe_hash(const struct token_map *map,
                      struct token_probe *probe); /* bytes, n are set */
void token_probe_peek(const struct token_map *map, struct token_probe *probe);
void token_probe_touch(const struct token_map *map, const struct token_probe *probe);
int32_t token_probe_end(const struct token_map *map, const struct token_probe *probe);

struct token_pair {
    uint32_t left, right; /* ids; left = UINT32_MAX: free */
    uint32_t rank;        /* of the merge: lower merges first */
    int32_t merged;       /* id */
};

/* (left, right) -> rank and merged id, open addressing under a random multiplier. */
struct token_pairs {
    struct token_pair *slots;
    uint64_t multiplier;
    unsigned shift; /* 64 - log2(slots) */
    size_t mask;
};

PL_NODISCARD bool token_pairs_init(struct token_pairs *pairs, struct arena *arena, size_t n);
/* The first one of equal pairs stays. */
void token_pairs_add(struct token_pairs *pairs, struct token_pair pair);
void token_pairs_touch(const struct token_pairs *pairs, const struct token_pair *pair);
const struct token_pair *token_pairs_find(const struct token_pairs *pairs, int32_t left,
                                          int32_t right); /* or NULL */

/* ---- special tokens in text ------------------------------------------------------------------ */

struct token_trie_node {
    uint32_t child;   /* first child; 0 = none (the root is nobody's child) */
    uint32_t sibling; /* next child of the same parent; 0 = none */
    int32_t id;       /* a token that ends here, or TOKEN_NONE */
    unsigned char byte;
};

struct token_trie {
    struct token_trie_node *nodes; /* [0] is the root */
    uint32_t n;
    bool starts[256]; /* some token begins with the byte */
};

/* A stretch of text: plain, or one special token. */
struct token_fragment {
    const char *text;
    size_t n;
    int32_t id; /* TOKEN_NONE: plain text */
};

/* ---- unigram --------------------------------------------------------------------------------- */

struct token_word_node {
    uint32_t child; /* first child; the others follow it */
    int32_t id;     /* a token that ends here, or TOKEN_NONE */
    uint16_t n;     /* children */
};

/* All tokens that text may become, by their bytes. */
struct token_words {
    struct token_word_node *nodes; /* [0] is the root */
    unsigned char *bytes;          /* [node] by which its parent leads to it */
};

/* Replacements by SentencePiece's normaliser; see charsmap.c. */
struct token_charsmap {
    const uint32_t *units;
    uint32_t n_units; /* 0: no replacements */
    const char *texts;
    size_t texts_bytes;
};

/* ---- the vocabulary -------------------------------------------------------------------------- */

enum token_whole { TOKEN_WHOLE_UNKNOWN, TOKEN_WHOLE_YES, TOKEN_WHOLE_NO };

struct token_split;

struct token_vocab {
    struct arena arena;
    enum token_model model;
    int32_t n;               /* V */
    struct gguf_str *texts;  /* [V] as stored */
    struct gguf_str *pieces; /* [V] output bytes, special ones too */
    uint8_t *attrs;          /* [V] enum token_attr bits */
    uint8_t *strip_right;    /* [V] white space behind the special token belongs to it; or NULL */
    bool *eog;               /* [V] */
    _Atomic uint8_t *whole;  /* [V] enum token_whole: its own bytes encode to just this token */
    uint32_t *ranks;         /* [V] SPM: order of merging, from the scores */
    float *scores;           /* [V] unigram */
    double unknown_score;    /* unigram: of a character without a token */
    int32_t special[TOKEN_N_SPECIAL];
    bool add_bos, add_eos;
    bool add_space_prefix; /* SPM: a space before the text */
    bool ignore_merges;    /* BPE: a pre-token that is a token is taken whole */
    bool joins[256]; /* chars: bytes that some token has before a blank; else words are separate */
    bool chars;      /* merged are characters and blanks are U+2581; else bytes are */
    bool newlines_whole; /* BPE of characters: a run of newlines that is a token is taken whole */
    bool merge_spaces;   /* unigram: of white space one blank is left, none at the ends */
    bool lower_case, strip_accents; /* WordPiece */
    bool typed;                     /* the file tells token types */
    size_t token_bytes_max;
    const uint64_t *hash_keys;
    int32_t byte_ids[256]; /* token of a single byte, or TOKEN_NONE */
    struct token_map by_text;
    struct token_map mergeable; /* what text may become: SPM by stored text, BPE by output bytes */
    struct token_pairs pairs;
    struct token_trie trie;
    struct token_words words_trie;  /* unigram */
    struct token_charsmap charsmap; /* unigram */
    struct token_split *split;      /* BPE: the pre-tokenizer */
    char warning[TOKEN_WARNING_MAX];
};

/* ---- parts ----------------------------------------------------------------------------------- */

/* attrs.c: special ids, EOG, attribute repairs. */
PL_NODISCARD enum pl_status token_read_special(struct token_vocab *v, const struct gguf *file,
                                               struct pl_error *err);

/* bpe.c */
PL_NODISCARD enum pl_status token_bpe_init(struct token_vocab *v, const struct gguf *file,
                                           struct pl_error *err);
/* spm.c */
PL_NODISCARD enum pl_status token_spm_init(struct token_vocab *v, const struct gguf *file,
                                           struct pl_error *err);

/* Byte tokens and output bytes of a vocabulary that stores blanks as U+2581 and bytes as <0x..>. */
PL_NODISCARD enum pl_status token_blank_pieces(struct token_vocab *v, struct pl_error *err);
/* Indexes the stored texts of what text may become, as v->mergeable; false: out of memory. */
PL_NODISCARD bool token_index_texts(struct token_vocab *v);
/* unigram.c, charsmap.c */
PL_NODISCARD enum pl_status token_unigram_init(struct token_vocab *v, const struct gguf *file,
                                               struct pl_error *err);
PL_NODISCARD enum pl_status token_charsmap_init(struct token_vocab *v, const struct gguf *file,
                                                struct pl_error *err);
/* wordpiece.c */
PL_NODISCARD enum pl_status token_wordpiece_init(struct token_vocab *v, const struct gguf *file,
                                                 struct pl_error *err);

/* special.c */
PL_NODISCARD bool token_trie_init(struct token_vocab *v);
/* The next fragment of text[*at, n); false at the end. control: control tokens count too. */
PL_NODISCARD bool token_next_fragment(const struct token_vocab *v, const char *text, size_t n,
                                      bool control, size_t *at, struct token_fragment *ret);

/* ---- encoding -------------------------------------------------------------------------------- */

struct token_node { /* a symbol of the piece that is being merged */
    int32_t id;     /* TOKEN_NONE: not a token */
    uint32_t at;    /* first byte in the piece */
    uint32_t prev, next;
    uint32_t rank;  /* of the merge with next; TOKEN_RANK_NONE: none */
    int32_t merged; /* by that merge */
};

/* Unigram: the best way that ends at a place of the text. */
struct token_best {
    double score;
    uint32_t start; /* of its last token; UINT32_MAX: no way ends here */
    int32_t id;     /* of its last token; TOKEN_NONE: unknown */
};

/* What one call of token_encode works with. */
struct token_encoder {
    const struct token_vocab *v;
    struct token_ids out;
    size_t out_capacity;
    struct token_node *nodes; /* scratch, grows to the longest piece */
    size_t nodes_capacity;
    uint64_t *heap; /* rank << 32 | node */
    size_t heap_n, heap_capacity;
    char *text; /* scratch: escaped or normalised text */
    size_t text_capacity;
    struct token_best *best; /* scratch: unigram */
    size_t best_capacity;
};

PL_NODISCARD bool token_emit(struct token_encoder *e, int32_t id);

/* In place of what has no token: the unknown token, or nothing. */
PL_NODISCARD bool token_emit_unknown(struct token_encoder *e);

/* text with blanks as U+2581 into e->text; returns its length, SIZE_MAX when out of memory. */
size_t token_escape_blanks(struct token_encoder *e, const char *text, size_t n, bool space_prefix);
/* Likewise after replacements, with white space merged where the vocabulary says so. */
size_t token_normalise(struct token_encoder *e, const char *text, size_t n);

/* Merges a piece and emits its tokens. false: out of memory. */
PL_NODISCARD bool token_merge_piece(struct token_encoder *e, const char *piece, size_t n);

/* A piece, by the shortest way: whole token, else merges. */
PL_NODISCARD bool token_encode_piece(struct token_encoder *e, const struct token_map *map,
                                     const char *piece, size_t n);

/* A piece whose blanks are U+2581: word by word where that gives the same. */
PL_NODISCARD bool token_encode_words(struct token_encoder *e, const char *text, size_t n);
PL_NODISCARD bool token_spm_encode(struct token_encoder *e, const char *text, size_t n,
                                   bool space_prefix);
PL_NODISCARD bool token_unigram_encode(struct token_encoder *e, const char *text, size_t n);
PL_NODISCARD bool token_wordpiece_encode(struct token_encoder *e, const char *text, size_t n);
PL_NODISCARD enum pl_status token_bpe_encode(struct token_encoder *e, const char *text, size_t n,
                                             struct pl_error *err);

#endif
