/*
 * An engine and a vocabulary without a model, linked in place of the real ones.
 *
 * Vocabulary: ids 0..255 are bytes; 256 <s>, 257 </s>, 258 <|im_start|>, 259 <|im_end|> are special.
 * Generation repeats the prompt's bytes from its start, one token each, until max_tokens (or 1000). The
 * text of a prompt may direct it:
 *   "error after 3"   FINISH_ERROR after 3 tokens            "busy"    submit answers PL_EBUSY
 *   "hang"            no token until it is cancelled         "endless" ignores max_tokens
 *   "broken"          submit answers PL_EINTERNAL            "flood"   as endless, without a pause
 *
 * Threads: as engine.h.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <polder/base.h>

struct engine;

#define FAKE_CTX     512
#define FAKE_N_VOCAB 260
#define FAKE_BOS     256

/* chat_template: NULL: none. chatml: the vocabulary has ChatML's two tokens. */
struct engine *fake_engine_open(const char *chat_template, bool chatml);

/* Of all engines so far. */
uint32_t fake_engine_cancels(void);

#endif
