// One invocation = one point of the grid: its coordinates times the batch's matrix.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 2; // 2: pictures, 3: volumes

layout(binding = 0) readonly buffer Theta { STORED theta[]; };
layout(binding = 1) writeonly buffer Grid { STORED grid[]; }; // [batch, depth, height, width, RANK]

layout(push_constant) uniform Push {
    uint count;
    uint depth, height, width; // depth is 1 for pictures
    float first[3], step[3];   // coordinates of width, height, depth
    int theta_offset;
    int theta_strides[3];
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.width, plane = row / push.height, batch = plane / push.depth;
    const uvec3 index = uvec3(id - row * push.width, row - plane * push.height,
                              plane - batch * push.depth);
    vec3 point; // an array would share its type, and its layout, with those of the push block
    for (uint d = 0; d < 3; d++)
        point[d] = push.first[d] + float(index[d]) * push.step[d];
    int from = push.theta_offset + int(batch) * push.theta_strides[0];
    for (uint r = 0; r < RANK; r++, from += push.theta_strides[1]) {
        float sum = float(theta[from + int(RANK) * push.theta_strides[2]]);
        for (uint d = 0; d < RANK; d++)
            sum += float(theta[from + int(d) * push.theta_strides[2]]) * point[d];
        grid[id * RANK + r] = STORED_OF(sum);
    }
}
