"""Writes cases.json: networks that hand their inputs on, recipes for them, and what must come out.

The expected values come from numpy and from torchvision's nms, written from what the authors of the
detectors say of their outputs and not from the converter. Needs Debian's python3-numpy, python3-torch
and python3-torchvision: run it as `/usr/bin/python3 make_cases.py`.
"""

import json
import pathlib

import numpy as np
import torch
import torchvision

HERE = pathlib.Path(__file__).resolve().parent
random = np.random.default_rng(5)
cases = []


# ---- writing ---------------------------------------------------------------------------------------

def tensor(array):
    data = array.reshape(-1).tolist()
    if array.dtype.kind == "f":
        data = [float(f"{x:.8g}") for x in data]
    return {"dtype": array.dtype.name, "dims": list(array.shape), "data": data}


def case(name, heads, outputs=None, picture=(64, 96), channels=3, pictures="picture", more=None,
         softmax=None, error=None, alone=False, feed=None, **how):
    """A network of a picture, which it does not look at, and of heads that it hands on. outputs:
    name to (role, array). more: inputs that are no heads. alone: there is no picture beside the
    heads. feed: inputs whose shapes the recipe changes, as they then are. how: presets, recipe, labels,
    only, and a label that one class then has."""
    heads = {key: array.astype(np.float32) if array.dtype.kind == "f" else array
             for key, array in heads.items()}
    more = more or {}
    given = {f"{key}_in": array for key, array in heads.items()}
    height, width = picture
    model = {
        "espy": 1,
        "inputs": [{"name": pictures, "dtype": "float32", "shape": [1, channels, height, width]}
                   ][alone:] + [{"name": key, "dtype": array.dtype.name, "shape": list(array.shape)}
                     for key, array in (more | given).items()],
        "outputs": [{"name": key, "dtype": array.dtype.name, "shape": list(array.shape)}
                    for key, array in heads.items()],
        "nodes": [{"op": "Softmax" if key == softmax else "Identity", "name": f"n/{key}",
                   "inputs": [f"{key}_in"], "outputs": [key]} for key in heads],
    }
    entry = {"name": name, "model": model} | how
    if error:
        entry["error"] = error
    else:
        entry["inputs"] = {key: tensor(array) for key, array in (more | given | (feed or {})).items()}
        entry["outputs"] = {key: {"role": role} | tensor(array)
                            for key, (role, array) in outputs.items()}
    cases.append(entry)


# ---- what detectors mean ------------------------------------------------------------------------------

def floats(*shape, scale=1.0, shift=0.0):
    """Rounded to what the file holds, so that both sides compute with the same numbers."""
    values = (random.standard_normal(shape) * scale + shift).astype(np.float32)
    return np.array([float(f"{x:.8g}") for x in values.reshape(-1)], np.float32).reshape(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def probabilities(*shape):
    return np.array([float(f"{x:.8g}") for x in sigmoid(floats(*shape, scale=2.0)).reshape(-1)],
                    np.float32).reshape(shape)


def grid(height, width, strides, per_cell=None):
    """Column, row and stride of every cell, level by level, row by row."""
    rows = []
    for level, stride in enumerate(strides):
        for y in range(height // stride):
            for x in range(width // stride):
                rows += [(x, y, stride)] * (per_cell[level] if per_cell else 1)
    return np.array(rows, np.float64)


def detections(boxes, scores, overlap, least, most=100, points=None, mode="best"):
    """boxes [n, 4], scores [n, classes], by torchvision."""
    boxes, scores = boxes.astype(np.float64), scores.astype(np.float64)
    if mode == "all":
        row, kind = np.nonzero(scores > least)
    else:
        kind = scores.argmax(1)
        row = np.flatnonzero(scores.max(1) > least)
        kind = kind[row]
    value = scores[row, kind]
    groups = np.zeros_like(kind) if mode == "together" else kind
    kept = torchvision.ops.batched_nms(torch.from_numpy(boxes[row]), torch.from_numpy(value),
                                       torch.from_numpy(groups), overlap).numpy()
    kept = kept[np.argsort(-value[kept], kind="stable")][:most]
    assert len(kept) > 3 and len(set(value[kept])) == len(kept)
    found = {"boxes": ("boxes", boxes[row][kept].astype(np.float32)),
             "scores": ("scores", value[kept].astype(np.float32)),
             "classes": ("classes", kind[kept].astype(np.int64))}
    if points is not None:
        found["keypoints"] = ("keypoints", points[row][kept].astype(np.float32))
    return found


def corners(center, size):
    return np.concatenate([center - size / 2, center + size / 2], -1)


def yolox():
    """Megvii's decode_outputs: (xy + cell) * stride, exp(wh) * stride; score = object * class."""
    head = np.concatenate([floats(1, 126, 4, scale=0.7), probabilities(1, 126, 4)], -1)
    cell = grid(64, 96, [8, 16, 32])
    raw = head[0].astype(np.float64)
    boxes = corners((raw[:, :2] + cell[:, :2]) * cell[:, 2:], np.exp(raw[:, 2:4]) * cell[:, 2:])
    scores = raw[:, 4:5] * raw[:, 5:]
    case("yolox", {"output": head}, detections(boxes, scores, 0.45, 0.1), presets=["yolox"])


def yolov8():
    """Ultralytics: [1, 4 + classes, n], boxes as centre and size in pixels."""
    n = 40
    center, size = random.uniform(5, 60, (n, 2)), random.uniform(5, 40, (n, 2))
    head = np.concatenate([center, size, probabilities(n, 80)], -1).astype(np.float32)
    head = np.array([float(f"{x:.8g}") for x in head.reshape(-1)], np.float32).reshape(n, 84)
    raw = head.astype(np.float64)
    boxes = corners(raw[:, :2], raw[:, 2:4])
    case("yolov8", {"output0": head.T[None]}, detections(boxes, raw[:, 4:], 0.45, 0.1),
         presets=["yolov8", "coco"], label=[79, "toothbrush"])


def yunet():
    """libfacedetection.train: priors at cell * stride; score = sqrt(class * object)."""
    strides = (8, 16, 32)
    counts = [64 // s * (96 // s) for s in strides]
    heads = {}
    for kind, width, make in (("cls", 1, probabilities), ("obj", 1, probabilities),
                              ("bbox", 4, lambda *s: floats(*s, scale=0.6)), ("kps", 10, floats)):
        for stride, count in zip(strides, counts):
            heads[f"{kind}_{stride}"] = make(1, count, width)

    def all_of(kind):
        return np.concatenate([heads[f"{kind}_{s}"][0] for s in strides]).astype(np.float64)

    cell = grid(64, 96, strides)
    prior, stride = cell[:, :2] * cell[:, 2:], cell[:, 2:]
    box = all_of("bbox")
    boxes = corners(prior + box[:, :2] * stride, np.exp(box[:, 2:]) * stride)
    points = (all_of("kps").reshape(-1, 5, 2) * stride[:, None] + prior[:, None])
    scores = np.sqrt(all_of("cls") * all_of("obj"))
    case("yunet", heads, detections(boxes, scores, 0.3, 0.3, points=points), presets=["yunet"])


def ultraface():
    """Boxes as corners of 0 to 1, scores of background and face after softmax."""
    corner = random.uniform(0, 0.8, (60, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0.05, 0.3, (60, 2))], -1)
    boxes = tensor(boxes.astype(np.float32))["data"]
    boxes = np.array(boxes, np.float32).reshape(1, 60, 4)
    scores = probabilities(1, 60, 2)
    pixels = boxes[0].astype(np.float64) * [96, 64, 96, 64]
    case("ultraface", {"scores": scores, "boxes": boxes},
         detections(pixels, scores[0][:, 1:], 0.3, 0.3, 200), presets=["ultraface"])


def blazeface():
    """MediaPipe: offsets in pixels from the middle of cells, sizes in pixels, points likewise; two
    anchors in each cell of 8 pixels, six in each of 16."""
    cell = grid(32, 32, [8, 16], [2, 6])
    middle = (cell[:, :2] + 0.5) * cell[:, 2:]
    preds = np.concatenate([floats(1, 56, 2, scale=3), np.abs(floats(1, 56, 2, scale=8)) + 1,
                            floats(1, 56, 12, scale=5)], -1)
    conf = floats(1, 56, 1, scale=2)
    raw = preds[0].astype(np.float64)
    boxes = corners(middle + raw[:, :2], raw[:, 2:4])
    points = raw[:, 4:].reshape(-1, 6, 2) + middle[:, None]
    case("blazeface", {"preds": preds, "conf": conf},
         detections(boxes, sigmoid(conf[0]), 0.3, 0.3, points=points),
         presets=["blazeface"], picture=(32, 32))


def suppression():
    corner = random.uniform(0, 60, (50, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 40, (50, 2))], -1)
    boxes = np.array(tensor(boxes.astype(np.float32))["data"], np.float32).reshape(1, 50, 4)
    scores = probabilities(1, 50, 3)
    for mode in ("best", "all", "together"):
        step = {"step": "nms", "boxes": "b", "scores": "s", "overlap": 0.4, "score": 0.2,
                "most": 12, "classes": mode}
        case(f"nms, classes {mode}", {"b": boxes, "s": scores},
             detections(boxes[0], scores[0], 0.4, 0.2, 12, mode=mode),
             recipe={"steps": [step], "outputs": {
                 name: {"role": name} for name in ("boxes", "scores", "classes")}})
    best = np.sort(np.argsort(-scores[0].max(1))[:20])
    points = floats(1, 50, 2, 2)
    case("nms that looks at the best only", {"b": boxes, "s": scores, "k": points},
         detections(boxes[0][best], scores[0][best], 0.4, 0.2, points=points[0][best]),
         recipe={"steps": [{"step": "nms", "boxes": "b", "scores": "s", "keypoints": "k",
                            "overlap": 0.4, "score": 0.2, "before": 20}],
                 "outputs": {name: {"role": name}
                             for name in ("boxes", "scores", "classes", "keypoints")}})
    none = np.zeros((0,), np.float32)
    case("nms that finds nothing", {"b": boxes, "s": scores * np.float32(0.01)},
         {"boxes": ("boxes", np.zeros((0, 4), np.float32)), "scores": ("scores", none),
          "classes": ("classes", none.astype(np.int64))},
         recipe={"steps": [{"step": "nms", "boxes": "b", "scores": "s"}], "outputs": {
             name: {"role": name} for name in ("boxes", "scores", "classes")}})


# ---- other networks -------------------------------------------------------------------------------

def classifiers():
    logits = floats(1, 10)
    softmax = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    for preset in ("imagenet", "inception", "unit", "caffe", "bgr"):
        case(f"classifier {preset}", {"y": logits}, {"y": ("logits", logits)}, presets=[preset],
             recipe={"inputs": {}})
    for preset in ("mnist", "mnist-unit"):
        case(f"classifier {preset}", {"y": logits}, {"y": ("logits", logits)}, presets=[preset],
             channels=1, label=[7, "7"])
    case("classifier cifar10", {"y": logits},
         {"y": ("probabilities", softmax.astype(np.float32))}, presets=["cifar10"],
         label=[9, "truck"], softmax="y")
    case("labels from a file", {"y": np.zeros((1, 3))}, {
        "y": ("logits", np.zeros((1, 3), np.float32))}, presets=["unit"],
         labels="cat\r\n\r\ndog\n\n", label=[2, "dog"])
    case("labels from JSON", {"y": np.zeros((1, 3))}, {
        "y": ("logits", np.zeros((1, 3), np.float32))}, presets=["unit"],
         labels='["cat", "", "dog"]', label=[2, "dog"])


def pictures():
    """Rounded to the nearest byte, halves up."""
    values = floats(1, 3, 4, 5, scale=0.7, shift=0.4)
    for preset, low, high, scale in (("picture", 0, 1, 1), ("picture-signed", -1, 1, 1),
                                     ("picture-bytes", 0, 255, 255)):
        x = np.array(tensor((values * scale).astype(np.float32))["data"],
                     np.float32).reshape(values.shape)
        y = np.floor(np.clip((x.astype(np.float64) - low) / (high - low), 0, 1) * 255 + 0.5)
        case(preset, {"y": x}, {"y": ("image", y.astype(np.uint8))}, presets=[preset], alone=True)
    case("only one of the outputs", {"a": floats(1, 4), "y": values}, {
        "y": ("image", np.floor(np.clip(values.astype(np.float64), 0, 1) * 255 + 0.5)
              .astype(np.uint8))}, presets=["picture"], only=["y"], alone=True)


def borders():
    """The network sees 9x12 of a picture of 5x8: two rows and columns more on each side."""
    small = floats(1, 3, 5, 8, scale=0.4, shift=0.5)
    last = small.transpose(0, 2, 3, 1)
    sides = ((0, 0), (0, 0), (2, 2), (2, 2))

    def recipe(preprocess=None, **keys):
        return {"inputs": {"*": {"role": "image"} | ({"preprocess": preprocess} if preprocess else {})},
                "steps": [{"step": "border", "by": 2} | keys], "outputs": {"y": {}}}

    y = np.pad(small, ((0, 0), (0, 0), (9, 9), (9, 9)), mode="reflect")
    case("step border, reflect, wider than the picture", {"y": y}, {"y": (None, y)},
         recipe=recipe(by=9, mode="reflect"), feed={"y_in": small}, alone=True)
    for mode, keys in (("edge", {}), ("reflect", {"mode": "reflect"})):
        y = np.pad(small, sides, mode=mode)
        case(f"step border, {mode}", {"y": y}, {"y": (None, y)}, recipe=recipe(**keys),
             feed={"y_in": small}, alone=True)
        case(f"step border, {mode}, channels last", {"y": y.transpose(0, 2, 3, 1)},
             {"y": (None, y.transpose(0, 2, 3, 1))}, recipe=recipe({"layout": "nhwc"}, **keys),
             feed={"y_in": last}, alone=True)
    y = np.pad(small, sides, mode="edge")
    case("step border, then the input again", {"y": y}, {"y": (None, y), "seen": (None, small * 2)},
         recipe={"inputs": {"*": {"role": "image"}},
                 "steps": [{"step": "border", "by": 2},
                           {"step": "scale", "of": "y_in", "factor": 2, "as": "seen"}],
                 "outputs": {"y": {}, "seen": {}}}, feed={"y_in": small}, alone=True)
    x = floats(1, 6, 4)
    case("step border, then cells of all that the network sees", {"x": x},
         {"x": (None, corners((x[..., :2].astype(np.float64) + grid(64, 96, [32])[:, :2]) * 32,
                              x[..., 2:].astype(np.float64) * 32).astype(np.float32))},
         recipe={"steps": [{"step": "border", "by": 3},
                           {"step": "cell_boxes", "of": "x", "strides": [32], "size": "linear"}],
                 "inputs": {"picture": {"role": "image"}}, "outputs": {"x": {}}})
    wide = np.pad(np.round(floats(1, 3, 2, 3, scale=8, shift=8)) / 16, ((0, 0), (0, 0), (18, 18),
                                                                       (18, 18)), mode="edge")
    case("waifu2x", {"y": wide}, {"y": ("image", np.floor(np.clip(wide.astype(np.float64), 0, 1) * 255
                                                          + 0.5).astype(np.uint8))},
         presets=["waifu2x"], feed={"y_in": wide[:, :, 18:-18, 18:-18]}, alone=True)

    def refuse(name, error, *steps, heads=None, **how):
        case(f"refused: border {name}", heads or {"y": y}, error=error, alone=True,
             recipe={"steps": [{"step": "border"} | keys for keys in steps], "outputs": {"y": {}}}, **how)

    refuse("of no size", '"by" must be an integer in 1..', {})
    refuse("of another mode", '"mode" must be one of edge, reflect', {"by": 2, "mode": "wrap"})
    refuse("with a key that it has not", '"of" is no key of it; there are: by mode', {"by": 2, "of": "y"})
    refuse("around a border", "the picture has a border already", {"by": 1}, {"by": 1})
    refuse("that leaves nothing", "sees 9 pixels, of which a border of 5 on both sides leaves none",
           {"by": 5})
    refuse("of a list", "does not have the four dimensions of a picture", {"by": 1},
           heads={"y": floats(1, 9)})
    refuse("of one of two", "which input is the picture?", {"by": 1},
           heads={"y": y, "z": y})


def masks():
    for preset, classes, more, label in (("segmentation", 21, ["voc"], [15, "person"]),
                                         ("segmentation", 19, ["cityscapes"], [13, "car"]),
                                         ("segmentation", 91, ["coco91"], [90, "toothbrush"]),
                                         ("espnet", 20, [], [19, "background"])):
        scores = floats(1, classes, 6, 7)
        case(f"{preset} of {classes}", {"y": scores},
             {"mask": ("mask", scores.argmax(1)[:, None].astype(np.int32))},
             presets=[preset] + more, label=label)


def points_and_depth():
    points = np.array(tensor(random.uniform(0, 1, (1, 14)).astype(np.float32))["data"], np.float32)
    case("landmarks", {"y": points.reshape(1, 14)}, {
        "keypoints": ("keypoints", (points.reshape(1, 1, 7, 2).astype(np.float64) * [96, 64])
                      .astype(np.float32))}, presets=["landmarks"])
    depth = floats(1, 6, 7)
    case("depth", {"y": depth}, {"y": ("depth", depth)}, presets=["depth"])


def detr():
    boxes, scores = floats(1, 9, 4, scale=20), probabilities(1, 9)
    labels = random.integers(0, 80, (1, 9))
    case("detr", {"labels": labels, "boxes": boxes, "scores": scores},
         {"labels": ("classes", labels), "boxes": ("boxes", boxes), "scores": ("scores", scores)},
         presets=["detr", "coco"], pictures="images",
         more={"orig_target_sizes": np.array([[96, 64]])}, label=[0, "person"])


def steps():
    x, z = floats(1, 6, 4), floats(1, 2, 4)
    wide = x.astype(np.float64)

    def check(name, y, *steps, heads=None):
        case(f"step {name}", heads or {"x": x}, {"y": (None, y)},
             recipe={"steps": list(steps), "outputs": {"y": {}}})

    def soft(a, axis):
        e = np.exp(a - a.max(axis, keepdims=True))
        return (e / e.sum(axis, keepdims=True)).astype(np.float32)

    check("part", x[:, 2:5], {"step": "part", "of": "x", "axis": 1, "begin": 2, "end": 5, "as": "y"})
    check("part from the end", x[..., -1:], {"step": "part", "of": "*", "begin": -1, "as": "y"})
    check("join", np.concatenate([x, z], 1), {"step": "join", "of": ["x", "z"], "as": "y"},
          heads={"x": x, "z": z})
    check("reshape", x.reshape(1, 6, 2, 2),
          {"step": "reshape", "of": "x", "shape": [0, 0, -1, 2], "as": "y"})
    check("transpose", x.transpose(0, 2, 1),
          {"step": "transpose", "of": "x", "order": [0, 2, 1], "as": "y"})
    check("sigmoid", sigmoid(x).astype(np.float32), {"step": "sigmoid", "of": "x", "as": "y"})
    check("exp", np.exp(wide).astype(np.float32), {"step": "exp", "of": "x", "as": "y"})
    check("exp and sqrt", np.exp(wide / 2).astype(np.float32), {"step": "exp", "of": "x"},
          {"step": "sqrt", "of": "x", "as": "y"})
    check("softmax", soft(wide, -1), {"step": "softmax", "of": "x", "as": "y"})
    check("softmax along rows", soft(wide, 1), {"step": "softmax", "of": "x", "axis": 1, "as": "y"})
    check("multiply", (wide * wide[..., :1]).astype(np.float32),
          {"step": "part", "of": "x", "end": 1, "as": "first"},
          {"step": "multiply", "of": ["x", "first"], "as": "y"})
    check("scale", (wide * 2 + [1, 2, 3, 4]).astype(np.float32),
          {"step": "scale", "of": "x", "factor": 2, "shift": [1, 2, 3, 4], "as": "y"})
    check("argmax", x.argmax(2)[..., None].astype(np.int32),
          {"step": "argmax", "of": "x", "axis": -1, "as": "y"})
    check("corners", corners(wide[..., :2], wide[..., 2:]).astype(np.float32),
          {"step": "corners", "of": "x", "as": "y"})
    check("pixels of points", (wide.reshape(1, 12, 2) * [96, 64]).astype(np.float32),
          {"step": "reshape", "of": "x", "shape": [0, -1, 2], "as": "y"},
          {"step": "pixels", "of": "y"})
    check("cell_points in pixels",
          (x.reshape(1, 6, 2, 2)
           + ((grid(64, 96, [32])[:, :2] + 0.25) * 32)[None, :, None]).astype(np.float32),
          {"step": "cell_points", "of": "x", "strides": 32, "center": 0.25, "unit": "pixel",
           "as": "y"})
    check("cell_boxes, linear in strides",
          corners((wide[..., :2] + grid(64, 96, [32])[:, :2]) * 32,
                  wide[..., 2:] * 32).astype(np.float32),
          {"step": "cell_boxes", "of": "x", "strides": [32], "size": "linear", "as": "y"})


# ---- what must be refused ----------------------------------------------------------------------------

def mistakes():
    x, two = floats(1, 6, 4), {"x": floats(1, 6, 4), "z": floats(1, 6, 4)}

    def refuse(name, error, recipe=None, heads=None, **how):
        if recipe is not None:
            how["recipe"] = recipe
        case(f"refused: {name}", heads or {"x": x}, error=error, **how)

    def step(name, error, heads=None, **keys):
        refuse(name, error, {"steps": [keys], "outputs": {"x": {}}}, heads)

    step("no kind", "steps[0] (?): there is no such step", of="x")
    step("unknown step", "steps[0] (blur): there is no such step", step="blur", of="x")
    step("unknown key", '"size" is no key of it; there are: of as', step="exp", of="x", size=1)
    step("unknown value", "neither the network nor a step before makes 'w'", step="exp", of="w")
    step("no value", '"of" must name a value', step="exp", **{"as": "y"})
    step("a list for a value", '"of" must name a value', step="exp", of=["x"])
    step("one for a list", '"of" must be a list', step="join", of="x", **{"as": "y"})
    step("result without a name", '"as" must be a name', step="join", of=["x", "x"])
    step("no number", '"axis" must be a number', step="softmax", of="x", axis="1")
    step("no integer", '"axis" must be an integer', step="softmax", of="x", axis=0.5)
    step("axis too high", "steps[0] (softmax): Softmax", step="softmax", of="x", axis=5)
    step("no such dimension", "there is no dimension 3", step="argmax", of="x", axis=3)
    step("shapes that do not join", "steps[0] (join): Concat", {"x": x, "z": floats(1, 6, 5)},
         step="join", of=["x", "z"], **{"as": "y"})
    step("shape missing", '"shape" is missing', step="reshape", of="x")
    step("shape that does not fit", "steps[0] (reshape): Reshape", step="reshape", of="x",
         shape=[5, 5])
    step("order missing", '"order" is missing', step="transpose", of="x")
    step("order too high", '"order" lists every dimension', step="transpose", of="x", order=[0, 3, 1])
    step("low above high", '"high" must be above "low"', step="bytes", of="x", low=1, high=0)
    step("strides missing", '"strides" is missing', step="cell_boxes", of="x")
    step("strides of zero", "integers of at least 1", step="cell_boxes", of="x", strides=[0])
    step("uneven strides", "no whole cells of 10 pixels", step="cell_boxes", of="x", strides=[10])
    step("rows of another size", '"of" has 6 rows, but the cells of a picture of 64x96 are 24',
         step="cell_boxes", of="x", strides=[16])
    step("per_cell of another length", '"per_cell" is one number, or one for each',
         step="cell_boxes", of="x", strides=[32], per_cell=[1, 2])
    step("boxes of five numbers", "3 dimensions are wanted, the last of size 4",
         {"x": floats(1, 6, 5)}, step="cell_boxes", of="x", strides=[32])
    step("two pictures", "of 2 pictures", {"x": floats(2, 6, 4)}, step="corners", of="x")
    step("unknown unit", '"unit" must be one of stride, pixel', step="cell_boxes", of="x",
         strides=[32], unit="cell")
    step("flat scores", '"scores" is 6x4; 3 dimensions are wanted',
         {"x": x, "z": floats(6, 4)}, step="nms", boxes="x", scores="z")
    step("unequal rows", "steps[0] (nms): NonMaxSuppression", {"x": x, "z": floats(1, 5, 2)},
         step="nms", boxes="x", scores="z")
    step("overlap above 1", '"overlap" and "score" are numbers from 0 to 1', {"x": x, "z": x},
         step="nms", boxes="x", scores="z", overlap=45)
    refuse("steps without outputs", "lists every output", {"steps": []})
    refuse("steps are no list", "'steps': must be a list of steps", {"steps": {}, "outputs": {"x": {}}})
    refuse("unknown key", "unknown key; there are about, inputs", {"step": []})
    refuse("output that nothing makes", "'y': neither the network nor a step",
           {"steps": [], "outputs": {"y": {}}})
    refuse("no such output", "'y': the network has no such output, but 'x'",
           {"outputs": {"y": {"role": "boxes"}}})
    refuse("no such input", "'y': the network has no such input, but 'picture', 'x_in'",
           {"inputs": {"y": {}}})
    refuse("one of several", "'*' is the only output, but the network has 2: 'x', 'z'",
           {"outputs": {"*": {}}}, heads=two)
    refuse("a value of several", '"*" is the only output, but the network has 2',
           {"steps": [{"step": "exp", "of": "*"}], "outputs": {"x": {}}}, heads=two)
    refuse("labels of no classes", "no output has the role logits", {"labels": ["a"]})
    refuse("too few labels", "2 labels, but output 'x' tells 24 classes apart",
           {"outputs": {"x": {"role": "logits"}}, "labels": ["a", "b"]})
    refuse("too few labels for boxes", "1 labels, but output 'classes' tells 4 classes apart",
           {"steps": [{"step": "nms", "boxes": "x", "scores": "z"}],
            "outputs": {"classes": {"role": "classes"}}, "labels": ["a"]}, heads=two)
    refuse("gray for colours", "it takes 1x3x64x96, and the preprocessing makes a picture of 1",
           {"inputs": {"picture": {"role": "image", "preprocess": {"color": "gray"}}}})
    refuse("preset of another network", "neither the network nor a step before makes 'cls_8'",
           presets=["yunet"])
    refuse("preset of another head", '"of" has 6 rows',
           heads={"x": floats(1, 6, 9)}, presets=["yolox"])
    refuse("a classifier's preset for a head", "it is 1x6x4, but the role classifier is for [1, classes]",
           presets=["imagenet"])
    refuse("a preset for boxes of another form", "it is 1x6x5, but the role boxes is for",
           {"outputs": {"x": {"role": "boxes"}}}, heads={"x": floats(1, 6, 5)})
    refuse("a mask of a list", "it is 6x4, but the role mask is for",
           {"steps": [{"step": "reshape", "of": "x", "shape": [6, 4]}],
            "outputs": {"x": {"role": "mask"}}})
    refuse("no such preset", "there is no preset 'yolo'", presets=["yolo"])
    refuse("only one that there is not", "the network has no output 'w'", only=["w"])


for make in (yolox, yolov8, yunet, ultraface, blazeface, suppression, classifiers, pictures, masks,
             points_and_depth, detr, steps, mistakes, borders):
    make()
with open(HERE / "cases.json", "w", encoding="utf-8") as file:
    file.write("[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases) + "\n]\n")
