// One invocation = one item, or a run of places: sorts items by what they hold, equal ones as they
// come. First lists of `span` items, each item counting what comes before it; then pairs of lists
// are merged; at the end bits say at which places other items begin.
// variants: f32 f16 i32 u32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "unique_codes.glsl"

layout(constant_id = 3) const uint STAGE = 0;
layout(constant_id = 4) const uint NO_SIGN = 0; // the integers have none
layout(constant_id = 5) const uint EMPTY = 0;   // items are without elements
layout(constant_id = 6) const uint RUN = 1;     // entries that an invocation merges

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Source { uint source[]; }; // items, list after list
layout(binding = 2) writeonly buffer Target { uint target[]; };

layout(push_constant) uniform Push {
    uint count, items; // invocations
    uint span;         // items of a list of the source, or of the first ones
    uint elements;     // of an item
    uint inner;        // that lie together
    int x_offset;
} push;

#include "order.glsl"

KEY key_at(uint item, uint outer, uint inner)
{
    const uint at = (outer * push.items + item) * push.inner + inner;
    return key_of(ELEMENT(x[push.x_offset + int(at)]), false, false);
}

KEY first_key(uint item)
{
    return EMPTY != 0 ? KEY(0) : key_at(item, 0, 0);
}

// -1: a is less than b; 0: they are equal; 1: it is more.
int compare(uint a, KEY first_a, uint b, KEY first_b)
{
    if (first_a != first_b)
        return key_above(first_a, first_b) ? 1 : -1;
    int result = 0;
    uint outer = 0, inner = 0; // one loop: its rounds count, see ITEM_ELEMENTS_MAX
    for (uint i = 1; i < push.elements && result == 0; i++) {
        if (++inner == push.inner) {
            inner = 0;
            outer++;
        }
        const KEY key_a = key_at(a, outer, inner), key_b = key_at(b, outer, inner);
        if (key_a != key_b)
            result = key_above(key_a, key_b) ? 1 : -1;
    }
    return result;
}

void sort_block(uint item)
{
    const uint begin = item - item % push.span, end = min(begin + push.span, push.items);
    const KEY first = first_key(item);
    uint place = begin;
    for (uint i = begin; i < end; i++) {
        const int order = compare(i, first_key(i), item, first);
        if (order < 0 || (order == 0 && i < item))
            place++;
    }
    target[place] = item;
}

// Whether entry a of the source stays before entry b, of the list after its own.
bool in_order(uint a, uint b)
{
    const uint item_a = source[a], item_b = source[b];
    return compare(item_a, first_key(item_a), item_b, first_key(item_b)) <= 0;
}

// The entries [start, start + RUN) of the merged lists; RUN divides the span.
void merge_run(uint start)
{
    const uint begin = start - start % (2 * push.span), place = start - begin;
    const uint middle = min(begin + push.span, push.items);
    const uint end = min(middle + push.span, push.items);
    // How many of the first `place` entries come from the left list.
    uint low = place > end - middle ? place - (end - middle) : 0;
    uint high = min(place, middle - begin);
    while (low < high) {
        const uint half_way = (low + high) / 2;
        if (in_order(begin + half_way, middle + place - 1 - half_way))
            low = half_way + 1;
        else
            high = half_way;
    }
    uint left = begin + low, right = middle + place - low;
    uint item_left = source[min(left, end - 1)], item_right = source[min(right, end - 1)];
    KEY key_left = first_key(item_left), key_right = first_key(item_right);
    const uint last = min(start + RUN, end);
    for (uint i = start; i < last; i++) {
        const bool take_left =
            right >= end ||
            (left < middle && compare(item_left, key_left, item_right, key_right) <= 0);
        target[i] = take_left ? item_left : item_right;
        const uint item = source[min(take_left ? ++left : ++right, end - 1)];
        const KEY key = first_key(item);
        item_left = take_left ? item : item_left;
        key_left = take_left ? key : key_left;
        item_right = take_left ? item_right : item;
        key_right = take_left ? key_right : key;
    }
}

void find_heads(uint word)
{
    const uint first = word * 32, length = min(32u, push.items - first);
    uint mask = 0, previous = 0;
    KEY previous_key = KEY(0);
    if (first > 0 && length > 0) {
        previous = source[first - 1];
        previous_key = first_key(previous);
    }
    for (uint i = 0; i < length; i++) {
        const uint item = source[first + i];
        const KEY key = first_key(item);
        if (first + i == 0 || compare(previous, previous_key, item, key) != 0)
            mask |= 1u << i;
        previous = item;
        previous_key = key;
    }
    target[word] = mask;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    if (STAGE == UNIQUE_SORT)
        sort_block(id);
    else if (STAGE == UNIQUE_MERGE)
        merge_run(id * RUN);
    else
        find_heads(id);
}
