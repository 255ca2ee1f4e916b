// One invocation = one column of one head's state, through the time steps from push.begin to push.end.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "linear_attention_codes.glsl"

layout(constant_id = 3) const uint PAST = LINEAR_PAST_ZEROS;
layout(constant_id = 4) const uint DECAY = LINEAR_DECAY_NONE;
layout(constant_id = 5) const uint BETA = LINEAR_BETA_NONE;

layout(binding = 0) readonly buffer Query { STORED query[]; };   // [batch][time][head][key]
layout(binding = 1) readonly buffer Keys { STORED keys[]; };     // likewise, of the states' heads
layout(binding = 2) readonly buffer Values { STORED values[]; };
layout(binding = 3) readonly buffer Past { STORED past[]; };     // [batch][head][key][value]
layout(binding = 4) readonly buffer Decay { STORED decay[]; };
layout(binding = 5) readonly buffer Beta { STORED beta[]; };
layout(binding = 6) buffer State { float state[]; };             // as past
layout(binding = 7) writeonly buffer Y { STORED y[]; };
layout(binding = 8) writeonly buffer Present { STORED present[]; };

layout(push_constant) uniform Push {
    uint count; // invocations
    uint steps, begin, end;
    uint heads, group; // of the state; queries' heads for each
    uint key_size, value_size;
    uint writes;
    float scale;
} push;

// What is left of row `key` of the state after a step that began with all of it.
float kept(uint head_at, uint key)
{
    if (DECAY == LINEAR_DECAY_NONE)
        return 1.0;
    const uint at = DECAY == LINEAR_DECAY_HEAD ? head_at : head_at * push.key_size + key;
    return exp(min(VALUE_OF(decay[at]), 88.0));
}

// head_at: of [batch][time][head]; from: of this column in row 0 of the state.
void update(uint head_at, uint row_at, uint column, uint from)
{
    const uint key_at = head_at * push.key_size;
    float value = VALUE_OF(values[head_at * push.value_size + column]);
    if (BETA != LINEAR_BETA_NONE) { // only what the state does not yet give for this key
        float known = 0.0;
        for (uint i = 0; i < push.key_size; i++)
            known += VALUE_OF(keys[key_at + i]) * kept(head_at, i) *
                     state[from + i * push.value_size];
        value = (value - known) * VALUE_OF(beta[BETA == LINEAR_BETA_HEAD ? head_at : row_at]);
    }
    for (uint i = 0; i < push.key_size; i++) {
        const uint at = from + i * push.value_size;
        state[at] = kept(head_at, i) * state[at] + VALUE_OF(keys[key_at + i]) * value;
    }
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint matrix = id / push.value_size;
    const uint column = id - matrix * push.value_size;
    const uint batch = matrix / push.heads;
    const uint head = matrix - batch * push.heads;
    const uint from = matrix * push.key_size * push.value_size + column;
    const bool begins = push.begin == 0 && PAST != LINEAR_PAST_IN_STATE;
    for (uint i = 0; begins && i < push.key_size; i++) {
        const uint at = from + i * push.value_size;
        state[at] = PAST == LINEAR_PAST_GIVEN ? VALUE_OF(past[at]) : 0.0;
    }
    for (uint t = push.begin; t < push.end; t++) {
        const uint row_at = batch * push.steps + t;
        const uint head_at = row_at * push.heads + head;
        update(head_at, row_at, column, from);
        for (uint g = 0; (push.writes & LINEAR_WRITES_Y) != 0 && g < push.group; g++) {
            const uint query_head = head_at * push.group + g;
            float sum = 0.0;
            for (uint i = 0; i < push.key_size; i++)
                sum += VALUE_OF(query[query_head * push.key_size + i]) *
                       state[from + i * push.value_size];
            y[query_head * push.value_size + column] = STORED_OF(push.scale * sum);
        }
    }
    for (uint i = 0; (push.writes & LINEAR_WRITES_PRESENT) != 0 && i < push.key_size; i++) {
        const uint at = from + i * push.value_size;
        present[at] = STORED_OF(state[at]);
    }
}
