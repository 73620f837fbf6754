/*
 * server/logprobs.h - token log-probabilities as the two endpoints write them.
 *
 *   chat:        {"content":[{"token","logprob","bytes":[..],"top_logprobs":[{..}]}],"refusal":null}
 *   completion:  {"tokens":[..],"token_logprobs":[..],"top_logprobs":[{text: lp}],"text_offset":[..]}
 *   prompt, both:  [null,{"<id>":{"logprob","rank","decoded_token"}},..]   as vLLM writes prompt_logprobs
 *
 * Entries are serialised as they come; a stream takes what has gathered with each chunk, a whole answer
 * takes all at its end. text_offset counts code points of the choice's text, as Python's len does.
 *
 * Ownership: the lists own their buffers.  Threads: one owner.  Source: OpenAI API reference; evaluation
 * harnesses read null as the first prompt token's logprob.
 */
#ifndef SERVER_LOGPROBS_H
#define SERVER_LOGPROBS_H

#include "base/json_writer.h"
#include "token/token.h"

#include "engine.h"

struct logprobs {
    const struct token_vocab *vocab;
    bool chat;         /* which of the two forms */
    bool special;      /* control tokens are part of the text (offsets) */
    struct buf tokens; /* chat: the entries; completion: four lists, comma-joined */
    struct buf values, tops, offsets;
    struct token_stream stream; /* what of the text is out, for offsets */
    uint64_t offset;            /* code points before the next token */
};

void logprobs_init(struct logprobs *lp, const struct token_vocab *vocab, bool chat,
                   size_t max_bytes);
void logprobs_deinit(struct logprobs *lp);

/* One token with at most n_top of its alternatives (0: none are wanted). A NAN logprob writes null. */
void logprobs_add(struct logprobs *lp, const struct engine_event *event, uint32_t n_top);

/* Begins an empty lp with what has gathered for an echoed prompt; generated text follows it. */
void logprobs_continue(struct logprobs *lp, const struct logprobs *prompt);

bool logprobs_empty(const struct logprobs *lp);

/* The object (null if empty) as a value; what has gathered is forgotten. */
void logprobs_take(struct logprobs *lp, struct json_writer *w);

/* One position of a prompt: "null" for the first, else the token and at most n_top alternatives by id, comma
 * before all but the first. The token's rank is null where it is none of the alternatives. */
void prompt_logprobs_add(struct buf *list, const struct token_vocab *vocab,
                         const struct engine_event *event, uint32_t n_top);

#endif
