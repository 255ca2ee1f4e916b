"""Writes the cases of this folder: operators of other domains than ONNX's, with values that numpy
computes from what their documentation says. Needs numpy; run it as `python3 make_cases.py`."""

import json
import os
import zlib

import numpy as np

MICROSOFT = {"domain": "com.microsoft", "version": 1}
random = np.random.default_rng()


def floats(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def integers(dtype, low, high, *shape):
    return random.integers(low, high, shape).astype(dtype)


def tensor(value):
    """JSON of an array; None is absent; ("constant", x) is never an input of the network."""
    if value is None:
        return {"data": None, "type": "float32"}
    constant = isinstance(value, tuple)
    array = np.asarray(value[1] if constant else value)
    data = array.reshape(-1).tolist()
    if array.dtype.kind == "f":
        data = [float(f"{x:.8g}") for x in data]
    result = {"data": data, "dims": list(array.shape), "type": array.dtype.name}
    if constant:
        result["constant"] = True
    return result


def attribute(name, value):
    if isinstance(value, str):
        kind = "string"
    elif isinstance(value, (list, tuple)):
        kind = "floats" if isinstance(value[0], float) else "ints"
    else:
        kind = "float" if isinstance(value, float) else "int"
    return {"name": name, "data": value, "type": kind}


def case(op, name, inputs, outputs, of=MICROSOFT, **attributes):
    return {
        "name": name,
        "operator": op,
        "opset": of,
        "attributes": [attribute(k, v) for k, v in attributes.items()],
        "cases": [
            {
                "name": name,
                "inputs": [tensor(x) for x in inputs],
                "outputs": [tensor(x) for x in outputs],
            }
        ],
    }


# ---- parts


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf(x):
    # Abramowitz and Stegun's is too coarse: the series and the continued fraction by quadrature.
    points, weights = np.polynomial.legendre.leggauss(64)
    x = np.asarray(x, dtype=np.float64)
    half = x[..., None] / 2
    return (2 / np.sqrt(np.pi)) * (np.exp(-((half * (points + 1)) ** 2)) * weights * half).sum(-1)


def gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def fast_gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def f32(x):
    return np.asarray(x, dtype=np.float32)


def heads(x, count):
    b, s, w = x.shape
    return x.reshape(b, s, count, w // count).transpose(0, 2, 1, 3)


def together(x):
    b, n, s, d = x.shape
    return x.transpose(0, 2, 1, 3).reshape(b, s, n * d)


def attend(q, k, v, scale=None, mask=None, causal_past=None):
    """q, k, v: batch, head, position, channel; mask is added; causal_past: keys before query 0."""
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    scores = np.einsum("bnsd,bntd->bnst", q.astype(np.float64), k) * scale
    if mask is not None:
        scores = scores + mask
    if causal_past is not None:
        s, t = scores.shape[-2:]
        hidden = np.arange(t)[None, :] > np.arange(s)[:, None] + causal_past
        scores = np.where(hidden, -np.inf, scores)
    return np.einsum("bnst,bntd->bnsd", softmax(scores), v)


def hide(seen, filter_value=-10000.0):
    return np.where(seen, 0.0, filter_value)


# ---- attention


def attention_cases():
    batch, length, width, count = 2, 3, 8, 2
    cases = []
    x, w, bias = floats(batch, length, 6), floats(6, 3 * width, scale=0.4), floats(3 * width)
    q, k, v = [heads(t, count) for t in np.split(x @ w + bias, 3, -1)]

    def plain(name, mask_index=None, seen=None, **attributes):
        mask = None if seen is None else hide(seen, attributes.get("mask_filter_value", -10000.0))
        past = 0 if attributes.get("unidirectional") else None
        y = together(attend(q, k, v, attributes.get("scale"), mask, past))
        cases.append(
            case("Attention", name, [x, w, bias, mask_index], [f32(y)], num_heads=count,
                 **attributes))

    keys = np.arange(length)
    plain("no mask, causal", unidirectional=1)
    plain("scale", scale=0.7)
    ends = np.array([2, 3], np.int32)
    plain("lengths", ends, (keys < ends[:, None])[:, None, None, :])
    both = np.array([3, 3, 1, 0], np.int32)
    plain("ends and starts", both,
          ((keys < both[:2, None]) & (keys >= both[2:, None]))[:, None, None, :])
    packed = np.array([2, 3, 0, 2, 5, 0, 2, 5], np.int32)
    plain("lengths, then what they sum to", packed, (keys < packed[:2, None])[:, None, None, :])
    raw = np.array([[1, 0, 1], [1, 1, 0]], np.int32)
    plain("mask of two dimensions", raw, (raw > 0)[:, None, None, :])
    plain("another filter value, causal", raw, (raw > 0)[:, None, None, :], unidirectional=1,
          mask_filter_value=-3.0)
    nobody = np.array([[0, 0, 0], [1, 1, 1]], np.int32)
    # Less than the default, in whose presence float32 keeps three decimals of the scores.
    plain("a batch with all hidden", nobody, (nobody > 0)[:, None, None, :],
          mask_filter_value=-64.0)
    full = integers(np.int32, 0, 2, batch, length, length) | np.eye(length, dtype=np.int32)
    plain("mask of three dimensions", full, (full > 0)[:, None])
    square = integers(np.int32, 0, 2, batch, 1, 5, 5) | np.eye(5, dtype=np.int32)
    plain("mask of four dimensions", square, square[:, :, :length, :length] > 0)
    extra = floats(1, count, length, length)
    y = together(attend(q, k, v, None, extra + hide((raw > 0)[:, None, None, :])))
    cases.append(case("Attention", "attention bias and mask", [x, w, bias, raw, None, extra],
                      [f32(y)], num_heads=count))
    y = together(attend(*[heads(t, count) for t in np.split(x @ w, 3, -1)]))
    cases.append(case("Attention", "no bias", [x, w], [f32(y)], num_heads=count))

    w2, b2 = floats(6, 8 + 8 + 4, scale=0.4), floats(20)
    q2, k2, v2 = np.split(x @ w2 + b2, [8, 16], -1)
    y = together(attend(*[heads(t, count) for t in (q2, k2, v2)]))
    cases.append(case("Attention", "values of another width", [x, w2, b2], [f32(y)],
                      num_heads=count, qkv_hidden_sizes=[8, 8, 4]))

    past = floats(2, batch, count, 2, width // count)
    keys_all, values_all = [np.concatenate([p, t], 2) for p, t in zip(past, (k, v))]
    y = together(attend(q, keys_all, values_all, None, None, 2))
    present = np.stack([keys_all, values_all])
    cases.append(case("Attention", "past and present", [x, w, bias, None, past],
                      [f32(y), f32(present)], num_heads=count, unidirectional=1))
    square = integers(np.int32, 0, 2, batch, 1, 7, 7) | np.eye(7, dtype=np.int32)
    y = together(attend(q, keys_all, values_all, None, hide(square[:, :, 2:5, :5] > 0)))
    cases.append(case("Attention", "past with a mask of four dimensions",
                      [x, w, bias, square, past], [f32(y), f32(present)], num_heads=count))
    long = np.array([[0, 1, 1, 1, 0], [1, 1, 0, 1, 1]], np.int32)
    y = together(attend(q, keys_all, values_all, None, hide((long > 0)[:, None, None, :])))
    cases.append(case("Attention", "past with a mask", [x, w, bias, long, past],
                      [f32(y), f32(present)], num_heads=count))
    cases.append(case("Attention", "present alone", [x, w, bias],
                      [f32(together(attend(q, k, v))), f32(np.stack([k, v]))], num_heads=count))

    xq, wq = integers(np.uint8, 0, 255, batch, length, 6), integers(np.int8, -90, 90, 6, 3 * width)
    xs, ws, xz = np.float32(0.02), f32(np.abs(floats(3 * width)) * 0.01 + 0.002), np.uint8(120)
    product = (xq.astype(np.float64) - 120) @ wq.astype(np.float64) * xs * ws + bias
    y = together(attend(*[heads(t, count) for t in np.split(product, 3, -1)], None,
                        hide((raw > 0)[:, None, None, :])))
    cases.append(case("QAttention", "scales by column, with a mask",
                      [xq, wq, bias, xs, ws, raw, xz], [f32(y)], num_heads=count))
    return cases


def multi_head_cases():
    batch, queries, count, size = 2, 2, 2, 4
    width, cases = count * size, []
    q, k, v = floats(batch, queries, width), floats(batch, 3, width), floats(batch, 3, width)
    bias = floats(3 * width)

    def run(q, k, v, **more):
        return f32(together(attend(heads(q, count), heads(k, count), heads(v, count), **more)))

    def add(name, inputs, outputs, **attributes):
        cases.append(case("MultiHeadAttention", name, inputs, outputs, num_heads=count,
                          **attributes))

    bq, bk, bv = np.split(bias, 3)
    add("bias", [q, k, v, bias], [run(q + bq, k + bk, v + bv)])
    narrow, uneven = floats(batch, 3, 6), floats(2 * width + 6)
    add("values of another width, with bias", [q, k, narrow, uneven],
        [run(q + uneven[:8], k + uneven[8:16], narrow + uneven[16:])])
    packed = floats(batch, 3, count, 3, size)
    parts = [packed[:, :, :, i].reshape(batch, 3, width) for i in range(3)]
    add("queries, keys and values packed", [packed], [run(*parts)])
    add("packed, with bias", [packed, None, None, bias],
        [run(parts[0] + bq, parts[1] + bk, parts[2] + bv)])
    flat = floats(batch, 3, 3 * width)
    add("packed as channels", [flat], [run(*np.split(flat, 3, -1))])
    pair = floats(batch, 3, count, 2, size)
    add("keys and values packed", [q, pair],
        [run(q, *[pair[:, :, :, i].reshape(batch, 3, width) for i in range(2)])])
    lengths = np.array([1, 3], np.int32)
    seen = (np.arange(3) < lengths[:, None])[:, None, None, :]
    add("lengths of keys", [q, k, v, None, lengths], [run(q, k, v, mask=hide(seen))])
    raw = np.array([[1, 0, 1], [0, 1, 1]], np.int32)
    seen = (raw > 0)[:, None, None, :]
    add("padding mask", [q, k, v, None, raw], [run(q, k, v, mask=hide(seen))])
    extra = floats(1, 1, queries, 3)
    add("padding mask, bias of scores and scale", [q, k, v, None, raw, extra],
        [run(q, k, v, mask=hide(seen, -7.0) + extra, scale=0.3)], mask_filter_value=-7.0,
        scale=0.3)
    full = integers(np.int32, 0, 2, batch, queries, 3)
    add("mask of three dimensions", [q, k, v, None, full],
        [run(q, k, v, mask=hide((full > 0)[:, None]))])
    add("causal", [k, k, v], [run(k, k, v, causal_past=0)], unidirectional=1)
    apart = floats(batch, count, 3, size), floats(batch, count, 3, size)
    add("keys and values by head", [q, *apart],
        [f32(together(attend(heads(q, count), *apart)))])
    past = floats(batch, count, 2, size), floats(batch, count, 2, size)
    keys, values = [np.concatenate([p, heads(t, count)], 2) for p, t in zip(past, (k, v))]
    add("past, causal", [q, k, v, None, None, None, *past],
        [f32(together(attend(heads(q, count), keys, values, causal_past=2))), f32(keys),
         f32(values)], unidirectional=1)
    long = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 0, 1]], np.int32)
    add("past with a padding mask", [q, k, v, bias, long, None, *past],
        [f32(together(attend(
            heads(q + bq, count),
            np.concatenate([past[0], heads(k + bk, count)], 2),
            np.concatenate([past[1], heads(v + bv, count)], 2),
            mask=hide((long > 0)[:, None, None, :]))))])
    return cases


# ---- caches and rotation


def rotate(x, cosines, sines, places, interleaved):
    """x: batch, head, position, channel; places: batch, position."""
    pairs = cosines.shape[1]
    y = x.astype(np.float64).copy()
    c, s = cosines[places][:, None], sines[places][:, None]
    at = (np.arange(pairs) * 2, np.arange(pairs) * 2 + 1) if interleaved else (
        np.arange(pairs), np.arange(pairs) + pairs)
    a, b = x[..., at[0]], x[..., at[1]]
    y[..., at[0]], y[..., at[1]] = a * c - b * s, a * s + b * c
    return y


def rotary_cases():
    cases = []
    angles = np.arange(12)[:, None] * np.array([1.0, 0.3, 0.09])
    cosines, sines = f32(np.cos(angles)), f32(np.sin(angles))
    for interleaved in (0, 1):
        x = floats(2, 4, 12)
        places = np.array([[3, 0, 7, 11], [1, 1, 2, 9]], np.int64)
        y = together(rotate(heads(x, 2), cosines, sines, places, interleaved))
        cases.append(case("RotaryEmbedding", "a place for every token",
                          [x, places, cosines, sines], [f32(y)], interleaved=interleaved))
        four = floats(2, 3, 4, 10)
        offset = np.array([5], np.int64)
        y = rotate(four, cosines, sines, np.tile(5 + np.arange(4), (2, 1)), interleaved)
        cases.append(case("RotaryEmbedding", "some channels of each head, from a place on",
                          [four, offset, cosines, sines], [f32(y)], interleaved=interleaved,
                          rotary_embedding_dim=6, num_heads=3))
    x = floats(1, 2, 20)
    y = together(rotate(heads(x, 2), cosines, sines, np.array([[4, 2]]), 0))
    cases.append(case("RotaryEmbedding", "some channels, heads packed",
                      [x, np.array([[4, 2]], np.int64), cosines, sines], [f32(y)],
                      rotary_embedding_dim=6, num_heads=2))
    return cases


def grouped(q, k, v, past_key, past_value, seqlens, total, heads_q, heads_kv, scale=None,
            window=0, cap=0.0, bias=None, rotary=None, norms=None, causal=True):
    """What the operator's documentation says, query by query."""
    q, k, v = heads(q, heads_q), heads(k, heads_kv), heads(v, heads_kv)
    batch, _, new, size = q.shape
    first = new == total
    room = max(0 if past_key is None else past_key.shape[2], total)
    keys = np.zeros((batch, heads_kv, room, size), np.float64)
    values = np.zeros((batch, heads_kv, room, size), np.float64)
    y = np.zeros(q.shape)
    starts = [0 if first else int(n) + 1 - new for n in seqlens]
    if norms is not None:
        def norm(x, weight):
            return x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * weight
        q, k = norm(q, norms[0]), norm(k, norms[1])
    if rotary is not None:
        places = np.array([s + np.arange(new) for s in starts])
        q, k = rotate(q, *rotary, places, 0), rotate(k, *rotary, places, 0)
    scale = 1 / np.sqrt(size) if scale is None else scale
    for b, start in enumerate(starts):
        if past_key is not None:
            keys[b, :, :past_key.shape[2]] = past_key[b]
            values[b, :, :past_value.shape[2]] = past_value[b]
        keys[b, :, start:start + new], values[b, :, start:start + new] = k[b], v[b]
        for h in range(heads_q):
            for s in range(new):
                end = start + s + 1 if causal else start + new
                begin = max(0, end - window) if window > 0 else 0
                g = h // (heads_q // heads_kv)
                score = keys[b, g, begin:end] @ q[b, h, s].astype(np.float64) * scale
                score = cap * np.tanh(score / cap) if cap > 0 else score
                if bias is not None:
                    score = score + bias[b % bias.shape[0], h % bias.shape[1], s, begin:end]
                y[b, h, s] = softmax(score) @ values[b, g, begin:end]
    return [f32(together(y)), f32(keys), f32(values)]


def group_query_cases():
    cases, size = [], 4

    def add(name, inputs, expected, **attributes):
        cases.append(case("GroupQueryAttention", name, inputs, expected, **attributes))

    def numbers(*x):
        return np.array(x, np.int32)

    q, k, v = floats(2, 1, 4 * size), floats(2, 1, 2 * size), floats(2, 1, 2 * size)
    pk, pv = floats(2, 2, 6, size), floats(2, 2, 6, size)
    heads_of = {"num_heads": 4, "kv_num_heads": 2}
    args = (q, k, v, pk, pv, [5, 2], 6, 4, 2)
    add("one more token, caches with room, batches of unequal length",
        [q, k, v, pk, pv, numbers(5, 2), numbers(6)], grouped(*args), **heads_of)
    add("the same by a scale of its own and a soft cap",
        [q, k, v, pk, pv, numbers(5, 2), numbers(6)], grouped(*args, scale=0.5, cap=2.0),
        scale=0.5, softcap=2.0, **heads_of)
    add("the same through a window", [q, k, v, pk, pv, numbers(5, 2), numbers(6)],
        grouped(*args, window=2), local_window_size=2, **heads_of)
    angles = np.arange(10)[:, None] * np.array([1.0, 0.4])
    tables = f32(np.cos(angles)), f32(np.sin(angles))
    add("the same turned by position", [q, k, v, pk, pv, numbers(5, 2), numbers(6), *tables],
        grouped(*args, rotary=tables), do_rotary=1, **heads_of)
    args = (q, k, v, pk, pv, [6, 6], 7, 4, 2)
    add("caches that are full grow", [q, k, v, pk, pv, numbers(6, 6), numbers(7)],
        grouped(*args), **heads_of)
    q, k, v = floats(1, 4, 4 * size), floats(1, 4, 2 * size), floats(1, 4, 2 * size)
    add("a first call without a past", [q, k, v, None, None, numbers(3), numbers(4)],
        grouped(q, k, v, None, None, [3], 4, 4, 2), **heads_of)
    add("a first call, turned, through a window",
        [q, k, v, None, None, numbers(3), numbers(4), *tables],
        grouped(q, k, v, None, None, [3], 4, 4, 2, rotary=tables, window=3), do_rotary=1,
        local_window_size=3, **heads_of)
    pk, pv = floats(1, 2, 9, size), floats(1, 2, 9, size)
    add("a first call into long caches", [q, k, v, pk, pv, numbers(3), numbers(4)],
        grouped(q, k, v, pk, pv, [3], 4, 4, 2), **heads_of)
    weights = floats(size), floats(size)
    add("heads normalised before they turn",
        [q, k, v, pk, pv, numbers(6), numbers(7), *tables, None, None, None, None, None, *weights],
        grouped(q, k, v, pk, pv, [6], 7, 4, 2, rotary=tables, norms=weights), do_rotary=1,
        **heads_of)
    bias = floats(1, 4, 4, 7)
    add("a bias of scores, some tokens more",
        [q, k, v, pk, pv, numbers(6), numbers(7), None, None, None, bias],
        grouped(q, k, v, pk, pv, [6], 7, 4, 2, bias=bias), **heads_of)
    packed = np.concatenate([q, k, v], -1)
    add("packed", [packed, None, None, pk, pv, numbers(6), numbers(7)],
        grouped(q, k, v, pk, pv, [6], 7, 4, 2), **heads_of)
    return cases


# ---- normalisation


def layer_norm(x, gamma, beta, epsilon):
    x = x.astype(np.float64)
    mean = x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon)
    y = (x - mean) * inverse * gamma + (0 if beta is None else beta)
    return f32(y), f32(mean), f32(inverse)


def rms_norm(x, gamma, epsilon):
    x = x.astype(np.float64)
    inverse = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)
    return f32(x * inverse * gamma), f32(inverse)


def group_norm(x, gamma, beta, groups, epsilon):
    n, c = x.shape[:2]
    g = x.astype(np.float64).reshape(n, groups, -1)
    g = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + epsilon)
    shape = (1, c) + (1,) * (x.ndim - 2)
    return g.reshape(x.shape) * gamma.reshape(shape) + beta.reshape(shape)


def norm_cases():
    cases = []
    x, skip, gamma, beta, bias = (floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8),
                                  floats(8))
    y, mean, inverse = layer_norm(x + skip + bias, gamma, beta, np.float32(1e-3))
    cases.append(case("SkipLayerNormalization", "all outputs", [x, skip, gamma, beta, bias],
                      [y, mean, inverse, x + skip + bias], epsilon=1e-3))
    one = floats(3, 8)
    y = layer_norm(x + one, gamma, None, 1e-12)[0]
    cases.append(case("SkipLayerNormalization", "skip repeats, no beta", [x, one, gamma], [y]))
    y, inverse = rms_norm(x + skip + bias, gamma, np.float32(1e-3))
    cases.append(case("SkipSimplifiedLayerNormalization", "all outputs", [x, skip, gamma, bias],
                      [y, None, inverse, x + skip + bias], epsilon=1e-3))
    y, inverse = rms_norm(x, gamma, 1e-5)
    cases.append(case("SimplifiedLayerNormalization", "inverse deviations", [x, gamma],
                      [y, inverse], axis=-1))
    y, mean, inverse = layer_norm(x, gamma, beta, np.float32(1e-2))
    cases.append(case("LayerNormalization", "of this domain", [x, gamma, beta], [y, mean, inverse],
                      axis=-1, epsilon=1e-2))
    words, segments = integers(np.int32, 0, 9, 2, 4), integers(np.int32, 0, 2, 2, 4)
    tables = floats(9, 8), floats(6, 8), floats(2, 8)
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.int32)
    total = tables[0][words] + tables[1][:4] + tables[2][segments]
    cases.append(case("EmbedLayerNormalization", "segments and a mask",
                      [words, segments, *tables, gamma, beta, mask],
                      [layer_norm(total, gamma, beta, 1e-12)[0], np.array([3, 1], np.int32),
                       total]))
    places = np.array([[5, 4, 3, 2]], np.int32)
    total = tables[0][words] + tables[1][places]
    cases.append(case("EmbedLayerNormalization", "places given, no segments",
                      [words, None, tables[0], tables[1], None, gamma, beta, None, places],
                      [layer_norm(total, gamma, beta, np.float32(0.1))[0]], epsilon=0.1))
    last, gamma, beta = floats(2, 3, 2, 8), floats(8), floats(8)
    first = last.transpose(0, 3, 1, 2)
    y = group_norm(first, gamma, beta, 4, np.float32(1e-3))
    cases.append(case("GroupNorm", "channels last, SiLU", [last, gamma, beta],
                      [f32((y * sigmoid(y)).transpose(0, 2, 3, 1))], activation=1, groups=4,
                      epsilon=1e-3))
    cases.append(case("GroupNorm", "channels first", [np.ascontiguousarray(first), gamma, beta],
                      [f32(y)], activation=0, groups=4, channels_last=0, epsilon=1e-3))
    skip, bias = floats(2, 8), floats(8)
    total = last + skip[:, None, None] + bias
    y = group_norm(total.transpose(0, 3, 1, 2), gamma, beta, 2, np.float32(1e-5))
    cases.append(case("SkipGroupNorm", "skip for each channel, bias",
                      [last, gamma, beta, skip, bias], [f32(y.transpose(0, 2, 3, 1)), total],
                      activation=0, groups=2, epsilon=1e-5))
    skip = floats(2, 1, 1, 8)
    y = group_norm((last + skip).transpose(0, 3, 1, 2), gamma, beta, 2, np.float32(1e-5))
    cases.append(case("SkipGroupNorm", "skip of four dimensions", [last, gamma, beta, skip],
                      [f32(y.transpose(0, 2, 3, 1)), last + skip], activation=0, groups=2,
                      epsilon=1e-5))
    return cases


# ---- fused


def conv(x, w, bias=None, stride=1, pad=0):
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, _, h, wide = x.shape
    m, _, kh, kw = w.shape
    oh, ow = (h - kh) // stride + 1, (wide - kw) // stride + 1
    y = np.zeros((n, m, oh, ow))
    for i in range(oh):
        for j in range(ow):
            window = x[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw]
            y[:, :, i, j] = np.einsum("nchw,mchw->nm", window, w)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def fused_cases():
    cases = []
    x, w, bias = floats(1, 3, 5, 5), floats(4, 3, 3, 3), floats(4)
    y = conv(x, w, bias, 2, 1)
    z = floats(*y.shape)
    cases.append(case("FusedConv", "what is added comes before the activation", [x, w, bias, z],
                      [f32(np.maximum(y + z, 0))], activation="Relu", strides=[2, 2],
                      pads=[1, 1, 1, 1]))
    cases.append(case("FusedConv", "LeakyRelu by its default", [x, w],
                      [f32(np.where(conv(x, w) < 0, 0.3, 1) * conv(x, w))],
                      activation="LeakyRelu", activation_params=[0.3]))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    cases.append(case("NhwcConv", "channels last", [last, w, bias],
                      [f32(y.transpose(0, 2, 3, 1))], strides=[2, 2], pads=[1, 1, 1, 1]))
    cases.append(case("NhwcFusedConv", "and an activation", [last, w, bias],
                      [f32(np.tanh(y).transpose(0, 2, 3, 1))], activation="Tanh", strides=[2, 2],
                      pads=[1, 1, 1, 1]))
    pool = np.array([last[:, i:i + 2, j:j + 2].max((1, 2)) for i in (0, 2) for j in (0, 2)])
    cases.append(case("NhwcMaxPool", "channels last", [last],
                      [f32(pool.reshape(2, 2, 1, 3).transpose(2, 0, 1, 3))], kernel_shape=[2, 2],
                      strides=[2, 2]))
    a, b, c = floats(3, 4), floats(5, 4), floats(5)
    y = 0.5 * a @ b.T + 2 * c
    cases.append(case("FusedGemm", "LeakyRelu", [a, b, c], [f32(np.where(y < 0, 0.1 * y, y))],
                      alpha=0.5, beta=2.0, transB=1, activation="LeakyRelu",
                      activation_alpha=0.1))
    a, b = floats(2, 4, 3), floats(2, 5, 4)
    cases.append(case("FusedMatMul", "both transposed", [a, b],
                      [f32(0.25 * a.swapaxes(1, 2) @ b.swapaxes(1, 2))], transA=1, transB=1,
                      alpha=0.25))
    a, b = floats(3, 2, 4), floats(4, 2, 5)
    cases.append(case("FusedMatMul", "batches behind rows", [a, b],
                      [f32(a.transpose(1, 0, 2) @ b.transpose(1, 0, 2))], transBatchA=1,
                      transBatchB=1))
    a, b = floats(4, 2, 6, 3), floats(2, 6, 3, 5)
    cases.append(case("FusedMatMul", "batches behind rows, of four dimensions", [a, b],
                      [f32(np.einsum("mbck,bckn->bcmn", a, b))], transBatchA=1))
    a = floats(3, 2, 6, 4)
    cases.append(case("FusedMatMul", "and transposed", [a, b],
                      [f32(np.einsum("kbcm,bckn->bcmn", a, b))], transA=1, transBatchA=1))
    cases.append(case("TransposeMatMul", "the old name", [a, a],
                      [f32(a @ a.swapaxes(-1, -2))], transB=1))
    a, b = floats(2, 3), floats(3, 4)
    cases.append(case("FusedMatMulActivation", "Relu", [a, b], [f32(np.maximum(-a @ b, 0))],
                      alpha=-1.0, activation="Relu"))
    cases.append(case("FusedMatMulActivation", "Softmax", [a, b], [f32(softmax(a @ b, 0))],
                      activation="Softmax", activation_axis=0))
    c = floats(4)
    cases.append(case("GemmFastGelu", "bias", [a, b, c], [f32(fast_gelu(a @ b + c))]))
    x, bias, residual = floats(2, 3, 4), floats(4), floats(2, 3, 4)
    cases.append(case("BiasGelu", "bias", [x, bias], [f32(gelu(x + bias))]))
    cases.append(case("BiasDropout", "inference", [x, bias, residual],
                      [x + bias + residual, np.ones(x.shape, bool)]))
    cases.append(case("QuickGelu", "alpha", [x], [f32(x * sigmoid(0.5 * x))], alpha=0.5))
    mask = floats(2, 1, 4)
    cases.append(case("BiasSoftmax", "last dimension", [x, mask], [f32(softmax(x + mask))],
                      axis=2, is_inner_broadcast=1))
    flat = (x + bias).reshape(2, 12)
    cases.append(case("BiasSoftmax", "two dimensions", [x, bias],
                      [f32(softmax(flat).reshape(x.shape))], axis=1, is_inner_broadcast=0))
    return cases


# ---- integers


def dequantize(x, scale, zero=0):
    return (x.astype(np.float64) - zero) * np.float64(scale)


def quantize(y, scale, zero, dtype):
    limits = np.iinfo(dtype)
    return np.clip(np.rint(y / np.float64(scale)) + zero, limits.min, limits.max).astype(dtype)


def one(dtype, x):
    return np.array(x, dtype)


def scale_of(x):
    return np.array(x, np.float32)


def qlinear_cases():
    cases = []
    a, b = integers(np.uint8, 0, 255, 2, 3, 4), integers(np.uint8, 0, 255, 3, 1)
    first, second = dequantize(a, np.float32(0.02), 120), dequantize(b, np.float32(0.03), 7)
    inputs = [a, scale_of(0.02), one(np.uint8, 120), b, scale_of(0.03), one(np.uint8, 7),
              scale_of(0.05), one(np.uint8, 90)]
    cases.append(case("QLinearAdd", "uint8, repeating", inputs,
                      [quantize(first + second, np.float32(0.05), 90, np.uint8)]))
    cases.append(case("QLinearMul", "uint8, repeating", inputs,
                      [quantize(first * second, np.float32(0.05), 90, np.uint8)]))
    inputs = [x if x.size > 1 else x.reshape(1) for x in inputs]
    cases.append(case("QLinearAdd", "scales and zero points as lists of one", inputs,
                      [quantize(first + second, np.float32(0.05), 90, np.uint8)]))
    a = integers(np.int8, -128, 127, 3, 5)
    x = dequantize(a, np.float32(0.04))
    cases.append(case("QLinearAdd", "int8 without zero points",
                      [a, scale_of(0.04), None, a, scale_of(0.04), None, scale_of(0.1)],
                      [quantize(x + x, np.float32(0.1), 0, np.int8)]))
    parts = [a, scale_of(0.04), one(np.int8, -5), scale_of(0.01), one(np.int8, 3)]
    x = dequantize(a, np.float32(0.04), -5)
    cases.append(case("QLinearSigmoid", "int8", parts,
                      [quantize(sigmoid(x), np.float32(0.01), 3, np.int8)]))
    cases.append(case("QLinearLeakyRelu", "int8", parts,
                      [quantize(np.where(x < 0, np.float32(0.2) * x, x), np.float32(0.01), 3,
                                np.int8)], alpha=0.2))
    cases.append(case("QLinearSoftmax", "of opset 13", parts,
                      [quantize(softmax(x, 0), np.float32(0.01), 3, np.int8)], axis=0, opset=13))
    three = integers(np.int8, -60, 60, 2, 3, 2)
    flat = softmax(dequantize(three, np.float32(0.04), -5).reshape(2, 6))
    cases.append(case("QLinearSoftmax", "of opset 12", [three, *parts[1:]],
                      [quantize(flat.reshape(2, 3, 2), np.float32(0.01), 3, np.int8)], axis=1,
                      opset=12))
    u = integers(np.uint8, 0, 255, 2, 4)
    joined = np.concatenate([dequantize(u, np.float32(0.02), 9),
                             dequantize(u, np.float32(0.05), 200)], 1)
    cases.append(case("QLinearConcat", "two scales",
                      [scale_of(0.043), one(np.uint8, 128), u, scale_of(0.02), one(np.uint8, 9), u,
                       scale_of(0.05), one(np.uint8, 200)],
                      [quantize(joined, np.float32(0.043), 128, np.uint8)], axis=1))
    chosen = np.array([[True], [False]])
    cases.append(case("QLinearWhere", "uint8",
                      [chosen, u, scale_of(0.02), one(np.uint8, 9), u, scale_of(0.05),
                       one(np.uint8, 200), scale_of(0.043), one(np.uint8, 128)],
                      [quantize(np.where(chosen, dequantize(u, np.float32(0.02), 9),
                                         dequantize(u, np.float32(0.05), 200)), np.float32(0.043),
                                128, np.uint8)]))
    x = integers(np.uint8, 0, 255, 1, 4, 4, 3)
    scales = [scale_of(0.02), one(np.uint8, 100), scale_of(0.015), one(np.uint8, 110)]
    real = dequantize(x, np.float32(0.02), 100)
    cases.append(case("QLinearReduceMean", "two axes", [x, *scales],
                      [quantize(real.mean((1, 2)), np.float32(0.015), 110, np.uint8)],
                      axes=[1, 2], keepdims=0))
    pool = np.stack([real[:, i:i + 2, j:j + 2].mean((1, 2)) for i in (0, 2) for j in (0, 2)], 1)
    cases.append(case("QLinearAveragePool", "channels last", [x, *scales],
                      [quantize(pool.reshape(1, 2, 2, 3), np.float32(0.015), 110, np.uint8)],
                      kernel_shape=[2, 2], strides=[2, 2], channels_last=1))
    cases.append(case("QLinearGlobalAveragePool", "channels last", [x, *scales],
                      [quantize(real.mean((1, 2), keepdims=True), np.float32(0.015), 110,
                                np.uint8)], channels_last=1))
    cases.append(case("QLinearGlobalAveragePool", "channels first",
                      [np.ascontiguousarray(x.transpose(0, 3, 1, 2)), *scales],
                      [quantize(real.mean((1, 2), keepdims=True).transpose(0, 3, 1, 2),
                                np.float32(0.015), 110, np.uint8)], channels_last=0))
    w, ws = integers(np.int8, -80, 80, 2, 3, 3, 3), f32([0.01, 0.02])
    bias = integers(np.int32, -2000, 2000, 2)
    sums = conv(x.transpose(0, 3, 1, 2).astype(np.float64) - 100, w.astype(np.float64), bias)
    y = sums * (np.float64(np.float32(0.02)) * ws.astype(np.float64)).reshape(1, 2, 1, 1)
    cases.append(case("QLinearConv", "channels last, scales by channel",
                      [x, scale_of(0.02), one(np.uint8, 100), w, ws, np.zeros(2, np.int8),
                       scale_of(0.3), one(np.uint8, 128), bias],
                      [quantize(y.transpose(0, 2, 3, 1), np.float32(0.3), 128, np.uint8)],
                      channels_last=1, kernel_shape=[3, 3]))
    return cases


def lstm(x, w, r, bias, reverse):
    """One direction. w: input, gate; r: hidden, gate; gates: input, output, forget, cell."""
    size = r.shape[0]
    h, c, y = np.zeros((x.shape[1], size)), np.zeros((x.shape[1], size)), [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        gates = x[t].astype(np.float64) @ w + h @ r + bias[:4 * size] + bias[4 * size:]
        i, o, f, g = np.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y[t] = h
    return np.stack(y), h, c


def lstm_cases():
    x, size = floats(4, 2, 3), 5
    w = integers(np.int8, -127, 127, 2, 3, 4 * size)
    r = integers(np.uint8, 0, 255, 2, size, 4 * size)
    bias = floats(2, 8 * size, scale=0.3)
    ws = f32(np.abs(floats(2, 4 * size)) * 0.005 + 0.001)
    rs, rz = f32([0.004, 0.006]), np.array([128, 120], np.uint8)
    real_w = w * ws.astype(np.float64)[:, None]
    real_r = (r.astype(np.float64) - rz[:, None, None]) * rs.astype(np.float64)[:, None, None]
    both = [lstm(x, real_w[d], real_r[d], bias[d], d == 1) for d in range(2)]
    outputs = [f32(np.stack([run[i] for run in both], 1 if i == 0 else 0)) for i in range(3)]
    return [case("DynamicQuantizeLSTM", "two directions, scales by gate and by direction",
                 [x, w, r, bias, None, None, None, None, ws, np.zeros(ws.shape, np.int8), rs, rz],
                 outputs, hidden_size=size, direction="bidirectional")]


def product_cases():
    cases = []
    a, b = integers(np.uint8, 0, 255, 3, 6), integers(np.int8, -100, 100, 4, 6)
    c, bs = integers(np.int32, -3000, 3000, 4), f32([0.01, 0.02, 0.03, 0.015])
    bz = integers(np.int8, -5, 5, 4)
    sums = (a.astype(np.float64) - 101) @ (b.astype(np.float64).T - bz) + c
    y = sums * np.float32(0.5) * (np.float64(np.float32(0.02)) * bs)
    inputs = [a, scale_of(0.02), one(np.uint8, 101), b, bs, bz, c]
    cases.append(case("QGemm", "quantized, scales by column",
                      inputs + [scale_of(0.08), one(np.uint8, 130)],
                      [quantize(y, np.float32(0.08), 130, np.uint8)], transB=1, alpha=0.5))
    cases.append(case("QGemm", "to float", inputs, [f32(y)], transB=1, alpha=0.5))
    y = (a.astype(np.float64) - 101) @ b.astype(np.float64).T * np.float32(0.02) * np.float32(0.01)
    inputs = [a, f32([0.02]), np.array([101], np.uint8), b, f32([0.01]), np.array([0], np.int8)]
    cases.append(case("QGemm", "scales as lists of one", inputs, [f32(y)], transB=1))
    x, b = floats(2, 3, 6), integers(np.int8, -100, 100, 6, 4)
    low, high = min(x.min(), 0), max(x.max(), 0)
    step = np.float32(high - low) / np.float32(255)
    zero = int(np.clip(np.rint((0 - low) / step), 0, 255))
    xq = quantize(x, step, zero, np.uint8)
    bias = floats(4)
    y = ((xq.astype(np.float64) - zero) @ (b.astype(np.float64) - bz)) * step * bs + bias
    cases.append(case("DynamicQuantizeMatMul", "scales by column, zero points, bias",
                      [x, b, bs, bz, bias], [f32(y)]))
    y = ((xq.astype(np.float64) - zero) @ b.astype(np.float64)) * step * np.float32(0.01)
    cases.append(case("DynamicQuantizeMatMul", "one scale", [x, b, scale_of(0.01)], [f32(y)]))
    a = integers(np.uint8, 0, 255, 2, 3, 6)
    y = ((a.astype(np.float64) - 99) @ (b.astype(np.float64) - bz)) * np.float32(0.02) * bs + bias
    cases.append(case("MatMulIntegerToFloat", "scales by column, zero points, bias",
                      [a, b, scale_of(0.02), bs, one(np.uint8, 99), bz, bias], [f32(y)]))
    a, b = integers(np.uint8, 0, 255, 2, 3), integers(np.int8, -128, 127, 3)
    product = (a.astype(np.int32) - 7) * (b.astype(np.int32) + 2)
    cases.append(case("MulInteger", "zero points", [a, one(np.uint8, 7), b, one(np.int8, -2)],
                      [product]))
    a, b = integers(np.int16, -500, 500, 2, 3), integers(np.int16, -500, 500, 3, 4)
    cases.append(case("MatMulInteger16", "int16", [a, b],
                      [a.astype(np.int32) @ b.astype(np.int32)]))
    a = integers(np.int8, -128, 127, 2, 3, 4)
    cases.append(case("ReduceSumInteger", "two axes", [a], [a.sum((0, 2), dtype=np.int32)],
                      axes=[0, 2], keepdims=0))
    cases += lstm_cases()
    x = floats(2, 3, scale=3)
    cases.append(case("QuantizeLinear", "of this domain", [x, scale_of(0.05), one(np.uint8, 77)],
                      [quantize(x, np.float32(0.05), 77, np.uint8)]))
    q = integers(np.int8, -128, 127, 2, 3)
    scales, zeros = f32([0.1, 0.2, 0.3]), np.array([1, -2, 3], np.int8)
    cases.append(case("DequantizeLinear", "by column", [q, scales, zeros],
                      [f32((q.astype(np.float64) - zeros) * scales)], axis=1))
    return cases


def pack(numbers, bits):
    """Low bits first, along the last axis, filled up to whole bytes."""
    per = 8 // bits
    extra = -numbers.shape[-1] % per
    numbers = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, extra)])
    numbers = numbers.reshape(*numbers.shape[:-1], -1, per).astype(np.uint32)
    return (numbers << (np.arange(per) * bits)).sum(-1).astype(np.uint8)


def packed_cases():
    cases = []
    for bits, columns, size in ((4, 40, 16), (2, 48, 16), (8, 32, 16), (4, 32, 32)):
        rows, blocks = 5, -(-columns // size)
        a = floats(2, 3, columns)
        numbers = integers(np.int64, 0, 2**bits, rows, blocks, size)
        scales = f32(np.abs(floats(rows, blocks)) * 0.1 + 0.01)
        zeros = integers(np.int64, 0, 2**bits, rows, blocks)
        bias = floats(rows)

        def product(zero):
            weights = ((numbers - zero) * scales.astype(np.float64)[:, :, None])
            return a @ weights.reshape(rows, -1)[:, :columns].T

        attributes = {"K": columns, "N": rows, "block_size": size, "bits": bits}
        packed = pack(numbers, bits)
        cases.append(case("MatMulNBits", f"{bits} bits, zero points and bias",
                          [a, packed, scales, pack(zeros, bits), None, bias],
                          [f32(product(zeros[:, :, None]) + bias)], **attributes))
        cases.append(case("MatMulNBits", f"{bits} bits, zeros in the middle, scales as a list",
                          [a, packed, scales.reshape(-1)], [f32(product(2 ** (bits - 1)))],
                          **attributes))
    real = f32(np.abs(floats(rows, blocks)) + 1)
    cases.append(case("MatMulNBits", "zero points in floats", [a, packed, scales, real],
                      [f32(product(real.astype(np.float64)[:, :, None]))], **attributes))
    indices = np.array([[3, 0], [2, 2]], np.int64)
    for bits in (4, 8, 2):
        numbers = integers(np.int64, 0, 2**bits, 4, 32)
        scales = f32(np.abs(floats(4, 2)) + 0.1)
        zeros = integers(np.int64, 0, 2**bits, 4, 2)
        for zero, given in ((zeros, [pack(zeros, bits)]), (2 ** (bits - 1), [])):
            wide = np.repeat(np.broadcast_to(zero, (4, 2)), 16, 1)
            table = (numbers - wide) * np.repeat(scales.astype(np.float64), 16, 1)
            cases.append(case("GatherBlockQuantized", f"{bits} bits in bytes",
                              [pack(numbers, bits), indices, scales, *given],
                              [f32(table[indices])], bits=bits, block_size=16, gather_axis=0,
                              quantize_axis=1))
    return cases


# ---- others


def crop(x, boxes, pictures, height, width, mode, outside):
    n, c, h, w = x.shape
    y = np.full((len(boxes), c, height, width), outside, np.float64)
    for r, (y1, x1, y2, x2) in enumerate(boxes.astype(np.float64)):
        for i in range(height):
            top = y1 * (h - 1) + i * (y2 - y1) * (h - 1) / (height - 1) if height > 1 else (
                0.5 * (y1 + y2) * (h - 1))
            for j in range(width):
                left = x1 * (w - 1) + j * (x2 - x1) * (w - 1) / (width - 1) if width > 1 else (
                    0.5 * (x1 + x2) * (w - 1))
                if not (0 <= top <= h - 1 and 0 <= left <= w - 1):
                    continue
                picture = x[pictures[r]].astype(np.float64)
                if mode == "nearest":
                    y[r, :, i, j] = picture[:, int(top + 0.5), int(left + 0.5)]
                    continue
                t, l = int(top), int(left)
                b, e = min(t + 1, h - 1), min(l + 1, w - 1)
                dy, dx = top - t, left - l
                upper = picture[:, t, l] * (1 - dx) + picture[:, t, e] * dx
                lower = picture[:, b, l] * (1 - dx) + picture[:, b, e] * dx
                y[r, :, i, j] = upper * (1 - dy) + lower * dy
    return f32(y)


def conv_transpose(x, w, stride, pads):
    n, c, h, wide = x.shape
    m, kh, kw = w.shape[1:]
    y = np.zeros((n, m, (h - 1) * stride + kh, (wide - 1) * stride + kw))
    for i in range(h):
        for j in range(wide):
            y[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw] += np.einsum(
                "nc,cmhw->nmhw", x[:, :, i, j].astype(np.float64), w)
    return y[:, :, pads[0]:y.shape[2] - pads[2], pads[1]:y.shape[3] - pads[3]]


def other_cases():
    cases = []
    x = floats(2, 3, 6, 5)
    boxes = f32([[0.1, 0.2, 0.83, 0.91], [0.55, 0.05, 0.15, 0.6], [-0.21, 0.3, 0.71, 1.3]])
    pictures, size = np.array([1, 0, 1], np.int32), np.array([4, 3], np.int32)
    for mode in ("bilinear", "nearest"):
        cases.append(case("CropAndResize", mode, [x, boxes, pictures, size],
                          [crop(x, boxes, pictures, 4, 3, mode, 2.5)], mode=mode,
                          extrapolation_value=2.5))
    cases.append(case("CropAndResize", "one sample", [x, boxes[:2], pictures[:2],
                                                      np.array([1, 2], np.int32)],
                      [crop(x, boxes[:2], pictures, 1, 2, "bilinear", 0)]))
    halves = f32([[0.3, 0.5, 0.7, 0.875]])  # rows 1.5 to 3.5, columns 2 to 3.5
    cases.append(case("CropAndResize", "nearest of two, half way",
                      [x, halves, pictures[:1], np.array([3, 2], np.int32)],
                      [crop(x, halves.astype(np.float64).round(4), pictures, 3, 2, "nearest", 0)],
                      mode="nearest"))
    a, b = floats(4, 6), floats(3, 6)
    squares = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    cases.append(case("CDist", "euclidean", [a, b], [f32(np.sqrt(squares))], metric="euclidean"))
    cases.append(case("CDist", "squares", [a, b], [f32(squares)], metric="sqeuclidean"))
    for length in (8, 7):
        x = floats(2, length)
        y = np.fft.rfft(x)
        spectrum = f32(np.stack([y.real, y.imag], -1))
        cases.append(case("Rfft", f"{length} samples", [x], [spectrum], signal_ndim=1,
                          normalized=0, onesided=1))
    x = floats(2, 4, 6)
    y = np.fft.rfft2(x)
    spectrum = f32(np.stack([y.real, y.imag], -1))
    cases.append(case("Rfft", "two dimensions", [x], [spectrum], signal_ndim=2, normalized=0,
                      onesided=1))
    cases.append(case("Irfft", "two dimensions", [spectrum], [x], signal_ndim=2, normalized=0,
                      onesided=1))
    x, y = floats(2, 3, 2), floats(2, 3, 2)
    left, right = x[..., 0] + 1j * x[..., 1], y[..., 0] + 1j * y[..., 1]
    for name, z in (("ComplexMul", left * right), ("ComplexMulConj", left * right.conj())):
        cases.append(case(name, "last dimension", [x, y], [f32(np.stack([z.real, z.imag], -1))]))
    x = f32([3, 1, 3, 2, 1, 1])
    cases.append(case("Unique", "in order", [x],
                      [f32([3, 1, 2]), np.array([0, 1, 0, 2, 1, 1], np.int64),
                       np.array([2, 3, 1], np.int64)]))
    x = floats(2, 3)
    cases.append(case("ExpandDims", "in the middle", [x, one(np.int32, 1)], [x[:, None]]))
    cases.append(case("ExpandDims", "at the end", [x, one(np.int32, -1)], [x[..., None]]))
    pads = np.array([0, 1, 2, 0], np.int64)
    cases.append(case("Pad", "constant", [x, pads, f32([1.5])],
                      [np.pad(x, ((0, 2), (1, 0)), constant_values=1.5)]))
    cases.append(case("Pad", "reflect", [x, np.array([1, 0, 0, 2], np.int64)],
                      [np.pad(x, ((1, 0), (0, 2)), mode="reflect")], mode="reflect"))
    cases.append(case("Range", "without a step", [one(np.int32, 2), one(np.int32, 6)],
                      [np.arange(2, 6, dtype=np.int32)]))
    cases.append(case("Range", "with one", [scale_of(1), scale_of(-1), scale_of(-0.5)],
                      [f32([1, 0.5, 0, -0.5])]))
    square = floats(4, 4)
    cases.append(case("Trilu", "above the diagonal", [square, one(np.int64, 1)],
                      [np.triu(square, 1)], upper=1))
    table = floats(5, 3)
    rows = np.array([[4, 1], [0, 0]], np.int64)
    cases.append(case("TorchEmbedding", "rows", [table, rows], [table[rows]]))
    cases.append(case("GatherND", "elements", [table, np.array([[1, 2], [4, 0]], np.int64)],
                      [f32([table[1, 2], table[4, 0]])]))
    x, w = floats(1, 2, 3, 3), floats(2, 3, 2, 2)
    cases.append(case("ConvTransposeWithDynamicPads", "constant pads",
                      [x, w, ("constant", np.array([1, 0, 0, 1], np.int64))],
                      [f32(conv_transpose(x, w, 2, [1, 0, 0, 1]))], strides=[2, 2]))
    picture = floats(1, 1, 3, 3)
    grid = f32([[[[-1, -1], [0, 0]], [[1, 1], [0.5, -0.5]]]])  # x, then y
    middle = picture[0, 0, 0:2, 1:3].astype(np.float64).mean()
    cases.append(case("GridSample", "corners", [picture, grid],
                      [f32([[[[picture[0, 0, 0, 0], picture[0, 0, 1, 1]],
                              [picture[0, 0, 2, 2], middle]]]])], mode="bilinear",
                      align_corners=1))
    return cases


def batched_nms(boxes, scores, keep, before, overlap, least, normalized):
    """boxes: batch, box, 1 or class, 4; scores: batch, box, class."""
    more = 0 if normalized else 1
    n, count, classes = scores.shape
    dets, labels = np.zeros((n, keep, 5), np.float32), np.full((n, keep), -1, np.int32)
    for i in range(n):
        found = []
        for c in range(classes):
            at = boxes[i, :, c % boxes.shape[2]].astype(np.float64)
            order = np.argsort(-scores[i, :, c], kind="stable")[:before]
            left = []
            for k in order:
                if scores[i, k, c] <= least:
                    continue
                x1, y1 = np.maximum(at[k, :2], at[left, :2]).T
                x2, y2 = np.minimum(at[k, 2:], at[left, 2:]).T
                inner = np.maximum(x2 - x1 + more, 0) * np.maximum(y2 - y1 + more, 0)
                area = (at[:, 2] - at[:, 0] + more) * (at[:, 3] - at[:, 1] + more)
                if not (inner / (area[k] + area[left] - inner) > overlap).any():
                    left.append(k)
            found += [(scores[i, k, c], c, k) for k in left]
        found.sort(key=lambda x: -x[0])
        for j, (score, c, k) in enumerate(found[:keep]):
            dets[i, j] = [*boxes[i, k, c % boxes.shape[2]], score]
            labels[i, j] = c
    return [dets, labels]


def detector_cases():
    """mmdeploy's operators, in cases that can be said without interpolation, or by hand."""
    domain = {"domain": "mmdeploy", "version": 1}
    cases = []
    picture = floats(1, 2, 3, 3)
    grid = f32([[[[-1, -1], [0, 0], [1, 0.0]]]])
    y = picture[:, :, [0, 1, 1], [0, 1, 2]][:, :, None]
    cases.append(case("grid_sampler", "centres", [picture, grid], [f32(y)], domain,
                      interpolation_mode=0, padding_mode=0, align_corners=1))
    x, w, bias = floats(1, 2, 5, 5), floats(3, 2, 3, 3), floats(3)
    offset = np.zeros((1, 18, 3, 3), np.float32)
    offset[:, 0::2] = 1  # a row further down
    mask = np.full((1, 9, 3, 3), 0.5, np.float32)
    shifted = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))[:, :, 1:]
    cases.append(case("MMCVModulatedDeformConv2d", "a row further down",
                      [x, offset, mask, w, bias], [f32(conv(shifted, w * 0.5, bias))], domain,
                      stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1, deform_groups=1))
    for shared in (1, 3):
        corners = f32(random.uniform(0, 20, (2, 12, shared, 2)))
        boxes = np.concatenate([corners, corners + f32(random.uniform(8, 14, corners.shape))], -1)
        scores = f32(random.uniform(0, 1, (2, 12, 3)))
        for keep, before, normalized in ((10, 5, 0), (40, 12, 1)):
            cases.append(case("TRTBatchedNMS", f"{shared} boxes a place, {keep} of all",
                              [boxes, scores],
                              batched_nms(boxes, scores, keep, before, 0.4, 0.3, normalized),
                              domain, background_label_id=-1, num_classes=3, topk=before,
                              keep_topk=keep, score_threshold=0.3, iou_threshold=0.4,
                              is_normalized=normalized, clip_boxes=0))
    # One sample in the middle of each bin: bins of 2 by 2 pixels, half a pixel off by "aligned".
    ramp = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    boxes = f32([[0, 0.5, 0.5, 4.5, 4.5]])
    rows, columns = np.array([1, 3]), np.array([1, 3])
    y = ramp[:, :, rows[:, None], columns[None]]
    cases.append(case("MMCVRoiAlign", "aligned", [ramp, boxes], [f32(y)], domain,
                      output_height=2, output_width=2, spatial_scale=1.0, sampling_ratio=1,
                      mode="avg", aligned=1))
    boxes = f32([[0, 0, 0, 4, 4]])
    cases.append(case("MMCVRoiAlign", "not aligned", [ramp, boxes], [f32(y)],
                      {"domain": "mmcv", "version": 1}, output_height=2, output_width=2,
                      spatial_scale=1.0, sampling_ratio=1, mode="avg", aligned=0))
    return cases


def nhwc_cases():
    """ONNX's operators with channels last: computed with channels first, and moved."""
    domain = {"domain": "com.ms.internal.nhwc", "version": 11}
    x = floats(2, 8, 4, 6)
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    cases = []

    def last(y):
        return np.ascontiguousarray(f32(y).transpose(0, 2, 3, 1))

    def add(op, y, more=(), **attributes):
        cases.append(case(op, "channels last", [last(x), *more], [last(y)], domain, **attributes))

    add("AveragePool", blocks.mean((3, 5)), kernel_shape=[2, 2], strides=[2, 2])
    add("MaxPool", blocks.max((3, 5)), kernel_shape=[2, 2], strides=[2, 2])
    add("GlobalAveragePool", x.mean((2, 3), keepdims=True))
    add("GlobalMaxPool", x.max((2, 3), keepdims=True))
    add("SpaceToDepth", blocks.transpose(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2),
        blocksize=2)
    add("DepthToSpace", x.reshape(n, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(
        n, c // 4, 2 * h, 2 * w), blocksize=2)
    squares = np.stack([(x[:, max(0, i - 1):i + 2].astype(np.float64) ** 2).sum(1)
                        for i in range(c)], 1)
    add("LRN", x / (1 + 0.3 / 3 * squares) ** 0.75, size=3, alpha=0.3, beta=0.75, bias=1.0)
    scale, shift = floats(c), floats(c)
    y = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-3)
    add("InstanceNormalization", y * scale[:, None, None] + shift[:, None, None], [scale, shift],
        epsilon=1e-3)
    weights = floats(c, 3, 2, 2)
    add("ConvTranspose", conv_transpose(x, weights, 2, [0, 0, 0, 0]), [weights], strides=[2, 2])
    return cases


def half_cases():
    """Some of all kinds with float16 inputs, for the types of what a rewrite makes."""

    def half(*shape):
        return floats(*shape).astype(np.float16)

    def f16(x):
        return np.asarray(x).astype(np.float16)

    def wide(*arrays):
        return [a.astype(np.float64) for a in arrays]

    cases = []
    x, w, bias = half(2, 3, 6), floats(6, 24, scale=0.3).astype(np.float16), half(24)
    raw = np.array([[1, 0, 1], [1, 1, 0]], np.int32)
    xd, wd, bd = wide(x, w, bias)
    q, k, v = [heads(t, 2) for t in np.split(xd @ wd + bd, 3, -1)]
    y = together(attend(q, k, v, None, hide((raw > 0)[:, None, None, :])))
    cases.append(case("Attention", "float16 with a mask", [x, w, bias, raw], [f16(y)], num_heads=2))
    x, skip, gamma = half(2, 3, 8), half(2, 3, 8), half(8)
    total = wide(x)[0] + wide(skip)[0]
    cases.append(case("SkipLayerNormalization", "float16", [x, skip, gamma],
                      [f16(layer_norm(total, *wide(gamma), None, np.float32(1e-3))[0])],
                      epsilon=1e-3))
    cases.append(case("SimplifiedLayerNormalization", "float16 with a scale of float32",
                      [x, floats(8) * 0 + 2], [rms_norm(x, 2, 1e-5)[0]]))
    last, gamma, beta = half(1, 2, 3, 4), floats(4), floats(4)
    y = group_norm(last.transpose(0, 3, 1, 2), gamma, beta, 2, np.float32(1e-5))
    cases.append(case("GroupNorm", "float16 with scales of float32", [last, gamma, beta],
                      [f16((y * sigmoid(y)).transpose(0, 2, 3, 1))], activation=1, groups=2))
    bias = half(8)
    cases.append(case("FastGelu", "float16", [x, bias],
                      [f16(fast_gelu(wide(x)[0] + wide(bias)[0]))]))
    a, b = half(2, 3), half(4, 3)
    cases.append(case("FusedMatMul", "float16 with alpha", [a, b],
                      [f16(0.5 * wide(a)[0] @ wide(b)[0].T)], transB=1, alpha=0.5))
    numbers = integers(np.int64, 0, 16, 5, 1, 16)
    scales = f16(np.abs(floats(5, 1)) + 0.1)
    a = half(2, 16)
    weights = (numbers - 8) * wide(scales)[0][:, :, None]
    cases.append(case("MatMulNBits", "float16", [a, pack(numbers, 4), scales],
                      [f16(wide(a)[0] @ weights.reshape(5, 16).T)], K=16, N=5, block_size=16,
                      bits=4))
    return cases


def experimental_cases():
    onnx = {"domain": "", "version": 21}
    x, cases = floats(1, 3, 4, 5), []
    bias = [0.5, -1.0, 2.0]
    cases.append(case("ImageScaler", "scale and bias", [x],
                      [f32(x * 0.25 + np.reshape(bias, (1, 3, 1, 1)))], onnx, scale=0.25,
                      bias=bias))
    cases.append(case("Crop", "a border", [x], [x[:, :, 2:3, 1:2]], onnx, border=[1, 2, 3, 1]))
    cases.append(case("Crop", "to a size", [x], [x[:, :, 1:3, 2:5]], onnx, border=[2, 1, 0, 0],
                      scale=[2, 3]))
    cases.append(case("Affine", "both", [x], [f32(x * 2 - 3)], onnx, alpha=2.0, beta=-3.0))
    cases.append(case("Scale", "scale", [x], [f32(x * 0.125)], onnx, scale=0.125))
    cases.append(case("ScaledTanh", "both", [x], [f32(2 * np.tanh(0.5 * x))], onnx, alpha=2.0,
                      beta=0.5))
    cases.append(case("ParametricSoftplus", "both", [x], [f32(2 * np.log1p(np.exp(0.5 * x)))],
                      onnx, alpha=2.0, beta=0.5))
    old = {"domain": "", "version": 7}
    x, scale, shift = floats(2, 3, 2), floats(3, 2), floats(3, 2)
    mean, variance = floats(3, 2), f32(np.abs(floats(3, 2)) + 0.5)
    cases.append(case("BatchNormalization", "for every element",
                      [x, scale, shift, mean, variance],
                      [f32((x - mean) / np.sqrt(variance + np.float32(1e-3)) * scale + shift)],
                      old, spatial=0, epsilon=1e-3))
    return cases


FILES = {
    "attention": attention_cases,
    "multi_head_attention": multi_head_cases,
    "rotary_embedding": rotary_cases,
    "group_query_attention": group_query_cases,
    "norm": norm_cases,
    "fused": fused_cases,
    "qlinear": qlinear_cases,
    "integer_products": product_cases,
    "packed_weights": packed_cases,
    "other": other_cases,
    "detectors": detector_cases,
    "float16": half_cases,
    "nhwc": nhwc_cases,
    "experimental": experimental_cases,
}

for stem, make in FILES.items():
    random = np.random.default_rng(zlib.crc32(stem.encode()))  # no file depends on another
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), stem + ".json")
    with open(path, "w") as file:
        entries = (json.dumps(entry, separators=(",", ":")) for entry in make())
        file.write("[\n" + ",\n".join(entries) + "\n]\n")
