/*
 * server/request_prompts.h - the prompt field of a completion in its four forms; inside this room.
 *
 *   "text" | ["text", ...] | [1, 2, 3] | [[1, 2], [3], ...]
 *
 * Source: OpenAI API reference, completions.
 */
#ifndef SERVER_REQUEST_PROMPTS_H
#define SERVER_REQUEST_PROMPTS_H

#include "request.h"

/* Fills prompts and n_prompts; errors as in fields.h. */
void request_parse_prompts(const struct fields *f, struct request *r);

#endif
