// One invocation = one element (MERGE 0), or one entry of a sorted list: counts what comes before
// it and so knows its place. First lists of BLOCK elements are sorted, then pairs of lists are
// merged; of every list only the best push.kept entries stay. FINAL writes the results in place of
// a list.
// variants: f32 f16 i32 u32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 4;
layout(constant_id = 4) const uint MERGE = 0;
layout(constant_id = 5) const uint FINAL = 0;
layout(constant_id = 6) const uint SMALLEST = 0;
layout(constant_id = 7) const uint NO_SIGN = 0; // the integers have none

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Source { uint source[]; }; // positions in the row, list by list
layout(binding = 2) writeonly buffer Target { uint target[]; };
layout(binding = 3) writeonly buffer Values { STORED values[]; };
layout(binding = 4) writeonly buffer Positions { uint positions[]; }; // two words each

layout(push_constant) uniform Push {
    uint rows, row_length;
    uint span;         // elements that a list of the source stands for; BLOCK at first
    uint source_room;  // entries of a source list, at most
    uint source_count; // lists in a row of the source
    uint target_room, target_count;
    uint kept;
    int x_offset, x_step, y_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
} push;

#include "order.glsl"
#include "rows.glsl"

// Whether element a, at position pa, comes before element b at pb. Equal elements keep their order.
bool before(KEY a, uint pa, KEY b, uint pb)
{
    return key_above(a, b) || (a == b && pa < pb);
}

KEY key_at(int start, uint position)
{
    return key_of(ELEMENT(x[start + int(position) * push.x_step]), SMALLEST != 0, false);
}

void put(uint row, int start, uint list, uint place, uint position)
{
    if (FINAL == 0) {
        if (place < push.target_room)
            target[(row * push.target_count + list) * push.target_room + place] = position;
    } else if (place < push.kept) {
        const int to = row_start_y(row) + int(place) * push.y_step;
        values[to] = x[start + int(position) * push.x_step];
        positions[2 * to] = position;
        positions[2 * to + 1] = 0;
    }
}

void sort_block(uint row, int start, uint position)
{
    const uint list = position / push.span;
    const uint begin = list * push.span;
    const uint end = min(begin + push.span, push.row_length);
    const KEY key = key_at(start, position);
    uint place = 0;
    for (uint i = begin; i < end; i++)
        if (before(key_at(start, i), i, key, position))
            place++;
    put(row, start, list, place, position);
}

// Entries of a list in the source: all that it stands for, or as many as there is room for.
uint list_length(uint list)
{
    const uint begin = list * push.span;
    return begin >= push.row_length ? 0 : min(min(push.span, push.row_length - begin),
                                              push.source_room);
}

void merge_entry(uint row, int start, uint entry)
{
    const uint list = entry / push.source_room;
    const uint own = entry - list * push.source_room;
    if (own >= list_length(list))
        return;
    const uint lists = row * push.source_count * push.source_room;
    const uint position = source[lists + entry];
    const KEY key = key_at(start, position);
    const uint other = list ^ 1u;
    uint low = 0, high = list_length(other);
    while (low < high) {
        const uint middle = (low + high) / 2;
        const uint theirs = source[lists + other * push.source_room + middle];
        if (before(key_at(start, theirs), theirs, key, position))
            low = middle + 1;
        else
            high = middle;
    }
    put(row, start, list / 2, own + low, position);
}

void main()
{
    const uint id = linear_id();
    const uint row_size = MERGE != 0 ? push.source_count * push.source_room : push.row_length;
    if (id >= push.rows * row_size)
        return;
    const uint row = id / row_size;
    const int start = push.x_offset + row_start_x(row);
    if (MERGE != 0)
        merge_entry(row, start, id - row * row_size);
    else
        sort_block(row, start, id - row * row_size);
}
