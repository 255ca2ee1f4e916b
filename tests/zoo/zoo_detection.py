"""torchvision's detectors, whole: resizing, proposals, NMS and pasted masks are in the graph.

Random weights detect nothing, or everything with one score. So every layer that ends a head is
scaled until what it says varies, one after another, since the later ones see what the earlier find.
Detections are compared as sets: equal in number, label by label, with the nearest box.
"""
import numpy as np
import torch
import torchvision

from zoo_cases import Case, calibrate

# Resized by 1, 2 and 1: exporters and torch disagree where resizing rounds a size (so in *_static).
SIZES = ((128, 150), (75, 64), (128, 128))
# What is left of float32 behind fifty layers of random weights and the exponentials of boxes.
TOLERANCE = 3e-3
MODELS = {
    "fasterrcnn_resnet50_fpn": "two", "fasterrcnn_resnet50_fpn_v2": "two",
    "fasterrcnn_mobilenet_v3_large_fpn": "two", "fasterrcnn_mobilenet_v3_large_320_fpn": "two",
    "maskrcnn_resnet50_fpn": "two", "maskrcnn_resnet50_fpn_v2": "two",
    "keypointrcnn_resnet50_fpn": "two",
    "retinanet_resnet50_fpn": "one", "retinanet_resnet50_fpn_v2": "one", "fcos_resnet50_fpn": "one",
    "ssd300_vgg16": "ssd", "ssdlite320_mobilenet_v3_large": "ssd"}
# Head layers by the end of their names, and the deviation that their outputs should have.
HEADS = (("rpn.head.cls_logits", 2.0), ("rpn.head.bbox_pred", 0.3),
         ("box_predictor.cls_score", 3.0), ("box_predictor.bbox_pred", 1.0),
         ("mask_predictor.mask_fcn_logits", 2.0), ("kps_score_lowres", 2.0),
         ("classification_head.cls_logits", 1.6), ("regression_head.bbox_reg", 0.4),
         ("regression_head.bbox_ctrness", 1.0))


def picture(seed, size):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[0]
    return (smooth + torch.rand(3, *size, generator=generator) * 0.3).clamp(0, 1)


def scale_head(net, layer, deviation, images):
    seen = []
    handle = layer.register_forward_hook(lambda _m, _i, output: seen.append(output.flatten()))
    with torch.no_grad():
        net(images)
    handle.remove()
    values = torch.cat(seen)
    if values.numel() > 1:
        layer.weight.data *= deviation / values.std().clamp(min=1e-6)


def ssd_heads(net):
    for module in (net.head.classification_head, net.head.regression_head):
        deviation = 1.3 if module is net.head.classification_head else 0.5
        for last in module.module_list:
            convs = [m for m in last.modules() if isinstance(m, torch.nn.Conv2d)] or [last]
            yield convs[-1], deviation


def build(name, threshold=None, **more):
    kind = MODELS[name]
    options = dict(weights=None, weights_backbone=None, num_classes=7, **more)
    if kind == "ssd":
        options.update(score_thresh=0.5)
    else:
        options.update(min_size=128, max_size=192)
    if kind == "two":
        options.update(rpn_pre_nms_top_n_test=300, rpn_post_nms_top_n_test=60,
                       box_score_thresh=0.3)

    def make():
        net = torchvision.models.get_model(name, **options)
        images = [picture(90 + i, size) for i, size in enumerate(SIZES)]
        calibrate(net, (images,))
        layers = [(layer, deviation) for end, deviation in HEADS
                  for path, layer in net.named_modules() if path.endswith(end)]
        for layer, deviation in list(ssd_heads(net)) if kind == "ssd" else layers:
            scale_head(net, layer, deviation, images)
        if threshold:
            between(net, kind)
        return net
    return make


def between(net, kind):
    """Moves the score threshold to where the first picture has detections and the second none."""
    owner, name = (net.roi_heads, "score_thresh") if kind == "two" else (net, "score_thresh")
    with torch.no_grad():
        best = [net([image])[0]["scores"].max().item() for (image,) in scenes(2)[0:2]]
    assert best[0] != best[1]
    setattr(owner, name, (best[0] + best[1]) / 2)


def scenes(count):
    return [(picture(seed, size),) for seed, size in list(zip((1, 2, 3), SIZES))[:count]]


def split(arrays):
    """Boxes, labels, scores and whatever else there is per detection, in any order."""
    boxes = labels = scores = None
    others = []
    for array in arrays:
        if array.ndim == 2 and array.shape[1] == 4 and boxes is None:
            boxes = array
        elif array.dtype.kind == "i" and labels is None:
            labels = array
        elif array.ndim == 1 and scores is None:
            scores = array
        else:
            others.append(array.reshape(len(array), -1).astype(np.float64))
    return boxes.astype(np.float64), labels, scores.astype(np.float64), others


def compare_set(actual, expected):
    for a, e in zip(actual, expected):
        if a.shape != e.shape or a.dtype != e.dtype:
            return float("inf"), f"{a.shape} {a.dtype}, not {e.shape} {e.dtype}"
    boxes, labels, scores, others = split(actual)
    true_boxes, true_labels, true_scores, true_others = split(expected)
    left, worst = list(range(len(boxes))), 0.0
    for i, box in enumerate(true_boxes):
        same = [k for k in left if labels[k] == true_labels[i]]
        if not same:
            return float("inf"), f"no detection of label {true_labels[i]}"
        k = min(same, key=lambda k: np.abs(boxes[k] - box).max()
                + abs(scores[k] - true_scores[i]) * 10)
        left.remove(k)
        errors = [np.abs(boxes[k] - box).max() / max(np.abs(true_boxes).max(), 1),
                  abs(scores[k] - true_scores[i])]
        for other, true in zip(others, true_others):
            errors.append(np.linalg.norm(other[k] - true[i]) / max(np.linalg.norm(true[i]), 1e-9))
        worst = max(worst, *errors)
    return worst, f"{len(true_boxes)} detections"


def detections(count):
    def compare(actual, expected):
        per = len(expected) // count
        parts = [compare_set(actual[i:i + per], expected[i:i + per])
                 for i in range(0, len(expected), per)]
        return max(error for error, _ in parts), ", ".join(note for _, note in parts)
    return compare


def cases():
    axes = {"in0": {1: "height", 2: "width"}}
    found = []
    for name in MODELS:
        found.append(Case(name, build(name), dynamic=axes, opset=11, tolerance=TOLERANCE,
                          compare=detections(1), inputs=lambda: [([image],) for (image,) in scenes(3)]))
        found.append(Case(name + "_none", build(name, threshold=True), dynamic=axes, opset=15,
                          tolerance=TOLERANCE, compare=detections(1),
                          inputs=lambda: [([image],) for (image,) in scenes(2)]))
    for name in ("fasterrcnn_mobilenet_v3_large_fpn", "ssdlite320_mobilenet_v3_large",
                 "retinanet_resnet50_fpn"):
        found.append(Case(name + "_two", build(name), tolerance=TOLERANCE, compare=detections(2), opset=17,
                          inputs=lambda: [([picture(5, (100, 140)), picture(6, (128, 120))],)]))
        found.append(Case(name + "_static", build(name), tolerance=TOLERANCE, compare=detections(1), opset=13,
                          inputs=lambda: [([picture(5, (100, 140))],)]))
    return found
