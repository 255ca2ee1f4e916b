#!/usr/bin/env python3
"""Trains the detector of the detection example and exports it.

    python3 train_detection.py    # draws the data, trains, writes toys.onnx
                                  # and train.log

The network is torchvision's Faster R-CNN on the first 14 blocks of
torchvision's MobileNetV2 at half width, with the attention gate of ../shapes
on the feature map. All pictures are drawn by toys.py; nothing is downloaded.
Seeds are fixed, one thread is used, so two runs on one machine give the same
network.

Tools: Python 3.11, PyTorch 1.13 and torchvision 0.14 (training, export), onnx
1.12 (metadata), numpy 1.24, Pillow 9.4 (drawing): the packages
python3-torchvision, python3-onnx, python3-numpy and python3-pil of Debian 12.
"""
import os
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn as nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import (FastRCNNPredictor,
                                                      TwoMLPHead)
from torchvision.ops import MultiScaleRoIAlign

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.dirname(HERE), os.path.join(HERE, os.pardir, "shapes")]

from measure import mean_average_precision  # noqa: E402
from toys import LABELS, SIZE, dataset  # noqa: E402
from train import Gate  # noqa: E402
from training import finish, load_weights, log_to, round_to_half  # noqa: E402

MODEL = os.path.join(HERE, "toys.onnx")
LOG = os.path.join(HERE, "train.log")

SEED = 1
PICTURES = 3000         # drawn once, then mirrored and recoloured every epoch
FRESH_SEED = 2          # pictures that are never trained on
FRESH = 100
EPOCHS = 8
BATCH = 16              # PyTorch takes its fast convolutions from 16 on
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
MEAN = STD = 0.5
WIDTH = 0.5             # of the backbone
BLOCKS = 14             # of the backbone, to a feature map of 1/16
POOL, HIDDEN = 5, 96    # of the box head
SHOWN = 0.5             # score from which a program should show a box


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = mobilenet_v2(width_mult=WIDTH).features[:BLOCKS]
        self.out_channels = self.features[-1].conv[-1].num_features
        self.attention = Gate(self.out_channels)

    def forward(self, x):
        if self.training:   # the faster layout; the graph has nothing of it
            x = x.contiguous(memory_format=torch.channels_last)
        return self.attention(self.features(x))


def detector():
    backbone = Backbone()
    anchors = AnchorGenerator(sizes=((32, 64, 128, 256, 512),),
                              aspect_ratios=((0.5, 1.0, 2.0),))
    pool = MultiScaleRoIAlign(["0"], output_size=POOL, sampling_ratio=2)
    return FasterRCNN(
        backbone, min_size=SIZE, max_size=SIZE, fixed_size=(SIZE, SIZE),
        image_mean=[MEAN] * 3, image_std=[STD] * 3,
        rpn_anchor_generator=anchors, box_roi_pool=pool,
        box_head=TwoMLPHead(backbone.out_channels * POOL ** 2, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, len(LABELS)),
        rpn_pre_nms_top_n_train=300, rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=60,
        rpn_batch_size_per_image=64, box_batch_size_per_image=32,
        box_positive_fraction=0.4, box_detections_per_img=30)


def to_tensor(picture):
    """uint8 (H, W, 3) -> float (3, H, W), 0 to 1, as the network takes it."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def augment(picture, boxes):
    """Mirrors, permutes the colours and adds a little noise."""
    x, boxes = to_tensor(picture), torch.from_numpy(boxes)
    if torch.randint(2, (1,)).item():
        x = x.flip(2)
        boxes = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1., 1, -1, 1])
        boxes = boxes + torch.tensor([SIZE, 0, SIZE, 0])
    if torch.randint(2, (1,)).item():
        x = x[torch.randperm(3)]
    return x + 0.02 * torch.rand(1) * torch.randn_like(x), boxes


@torch.no_grad()
def predict(model, pictures):
    """(boxes, scores, labels) of each picture, as arrays."""
    model.eval()
    found = []
    for picture in pictures:
        out = model([to_tensor(picture)])[0]
        found.append(tuple(out[key].numpy()
                           for key in ("boxes", "scores", "labels")))
    return found


def evaluate(model, scenes):
    found = predict(model, [picture for picture, _, _ in scenes])
    truths = [(boxes, labels) for _, boxes, labels in scenes]
    return mean_average_precision(found, truths, len(LABELS) - 1)


def step(model, scenes):
    """The losses of one batch."""
    images, targets = [], []
    for picture, boxes, labels in scenes:
        x, boxes = augment(picture, boxes)
        images.append(x)
        targets.append({"boxes": boxes, "labels": torch.from_numpy(labels)})
    return model(images, targets)


def train(model, log):
    scenes = dataset(SEED, PICTURES)
    fresh = dataset(FRESH_SEED, FRESH)
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE,
                                  weight_decay=WEIGHT_DECAY)
    steps = PICTURES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps,
        pct_start=0.15)
    for epoch in range(1, EPOCHS + 1):
        model.train()
        total = {}
        order = torch.randperm(PICTURES).numpy()[:steps * BATCH]
        for chosen in order.reshape(steps, BATCH):
            losses = step(model, [scenes[i] for i in chosen])
            optimiser.zero_grad()
            sum(losses.values()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            for name, loss in losses.items():
                total[name] = total.get(name, 0) + loss.item() / steps
        parts = "  ".join(f"{name[5:]} {value:.4f}"
                          for name, value in total.items())
        log(f"epoch {epoch:2d}  {parts}  fresh mAP "
            f"{evaluate(model, fresh)[0]:.4f}")


class Whole(nn.Module):
    """The detector from one picture to its boxes: what is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        found = self.model([image[0]])[0]
        return found["boxes"], found["labels"], found["scores"]


def export(model):
    """Writes toys.onnx with its BatchNorms kept (TrainingMode.PRESERVE stops
    the exporter from folding them) and says in its metadata how to use it."""
    with warnings.catch_warnings():
        # The exporter warns of all that it fixes for pictures of one size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Whole(model.eval()).eval(), torch.zeros(1, 3, SIZE, SIZE), MODEL,
            opset_version=13, training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False, input_names=["image"],
            output_names=["boxes", "classes", "scores"],
            dynamic_axes={name: {0: "found"}
                          for name in ("boxes", "classes", "scores")})
    finish(MODEL, {
        "inputs": {"image": {"role": "image", "preprocess": {
            "size": [SIZE, SIZE], "resize": "letterbox", "color": "rgb",
            "scale": 255}}},
        "outputs": {"boxes": {"role": "boxes", "of": "image"},
                    "classes": {"role": "classes", "labels": LABELS},
                    "scores": {"role": "scores", "threshold": SHOWN}}})


def load():
    """The trained network: toys.onnx is its own checkpoint."""
    return load_weights(Whole(detector()), MODEL).model


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    with log_to(LOG) as log:
        model = detector().to(memory_format=torch.channels_last)
        log(f"{sum(p.numel() for p in model.parameters())} parameters, "
            f"{PICTURES} pictures, {EPOCHS} epochs of batches of {BATCH}")
        train(model, log)
        round_to_half(model)
        export(model)
        value, _ = evaluate(load(), dataset(FRESH_SEED, FRESH))
        log(f"mAP on {FRESH} fresh pictures {value:.4f}, toys.onnx "
            f"{os.path.getsize(MODEL)} bytes, "
            f"{time.process_time() / 60:.0f} minutes of CPU")


if __name__ == "__main__":
    main()
