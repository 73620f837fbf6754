#!/usr/bin/env python3
"""Writes a checkpoint as a GGUF file: export.py --checkpoint FILE --tokenizer FILE --type q8_0 --out FILE

May be run at any time during a training: the checkpoint is replaced as a whole.
"""

import argparse
import os

import torch

import gguf
from model import Model, Shape
from tokenizer import BEGIN, END, PAD, PRE, SPECIALS, TEMPLATE, Tokenizer, printable

TYPES = {"f32": gguf.F32, "f16": gguf.F16, "q8_0": gguf.Q8_0}
NORMAL, CONTROL, UNUSED = 1, 3, 5  # types of tokens
VERSION = "1"


def load_model(path):
    """The model of a checkpoint, for inference."""
    state = torch.load(path, map_location="cpu")
    model = Model(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model.eval()


def add_general(out, kind):
    for key, text in (
            ("architecture", "llama"), ("type", "model"), ("name", "Polder demo"),
            ("basename", "polder-demo"), ("version", VERSION), ("license", "apache-2.0"),
            ("description", "A very small chat model that answers questions about Polder; trained by "
             "packaging/demo-model on text that this folder generates.")):
        out.add(f"general.{key}", gguf.STRING, text)
    out.add_array("general.languages", gguf.STRING, ["en"])
    out.add("general.file_type", gguf.U32, gguf.FILE_TYPE[kind])
    out.add("general.quantization_version", gguf.U32, 2)


def add_shape(out, s):
    for key, number in (
            ("context_length", s.ctx_tokens), ("embedding_length", s.dim), ("block_count", s.layers),
            ("feed_forward_length", s.ffn), ("attention.head_count", s.heads),
            ("attention.head_count_kv", s.kv_heads), ("attention.key_length", s.head_dim),
            ("attention.value_length", s.head_dim), ("rope.dimension_count", s.head_dim),
            ("vocab_size", s.vocab)):
        out.add(f"llama.{key}", gguf.U32, number)
    out.add("llama.attention.layer_norm_rms_epsilon", gguf.FLOAT, s.norm_eps)
    out.add("llama.rope.freq_base", gguf.FLOAT, s.rope_base)


def add_tokenizer(out, tokenizer, vocab):
    spare = [f"<|unused{i}|>" for i in range(vocab - len(tokenizer))]
    words = [printable(t) for t in tokenizer.tokens]
    kinds = [CONTROL] * len(SPECIALS) + [NORMAL] * len(words) + [UNUSED] * len(spare)
    out.add("tokenizer.ggml.model", gguf.STRING, "gpt2")
    out.add("tokenizer.ggml.pre", gguf.STRING, PRE)
    out.add_array("tokenizer.ggml.tokens", gguf.STRING, SPECIALS + words + spare)
    out.add_array("tokenizer.ggml.token_type", gguf.I32, kinds)
    out.add_array("tokenizer.ggml.merges", gguf.STRING,
                  [f"{printable(a)} {printable(b)}" for a, b in tokenizer.merges])
    for name, number in (("bos", BEGIN), ("eos", END), ("eot", END), ("padding", PAD)):
        out.add(f"tokenizer.ggml.{name}_token_id", gguf.U32, number)
    out.add("tokenizer.ggml.add_bos_token", gguf.BOOL, True)
    out.add("tokenizer.ggml.add_eos_token", gguf.BOOL, False)
    out.add("tokenizer.chat_template", gguf.STRING, TEMPLATE)


def add_tensors(out, model, kind):
    """The matrices that the model keeps in one are told apart."""
    s = model.shape
    weights = {name: p.detach().float().numpy() for name, p in model.named_parameters()}
    out.add_tensor("token_embd.weight", weights["embd.weight"], kind)
    out.add_tensor("output_norm.weight", weights["norm.weight"], kind)
    q, k = s.heads * s.head_dim, s.kv_heads * s.head_dim
    for i in range(s.layers):
        def part(name, index=i):
            return weights[f"blocks.{index}.{name}.weight"]
        rows, both = part("attn.qkv"), part("gate_up")
        for name, array in (
                ("attn_norm", part("attn_norm")), ("attn_q", rows[:q]), ("attn_k", rows[q:q + k]),
                ("attn_v", rows[q + k:]), ("attn_output", part("attn.o")),
                ("ffn_norm", part("ffn_norm")), ("ffn_gate", both[:s.ffn]), ("ffn_up", both[s.ffn:]),
                ("ffn_down", part("down"))):
            out.add_tensor(f"blk.{i}.{name}.weight", array, kind)


def main():
    p = argparse.ArgumentParser(description="checkpoint to GGUF")
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--type", choices=sorted(TYPES), default="q8_0")
    p.add_argument("--out", required=True)
    args = p.parse_args()
    kind = TYPES[args.type]
    model = load_model(args.checkpoint)
    out = gguf.Writer()
    add_general(out, kind)
    add_shape(out, model.shape)
    add_tokenizer(out, Tokenizer.load(args.tokenizer), model.shape.vocab)
    add_tensors(out, model, kind)
    data = out.bytes()
    with open(args.out + ".new", "wb") as target:
        target.write(data)
    os.replace(args.out + ".new", args.out)
    print(f"{args.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
