"""torchvision's networks for classes, segmentation, video and optical flow."""
import torch
import torchvision

from zoo_cases import Case, calibrate

# Every architecture at every size that a CPU driver gets through.
CLASSIFIERS = """alexnet convnext_tiny convnext_small densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5
efficientnet_v2_s efficientnet_v2_m googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet0_75
mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_1_6gf
regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_1_6gf regnet_y_3_2gf
regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50
resnext101_32x8d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_s swin_t swin_v2_s swin_v2_t vgg11 vgg11_bn
vgg13 vgg16_bn vgg19 vit_b_16 vit_b_32 wide_resnet50_2""".split()
SIZES = {"inception_v3": 96, "maxvit_t": 224, "vit_b_16": 224, "vit_b_32": 224, "alexnet": 96}
# Networks whose graph torch makes for one size only.
FIXED = ("vit", "maxvit", "swin")
VIDEO = {"r3d_18": (8, 32), "mc3_18": (8, 32), "r2plus1d_18": (8, 32), "s3d": (16, 64),
         "mvit_v1_b": (16, 224), "mvit_v2_s": (16, 224), "swin3d_t": (8, 64)}


def pictures(count, *sizes, batch=1):
    generator = torch.Generator().manual_seed(7)
    return [(torch.randn(batch, 3, *(size if isinstance(size, tuple) else (size, size)),
                         generator=generator),) for size in sizes for _ in range(count)]


def zoo(name, size, **options):
    def build():
        module = torchvision.models.get_model(name, weights=None, **options)
        return calibrate(module, *pictures(1, size, batch=4))
    return build


def classifiers():
    found = []
    for name in CLASSIFIERS:
        size = SIZES.get(name, 64)
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        found.append(Case(name, zoo(name, size, **options), lambda size=size: pictures(2, size)))
    return found


def opsets():
    """Exporters of several years spell one network in several ways."""
    found = []
    for name in ("mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "densenet121",
                 "lraspp_mobilenet_v3_large", "swin_t", "vit_b_32", "convnext_tiny",
                 "squeezenet1_1", "swin_v2_t"):
        size = SIZES.get(name, 64)
        options = {"weights_backbone": None} if "lraspp" in name else {}
        for opset in (9, 10, 11, 12, 13, 14, 15, 16):
            if opset in (10, 12, 15) and name not in ("efficientnet_b0", "swin_t"):
                continue
            found.append(Case(f"{name}_opset{opset}", zoo(name, size, **options),
                              lambda size=size: pictures(1, size), opset=opset))
    return found


def dynamic():
    axes = {"in0": {0: "batch", 2: "height", 3: "width"}}
    found = []
    for name in ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0",
                 "densenet121", "regnet_y_400mf", "convnext_tiny", "squeezenet1_1", "vgg11_bn",
                 "alexnet", "mnasnet0_5", "googlenet", "swin_t", "swin_v2_t"):
        found.append(Case(f"{name}_dynamic", zoo(name, 64), dynamic=axes,
                          inputs=lambda: pictures(1, (64, 64), (96, 64)) +
                          pictures(1, (64, 128), batch=3) + pictures(1, 64)))
    for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        found.append(Case(f"{name}_dynamic", zoo(name, 64, weights_backbone=None), dynamic=axes,
                          inputs=lambda: pictures(1, (64, 64), (97, 71)) +
                          pictures(1, (64, 96), batch=2)))
    for name in ("vit_b_32", "swin_t", "maxvit_t"):
        size = SIZES.get(name, 64)
        found.append(Case(f"{name}_batch", zoo(name, size), dynamic={"in0": {0: "batch"}},
                          inputs=lambda size=size: pictures(1, size) +
                          pictures(1, size, batch=2)))
    for name in ("resnet18", "swin_t", "convnext_tiny"):
        found.append(Case(f"{name}_batch5", zoo(name, 64),
                          inputs=lambda: pictures(1, 64, batch=5)))
        found.append(Case(f"{name}_unfolded", zoo(name, 64), folding=False,
                          inputs=lambda: pictures(1, 64)))
    return found


def segmentation():
    found = []
    for name in ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
                 "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        found.append(Case(name, zoo(name, 64, weights_backbone=None),
                          lambda: pictures(1, (64, 96))))
    for name in ("fcn_resnet50", "deeplabv3_resnet50"):
        found.append(Case(name + "_aux", zoo(name, 64, weights_backbone=None, aux_loss=True),
                          lambda: pictures(1, 65)))
    return found


def video():
    def clips(name, count):
        frames, size = VIDEO[name]
        generator = torch.Generator().manual_seed(7)
        return [(torch.randn(1, 3, frames, size, size, generator=generator),)
                for _ in range(count)]

    def build(name):
        def make():
            module = torchvision.models.get_model(name, weights=None)
            return calibrate(module, *clips(name, 2))
        return make
    return [Case(name, build(name), lambda name=name: clips(name, 2)) for name in VIDEO
            if hasattr(torchvision.models.video, name)]


def flow():
    class Last(torch.nn.Module):
        def __init__(self, name):
            super().__init__()
            self.net = torchvision.models.get_model(name, weights=None)

        def forward(self, first, second):
            return self.net(first, second, num_flow_updates=3)[-1]

    def pairs(*sizes):
        generator = torch.Generator().manual_seed(3)
        first = [torch.rand(1, 3, *size, generator=generator) * 2 - 1 for size in sizes]
        return [(a, torch.roll(a, (2, 3), (2, 3))) for a in first]

    def build(name):
        def make():
            module = calibrate(Last(name), *pairs((128, 128), (128, 128)))
            return module
        return make
    axes = {f"in{i}": {2: "height", 3: "width"} for i in range(2)}
    found = [Case(name, build(name), lambda: pairs((128, 128), (128, 128)), opset=16)
             for name in ("raft_small", "raft_large")]
    return found + [Case("raft_small_dynamic", build("raft_small"), opset=16, dynamic=axes,
                         inputs=lambda: pairs((128, 128), (136, 160)))]


def types():
    """Networks in other element types."""
    def double(name):
        return lambda: zoo(name, 64)().double()
    found = [Case(f"{name}_double", double(name), lambda: [
        (a.double(),) for (a,) in pictures(2, 64)], tolerance=1e-4)
        for name in ("resnet18", "mobilenet_v3_small", "swin_t", "convnext_tiny")]
    for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1", "efficientnet_b0", "swin_t",
                 "swin_v2_t", "convnext_tiny", "vit_b_32", "densenet121", "googlenet",
                 "lraspp_mobilenet_v3_large"):
        size = SIZES.get(name, 64)
        options = {"weights_backbone": None} if "lraspp" in name else {}
        found.append(Case(f"{name}_half", zoo(name, size, **options), half=True,
                          inputs=lambda size=size: pictures(2, size)))
    return found


def cases():
    found = classifiers() + opsets() + dynamic() + segmentation() + video() + types()
    for case in found:
        case.double = True
    return found + flow()
