"""The optimizer: orthogonalised momentum for the matrices inside the blocks, Adam for the rest.

A matrix's momentum M is replaced by (about) the nearest matrix with all singular values 1, so that a step
moves in all directions alike; five Newton-Schulz iterations do that with matrix products only. Scaled to
the root mean square that Adam's steps have, both kinds share one learning rate. Weights decay towards 0,
apart from norms. It needs fewer steps than Adam alone (README.md has figures).

Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025 (arXiv 2502.16982), eq. 4;
Kingma & Ba 2014 (1412.6980); Loshchilov & Hutter 2017 (1711.05101).
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic; chosen by Jordan for fast growth from 0
ITERATIONS = 5
MOMENTUM = 0.95
BETAS = (0.9, 0.98)
EPS = 1e-10
STEP_RMS = 0.2


def orthogonalise(m, dtype):
    """m [N, R, C], R <= C, each scaled to singular values near 1."""
    a, b, c = COEFFICIENTS
    x = (m / (m.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(ITERATIONS):
        square = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(torch.baddbmm(square, square, square, beta=b, alpha=c), x)
    return x.float()


class Optimizer:
    """matrices: [(parameter, rows of its parts)]; others: parameters stepped by Adam."""

    def __init__(self, matrices, others, dtype, decay=0.1):
        self.matrices, self.others = matrices, others
        self.dtype, self.decay, self.n = dtype, decay, 0
        self.momentum = [torch.zeros_like(p) for p, _ in matrices]
        self.first = [torch.zeros_like(p) for p in others]
        self.second = [torch.zeros_like(p) for p in others]

    def tensors(self):
        return self.momentum + self.first + self.second

    @torch.no_grad()
    def step(self, rate, share=0, shares=1):
        """One step; of several processes each does its share, all with the same arguments otherwise."""
        self.n += 1
        self.step_matrices(rate, share, shares)
        if share == 0:
            self.step_others(rate)

    def step_matrices(self, rate, share, shares):
        groups = {}  # shape of the part, lying -> [(where to write, direction)]
        mine = list(zip(self.matrices, self.momentum))[share::shares]
        for (p, heights), m in mine:
            m.mul_(MOMENTUM).add_(p.grad)
            direction = p.grad.add(m, alpha=MOMENTUM)
            for part, target in zip(direction.split(heights), p.data.split(heights)):
                groups.setdefault(tuple(part.shape), []).append((target, part))
        for (rows, columns), pairs in groups.items():
            stacked = torch.stack([part for _, part in pairs])
            tall = rows > columns
            turned = orthogonalise(stacked.transpose(1, 2) if tall else stacked, self.dtype)
            turned = turned.transpose(1, 2) if tall else turned
            scale = rate * STEP_RMS * max(rows, columns) ** 0.5
            for (target, _), step in zip(pairs, turned):
                target.mul_(1 - rate * self.decay).add_(step, alpha=-scale)

    def step_others(self, rate):
        b1, b2 = BETAS
        for p, m, v in zip(self.others, self.first, self.second):
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            bottom = (v / (1 - b2 ** self.n)).sqrt_().add_(EPS)
            if p.dim() > 1:
                p.mul_(1 - rate * self.decay)
            p.addcdiv_(m, bottom, value=-rate / (1 - b1 ** self.n))

    def state(self):
        return {"n": self.n, "momentum": self.momentum, "first": self.first, "second": self.second}

    def restore(self, state):
        self.n = state["n"]
        for name in ("momentum", "first", "second"):
            for mine, saved in zip(getattr(self, name), state[name]):
                mine.copy_(saved)


def make_optimizer(model, dtype):
    s = model.shape
    heads = [s.heads * s.head_dim, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim]
    matrices, others = [], []
    for name, p in model.named_parameters():
        if p.dim() < 2 or name.startswith("embd"):
            others.append(p)
        elif name.endswith("qkv.weight"):
            matrices.append((p, heads))
        elif name.endswith("gate_up.weight"):
            matrices.append((p, [s.ffn, s.ffn]))
        else:
            matrices.append((p, [p.shape[0]]))
    return Optimizer(matrices, others, dtype)
