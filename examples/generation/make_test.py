#!/usr/bin/env python3
"""Chooses a latent for each class and says what PyTorch makes of them.

    python3 make_test.py

    latent.npy, class.npy      8x24 and 8
    expected_picture.npy       8x3x22x22: every third row and column of what the
                               network makes of them
    expected_attention.npy     8x7x256: the attention of queries 0, 37, ... 222

Tools: as for train.py, whose generation.onnx must exist.
"""
import os

import numpy as np
import torch

from things import LABELS, LATENT
from train import HERE, load

SEED = 3
STEP, QUERIES = 3, 37       # test_pictures.c has the same


def save(name, array):
    np.save(os.path.join(HERE, name), array)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    z = rng.normal(size=(len(LABELS), LATENT)).astype(np.float32)
    labels = np.arange(len(LABELS))
    save("latent.npy", z)
    save("class.npy", labels)
    model = load()
    z, labels = torch.from_numpy(z), torch.from_numpy(labels)
    save("expected_picture.npy", model(z, labels)[:, :, ::STEP, ::STEP].contiguous().numpy())
    save("expected_attention.npy", model.weights(z, labels)[:, ::QUERIES].contiguous().numpy())


if __name__ == "__main__":
    main()
