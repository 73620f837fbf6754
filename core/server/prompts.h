/*
 * server/prompts.h - from a request's text or messages to token ids that fit the model; inside this room.
 *
 * Ownership: as struct call_prompt says.  Threads: any, while the server is ready.  Errors: api_error naming the field.
 */
#ifndef SERVER_PROMPTS_H
#define SERVER_PROMPTS_H

#include "call_state.h"

/* Fills ids, echo_text and the logprob offsets of every prompt. Takes the ids of the request. */
PL_NODISCARD bool prompts_make(struct call *call, struct request *request, struct api_error *error);

#endif
