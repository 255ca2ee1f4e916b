#!/usr/bin/env python3
"""Trains the style transfer network of this example and exports it.

    python3 train.py                # draws, trains, writes style.onnx, train.log
    python3 train.py --state FILE   # keeps what is trained there, goes on from it

Everything is drawn by pictures.py; nothing is downloaded. Seeds are fixed, one
thread is used.

Tools: Python 3.11, PyTorch 1.13 (training, export), onnx 1.12 (metadata),
numpy 1.24, Pillow 9.4 (drawing): the packages python3-torch, python3-onnx,
python3-numpy and python3-pil of Debian 12.
"""
import argparse
import math
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.dirname(HERE))

from pictures import SCENES, TEXTURES, content, style  # noqa: E402
from training import (Mix, State, finish, load_weights, log_to,  # noqa: E402
                      product, round_to_half)

MODEL = os.path.join(HERE, "style.onnx")
LOG = os.path.join(HERE, "train.log")

SEED = 1
SIZE = 192              # side of the exported network's pictures
DRAWN, CROP = 144, 80   # side of a drawn picture and of what is cut out of it
CONTENTS = STYLES = 1200
JUDGE_STEPS, JUDGE_BATCH = 450, 16
STEPS, BATCH = 3300, 4
LEARNING_RATE = 2e-3


# ---- the shipped network

class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


def normalise(x):
    """Every channel to mean 0 and deviation 1 over the picture: what is left of
    the features says what is where, not in which colours."""
    mean = x.mean((2, 3), keepdim=True)
    x = x - mean
    return x / ((x * x).mean((2, 3), keepdim=True) + 1e-4).sqrt()


class Attention(nn.Module):
    """Every place of the content asks all places of the style. What is asked for
    is what lies there (normalised features) and also where it lies, so that
    neighbours in a flat part take neighbours of the texture, not its average."""

    WAVES = (4.0, 9.0, 20.0, 45.0)  # in cells of 4x4 pixels

    def __init__(self, channels):
        super().__init__()
        self.f = Mix(channels, channels)
        self.g = Mix(channels, channels)
        self.h = Mix(channels, channels)
        self.place = nn.Parameter(torch.full((len(self.WAVES),), 1.0))
        self.out = Mix(channels, channels)

    def places(self, x):
        """Sines and cosines of the position; their products are cosines of
        distances. (1, 4 * waves, h * w)"""
        rows = torch.arange(x.shape[2], dtype=torch.float32)
        columns = torch.arange(x.shape[3], dtype=torch.float32)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        angles = [p.flatten() * (2 * math.pi / wave)
                  for wave in self.WAVES for p in (y, x)]
        return torch.stack([a.sin() for a in angles] + [a.cos() for a in angles])

    def forward(self, content, style, patches):
        """What every place takes: features, and patches of the style's picture."""
        key, query = self.g(normalise(style)), self.f(normalise(content))
        scale = self.f.out_channels ** -0.5
        strength = self.place.repeat_interleave(2).repeat(2)[:, None]
        n = content.shape[0]

        def joined(x, factor):
            p = (self.places(x) * factor)[None].expand(n, -1, -1)
            return torch.cat([x.flatten(2), p], 1)

        query = joined(query * scale, strength)
        key = joined(key, torch.ones_like(strength))
        weights = torch.softmax(product(query.transpose(1, 2), key), 2)
        value = self.h(style)
        value = torch.cat([value, value * value, patches], 1).flatten(2).transpose(1, 2)
        taken = product(weights, value).transpose(1, 2)
        c, h, w = content.shape[1:]
        mean, square, patches = [taken[:, i:j].reshape(n, -1, h, w) for i, j in
                                 ((0, c), (c, 2 * c), (2 * c, 2 * c + 48))]
        deviation = (F.relu(square - mean * mean) + 1e-4).sqrt()
        return self.out(normalise(content) * deviation + mean), patches, weights


class Transfer(nn.Module):
    def __init__(self, a=32, b=56):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, a, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(a, a, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(a, b, 3, 2, 1), nn.ReLU(),
            Residual(b))
        self.attention = Attention(b)
        self.decoder = nn.Sequential(
            Residual(b), nn.ReLU(),
            nn.Conv2d(b, 4 * a, 3, 1, 1), nn.PixelShuffle(2), nn.ReLU(),
            nn.Conv2d(a, a, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(a, 12, 3, 1, 1), nn.PixelShuffle(2))

    def attend(self, content, style):
        return self.attention(self.encoder(content), self.encoder(style),
                              F.pixel_unshuffle(style, 4))

    def forward(self, content, style):
        """The patches as they were taken, and what the decoder changes in them."""
        x, patches, _ = self.attend(content, style)
        picture = F.pixel_shuffle(patches, 4) + self.decoder(x)
        return picture if self.training else picture.clamp(0, 1)

    def weights(self, content, style):
        """What every cell of the content took from every cell of the style."""
        return self.attend(content, style)[2]


# ---- the judge: it is trained to tell textures and scenes apart, and what its
# layers see says how alike two pictures are. It is not shipped.

def layer(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, padding_mode="reflect"),
                         nn.BatchNorm2d(outputs), nn.ReLU())


class Judge(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.levels = nn.ModuleList([
            layer(3, 24),
            nn.Sequential(nn.AvgPool2d(2), layer(24, 32), layer(32, 32)),
            nn.Sequential(nn.AvgPool2d(2), layer(32, 48), layer(48, 48)),
            nn.Sequential(nn.AvgPool2d(2), layer(48, 64), layer(64, 64))])
        self.head = nn.Linear(2 * 64, classes)

    def features(self, x):
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found

    def forward(self, x):
        x = self.features(x)[-1]
        return self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))


def draw_all():
    """What is trained on: (contents, styles, texture of each style), uint8."""
    rng = np.random.default_rng(SEED)
    scenes, textures = list(SCENES), list(TEXTURES)
    contents = np.stack([content(rng, scenes[i % len(scenes)], DRAWN)
                         for i in range(CONTENTS)])
    kinds = np.arange(STYLES) % len(textures)
    styles = np.stack([style(rng, textures[k], DRAWN) for k in kinds])
    return contents, styles, kinds


def cut(rng, pictures, chosen, side=CROP):
    """Crops of some pictures, mirrored and with colour channels exchanged."""
    crops = []
    for i in chosen:
        big = int(rng.integers(side, DRAWN + 1))
        x, y = rng.integers(0, DRAWN - big + 1, 2)
        crop = pictures[i, y:y + big, x:x + big][..., rng.permutation(3)]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255
        crops.append(F.interpolate(crop, (side, side), mode="bilinear",
                                   antialias=True, align_corners=False)
                     if big != side else crop)
    return torch.cat(crops)


def train_judge(data, log):
    contents, styles, kinds = data
    judge = Judge(len(TEXTURES) + len(SCENES))
    rng = np.random.default_rng(SEED + 1)
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, JUDGE_STEPS)
    right = []
    for step in range(1, JUDGE_STEPS + 1):
        half = JUDGE_BATCH // 2
        s, c = rng.integers(0, STYLES, half), rng.integers(0, CONTENTS, half)
        x = torch.cat([cut(rng, styles, s, 64), cut(rng, contents, c, 64)])
        label = torch.from_numpy(np.concatenate(
            [kinds[s], len(TEXTURES) + c % len(SCENES)]))
        x = x + 0.03 * torch.randn_like(x)
        logits = judge(x)
        loss = F.cross_entropy(logits, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        right.append((logits.argmax(1) == label).float().mean().item())
        if step % 100 == 0:
            log(f"judge {step:4d}  accuracy {np.mean(right[-100:]):.3f}")
    return judge.eval().requires_grad_(False)


# ---- losses

def gram(x):
    n, c, h, w = x.shape
    x = x.flatten(2)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # the means too
    return product(x, x.transpose(1, 2)) / (h * w)


def style_loss(found, wanted):
    loss = 0
    for a, b in zip(found, wanted):
        a, b = gram(a), gram(b)
        loss = loss + ((a - b) ** 2).sum((1, 2)).div((b ** 2).sum((1, 2))).mean()
    return loss


def colour_loss(x, style, directions=8, pixels=1024):
    """How far the colours of two pictures are apart, wherever they are: the
    sliced Wasserstein distance, of some pixels and of places 4 pixels wide."""
    loss = 0
    for pool in (1, 4):
        a, b = [F.avg_pool2d(p, pool).flatten(2) for p in (x, style)]
        a, b = [p[:, :, torch.randperm(p.shape[2])[:pixels]] for p in (a, b)]
        way = F.normalize(torch.randn(directions, 3), dim=1)
        a, b = [torch.stack([way @ q for q in p]).sort(2)[0] for p in (a, b)]
        loss = loss + (a - b).abs().mean()
    return loss


def blurred(x, side):
    """Lightness without detail, its mean 0 and its deviation 1."""
    grey = (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True)
    return normalise(F.avg_pool2d(grey, side, 2, side // 2, count_include_pad=False))


def content_loss(found, wanted):
    return sum(F.mse_loss(normalise(a), normalise(b))
               for a, b in zip(found[2:], wanted[2:]))


# What the losses weigh from which step on. The texture is learnt first; then the
# content, so that it is recognised; then the colours, which suffered from that.
WEIGHTS = {
    1: {"content": 0.5, "light": 0.5, "shape": 0.0, "style": 1.2, "colour": 6.0, "same": 4.0},
    701: {"content": 1.2, "light": 2.0, "shape": 1.5, "style": 0.6, "colour": 5.0, "same": 2.0},
    1001: {"content": 1.2, "light": 2.0, "shape": 1.5, "style": 0.7, "colour": 10.0, "same": 2.0},
}


def losses(model, judge, contents, styles, step):
    x = model(contents, styles)
    found, of_content, of_style = [judge.features(p)
                                   for p in (x, contents, styles)]
    terms = {"content": content_loss(found, of_content),
             "light": F.mse_loss(blurred(x, 9), blurred(contents, 9)),
             "shape": F.mse_loss(blurred(x, 5), blurred(contents, 5)),
             "style": style_loss(found, of_style),
             "colour": colour_loss(x, styles)}
    if step % 2 == 0:
        # In turn a content and a style that is laid over itself should stay itself.
        one = (contents, styles)[step // 2 % 2][:1]
        terms["same"] = (model(one, one) - one).abs().mean()
    return terms


def train(model, judge, data, log, state):
    contents, styles, _ = data
    rng = np.random.default_rng(SEED + 2)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE, (0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS,
                                                   pct_start=0.05)
    parts = (model, judge, optimiser, schedule)
    state.load(parts, rng)
    sums = {}
    for step in range(state.step + 1, STEPS + 1):
        terms = losses(model, judge, cut(rng, contents, rng.integers(0, CONTENTS, BATCH)),
                       cut(rng, styles, rng.integers(0, STYLES, BATCH)), step)
        weights = WEIGHTS[max(start for start in WEIGHTS if start <= step)]
        loss = sum(weights[name] * term for name, term in terms.items())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0) + term.item()
        if step % 100 == 0:
            sums["same"] *= 2
            log(f"step {step:5d}  " + "  ".join(
                f"{name} {sums[name] / 100:.4f}" for name in WEIGHTS[1]))
            sums = {}
            state.save(step, parts, rng, step == STEPS)


# ---- the file

def export(model):
    """Writes style.onnx: one picture of each kind, SIZE x SIZE, so that the
    places that attend are known."""
    round_to_half(model)
    blank = torch.zeros(1, 3, SIZE, SIZE)
    torch.onnx.export(model.eval(), (blank, blank), MODEL, opset_version=13,
                      do_constant_folding=False, input_names=["content", "style"],
                      output_names=["picture"])
    picture = {"role": "image", "preprocess": {
        "size": [SIZE, SIZE], "resize": "crop", "color": "rgb",
        "mean": [0.0] * 3, "std": [1.0] * 3, "scale": 255}}
    finish(MODEL, {"inputs": {"content": picture, "style": picture},
                   "outputs": {"picture": {"role": "image", "of": "content"}}})


def load():
    """The trained network, from the file it was exported to."""
    return load_weights(Transfer(), MODEL)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--state", metavar="FILE")
    state = State(options.parse_args().state)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    with log_to(LOG, state.exists) as log:
        data = draw_all()
        model = Transfer()
        if state.exists:
            judge = Judge(len(TEXTURES) + len(SCENES)).eval().requires_grad_(False)
        else:
            log(f"{sum(p.numel() for p in model.parameters())} parameters, {CONTENTS} "
                f"contents and {STYLES} styles, {STEPS} steps of {BATCH} pairs")
            judge = train_judge(data, log)
        train(model, judge, data, log, state)
        export(model)
        log(f"style.onnx {os.path.getsize(MODEL)} bytes")


if __name__ == "__main__":
    main()
