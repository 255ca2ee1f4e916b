"""Draws what the generation example is trained on: one of eight things, 64x64.

    from things import LABELS, LATENT, draw
    picture = draw(z, label)    # z: LATENT numbers, standard normal

Every choice (place, size, turn, colours, proportions) is one number of z, made
uniform by the normal distribution's own function, so the same z and label give
the same picture. Needs numpy and Pillow only.
"""
import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

LABELS = ["flower", "face", "house", "tree", "fish", "balloon", "butterfly",
          "mushroom"]
LATENT = 24
SIZE = 64
OVERSAMPLE = 4


def hsv(h, s, v):
    return np.array(colorsys.hsv_to_rgb(h % 1, min(max(s, 0), 1),
                                        min(max(v, 0), 1)))


class Choices:
    """Hands out the numbers of z one after the other."""

    def __init__(self, z):
        self.left = [0.5 + 0.5 * math.erf(x / math.sqrt(2)) for x in z]

    def __call__(self, low=0.0, high=1.0):
        return low + (high - low) * self.left.pop(0)

    def near(self, low, high):
        """From the middle 40 % of the range."""
        return self(0.7 * low + 0.3 * high, 0.3 * low + 0.7 * high)


class Pen:
    """Draws in units of the picture's side, turned about a centre."""

    def __init__(self, side):
        self.side = side
        self.picture = Image.new("RGB", (side, side))
        self.pen = ImageDraw.Draw(self.picture)
        self.place(0, 0, 1, 0)

    def place(self, x, y, size, angle=0.0):
        """What is drawn from now on is in this frame."""
        c, s = math.cos(angle) * size, math.sin(angle) * size
        self.turn, self.origin = np.array([[c, s], [-s, c]]), np.array([x, y])

    def polygon(self, points, colour):
        points = (np.asarray(points, float) @ self.turn + self.origin) * self.side
        colour = tuple(int(round(255 * c)) for c in np.clip(colour, 0, 1))
        self.pen.polygon([tuple(p) for p in points], fill=colour)

    def box(self, x, y, w, h, colour):
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour)

    def oval(self, x, y, rx, ry, colour, angle=0.0):
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        u, v = rx * np.cos(t), ry * np.sin(t)
        c, s = math.cos(angle), math.sin(angle)
        self.polygon(np.stack([x + u * c - v * s, y + u * s + v * c], 1), colour)

    def line(self, points, width, colour):
        """A band along a curve, of this width."""
        p = np.asarray(points, float)
        d = np.gradient(p, axis=0)
        n = np.stack([-d[:, 1], d[:, 0]], 1)
        n *= width / 2 / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)
        self.polygon(np.concatenate([p + n, (p - n)[::-1]]), colour)

    def background(self, top, bottom):
        mix = np.linspace(0, 1, self.side)[:, None, None]
        pixels = np.broadcast_to(top * (1 - mix) + bottom * mix,
                                 (self.side, self.side, 3))
        self.picture.paste(Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255)))

    def ground(self, level, bend, colour):
        x = np.linspace(0, 1, 20)
        y = level + bend * np.sin(np.pi * (x * 1.5 + 0.2))
        self.polygon(np.concatenate([np.stack([x, y], 1), [[1, 1.01], [0, 1.01]]]),
                     colour)


def sky(u, pen):
    """Two of the numbers: from morning to evening."""
    hue, light = u(0.45, 0.75), u(0.72, 1.0)
    pen.background(hsv(hue, 0.62, light), hsv(hue + 0.32 * (1 - light) / 0.28 - 0.05,
                                              0.28, 1))


def meadow(u, pen, level):
    pen.ground(level, u.near(-0.05, 0.05), hsv(u(0.18, 0.42), 0.65, 0.62))


def flower(u, pen):
    hue = u()
    pen.background(hsv(hue, 0.25, 0.98), hsv(hue + 0.12, 0.45, u(0.55, 0.9)))
    x, y, r = u.near(0.4, 0.6), u.near(0.34, 0.46), u.near(0.8, 1.2)
    foot, leaf, green = u.near(0.35, 0.65), u.near(0.7, 0.9), hsv(u(0.25, 0.42), 0.7, 0.5)
    t = np.linspace(0, 1, 12)[:, None]
    curve = (1 - t) ** 2 * [x, y] + 2 * t * (1 - t) * [x, 0.8] + t ** 2 * [foot, 1.05]
    pen.line(curve, 0.035, green)
    for side in (-1, 1):
        pen.oval(foot + side * 0.12, leaf, 0.13, 0.05, green * 1.15,
                 side * u.near(-0.9, -0.1))
    petal, turn, width = u(), u.near(-0.4, 0.4), u.near(0.055, 0.1)
    s, v, inner = u(0.35, 0.95), u(0.75, 1), u()
    for ring, (far, long) in enumerate(((0.155, 0.1), (0.09, 0.065))):
        colour = hsv(petal + ring * 0.1 * (inner - 0.5), s * (1 - 0.35 * ring), v)
        for k in range(8):
            a = turn + (k + ring / 2) * np.pi / 4
            pen.place(x, y, r, a)
            pen.oval(far, 0, long, width * (1 - 0.3 * ring), colour * (1 - 0.1 * (k % 2)))
    pen.place(x, y, r)
    heart = hsv(0.13 - 0.1 * u(), 0.85, u(0.35, 1))
    pen.oval(0, 0, 0.068, 0.068, heart * 0.8)
    pen.oval(-0.01, -0.01, 0.05, 0.05, heart)


def face(u, pen):
    hue = u()
    pen.background(hsv(hue, u(0.15, 0.6), 0.95), hsv(hue + 0.1, 0.55, 0.7))
    pen.place(u.near(0.45, 0.55), u.near(0.46, 0.54), u.near(0.85, 1.1),
              u.near(-0.25, 0.25))
    skin, tall = hsv(u(0.04, 0.16), u(0.35, 0.85), u(0.75, 1)), u.near(0.3, 0.36)
    hair, long = hsv(u(), u(0.2, 0.9), u(0.15, 0.75)), u.near(0.0, 0.6)
    pen.oval(0, -0.16 + 0.4 * long, 0.36, 0.27 + 0.35 * long, hair)
    for side in (-1, 1):
        pen.oval(side * 0.315, 0.02, 0.05, 0.07, skin * 0.9)
    pen.oval(0, 0.02, 0.315, tall, skin * 0.93)
    pen.oval(0, 0.005, 0.3, tall - 0.015, skin)
    part = u.near(-0.2, 0.2)
    pen.polygon([(-0.31, -0.06), (-0.27, -0.25), (0, -0.36), (0.27, -0.25), (0.31, -0.06),
                 (part, -0.19)], hair)
    eye, look = u.near(0.055, 0.085), u(-0.02, 0.02)
    iris, wide = hsv(u(), 0.7, 0.45), u.near(0.11, 0.15)
    for side in (-1, 1):
        pen.oval(side * wide, -0.03, eye, eye * 0.85, np.ones(3))
        pen.oval(side * wide + look, -0.025, eye * 0.62, eye * 0.62, iris)
        pen.oval(side * wide + look, -0.025, eye * 0.32, eye * 0.32, np.zeros(3))
        pen.oval(side * 0.2, 0.12, 0.055, 0.04, skin * [1, 0.75, 0.72])
    t = np.linspace(-1, 1, 14)
    smile, mouth = u(-0.05, 0.1), u.near(0.09, 0.15)
    pen.line(np.stack([mouth * t, 0.2 + smile * (1 - t ** 2) - smile / 2], 1), 0.036,
             np.array([0.7, 0.15, 0.2]))
    pen.oval(0, 0.07, 0.026, 0.034, skin * 0.82)


def house(u, pen):
    sky(u, pen)
    pen.oval(u.near(0.7, 0.95), u.near(0.1, 0.25), 0.075, 0.075, hsv(0.14, 0.5, 1))
    meadow(u, pen, 0.76)
    pen.place(u.near(0.42, 0.58), 0.85, u.near(0.9, 1.15))
    w, h, top = u.near(0.2, 0.3), u.near(0.24, 0.36), u.near(0.14, 0.28)
    wall, roof = hsv(u(), u(0.1, 0.6), u(0.75, 1)), hsv(u(), u(0.4, 0.9), u(0.35, 0.75))
    pen.box(w * 0.4, -h - top * 0.9, 0.07, top * 0.8, roof * 0.75)
    pen.box(-w, -h, 2 * w, h, wall)
    pen.box(w * 0.4, -h, w * 0.6, h, wall * 0.9)
    pen.polygon([(-w - 0.06, -h), (w + 0.06, -h), (w * 0.25, -h - top), (-w * 0.25, -h - top)],
                roof)
    door, glass = hsv(u(), 0.6, u(0.3, 0.8)), hsv(u(0.1, 0.6), 0.4, 1)
    pen.box(-0.055, -h * 0.58, 0.11, h * 0.58, door)
    for side in (-1, 1):
        x = side * (w + 0.055) / 2
        pen.box(x - 0.055, -h * 0.78, 0.11, 0.11, np.ones(3) * 0.97)
        pen.box(x - 0.043, -h * 0.78 + 0.012, 0.086, 0.086, glass)
        pen.box(x - 0.006, -h * 0.78, 0.012, 0.11, np.ones(3) * 0.97)


def tree(u, pen):
    sky(u, pen)
    pen.oval(u.near(0.75, 0.95), u.near(0.08, 0.25), 0.07, 0.07, hsv(0.13, 0.45, 1))
    far = hsv(u(0.3, 0.6), 0.35, 0.7)
    pen.ground(u.near(0.6, 0.7), 0.06, far)
    meadow(u, pen, 0.8)
    pen.place(u.near(0.4, 0.6), 0.9, u.near(0.9, 1.12), u.near(-0.08, 0.08))
    trunk, height, thick = hsv(0.07, 0.6, u(0.3, 0.55)), u.near(0.28, 0.4), u.near(0.035, 0.06)
    pen.polygon([(-thick * 1.5, 0), (thick * 1.5, 0), (thick * 0.7, -height),
                 (-thick * 0.7, -height)], trunk)
    for side in (-1, 1):
        pen.line([(0, -height * 0.6), (side * 0.14, -height - 0.06)], thick * 0.7, trunk)
    hue, s, v = u(-0.02, 0.4), u(0.55, 0.95), u(0.45, 0.85)
    wide, tall = u.near(0.15, 0.22), u.near(0.15, 0.21)
    for k, (x, y, shade) in enumerate(((-1, 0.3, 0.78), (1, 0.3, 0.85), (-0.6, -0.55, 0.9),
                                       (0.6, -0.55, 0.97), (0, 0, 1.05))):
        dx = u.near(-0.03, 0.03) if k < 4 else 0
        pen.oval(x * wide * 0.85 + dx, -height - 0.12 + y * tall, wide * 0.9, tall * 0.85,
                 hsv(hue, s, v * shade))
    fruit = hsv(u(-0.1, 0.15), 0.9, 0.95)
    for x, y in ((-0.16, -0.05), (0.02, -0.16), (0.15, -0.02), (-0.04, 0.03)):
        pen.oval(x, -height - 0.12 + y, 0.026, 0.026, fruit)


def fish(u, pen):
    hue = u(0.45, 0.68)
    pen.background(hsv(hue, 0.45, u(0.8, 1)), hsv(hue + 0.05, 0.85, u(0.3, 0.7)))
    pen.ground(0.88, u.near(-0.04, 0.04), hsv(0.12, 0.4, 0.75))
    weed = u.near(0.1, 0.25)
    t = np.linspace(0, 1, 14)
    for k in (-1, 0, 1):
        pen.line(np.stack([weed + 0.05 * k + 0.03 * np.sin(6 * t + 2 * k),
                           0.98 - (0.32 + 0.05 * k) * t], 1), 0.028, hsv(0.38, 0.7, 0.5))
    pen.place(u.near(0.45, 0.6), u.near(0.38, 0.56), u.near(0.9, 1.2), u.near(-0.35, 0.35))
    body, fin, belly = hsv(u(), u(0.6, 1), 1), hsv(u(), u(0.5, 1), 0.85), u.near(0.13, 0.21)
    tail = u.near(0.1, 0.19)
    pen.polygon([(-0.18, 0), (-0.4, -tail), (-0.34, 0),
                 (-0.4, tail)], fin)
    pen.polygon([(0.12, -belly * 0.7), (-0.02, -belly - u.near(0.06, 0.14)),
                 (-0.18, -belly * 0.45)], fin)
    pen.oval(0, 0, 0.27, belly, body)
    pen.oval(0, belly * 0.42, 0.19, belly * 0.5, body * 0.6 + 0.38)
    band = hsv(u(), 0.6, u(0.3, 1))
    for x in (-0.12, -0.02, 0.08):
        half = belly * math.sqrt(1 - (x / 0.27) ** 2) * 0.94
        y = np.linspace(-1, 1, 12)
        pen.line(np.stack([(x + 0.03 * (1 - y ** 2)), half * y], 1), 0.042, band)
    pen.polygon([(0.03, 0.02), (-0.09, 0.1), (-0.1, 0.02)], fin * 0.9)
    eye = u.near(0.032, 0.05)
    pen.oval(0.175, -belly * 0.25, eye, eye, np.ones(3))
    pen.oval(0.182, -belly * 0.25, eye * 0.55, eye * 0.55, np.zeros(3))
    pen.place(0, 0, 1)
    bubble = u.near(0.75, 0.95)
    for k in range(3):
        pen.oval(bubble + 0.03 * (k % 2), 0.3 - 0.1 * k, 0.03 - 0.006 * k, 0.03 - 0.006 * k,
                 hsv(hue, 0.15, 1))


def balloon(u, pen):
    sky(u, pen)
    cloud = u.near(0.05, 0.2)
    for dx, r in ((-0.1, 0.055), (0, 0.075), (0.1, 0.05)):
        pen.oval(cloud + dx, 0.7, r * 1.3, r * 0.7, np.ones(3))
    far = hsv(u(0.2, 0.6), 0.4, 0.65)
    pen.ground(u.near(0.82, 0.9), 0.06, far)
    meadow(u, pen, 0.93)
    pen.place(u.near(0.4, 0.65), u.near(0.34, 0.42), u.near(0.85, 1.1), u.near(-0.15, 0.15))
    wide, low = u.near(0.22, 0.29), u.near(0.4, 0.5)
    one, two = hsv(u(), u(0.55, 1), u(0.75, 1)), hsv(u(), u(0.1, 1), u(0.6, 1))
    t = np.linspace(0, 1, 30)
    # Half the outline: a circle above, drawn in to the mouth below.
    edge = np.where(t < 0.5, np.sin(np.pi * t), 1 - 0.78 * np.maximum(2 * t - 1, 0) ** 1.8)
    height = np.where(t < 0.5, -np.cos(np.pi * t) * 0.25, (t - 0.5) * 2 * (low - 0.12))
    for k in range(6):
        a, b = (-math.cos(np.pi * k / 6), -math.cos(np.pi * (k + 1) / 6))
        left, right = np.stack([a * wide * edge, height], 1), np.stack([b * wide * edge, height], 1)
        pen.polygon(np.concatenate([left, right[::-1]]), (one, two)[k % 2] * (1 - 0.04 * k))
    for side in (-1, 1):
        pen.line([(side * wide * 0.22, low - 0.13), (side * 0.05, low)], 0.012, np.ones(3) * 0.25)
    basket = hsv(0.08, 0.6, u(0.4, 0.7))
    pen.box(-0.06, low - 0.01, 0.12, 0.09, basket)
    pen.box(-0.07, low - 0.02, 0.14, 0.025, basket * 0.7)


def butterfly(u, pen):
    hue = u()
    pen.background(hsv(hue, u(0.1, 0.45), 1), hsv(hue + u(-0.15, 0.15), 0.5, 0.8))
    pen.place(u.near(0.45, 0.55), u.near(0.46, 0.54), u.near(0.9, 1.15), u.near(-0.5, 0.5))
    s, v = u(0.55, 1), u(0.65, 1)
    upper, lower, spot = hsv(u(), s, v), hsv(u(), s, v), hsv(u(), u(0, 0.9), u(0.3, 1))
    rim, wide, tall = u(0.1, 0.5), u.near(0.15, 0.2), u.near(0.1, 0.14)
    spread, low, dot = u.near(0.4, 0.85), u.near(0.1, 0.15), u.near(0.03, 0.06)
    for side in (-1, 1):
        for x, y, rx, ry, a, colour in ((0.14, 0.14, low, low * 0.75, spread, lower),
                                        (0.19, -0.12, wide, tall, -spread, upper)):
            pen.oval(side * x, y, rx, ry, colour * rim, side * a)
            pen.oval(side * x, y, rx * 0.86, ry * 0.83, colour, side * a)
            pen.oval(side * (x + 0.03), y * 1.2, dot * 1.35, dot * 1.35, colour * rim)
            pen.oval(side * (x + 0.03), y * 1.2, dot, dot, spot)
        t = np.linspace(0, 1, 10)
        pen.line(np.stack([side * 0.12 * t, -0.14 - 0.17 * np.sqrt(t)], 1), 0.014,
                 np.ones(3) * 0.15)
        pen.oval(side * 0.12, -0.31, 0.016, 0.016, np.ones(3) * 0.15)
    body = hsv(u(), 0.5, u(0.15, 0.4))
    pen.oval(0, 0.02, 0.03, 0.19, body)
    pen.oval(0, -0.15, 0.035, 0.035, body * 1.2)


def mushroom(u, pen):
    sky(u, pen)
    pen.ground(u.near(0.55, 0.72), u.near(-0.08, 0.08), hsv(u(0.25, 0.5), 0.5, u(0.35, 0.6)))
    meadow(u, pen, 0.84)
    tuft = u.near(0.1, 0.2)
    for x in (tuft, tuft + 0.65):
        for k in (-1, 0, 1):
            pen.line([(x, 0.95), (x + 0.05 * k, 0.78)], 0.02, hsv(0.33, 0.7, 0.4))
    pen.place(u.near(0.42, 0.58), 0.88, u.near(0.9, 1.15), u.near(-0.12, 0.12))
    stem, height, thick = hsv(0.1, u(0.05, 0.3), u(0.8, 1)), u.near(0.25, 0.42), u.near(0.05, 0.095)
    pen.polygon([(-thick * 1.3, 0), (thick * 1.3, 0), (thick * 0.8, -height),
                 (-thick * 0.8, -height)], stem)
    pen.polygon([(thick * 0.4, 0), (thick * 1.3, 0), (thick * 0.8, -height),
                 (thick * 0.3, -height)], stem * 0.87)
    wide, tall, cap = u.near(0.24, 0.34), u.near(0.17, 0.3), hsv(u(), u(0.6, 1), u(0.6, 1))
    t = np.linspace(0, np.pi, 30)
    pen.oval(0, -height, wide * 0.98, 0.05, stem * 0.75)
    dome = np.stack([wide * np.cos(t), -height - tall * np.sin(t)], 1)
    pen.polygon(np.concatenate([dome, np.stack([-wide * np.cos(t), -height + 0.03 * np.sin(t)],
                                               1)]), cap)
    spot = hsv(u(), u(0, 0.4), 1)
    size = u.near(0.6, 1.25)
    for x, y, r in ((0, 0.62, 0.048), (-0.5, 0.36, 0.04), (0.5, 0.36, 0.042), (-0.24, 0.2, 0.026),
                    (0.22, 0.22, 0.03)):
        pen.oval(x * wide, -height - y * tall, r * size * 1.15, r * size * 0.9, spot)


DRAWERS = [flower, face, house, tree, fish, balloon, butterfly, mushroom]


def draw(z, label, size=SIZE):
    """uint8 (size, size, 3)."""
    pen = Pen(size * OVERSAMPLE)
    DRAWERS[label](Choices(z), pen)
    return np.asarray(pen.picture.resize((size, size), Image.BOX))
