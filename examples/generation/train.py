#!/usr/bin/env python3
"""Trains the picture generator of this example and exports it.

    python3 train.py                # draws, trains, writes generation.onnx, train.log
    python3 train.py --state FILE   # keeps what is trained there, goes on from it

Everything is drawn by things.py; nothing is downloaded. Seeds are fixed, one
thread is used.

Tools: Python 3.11, PyTorch 1.13 (training, export), onnx 1.12 (metadata),
numpy 1.24, Pillow 9.4 (drawing): the packages python3-torch, python3-onnx,
python3-numpy and python3-pil of Debian 12.
"""
import argparse
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.dirname(HERE))

from things import LABELS, LATENT, SIZE, draw  # noqa: E402
from training import (Mix, State, finish, load_weights, log_to,  # noqa: E402
                      product, round_to_half)

MODEL = os.path.join(HERE, "generation.onnx")
LOG = os.path.join(HERE, "train.log")

SEED = 1
PICTURES = 6000
FRESH_SEED, FRESH = 2, 100    # pictures that are never trained on
BATCH = 12
ROUNDS = ((2200, 4e-3, False), (1900, 2e-3, True))  # steps, rate, with details


# ---- the shipped network

class SelfAttention(nn.Module):
    """As in SAGAN: every place takes from all others what they have to say. The
    norm before it keeps the weights from being all or nothing."""

    def __init__(self, channels, inner):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.f = Mix(channels, inner, bias=False)
        self.g = Mix(channels, inner, bias=False)
        self.h = Mix(channels, channels // 2, bias=False)
        self.out = Mix(channels // 2, channels, bias=False)
        self.gamma = nn.Parameter(torch.ones(1))

    def attend(self, x):
        """(n, h * w, h * w): what every place takes from every other."""
        x = self.norm(x)
        query, key = self.g(x).flatten(2), self.f(x).flatten(2)
        scale = self.f.out_channels ** -0.5
        weights = torch.softmax(product(query.transpose(1, 2), key) * scale, 2)
        return weights, self.h(x).flatten(2)

    def forward(self, x):
        weights, value = self.attend(x)
        taken = product(weights, value.transpose(1, 2)).transpose(1, 2)
        n, _, h, w = x.shape
        return x + self.gamma * self.out(taken.reshape(n, -1, h, w))


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and bias come from the latent and the class."""

    def __init__(self, channels, style):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, x, style):
        both = self.affine(style)[:, :, None, None]
        half = self.affine.out_features // 2
        return self.norm(x) * (1 + both[:, :half]) + both[:, half:]


class Curves(nn.Module):
    """Which side of some curves every place is on. They are of second degree
    (lines, ellipses), with coefficients that are linear in the style, so a shape
    is moved, turned and sized without a layer having to learn how."""

    def __init__(self, count, side, style):
        super().__init__()
        self.coefficients = nn.Linear(style, 6 * count)
        axis = (torch.arange(side) + 0.5) * (2 / side) - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        terms = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
        self.register_buffer("terms", terms.flatten(1), persistent=False)
        self.shape = (-1, count, side, side)

    def forward(self, style):
        x = 2 * self.coefficients(style).reshape(-1, 6) @ self.terms
        return torch.tanh(x).reshape(self.shape)


class Grow(nn.Module):
    """A residual block that doubles the size."""

    def __init__(self, inputs, outputs, style, curves=None):
        super().__init__()
        self.norm1 = ConditionalNorm(inputs, style)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = ConditionalNorm(outputs, style)
        self.curves = Curves(*curves, style) if curves else None
        more = curves[0] if curves else 0
        self.conv2 = nn.Conv2d(outputs + more, outputs, 3, padding=1)
        self.skip = Mix(inputs, outputs)
        self.grow = nn.Upsample(scale_factor=2)

    def forward(self, x, style):
        y = self.grow(self.conv1(F.relu(self.norm1(x, style))))
        y = F.relu(self.norm2(y, style))
        if self.curves:
            y = torch.cat([y, self.curves(style)], 1)
        return self.conv2(y) + self.grow(self.skip(x))


class Mapping(nn.Module):
    """Latent to style. A number of the latent means one thing for a flower and
    another for a fish, so the first layer has weights for every class. It sees
    the numbers also as angles, of which colours (a circle of hues) are made."""

    def __init__(self, style):
        super().__init__()
        self.weight = nn.Embedding(len(LABELS), 3 * LATENT * style)
        self.bias = nn.Embedding(len(LABELS), style)
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(style, style), nn.ReLU())
        nn.init.normal_(self.weight.weight, std=(3 * LATENT) ** -0.5)

    def forward(self, z, label):
        angle = torch.pi * torch.erf(z * 0.5 ** 0.5)
        x = torch.cat([z, angle.sin(), angle.cos()], 1)[:, None]
        weight = self.weight(label).reshape(-1, 3 * LATENT, self.layers[1].in_features)
        return self.layers((x @ weight)[:, 0] + self.bias(label))


class Generator(nn.Module):
    """The last layer says of every pixel of which colours it is, and the style
    which colours there are. What is too small to get a colour of its own is added
    as details, once the rest is there."""

    WIDTHS = (48, 64, 56, 48)   # at 4x4, 8x8, 16x16, 32x32
    COLOURS = 16

    def __init__(self, style=88):
        super().__init__()
        w = self.WIDTHS
        self.mapping = Mapping(style)
        self.start = nn.ConvTranspose2d(style, w[0], 4)
        self.grow8 = Grow(w[0], w[1], style)
        self.grow16 = Grow(w[1], w[2], style, curves=(16, 16))
        self.attention = SelfAttention(w[2], 16)
        self.grow32 = Grow(w[2], w[3], style, curves=(32, 32))
        self.norm = ConditionalNorm(w[3], style)
        self.regions = nn.Sequential(nn.Conv2d(w[3], 4 * self.COLOURS, 3, padding=1),
                                     nn.PixelShuffle(2))
        self.colours = nn.Linear(style, 3 * self.COLOURS)
        self.details = nn.Sequential(nn.Conv2d(w[3], 12, 3, padding=1),
                                     nn.PixelShuffle(2))
        self.details[0].weight.data.zero_()
        self.details[0].bias.data.zero_()
        self.detailed = True

    def body(self, z, label):
        style = self.mapping(z, label)
        x = self.start(style[:, :, None, None])
        return self.grow16(self.grow8(x, style), style), style

    def forward(self, z, label):
        x, style = self.body(z, label)
        x = self.grow32(self.attention(x), style)
        x = F.relu(self.norm(x, style))
        regions = torch.softmax(self.regions(x), 1)
        colours = torch.tanh(self.colours(style)).reshape(-1, 3, self.COLOURS)
        picture = product(colours, regions.flatten(2)).reshape(-1, 3, SIZE, SIZE)
        if self.detailed:
            picture = picture + self.details(x)
        return picture if self.training else picture.clamp(-1, 1)

    def weights(self, z, label):
        return self.attention.attend(self.body(z, label)[0])[0]


# ---- training

def to_float(pictures):
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return x.float() / 127.5 - 1


def draw_all(seed, count):
    """Latents, labels and their pictures."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, LATENT)).astype(np.float32)
    labels = np.arange(count) % len(LABELS)
    return z, labels, np.stack([draw(a, b) for a, b in zip(z, labels)])


def edges(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def likeness(x, wanted):
    """Pixels and edges, at three sizes: a blurred edge costs twice."""
    loss = 0
    for scale in range(3):
        loss = loss + (x - wanted).abs().mean()
        loss = loss + sum((a - b).abs().mean()
                          for a, b in zip(edges(x), edges(wanted)))
        x, wanted = F.avg_pool2d(x, 2), F.avg_pool2d(wanted, 2)
    return loss


@torch.no_grad()
def evaluate(model, data):
    """The mean difference of a pixel, of 0 to 255."""
    model.eval()
    z, labels, pictures = data
    total = 0
    for i in range(0, len(z), 100):
        x = model(torch.from_numpy(z[i:i + 100]), torch.from_numpy(labels[i:i + 100]))
        total += (x - to_float(pictures[i:i + 100])).abs().mean().item()
    model.train()
    return total / (len(z) / 100) * 127.5


def train(model, data, fresh, log, state):
    z, labels, pictures = data
    rng = np.random.default_rng(SEED)
    optimiser = torch.optim.Adam(model.parameters(), ROUNDS[0][1], (0.9, 0.99))
    start, total = 0, 0.0
    for steps, rate, model.detailed in ROUNDS:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps,
                                                       pct_start=0.05)
        parts, end = (model, optimiser, schedule), start + steps
        if start < state.step <= end:
            state.load(parts, rng)
        for step in range(max(state.step, start) + 1, end + 1):
            chosen = rng.integers(0, len(z), BATCH)
            x = model(torch.from_numpy(z[chosen]), torch.from_numpy(labels[chosen]))
            loss = likeness(x, to_float(pictures[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            if step % 100 == 0:
                log(f"step {step:5d}  likeness {total / 100:.4f}  fresh pixels off by "
                    f"{evaluate(model, fresh):.2f}")
                total = 0.0
                state.save(step, parts, rng, step == end)
        start = end


# ---- the file

def export(model):
    round_to_half(model)
    torch.onnx.export(
        model.eval(), (torch.zeros(1, LATENT), torch.zeros(1, dtype=torch.int64)),
        MODEL, opset_version=13, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE, input_names=["latent", "class"],
        output_names=["picture"],
        dynamic_axes={name: {0: "batch"} for name in ("latent", "class", "picture")})
    finish(MODEL, {"inputs": {"latent": {"role": "latent"},
                              "class": {"role": "class", "labels": LABELS}},
                   "outputs": {"picture": {"role": "image"}}})


def load():
    """The trained network, from the file it was exported to."""
    return load_weights(Generator(), MODEL)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--state", metavar="FILE")
    state = State(options.parse_args().state)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    with log_to(LOG, state.exists) as log:
        data, fresh = draw_all(SEED, PICTURES), draw_all(FRESH_SEED, FRESH)
        model = Generator().to(memory_format=torch.channels_last)
        if not state.exists:
            log(f"{sum(p.numel() for p in model.parameters())} parameters, {PICTURES} "
                f"pictures, steps of {BATCH}")
        train(model, data, fresh, log, state)
        export(model)
        log(f"fresh pixels off by {evaluate(load(), fresh):.2f}, generation.onnx "
            f"{os.path.getsize(MODEL)} bytes")


if __name__ == "__main__":
    main()
