"""Mean average precision at an intersection over union (IoU) of 0.5.

Per kind of toy the detections of all pictures are taken by falling score. Each
takes the toy of its kind and picture, among those not yet taken, that it
overlaps most; with an IoU of at least 0.5 it is right, else it is wrong. The
average precision is the area under the precision envelope: at every recall
the best precision at that recall or a higher one, over all points. The mean is
over the kinds.
"""
import numpy as np


def ious(box, boxes):
    corner = np.minimum(box[2:], boxes[:, 2:])
    sides = (corner - np.maximum(box[:2], boxes[:, :2])).clip(0)
    shared = sides.prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)


def average_precision(found, truths, label):
    """`found` are (boxes, scores, labels) and `truths` (boxes, labels) of each
    picture, as arrays."""
    rows = sorted(((-score, picture, row)
                   for picture, (_, scores, labels) in enumerate(found)
                   for row, score in enumerate(scores) if labels[row] == label))
    left = [boxes[labels == label].astype(np.float64)
            for boxes, labels in truths]
    total = sum(map(len, left))
    right = np.zeros(len(rows))
    for i, (_, picture, row) in enumerate(rows):
        if not len(left[picture]):
            continue
        overlap = ious(np.float64(found[picture][0][row]), left[picture])
        best = overlap.argmax()
        if overlap[best] >= 0.5:
            right[i] = 1
            left[picture] = np.delete(left[picture], best, 0)
    precision = right.cumsum() / np.arange(1, len(rows) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return (envelope * right).sum() / total


def mean_average_precision(found, truths, kinds):
    """The mean, and the value of each of the kinds 1 to `kinds`."""
    each = [average_precision(found, truths, label)
            for label in range(1, kinds + 1)]
    return np.mean(each), each
