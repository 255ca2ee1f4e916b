"""What the training scripts of several examples share."""
import contextlib
import json
import os
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn

HALF_FROM = 64      # smaller tensors stay float32: they cost nothing


@contextlib.contextmanager
def log_to(path, append=False):
    """Gives a function that prints a line and keeps it in a file."""
    with open(path, "a" if append else "w") as file:
        def log(line):
            print(line, flush=True)
            print(line, file=file, flush=True)
        yield log


class State:
    """Keeps what is trained in a file, so that training can be cut short. The
    parts are whatever has a state_dict; the generators of random numbers are
    kept too, so that going on gives what going through would have given."""

    def __init__(self, path=None, every=60):
        self.path, self.every, self.saved = path, every, time.time()
        self.exists = path is not None and os.path.exists(path)
        self.state = torch.load(path) if self.exists else {"step": 0}
        self.step = self.state["step"]      # the one that was kept

    def load(self, parts, rng):
        if not self.exists:
            return
        for part, values in zip(parts, self.state["parts"]):
            part.load_state_dict(values)
        rng.bit_generator.state = self.state["rng"]
        torch.set_rng_state(self.state["torch"])

    def save(self, step, parts, rng, last=False):
        if self.path is None or (time.time() - self.saved < self.every and not last):
            return
        torch.save({"step": step, "parts": [part.state_dict() for part in parts],
                    "rng": rng.bit_generator.state,
                    "torch": torch.get_rng_state()}, self.path + ".new")
        os.replace(self.path + ".new", self.path)
        self.saved = time.time()


class Product(torch.autograd.Function):
    """a @ b of batches of matrices, as a convolution with a group for each: on
    one thread Debian's PyTorch convolves some twenty times as fast as it
    multiplies, as long as it is told which convolution to take."""

    @staticmethod
    def multiply(a, b):
        n, rows, inner = a.shape
        x = torch.mkldnn_convolution(b.reshape(1, n * inner, 1, -1),
                                     a.reshape(n * rows, inner, 1, 1), None,
                                     (0, 0), (1, 1), (1, 1), n)
        return x.reshape(n, rows, -1)

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return Product.multiply(a, b)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return (Product.multiply(g, b.transpose(1, 2)) if ctx.needs_input_grad[0] else None,
                Product.multiply(a.transpose(1, 2), g) if ctx.needs_input_grad[1] else None)


def product(a, b):
    return a @ b if torch.onnx.is_in_onnx_export() else Product.apply(a, b)


class Mix(nn.Conv2d):
    """A convolution of 1x1, fast for the same reason."""

    def __init__(self, inputs, outputs, bias=True):
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            return super().forward(x)
        n, _, h, w = x.shape
        y = product(self.weight[:, :, 0, 0].expand(n, -1, -1), x.flatten(2))
        y = y.reshape(n, -1, h, w)
        return y if self.bias is None else y + self.bias[:, None, None]


def round_to_half(model):
    """Gives the larger weights the values that float16 can hold."""
    for values in model.state_dict().values():
        if values.is_floating_point() and values.numel() >= HALF_FROM:
            values.copy_(values.half().float())


def store_as_half(graph):
    """Keeps the larger weights of an ONNX graph as float16, each made float32
    again by a Cast, so that all is computed as before."""
    casts = []
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16),
                                                     name + ".half"))
        casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name],
                                           to=onnx.TensorProto.FLOAT))
    nodes = casts + list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def shorten_names(graph):
    """Numbers the values between nodes: PyTorch's names for them are as long as
    some weights. Not where there are bodies, which see these values."""
    if any(a.type == onnx.AttributeProto.GRAPH
           for node in graph.graph.node for a in node.attribute):
        return
    kept = {v.name for v in [*graph.graph.input, *graph.graph.output,
                             *graph.graph.initializer]}
    short = {"": ""}
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name not in kept:
                    names[i] = short.setdefault(name, str(len(short)))
        node.ClearField("doc_string")
    del graph.graph.value_info[:]


def finish(path, usage):
    """Makes an exported file small and says in its metadata how it is used."""
    graph = onnx.load(path)
    shorten_names(graph)
    store_as_half(graph)
    onnx.helper.set_model_props(graph, {"espy": json.dumps(usage)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def load_weights(model, path):
    """Gives a model the weights of the file that was exported from it."""
    state = {}
    for tensor in onnx.load(path).graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        name = tensor.name
        if name.endswith(".half"):
            name, values = name[:-5], values.astype(np.float32)
        state[name] = torch.from_numpy(values)
    needed = {name for name in model.state_dict() if "num_batches" not in name}
    model.load_state_dict({name: state[name] for name in needed}, strict=False)
    return model.eval()
