// What the resize kernels share. Every resized dimension has a table: where the window of source
// elements starts (-1: the value lies outside) for each output index and, unless RESIZE_NEAREST,
// the weights of the window's elements. A kernel defines ELEMENT (what buffers hold), SUM (what is
// computed with), LOAD and STORE. Dimensions are sorted, outermost in the output's memory first.
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 7;
layout(constant_id = 4) const uint AXIS_0 = 255; // positions of resized dimensions, 255: none
layout(constant_id = 5) const uint AXIS_1 = 255;
layout(constant_id = 6) const uint AXIS_2 = 255;
layout(constant_id = 7) const uint TAPS_0 = 1;   // length of the window
layout(constant_id = 8) const uint TAPS_1 = 1;
layout(constant_id = 9) const uint TAPS_2 = 1;
layout(constant_id = 10) const uint RUNS = 0;    // an invocation takes several of the innermost

layout(binding = 0) readonly buffer X { ELEMENT x[]; };
layout(binding = 1) readonly buffer Starts { int starts[]; };
layout(binding = 2) readonly buffer Weights { float weights[]; };
layout(binding = 3) writeonly buffer Y { ELEMENT y[]; };

layout(push_constant) uniform Push {
    uint count;
    int x_offset;
    uint run;                    // innermost elements, when RUNS
    uint dims[7];                // of the output; with RUNS the innermost is the number of runs
    int x_strides[7];
    int y_strides[7];
    uint starts_1, starts_2;     // where the tables of the second and third axis begin
    uint weights_1, weights_2;
    float outside;
} push;

// The same positions, in range whatever they are.
const uint SLOT_0 = AXIS_0 < 7 ? AXIS_0 : 0;
const uint SLOT_1 = AXIS_1 < 7 ? AXIS_1 : 0;
const uint SLOT_2 = AXIS_2 < 7 ? AXIS_2 : 0;
const uint KEPT = 4; // weights of windows up to this long stay in registers

#ifndef RESIZE_NEAREST
float kept_0[KEPT], kept_1[KEPT], kept_2[KEPT];
uint row_0, row_1, row_2;

// The weighted sum of the window that starts at x[from].
SUM window(int from)
{
    const int step_0 = AXIS_0 < RANK ? push.x_strides[SLOT_0] : 0;
    const int step_1 = AXIS_1 < RANK ? push.x_strides[SLOT_1] : 0;
    const int step_2 = AXIS_2 < RANK ? push.x_strides[SLOT_2] : 0;
    SUM sum = SUM(0.0);
    if (TAPS_0 > KEPT) { // then it is the only axis
        for (uint t = 0; t < TAPS_0; t++, from += step_0)
            sum += weights[row_0 + t] * LOAD(x[from]);
        return sum;
    }
    for (uint t0 = 0; t0 < TAPS_0; t0++) {
        for (uint t1 = 0; t1 < TAPS_1; t1++) {
            const float weight = kept_0[t0] * kept_1[t1];
            int at = from + int(t0) * step_0 + int(t1) * step_1;
            for (uint t2 = 0; t2 < TAPS_2; t2++, at += step_2)
                sum += (weight * kept_2[t2]) * LOAD(x[at]);
        }
    }
    return sum;
}

// Eight, as an array of seven would share its type, and its layout, with those of the push block.
void keep_weights(uint index[8])
{
    row_0 = AXIS_0 < RANK ? index[SLOT_0] * TAPS_0 : 0;
    row_1 = AXIS_1 < RANK ? push.weights_1 + index[SLOT_1] * TAPS_1 : 0;
    row_2 = AXIS_2 < RANK ? push.weights_2 + index[SLOT_2] * TAPS_2 : 0;
    for (uint t = 0; t < KEPT; t++) {
        kept_0[t] = AXIS_0 < RANK && t < TAPS_0 ? weights[row_0 + t] : 1.0;
        kept_1[t] = AXIS_1 < RANK && t < TAPS_1 ? weights[row_1 + t] : 1.0;
        kept_2[t] = AXIS_2 < RANK && t < TAPS_2 ? weights[row_2 + t] : 1.0;
    }
}
#endif

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    uint index[8];
    int from = push.x_offset, to = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d > 0 ? rest / push.dims[d] : 0;
        index[d] = rest - outer * push.dims[d];
        if (d != AXIS_0 && d != AXIS_1 && d != AXIS_2)
            from += int(index[d]) * push.x_strides[d];
        to += int(index[d]) * push.y_strides[d];
        rest = outer;
    }
    int start_0 = 0, start_1 = 0, start_2 = 0;
    if (AXIS_0 < RANK) {
        start_0 = starts[index[SLOT_0]];
        from += start_0 * push.x_strides[SLOT_0];
    }
    if (AXIS_1 < RANK) {
        start_1 = starts[push.starts_1 + index[SLOT_1]];
        from += start_1 * push.x_strides[SLOT_1];
    }
    if (AXIS_2 < RANK) {
        start_2 = starts[push.starts_2 + index[SLOT_2]];
        from += start_2 * push.x_strides[SLOT_2];
    }
    const uint step = RUNS != 0 ? push.dims[RANK - 1] : 1;
    const uint first = RUNS != 0 ? index[RANK - 1] : 0;
    const uint end = RUNS != 0 ? push.run : 1;
#ifdef RESIZE_NEAREST
    for (uint k = first; k < end; k += step) {
        y[to] = x[from];
        from += int(step) * push.x_strides[RANK - 1];
        to += int(step) * push.y_strides[RANK - 1];
    }
#else
    const bool outside = min(start_0, min(start_1, start_2)) < 0;
    keep_weights(index);
    for (uint k = first; k < end; k += step) {
        y[to] = STORE(outside ? SUM(push.outside) : window(from));
        from += int(step) * push.x_strides[RANK - 1];
        to += int(step) * push.y_strides[RANK - 1];
    }
#endif
}
