// One invocation = one hidden unit of one sequence in one direction, for one time step.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"
#include "recurrent_codes.glsl"
#include "unary.glsl"

layout(constant_id = 3) const uint KIND = RECURRENT_RNN;
layout(constant_id = 4) const uint REVERSE = 0;         // bit d: direction d starts at the end
layout(constant_id = 5) const uint HAS_LENGTHS = 0;
layout(constant_id = 6) const uint H_KIND = PARAM_F32;  // the state before this step; absent: zero
layout(constant_id = 7) const uint C_KIND = PARAM_F32;
layout(constant_id = 8) const uint HAS_PARAMETERS = 0;  // LSTM: peepholes; GRU: biases
layout(constant_id = 9) const uint INPUT_FORGET = 0;
layout(constant_id = 10) const uint CLIPS = 0;
layout(constant_id = 11) const uint FUNCTION_0 = 0; // of direction 0
layout(constant_id = 12) const uint FUNCTION_1 = 0;
layout(constant_id = 13) const uint FUNCTION_2 = 0;
layout(constant_id = 14) const uint FUNCTION_3 = 0; // of direction 1
layout(constant_id = 15) const uint FUNCTION_4 = 0;
layout(constant_id = 16) const uint FUNCTION_5 = 0;

layout(binding = 0) readonly buffer Sums { float sums[]; };       // [time][batch][direction][gate]
layout(binding = 1) readonly buffer Weights { STORED weights[]; }; // [direction][gate][unit]
layout(binding = 2) readonly buffer H { uint h[]; };
layout(binding = 3) readonly buffer C { uint c[]; };         // GRU: the update gates
layout(binding = 4) readonly buffer Reset { float reset[]; }; // GRU: the state after the reset gates
layout(binding = 5) readonly buffer Parameters { STORED parameters[]; };
layout(binding = 6) readonly buffer Lengths { int lengths[]; };
layout(binding = 7) writeonly buffer NextH { float next_h[]; }; // [direction][batch][unit]
layout(binding = 8) writeonly buffer NextC { float next_c[]; };
layout(binding = 9) writeonly buffer Y { STORED y[]; };
layout(binding = 10) writeonly buffer LastH { STORED last_h[]; };
layout(binding = 11) writeonly buffer LastC { STORED last_c[]; };

layout(push_constant) uniform Push {
    uint count; // invocations
    uint step, steps, directions, batch, hidden;
    uint writes;
    int h_offset, h_direction, h_batch;
    int c_offset, c_direction, c_batch;
    int y_time, y_direction, y_batch;
    int last_direction, last_batch;
    float clip;
    float a[6], b[6]; // of the activations
} push;

const uint GATES = KIND == RECURRENT_RNN ? 1 : KIND == RECURRENT_LSTM ? 4 : 3;
const uint FIRST = KIND == RECURRENT_GRU ? 2 : 0; // gate to compute
const uint COUNT = KIND == RECURRENT_GRU ? 1 : KIND == RECURRENT_GRU_GATES ? 2 : GATES;

uint direction, unit, own; // own: of this unit in [direction][batch][unit]

float apply(const uint function, float x, uint index)
{
    const float a = push.a[index], b = push.b[index];
    if (CLIPS != 0)
        x = clamp(x, -push.clip, push.clip);
    if (function == RECURRENT_AFFINE)
        return a * x + b;
    if (function == RECURRENT_SCALED_TANH)
        return a * safe_tanh(b * x);
    return unary(function, x, a, b);
}

float activation_0(float x)
{
    return direction == 0 ? apply(FUNCTION_0, x, 0) : apply(FUNCTION_3, x, 3);
}

float activation_1(float x)
{
    return direction == 0 ? apply(FUNCTION_1, x, 1) : apply(FUNCTION_4, x, 4);
}

float activation_2(float x)
{
    return direction == 0 ? apply(FUNCTION_2, x, 2) : apply(FUNCTION_5, x, 5);
}

// The products of the gates' rows of weights with the state.
vec4 products(int state)
{
    const uint matrix = push.hidden * push.hidden;
    uint at = (direction * GATES + FIRST) * matrix + unit * push.hidden;
    vec4 sum = vec4(0.0);
    if (KIND != RECURRENT_GRU && H_KIND == PARAM_ABSENT)
        return sum;
    for (uint k = 0; k < push.hidden; k++, at++) {
        const float value = KIND == RECURRENT_GRU ? reset[own - unit + k]
                                                  : PARAM_AT(H_KIND, h, state + int(k));
        sum.x += value * VALUE_OF(weights[at]);
        if (COUNT > 1)
            sum.y += value * VALUE_OF(weights[at + matrix]);
        if (COUNT > 2)
            sum.z += value * VALUE_OF(weights[at + 2 * matrix]);
        if (COUNT > 3)
            sum.w += value * VALUE_OF(weights[at + 3 * matrix]);
    }
    return sum;
}

// A parameter of this unit, of the index-th set of size in direction.
float parameter(uint sets, uint index)
{
    if (HAS_PARAMETERS == 0)
        return 0.0;
    return VALUE_OF(parameters[(direction * sets + index) * push.hidden + unit]);
}

struct State {
    float h, c;
};

// gates: what the input and the state's products sum up to.
State stepped(State before, vec4 gates)
{
    State after = before;
    switch (KIND) {
    case RECURRENT_RNN:
        after.h = activation_0(gates.x);
        break;
    case RECURRENT_LSTM: { // gates in order: input, output, forget, cell
        const float enter = activation_0(gates.x + parameter(3, 0) * before.c);
        const float forget = INPUT_FORGET != 0
                                 ? 1.0 - enter
                                 : activation_0(gates.z + parameter(3, 2) * before.c);
        after.c = forget * before.c + enter * activation_1(gates.w);
        after.h = activation_0(gates.y + parameter(3, 1) * after.c) * activation_2(after.c);
        break;
    }
    case RECURRENT_GRU_GATES: // gates in order: update, reset, hidden
        after.h = activation_0(gates.y) * before.h;
        after.c = activation_0(gates.x);
        break;
    case RECURRENT_GRU:
        after.h = (1.0 - before.c) * activation_1(gates.x) + before.c * before.h;
        break;
    }
    return after;
}

State stepped_linear(State before, vec4 inputs, vec4 products)
{
    const float update = activation_0(inputs.x + products.x);
    const float keep = activation_0(inputs.y + products.y);
    const float hidden = activation_1(inputs.z + keep * (products.z + parameter(6, 5)));
    return State((1.0 - update) * hidden + update * before.h, 0.0);
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint sequence = id / push.hidden;
    unit = id - sequence * push.hidden;
    direction = sequence / push.batch;
    own = id;
    const uint batch = sequence - direction * push.batch;
    uint length = push.steps;
    if (HAS_LENGTHS != 0)
        length = uint(clamp(lengths[batch], 0, int(push.steps)));
    const bool live = push.step < length;
    const bool reversed = (REVERSE >> direction & 1u) != 0;
    const uint time = reversed && live ? length - 1 - push.step : push.step;

    const int state = push.h_offset + int(direction) * push.h_direction +
                      int(batch) * push.h_batch;
    State before = State(0.0, 0.0);
    if (H_KIND != PARAM_ABSENT)
        before.h = PARAM_AT(H_KIND, h, state + int(unit));
    if (C_KIND != PARAM_ABSENT)
        before.c = PARAM_AT(C_KIND, c, push.c_offset + int(direction) * push.c_direction +
                                           int(batch) * push.c_batch + int(unit));
    State after = before;
    if (live) {
        uint from = ((time * push.batch + batch) * push.directions + direction) * GATES;
        from = (from + FIRST) * push.hidden + unit;
        vec4 inputs = vec4(0.0);
        for (uint i = 0; i < COUNT; i++)
            inputs[i] = sums[from + i * push.hidden];
        if (KIND == RECURRENT_GRU_LINEAR)
            after = stepped_linear(before, inputs, products(state));
        else
            after = stepped(before, inputs + products(state));
    }
    next_h[own] = after.h;
    if (KIND == RECURRENT_LSTM || KIND == RECURRENT_GRU_GATES)
        next_c[own] = after.c;
    const int last = int(direction) * push.last_direction + int(batch) * push.last_batch +
                     int(unit);
    if ((push.writes & RECURRENT_WRITES_Y) != 0)
        y[int(time) * push.y_time + int(direction) * push.y_direction +
          int(batch) * push.y_batch + int(unit)] = STORED_OF(live ? after.h : 0.0);
    if ((push.writes & RECURRENT_WRITES_H) != 0)
        last_h[last] = STORED_OF(after.h);
    if ((push.writes & RECURRENT_WRITES_C) != 0)
        last_c[last] = STORED_OF(after.c);
}
