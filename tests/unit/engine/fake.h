/*
 * A model without a model: link-time stand-ins for exec, plugin, gguf and token.
 *
 * The logits of a row depend only on the tokens up to it, by way of a KV cache of running hashes that
 * is addressed through block tables exactly like a real one: wrong blocks, positions or rows give other
 * text. Vocabulary: 256 bytes, words, one control token, one end-of-generation token.
 */
#ifndef UNIT_ENGINE_FAKE_H
#define UNIT_ENGINE_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_N_VOCAB 300
#define FAKE_CONTROL 298
#define FAKE_EOS     299

enum fake_call { FAKE_BEGIN, FAKE_SUBMIT, FAKE_WAIT };

/* Back to no faults, open gate. */
void fake_reset(void);

/* The n-th exec call of any kind (1-based, from now) fails with PL_ELOST; 0 = none. */
void fake_fail_at(long n);
long fake_calls(void);

/* While closed, exec_wait does not return. */
void fake_gate(bool open);

/* exec_wait returns for the first n steps since fake_reset only. */
void fake_allow(long n);

/* Returns once n steps have been submitted since fake_reset. */
void fake_await_steps(long n);
long fake_steps(void);

/* The largest step so far, and whether one ever broke the contract of step.h. */
uint32_t fake_rows_seen(void);
bool fake_contract_broken(void);

/* Logits of rows whose newest token is `id` become NaN; -1 = none. */
void fake_nan_after(int32_t id);

/* EOS leads wherever the newest token is `id`; -1 = none. */
void fake_eos_after(int32_t id);

/* exec_submit takes that long, as on a device that works on the caller's thread. */
void fake_slow_submit(uint32_t us);

/* exec_open fails. */
void fake_refuse_open(bool refuse);

#endif
