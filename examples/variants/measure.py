#!/usr/bin/env python3
"""Measures the variants through Espy and prints the table of README.md.

    python3 measure.py ../../build/tools/espy           # accuracy and time
    python3 measure.py ../../build/tools/espy --untimed # accuracy only

Accuracy is that on 2000 pictures that nothing was trained or chosen with, run
by `espy run`; torch's count is printed when it differs. Time is the median of
`espy bench` for one picture. Let nothing else run meanwhile.

Tools: as for train_variants.py, whose networks must exist.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch

from networks import VARIANTS
from train_variants import file_of, load, predict
from scenes import dataset
from train import preprocess

SEED = 13
PICTURES = 2000
ROUNDS = 5


def call(*words):
    return subprocess.run(words, check=True, capture_output=True,
                          text=True).stdout


def through_espy(espy, model, pictures, folder):
    inputs, outputs = (os.path.join(folder, name)
                       for name in ("image.npy", "logits.npy"))
    rows = []
    for first in range(0, len(pictures), 100):
        np.save(inputs, preprocess(pictures[first:first + 100]).numpy())
        call(espy, "run", model, "--input", f"image={inputs}", "-o",
             f"logits={outputs}")
        rows.append(np.load(outputs))
    return np.concatenate(rows)


def time_of(espy, model):
    """Milliseconds: the least of the medians, which is least disturbed."""
    return min(json.loads(call(espy, "bench", model, "--json", "--seconds",
                               "3"))["median_ms"] for _ in range(ROUNDS))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("espy", help="the program")
    options.add_argument("--untimed", action="store_true")
    options = options.parse_args()
    torch.set_num_threads(1)
    pictures, _, labels = dataset(SEED, PICTURES)
    print("| variant | accuracy | time of a run | parameters | file |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for variant, (name, _) in VARIANTS.items():
            model = os.path.join(folder, variant + ".espy")
            call(options.espy, "convert", file_of(variant), "-o", model)
            logits = through_espy(options.espy, model, pictures, folder)
            right = int((logits.argmax(1) == labels).sum())
            network = load(variant)
            again = predict(network, pictures).numpy()
            also = int((again.argmax(1) == labels).sum())
            note = "" if also == right else f" (torch: {also})"
            count = sum(p.numel() for p in network.parameters())
            time = "-"
            if not options.untimed:
                time = f"{time_of(options.espy, model):.2f} ms"
            print(f"| {name} | {100 * right / PICTURES:.1f} %{note} | {time} | "
                  f"{count:,} | {os.path.getsize(file_of(variant)) // 1000} KB |",
                  flush=True)


if __name__ == "__main__":
    main()
