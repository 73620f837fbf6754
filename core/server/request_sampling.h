/*
 * server/request_sampling.h - the sampling fields of a request; inside this room.
 *
 *   request_parse_sampling    JSON -> engine_sampling, types and ranges; knows no vocabulary
 *   request_resolve_sampling  what the vocabulary must tell: ids exist, words and breakers become tokens
 *
 * Names are llama-server's and vLLM's; where two mean one thing either is taken. What has no machinery here yet
 * (grammars, LoRA, beam search) is refused by name unless it is off.
 *
 * Ownership: lists belong to the request; engine_sampling points at them.  Threads: one owner.
 * Errors: api_error naming the field.  Limits: SAMPLING_*_MAX, ENGINE_*_MAX.
 * Source: llama-server's README; vLLM's SamplingParams; OpenAI API reference; docs/internals/sample.md.
 */
#ifndef SERVER_REQUEST_SAMPLING_H
#define SERVER_REQUEST_SAMPLING_H

#include "fields.h"

#include "engine.h"

#define SAMPLING_WORDS_MAX         256 /* strings of bad_words */
#define SAMPLING_WORD_BYTES_MAX    256 /* of one */
#define SAMPLING_BREAKERS_MAX      16
#define SAMPLING_BREAKER_BYTES_MAX 40 /* llama-server cuts there; we refuse */

struct request;
struct token_vocab;

struct sampling_words {
    int32_t *ids;
    uint32_t *ends;
    uint32_t n, n_ids;
};

/* All owned. */
struct sampling_lists {
    struct engine_bias *bias; /* [ENGINE_BIAS_MAX] once there is one */
    int32_t *allowed, *stop_ids, *logprob_ids;
    int32_t *dry_breakers;
    struct sampling_words bad_words, dry_words;
};

void request_parse_sampling(const struct fields *f, struct request *r);

/* Once, before the engine sees the request. */
PL_NODISCARD bool request_resolve_sampling(struct request *r, const struct token_vocab *vocab,
                                           struct api_error *error);

void sampling_lists_free(struct sampling_lists *lists);

#endif
