"""One residual network, and the attention that its last two blocks may have.

    from networks import VARIANTS, Net
    model = Net("cbam")

The module, squeeze and excite and CBAM are those of ../shapes/train.py, which
stands where the others do: on the branch, before the sum with the skip path.
Self-attention takes the place of the second convolution instead, as in BoTNet.
"""
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "shapes"))
from scenes import LABELS  # noqa: E402
from train import Cbam as CbamWithMap  # noqa: E402
from train import Gate, SqueezeExcite  # noqa: E402

WIDTHS = 12, 16, 24, 32     # of the stem, at 32x32, and of the three blocks
HEADS = 2


class Cbam(CbamWithMap):
    def forward(self, x):
        return super().forward(x)[0]


class Eca(nn.Module):
    """One factor per channel, from the averages of it and its neighbours."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        w = self.conv(x.mean((2, 3))[:, None])
        return x * torch.sigmoid(w).transpose(1, 2)[..., None]


class NonLocal(nn.Module):
    """Every place gets a weighted mean over all places added (embedded
    Gaussian, half the channels); it starts as the identity."""

    def __init__(self, channels):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 2, 1)
        self.key = nn.Conv2d(channels, channels // 2, 1)
        self.value = nn.Conv2d(channels, channels // 2, 1)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        query, key, value = (layer(x).flatten(2) for layer in
                             (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(1, 2) @ key, -1)
        y = (weights @ value.transpose(1, 2)).transpose(1, 2)
        y = y.reshape(-1, y.shape[1], x.shape[2], x.shape[3])
        return x + self.norm(self.out(y))


class SelfAttention(nn.Module):
    """BoTNet's: every place attends to all, by content and by how far away
    they are down and across."""

    def __init__(self, channels, side):
        super().__init__()
        self.side, self.size = side, channels // HEADS
        self.embed = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.down = nn.Parameter(torch.randn(2 * side - 1, self.size) * 0.1)
        self.across = nn.Parameter(torch.randn(2 * side - 1, self.size) * 0.1)
        places = torch.arange(side)     # query, key -> row of the table
        self.register_buffer("apart", places[None] - places[:, None] + side - 1,
                             persistent=False)

    def forward(self, x):
        side, size = self.side, self.size
        parts = self.embed(x).reshape(-1, 3, HEADS, size, side * side)
        query, key, value = parts.unbind(1)
        query = query.transpose(2, 3) * size ** -0.5    # picture, head, place, :
        grid = query.reshape(-1, HEADS, side, side, size)
        down = grid @ self.down[self.apart].transpose(1, 2)
        across = grid.transpose(2, 3) @ self.across[self.apart].transpose(1, 2)
        near = down[..., None] + across.transpose(2, 3)[..., None, :]
        scores = query @ key + near.reshape(-1, HEADS, side ** 2, side ** 2)
        y = torch.softmax(scores, -1) @ value.transpose(2, 3)
        return y.transpose(2, 3).reshape(-1, HEADS * size, side, side)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, second, attention):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = second
        self.norm2 = nn.BatchNorm2d(outputs)
        self.attention = attention
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.attention(self.norm2(self.second(y)))
        return F.relu(y + self.skip(x))


# Name in files -> name in tables, what is on the branch.
VARIANTS = {
    "none": ("no attention", lambda channels: nn.Identity()),
    "module": ("the module: one gate per picture", Gate),
    "se": ("SE", SqueezeExcite),
    "cbam": ("CBAM", Cbam),
    "eca": ("ECA", Eca),
    "nonlocal": ("non-local", NonLocal),
    "botnet": ("self-attention (BoTNet)", lambda channels: nn.Identity()),
}


def conv3x3(channels):
    return nn.Conv2d(channels, channels, 3, 1, 1, bias=False)


class Net(nn.Module):
    def __init__(self, variant):
        super().__init__()
        stem, a, b, c = WIDTHS
        attention = VARIANTS[variant][1]

        def second(channels):
            if variant == "botnet":
                return SelfAttention(channels, 8)
            return conv3x3(channels)

        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False),
                                  nn.BatchNorm2d(stem), nn.ReLU())
        self.block1 = Block(stem, a, 2, conv3x3(a), nn.Identity())  # 16x16
        self.block2 = Block(a, b, 2, second(b), attention(b))       # 8x8
        self.block3 = Block(b, c, 1, second(c), attention(c))       # 8x8
        self.head = nn.Linear(c, len(LABELS))

    def forward(self, image):
        x = self.block3(self.block2(self.block1(self.stem(image))))
        return self.head(x.mean((2, 3)))
