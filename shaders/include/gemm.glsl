// What a workgroup does around a product of tiles: finds its tile, reads both operands' next step
// into registers, and puts results with bias and epilogue where they belong. Include after
// vectors.glsl and index.glsl. Every invocation reads one quad of the depth of several rows of the
// left operand, and knows which tap and channel that is without dividing. GEMM_THREADS is their
// number where the includer says it.
#include "gemm_codes.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint BM = 64;
layout(constant_id = 4) const uint BN = 64;
layout(constant_id = 5) const uint BK = 16;
#ifndef GEMM_THREADS
// What one invocation computes, and so how many there are.
layout(constant_id = 6) const uint TM = 4;
layout(constant_id = 7) const uint TN = 4;
#define GEMM_THREADS (BM / TM * (BN / TN))
#endif
layout(constant_id = 8) const uint VECTOR = 4;
layout(constant_id = 9) const uint W_MODE = GEMM_W_PACKED;
layout(constant_id = 10) const uint HAS_BIAS = 0;
layout(constant_id = 11) const uint STORE_VECTOR = 4; // 1: channel counts that vectors do not fit
layout(constant_id = 12) const uint PADDED = 1; // 0: no window leaves the input
layout(constant_id = 13) const uint LINEAR = 0; // 1: products, whose pixels lie evenly spaced
layout(constant_id = 14) const uint SPLIT = 0;
layout(constant_id = 15) const uint KERNEL_H = 1;
layout(constant_id = 16) const uint KERNEL_W = 1;
layout(constant_id = 17) const uint STRIDE_H = 1;
layout(constant_id = 18) const uint STRIDE_W = 1;
layout(constant_id = 19) const uint DILATION_H = 1;
layout(constant_id = 20) const uint DILATION_W = 1;
layout(constant_id = 21) const uint PAD_H = 0;
layout(constant_id = 22) const uint PAD_W = 0;
layout(constant_id = 28) const uint RAGGED = 0; // 1: the last vector holds what is no channel

layout(constant_id = 29) const uint FACTORS = 0; // 1: input channels are multiplied by them

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X4 { STORED4 x4[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; };
layout(binding = 1) readonly buffer Weights4 { STORED4 weights4[]; };
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 3) writeonly buffer Y4 { STORED4 y4[]; };
layout(binding = 4) writeonly buffer Sums { float parts[]; }; // [split][batch][pixel][channel]
layout(binding = 4) writeonly buffer Sums4 { vec4 parts4[]; };
layout(binding = 5) readonly buffer Operand { STORED operand[]; }; // lies as y does
layout(binding = 5) readonly buffer Operand4 { STORED4 operand4[]; };
layout(binding = 6) readonly buffer Factors4 { STORED4 factors4[]; }; // [image][quad of channels]

layout(push_constant) uniform Push {
    uint pixels, batches; // pixels: rows of one product, or of all images together
    uint in_channels, out_channels; // of one group; the depth and columns of one product
    int x_offset, w_offset;
    int x_strides[5];  // n, c, d, h, w; LINEAR: outer batch, c, middle batch, inner batch, pixel
    int shape[5];      // in_h, in_w, out_h, out_w; LINEAR: batches in the middle, inside; the
                       // right operand's strides of batches outside, in the middle, inside
    int w_depth, w_column;
    uint image_pixels; // of the output
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

const uint THREADS = GEMM_THREADS;
const uint QUADS_K = BK / 4;
const uint A_STEP = THREADS / QUADS_K; // rows that the workgroup reads at once
const uint A_LOADS = (BM + A_STEP - 1) / A_STEP;
const uint B_LOADS = (BK * BN / 4 + THREADS - 1) / THREADS;

uint gemm_step, gemm_end; // of the depth, BK each
vec4 a_next[A_LOADS], b_next[B_LOADS];

// The tile: its first pixel and channel, and its batch.
uint tile_pixel, tile_channel, tile_batch;
// Where the windows of this invocation's rows start: the image's first element, and on each axis.
uint factors[A_LOADS]; // of the rows' images
uint loaded_quad;      // of the channels in a_next
int image[A_LOADS], start_d[A_LOADS], start_h[A_LOADS], start_w[A_LOADS];
// The quad of the depth that this invocation reads: a tap, and a quad of its channels.
uint quads, at_quad, at_d, at_h, at_w;
uint w_base; // vectors if packed, else elements

uint a_quad()
{
    return gl_LocalInvocationID.x % QUADS_K;
}

uint a_row(uint i)
{
    return gl_LocalInvocationID.x / QUADS_K + i * A_STEP;
}

uint b_index(uint i)
{
    return gl_LocalInvocationID.x + i * THREADS;
}

void place_rows()
{
    int start = push.x_offset;
    if (LINEAR != 0) {
        const int outer = int(tile_batch) / push.shape[1];
        const int inner = int(tile_batch) - outer * push.shape[1];
        const int middle = outer % push.shape[0], most = outer / push.shape[0];
        start += most * push.x_strides[0] + middle * push.x_strides[2] + inner * push.x_strides[3];
        if (W_MODE != GEMM_W_PACKED)
            w_base = uint(push.w_offset + most * push.shape[2] + middle * push.shape[3] +
                          inner * push.shape[4]);
    } else {
        start += int(tile_batch * push.in_channels) * push.x_strides[1];
    }
    [[unroll]] for (uint i = 0; i < A_LOADS; i++) {
        // Pixels past the end repeat the last one and are not stored.
        const uint pixel = min(tile_pixel + a_row(i), push.pixels - 1);
        image[i] = start;
        if (FACTORS != 0)
            factors[i] = pixel / push.image_pixels * quads;
        if (LINEAR != 0) {
            image[i] += int(pixel) * push.x_strides[4];
        } else {
            const uint out_h = uint(push.shape[2]), out_w = uint(push.shape[3]);
            uint rest = pixel / out_w;
            start_w[i] = window_start(pixel - rest * out_w, STRIDE_W, PAD_W);
            const uint outer = rest / out_h;
            start_h[i] = window_start(rest - outer * out_h, STRIDE_H, PAD_H);
            rest = OUT_D == 1 ? outer : outer / OUT_D;
            start_d[i] = window_start(outer - rest * OUT_D, STRIDE_D, PAD_D);
            image[i] += int(rest) * push.x_strides[0];
        }
    }
}

// Workgroups past the last tile go through no steps and store nothing.
void gemm_place()
{
    const uint column_tiles = (push.out_channels + BN - 1) / BN;
    const uint row_tiles = (push.pixels + BM - 1) / BM;
    uint rest = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint column_tile = rest % column_tiles;
    tile_channel = column_tile * BN;
    rest /= column_tiles;
    tile_pixel = rest % row_tiles * BM;
    tile_batch = rest / row_tiles;
    gemm_step = 0;
    gemm_end = 0;
    if (tile_batch >= push.batches) {
        tile_pixel = push.pixels;
        return;
    }
    const uint taps = LINEAR != 0 ? 1 : KERNEL_D * KERNEL_H * KERNEL_W;
    quads = (push.in_channels + 3) / 4;
    const uint steps = (taps * quads + QUADS_K - 1) / QUADS_K;
    gemm_end = steps;
    if (SPLIT != 0) {
        const uint part = (steps + gl_NumWorkGroups.z - 1) / gl_NumWorkGroups.z;
        gemm_step = min(gl_WorkGroupID.z * part, steps);
        gemm_end = min(gemm_step + part, steps);
    }
    w_base = (tile_batch * column_tiles + column_tile) * steps * (BK * BN / 4);
    place_rows();
    at_quad = gemm_step * QUADS_K + a_quad();
    if (LINEAR == 0) {
        uint tap = at_quad / quads;
        at_quad -= tap * quads;
        at_w = tap % KERNEL_W;
        tap /= KERNEL_W;
        at_h = tap % KERNEL_H;
        at_d = tap / KERNEL_H;
    }
}

vec4 read_quad(int at)
{
    vec4 value = vec4(0.0);
    if (VECTOR == 4)
        value = vec4(x4[at >> 2]);
    [[unroll]] for (uint k = 0; k < 4; k++) {
        const bool some = 4 * at_quad + k < push.in_channels;
        if (VECTOR == 1 && some)
            value[k] = VALUE_OF(x[at + int(k) * push.x_strides[1]]);
        if (VECTOR == 4 && RAGGED != 0 && !some)
            value[k] = 0.0; // it may be anything
    }
    return value;
}

// Moves on by a step.
void next_quad()
{
    at_quad += QUADS_K;
    while (LINEAR == 0 && at_quad >= quads && at_d < KERNEL_D) {
        at_quad -= quads;
        at_w++;
        if (at_w == KERNEL_W) {
            at_w = 0;
            at_h++;
        }
        if (at_h == KERNEL_H) {
            at_h = 0;
            at_d++;
        }
    }
}

void load_a()
{
    const bool some = LINEAR != 0 ? at_quad < quads : at_d < KERNEL_D;
    const int channel = int(4 * at_quad) * push.x_strides[1];
    [[unroll]] for (uint i = 0; i < A_LOADS; i++) {
        int at = image[i] + channel;
        bool inside = some;
        if (LINEAR == 0) {
            const int d = start_d[i] + int(at_d * DILATION_D);
            const int h = start_h[i] + int(at_h * DILATION_H);
            const int w = start_w[i] + int(at_w * DILATION_W);
            if (PADDED != 0)
                inside = inside && window_inside(d, IN_D) &&
                         window_inside(h, uint(push.shape[0])) &&
                         window_inside(w, uint(push.shape[1]));
            at += d * push.x_strides[2] + h * push.x_strides[3] + w * push.x_strides[4];
        }
        a_next[i] = vec4(0.0);
        if (inside)
            a_next[i] = read_quad(at);
    }
    loaded_quad = min(at_quad, quads - 1);
    next_quad();
}

// What load_a read. The factors are applied here, as the tile is stored, so that no invocation
// waits for its reads before it multiplies.
vec4 a_loaded(uint i)
{
    return FACTORS != 0 ? a_next[i] * vec4(factors4[factors[i] + loaded_quad]) : a_next[i];
}

vec4 read_weights(uint at)
{
    if (W_MODE == GEMM_W_PACKED)
        return vec4(weights4[w_base + gemm_step * (BK * BN / 4) + at]);
    const bool along_depth = W_MODE == GEMM_W_DEPTH;
    const uint k = gemm_step * BK + (along_depth ? at % QUADS_K * 4 : at / (BN / 4));
    const uint column = tile_channel + (along_depth ? at / QUADS_K : at % (BN / 4) * 4);
    vec4 value = vec4(0.0);
    if (k < push.in_channels && column < push.out_channels) {
        const int from = int(w_base) + int(k) * push.w_depth + int(column) * push.w_column;
        if (W_MODE == GEMM_W_SINGLE) {
            [[unroll]] for (uint j = 0; j < 4; j++)
                if (column + j < push.out_channels)
                    value[j] = VALUE_OF(weights[from + int(j) * push.w_column]);
        } else {
            value = vec4(weights4[from >> 2]);
        }
    }
    return value;
}

// Reads what step gemm_step of the tile takes; steps are read in order, each once.
void gemm_load()
{
    load_a();
    [[unroll]] for (uint i = 0; i < B_LOADS; i++) {
        b_next[i] = vec4(0.0);
        if (b_index(i) < BK * BN / 4)
            b_next[i] = read_weights(b_index(i));
    }
}

vec4 read_operand(uint at, uint count)
{
    vec4 value = vec4(0.0);
    if (HAS_OPERAND && STORE_VECTOR == 4)
        return vec4(operand4[at / 4]);
    [[unroll]] for (uint k = 0; k < 4; k++)
        if (HAS_OPERAND && k < count)
            value[k] = VALUE_OF(operand[at + k]);
    return value;
}

// at: where the first of four channels goes.
vec4 finish(vec4 value, uint channel, uint at)
{
    const vec4 other = read_operand(at, push.out_channels - channel);
    [[unroll]] for (uint k = 0; k < 4; k++) {
        if (HAS_BIAS != 0) {
            const uint group = LINEAR != 0 ? 0 : tile_batch * push.out_channels;
            value[k] += VALUE_OF(bias[group + min(channel + k, push.out_channels - 1)]);
        }
        value[k] = epilogue(value[k], other[k]);
    }
    return value;
}

// Stores four channels of a row of the tile, as far as they are there.
void gemm_store(uint row, uint column, vec4 value)
{
    const uint pixel = tile_pixel + row, channel = tile_channel + column;
    if (pixel >= push.pixels || channel >= push.out_channels)
        return;
    if (SPLIT != 0) {
        const uint to = ((gl_WorkGroupID.z * push.batches + tile_batch) * push.pixels + pixel) *
                            push.out_channels +
                        channel;
        if (STORE_VECTOR == 4) {
            parts4[to / 4] = value;
        } else {
            [[unroll]] for (uint k = 0; k < 4; k++)
                if (channel + k < push.out_channels)
                    parts[to + k] = value[k];
        }
        return;
    }
    const uint to = (LINEAR != 0 ? tile_batch * push.pixels + pixel
                                 : pixel * push.batches + tile_batch) *
                        push.out_channels +
                    channel;
    value = finish(value, channel, to);
    if (STORE_VECTOR == 4) {
        y4[to / 4] = STORED4_OF(value);
    } else {
        [[unroll]] for (uint k = 0; k < 4; k++)
            if (channel + k < push.out_channels)
                y[to + k] = STORED_OF(value[k]);
    }
}
