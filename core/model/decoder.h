/*
 * core/model/decoder.h - the forward pass of a pre-norm decoder, driven by the architecture's row and the
 * hyper-parameters (private).
 *
 *   x = table[ids] * scale
 *   each layer:  x += post(W_o * attention(rope(norm(W_qkv * norm(x)))))     post, inner norms: where the
 *                x += post(W_down * (act(W_gate * norm(x)) * (W_up * norm(x))))         row has them
 *   logits = cap(W * norm(x) * scale), for output rows only
 *
 * What differs between architectures is a flag or a number, never a name; tensors that are optional in
 * files (biases, fused q k v, frequency factors) are used where they are.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "build.h"

void decoder_emit(struct build *b);

#endif
