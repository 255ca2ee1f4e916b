#!/usr/bin/env python3
"""Trains the small transformer encoder of the sequence example, exports it.

    python3 train_sequence.py   # writes sequence.onnx and train.log

Passages are written by passages.py; nothing is downloaded. Seeds are fixed,
one thread is used, so two runs on one machine give the same network.

Tools: Python 3.11, PyTorch 1.13, onnx 1.12, numpy 1.24: the packages
python3-torch, python3-onnx and python3-numpy of Debian 12.
"""
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from passages import ANSWERS, LENGTH, WORDS, dataset

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, ".."))
from training import finish, load_weights, round_to_half  # noqa: E402

MODEL = os.path.join(HERE, "sequence.onnx")
LOG = os.path.join(HERE, "train.log")

SEED = 1
PASSAGES = 100000       # written once, numbers of words only
FRESH_SEED = 2          # passages that are never trained on
FRESH = 2000
STEPS = 1800
REPORT = 200
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.01
HINT = 0.3              # weights of the two hints
LOOK = 0.3
WIDTH, HEADS, LAYERS = 64, 4, 2
POSITIONS = 256         # longest passage that the network takes


class Linear(nn.Linear):
    """Debian's PyTorch multiplies matrices without a fast BLAS; convolutions
    have one of their own, which makes training four times as fast."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        weight = self.weight[:, :, None]
        return F.conv1d(x.transpose(1, 2), weight, self.bias).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention; what fills up a passage is attended to by none."""

    def __init__(self):
        super().__init__()
        self.query = Linear(WIDTH, WIDTH)
        self.key = Linear(WIDTH, WIDTH)
        self.value = Linear(WIDTH, WIDTH)
        self.out = Linear(WIDTH, WIDTH)
        for layer in self.query, self.value, self.out:
            nn.init.xavier_uniform_(layer.weight)
        # What is alike attends to each other, to begin with.
        self.key.load_state_dict(self.query.state_dict())

    def forward(self, x, filled):
        def split(y):
            return y.reshape(y.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

        query, key = split(self.query(x)), split(self.key(x))
        scores = query @ key.transpose(2, 3) / math.sqrt(WIDTH // HEADS)
        scores = scores.masked_fill(filled, -math.inf)
        self.weights = torch.softmax(scores, -1)
        y = self.weights @ split(self.value(x))
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.wide = Linear(WIDTH, 4 * WIDTH)
        self.narrow = Linear(4 * WIDTH, WIDTH)

    def forward(self, x, filled):
        x = x + self.attention(self.norm1(x), filled)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


def sinusoids():
    """The fixed positional encoding of the first transformer, but with waves
    for passages of a few dozen words."""
    places = torch.arange(POSITIONS)[:, None]
    rates = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(100) / WIDTH))
    table = torch.zeros(POSITIONS, WIDTH)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates)
    return table


class Encoder(nn.Module):
    """The answer is read at the first word, which asks the question."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.register_buffer("positions", sinusoids() * 0.5)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(ANSWERS))

    def forward(self, tokens):
        filled = (tokens == 0)[:, None, None]
        x = self.embedding(tokens) + self.positions[:tokens.shape[1]]
        for i, layer in enumerate(self.layers):
            x = layer(x, filled)
            if i == 0:
                self.seen = x
        return self.head(self.norm(x[:, 0]))


def hint_loss(hint, seen, tokens, groups):
    """After the first layer every name, colour and thing should know the other
    words of its fact, and the first word what is asked about. The second layer
    can match these then; without the hint training stays for long where every
    fact is as good as the other. `hint`, a layer, is thrown away."""
    named = F.one_hot(tokens, len(WORDS))[..., -len(ANSWERS):].float()
    alike = (groups[:, :, None] == groups[:, None]).float() @ named
    loss = F.binary_cross_entropy_with_logits(hint(seen), alike.clamp(max=1),
                                              reduction="none").sum(2)
    return loss[groups != 0].mean()


def look_loss(model, places):
    """Asks the heads of the last layer to look, from the first word, at the
    answer. Left alone they find all answers by other words of its fact and by
    the full stop behind it, which is as good and hard to read."""
    rows = model.layers[-1].attention.weights[:, :, 0].mean(1)
    return -torch.log(rows.gather(1, places[:, None]) + 1e-6).mean()


@torch.no_grad()
def predict(model, ids):
    """Logits, and what the first word attends to in the last layer:
    (passages, heads, words)."""
    model.eval()
    logits, rows = [], []
    for part in torch.from_numpy(ids).split(250):
        logits.append(model(part))
        rows.append(model.layers[-1].attention.weights[:, :, 0])
    return torch.cat(logits), torch.cat(rows)


def evaluate(model, ids, answers, places, groups):
    """How many are right, and how much of the attention of the first word, as
    the mean over heads and passages, goes to the answer, and to the name, the
    colour and the thing of its fact."""
    logits, rows = predict(model, ids)
    fact = groups == np.take_along_axis(groups, places[:, None], 1)
    rows = rows.mean(1).numpy()
    return (int((logits.argmax(1).numpy() == answers).sum()),
            rows[np.arange(len(ids)), places].mean(),
            (rows * fact).sum(1).mean())


def train(model, log):
    ids, answers, places, groups = map(torch.from_numpy, dataset(SEED, PASSAGES))
    fresh = dataset(FRESH_SEED, FRESH)
    hint = Linear(WIDTH, len(ANSWERS))
    parameters = [*model.parameters(), *hint.parameters()]
    optimiser = torch.optim.AdamW(parameters, LEARNING_RATE, betas=(0.9, 0.98),
                                  weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=STEPS, pct_start=0.1)
    total = 0.0
    for step in range(1, STEPS + 1):
        model.train()
        chosen = torch.randint(PASSAGES, (BATCH,))
        longest = int((ids[chosen] != 0).sum(1).max())
        tokens = ids[chosen, :longest]
        loss = F.cross_entropy(model(tokens), answers[chosen])
        total += loss.item()
        loss = loss + HINT * hint_loss(hint, model.seen, tokens,
                                       groups[chosen, :longest])
        loss = loss + LOOK * look_loss(model, places[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % REPORT == 0:
            right, answer, fact = evaluate(model, *fresh)
            log(f"step {step:5d}  loss {total / REPORT:.4f}  fresh {right} of "
                f"{FRESH} right  attention to the answer {answer:.3f}, to its "
                f"fact {fact:.3f}")
            total = 0.0


def export(model):
    """Rounds the weights to float16, which is what the file keeps."""
    model.eval()
    round_to_half(model)
    torch.onnx.export(
        model, torch.zeros(1, LENGTH, dtype=torch.int64), MODEL,
        opset_version=13, do_constant_folding=False,
        input_names=["tokens"], output_names=["logits"],
        dynamic_axes={"tokens": {0: "batch", 1: "length"}, "logits": {0: "batch"}})
    usage = {
        "inputs": {"tokens": {"role": "tokens", "labels": WORDS}},
        "outputs": {"logits": {"role": "logits", "labels": ANSWERS}},
    }
    finish(MODEL, usage)


def load():
    """The trained network: sequence.onnx is its own checkpoint."""
    return load_weights(Encoder(), MODEL)


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    start = time.process_time()
    with open(LOG, "w") as file:
        def log(line):
            print(line, flush=True)
            print(line, file=file, flush=True)
        model = Encoder()
        log(f"{sum(p.numel() for p in model.parameters())} parameters, "
            f"{PASSAGES} passages, {STEPS} steps of batches of {BATCH}")
        train(model, log)
        export(model)
        log(f"sequence.onnx {os.path.getsize(MODEL)} bytes, "
            f"{(time.process_time() - start) / 60:.0f} minutes of CPU")


if __name__ == "__main__":
    main()
