"""The demo model: a Llama-architecture decoder in torch, forward pass and shapes.

RMSNorm before each half block, grouped-query attention with rotary embedding in adjacent pairs (the
convention of `general.architecture` "llama" in GGUF), SwiGLU, no biases, one table for embedding and
output. A row may hold several texts, one behind the other: `owner` keeps them apart, and as rotary
embedding only knows distances, each is computed as if it stood alone.

Source: Touvron et al. 2023 (arXiv 2302.13971), Shazeer 2020 (2002.05202), Su et al. 2021 (2104.09864).
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of a model. Rows of matrices are multiples of 32, the block of Q8_0."""

    vocab: int = 2048
    dim: int = 256  # embedding
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 704
    ctx_tokens: int = 1024
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    def as_dict(self):
        return asdict(self)


class Norm(nn.Module):
    """x / rms(x) * weight, in the precision of the residual stream."""

    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rope_table(shape, n_tokens, device):
    """cos and sin [T, D/2] of position times frequency."""
    half = torch.arange(0, shape.head_dim, 2, device=device, dtype=torch.float64) / shape.head_dim
    angle = torch.outer(torch.arange(n_tokens, device=device, dtype=torch.float64),
                        shape.rope_base ** -half)
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    """x [B, T, H, D]: each adjacent pair turned by its angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Attention(nn.Module):
    """qkv: the rows of query heads, key heads and value heads, in this order, in one matrix."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        rows = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        self.qkv = nn.Linear(shape.dim, rows, bias=False)
        self.o = nn.Linear(shape.heads * shape.head_dim, shape.dim, bias=False)

    def forward(self, x, cos, sin, mask):
        s = self.shape
        b, t, _ = x.shape
        kv, group, d = s.kv_heads, s.heads // s.kv_heads, s.head_dim
        rows = self.qkv(x).view(b, t, s.heads + 2 * kv, d)
        turned = rotate(rows[:, :, :s.heads + kv], cos, sin)  # of q and k
        # The heads of a group are stacked along the queries: k and v need no copies.
        q = turned[:, :, :s.heads].view(b, t, kv, group, d).permute(0, 2, 3, 1, 4)
        q = q.reshape(b * kv, group * t, d)
        k = turned[:, :, s.heads:].permute(0, 2, 3, 1).reshape(b * kv, d, t)
        v = rows[:, :, s.heads + kv:].permute(0, 2, 1, 3).reshape(b * kv, t, d)
        scores = torch.bmm(q * (1 / math.sqrt(d)), k).view(b, s.heads, t, t)
        weights = (scores + mask).softmax(-1).view(b * kv, group * t, t)
        out = torch.bmm(weights.to(v.dtype), v).view(b, s.heads, t, d)
        return self.o(out.transpose(1, 2).reshape(b, t, s.heads * d))


class SwiGLU(torch.autograd.Function):
    """silu(gate) * up for [N, 2F] = gate | up; keeps the sigmoid, so that no pass computes it twice."""

    @staticmethod
    def forward(ctx, both):
        gate, up = both.chunk(2, -1)
        sigmoid = torch.sigmoid(gate)
        silu = sigmoid * gate
        ctx.save_for_backward(up, sigmoid, silu)
        return silu * up

    @staticmethod
    def backward(ctx, grad):
        up, sigmoid, silu = ctx.saved_tensors
        slope = (1 - sigmoid).mul_(silu).add_(sigmoid)  # of silu
        return torch.cat((slope.mul_(up).mul_(grad), silu * grad), -1)


class Block(nn.Module):
    """gate_up: the rows of the gate, then those of what it gates, in one matrix."""

    def __init__(self, shape):
        super().__init__()
        self.attn_norm = Norm(shape.dim, shape.norm_eps)
        self.attn = Attention(shape)
        self.ffn_norm = Norm(shape.dim, shape.norm_eps)
        self.gate_up = nn.Linear(shape.dim, 2 * shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.dim, bias=False)

    def attend(self, x, cos, sin, mask):
        return x + self.attn(self.attn_norm(x), cos, sin, mask)

    def feed(self, x):
        return x + self.down(SwiGLU.apply(self.gate_up(self.ffn_norm(x))))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embd = nn.Embedding(shape.vocab, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.dim, shape.norm_eps)
        self.reset()

    def reset(self):
        """Small normal weights; what writes into the residual stream starts smaller by depth."""
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            std = 0.02 if name.startswith("embd") else 1 / math.sqrt(p.shape[1])
            if name.endswith(("attn.o.weight", "down.weight")):
                std /= math.sqrt(2 * self.shape.layers)
            nn.init.normal_(p, std=std)

    def forward(self, tokens, owner=None, position=None, at=None):
        """Logits [N, V] of rows [B, T] at the flat places `at` (None = all of them).

        owner [B, T]: which text of its row a token belongs to; it sees no other. None = one text a row.
        position [B, T]: below ctx_tokens; None = from 0 on in each row.
        """
        t = tokens.shape[1]
        cos, sin = rope_table(self.shape, self.shape.ctx_tokens, tokens.device)
        if position is None:
            position = torch.arange(t, device=tokens.device)[None]
        cos, sin = cos[position][:, :, None], sin[position][:, :, None]  # [B, T, 1, D/2]
        hidden = torch.ones(t, t, dtype=torch.bool, device=tokens.device).triu(1)
        if owner is not None:
            hidden = hidden | (owner[:, None, :, None] != owner[:, None, None, :])
        mask = torch.zeros(hidden.shape, device=tokens.device).masked_fill_(hidden, -1e9)
        if torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled():
            mask = mask.to(torch.bfloat16)
        x = self.embd(tokens)
        for block in self.blocks[:-1]:
            x = block.feed(block.attend(x, cos, sin, mask))
        x = self.blocks[-1].attend(x, cos, sin, mask).flatten(0, 1)
        if at is not None:  # the rest of the last block serves no other place
            x = x[at]
        x = self.blocks[-1].feed(x)
        return F.linear(self.norm(x), self.embd.weight)

    def n_params(self):
        return sum(p.numel() for p in self.parameters())
