#!/usr/bin/env python3
"""Draws a training log as an SVG: plot.py --log log.csv --out loss.svg

Loss over steps, on a logarithmic scale: training (mean of about 1 % of the steps at a time), held-out;
and the share of held-out answers that are right word by word.
"""

import argparse
import csv
import math

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 56, 40, 48
INK, GRID, TRAIN, HELD, EXACT = "#444", "#ddd", "#3b7dd8", "#d8543b", "#3a9d5d"


def read(path):
    with open(path, newline="", encoding="ascii") as source:
        rows = list(csv.DictReader(source))
    train = [(int(r["step"]), float(r["loss"])) for r in rows]
    held = [(int(r["step"]), float(r["held_loss"])) for r in rows if r["held_loss"]]
    exact = [(int(r["step"]), float(r["exact"])) for r in rows if r["exact"]]
    if not train:
        raise SystemExit(f"plot: {path} holds no steps")
    return train, held, exact


def smooth(points):
    """Means of neighbours, about 100 points in all."""
    n = max(1, len(points) // 100)
    groups = [points[i:i + n] for i in range(0, len(points), n)]
    return [(g[len(g) // 2][0], sum(y for _, y in g) / len(g)) for g in groups]


class Axes:
    def __init__(self, steps, low, high):
        self.steps = steps
        self.low, self.high = math.floor(math.log10(low)), math.ceil(math.log10(high))
        if self.low == self.high:
            self.high += 1

    def x(self, step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps

    def y_share(self, share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def y_loss(self, loss):
        return self.y_share((math.log10(max(loss, 10.0 ** self.low)) - self.low) / (self.high - self.low))


def line(points, x, y, colour, dash=""):
    path = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dash} points="{path}"/>'


def text(x, y, words, colour=INK, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def step_marks(steps):
    """Round distances that give at most ten marks."""
    unit = 10 ** math.floor(math.log10(steps))
    width = next(unit * f for f in (0.1, 0.2, 0.25, 0.5, 1, 2)
                 if unit * f >= 1 and steps / (unit * f) <= 10)
    return [round(i * width) for i in range(int(steps / width) + 1)]


def grid(axes):
    out = []
    for power in range(axes.low, axes.high + 1):
        y = axes.y_loss(10.0 ** power)
        out.append(f'<path stroke="{GRID}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        out.append(text(LEFT - 8, y + 4, f"{10.0 ** power:g}", anchor="end"))
    for percent in range(0, 101, 20):
        out.append(text(WIDTH - RIGHT + 8, axes.y_share(percent / 100) + 4, f"{percent} %", EXACT,
                        "start"))
    for step in step_marks(axes.steps):
        out.append(text(axes.x(step), HEIGHT - BOTTOM + 18, str(step)))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "steps"))
    return out


def draw(train, held, exact):
    steps, train = train[-1][0], smooth(train)
    values = [v for _, v in train + held if v > 0]
    axes = Axes(steps, min(values), max(values))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 22, "training loss", TRAIN, "start"),
        text(LEFT + 110, 22, "held-out loss", HELD, "start"),
        text(WIDTH - RIGHT, 22, "held-out answers right word by word", EXACT, "end"),
        *grid(axes), line(train, axes.x, axes.y_loss, TRAIN), line(held, axes.x, axes.y_loss, HELD),
        line(exact, axes.x, axes.y_share, EXACT, "5 3"), "</svg>"]
    return "\n".join(parts) + "\n"


def main():
    p = argparse.ArgumentParser(description="a training log as SVG")
    p.add_argument("--log", required=True)
    p.add_argument("--out", required=True)
    args = p.parse_args()
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(draw(*read(args.log)))


if __name__ == "__main__":
    main()
