#!/usr/bin/env python3
"""Makes a sheet of what the program `espy` makes of contents and styles.

    python3 sheet.py ESPY [OUT.png] [CONTENT ...]

ESPY is the program. Styles stand in the first row, contents in the first
column. The contents are drawn by pictures.py unless files are given. OUT.png is
docs/pictures/style.png unless it is given; it has 256 colours, to be small.
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

from pictures import content, style

HERE = os.path.dirname(os.path.abspath(__file__))
SHEET = os.path.join(HERE, "..", "..", "docs", "pictures", "style.png")
DRAWN, SHOWN = 192, 104
CONTENTS = {"landscape": 108, "face": 103, "boat": 106, "flowers": 104}     # seeds
STYLES = {"strokes": 106, "mosaic": 101, "hatching": 105, "waves": 103, "crayon": 104,
          "dots": 100}


def espy(program, *words):
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)


def draw(folder, what, seeds):
    names = []
    for kind, seed in seeds.items():
        picture = what(np.random.default_rng(seed), kind, DRAWN)
        names.append(os.path.join(folder, f"{kind}.png"))
        Image.fromarray(picture).save(names[-1])
    return names


def square(name):
    """What the network sees of a picture: its middle."""
    picture = Image.open(name).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return np.asarray(picture.resize((SHOWN, SHOWN), Image.BOX))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("espy")
    options.add_argument("out", nargs="?", default=SHEET)
    options.add_argument("content", nargs="*")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        styles = draw(folder, style, STYLES)
        contents = options.content or draw(folder, content, CONTENTS)
        model, made = os.path.join(folder, "style.espy"), os.path.join(folder, "made.png")
        espy(options.espy, "convert", os.path.join(HERE, "style.onnx"), "-o", model)
        white = np.full((SHOWN, SHOWN, 3), 255, np.uint8)
        rows = [np.concatenate([white] + [square(name) for name in styles], 1)]
        for name in contents:
            row = [square(name)]
            for other in styles:
                espy(options.espy, "run", model, "--input", f"content={name}",
                     "--input", f"style={other}", "-o", made)
                row.append(square(made))
            rows.append(np.concatenate(row, 1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.quantize(256, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
