// One invocation = one point of the grid in up to 4 channels. Pictures are volumes of depth 1.
// variants: f32 f16 i32 u32 i64
// Integers are moved: only their nearest can be read.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"
#include "param.glsl"
#include "grid_sample_codes.glsl"

layout(constant_id = 3) const uint CHANNELS_INNERMOST = 0;
layout(constant_id = 4) const uint MODE = 0;
layout(constant_id = 5) const uint PADDING = 0;
layout(constant_id = 6) const uint ALIGN_CORNERS = 0;
layout(constant_id = 7) const uint GRID = 1; // how the grid is stored
layout(constant_id = 8) const uint RANK = 2; // coordinates of a point

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Grid { uint grid[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, channels, channel_blocks;
    uint points; // of one picture
    int x_offset, grid_offset;
    int dims[3];
    int x_strides[5];
    int y_strides[3]; // picture, channel, point
    float step_a[4], step_b[4];
} push;

#if IS_FLOAT
#include "epilogue.glsl"
#endif

const uint CHANNELS = 4; // of one invocation
const uint TAPS = MODE == GRID_CUBIC ? 4 : MODE == GRID_LINEAR ? 2 : 1;

float size(uint d)
{
    return float(push.dims[d]);
}

float lowest(uint d)
{
    return ALIGN_CORNERS != 0 ? 0.0 : -0.5;
}

float highest(uint d)
{
    return ALIGN_CORNERS != 0 ? size(d) - 1.0 : size(d) - 0.5;
}

float reflected(float at, uint d)
{
    const float low = lowest(d), high = highest(d), range = high - low;
    if (range <= 0.0)
        return low;
    if (at < low) {
        const float beyond = low - at, turns = floor(beyond / range);
        const float rest = beyond - turns * range;
        return mod(turns, 2.0) < 0.5 ? low + rest : high - rest;
    }
    if (at > high) {
        const float beyond = at - high, turns = floor(beyond / range);
        const float rest = beyond - turns * range;
        return mod(turns, 2.0) < 0.5 ? high - rest : low + rest;
    }
    return at;
}

// Where a coordinate of the grid lies among the pixels of dimension d.
float located(float coordinate, uint d)
{
    float at = ALIGN_CORNERS != 0 ? (coordinate + 1.0) * 0.5 * (size(d) - 1.0)
                                  : ((coordinate + 1.0) * size(d) - 1.0) * 0.5;
    if (MODE == GRID_NEAREST)
        at = roundEven(at);
    if (MODE == GRID_CUBIC) // each of the pixels is moved into the picture, not their centre
        return at;
    if (PADDING == GRID_ZEROS || (at >= lowest(d) && at <= highest(d)))
        return at;
    return PADDING == GRID_BORDER ? clamp(at, 0.0, size(d) - 1.0) : reflected(at, d);
}

// The pixel that stands for position `at` of dimension d, or -1 where that is outside and zero.
int pixel(float at, uint d)
{
    if (PADDING == GRID_REFLECTION)
        at = reflected(at, d);
    else if (PADDING == GRID_ZEROS && !(at >= 0.0 && at <= size(d) - 1.0))
        return -1;
    return clamp(int(clamp(at, 0.0, size(d) - 1.0)), 0, push.dims[d] - 1);
}

float cubic(float t)
{
    const float a = -0.75;
    t = abs(t);
    return t <= 1.0 ? ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
                    : ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
}

// Pixels and weights along one dimension.
struct Taps {
    ivec4 pixels;
    vec4 weights;
};

Taps taps_of(float at, uint d)
{
    Taps taps = Taps(ivec4(0), vec4(1.0));
    if (MODE == GRID_NEAREST) {
        taps.pixels[0] = pixel(at, d);
        return taps;
    }
    const float first = floor(at), rest = at - first;
    const float start = MODE == GRID_CUBIC ? first - 1.0 : first;
    for (uint k = 0; k < TAPS; k++) {
        taps.pixels[k] = pixel(start + float(k), d);
        taps.weights[k] = MODE == GRID_CUBIC ? cubic(rest + 1.0 - float(k))
                                             : (k == 0 ? 1.0 - rest : rest);
    }
    return taps;
}

#if IS_FLOAT
float gathered(int from, Taps depth, Taps rows, Taps columns)
{
    float sum = 0.0;
    for (uint i = 0; i < (RANK > 2 ? TAPS : 1); i++) {
        for (uint j = 0; j < TAPS; j++) {
            for (uint k = 0; k < TAPS; k++) {
                const int plane = depth.pixels[i], row = rows.pixels[j];
                const int column = columns.pixels[k];
                if (plane < 0 || row < 0 || column < 0)
                    continue;
                sum += depth.weights[i] * rows.weights[j] * columns.weights[k] *
                       VALUE_OF(x[from + plane * push.x_strides[2] + row * push.x_strides[3] +
                                  column * push.x_strides[4]]);
            }
        }
    }
    return sum;
}

void store(int to, int from, Taps depth, Taps rows, Taps columns)
{
    y[to] = STORED_OF(epilogue(gathered(from, depth, rows, columns)));
}
#else
void store(int to, int from, Taps depth, Taps rows, Taps columns)
{
    const int plane = depth.pixels[0], row = rows.pixels[0], column = columns.pixels[0];
    if (plane < 0 || row < 0 || column < 0)
        y[to] = NUMBER(0);
    else
        y[to] = x[from + plane * push.x_strides[2] + row * push.x_strides[3] +
                  column * push.x_strides[4]];
}
#endif

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    uint block = 0, point;
    if (CHANNELS_INNERMOST != 0) {
        block = rest % push.channel_blocks;
        rest /= push.channel_blocks;
    }
    point = rest % push.points;
    rest /= push.points;
    if (CHANNELS_INNERMOST == 0) {
        block = rest % push.channel_blocks;
        rest /= push.channel_blocks;
    }
    const int at = push.grid_offset + int(rest * push.points + point) * int(RANK);
    Taps depth = Taps(ivec4(0), vec4(1.0));
    if (RANK > 2)
        depth = taps_of(located(PARAM_AT(GRID, grid, at + 2), 0), 0);
    const Taps rows = taps_of(located(PARAM_AT(GRID, grid, at + 1), 1), 1);
    const Taps columns = taps_of(located(PARAM_AT(GRID, grid, at), 2), 2);
    const uint end = min((block + 1) * CHANNELS, push.channels);
    for (uint channel = block * CHANNELS; channel < end; channel++) {
        const int from = push.x_offset + int(rest) * push.x_strides[0] +
                         int(channel) * push.x_strides[1];
        const int to = int(rest) * push.y_strides[0] + int(channel) * push.y_strides[1] +
                       int(point) * push.y_strides[2];
        store(to, from, depth, rows, columns);
    }
}
