"""Small modules: one thing each that attention networks in the wild do and torchvision does not.

tensor functions stand in the tables at the end, modules of several lines in zoo_attention.py.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from zoo_cases import Case, calibrate


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def draw(seed, *shapes):
    """Random tensors: a shape is of floats, a tensor is itself, a function is called."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in shapes:
        if isinstance(shape, torch.Tensor):
            made.append(shape)
        elif callable(shape):
            made.append(shape(generator))
        else:
            made.append(torch.randn(*shape, generator=generator))
    return tuple(made)


def integers(high, *shape, low=0, dtype=torch.int64):
    return lambda g: torch.randint(low, high, shape, generator=g).to(dtype)


def positive(*shape):
    return lambda g: torch.rand(*shape, generator=g) + 0.1


def unit(*shape):
    return lambda g: torch.rand(*shape, generator=g) * 2.4 - 1.2


def mask(*shape):
    return lambda g: torch.rand(*shape, generator=g) > 0.4


def layer(name, build, *shapes, sets=2, more=(), **options):
    """build is a module's maker, or a function of tensors if it takes them."""
    def inputs():
        made = [draw(10 + i, *shapes) for i in range(sets)]
        return made + [draw(20 + i, *other) for i, other in enumerate(more)]

    def make():
        return calibrate(build(), *[tuple(s) for s in inputs()[:1]])
    return Case(name, make, inputs, **options)


def function(name, f, *shapes, **options):
    return layer(name, lambda: Function(f), *shapes, **options)


# ---- resizing and sampling ----------------------------------------------------------------------


def resizing():
    x = (2, 3, 9, 12)
    found = []
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        for align in ((False, True) if mode in ("bilinear", "bicubic") else (None,)):
            for how, more in (("up", {"scale_factor": 2}), ("down", {"scale_factor": 0.5}),
                              ("size", {"size": (13, 7)}), ("odd", {"scale_factor": 1.7}),
                              ("recompute", {"scale_factor": 1.7,
                                             "recompute_scale_factor": True})):
                options = dict(more, mode=mode)
                if align is not None:
                    options["align_corners"] = align
                name = f"interpolate_{mode}{'_align' if align else ''}_{how}"
                for opset in ((11, 17) if how in ("up", "size") else (17,)):
                    found.append(function(f"{name}_{opset}", lambda a, o=options:
                                          F.interpolate(a, **o), x, opset=opset))
    for mode in ("bilinear", "bicubic"):
        found.append(function(f"interpolate_{mode}_antialias", lambda a, m=mode: F.interpolate(
            a, size=(5, 7), mode=m, antialias=True), x))
    found += [
        function("interpolate_linear", lambda a: F.interpolate(
            a, scale_factor=2.5, mode="linear"), (2, 3, 9)),
        function("interpolate_nearest_1d", lambda a: F.interpolate(a, size=14), (2, 3, 9)),
        function("interpolate_trilinear", lambda a: F.interpolate(
            a, scale_factor=2, mode="trilinear"), (1, 3, 4, 5, 6)),
        function("interpolate_trilinear_align", lambda a: F.interpolate(
            a, size=(7, 4, 9), mode="trilinear", align_corners=True), (1, 3, 4, 5, 6)),
        function("interpolate_nearest_3d", lambda a: F.interpolate(
            a, scale_factor=2), (1, 3, 4, 5, 6)),
        function("interpolate_like", lambda a, b: F.interpolate(
            a, size=b.shape[-2:], mode="bilinear"), (1, 3, 4, 5), (1, 2, 9, 11),
            dynamic={"in0": {2: "h", 3: "w"}, "in1": {2: "H", 3: "W"}},
            more=[((1, 3, 6, 3), (1, 2, 7, 14))]),
        function("interpolate_half", lambda a: F.interpolate(
            a, size=(a.shape[2] // 2, a.shape[3] * 2), mode="bicubic"), (1, 3, 8, 5),
            dynamic={"in0": {2: "h", 3: "w"}}, more=[((1, 3, 9, 6),)]),
    ]
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for align in (False, True):
                found.append(function(
                    f"grid_sample_{mode}_{padding}{'_align' if align else ''}",
                    lambda a, g, m=mode, p=padding, c=align: F.grid_sample(
                        a, g, mode=m, padding_mode=p, align_corners=c),
                    (2, 3, 7, 9), unit(2, 5, 6, 2), opset=16))
    found += [
        function("grid_sample_3d", lambda a, g: F.grid_sample(a, g, align_corners=False),
                 (1, 2, 4, 5, 6), unit(1, 3, 4, 5, 3), opset=16),
        function("affine_grid", lambda a, t: F.grid_sample(a, F.affine_grid(
            t, a.shape, align_corners=False), align_corners=False), (2, 3, 6, 7), (2, 2, 3),
            opset=16),
        function("pixel_shuffle", lambda a: F.pixel_shuffle(a, 3), (2, 18, 4, 5)),
        function("pixel_unshuffle", lambda a: F.pixel_unshuffle(a, 2), (2, 3, 8, 6)),
        function("channel_shuffle", lambda a: F.channel_shuffle(a, 2), (2, 6, 4, 5)),
        function("unfold", lambda a: F.unfold(a, (3, 2), dilation=2, padding=1), (2, 3, 8, 10)),
        function("tensor_unfold", lambda a: a.unfold(2, 4, 2).unfold(3, 3, 1), (1, 2, 10, 9)),
    ]
    return found


# ---- padding, pooling, convolution --------------------------------------------------------------


def windows():
    found = []
    for mode, pads in (("constant", (1, 2, 0, 3)), ("reflect", (1, 2, 2, 3)),
                       ("replicate", (1, 2, 0, 3)), ("circular", (1, 2, 2, 3)),
                       ("constant", (-1, 2, -2, 0))):
        name = f"pad_{mode}" + ("_crop" if pads[0] < 0 else "")
        for opset in (11, 17):
            found.append(function(f"{name}_{opset}", lambda a, m=mode, p=pads: F.pad(
                a, p, mode=m), (1, 3, 6, 7), opset=opset))
    found += [function(f"adaptive_{kind}_{size}", lambda a, f=f, s=size: f(a, s), (2, 3, 12, 8))
              for kind, f in (("avg", F.adaptive_avg_pool2d), ("max", F.adaptive_max_pool2d))
              for size in (1, 2, 4, 5)]
    found += [
        function("adaptive_avg_height", lambda a: F.adaptive_avg_pool2d(a, (None, 1)),
                 (2, 3, 12, 8)),
        function("adaptive_avg_1d", lambda a: F.adaptive_avg_pool1d(a, 3), (2, 3, 12)),
        function("adaptive_avg_3d", lambda a: F.adaptive_avg_pool3d(a, (1, 2, 2)),
                 (2, 3, 4, 6, 8)),
        function("avg_pool_ceil", lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True),
                 (2, 3, 12, 9)),
        function("avg_pool_exclude", lambda a: F.avg_pool2d(
            a, 3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 3, 12, 9)),
        function("avg_pool_divisor", lambda a: F.avg_pool2d(
            a, 3, 2, 1, divisor_override=5), (2, 3, 12, 9)),
        function("max_pool_ceil", lambda a: F.max_pool2d(a, 3, 2, 1, ceil_mode=True),
                 (2, 3, 12, 9)),
        function("max_pool_dilated", lambda a: F.max_pool2d(a, 3, 1, 1, dilation=2),
                 (2, 3, 12, 9)),
        function("max_pool_indices", lambda a: F.max_pool2d(a, 2, return_indices=True),
                 (2, 3, 8, 6)),
        function("max_unpool", lambda a: F.max_unpool2d(*F.max_pool2d(
            a, 2, return_indices=True), 2), (2, 3, 8, 6)),
        function("max_pool_1d", lambda a: F.max_pool1d(a, 3, 2), (2, 3, 12)),
        function("max_pool_3d", lambda a: F.max_pool3d(a, 2), (2, 3, 4, 6, 8)),
        function("avg_pool_3d", lambda a: F.avg_pool3d(a, 2, 1, 1), (2, 3, 4, 6, 8)),
        function("avg_pool_1d", lambda a: F.avg_pool1d(a, 3, 2, 1), (2, 3, 12)),
        function("lp_pool", lambda a: F.lp_pool2d(F.relu(a) + 0.1, 2.0, 3, 2), (2, 3, 12, 9)),
    ]
    for dims, size in ((1, (19,)), (2, (9, 11)), (3, (5, 6, 7))):
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        transpose = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
        for groups in (1, 2, 4):
            found.append(layer(f"conv{dims}d_groups{groups}", lambda c=conv, g=groups: c(
                4, 8, 3, stride=2, padding=1, dilation=1, groups=g), (2, 4) + size))
            found.append(layer(f"conv{dims}d_transpose_groups{groups}",
                               lambda c=transpose, g=groups: c(
                                   4, 8, 3, stride=2, padding=1, output_padding=1, groups=g),
                               (2, 4) + size))
        found.append(layer(f"conv{dims}d_dilated", lambda c=conv: c(4, 5, 3, dilation=2,
                           padding=2, bias=False), (2, 4) + size))
        found.append(layer(f"conv{dims}d_transpose_dilated", lambda c=transpose: c(
            4, 5, 3, dilation=2, stride=3), (2, 4) + size))
    for mode in ("reflect", "replicate", "circular"):
        found.append(layer(f"conv2d_{mode}", lambda m=mode: nn.Conv2d(
            3, 4, 5, padding=2, padding_mode=m), (2, 3, 9, 11)))
    found += [
        layer("conv2d_same", lambda: nn.Conv2d(3, 4, (4, 3), padding="same", dilation=2),
              (2, 3, 9, 11)),
        layer("conv2d_even", lambda: nn.Conv2d(3, 4, (4, 2), padding=(2, 0), stride=(1, 3)),
              (2, 3, 9, 11)),
        layer("conv2d_depthwise7", lambda: nn.Conv2d(6, 12, 7, padding=3, groups=6),
              (2, 6, 9, 11)),
        function("conv2d_dynamic_weight", lambda a, w: F.conv2d(a, w, padding=1),
                 (2, 3, 9, 11), (4, 3, 3, 3)),
        function("conv2d_dynamic_depthwise", lambda a, w: F.conv2d(
            a.reshape(1, 6, 9, 11), w.reshape(6, 1, 3, 3), groups=6, padding=1),
            (2, 3, 9, 11), (2, 3, 3, 3)),
        function("conv_transpose2d_dynamic_weight", lambda a, w: F.conv_transpose2d(
            a, w, stride=2), (2, 3, 9, 11), (3, 4, 3, 3)),
        function("conv2d_tiny_picture", lambda a, w: F.conv2d(a, w, padding=1),
                 (1, 3, 1, 1), (4, 3, 3, 3)),
    ]
    return found


# ---- norms --------------------------------------------------------------------------------------


def norms():
    x = (2, 8, 6, 5)
    found = [
        layer("group_norm", lambda: nn.GroupNorm(4, 8), x),
        layer("group_norm_1", lambda: nn.GroupNorm(1, 8), x),
        layer("group_norm_plain", lambda: nn.GroupNorm(2, 8, affine=False), x),
        layer("group_norm_dynamic", lambda: nn.GroupNorm(4, 8), x, more=[((3, 8, 4, 9),)],
              dynamic={"in0": {0: "n", 2: "h", 3: "w"}}),
        layer("group_norm_3d", lambda: nn.GroupNorm(4, 8), (2, 8, 6)),
        layer("layer_norm_last", lambda: nn.LayerNorm(5), x),
        layer("layer_norm_three", lambda: nn.LayerNorm((8, 6, 5)), x),
        layer("layer_norm_plain", lambda: nn.LayerNorm(5, elementwise_affine=False), x),
        layer("layer_norm_channels", lambda: Channels(nn.LayerNorm(8)), x),
        layer("instance_norm", lambda: nn.InstanceNorm2d(8), x),
        layer("instance_norm_affine", lambda: nn.InstanceNorm2d(8, affine=True), x),
        layer("instance_norm_stats", lambda: nn.InstanceNorm2d(
            8, affine=True, track_running_stats=True), x),
        layer("instance_norm_1d", lambda: nn.InstanceNorm1d(8, affine=True), (2, 8, 9)),
        layer("instance_norm_3d", lambda: nn.InstanceNorm3d(4), (2, 4, 3, 4, 5)),
        layer("batch_norm_1d", lambda: nn.BatchNorm1d(8), (6, 8)),
        layer("batch_norm_3d", lambda: nn.BatchNorm3d(4), (2, 4, 3, 4, 5)),
        layer("batch_norm_plain", lambda: nn.BatchNorm2d(8, affine=False), x),
        layer("local_response", lambda: nn.LocalResponseNorm(5, 0.1, 0.75, 2.0), x),
        layer("local_response_even", lambda: nn.LocalResponseNorm(4), x),
        layer("weight_norm", lambda: nn.utils.weight_norm(nn.Conv2d(8, 4, 3)), x),
        layer("spectral_norm", lambda: nn.utils.spectral_norm(nn.Conv2d(8, 4, 3)), x),
        function("l2_normalize", lambda a: F.normalize(a, dim=1), x),
        function("l2_normalize_eps", lambda a: F.normalize(a * 0, dim=-1), x),
        function("rms_norm", lambda a: a * torch.rsqrt(
            a.pow(2).mean(-1, keepdim=True) + 1e-6), x),
        function("global_response", lambda a: a * (a.norm(p=2, dim=(2, 3), keepdim=True) / (
            a.norm(p=2, dim=(2, 3), keepdim=True).mean(1, keepdim=True) + 1e-6)), x),
        function("mean_std", lambda a: (a - a.mean((2, 3), keepdim=True)) / (
            a.std((2, 3), keepdim=True) + 1e-5), x),
        function("mean_var_layer_norm", lambda a: (a - a.mean(1, keepdim=True)) / torch.sqrt(
            (a - a.mean(1, keepdim=True)).pow(2).mean(1, keepdim=True) + 1e-6), x),
        function("var_biased", lambda a: a.var(dim=1, unbiased=False), x),
        function("std_all", lambda a: a.std(), x),
        function("std_mean", lambda a: torch.std_mean(a, dim=(1, 2)), x),
        function("var_mean", lambda a: torch.var_mean(a, dim=1, unbiased=False), x),
        function("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=1), x, x),
        function("pairwise_distance", lambda a, b: F.pairwise_distance(a, b), (4, 7), (4, 7)),
    ]
    for p in (0, 1, 2, 3, math.inf, -math.inf, "fro"):
        found.append(function(f"norm_{p}", lambda a, p=p: torch.norm(a, p=p, dim=1), x))
    return found


class Channels(nn.Module):
    """A norm of the last dimension, applied to channels."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


# ---- indexing, sorting, logic -------------------------------------------------------------------


def put(a, i, v):
    b = a.clone()
    b[i] = v
    return b


def put_column(a, v):
    b = a.clone()
    b[:, 1:4, ::2] = v
    return b


def put_mask(a, m):
    b = a.clone()
    b[m] = 0.5
    return b


def indexing():
    x = (2, 5, 6, 7)
    rows = integers(5, 4)
    found = [
        function("index_rows", lambda a, i: a[:, i], x, rows),
        function("index_two", lambda a, i, j: a[:, i, j], x, rows, rows),
        function("index_split", lambda a, i, j: a[:, i, :, j], x, rows, rows),
        function("index_broadcast", lambda a, i, j: a[i, :, j], x, integers(2, 3, 1), rows),
        function("index_negative", lambda a, i: a[:, i - 5], x, rows),
        function("index_mask", lambda a: a[a > 0.3], x),
        function("index_mask_rows", lambda a: a[a[:, 0] > 0], (9, 4)),
        function("index_select", lambda a, i: torch.index_select(a, 2, i), x, rows),
        function("index_put", put, (6, 4), integers(6, 3), (3, 4)),
        function("index_put_add", lambda a, i, v: a.clone().index_put(
            (i,), v, accumulate=True), (6, 4), integers(6, 5), (5, 4)),
        function("index_put_slice", put_column, (4, 6, 8), (4, 3, 4)),
        function("index_put_mask", put_mask, (4, 6), mask(4, 6)),
        function("index_add", lambda a, i, v: a.index_add(1, i, v), (2, 5, 3), rows, (2, 4, 3)),
        function("index_copy", lambda a, v: a.index_copy(0, torch.tensor([3, 1]), v),
                 (5, 4), (2, 4)),
        function("index_fill", lambda a, i: a.index_fill(1, i, 2.5), (2, 5, 3), rows),
        function("gather", lambda a, i: a.gather(2, i), (2, 5, 6), integers(6, 2, 5, 3)),
        function("gather_smaller", lambda a, i: a.gather(1, i), (2, 5, 6), integers(5, 2, 3, 4)),
        function("scatter", lambda a, v: a.scatter(1, torch.stack([torch.randperm(
            5, generator=torch.Generator().manual_seed(k))[:3] for k in range(4)]), v),
            (4, 5), (4, 3)),
        function("scatter_value", lambda a, i: a.scatter(1, i, 1.5), (4, 5), integers(5, 4, 3)),
        function("scatter_add", lambda a, i, v: a.scatter_add(1, i, v),
                 (4, 5), integers(5, 4, 6), (4, 6)),
        function("scatter_reduce_amax", lambda a, i, v: a.scatter_reduce(1, i, v, "amax"),
                 (4, 5), integers(5, 4, 6), (4, 6)),
        function("scatter_reduce_prod", lambda a, i, v: a.scatter_reduce(1, i, v, "prod"),
                 (4, 5), integers(5, 4, 6), (4, 6)),
        function("masked_fill", lambda a, m: a.masked_fill(m, float("-inf")).softmax(-1),
                 (3, 6), lambda g: torch.eye(3, 6) > 0),
        function("masked_fill_value", lambda a, m: a.masked_fill(m, -1e9), (3, 6), mask(3, 6)),
        function("masked_select", lambda a, m: torch.masked_select(a, m), (3, 6), mask(3, 6)),
        function("masked_scatter", lambda a, m, v: a.masked_scatter(m, v), (3, 6), mask(3, 6),
                 (3, 6)),
        function("where", lambda m, a, b: torch.where(m, a, b), mask(3, 1), (3, 6), (1, 6)),
        function("where_scalar", lambda a: torch.where(a > 0, a, torch.zeros(())), x),
        function("where_index", lambda a: torch.where(a > 0.8), (3, 6)),
        function("nonzero", lambda a: torch.nonzero(a > 0.5), (3, 6)),
        function("nonzero_none", lambda a: torch.nonzero(a > 50), (3, 6)),
        function("nonzero_sum", lambda a: a[torch.nonzero(a[:, 0] > 0)[:, 0]].sum(0), (9, 6)),
        function("topk", lambda a: torch.topk(a, 3, dim=1), x),
        function("topk_smallest", lambda a: torch.topk(a, 4, dim=-1, largest=False), x),
        function("topk_of_shape", lambda a: torch.topk(a, min(a.shape[1], 4), dim=1)[0], x,
                 dynamic={"in0": {1: "n"}}, more=[((2, 9, 6, 7),)]),
        function("sort", lambda a: torch.sort(a, dim=1), x),
        function("sort_descending", lambda a: torch.sort(a, dim=-1, descending=True), x),
        function("argsort", lambda a: torch.argsort(a, dim=2), x),
        function("argmax", lambda a: (a.argmax(1), a.argmin(-1), a.argmax()), x),
        function("max_dim", lambda a: a.max(dim=1), x),
        function("min_dim", lambda a: a.min(dim=2, keepdim=True), x),
        function("max_all", lambda a: (a.max(), a.min(), a.sum(), a.mean(), a.prod()), (2, 3, 4)),
        function("amax_amin", lambda a: (a.amax((1, 3)), a.amin(2, keepdim=True)), x),
        function("unique", lambda a: torch.unique(a, return_inverse=True, return_counts=True),
                 integers(6, 4, 5)),
        function("unique_rows", lambda a: torch.unique(a, dim=0), integers(2, 9, 2)),
        function("cumsum", lambda a: a.cumsum(1), x),
        function("cumsum_int", lambda a: (a > 0).cumsum(1), x),
        function("cumsum_mask_positions", lambda m: (
            m.cumsum(1, dtype=torch.float32), m.cumsum(2, dtype=torch.float32)), mask(2, 5, 6)),
        function("tril_triu", lambda a: (a.tril(), a.triu(1), a.tril(-2)), (2, 5, 6)),
        function("one_hot", lambda i: F.one_hot(i, 7), integers(7, 3, 4)),
        function("embedding", lambda i: F.embedding(
            i, torch.arange(24.0).reshape(8, 3)), integers(8, 2, 5)),
        layer("embedding_module", lambda: nn.Embedding(9, 4, padding_idx=0), integers(9, 2, 5)),
        layer("embedding_bag", lambda: nn.EmbeddingBag(9, 4, mode="mean"), integers(9, 2, 5),
              opset=11),
        function("roll", lambda a: torch.roll(a, (2, -3), (2, 3)), x),
        function("roll_flat", lambda a: torch.roll(a, 5), (3, 4)),
        function("flip", lambda a: a.flip(1, 3), x),
        function("rot90", lambda a: torch.rot90(a, 1, (2, 3)), x),
        function("slice_step", lambda a: a[:, ::2, 1::3, -5:-1], x),
        function("narrow_chunk", lambda a: a.narrow(2, 1, 4).chunk(3, 3), x),
        function("split_sizes", lambda a: a.split((1, 3, 1), 1), x),
        function("unbind", lambda a: a.unbind(1), (2, 3, 4)),
        function("stack", lambda a, b: torch.stack((a, b), 2), (2, 3, 4), (2, 3, 4)),
        function("repeat_interleave", lambda a: a.repeat_interleave(3, 1), (2, 3, 4)),
        function("repeat_interleave_each", lambda a: a.repeat_interleave(
            torch.tensor([1, 2, 3]), 1), (2, 3, 4)),
        function("repeat_tile", lambda a: (a.repeat(2, 1, 3), a.tile(2, 2)), (2, 3, 4)),
        function("expand_as", lambda a, b: a.expand_as(b) + b, (1, 3, 1), (2, 3, 4)),
        function("meshgrid", lambda a: torch.stack(torch.meshgrid(
            torch.arange(a.shape[2]), torch.arange(a.shape[3]), indexing="ij"), -1).float()
            + a[0, 0, 0, 0], x, dynamic={"in0": {2: "h", 3: "w"}}, more=[((2, 5, 3, 11),)]),
        function("linspace", lambda a: a + torch.linspace(-1, 1, a.shape[-1]), x,
                 dynamic={"in0": {3: "w"}}, more=[((2, 5, 6, 4),)]),
        function("arange_float", lambda a: a + torch.arange(
            0.5, a.shape[-1], 1.0), x, dynamic={"in0": {3: "w"}}, more=[((2, 5, 6, 4),)]),
        function("diagonal", lambda a: (a.diagonal(0, 1, 2), a.diagonal(1, -2, -1)), (2, 5, 6)),
        function("eye", lambda a: a + torch.eye(a.shape[-1]), (2, 5, 5),
                 dynamic={"in0": {1: "n", 2: "n"}}, more=[((2, 4, 4),)]),
        function("full_like", lambda a: torch.full_like(a, 2) + torch.ones_like(a) * a
                 + torch.zeros(a.shape[0], 1, 1, 1), x, dynamic={"in0": {0: "n"}},
                 more=[((3, 5, 6, 7),)]),
        function("searchsorted_by_hand", lambda a: (a[:, None] > torch.arange(
            -2.0, 2.0, 0.5)).sum(1), (9,)),
        function("bincount_by_hand", lambda i: F.one_hot(i, 6).sum(0), integers(6, 20)),
        function("bool_ops", lambda a, b: ((a & b), (a | ~b), (a ^ b), a.any(1), a.all(1)),
                 mask(3, 4), mask(3, 4)),
        function("isnan_isinf", lambda a: (torch.isnan(a / a), torch.isinf(1 / a)),
                 lambda g: torch.tensor([0.0, 1.0, -0.0, 2.0])),
        function("numel_shape", lambda a: a.reshape(a.shape[0], -1) / a.shape[1] + a.dim(), x,
                 dynamic={"in0": {0: "n", 1: "c"}}, more=[((3, 4, 6, 7),)]),
        function("squeeze", lambda a: (a.squeeze(), a.squeeze(1), a.unsqueeze(-1)),
                 (2, 1, 3, 1)),
        function("movedim", lambda a: (a.movedim(1, 3), a.swapaxes(0, 2)), x),
        function("flatten_unflatten", lambda a: a.flatten(1, 2).unflatten(1, (6, 5)), x),
        function("view_as", lambda a, b: a.view_as(b) * b, (2, 6), (3, 4)),
        function("select_last", lambda a: a[..., -1] + a[:, -1, 0][..., None, None].sum(), x),
    ]
    return found


# ---- arithmetic ---------------------------------------------------------------------------------


def arithmetic():
    x, y = (2, 5, 6), (5, 1)
    found = []
    unary = """relu relu6 elu selu celu gelu silu mish softplus softsign tanhshrink hardtanh hardswish
    hardsigmoid hardshrink softshrink logsigmoid leaky_relu sigmoid tanh""".split()
    for name in unary:
        found.append(function(f"f_{name}", getattr(F, name), x))
    found.append(function("f_gelu_tanh", lambda a: F.gelu(a, approximate="tanh"), x))
    for name in """abs neg exp expm1 sin cos tan asin acos atan sinh cosh floor ceil round sign trunc
    frac square erf reciprocal logit isfinite""".split():
        f = getattr(torch, name)
        found.append(function(f"torch_{name}", lambda a, f=f: f(a * 0.4), x))
    for name in "log log2 log10 log1p sqrt rsqrt acosh asinh atanh lgamma".split():
        f = getattr(torch, name)
        found.append(function(f"torch_{name}", lambda a, f=f, n=name: f(
            a + 1 if n == "acosh" else a * 0.8), positive(2, 5, 6)))
    for name in "add sub mul true_divide floor_divide remainder fmod maximum minimum atan2".split():
        f = getattr(torch, name)
        found.append(function(f"torch_{name}", lambda a, b, f=f: f(a * 3, b), x, y))
    for name in "add sub mul floor_divide remainder fmod maximum minimum true_divide".split():
        f = getattr(torch, name)
        found.append(function(f"int_{name}", lambda a, b, f=f: f(a, b),
                              integers(9, 2, 5, 6, low=-9), integers(5, 5, 1, low=1)))
    for name in "eq ne lt le gt ge".split():
        f = getattr(torch, name)
        found.append(function(f"torch_{name}", lambda a, b, f=f: f(a.round(), b.round()), x, y))
    found += [
        function("outside_the_domain", lambda a: (a.asin(), a.acos(), a.sqrt(), a.rsqrt(), a.log(),
                                                  a.log2(), a.pow(0.5),
                                                  a.log1p(), 1 / a, a / 0 / a),
                 lambda g: torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0,
                                         float("inf"), float("-inf"), float("nan")]), sets=1),
        function("extremes", lambda a: (a.exp(), a.sigmoid(), a.tanh(), F.softplus(a), F.gelu(a),
                                        F.silu(a), F.mish(a), F.elu(a),
                                        F.hardswish(a), a.clamp(-5, 5), F.relu(a), a.abs(),
                                        a.floor(), a.round(), a.sign(), a.erf(),
                                        F.logsigmoid(a), F.leaky_relu(a), F.softsign(a),
                                        F.gelu(a, approximate="tanh"), F.selu(a), F.celu(a)),
                 lambda g: torch.tensor([-1e30, -200.0, -88.0, -20.0, -0.0, 20.0, 88.0, 200.0, 1e30,
                                         float("inf"), float("-inf"), float("nan")]), sets=1),
        function("softmax_extremes", lambda a: (a.softmax(1), F.log_softmax(a, 1),
                                                a.logsumexp(1), a.max(1)[0], a.argmax(1)),
                 lambda g: torch.tensor([[-1e30, 0.0, 1.0], [float("-inf"), 0.0, 1.0],
                                         [300.0, 500.0, 1000.0], [-1e30, -1e30, -1e30],
                                         [1e30, 1e30, -1e30], [2.0, float("nan"), 1.0]]), sets=1),
        function("int_negative_divisor", lambda a, b: (torch.floor_divide(a, b), a % b),
                 integers(9, 4, 6, low=-9), integers(0, 4, 1, low=-4)),
        function("pow", lambda a, b: (a.pow(3), a.abs().pow(b), 2.0 ** a, a ** 2), x, y),
        function("pow_int", lambda a: (a ** 2, a.float() ** 0.5), integers(9, 4, 5)),
        function("clamp", lambda a: (a.clamp(-0.5, 0.7), a.clamp(min=0), a.clamp(max=0.3)), x),
        function("clamp_tensor", lambda a, b: torch.clamp(a, b, b + 1), x, y),
        function("clamp_int", lambda a: a.clamp(2, 5), integers(9, 4, 5)),
        function("logsumexp", lambda a: (a.logsumexp(1), a.logsumexp((0, 2))), x),
        function("log_softmax", lambda a: (F.log_softmax(a, 1), F.softmax(a, 0),
                                           F.softmin(a, -1)), x),
        function("softmax_old", lambda a: (F.softmax(a, 1), F.softmax(a, -1)), x, opset=11),
        function("glu", lambda a: F.glu(a, 1), (2, 6, 4)),
        layer("prelu", lambda: nn.PReLU(5), x),
        layer("prelu_one", lambda: nn.PReLU(), x),
        function("addcmul", lambda a, b: torch.addcmul(a, a, b, value=0.3), x, y),
        function("addcdiv", lambda a, b: torch.addcdiv(a, a, b.abs() + 1, value=0.3), x, y),
        function("lerp", lambda a, b: torch.lerp(a, b, 0.3), x, y),
        function("cdist", lambda a, b: torch.cdist(a, b), (2, 5, 6), (2, 4, 6)),
        function("cdist_1", lambda a, b: torch.cdist(a, b, p=1), (2, 5, 6), (2, 4, 6)),
        function("baddbmm", lambda a, b, c: torch.baddbmm(a, b, c, beta=0.5, alpha=2),
                 (2, 3, 5), (2, 3, 4), (2, 4, 5)),
        function("addmm", lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2),
                 (5,), (3, 4), (4, 5)),
        function("addbmm_by_hand", lambda a, b: torch.bmm(a, b).sum(0), (2, 3, 4), (2, 4, 5)),
        function("matmul_vector", lambda a, b: (a @ b, b @ a.transpose(1, 2)), (2, 3, 4), (4,)),
        function("matmul_broadcast", lambda a, b: a @ b, (3, 1, 4, 5), (2, 5, 6)),
        function("dot_outer", lambda a, b: (torch.dot(a, b), torch.outer(a, b)), (6,), (6,)),
        function("mv", lambda a, b: torch.mv(a, b), (3, 6), (6,)),
        function("tensordot", lambda a, b: torch.tensordot(a, b, dims=([1, 2], [0, 1])),
                 (3, 4, 5), (4, 5, 2)),
        function("kron_by_hand", lambda a, b: torch.einsum("ij,kl->ikjl", a, b), (2, 3), (3, 2)),
        layer("bilinear", lambda: nn.Bilinear(4, 5, 3), (6, 4), (6, 5)),
        function("einsum_attention", lambda q, k: torch.einsum("bhid,bhjd->bhij", q, k),
                 (2, 3, 5, 4), (2, 3, 6, 4)),
        function("einsum_three", lambda a, b, c: torch.einsum("bij,bjk,kl->bil", a, b, c),
                 (2, 3, 4), (2, 4, 5), (5, 6)),
        function("einsum_ellipsis", lambda a, b: torch.einsum("...ij,...jk->...ik", a, b),
                 (2, 3, 3, 4), (3, 4, 5)),
        function("einsum_trace", lambda a: torch.einsum("bii->b", a), (2, 4, 4)),
        function("einsum_outer_sum", lambda a, b: torch.einsum("bchw,bkhw->bck", a, b),
                 (2, 3, 4, 5), (2, 6, 4, 5)),
        function("sum_dims", lambda a: (a.sum((0, 2)), a.mean((1, 2), keepdim=True)), x),
        function("sum_bool", lambda a: (a > 0).sum(1), x),
        function("sum_dtype", lambda a: (a > 0).float().mean(1), x),
        function("prod_dim", lambda a: a.prod(1), x),
        function("cumprod_by_hand", lambda a: torch.exp(torch.cumsum(torch.log(a), 1)),
                 positive(2, 5)),
        function("det", lambda a: torch.det(a), (3, 4, 4)),
        function("linalg_norm", lambda a: (torch.linalg.norm(a, dim=(1, 2)),
                                           torch.linalg.vector_norm(a, 3, dim=2)), x),
        function("cross", lambda a, b: torch.cross(a, b, dim=1), (4, 3, 2), (4, 3, 2)),
        function("trace_by_hand", lambda a: torch.diagonal(a, 0, 1, 2).sum(-1), (2, 4, 4)),
        function("type_casts", lambda a: ((a * 50).to(torch.int8),
                                          (a * 50).int(), a.bool(), a.long().float()), x),
        function("bit_shift", lambda a: (a << 2, a >> 1), integers(50, 4, 5)),
        function("bitwise", lambda a, b: ~(a > b), x, y),
        function("hypot_sign", lambda a, b: torch.sqrt(a * a + b * b) * torch.sign(a), x, y),
        function("fake_quantize", lambda a: torch.fake_quantize_per_tensor_affine(
            a, 0.05, 3, 0, 255), x),
        function("fake_quantize_channels", lambda a: torch.fake_quantize_per_channel_affine(
            a, torch.tensor([0.05, 0.02, 0.1, 0.07, 0.03]),
            torch.zeros(5, dtype=torch.int32), 1, -128, 127), x),
    ]
    return found


# ---- zero sizes ---------------------------------------------------------------------------------


def empty():
    any_n = {"in0": {0: "n"}}
    found = []

    def case(name, build, *dims):
        found.append(layer("empty_" + name, build, (3,) + dims, dynamic=any_n, sets=1,
                           more=[((0,) + dims,), ((2,) + dims,)]))

    def plain(name, f, *dims):
        case(name, lambda: Function(f), *dims)
    case("linear", lambda: nn.Linear(4, 5), 4)
    case("linear_3d", lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), 6, 4)
    case("conv", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
                                       nn.Conv2d(4, 4, 1)), 3, 6, 6)
    case("conv_transpose", lambda: nn.ConvTranspose2d(3, 4, 2, stride=2), 3, 6, 6)
    case("pool", lambda: nn.MaxPool2d(2), 3, 6, 6)
    case("mean", lambda: nn.AdaptiveAvgPool2d(1), 3, 6, 6)
    case("layer_norm", lambda: nn.LayerNorm(4), 6, 4)
    case("group_norm", lambda: nn.GroupNorm(2, 4), 4, 5, 5)
    plain("softmax", lambda a: a.softmax(-1), 4)
    plain("softmax_over", lambda a: a.softmax(0), 4)
    plain("sum_over", lambda a: (a.sum(0), a.sum(1), a.cumsum(0)), 4)
    plain("matmul", lambda a: a @ a.transpose(-1, -2), 4, 5)
    plain("gram", lambda a: a.transpose(0, 1) @ a, 4)
    plain("concat", lambda a: torch.cat((a, torch.ones(2, 4), a * 2)), 4)
    plain("sort", lambda a: (a.sort(-1)[0], a.topk(2, 1)[1]), 4)
    plain("sort_over", lambda a: a.sort(0)[0], 4)
    plain("nonzero", lambda a: a[torch.nonzero(a[:, 0] > 0).squeeze(1)], 4)
    plain("index", lambda a: torch.ones(5, 2)[a[:, 0].abs().long()], 4)
    plain("resize", lambda a: F.interpolate(a, scale_factor=2, mode="bilinear"), 3, 4, 4)
    plain("slice", lambda a: (a[1:], a[:, :0], a.flip(0)), 4)
    plain("where", lambda a: torch.where(a > 0, a, a * 0), 4)
    plain("pad", lambda a: F.pad(a, (1, 1, 0, 2)), 4)
    plain("reshape", lambda a: a.reshape(-1, 2).sum(1).unsqueeze(0), 4)
    plain("expand", lambda a: a[:, None].expand(-1, 3, -1) * torch.ones(3, 1), 4)
    return found


def cases():
    import zoo_attention
    return (resizing() + windows() + norms() + indexing() + arithmetic() + empty()
            + zoo_attention.cases())
