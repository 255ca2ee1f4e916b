"""Rewrites an ONNX file of float32 in float16, as converters of models do."""
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# Inputs that stay float32 by the operator's definition.
STAY = {"Resize": (1, 2), "NonMaxSuppression": (0, 1, 3, 4)}


def half(tensor):
    if tensor.data_type == TensorProto.FLOAT:
        made = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16),
                                       tensor.name)
        tensor.CopyFrom(made)


def rewrite(path):
    model = onnx.load(path)
    graph = model.graph
    staying = {name for node in graph.node for i, name in enumerate(node.input)
               if i in STAY.get(node.op_type, ())}
    for tensor in graph.initializer:
        if tensor.name not in staying:
            half(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and node.output[0] not in staying:
                half(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" \
                    and attribute.i == TensorProto.FLOAT and node.output[0] not in staying:
                attribute.i = TensorProto.FLOAT16
    for value in list(graph.input) + list(graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.value_info[:]
    onnx.save(model, path)
    return graph
