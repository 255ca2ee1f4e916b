#!/usr/bin/env python3
"""Writes the held-out test, and says what PyTorch makes of it.

    python3 make_test.py

    test500.txt    500 lines: a passage, a tab, its answer
    expected.json  of these: how many are `right`; `attention_to_answer` and
                   `attention_to_fact`, how much the first word attends in the
                   last layer to the answer and to the name, colour and thing of
                   its fact, as means over heads and passages; `logits` of the
                   first ten; `attention`, the weights of both layers (4 heads,
                   words, words) in the first passage, which is not filled up

Tools: as for train_sequence.py, whose sequence.onnx must exist.
"""
import json
import os

import numpy as np
import torch

from passages import ANSWERS, dataset, decode
from train_sequence import HERE, evaluate, load, predict

SEED = 3                # neither the training passages nor the fresh ones
COUNT = 500


def exact(tensor):
    """Nested lists of the shortest decimals that give back each float32."""
    if tensor.dim():
        return [exact(row) for row in tensor]
    return float(str(np.float32(tensor.item())))


def main():
    torch.set_num_threads(1)
    model = load()
    ids, answers, places, groups = dataset(SEED, COUNT)
    with open(os.path.join(HERE, "test500.txt"), "w") as file:
        file.writelines(f"{decode(passage)}\t{ANSWERS[answer]}\n"
                        for passage, answer in zip(ids, answers))
    right, answer, fact = evaluate(model, ids, answers, places, groups)
    logits, _ = predict(model, ids)
    two = logits.topk(2).values
    predict(model, ids[:1, :(ids[0] != 0).sum()])
    expected = {
        "right": right, "attention_to_answer": round(float(answer), 7),
        "attention_to_fact": round(float(fact), 7),
        "logits": exact(logits[:10]),
        "attention": {f"layers.{i}/attention": exact(layer.attention.weights[0])
                      for i, layer in enumerate(model.layers)}}
    with open(os.path.join(HERE, "expected.json"), "w") as file:
        json.dump(expected, file)
        file.write("\n")
    print(f"{right} of {COUNT} right; attention to the answer {answer:.3f}, to "
          f"its fact {fact:.3f}, of {(groups > 0).sum() / COUNT / 3:.1f} facts; the "
          f"two best logits are at least {(two[:, 0] - two[:, 1]).min():.2g} apart")
    for i in np.flatnonzero(logits.argmax(1).numpy() != answers):
        print(f"{decode(ids[i])}: {ANSWERS[logits[i].argmax()]}")


if __name__ == "__main__":
    main()
