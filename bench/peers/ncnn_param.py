#!/usr/bin/env python3
"""Writes the structure of an ONNX file of a convolutional network as a .param file of ncnn.

    /usr/bin/python3 bench/peers/ncnn_param.py MODEL.onnx MODEL.param [--half]

benchncnn makes up weights, so the structure is all it wants; so both programs run the very same
network. Activations are in the convolution before them and shapes are given, as in the files
that come with benchncnn. Networks with other operators than these are refused.

benchncnn has no switch for float16. Without --half every layer says (31=3) that it neither stores
nor computes in it, behind one Cast for the picture, which benchncnn uploads as float16.
"""
import argparse
import sys

MAX, AVERAGE = 0, 1
RELU, CLIP, SIGMOID, HARD_SWISH = 1, 3, 4, 6
NO_FLOAT16 = "31=3"


class Refused(Exception):
    pass


def shapes_of(graph):
    values = list(graph.value_info) + list(graph.output) + list(graph.input)
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def infer_shapes(model):
    """torch's chunk(2) is arithmetic that onnx does not follow: Slices of one value with computed
    bounds are taken for equal parts of its channels, as often as this makes more shapes known."""
    import numpy as np
    import onnx
    while True:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        shapes, groups = shapes_of(model.graph), {}
        for node in model.graph.node:
            if node.op_type == "Slice" and not shapes.get(node.output[0]) and \
                    shapes.get(node.input[0]):
                groups.setdefault(node.input[0], []).append(node)
        if not groups:
            return model
        for name, parts in groups.items():
            size = shapes[name][1] // len(parts)
            for index, node in enumerate(parts):
                for position, bound in ((1, index * size), (2, index * size + size)):
                    node.input[position] = f"{node.output[0]}_bound{position}"
                    model.graph.initializer.append(onnx.numpy_helper.from_array(
                        np.array([bound]), node.input[position]))


class Network:
    """The ONNX graph: shapes, constants, who reads what."""

    def __init__(self, path):
        import onnx
        from onnx import numpy_helper
        graph = infer_shapes(onnx.load(path)).graph
        self.nodes = list(graph.node)
        self.output = graph.output[0].name
        self.constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
        inputs = [v for v in graph.input if v.name not in self.constants]
        if len(inputs) != 1:
            raise Refused("more than one input")
        self.input = inputs[0].name
        self.shapes = shapes_of(graph)
        for node in self.nodes:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            if node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
        self.readers = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def attributes(self, node):
        from onnx import helper
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def only_reader(self, name):
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 else None


class Param:
    def __init__(self, network, half):
        self.network, self.half = network, half
        self.layers = []  # type, inputs, outputs, parameters
        self.alias = {}  # names of ONNX whose values are those of another
        self.done = set()  # nodes that are part of a layer already

    def blob(self, name):
        while name in self.alias:
            name = self.alias[name]
        return name

    def hint(self, name):
        """-23330: dims, w, h, c of a blob. One row where ONNX has a picture of one pixel."""
        shape = self.network.shapes.get(name, [])[1:]
        while len(shape) > 1 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) == 1:
            return [1, shape[0], 1, 1]
        return [3, shape[2], shape[1], shape[0]] if len(shape) == 3 and all(shape) else None

    def add(self, kind, inputs, outputs, params=""):
        self.layers.append((kind, [self.blob(i) for i in inputs], list(outputs), params))

    # ---- operators

    def activation(self, node):
        """What follows the node alone: its parameters; the node's output then is that one's."""
        after = self.network.only_reader(node.output[0])
        if after is None:
            return "", node.output[0]
        if after.op_type == "Relu":
            text = f" 9={RELU}"
        elif after.op_type == "Clip" and len(after.input) == 3:
            low, high = (float(self.network.constants[i]) for i in after.input[1:])
            text = f" 9={CLIP} -23310=2,{low:e},{high:e}"
        elif after.op_type == "Sigmoid":
            text = f" 9={SIGMOID}"
        elif after.op_type == "HardSwish":
            text = f" 9={HARD_SWISH} -23310=2,{1 / 6:e},{0.5:e}"
        else:
            return "", node.output[0]
        self.done.add(id(after))
        return text, after.output[0]

    def conv(self, node, attributes):
        weights = self.network.constants[node.input[1]]
        out, height, width = weights.shape[0], weights.shape[2], weights.shape[3]
        group = attributes.get("group", 1)
        strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
        dilations = attributes.get("dilations", [1, 1])
        bias = int(len(node.input) > 2)
        fused, output = self.activation(node)
        if self.network.shapes[node.input[0]][2:] == [1, 1] and (height, width) == (1, 1):
            return self.add("InnerProduct", node.input[:1], [output],
                            f"0={out} 1={bias} 2={weights.size}{fused}")
        text = (f"0={out} 1={width} 11={height} 2={dilations[1]} 12={dilations[0]} "
                f"3={strides[1]} 13={strides[0]} 4={pads[1]} 14={pads[0]} 15={pads[3]} "
                f"16={pads[2]} 5={bias} 6={weights.size}{fused}")
        if group == 1:
            return self.add("Convolution", node.input[:1], [output], text)
        return self.add("ConvolutionDepthWise", node.input[:1], [output], f"{text} 7={group}")

    def gemm(self, node, attributes):
        weights = self.network.constants[node.input[1]]
        out = weights.shape[0 if attributes.get("transB") else 1]
        fused, output = self.activation(node)
        self.add("InnerProduct", node.input[:1], [output],
                 f"0={out} 1={int(len(node.input) > 2)} 2={weights.size}{fused}")

    def pool(self, node, attributes):
        kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0] * 4)
        strides = attributes.get("strides", [1, 1])
        kind = MAX if node.op_type == "MaxPool" else AVERAGE
        if tuple(kernel) == (1, 1) and tuple(strides) == (1, 1):
            self.alias[node.output[0]] = node.input[0]
            return
        full = 0 if attributes.get("ceil_mode") else 1
        self.add("Pooling", node.input[:1], node.output,
                 f"0={kind} 1={kernel[1]} 11={kernel[0]} 2={strides[1]} 12={strides[0]} "
                 f"3={pads[1]} 13={pads[0]} 14={pads[3]} 15={pads[2]} 5={full}")

    def shuffle(self, node):
        """Reshape, Transpose, Reshape."""
        turn = self.network.only_reader(node.output[0])
        back = self.network.only_reader(turn.output[0]) if turn is not None else None
        if turn is None or turn.op_type != "Transpose" or back is None or \
                back.op_type != "Reshape":
            raise Refused(f"Reshape {node.name}")
        self.done.update((id(turn), id(back)))
        groups = int(self.network.constants[node.input[1]][1])
        self.add("ShuffleChannel", node.input[:1], back.output, f"0={groups}")

    def slices(self, node):
        """The Slices of one value in channels that together are all of it."""
        parts = [n for n in self.network.readers[node.input[0]] if n.op_type == "Slice"]
        sizes = [self.network.shapes[n.output[0]][1] for n in parts]
        whole = self.network.shapes[node.input[0]][1]
        if sum(sizes) != whole:
            raise Refused(f"Slice {node.name}")
        self.done.update(id(n) for n in parts)
        lengths = ",".join(str(s) for s in sizes[:-1] + [-233])
        self.add("Slice", node.input[:1], [n.output[0] for n in parts],
                 f"-23300={len(parts)},{lengths} 1=0")

    def multiply(self, node):
        """x * sigmoid(x) is one layer, Swish: its Sigmoid was left for here."""
        for x, gate in (node.input, reversed(node.input)):
            made = next((n for n in self.network.nodes if n.output[0] == gate), None)
            if made is not None and made.op_type == "Sigmoid" and made.input[0] == x:
                return self.add("Swish", [x], node.output)
        return self.add("BinaryOp", node.input, node.output, "0=2")

    def sigmoid(self, node):
        after = self.network.only_reader(node.output[0])
        if after is None or after.op_type != "Mul" or node.input[0] not in after.input:
            self.add("Sigmoid", node.input, node.output)

    def translate(self, node):
        attributes = self.network.attributes(node)
        kind = node.op_type
        if kind == "Conv":
            self.conv(node, attributes)
        elif kind == "Gemm":
            self.gemm(node, attributes)
        elif kind in ("MaxPool", "AveragePool"):
            self.pool(node, attributes)
        elif kind == "GlobalAveragePool" or \
                kind == "ReduceMean" and list(attributes["axes"]) in ([2, 3], [-2, -1], [-1, -2]):
            self.add("Pooling", node.input[:1], node.output, f"0={AVERAGE} 4=1")
        elif kind == "Add":
            self.add("BinaryOp", node.input, node.output, "0=0")
        elif kind == "Mul":
            self.multiply(node)
        elif kind == "Sigmoid":
            self.sigmoid(node)
        elif kind == "Concat" and attributes["axis"] == 1:
            self.add("Concat", node.input, node.output, "0=0")
        elif kind == "BatchNormalization":
            size = self.network.constants[node.input[1]].size
            self.add("BatchNorm", node.input[:1], node.output, f"0={size}")
        elif kind == "Reshape":
            self.shuffle(node)
        elif kind == "Slice":
            self.slices(node)
        elif kind == "Relu":
            self.add("ReLU", node.input, node.output)
        elif kind in ("HardSigmoid", "HardSwish"):
            self.add(kind, node.input, node.output, f"0={1 / 6:e} 1={0.5:e}")
        elif kind in ("Flatten", "Identity") or \
                kind == "Pad" and not self.network.constants[node.input[1]].any():
            self.alias[node.output[0]] = node.input[0]
        else:
            raise Refused(f"{kind} {node.name}")

    # ---- the file

    def walk(self):
        """Numbers of ONNX's shape arithmetic are known; nodes of it are left out."""
        numbers = set(self.network.constants)
        for node in self.network.nodes:
            if node.op_type == "Shape" or all(i in numbers for i in node.input):
                numbers.update(node.output)
            elif id(node) not in self.done:
                self.translate(node)

    def split(self):
        """A blob of ncnn has one reader."""
        count = {}
        for _, inputs, _, _ in self.layers:
            for name in inputs:
                count[name] = count.get(name, 0) + 1
        given, layers = {}, []
        for kind, inputs, outputs, params in self.layers:
            mine = []
            for name in inputs:
                given[name] = given.get(name, -1) + 1
                mine.append(f"{name}_{given[name]}" if count[name] > 1 else name)
            layers.append((kind, mine, outputs, params))
            for name in outputs:
                if count.get(name, 0) > 1:
                    copies = [f"{name}_{i}" for i in range(count[name])]
                    for copy in copies:
                        self.network.shapes[copy] = self.network.shapes.get(name, [])
                    layers.append(("Split", [name], copies, ""))
        return layers

    def text(self):
        shape = self.network.shapes[self.network.input]
        picture = f"0={shape[3]} 1={shape[2]} 2={shape[1]}"
        if self.half:
            self.layers.append(("Input", [], [self.network.input], picture))
        else:
            self.layers.append(("Input", [], ["picture"], picture))
            self.network.shapes["picture"] = shape
            self.layers.append(("Cast", ["picture"], [self.network.input], "0=2 1=1"))
        self.walk()
        lines, blobs = [], {}
        for index, (kind, inputs, outputs, params) in enumerate(self.split()):
            names = [f"b{blobs.setdefault(n, len(blobs))}" for n in inputs + outputs]
            hints = [self.hint(name) for name in outputs]
            shapes = [str(n) for hint in hints if hint is not None for n in hint]
            if hints and None not in hints:
                params = f"-23330={len(shapes)},{','.join(shapes)} {params}"
            if not self.half and kind not in ("Input", "Cast"):
                params += " " + NO_FLOAT16
            lines.append(f"{kind} l{index} {len(inputs)} {len(outputs)} {' '.join(names)} {params}")
        return "\n".join(["7767517", f"{len(lines)} {len(blobs)}"] + lines) + "\n"


def write(source, target, half=False):
    """Returns the picture's shape as benchncnn wants it: [w,h,c]."""
    network = Network(source)
    text = Param(network, half).text()
    with open(target, "w") as file:
        file.write(text)
    _, channels, height, width = network.shapes[network.input]
    return f"[{width},{height},{channels}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx")
    parser.add_argument("param")
    parser.add_argument("--half", action="store_true", help="leave float16 to ncnn")
    options = parser.parse_args()
    try:
        print(write(options.onnx, options.param, options.half))
    except Refused as error:
        print(f"ncnn_param.py: {options.onnx}: not among the operators it knows: {error}",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
