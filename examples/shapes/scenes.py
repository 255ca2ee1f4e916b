"""Draws the pictures of the shapes example.

A picture holds exactly one of eight shapes on a textured, coloured
background, among smaller distractors (lines, zigzags, dots, wobbly blobs).
Needs numpy and Pillow only.

    from scenes import LABELS, draw, dataset
    picture, mask = draw(rng, kind, size=64)
    pictures, masks, labels = dataset(seed=1, count=1000)

A scene is laid out in unit coordinates and drawn OVERSAMPLE times larger than
asked, so the same generator makes 64x64 training pictures and large samples,
all with smooth edges.
"""
import colorsys

import numpy as np
from PIL import Image, ImageDraw

LABELS = ["circle", "triangle", "square", "star",
          "cross", "heart", "ring", "crescent"]
SIZE = 64         # side of a training or test picture
MASK_SIZE = 32    # side of the mask that says where the shape is
OVERSAMPLE = 4


def random_colour(rng):
    hsv = rng.uniform(0, 1), rng.uniform(0.2, 0.9), rng.uniform(0.2, 1)
    return np.array(colorsys.hsv_to_rgb(*hsv))


def contrasting_colour(rng, others, distance):
    """A colour at least `distance` away from each of the others."""
    while True:
        colour = random_colour(rng)
        if all(np.linalg.norm(colour - other) > distance for other in others):
            return colour


def to_bytes(colour):
    return tuple(int(round(255 * c)) for c in np.clip(colour, 0, 1))


def background(rng, side, colours):
    """Mixes two colours by one of four smooth or regular textures."""
    angle = rng.uniform(0, np.pi)
    u, v = np.meshgrid(*[(np.arange(side, dtype=np.float32) + 0.5) / side] * 2)
    along = u * np.cos(angle) + v * np.sin(angle)
    across = v * np.cos(angle) - u * np.sin(angle)
    waves = 2 * np.pi * rng.uniform(2, 7)
    texture = rng.integers(4)
    if texture == 0:    # gradient
        mix = along - along.min()
    elif texture == 1:  # soft stripes
        mix = 0.5 + 0.5 * np.sin(waves * along)
    elif texture == 2:  # checks
        mix = (np.sin(waves * along) * np.sin(waves * across) > 0) * 1.0
    else:               # clouds
        cells = rng.integers(4, 11)
        grid = rng.uniform(0, 1, (cells, cells)).astype(np.float32)
        cloud = Image.fromarray(grid, "F").resize((side, side), Image.BICUBIC)
        mix = np.asarray(cloud)
    mix = np.clip(mix, 0, 1)[..., None]
    pixels = colours[0] * (1 - mix) + colours[1] * mix
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5))


def distractor(rng, pen, side, colour):
    """Something small that is none of the eight shapes."""
    x, y = rng.uniform(0.03, 0.97, 2) * side
    kind = rng.integers(4)
    width = max(1, int(rng.uniform(0.012, 0.025) * side))
    if kind == 0:    # straight line
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.15, 0.5) * side
        dx, dy = np.cos(angle) * length, np.sin(angle) * length
        pen.line([x, y, x + dx, y + dy], fill=colour, width=width)
    elif kind == 1:  # zigzag
        steps = rng.uniform(-0.13, 0.13, (4, 2)) * side
        points = np.cumsum(np.vstack([[x, y], steps]), axis=0)
        pen.line([tuple(p) for p in points], fill=colour, width=width)
    elif kind == 2:  # dots
        for dx, dy in rng.uniform(-0.1, 0.1, (rng.integers(1, 5), 2)) * side:
            r = rng.uniform(0.012, 0.03) * side
            pen.ellipse([x + dx - r, y + dy - r, x + dx + r, y + dy + r],
                        fill=colour)
    else:            # wobbly blob
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        wobble = sum(rng.uniform(0.1, 0.3) * np.sin(k * t + rng.uniform(0, 6))
                     for k in (2, 3, 4))
        r = rng.uniform(0.04, 0.08) * side * (1 + wobble)
        pen.polygon(list(zip(x + r * np.cos(t), y + r * np.sin(t))),
                    fill=colour)


def outline(kind):
    """The outline of a shape inside the unit circle, as an (n, 2) array."""
    if kind == "triangle":
        t = np.arange(3) * 2 * np.pi / 3 - np.pi / 2
        return np.stack([np.cos(t), np.sin(t)], 1)
    if kind == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.75
    if kind == "star":
        t = np.arange(10) * np.pi / 5 - np.pi / 2
        r = np.where(np.arange(10) % 2, 0.42, 1.0)
        return np.stack([r * np.cos(t), r * np.sin(t)], 1)
    if kind == "cross":
        a, b = 0.27, 0.95
        corner = np.array([[a, -b], [a, -a], [b, -a]])
        turn = np.array([[0, -1], [1, 0]])
        return np.vstack([corner @ np.linalg.matrix_power(turn, k).T
                          for k in range(4)])
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    if kind == "heart":
        x = 16 * np.sin(t) ** 3
        y = (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t)
             - np.cos(4 * t))
        return np.stack([x, -y - 2], 1) / 16
    return np.stack([np.cos(t), np.sin(t)], 1) * 0.9  # the round ones


def shape_mask(kind, side, centre, radius, angle):
    """White where the shape is, on black."""
    turn = np.array([[np.cos(angle), -np.sin(angle)],
                     [np.sin(angle), np.cos(angle)]])

    def place(points):
        return [tuple(p) for p in (points @ turn.T * radius + centre) * side]

    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    pen.polygon(place(outline(kind)), fill=255)
    if kind == "ring":
        pen.polygon(place(outline("circle") * 0.58), fill=0)
    elif kind == "crescent":
        pen.polygon(place(outline("circle") * 0.85 + [0.42, 0]), fill=0)
    return mask


def draw(rng, kind, size=SIZE):
    """Returns the picture (size, size, 3) and the mask (MASK_SIZE, MASK_SIZE),
    both uint8; the mask is 255 where the shape covers the whole cell."""
    side = size * OVERSAMPLE
    first = random_colour(rng)
    # The two colours of a background are kept near each other, so that the
    # texture does not drown what is drawn on it.
    second = np.clip(first + rng.uniform(-0.2, 0.2, 3), 0, 1)
    picture = background(rng, side, (first, second))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(4, 10)):
        colour = contrasting_colour(rng, (first, second), 0.25)
        distractor(rng, pen, side, to_bytes(colour))

    radius = rng.uniform(0.16, 0.30)
    centre = rng.uniform(radius + 0.02, 0.98 - radius, 2)
    # Hearts and triangles may lean but not tumble freely: a heart upside down
    # is still a heart, yet looks odd in a demonstration.
    lean = np.pi / 5 if kind in ("heart", "triangle") else np.pi
    angle = rng.uniform(-lean, lean)
    mask = shape_mask(kind, side, centre, radius, angle)
    if rng.random() < 0.5:  # a drop shadow
        shadow = shape_mask(kind, side, centre + 0.02, radius, angle)
        dark = Image.new("RGB", picture.size, to_bytes(first * 0.3))
        picture.paste(dark, mask=shadow.point(lambda v: v // 3))
    colour = contrasting_colour(rng, (first, second), 0.45)
    picture.paste(to_bytes(colour), mask=mask)
    if rng.random() < 0.3:  # one thin line across everything
        ends = rng.uniform(0, side, 4)
        thin = to_bytes(contrasting_colour(rng, (first, second), 0.25))
        ImageDraw.Draw(picture).line(list(ends), fill=thin, width=side // 90)

    picture = picture.resize((size, size), Image.BOX)
    mask = mask.resize((MASK_SIZE, MASK_SIZE), Image.BOX)
    return np.asarray(picture), np.asarray(mask)


def dataset(seed, count, size=SIZE):
    """`count` pictures with equally frequent, shuffled labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(LABELS))
    drawn = [draw(rng, LABELS[label], size) for label in labels]
    return (np.stack([picture for picture, _ in drawn]),
            np.stack([mask for _, mask in drawn]), labels)
