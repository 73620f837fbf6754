/*
 * An engine and a vocabulary without a model, linked in place of the real ones.
 *
 * Vocabulary: ids 0..255 are bytes; 256 <s>, 257 </s>, 258 <|im_start|>, 259 <|im_end|> are special.
 * Generation repeats the prompt's bytes from its start, one token each, until max_tokens (or 1000). The
 * text of a prompt may direct it:
 *   "error after 3"   FINISH_ERROR after 3 tokens            "busy"    submit answers PL_EBUSY
 *   "hang"            no token until it is cancelled         "endless" ignores max_tokens
 *   "broken"          submit answers PL_EINTERNAL            "flood"   as endless, without a pause
 *   "late"            FINISH_ERROR with PL_ETIMEDOUT         "uneven"  text k stops k tokens early
 * Text k of a request begins at the prompt's byte k and has log-probability FAKE_LOGPROB(k) for every token.
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

#define FAKE_RETRY_AFTER_S 7
#define FAKE_NAME_MAX      300

/* The third text is the best, then the first; all others are equal. */
#define FAKE_LOGPROB(choice) ((choice) == 0 ? -0.25F : (choice) == 2 ? -0.125F : -0.75F)
/* As if whole blocks of 16 had been found. */
#define FAKE_CACHED(n_prompt) ((n_prompt) / 16 * 16)

/* What the latest request asked for besides its prompt; names NUL-terminated. */
struct fake_asked {
    char tenant[FAKE_NAME_MAX], scope[FAKE_NAME_MAX], salt[FAKE_NAME_MAX];
    float weight;
    int32_t priority;
    int64_t deadline_ns;
    uint32_t n, n_logprobs;
    bool logprobs, prompt_logprobs, no_cache_read;
};
struct fake_asked fake_engine_last(struct engine *engine);
uint32_t fake_engine_resets(struct engine *engine);

/* While the gate is closed, tokenising a text that begins with "gated" waits. It is open at first. */
void fake_gate_close(void);
void fake_gate_open(void);

/* chat_template: NULL: none. chatml: the vocabulary has ChatML's two tokens. */
struct engine *fake_engine_open(const char *chat_template, bool chatml);

/* Of all engines so far. */
uint32_t fake_engine_cancels(void);

#endif
