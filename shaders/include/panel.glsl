// The multiplying core of the kernels whose subgroup computes a tile together: every lane holds
// COLS output channels of PIXELS output pixels, and reads whole pixels that it hands to the others.
// Weights lie in panels: per four input channels, COLS x LANES vectors, each four input channels of
// one output channel. They and the activations are read as storage texels, which software drivers
// compile to a plain load. Include after index.glsl; the workgroup is one subgroup of LANES.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint PIXELS = 16;
layout(constant_id = 5) const uint COLS = 4;
layout(constant_id = 14) const uint DEPTH = 4; // of each vector's channels, those that are there

// Pixels that one lane reads.
const uint READS = (PIXELS + LANES - 1) / LANES;

float sums[PIXELS][COLS];

// Adds four input channels: pixels[r] of lane l belong to pixel r * LANES + l.
void panel_add(vec4 pixels[READS], vec4 weights[COLS])
{
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        const vec4 value = subgroupShuffle(pixels[p / LANES], p % LANES);
        [[unroll]] for (uint c = 0; c < COLS; c++) {
            float sum = sums[p][c];
            [[unroll]] for (uint k = 0; k < DEPTH; k++)
                sum += value[k] * weights[c][k];
            sums[p][c] = sum;
        }
    }
}
