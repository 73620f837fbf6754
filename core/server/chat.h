/*
 * server/chat.h - a conversation as the prompt text its model was trained on.
 *
 *   messages, tools (JSON) -> values of the template room -> render -> text -> token ids
 *
 * The template is the operator's file, else the model's own, else a fallback: ChatML where the vocabulary
 * has its two tokens, else the contents of the messages, one per line, without roles (a base model then
 * continues the text). A prompt gets BOS exactly once: from the template or, where the vocabulary wants
 * one and the template wrote none, from here.
 *
 * Ownership: chat_open copies nothing of source after it returns.  Threads: immutable after open.
 * Errors: chat_open as template_parse; rendering as api_error (a template's raise_exception is a 400).
 * Source: Hugging Face chat templates; ChatML as published by OpenAI.
 */
#ifndef SERVER_CHAT_H
#define SERVER_CHAT_H

#include "request.h"

#include "token/token.h"

struct chat;

/* source: the template's text, or NULL for the fallback. */
PL_NODISCARD enum pl_status chat_open(const char *source, const struct token_vocab *vocab,
                                      struct chat **ret, struct pl_error *err);
void chat_close(struct chat *chat);

/* "chatml", "plain", or NULL if a real template is in use. */
const char *chat_fallback(const struct chat *chat);

/* Only the chat part of request is read. *ret is malloc'ed, NUL-terminated. */
PL_NODISCARD bool chat_render(const struct chat *chat, const struct request *request, char **ret,
                              size_t *ret_bytes, struct api_error *error);

/* Ids of a rendered prompt. */
PL_NODISCARD enum pl_status chat_encode(const struct chat *chat, const char *text, size_t n,
                                        struct token_ids *ret, struct pl_error *err);

#endif
