// What a workgroup does around a product of tiles: finds its tile, reads both operands' next step
// into registers, and puts results with bias and epilogue where they belong. Include after
// vectors.glsl and index.glsl. Every invocation reads one quad of the depth of several rows of the
// left operand, and knows which tap and channel that is without dividing. GEMM_THREADS is their
// number where the includer says it, and GEMM_HALVES that its tiles hold halves as they are stored.
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

// Four numbers of an operand on their way to a tile. Halves that a tile of halves takes stay as
// they are stored, two to a word: half as many registers, and nothing is converted.
#ifdef GEMM_HALVES
#define QUAD uvec2
#define STORED_QUAD uvec2
#define QUAD_THERE bvec2
#define QUAD_OF(numbers) uvec2(packHalf2x16((numbers).xy), packHalf2x16((numbers).zw))
#define NUMBERS_OF(quad) vec4(unpackHalf2x16((quad).x), unpackHalf2x16((quad).y))
#else
#define QUAD vec4
#define STORED_QUAD STORED4
#define QUAD_THERE bvec4
#define QUAD_OF(numbers) (numbers)
#define NUMBERS_OF(quad) (quad)
#endif

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X4 { STORED_QUAD x4[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; };
layout(binding = 1) readonly buffer Weights4 { STORED_QUAD weights4[]; };
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
const uint B_QUADS = BK * BN / 4;
const uint B_LOADS = (B_QUADS + THREADS - 1) / THREADS;

// Nothing is read under a condition: what is not there is read from where something is, and becomes
// 0 when it goes to the tile. A branch per read would cost a dozen instructions and a wait each, and
// compilers could not have all reads of a step under way at once.
uint gemm_step, gemm_end; // of the depth, BK each
uint steps;               // that the whole depth takes
QUAD a_next[A_LOADS], b_next[B_LOADS];
bool a_there[A_LOADS], b_there[B_LOADS]; // what was read is what the tile has there
bvec4 channels_there;                    // of the quad in a_next

// The tile: its first pixel and channel, and its batch.
uint tile_pixel, tile_channel, tile_batch;
// Where the windows of this invocation's rows start: the element, and on each axis.
uint factors[A_LOADS]; // of the rows' images
uint loaded_quad;      // of the channels in a_next
int place[A_LOADS], start_d[A_LOADS], start_h[A_LOADS], start_w[A_LOADS];
int first_place; // of the first pixel's first channel, which is there
// The quad of the depth that this invocation reads: a tap, and a quad of its channels.
uint quads, at_quad, at_d, at_h, at_w;
uvec4 jump; // of a step, along taps and their quads
uint w_base; // vectors if packed, else elements
// What the loop over the depth needs of the push block, which may be far away.
uvec3 in_size;
int step_c, step_d, step_h, step_w;

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
    first_place = start;
    in_size = uvec3(IN_D, push.shape[0], push.shape[1]);
    step_c = push.x_strides[1];
    step_d = push.x_strides[2];
    step_h = push.x_strides[3];
    step_w = push.x_strides[4];
    [[unroll]] for (uint i = 0; i < A_LOADS; i++) {
        // Pixels past the end repeat the last one and are not stored.
        const uint pixel = min(tile_pixel + a_row(i), push.pixels - 1);
        place[i] = start;
        if (FACTORS != 0)
            factors[i] = pixel / push.image_pixels * quads;
        if (LINEAR != 0) {
            place[i] += int(pixel) * step_w;
        } else {
            const uint out_h = uint(push.shape[2]), out_w = uint(push.shape[3]);
            uint rest = pixel / out_w;
            start_w[i] = window_start(pixel - rest * out_w, STRIDE_W, PAD_W);
            const uint outer = rest / out_h;
            start_h[i] = window_start(rest - outer * out_h, STRIDE_H, PAD_H);
            rest = OUT_D == 1 ? outer : outer / OUT_D;
            start_d[i] = window_start(outer - rest * OUT_D, STRIDE_D, PAD_D);
            place[i] += int(rest) * push.x_strides[0] + start_d[i] * step_d +
                        start_h[i] * step_h + start_w[i] * step_w;
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
    const uint taps = LINEAR != 0 ? 1 : KERNEL_D * KERNEL_H * KERNEL_W;
    quads = (push.in_channels + 3) / 4;
    steps = (taps * quads + QUADS_K - 1) / QUADS_K;
    gemm_step = 0;
    gemm_end = steps;
    if (SPLIT != 0) {
        const uint part = (steps + gl_NumWorkGroups.z - 1) / gl_NumWorkGroups.z;
        gemm_step = min(gl_WorkGroupID.z * part, steps);
        gemm_end = min(gemm_step + part, steps);
    }
    if (tile_batch >= push.batches) {
        tile_batch = 0;
        tile_pixel = push.pixels;
        gemm_end = gemm_step;
    }
    w_base = (tile_batch * column_tiles + column_tile) * steps * B_QUADS;
    place_rows();
    at_quad = gemm_step * QUADS_K + a_quad();
    jump = uvec4(0, 0, 0, QUADS_K);
    if (LINEAR == 0) {
        const uint taps_on = QUADS_K / quads, rows_on = taps_on / KERNEL_W;
        jump = uvec4(rows_on / KERNEL_H, rows_on % KERNEL_H, taps_on % KERNEL_W,
                     QUADS_K - taps_on * quads);
        uint tap = at_quad / quads;
        at_quad -= tap * quads;
        at_w = tap % KERNEL_W;
        tap /= KERNEL_W;
        at_h = tap % KERNEL_H;
        at_d = tap / KERNEL_H;
    }
}

QUAD read_quad(int at)
{
    vec4 value;
    if (VECTOR == 4)
        return QUAD(x4[at >> 2]);
    [[unroll]] for (uint k = 0; k < 4; k++)
        value[k] = VALUE_OF(x[at + (channels_there[k] ? int(k) * step_c : 0)]);
    return QUAD_OF(value);
}

// Moves on by a step: what is more than the last axis has goes to the one before it. In no loop,
// whose trips would differ from invocation to invocation.
void next_quad()
{
    at_quad += jump.w;
    if (LINEAR != 0)
        return;
    uint carry = at_quad >= quads ? 1 : 0;
    at_quad -= carry * quads;
    at_w += jump.z + carry;
    carry = at_w >= KERNEL_W ? 1 : 0;
    at_w -= carry * KERNEL_W;
    at_h += jump.y + carry;
    carry = at_h >= KERNEL_H ? 1 : 0;
    at_h -= carry * KERNEL_H;
    at_d += jump.x + carry;
}

void load_a()
{
    const bool some = gemm_step < gemm_end && (LINEAR != 0 ? at_quad < quads : at_d < KERNEL_D);
    const uvec3 tap = uvec3(KERNEL_D == 1 ? 0 : at_d * DILATION_D, at_h * DILATION_H,
                            at_w * DILATION_W);
    int offset = VECTOR == 4 ? int(4 * at_quad) : int(4 * at_quad) * step_c;
    if (LINEAR == 0)
        offset += int(tap.x) * step_d + int(tap.y) * step_h + int(tap.z) * step_w;
    channels_there = lessThan(4 * at_quad + uvec4(0, 1, 2, 3), uvec4(push.in_channels));
    [[unroll]] for (uint i = 0; i < A_LOADS; i++) {
        a_there[i] = some;
        if (LINEAR == 0 && PADDED != 0) {
            // What is negative is large without a sign.
            const uvec3 at = uvec3(start_d[i], start_h[i], start_w[i]) + tap;
            a_there[i] = all(bvec4(lessThan(at, in_size), some));
        }
        a_next[i] = read_quad(a_there[i] ? place[i] + offset : first_place);
    }
    loaded_quad = min(at_quad, quads - 1);
    next_quad();
}

// These have zeros where nothing is there.
QUAD quad_if(bool there, QUAD quad)
{
    return mix(QUAD(0), quad, QUAD_THERE(there));
}

QUAD numbers_if(bvec4 there, QUAD quad)
{
#ifdef GEMM_HALVES
    const uvec4 masks = mix(uvec4(0), uvec4(0xffff, 0xffff0000u, 0xffff, 0xffff0000u), there);
    return quad & (masks.xz | masks.yw);
#else
    return mix(vec4(0.0), quad, there);
#endif
}

// What load_a read. The factors are applied here, as the tile is stored, so that no invocation
// waits for its reads before it multiplies.
QUAD a_loaded(uint i)
{
    QUAD quad = quad_if(a_there[i], a_next[i]);
    if (VECTOR == 1 || RAGGED != 0) // what is no channel may be anything
        quad = numbers_if(channels_there, quad);
    if (FACTORS != 0)
        quad = QUAD_OF(NUMBERS_OF(quad) * vec4(factors4[factors[i] + loaded_quad]));
    return quad;
}

// One at a time, each under its conditions: where nothing else is possible.
QUAD read_weights_singly(uint k, uint column)
{
    vec4 value = vec4(0.0);
    const int from = int(w_base) + int(k) * push.w_depth + int(column) * push.w_column;
    [[unroll]] for (uint j = 0; j < 4; j++)
        if (k < push.in_channels && column + j < push.out_channels)
            value[j] = VALUE_OF(weights[from + int(j) * push.w_column]);
    return QUAD_OF(value);
}

void load_b(uint i)
{
    const uint at = B_QUADS % THREADS == 0 ? b_index(i) : min(b_index(i), B_QUADS - 1);
    b_there[i] = true;
    if (W_MODE == GEMM_W_PACKED) {
        b_next[i] = QUAD(weights4[w_base + min(gemm_step, steps - 1) * B_QUADS + at]);
        return;
    }
    const bool along_depth = W_MODE == GEMM_W_DEPTH;
    const uint k = gemm_step * BK + (along_depth ? at % QUADS_K * 4 : at / (BN / 4));
    const uint column = tile_channel + (along_depth ? at / QUADS_K : at % (BN / 4) * 4);
    if (W_MODE == GEMM_W_SINGLE) {
        b_next[i] = read_weights_singly(k, column);
        return;
    }
    b_there[i] =
        all(lessThan(uvec2(k, column), uvec2(push.in_channels, push.out_channels)));
    const int from = int(w_base) + int(k) * push.w_depth + int(column) * push.w_column;
    b_next[i] = QUAD(weights4[(b_there[i] ? from : int(w_base)) >> 2]);
}

QUAD b_loaded(uint i)
{
    if (W_MODE == GEMM_W_PACKED || W_MODE == GEMM_W_SINGLE)
        return b_next[i];
    return quad_if(b_there[i], b_next[i]);
}

// Reads what step gemm_step of the tile takes; steps are read in order, each once. Behind the last
// step something is read that nobody needs: a condition around the reads would have compilers wait
// for them where its branches meet.
void gemm_load()
{
    load_a();
    [[unroll]] for (uint i = 0; i < B_LOADS; i++)
        load_b(i);
}

// Whether a row or a quad of weights is of the tile: not all invocations have as many.
bool a_kept(uint i)
{
    return BM % A_STEP == 0 || a_row(i) < BM;
}

bool b_kept(uint i)
{
    return B_QUADS % THREADS == 0 || b_index(i) < B_QUADS;
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
