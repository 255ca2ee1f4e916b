#!/usr/bin/env python3
"""Writes the files of tests/corpus/good and tests/corpus/bad, from SPEC.md and not from the C code.

Run it when a case is added. Files of good/ are golden bytes: as long as the format's version stays
the same not one byte of a file that is there may change, which git shows. What ends in .json is in
the hand-written form, for what needs no container around it.
"""

import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
MAGIC = b"\x89ESP\r\n\x1a\n"


# ---- the container ---------------------------------------------------------------------------------

def pad(data, alignment):
    return data + b"\0" * (-len(data) % alignment)


def chunk_header(kind, size, alignment, payload_crc, flags=1, reserved=0):
    head = kind + struct.pack("<IQIII", flags, size, alignment, payload_crc, reserved)
    return head + struct.pack("<I", zlib.crc32(head))


def add_chunk(body, kind, payload, alignment=16, flags=1, reserved=0, size=None):
    """body is what follows the 32 bytes of the file's header."""
    body += chunk_header(kind, len(payload) if size is None else size, alignment,
                         zlib.crc32(payload), flags, reserved)
    body = pad(b"\0" * 32 + body, alignment)[32:]
    return pad(body + payload, 16)


def with_header(body, count, version=1, reserved=0, total=None):
    head = MAGIC + struct.pack("<IIQI", version, count, 32 + len(body) if total is None else total,
                               reserved)
    return head + struct.pack("<I", zlib.crc32(head)) + body


def container(text, weights=b"", extra=(), version=1):
    """extra: (kind, payload, flags) of chunks after the weights."""
    body, count = add_chunk(b"", b"JSON", text.encode()), 1
    if weights:
        body, count = add_chunk(body, b"WGTS", weights, 4096), 2
    for kind, payload, flags in extra:
        body, count = add_chunk(body, kind, payload, 16, flags), count + 1
    return with_header(body, count, version)


def floats(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


# ---- the JSON --------------------------------------------------------------------------------------

def dump_number(number):
    if number == int(number) and abs(number) <= 2 ** 53:
        return str(int(number))
    return next(text for text in (f"{number:.{digits}g}" for digits in range(9, 18))
                if float(text) == number)


def dump(value):
    if isinstance(value, dict):
        return "{" + ", ".join(dump(k) + ": " + dump(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return dump_number(value)
    return json.dumps(value, ensure_ascii=False)


def lines(graph):
    """The writer's layout: one entry of each list or object at the top per line."""
    parts = []
    for key, value in graph.items():
        text = dump(value)
        if key == "bodies" and value and all(isinstance(body, dict) for body in value):
            text = "[" + ", ".join(lines(body)[:-2] + "  }" for body in value) + "]"
        elif isinstance(value, list) and value:
            text = "[\n    " + ",\n    ".join(map(dump, value)) + "\n  ]"
        elif isinstance(value, dict) and value:
            text = "{\n    " + ",\n    ".join(dump(k) + ": " + dump(v)
                                             for k, v in value.items()) + "\n  }"
        parts.append(f"{dump(key)}: {text}")
    return "{\n  " + ",\n  ".join(parts) + "\n}\n"


# ---- good ------------------------------------------------------------------------------------------

MINIMAL = {
    "espy": 1,
    "inputs": [{"name": "x", "dtype": "float32", "shape": [2]}],
    "outputs": [{"name": "y"}],
    "tensors": {"b": {"dtype": "float32", "shape": [2], "offset": 0, "size": 8}},
    "nodes": [{"op": "Add", "name": "add", "inputs": ["x", "b"], "outputs": ["y"]}],
}
MINIMAL_WEIGHTS = floats(1.0, -2.0)

# Elements that share bytes, and floats of a byte: what there are of each must fill the last byte.
SMALL_TENSORS = [
    ("nibbles", "int4", [3], bytes([0x98, 0x07])),           # -8, -7, 7
    ("nothing", "uint4", [0], b""),
    ("pairs", "uint4", [2, 2], bytes([0x10, 0xf2])),          # 0, 1, 2, 15
    ("quarters", "int2", [5], bytes([0b11100100, 0b10])),     # 0, 1, -2, -1, -2
    ("quarter", "uint2", [1], bytes([3])),
    ("e2m1", "float4e2m1", [3], bytes([0x2f, 0x07])),         # -6, 1, 6
    ("e4m3fn", "float8e4m3fn", [2], bytes([0x38, 0x7f])),     # 1, NaN
    ("e4m3fnuz", "float8e4m3fnuz", [2], bytes([0x40, 0x80])), # 1, NaN
    ("e5m2", "float8e5m2", [2], bytes([0x3c, 0xfc])),         # 1, -infinity
    ("e5m2fnuz", "float8e5m2fnuz", [1], bytes([0xff])),       # -57344
    ("e8m0", "float8e8m0", [2], bytes([0x7f, 0xff])),         # 1, NaN
]


def small_types():
    tensors, weights = {}, b""
    for name, dtype, shape, payload in SMALL_TENSORS:
        weights = pad(weights, 64)
        tensors[name] = {"dtype": dtype, "shape": shape, "offset": len(weights),
                         "size": len(payload)}
        weights += payload
    graph = {"espy": 1, "inputs": [{"name": "x", "dtype": "int4", "shape": ["n"]}],
             "outputs": [{"name": "x"}], "tensors": tensors, "nodes": []}
    return lines(graph), weights


NO_WEIGHTS = {
    "espy": 1,
    "inputs": [{"name": "x", "dtype": "bool", "shape": []}],
    "outputs": [{"name": "x"}],
    "tensors": {},
    "nodes": [],
}


def attention():
    """Sites: a windowed one, one with a class token, and a gate."""
    graph = MINIMAL | {
        "tensors": {"b": {"dtype": "float32", "shape": [2], "offset": 0, "size": 8}},
        "attention": [
            {"name": "blocks.0/attn", "kind": "softmax", "node": "add", "heads": 3,
             "queries": {"grid": [8, 12], "window": [4, 3], "step": [1, 4], "shift": [2, 0]},
             "keys": {"grid": [14, 14], "extra": 1}},
            {"name": "gate", "kind": "a_kind_of_tomorrow", "node": "add"}]}
    return lines(graph), floats(1, -2)


def attention_of():
    """A site whose queries and keys lie on different inputs."""
    graph = MINIMAL | {
        "inputs": [MINIMAL["inputs"][0], MINIMAL["inputs"][0] | {"name": "z"}],
        "tensors": {"b": {"dtype": "float32", "shape": [2], "offset": 0, "size": 8}},
        "attention": [
            {"name": "cross", "kind": "softmax", "node": "add",
             "queries": {"grid": [8, 12], "of": "x"},
             "keys": {"grid": [14, 14], "of": "z", "extra": 1}}]}
    return lines(graph), floats(1, -2)


def everything():
    tensors, weights = {}, b""
    for name, dtype, shape, payload in [
            ("kernel", "float32", [2, 3, 1, 1], floats(1, 2, 3, 4, 5, 6)),
            ("bias", "float16", [2], bytes.fromhex("003c00c0")),
            ("flag", "bool", [3], b"\0\1\1"),
            ("none", "int64", [0, 4], b""),
            ("steps", "int64", [2], struct.pack("<2q", -1, 2 ** 40)),
            ("mixed", "bfloat16", [1], bytes.fromhex("803f")),
            ("last", "uint8", [0], b"")]:
        weights = pad(weights, 64)
        tensors[name] = {"dtype": dtype, "shape": shape, "offset": len(weights),
                         "size": len(payload)}
        weights += payload
    graph = {
        "espy": 1,
        "name": "everything \u00e9\u4e2d\U0001f600 \"quoted\" back\\slash",
        "producer": "make_corpus",
        "inputs": [
            {"name": "picture", "dtype": "float32", "shape": ["batch", 3, "h", "w"],
             "role": "image",
             "preprocess": {"size": [224, 320], "resize": "letterbox", "color": "bgr",
                            "layout": "nchw", "scale": 255, "mean": [0.485, 0.456, 0.406],
                            "std": [0.229, 0.224, 0.225]}},
            {"name": "gray", "dtype": "uint8", "shape": [1, 8, 8, 1], "role": "image",
             "of": "picture",
             "preprocess": {"size": [0, 0], "resize": "crop", "color": "gray", "layout": "nhwc",
                            "scale": 1, "mean": [0], "std": [1]}},
            {"name": "unused", "dtype": "float64", "shape": []}],
        "outputs": [
            {"name": "scores", "dtype": "float32", "shape": ["batch", 2], "role": "logits",
             "labels": ["cat", "\u732b", ""]},
            {"name": "found", "dtype": "int64", "shape": [2, None]},
            {"name": "map", "role": "attention_map", "of": "picture"},
            {"name": "steps"}],
        "tensors": tensors,
        "nodes": [
            {"op": "Conv", "name": "conv", "inputs": ["picture", "kernel", ""],
             "outputs": ["c", "", "map"],
             "attrs": {"strides": [1, 1], "auto_pad": "SAME_UPPER", "alpha": 0.1,
                       "third": 1 / 3, "tiny": 5e-324, "huge": 1.7976931348623157e+308,
                       "exact": 2 ** 53, "beyond": 2.0 ** 64, "minus": -0.5, "empty": [],
                       "words": ["a\n\tb", "\u0001", ""]},
             "epilogue": [{"op": "Relu"}, {"op": "Clip", "min": -1.5, "max": 6}]},
            {"op": "EspyNothing", "name": "no inputs", "inputs": [], "outputs": ["scores"]},
            {"op": "NonZero", "name": "conv/find", "inputs": ["c"], "outputs": ["found"]}],
    }
    return container(lines(graph), weights)


def roles():
    """Inputs and outputs of all kinds of networks, with what only some of them have."""
    graph = {
        "espy": 1,
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": [1, 8], "role": "tokens",
             "labels": ["", "red", "green"]},
            {"name": "kind", "dtype": "int64", "shape": [1], "role": "class",
             "labels": ["dot", "ring"]},
            {"name": "noise", "dtype": "float32", "shape": [1, 16], "role": "latent"},
            {"name": "pixels", "dtype": "uint8", "shape": [1, "h", "w", 3], "role": "image",
             "preprocess": {"size": [0, 0], "resize": "stretch", "color": "rgb", "layout": "nhwc",
                            "scale": 1, "mean": [0, 0, 0], "std": [1, 1, 1]}},
            {"name": "size", "dtype": "int64", "shape": [1, 2], "role": "image_size",
             "of": "pixels"}],
        "outputs": [
            {"name": "boxes", "role": "boxes", "of": "pixels"},
            {"name": "scores", "role": "scores", "of": "pixels", "threshold": 0.25},
            {"name": "classes", "role": "classes", "of": "pixels",
             "labels": ["__background__", "cat"]},
            {"name": "mask", "role": "mask", "of": "pixels", "labels": ["road"]}],
        "tensors": {},
        "nodes": [{"op": "EspyNothing", "name": "all", "inputs": [],
                   "outputs": ["boxes", "scores", "classes", "mask"]}],
    }
    return container(lines(graph))


def bodies():
    """A loop whose body has a tensor of its own and one that it shares, and an If inside of it."""
    def tensor(shape, offset, size):
        return {"dtype": "float32", "shape": shape, "offset": offset, "size": size}

    def branch(name, op):
        return {"name": name, "inputs": [{"name": "v"}], "outputs": [{"name": "r"}], "tensors": {},
                "nodes": [{"op": op, "name": op, "inputs": ["v"], "outputs": ["r"]}]}

    graph = {
        "espy": 1,
        "inputs": [{"name": "n", "dtype": "int64", "shape": []},
                   {"name": "x", "dtype": "float32", "shape": [2]}],
        "outputs": [{"name": "y"}, {"name": "all"}],
        "tensors": {"w": tensor([2], 0, 8)},
        "nodes": [
            {"op": "Mul", "name": "scale", "inputs": ["x", "w"], "outputs": ["s"]},
            {"op": "Loop", "name": "loop", "inputs": ["n", "", "s"], "outputs": ["y", "all"],
             "attrs": {"body": "step"}}],
        "bodies": [
            branch("lower", "Neg"), branch("raise", "Abs"),
            {"name": "step",
             "inputs": [{"name": "i", "dtype": "int64"}, {"name": "go", "dtype": "bool"},
                        {"name": "s"}],
             "outputs": [{"name": "go"}, {"name": "t"}, {"name": "m", "dtype": "float32",
                                                         "shape": [2]}],
             "tensors": {"w": {"same_as": "w"}, "limit": tensor([], 64, 4)},
             "nodes": [
                 {"op": "Add", "name": "add", "inputs": ["s", "w"], "outputs": ["t"]},
                 {"op": "ReduceSum", "name": "sum", "inputs": ["t"], "outputs": ["sum"],
                  "attrs": {"keepdims": 0}},
                 {"op": "Greater", "name": "compare", "inputs": ["sum", "limit"],
                  "outputs": ["high"]},
                 {"op": "If", "name": "if", "inputs": ["high", "t", "t"], "outputs": ["m"],
                  "attrs": {"then_branch": "lower", "else_branch": "raise"}}]}],
    }
    return container(lines(graph), pad(floats(1.0, -2.0), 64) + floats(3.0))


# ---- bad: the container ------------------------------------------------------------------------------

def flipped(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def one_chunk(payload, **keys):
    return with_header(add_chunk(b"", b"JSON", payload, **keys), 1)


def bad_containers():
    text = lines(MINIMAL).encode()
    good = container(lines(MINIMAL), MINIMAL_WEIGHTS)
    first = add_chunk(b"", b"JSON", text)
    both = add_chunk(first, b"WGTS", MINIMAL_WEIGHTS, 4096)
    plain = pad(lines(NO_WEIGHTS).encode(), 16).replace(b"\0", b" ")
    odd = plain + b" "
    extra = [(b"NEW1", b"x" * 16, 0)]

    def alignment(value):
        return with_header(chunk_header(b"JSON", len(plain), value, zlib.crc32(plain)) + plain, 1)

    return {
        "empty": b"",
        "magic_only": MAGIC,
        "text_mode": good[:200].replace(b"\r\n", b"\n", 1),
        "other_kind": b"PK\3\4" + b"\0" * 60,
        "header_checksum": flipped(good[:64], 28),
        "header_reserved": with_header(first, 1, reserved=1),
        "version_0": container(lines(NO_WEIGHTS), version=0),
        "version_2": container(lines(NO_WEIGHTS), version=2),
        "size_too_large": with_header(first, 1, total=32 + len(first) + 1),
        "size_huge": with_header(first, 1, total=2 ** 64 - 1),
        "cut_off": good[:-16],
        "longer": good + b"\0" * 16,
        "no_chunks": with_header(b"", 0),
        "chunks_too_many": with_header(first, 65),
        "chunks_fewer": with_header(both, 1),
        "chunks_more": with_header(first, 2),
        "chunk_header_cut": with_header(first + b"\0" * 16, 2),
        "chunk_checksum": flipped(one_chunk(plain), 32 + 28),
        "chunk_type_lower": with_header(
            add_chunk(add_chunk(b"", b"JSON", plain), b"info", b"", 16, 0), 2),
        "chunk_flags": one_chunk(plain, flags=3),
        "chunk_reserved": one_chunk(plain, reserved=1),
        "chunk_alignment_0": alignment(0),
        "chunk_alignment_24": alignment(24),
        "chunk_alignment_huge": alignment(2 ** 31),
        "chunk_size_huge": one_chunk(plain, size=2 ** 64 - 1),
        "chunk_size_over": one_chunk(plain, size=len(plain) + 64),
        "chunk_padding_cut": with_header(add_chunk(b"", b"JSON", odd)[:-15], 1),
        "chunk_padding": with_header(add_chunk(b"", b"JSON", odd)[:-1] + b"x", 1),
        "chunk_payload": flipped(one_chunk(plain), 70),
        "json_missing": with_header(add_chunk(b"", b"WGTS", MINIMAL_WEIGHTS, 4096), 1),
        "json_second": with_header(
            add_chunk(add_chunk(b"", b"INFO", b"x", 16, 0), b"JSON", plain), 2),
        "json_twice": with_header(add_chunk(add_chunk(b"", b"JSON", plain), b"JSON", plain), 2),
        "json_optional": one_chunk(plain, flags=0),
        "json_alignment": one_chunk(plain, alignment=32),
        "weights_twice": with_header(add_chunk(both, b"WGTS", MINIMAL_WEIGHTS, 4096), 3),
        "weights_optional": with_header(
            add_chunk(first, b"WGTS", MINIMAL_WEIGHTS, 4096, flags=0), 2),
        "weights_alignment": with_header(add_chunk(first, b"WGTS", MINIMAL_WEIGHTS, 64), 2),
        "weights_missing": container(lines(MINIMAL)),
        "weights_unused": container(lines(NO_WEIGHTS), b"\0" * 8),
        "weights_longer": container(lines(MINIMAL), MINIMAL_WEIGHTS + b"\0"),
        "weights_shorter": container(lines(MINIMAL), MINIMAL_WEIGHTS[:-1]),
        "unknown_required": container(lines(NO_WEIGHTS), extra=[(b"NEW1", b"x", 1)]),
        "unknown_damaged": flipped(container(lines(NO_WEIGHTS), extra=extra), -1),
    }


def bad_tensors():
    """What only the packed form can have wrong. The weights are MINIMAL's."""
    def graph(change):
        made = json.loads(json.dumps(MINIMAL))
        change(made["tensors"])
        return container(lines(made), MINIMAL_WEIGHTS)

    def tensor(**keys):
        return graph(lambda tensors: tensors["b"].update(keys))

    def second(name="c", **keys):
        return graph(lambda tensors: tensors.update(
            {name: {"dtype": "float32", "shape": [2], "offset": 64, "size": 8} | keys}))

    padded = MINIMAL | {"tensors": MINIMAL["tensors"] | {
        "c": {"dtype": "uint8", "shape": [1], "offset": 64, "size": 1}}}
    cases = {
        "from": tensor(**{"from": "b"}),
        "name_empty": second("", shape=[0], size=0),
        "shape_size": tensor(shape=[3]),
        "dtype_size": tensor(dtype="float16"),
        "overflow": tensor(shape=[2 ** 31 - 1] * 8),
        "offset": tensor(offset=4),
        "offset_negative": tensor(offset=-64),
        "offset_fraction": tensor(offset=0.5),
        "offset_far": tensor(offset=64),
        "offset_huge": tensor(offset=2 ** 53),
        "size_huge": tensor(size=2 ** 53),
        "size_inexact": tensor(size=2 ** 60),
        "overlap": second(offset=0),
        "outside": second(),
        "bool": tensor(dtype="bool", shape=[8]),
        "bits_size": tensor(dtype="int4", shape=[17]),
        "bits_rounded_down": tensor(dtype="uint2", shape=[33]),
        "bits_padding": tensor(dtype="int4", shape=[15]),
        "padding": container(lines(padded), MINIMAL_WEIGHTS + b"\1" + b"\0" * 55 + b"c"),
    }
    for key in ("dtype", "shape", "offset", "size"):
        cases[f"no_{key}"] = graph(lambda tensors, key=key: tensors["b"].pop(key))
    return cases


# ---- bad: the JSON -----------------------------------------------------------------------------------

def bad_syntax():
    """What is not JSON, or too much of it."""
    good = lines(NO_WEIGHTS)

    def version(text):
        return good.replace('"espy": 1', '"espy": ' + text)

    def name(text):
        return good.replace('"x"', '"' + text + '"')

    return {
        "nothing": "",
        "space_only": " \n",
        "cut": good[:40],
        "after_end": good + "{}",
        "nul_after_end": good + "\0",
        "byte_order_mark": "\ufeff" + good,
        "trailing_comma": good.replace('"nodes": []', '"nodes": [],'),
        "list_comma": good.replace('"nodes": []', '"nodes": [,]'),
        "comment": "/* no */" + good,
        "single_quotes": good.replace('"', "'"),
        "bare_key": good.replace('"espy"', "espy"),
        "no_colon": good.replace('"espy":', '"espy"'),
        "wrong_close": good.replace('"nodes": []', '"nodes": [}'),
        "form_feed": "\f" + good,
        "number_leading_zero": version("01"),
        "number_plus": version("+1"),
        "number_point": version("1."),
        "number_point_first": version(".1e1"),
        "number_exponent": version("1e"),
        "number_infinite": version("1e999"),
        "number_nan": version("NaN"),
        "number_hex": version("0x1"),
        "number_minus": version("-"),
        "number_long": version("1." + "0" * 80),
        "literal": version("tru"),
        "string_no_end": '{"espy',
        "string_control": name("x\x01"),
        "string_newline": name("x\n"),
        "string_escape": name("\\x"),
        "string_nul": name("x\\u0000"),
        "string_hex": name("\\u12g4"),
        "string_high_surrogate": name("\\ud800"),
        "string_low_surrogate": name("\\udc00"),
        "string_two_high": name("\\ud800\\ud800"),
        "string_latin1": good.encode().replace(b'"x"', b'"\xe9"'),
        "string_overlong": good.encode().replace(b'"x"', b'"\xc0\xaf"'),
        "string_raw_surrogate": good.encode().replace(b'"x"', b'"\xed\xa0\x80"'),
        "string_beyond": good.encode().replace(b'"x"', b'"\xf4\x90\x80\x80"'),
        "string_utf8_cut": b'{"espy\xe2\x82',
        "deep": "[" * 17 + "]" * 17,
        "scalar": "1",
        "list": "[]",
    }


def bad_graphs():
    """JSON that is not a graph. The tensor b is found, z is not."""
    base = MINIMAL | {"tensors": {"b": {}}}

    def changed(change):
        graph = json.loads(json.dumps(base))
        change(graph)
        return graph

    def top(**keys):
        return base | keys

    def inputs(**keys):
        return changed(lambda g: g["inputs"][0].update(keys))

    def outputs(**keys):
        return changed(lambda g: g["outputs"][0].update(keys))

    def node(**keys):
        return changed(lambda g: g["nodes"][0].update(keys))

    def append(key, item):
        return changed(lambda g: g[key].append(item))

    def second_node(**keys):
        return append("nodes", {"op": "Neg", "name": "n", "inputs": ["x"], "outputs": ["v"]} | keys)

    def picture(shape=(1, 3, 4, 4), **keys):
        return append("inputs", {"name": "p", "dtype": "float32", "shape": list(shape),
                                 "role": "image", "preprocess": {"size": [4, 4]} | keys})

    def site(keys=None, **more):
        entry = {"name": "s", "kind": "softmax", "node": "add"} | more
        return top(attention=[entry if keys is None else entry | {"keys": keys}])

    cases = {
        "site_list": top(attention={}),
        "site_unknown_key": site(extra=1),
        "site_node_unknown": site(node="b"),
        "site_name_output": site(name="y"),
        "site_name_empty": site(name=""),
        "site_kind": site(kind="Softmax"),
        "site_heads": site(heads=2 ** 21),
        "site_heads_text": site(heads="3"),
        "site_twice": top(attention=[{"name": "s", "kind": "softmax", "node": "add"}] * 2),
        "site_no_grid": site({"extra": 1}),
        "site_of_unknown": site({"grid": [4, 4], "of": "picture"}),
        "site_of_output": site({"grid": [4, 4], "of": "y"}),
        "site_of_number": site({"grid": [4, 4], "of": 1}),
        "site_grid_zero": site({"grid": [0, 4]}),
        "site_grid_three": site({"grid": [1, 4, 4]}),
        "site_grid_negative": site({"grid": [-1, 4]}),
        "site_window_zero": site({"grid": [4, 4], "window": [0, 2]}),
        "site_window_ragged": site({"grid": [4, 4], "window": [3, 2]}),
        "site_window_large": site({"grid": [4, 4], "window": [8, 2]}),
        "site_step": site({"grid": [8, 8], "window": [2, 2], "step": [3, 1]}),
        "site_step_alone": site({"grid": [8, 8], "step": [1, 1]}),
        "site_shift": site({"grid": [8, 8], "window": [2, 2], "shift": [8, 0]}),
        "unknown_key": top(extra=1),
        "unknown_key_control": top(**{"a\nb\u0085c": 1}),
        "unknown_key_case": top(Name="x"),
        "version_other": top(espy=2),
        "version_fraction": top(espy=1.5),
        "version_text": top(espy="1"),
        "name_empty": top(name=""),
        "name_null": top(name=None),
        "name_control": top(name="a\nb"),
        "name_long": top(name="n" * 1025),
        "producer_number": top(producer=1),
        "inputs_object": top(inputs={}),
        "outputs_none": top(outputs=[]),
        "outputs_too_many": top(outputs=[{"name": "y"}] * 1025),
        "tensors_list": top(tensors=[]),
        "tensors_missing": {key: base[key] for key in base if key != "tensors"},
        "nodes_null": top(nodes=None),
        "input_number": append("inputs", 1),
        "input_name_empty": inputs(name=""),
        "input_name_number": inputs(name=1),
        "input_twice": append("inputs", base["inputs"][0]),
        "input_and_tensor": append("inputs", base["inputs"][0] | {"name": "b"}),
        "input_unknown_key": inputs(threshold=0),
        "input_labels_no_role": inputs(labels=["a"]),
        "input_labels_role": inputs(role="latent", labels=["a"]),
        "input_labels_number": inputs(role="class", labels=[1]),
        "input_labels_control": inputs(role="tokens", labels=["a\n"]),
        "input_dtype_unknown": inputs(dtype="float"),
        "input_dtype_none": inputs(dtype="none"),
        "input_dtype_number": inputs(dtype=1),
        "input_shape_number": inputs(shape=2),
        "input_shape_null": inputs(shape=[None]),
        "input_shape_bool": inputs(shape=[True]),
        "input_shape_negative": inputs(shape=[-1]),
        "input_shape_fraction": inputs(shape=[1.5]),
        "input_shape_large": inputs(shape=[2 ** 31]),
        "input_shape_overflow": inputs(shape=[2 ** 31 - 1] * 3),
        "input_shape_overflow_zero": inputs(shape=[0] + [2 ** 31 - 1] * 3),
        "input_shape_rank": inputs(shape=[1] * 9),
        "input_symbol_empty": inputs(shape=[""]),
        "input_symbol_control": inputs(shape=["a\tb"]),
        "input_role_empty": inputs(role=""),
        "input_role_upper": inputs(role="Image"),
        "input_role_digit": inputs(role="1st"),
        "input_of_unknown": inputs(of="v"),
        "input_of_tensor": inputs(of="b"),
        "input_of_itself": inputs(of="x"),
        "preprocess_no_role": inputs(preprocess={}),
        "preprocess_list": inputs(role="image", preprocess=[]),
        "preprocess_unknown_key": picture(gamma=1),
        "preprocess_rank": picture(shape=(3, 4, 4)),
        "preprocess_channels": picture(shape=(1, 4, 4, 4)),
        "preprocess_layout_shape": picture(layout="nhwc"),
        "preprocess_size_other": picture(size=[4, 5]),
        "preprocess_size_half": picture(size=[0, 4]),
        "preprocess_size_one": picture(size=[4]),
        "preprocess_size_large": picture(size=[65537, 4]),
        "preprocess_resize": picture(resize="zoom"),
        "preprocess_color": picture(color="cmyk"),
        "preprocess_layout": picture(layout="chw"),
        "preprocess_scale_zero": picture(scale=0),
        "preprocess_mean_one": picture(mean=[0]),
        "preprocess_mean_text": picture(mean=["0", 0, 0]),
        "preprocess_std_zero": picture(std=[1, 0, 1]),
        "output_unknown": outputs(name="v"),
        "output_empty": outputs(name=""),
        "output_twice": append("outputs", {"name": "y"}),
        "output_input_typed": append("outputs", {"name": "x", "dtype": "float32"}),
        "output_tensor_shaped": append("outputs", {"name": "b", "shape": [2]}),
        "output_preprocess": outputs(preprocess={"size": [4, 4]}),
        "output_labels_no_role": outputs(labels=["a"]),
        "output_labels_role": outputs(role="boxes", labels=["a"]),
        "output_labels_number": outputs(role="logits", labels=[1]),
        "output_labels_control": outputs(role="logits", labels=["a\u007f"]),
        "output_labels_object": outputs(role="logits", labels={}),
        "output_threshold_no_role": outputs(threshold=0.5),
        "output_threshold_role": outputs(role="boxes", threshold=0.5),
        "output_threshold_negative": outputs(role="scores", threshold=-0.5),
        "output_threshold_large": outputs(role="scores", threshold=1.5),
        "output_threshold_text": outputs(role="scores", threshold="0.5"),
        "output_shape_large": outputs(shape=[2 ** 53]),
        "output_missing_name": top(outputs=[{}]),
        "tensor_list": top(tensors={"b": []}),
        "tensor_not_found": top(tensors={"b": {}, "z": {}}),
        "tensor_from_not_found": top(tensors={"b": {"from": "z"}}),
        "tensor_from_number": top(tensors={"b": {"from": 1}}),
        "tensor_name_control": top(tensors={"b": {}, "\u0080": {}}),
        "tensor_unknown_key": top(tensors={"b": {"layout": "x"}}),
        "tensor_other_dtype": top(tensors={"b": {"dtype": "int32"}}),
        "tensor_other_shape": top(tensors={"b": {"shape": [1, 2]}}),
        "tensor_other_size": top(tensors={"b": {"size": 4}}),
        "tensor_symbol": top(tensors={"b": {"shape": ["n"]}}),
        "tensor_null_dim": top(tensors={"b": {"shape": [None]}}),
        "node_list": top(nodes=[[]]),
        "node_unknown_key": node(domain="x"),
        "node_op_empty": node(op=""),
        "node_op_number": node(op=1),
        "node_name_empty": node(name=""),
        "node_name_twice": second_node(name="add"),
        "node_input_unknown": node(inputs=["x", "v"]),
        "node_input_later": changed(lambda g: g["nodes"].insert(
            0, {"op": "Neg", "name": "early", "inputs": ["y"], "outputs": ["v"]})),
        "node_input_itself": node(inputs=["x", "y"]),
        "node_input_number": node(inputs=["x", 1]),
        "node_inputs_too_many": node(inputs=["x"] * 4097),
        "node_output_input": node(outputs=["x"]),
        "node_output_tensor": node(outputs=["b"]),
        "node_output_twice": node(outputs=["y", "y"]),
        "node_output_again": second_node(outputs=["y"]),
        "node_outputs_none": second_node(outputs=[]),
        "node_outputs_absent": second_node(outputs=[""]),
        "attrs_list": node(attrs=[]),
        "attrs_too_many": node(attrs={f"a{i}": i for i in range(65)}),
        "attr_name_empty": node(attrs={"": 1}),
        "attr_name_control": node(attrs={"a\nb": 1}),
        "attr_bool": node(attrs={"a": True}),
        "attr_null": node(attrs={"a": None}),
        "attr_object": node(attrs={"a": {}}),
        "attr_list_mixed": node(attrs={"a": [1, "a"]}),
        "attr_list_mixed_back": node(attrs={"a": ["a", 1]}),
        "attr_list_list": node(attrs={"a": [[1]]}),
        "attr_string_long": node(attrs={"a": "a" * 65537}),
        "epilogue_object": node(epilogue={}),
        "epilogue_five": node(epilogue=[{"op": "Relu"}] * 5),
        "epilogue_no_op": node(epilogue=[{}]),
        "epilogue_op_empty": node(epilogue=[{"op": ""}]),
        "epilogue_op_number": node(epilogue=[{"op": 1}]),
        "epilogue_text": node(epilogue=[{"op": "Relu", "a": "b"}]),
        "epilogue_list": node(epilogue=[{"op": "Relu", "a": [1]}]),
        "epilogue_step_list": node(epilogue=[[]]),
        "epilogue_first_absent": node(outputs=["", "y"], epilogue=[{"op": "Relu"}]),
    }
    def body(**keys):
        return top(bodies=[{"name": "body", "inputs": [{"name": "v"}], "outputs": [{"name": "r"}],
                            "nodes": [{"op": "Neg", "name": "n", "inputs": ["v"],
                                       "outputs": ["r"]}]} | keys])

    cases |= {
        "bodies_object": top(bodies={}),
        "body_list": top(bodies=[[]]),
        "body_unknown_key": body(espy=1),
        "body_bodies": body(bodies=[]),
        "body_name_empty": body(name=""),
        "body_name_control": body(name="a\nb"),
        "body_name_twice": top(bodies=body()["bodies"] * 2),
        "body_outputs_none": body(outputs=[]),
        "body_input_around": body(inputs=[], nodes=[{"op": "Neg", "name": "n", "inputs": ["x"],
                                                     "outputs": ["r"]}]),
        "body_input_labels": body(inputs=[{"name": "v", "labels": ["a"]}]),
        "body_output_threshold": body(outputs=[{"name": "r", "threshold": 0.5}]),
        "body_input_role": body(inputs=[{"name": "v", "role": "image"}]),
        "body_output_role": body(outputs=[{"name": "r", "role": "logits"}]),
        "body_output_unknown": body(outputs=[{"name": "s"}]),
        "body_node_input_unknown": body(nodes=[{"op": "Neg", "name": "n", "inputs": ["w"],
                                                "outputs": ["r"]}]),
        "body_same_unknown": body(tensors={"w": {"same_as": "z"}}),
        "body_same_input": body(tensors={"w": {"same_as": "x"}}),
        "body_same_number": body(tensors={"w": {"same_as": 1}}),
        "body_same_more": body(tensors={"w": {"same_as": "b", "dtype": "float32"}}),
        "body_same_twice": body(tensors={"v": {"same_as": "b"}}),
        "tensor_same_network": top(tensors={"b": {}, "c": {"same_as": "b"}}),
    }
    for key in ("name", "inputs", "outputs", "nodes"):
        cases[f"body_missing_{key}"] = top(
            bodies=[{k: v for k, v in body()["bodies"][0].items() if k != key}])
    for key in ("espy", "inputs", "outputs", "nodes"):
        cases[f"missing_{key}"] = {k: v for k, v in base.items() if k != key}
    for group, keys in {"inputs": ("name", "dtype", "shape"),
                        "nodes": ("op", "name", "inputs", "outputs")}.items():
        for key in keys:
            cases[f"{group}_missing_{key}"] = changed(
                lambda g, group=group, key=key: g[group][0].pop(key))
    return {name: lines(graph) for name, graph in cases.items()}


def bad_by_text():
    """Keys that are there twice, and numbers that no double holds."""
    good = lines(MINIMAL | {"tensors": {"b": {}}})

    def put(old, new):
        assert old in good
        return good.replace(old, new, 1)

    outputs = '"outputs": ["y"]'
    return {
        "twice_espy": put('"espy": 1', '"espy": 1, "espy": 1'),
        "twice_dtype": put('"dtype": "float32"', '"dtype": "float32", "dtype": "float32"'),
        "twice_tensor": put('"b": {}', '"b": {}, "b": {}'),
        "twice_op": put('"op": "Add"', '"op": "Add", "op": "Add"'),
        "twice_attr": put(outputs, outputs + ', "attrs": {"a": 1, "a": 1}'),
        "twice_step_op": put(outputs, outputs + ', "epilogue": [{"op": "R", "op": "R"}]'),
        "twice_step_attr": put(outputs, outputs + ', "epilogue": [{"op": "R", "a": 1, "a": 1}]'),
        "attr_infinite": put(outputs, outputs + ', "attrs": {"a": -1e999}'),
        "attr_infinite_list": put(outputs, outputs + ', "attrs": {"a": [1, 1e999]}'),
        "step_infinite": put(outputs, outputs + ', "epilogue": [{"op": "R", "a": 1e999}]'),
    }


# ---- files -------------------------------------------------------------------------------------------

def write(folder, files):
    (HERE / folder).mkdir(exist_ok=True)
    for old in (HERE / folder).iterdir():
        old.unlink()
    for name, data in files.items():
        (HERE / folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def main():
    write("good", {
        "minimal.espy": container(lines(MINIMAL), MINIMAL_WEIGHTS),
        "no_weights.espy": container(lines(NO_WEIGHTS)),
        "everything.espy": everything(),
        "bodies.espy": bodies(),
        "attention.espy": container(*attention()),
        "attention_of.espy": container(*attention_of()),
        "roles.espy": roles(),
        "small_types.espy": container(*small_types()),
    })
    bad = {}
    for kind, ending, files in [("container", "espy", bad_containers()),
                                ("tensor", "espy", bad_tensors()),
                                ("syntax", "json", bad_syntax()),
                                ("graph", "json", bad_graphs() | bad_by_text())]:
        bad |= {f"{kind}_{name}.{ending}": data for name, data in files.items()}
    write("bad", bad)


if __name__ == "__main__":
    main()
