// One invocation = one output element: the largest element in one bin of one region, 0 in none.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint CHANNELS_INNERMOST = 0;
layout(constant_id = 4) const uint REGION = 1; // how regions are stored

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Regions { uint regions[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, picture_count, channels;
    int dims[2];  // height, width
    uint bins[2];
    int x_offset, region_offset;
    int x_strides[4];
    int y_strides[4];
    float scale;
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

const float CORNER_MAX = 262144.0;

// Halves away from zero.
int corner(int index)
{
    const float place = PARAM_AT(REGION, regions, index) * push.scale;
    const float magnitude = min(abs(place), CORNER_MAX), whole = trunc(magnitude);
    const int nearest = int(magnitude - whole >= 0.5 ? whole + 1.0 : whole);
    return place < 0.0 ? -nearest : nearest;
}

// The first element of a bin along dimension d, and the one after the last.
ivec2 bin_range(int start, int stop, uint bin, int d)
{
    const uint bins = push.bins[d], size = uint(max(stop - start + 1, 1));
    const int begin = start + int(bin * size / bins);
    const int end = start + int(((bin + 1) * size + bins - 1) / bins);
    return ivec2(max(begin, 0), min(end, push.dims[d]));
}

float pooled(int start, int region, uint bin_row, uint bin_column)
{
    const ivec2 rows = bin_range(corner(region + 2), corner(region + 4), bin_row, 0);
    const ivec2 columns = bin_range(corner(region + 1), corner(region + 3), bin_column, 1);
    bool found = false;
    float result = 0.0;
    for (int i = rows.x; i < rows.y; i++) {
        for (int j = columns.x; j < columns.y; j++) {
            const float value =
                VALUE_OF(x[start + i * push.x_strides[2] + j * push.x_strides[3]]);
            if (!found || value > result)
                result = value;
            found = true;
        }
    }
    return result;
}

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    uint channel = 0;
    if (CHANNELS_INNERMOST != 0) {
        channel = rest % push.channels;
        rest /= push.channels;
    }
    const uint column = rest % push.bins[1];
    rest /= push.bins[1];
    const uint row = rest % push.bins[0];
    rest /= push.bins[0];
    if (CHANNELS_INNERMOST == 0) {
        channel = rest % push.channels;
        rest /= push.channels;
    }
    const int at = push.region_offset + 5 * int(rest);
    const float picture = trunc(PARAM_AT(REGION, regions, at));
    float value = 0.0; // a picture that is not there
    if (picture >= 0.0 && picture < float(push.picture_count)) {
        const int start = push.x_offset + int(picture) * push.x_strides[0] +
                          int(channel) * push.x_strides[1];
        value = pooled(start, at, row, column);
    }
    y[int(rest) * push.y_strides[0] + int(channel) * push.y_strides[1] +
      int(row) * push.y_strides[2] + int(column) * push.y_strides[3]] = STORED_OF(epilogue(value));
}
