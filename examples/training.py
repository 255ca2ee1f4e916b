"""What the training scripts of several examples share."""
import contextlib
import json
import os
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch

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

    def load(self, parts, rng):
        """The step to go on from, 0 without a file."""
        if not self.exists:
            return 0
        state = torch.load(self.path)
        for part, values in zip(parts, state["parts"]):
            part.load_state_dict(values)
        rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch"])
        return state["step"]

    def save(self, step, parts, rng, last=False):
        if self.path is None or (time.time() - self.saved < self.every and not last):
            return
        torch.save({"step": step, "parts": [part.state_dict() for part in parts],
                    "rng": rng.bit_generator.state,
                    "torch": torch.get_rng_state()}, self.path + ".new")
        os.replace(self.path + ".new", self.path)
        self.saved = time.time()


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


def finish(path, usage):
    """Halves the weights of an exported file and says in its metadata how it is
    used."""
    graph = onnx.load(path)
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
