"""Draws what the style example is trained on: contents and styles.

A content is a scene of things one can recognise (landscape, face, city, boat,
flowers, shapes); a style is a picture of nothing but a texture (brush strokes,
dots, stripes, hatching, mosaic, waves, checks, crayon) in a palette of five
colours. Needs numpy and Pillow only.

    from pictures import content, style, TEXTURES, SCENES
    picture = content(rng, size=128)            # uint8 (size, size, 3)
    picture = style(rng, "mosaic", size=128)

Everything is drawn OVERSAMPLE times larger than asked and shrunk, so edges are
smooth.
"""
import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OVERSAMPLE = 2


# ---- colours

def hsv(h, s, v):
    return np.array(colorsys.hsv_to_rgb(h % 1, np.clip(s, 0, 1),
                                        np.clip(v, 0, 1)))


def to_bytes(colour):
    return tuple(int(round(255 * c)) for c in np.clip(colour, 0, 1))


def palette(rng):
    """Five colours from dark to light of related hues, one of them an accent."""
    hue = rng.uniform()
    step = rng.choice([0.03, 0.08, 0.14])
    accent = rng.choice([0.33, 0.5, 0.62])
    value = np.linspace(rng.uniform(0.12, 0.3), rng.uniform(0.88, 1), 5)
    strong = rng.uniform(0.45, 0.95)
    colours = []
    for i, v in enumerate(value):
        s = strong * (1.0 if i < 4 else rng.uniform(0.1, 0.5))
        colours.append(hsv(hue + step * (i - 2), s, v + (0.1 if i == 3 else 0)))
    if rng.random() < 0.75:
        which = rng.integers(1, 4)
        colours[which] = hsv(hue + accent, strong, value[which] + 0.15)
    return np.array(colours)


def shade(colours, level):
    """Colours along the palette; level 0 is its dark end, 1 its light end."""
    at = np.clip(np.asarray(level, np.float32), 0, 1) * (len(colours) - 1)
    low = np.minimum(at.astype(int), len(colours) - 2)
    part = (at - low)[..., None]
    return colours[low] * (1 - part) + colours[low + 1] * part


# ---- fields

def clouds(rng, side, cells):
    """A smooth random field of 0 to 1."""
    grid = rng.uniform(0, 1, (cells + 1, cells + 1)).astype(np.float32)
    field = np.asarray(Image.fromarray(grid, "F").resize((side, side),
                                                         Image.BICUBIC))
    field = field - field.min()
    return field / field.max()


def coordinates(side):
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.meshgrid(axis, axis)


def turned(side, angle):
    x, y = coordinates(side)
    return (x * np.cos(angle) + y * np.sin(angle),
            y * np.cos(angle) - x * np.sin(angle))


def from_floats(pixels):
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5))


def at(field, x, y):
    side = len(field)
    return field[np.clip((y * side).astype(int), 0, side - 1),
                 np.clip((x * side).astype(int), 0, side - 1)]


# ---- styles

def strokes(rng, side, colours, tone):
    """Short thick strokes that follow a bending field."""
    picture = Image.new("RGB", (side, side), to_bytes(shade(colours, 0.4)))
    pen = ImageDraw.Draw(picture)
    width = rng.uniform(0.02, 0.04)
    length = width * rng.uniform(2.5, 4)
    count = int(2.6 / (width * length))
    x, y = rng.uniform(0, 1, (2, count))
    bend = clouds(rng, side, 3)
    angle = rng.uniform(0, np.pi) + rng.uniform(0.5, 4) * at(bend, x, y)
    level = at(tone, x, y) + rng.normal(0, 0.13, count)
    fill = shade(colours, level)
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    for i in range(count):
        pen.line([(x[i] - dx[i]) * side, (y[i] - dy[i]) * side,
                  (x[i] + dx[i]) * side, (y[i] + dy[i]) * side],
                 fill=to_bytes(fill[i]), width=int(width * side))
    return picture


def dots(rng, side, colours, tone):
    """Round dots in rows, larger where it is dark."""
    dark = rng.random() < 0.5
    paper = colours[4] if dark else colours[0]
    picture = Image.new("RGB", (side, side), to_bytes(paper))
    pen = ImageDraw.Draw(picture)
    step = rng.uniform(0.045, 0.075)
    angle = rng.uniform(0, np.pi / 2)
    n = int(1 / step) + 2
    u, v = np.meshgrid(np.arange(-n, n) * step, np.arange(-n, n) * step)
    u = u + (np.arange(2 * n)[:, None] % 2) * step / 2
    x = 0.5 + u * np.cos(angle) - v * np.sin(angle)
    y = 0.5 + u * np.sin(angle) + v * np.cos(angle)
    x, y = x.ravel(), y.ravel()
    level = at(tone, x, y)
    ink = level * 0.75 if dark else 0.25 + level * 0.75
    r = step * (0.25 + 0.3 * (1 - level if dark else level))
    fill = shade(colours, ink + rng.normal(0, 0.04, len(x)))
    for i in range(len(x)):
        pen.ellipse([(x[i] - r[i]) * side, (y[i] - r[i]) * side,
                     (x[i] + r[i]) * side, (y[i] + r[i]) * side],
                    fill=to_bytes(fill[i]))
    return picture


def stripes(rng, side, colours, tone):
    """Wavy bands, each of one colour, lighter where the tone is."""
    along, _ = turned(side, rng.uniform(0, np.pi))
    count = rng.uniform(9, 16)
    wave = along * count + rng.uniform(0.3, 1.2) * clouds(rng, side, 3)
    band = np.floor(wave).astype(int)
    own = rng.uniform(0, 1, 64)
    own[::2] = own[::2] * 0.5
    own[1::2] = 0.5 + own[1::2] * 0.5
    return from_floats(shade(colours, own[band % 64] * 0.65 + 0.35 * tone))


def hatching(rng, side, colours, tone):
    """Pen lines on paper; dark places are crossed by a second family."""
    light = rng.random() < 0.7
    paper, ink = (colours[4], colours[0]) if light else (colours[0], colours[4])
    picture = from_floats(paper + 0.25 * (shade(colours, tone) - paper))
    depth = 1 - tone if light else tone
    angle = rng.uniform(0, np.pi)
    step = rng.uniform(0.024, 0.036)
    pixels = np.asarray(picture).astype(np.float32) / 255
    for k, level in ((0, 0.12), (1, 0.45), (2, 0.72)):
        along, across = turned(side, angle + k * np.pi / 3)
        wobble = 0.25 * clouds(rng, side, 9)
        line = np.abs((across / step + wobble) % 1 - 0.5) * 2
        thick = np.clip((depth - level) * 2.5, 0, 1) * 0.35 + 0.22
        drawn = ((line < thick) & (depth > level))[..., None]
        colour = ink if k < 2 else shade(colours, 0.3 if light else 0.7)
        pixels = np.where(drawn, colour, pixels)
    return from_floats(pixels)


def mosaic(rng, side, colours, tone):
    """Tiles of nearly one size with grout between them."""
    n = int(rng.integers(10, 18))
    jitter = rng.uniform(0.15, 0.42)
    x, y = coordinates(side)
    u, v = x * n, y * n
    seed = rng.uniform(-jitter, jitter, (n + 4, n + 4, 2))
    first = np.full((side, side), 9.0, np.float32)
    second = first.copy()
    owner = np.zeros((side, side), int)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = np.floor(v).astype(int) + dy, np.floor(u).astype(int) + dx
            s = seed[i + 2, j + 2]
            d = np.hypot(j + 0.5 + s[..., 0] - u, i + 0.5 + s[..., 1] - v)
            nearer = d < first
            second = np.where(nearer, first, np.minimum(second, d))
            owner = np.where(nearer, (i + 2) * (n + 4) + j + 2, owner)
            first = np.where(nearer, d, first)
    middle = (np.arange(n + 4) - 1.5) / n
    level = at(tone, *[m.ravel() for m in np.meshgrid(middle, middle)])
    level = level + rng.normal(0, 0.12, level.shape)
    fill = shade(colours, level)[owner]
    grout = colours[0] * 0.6 if rng.random() < 0.6 else colours[4]
    return from_floats(np.where((second - first < 0.16)[..., None], grout, fill))


def waves(rng, side, colours, tone):
    """Rows of concentric arcs, like scales."""
    n = int(rng.integers(5, 9))
    x, y = turned(side, rng.choice([0, 0.5, 1]) * np.pi)
    u, v = x * n, y * n * 2
    best = np.full((side, side), -1.0, np.float32)
    row = np.floor(v)
    ring = np.zeros_like(best)
    for k in (2, 1, 0):  # later rows lie over earlier ones
        r = row - k + 1
        centre = np.floor(u - (r % 2) / 2 + 0.5) + (r % 2) / 2
        d = np.hypot(u - centre, (v - r - 0.5) / 2)
        ring = np.where(d < 0.56, d / 0.56, ring)
    level = np.floor(ring * 4) / 4
    level = np.abs(level - np.round(tone * 4) / 4)
    line = (ring * 4 % 1) > 0.78
    pixels = shade(colours, 1 - level)
    return from_floats(np.where(line[..., None], colours[0], pixels))


def checks(rng, side, colours, tone):
    """A turned board of squares, each of one colour."""
    u, v = turned(side, rng.uniform(0, np.pi / 2))
    n = rng.uniform(9, 15)
    i, j = np.floor(u * n).astype(int), np.floor(v * n).astype(int)
    odd = (i + j) % 2
    x, y = coordinates(side)
    small = np.asarray(Image.fromarray(tone, "F").resize((16, 16), Image.BOX))
    level = at(small, x, y)
    noise = rng.normal(0, 0.1, (97, 89))[i % 97, j % 89]
    return from_floats(shade(colours, np.round(4 * (
        level * 0.75 + odd * 0.3 + noise)) / 4))


def crayon(rng, side, colours, tone):
    """Rough lines of wax in which the paper shows."""
    big = int(side * 1.5)
    grain = np.zeros((big, big), np.float32)
    for size, weight in ((1.0, 0.55), (2.2, 0.45)):
        noise = rng.uniform(0, 1, (int(big / 2 / size), int(big / 22 / size) + 1))
        grain += weight * np.asarray(Image.fromarray(
            noise.astype(np.float32), "F").resize((big, big), Image.BICUBIC))
    turn = Image.fromarray(grain, "F").rotate(rng.uniform(0, 180), Image.BILINEAR)
    cut = (big - side) // 2
    grain = np.asarray(turn)[cut:cut + side, cut:cut + side]
    grain = (grain - grain.mean()) / grain.std()
    wax = shade(colours, tone * 0.8 + 0.14 * grain)
    bare = np.clip((grain - 0.55 - 0.5 * tone) * 3, 0, 1)[..., None]
    return from_floats(wax * (1 - bare) + colours[4] * bare)


TEXTURES = {"strokes": strokes, "dots": dots, "stripes": stripes,
            "hatching": hatching, "mosaic": mosaic, "waves": waves,
            "checks": checks, "crayon": crayon}


def style(rng, texture, size=128, colours=None):
    side = size * OVERSAMPLE
    colours = palette(rng) if colours is None else colours
    tone = clouds(rng, side, int(rng.integers(2, 5)))
    picture = TEXTURES[texture](rng, side, colours, tone)
    return np.asarray(picture.resize((size, size), Image.BOX))


# ---- contents

def any_colour(rng, low=0.25, high=1):
    return hsv(rng.uniform(), rng.uniform(0.15, 0.9), rng.uniform(low, high))


def gradient(side, top, bottom):
    mix = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    return from_floats(np.broadcast_to(top * (1 - mix) + bottom * mix,
                                       (side, side, 3)))


class Pen:
    """Draws in units of the picture's side."""

    def __init__(self, picture):
        self.picture, self.side = picture, picture.size[0]
        self.pen = ImageDraw.Draw(picture)

    def scaled(self, points):
        return [tuple(p) for p in np.asarray(points, float) * self.side]

    def polygon(self, points, colour):
        self.pen.polygon(self.scaled(points), fill=to_bytes(colour))

    def box(self, x, y, w, h, colour):
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour)

    def oval(self, x, y, rx, ry, colour, angle=0.0):
        t = np.linspace(0, 2 * np.pi, 48)
        c, s = np.cos(angle), np.sin(angle)
        u, v = rx * np.cos(t), ry * np.sin(t)
        self.polygon(np.stack([x + u * c - v * s, y + u * s + v * c], 1), colour)

    def line(self, points, colour, width):
        self.pen.line(self.scaled(points), fill=to_bytes(colour), joint="curve",
                      width=max(1, int(width * self.side)))


def tree(rng, pen, x, ground, size):
    trunk, leaf = hsv(0.08, 0.6, rng.uniform(0.25, 0.5)), hsv(
        rng.uniform(0.2, 0.42), rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.75))
    pen.box(x - size * 0.06, ground - size * 0.5, size * 0.12, size * 0.5, trunk)
    if rng.random() < 0.4:
        for k in range(3):
            w, top = size * (0.34 - 0.08 * k), ground - size * (0.55 + 0.25 * k)
            pen.polygon([(x - w, top + size * 0.3), (x + w, top + size * 0.3),
                         (x, top - size * 0.1)], leaf * (0.8 + 0.1 * k))
        return
    for _ in range(6):
        dx, dy = rng.normal(0, 0.13, 2) * size
        pen.oval(x + dx, ground - size * 0.72 + dy, size * 0.2, size * 0.19,
                 leaf * rng.uniform(0.75, 1.15))


def house(rng, pen, x, ground, size):
    wall, roof = any_colour(rng, 0.6), any_colour(rng, 0.2, 0.7)
    w, h = size, size * rng.uniform(0.6, 0.9)
    pen.box(x, ground - h, w, h, wall)
    pen.polygon([(x - w * 0.12, ground - h), (x + w * 1.12, ground - h),
                 (x + w * 0.5, ground - h - w * rng.uniform(0.4, 0.65))], roof)
    pen.box(x + w * 0.4, ground - h * 0.5, w * 0.2, h * 0.5, roof * 0.6)
    light = hsv(0.14, rng.uniform(0, 0.5), rng.choice([0.3, 1]))
    for k in (0.1, 0.68):
        pen.box(x + w * k, ground - h * 0.72, w * 0.2, h * 0.26, light)


def sky(rng, side):
    if rng.random() < 0.25:
        picture = gradient(side, any_colour(rng, 0.1, 0.5), any_colour(rng, 0.4))
    else:
        hue = rng.uniform(0.5, 0.65)
        picture = gradient(side, hsv(hue, rng.uniform(0.3, 0.8), 0.9),
                           hsv(hue + rng.uniform(-0.5, 0.05), 0.25, 1))
    pen = Pen(picture)
    if rng.random() < 0.6:
        pen.oval(*rng.uniform((0.1, 0.08), (0.9, 0.3)), *[rng.uniform(0.05, 0.1)] * 2,
                 hsv(rng.uniform(0.08, 0.17), 0.6, 1))
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform((0, 0.05), (1, 0.35))
        for _ in range(5):
            dx, dy = rng.normal(0, (0.06, 0.015))
            pen.oval(x + dx, y + dy, 0.06, 0.035, hsv(0.6, 0.05, rng.uniform(0.85, 1)))
    return picture


def ridge(rng, pen, height, rough, colour):
    x = np.linspace(0, 1, 40)
    y = height + sum(rng.uniform(0.3, 1) * rough / k * np.sin(
        k * 3 * x + rng.uniform(0, 6)) for k in (1, 2, 3))
    pen.polygon(np.vstack([np.stack([x, y], 1), [[1, 1], [0, 1]]]), colour)


def landscape(rng, side):
    picture = sky(rng, side)
    pen = Pen(picture)
    hue, level = rng.uniform(0.2, 0.6), rng.uniform(0.4, 0.6)
    for k in range(rng.integers(2, 4)):
        ridge(rng, pen, level + 0.13 * k, 0.08,
              hsv(hue - 0.08 * k, 0.3 + 0.12 * k, rng.uniform(0.35, 0.75)))
    for _ in range(rng.integers(1, 4)):
        tree(rng, pen, rng.uniform(0.05, 0.95), rng.uniform(0.78, 0.95),
             rng.uniform(0.25, 0.5))
    if rng.random() < 0.7:
        house(rng, pen, rng.uniform(0.05, 0.6), rng.uniform(0.75, 0.92),
              rng.uniform(0.2, 0.34))
    return picture


def face(rng, side):
    picture = gradient(side, any_colour(rng), any_colour(rng))
    pen = Pen(picture)
    skin = hsv(rng.uniform(0.03, 0.1), rng.uniform(0.2, 0.65), rng.uniform(0.4, 1))
    hair = any_colour(rng, 0.08, 0.7)
    x, y, r = rng.uniform(0.42, 0.58), rng.uniform(0.44, 0.54), rng.uniform(0.2, 0.28)
    long = rng.random() < 0.5
    pen.oval(x, y - r * (0.1 if long else 0.35), r * 1.2, r * (1.7 if long else 1.15), hair)
    pen.oval(x, y + r * 2.1, r * 1.7, r, any_colour(rng))
    pen.box(x - r * 0.3, y + r * 0.8, r * 0.6, r * 0.6, skin * 0.85)
    pen.oval(x, y, r * 0.92, r * 1.2, skin)
    pen.oval(x + r * 0.35, y + r * 0.1, r * 0.5, r * 0.95, skin * 0.94)
    pen.polygon([(x - r * 0.95, y - r * 0.4), (x - r * 0.6, y - r * 1.25),
                 (x + r * 0.6, y - r * 1.25), (x + r * 0.95, y - r * 0.4),
                 (x + rng.uniform(-0.5, 0.5) * r, y - r * 0.75)], hair)
    for s in (-1, 1):
        pen.oval(x + s * r * 0.38, y - r * 0.12, r * 0.19, r * 0.12, hsv(0, 0, 1))
        pen.oval(x + s * r * 0.38, y - r * 0.12, r * 0.1, r * 0.11, hsv(rng.uniform(), 0.5, 0.2))
        pen.line([(x + s * r * 0.2, y - r * 0.36), (x + s * r * 0.6, y - r * 0.38)],
                 hair * 0.7, 0.015)
    pen.line([(x, y - r * 0.05), (x + r * 0.1, y + r * 0.3), (x - r * 0.04, y + r * 0.32)],
             skin * 0.7, 0.01)
    t = np.linspace(0.3, np.pi - 0.3, 12)
    pen.line(np.stack([x + r * 0.42 * np.cos(t), y + r * (0.45 + 0.25 * np.sin(t))], 1),
             hsv(0.98, 0.7, 0.6), 0.02)
    return picture


def city(rng, side):
    picture = sky(rng, side)
    pen = Pen(picture)
    for depth in range(2):
        x = -0.05
        base = any_colour(rng, 0.3, 0.8)
        while x < 1:
            w, h = rng.uniform(0.1, 0.22), rng.uniform(0.25, 0.7) - 0.15 * depth
            wall = np.clip(base * rng.uniform(0.6, 1.3), 0, 1)
            pen.box(x, 1 - h, w, h, wall)
            light = wall * 0.5 if rng.random() < 0.5 else hsv(0.14, 0.4, 1)
            for row in np.arange(1 - h + 0.04, 0.98, 0.07):
                for column in np.arange(x + 0.02, x + w - 0.03, 0.045):
                    if rng.random() < 0.75:
                        pen.box(column, row, 0.022, 0.035, light)
            x += w + rng.uniform(0, 0.03)
    return picture


def boat(rng, side):
    picture = sky(rng, side)
    pen = Pen(picture)
    level = rng.uniform(0.5, 0.68)
    sea = hsv(rng.uniform(0.48, 0.66), rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.8))
    ridge(rng, pen, level - 0.04, 0.04, any_colour(rng, 0.3, 0.7))
    pen.box(0, level, 1, 1 - level, sea)
    for _ in range(14):
        x, y = rng.uniform((0, level), (1, 1))
        pen.line([(x, y), (x + 0.12, y)], sea * rng.uniform(0.7, 1.4), 0.01)
    x, s = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.32)
    y = level + rng.uniform(0.06, 0.16)
    hull = any_colour(rng, 0.2, 0.8)
    pen.polygon([(x - s, y - s * 0.3), (x + s, y - s * 0.3), (x + s * 0.7, y + s * 0.15),
                 (x - s * 0.7, y + s * 0.15)], hull)
    pen.line([(x, y - s * 0.3), (x, y - s * 1.9)], hull * 0.5, 0.015)
    pen.polygon([(x + 0.02, y - s * 0.42), (x + 0.02, y - s * 1.85), (x + s * 0.9, y - s * 0.42)],
                any_colour(rng, 0.7))
    pen.polygon([(x - 0.02, y - s * 0.42), (x - 0.02, y - s * 1.6), (x - s * 0.7, y - s * 0.42)],
                any_colour(rng, 0.6))
    return picture


def flowers(rng, side):
    picture = gradient(side, any_colour(rng), any_colour(rng))
    pen = Pen(picture)
    table = rng.uniform(0.72, 0.85)
    pen.box(0, table, 1, 1, any_colour(rng, 0.2, 0.8))
    x, w = rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.16)
    vase = any_colour(rng, 0.3)
    for k in range(rng.integers(3, 6)):
        fx, fy = x + rng.uniform(-0.28, 0.28), rng.uniform(0.15, 0.42)
        pen.line([(x, 0.62), (fx, fy)], hsv(0.33, 0.7, rng.uniform(0.3, 0.6)), 0.018)
        petals, r = rng.integers(5, 9), rng.uniform(0.07, 0.11)
        colour, turn = any_colour(rng, 0.6), rng.uniform(0, 6)
        for p in range(petals):
            a = turn + p * 2 * np.pi / petals
            pen.oval(fx + r * 0.7 * np.cos(a), fy + r * 0.7 * np.sin(a), r * 0.55, r * 0.3,
                     colour, a)
        pen.oval(fx, fy, r * 0.36, r * 0.36, hsv(0.13, 0.8, rng.choice([0.3, 1])))
    pen.polygon([(x - w, 0.55), (x + w, 0.55), (x + w * 1.3, 0.75), (x + w * 0.8, table + 0.08),
                 (x - w * 0.8, table + 0.08), (x - w * 1.3, 0.75)], vase)
    pen.oval(x - w * 0.5, 0.68, w * 0.2, 0.07, np.clip(vase * 1.4, 0, 1))
    return picture


def shapes(rng, side):
    picture = gradient(side, any_colour(rng), any_colour(rng))
    pen = Pen(picture)
    for _ in range(rng.integers(4, 9)):
        x, y = rng.uniform(0.1, 0.9, 2)
        r, colour = rng.uniform(0.08, 0.26), any_colour(rng, 0.1)
        kind = rng.integers(4)
        if kind == 0:
            pen.oval(x, y, r, r * rng.uniform(0.6, 1), colour, rng.uniform(0, 3))
            pen.oval(x - r * 0.2, y - r * 0.2, r * 0.4, r * 0.4, np.clip(colour * 1.3, 0, 1))
        elif kind == 1:
            n, turn = rng.integers(3, 7), rng.uniform(0, 6)
            t = turn + np.arange(n) * 2 * np.pi / n
            pen.polygon(np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1), colour)
        elif kind == 2:
            t = rng.uniform(0, 6) + np.arange(10) * np.pi / 5
            q = r * np.where(np.arange(10) % 2, 0.45, 1)
            pen.polygon(np.stack([x + q * np.cos(t), y + q * np.sin(t)], 1), colour)
        else:
            pen.line(rng.uniform(0, 1, (3, 2)), colour, rng.uniform(0.02, 0.06))
    return picture


SCENES = {"landscape": landscape, "face": face, "city": city, "boat": boat,
          "flowers": flowers, "shapes": shapes}


def content(rng, scene=None, size=128):
    """A scene, in two of three pictures with soft light and grain, as photographs
    have them."""
    side = size * OVERSAMPLE
    scene = scene or rng.choice(list(SCENES))
    picture = SCENES[scene](rng, side)
    kind = rng.integers(3)
    if kind:
        pixels = np.asarray(picture).astype(np.float32) / 255
        light = clouds(rng, side, int(rng.integers(2, 6)))[..., None]
        pixels = pixels * (1 - rng.uniform(0.2, 0.6) * light)
        if kind == 2:
            grain = clouds(rng, side, int(rng.integers(20, 60)))[..., None] - 0.5
            pixels = pixels + rng.uniform(0.05, 0.2) * grain
        picture = from_floats(pixels)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    return np.asarray(picture.resize((size, size), Image.BOX))
