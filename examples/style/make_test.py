#!/usr/bin/env python3
"""Draws a pair of pictures and says what PyTorch makes of them.

    python3 make_test.py

    content.png, style.png     a landscape and a mosaic, 192x192
    expected_picture.npy       1x3x64x64: every third row and column of what the
                               network makes of them
    expected_attention.npy     1x4x2304: the attention of queries 0, 577, 1154, 1731

Tools: as for train.py, whose style.onnx must exist.
"""
import os

import numpy as np
import torch
from PIL import Image

from pictures import content, style
from train import HERE, SIZE, load

CONTENT_SEED, STYLE_SEED = 108, 101
STEP, QUERIES = 3, 577      # test_pictures.c has the same


def path(name):
    return os.path.join(HERE, name)


def to_tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    pair = [content(np.random.default_rng(CONTENT_SEED), "landscape", SIZE),
            style(np.random.default_rng(STYLE_SEED), "mosaic", SIZE)]
    for name, picture in zip(("content.png", "style.png"), pair):
        Image.fromarray(picture).save(path(name), optimize=True)
    model = load()
    pair = [to_tensor(picture) for picture in pair]
    np.save(path("expected_picture.npy"), model(*pair)[:, :, ::STEP, ::STEP].contiguous().numpy())
    np.save(path("expected_attention.npy"), model.weights(*pair)[:, ::QUERIES].contiguous().numpy())


if __name__ == "__main__":
    main()
