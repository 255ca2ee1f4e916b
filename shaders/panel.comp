// One workgroup = one subgroup = PIXELS neighbouring output pixels x LANES * COLS output channels of
// one group, COLS of them per lane; panels of channels are fastest over the workgroups, so that whole
// rows of the output are written soon after each other.
//
// For CPU drivers: nothing but registers, texel reads and constant-lane shuffles in the inner loop.
// With VECTOR = 4 the input channels of a pixel are read four at a time (channels-last), with 1 one
// at a time through any strides. Output is channels-last.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "panel.glsl"
#include "panel_codes.glsl"
#include "window.glsl"

layout(constant_id = 6) const uint VECTOR = 4;
layout(constant_id = 8) const uint HAS_BIAS = 0;
layout(constant_id = 9) const uint STORE_VECTOR = 4; // 1: channel counts that vectors do not fit
layout(constant_id = 10) const uint PADDED = 1; // 0: no window leaves the input
layout(constant_id = 11) const uint LINEAR = 0; // 1: pixel i lies i * x_strides[4] from the first
layout(constant_id = 15) const uint NARROW = PANEL_FLOAT32; // the weights

// 1: channels are at most four and have a vector each pixel, so that a window's line is one run of
// vectors: in_channels counts all of it, and the kernel is one wide.
layout(constant_id = 12) const uint ALONG = 0;

// Not 0: the output has the operand's channels and these in turns (espy_lower_take_shuffle), as whole
// vectors. 4: so has the operand.
layout(constant_id = 16) const uint SHUFFLE = 0;

// 1: input channels are multiplied by factors; 2: there are several images, each with its own.
layout(constant_id = 17) const uint FACTORS = 0;

READ4(0, x4);
READ(1, x);
READ4(2, weights4);
READ(3, bias);
layout(binding = 4) writeonly buffer Y { float y[]; };
layout(binding = 4) writeonly buffer Y4 { vec4 y4[]; };
READ4(5, operand4); // lies as y does, or SHUFFLE
READ(6, operand);
READ4(7, factors4); // [image][quad of channels]

layout(push_constant) uniform Push {
    uint pixels;       // of the output, all images together
    uint panels;       // of output channels, all groups together
    uint group_panels; // of one group
    uint in_channels, out_channels; // of one group
    int x_offset;
    int x_strides[5];  // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel;       // height and width, 16 bits each
    uint y_pixel, y_offset; // pixels of the output may have other channels between them
    uint operand_pixel;     // SHUFFLE: elements from a pixel of the operand to the next
    uint stride;            // height and width
    uint dilation_h, dilation_w, pad_h, pad_w;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

// Where the windows of this lane's pixels start: element offset of the image, position on each axis.
int image[READS], start_d[READS], start_h[READS], start_w[READS];
// What the lane reads of them: the tap's first element, and whether that is inside the input.
int offsets[READS];
bool inside[READS];
int factors[READS]; // of the pixels' images

void place_pixels(uint first)
{
    [[unroll]] for (uint r = 0; r < READS; r++) {
        // Pixels past the end repeat the last one and are not stored.
        const uint pixel = min(first + r * LANES + gl_SubgroupInvocationID, push.pixels - 1);
        image[r] = push.x_offset;
        if (FACTORS == 2)
            factors[r] = int(pixel / (OUT_D * push.out_h * push.out_w) * (push.in_channels / 4));
        if (LINEAR != 0) {
            image[r] += int(pixel) * push.x_strides[4];
        } else {
            uint rest = pixel / push.out_w;
            start_w[r] = window_start(pixel - rest * push.out_w, push.stride & 0xffffu, push.pad_w);
            uint outer = rest / push.out_h;
            start_h[r] = window_start(rest - outer * push.out_h, push.stride >> 16, push.pad_h);
            rest = OUT_D == 1 ? outer : outer / OUT_D;
            start_d[r] = window_start(outer - rest * OUT_D, STRIDE_D, PAD_D);
            image[r] += int(rest) * push.x_strides[0];
        }
    }
}

void place_tap(int d, int h, int w, int group_offset)
{
    [[unroll]] for (uint r = 0; r < READS; r++) {
        offsets[r] = image[r] + group_offset;
        inside[r] = true;
        if (LINEAR == 0) {
            const int at_d = start_d[r] + d, at_h = start_h[r] + h, at_w = start_w[r] + w;
            if (PADDED != 0)
                inside[r] = window_inside(at_d, IN_D) && window_inside(at_h, push.in_h) &&
                            (ALONG != 0 || window_inside(at_w, push.in_w));
            const int at = at_d * push.x_strides[2] + at_h * push.x_strides[3] +
                           at_w * push.x_strides[4];
            // Outside, the image's first pixel is read and dropped.
            offsets[r] += inside[r] ? at : 0;
        }
        if (VECTOR == 4)
            offsets[r] >>= 2;
    }
}

vec4 read_pixel(uint r, uint quad)
{
    vec4 value;
    if (ALONG != 0 && PADDED != 0) {
        const bool here = inside[r] && window_inside(start_w[r] + int(quad), push.in_w);
        value = AT4(x4, here ? offsets[r] + int(quad) : 0);
        return here ? value : vec4(0.0);
    }
    if (VECTOR == 4) {
        value = AT4(x4, offsets[r] + int(quad));
    } else {
        [[unroll]] for (uint k = 0; k < 4; k++) {
            const uint channel = 4 * quad + k;
            const int at = int(min(channel, push.in_channels - 1)) * push.x_strides[1];
            const float read = AT(x, offsets[r] + at);
            value[k] = channel < push.in_channels ? read : 0.0;
        }
    }
    return PADDED != 0 && !inside[r] ? vec4(0.0) : value;
}

// Texels of weights for four input channels, all lanes together.
const uint TEXELS = NARROW == PANEL_FLOAT32 ? COLS * LANES : COLS * LANES / 2;

vec4 unpack(uvec2 pairs)
{
    if (NARROW == PANEL_FLOAT16)
        return vec4(unpackHalf2x16(pairs.x), unpackHalf2x16(pairs.y));
    return uintBitsToFloat(uvec4(pairs.x << 16, pairs.x & 0xffff0000u, pairs.y << 16,
                                 pairs.y & 0xffff0000u));
}

vec4 read_weights(uint weight, uint column)
{
    if (NARROW == PANEL_FLOAT32)
        return AT4(weights4, int(weight + column * LANES));
    const uvec4 pairs = floatBitsToUint(AT4(weights4, int(weight + column / 2 * LANES)));
    return unpack(column % 2 == 0 ? pairs.xy : pairs.zw);
}

// Adds all input channels of one tap. weight counts texels.
void add_tap(uint weight)
{
    const uint quads = (push.in_channels + 3) / 4;
    // Not unrolled: what runs once per workgroup must stay in the processor's cache of decoded code.
    for (uint quad = 0; quad < quads; quad++) {
        vec4 pixels[READS], weights[COLS];
        [[unroll]] for (uint r = 0; r < READS; r++)
            pixels[r] = read_pixel(r, quad);
        if (FACTORS == 1) {
            const vec4 factor = AT4(factors4, int(quad));
            [[unroll]] for (uint r = 0; r < READS; r++)
                pixels[r] *= factor;
        } else if (FACTORS == 2) {
            [[unroll]] for (uint r = 0; r < READS; r++)
                pixels[r] *= AT4(factors4, factors[r] + int(quad));
        }
        [[unroll]] for (uint c = 0; c < COLS; c++)
            weights[c] = read_weights(weight, c);
        panel_add(pixels, weights);
        weight += TEXELS;
    }
}

void store_shuffled(uint pixel, uint p, uint channel)
{
    const uint from = pixel * push.operand_pixel + channel;
    const uint to = (pixel * push.y_pixel + push.y_offset) / 4 + channel / 2;
    vec4 other = SHUFFLE == 4 ? AT4(operand4, int(from / 4)) : vec4(0.0), own;
    [[unroll]] for (uint c = 0; c < 4; c++) {
        if (SHUFFLE != 4)
            other[c] = AT(operand, int(from + c));
        own[c] = epilogue(sums[p][c % COLS]);
    }
    if (channel < push.out_channels)
        y4[to] = vec4(other.x, own.x, other.y, own.y);
    if (channel + 2 < push.out_channels)
        y4[to + 1] = vec4(other.z, own.z, other.w, own.w);
}

void store(uint pixel, uint p, uint channel, uint group)
{
    if (SHUFFLE != 0) {
        store_shuffled(pixel, p, channel);
        return;
    }
    const uint to = pixel * push.y_pixel + push.y_offset + group * push.out_channels + channel;
    if (STORE_VECTOR == 4 && COLS == 4) {
        vec4 value = vec4(sums[p][0], sums[p][1 % COLS], sums[p][2 % COLS], sums[p][3 % COLS]);
        const vec4 other = HAS_OPERAND ? AT4(operand4, int(to / 4)) : vec4(0.0);
        [[unroll]] for (uint c = 0; c < 4; c++)
            value[c] = epilogue(value[c], other[c]);
        if (channel < push.out_channels)
            y4[to / 4] = value;
        return;
    }
    [[unroll]] for (uint c = 0; c < COLS; c++) {
        const float other = HAS_OPERAND ? AT(operand, int(to + c)) : 0.0;
        const float value = epilogue(sums[p][c], other);
        if (channel + c < push.out_channels)
            y[to + c] = value;
    }
}

void main()
{
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint tile = id / push.panels;
    const uint panel = id - tile * push.panels;
    const uint first = tile * PIXELS;
    if (first >= push.pixels)
        return;
    const uint group = push.panels == push.group_panels ? 0 : panel / push.group_panels;
    const uint channel = ((panel - group * push.group_panels) * LANES + gl_SubgroupInvocationID) *
                         COLS; // in the group
    place_pixels(first);
    [[unroll]] for (uint c = 0; c < COLS; c++) {
        const uint at = group * push.out_channels + min(channel + c, push.out_channels - 1);
        const float value = HAS_BIAS != 0 ? AT(bias, int(at)) : 0.0;
        [[unroll]] for (uint p = 0; p < PIXELS; p++)
            sums[p][c] = value;
    }

    const uint quads = (push.in_channels + 3) / 4, step = quads * TEXELS;
    const uint kernel_h = push.kernel >> 16, kernel_w = push.kernel & 0xffffu;
    const uint taps = KERNEL_D * kernel_h * kernel_w;
    const int group_offset = int(group * push.in_channels) * push.x_strides[1];
    uint weight = panel * taps * step + gl_SubgroupInvocationID;
    for (uint d = 0; d < KERNEL_D; d++) {
        for (uint h = 0; h < kernel_h; h++) {
            for (uint w = 0; w < kernel_w; w++) {
                place_tap(int(d * DILATION_D), int(h * push.dilation_h), int(w * push.dilation_w),
                          group_offset);
                add_tap(weight);
                weight += step;
            }
        }
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        if (first + p < push.pixels)
            store(first + p, p, channel, group);
}
