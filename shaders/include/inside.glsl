// Walks the elements that one result is made of: push.inside_dims[4] and push.inside_strides[4], of
// which INSIDE_RANK are used, outermost first, without a division per element. Include after the
// push block.
struct Inside {
    int at;      // the element, from the row's start
    uvec4 index; // of each dimension
};

Inside inside_at(uint position)
{
    Inside inside = Inside(0, uvec4(0));
    for (int d = int(INSIDE_RANK) - 1; d > 0; d--) {
        const uint outer = position / push.inside_dims[d];
        inside.index[d] = position - outer * push.inside_dims[d];
        inside.at += int(inside.index[d]) * push.inside_strides[d];
        position = outer;
    }
    inside.index[0] = position;
    inside.at += int(position) * push.inside_strides[0];
    return inside;
}

// One step along dimension d, which is a constant wherever this is called.
#define INSIDE_STEP(d)                                                                             \
    inside.at += push.inside_strides[d];                                                           \
    if (++inside.index[d] < push.inside_dims[d])                                       \
        return;                                                                                    \
    inside.at -= int(push.inside_dims[d]) * push.inside_strides[d];                                \
    inside.index[d] = 0;

void inside_next(inout Inside inside)
{
    if (INSIDE_RANK > 3) {
        INSIDE_STEP(3)
    }
    if (INSIDE_RANK > 2) {
        INSIDE_STEP(2)
    }
    if (INSIDE_RANK > 1) {
        INSIDE_STEP(1)
    }
    inside.at += push.inside_strides[0];
}
