/*
 * server/request_choices.h - how many texts, which figures about them, and for whom; inside this room.
 *
 *   n, best_of, logprobs, top_logprobs, prompt_logprobs, priority, cache_salt
 *
 * Source: OpenAI API reference (n, best_of, logprobs); vLLM's prompt_logprobs, priority, cache_salt.
 */
#ifndef SERVER_REQUEST_CHOICES_H
#define SERVER_REQUEST_CHOICES_H

#include "request.h"

/* Fills those fields; after the stream fields. Errors as in fields.h. */
void request_parse_choices(const struct fields *f, struct request *r);

/* What depends on the prompts too: all texts of the request together. */
void request_check_choices(const struct fields *f, const struct request *r);

#endif
