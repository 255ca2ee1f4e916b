// Inputs for kernels that have room for neither strides nor offsets.
#ifndef RUNTIME_OPS_PLAIN_INPUT_H_
#define RUNTIME_OPS_PLAIN_INPUT_H_

#include "op/lower.h"

// Dense at offset 0; no buffer where input i is absent.
static inline struct view plain_input(struct op_lower *c, uint32_t i)
{
    if (!espy_lower_has(c, i))
        return (struct view){.buffer = VIEW_NONE};
    const struct view view = espy_lower_dense_input(c, i);
    if (view.buffer == VIEW_NONE || view.offset == 0)
        return view;
    const struct view copy = espy_lower_temporary(c, c->inputs[i].dtype, &c->inputs[i].shape);
    espy_lower_copy(c, &view, &copy);
    return copy;
}

#endif // RUNTIME_OPS_PLAIN_INPUT_H_
