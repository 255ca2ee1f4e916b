#!/usr/bin/env python3
"""Trains the variants of networks.py, all in the same way, and exports them.

    python3 train_variants.py           # every variant; NAME.onnx, train.log
    python3 train_variants.py se eca    # only these; adds to train.log

Data is drawn by ../shapes/scenes.py; one thread, fixed seeds. Each variant is
trained with several seeds, on the same pictures: what the seed changes of the
accuracy is noise. The network of the first one is exported.

Tools: as for ../shapes/train.py.
"""
import argparse
import json
import os
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F

from networks import LABELS, VARIANTS, Net
from scenes import SIZE, dataset
from train import MEAN, STD, augment, preprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = os.path.join(HERE, "train.log")

SEEDS = 1, 2             # of all that is random in training
DATA_SEED, FRESH_SEED = 11, 12
PICTURES = 4000
FRESH = 2000
EPOCHS = 20
BATCH = 64
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-3
HALF_SIZE = 256         # constants of at least so many elements are stored as float16


def file_of(variant):
    return os.path.join(HERE, variant + ".onnx")


@torch.no_grad()
def predict(model, pictures):
    model.eval()
    return torch.cat([model(preprocess(pictures[i:i + 100]))
                      for i in range(0, len(pictures), 100)])


def count_right(model, pictures, labels):
    return int((predict(model, pictures).argmax(1).numpy() == labels).sum())


def train(model, pictures, labels):
    steps = PICTURES // BATCH
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE,
                                  weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps)
    labels = torch.from_numpy(labels)
    for _ in range(EPOCHS):
        model.train()
        total = 0.0
        order = torch.randperm(PICTURES)[:steps * BATCH]
        for chosen in order.reshape(steps, BATCH):
            x = preprocess(pictures[chosen.numpy()])
            x, _ = augment(x, x[:, 0])
            loss = F.cross_entropy(model(x), labels[chosen],
                                   label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
    return total / steps


def round_weights(model):
    """Gives large weights the values that the file will hold."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.numel() >= HALF_SIZE:
                weight.copy_(weight.half().float())


def store_half(graph):
    """Large constants as float16, each with a Cast, which a converter folds."""
    casts = []
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < HALF_SIZE:
            continue
        half = array.astype(np.float16)
        assert np.array_equal(half.astype(np.float32), array)
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, name + ".half"))
        casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name],
                                           name="half/" + name, to=1))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def export(model, path):
    model.eval()
    torch.onnx.export(
        model, torch.zeros(1, 3, SIZE, SIZE), path, opset_version=13,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    usage = {
        "inputs": {"image": {"role": "image", "preprocess": {
            "size": [SIZE, SIZE], "resize": "stretch", "color": "rgb",
            "mean": [MEAN] * 3, "std": [STD] * 3, "scale": 255}}},
        "outputs": {"logits": {"role": "logits", "labels": LABELS}},
    }
    graph = onnx.load(path)
    store_half(graph.graph)
    onnx.helper.set_model_props(graph, {"espy": json.dumps(usage)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def load(variant):
    """A trained network: its file is its own checkpoint."""
    state = {}
    for tensor in onnx.load(file_of(variant)).graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        name = tensor.name.replace(".half", "")
        state[name] = torch.from_numpy(array.astype(np.float32))
    model = Net(variant)
    needed = {k for k in model.state_dict() if "num_batches" not in k}
    model.load_state_dict({k: state[k] for k in needed}, strict=False)
    return model.eval()


def run(variant, seed, data, fresh, log):
    torch.manual_seed(seed)
    start = time.process_time()
    model = Net(variant)
    loss = train(model, *data)
    seconds = time.process_time() - start
    round_weights(model)
    right = count_right(model, *fresh)
    if seed == SEEDS[0]:
        export(model, file_of(variant))
        assert count_right(load(variant), *fresh) == right
    log(f"{variant:8s}  seed {seed}  "
        f"{sum(p.numel() for p in model.parameters())} parameters  "
        f"loss {loss:.4f}  {right} of {FRESH} right  {seconds:.0f} s of CPU")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("variants", nargs="*", metavar="NAME",
                         help=", ".join(VARIANTS))
    options = options.parse_args()
    torch.set_num_threads(1)
    pictures, _, labels = dataset(DATA_SEED, PICTURES)
    fresh_pictures, _, fresh_labels = dataset(FRESH_SEED, FRESH)
    with open(LOG, "a" if options.variants else "w") as file:
        def log(line):
            print(line, flush=True)
            print(line, file=file, flush=True)
        for seed in SEEDS:
            for variant in options.variants or VARIANTS:
                run(variant, seed, (pictures, labels),
                    (fresh_pictures, fresh_labels), log)


if __name__ == "__main__":
    main()
