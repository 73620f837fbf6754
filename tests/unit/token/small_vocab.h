/*
 * unit/token/small_vocab.h - tiny vocabularies of both kinds, with every part replaceable by a wrong one.
 *
 * Ids of the BPE vocabulary: 0-255 the bytes in order, then vocab_bpe_extra. Of the SPM vocabulary:
 * vocab_spm_tokens, then 256 byte tokens.
 *
 * Threads: one.  Failures of the machine end the test.  Source: ours.
 */
#ifndef UNIT_TOKEN_SMALL_VOCAB_H
#define UNIT_TOKEN_SMALL_VOCAB_H

#include "token/token.h"

struct vocab_item {
    const char *text;
    float score;  /* SPM */
    int32_t type; /* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
};

#define VOCAB_BYTES 256

enum { /* ids of vocab_bpe_extra */
       BPE_CONTROL = VOCAB_BYTES,
       BPE_USER,
       BPE_HE,
       BPE_LL,
       BPE_HELL,
       BPE_HELLO,
       BPE_BLANK_HELLO,
       BPE_AA,
       BPE_AAAA,
       BPE_LT_X,
       BPE_LT_X_GT, /* a control token that merges could make */
       BPE_IM_END,
};

enum { /* ids of vocab_spm_tokens */
       SPM_UNK,
       SPM_BOS,
       SPM_EOS,
       SPM_USER,
       SPM_BLANK,
       SPM_H,
       SPM_I,
       SPM_HI,
       SPM_BLANK_HI,
       SPM_BLANK_BLANK,
       SPM_END_TURN,
       SPM_BYTES, /* the first byte token */
};

extern const struct vocab_item vocab_bpe_extra[];
extern const size_t vocab_bpe_n_extra;
extern const struct vocab_item vocab_spm_tokens[];
extern const size_t vocab_spm_n_tokens;

/* What to do otherwise than right; zero = all right. */
struct vocab_flaws {
    const char *model; /* instead of the right one; "" leaves the key out */
    const char *pre;   /* BPE: instead of "gpt-2"; "" leaves the key out */
    const char *merge; /* BPE: one merge more */
    int merge_n;       /* BPE: so many merges more instead, "h e" but for number merge_bad */
    int merge_bad;
    const char *token;  /* one token more, of type token_type */
    int32_t token_type; /* 0: normal */
    bool no_tokens, int_tokens, no_types, no_merges, int_merges;
    int scores_less;    /* SPM: so many scores fewer */
    int types_less;     /* so many types fewer */
    bool nan_score;     /* SPM */
    const char *id_key; /* a key with id_value */
    uint32_t id_value;
    const char *flag_key; /* a bool */
    bool flag_value;
    long fail_at; /* the n-th allocation of token_open fails; see fault.h */
};

/* The vocabulary, or NULL with the status and message of the refusal. */
struct token_vocab *vocab_open_bpe(const struct vocab_flaws *flaws, enum pl_status *ret_status,
                                   struct pl_error *err);
struct token_vocab *vocab_open_spm(const struct vocab_flaws *flaws, enum pl_status *ret_status,
                                   struct pl_error *err);

#endif
