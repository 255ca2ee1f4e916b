"""Writes the cases beside it: layers, weights, inputs, and what PyTorch makes of them.

    python3 make_cases.py [nonlocal_mnist.safetensors]

With the file of that name from ../shared it prints what its network makes of an input, for
tests/suites/test_layer_networks.c.

Needs torch and torchvision (Debian's python3-torch 1.13 and python3-torchvision 0.14 wrote what is here). Each case is a network of PyTorch's own
modules, or plain tensor code where PyTorch has no such module; its state_dict are the weights.
"""
import json
import math
import os
import struct
import sys

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

FILES = {}


def rounded(tensor):
    return torch.round(tensor * 256) / 256


def numbers(tensor):
    names = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}
    data = [float(f"{v:.7g}") if isinstance(v, float) else int(v) for v in tensor.flatten().tolist()]
    return {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data": data}


def fill(module):
    """Weights that are exact in few digits, and statistics that are not the default."""
    for name, tensor in module.state_dict().items():
        if "num_batches" in name:
            continue
        values = torch.randn(tensor.shape) * 0.5
        if name.endswith("running_var"):
            values = torch.rand(tensor.shape) + 0.5
        tensor.copy_(rounded(values))
    return module.eval()


def rand(*shape):
    return rounded(torch.randn(*shape))


def case(file, name, layers, x, function, weights=None, outputs=None, **more):
    """function(x...) gives the outputs; weights: a module, or tensors by name. fixed=True: needs to know the
    input's height and width."""
    inputs = x if isinstance(x, dict) else {"x": x}
    if isinstance(weights, nn.Module):
        weights = {k: v for k, v in weights.state_dict().items() if "num_batches" not in k}
    with torch.no_grad():
        results = function(*inputs.values())
    if not isinstance(results, tuple):
        results = (results,)
    entry = {"name": name, "layers": layers, **more}
    entry["weights"] = {k: numbers(v) for k, v in (weights or {}).items()}
    entry["inputs"] = {k: numbers(v) for k, v in inputs.items()}
    entry["outputs"] = {k: numbers(v) for k, v in zip(outputs or ["y"], results)}
    FILES.setdefault(file, []).append(entry)


def named(**modules):
    """A module with these parts; dots in names are written as __."""
    root = nn.Module()
    for name, part in modules.items():
        at = root
        *folders, last = name.split("__")
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, nn.Module())
            at = getattr(at, folder)
        if isinstance(part, torch.Tensor):
            at.register_parameter(last, nn.Parameter(part))
        else:
            at.add_module(last, part)
    fill(root)
    return root


def convolutions():
    f = "conv"
    m = named(conv1=nn.Conv2d(2, 4, 3, 2, 1, bias=False), bn1=nn.BatchNorm2d(4))
    case(f, "batch_norm_and_relu", [{"conv": "conv1", "stride": 2, "padding": 1, "norm": "bn1", "act": "relu"}],
         rand(2, 2, 6, 5), lambda x: F.relu(m.bn1(m.conv1(x))), m)
    m = named(conv=nn.Conv2d(4, 6, (2, 3), padding="same", dilation=(1, 2), groups=2))
    case(f, "same_padding_with_an_even_kernel",
         [{"conv": "conv", "padding": "same", "dilation": [1, 2], "groups": 2}], rand(2, 4, 5, 6), m.conv, m)
    m = named(conv=nn.Conv2d(2, 3, 3, 2))
    case(f, "same_padding_with_a_stride", [{"conv": "conv", "stride": 2, "padding": "same"}],
         rand(1, 2, 6, 5), lambda x: m.conv(F.pad(x, (1, 1, 0, 1))), m)
    m = named(conv=nn.Conv2d(1, 2, 3))
    case(f, "padding_before_and_after", [{"conv": "conv", "padding": [0, 2, 1, 0]}], rand(1, 1, 4, 4),
         lambda x: m.conv(F.pad(x, (2, 0, 0, 1))), m)
    case(f, "padding_for_each_axis", [{"conv": "conv", "padding": [0, 2], "stride": [2, 1]}], rand(1, 1, 5, 4),
         lambda x: F.conv2d(x, m.conv.weight, m.conv.bias, (2, 1), (0, 2)), m)
    m = named(conv=nn.Conv1d(3, 4, 3, padding=1))
    case(f, "one_dimension", [{"conv": "conv", "padding": 1}], rand(2, 3, 7), m.conv, m)
    m = named(conv=nn.Conv3d(1, 2, 2))
    case(f, "three_dimensions", [{"conv": "conv"}], rand(1, 1, 3, 4, 3), m.conv, m)
    m = named(conv=nn.Conv2d(2, 4, 1), gn=nn.GroupNorm(2, 4), act=nn.PReLU(4))
    case(f, "other_norm_and_activation_with_weights",
         [{"conv": "conv", "norm": {"group_norm": "gn", "groups": 2}, "act": {"prelu": "act"}}],
         rand(2, 2, 3, 3), lambda x: m.act(m.gn(m.conv(x))), m)
    m = named(conv_dw=nn.Conv2d(3, 3, 3, padding=1, groups=3))
    case(f, "depthwise", [{"depthwise_conv": "conv_dw", "padding": "same", "act": "silu"}], rand(2, 3, 4, 5),
         lambda x: F.silu(m.conv_dw(x)), m)
    m = named(conv_dw=nn.Conv2d(3, 6, 3, groups=3))
    case(f, "depthwise_with_a_multiplier", [{"depthwise_conv": "conv_dw"}], rand(2, 3, 4, 5), m.conv_dw, m)
    m = named(block__depthwise=nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False),
              block__pointwise=nn.Conv2d(3, 5, 1), block__bn=nn.BatchNorm2d(5))
    case(f, "separable", [{"separable_conv": "block", "padding": 1, "norm": "bn"}], rand(1, 3, 4, 4),
         lambda x: m.block.bn(m.block.pointwise(m.block.depthwise(x))), m)
    m = named(up=nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1))
    case(f, "transposed", [{"conv_transpose": "up", "stride": 2, "padding": 1, "output_padding": 1}],
         rand(1, 2, 3, 4), m.up, m)
    m = named(up=nn.ConvTranspose2d(4, 4, (3, 2), (2, 1), groups=2, dilation=(1, 2), bias=False))
    case(f, "transposed_in_groups", [{"conv_transpose": "up", "stride": [2, 1], "dilation": [1, 2], "groups": 2}],
         rand(1, 4, 3, 3), m.up, m)


def linears():
    f = "linear"
    m = named(fc=nn.Linear(4, 3))
    case(f, "of_a_matrix", [{"linear": "fc", "act": "relu"}], rand(3, 4), lambda x: F.relu(m.fc(x)), m)
    case(f, "of_tokens", [{"linear": "fc"}], rand(2, 5, 4), m.fc, m)
    m = named(fc=nn.Linear(4, 3, bias=False), bn=nn.BatchNorm1d(3))
    case(f, "without_bias_before_batch_norm", [{"linear": "fc", "norm": "bn"}], rand(3, 4), lambda x: m.bn(m.fc(x)), m)
    m = named(word_embeddings=nn.Embedding(6, 3))
    case(f, "embedding", [{"embedding": "word_embeddings"}], torch.tensor([[0, 5, 2], [1, 1, 4]]), m.word_embeddings, m)
    m = named(cls_token=torch.zeros(1, 1, 3), pos_embed=torch.zeros(1, 6, 3))
    case(f, "class_token", [{"class_token": "cls_token"}], rand(2, 4, 3),
         lambda x: torch.cat([m.cls_token.expand(2, -1, -1), x], 1), {"cls_token": m.cls_token.data})
    case(f, "position_embedding_cropped", [{"position_embedding": "pos_embed", "crop": True}], rand(2, 4, 3),
         lambda x: x + m.pos_embed[:, :4], {"pos_embed": m.pos_embed.data})
    m = named(token=torch.zeros(3), pos=torch.zeros(5, 3))
    case(f, "token_and_positions_of_fewer_dimensions", [{"class_token": "token"}, {"position_embedding": "pos"}],
         rand(2, 4, 3), lambda x: torch.cat([m.token.expand(2, 1, 3), x], 1) + m.pos, m)
    m = named(gamma=torch.zeros(3), beta=torch.zeros(4))
    case(f, "multiplied_by_channels", [{"mul_weight": "gamma", "channels": "first"}], rand(2, 3, 2, 4),
         lambda x: x * m.gamma[:, None, None], {"gamma": m.gamma.data})
    case(f, "output_named_as_a_weight", [{"mul_weight": "beta"}, {"add_weight": "beta"}], rand(2, 3, 4),
         lambda x: x * m.beta + m.beta, {"beta": m.beta.data}, ["beta"])
    case(f, "input_named_as_a_weight", [{"mul_weight": "beta"}, {"add": "beta"}], {"beta": rand(2, 3, 4)},
         lambda x: x * m.beta + x, {"beta": m.beta.data})
    case(f, "added", [{"add_weight": "beta"}], rand(2, 3, 4), lambda x: x + m.beta, {"beta": m.beta.data})
    m = named(query=torch.zeros(1, 3, 2))
    case(f, "parameter", [{"parameter": "query", "expand": True}], rand(2, 5, 2),
         lambda x: m.query.expand(2, -1, -1).clone(), m)


def norms():
    f = "norm"
    m = named(bn=nn.BatchNorm2d(3))
    case(f, "batch", [{"batch_norm": "bn"}], rand(2, 3, 2, 3), m.bn, m)
    case(f, "batch_of_a_matrix", [{"batch_norm": "bn", "eps": 0.25}], rand(4, 3),
         lambda x: F.batch_norm(x, m.bn.running_mean, m.bn.running_var, m.bn.weight, m.bn.bias, eps=0.25), m)
    m = named(bn=nn.BatchNorm2d(3, affine=False))
    case(f, "batch_without_weights", [{"batch_norm": "bn"}], rand(2, 3, 2, 3), m.bn, m)
    m = named(norm=nn.LayerNorm(4, eps=1e-6))
    case(f, "layer_of_a_picture", [{"layer_norm": "norm", "channels": "first", "eps": 1e-6}], rand(2, 4, 2, 3),
         lambda x: m.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), m)
    case(f, "layer_of_tokens", [{"layer_norm": "norm"}], rand(2, 3, 4),
         lambda x: F.layer_norm(x, (4,), m.norm.weight, m.norm.bias), m)
    m = named(norm=nn.LayerNorm((3, 4)))
    case(f, "layer_of_two_dimensions", [{"layer_norm": "norm"}], rand(2, 3, 4), m.norm, m)
    case(f, "layer_without_weights", [{"layer_norm": True, "affine": False}], rand(2, 3, 4),
         lambda x: F.layer_norm(x, (4,)))
    w = rand(4)

    def rms(x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w
    case(f, "rms", [{"rms_norm": "norm"}], rand(2, 3, 4), rms, {"norm.weight": w})
    case(f, "rms_of_a_picture", [{"rms_norm": "norm", "channels": "first"}], rand(2, 4, 2, 3),
         lambda x: rms(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), {"norm.weight": w})
    m = named(norm=nn.GroupNorm(2, 4))
    case(f, "group", [{"group_norm": "norm", "groups": 2}], rand(2, 4, 3, 2), m.norm, m)
    case(f, "group_without_weights", [{"group_norm": True, "groups": 4, "affine": False}], rand(2, 4, 3, 2),
         lambda x: F.group_norm(x, 4))
    case(f, "instance_without_weights", [{"instance_norm": True, "affine": False}], rand(2, 3, 3, 2), F.instance_norm)
    m = named(norm=nn.InstanceNorm2d(3, affine=True))
    case(f, "instance", [{"instance_norm": "norm"}], rand(2, 3, 3, 2), m.norm, m)


def activations():
    f = "activation"
    x = rounded(torch.linspace(-4, 7, 24).reshape(2, 3, 4))
    for layer, function in [
            ("relu", F.relu), ("relu6", F.relu6), ({"leaky_relu": 0.1}, lambda v: F.leaky_relu(v, 0.1)),
            ("leaky_relu", F.leaky_relu), ({"elu": 0.5}, lambda v: F.elu(v, 0.5)), ("elu", F.elu),
            ({"celu": 2}, lambda v: F.celu(v, 2)), ("selu", F.selu), ("gelu", F.gelu),
            ({"gelu": "tanh"}, lambda v: 0.5 * v * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3)))),
            ("silu", F.silu), ("mish", F.mish), ("sigmoid", torch.sigmoid), ("hard_sigmoid", F.hardsigmoid),
            ("hard_swish", F.hardswish), ("tanh", torch.tanh), ("softplus", F.softplus), ("softsign", F.softsign),
            ({"clip": True, "min": 0, "max": 1}, lambda v: torch.clamp(v, 0, 1)), ("clip", F.hardtanh),
            ({"softmax": 1}, lambda v: torch.softmax(v, 1)), ("softmax", lambda v: torch.softmax(v, -1)),
            ({"log_softmax": -1}, lambda v: torch.log_softmax(v, -1)), ("dropout", lambda v: v),
            ("identity", lambda v: v)]:
        name = layer if isinstance(layer, str) else "_".join(str(v) for kv in layer.items() for v in kv)
        case(f, name, [layer], x, function)
    case(f, "glu", [{"glu": 1}], rand(2, 4, 3), lambda v: F.glu(v, 1))
    m = named(prelu=nn.PReLU(3))
    case(f, "prelu_of_a_picture", [{"prelu": "prelu"}], rand(2, 3, 2, 2), m.prelu, m)
    case(f, "prelu_of_a_matrix", [{"prelu": "prelu"}], rand(2, 3), m.prelu, m)
    m = named(prelu=nn.PReLU(1))
    case(f, "prelu_of_one_slope", [{"prelu": "prelu"}], rand(2, 3, 2, 2), m.prelu, m)


def pools():
    f = "pool"
    case(f, "max", [{"max_pool": 3, "stride": 2, "padding": 1}], rand(2, 2, 5, 6), lambda x: F.max_pool2d(x, 3, 2, 1))
    case(f, "max_dilated", [{"max_pool": 2, "stride": 1, "dilation": 2}], rand(1, 2, 5, 5),
         lambda x: F.max_pool2d(x, 2, 1, 0, 2))
    case(f, "average", [{"avg_pool": [3, 2], "padding": [1, 0], "ceil": True}], rand(1, 2, 6, 5),
         lambda x: F.avg_pool2d(x, (3, 2), None, (1, 0), True))
    case(f, "average_without_padding_counted", [{"avg_pool": 3, "stride": 2, "padding": 1, "count_padding": False}],
         rand(1, 2, 5, 5), lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))
    case(f, "max_of_one_dimension", [{"max_pool": 2}], rand(2, 3, 6), lambda x: F.max_pool1d(x, 2))
    case(f, "global_average", [{"global_pool": "avg", "keep": False}], rand(2, 3, 4, 2), lambda x: x.mean((2, 3)))
    case(f, "global_max", [{"global_pool": "max"}], rand(2, 3, 4, 2), lambda x: F.adaptive_max_pool2d(x, 1))
    case(f, "adaptive_max", [{"adaptive_pool": [2, 1], "mode": "max"}], rand(2, 2, 4, 3),
         lambda x: F.adaptive_max_pool2d(x, (2, 1)), fixed=True)
    case(f, "adaptive_average", [{"adaptive_pool": 2}], rand(2, 2, 4, 6), lambda x: F.adaptive_avg_pool2d(x, 2),
         fixed=True)
    case(f, "adaptive_to_one", ["adaptive_pool"], rand(2, 2, 3, 5), lambda x: F.adaptive_avg_pool2d(x, 1))


def resizing():
    f = "resize"
    x = rand(1, 4, 3, 4)
    case(f, "bilinear", [{"upsample": 2, "mode": "bilinear"}], x,
         lambda v: F.interpolate(v, scale_factor=2, mode="bilinear"))
    case(f, "nearest", [{"upsample": 2}], x, lambda v: F.interpolate(v, scale_factor=2))
    case(f, "bicubic", [{"upsample": [2, 3], "mode": "bicubic"}], x,
         lambda v: F.interpolate(v, scale_factor=(2, 3), mode="bicubic"))
    case(f, "with_corners_aligned", [{"upsample": True, "size": [5, 7], "mode": "bilinear", "align_corners": True}], x,
         lambda v: F.interpolate(v, size=(5, 7), mode="bilinear", align_corners=True))
    case(f, "nearest_to_a_size", [{"upsample": True, "size": 5}], x, lambda v: F.interpolate(v, size=5))
    case(f, "of_one_dimension", [{"upsample": 2}], rand(1, 2, 4), lambda v: F.interpolate(v, scale_factor=2))
    case(f, "pixel_shuffle", [{"pixel_shuffle": 2}], rand(2, 8, 2, 3), lambda v: F.pixel_shuffle(v, 2))
    case(f, "pixel_unshuffle", [{"pixel_unshuffle": 2}], rand(2, 3, 4, 6), lambda v: F.pixel_unshuffle(v, 2))
    case(f, "channel_shuffle", [{"channel_shuffle": 2}], rand(2, 6, 2, 3),
         lambda v: v.reshape(2, 2, 3, 2, 3).transpose(1, 2).reshape(2, 6, 2, 3))
    case(f, "padded_by_reflection", [{"pad": [1, 2], "mode": "reflect"}], x,
         lambda v: F.pad(v, (2, 2, 1, 1), mode="reflect"))
    case(f, "padded_by_a_value", [{"pad": [1, 0, 2, 3], "value": 0.5}], x, lambda v: F.pad(v, (0, 3, 1, 2), value=0.5))
    case(f, "channels_padded", [{"pad": [1, 2], "axis": 1}], x, lambda v: F.pad(v, (0, 0, 0, 0, 1, 2)))
    case(f, "cropped", [{"pad": -1}], x, lambda v: v[:, :, 1:-1, 1:-1].clone())


def shapes():
    f = "shape"
    x = rand(2, 4, 2, 3)
    case(f, "flatten", ["flatten"], x, lambda v: v.flatten(1))
    case(f, "flatten_from_two", [{"flatten": 2}], x, lambda v: v.flatten(2))
    case(f, "reshape", [{"reshape": [0, 2, -1]}], x, lambda v: v.reshape(2, 2, -1))
    case(f, "permute", [{"permute": [0, 2, 3, 1]}], x, lambda v: v.permute(0, 2, 3, 1).contiguous())
    case(f, "squeeze", [{"squeeze": [-1]}], rand(2, 3, 1), lambda v: v.squeeze(-1))
    case(f, "unsqueeze", [{"unsqueeze": 1}], rand(2, 3), lambda v: v.unsqueeze(1))
    case(f, "slice", [{"slice": True, "axis": -1, "start": 1, "step": 2}], rand(2, 3, 6), lambda v: v[..., 1::2].clone())
    case(f, "slice_to_an_end", [{"slice": True, "end": -1}], rand(2, 3, 2), lambda v: v[:, :-1].clone())
    case(f, "select", [{"select": 0}], rand(2, 3, 4), lambda v: v[:, 0].clone())
    case(f, "select_last", [{"select": -1, "axis": 2}], rand(2, 3, 4), lambda v: v[:, :, -1].clone())
    case(f, "mean", [{"mean": 1}], rand(2, 3, 4), lambda v: v.mean(1))
    case(f, "tokens", ["tokens"], x, lambda v: v.flatten(2).transpose(1, 2).contiguous())
    case(f, "picture_again", [{"identity": True, "as": "before"}, "tokens", {"picture": "before"}], x, lambda v: v)

    def windows(v, n=2):
        b, c, h, w = v.shape
        return v.reshape(b, c, h // n, n, w // n, n).permute(0, 2, 4, 3, 5, 1).reshape(-1, n * n, c)

    def joined(v):
        r = F.relu(v)
        t = torch.softmax(windows(r), 1).reshape(2, 2, 3, 2, 2, 4)
        return t.permute(0, 5, 1, 3, 2, 4).reshape(2, 4, 4, 6)
    case(f, "windows", [{"windows": 2}], rand(2, 4, 4, 6), windows)
    case(f, "from_windows", [{"relu": True, "as": "p"}, {"windows": 2}, {"softmax": 1},
                             {"from_windows": "p", "size": 2}], rand(2, 4, 4, 6), joined)


def sequences():
    f = "sequence"
    m = named(stages=nn.Sequential(nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Linear(3, 3))))
    case(f, "repeated", [{"sequence": [{"linear": "0"}, "relu"], "at": "stages.{i}", "repeat": 2}], rand(2, 3),
         lambda x: F.relu(m.stages[1][0](F.relu(m.stages[0][0](x)))), m)
    m = named(conv1=nn.Conv2d(2, 4, 3, 2, 1), shortcut=nn.Sequential(nn.Conv2d(2, 4, 1, 2)))
    case(f, "residual", [{"residual": [{"conv": "conv1", "stride": 2, "padding": 1}],
                          "project": {"conv": "shortcut.0", "stride": 2}, "act": "relu"}], rand(2, 2, 4, 4),
         lambda x: F.relu(m.conv1(x) + m.shortcut(x)), m)
    m = named(fc=nn.Linear(3, 3), gamma=torch.zeros(3))
    case(f, "residual_scaled", [{"residual": {"linear": "fc"}, "scale": "gamma"}], rand(2, 3),
         lambda x: x + m.gamma * m.fc(x), m)
    m = named(a=nn.Conv2d(2, 3, 1), b=nn.Conv2d(2, 1, 3, padding=1))
    case(f, "parallel", [{"parallel": [{"conv": "a"}, [], [{"conv": "b", "padding": 1}, "relu"]]}], rand(1, 2, 3, 3),
         lambda x: torch.cat([m.a(x), x, F.relu(m.b(x))], 1), m)
    case(f, "parallel_added", [{"parallel": ["relu", "sigmoid", []], "join": "add"}], rand(2, 3),
         lambda x: F.relu(x) + torch.sigmoid(x) + x)
    case(f, "parallel_multiplied", [{"parallel": ["tanh", "sigmoid"], "join": "mul"}], rand(2, 3),
         lambda x: torch.tanh(x) * torch.sigmoid(x))
    m = named(down=nn.Conv2d(2, 3, 1))

    def skip(x):
        y = m.down(x)
        return torch.cat([F.interpolate(F.max_pool2d(y, 2), scale_factor=2), y], 1)
    case(f, "concat", [{"conv": "down", "as": "skip"}, {"max_pool": 2}, {"upsample": 2}, {"concat": "skip"}],
         rand(1, 2, 4, 4), skip, m)
    case(f, "concat_of_named_values", [{"relu": True, "as": "a"}, {"tanh": True, "from": "x", "as": "b"},
                                       {"concat": ["b", "x", ".", "a"], "axis": -1}],
         rand(2, 3), lambda x: torch.cat([torch.tanh(x), x, torch.tanh(x), F.relu(x)], -1))
    case(f, "add", [{"relu": True, "as": "positive"}, {"add": "positive"}], rand(2, 3), lambda x: 2 * F.relu(x))
    case(f, "sub", [{"sigmoid": True, "as": "s"}, {"tanh": True, "from": "s"}, {"sub": "s"}], rand(2, 3),
         lambda x: torch.tanh(torch.sigmoid(x)) - torch.sigmoid(x))
    case(f, "mul", [{"identity": True, "as": "x0"}, "sigmoid", {"mul": ["x0", "x0"]}], rand(2, 3),
         lambda x: torch.sigmoid(x) * x * x)
    case(f, "op", [{"op": "Clip", "inputs": [".", {"float": -0.5}, {"float": 0.5}]}], rand(2, 3),
         lambda x: torch.clamp(x, -0.5, 0.5))
    m = named(gate=nn.Conv2d(3, 3, 1))
    case(f, "gate", [{"global_pool": "avg"}, {"conv": "gate", "act": "sigmoid"}, {"mul": "picture"}],
         {"picture": rand(2, 3, 4, 5)},
         lambda x: x * torch.sigmoid(m.gate(x.mean((2, 3), keepdim=True))), m, ["gated"])
    m = named(w=torch.zeros(3))
    case(f, "op_with_outputs_and_weights",
         [{"op": "Split", "inputs": ["x", {"int": [1, 3]}], "attrs": {"axis": 1}, "outputs": ["first", "rest"]},
          {"op": "Mul", "inputs": ["rest", {"weight": "w"}]}, {"add": "first"}], rand(2, 4),
         lambda x: x[:, 1:] * m.w + x[:, :1], m)
    m = named(a=nn.ModuleList([nn.ModuleList([nn.Linear(2, 2) for _ in range(2)]) for _ in range(3)]))

    def nested(x):
        for i in range(1, 3):
            for j in range(2):
                x = x + torch.tanh(m.a[i][j](x))
        return x
    weights = {k: v for k, v in m.state_dict().items() if not k.startswith("a.0")}
    case(f, "repeated_in_repeated",
         [{"sequence": {"residual": [{"linear": "a.{i}.{j}"}, "tanh"], "repeat": 2, "index": "j"},
           "repeat": 2, "first": 1}], rand(3, 2), nested, weights)
    m = named(s2__conv_a=nn.Conv2d(2, 2, 3, 1, 1), s2__conv_b=nn.Conv2d(2, 2, 3, 2, 1), s2__p=nn.PReLU(2))
    case(f, "own_blocks",
         [{"unit": "s2", "name": "a"}, {"unit": "s2", "name": "b", "stride": 2, "act": {"prelu": "p"}}],
         rand(1, 2, 5, 5), lambda x: m.s2.p(m.s2.conv_b(F.relu(m.s2.conv_a(x)))), m,
         blocks={"unit": {"members": {"name": "?", "stride": 1, "act": "relu"},
                          "layers": [{"padded": "conv_{name}", "stride": "$stride"}, "$act"]},
                 "padded": {"members": {"stride": None}, "layers": [{"conv": True, "stride": "$stride", "padding": 1}]}})
    case(f, "names_in_own_blocks_are_their_own", [{"gated": True}, {"gated": True, "as": "kept"}, {"add": "kept"}],
         rand(2, 3), lambda x: 2 * (y := x * torch.sigmoid(x)) * torch.sigmoid(y),
         blocks={"gated": [{"identity": True, "as": "kept"}, "sigmoid", {"mul": "kept"}]})
    m = named(fc=nn.Linear(3, 2))
    case(f, "several_inputs_and_outputs",
         [{"linear": "fc", "as": "logits"}, {"softmax": -1, "as": "p"}, {"relu": True, "from": "other"}],
         {"x": rand(2, 3), "other": rand(2, 2)}, lambda x, o: (m.fc(x), torch.softmax(m.fc(x), -1), F.relu(o)), m,
         ["logits", "p", "last"])


def gates():
    f = "gate"
    x = rand(2, 4, 3, 3)
    for outputs, name in [(1, "attention_module"), (4, "attention_module_of_channels")]:
        m = named(attention__conv=nn.Conv2d(4, 3, 3, padding=1), attention__fc=nn.Linear(3, outputs))

        def module(v, a=m.attention):
            w = torch.sigmoid(a.fc(F.relu(a.conv(v)).mean((2, 3))))
            return v * w[:, :, None, None]
        case(f, name, [{"attention_module": "attention"}], x, module, m)
    m = named(se__fc1=nn.Conv2d(4, 2, 1), se__fc2=nn.Conv2d(2, 4, 1))
    case(f, "se", [{"se": "se", "gate": "hard_sigmoid"}], x,
         lambda v: v * F.hardsigmoid(m.se.fc2(F.relu(m.se.fc1(v.mean((2, 3), keepdim=True))))), m)
    m = named(att__fc=nn.Sequential(nn.Linear(4, 2, bias=False), nn.ReLU(), nn.Linear(2, 4, bias=False)))
    case(f, "se_of_linear_layers", [{"se": "att"}], x,
         lambda v: v * torch.sigmoid(m.att.fc(v.mean((2, 3))))[:, :, None, None], m)
    m = named(se__fc1=nn.Conv2d(4, 2, 1, bias=False), se__bn1=nn.BatchNorm2d(2),
              se__fc2=nn.Conv2d(2, 4, 1, bias=False), se__bn2=nn.BatchNorm2d(4))
    case(f, "se_with_norms", [{"se": "se", "norm1": "bn1", "norm2": "bn2", "act": "silu"}], x,
         lambda v: v * torch.sigmoid(m.se.bn2(m.se.fc2(F.silu(m.se.bn1(m.se.fc1(v.mean((2, 3), keepdim=True))))))), m)
    m = named(cbam__channel__fc1=nn.Conv2d(4, 2, 1, bias=False), cbam__channel__fc2=nn.Conv2d(2, 4, 1, bias=False),
              cbam__spatial__conv__conv=nn.Conv2d(2, 1, 7, padding=3, bias=False),
              cbam__spatial__conv__bn=nn.BatchNorm2d(1))

    def cbam(v):
        c, s = m.cbam.channel, m.cbam.spatial.conv
        v = v * torch.sigmoid(c.fc2(F.relu(c.fc1(v.mean((2, 3), keepdim=True))))
                              + c.fc2(F.relu(c.fc1(v.amax((2, 3), keepdim=True)))))
        return v * torch.sigmoid(s.bn(s.conv(torch.cat([v.mean(1, keepdim=True), v.amax(1, keepdim=True)], 1))))
    case(f, "cbam", [{"cbam": "cbam", "norm": "spatial.conv.bn"}], x, cbam, m)
    m = named(ChannelGate__mlp=nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4)),
              SpatialGate__spatial__conv=nn.Conv2d(2, 1, 3, padding=1))

    def other(v):
        g = torch.sigmoid(m.ChannelGate.mlp(v.mean((2, 3))) + m.ChannelGate.mlp(v.amax((2, 3))))
        v = v * g[:, :, None, None]
        s = m.SpatialGate.spatial.conv(torch.cat([v.amax(1, keepdim=True), v.mean(1, keepdim=True)], 1))
        return v * torch.sigmoid(s)
    case(f, "cbam_of_linear_layers_maximum_first", [{"cbam": "", "pooled": "max_mean"}], x, other, m)
    m = named(eca__conv=nn.Conv1d(1, 1, 3, padding=1, bias=False))
    case(f, "eca", [{"eca": "eca"}], x,
         lambda v: v * torch.sigmoid(m.eca.conv(v.mean((2, 3))[:, None]))[:, 0, :, None, None], m)


def non_locals():
    f = "non_local"
    x = rand(2, 4, 4, 6)

    def attend(q, k, v, dot):
        f = q.flatten(2).transpose(1, 2) @ k.flatten(2)
        f = f / f.shape[-1] if dot else torch.softmax(f, -1)
        return (f @ v.flatten(2).transpose(1, 2)).transpose(1, 2)
    parts = dict(nl__theta=nn.Conv2d(4, 2, 1))
    m = named(nl__g=nn.Sequential(nn.Conv2d(4, 2, 1), nn.MaxPool2d(2)), nl__theta=nn.Conv2d(4, 2, 1),
              nl__phi=nn.Sequential(nn.Conv2d(4, 2, 1), nn.MaxPool2d(2)),
              nl__W=nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4)))
    case(f, "embedded_and_sub_sampled", [{"non_local": "nl", "sub_sample": True, "norm": "W.1"}], x,
         lambda v: v + m.nl.W(attend(m.nl.theta(v), m.nl.phi(v), m.nl.g(v), False).reshape(2, 2, 4, 6)), m)
    n = named(nl__g=nn.Conv2d(4, 2, 1), nl__theta=nn.Conv2d(4, 2, 1), nl__phi=nn.Conv2d(4, 2, 1),
              nl__out=nn.Conv2d(2, 4, 1))
    case(f, "dot_product", [{"non_local": "nl", "kind": "dot"}], x,
         lambda v: v + n.nl.out(attend(n.nl.theta(v), n.nl.phi(v), n.nl.g(v), True).reshape(2, 2, 4, 6)), n)
    g = named(g=nn.Conv2d(4, 2, 1), W=nn.Conv2d(2, 4, 1))
    case(f, "gaussian", [{"non_local": "", "kind": "gaussian", "sub_sample": True}], x * 0.5,
         lambda v: v + g.W(attend(v, F.max_pool2d(v, 2), F.max_pool2d(g.g(v), 2), False).reshape(2, 2, 4, 6)), g)


def attentions():
    f = "attention"
    x, memory = rand(2, 3, 4), rand(2, 5, 4)
    m = named(attn=nn.MultiheadAttention(4, 2, batch_first=True))
    mask = rand(3, 3)
    seen = torch.tensor([[1, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    case(f, "of_torch", [{"multi_head_attention": "attn", "heads": 2}], x, lambda v: m.attn(v, v, v)[0], m)
    case(f, "of_torch_causal", [{"multi_head_attention": "attn", "heads": 2, "causal": True}], x,
         lambda v: m.attn(v, v, v, attn_mask=torch.ones(3, 3).triu(1).bool())[0], m)
    case(f, "of_torch_with_a_mask", [{"multi_head_attention": "attn", "heads": 2, "mask": "mask"}],
         {"x": x, "mask": mask}, lambda v, k: m.attn(v, v, v, attn_mask=k)[0], m)
    case(f, "of_torch_across_with_a_bool_mask",
         [{"multi_head_attention": "attn", "heads": 2, "memory": "memory", "mask": "seen"}],
         {"x": x, "memory": memory, "seen": seen}, lambda v, k, s: m.attn(v, k, k, attn_mask=~s)[0], m)
    n = named(attn=nn.MultiheadAttention(4, 2, kdim=6, vdim=6, batch_first=True, bias=True))
    case(f, "of_torch_with_other_keys", [{"multi_head_attention": "attn", "heads": 2, "memory": "memory"}],
         {"x": x, "memory": rand(2, 5, 6)}, lambda v, k: n.attn(v, k, k)[0], n)

    def heads(q, k, v, count, scale=None):
        def cut(t):
            return t.reshape(t.shape[0], t.shape[1], count, -1).transpose(1, 2)
        q, k, v = cut(q), cut(k), cut(v)
        a = torch.softmax(q @ k.transpose(2, 3) * (scale or q.shape[-1] ** -0.5), -1) @ v
        return a.transpose(1, 2).flatten(2)
    t = named(qkv=nn.Linear(4, 12), proj=nn.Linear(4, 4))
    case(f, "of_timm", [{"multi_head_attention": "", "heads": 2}], x,
         lambda v: t.proj(heads(*t.qkv(v).chunk(3, -1), 2)), t)
    k = named(a__q=nn.Linear(4, 4, bias=False), a__kv=nn.Linear(4, 8), a__proj=nn.Linear(4, 4))
    case(f, "of_queries_and_pairs", [{"multi_head_attention": "a", "heads": 4, "memory": "memory"}],
         {"x": x, "memory": memory}, lambda v, w: k.a.proj(heads(k.a.q(v), *k.a.kv(w).chunk(2, -1), 4)), k)
    s = named(a__query=nn.Linear(4, 6), a__key=nn.Linear(4, 6), a__value=nn.Linear(4, 6))
    case(f, "of_three_matrices_without_projection",
         [{"multi_head_attention": "a", "heads": 3, "scale": 1, "project": False}], x,
         lambda v: heads(s.a.query(v), s.a.key(v), s.a.value(v), 3, 1.0), s)

    class Block(nn.Module):
        def __init__(self, scaled=False):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(4), nn.LayerNorm(4)
            self.attn, self.mlp = nn.Module(), nn.Module()
            self.attn.qkv, self.attn.proj = nn.Linear(4, 12), nn.Linear(4, 4)
            self.mlp.fc1, self.mlp.fc2 = nn.Linear(4, 8), nn.Linear(8, 4)
            if scaled:
                self.ls1, self.ls2 = nn.Module(), nn.Module()
                self.ls1.gamma, self.ls2.gamma = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
            fill(self)

        def forward(self, v):
            g1, g2 = (self.ls1.gamma, self.ls2.gamma) if hasattr(self, "ls1") else (1, 1)
            v = v + g1 * self.attn.proj(heads(*self.attn.qkv(self.norm1(v)).chunk(3, -1), 2))
            return v + g2 * self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(v))))
    b = nn.Module()
    b.blocks = nn.Sequential(Block(), Block())
    case(f, "transformer_of_timm", [{"transformer": "blocks.{i}", "heads": 2, "repeat": 2}], x, b.blocks, b)
    b = Block(True)
    case(f, "transformer_with_layer_scale", [{"transformer": "", "heads": 2}], x, b, b)
    for first, act in [(False, "relu"), (True, "gelu")]:
        e = fill(nn.TransformerEncoderLayer(4, 2, 6, activation=act, batch_first=True, norm_first=first))
        case(f, "transformer_of_torch" + ("_norms_first" if first else ""),
             [{"transformer": True, "heads": 2, "order": "pre" if first else "post", "act": act}], x,
             e, e)
    p = named(patch_embed__proj=nn.Conv2d(3, 4, 2, 2))
    case(f, "patches", [{"patch_embedding": "patch_embed"}], rand(1, 3, 4, 6),
         lambda v: p.patch_embed.proj(v).flatten(2).transpose(1, 2), p)
    case(f, "patches_as_a_picture", [{"patch_embedding": "patch_embed", "as_picture": True}], rand(1, 3, 4, 6),
         p.patch_embed.proj, p)
    p = named(to_patch__1=nn.Linear(12, 4), norm=nn.LayerNorm(4))
    case(f, "patches_by_a_linear_layer",
         [{"patch_embedding": "to_patch", "projection": "1", "size": 2, "norm": {"layer_norm": "1.norm"}}], rand(1, 3, 4, 6),
         lambda v: F.layer_norm(p.to_patch._modules["1"](
             v.reshape(1, 3, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(1, 6, 12)), (4,), p.norm.weight, p.norm.bias),
         {"to_patch.1.weight": p.to_patch._modules["1"].weight.data, "to_patch.1.bias": p.to_patch._modules["1"].bias.data,
          "to_patch.1.norm.weight": p.norm.weight.data, "to_patch.1.norm.bias": p.norm.bias.data})


def torchvision_parts():
    """Modules of torchvision's own, as they come in its networks."""
    f = "torchvision"
    models = torchvision.models
    v = fill(models.VisionTransformer(image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=4, mlp_dim=6,
                                      num_classes=3))
    case(f, "vision_transformer",
         [{"patch_embedding": "", "projection": "conv_proj"}, {"class_token": "class_token"},
          {"position_embedding": "encoder.pos_embedding"},
          {"transformer": "encoder.layers.encoder_layer_{i}", "heads": 2, "eps": 1e-6, "repeat": 2},
          {"layer_norm": "encoder.ln", "eps": 1e-6}, {"select": 0}, {"linear": "heads.head"}], rand(2, 3, 8, 8), v, v,
         fixed=True)
    m = named(features=nn.Sequential(models.convnext.CNBlock(4, 1, 0, lambda d: nn.LayerNorm(d, eps=1e-6)),
                                     models.convnext.LayerNorm2d(4, eps=1e-6)))
    case(f, "convnext_block",
         [{"residual": [{"depthwise_conv": "block.0", "padding": 3}, {"permute": [0, 2, 3, 1]},
                        {"layer_norm": "block.2", "eps": 1e-6}, {"linear": "block.3", "act": "gelu"},
                        {"linear": "block.5"}, {"permute": [0, 3, 1, 2]}], "scale": "layer_scale", "at": "features.0"},
          {"layer_norm": "features.1", "channels": "first", "eps": 1e-6}], rand(2, 4, 5, 4), m.features, m)
    config = models.mobilenetv3.InvertedResidualConfig(8, 5, 16, 8, True, "HS", 1, 1, 1.0)
    m = named(features=nn.Sequential(models.mobilenetv3.InvertedResidual(config, lambda c: nn.BatchNorm2d(c, 1e-3))))
    case(f, "mobilenet_v3_block",
         [{"residual": [{"conv": "0.0", "norm": {"batch_norm": "0.1", "eps": 1e-3}, "act": "hard_swish"},
                        {"depthwise_conv": "1.0", "padding": "same", "norm": {"batch_norm": "1.1", "eps": 1e-3},
                         "act": "hard_swish"},
                        {"se": "2", "gate": "hard_sigmoid"}, {"conv": "3.0", "norm": {"batch_norm": "3.1", "eps": 1e-3}}],
           "at": "features.0.block"}], rand(1, 8, 4, 5), m.features, m)
    m = named(s=nn.Sequential(models.shufflenetv2.InvertedResidual(4, 8, 2), models.shufflenetv2.InvertedResidual(8, 8, 1)))
    case(f, "shufflenet_blocks", [{"down": "s.0"}, {"unit": "s.1"}], rand(1, 4, 6, 6), m.s, m, blocks={
        "branch2": {"members": {"stride": 1}, "layers": [
            {"conv": "branch2.0", "norm": "branch2.1", "act": "relu"},
            {"depthwise_conv": "branch2.3", "stride": "$stride", "padding": 1, "norm": "branch2.4"},
            {"conv": "branch2.5", "norm": "branch2.6", "act": "relu"}]},
        "down": [{"parallel": [
            [{"depthwise_conv": "branch1.0", "stride": 2, "padding": 1, "norm": "branch1.1"},
             {"conv": "branch1.2", "norm": "branch1.3", "act": "relu"}],
            {"branch2": True, "stride": 2}]}, {"channel_shuffle": 2}],
        "unit": [{"op": "Split", "attrs": {"axis": 1, "num_outputs": 2}, "outputs": ["a", "b"]},
                 {"branch2": True, "from": "b"}, {"concat": ["a", "."]}, {"channel_shuffle": 2}]})
    m = named(block=models.densenet._DenseBlock(2, 3, 2, 2, 0), transition=models.densenet._Transition(7, 4))
    case(f, "densenet_block", [{"layer": "block.denselayer{i}", "first": 1, "repeat": 2},
                               {"batch_norm": "transition.norm"}, "relu", {"conv": "transition.conv"}, {"avg_pool": 2}],
         rand(1, 3, 4, 4), lambda x: m.transition(m.block(x)), m, blocks={
             "layer": [{"identity": True, "as": "before"}, {"batch_norm": "norm1"}, "relu",
                       {"conv": "conv1", "norm": "norm2", "act": "relu"}, {"conv": "conv2", "padding": 1},
                       {"concat": ["before", "."]}]})
    m = named(layer=nn.Sequential(models.resnet.Bottleneck(3, 2, 2, nn.Sequential(nn.Conv2d(3, 8, 1, 2, bias=False),
                                                                                  nn.BatchNorm2d(8)))))
    case(f, "resnet_bottleneck",
         [{"residual": [{"conv": "conv1", "norm": "bn1", "act": "relu"},
                        {"conv": "conv2", "stride": 2, "padding": 1, "norm": "bn2", "act": "relu"},
                        {"conv": "conv3", "norm": "bn3"}],
           "project": {"conv": "downsample.0", "stride": 2, "norm": "downsample.1"}, "act": "relu", "at": "layer.0"}],
         rand(1, 3, 6, 5), m.layer, m)


def lcg(seed, low, high, *shape):
    """The seeded inputs of ../shared: the same numbers in any language."""
    values = []
    for _ in range(math.prod(shape)):
        seed = (seed * 1664525 + 1013904223) % 2 ** 32
        values.append(low + (seed // 256) / 2 ** 24 * (high - low))
    return torch.tensor(values, dtype=torch.float64).float().reshape(shape)


def nonlocal_mnist(path):
    """The network of AlexHex7/Non-local_pytorch with its weights, written out."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    w = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, end = entry["data_offsets"]
            w[name] = torch.frombuffer(bytearray(data[first:end]), dtype=torch.float32).reshape(entry["shape"])

    def conv(v, name, padding=0):
        return F.conv2d(v, w[name + ".weight"], w[name + ".bias"], padding=padding)

    def norm(v, name):
        return F.batch_norm(v, *(w[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    def stage(v, name):
        return F.max_pool2d(F.relu(norm(conv(v, name + ".0", 1), name + ".1")), 2)

    def non_local(v, name):
        g = F.max_pool2d(conv(v, name + ".g.0"), 2).flatten(2).transpose(1, 2)
        theta = conv(v, name + ".theta").flatten(2).transpose(1, 2)
        phi = F.max_pool2d(conv(v, name + ".phi.0"), 2).flatten(2)
        y = (torch.softmax(theta @ phi, -1) @ g).transpose(1, 2).reshape(v.shape[0], -1, *v.shape[2:])
        return v + norm(conv(y, name + ".W.0"), name + ".W.1")

    x = lcg(77, 0, 1, 2, 1, 28, 28)
    v = non_local(stage(x, "conv_1"), "nl_1")
    v = stage(non_local(stage(v, "conv_2"), "nl_2"), "conv_3").flatten(1)
    v = F.linear(F.relu(F.linear(v, w["fc.0.weight"], w["fc.0.bias"])), w["fc.3.weight"], w["fc.3.bias"])
    return v


def main():
    torch.manual_seed(20)
    torch.set_grad_enabled(False)
    for part in (convolutions, linears, norms, activations, pools, resizing, shapes, sequences, gates, non_locals,
                 attentions, torchvision_parts):
        part()
    for name, cases in FILES.items():
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".json")
        with open(path, "w") as out:
            out.write('{"cases": [\n')
            out.write(",\n".join("  " + json.dumps(c, separators=(", ", ": ")) for c in cases))
            out.write("\n]}\n")
    if len(sys.argv) > 1:
        print("nonlocal_mnist, seed 77, 0 to 1, 2x1x28x28:")
        print(", ".join(f"{v:.9g}" for v in nonlocal_mnist(sys.argv[1]).flatten().tolist()))


main()
