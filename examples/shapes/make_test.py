#!/usr/bin/env python3
"""Draws the held-out test and the samples, and says what PyTorch makes of them.

    python3 make_test.py              # writes the files below
    python3 make_test.py --overlay F  # also a picture F: each shape beside its
                                      # attention map, to look at

    test500.png    500 pictures of 64x64 RGB, 25 across and 20 down: picture i
                   has its top left corner at x = 64 (i % 25), y = 64 (i / 25)
    test500.txt    500 lines, line i is the label index of picture i
    expected.json  accuracy on those pictures, logits and scalar gates of the
                   first ten, the attention map of the first, by the trained
                   PyTorch model
    sample.png, sample.jpg   two large pictures

Tools: as for train.py, whose shapes.onnx must exist.
"""
import argparse
import json
import os

import numpy as np
import torch
from PIL import Image

from scenes import LABELS, SIZE, dataset, draw
from train import HERE, evaluate, load, predict

SEED = 3                # neither the training pictures nor the fresh ones
ACROSS, DOWN = 25, 20
SAMPLE_SIZE = 256
SAMPLES = {"sample.png": ("heart", 15), "sample.jpg": ("star", 17)}


def path(name):
    return os.path.join(HERE, name)


def exact(tensor):
    """Nested lists of the shortest decimals that give back each float32."""
    if tensor.dim():
        return [exact(row) for row in tensor]
    return float(str(np.float32(tensor.item())))


def scalar_gates(model, pictures):
    """What the two scalar gates multiply each picture's features by."""
    gates = {}
    hooks = [block.attention.linear.register_forward_hook(
                 lambda layer, given, made, name=name:
                 gates.update({name: torch.sigmoid(made)[:, 0]}))
             for name, block in (("gate1/attention", model.gate1),
                                 ("gate2/attention", model.gate2))]
    predict(model, pictures)
    for hook in hooks:
        hook.remove()
    return gates


def write_test(model):
    pictures, masks, labels = dataset(SEED, ACROSS * DOWN)
    sheet = pictures.reshape(DOWN, ACROSS, SIZE, SIZE, 3).swapaxes(1, 2)
    sheet = sheet.reshape(DOWN * SIZE, ACROSS * SIZE, 3)
    Image.fromarray(sheet).save(path("test500.png"), optimize=True)
    with open(path("test500.txt"), "w") as file:
        file.writelines(f"{label}\n" for label in labels)

    accuracy, inside, outside = evaluate(model, pictures, masks, labels)
    logits, attention = predict(model, pictures)
    with open(path("expected.json"), "w") as file:
        json.dump({"accuracy": round(float(accuracy), 4),
                   "logits": exact(logits[:10]),
                   "gates": {name: exact(gate) for name, gate in
                             scalar_gates(model, pictures[:10]).items()},
                   "attention": exact(attention[0, 0])}, file)
        file.write("\n")
    print(f"accuracy {accuracy:.4f}, map on shape {inside:.3f}, "
          f"off shape {outside:.3f}")
    wrong = np.flatnonzero(logits.argmax(1).numpy() != labels)
    for i in wrong:
        print(f"picture {i}: {LABELS[labels[i]]} taken for "
              f"{LABELS[logits[i].argmax()]}")


def write_samples(model):
    for name, (kind, seed) in SAMPLES.items():
        picture, _ = draw(np.random.default_rng(seed), kind, SAMPLE_SIZE)
        Image.fromarray(picture).save(path(name), quality=92)
        small = Image.open(path(name)).resize((SIZE, SIZE), Image.BILINEAR)
        logits, _ = predict(model, np.asarray(small)[None])
        chance = torch.softmax(logits[0], 0)
        print(f"{name}: {LABELS[chance.argmax()]} {chance.max():.3f}")


def write_overlay(model, name):
    rows = []
    rng = np.random.default_rng(SEED + 1)
    for kind in LABELS:
        pair = []
        for _ in range(3):
            big, _ = draw(rng, kind, SAMPLE_SIZE // 2)
            small = Image.fromarray(big).resize((SIZE, SIZE), Image.BOX)
            _, attention = predict(model, np.asarray(small)[None])
            grey = Image.fromarray(np.uint8(attention[0, 0].numpy() * 255))
            grey = grey.resize(big.shape[:2], Image.BILINEAR)
            pair += [big, np.asarray(grey.convert("RGB"))]
        rows.append(np.concatenate(pair, 1))
    half = len(rows) // 2
    columns = [np.concatenate(rows[:half]), np.concatenate(rows[half:])]
    Image.fromarray(np.concatenate(columns, 1)).save(name)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--overlay", metavar="F")
    options = options.parse_args()
    torch.set_num_threads(1)
    model = load()
    write_test(model)
    write_samples(model)
    if options.overlay:
        write_overlay(model, options.overlay)


if __name__ == "__main__":
    main()
