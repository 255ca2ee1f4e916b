"""Draws the pictures of the detection example.

A picture holds two to six toys (houses, trees, cars, boats, fish, balloons) of
many sizes and colours on a textured background, among clutter: lines, zigzags,
dots and blobs, and plain discs, bars and triangles, which is what toys are made
of. Toys hide parts of each other. Needs numpy and Pillow only.

    from toys import LABELS, draw
    picture, boxes, labels = draw(rng, size=224)

`boxes` are x1, y1, x2, y2 in pixels around each toy with its hidden parts, cut
at the border of the picture; `labels` are indices into LABELS, where 0 is the
background, as torchvision counts.
"""
import os
import sys

import numpy as np
from PIL import Image, ImageDraw

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             os.pardir, "shapes"))
from scenes import (background, contrasting_colour, distractor,  # noqa: E402
                    random_colour, to_bytes)

LABELS = ["__background__", "house", "tree", "car", "boat", "fish", "balloon"]
SIZE = 224        # side of a training or test picture
OVERSAMPLE = 2
SMALLEST, LARGEST = 0.12, 0.62    # longer side of a toy, of the picture's
VISIBLE = 0.55    # a toy shows at least this part of itself

DARK, LIGHT = np.array([0.13, 0.13, 0.16]), np.array([0.95, 0.95, 0.92])
BROWN = np.array([0.42, 0.27, 0.16])


def rectangle(x1, y1, x2, y2):
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)


def ellipse(x, y, rx, ry, first=0.0, last=2.0):
    """From angle `first` to `last`, in half turns, clockwise from the right."""
    t = np.linspace(first * np.pi, last * np.pi, 48)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


# Each toy is a list of (outline, colour), painted in order, around the origin
# with a longer side of about 2. `main` and `other` are colours of its own.

def house(rng, main, other):
    w, eaves = rng.uniform(0.6, 0.95), rng.uniform(-0.35, -0.1)
    parts = []
    if rng.random() < 0.6:
        parts.append((rectangle(0.4 * w, -0.9, 0.62 * w, eaves), other * 0.7))
    parts += [(rectangle(-w, eaves, w, 0.95), main),
              (np.array([[-w - 0.1, eaves], [0, -1], [w + 0.1, eaves]]), other)]
    door = rng.uniform(-0.6, 0.2) * w
    parts.append((rectangle(door, 0.4, door + 0.36 * w, 0.95), BROWN))
    for x in (-0.72 * w, 0.34 * w):
        parts.append((rectangle(x, 0, x + 0.38 * w, 0.28), LIGHT))
    return parts


def tree(rng, main, other):
    green = np.array([0.1, rng.uniform(0.35, 0.7), rng.uniform(0.1, 0.3)])
    green = 0.7 * green + 0.3 * main
    parts = [(rectangle(-0.13, 0.2, 0.13, 1), BROWN * rng.uniform(0.7, 1.3))]
    if rng.random() < 0.5:    # a fir
        w = rng.uniform(0.5, 0.75)
        for k, top in enumerate((-0.1, -0.55, -1.0)):
            half = w * (1 - 0.22 * k)
            parts.append((np.array([[-half, top + 0.75], [0, top],
                                    [half, top + 0.75]]),
                          green * (1 + 0.12 * k)))
    else:                     # leaves in three balls
        r = rng.uniform(0.42, 0.5)
        for x, y in ((-0.36, -0.1), (0.36, -0.1), (0, -0.5)):
            parts.append((ellipse(x, y, r, r), green * (1 - 0.25 * (y > -0.4))))
    return parts


def car(rng, main, other):
    roof, front = rng.uniform(-0.62, -0.45), rng.uniform(0.3, 0.6)
    cabin = np.array([[-0.62, 0], [-0.42, roof], [front - 0.2, roof],
                      [front + 0.12, 0]])
    parts = [(cabin, main * 0.85)]
    middle = (front - 0.62) / 2 + 0.05
    # Left and right ends of two windows, above and below.
    for left, right, low_left, low_right in (
            (-0.38, middle - 0.05, -0.5, middle - 0.05),
            (middle + 0.05, front - 0.22, middle + 0.05, front - 0.02)):
        parts.append((np.array([[low_left, -0.04], [left, roof + 0.1],
                                [right, roof + 0.1], [low_right, -0.04]]),
                      LIGHT))
    body = np.array([[-1, 0.02], [0.7, 0.0], [0.97, 0.12], [1, 0.38],
                     [-1, 0.38]])
    parts.append((body, main))
    parts.append((rectangle(0.86, 0.12, 0.98, 0.22), LIGHT))
    for x in (-0.55, 0.55):
        parts += [(ellipse(x, 0.38, 0.24, 0.24), DARK),
                  (ellipse(x, 0.38, 0.1, 0.1), LIGHT * 0.8)]
    return parts


def boat(rng, main, other):
    deck, mast = rng.uniform(0.4, 0.55), rng.uniform(-0.1, 0.1)
    return [(rectangle(mast - 0.04, -1, mast + 0.04, deck), BROWN),
            (np.array([[mast + 0.1, -0.92], [mast + 0.1, deck - 0.12],
                       [mast + rng.uniform(0.6, 0.8), deck - 0.12]]), other),
            (np.array([[mast - 0.1, -0.75], [mast - 0.1, deck - 0.12],
                       [mast - rng.uniform(0.45, 0.7), deck - 0.12]]),
             other * 0.8 + 0.2 * LIGHT),
            (np.array([[-0.9, deck], [0.95, deck], [0.6, 0.95], [-0.6, 0.95]]),
             main)]


def fish(rng, main, other):
    height = rng.uniform(0.34, 0.5)
    tail = np.array([[0.45, 0], [1, -0.45], [0.85, 0], [1, 0.45]])
    fin = np.array([[-0.35, -0.8 * height], [0.25, -height - 0.22],
                    [0.3, -0.6 * height]])
    parts = [(tail, other), (fin, other), (ellipse(-0.2, 0, 0.8, height), main)]
    if rng.random() < 0.5:
        for x in (-0.15, 0.15):
            half = height * np.sqrt(1 - ((x + 0.24) / 0.8) ** 2) - 0.02
            parts.append((rectangle(x, -half, x + 0.12, half), other))
    return parts + [(ellipse(-0.66, -0.1, 0.1, 0.1), LIGHT),
                    (ellipse(-0.68, -0.1, 0.05, 0.05), DARK)]


def balloon(rng, main, other):
    w = rng.uniform(0.5, 0.62)
    shine = main * 0.4 + LIGHT * 0.6
    sway = rng.uniform(-0.12, 0.12)
    string = np.array([[-0.02, 0.4], [0.03, 0.4], [0.03 + sway, 0.7],
                       [0.03, 1], [-0.02, 1], [-0.02 + sway, 0.7]])
    return [(string, DARK),
            (np.array([[0, 0.2], [0.12, 0.42], [-0.12, 0.42]]), main * 0.8),
            (ellipse(0, -0.36, w, 0.66), main),
            (ellipse(-0.4 * w, -0.6, 0.14 * w, 0.2), shine)]


TOYS = [None, house, tree, car, boat, fish, balloon]


def plain(rng, pen, side, colour):
    """Clutter made of what toys are made of: a disc, a bar or a triangle."""
    x, y = rng.uniform(0.03, 0.97, 2) * side
    r, turn = rng.uniform(0.02, 0.07) * side, rng.uniform(0, 2 * np.pi)
    kind = rng.integers(3)
    if kind == 0:
        points = ellipse(0, 0, 1, 1)
    elif kind == 1:
        points = rectangle(-1, -0.6, 1, 0.6) * [1, rng.uniform(0.4, 1.6)]
    else:
        points = ellipse(0, 0, 1, 1)[[0, 16, 32]]
    pen.polygon(placed(points, turn, False, r, (x, y)), fill=colour)


def placed(points, turn, mirrored, scale, centre):
    points = points * [-1, 1] if mirrored else points
    rotation = np.array([[np.cos(turn), np.sin(turn)],
                         [-np.sin(turn), np.cos(turn)]])
    return [tuple(p) for p in points @ rotation * scale + centre]


class Toy:
    """One toy, chosen and placed, not yet painted."""

    def __init__(self, rng, label, side, avoid):
        main = contrasting_colour(rng, avoid, 0.4)
        other = contrasting_colour(rng, avoid + (main,), 0.3)
        longer = side * np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
        turn, mirrored = rng.uniform(-0.2, 0.2), rng.random() < 0.5
        stretch = np.array([1, rng.uniform(0.85, 1.15)])
        parts = TOYS[label](rng, main, other)
        outlines = [np.array(placed(points * stretch, turn, mirrored, 1, 0))
                    for points, _ in parts]
        every = np.concatenate(outlines)
        low, high = every.min(0), every.max(0)
        scale = longer / (high - low).max()
        extent = (high - low) * scale
        # Up to a tenth of a toy may be beyond the border.
        corner = rng.uniform(-0.1 * extent, side - 0.9 * extent)
        self.label = label
        self.box = np.concatenate([corner, corner + extent]).clip(0, side)
        self.parts = [([tuple(p) for p in (points - low) * scale + corner],
                       to_bytes(colour))
                      for points, (_, colour) in zip(outlines, parts)]
        mask = Image.new("1", (side, side))
        pen = ImageDraw.Draw(mask)
        for points, _ in self.parts:
            pen.polygon(points, fill=1)
        self.mask = np.asarray(mask)

    def paint(self, pen):
        for points, colour in self.parts:
            pen.polygon(points, fill=colour)


def all_show(toys):
    """Whether enough is seen of every toy when they are painted in order."""
    covered = np.zeros_like(toys[0].mask)
    for toy in reversed(toys):
        if (toy.mask & ~covered).sum() < VISIBLE * toy.mask.sum():
            return False
        covered = covered | toy.mask
    return True


def place_toys(rng, side, count, avoid):
    toys = []
    while len(toys) < count:
        label = int(rng.integers(1, len(LABELS)))
        more = toys + [Toy(rng, label, side, avoid)]
        if all_show(more):
            toys = more
    return toys


def draw(rng, size=SIZE):
    """Returns the picture (size, size, 3) as uint8, boxes (n, 4) as float32
    and labels (n,) as int64."""
    side = size * OVERSAMPLE
    first = random_colour(rng)
    second = np.clip(first + rng.uniform(-0.2, 0.2, 3), 0, 1)
    picture = background(rng, side, (first, second))
    pen = ImageDraw.Draw(picture)
    for clutter in [distractor] * rng.integers(2, 7) + [plain] * rng.integers(5):
        colour = contrasting_colour(rng, (first, second), 0.2)
        clutter(rng, pen, side, to_bytes(colour))
    toys = place_toys(rng, side, rng.integers(2, 7), (first, second))
    for toy in toys:
        toy.paint(pen)
    if rng.random() < 0.3:  # one thin line across everything
        thin = to_bytes(contrasting_colour(rng, (first, second), 0.25))
        pen.line(list(rng.uniform(0, side, 4)), fill=thin, width=side // 90)
    picture = picture.resize((size, size), Image.BOX)
    boxes = np.stack([toy.box for toy in toys]) / OVERSAMPLE
    return (np.asarray(picture), boxes.astype(np.float32),
            np.array([toy.label for toy in toys]))


def dataset(seed, count, size=SIZE):
    rng = np.random.default_rng(seed)
    return [draw(rng, size) for _ in range(count)]
