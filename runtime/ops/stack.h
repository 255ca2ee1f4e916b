// What Loop and Scan collect: one tensor per iteration, stacked along an axis that they get.
#ifndef RUNTIME_OPS_STACK_H_
#define RUNTIME_OPS_STACK_H_

#include <string.h>

#include "op/op.h"

struct stack {
    struct op_type type; // of each; dtype NONE before the first
    size_t count;        // tensors so far
    size_t size;         // bytes of each
    unsigned char *bytes;
    size_t room;
};

// Appends a tensor, which must be of the type of those before it.
static inline espy_status stack_push(const struct op_control *c, struct stack *stack,
                                     const struct tensor *tensor)
{
    size_t wanted, doubled;
    if (stack->type.dtype == ESPY_DTYPE_NONE) {
        stack->type = tensor->type;
        stack->size = espy_tensor_size(tensor);
    }
    if (stack->type.dtype != tensor->type.dtype ||
        !espy_shape_equal(&stack->type.shape, &tensor->type.shape))
        return espy_control_fail(c, "iteration %zu makes another type or shape than those before",
                                 stack->count);
    if (!espy_checked_mul(stack->count + 1, stack->size, &wanted) ||
        !espy_checked_mul(wanted, 2, &doubled))
        return espy_fail_memory(c->host, SIZE_MAX, "what a loop collects");
    if (wanted > stack->room) {
        void *grown = espy_realloc(c->host, stack->bytes, doubled);
        if (grown == NULL)
            return espy_fail_memory(c->host, doubled, "what a loop collects");
        stack->bytes = grown;
        stack->room = doubled;
    }
    if (stack->size > 0)
        memcpy(stack->bytes + stack->count * stack->size, tensor->data, stack->size);
    stack->count++;
    return ESPY_OK;
}

// The type that a body says of an output, for loops that never run: dims that it does not know are
// 0.
static inline espy_status stack_declare(const struct op_control *c, struct stack *stack,
                                        const struct graph *body, uint32_t output)
{
    const struct graph_value *value = &body->values[body->outputs[output].value];
    if (stack->type.dtype != ESPY_DTYPE_NONE)
        return ESPY_OK;
    if (value->dtype == ESPY_DTYPE_NONE)
        return espy_control_fail(c,
                                 "it runs no iteration, and body '%s' does not say the type of "
                                 "output '%s'",
                                 body->name, value->name);
    stack->type = (struct op_type){value->dtype, value->shape};
    for (uint32_t d = 0; d < value->shape.rank; d++)
        if (stack->type.shape.dims[d] < 0)
            stack->type.shape.dims[d] = 0;
    return ESPY_OK;
}

// All tensors as one, with the new axis at `axis`; reversed: the last one first.
static inline espy_status stack_join(const struct op_control *c, const struct stack *stack,
                                     int64_t axis, bool reversed, struct tensor *joined)
{
    const struct shape *each = &stack->type.shape;
    const int64_t rank = (int64_t)each->rank + 1;
    const int64_t at = axis < 0 ? axis + rank : axis;
    if (rank > ESPY_RANK_MAX || at < 0 || at >= rank)
        return espy_control_fail(c, "cannot stack tensors of rank %u along axis %lld",
                                 (unsigned)each->rank, (long long)axis);
    *joined = (struct tensor){.type = {stack->type.dtype, {.rank = (uint32_t)rank}}};
    size_t outer = 1;
    for (int64_t d = 0; d < rank; d++) {
        joined->type.shape.dims[d] = d < at    ? each->dims[d]
                                     : d == at ? (int64_t)stack->count
                                               : each->dims[d - 1];
        outer *= d < at ? (size_t)each->dims[d] : 1;
    }
    if (!espy_shape_count(&joined->type.shape, &joined->count))
        return espy_control_fail(c, "what it collects is larger than memory can be");
    joined->data = espy_arena_alloc(c->arena, espy_tensor_size(joined));
    if (joined->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    // Elements inside of the new axis.
    const size_t run = joined->count == 0 ? 0 : joined->count / stack->count / outer;
    for (size_t i = 0; i < stack->count && run > 0; i++) {
        const size_t place = reversed ? stack->count - 1 - i : i;
        const struct tensor one = {stack->type, outer * run, stack->bytes + i * stack->size};
        for (size_t o = 0; o < outer; o++)
            espy_tensor_move(joined, (o * stack->count + place) * run, &one, o * run, run);
    }
    return ESPY_OK;
}

#endif // RUNTIME_OPS_STACK_H_
