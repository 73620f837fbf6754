/*
 * core/model/decoder.h - the parts of a pre-norm decoder that many architectures share (private).
 *
 * Each function appends the ops of one part and returns the value that holds its result. x is the residual
 * stream [T, E]; decoder_project and decoder_glu_ffn add to it in place.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "build.h"

/* x = table[ids] * scale. */
int32_t decoder_embed(struct build *b, int32_t table, float scale);

/* q, k, v of a layer: norm, three matrices with optional biases, rotary embedding, K and V written to
 * the cache, attention. Returns [T, H*Dv]. */
int32_t decoder_attention(struct build *b, int layer, int32_t x, uint32_t kv_group);

/* x += a * W^T (+ bias): W is "attn_output" or the like. */
void decoder_project(struct build *b, int layer, const char *name, int32_t a, int64_t a_cols,
                     int32_t x);

/* x += down(act(gate(norm x)) * up(norm x)). */
void decoder_glu_ffn(struct build *b, int layer, int32_t x, enum pl_act act);

/* Rows of x that the step wants logits for: [O, cols of x]. */
int32_t decoder_gather(struct build *b, int32_t x, int64_t cols);

/* logits = W * norm(y); W is output.weight or, tied, the table. scale multiplies the logits. */
void decoder_head(struct build *b, int32_t y, int32_t table, float scale);

/* The embedding table, tied when the file has no output.weight. */
int32_t decoder_table(struct build *b);

/* All of it, for models that differ from Llama in numbers and optional tensors only. */
void decoder_emit_plain(struct build *b);

#endif
