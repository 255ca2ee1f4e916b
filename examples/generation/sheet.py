#!/usr/bin/env python3
"""Makes a sheet of what the program `espy` makes of classes and latents.

    python3 sheet.py ESPY [OUT.png]

ESPY is the program. Every row is a class, every column a seed of its latents.
OUT.png is docs/pictures/generation.png unless it is given.
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

from things import LABELS

HERE = os.path.dirname(os.path.abspath(__file__))
SHEET = os.path.join(HERE, "..", "..", "docs", "pictures", "generation.png")
SEEDS = range(1, 13)


def espy(program, *words):
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("espy")
    options.add_argument("out", nargs="?", default=SHEET)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, made = os.path.join(folder, "made.espy"), os.path.join(folder, "made.png")
        espy(options.espy, "convert", os.path.join(HERE, "generation.onnx"), "-o", model)
        rows = []
        for label in LABELS:
            row = []
            for seed in SEEDS:
                espy(options.espy, "run", model, "--input", f"class={label}", "--seed",
                     str(seed), "-o", made)
                row.append(np.asarray(Image.open(made).convert("RGB")))
            rows.append(np.concatenate(row, 1))
    sheet = Image.fromarray(np.concatenate(rows))
    colours = sheet.quantize(256)
    sheet.quantize(palette=colours).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
