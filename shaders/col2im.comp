// One invocation = one output element: the sum of the columns' elements that lie there.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint WIDTH = 4; // bytes of the host's element, 0 for bool
layout(constant_id = 4) const bool IS_SIGNED = true;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, channels;
    int image[3], block[3]; // depth, height, width
    int positions[3];       // of the block in the image
    int stride[3], pad[3], dilation[3];
    int x_offset;
    int x_strides[3];       // picture, channel and element of the block, position
    float step_a[4], step_b[4];
} push;

#if IS_FLOAT
#include "epilogue.glsl"
#define FINISHED(sum) epilogue(sum)
#else
#include "wrap.glsl"
#define FINISHED(sum) wrap(sum)
#endif

// The position at which element k of the block lies on `at` of dimension d, or -1.
int position_of(int at, int k, int d)
{
    const int start = at + push.pad[d] - k * push.dilation[d];
    const int position = start / push.stride[d];
    const bool there = start >= 0 && start == position * push.stride[d];
    return there && position < push.positions[d] ? position : -1;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id;
    ivec3 at;
    for (int d = 2; d >= 0; d--) {
        at[d] = int(rest % uint(push.image[d]));
        rest /= uint(push.image[d]);
    }
    const int channel = int(rest % push.channels), picture = int(rest / push.channels);
    const int elements = push.block[0] * push.block[1] * push.block[2];
    const int start = push.x_offset + picture * push.x_strides[0] +
                      channel * elements * push.x_strides[1];
    VALUE sum = NUMBER(0);
    for (int i = 0; i < push.block[0]; i++) {
        const int plane = position_of(at[0], i, 0);
        if (plane < 0)
            continue;
        for (int j = 0; j < push.block[1]; j++) {
            const int row = position_of(at[1], j, 1);
            if (row < 0)
                continue;
            for (int k = 0; k < push.block[2]; k++) {
                const int column = position_of(at[2], k, 2);
                if (column < 0)
                    continue;
                const int element = (i * push.block[1] + j) * push.block[2] + k;
                const int position =
                    (plane * push.positions[1] + row) * push.positions[2] + column;
                sum = SUM(sum, VALUE_OF(x[start + element * push.x_strides[1] +
                                          position * push.x_strides[2]]));
            }
        }
    }
    y[id] = STORED_OF(FINISHED(sum));
}
