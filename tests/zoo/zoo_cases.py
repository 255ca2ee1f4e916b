"""What zoo.py goes through, and what the files of cases share."""


class Case:
    """One network. build() makes the module, inputs() a list of argument tuples: the sets."""

    def __init__(self, name, build, inputs, opset=17, dynamic=None, compare=None, tolerance=None,
                 folding=True, seed=1, double=False, half=False):
        self.name, self.build, self.inputs = name, build, inputs
        self.opset, self.dynamic, self.compare = opset, dynamic, compare
        self.tolerance, self.folding, self.seed = tolerance, folding, seed
        self.half = half  # the file is rewritten in float16
        self.double = double  # what is expected is computed in float64


def cases():
    import zoo_detection
    import zoo_layers
    import zoo_networks
    found = zoo_layers.cases() + zoo_networks.cases() + zoo_detection.cases()
    names = [case.name for case in found]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
    return found


def enliven(module):
    """Parameters that start as zeros, as ones or next to nothing get values that matter."""
    import torch
    for parameter in module.parameters():
        if parameter.numel() < 2:
            continue
        spread = parameter.data.std().item()
        if spread < 1e-3:
            near_one = abs(parameter.data.mean().item() - 1) < 1e-3
            parameter.data = torch.randn_like(parameter) * 0.1 + (1.0 if near_one else 0.0)
            if not near_one and "layer_scale" in str(type(module)):
                parameter.data += 0.5
    for name, parameter in module.named_parameters():
        if name.endswith("layer_scale"):
            parameter.data = torch.rand_like(parameter) + 0.5


def calm(module):
    """Residual branches add less than they get, as in trained networks: else errors grow with every
    block, torch's own float32 included, to 1e-3 in resnet152."""
    for part in module.modules():
        kind = type(part).__name__
        last = {"Bottleneck": "bn3", "BasicBlock": "bn2"}.get(kind)
        if last and hasattr(part, last) and hasattr(getattr(part, last), "weight"):
            getattr(part, last).weight.data *= 0.3
        if kind == "MBConv" and part.use_res_connect:
            part.block[-1][1].weight.data *= 0.3
        if kind == "ResBottleneckBlock":
            part.f.c[1].weight.data *= 0.3


def calibrate(module, *batches):
    """Sets the statistics of batch norms to those of some inputs, so that nothing vanishes."""
    import torch
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    module.eval()
    enliven(module)
    calm(module)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in batches if norms else []:
            module(*batch)
    module.eval()
    return module
