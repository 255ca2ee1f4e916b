#!/usr/bin/env python3
"""Trains the small attention CNN of the shapes example and exports it.

    python3 train.py            # draws the data, trains, writes shapes.onnx
                                # and train.log

Everything is drawn by scenes.py; nothing is downloaded. Seeds are fixed, one
thread is used, so two runs on one machine give the same network.

Tools: Python 3.11, PyTorch 1.13 (training, export), onnx 1.12 (metadata),
numpy 1.24, Pillow 9.4 (drawing): the packages python3-torch, python3-onnx,
python3-numpy and python3-pil of Debian 12.
"""
import json
import os
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F

from scenes import LABELS, SIZE, dataset

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "shapes.onnx")
LOG = os.path.join(HERE, "train.log")

SEED = 1
PICTURES = 16000        # drawn once, then flipped and recoloured every epoch
FRESH_SEED = 2          # pictures that are never trained on
FRESH = 500
EPOCHS = 16
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 1e-3
MAP_LOSS = 0.3          # weight of the hint for the spatial attention map
MEAN = STD = 0.5


class Gate(nn.Module):
    """One scalar per picture: how much of this block is wanted at all."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, 1)

    def forward(self, x):
        w = F.relu(self.conv(x))
        w = self.pool(w).flatten(1)
        w = torch.sigmoid(self.linear(w))
        return x * w[:, :, None, None]


class SqueezeExcite(nn.Module):
    """One factor per channel."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        w = x.mean((2, 3), keepdim=True)
        w = self.expand(F.relu(self.reduce(w)))
        return x * torch.sigmoid(w)


class Cbam(nn.Module):
    """One factor per channel, then one per position (the attention map)."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.shared = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1, bias=False))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        peak = x.amax((2, 3), keepdim=True)
        w = self.shared(self.average(x)) + self.shared(peak)
        x = x * torch.sigmoid(w)
        w = torch.cat([x.mean(1, keepdim=True),
                       x.max(1, keepdim=True).values], 1)
        attention = torch.sigmoid(self.spatial(w))
        return x * attention, attention


class Block(nn.Module):
    """A residual block; its attention sits on the branch, before the sum."""

    def __init__(self, inputs, outputs, stride, attention):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.attention = attention(outputs)
        self.skip = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.attention(self.norm2(self.conv2(y)))
        y, attention = y if isinstance(y, tuple) else (y, None)
        y = F.relu(y + self.skip(x))
        return y if attention is None else (y, attention)


class ShapeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.gate1 = Block(16, 16, 1, Gate)             # 32x32
        self.cbam = Block(16, 24, 1, Cbam)              # 32x32, gives the map
        self.excite = Block(24, 48, 2, SqueezeExcite)   # 16x16
        self.gate2 = Block(48, 64, 2, Gate)             # 8x8
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, len(LABELS))

    def forward(self, image):
        x, attention = self.cbam(self.gate1(self.stem(image)))
        x = self.gate2(self.excite(x))
        return self.head(self.pool(x).flatten(1)), attention


def preprocess(pictures):
    """uint8 (n, H, W, 3) -> normalised float (n, 3, H, W)."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return (x.float() / 255 - MEAN) / STD


def augment(x, mask):
    """Flips, quarter turns, permuted colours and a little noise: all of them
    leave the label as it is. One choice serves the whole batch."""
    turns, flip = torch.randint(4, (1,)).item(), torch.randint(2, (1,)).item()
    x, mask = x.rot90(turns, (2, 3)), mask.rot90(turns, (1, 2))
    if flip:
        x, mask = x.flip(3), mask.flip(2)
    x = x[:, torch.randperm(3)]
    return x + 0.04 * torch.rand(1) * torch.randn_like(x), mask


def map_loss(attention, mask):
    """Pulls the spatial map towards the shape. Left alone, the map of so small
    a network settles on anything useful, often the background; this light hint
    makes it readable. Shape and background count the same however large."""
    attention = attention.squeeze(1)
    error = F.binary_cross_entropy(attention, mask, reduction="none")
    inside = (error * mask).sum((1, 2)) / mask.sum((1, 2))
    outside = (error * (1 - mask)).sum((1, 2)) / (1 - mask).sum((1, 2))
    return (inside + outside).mean()


@torch.no_grad()
def predict(model, pictures):
    model.eval()
    parts = [model(preprocess(pictures[i:i + BATCH]))
             for i in range(0, len(pictures), BATCH)]
    return [torch.cat(part) for part in zip(*parts)]


def evaluate(model, pictures, masks, labels):
    """Accuracy, and the mean of the map on the shape and off it."""
    logits, attention = predict(model, pictures)
    accuracy = (logits.argmax(1).numpy() == labels).mean()
    attention = attention[:, 0].numpy()
    return (accuracy, attention[masks > 200].mean(),
            attention[masks < 50].mean())


def train(model, log):
    pictures, masks, labels = dataset(SEED, PICTURES)
    fresh = dataset(FRESH_SEED, FRESH)
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE,
                                  weight_decay=WEIGHT_DECAY)
    steps = PICTURES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps)
    for epoch in range(1, EPOCHS + 1):
        model.train()
        total = 0.0
        order = torch.randperm(PICTURES).numpy()[:steps * BATCH]
        for chosen in order.reshape(steps, BATCH):
            mask = torch.from_numpy(masks[chosen]).float() / 255
            x, mask = augment(preprocess(pictures[chosen]), mask)
            logits, attention = model(x)
            loss = F.cross_entropy(logits, torch.from_numpy(labels[chosen]),
                                   label_smoothing=0.05)
            loss = loss + MAP_LOSS * map_loss(attention, mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        accuracy, inside, outside = evaluate(model, *fresh)
        log(f"epoch {epoch:2d}  loss {total / steps:.4f}  fresh accuracy "
            f"{accuracy:.4f}  map on shape {inside:.3f}  off shape {outside:.3f}")


def export(model):
    """Writes shapes.onnx with its BatchNorms kept (TrainingMode.PRESERVE stops
    the exporter from folding them) and says in its metadata how to use it."""
    model.eval()
    torch.onnx.export(
        model, torch.zeros(1, 3, SIZE, SIZE), MODEL, opset_version=13,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        input_names=["image"], output_names=["logits", "attention"],
        dynamic_axes={name: {0: "batch"}
                      for name in ("image", "logits", "attention")})
    usage = {
        "inputs": {"image": {"role": "image", "preprocess": {
            "size": [SIZE, SIZE], "resize": "stretch", "color": "rgb",
            "mean": [MEAN] * 3, "std": [STD] * 3, "scale": 255}}},
        "outputs": {"logits": {"role": "logits", "labels": LABELS},
                    "attention": {"role": "attention_map", "of": "image"}},
    }
    graph = onnx.load(MODEL)
    onnx.helper.set_model_props(graph, {"espy": json.dumps(usage)})
    onnx.checker.check_model(graph)
    onnx.save(graph, MODEL)


def load():
    """The trained network. The exporter keeps the names of the parameters, so
    shapes.onnx is its own checkpoint."""
    graph = onnx.load(MODEL).graph
    state = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
             for t in graph.initializer}
    model = ShapeNet()
    needed = {name for name in model.state_dict() if "num_batches" not in name}
    model.load_state_dict({k: state[k] for k in needed}, strict=False)
    return model.eval()


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    start = time.time()
    with open(LOG, "w") as file:
        def log(line):
            print(line, flush=True)
            print(line, file=file, flush=True)
        model = ShapeNet()
        log(f"{sum(p.numel() for p in model.parameters())} parameters, "
            f"{PICTURES} pictures, {EPOCHS} epochs of batches of {BATCH}")
        train(model, log)
        export(model)
        accuracy, _, _ = evaluate(load(), *dataset(FRESH_SEED, FRESH))
        log(f"accuracy on {FRESH} fresh pictures {accuracy:.4f}, shapes.onnx "
            f"{os.path.getsize(MODEL)} bytes, {(time.time() - start) / 60:.0f} "
            "minutes")


if __name__ == "__main__":
    main()
