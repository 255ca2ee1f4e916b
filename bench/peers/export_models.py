#!/usr/bin/env python3
"""ONNX files of torchvision's networks, for peers.py, with random weights of a fixed seed.

    /usr/bin/python3 bench/peers/export_models.py --work FOLDER [NAME ...]

Wants Debian's python3-torch, python3-torchvision and python3-onnx. Statistics of batch norms are
those of a few inputs: with others activations vanish after ten layers, and kernels that take short
cuts at zeros or denormal numbers would be measured at them. Nothing is downloaded.
"""
import argparse
import os
import sys
import warnings

NAMES = """squeezenet1_1 mobilenet_v2 mobilenet_v3_large shufflenet_v2_x1_0 mnasnet1_0
efficientnet_b0 regnet_y_400mf googlenet resnet18 resnet50 vgg16 densenet121""".split()
SIZE = 224
OPSET = 14  # the first that has HardSwish


def build(name):
    import torch
    import torchvision
    torch.manual_seed(1)
    options = {"init_weights": True} if name == "googlenet" else {}
    module = torchvision.models.get_model(name, weights=None, **options)
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        if norms:
            module(torch.randn(4, 3, SIZE, SIZE))
    return module.eval()


def export(name, path, batch=1, size=SIZE):
    import torch
    warnings.filterwarnings("ignore")
    part = path + ".part"  # a file of that name is whole
    torch.onnx.export(build(name), (torch.randn(batch, 3, size, size),), part, opset_version=OPSET,
                      input_names=["image"], output_names=["logits"])
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--work", required=True, help="folder for NAME.onnx")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=SIZE)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    for name in options.names or NAMES:
        path = os.path.join(options.work, name + ".onnx")
        if not os.path.exists(path):
            export(name, path, options.batch, options.size)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
