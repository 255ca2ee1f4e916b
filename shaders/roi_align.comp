// One invocation = one output element: the mean (or maximum) of samples in one bin of one region.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint CHANNELS_INNERMOST = 0;
layout(constant_id = 4) const uint MAXIMUM = 0;    // else the mean
layout(constant_id = 5) const uint HALF_PIXEL = 1; // pixel centres lie at halves
layout(constant_id = 6) const uint REGION = 1;     // how regions are stored
layout(constant_id = 7) const uint INDEX_WORDS = 2;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Regions { uint regions[]; };
layout(binding = 2) readonly buffer Pictures { uint pictures[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, picture_count, channels, height, width, out_height, out_width;
    int x_offset, region_offset, index_offset;
    int x_strides[4];
    int y_strides[4];
    int sampling;
    float scale;
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

const int SAMPLES_MAX = 250; // along each side of a bin: loops must end

float pixel(int start, int row, int column)
{
    return VALUE_OF(x[start + row * push.x_strides[2] + column * push.x_strides[3]]);
}

// The value between four pixels, or with MAXIMUM the largest of their weighted values.
float sampled(int start, float row, float column)
{
    if (!(row >= -1.0 && row <= float(push.height) && column >= -1.0 &&
          column <= float(push.width)))
        return 0.0;
    row = clamp(row, 0.0, float(push.height - 1));
    column = clamp(column, 0.0, float(push.width - 1));
    const int top = int(row), left = int(column);
    const int bottom = min(top + 1, int(push.height) - 1);
    const int right = min(left + 1, int(push.width) - 1);
    const float down = row - float(top), along = column - float(left);
    const float a = (1.0 - down) * (1.0 - along) * pixel(start, top, left);
    const float b = (1.0 - down) * along * pixel(start, top, right);
    const float c = down * (1.0 - along) * pixel(start, bottom, left);
    const float d = down * along * pixel(start, bottom, right);
    return MAXIMUM != 0 ? max(max(a, b), max(c, d)) : a + b + c + d;
}

int samples_along(float bin)
{
    if (push.sampling > 0)
        return min(push.sampling, SAMPLES_MAX);
    return clamp(int(ceil(clamp(bin, 0.0, float(SAMPLES_MAX)))), 0, SAMPLES_MAX);
}

float pooled(int start, int region, uint bin_row, uint bin_column)
{
    const float offset = HALF_PIXEL != 0 ? 0.5 : 0.0;
    const float left = PARAM_AT(REGION, regions, region) * push.scale - offset;
    const float top = PARAM_AT(REGION, regions, region + 1) * push.scale - offset;
    float width = PARAM_AT(REGION, regions, region + 2) * push.scale - offset - left;
    float height = PARAM_AT(REGION, regions, region + 3) * push.scale - offset - top;
    if (HALF_PIXEL == 0) {
        width = max(width, 1.0);
        height = max(height, 1.0);
    }
    const float bin_width = width / float(push.out_width);
    const float bin_height = height / float(push.out_height);
    const int rows = samples_along(bin_height), columns = samples_along(bin_width);
    const float first_row = top + float(bin_row) * bin_height;
    const float first_column = left + float(bin_column) * bin_width;
    float result = 0.0;
    for (int i = 0; i < rows; i++) {
        const float row = first_row + (float(i) + 0.5) * bin_height / float(rows);
        for (int j = 0; j < columns; j++) {
            const float column = first_column + (float(j) + 0.5) * bin_width / float(columns);
            const float value = sampled(start, row, column);
            if (MAXIMUM != 0)
                result = i + j == 0 ? value : max(result, value);
            else
                result += value;
        }
    }
    return MAXIMUM != 0 ? result : result / float(max(rows * columns, 1));
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
    const uint column = rest % push.out_width;
    rest /= push.out_width;
    const uint row = rest % push.out_height;
    rest /= push.out_height;
    if (CHANNELS_INNERMOST == 0) {
        channel = rest % push.channels;
        rest /= push.channels;
    }
    const int region = int(rest);
    const uint word = uint(push.index_offset + region) * INDEX_WORDS;
    const uint picture = pictures[word];
    float value = 0.0; // a picture that is not there
    if (picture < push.picture_count && (INDEX_WORDS == 1 || pictures[word + 1] == 0)) {
        const int start = push.x_offset + int(picture) * push.x_strides[0] +
                          int(channel) * push.x_strides[1];
        value = pooled(start, push.region_offset + 4 * region, row, column);
    }
    y[region * push.y_strides[0] + int(channel) * push.y_strides[1] +
      int(row) * push.y_strides[2] + int(column) * push.y_strides[3]] = STORED_OF(epilogue(value));
}
