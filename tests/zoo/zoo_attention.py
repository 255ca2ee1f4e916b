"""Attention modules and what surrounds them, in the spellings that are found in the wild."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from zoo_layers import Function, function, integers, layer, mask


# ---- multi-head attention -----------------------------------------------------------------------


class MultiHead(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, **options)

    def forward(self, q, k, padding=None, bias=None):
        return self.attention(q, k, k, key_padding_mask=padding, attn_mask=bias,
                              need_weights=True)


class Rows(nn.Module):
    """Sequence first, with only a mask that is part of the module."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2)
        self.register_buffer("causal", torch.full((7, 7), float("-inf")).triu(1))

    def forward(self, x):
        return self.attention(x, x, x, attn_mask=self.causal, need_weights=False)[0]


class Encoder(nn.Module):
    """Layers that torch would run fused; the exporter cannot, so they are in training mode."""

    def __init__(self, **options):
        super().__init__()
        one = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(one, 2, enable_nested_tensor=False)

    def forward(self, x, padding=None):
        for part in self.encoder.layers:
            part.train()
        return self.encoder(x, src_key_padding_mask=padding)


class Decoder(nn.Module):
    """As DETR: queries, a memory with positions, sine positions from a mask."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(
            16, 4, 32, dropout=0.0), 2)
        self.queries = nn.Parameter(torch.randn(5, 1, 16))
        self.project = nn.Conv2d(3, 16, 1)

    def positions(self, kept):
        y = kept.cumsum(1, dtype=torch.float32)
        x = kept.cumsum(2, dtype=torch.float32)
        y = y / (y[:, -1:, :] + 1e-6) * 2 * math.pi
        x = x / (x[:, :, -1:] + 1e-6) * 2 * math.pi
        period = 10000 ** (2 * (torch.arange(8) // 2) / 8)
        x, y = x[..., None] / period, y[..., None] / period
        x = torch.stack((x[..., 0::2].sin(), x[..., 1::2].cos()), 4).flatten(3)
        y = torch.stack((y[..., 0::2].sin(), y[..., 1::2].cos()), 4).flatten(3)
        return torch.cat((y, x), 3).permute(0, 3, 1, 2)

    def forward(self, picture, padding):
        features = self.project(picture) + self.positions(~padding)
        memory = features.flatten(2).permute(2, 0, 1)
        queries = self.queries.expand(-1, picture.shape[0], -1)
        return self.decoder(queries, memory, memory_key_padding_mask=padding.flatten(1))


def corner(n, h, w):
    def make(_generator):
        padding = torch.zeros(n, h, w, dtype=torch.bool)
        padding[:, h - 1:], padding[:, :, w - 2:] = True, True
        return padding
    return make


def by_hand(q, k, v, mask=None, scale=None, how="multiply"):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if how == "multiply":
        scores = (q * scale) @ k.transpose(-2, -1)
    elif how == "divide":
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
    elif how == "both":
        scores = (q * scale ** 0.5) @ (k * scale ** 0.5).transpose(-2, -1)
    elif how == "baddbmm":
        bias = torch.zeros(q.shape[0], q.shape[1], k.shape[1])
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), beta=0, alpha=scale)
    else:
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool \
            else scores + mask
    weights = scores.softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v) if how == "einsum" else weights @ v


class Packed(nn.Module):
    """qkv in one matrix, as timm has it, with talking heads or a norm of q and k."""

    def __init__(self, dim=24, heads=3, norm=False, talking=False, cosine=False):
        super().__init__()
        self.heads, self.norm, self.cosine = heads, norm, cosine
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = nn.LayerNorm(dim // heads), nn.LayerNorm(dim // heads)
        self.talk = nn.ModuleList(nn.Linear(heads, heads) for _ in range(2)) if talking else None
        self.temperature = nn.Parameter(torch.rand(heads, 1, 1) + 1)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(
            2, 0, 3, 1, 4).unbind(0)
        if self.norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.cosine:
            scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
            scores = scores * torch.clamp(self.temperature, max=4.6052).exp()
        else:
            scores = q * (c // self.heads) ** -0.5 @ k.transpose(-2, -1)
        if self.talk:
            scores = self.talk[0](scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        weights = scores.softmax(-1)
        if self.talk:
            weights = self.talk[1](weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, c))


class Linear(nn.Module):
    """Attention without softmax over pairs: EfficientViT, XCiT, and softmax on both sides."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.qkv = kind, nn.Conv2d(8, 24, 1)

    def forward(self, x):
        b, _, h, w = x.shape
        q, k, v = self.qkv(x).reshape(b, 3, 2, 4, h * w).unbind(1)
        if self.kind == "relu":
            q, k = F.relu(q), F.relu(k)
            v = F.pad(v, (0, 0, 0, 1), value=1.0)
            y = v @ k.transpose(-1, -2) @ q
            y = y[:, :, :-1] / (y[:, :, -1:] + 1e-6)
        elif self.kind == "channels":
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
            y = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        elif self.kind == "elu":
            q, k = F.elu(q) + 1, F.elu(k) + 1
            context = torch.einsum("bhdn,bhen->bhde", k, v)
            y = torch.einsum("bhde,bhdn->bhen", context, q) / torch.einsum(
                "bhdn,bhd->bhn", q, k.sum(-1)).unsqueeze(2)
        else:
            context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
            y = torch.einsum("bhde,bhdn->bhen", context, q.softmax(-2))
        return y.reshape(b, 8, h, w)


class Shifted(nn.Module):
    """Swin's windows, with the mask computed from the picture's size and a padded border."""

    def __init__(self, window=4, shift=2, heads=2, dim=8):
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window),
                                        indexing="ij")).flatten(1)
        relative = (at[:, :, None] - at[:, None]).permute(1, 2, 0) + window - 1
        self.register_buffer("index", relative[..., 0] * (2 * window - 1) + relative[..., 1])

    def windows(self, x):
        b, h, w, c = x.shape
        s = self.window
        return x.view(b, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)

    def mask(self, h, w):
        regions = torch.zeros((1, h, w, 1))
        count = 0
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift),
                slice(-self.shift, None))
        for rows in cuts:
            for columns in cuts:
                regions[:, rows, columns, :] = count
                count += 1
        regions = self.windows(regions).squeeze(-1)
        differ = regions.unsqueeze(1) - regions.unsqueeze(2)
        return differ.masked_fill(differ != 0, -100.0).masked_fill(differ == 0, 0.0)

    def forward(self, x):
        b, h, w, c = x.shape
        s, heads = self.window, self.heads
        x = F.pad(x, (0, 0, 0, (s - w % s) % s, 0, (s - h % s) % s))
        tall, wide = x.shape[1], x.shape[2]
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        parts = self.windows(x)
        q, k, v = self.qkv(parts).reshape(-1, s * s, 3, heads, c // heads).permute(
            2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) * (c // heads) ** -0.5
        bias = self.table[self.index.view(-1)].view(s * s, s * s, heads).permute(2, 0, 1)
        scores = scores + bias
        mask = self.mask(tall, wide)
        scores = scores.view(b, mask.shape[0], heads, s * s, s * s) + mask[None, :, None]
        y = (scores.view(-1, heads, s * s, s * s).softmax(-1) @ v).transpose(1, 2)
        y = y.reshape(b, tall // s, wide // s, s, s, c).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(b, tall, wide, c), (self.shift, self.shift), (1, 2))
        return y[:, :h, :w]


class Deformable(nn.Module):
    """Deformable DETR's sampling, with grid_sample per level."""

    def __init__(self, shapes=((6, 8), (3, 4)), heads=2, points=3, dim=8):
        super().__init__()
        self.shapes, self.heads, self.points = shapes, heads, points
        self.offsets = nn.Linear(dim, heads * len(shapes) * points * 2)
        self.weights = nn.Linear(dim, heads * len(shapes) * points)
        self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, query, reference, memory):
        b, n, c = query.shape
        levels, heads, points = len(self.shapes), self.heads, self.points
        value = self.value(memory).view(b, -1, heads, c // heads)
        offsets = self.offsets(query).view(b, n, heads, levels, points, 2)
        weights = self.weights(query).view(b, n, heads, levels * points).softmax(-1)
        sizes = torch.tensor([[w, h] for h, w in self.shapes], dtype=query.dtype)
        places = reference[:, :, None, None, None] + offsets / sizes[None, None, None, :, None]
        found = []
        parts = value.split([h * w for h, w in self.shapes], 1)
        for level, (h, w) in enumerate(self.shapes):
            picture = parts[level].flatten(2).transpose(1, 2).reshape(
                b * heads, c // heads, h, w)
            grid = (2 * places[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
            found.append(F.grid_sample(picture, grid, align_corners=False))
        weights = weights.transpose(1, 2).reshape(b * heads, 1, n, levels * points)
        y = (torch.stack(found, -2).flatten(-2) * weights).sum(-1)
        return self.out(y.view(b, c, n).transpose(1, 2))


# ---- channel and spatial attention --------------------------------------------------------------


class Cbam(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        y = self.shared(F.adaptive_avg_pool2d(x, 1)) + self.shared(F.adaptive_max_pool2d(x, 1))
        x = x * torch.sigmoid(y)
        maps = torch.cat((x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.spatial(maps))


class Eca(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        y = x.mean((2, 3))[:, None]
        return x * torch.sigmoid(self.conv(y))[:, 0, :, None, None]


class Coordinate(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4), nn.Hardswish())
        self.rows, self.columns = nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        h, w = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        rows, columns = torch.split(self.squeeze(torch.cat((rows, columns), 2)), (h, w), 2)
        return x * self.rows(rows).sigmoid() * self.columns(columns.transpose(2, 3)).sigmoid()


class NonLocal(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.theta, self.phi, self.g = (nn.Conv2d(8, 4, 1) for _ in range(3))
        self.pool, self.out = nn.MaxPool2d(2), nn.Sequential(nn.Conv2d(4, 8, 1),
                                                             nn.BatchNorm2d(8))
        self.join = nn.Conv2d(8, 1, 1, bias=False)

    def forward(self, x):
        b, _, h, w = x.shape
        theta, phi = self.theta(x).view(b, 4, -1), self.pool(self.phi(x)).view(b, 4, -1)
        g = self.pool(self.g(x)).view(b, 4, -1).permute(0, 2, 1)
        if self.kind == "gaussian":
            weights = F.softmax(theta.permute(0, 2, 1) @ phi, -1)
        elif self.kind == "dot":
            weights = theta.permute(0, 2, 1) @ phi
            weights = weights / weights.size(-1)
        else:
            pairs = torch.cat((theta.unsqueeze(3).expand(-1, -1, -1, phi.size(2)),
                               phi.unsqueeze(2).expand(-1, -1, theta.size(2), -1)), 1)
            weights = F.relu(self.join(pairs)).squeeze(1)
            weights = weights / weights.size(-1)
        return x + self.out((weights @ g).permute(0, 2, 1).reshape(b, 4, h, w))


class Triplet(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False),
                                                 nn.BatchNorm2d(1)) for _ in range(3))

    def gate(self, x, conv):
        maps = torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), 1)
        return x * torch.sigmoid(conv(maps))

    def forward(self, x):
        a = self.gate(x.permute(0, 2, 1, 3).contiguous(), self.convs[0]).permute(0, 2, 1, 3)
        b = self.gate(x.permute(0, 3, 2, 1).contiguous(), self.convs[1]).permute(0, 3, 2, 1)
        return (a + b + self.gate(x, self.convs[2])) / 3


class Select(nn.Module):
    """Selective kernels and split attention: softmax over branches."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=d, dilation=d, groups=2)
                                      for d in (1, 2))
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 16)

    def forward(self, x):
        maps = torch.stack([branch(x) for branch in self.branches], 1)
        weights = self.excite(F.relu(self.squeeze(maps.sum(1).mean((2, 3)))))
        weights = weights.view(-1, 2, 8).softmax(1)
        return (maps * weights[..., None, None]).sum(1)


class Gather(nn.Module):
    """A^2 double attention, and a squeeze of positions by a softmax (GCNet)."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(8, 8, 1) for _ in range(3))
        self.where = nn.Conv2d(8, 1, 1)
        self.change = nn.Sequential(nn.Conv2d(8, 4, 1), nn.LayerNorm([4, 1, 1]), nn.ReLU(),
                                    nn.Conv2d(4, 8, 1))

    def forward(self, x):
        n, c, h, w = x.shape
        a = self.a(x).view(n, c, -1)
        b = F.softmax(self.b(x).view(n, c, -1), -1)
        v = F.softmax(self.c(x).view(n, c, -1), 1)
        y = torch.bmm(torch.bmm(a, b.permute(0, 2, 1)), v).view(n, c, h, w)
        context = torch.matmul(y.view(n, 1, c, h * w),
                               self.where(y).view(n, 1, h * w).softmax(2).unsqueeze(-1))
        return y + self.change(context.view(n, c, 1, 1))


class SaGan(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.utils.spectral_norm
        self.f, self.g, self.h = (norm(nn.Conv1d(8, k, 1, bias=False)) for k in (2, 2, 8))
        self.gamma = nn.Parameter(torch.tensor([0.7]))

    def forward(self, x):
        flat = x.view(x.shape[0], 8, -1)
        weights = F.softmax(torch.bmm(self.f(flat).transpose(1, 2), self.g(flat)), 1)
        return (self.gamma * torch.bmm(self.h(flat), weights) + flat).view_as(x)


class Style(nn.Module):
    """SANet: attention between two pictures' normalised features, then AdaIN."""

    def __init__(self):
        super().__init__()
        self.f, self.g, self.h, self.out = (nn.Conv2d(8, 8, 1) for _ in range(4))

    @staticmethod
    def plain(x):
        n, c = x.shape[:2]
        std = (x.view(n, c, -1).var(2) + 1e-5).sqrt().view(n, c, 1, 1)
        return (x - x.view(n, c, -1).mean(2).view(n, c, 1, 1)) / std

    def forward(self, content, style):
        f, g = self.f(self.plain(content)), self.g(self.plain(style))
        b, c, h, w = f.shape
        weights = torch.bmm(f.view(b, c, -1).permute(0, 2, 1), g.flatten(2)).softmax(-1)
        mixed = torch.bmm(self.h(style).flatten(2), weights.permute(0, 2, 1)).view(b, c, h, w)
        y = self.out(mixed) + content
        adain = self.plain(y) * style.std((2, 3), keepdim=True) + style.mean((2, 3), keepdim=True)
        return y, adain


class Relative(nn.Module):
    """BoTNet's relative positions, by padding and reshaping."""

    def __init__(self, size=6, dim=4):
        super().__init__()
        self.size = size
        self.height, self.width = (nn.Parameter(torch.randn(2 * size - 1, dim)) for _ in "hw")

    def shifted(self, x):
        b, h, length, _ = x.shape
        x = F.pad(x, (0, 1)).reshape(b, h, -1)
        x = F.pad(x, (0, length - 1)).reshape(b, h, length + 1, 2 * length - 1)
        return x[:, :, :length, length - 1:]

    def one(self, q, relative):
        b, h, w, d = q.shape
        y = self.shifted(torch.einsum("bxyd,rd->bxyr", q, relative))
        return y.unsqueeze(2).expand(-1, -1, h, -1, -1)

    def forward(self, q):
        s = self.size
        q = q.reshape(q.shape[0], s, s, -1)
        wide = self.one(q, self.width).permute(0, 1, 3, 2, 4).reshape(-1, s * s, s * s)
        tall = self.one(q.transpose(1, 2), self.height).permute(0, 3, 1, 4, 2)
        return (wide + tall.reshape(-1, s * s, s * s)).softmax(-1)


class Rotary(nn.Module):
    def forward(self, x):
        half = x.shape[-1] // 2
        rates = 10000.0 ** (-torch.arange(half).float() / half)
        angles = torch.arange(x.shape[-2]).float()[:, None] * rates
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        turned = torch.cat((-x[..., half:], x[..., :half]), -1)
        return x * cos + turned * sin


class Neighbours(nn.Module):
    """Attention in a 3x3 neighbourhood, by unfold (involution, Outlook attention)."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Conv2d(8, 2 * 9, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        weights = self.weights(x).view(b, 2, 1, 9, h, w).softmax(3)
        parts = F.unfold(x, 3, padding=1).view(b, 2, c // 2, 9, h, w)
        return (weights * parts).sum(3).view(b, c, h, w)


class Stage(nn.Module):
    """A residual network in small: conv, norm, activation, pooling, attention, classes."""

    def __init__(self, act, norm):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), norm(8), act, nn.Conv2d(8, 8, 3, padding=1, groups=8),
            norm(8), act, nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 1), norm(8))
        self.attention = Cbam()
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.attention(F.relu(self.body(x))).mean((2, 3))).softmax(1)


# ---- recurrent ----------------------------------------------------------------------------------


class Tallest(nn.Module):
    def forward(self, x):
        return x.max(2, keepdim=True)[0]


class Crnn(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3, (4, 2), 1), nn.ReLU(),
                                  Tallest())
        self.sequence = kind(8, 6, 2, bidirectional=True)
        self.head = nn.Linear(12, 11)

    def forward(self, x):
        y = self.conv(x).squeeze(2).permute(2, 0, 1)
        return self.head(self.sequence(y)[0]).log_softmax(2)


class States(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.sequence = kind(5, 6, batch_first=True, **options)
        self.cell = kind is nn.LSTM

    def forward(self, x, h, c):
        return self.sequence(x, (h, c) if self.cell else h)


def transformer():
    x, y, v = (2, 7, 16), (2, 9, 16), (2, 3, 7, 5)
    some = {"in0": {0: "n", 1: "t"}}
    found = [
        layer("multihead_self", MultiHead, x, x),
        layer("multihead_cross", MultiHead, x, y),
        layer("multihead_padding", MultiHead, x, y,
              lambda g: torch.arange(9)[None] >= torch.tensor([[6], [9]])),
        layer("multihead_mask", MultiHead, x, y,
              lambda g: torch.arange(9)[None] >= torch.tensor([[6], [9]]),
              lambda g: torch.randn(7, 9, generator=g)),
        layer("multihead_rows_causal", Rows, (7, 2, 16)),
        layer("multihead_kdim", lambda: Kdim(), x, (2, 9, 12), (2, 9, 20)),
        layer("multihead_bias_kv", lambda: MultiHead(add_bias_kv=True, add_zero_attn=True), x, y),
        layer("multihead_dynamic", MultiHead, x, y, dynamic={"in0": {0: "n", 1: "t"},
              "in1": {0: "n", 1: "s"}}, more=[((3, 4, 16), (3, 11, 16))]),
        layer("encoder", Encoder, x),
        layer("encoder_norm_first", lambda: Encoder(norm_first=True, activation="gelu"), x),
        layer("encoder_padding", Encoder, x,
              lambda g: torch.arange(7)[None] >= torch.tensor([[4], [7]])),
        layer("encoder_dynamic", Encoder, x, dynamic=some, more=[((3, 5, 16),)]),
        layer("decoder_detr", Decoder, (2, 3, 5, 6), corner(2, 5, 6)),
        layer("decoder_detr_dynamic", Decoder, (2, 3, 5, 6), corner(2, 5, 6), dynamic={
            "in0": {0: "n", 2: "h", 3: "w"}, "in1": {0: "n", 1: "h", 2: "w"}},
            more=[((1, 3, 4, 7), corner(1, 4, 7))]),
    ]
    for how in ("multiply", "divide", "both", "einsum"):
        found.append(function(f"attention_{how}", lambda q, k, w, h=how: by_hand(
            q, k, w, how=h), v, (2, 3, 9, 5), (2, 3, 9, 4)))
        found.append(function(f"attention_{how}_mask", lambda q, k, w, m, h=how: by_hand(
            q, k, w, m, how=h), v, (2, 3, 9, 5), (2, 3, 9, 4), (2, 1, 7, 9)))
        found.append(function(f"attention_{how}_bool", lambda q, k, w, m, h=how: by_hand(
            q, k, w, m, how=h), v, (2, 3, 9, 5), (2, 3, 9, 4),
            lambda g: (torch.rand(7, 9, generator=g) > 0.3) | (torch.arange(9) == 0)))
    found += [
        function("attention_baddbmm", lambda q, k, w: by_hand(q, k, w, how="baddbmm"),
                 (6, 7, 5), (6, 9, 5), (6, 9, 4)),
        function("attention_all_masked", lambda q, k, w, m: by_hand(q, k, w, m), v,
                 (2, 3, 9, 5), (2, 3, 9, 4), lambda g: torch.full((7, 9), -1e9)),
        function("attention_one_key", lambda q, k, w: by_hand(q, k, w), v, (2, 3, 1, 5),
                 (2, 3, 1, 4)),
        function("attention_shared_keys", lambda q, k, w: by_hand(q, k, w), v, (2, 1, 9, 5),
                 (2, 1, 9, 4)),
        function("attention_long", lambda q, k, w: by_hand(q, k, w), (1, 2, 600, 16),
                 (1, 2, 1100, 16), (1, 2, 1100, 16)),
        layer("attention_packed", Packed, (2, 10, 24)),
        layer("attention_packed_dynamic", Packed, (2, 10, 24), dynamic=some,
              more=[((3, 17, 24),)]),
        layer("attention_qk_norm", lambda: Packed(norm=True), (2, 10, 24)),
        layer("attention_cosine", lambda: Packed(cosine=True), (2, 10, 24)),
        layer("attention_talking", lambda: Packed(talking=True), (2, 10, 24)),
        layer("rotary", Rotary, (2, 3, 7, 8)),
        layer("relative_positions", Relative, (3, 36, 4)),
    ]
    for kind in ("relu", "channels", "elu", "softmax"):
        found.append(layer(f"linear_attention_{kind}", lambda k=kind: Linear(k), (2, 8, 6, 5)))
    axes = {"in0": {0: "n", 1: "h", 2: "w"}}
    found += [layer("shifted_windows", Shifted, (2, 8, 12, 8)),
              layer("shifted_windows_padded", Shifted, (2, 7, 10, 8)),
              layer("shifted_windows_dynamic", Shifted, (2, 8, 12, 8), dynamic=axes,
                    more=[((1, 10, 7, 8),)]),
              layer("deformable_attention", Deformable, (2, 5, 8), lambda g: torch.rand(
                  2, 5, 2, generator=g), (2, 60, 8), opset=16)]
    return found


class Kdim(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, kdim=12, vdim=20, batch_first=True)

    def forward(self, q, k, v):
        return self.attention(q, k, v)


def modules():
    x = (2, 8, 9, 7)
    axes = {"in0": {0: "n", 2: "h", 3: "w"}}
    more = [((1, 8, 6, 12),)]
    found = []
    for name, build in (("cbam", Cbam), ("eca", Eca), ("coordinate_attention", Coordinate),
                        ("non_local_gaussian", lambda: NonLocal("gaussian")),
                        ("non_local_dot", lambda: NonLocal("dot")),
                        ("non_local_concat", lambda: NonLocal("concat")),
                        ("triplet_attention", Triplet), ("selective_kernels", Select),
                        ("double_attention", Gather), ("sagan_attention", SaGan),
                        ("neighbourhood", Neighbours)):
        found.append(layer(name, build, x))
        found.append(layer(name + "_dynamic", build, x, dynamic=axes, more=more))
    found += [layer("style_transfer", Style, x, x),
              layer("style_transfer_dynamic", Style, x, x, dynamic={
                  "in0": {2: "h", 3: "w"}, "in1": {2: "H", 3: "W"}},
                  more=[((2, 8, 5, 6), (2, 8, 11, 4))])]
    for act in (nn.ReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Mish, nn.LeakyReLU, nn.PReLU, nn.ELU,
                nn.Sigmoid, nn.Tanh, nn.Softplus, nn.ReLU6, nn.Hardsigmoid):
        found.append(layer(f"stage_{act.__name__.lower()}", lambda a=act: Stage(
            a(), nn.BatchNorm2d), (2, 3, 20, 24)))
    for norm in (lambda c: nn.GroupNorm(2, c), nn.InstanceNorm2d, nn.Identity):
        name = "group" if not isinstance(norm, type) else norm.__name__.lower()
        found.append(layer(f"stage_norm_{name}", lambda n=norm: Stage(nn.ReLU(), n),
                           (2, 3, 20, 24)))
    return found


def recurrent():
    found = []
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        name = kind.__name__.lower()
        found.append(layer(f"crnn_{name}", lambda k=kind: Crnn(k), (2, 1, 4, 26)))
        found.append(layer(f"crnn_{name}_dynamic", lambda k=kind: Crnn(k), (2, 1, 4, 26),
                           dynamic={"in0": {0: "n", 3: "w"}}, more=[((1, 1, 4, 40),)]))
        found.append(layer(f"{name}_states", lambda k=kind: States(k), (3, 7, 5), (1, 3, 6),
                           (1, 3, 6)))
        found.append(layer(f"{name}_layers", lambda k=kind: States(
            k, num_layers=2, bidirectional=True), (3, 7, 5), (4, 3, 6), (4, 3, 6)))
        found.append(layer(f"{name}_no_bias", lambda k=kind: States(k, bias=False), (3, 7, 5),
                           (1, 3, 6), (1, 3, 6)))
    found.append(layer("rnn_relu", lambda: States(nn.RNN, nonlinearity="relu"), (3, 7, 5),
                       (1, 3, 6), (1, 3, 6)))
    found.append(layer("lstm_projection", lambda: nn.LSTM(5, 6, proj_size=3), (7, 3, 5)))
    for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell):
        found.append(layer(kind.__name__.lower(), lambda k=kind: k(5, 6), (3, 5)))
    return found


# ---- torchvision's operators --------------------------------------------------------------------


def regions(g):
    start = torch.rand(5, 2, generator=g) * 20
    return torch.cat((torch.tensor([[0.0], [1], [0], [1], [1]]), start,
                      start + torch.rand(5, 2, generator=g) * 12 + 1), 1)


def boxes(count):
    def make(g):
        start = torch.rand(count, 2, generator=g) * 30
        return torch.cat((start, start + torch.rand(count, 2, generator=g) * 20 + 1), 1)
    return make


def vision():
    from torchvision import ops
    found = []
    for aligned in (False, True):
        for ratio in (-1, 2):
            for opset in (11, 16):
                found.append(function(
                    f"roi_align_{'aligned' if aligned else 'old'}_{ratio}_{opset}",
                    lambda x, r, a=aligned, s=ratio: ops.roi_align(
                        x, r, (3, 4), 0.25, s, aligned=a), (2, 3, 8, 9), regions, opset=opset))
    n = {"in0": {0: "n"}, "in1": {0: "n"}}
    found += [
        function("roi_pool", lambda x, r: ops.roi_pool(x, r, (3, 3), 0.25), (2, 3, 8, 9),
                 regions),
        function("ps_roi_align", lambda x, r: ops.ps_roi_align(x, r, 2, 0.25), (2, 12, 8, 9),
                 regions),
        function("ps_roi_pool", lambda x, r: ops.ps_roi_pool(x, r, 2, 0.25), (2, 12, 8, 9),
                 regions),
        layer("deform_conv", lambda: ops.DeformConv2d(3, 4, 3, padding=1), (2, 3, 8, 9),
              (2, 18, 8, 9)),
        function("nms", lambda b, s: ops.nms(b, s, 0.4), boxes(40),
                 lambda g: torch.rand(40, generator=g), dynamic=n,
                 more=[(boxes(7), lambda g: torch.rand(7, generator=g)),
                       (boxes(0), lambda g: torch.rand(0, generator=g)),
                       (boxes(1), lambda g: torch.rand(1, generator=g))]),
        function("batched_nms", lambda b, s, i: b[ops.batched_nms(b, s, i, 0.4)], boxes(40),
                 lambda g: torch.rand(40, generator=g), integers(3, 40)),
        function("box_ops", lambda a, b: (ops.box_iou(a, b), ops.box_area(a),
                                          ops.box_convert(a, "xyxy", "cxcywh"),
                                          ops.clip_boxes_to_image(a, (25, 30)),
                                          ops.generalized_box_iou(a, b)), boxes(6), boxes(4)),
        function("remove_small", lambda a: a[ops.remove_small_boxes(a, 8.0)], boxes(9)),
        function("stochastic_depth", lambda a: ops.stochastic_depth(
            a, 0.5, "row", training=False) + 1, (2, 3, 4)),
        layer("squeeze_excitation", lambda: ops.SqueezeExcitation(8, 2), (2, 8, 5, 6)),
        layer("frozen_batch_norm", lambda: ops.FrozenBatchNorm2d(8), (2, 8, 5, 6)),
        layer("drop_block", lambda: ops.DropBlock2d(0.5, 3), (2, 8, 5, 6)),
        layer("mlp", lambda: ops.MLP(6, [8, 4], norm_layer=nn.LayerNorm), (2, 6)),
        layer("feature_pyramid", lambda: Pyramid(), (1, 3, 32, 40), dynamic={
            "in0": {2: "h", 3: "w"}}, more=[((1, 3, 48, 33),)]),
    ]
    return found


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        from torchvision import ops
        self.downs = nn.ModuleList(nn.Conv2d(c, 8, 3, 2, 1) for c in (3, 8, 8))
        self.pyramid = ops.FeaturePyramidNetwork([8, 8, 8], 6)

    def forward(self, x):
        found = {}
        for i, down in enumerate(self.downs):
            x = F.relu(down(x))
            found[str(i)] = x
        return list(self.pyramid(found).values())


# ---- element types ------------------------------------------------------------------------------


def types():
    found = []
    for dtype, name in ((torch.float64, "float64"), (torch.bfloat16, "bfloat16")):
        def convert(build, dtype=dtype):
            return lambda: build().to(dtype)

        def draw(*shape, dtype=dtype):
            return lambda g: torch.randn(*shape, generator=g).to(dtype)
        found += [
            layer(f"{name}_conv", convert(lambda: nn.Conv2d(3, 4, 3)), draw(1, 3, 9, 8)),
            layer(f"{name}_linear", convert(lambda: nn.Sequential(
                nn.Linear(12, 7), nn.GELU(), nn.LayerNorm(7))), draw(3, 12)),
            layer(f"{name}_attention", convert(Packed), draw(2, 10, 24)),
            layer(f"{name}_cbam", convert(Cbam), draw(2, 8, 9, 7)),
            layer(f"{name}_resize", convert(lambda: Function(lambda a: F.interpolate(
                a, scale_factor=2, mode="bilinear"))), draw(1, 3, 9, 8)),
            layer(f"{name}_reduce", convert(lambda: Function(lambda a: (
                a.mean(1), a.sum(2), a.max(1)[0], a.softmax(1), a.exp()))), draw(2, 3, 4)),
        ]
    found += [
        function("int_arithmetic", lambda a, b: (a + b, a * b, a - b, (a + b).float() / 2),
                 integers(9, 4, 5, dtype=torch.int32), integers(9, 4, 5, dtype=torch.int32)),
        function("uint8_picture", lambda a: (a.float() / 255 - 0.45) / 0.22,
                 integers(256, 1, 3, 6, 5, dtype=torch.uint8)),
        function("uint8_nhwc", lambda a: a.permute(0, 3, 1, 2).float().div(255),
                 integers(256, 1, 6, 5, 3, dtype=torch.uint8)),
        function("bool_input", lambda m, a: a * m + (~m).float(), mask(3, 4), (3, 4)),
        function("int64_output", lambda a: a.argmax(1) * 2 + 1, (3, 4)),
        function("int16_sum", lambda a: a + a, integers(30000, 6, dtype=torch.int16)),
        function("int8_wrap", lambda a: a + a, integers(127, 6, dtype=torch.int8)),
        function("uint8_wrap", lambda a: a * 3 + 7, integers(256, 9, dtype=torch.uint8)),
        function("double_constants", lambda a: a * torch.tensor(
            [0.1, 0.2, 0.3], dtype=torch.float64), (2, 3)),
        function("sampling_points", lambda a: F.grid_sample(a, torch.stack(torch.meshgrid(
            torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 6), indexing="xy"), -1)[None],
            align_corners=True), (1, 3, 6, 7), opset=16),
    ]
    return found


# ---- control flow in scripts --------------------------------------------------------------------


class Scripted(nn.Module):
    def __init__(self, script):
        super().__init__()
        self.script = [script]  # in a list, out of the tracer's and of deepcopy's way

    def forward(self, x):
        return self.script[0](x)


@torch.jit.script
def sometimes(x):
    if bool(x.sum() > 0):
        y = x * 2
    else:
        y = x - 1
    return y


@torch.jit.script
def by_size(x):
    if x.shape[0] > 2:
        y = x[:2]
    else:
        y = torch.cat((x, x), 0)
    return y


@torch.jit.script
def rows(x):
    y = torch.zeros_like(x[0])
    for i in range(x.shape[0]):
        y = y * 0.5 + x[i]
    return y


@torch.jit.script
def halve(x):
    steps = torch.zeros(1)
    while bool(x.abs().max() > 1.0):
        x = x / 2
        steps = steps + 1
    return x, steps


@torch.jit.script
def collected(x):
    found = []
    for i in range(x.shape[0]):
        found.append(x[i] * float(i))
    return torch.stack(found)


@torch.jit.script
def nested(x):
    y = x
    for i in range(3):
        if bool(y.sum() > 0):
            y = y - 0.5
        else:
            for _ in range(2):
                y = y + 0.3
    return y


def scripted():
    n = {"in0": {0: "n"}}
    more = [((5, 4),), ((1, 4),)]
    return [layer(f"script_{name}", lambda s=script: Scripted(s), (3, 4), dynamic=n, more=more)
            for name, script in (("if", sometimes), ("if_size", by_size), ("for", rows),
                                 ("while", halve), ("list", collected), ("nested", nested))]


def cases():
    return (transformer() + modules() + recurrent() + vision() + types() + scripted())
