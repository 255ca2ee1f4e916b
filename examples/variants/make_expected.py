#!/usr/bin/env python3
"""Says what PyTorch makes of the held-out pictures of ../shapes.

    python3 make_expected.py    # writes expected.json

For every variant: `right`, how many of the 500 tiles of ../shapes/test500.png
it tells apart; `logits` of the first ten; `sites`, in the order in which the
network computes them, with the `map` of the first four: of a gate all factors,
of attention between tokens the weights of one `query`, for each head.

Tools: as for train_variants.py, whose networks must exist.
"""
import json
import os
from unittest import mock

import numpy as np
import torch
from PIL import Image

from networks import VARIANTS
from train_variants import HERE, load, predict
from scenes import SIZE

MAPS = 4
QUERY = 27              # the place in row 3, column 3 of 8x8
SITES = {               # of a block: part of the name, kind
    "none": [],
    "module": [("attention", "channel_gate")],
    "se": [("attention", "channel_gate")],
    "cbam": [("attention", "channel_gate"), ("attention_2", "spatial_gate")],
    "eca": [("attention", "channel_gate")],
    "nonlocal": [("attention", "softmax")],
    "botnet": [("second", "softmax")],
}


def read_pictures():
    sheet = np.asarray(Image.open(os.path.join(HERE, "..", "shapes",
                                               "test500.png")))
    down, across = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
    tiles = sheet.reshape(down, SIZE, across, SIZE, 3).swapaxes(1, 2)
    with open(os.path.join(HERE, "..", "shapes", "test500.txt")) as file:
        labels = np.array([int(line) for line in file])
    return tiles.reshape(-1, SIZE, SIZE, 3), labels


def exact(tensor):
    """Nested lists of the shortest decimals that give back each float32."""
    if tensor.dim():
        return [exact(row) for row in tensor]
    return float(str(np.float32(tensor.item())))


def maps_of(model, pictures):
    """What every sigmoid and softmax of a run gives: these are the maps."""
    maps = []

    def keeping(function):
        def kept(*arguments):
            maps.append(function(*arguments))
            return maps[-1]
        return kept

    with mock.patch.object(torch, "sigmoid", keeping(torch.sigmoid)), \
            mock.patch.object(torch, "softmax", keeping(torch.softmax)):
        predict(model, pictures)
    return maps


def site_of(name, kind, weights):
    site = {"name": name, "kind": kind}
    if kind == "softmax":
        site["query"] = QUERY
        weights = weights.reshape(MAPS, -1, *weights.shape[-2:])[:, :, QUERY]
    return {**site, "map": exact(weights.flatten(1) if kind != "softmax"
                                 else weights)}


def main():
    torch.set_num_threads(1)
    pictures, labels = read_pictures()
    expected = {}
    for variant in VARIANTS:
        model = load(variant)
        logits = predict(model, pictures)
        right = int((logits.argmax(1).numpy() == labels).sum())
        two = logits.topk(2).values
        names = [(f"{block}/{name}", kind) for block in ("block2", "block3")
                 for name, kind in SITES[variant]]
        maps = maps_of(model, pictures[:MAPS])
        assert len(maps) == len(names)
        expected[variant] = {
            "right": right, "logits": exact(logits[:10]),
            "sites": [site_of(*name, weights)
                      for name, weights in zip(names, maps)]}
        print(f"{variant}: {right} of {len(labels)} right; the two best logits "
              f"are at least {(two[:, 0] - two[:, 1]).min():.2g} apart")
    with open(os.path.join(HERE, "expected.json"), "w") as file:
        json.dump(expected, file)
        file.write("\n")


if __name__ == "__main__":
    main()
