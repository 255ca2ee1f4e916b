#!/usr/bin/env python3
"""Draws the held-out test and the sample, and says what PyTorch makes of them.

    python3 make_test.py        # writes the files below
    python3 make_test.py --overlay F
                                # also a picture F: the first scenes with the
                                # boxes found in them, to look at

    test200-0.png ... -3.png    50 pictures of 224x224 each, 10 across and 5
                   down: picture i is in file i / 50, and with k = i % 50 has its
                   top left corner at x = 224 (k % 10), y = 224 (k / 10)
    test200.txt    a line per toy: picture, label index, x1, y1, x2, y2
    expected.json  mean average precision on those pictures, what is found in the
                   first ten and the attention gate on the first forty, by the
                   trained network
    sample.png     a larger picture

Tools: as for train_detection.py, whose toys.onnx must exist.
"""
import argparse
import json
import os

import numpy as np
import torch
from PIL import Image, ImageDraw

from measure import mean_average_precision
from toys import LABELS, SIZE, dataset, draw
from train_detection import HERE, SHOWN, load, predict

SEED = 3                # neither the training pictures nor the fresh ones
SHEETS, ACROSS, DOWN = 4, 10, 5
COLOURS = 256           # of one sheet, which makes the files small
DETAILED, GATES = 10, 40
SAMPLE_SIZE, SAMPLE_SEED = 512, 6


def path(name):
    return os.path.join(HERE, name)


def exact(array):
    """Nested lists of the shortest decimals that give back each float32."""
    if isinstance(array, np.ndarray):
        return [exact(row) for row in array]
    return float(str(np.float32(array)))


def write_sheet(number, pictures):
    """Writes one sheet and returns its pictures as they are in the file."""
    sheet = np.stack(pictures).reshape(DOWN, ACROSS, SIZE, SIZE, 3)
    sheet = sheet.swapaxes(1, 2).reshape(DOWN * SIZE, ACROSS * SIZE, 3)
    sheet = Image.fromarray(sheet).quantize(COLOURS, dither=Image.Dither.NONE)
    sheet.save(path(f"test200-{number}.png"), optimize=True)
    sheet = np.asarray(sheet.convert("RGB"))
    sheet = sheet.reshape(DOWN, SIZE, ACROSS, SIZE, 3).swapaxes(1, 2)
    return list(sheet.reshape(-1, SIZE, SIZE, 3))


def write_scenes():
    """Returns the pictures and, for each, boxes and labels as in the files."""
    scenes = dataset(SEED, SHEETS * ACROSS * DOWN)
    pictures, each = [], ACROSS * DOWN
    for k in range(SHEETS):
        drawn = [picture for picture, _, _ in scenes[k * each:(k + 1) * each]]
        pictures += write_sheet(k, drawn)
    truths = [(boxes.round(2), labels) for _, boxes, labels in scenes]
    with open(path("test200.txt"), "w") as file:
        for i, (boxes, labels) in enumerate(truths):
            for box, label in zip(boxes, labels):
                sides = " ".join(f"{side:.2f}" for side in box)
                file.write(f"{i} {label} {sides}\n")
    return pictures, truths


def write_test(model):
    pictures, truths = write_scenes()
    gates = []
    linear = model.backbone.attention.linear
    hook = linear.register_forward_hook(
        lambda module, inputs, made: gates.append(made.sigmoid().item()))
    found = predict(model, pictures)
    hook.remove()
    value, each = mean_average_precision(found, truths, len(LABELS) - 1)
    details = [{"boxes": exact(boxes), "scores": exact(scores),
                "classes": labels.tolist()}
               for boxes, scores, labels in found[:DETAILED]]
    with open(path("expected.json"), "w") as file:
        json.dump({"mean_average_precision": round(value, 6),
                   "average_precision": dict(zip(LABELS[1:], np.round(each, 4))),
                   "gate": exact(np.array(gates[:GATES])), "found": details}, file)
        file.write("\n")
    print(f"mAP {value:.4f}: " + ", ".join(
        f"{name} {one:.3f}" for name, one in zip(LABELS[1:], each)))
    print(f"gate {min(gates):.3f} to {max(gates):.3f}; "
          f"{sum(len(boxes) for boxes, _ in truths)} toys; "
          f"{sum((scores >= SHOWN).sum() for _, scores, _ in found)} shown")
    return pictures, found


def annotated(picture, boxes, scores, labels, scale):
    side = SIZE * scale
    picture = Image.fromarray(picture).resize((side, side), Image.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for box, score, label in zip(boxes * scale, scores, labels):
        if score >= SHOWN:
            pen.rectangle(list(box), outline="white", width=2)
            pen.text((box[0] + 3, box[1] + 2), f"{LABELS[label]} {score:.2f}",
                     fill="white", stroke_fill="black", stroke_width=1)
    return np.asarray(picture)


def write_sample(model):
    picture, _, _ = draw(np.random.default_rng(SAMPLE_SEED), SAMPLE_SIZE)
    Image.fromarray(picture).save(path("sample.png"), optimize=True)
    small = Image.fromarray(picture).resize((SIZE, SIZE), Image.BILINEAR)
    for box, score, label in zip(*predict(model, [np.asarray(small)])[0]):
        if score >= SHOWN:
            print(f"sample.png: {LABELS[label]} {score:.3f} "
                  f"{(box * SAMPLE_SIZE / SIZE).round()}")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--overlay", metavar="F")
    options = options.parse_args()
    torch.set_num_threads(1)
    model = load()
    pictures, found = write_test(model)
    write_sample(model)
    if options.overlay:
        shown = [annotated(picture, *rows, 2)
                 for picture, rows in zip(pictures[:12], found)]
        rows = [np.concatenate(shown[i:i + 4], 1) for i in range(0, 12, 4)]
        Image.fromarray(np.concatenate(rows)).save(options.overlay)


if __name__ == "__main__":
    main()
