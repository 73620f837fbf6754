/*
 * sim/model.h - the model file of the simulation: a GGUF of some 100 KB that every part of a worker takes.
 *
 *   ids 0..2      <unk> <s> </s>
 *   ids 3..258    bytes
 *   ids 259..     SIM_N_WORDS words of SIM_WORD_BYTES letters, all different
 *
 * Architecture llama, one layer, context SIM_CTX_MAX, no token added in front, a plain chat template. The device
 * ignores the weights and says words only, so that a text of n tokens has n * SIM_WORD_BYTES bytes.
 *
 * Threads: any.  Errors: PL_EIO.  Source: ours.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <polder/status.h>

#define SIM_FIRST_WORD 259
#define SIM_N_WORDS    253 /* 512 ids in all */
#define SIM_WORD_BYTES 4
#define SIM_CTX_MAX    (256 * 1024)

PL_NODISCARD enum pl_status sim_model_write(const char *path, struct pl_error *err);

/* The text of a word's id; false for other ids. */
PL_NODISCARD bool sim_word_text(int32_t id, char ret[SIM_WORD_BYTES + 1]);

#endif
